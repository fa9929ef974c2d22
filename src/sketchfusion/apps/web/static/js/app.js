// The page: its parts, put together.

import { getJson } from "./api.js";
import * as classes from "./classes.js";
import * as files from "./files.js";
import { Finder } from "./finder.js";
import * as keys from "./keys.js";
import { showNotice } from "./notices.js";
import { Options } from "./options.js";
import { Paper } from "./paper.js";
import { Photos } from "./photos.js";
import { Results } from "./results.js";
import { Sketchbook } from "./sketchbook.js";
import { Drawing } from "./strokes.js";
import * as tools from "./tools.js";
import { Why } from "./why.js";

const AGAIN = 3000; // milliseconds between looks whether the server is back

const drawing = new Drawing();
const book = new Sketchbook(drawing);
const options = new Options();
const finder = new Finder(drawing, book, options);
const results = new Results(finder, options);
const paper = new Paper(drawing);
const photos = new Photos();
new Why(results, finder, book);
keys.listen(paper, drawing);
tools.listen(paper, drawing);
classes.listen(finder);
files.listen(drawing);
files.remember(drawing);

let waiting = 0;

/** Look every few seconds whether the server is back, then go on. */
function wait(goOn) {
  clearInterval(waiting);
  waiting = setInterval(async () => {
    const health = await getJson(["health"]).catch(() => null);
    if (!health) return;
    clearInterval(waiting);
    goOn();
  }, AGAIN);
}

photos.addEventListener("gallery", async ({ detail: { gallery } }) => {
  finder.gallery = gallery && !gallery.problem ? gallery : null;
  finder.like = null;
  if (finder.gallery) await options.setGallery(gallery).catch(() => null); // the search says what is wrong
  finder.run();
  if (!gallery) showNotice("no-gallery");
  else if (gallery.problem) showNotice("unusable", { text: gallery.problem });
});
finder.addEventListener("failed", ({ detail: { error } }) => {
  if (error.code === "unreachable") wait(() => finder.run());
});
finder.addEventListener("start", () => clearInterval(waiting));

async function begin() {
  try {
    await photos.load();
  } catch (error) {
    showNotice(error.code === "unreachable" ? "unreachable" : "failed", { text: error.message, act: begin });
    if (error.code === "unreachable") wait(begin);
  }
}

begin();
