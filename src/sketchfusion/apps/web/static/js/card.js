// One photo of the grid.

import { original, thumbnail } from "./api.js";
import { el, icon, score } from "./dom.js";

/** The tile of a hit: the photo, its name and score, and what can be done with it. */
export function card(hit, gallery) {
  const shape = Math.min(Math.max(hit.width / hit.height || 1, 0.55), 2.2);
  const picture = el("img", { src: thumbnail(gallery, hit.id), alt: "", decoding: "async", loading: "lazy" });
  const name = hit.name.split("/").pop();
  const open = el("button", { type: "button", className: "card-open", title: hit.name,
    "aria-label": `${hit.name}, score ${score(hit.score)}: see why` }, picture);
  const acts = el("div", { className: "card-acts" },
    el("button", { type: "button", className: "tool card-act", title: "More like this", "data-act": "similar",
      "aria-label": `More like ${name}` }, icon("similar")),
    el("a", { className: "tool card-act", title: "Open the original", href: original(gallery, hit.id), target: "_blank",
      rel: "noopener noreferrer", "aria-label": `Open the original of ${name} in a new tab` }, icon("external")));
  const node = el("li", { className: "card" }, open, acts,
    el("p", { className: "card-foot", "aria-hidden": "true" }, el("span", { className: "card-name" }, name),
      el("span", { className: "card-score" }, score(hit.score))));
  node.style.setProperty("--shape", String(shape));
  return node;
}
