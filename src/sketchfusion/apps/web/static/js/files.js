// Sketches from and to files: open, paste, drop, save; and the drawing of the last visit.

import { getBlob, sendSketch } from "./api.js";
import { byId, debounce, download, note, say } from "./dom.js";
import { paperPicture, toBackground } from "./render.js";
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
    if (drawing.isBlank) {
      note(byId("desk-note"), "The paper is blank; draw something first.");
      return;
    }
    if (kind === "svg") download(new Blob([toSvg(drawing.state)], { type: "image/svg+xml" }), "sketch.svg");
    if (kind === "png") download(await paperPicture(drawing.state), "sketch.png");
    if (kind === "json") download(new Blob([JSON.stringify(toJson(drawing.state))], { type: "application/json" }), "sketch.json");
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
    note(byId("desk-note"), `Cannot open ${file.name || "the picture"}: ${reason}. `
      + "Give a PNG, JPEG, WebP or SVG of a sketch, or a file saved here.");
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
    const text = await file.text();
    const strokes = fromSvg(text);
    if (strokes !== null) return { strokes, background: null };
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

/** Keep the drawing in this browser, and give back that of the last visit. */
export function remember(drawing) {
  try {
    const kept = JSON.parse(localStorage.getItem(KEY) || "null");
    if (Array.isArray(kept?.strokes) && (kept.strokes.length || kept.background)) {
      drawing.restore({ strokes: fromJson(kept) ?? [], background: kept.background ?? null });
    }
  } catch {
    // Another version's drawing, or no storage allowed: begin with blank paper.
  }
  const keep = debounce(() => {
    try {
      localStorage.setItem(KEY, JSON.stringify({ ...toJson(drawing.state), background: drawing.state.background }));
    } catch {
      // Full or forbidden: the drawing lives as long as the page.
    }
  }, 120);
  drawing.addEventListener("change", ({ detail }) => { if (detail.settled) keep(); });
}
