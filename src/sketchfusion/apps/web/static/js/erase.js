// The eraser: takes the part of every stroke that lies in a circle, and leaves the pieces on either side.

/** Strokes without what lies within `radius` of (x, y). The same array where nothing does. */
export function erase(strokes, x, y, radius) {
  let changed = false;
  const left = [];
  for (const stroke of strokes) {
    const reach = radius + stroke.width / 3;
    if (!touches(stroke.points, x, y, reach)) {
      left.push(stroke);
      continue;
    }
    changed = true;
    for (const points of pieces(stroke.points, x, y, reach)) left.push({ ...stroke, points });
  }
  return changed ? left : strokes;
}

/** Every circle between two places of the eraser, so that a fast movement leaves no islands. */
export function eraseAlong(strokes, from, to, radius) {
  const steps = Math.max(1, Math.ceil(Math.hypot(to[0] - from[0], to[1] - from[1]) / (radius / 2)));
  let left = strokes;
  for (let step = 1; step <= steps; step += 1) {
    const share = step / steps;
    left = erase(left, from[0] + (to[0] - from[0]) * share, from[1] + (to[1] - from[1]) * share, radius);
  }
  return left;
}

function touches(points, x, y, radius) {
  if (points.length === 1) return Math.hypot(points[0][0] - x, points[0][1] - y) <= radius;
  return points.slice(1).some((end, index) => crossing(points[index], end, x, y, radius) !== null);
}

/** The stretch [from, to] of a segment, as shares of its length, that lies in the circle; null if none does. */
function crossing(start, end, x, y, radius) {
  const [dx, dy] = [end[0] - start[0], end[1] - start[1]];
  const [fx, fy] = [start[0] - x, start[1] - y];
  const a = dx * dx + dy * dy;
  if (a === 0) return fx * fx + fy * fy <= radius * radius ? [0, 1] : null;
  const b = fx * dx + fy * dy;
  const root = b * b - a * (fx * fx + fy * fy - radius * radius);
  if (root < 0) return null;
  const from = Math.max(0, (-b - Math.sqrt(root)) / a);
  const to = Math.min(1, (-b + Math.sqrt(root)) / a);
  return from < to ? [from, to] : null;
}

function pieces(points, x, y, radius) {
  const found = [];
  let piece = [];
  const close = () => {
    if (piece.length > 1) found.push(piece);
    piece = [];
  };
  for (let index = 0; index + 1 < points.length; index += 1) {
    const [start, end] = [points[index], points[index + 1]];
    const inside = crossing(start, end, x, y, radius);
    if (inside === null) {
      if (!piece.length) piece.push(start);
      piece.push(end);
      continue;
    }
    if (inside[0] > 0) {
      if (!piece.length) piece.push(start);
      piece.push(between(start, end, inside[0]));
    }
    close();
    if (inside[1] < 1) piece.push(between(start, end, inside[1]), end);
  }
  close();
  return found;
}

const between = (start, end, share) => start.map((value, axis) => value + ((end[axis] ?? value) - value) * share);
