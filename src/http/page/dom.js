// Elements, made without markup: names come from the program that is watched, and are text.

const SVG = "http://www.w3.org/2000/svg";

export const byId = (id) => document.getElementById(id);

/// `el("a", { href: "x", class: "y", onclick: f }, "text", child)`
export function el(name, properties, ...children) {
  return fill(document.createElement(name), properties, children);
}

export function svg(name, properties, ...children) {
  return fill(document.createElementNS(SVG, name), properties, children);
}

function fill(element, properties, children) {
  for (const [key, value] of Object.entries(properties ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/// Makes these the children of an element. What is there already is not moved unless their order
/// changed, so that it keeps the focus and its place of scrolling.
export function setChildren(parent, children) {
  const focused = document.activeElement;
  const kept = new Set(children);
  for (const child of [...parent.childNodes]) if (!kept.has(child)) child.remove();
  let next = parent.firstChild;
  for (const child of children) {
    if (child === next) next = next.nextSibling;
    else parent.insertBefore(child, next);
  }
  if (focused !== document.activeElement && parent.contains(focused)) focused.focus({ preventScroll: true });
}

/// Says something to screen readers, and to nobody else.
export function announce(text) {
  byId("announcer").textContent = text;
}

/// A button that says that it is at work, and shows in `status` what went wrong.
export async function busy(button, status, work) {
  const focused = document.activeElement === button;
  button.disabled = true;
  status.textContent = "";
  status.classList.remove("wrong");
  try {
    return await work();
  } catch (error) {
    status.textContent = error.message;
    status.classList.add("wrong");
    return undefined;
  } finally {
    button.disabled = false;
    // A browser takes the focus from what is disabled.
    if (focused && nothingFocused()) button.focus({ preventScroll: true });
  }
}

/// Whether who uses the keyboard would have to begin at the top of the page.
export const nothingFocused = () => [null, document.body].includes(document.activeElement);

/// Lets a browser save bytes as a file.
export function save(blob, name) {
  const link = el("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
