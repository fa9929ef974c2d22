// The sketch as vectors. A state is {strokes, background} and is never changed, only replaced, so that undo is a list
// of states. Points are [x, y] or [x, y, pressure] on a paper of PAPER x PAPER units, y downwards.

export const PAPER = 1024;
export const BRUSH = 16;
export const WIDEST = 120; // stroke that is taken from a file
const STEPS = 200; // that can be undone
const EMPTY = Object.freeze({ strokes: Object.freeze([]), background: null });

/** A stroke has {width, points}; a background {src, x, y, width, height, ink: [left, top, right, bottom]}. */
export class Drawing extends EventTarget {
  state = EMPTY;
  past = [];
  future = [];
  before = null; // the state before a gesture that is still going on

  get isBlank() { return !this.state.strokes.length && !this.state.background; }
  get isOpen() { return this.before !== null && this.before !== this.state; } // a gesture that has changed something
  get canUndo() { return this.isOpen || this.past.length > 0; }
  get canRedo() { return !this.isOpen && this.future.length > 0; }

  /** Show a state while a gesture goes on; `settle` makes one step of all of them. */
  draft(state) {
    this.before ??= this.state;
    this.state = state;
    this.tell(false);
  }

  /** The gesture is over. Nothing is recorded if it changed nothing. */
  settle() {
    const { before } = this;
    this.before = null;
    if (before === null || before === this.state) return;
    this.past = [...this.past.slice(1 - STEPS), before];
    this.future = [];
    this.tell(true);
  }

  /** The gesture did not happen. */
  cancel() {
    if (this.before === null) return;
    this.state = this.before;
    this.before = null;
    this.tell(true);
  }

  commit(state) {
    this.settle();
    this.draft(state);
    this.settle();
  }

  add(stroke) { this.commit({ ...this.state, strokes: [...this.state.strokes, stroke] }); }
  clear() { if (!this.isBlank) this.commit(EMPTY); }
  undo() { this.step("past", "future"); }
  redo() { this.step("future", "past"); }

  /** A gesture that still goes on ends here: to undo takes it back, to redo has nothing to bring after it. */
  step(from, to) {
    this.settle();
    if (!this[from].length) return;
    this[to].push(this.state);
    this.state = this[from].pop();
    this.tell(true);
  }

  /** Begin with a state of another time, such as the last visit; there is nothing to undo then. */
  restore(state) {
    this.before = null;
    this.state = state;
    this.past = [];
    this.future = [];
    this.tell(true);
  }

  tell(settled) {
    this.dispatchEvent(new CustomEvent("change", { detail: { settled } }));
  }
}

/** How wide a stroke is at a point: pressure, where the pen has it, makes it thinner or broader. */
export function widthAt(stroke, point) {
  return point.length > 2 ? stroke.width * (0.35 + 1.3 * point[2]) : stroke.width;
}

/** [left, top, right, bottom] of all ink without the width of lines; null where there is none. */
export function bounds(state) {
  let box = state.background ? [...state.background.ink] : null;
  for (const { points } of state.strokes) {
    for (const [x, y] of points) {
      box ??= [x, y, x, y];
      if (x < box[0]) box[0] = x;
      if (y < box[1]) box[1] = y;
      if (x > box[2]) box[2] = x;
      if (y > box[3]) box[3] = y;
    }
  }
  return box;
}

const isNumber = (value) => typeof value === "number" && Number.isFinite(value);
const round = (value) => Math.round(value * 10) / 10;

/** The strokes as they are written: the API's form, one decimal. */
export function toJson(state) {
  return {
    width: PAPER, height: PAPER,
    strokes: state.strokes.map(({ width, points }) => ({
      width, points: points.map(([x, y, ...rest]) => [round(x), round(y), ...rest.map((p) => Math.round(p * 100) / 100)]),
    })),
  };
}

/** Strokes of what `toJson` or the API's form holds, scaled onto the paper; null if it is not that. */
export function fromJson(content) {
  const { width, height, strokes } = content ?? {};
  if (!isNumber(width) || !isNumber(height) || width <= 0 || height <= 0 || !Array.isArray(strokes)) return null;
  const scale = PAPER / Math.max(width, height);
  const [left, top] = [(PAPER - width * scale) / 2, (PAPER - height * scale) / 2];
  const found = [];
  for (const stroke of strokes) {
    const points = Array.isArray(stroke?.points) ? stroke.points : [];
    if (!points.every((point) => Array.isArray(point) && point.length >= 2 && point.every(isNumber))) return null;
    if (!points.length) continue;
    found.push({
      width: isNumber(stroke.width) && stroke.width > 0 ? Math.min(stroke.width * scale, WIDEST) : BRUSH,
      points: points.map(([x, y, p]) => [x * scale + left, y * scale + top,
        ...(p === undefined ? [] : [Math.min(Math.max(p, 0), 1)])]),
    });
  }
  return found.length ? found : null;
}
