// Controls that are off but keep the focus, which the property `disabled` would take from them.

const OFF = '[aria-disabled="true"]';

/** Switch a button, a checkbox or a slider on or off; a slider moves all the same, so whoever listens has to ask. */
export function enable(node, on) { node.setAttribute("aria-disabled", String(!on)); }

/** Whether a control is off. */
export const isOff = (node) => node.matches(OFF);

/** Let no click reach a control that is off, nor a key or a label that stands for a click. */
document.addEventListener("click", (event) => {
  if (!(event.target instanceof Element) || !event.target.closest(OFF)) return;
  event.preventDefault();
  event.stopImmediatePropagation();
}, true);
