// Drawing with the keyboard: a cursor that the arrow keys move, and a pen that Space puts down and lifts.

import { say } from "./dom.js";
import { clear } from "./tools.js";
import { PAPER } from "./strokes.js";

const STEP = 24;
const SMALL = 4;
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const typing = (node) => node instanceof HTMLInputElement && !["range", "checkbox", "radio"].includes(node.type)
  || node instanceof HTMLTextAreaElement || node instanceof HTMLSelectElement;

/** Let the paper be drawn on with keys while it has the focus, and its tools be reached from everywhere. */
export function listen(paper, drawing) {
  const { canvas } = paper;
  canvas.addEventListener("keydown", (event) => onPaper(event, paper, drawing));
  canvas.addEventListener("focus", () => {
    if (canvas.matches(":focus-visible") && paper.pointer === null) paper.showCursor(cursorOf(paper));
  });
  canvas.addEventListener("blur", () => {
    lift(paper);
    paper.showCursor(null);
  });
  document.addEventListener("keydown", (event) => everywhere(event, drawing));
}

const cursorOf = (paper) => (paper.cursor?.kind === "keys" ? paper.cursor
  : { x: paper.last?.[0] ?? PAPER / 2, y: paper.last?.[1] ?? PAPER / 2, down: false, kind: "keys" });

function onPaper(event, paper, drawing) {
  if (event.ctrlKey || event.metaKey || event.altKey || paper.pointer !== null) return;
  const key = event.key.length === 1 ? letter(event) : event.key;
  if (ARROWS[key]) moveBy(paper, ARROWS[key], event.shiftKey ? SMALL : STEP);
  else if (key === " ") toggle(paper);
  else if (key === "Escape" && paper.cursor?.down) lift(paper);
  else if (key === "Delete" || key === "Backspace") clear(drawing);
  else if (key === "p" || key === "e") {
    lift(paper);
    paper.choose(key === "p" ? "pen" : "eraser");
    paper.showCursor(cursorOf(paper));
    say(key === "p" ? "Pen" : "Eraser");
  } else return;
  event.preventDefault();
}

/** What a key writes; of a keyboard that writes no Latin letters, the letter that Latin ones have there. */
const letter = ({ key, code }) => (/^[^\x00-\x7f]$/.test(key) && code.startsWith("Key") ? code.slice(3) : key).toLowerCase();

function moveBy(paper, [dx, dy], step) {
  const from = cursorOf(paper);
  const clamp = (value) => Math.min(Math.max(value, 0), PAPER);
  const cursor = { ...from, x: clamp(from.x + dx * step), y: clamp(from.y + dy * step) };
  if (cursor.down) paper.extend([cursor.x, cursor.y]);
  paper.last = [cursor.x, cursor.y];
  paper.showCursor(cursor);
  say(`${cursor.down ? "drawing, " : ""}${where(cursor)}`);
}

function toggle(paper) {
  const cursor = cursorOf(paper);
  if (cursor.down) {
    lift(paper);
    return;
  }
  paper.begin([cursor.x, cursor.y]);
  paper.showCursor({ ...cursor, down: true });
  say(`${paper.tool === "eraser" ? "Eraser" : "Pen"} down at ${where(cursor)}`);
}

function lift(paper) {
  if (!paper.cursor?.down || paper.cursor.kind !== "keys") return;
  paper.lift();
  say(`Lifted at ${where(paper.cursor)}`);
}

const where = ({ x, y }) => `${Math.round((x / PAPER) * 100)} % across, ${Math.round((y / PAPER) * 100)} % down`;

function everywhere(event, drawing) {
  if (!(event.ctrlKey || event.metaKey) || event.altKey || typing(event.target) || document.querySelector("dialog[open]")) return;
  const key = letter(event);
  if (key !== "z" && key !== "y") return;
  event.preventDefault();
  const again = key === "y" || event.shiftKey;
  if (again ? drawing.canRedo : drawing.canUndo) say(again ? "Done again" : "Undone");
  if (again) drawing.redo();
  else drawing.undo();
}
