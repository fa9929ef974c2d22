// Indexing on its way: how far it is, how to stop it, and which files could not be read.

import { ApiError, getJson, sendJson } from "./api.js";
import { byId, el, plural, say } from "./dom.js";

const EVERY = 500; // milliseconds
const OPEN = ["queued", "running"];

/** Tells "ended" {job}. */
export class Jobs extends EventTarget {
  id = null;

  /** Show a job until it ends. */
  async follow(id, name) {
    this.id = id;
    this.name = name;
    this.build();
    say(`Indexing ${name}`);
    let job = null;
    while (this.id === id && (job === null || OPEN.includes(job.state))) {
      job = await this.look(id, job);
      if (job === null) return;
      if (this.id === id) this.show(job);
      if (OPEN.includes(job.state)) await new Promise((done) => { setTimeout(done, EVERY); });
    }
    if (this.id !== id) return;
    say(byId("job").querySelector(".job-facts").textContent);
    this.dispatchEvent(new CustomEvent("ended", { detail: { job } }));
  }

  /** The job as it is now; as it was where the server is away for a moment; null once it is unknown. */
  async look(id, before) {
    try {
      return await getJson(["jobs", id]);
    } catch (error) {
      this.facts.textContent = error.message;
      if (!(error instanceof ApiError) || error.code === "unknown_job") return null;
      return before ?? { state: "queued", done: 0, total: 0, errors: [] };
    }
  }

  build() {
    this.bar = el("progress", { className: "job-bar", "aria-labelledby": "job-title" });
    this.facts = el("p", { className: "job-facts soft" });
    this.cancel = el("button", { type: "button", className: "button" }, "Cancel");
    this.cancel.addEventListener("click", () => this.stop());
    this.done = el("button", { type: "button", className: "button primary", hidden: true }, "Show the photos");
    this.done.addEventListener("click", () => byId("photos").close());
    this.list = el("ul", { className: "job-errors" });
    this.errors = el("details", { hidden: true }, el("summary", {}), this.list);
    byId("job").replaceChildren(
      el("div", { className: "job-head" }, el("h3", { id: "job-title" }, `Indexing “${this.name}”`), this.cancel, this.done),
      this.bar, this.facts, this.errors);
    byId("job").hidden = false;
  }

  async stop() {
    this.cancel.disabled = true;
    await sendJson(["jobs", this.id], undefined, { method: "DELETE" }).catch((error) => { this.facts.textContent = error.message; });
  }

  show(job) {
    const open = OPEN.includes(job.state);
    byId("job").dataset.state = job.state;
    byId("job-title").textContent = open ? `Indexing “${this.name}”` : { done: "Indexed",
      cancelled: "Stopped", failed: "Could not be indexed" }[job.state];
    if (job.total) {
      this.bar.max = job.total;
      this.bar.value = open ? job.done : job.total;
    } else if (!open) Object.assign(this.bar, { max: 1, value: 1 });
    this.bar.hidden = !open;
    this.cancel.hidden = !open;
    this.done.hidden = job.state !== "done";
    this.facts.textContent = words(job);
    this.errors.hidden = !job.errors.length;
    this.errors.querySelector("summary").textContent = `${plural(job.errors.length, "file")} could not be read`;
    this.list.replaceChildren(...job.errors.map(({ file, reason }) => el("li", {}, el("b", {}, file), ` ${reason}`)));
  }
}

function words({ state, done, total, message, summary }) {
  if (state === "queued") return "Waits for another folder to be done";
  if (state === "running") return total ? `${done.toLocaleString("en")} of ${plural(total, "file")}` : "Looking for photos …";
  if (!summary) return message || "";
  const parts = [["added", summary.added], ["changed", summary.changed], ["unchanged", summary.unchanged], ["removed", summary.removed]]
    .filter(([, count]) => count).map(([what, count]) => `${count.toLocaleString("en")} ${what}`);
  return `${plural(summary.photos, "photo")}${parts.length ? `: ${parts.join(", ")}` : ""}. ${(summary.notes ?? []).join(" ")}`.trim();
}
