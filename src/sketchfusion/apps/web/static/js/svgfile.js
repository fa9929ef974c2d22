// Sketches as SVG files: written so that any program shows them, and read back as the strokes they were.

import { BRUSH, PAPER, widthAt } from "./strokes.js";

const NUMBER = /[-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?/gi;
const LINES = /^\s*M?[-+\d\s.,e]*(?:L[-+\d\s.,e]*)*$/; // one line of straight pieces, absolute
const short = (value) => String(Math.round(value * 10) / 10);

/** The sketch as an SVG document. A stroke is a path; one with pressure a group of paths, each of one width. */
export function toSvg(state) {
  const parts = state.strokes.map((stroke) => (stroke.points.some((point) => point.length > 2)
    ? pressed(stroke) : path(stroke.points, stroke.width)));
  const { background } = state;
  if (background) {
    parts.unshift(`<image href="${background.src}" x="${short(background.x)}" y="${short(background.y)}" `
      + `width="${short(background.width)}" height="${short(background.height)}"/>`);
  }
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${PAPER} ${PAPER}" data-sketchfusion="1">\n`
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

/** Strokes of an SVG that holds nothing but lines, as ours do; null for any other, which is a picture then. */
export function fromSvg(text) {
  const root = new DOMParser().parseFromString(text, "image/svg+xml").documentElement;
  const box = (root.getAttribute("viewBox") || "").match(NUMBER)?.map(Number);
  if (root.localName !== "svg" || box?.length !== 4 || !(box[2] > 0 && box[3] > 0)) return null;
  const known = new Set(["svg", "g", "path", "polyline", "title", "desc", "metadata"]);
  const all = [...root.querySelectorAll("*")];
  if (root.hasAttribute("data-sketchfusion")) known.add("rect"); // our white paper
  if (!all.every((node) => known.has(node.localName) && !node.hasAttribute("transform"))) return null;
  const scale = PAPER / Math.max(box[2], box[3]);
  const onto = ([x, y]) => [(x - box[0]) * scale + (PAPER - box[2] * scale) / 2,
    (y - box[1]) * scale + (PAPER - box[3] * scale) / 2];
  const strokes = [];
  for (const node of all) {
    const stroke = node.hasAttribute("data-pressure") ? readPressed(node) : readLine(node);
    if (stroke === null) return null;
    if (stroke === undefined) continue;
    strokes.push({ width: Math.min(stroke.width * scale, 120),
      points: stroke.points.map(([x, y, ...p]) => [...onto([x, y]), ...p]) });
  }
  return strokes.length ? strokes : null;
}

/** A stroke; undefined where the element is none, null where it is more than straight lines. */
function readLine(node) {
  if (!["path", "polyline"].includes(node.localName) || node.closest("[data-pressure]")) return undefined;
  const data = node.getAttribute("d") ?? node.getAttribute("points") ?? "";
  if (!LINES.test(data)) return null;
  const numbers = data.match(NUMBER)?.map(Number) ?? [];
  const points = [];
  for (let index = 0; index + 1 < numbers.length; index += 2) points.push([numbers[index], numbers[index + 1]]);
  if (points.length === 2 && points[0][0] === points[1][0] && points[0][1] === points[1][1]) points.pop();
  const width = parseFloat(node.getAttribute("stroke-width") ?? node.closest("[stroke-width]")?.getAttribute("stroke-width"));
  return points.length ? { width: width > 0 ? width : BRUSH, points } : undefined;
}

function readPressed(node) {
  const places = (node.getAttribute("data-points") || "").match(NUMBER)?.map(Number) ?? [];
  const pressure = (node.getAttribute("data-pressure") || "").match(NUMBER)?.map(Number) ?? [];
  const width = parseFloat(node.getAttribute("data-width"));
  if (!pressure.length || places.length !== 2 * pressure.length || !(width > 0)) return null;
  return { width, points: pressure.map((p, index) => [places[2 * index], places[2 * index + 1], p]) };
}
