// Sketches from and to files: open, paste, drop, save; and the drawing of the last visit.

import { ApiError, getBlob, sendSketch } from "./api.js";
import { byId, debounce, download, note, say } from "./dom.js";
import { keep, kept } from "./keep.js";
import { background, paperPicture, toBackground } from "./render.js";
import { fromJson, toJson } from "./strokes.js";
import { fromSvg, toSvg } from "./svgfile.js";

const KEY = "sketchfusion.drawing";
const MOST = 20 * 2 ** 20; // bytes
let opening = 0; // counts files, so that of two the one given last stays
const inDialog = () => document.querySelector("dialog[open]") !== null;

/** Wire the buttons, the clipboard and drops. */
export function listen(drawing) {
  const input = byId("file");
  byId("open").addEventListener("click", () => input.click());
  input.addEventListener("change", () => {
    if (input.files.length) open(drawing, input.files[0]);
    input.value = "";
  });
  document.addEventListener("paste", (event) => {
    const file = [...(event.clipboardData?.files ?? [])][0];
    if (!file || inDialog()) return;
    event.preventDefault();
    open(drawing, file);
  });
  dropping(drawing);
  saving(drawing);
}

function dropping(drawing) {
  const frame = byId("paper-frame");
  const hasFiles = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
  document.addEventListener("dragover", (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    if (inDialog()) event.dataTransfer.dropEffect = "none";
    else frame.classList.add("dropping");
  });
  document.addEventListener("dragleave", (event) => {
    if (event.relatedTarget === null) frame.classList.remove("dropping");
  });
  document.addEventListener("drop", (event) => {
    frame.classList.remove("dropping");
    const file = event.dataTransfer?.files[0];
    if (!file) return;
    event.preventDefault(); // in a dialog as well: the browser would show the file in the page's place
    if (!inDialog()) open(drawing, file);
  });
}

function saving(drawing) {
  const menu = byId("save-menu");
  menu.addEventListener("click", async (event) => {
    const kind = event.target.dataset?.save;
    if (!kind) return;
    menu.open = false;
    menu.querySelector("summary").focus();
    note(byId("desk-note"), leftOut(drawing, kind));
    const make = drawing.isBlank || kind === "json" && !drawing.state.strokes.length ? null : WRITERS[kind];
    if (make) download(await make(drawing.state), `sketch.${kind}`);
  });
  menu.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || !menu.open) return;
    menu.open = false;
    menu.querySelector("summary").focus();
  });
  document.addEventListener("pointerdown", (event) => {
    if (menu.open && !menu.contains(event.target)) menu.open = false;
  });
}

const WRITERS = {
  svg: (state) => new Blob([toSvg(state)], { type: "image/svg+xml" }),
  png: paperPicture,
  json: (state) => new Blob([JSON.stringify(toJson(state))], { type: "application/json" }),
};

/** What a file of that kind would not hold, in words; empty where it holds all. */
function leftOut({ isBlank, state: { strokes, background: picture } }, kind) {
  if (isBlank) return "The paper is blank; draw something first.";
  if (kind !== "json" || !picture) return "";
  return strokes.length ? "The strokes were saved without the picture under them; an SVG keeps both."
    : "There are no strokes to save, only a picture; save it as SVG or PNG.";
}

/** Take a file as the sketch: strokes where it holds strokes, otherwise a picture to draw over. */
export async function open(drawing, file) {
  opening += 1;
  const turn = opening;
  note(byId("desk-note"), "");
  try {
    if (file.size > MOST) throw new Error("it is larger than 20 MB");
    const state = await read(file);
    if (turn !== opening) return;
    drawing.commit(state);
    say(`Opened ${file.name}`);
  } catch (error) {
    if (turn !== opening) return;
    const reason = error instanceof DOMException ? "this browser cannot show it" : error.message;
    const advice = error instanceof ApiError ? "" : "Give a PNG, JPEG, WebP or SVG of a sketch, or a file saved here.";
    note(byId("desk-note"), `Cannot open ${file.name || "the picture"}: ${reason.replace(/\.$/, "")}. ${advice}`.trim());
  }
}

async function read(file) {
  const name = file.name.toLowerCase();
  if (file.type === "application/json" || name.endsWith(".json")) {
    const strokes = fromJson(parse(await file.text()));
    if (strokes === null) throw new Error("it holds no strokes");
    return { strokes, background: null };
  }
  if (file.type === "image/svg+xml" || name.endsWith(".svg")) {
    const sketch = fromSvg(await file.text());
    const picture = sketch?.picture;
    if (sketch) return { strokes: sketch.strokes, background: picture && await background(picture.src, picture) };
  }
  return { strokes: [], background: await toBackground(await onWhitePaper(file)) };
}

/** A picture file as the server understands it: dark on white paper, whatever paper it was drawn on. */
async function onWhitePaper(file) {
  const { id } = await sendSketch(file);
  return getBlob(["sketches", id, "picture"]);
}

function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    throw new Error("it is not JSON");
  }
}

/** Keep the drawing in this browser, and give back that of the last visit. Each tab has its own. */
export function remember(drawing) {
  try {
    const last = JSON.parse(kept(KEY));
    if (Array.isArray(last?.strokes) && (last.strokes.length || last.background)) {
      drawing.restore({ strokes: fromJson(last) ?? [], background: last.background ?? null });
    }
  } catch {
    // Another version's drawing: begin with blank paper.
  }
  const keepSoon = debounce(() => {
    keep(KEY, JSON.stringify({ ...toJson(drawing.state), background: drawing.state.background }));
  }, 120);
  drawing.addEventListener("change", ({ detail }) => {
    if (!detail.settled) return;
    keepSoon();
    note(byId("desk-note"), ""); // it was about what was there before
  });
  window.addEventListener("pagehide", () => {
    drawing.settle(); // the pen may be down
    keepSoon.flush();
  });
}
