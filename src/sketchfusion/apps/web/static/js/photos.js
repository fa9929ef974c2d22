// My photos: choosing a gallery, and making one from a folder.

import { getJson, sendJson } from "./api.js";
import { whenBack } from "./away.js";
import { Browser, fit } from "./browser.js";
import { byId, closeBeside, day, el, icon, note, plural } from "./dom.js";
import { Jobs } from "./jobs.js";
import { keep, kept } from "./keep.js";
import { enable } from "./off.js";

const KEY = "sketchfusion.gallery";

/** Tells "gallery" {gallery, lost} when another one is to be searched, null where there is none, or none any more: the
 * name of the lost one; "renewed" {gallery, hasChanged} when the present one was indexed. */
export class Photos extends EventTarget {
  galleries = [];
  current = null;
  asked = Promise.resolve(); // which galleries there are, lately

  constructor() {
    super();
    this.dialog = byId("photos");
    this.browser = new Browser();
    this.jobs = new Jobs((id) => this.galleries.find((gallery) => gallery.id === id)?.name, (id) => this.show(id));
    this.jobs.addEventListener("ended", ({ detail }) => this.ended(detail));
    byId("open-photos").addEventListener("click", () => this.open());
    byId("photos-close").addEventListener("click", () => this.dialog.close());
    this.dialog.addEventListener("close", () => {
      if (document.activeElement === document.body) byId("open-photos").focus(); // what opened it is gone
    });
    closeBeside(this.dialog);
    byId("index-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.index();
    });
    byId("index-form").addEventListener("change", () => this.target());
  }

  /** Ask for the galleries; take the present one, that of the last visit, or the server's. Throws ApiError. */
  async load() {
    await this.ask();
    const usable = this.galleries.filter(({ problem }) => !problem);
    const id = this.current?.id ?? kept(KEY);
    this.choose(usable.find((each) => each.id === id) ?? this.galleries.find(({ current }) => current)
      ?? usable[0] ?? this.galleries[0] ?? null);
  }

  /** Ask which galleries there are, one time after the other, so that no late list replaces a newer. Throws ApiError. */
  ask() {
    const ask = async () => {
      ({ galleries: this.galleries } = await getJson(["galleries"]));
      this.list();
      this.jobs.rename();
    };
    this.asked = this.asked.then(ask, ask);
    return this.asked;
  }

  choose(gallery) {
    this.take(gallery);
    if (gallery) keep(KEY, gallery.id);
    this.tell("gallery", { gallery });
  }

  /** The present gallery is not there any more. */
  lose() {
    const lost = this.current?.name;
    if (!lost) return;
    this.take(null);
    this.tell("gallery", { gallery: null, lost });
    this.askAgain();
  }

  /** Ask which galleries there are; without an answer the list stays as it is, until the server is back. */
  async askAgain() {
    try {
      await this.ask();
    } catch (error) {
      if (error.code === "unreachable") whenBack("galleries", () => this.askAgain());
    }
  }

  take(gallery) {
    this.current = gallery;
    byId("gallery-chip").textContent = gallery ? `${gallery.name} · ${gallery.photos.toLocaleString("en")}` : "none";
    this.list();
    this.target();
  }

  tell(type, detail) { this.dispatchEvent(new CustomEvent(type, { detail })); }

  /** Go to the photos of a gallery. */
  show(id) {
    const gallery = this.galleries.find((each) => each.id === id);
    if (gallery && id !== this.current?.id) this.choose(gallery);
    this.dialog.close();
  }

  async open() {
    note(byId("photos-note"), "");
    this.list();
    this.target();
    if (!this.dialog.open) this.dialog.showModal();
    this.askAgain(); // galleries come and go elsewhere too
    this.jobs.takeUp();
    await this.browser.show(this.browser.path);
  }

  list() {
    const rows = this.galleries.map((gallery) => this.row(gallery));
    if (!rows.length) rows.push(el("li", { className: "soft" }, "None yet. Index a folder to make one."));
    refill(byId("galleries"), rows);
  }

  row(gallery) {
    const mine = gallery.id === this.current?.id;
    const disabled = Boolean(gallery.problem);
    const facts = [plural(gallery.photos, "photo"), gallery.roots.join(", "), day(gallery.created)];
    const choose = el("button", { type: "button", className: "gallery", disabled, "data-key": `choose ${gallery.id}`,
      "aria-pressed": String(mine) }, el("span", { className: "gallery-name" }, gallery.name, mine ? icon("check") : ""),
      el("span", { className: "soft" }, facts.filter(Boolean).join(" · ")));
    choose.addEventListener("click", () => {
      this.choose(gallery);
      this.dialog.close();
    });
    const again = el("button", { type: "button", className: "tool", title: "Look for new and changed photos", disabled,
      "data-key": `again ${gallery.id}`, "aria-label": `Look for new and changed photos of ${gallery.name}` },
      icon("refresh"));
    again.addEventListener("click", () => this.begin(["galleries", gallery.id, "update"], {}, gallery.name));
    return el("li", {}, choose, again, gallery.problem ? el("p", { className: "problem" }, gallery.problem) : "");
  }

  target() {
    const form = byId("index-form");
    const [fresh, current] = form.elements.target;
    current.disabled = !this.current || Boolean(this.current.problem);
    if (current.disabled) fresh.checked = true;
    byId("target-current").textContent = this.current ? `Add to “${this.current.name}”` : "Add to a gallery";
    byId("new-name").disabled = !fresh.checked;
  }

  index() {
    const { path, name } = this.browser;
    if (byId("index-form").elements.target.value === "current") {
      this.begin(["galleries", this.current.id, "update"], { folder: path }, this.current.name);
      return;
    }
    const title = byId("new-name").value.trim() || fit(name) || "My photos";
    this.begin(["galleries"], { name: title, folder: path }, title);
  }

  async begin(path, content, name) {
    note(byId("photos-note"), "");
    enable(byId("index-folder"), false);
    try {
      const { job, gallery } = await sendJson(path, content);
      this.jobs.follow({ id: job, gallery, name, begun: true });
      byId("jobs").scrollIntoView({ block: "nearest" });
    } catch (error) {
      note(byId("photos-note"), error.message);
    } finally {
      enable(byId("index-folder"), true);
    }
  }

  /** What was indexed can be searched: what was begun here at once; the gallery that is shown is searched anew. */
  async ended({ job, begun }) {
    const isWanted = begun && job.state === "done";
    try {
      await this.ask();
      const gallery = this.galleries.find(({ id }) => id === job.gallery);
      if (!gallery) return;
      if (job.gallery === this.current?.id && !this.current.problem) this.renew(gallery, job);
      else if (isWanted || !this.current || job.gallery === this.current.id) this.choose(gallery);
    } catch (error) {
      note(byId("photos-note"), error.message);
    }
  }

  /** The present gallery was indexed. */
  renew(gallery, { summary }) {
    this.take(gallery);
    const hasChanged = !summary || summary.added + summary.changed + summary.removed > 0;
    this.tell("renewed", { gallery, hasChanged });
  }
}

/** Fill a list anew; the focus stays with the button of the same key. */
function refill(list, rows) {
  const held = list.contains(document.activeElement) ? document.activeElement.dataset.key : null;
  list.replaceChildren(...rows);
  if (held) (list.querySelector(`[data-key="${CSS.escape(held)}"]`) ?? byId("photos-close")).focus();
}
