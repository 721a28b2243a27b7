// Flame graphs: inferno's drawing, taken apart and shown with zooming, a search and the keyboard.
//
// The policy of this page lets no drawing bring its own style and script; only numbers, colours and
// texts are taken from it.

import { text } from "./api.js";
import { announce, el, svg } from "./dom.js";

const ROW = 18;
const COLOR = /^rgb\(\s*\d+\s*,\s*\d+\s*,\s*\d+\s*\)$/;

/// The frames of a drawing: place and width as shares of the whole, row from the bottom.
export function parse(drawing) {
  const bare = drawing.replace(/<(script|style)\b[\s\S]*?<\/\1>/g, "").replace(/ (?:on[a-z]+|style)="[^"]*"/g, "");
  const document = new DOMParser().parseFromString(bare, "image/svg+xml");
  const frames = [];
  for (const group of document.querySelectorAll("#frames g, svg > g > g, g")) {
    const rectangle = group.querySelector(":scope > rect");
    const name = group.querySelector(":scope > title")?.textContent;
    if (!rectangle || !name) continue;
    const number = (attribute) => Number.parseFloat(rectangle.getAttribute(attribute));
    const color = rectangle.getAttribute("fill") ?? "";
    frames.push({
      name,
      x: number("x") / 100,
      width: number("width") / 100,
      y: number("y"),
      color: COLOR.test(color) ? color : "rgb(190,190,190)",
    });
  }
  const seen = new Set();
  const distinct = frames.filter((frame) => {
    const key = `${frame.x} ${frame.y} ${frame.name}`;
    return !seen.has(key) && seen.add(key);
  });
  const lowest = Math.max(0, ...distinct.map((frame) => frame.y));
  const rows = [...new Set(distinct.map((frame) => frame.y))].sort((a, b) => b - a);
  for (const frame of distinct) frame.row = rows.indexOf(frame.y);
  return lowest > 0 ? distinct : [];
}

/// Asks for a drawing. A service may have been built without.
export async function askForFlame(path) {
  try {
    return await text(path);
  } catch (error) {
    if (error.status !== 501) throw error;
    throw new Error('This service was built without flame graphs. To have them, add "flamegraph" to heapwatch\'s features in its Cargo.toml: heapwatch = { version = "…", features = ["flamegraph"] }.');
  }
}

/// Shows a drawing in `place`.
export function showFlame(place, drawing, caption) {
  const frames = parse(drawing);
  place.replaceChildren(new Flame(frames, caption, drawing).element);
}

class Flame {
  constructor(frames, caption, drawing) {
    this.frames = frames;
    this.root = frames.find((frame) => frame.row === 0);
    this.zoomed = this.root;
    this.focused = this.root;
    this.drawing = drawing;
    this.readout = el("p", { class: "readout" }, caption);
    this.caption = caption;
    const keys = "Arrows move, Enter zooms in, Escape zooms out.";
    this.picture = svg("svg", { class: "flame", tabindex: 0, role: "application", "aria-roledescription": "flame graph", "aria-label": `${caption}. ${keys}` });
    this.find = el("input", { type: "search", placeholder: "search frames", "aria-label": "Search frames", oninput: () => this.draw() });
    const reset = el("button", { type: "button", onclick: () => this.zoom(this.root) }, "Reset zoom");
    this.scroll = el("div", { class: "flame-scroll" }, this.picture);
    this.element = el("div", { class: "flame-box" }, el("div", { class: "tools" }, this.find, reset), this.scroll, this.readout);
    this.picture.addEventListener("keydown", (event) => this.key(event));
    this.picture.addEventListener("mouseleave", () => (this.readout.textContent = this.caption));
    new ResizeObserver(() => this.draw()).observe(this.scroll);
  }

  zoom(frame) {
    if (!frame) return;
    this.zoomed = frame;
    this.focused = frame;
    this.draw();
  }

  /// Frames that can be seen, with their place in pixels. Those below the zoomed one fill the width.
  visible() {
    const width = this.picture.clientWidth;
    const { x: left, width: share, row } = this.zoomed;
    return this.frames.flatMap((frame) => {
      const below = frame.row <= row && frame.x <= left + 1e-9 && frame.x + frame.width >= left + share - 1e-9;
      const x = below ? 0 : ((frame.x - left) / share) * width;
      const wide = below ? width : (frame.width / share) * width;
      const inside = below || (frame.row > row && frame.x >= left - 1e-9 && frame.x + frame.width <= left + share + 1e-9);
      return inside && wide >= 0.7 ? [{ frame, x, wide }] : [];
    });
  }

  draw() {
    if (!this.root || !this.picture.clientWidth) return;
    const shown = this.visible();
    const rows = Math.max(...shown.map(({ frame }) => frame.row)) + 1;
    const height = rows * ROW;
    const first = !this.picture.hasAttribute("height");
    this.picture.setAttribute("height", height);
    this.picture.setAttribute("viewBox", `0 0 ${this.picture.clientWidth} ${height}`);
    const word = this.find.value.toLowerCase();
    this.picture.replaceChildren(
      ...shown.map(({ frame, x, wide }) => {
        const y = height - (frame.row + 1) * ROW;
        const name = frame.name.replace(/ \([\d,]+ bytes.*$/, "");
        const letters = Math.floor((wide - 6) / 6.6);
        const label = letters >= 3 ? (name.length > letters ? `${name.slice(0, letters - 1)}…` : name) : "";
        const found = word && frame.name.toLowerCase().includes(word);
        const classes = [found && "found", frame === this.focused && "focused"].filter(Boolean).join(" ");
        return svg(
          "g",
          { class: classes || undefined, onclick: () => this.zoom(frame), onmouseenter: () => (this.readout.textContent = frame.name) },
          svg("rect", { x: x.toFixed(1), y, width: Math.max(0.5, wide - 0.7).toFixed(1), height: ROW - 1, fill: frame.color, rx: 1.5 }),
          label && svg("text", { x: (x + 4).toFixed(1), y: y + 12.5 }, label),
        );
      }),
    );
    // The outermost function is at the bottom.
    if (first) this.scroll.scrollTop = this.scroll.scrollHeight;
  }

  key(event) {
    if (!this.root) return;
    const overlap = (a, b) => a.x < b.x + b.width - 1e-9 && b.x < a.x + a.width - 1e-9;
    const row = (number) => this.visible().map(({ frame }) => frame).filter((frame) => frame.row === number).sort((a, b) => a.x - b.x);
    const here = this.focused;
    const beside = row(here.row);
    const next = {
      ArrowUp: () => row(here.row + 1).filter((frame) => overlap(frame, here)).sort((a, b) => b.width - a.width)[0],
      ArrowDown: () => row(here.row - 1).find((frame) => overlap(frame, here)),
      ArrowLeft: () => beside[beside.indexOf(here) - 1],
      ArrowRight: () => beside[beside.indexOf(here) + 1],
      Enter: () => (this.zoom(here), here),
      Escape: () => (this.zoom(this.root), this.root),
    }[event.key];
    if (!next) return;
    event.preventDefault();
    this.focused = next() ?? here;
    this.readout.textContent = this.focused.name;
    announce(this.focused.name);
    this.draw();
    this.picture.querySelector(".focused")?.scrollIntoView({ block: "nearest" });
  }
}
