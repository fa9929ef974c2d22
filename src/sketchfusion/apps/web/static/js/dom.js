// Small helpers for the document: elements, icons, announcements, downloads, numbers.

export const byId = (id) => document.getElementById(id);

/** An element. `props` are properties, or attributes where their name holds a dash or is `role`; nulls are left out. */
export function el(tag, props = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === null || value === undefined) continue;
    if (name.includes("-") || name === "role") node.setAttribute(name, value);
    else node[name] = value;
  }
  node.append(...children.filter((child) => child !== null));
  return node;
}

const SVG = "http://www.w3.org/2000/svg";

/** An SVG element with attributes. */
export function svg(tag, attributes = {}) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  return node;
}

/** An icon of the sprite in index.html. */
export function icon(name) {
  const node = svg("svg", { class: "icon", "aria-hidden": "true" });
  node.append(svg("use", { href: `#i-${name}` }));
  return node;
}

let lastWords = 0;

/** Let screen readers say something, once it has been still for a moment. */
export function say(text) {
  clearTimeout(lastWords);
  lastWords = setTimeout(() => { byId("live").textContent = text; }, 150);
}

/** Show a message in an element, or hide it where there is none. */
export function note(node, text) {
  node.textContent = text || "";
  node.hidden = !text;
}

/** Close a dialog by a click beside it; one that began in it, such as to select text, does not. */
export function closeBeside(dialog) {
  let beside = false;
  dialog.addEventListener("pointerdown", ({ target }) => { beside = target === dialog; });
  dialog.addEventListener("click", ({ target }) => { if (beside && target === dialog) dialog.close(); });
}

/** Hand a file to the user. */
export function download(blob, name) {
  const url = URL.createObjectURL(blob);
  const link = el("a", { href: url, download: name });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(url), 10000);
}

/** "1 photo", "1,234 photos". */
export const plural = (count, word) => `${count.toLocaleString("en")} ${word}${count === 1 ? "" : "s"}`;

/** A score as it is shown everywhere. */
export const score = (value) => value.toFixed(3);

/** A name without its suffix, fit for the name of a file. */
export const stem = (name) => name.replace(/\.[^.]+$/, "").replace(/[^\p{L}\p{N}_-]+/gu, "_") || "photo";

/** "25 Nov 2026" of an ISO date; empty where there is none. */
export function day(iso) {
  const date = new Date(iso);
  return iso && !Number.isNaN(date.getTime())
    ? date.toLocaleDateString("en-GB", { day: "numeric", month: "short", year: "numeric" }) : "";
}

/** A function that runs once it has not been called for so many milliseconds; `cancel` or `flush` what is to come. */
export function debounce(run, wait) {
  let timer = 0;
  const cancel = () => {
    clearTimeout(timer);
    timer = 0;
  };
  const now = () => {
    cancel();
    run();
  };
  const later = () => {
    clearTimeout(timer);
    timer = setTimeout(now, wait);
  };
  return Object.assign(later, { cancel, flush: () => { if (timer) now(); } });
}
