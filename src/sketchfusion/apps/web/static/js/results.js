// The photos found: a justified grid, its empty and error states, more on scrolling.

import { ApiError, original, thumbnail } from "./api.js";
import { byId, el, icon, plural, say, score } from "./dom.js";
import { Sharpener } from "./sharpen.js";
import { showNotice } from "./notices.js";
import { walkOver } from "./walk.js";

const SKELETONS = 12;

/** Tells "why" {index} when a photo is to be explained. */
export class Results extends EventTarget {
  hits = [];
  answer = null;
  tiles = [];

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
    new IntersectionObserver((entries) => {
      if (entries.some((entry) => entry.isIntersecting) && !byId("more").hidden) finder.more();
    }, { rootMargin: "300px" }).observe(byId("more"));
  }

  get gallery() { return this.finder.gallery; }

  /** For screen readers, and for whoever waits until the photos shown are those asked for. */
  tellBusy() { byId("found").setAttribute("aria-busy", String(this.finder.busy)); }

  start() {
    this.sharpener.stop();
    byId("busy").hidden = false;
    this.showLike();
    if (!this.hits.length) {
      showNotice(null);
      this.grid.replaceChildren(...Array.from({ length: SKELETONS }, () => el("li", { className: "card skeleton", "aria-hidden": "true" })));
    }
  }

  found({ answer, more, fresh }) {
    byId("busy").hidden = true;
    this.answer = answer;
    const known = more ? new Set(this.hits.map(({ id }) => id)) : new Set();
    const added = answer.hits.filter(({ id }) => !known.has(id));
    const tiles = added.map((hit) => this.card(hit));
    this.hits = more ? [...this.hits, ...added] : added;
    this.tiles = more ? [...this.tiles, ...tiles] : tiles;
    if (more) this.grid.append(...tiles);
    else this.grid.replaceChildren(...tiles);
    this.options.show(this.hits.map((hit) => hit.score), fresh && this.options.minScore === null);
    this.cut();
    byId("more").hidden = this.finder.next === null;
    this.sharpener.watch(tiles, this.gallery.id);
    if (!more) say(`${byId("found-count").textContent}`);
  }

  failed({ error, more }) {
    byId("busy").hidden = true;
    if (!more) {
      this.answer = null;
      this.empty();
      this.options.show([], false);
      byId("found-count").textContent = "";
    }
    showNotice(error instanceof ApiError && error.code === "unreachable" ? "unreachable" : "failed", {
      text: error.message, act: () => (more ? this.finder.more() : this.finder.run()),
    });
  }

  blank() {
    byId("busy").hidden = true;
    this.sharpener.stop();
    this.answer = null;
    this.empty();
    this.showLike();
    byId("found-count").textContent = "";
    this.options.show([], true);
    if (this.gallery) showNotice(this.gallery.photos ? "blank" : "empty-gallery", { gallery: this.gallery });
  }

  empty() {
    this.hits = [];
    this.tiles = [];
    this.grid.replaceChildren();
    byId("more").hidden = true;
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

  card(hit) {
    const shape = Math.min(Math.max(hit.width / hit.height || 1, 0.55), 2.2);
    const picture = el("img", { src: thumbnail(this.gallery.id, hit.id), alt: "", decoding: "async", loading: "lazy" });
    const name = hit.name.split("/").pop();
    const open = el("button", { type: "button", className: "card-open", title: hit.name,
      "aria-label": `${hit.name}, score ${score(hit.score)}: see why` }, picture);
    const acts = el("div", { className: "card-acts" },
      el("button", { type: "button", className: "tool card-act", title: "More like this", "data-act": "similar",
        "aria-label": `More like ${name}` }, icon("similar")),
      el("a", { className: "tool card-act", title: "Open the original", href: original(this.gallery.id, hit.id), target: "_blank",
        rel: "noopener noreferrer", "aria-label": `Open the original of ${name} in a new tab` }, icon("external")));
    const node = el("li", { className: "card" }, open, acts,
      el("p", { className: "card-foot", "aria-hidden": "true" }, el("span", { className: "card-name" }, name),
        el("span", { className: "card-score" }, score(hit.score))));
    node.style.setProperty("--shape", String(shape));
    return node;
  }

  click(event) {
    const index = this.tiles.indexOf(event.target.closest(".card"));
    if (index < 0) return;
    if (event.target.closest("[data-act=similar]")) this.similar(this.hits[index]);
    else if (event.target.closest(".card-open")) this.dispatchEvent(new CustomEvent("why", { detail: { index } }));
  }

  similar(hit) {
    this.finder.similar({ id: hit.id, name: hit.name });
    byId("found").scrollIntoView({ block: "start", behavior: "auto" });
    byId("found").focus({ preventScroll: true });
    say(`Photos like ${hit.name}`);
  }

  backToSketch() {
    this.finder.like = null;
    this.finder.run();
    byId("found").focus({ preventScroll: true });
  }

  /** Which photo the search is about, if it is about one. */
  showLike() {
    const { like } = this.finder;
    byId("similar-chip").hidden = !like;
    byId("found-title").textContent = like ? "Photos like" : "Photos";
    if (!like) return;
    byId("similar-thumb").src = thumbnail(this.gallery.id, like.id);
    byId("similar-name").textContent = like.name.split("/").pop();
  }
}
