// The page: its parts, put together.

import { noLonger, whenBack } from "./away.js";
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

const drawing = new Drawing();
const book = new Sketchbook(drawing);
const options = new Options();
const finder = new Finder(drawing, book, options);
const results = new Results(finder, options);
const paper = new Paper(drawing);
const photos = new Photos();
const why = new Why(results, book);
keys.listen(paper, drawing);
tools.listen(paper, drawing);
classes.listen(finder);
files.listen(drawing);
files.remember(drawing);

photos.addEventListener("gallery", ({ detail: { gallery, lost } }) => {
  const usable = gallery && !gallery.problem ? gallery : null;
  if (usable?.id !== finder.gallery?.id) results.leave();
  options.setGallery(usable);
  finder.searchIn(usable);
  if (lost) showNotice("lost-gallery", { title: `“${lost}” is gone` });
  else if (!gallery) showNotice("no-gallery");
  else if (gallery.problem) showNotice("unusable", { text: gallery.problem });
});
photos.addEventListener("renewed", ({ detail: { gallery, hasChanged } }) => {
  options.renew(gallery);
  finder.renew(gallery, hasChanged);
});
why.addEventListener("similar", ({ detail: { hit, gallery } }) => {
  if (gallery.id !== finder.gallery?.id) photos.choose(gallery); // the page went on to another one meanwhile
  results.similar(hit);
});
finder.addEventListener("failed", ({ detail: { error, more } }) => {
  if (error.code === "unreachable") whenBack("search", () => (more ? finder.more() : finder.run()));
  if (error.code === "unknown_gallery") photos.lose();
});
finder.addEventListener("start", () => noLonger("search"));

/** Say so where the server is not on the machine that the page is looked at on. */
function tellWhere() {
  if (["localhost", "127.0.0.1", "[::1]"].includes(location.hostname)) return;
  for (const node of document.querySelectorAll("[data-elsewhere]")) node.textContent = node.dataset.elsewhere;
}

async function begin() {
  try {
    await photos.load();
    photos.jobs.takeUp();
  } catch (error) {
    showNotice(error.code === "unreachable" ? "unreachable" : "failed", { text: error.message, act: begin });
    if (error.code === "unreachable") whenBack("begin", begin);
  }
}

tellWhere();
begin();
