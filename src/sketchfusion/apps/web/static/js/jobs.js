// Indexing on its way: every job that is open is followed until it ends, also those that this page did not begin.

import { ApiError, getJson } from "./api.js";
import { byId, say } from "./dom.js";
import { JobCard, isOpen } from "./jobcard.js";

const EVERY = 500; // milliseconds

/** Tells "ended" {job, begun}; `begun`: on this page, during this visit. */
export class Jobs extends EventTarget {
  cards = new Map(); // id of a job -> its card

  /** `nameOf(id)` is the name of a gallery, if it is known; `show(id)` shows its photos. */
  constructor(nameOf, show) {
    super();
    this.nameOf = nameOf;
    this.show = show;
  }

  /** Follow what the server has open already: since the last visit, or since another window began it. */
  async takeUp() {
    const { jobs } = await getJson(["jobs"]).catch(() => ({ jobs: [] })); // there is a next time
    for (const job of jobs.filter(isOpen)) this.follow(job);
  }

  /** Show a job until it ends. */
  async follow({ id, gallery, name, begun = false }) {
    const known = this.cards.get(id);
    if (known) {
      known.begun ||= begun; // it was taken up before the answer to its beginning came
      return;
    }
    const card = this.add(id, gallery, name, begun);
    let job = null;
    do {
      if (job) await new Promise((done) => { setTimeout(done, EVERY); });
      job = await look(card, job);
    } while (job && isOpen(job));
    if (job) this.dispatchEvent(new CustomEvent("ended", { detail: { job, begun: card.begun } }));
  }

  /** A card for a job, in the place of those of the same gallery that have ended. */
  add(id, gallery, name, begun) {
    for (const [other, card] of this.cards) {
      if (card.gallery !== gallery || card.isOpen) continue;
      card.node.remove();
      this.cards.delete(other);
    }
    const card = new JobCard(id, gallery, () => this.nameOf(gallery) ?? name, () => this.show(gallery));
    card.begun = begun;
    this.cards.set(id, card);
    byId("jobs").append(card.node);
    say(card.title());
    return card;
  }

  /** The names of galleries may be other ones now. */
  rename() { for (const card of this.cards.values()) card.title(); }
}

/** The job as it is now, shown; as it was where the server is away for a moment; null where it is lost. */
async function look(card, before) {
  try {
    const job = await getJson(["jobs", card.id]);
    card.show(job);
    return job;
  } catch (error) {
    const isAway = error instanceof ApiError && (error.code === "unreachable" || [429, 503].includes(error.status));
    card.fail(error, !isAway);
    return isAway ? before ?? { state: "queued" } : null;
  }
}
