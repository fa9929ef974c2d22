// What the server knows of the sketch: sent once per drawing, and again when it has been forgotten there.

import { ApiError, sendSketch } from "./api.js";
import { sketchPicture } from "./render.js";

export class Sketchbook {
  page = null; // {state, blob, place, url, sent} of the drawing that was asked for last

  constructor(drawing) {
    this.drawing = drawing;
  }

  /** The picture of the present drawing, made once. */
  async current() {
    const { state } = this.drawing;
    if (this.page?.state !== state) {
      const { blob, place } = await sketchPicture(state);
      if (this.page) URL.revokeObjectURL(this.page.url);
      this.page = { state, blob, place, url: URL.createObjectURL(blob), sent: null };
    }
    return this.page;
  }

  /** What `ask(id, sketch)` gives for the present drawing; silently sent again if the server has forgotten it. */
  async use(ask, signal) {
    const page = await this.current();
    page.sent ??= await sendSketch(page.blob, signal);
    try {
      return await ask(page.sent.id, page.sent);
    } catch (error) {
      if (!(error instanceof ApiError) || error.code !== "unknown_sketch") throw error;
      page.sent = await sendSketch(page.blob, signal);
      return ask(page.sent.id, page.sent);
    }
  }
}
