// My photos: choosing a gallery, and making one from a folder.

import { getJson, sendJson } from "./api.js";
import { Browser } from "./browser.js";
import { byId, day, el, icon, note, plural } from "./dom.js";
import { Jobs } from "./jobs.js";

const KEY = "sketchfusion.gallery";

/** Tells "gallery" {gallery} whenever another one is to be searched or the present one has changed; null: there is none. */
export class Photos extends EventTarget {
  galleries = [];
  current = null;

  constructor() {
    super();
    this.dialog = byId("photos");
    this.browser = new Browser();
    this.jobs = new Jobs();
    this.jobs.addEventListener("ended", ({ detail }) => this.ended(detail.job));
    byId("open-photos").addEventListener("click", () => this.open());
    byId("photos-close").addEventListener("click", () => this.dialog.close());
    this.dialog.addEventListener("click", (event) => { if (event.target === this.dialog) this.dialog.close(); });
    byId("index-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.index();
    });
    byId("index-form").addEventListener("change", () => this.target());
  }

  /** Ask for the galleries; take the one of the last visit, or the server's. Throws ApiError. */
  async load(wanted = this.current?.id ?? remembered()) {
    ({ galleries: this.galleries } = await getJson(["galleries"]));
    const usable = this.galleries.filter(({ problem }) => !problem);
    const gallery = usable.find(({ id }) => id === wanted) ?? this.galleries.find(({ current }) => current)
      ?? usable[0] ?? this.galleries[0] ?? null;
    this.choose(gallery);
  }

  choose(gallery) {
    this.current = gallery;
    if (gallery) remember(gallery.id);
    byId("gallery-chip").textContent = gallery ? `${gallery.name} · ${gallery.photos.toLocaleString("en")}` : "none yet";
    this.list();
    this.target();
    this.dispatchEvent(new CustomEvent("gallery", { detail: { gallery } }));
  }

  async open() {
    note(byId("photos-note"), "");
    this.list();
    this.target();
    if (!this.dialog.open) this.dialog.showModal();
    await this.browser.show(this.browser.path);
  }

  list() {
    const rows = this.galleries.map((gallery) => this.row(gallery));
    byId("galleries").replaceChildren(...(rows.length ? rows : [el("li", { className: "soft" }, "None yet. Index a folder to make one.")]));
  }

  row(gallery) {
    const mine = gallery.id === this.current?.id;
    const choose = el("button", { type: "button", className: "gallery", disabled: Boolean(gallery.problem), "aria-pressed": String(mine) },
      el("span", { className: "gallery-name" }, gallery.name, mine ? icon("check") : ""),
      el("span", { className: "soft" }, [plural(gallery.photos, "photo"), gallery.roots.join(", "), day(gallery.created)].filter(Boolean).join(" · ")));
    choose.addEventListener("click", () => {
      this.choose(gallery);
      this.dialog.close();
    });
    const again = el("button", { type: "button", className: "tool", title: "Look for new and changed photos", disabled: Boolean(gallery.problem),
      "aria-label": `Look for new and changed photos of ${gallery.name}` }, icon("refresh"));
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
    const title = byId("new-name").value.trim() || name || "My photos";
    this.begin(["galleries"], { name: title, folder: path }, title);
  }

  async begin(path, content, name) {
    note(byId("photos-note"), "");
    byId("index-folder").disabled = true;
    try {
      const { job } = await sendJson(path, content);
      this.jobs.follow(job, name);
      byId("job").scrollIntoView({ block: "nearest" });
    } catch (error) {
      note(byId("photos-note"), error.message);
    } finally {
      byId("index-folder").disabled = false;
    }
  }

  /** What was indexed can be searched: a new gallery is shown at once, a changed one anew. */
  async ended(job) {
    try {
      await this.load(job.state === "done" ? job.gallery : undefined);
    } catch (error) {
      note(byId("photos-note"), error.message);
    }
  }
}

function remembered() {
  try {
    return localStorage.getItem(KEY);
  } catch {
    return null;
  }
}

function remember(id) {
  try {
    localStorage.setItem(KEY, id);
  } catch {
    // no storage: the server's first gallery next time
  }
}
