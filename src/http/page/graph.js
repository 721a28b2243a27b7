// The graph over time: what is drawn in each view, its legend, hovering, and choosing a span by
// dragging or with the keyboard.

import { announce, byId, el } from "./dom.js";
import { bytesError, clock, count, countError, duration, exact, exactBytes, sampledBytes, samplingError, shortName } from "./format.js";
import { nearest } from "./past.js";
import { Plot } from "./plot.js";

const PALETTE = ["c1", "c2", "c3", "c4", "c5", "c6", "c7", "c8"];

/// A limit that is further away than this many times what is used is told, and not drawn.
const FAR = 3;

/// Each view: times, layers from the bottom up, whether they are stacked, and how values read.
const VIEWS = {
  memory(past) {
    const { live } = past;
    const lines = [
      { name: "RSS", color: "rss", values: past.resident_bytes, width: 2 },
      { name: "jemalloc resident", color: "resident", values: past.jemalloc_resident_bytes },
      { name: "active", color: "active", values: past.jemalloc_active_bytes },
      { name: "allocated", color: "allocated", values: past.jemalloc_allocated_bytes },
    ].filter((line) => line.values.some((value) => value !== null));
    const heap = { name: "live heap", color: "live", values: live.estimate, low: live.low, high: live.high, width: 2 };
    return { times: past.at, layers: [...lines, heap], limit: past.clock?.limit_bytes, isBytes: true };
  },
  sites(past) {
    const answer = past.layers;
    if (!answer) return undefined;
    const layers = answer.functions.map((one, index) => ({
      name: one.function,
      note: one.location,
      color: PALETTE[index % PALETTE.length],
      values: one.live_bytes,
      read: (value) => sampledBytes(value, answer.interval_bytes),
    }));
    const rest = { name: "all other call sites", color: "other", values: answer.other_bytes, read: layers[0]?.read };
    return { times: answer.at_seconds, layers: [...layers, rest], stacked: true, isBytes: true };
  },
  tasks(past) {
    const tasks = (past.layers?.tasks ?? []).map((one, index) => {
      const size = Math.max(1, one.object_bytes);
      const error = (number) => samplingError(number * size, past.layers.interval_bytes) / size;
      return {
        name: one.task,
        note: "live tasks",
        color: PALETTE[index % PALETTE.length],
        times: past.layers.at_seconds,
        values: one.live,
        low: one.live.map((number) => Math.max(0, number - error(number))),
        high: one.live.map((number) => number + error(number)),
        read: (number) => countError({ estimate: number, low: number - error(number), high: number + error(number) }),
        width: 2,
      };
    });
    const threads = { name: "threads", color: "rss", values: past.threads, width: 2, dash: [2, 3] };
    return { times: past.at, layers: [...tasks, threads], isBytes: false };
  },
};

export class Graph {
  /// `onSpan(from, to)` is told the span that was chosen, in seconds of the process.
  constructor(past, onSpan) {
    this.past = past;
    this.onSpan = onSpan;
    this.canvas = byId("graph");
    this.plot = new Plot(this.canvas);
    this.view = "memory";
    this.hidden = new Set();
    this.listen();
  }

  listen() {
    const { canvas } = this;
    new ResizeObserver(() => this.draw()).observe(canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
    byId("range").addEventListener("change", () => {
      this.clearSpan();
      this.draw();
    });
    for (const tab of document.querySelectorAll("[data-view]")) {
      tab.addEventListener("click", () => this.show(tab.dataset.view));
      tab.addEventListener("keydown", (event) => moveTab(event, tab));
    }
    canvas.addEventListener("pointerdown", (event) => this.press(event));
    canvas.addEventListener("pointermove", (event) => this.move(event));
    canvas.addEventListener("pointerup", (event) => this.release(event));
    canvas.addEventListener("pointercancel", () => this.clearSpan());
    canvas.addEventListener("pointerleave", () => {
      if (this.pressed === undefined) this.cursor = undefined;
      this.draw();
    });
    canvas.addEventListener("keydown", (event) => this.key(event));
    canvas.addEventListener("blur", () => {
      this.cursor = undefined;
      this.draw();
    });
  }

  show(view) {
    this.view = view;
    for (const tab of document.querySelectorAll("[data-view]")) {
      const chosen = tab.dataset.view === view;
      tab.setAttribute("aria-selected", String(chosen));
      tab.tabIndex = chosen ? 0 : -1;
      if (chosen) byId("graph-panel").setAttribute("aria-labelledby", tab.id);
    }
    this.onView?.(view);
    this.draw();
  }

  /// Whether the view needs to know who held what.
  get needsLayers() {
    return this.view !== "memory";
  }

  press(event) {
    if (event.button !== 0 || !this.drawn) return;
    this.canvas.setPointerCapture(event.pointerId);
    this.pressed = event.offsetX;
    this.span = undefined;
  }

  move(event) {
    if (!this.drawn) return;
    const at = this.plot.at(event.offsetX);
    this.cursor = at;
    if (this.pressed !== undefined && Math.abs(event.offsetX - this.pressed) > 4) {
      const start = this.plot.at(this.pressed);
      this.span = [Math.min(start, at), Math.max(start, at)];
    }
    this.draw();
  }

  release() {
    if (this.pressed === undefined) return;
    this.pressed = undefined;
    if (this.span) this.onSpan(...this.span);
    else this.onSpan(undefined);
    this.draw();
  }

  clearSpan() {
    this.pressed = undefined;
    this.span = undefined;
    this.anchor = undefined;
    this.draw();
  }

  /// Arrows move the cursor by a point; with shift they span the time from where shift was pressed.
  key(event) {
    const { times } = this.drawn ?? {};
    if (!times?.length) return;
    const from = this.cursor === undefined ? times.length - 1 : nearest(times, this.cursor);
    const page = Math.max(1, Math.round(times.length / 10));
    const moves = { ArrowLeft: -1, ArrowRight: 1, PageUp: -page, PageDown: page, Home: -times.length, End: times.length };
    if (event.key in moves) {
      const index = Math.min(times.length - 1, Math.max(0, from + moves[event.key]));
      if (event.shiftKey) {
        this.anchor ??= times[from];
        this.span = [Math.min(this.anchor, times[index]), Math.max(this.anchor, times[index])];
      } else {
        this.anchor = undefined;
      }
      this.cursor = times[index];
      announce(this.describe(index));
    } else if (event.key === "Enter" && this.span && this.span[0] < this.span[1]) {
      this.onSpan(...this.span);
    } else if (event.key === "Escape") {
      this.clearSpan();
      this.onSpan(undefined);
    } else {
      return;
    }
    event.preventDefault();
    this.draw();
  }

  describe(index) {
    const { times, layers, isBytes } = this.drawn;
    const values = layers.map((layer) => `${layer.name} ${read(layer, times[index], isBytes)}`);
    const span = this.span ? `, ${duration(this.span[1] - this.span[0])} chosen` : "";
    return `${clock(this.past.wall(times[index]))}${span}: ${values.join(", ")}`;
  }

  draw() {
    const { past, plot } = this;
    const view = past.clock && VIEWS[this.view](past);
    const some = view && past.at.length > 0;
    byId("graph-empty").hidden = Boolean(some);
    if (!some) return;
    const shown = Number(byId("range").value) || Infinity;
    const from = Math.max(past.start, past.end - shown);
    const layers = view.layers
      .filter((layer) => !this.hidden.has(layer.name))
      .map((layer) => within(layer, layer.times ?? view.times, from));
    const limitNear = view.limit && view.limit < FAR * highest(layers, view.stacked);
    const top = Math.max(highest(layers, view.stacked), limitNear ? view.limit : 0);
    plot.begin(from, past.end, top, view.isBytes);
    plot.axes((value) => (view.isBytes ? exactBytes(value) : count(exact(value))), (at) => past.wall(at));
    const times = within({ values: [] }, view.times, from).times;
    this.drawn = { times, layers, isBytes: view.isBytes };
    plot.clip(() => {
      if (view.stacked) this.stack(layers);
      else this.lines(layers);
      if (limitNear) plot.level(view.limit, plot.color("limit"), "memory limit");
    });
    if (this.span) plot.span(...this.span);
    if (this.cursor !== undefined) this.drawCursor(view);
    this.legend(view, limitNear);
  }

  lines(layers) {
    for (const layer of layers) {
      const color = this.plot.color(layer.color);
      if (layer.low) this.plot.band(layer.times, layer.low, layer.high, color, this.view === "tasks" ? 0.1 : 0.22);
      this.plot.line(layer.times, layer.values, color, layer);
    }
  }

  stack(layers) {
    let floor;
    for (const layer of layers) {
      const below = floor ?? layer.values.map(() => 0);
      floor = layer.values.map((value, index) => value + below[index]);
      this.plot.band(layer.times, below, floor, this.plot.color(layer.color), 0.75);
    }
  }

  drawCursor(view) {
    this.plot.cursor(this.cursor);
    if (view.stacked) return;
    for (const layer of this.drawn.layers) {
      const index = nearest(layer.times, this.cursor);
      const value = layer.values[index];
      if (value !== null && value !== undefined) this.plot.dot(layer.times[index], value, this.plot.color(layer.color));
    }
  }

  /// Names and values, at the cursor or now; a click hides and shows a layer.
  legend(view, limitNear) {
    const at = this.cursor ?? this.past.end;
    byId("graph-time").textContent = this.span
      ? `${clock(this.past.wall(this.span[0]))} – ${clock(this.past.wall(this.span[1]))}, ${duration(this.span[1] - this.span[0])}`
      : `${this.cursor === undefined ? "now" : "at"} ${clock(this.past.wall(at))}`;
    const items = view.layers.map((layer) => {
      const times = layer.times ?? view.times;
      return { layer, value: read({ ...layer, times }, at, view.isBytes) };
    });
    const key = items.map(({ layer }) => layer.name).join("\n");
    if (this.legendKey !== `${this.view}\n${key}`) {
      this.legendKey = `${this.view}\n${key}`;
      byId("legend").replaceChildren(...items.map(({ layer }) => this.item(layer)));
    }
    items.forEach(({ value }, index) => {
      byId("legend").children[index].querySelector(".value").textContent = value;
    });
    const limit = view.isBytes && !view.stacked ? this.past.clock.limit_bytes : undefined;
    byId("graph-limit").textContent = limit && !limitNear ? `Memory limit ${exactBytes(limit)}, above the graph.` : "";
  }

  item(layer) {
    const toggle = (event) => {
      const { hidden } = this;
      if (!hidden.delete(layer.name)) hidden.add(layer.name);
      event.currentTarget.setAttribute("aria-pressed", String(!hidden.has(layer.name)));
      this.draw();
    };
    return el(
      "button",
      { type: "button", class: "layer", "aria-pressed": String(!this.hidden.has(layer.name)), onclick: toggle, title: [layer.name, layer.note].filter(Boolean).join("\n") },
      el("span", { class: `swatch ${layer.color}` }),
      el("span", { class: "name" }, shortName(layer.name, 44)),
      el("span", { class: "value" }),
    );
  }
}

/// The value of a layer at a time, with its error where that is known.
function read(layer, at, isBytes) {
  const index = nearest(layer.times, at);
  const value = layer.values[index];
  if (value === null || value === undefined) return "unknown";
  if (layer.read) return layer.read(value);
  if (layer.low) return bytesError({ estimate: value, low: layer.low[index], high: layer.high[index] });
  return isBytes ? exactBytes(value) : count(exact(value));
}

/// What of a layer lies after a time, and the point before it.
function within(layer, times, from) {
  let first = times.findIndex((at) => at >= from);
  first = first < 0 ? Math.max(0, times.length - 1) : Math.max(0, first - 1);
  const cut = (values) => values?.slice(first);
  return { ...layer, times: cut(times), values: cut(layer.values), low: cut(layer.low), high: cut(layer.high) };
}

function highest(layers, stacked) {
  const most = (values) => values.reduce((most, value) => Math.max(most, value ?? 0), 0);
  if (!stacked) return Math.max(1, ...layers.map((layer) => most(layer.high ?? layer.values)));
  const sums = layers.length ? layers[0].values.map((_, index) => layers.reduce((sum, layer) => sum + layer.values[index], 0)) : [];
  return Math.max(1, most(sums));
}

function moveTab(event, tab) {
  const tabs = [...document.querySelectorAll("[data-view]")];
  const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  if (!step) return;
  event.preventDefault();
  const next = tabs[(tabs.indexOf(tab) + step + tabs.length) % tabs.length];
  next.focus();
  next.click();
}
