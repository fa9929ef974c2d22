// What stands in the place of photos where there are none: what happened, and what to do.

import { byId, el, icon, say } from "./dom.js";

const KINDS = {
  blank: { picture: "photos", title: "Your photos appear here while you draw",
    text: "A few lines are enough. Or begin with one of the examples below the paper." },
  "no-gallery": { picture: "photos", title: "No photos yet",
    text: "Choose a folder of photos. They are looked at once, and stay where they are.", label: "Choose a folder" },
  "empty-gallery": { picture: "photos", title: "This gallery has no photos",
    text: "Index a folder of photos into it, or choose another gallery.", label: "My photos" },
  "lost-gallery": { picture: "photos", title: "This gallery is gone", label: "My photos",
    text: "Its folder was moved or deleted. Choose another gallery, or index the photos again." },
  "lost-folder": { picture: "folder", title: "The folder is gone", label: "Search all folders",
    text: "The gallery has no photos of the folder that was chosen any more." },
  "lost-photo": { picture: "search", title: "The photo is gone", label: "Back to the sketch",
    text: "The photo that others should be like has left the gallery." },
  unusable: { picture: "photos", title: "This gallery cannot be used", label: "My photos" },
  unreachable: { picture: "plug", title: "The server does not answer", label: "Try again",
    text: "Start it again with “sketchfusion serve”. This page goes on by itself as soon as it is back; the drawing is kept." },
  failed: { picture: "plug", title: "That did not work", label: "Try again" },
  cut: { picture: "search", title: "Nothing above the cut-off", label: "Switch the cut-off off" },
  filtered: { picture: "filter", title: "No photo meets the filters", label: "Clear the filters" },
  nothing: { picture: "search", title: "Nothing found", text: "Draw a few more lines." },
};
const TOLD = ["unreachable", "failed", "unusable", "lost-gallery", "lost-folder", "lost-photo"]; // not asked for
let showing = null;

/** Show one of KINDS, with other words, or another act of the button where it has one; null for none. */
export function showNotice(kind, { title, text, act } = {}) {
  const node = byId("notice");
  const given = KINDS[kind];
  const held = node.contains(document.activeElement);
  fill(node, kind, given && { ...given, ...(title && { title }) }, { text, act });
  if (held) (node.querySelector("button") ?? byId("found")).focus({ preventScroll: true });
}

function fill(node, kind, given, { text, act }) {
  node.hidden = !given;
  if (!given) {
    showing = null;
    node.replaceChildren();
    return;
  }
  const words = given.text || text || "";
  if (showing !== kind && TOLD.includes(kind)) say(`${given.title}. ${words}`);
  showing = kind;
  const children = [icon(given.picture), el("h3", {}, given.title), el("p", {}, words)];
  if (given.label) {
    const button = el("button", { type: "button", className: "button primary" }, given.label);
    button.addEventListener("click", act || (() => byId("open-photos").click()));
    children.push(button);
  }
  node.dataset.kind = kind;
  node.replaceChildren(...children);
}
