// Why a photo was found: the dialog with its region, its points, and both as files.

import { ApiError, getBlob, getJson, isAbort, original, picture, sendJson, thumbnail } from "./api.js";
import { byId, day, debounce, note, say, score } from "./dom.js";
import { exportMask, exportPoints } from "./exports.js";
import { COUNT, Links } from "./links.js";
import { Mask } from "./mask.js";

const STILL = 220; // milliseconds until the edges are followed

export class Why {
  index = -1;
  stop = null;
  region = null;

  constructor(results, finder, book) {
    Object.assign(this, { results, finder, book, mask: new Mask(), links: new Links(), dialog: byId("why") });
    this.follow = debounce(() => this.followEdges(), STILL);
    results.addEventListener("why", ({ detail }) => this.open(detail.index));
    byId("why-close").addEventListener("click", () => this.dialog.close());
    byId("why-previous").addEventListener("click", () => this.go(-1));
    byId("why-next").addEventListener("click", () => this.go(1));
    byId("why-similar").addEventListener("click", () => {
      this.dialog.close();
      results.similar(this.hit);
    });
    this.dialog.addEventListener("close", () => this.closed());
    this.dialog.addEventListener("click", (event) => { if (event.target === this.dialog) this.dialog.close(); });
    this.dialog.addEventListener("keydown", (event) => {
      if (event.key === "PageUp" || event.key === "PageDown") this.go(event.key === "PageUp" ? -1 : 1);
    });
    byId("threshold").addEventListener("input", () => this.cut());
    for (const id of ["show-region", "refined"]) byId(id).addEventListener("change", () => this.cut());
    byId("show-points").addEventListener("change", ({ target }) => {
      this.links.on = target.checked;
      this.links.draw();
    });
    for (const format of ["png", "coco"]) byId(`mask-${format}`).addEventListener("click", () => exportMask(this, format));
    for (const format of ["json", "csv"]) byId(`points-${format}`).addEventListener("click", () => exportPoints(this, format));
  }

  get hit() { return this.results.hits[this.index]; }
  get path() { return ["galleries", this.finder.gallery.id, "photos", this.hit.id]; }
  get threshold() { return Number(byId("threshold").value); }
  get refined() { return byId("refined").checked; }

  open(index) {
    this.index = index;
    if (!this.dialog.open) this.dialog.showModal();
    this.show();
  }

  /** The next or the previous photo that is shown. */
  go(step) {
    const { tiles } = this.results;
    let index = this.index + step;
    while (tiles[index]?.hidden) index += step;
    if (tiles[index]) this.open(index);
  }

  closed() {
    this.stop?.abort();
    this.follow.cancel();
    this.results.tiles[this.index]?.querySelector(".card-open").focus();
    byId("why-photo").removeAttribute("src");
  }

  async show() {
    this.stop?.abort();
    this.stop = new AbortController();
    this.reset();
    if (this.book.drawing.isBlank) {
      note(byId("why-note"), "Draw something to see where it is in this photo.");
      byId("sketch-pane").hidden = true;
      return;
    }
    byId("sketch-pane").hidden = false;
    const { signal } = this.stop;
    try {
      byId("why-sketch").src = (await this.book.current()).url;
      await Promise.all([this.findRegion(signal), this.findPoints(signal)]);
    } catch (error) {
      if (!isAbort(error) && !signal.aborted) this.fail(error);
    }
  }

  reset() {
    const { hit } = this;
    const { id: gallery } = this.finder.gallery;
    byId("why-title").textContent = hit.name;
    byId("why-facts").textContent = [`score\u00a0${score(hit.score)}`, `${hit.width}\u00a0×\u00a0${hit.height}`, day(hit.date).replaceAll(" ", "\u00a0")].filter(Boolean).join(" · ");
    byId("why-original").href = original(gallery, hit.id);
    byId("photo-picture").style.setProperty("--shape", String(hit.width / hit.height));
    byId("photo-picture").style.backgroundImage = `url("${thumbnail(gallery, hit.id)}")`;
    byId("why-photo").src = picture(gallery, hit.id, 1024);
    byId("why-photo").alt = hit.name;
    byId("why-previous").disabled = !this.results.tiles.slice(0, this.index).some((tile) => !tile.hidden);
    byId("why-next").disabled = !this.results.tiles.slice(this.index + 1).some((tile) => !tile.hidden);
    note(byId("why-note"), "");
    this.region = null;
    this.mask.clear();
    this.links.clear();
    this.enable();
  }

  async findRegion(signal) {
    const region = await this.book.use((sketch) => getJson([...this.path, "region"], { sketch }, signal), signal);
    const image = await decoded(`data:image/png;base64,${region.map.png}`);
    if (signal.aborted) return;
    this.region = { ...region, image };
    const input = byId("threshold");
    [input.min, input.max] = [region.low.toFixed(4), region.high.toFixed(4)];
    input.step = ((region.high - region.low) / 250 || 0.001).toFixed(6);
    input.value = String(Math.min(Math.max(region.threshold, region.low), region.high));
    this.enable();
    await this.cut();
  }

  async findPoints(signal) {
    const { points, width, height, sketch } = await this.book.use(async (id, sent) => ({
      ...await sendJson([...this.path, "points"], { sketch: id, points: null, count: COUNT }, { signal }), sketch: sent }), signal);
    if (signal.aborted) return;
    this.links.set(points, sketch, { width, height });
    this.enable();
  }

  enable() {
    for (const id of ["threshold", "refined", "show-region", "mask-png", "mask-coco"]) byId(id).disabled = !this.region;
    for (const id of ["show-points", "points-json", "points-csv"]) byId(id).disabled = !this.links.points.length;
    if (!this.region) byId("threshold-value").textContent = "";
  }

  /** The region at the slider's threshold: at once from the cosines, then along the photo's edges. */
  async cut() {
    this.follow.cancel();
    this.edges?.abort();
    const { region } = this;
    if (!region) return;
    byId("threshold-value").textContent = score(this.threshold);
    byId("mask").hidden = !byId("show-region").checked;
    if (byId("mask").hidden) return;
    await this.mask.set(region.image, region.low, region.high, region);
    this.tell(this.mask.draw(this.threshold));
    if (this.refined) this.follow();
  }

  async followEdges() {
    const { region, path, threshold } = this;
    const edges = new AbortController();
    this.edges = edges;
    this.stop.signal.addEventListener("abort", () => edges.abort(), { once: true });
    try {
      const blob = await this.book.use((sketch) => getBlob([...path, "mask"],
        { sketch, threshold: threshold.toFixed(4), refined: true, format: "png" }, edges.signal), edges.signal);
      const url = URL.createObjectURL(blob);
      const image = await decoded(url).finally(() => URL.revokeObjectURL(url));
      if (edges.signal.aborted || region !== this.region) return;
      await this.mask.set(image, 0, 1, region);
      this.tell(this.mask.draw(0.5));
    } catch (error) {
      if (!isAbort(error) && !edges.signal.aborted) this.fail(error);
    }
  }

  tell(share) {
    byId("threshold").setAttribute("aria-valuetext", `${score(this.threshold)}, ${Math.round(share * 100)} % of the photo`);
  }

  fail(error) {
    const words = error instanceof ApiError ? error.message : `This browser could not show it: ${error.message}`;
    note(byId("why-note"), words);
    say(words);
  }
}

async function decoded(src) {
  const image = new Image();
  image.src = src;
  await image.decode();
  return image;
}
