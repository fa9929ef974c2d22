// Points of the sketch and where they are in the photo, linked by lines; hover shows one, a click pins it.

import { byId, note, say, score, svg } from "./dom.js";

export const COUNT = 192; // points asked for; the first ones are spread over all the ink
const SHOWN = 12;
const REACH = 0.09; // of the sketch's side: how near the pointer must be

export class Links {
  points = []; // {query, found, score}
  pins = new Set();
  near = null;
  on = true;

  constructor() {
    this.svg = byId("links");
    this.stage = byId("stage");
    for (const [id, side] of [["sketch-picture", "query"], ["photo-picture", "found"]]) {
      const node = byId(id);
      node.addEventListener("pointermove", (event) => this.hover(this.nearest(event, node, side)));
      node.addEventListener("pointerleave", () => this.hover(null));
      node.addEventListener("click", (event) => this.pin(this.nearest(event, node, side)));
    }
    byId("sketch-picture").addEventListener("keydown", (event) => this.key(event));
    byId("sketch-picture").addEventListener("blur", () => this.hover(null));
    byId("unpin").addEventListener("click", () => {
      this.pins.clear();
      this.draw();
      byId("sketch-picture").focus();
    });
    new ResizeObserver(() => this.draw()).observe(this.stage);
    for (const id of ["why-sketch", "why-photo"]) byId(id).addEventListener("load", () => this.draw());
  }

  /** Points to show; `sketch` and `photo` are the sizes their pixels refer to. */
  set(points, sketch, photo) {
    this.points = points;
    this.sizes = { query: sketch, found: photo };
    this.pins.clear();
    this.near = null;
    this.colour();
    this.draw();
  }

  clear() {
    if (document.activeElement === byId("unpin")) byId("sketch-picture").focus(); // it goes
    this.set([], { width: 1, height: 1 }, { width: 1, height: 1 });
  }

  /** The points that are linked now: the pinned ones, or a dozen. */
  shown() {
    const all = this.points.map((_, index) => index);
    return this.pins.size ? all.filter((index) => this.pins.has(index)) : all.slice(0, SHOWN);
  }

  /** Neighbours on the sketch have like colours: by their direction from its middle. */
  colour() {
    const { width, height } = this.sizes.query;
    const turns = this.points.map(({ query: [x, y] }) => Math.atan2(y - height / 2, x - width / 2));
    this.order = this.points.map((_, index) => index).sort((a, b) => turns[a] - turns[b]);
    const dozen = this.order.filter((index) => index < SHOWN);
    this.hues = turns.map((turn) => (360 * dozen.filter((index) => turns[index] < turn).length) / (dozen.length || 1));
  }

  nearest(event, node, side) {
    if (!this.on || !this.points.length) return null;
    const box = node.getBoundingClientRect();
    const size = this.sizes[side];
    const [x, y] = [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
    let [best, least] = [null, REACH];
    this.points.forEach((point, index) => {
      const far = Math.hypot(point[side][0] / size.width - x, point[side][1] / size.height - y);
      if (far < least) [best, least] = [index, far];
    });
    return best;
  }

  hover(index) {
    if (index === this.near) return;
    this.near = index;
    this.draw();
  }

  pin(index) {
    if (index === null) return;
    if (this.pins.has(index)) this.pins.delete(index);
    else this.pins.add(index);
    this.near = index;
    this.draw();
    say(`${this.pins.has(index) ? "Pinned" : "Unpinned"}; ${this.words(index)}`);
  }

  key(event) {
    if (!this.on || !this.points.length) return;
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (step) {
      const at = this.near === null ? (step > 0 ? -1 : 0) : this.order.indexOf(this.near);
      this.hover(this.order[(at + step + this.order.length) % this.order.length]);
      say(this.words(this.near));
    } else if ((event.key === "Enter" || event.key === " ") && this.near !== null) this.pin(this.near);
    else return;
    event.preventDefault();
  }

  words(index) {
    const { found: [x, y], score: value } = this.points[index];
    const { width, height } = this.sizes.found;
    return `lands ${Math.round((x / width) * 100)} % across and ${Math.round((y / height) * 100)} % down the photo, score ${score(value)}`;
  }

  draw() {
    const box = this.stage.getBoundingClientRect();
    this.svg.setAttribute("viewBox", `0 0 ${box.width || 1} ${box.height || 1}`);
    byId("unpin").hidden = !this.pins.size;
    note(byId("point-note"), this.near === null
      ? "Point at the sketch to see where a spot lands; a click pins it." : `This spot ${this.words(this.near)}.`);
    const parts = [];
    if (this.on && box.width) {
      const ends = { query: inside(byId("sketch-picture"), box), found: inside(byId("photo-picture"), box) };
      for (const index of this.shown()) if (index !== this.near) parts.push(this.link(index, ends, false));
      if (this.near !== null) parts.push(this.link(this.near, ends, true));
    }
    this.svg.replaceChildren(...parts);
    this.svg.classList.toggle("hovering", this.near !== null);
  }

  link(index, ends, near) {
    const [a, b] = ["query", "found"].map((side) => {
      const [x, y] = this.points[index][side];
      const { width, height } = this.sizes[side];
      return [ends[side].left + (x / width) * ends[side].width, ends[side].top + (y / height) * ends[side].height];
    });
    const colour = `hsl(${Math.round(this.hues[index])} 85% 58%)`;
    const kind = near ? "near" : this.pins.has(index) ? "pinned" : "plain";
    const dot = ([x, y]) => svg("circle", { cx: x, cy: y, r: near ? 7 : 4.5, fill: colour, class: kind });
    const line = { x1: a[0], y1: a[1], x2: b[0], y2: b[1], class: kind };
    const group = svg("g");
    group.append(svg("line", { ...line, stroke: colour }), dot(a), dot(b));
    return group;
  }
}

function inside(node, box) {
  const own = node.getBoundingClientRect();
  return { left: own.left - box.left, top: own.top - box.top, width: own.width, height: own.height };
}
