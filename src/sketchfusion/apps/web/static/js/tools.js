// The buttons beside the paper.

import { examples } from "./examples.js";
import { byId, el, say, svg } from "./dom.js";
import { enable } from "./off.js";
import { BRUSH, PAPER } from "./strokes.js";

/** Wire pen, eraser, brush, undo, redo, clear and the examples. */
export function listen(paper, drawing) {
  for (const tool of ["pen", "eraser"]) byId(`tool-${tool}`).addEventListener("click", () => paper.choose(tool));
  byId("brush").addEventListener("input", ({ target }) => { paper.brush = Number(target.value); });
  byId("undo").addEventListener("click", () => drawing.undo());
  byId("redo").addEventListener("click", () => drawing.redo());
  byId("clear").addEventListener("click", () => clear(drawing));
  const offer = () => {
    enable(byId("undo"), drawing.canUndo);
    enable(byId("redo"), drawing.canRedo);
    enable(byId("clear"), !drawing.isBlank);
  };
  drawing.addEventListener("change", offer);
  offer();
  for (const example of examples) byId("examples").append(button(example, drawing));
}

/** Clear the paper, and say so. */
export function clear(drawing) {
  if (drawing.isBlank) return;
  drawing.clear();
  say("The paper is blank. Undo brings the drawing back.");
}

function button({ name, lines }, drawing) {
  const picture = svg("svg", { viewBox: "0 0 256 256", "aria-hidden": "true" });
  picture.append(svg("path", { d: lines.map((line) => `M${line.map((point) => point.join(" ")).join("L")}`).join("") }));
  const node = el("button", { type: "button", className: "example", title: `Draw a ${name}` }, picture,
    el("span", { className: "sr-only" }, `Draw a ${name}`));
  node.addEventListener("click", () => {
    drawing.commit({ background: null, strokes: strokes(lines) });
    say(`A ${name} was drawn`);
  });
  return node;
}

/** The lines of an example, enlarged to the paper. */
function strokes(lines) {
  const scale = PAPER / 256;
  return lines.map((line) => ({ width: BRUSH, points: line.map(([x, y]) => [x * scale, y * scale]) }));
}
