// The region that matches: a level over the photo, cut at a threshold, drawn as a veil around it and a line along it.

import { byId } from "./dom.js";

const SIDE = 640; // longer side of what is drawn, in pixels
const VEIL = [16, 18, 24, 176];
const LINE = [255, 122, 64, 255];
const WIDTH = 1.5; // of the line, to either side, in pixels
const SOFT = 0.7; // smoothing passes for a mask of the drawn size; a smaller one has larger steps and more of them
const MOST_PASSES = 6;

export class Mask {
  level = null; // Float32Array over width x height
  levels = new WeakMap(); // image -> its level

  constructor() {
    this.canvas = byId("mask");
    this.context = this.canvas.getContext("2d");
  }

  /** Take grey pixels, an image of any size, as levels from `low` (black) to `high` (white). */
  async set(image, low, high, shape) {
    const [width, height] = fit(shape);
    if (!this.levels.has(image)) this.levels.set(image, enlarge(pixels(image), width, height, low, high));
    this.level = this.levels.get(image);
    [this.canvas.width, this.canvas.height] = [width, height];
  }

  clear() {
    this.level = null;
    this.context.clearRect(0, 0, this.canvas.width, this.canvas.height);
  }

  /** Draw what lies above the threshold; returns its share of the photo. */
  draw(threshold) {
    const { level, context } = this;
    if (!level) return 0;
    const { width, height } = this.canvas;
    const image = context.createImageData(width, height);
    let inside = 0;
    for (let y = 0; y < height; y += 1) {
      for (let x = 0; x < width; x += 1) {
        const index = y * width + x;
        const above = level[index] - threshold;
        if (above > 0) inside += 1;
        const dx = level[x + 1 < width ? index + 1 : index] - level[x > 0 ? index - 1 : index];
        const dy = level[y + 1 < height ? index + width : index] - level[y > 0 ? index - width : index];
        const distance = above / (Math.hypot(dx, dy) / 2 + 1e-7); // to the edge, in pixels, near it
        const veil = Math.min(Math.max(0.5 - distance, 0), 1);
        const line = Math.min(Math.max(WIDTH + 0.5 - Math.abs(distance), 0), 1);
        put(image.data, index * 4, veil, line);
      }
    }
    context.putImageData(image, 0, 0);
    return inside / (width * height);
  }
}

function put(data, at, veil, line) {
  const under = (VEIL[3] / 255) * veil * (1 - line);
  const alpha = line + under;
  for (let band = 0; band < 3; band += 1) data[at + band] = alpha ? (LINE[band] * line + VEIL[band] * under) / alpha : 0;
  data[at + 3] = alpha * 255;
}

function fit({ width, height }) {
  const scale = SIDE / Math.max(width, height);
  return [Math.max(2, Math.round(width * scale)), Math.max(2, Math.round(height * scale))];
}

function pixels(image) {
  const canvas = document.createElement("canvas");
  canvas.width = image.naturalWidth;
  canvas.height = image.naturalHeight;
  const shrink = Math.min(1, SIDE / Math.max(canvas.width, canvas.height)); // masks have the photo's size
  canvas.width = Math.max(1, Math.round(canvas.width * shrink));
  canvas.height = Math.max(1, Math.round(canvas.height * shrink));
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(image, 0, 0, canvas.width, canvas.height);
  const { data } = context.getImageData(0, 0, canvas.width, canvas.height);
  const grey = new Float32Array(data.length / 4);
  for (let index = 0; index < grey.length; index += 1) grey[index] = data[index * 4];
  return { grey, width: canvas.width, height: canvas.height };
}

/** Read between the pixels' centres; then smoothed a little, since levels have but 8 bits and masks have steps. */
function enlarge({ grey, width, height }, toWidth, toHeight, low, high) {
  const level = new Float32Array(toWidth * toHeight);
  const axis = (count, from) => Array.from({ length: count }, (_, index) => {
    const at = Math.min(Math.max(((index + 0.5) * from) / count - 0.5, 0), from - 1);
    return [Math.floor(at), Math.min(Math.floor(at) + 1, from - 1), at - Math.floor(at)];
  });
  const columns = axis(toWidth, width);
  axis(toHeight, height).forEach(([top, bottom, v], y) => {
    columns.forEach(([left, right, u], x) => {
      const above = grey[top * width + left] * (1 - u) + grey[top * width + right] * u;
      const below = grey[bottom * width + left] * (1 - u) + grey[bottom * width + right] * u;
      level[y * toWidth + x] = low + ((above * (1 - v) + below * v) / 255) * (high - low);
    });
  });
  let smooth = level;
  for (let pass = Math.min(MOST_PASSES, Math.max(1, Math.round((toWidth / width) ** 2 * SOFT))); pass > 0; pass -= 1) {
    smooth = blur(blur(smooth, toWidth, toHeight, 1), toWidth, toHeight, toWidth);
  }
  return smooth;
}

function blur(level, width, height, step) {
  const smooth = new Float32Array(level.length);
  const [count, last] = step === 1 ? [width, width - 1] : [height, height - 1];
  for (let line = 0; line < level.length / count; line += 1) {
    const start = step === 1 ? line * width : line;
    for (let place = 0; place < count; place += 1) {
      const index = start + place * step;
      const before = level[place > 0 ? index - step : index];
      const after = level[place < last ? index + step : index];
      smooth[index] = (before + 2 * level[index] + after) / 4;
    }
  }
  return smooth;
}
