// What the sketch is called: guesses with their probabilities as bars.

import { byId, el } from "./dom.js";

const ROWS = 5;

/** Show the finder's guesses; a form lets the user give names of their own. */
export function listen(finder) {
  show([]);
  finder.addEventListener("named", ({ detail }) => {
    show(detail.guesses, detail.problem);
  });
  finder.addEventListener("blank", () => show([]));
  finder.addEventListener("failed", ({ detail }) => { if (!detail.more) show([]); });
  const [button, form, input] = [byId("own-labels"), byId("labels-form"), byId("labels")];
  button.addEventListener("click", () => {
    form.hidden = !form.hidden;
    button.setAttribute("aria-expanded", String(!form.hidden));
    if (!form.hidden) input.focus();
  });
  form.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    button.click();
    button.focus();
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    finder.labels = different(input.value.split(",").map((name) => name.trim()).filter(Boolean)).join(",");
    button.textContent = finder.labels ? "Your names in use" : "Use your own names";
    finder.name();
  });
}

function show(guesses, problem) {
  const rows = guesses.slice(0, ROWS).map(({ name, probability }) => {
    const bar = el("span", { className: "bar-fill" });
    bar.style.width = `${Math.max(1, probability * 100)}%`;
    return el("li", {}, el("span", { className: "guess-name" }, name),
      el("span", { className: "bar-track", "aria-hidden": "true" }, bar),
      el("span", { className: "guess-share" }, percent(probability)));
  });
  if (!rows.length) rows.push(el("li", { className: problem ? "empty problem-text" : "empty soft" }, problem || "Names for the drawing appear here."));
  byId("guesses").replaceChildren(...rows);
}

/** Names without those that differ from an earlier one by case or underscores alone, which are the same to the model. */
function different(names) {
  const plain = names.map((name) => name.toLowerCase().replaceAll("_", " "));
  return names.filter((_, index) => plain.indexOf(plain[index]) === index);
}

const percent = (share) => (share > 0 && share < 0.01 ? "<1 %" : `${Math.round(share * 100)} %`);
