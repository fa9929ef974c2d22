// One indexing job: how far it is, how to stop it, and which files could not be read.

import { sendJson } from "./api.js";
import { el, plural, say } from "./dom.js";
import { enable } from "./off.js";

const TITLES = { queued: "Indexing", running: "Indexing", done: "Indexed", cancelled: "Stopped:", failed: "Could not index",
  lost: "Lost sight of" };

/** Whether a job waits or runs. */
export const isOpen = ({ state }) => state === "queued" || state === "running";

export class JobCard {
  state = "queued";
  begun = false; // on this page

  /** `nameOf()` is the name of the gallery, if it is known; `open()` shows its photos. */
  constructor(id, gallery, nameOf, open) {
    Object.assign(this, { id, gallery, nameOf });
    this.heading = el("h3", { id: `job-${id}`, tabIndex: -1 });
    this.bar = el("progress", { className: "job-bar", "aria-labelledby": this.heading.id });
    this.facts = el("p", { className: "job-facts soft" });
    this.cancel = el("button", { type: "button", className: "button" }, "Cancel");
    this.cancel.addEventListener("click", () => this.stop());
    this.done = el("button", { type: "button", className: "button primary", hidden: true }, "Show the photos");
    this.done.addEventListener("click", open);
    this.list = el("ul", { className: "job-errors" });
    this.errors = el("details", { hidden: true }, el("summary", {}), this.list);
    this.node = el("section", { className: "job", "aria-labelledby": this.heading.id },
      el("div", { className: "job-head" }, this.heading, this.cancel, this.done), this.bar, this.facts, this.errors);
  }

  get isOpen() { return isOpen(this); }

  /** Write what it is about; the title. */
  title() {
    const name = this.nameOf();
    this.heading.textContent = `${TITLES[this.state]} ${name ? `“${name}”` : "a new gallery"}`;
    return this.heading.textContent;
  }

  async stop() {
    enable(this.cancel, false);
    await sendJson(["jobs", this.id], undefined, { method: "DELETE" }).catch((error) => {
      if (!this.isOpen) return;
      this.facts.textContent = error.message;
      enable(this.cancel, true);
    });
  }

  show(job) {
    this.turn(job.state);
    if (job.total) Object.assign(this.bar, { max: job.total, value: job.done });
    this.facts.textContent = words(job);
    this.errors.hidden = !job.errors.length;
    this.errors.querySelector("summary").textContent = `${plural(job.errors.length, "file")} could not be read`;
    this.list.replaceChildren(...job.errors.map(({ file, reason }) => el("li", {}, el("b", {}, file), ` ${reason}`)));
    if (!this.isOpen) say(`${this.heading.textContent}. ${this.facts.textContent}`);
  }

  /** What could not be asked; `lost`: nor will it ever be. */
  fail(error, lost) {
    if (lost) this.turn("lost");
    this.facts.textContent = error.code !== "unknown_job" ? error.message
      : "The server has started anew since. What was indexed until then is kept; index again to go on.";
  }

  /** It is in another state; a focus on what goes away with that stays in the card. */
  turn(state) {
    const held = document.activeElement === this.cancel;
    this.state = state;
    this.node.dataset.state = state;
    this.title();
    this.bar.hidden = !this.isOpen;
    this.cancel.hidden = !this.isOpen;
    this.done.hidden = state !== "done";
    if (held && !this.isOpen) (this.done.hidden ? this.heading : this.done).focus();
  }
}

function words({ state, done, total, message, summary }) {
  if (state === "queued") return "Waits for another folder to be done";
  if (state === "running") {
    return total ? `${done.toLocaleString("en")} of ${plural(total, "file")}` : "Looking for photos …";
  }
  if (!summary) return message || "";
  const parts = ["added", "changed", "unchanged", "removed"].filter((what) => summary[what])
    .map((what) => `${summary[what].toLocaleString("en")} ${what}`);
  return [`${plural(summary.photos, "photo")}${parts.length ? `: ${parts.join(", ")}` : ""}.`, ...summary.notes].join(" ");
}
