// Which photos are wanted, and in which order: cut-off, sort, folder, dates.

import { getJson } from "./api.js";
import { byId, el, plural, score } from "./dom.js";
import { enable, isOff } from "./off.js";

/** Tells "change" when the server must be asked again, "cutoff" when only fewer or more scores are wanted. */
export class Options extends EventTarget {
  sort = "score";
  minScore = null;
  quiet = false;
  range = null; // [low, high] of the scores seen
  gallery = null;

  constructor() {
    super();
    for (const sort of ["score", "date"]) byId(`sort-${sort}`).addEventListener("click", () => this.order(sort));
    byId("cutoff").addEventListener("input", () => this.cut());
    byId("open-filters").addEventListener("click", () => this.toggle());
    byId("filters").addEventListener("submit", (event) => event.preventDefault());
    byId("filters").addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      this.toggle(false);
      byId("open-filters").focus();
    });
    byId("filters").addEventListener("change", () => this.filtered());
    byId("filters").addEventListener("reset", () => setTimeout(() => this.filtered()));
  }

  query() {
    const [after, before] = this.dates();
    return { min_score: this.minScore === null ? "" : this.minScore.toFixed(4), sort: this.sort,
      folder: byId("folder").value, after, before };
  }

  /** From and to, in whichever order they were given. */
  dates() {
    const [after, before] = [byId("after").value, byId("before").value];
    return after && before && after > before ? [before, after] : [after, before];
  }

  get filters() {
    return ["folder", "after", "before"].filter((name) => byId(name).value).length;
  }

  change() { this.dispatchEvent(new Event("change")); }

  order(sort) {
    if (sort === this.sort) return;
    this.sort = sort;
    for (const name of ["score", "date"]) byId(`sort-${name}`).setAttribute("aria-pressed", String(name === sort));
    this.change();
  }

  toggle(open = byId("filters").hidden) {
    byId("filters").hidden = !open;
    byId("open-filters").setAttribute("aria-expanded", String(open));
  }

  filtered() {
    const count = this.filters;
    byId("filter-count").hidden = !count;
    byId("filter-count").textContent = count ? String(count) : "";
    if (this.quiet) return;
    this.range = null;
    this.change();
  }

  clearFilters() {
    byId("filters").reset();
  }

  /** The slider's range follows the scores that there are, since they lie close together. */
  show(scores, fresh) {
    if (fresh) this.range = null;
    if (scores.length) {
      const [low, high] = [Math.min(...scores), Math.max(...scores)];
      this.range = this.range ? [Math.min(low, this.range[0]), Math.max(high, this.range[1])] : [low, high];
      if (this.minScore !== null) this.range[0] = Math.min(this.range[0], this.minScore - 0.001);
    }
    const input = byId("cutoff");
    enable(input, this.range !== null);
    if (this.range) {
      input.min = (Math.floor(this.range[0] * 1000) / 1000).toFixed(3);
      input.max = (Math.ceil(Math.max(this.range[1], this.minScore ?? -1) * 1000) / 1000).toFixed(3);
      input.value = this.minScore === null ? input.min : this.minScore.toFixed(3);
    }
    this.drawTicks(scores, Number(input.min), Number(input.max));
    this.label();
  }

  drawTicks(scores, low, high) {
    const marks = scores.map((value) => `M${(((value - low) / (high - low || 1)) * 100).toFixed(2)} 0V10`).join("");
    const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
    path.setAttribute("d", marks);
    byId("ticks").replaceChildren(path);
  }

  cut() {
    const input = byId("cutoff");
    if (isOff(input)) {
      input.value = input.min;
      return;
    }
    this.minScore = Number(input.value) <= Number(input.min) ? null : Number(input.value);
    this.label();
    this.dispatchEvent(new Event("cutoff"));
  }

  uncut() {
    this.forgetCutoff();
    this.change();
  }

  forgetCutoff() {
    this.minScore = null;
    this.range = null;
    this.label();
  }

  label() {
    const text = this.minScore === null ? "off" : score(this.minScore);
    byId("cutoff-value").textContent = text;
    byId("cutoff").setAttribute("aria-valuetext", this.minScore === null ? "off, all photos" : `scores from ${text}`);
  }

  /** Another gallery, or none: its filters begin anew, at once, and its folders come. */
  async setGallery(gallery) {
    this.gallery = gallery;
    this.quiet = true; // the caller searches anew anyway
    byId("filters").reset();
    setTimeout(() => { this.quiet = false; });
    this.forgetCutoff();
    this.list([]);
    if (gallery) await this.listFolders();
  }

  /** The gallery was indexed: its folders may be other ones now, its filters stay. */
  async renew(gallery) {
    this.gallery = gallery;
    await this.listFolders();
  }

  async listFolders() {
    const { gallery } = this;
    const { folders } = await getJson(["galleries", gallery.id, "folders"]).catch(() => ({})); // the search says what is wrong
    if (folders && gallery === this.gallery) this.list(folders);
  }

  /** Offer folders; the one that was chosen stays so, even if it is none of them, until the search has said so. */
  list(folders) {
    const node = byId("folder");
    const chosen = node.selectedOptions[0];
    const { value } = node;
    node.replaceChildren(el("option", { value: "" }, "All folders"),
      ...folders.map(({ id, name, photos }) => el("option", { value: id }, `${name || "(top)"} – ${plural(photos, "photo")}`)));
    if (value && !folders.some(({ id }) => id === value)) node.append(chosen);
    node.value = value;
  }

  /** Search all folders, since the one that was chosen is gone. */
  async leaveFolder() {
    byId("folder").value = "";
    this.filtered();
    await this.listFolders();
  }
}
