// What the "why" dialog gives as files: the mask from the server, the points as they are linked on the screen.

import { getBlob, isAbort } from "./api.js";
import { download, stem } from "./dom.js";

const name = (why) => stem(why.hit.name.split("/").pop());

/** The mask at full size, as it is shown: same threshold, same edges. */
export async function exportMask(why, format) {
  const query = { threshold: why.threshold.toFixed(4), refined: why.refined, format };
  try {
    const blob = await why.book.use((sketch) => getBlob([...why.path, "mask"], { sketch, ...query }));
    download(blob, format === "png" ? `${name(why)}-mask.png` : `${name(why)}-coco.json`);
  } catch (error) {
    if (!isAbort(error)) why.fail(error);
  }
}

/** The points that are linked now. Those of the sketch are pixels of the sketch as it is downloaded: the paper. */
export async function exportPoints(why, format) {
  const { place } = await why.book.current();
  const round = (value) => Math.round(value * 100) / 100;
  const points = why.links.shown().map((index) => {
    const { query: [x, y], found, score } = why.links.points[index];
    return { query: [round((x - place.dx) / place.scale), round((y - place.dy) / place.scale)], found, score };
  });
  const { width, height } = why.links.sizes.found;
  const text = format === "json" ? JSON.stringify({ points, width, height }, null, 1)
    : ["sketch_x,sketch_y,photo_x,photo_y,score", ...points.map(({ query, found, score }) => [...query, ...found, score].join(","))].join("\n") + "\n";
  download(new Blob([text], { type: format === "json" ? "application/json" : "text/csv" }), `${name(why)}-points.${format}`);
}
