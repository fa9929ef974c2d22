// Strokes to pixels: on the paper, as a picture for the server, as a picture for the user.

import { BRUSH, PAPER, bounds, widthAt } from "./strokes.js";

export const SIDE = 512; // of what is sent, in pixels
const MARGIN = 0.08; // of it, on each edge, as drawings for training have
const LINE = 0.016; // of it: how wide a line of the usual brush is there, whatever the size of the drawing
const MOST = 4; // times that a small drawing is enlarged
const pictures = new Map(); // address -> loaded picture

/** The picture of a background, loaded once. Throws where it is none. */
export async function load(src) {
  if (!pictures.has(src)) {
    const image = new Image();
    image.src = src;
    await image.decode();
    pictures.clear();
    pictures.set(src, image);
  }
  return pictures.get(src);
}

/** Draw a state; `place` = {scale, dx, dy} takes paper units to pixels, `line` widths of strokes. */
export function paint(context, state, place, line = place.scale, ink = "#16181c") {
  const { background } = state;
  const image = background && pictures.get(background.src);
  const at = (x, y) => [x * place.scale + place.dx, y * place.scale + place.dy];
  if (image) {
    context.drawImage(image, ...at(background.x, background.y), background.width * place.scale,
      background.height * place.scale);
  }
  context.strokeStyle = ink;
  context.fillStyle = ink;
  context.lineCap = "round";
  context.lineJoin = "round";
  for (const stroke of state.strokes) paintStroke(context, stroke, at, line);
}

function paintStroke(context, stroke, at, line) {
  const { points } = stroke;
  if (points.length === 1) {
    context.beginPath();
    context.arc(...at(points[0][0], points[0][1]), Math.max(0.5, (widthAt(stroke, points[0]) * line) / 2), 0, 2 * Math.PI);
    context.fill();
    return;
  }
  if (points.some((point) => point.length > 2)) {
    for (let index = 1; index < points.length; index += 1) {
      context.lineWidth = Math.max(1, widthAt(stroke, points[index]) * line);
      context.beginPath();
      context.moveTo(...at(points[index - 1][0], points[index - 1][1]));
      context.lineTo(...at(points[index][0], points[index][1]));
      context.stroke();
    }
    return;
  }
  context.lineWidth = Math.max(1, stroke.width * line);
  context.beginPath();
  context.moveTo(...at(points[0][0], points[0][1]));
  for (const [x, y] of points.slice(1)) context.lineTo(...at(x, y));
  context.stroke();
}

/** Where the drawing goes so that its ink is centred and as large as the margin allows: {scale, dx, dy}. */
export function framing(state) {
  const [left, top, right, bottom] = bounds(state);
  const room = SIDE * (1 - 2 * MARGIN - LINE);
  const scale = Math.min(room / Math.max(right - left, bottom - top, 1), (MOST * SIDE) / PAPER);
  return { scale, dx: (SIDE - (left + right) * scale) / 2, dy: (SIDE - (top + bottom) * scale) / 2 };
}

/** The picture that is sent, black on white, and where the paper is on it: {blob, place}. */
export async function sketchPicture(state) {
  if (state.background) await load(state.background.src);
  const place = framing(state);
  const blob = await toPng(state, SIDE, place, (LINE * SIDE) / BRUSH);
  return { blob, place };
}

/** The whole paper as a PNG of PAPER x PAPER pixels. */
export async function paperPicture(state) {
  if (state.background) await load(state.background.src);
  return toPng(state, PAPER, { scale: 1, dx: 0, dy: 0 }, 1);
}

function toPng(state, side, place, line) {
  const canvas = document.createElement("canvas");
  canvas.width = side;
  canvas.height = side;
  const context = canvas.getContext("2d");
  context.fillStyle = "white";
  context.fillRect(0, 0, side, side);
  paint(context, state, place, line, "black");
  return new Promise((done) => { canvas.toBlob(done, "image/png"); });
}

const LONGEST = 1024; // of a background that is kept

/** A background of a picture file, fitted to the paper. Throws where it cannot be read. */
export async function toBackground(blob) {
  const url = URL.createObjectURL(blob);
  try {
    return await background(url);
  } finally {
    URL.revokeObjectURL(url);
  }
}

/** A background of a picture, with the box of its ink; `place` = {x, y, width, height} on the paper, or fitted to it. */
export async function background(url, place = null) {
  const image = new Image();
  image.src = url;
  await image.decode();
  const shrink = Math.min(1, LONGEST / Math.max(image.naturalWidth, image.naturalHeight));
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(image.naturalWidth * shrink));
  canvas.height = Math.max(1, Math.round(image.naturalHeight * shrink));
  const context = canvas.getContext("2d");
  context.fillStyle = "white";
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.drawImage(image, 0, 0, canvas.width, canvas.height);
  const { x, y, width, height } = place ?? fitted(canvas);
  const box = inkBox(context.getImageData(0, 0, canvas.width, canvas.height));
  const src = canvas.toDataURL("image/png");
  await load(src);
  return { src, x, y, width, height, ink: box.map((value, index) => (
    index % 2 ? y + (value * height) / canvas.height : x + (value * width) / canvas.width)) };
}

/** Where a picture goes so that it is as large as the paper and in its middle. */
function fitted({ width, height }) {
  const scale = PAPER / Math.max(width, height);
  return { x: (PAPER - width * scale) / 2, y: (PAPER - height * scale) / 2, width: width * scale, height: height * scale };
}

/** [left, top, right, bottom] of what is darker than half way; all of it where that is most of the picture. */
function inkBox({ data, width, height }) {
  const level = (index) => Math.min(data[index], data[index + 1], data[index + 2]);
  let [low, high] = [255, 0];
  for (let index = 0; index < data.length; index += 4) {
    low = Math.min(low, level(index));
    high = Math.max(high, level(index));
  }
  const box = [width, height, 0, 0];
  let count = 0;
  for (let index = 0; index < data.length; index += 4) {
    if (level(index) >= (low + high) / 2) continue;
    const [x, y] = [(index / 4) % width, Math.floor(index / 4 / width)];
    count += 1;
    box[0] = Math.min(box[0], x);
    box[1] = Math.min(box[1], y);
    box[2] = Math.max(box[2], x + 1);
    box[3] = Math.max(box[3], y + 1);
  }
  return count && count < (data.length / 4) * 0.6 ? box : [0, 0, width, height];
}
