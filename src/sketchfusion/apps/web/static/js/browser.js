// Folders of the server's machine, below the one it was given for photos.

import { getJson } from "./api.js";
import { whenBack } from "./away.js";
import { byId, el, icon, note, plural } from "./dom.js";

const LONGEST = 60; // letters in the name of a gallery, see galleries.py; index.html says it as well

/** A name of which the server makes a gallery: letters, digits, spaces and . - _, at most 60, a letter or digit first. */
export function fit(name) {
  const plain = name.normalize("NFC").replace(/[^\p{L}\p{N}_ .-]+/gu, " ").replace(/ +/g, " ");
  return [...plain.replace(/^[ .-]+/, "")].slice(0, LONGEST).join("").replace(/[ .]+$/, "");
}

export class Browser {
  path = "";
  turn = 0;
  proposed = "";

  get name() { return this.path.split("/").pop(); }

  /** Go to a folder. */
  async show(path) {
    this.turn += 1;
    const { turn } = this;
    try {
      const view = await getJson(["folders"], { path });
      if (turn !== this.turn) return;
      this.path = view.path === "." ? "" : view.path;
      this.crumbs();
      this.list(view);
      this.propose();
      note(byId("photos-note"), "");
    } catch (error) {
      if (turn !== this.turn) return;
      if (error.code === "unreachable") whenBack("folders", () => this.show(path));
      else if (path) await this.show("");
      note(byId("photos-note"), error.message);
    }
  }

  /** The folder's name for the gallery, unless the user typed another. */
  propose() {
    const input = byId("new-name");
    const name = fit(this.name);
    if (input.value === this.proposed) input.value = name;
    this.proposed = name;
  }

  crumbs() {
    const parts = this.path ? this.path.split("/") : [];
    const links = ["", ...parts].map((name, depth) => {
      const last = depth === parts.length;
      const node = last ? el("span", { "aria-current": "location" }, name || "Photos folder")
        : el("button", { type: "button", className: "link" }, name || "Photos folder");
      if (!last) node.addEventListener("click", () => this.enter(parts.slice(0, depth).join("/")));
      return node;
    });
    byId("crumbs").replaceChildren(...links.flatMap((node, index) => (index ? [el("span", { "aria-hidden": "true" }, "/"), node] : [node])));
  }

  list({ folders, pictures }) {
    const rows = folders.map(({ name, path }) => {
      const button = el("button", { type: "button", className: "folder" }, icon("folder"), el("span", {}, name));
      button.addEventListener("click", () => this.enter(path));
      return el("li", {}, button);
    });
    byId("folders").replaceChildren(...(rows.length ? rows : [el("li", { className: "soft no-folders" }, "No folders in here")]));
    byId("folder-facts").textContent = [plural(pictures, "picture"), plural(folders.length, "folder")].join(", ")
      + "; all below is indexed as well.";
  }

  /** Go to a folder, and let the keyboard go on there. */
  async enter(path) {
    await this.show(path);
    (byId("folders").querySelector("button") ?? byId("index-folder")).focus();
  }
}
