// Names and places of which the end tells most: where they have no room they lose what is generic in
// them, and then their start.

import { el } from "./dom.js";

/// After these a line may break, and a name be cut.
const JOINT = /(?<=::|\/)/;

/// An element with a text that `fitTails` cuts, if it takes more lines than the style sheet allows.
export function tail(name, properties, text) {
  const element = el(name, { title: text, ...properties });
  element.classList.add("tail");
  write(element, text.split(JOINT));
  return element;
}

/// Cuts what does not fit in `parent`, as often as its width changes.
export function fitTails(parent) {
  let cut = [...parent.querySelectorAll(".tail")];
  for (const element of cut) if (element.dataset.cut) write(element, element.title.split(JOINT));
  cut = cut.filter(tooLong);
  for (const element of cut) {
    element.dataset.cut = "yes";
    write(element, withoutArguments(element.title).split(JOINT));
  }
  while ((cut = cut.filter(tooLong)).length) cut.forEach(shorten);
}

const tooLong = (element) => element.scrollHeight > element.clientHeight + 2 && element.textContent.length > 2;

/// Takes away the first part, or some letters of the only one.
function shorten(element) {
  const parts = element.textContent.replace(/^…/, "").split(JOINT);
  const left = parts.length > 1 ? parts.slice(1) : [parts[0].slice(4)];
  write(element, ["…", ...left]);
}

/// `new_task<…>` of `new_task<Future, Arc<Handle>>`. A word joiner keeps a line from ending in it.
function withoutArguments(name) {
  let kept = "";
  let depth = 0;
  [...name].forEach((letter, index, letters) => {
    const opens = letter === "<" && (depth > 0 || /[\w}]$/.test(kept));
    const closes = depth > 0 && letter === ">" && letters[index - 1] !== "-";
    if (opens && depth === 0) kept += "<…\u2060>";
    else if (depth === 0) kept += letter;
    depth += Number(opens) - Number(closes);
  });
  return kept;
}

function write(element, parts) {
  element.replaceChildren(...parts.flatMap((part, index) => (index > 0 && parts[index - 1] !== "…" ? [el("wbr"), part] : [part])));
}
