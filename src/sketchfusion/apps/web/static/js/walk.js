// From photo to photo with the keys: arrows to the photo beside, above and below, Home and End to the first and last.

const BESIDE = { ArrowLeft: -1, ArrowRight: 1 };
const ROWS = { ArrowUp: -1, ArrowDown: 1 };

/** Let the photos of a grid be walked over while one of them has the focus; beyond the last row the page scrolls. */
export function walkOver(grid) {
  grid.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.shiftKey || !event.target.matches(".card-open")) return;
    const photos = [...grid.querySelectorAll(".card:not([hidden]) .card-open")];
    const next = goal(event.key, event.target, photos);
    if (!next) return;
    event.preventDefault();
    next.focus();
  });
}

function goal(key, from, photos) {
  if (BESIDE[key]) return photos[photos.indexOf(from) + BESIDE[key]];
  if (ROWS[key]) return inNextRow(from, photos, ROWS[key]);
  if (key === "Home") return photos[0];
  return key === "End" ? photos.at(-1) : undefined;
}

/** The photo of the next row, up (-1) or down (1), whose middle is nearest. */
function inNextRow(from, photos, way) {
  const top = (photo) => Math.round(photo.getBoundingClientRect().top);
  const middle = (photo) => photo.getBoundingClientRect().left + photo.offsetWidth / 2;
  const further = photos.filter((photo) => way * (top(photo) - top(from)) > 0);
  const row = Math.min(...further.map((photo) => way * top(photo)));
  const apart = (photo) => Math.abs(middle(photo) - middle(from));
  return further.filter((photo) => way * top(photo) === row).sort((one, other) => apart(one) - apart(other))[0];
}
