// What the "why" dialog gives as files: the mask from the server, the points as they are linked on the screen. All is
// of the photo that is shown at the click, even if another one is shown when the answer comes.

import { getBlob, isAbort } from "./api.js";
import { download, stem } from "./dom.js";

const nameOf = ({ hit }) => stem(hit.name.split("/").pop());

/** The mask at full size, as it is shown: same threshold, same edges. */
export async function exportMask(why, format) {
  const { shown, region, refined } = why;
  if (!region) return;
  const query = { threshold: why.threshold.toFixed(4), refined, format };
  const ask = (sketch) => getBlob([...shown.path, "mask"], { sketch, ...query });
  const name = format === "png" ? `${nameOf(shown)}-mask.png` : `${nameOf(shown)}-coco.json`;
  try {
    download(await why.book.use(ask, null, shown.page), name);
  } catch (error) {
    if (!isAbort(error)) why.fail(error, shown);
  }
}

/** The points that are linked now. Those of the sketch are pixels of the sketch as it is downloaded: the paper. */
export async function exportPoints(why, format) {
  const { shown, links } = why;
  const linked = links.shown().map((index) => links.points[index]);
  const { width, height } = links.sizes.found;
  const name = `${nameOf(shown)}-points.${format}`;
  try {
    const points = onPaper(linked, (await why.book.picture(shown.page)).place);
    const text = format === "json" ? JSON.stringify({ points, width, height }, null, 1) : table(points);
    download(new Blob([text], { type: format === "json" ? "application/json" : "text/csv" }), name);
  } catch (error) {
    why.fail(error, shown);
  }
}

function onPaper(points, { scale, dx, dy }) {
  const round = (value) => Math.round(value * 100) / 100;
  return points.map(({ query: [x, y], found, score }) => (
    { query: [round((x - dx) / scale), round((y - dy) / scale)], found, score }));
}

function table(points) {
  const rows = points.map(({ query, found, score }) => [...query, ...found, score].join(","));
  return `${["sketch_x,sketch_y,photo_x,photo_y,score", ...rows].join("\n")}\n`;
}
