// When the server is away: look every few seconds whether it is back, then go on with all that waits for it.

import { getJson } from "./api.js";

const AGAIN = 3000; // milliseconds between looks
const waiting = new Map(); // what waits -> how it goes on
let timer = 0;

/** Go on with something as soon as the server answers; also if it refuses, so that what it says is shown. */
export function whenBack(what, goOn) {
  waiting.set(what, goOn);
  timer ||= setInterval(look, AGAIN);
}

/** Something need not go on any more, or does so already. */
export function noLonger(what) {
  waiting.delete(what);
  if (waiting.size) return;
  clearInterval(timer);
  timer = 0;
}

async function look() {
  const isAway = await getJson(["health"]).then(() => false, (error) => error.code === "unreachable");
  if (isAway) return;
  for (const [what, goOn] of [...waiting]) {
    noLonger(what);
    goOn();
  }
}
