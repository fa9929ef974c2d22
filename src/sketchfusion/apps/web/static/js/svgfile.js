// Sketches as SVG files: written so that any program shows them, and read back as the strokes they were.

import { PAPER, WIDEST, widthAt } from "./strokes.js";

const NUMBER = /[-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?/gi;
const LINES = /^M?[-+\d\s.,e]*(?:L[-+\d\s.,e]*)*$/; // one line of straight pieces, absolute
const BLACK = /^(?:black|#000|#000000)$/i;
const PICTURE = /^data:image\/png;base64,[A-Za-z0-9+/=]+$/;
const ELEMENTS = new Set(["g", "path", "polyline", "title", "desc", "metadata"]);
const OURS = new Set([...ELEMENTS, "rect", "image"]); // our white paper, and the picture on it
const ATTRIBUTES = new Set(["xmlns", "version", "id", "viewBox", "x", "y", "width", "height", "href", "d", "points", "fill",
  "stroke", "stroke-width", "stroke-linecap", "stroke-linejoin", "preserveAspectRatio"]); // others may move or paint
const short = (value) => String(Math.round(value * 10) / 10);

/** The sketch as an SVG document. A stroke is a path; one with pressure a group of paths, each of one width. */
export function toSvg({ strokes, background }) {
  const parts = strokes.map((stroke) => (stroke.points.some((point) => point.length > 2)
    ? pressed(stroke) : path(stroke.points, stroke.width)));
  if (background) {
    const { src, x, y, width, height } = background;
    parts.unshift(`<image href="${src}" x="${short(x)}" y="${short(y)}" width="${short(width)}" height="${short(height)}" `
      + 'preserveAspectRatio="none"/>');
  }
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${PAPER}" height="${PAPER}" viewBox="0 0 ${PAPER} ${PAPER}" `
    + 'data-sketchfusion="1">\n'
    + `<rect width="${PAPER}" height="${PAPER}" fill="white"/>\n`
    + '<g fill="none" stroke="black" stroke-linecap="round" stroke-linejoin="round">\n'
    + `${parts.join("\n")}\n</g>\n</svg>\n`;
}

function path(points, width) {
  // A path of one point draws nothing; a line without length has round ends and so is the dot.
  const all = points.length > 1 ? points : [points[0], points[0]];
  return `<path d="M${all.map(([x, y]) => `${short(x)} ${short(y)}`).join(" L")}" stroke-width="${short(width)}"/>`;
}

function pressed(stroke) {
  const widths = stroke.points.map((point) => Math.round(widthAt(stroke, point)));
  const runs = [];
  for (let start = 0; start + 1 < stroke.points.length || start === 0;) {
    let end = start + 1;
    while (end + 1 < stroke.points.length && widths[end + 1] === widths[end]) end += 1;
    runs.push(path(stroke.points.slice(start, end + 1), Math.max(1, widths[Math.min(end, widths.length - 1)])));
    start = end;
  }
  const pressure = stroke.points.map(([, , p]) => (p ?? 0.5).toFixed(2)).join(" ");
  const places = stroke.points.map(([x, y]) => `${short(x)} ${short(y)}`).join(" ");
  return `<g data-width="${stroke.width}" data-points="${places}" data-pressure="${pressure}">${runs.join("")}</g>`;
}

/** {strokes, picture} of an SVG that holds nothing but black lines, as ours do, and of ours also the picture under them:
 * null or {src, x, y, width, height}. Null for any other SVG, which is a picture as a whole. */
export function fromSvg(text) {
  if (/<style|\sstyle\s*=/i.test(text)) return null; // lines may look like anything; the browser refuses to read such
  const root = new DOMParser().parseFromString(text, "image/svg+xml").documentElement;
  const box = numbers(root.getAttribute("viewBox"));
  if (root.localName !== "svg" || box.length !== 4 || !(box[2] > 0 && box[3] > 0)) return null;
  const nodes = [...root.querySelectorAll("*")];
  const isOurs = root.hasAttribute("data-sketchfusion");
  if (!hasPlain(root) || !nodes.every((node) => (isOurs ? OURS : ELEMENTS).has(node.localName) && hasPlain(node))) return null;
  const read = nodes.map((node) => (node.hasAttribute("data-pressure") ? readPressed(node) : readLine(node)));
  const picture = readPicture(root.querySelectorAll("image"));
  if ([...read, picture].includes(null)) return null;
  const strokes = read.filter(Boolean).map(toPaper(box));
  if (!strokes.length && !picture || strokes.some(({ width }) => width > WIDEST)) return null;
  return { strokes, picture: picture ?? null };
}

const numbers = (text) => (text || "").match(NUMBER)?.map(Number) ?? [];

/** Whether an element has no attribute but those that are understood. */
const hasPlain = (node) => [...node.attributes].every(({ name }) => ATTRIBUTES.has(name) || /^(?:xmlns:|data-)/.test(name));

/** What an element has or takes over from those that it is in. */
const given = (node, name) => node.closest(`[${name}]`)?.getAttribute(name);

/** A stroke; undefined where the element is none, null where it is more than black straight lines. */
function readLine(node) {
  if (!["path", "polyline"].includes(node.localName) || node.closest("[data-pressure]")) return undefined;
  const data = node.getAttribute("d") ?? node.getAttribute("points") ?? "";
  if (!LINES.test(data.trim()) || given(node, "fill") !== "none" || !BLACK.test(given(node, "stroke"))) return null;
  const values = numbers(data);
  const points = [];
  for (let index = 0; index + 1 < values.length; index += 2) points.push([values[index], values[index + 1]]);
  if (points.length === 2 && points[0][0] === points[1][0] && points[0][1] === points[1][1]) points.pop();
  const width = Number(given(node, "stroke-width") ?? 1); // as SVG has it
  if (!(width > 0)) return null;
  return points.length ? { width, points } : undefined;
}

function readPressed(node) {
  const [places, pressure] = [numbers(node.getAttribute("data-points")), numbers(node.getAttribute("data-pressure"))];
  const width = Number(node.getAttribute("data-width"));
  if (!pressure.length || places.length !== 2 * pressure.length || !(width > 0)) return null;
  return { width, points: pressure.map((p, index) => [places[2 * index], places[2 * index + 1], p]) };
}

/** Takes strokes from a view box to the paper, as large as fits, in its middle. */
function toPaper([left, top, width, height]) {
  const scale = PAPER / Math.max(width, height);
  const [dx, dy] = [(PAPER - width * scale) / 2, (PAPER - height * scale) / 2];
  return (stroke) => ({ width: stroke.width * scale,
    points: stroke.points.map(([x, y, ...p]) => [(x - left) * scale + dx, (y - top) * scale + dy, ...p]) });
}

/** What `toSvg` wrote of a background; undefined where there is none, null where it is anything else. */
function readPicture(nodes) {
  if (!nodes.length) return undefined;
  const [node, ...others] = nodes;
  const src = node.getAttribute("href") ?? "";
  const [x, y, width, height] = ["x", "y", "width", "height"].map((name) => parseFloat(node.getAttribute(name)));
  const isOurs = !others.length && PICTURE.test(src) && Number.isFinite(x) && Number.isFinite(y) && width > 0 && height > 0;
  return isOurs ? { src, x, y, width, height } : null;
}
