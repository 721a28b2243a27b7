// One call site: its stack, its history, how old what lives is and how long lived what died.

import { json, query } from "./api.js";
import { el, svg } from "./dom.js";
import { bytesError, clock, countError, duration, plural, sampledBytes } from "./format.js";

/// Frames in a row that are nobody's news are shown as one, if they are so many.
const FEW = 3;

/// A stack, innermost first; what is neither std's nor a C library's stands out.
export function frames(list, truncated = false) {
  const items = [];
  for (let at = 0; at < list.length; ) {
    const end = list.findIndex((frame, index) => index >= at && !isPlumbing(frame));
    const run = list.slice(at, end < 0 ? list.length : end);
    if (run.length >= FEW) {
      const all = el("ol", { start: at + 1 }, run.map((frame, index) => item(frame, at + index)));
      items.push(el("li", { class: "plumbing" }, el("details", {}, el("summary", {}, `${run.length} frames of std and the system`), all)));
    } else {
      items.push(...run.map((frame, index) => item(frame, at + index)));
    }
    at += run.length;
    if (at < list.length) {
      items.push(item(list[at], at));
      at += 1;
    }
  }
  if (truncated) items.push(el("li", { class: "plumbing" }, "… outer frames are missing"));
  return el("ol", { class: "frames", tabindex: 0, "aria-label": "Stack, innermost first" }, items);
}

const isPlumbing = (frame) => frame.crate === null || frame.crate === "std";

function item(frame, index) {
  return el(
    "li",
    { class: isPlumbing(frame) ? "plumbing" : undefined },
    el("span", { class: "index" }, String(index + 1)),
    el("code", { title: frame.function }, frame.function),
    el("span", { class: "place" }, frame.location, frame.crate && !isPlumbing(frame) && ` · ${frame.crate}`),
  );
}

/// Asks for a site and shows it in `place`.
export async function showSite(place, id, verdict) {
  place.replaceChildren(el("p", { class: "muted" }, "Asking…"));
  try {
    const answer = await json(query("heap/site", { id }));
    place.replaceChildren(picture(answer, verdict));
  } catch (error) {
    place.replaceChildren(el("p", { class: "wrong" }, error.message));
  }
}

function picture(answer, verdict) {
  const { site } = answer;
  const facts = [
    ["live", `${bytesError(site.live_bytes)}, ${countError(site.live_objects)} objects`],
    ["allocated", `${bytesError(site.allocated_bytes)}, ${countError(site.allocated_objects)} objects`],
    ["freed", `${bytesError(site.freed_bytes)}, ${countError(site.freed_objects)} objects`],
    ["samples", site.samples.toLocaleString("en")],
    ["type", site.type],
    ["task", site.task],
    ["verdict", verdict && `${verdict.verdict.replace("_", " ")}: ${verdict.evidence}`],
    ["site", site.id],
  ].filter(([, value]) => value);
  const wall = (at) => answer.taken_seconds - answer.watched_seconds + at;
  return el(
    "div",
    { class: "site" },
    el("dl", { class: "facts" }, facts.flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)])),
    el(
      "div",
      { class: "pictures" },
      figure("Live bytes over time", spark(answer.history, wall, answer.interval_bytes)),
      figure("Age of what lives", histogram(answer.ages)),
      figure("Lifetime of what was freed", histogram(answer.lifetimes)),
    ),
    el("div", {}, el("h4", {}, "Stack, innermost first"), frames(site.frames, site.truncated)),
  );
}

function figure(title, drawn) {
  return el("figure", {}, el("figcaption", {}, title), drawn);
}

/// The mean, between the least and the most of each stretch of time.
function spark(history, wall, interval) {
  const read = (value) => sampledBytes(value, interval);
  const known = history ? history.at_seconds.flatMap((at, index) => (history.mean_bytes[index] === null ? [] : [index])) : [];
  if (known.length < 2) return el("p", { class: "muted" }, "Not watched long enough.");
  const [width, height] = [260, 64];
  const [first, last] = [history.at_seconds[known[0]], history.at_seconds[known.at(-1)]];
  const top = Math.max(1, ...known.map((index) => history.peak_bytes[index]));
  const x = (index) => (((history.at_seconds[index] - first) / Math.max(1e-9, last - first)) * width).toFixed(1);
  const y = (value) => (height - (value / top) * (height - 4)).toFixed(1);
  const points = (values, list) => list.map((index) => `${x(index)},${y(values[index])}`).join(" ");
  const band = `${points(history.peak_bytes, known)} ${points(history.floor_bytes, [...known].reverse())}`;
  const label = `from ${read(history.mean_bytes[known[0]])} to ${read(history.last_bytes[known.at(-1)])}, at most ${read(top)}`;
  return el(
    "div",
    {},
    svg(
      "svg",
      { viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none", role: "img", "aria-label": label, class: "spark" },
      svg("polygon", { points: band, class: "band" }),
      svg("polyline", { points: points(history.mean_bytes, known), class: "mean" }),
    ),
    el("div", { class: "ends" }, el("span", {}, clock(wall(first), true)), el("span", {}, `at most ${read(top)}`), el("span", {}, clock(wall(last), true))),
  );
}

/// Bars for times that double from one to the next; the last of all takes the rest.
function histogram(buckets) {
  const all = buckets.reduce((sum, bucket) => sum + bucket.samples, 0);
  if (!all) return el("p", { class: "muted" }, "No sample.");
  const [width, height] = [260, 64];
  const most = Math.max(...buckets.map((bucket) => bucket.samples));
  const each = width / Math.max(buckets.length, 6);
  const starts = buckets.map((bucket, index) => (bucket.below_seconds === null ? buckets[index - 1].below_seconds : bucket.below_seconds / 2));
  const span = (index) => {
    const { below_seconds: end } = buckets[index];
    return end === null ? `over ${duration(starts[index])}` : `${duration(starts[index])} to ${duration(end)}`;
  };
  const bars = buckets.map((bucket, index) => {
    const size = bucket.samples ? Math.max(1.5, (bucket.samples / most) * (height - 4)) : 0;
    const title = `${span(index)}: ${plural(bucket.samples, "sample")}`;
    return svg(
      "rect",
      { x: (index * each + 0.5).toFixed(1), y: (height - size).toFixed(1), width: Math.max(1, each - 1.5).toFixed(1), height: size.toFixed(1) },
      svg("title", {}, title),
    );
  });
  const end = buckets.at(-1).below_seconds;
  const last = end === null ? `over ${duration(starts.at(-1))}` : duration(end);
  let seen = 0;
  const median = buckets.findIndex((bucket) => (seen += bucket.samples) * 2 >= all);
  const half = buckets[median].below_seconds;
  const middle = half === null ? `half over ${duration(starts[median])}` : `half below ${duration(half)}`;
  return el(
    "div",
    {},
    svg("svg", { viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none", role: "img", "aria-label": `${plural(all, "sample")}, ${middle}`, class: "bars" }, bars),
    el("div", { class: "ends" }, el("span", {}, duration(starts[0])), el("span", {}, middle), el("span", {}, last)),
  );
}
