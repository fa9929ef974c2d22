// What the server knows of the sketch: drawn and sent once per drawing, and again when it has been forgotten there.

import { ApiError, sendSketch } from "./api.js";
import { sketchPicture } from "./render.js";

export class Sketchbook {
  page = null; // of the drawing that was asked for last: {state, drawn, sent, stop}; promises, null until they are wanted
  kept = null; // a page that is needed even when the drawing has changed

  constructor(drawing) {
    this.drawing = drawing;
  }

  /** The page of the present drawing. Another one that is still being sent then is so no longer, unless it is kept. */
  current() {
    const { state } = this.drawing;
    if (this.page?.state !== state) {
      if (this.page !== this.kept) this.page?.stop.abort();
      this.page = { state, drawn: null, sent: null, stop: new AbortController() };
    }
    return this.page;
  }

  /** {blob, place} of a page, see `sketchPicture`. */
  picture(page) { return once(page, "drawn", () => sketchPicture(page.state)); }

  /** What `ask(id, sketch)` gives for a page; silently sent again if the server has forgotten it. */
  async use(ask, signal, page = this.current()) {
    const sending = this.send(page);
    try {
      return await answer(sending, ask, signal);
    } catch (error) {
      if (!(error instanceof ApiError) || error.code !== "unknown_sketch") throw error;
      if (page.sent === sending) page.sent = null; // else another one has sent it again already
      return answer(this.send(page), ask, signal);
    }
  }

  /** What the server says of a page. No single one who waits for that may abort it. */
  send(page) { return once(page, "sent", async () => sendSketch((await this.picture(page)).blob, page.stop.signal)); }
}

/** The promise that is kept there; what has failed is not kept. */
function once(page, name, make) {
  page[name] ??= make().catch((error) => {
    page[name] = null;
    throw error;
  });
  return page[name];
}

async function answer(sending, ask, signal) {
  const sketch = await sending;
  signal?.throwIfAborted();
  return ask(sketch.id, sketch);
}
