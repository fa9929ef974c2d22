// The photos found: a justified grid, its empty and error states, more on scrolling.

import { ApiError, thumbnail } from "./api.js";
import { card } from "./card.js";
import { byId, el, note, plural, say, score } from "./dom.js";
import { showNotice } from "./notices.js";
import { Sharpener } from "./sharpen.js";
import { walkOver } from "./walk.js";

const SKELETONS = 12;
const NEAR = 300; // pixels

/** Newest first. */
const byDate = ({ hit: one }, { hit: other }) => (one.date < other.date) - (one.date > other.date);

/** Tells "why" {hit} when a photo is to be explained. */
export class Results extends EventTarget {
  hits = []; // in the order shown
  tiles = []; // theirs
  gallery = null; // theirs
  like = null; // the photo that they are like; null: they are like the sketch
  answer = null;

  constructor(finder, options) {
    super();
    this.finder = finder;
    this.options = options;
    this.grid = byId("grid");
    this.sharpener = new Sharpener(this.grid);
    for (const type of ["soon", "start", "found", "failed", "blank"]) finder.addEventListener(type, () => this.tellBusy());
    finder.addEventListener("start", ({ detail }) => this.start(detail.fresh));
    finder.addEventListener("found", ({ detail }) => this.found(detail));
    finder.addEventListener("failed", ({ detail }) => this.failed(detail));
    finder.addEventListener("blank", () => this.blank());
    options.addEventListener("cutoff", () => this.cut());
    byId("more").addEventListener("click", () => finder.more());
    this.grid.addEventListener("click", (event) => this.click(event));
    walkOver(this.grid);
    byId("similar-chip").addEventListener("click", () => this.backToSketch());
    for (const type of ["scroll", "wheel", "touchmove", "resize"]) window.addEventListener(type, () => this.reach(), { passive: true });
  }

  /** Ask for more photos where their end is near the window. */
  reach() {
    const button = byId("more");
    if (!button.hidden && byId("more-note").hidden && button.getBoundingClientRect().top < window.innerHeight + NEAR) this.finder.more();
  }

  /** The photos that can be seen, by the cut-off. */
  get inSight() { return this.hits.filter((_, index) => !this.tiles[index].hidden); }

  /** For screen readers, and for whoever waits until the photos shown are those asked for. */
  tellBusy() { byId("found").setAttribute("aria-busy", String(this.finder.busy)); }

  start() {
    this.sharpener.stop();
    byId("busy").hidden = false;
    this.showLike();
    if (!this.hits.length) {
      showNotice(null);
      const skeleton = () => el("li", { className: "card skeleton", "aria-hidden": "true" });
      this.grid.replaceChildren(...Array.from({ length: SKELETONS }, skeleton));
    }
  }

  found({ answer, gallery, like, more, fresh }) {
    byId("busy").hidden = true;
    Object.assign(this, { answer, gallery, like });
    const held = this.held();
    if (!more) this.clear();
    const known = new Set(this.hits.map(({ id }) => id));
    const tiles = this.add(answer.hits.filter(({ id }) => !known.has(id)));
    this.options.show(this.hits.map((hit) => hit.score), fresh && this.options.minScore === null);
    this.cut();
    this.offerMore(tiles);
    if (held && !more) this.focusOn(held, { preventScroll: true });
    this.sharpener.watch(tiles, gallery.id);
    if (!more) say(`${byId("found-count").textContent}`);
    // By date more photos lie above their end, which then stays near: only who scrolls on asks for more.
    if (!more || this.options.sort === "score") this.reach();
  }

  /** Put photos into the grid, by date among those that are there; those keep their places, and so the focus. */
  add(hits) {
    const fresh = hits.map((hit) => ({ hit, tile: card(hit, this.gallery.id) }));
    const all = [...this.hits.map((hit, index) => ({ hit, tile: this.tiles[index] })), ...fresh];
    if (this.options.sort === "date") all.sort(byDate);
    let next = null;
    for (const { tile } of [...all].reverse()) {
      if (!tile.isConnected) this.grid.insertBefore(tile, next);
      next = tile;
    }
    this.hits = all.map(({ hit }) => hit);
    this.tiles = all.map(({ tile }) => tile);
    return fresh.map(({ tile }) => tile);
  }

  /** The button for more; if it goes and has the focus, that goes to the first of the photos it brought. */
  offerMore(tiles, is = this.finder.next !== null) {
    const button = byId("more");
    const leaves = !is && document.activeElement === button;
    button.hidden = !is;
    note(byId("more-note"), "");
    if (leaves) (tiles.find((tile) => !tile.hidden)?.querySelector(".card-open") ?? byId("found")).focus();
  }

  /** The photo whose card has the focus. */
  held() { return this.hits[this.tiles.indexOf(document.activeElement.closest(".card"))]?.id; }

  /** Give the focus to a photo, or to the photos together where it is not among them. */
  focusOn(id, options) {
    const tile = this.tiles[this.hits.findIndex((hit) => hit.id === id)];
    if (tile && !tile.hidden) tile.querySelector(".card-open").focus(options);
    else byId("found").focus({ preventScroll: true });
  }

  failed({ error, more }) {
    byId("busy").hidden = true;
    if (more) {
      note(byId("more-note"), error.message);
      say(error.message);
      return;
    }
    this.leave();
    this.options.show([], false);
    const code = error instanceof ApiError ? error.code : "";
    if (code === "unknown_folder") showNotice("lost-folder", { act: () => this.options.leaveFolder() });
    else if (code === "unknown_photo" && this.finder.like) showNotice("lost-photo", { act: () => this.backToSketch() });
    else {
      showNotice(code === "unreachable" ? "unreachable" : "failed", {
        text: error.message, act: () => this.finder.run() });
    }
  }

  blank() {
    byId("busy").hidden = true;
    this.leave();
    this.showLike();
    this.options.show([], true);
    const { gallery } = this.finder;
    if (gallery) showNotice(gallery.photos ? "blank" : "empty-gallery");
  }

  /** Nothing that was found is left. */
  leave() {
    const held = this.held();
    this.answer = null;
    this.sharpener.stop();
    this.clear();
    this.offerMore([], false);
    byId("found-count").textContent = "";
    if (held) this.focusOn(held);
  }

  clear() {
    this.hits = [];
    this.tiles = [];
    this.grid.replaceChildren();
  }

  /** Hide at once what lies below the cut-off; the server is asked a moment later. */
  cut() {
    if (!this.answer) return;
    const least = this.options.minScore ?? -Infinity;
    let shown = 0;
    this.hits.forEach((hit, index) => {
      const keep = hit.score >= least - 5e-5;
      this.tiles[index].hidden = !keep;
      shown += keep;
    });
    this.count(shown);
    const none = shown === 0 && this.finder.next === null;
    if (!none) showNotice(null);
    else if (this.options.minScore !== null && this.answer.best !== null) {
      showNotice("cut", { text: `The best photo scores ${score(this.answer.best)}, the cut-off is ${score(least)}.`,
        act: () => this.options.uncut() });
    } else if (this.options.filters) {
      showNotice("filtered", { act: () => this.options.clearFilters() });
    } else showNotice("nothing");
  }

  count(shown) {
    const { total, took_ms: took } = this.answer;
    const open = this.options.minScore !== null && this.finder.next !== null;
    byId("found-count").textContent = open ? `${shown}+ photos` : plural(this.options.minScore === null ? total : shown, "photo");
    byId("found-count").title = `Found in ${took < 10 ? took.toFixed(1) : Math.round(took)} ms`;
  }

  click(event) {
    const index = this.tiles.indexOf(event.target.closest(".card"));
    if (index < 0) return;
    if (event.target.closest("[data-act=similar]")) this.similar(this.hits[index]);
    else if (event.target.closest(".card-open")) {
      this.dispatchEvent(new CustomEvent("why", { detail: { hit: this.hits[index] } }));
    }
  }

  similar(hit) {
    this.finder.similar({ id: hit.id, name: hit.name });
    byId("found").scrollIntoView({ block: "start", behavior: "auto" });
    byId("found").focus({ preventScroll: true });
    say(`Photos like ${hit.name}`);
  }

  backToSketch() {
    this.finder.similar(null);
    byId("found").focus({ preventScroll: true });
  }

  /** Which photo the search is about, if it is about one. */
  showLike() {
    const { like } = this.finder;
    byId("similar-chip").hidden = !like;
    byId("found-title").textContent = like ? "Photos like" : "Photos";
    if (!like) return;
    byId("similar-thumb").src = thumbnail(this.finder.gallery.id, like.id);
    byId("similar-name").textContent = like.name.split("/").pop();
  }
}
