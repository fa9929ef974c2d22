// Thumbnails are small. Once the results stand still, those in sight are replaced by sharper pictures, two at a time.

import { picture } from "./api.js";

const THUMBNAIL = 160; // longer side in pixels
const STILL = 700; // milliseconds without a new search
const AT_ONCE = 2;

export class Sharpener {
  queue = [];
  running = 0;
  turn = 0;

  constructor(grid) {
    this.grid = grid;
    this.seen = new IntersectionObserver((entries) => {
      for (const { isIntersecting, target } of entries) {
        if (!isIntersecting) continue;
        this.seen.unobserve(target);
        this.queue.push(target);
      }
      this.wake();
    });
  }

  watch(tiles, gallery) {
    this.gallery = gallery;
    for (const tile of tiles) this.seen.observe(tile);
  }

  stop() {
    this.turn += 1;
    this.running = 0;
    this.queue = [];
    this.seen.disconnect();
    clearTimeout(this.timer);
    this.timer = 0;
  }

  wake() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      while (this.running < AT_ONCE && this.queue.length) this.next();
    }, STILL);
  }

  async next() {
    const { turn } = this;
    const tile = this.queue.shift();
    const small = tile?.querySelector("img");
    const wanted = small ? Math.max(small.clientWidth, small.clientHeight) * window.devicePixelRatio : 0;
    if (!small || wanted < THUMBNAIL * 1.1 || !tile.isConnected) {
      if (this.queue.length) this.next();
      return;
    }
    this.running += 1; // of this turn
    const sharp = new Image();
    sharp.src = picture(this.gallery, small.src.split("/").at(-2), wanted > 360 ? 640 : 360);
    const isThere = await sharp.decode().then(() => true, () => false); // a file that is gone keeps its thumbnail
    if (turn !== this.turn) return;
    if (isThere) small.src = sharp.src;
    this.running -= 1;
    if (this.queue.length) this.next();
  }
}
