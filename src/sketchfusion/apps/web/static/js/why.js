// Why a photo was found: the dialog with its region, its points, and both as files.

import { ApiError, getBlob, getJson, isAbort, original, picture, sendJson, thumbnail } from "./api.js";
import { noLonger, whenBack } from "./away.js";
import { byId, closeBeside, day, debounce, note, say, score } from "./dom.js";
import { exportMask, exportPoints } from "./exports.js";
import { COUNT, Links } from "./links.js";
import { Mask } from "./mask.js";
import { enable } from "./off.js";

const STILL = 220; // milliseconds until the edges are followed

/** Tells "similar" {hit, gallery} when others like the photo are wanted. */
export class Why extends EventTarget {
  shown = null; // {hit, gallery, like, list, page, path}: see `open`
  stop = null;
  region = null;
  unfollowed = false; // whether what the note says is why the edges could not be followed
  drawn = { page: null, url: "" }; // what the sketch's picture shows

  constructor(results, book) {
    super();
    Object.assign(this, { results, book, mask: new Mask(), links: new Links(), dialog: byId("why") });
    this.follow = debounce(() => this.followEdges(), STILL);
    results.addEventListener("why", ({ detail }) => this.open(detail.hit));
    byId("why-close").addEventListener("click", () => this.dialog.close());
    byId("why-previous").addEventListener("click", () => this.go(-1));
    byId("why-next").addEventListener("click", () => this.go(1));
    byId("why-similar").addEventListener("click", () => this.similar());
    this.dialog.addEventListener("close", () => this.closed());
    closeBeside(this.dialog);
    document.addEventListener("keydown", (event) => this.key(event)); // even if nothing in the dialog has the focus
    byId("threshold").addEventListener("input", () => this.cut());
    for (const id of ["show-region", "refined"]) byId(id).addEventListener("change", () => this.cut());
    byId("show-points").addEventListener("change", ({ target }) => {
      this.links.on = target.checked;
      this.links.draw();
    });
    byId("why-photo").addEventListener("error", ({ target }) => { target.hidden = true; }); // what lies under it stays
    for (const kind of ["png", "coco"]) byId(`mask-${kind}`).addEventListener("click", () => exportMask(this, kind));
    for (const kind of ["json", "csv"]) byId(`points-${kind}`).addEventListener("click", () => exportPoints(this, kind));
  }

  get threshold() { return Number(byId("threshold").value); }
  get refined() { return byId("refined").checked; }

  /** Open with a photo. It stays with the photos, the gallery and the sketch of now, whatever is found meanwhile. */
  open(hit) {
    const { gallery, like, inSight: list } = this.results;
    const page = this.book.drawing.isBlank ? null : this.book.current();
    this.book.kept = page;
    if (!this.dialog.open) this.dialog.showModal();
    this.show({ hit, gallery, like, list, page });
  }

  key(event) {
    const step = { PageUp: -1, PageDown: 1 }[event.key];
    if (!step || !this.dialog.open || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault(); // the threshold stays
    this.go(step);
  }

  /** The next or the previous photo. */
  go(step) {
    const { list, hit } = this.shown;
    const next = list[list.indexOf(hit) + step];
    if (next) this.show({ ...this.shown, hit: next });
  }

  similar() {
    const { hit, gallery } = this.shown;
    this.shown = null; // `closed` need not go back to its card
    this.dialog.close();
    this.dispatchEvent(new CustomEvent("similar", { detail: { hit, gallery } }));
  }

  closed() {
    this.stop?.abort();
    this.reset();
    byId("why-photo").removeAttribute("src");
    if (this.shown) this.results.focusOn(this.shown.hit.id);
    this.shown = null;
    this.book.kept = null;
  }

  async show(shown) {
    const { hit, gallery, page } = shown;
    this.shown = { ...shown, path: ["galleries", gallery.id, "photos", hit.id] };
    this.stop?.abort();
    this.stop = new AbortController();
    const { signal } = this.stop;
    this.reset();
    this.tellFacts();
    byId("sketch-pane").hidden = !page;
    note(byId("why-note"), page ? "" : "Draw something to see where it is in this photo.");
    if (!page) return;
    try {
      await Promise.all([this.showSketch(signal), this.findRegion(signal), this.findPoints(signal)]);
    } catch (error) {
      if (isAbort(error) || signal.aborted) return;
      this.fail(error);
      if (error.code === "unreachable") whenBack("why", () => this.show(this.shown));
    }
  }

  /** Nothing of the photo before is left, nor does anything for it still run. */
  reset() {
    noLonger("why");
    this.follow.cancel();
    this.edges?.abort();
    this.region = null;
    this.unfollowed = false;
    this.mask.clear();
    this.links.clear();
    this.offer();
  }

  tellFacts() {
    const { hit, gallery, like, list } = this.shown;
    byId("why-title").textContent = hit.name;
    const scored = like ? `likeness to ${like.name.split("/").pop()}` : "score";
    byId("why-facts").textContent = [`${scored}\u00a0${score(hit.score)}`, `${hit.width}\u00a0×\u00a0${hit.height}`,
      day(hit.date).replaceAll(" ", "\u00a0")].filter(Boolean).join(" · ");
    byId("sketch-caption").hidden = !like;
    byId("why-original").href = original(gallery.id, hit.id);
    byId("photo-picture").style.setProperty("--shape", String(hit.width / hit.height));
    byId("photo-picture").style.backgroundImage = `url("${thumbnail(gallery.id, hit.id)}")`;
    Object.assign(byId("why-photo"), { src: picture(gallery.id, hit.id, 1024), alt: hit.name, hidden: false });
    enable(byId("why-previous"), hit !== list[0]);
    enable(byId("why-next"), hit !== list.at(-1));
  }

  async showSketch(signal) {
    const { page } = this.shown;
    if (this.drawn.page === page) return;
    byId("why-sketch").removeAttribute("src");
    const { blob } = await this.book.picture(page);
    if (signal.aborted) return;
    URL.revokeObjectURL(this.drawn.url);
    this.drawn = { page, url: URL.createObjectURL(blob) };
    byId("why-sketch").src = this.drawn.url;
  }

  async findRegion(signal) {
    const { page, path } = this.shown;
    const region = await this.book.use((sketch) => getJson([...path, "region"], { sketch }, signal), signal, page);
    const image = await decoded(`data:image/png;base64,${region.map.png}`);
    if (signal.aborted) return;
    this.region = { ...region, image };
    const input = byId("threshold");
    [input.min, input.max] = [region.low.toFixed(4), region.high.toFixed(4)];
    input.step = ((region.high - region.low) / 250 || 0.001).toFixed(6);
    input.value = String(Math.min(Math.max(region.threshold, region.low), region.high));
    this.offer();
    await this.cut();
  }

  async findPoints(signal) {
    const { page, path } = this.shown;
    const ask = async (sketch, size) => [
      await sendJson([...path, "points"], { sketch, points: null, count: COUNT }, { signal }), size];
    const [{ points, width, height }, size] = await this.book.use(ask, signal, page);
    if (signal.aborted) return;
    this.links.set(points, size, { width, height });
    this.offer();
  }

  /** What can be set and saved by now. */
  offer() {
    const [region, points] = [this.region !== null, this.links.points.length > 0];
    for (const id of ["threshold", "refined", "show-region", "mask-png", "mask-coco"]) enable(byId(id), region);
    for (const id of ["show-points", "points-json", "points-csv"]) enable(byId(id), points);
    if (!this.region) byId("threshold-value").textContent = "";
  }

  /** The region at the slider's threshold: at once from the cosines, then along the photo's edges. */
  async cut() {
    this.follow.cancel();
    this.edges?.abort();
    const { region } = this;
    if (!region) return;
    if (this.unfollowed) note(byId("why-note"), "");
    this.unfollowed = false;
    byId("threshold-value").textContent = score(this.threshold);
    byId("mask").hidden = !byId("show-region").checked;
    if (byId("mask").hidden) return;
    await this.mask.set(region.image, region.low, region.high, region);
    if (region !== this.region) return;
    this.tell(this.mask.draw(this.threshold));
    if (this.refined) this.follow();
  }

  async followEdges() {
    const { region, shown: { page, path } } = this;
    if (!region) return;
    const query = { threshold: this.threshold.toFixed(4), refined: true, format: "png" };
    const { signal } = this.edges = new AbortController();
    try {
      const blob = await this.book.use((sketch) => getBlob([...path, "mask"], { sketch, ...query }, signal), signal, page);
      const url = URL.createObjectURL(blob);
      const image = await decoded(url).finally(() => URL.revokeObjectURL(url));
      if (signal.aborted) return;
      await this.mask.set(image, 0, 1, region);
      if (!signal.aborted) this.tell(this.mask.draw(0.5));
    } catch (error) {
      if (isAbort(error) || signal.aborted) return;
      this.fail(error);
      this.unfollowed = true;
      if (error.code === "unreachable") whenBack("why", () => this.cut());
    }
  }

  tell(share) {
    byId("threshold").setAttribute("aria-valuetext", `${score(this.threshold)}, ${Math.round(share * 100)} % of the photo`);
  }

  /** Say what went wrong with a photo, if it is still shown. */
  fail(error, shown = this.shown) {
    if (shown !== this.shown) return;
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
