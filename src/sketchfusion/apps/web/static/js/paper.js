// The paper: shows the drawing, and draws and erases with mouse, finger or stylus.

import { byId } from "./dom.js";
import { eraseAlong } from "./erase.js";
import { load, paint } from "./render.js";
import { BRUSH, PAPER } from "./strokes.js";

const CLOSEST = 2; // units between two points of a stroke
const PALM = 1500; // milliseconds after a stylus was seen for which a touch is taken for the hand that holds it

export class Paper {
  tool = "pen";
  brush = BRUSH;
  cursor = null; // of the keyboard or the eraser: {x, y, down, kind}
  pointer = null; // that draws now
  penSeen = -Infinity; // when a stylus last was at the paper
  last = null;

  constructor(drawing) {
    this.drawing = drawing;
    this.canvas = byId("paper");
    this.context = this.canvas.getContext("2d");
    drawing.addEventListener("change", ({ detail }) => {
      if (detail.settled) this.lift();
      this.refresh();
    });
    new ResizeObserver(() => this.resize()).observe(this.canvas);
    this.canvas.addEventListener("pointerdown", (event) => this.press(event));
    this.canvas.addEventListener("pointermove", (event) => this.move(event));
    this.canvas.addEventListener("pointerup", (event) => this.release(event));
    this.canvas.addEventListener("pointercancel", (event) => this.drop(event.pointerId));
    this.canvas.addEventListener("pointerleave", () => { if (this.cursor?.kind === "eraser") this.showCursor(null); });
    this.canvas.addEventListener("contextmenu", (event) => event.preventDefault());
  }

  get eraserRadius() { return this.brush + 14; }

  choose(tool) {
    this.lift();
    this.tool = tool;
    for (const name of ["pen", "eraser"]) byId(`tool-${name}`).setAttribute("aria-pressed", String(name === tool));
    this.canvas.dataset.tool = tool;
    this.showCursor(null);
  }

  resize() {
    const side = Math.round(this.canvas.clientWidth * window.devicePixelRatio) || PAPER;
    if (this.canvas.width !== side) {
      this.canvas.width = side;
      this.canvas.height = side;
    }
    this.refresh();
  }

  async refresh() {
    const { background } = this.drawing.state;
    if (background) await load(background.src).catch(() => null);
    if (this.waiting) return;
    this.waiting = true;
    requestAnimationFrame(() => {
      this.waiting = false;
      this.redraw();
    });
  }

  redraw() {
    const { canvas, context } = this;
    const scale = canvas.width / PAPER;
    context.clearRect(0, 0, canvas.width, canvas.height);
    paint(context, this.drawing.state, { scale, dx: 0, dy: 0 });
    byId("paper-hint").hidden = !this.drawing.isBlank || this.cursor?.kind === "keys";
    if (this.cursor) this.drawCursor(scale);
  }

  drawCursor(scale) {
    const { context, cursor } = this;
    const [x, y] = [cursor.x * scale, cursor.y * scale];
    const radius = Math.max(3, (this.tool === "eraser" ? this.eraserRadius : this.brush / 2) * scale);
    context.lineWidth = 1.5 * window.devicePixelRatio;
    context.strokeStyle = "#c2410c";
    context.beginPath();
    context.arc(x, y, radius, 0, 2 * Math.PI);
    if (cursor.down) {
      context.fillStyle = "#c2410c";
      context.globalAlpha = 0.45;
      context.fill();
      context.globalAlpha = 1;
    }
    context.stroke();
    if (cursor.kind !== "keys") return;
    const arm = radius + 12 * window.devicePixelRatio;
    for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
      context.beginPath();
      context.moveTo(x + dx * (radius + 3), y + dy * (radius + 3));
      context.lineTo(x + dx * arm, y + dy * arm);
      context.stroke();
    }
  }

  showCursor(cursor) {
    this.cursor = cursor;
    this.refresh();
  }

  place(event) {
    const box = this.canvas.getBoundingClientRect();
    const clamp = (value) => Math.min(Math.max(value, 0), PAPER);
    const point = [clamp(((event.clientX - box.left) / box.width) * PAPER),
      clamp(((event.clientY - box.top) / box.height) * PAPER)];
    if (event.pointerType === "pen" && event.pressure > 0) point.push(event.pressure);
    return point;
  }

  press(event) {
    event.preventDefault(); // of a hand as well: it must not take the focus
    this.see(event);
    if (this.isPalm(event)) return;
    if (event.pointerType === "pen" && this.pointer !== null && this.touching) this.drop(this.pointer);
    if (this.pointer !== null || event.button > 0 && event.button !== 5) return;
    this.lift(); // the keyboard's pen
    this.canvas.focus({ preventScroll: true, focusVisible: false });
    this.cursor = null;
    this.canvas.setPointerCapture(event.pointerId);
    this.pointer = event.pointerId;
    this.touching = event.pointerType === "touch";
    this.begin(this.place(event), event.button === 5 ? "eraser" : this.tool); // 5: the other end of a stylus
  }

  see({ pointerType }) { if (pointerType === "pen") this.penSeen = performance.now(); }

  /** Whether a touch is the hand that holds the stylus. */
  isPalm({ pointerType }) { return pointerType === "touch" && performance.now() - this.penSeen < PALM; }

  move(event) {
    this.see(event);
    if (!this.active && this.tool === "eraser" && event.pointerType !== "touch") {
      const [x, y] = this.place(event);
      this.showCursor({ x, y, down: false, kind: "eraser" });
    }
    if (event.pointerId !== this.pointer) return;
    const all = event.getCoalescedEvents?.() ?? [];
    for (const part of all.length ? all : [event]) this.extend(this.place(part));
  }

  release(event) {
    if (event.pointerId !== this.pointer) return;
    this.see(event);
    this.lift();
  }

  /** What this pointer drew was not meant: a hand that came before its stylus, or a gesture of the system. */
  drop(pointer) {
    if (pointer !== this.pointer) return;
    this.drawing.cancel();
    this.lift();
  }

  /** A stroke of the pen or the eraser begins, goes on, ends; the keyboard calls these as well. */
  begin(point, tool = this.tool) {
    this.active = tool;
    this.last = point;
    const { state } = this.drawing;
    if (tool === "eraser") this.erase(point, point);
    else this.drawing.draft({ ...state, strokes: [...state.strokes, { width: this.brush, points: [point] }] });
  }

  extend(point) {
    const { drawing, last } = this;
    if (!this.active || Math.hypot(point[0] - last[0], point[1] - last[1]) < CLOSEST) return;
    this.last = point;
    if (this.active === "eraser") {
      this.erase(last, point);
      if (this.cursor) this.cursor = { ...this.cursor, x: point[0], y: point[1] };
      this.refresh();
      return;
    }
    const { strokes } = drawing.state;
    const stroke = strokes[strokes.length - 1];
    drawing.draft({ ...drawing.state,
      strokes: [...strokes.slice(0, -1), { ...stroke, points: [...stroke.points, point] }] });
  }

  erase(from, to) {
    const { drawing } = this;
    const left = eraseAlong(drawing.state.strokes, from, to, this.eraserRadius);
    if (left !== drawing.state.strokes) drawing.draft({ ...drawing.state, strokes: left });
  }

  /** Nothing draws any more, neither a pointer nor the keyboard; what was drawn stays. */
  lift() {
    this.pointer = null;
    this.active = null;
    if (this.cursor?.down) this.showCursor({ ...this.cursor, down: false });
    this.drawing.settle();
  }
}
