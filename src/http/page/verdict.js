// The first thing seen: what the verdicts come to, in a sentence, with its evidence one click away.

import { announce, byId, el, setChildren } from "./dom.js";
import { bytesError, countError, duration, exactBytes, plural, rate, roughly, withoutClosures } from "./format.js";
import { frames } from "./site.js";

/// What was last said aloud, and what each part of the evidence was made of.
let said;
const sources = new WeakMap();

/// Shows an answer of /heap/growth; `open(id)` shows a site.
export function showGrowth(growth, open) {
  const of = (verdict) => growth.verdicts.filter((one) => one.verdict === verdict);
  const off = growth.interval_bytes === 0;
  const alarms = off ? [] : [...of("leaking"), ...of("growing")];
  const early = growth.history_seconds < growth.min_watch_seconds;
  const [headline, detail] = off ? OFF : alarms.length ? alarming(growth, of("leaking"), of("growing")) : early ? tooEarly(growth) : calm(growth);
  const level = alarms.length ? alarms[0].verdict : off || early ? "waiting" : "calm";
  byId("verdict").className = level;
  set(byId("sentence"), headline);
  set(byId("outlook"), [detail, gap(growth)].filter(Boolean).join(" "));
  byId("evidence").hidden = alarms.length === 0;
  const shown = new Map([...byId("alarms").children].map((one) => [one.dataset.site, one]));
  setChildren(byId("alarms"), alarms.map((one) => alarm(one, open, shown.get(one.site))));
  // Rates and times change all the time; that is no news.
  const state = alarms.length ? alarms.map((one) => one.site + one.verdict).sort().join(" ") : headline.split(":")[0];
  if (state !== said) announce(headline);
  said = state;
}

/// Rates fall then because nothing is counted, and are no news.
const OFF = ["Sampling is off: nothing is watched.", "Verdicts and rates pause until an interval is set."];

function set(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function alarming(growth, leaking, growing) {
  const parts = [];
  for (const [word, all] of [["leaking", leaking], ["growing", growing]]) {
    if (!all.length) continue;
    const verb = all.length === 1 ? "is" : "are";
    const subject = parts.length ? `${all.length} more ${verb}` : `${plural(all.length, "call site")} ${verb}`;
    const names = all.slice(0, 2).map((one) => `${name(one)}, ${rate(one.rate_bytes_per_second)}`);
    const more = all.length > 2 ? `; and ${all.length - 2} more` : "";
    parts.push(`${subject} ${word}: ${names.join("; ")}${more}`);
  }
  return [`${parts.join(". ")}.`, [room(growth.memory), watched(growth)].filter(Boolean).join(" ")];
}

/// What to call the one to blame: what was spawned, the person's own code, or whoever it is.
function name(growth) {
  if (growth.task) return `tasks of ${withoutClosures(growth.task)}`;
  return withoutClosures(growth.own_function ?? growth.function);
}

/// What is left under the limit, and for how long.
function room(memory) {
  if (!memory) return "";
  const { resident_bytes: resident, limit_bytes: limit, left_bytes: free, seconds_to_limit: time } = memory;
  if (!limit) return `${exactBytes(resident)} resident, without a memory limit.`;
  const whose = memory.limit === "machine" ? "of the machine's memory" : `under the memory limit of ${exactBytes(limit)}`;
  const left = `${exactBytes(resident)} resident, ${exactBytes(Math.max(0, free ?? limit - resident))} left ${whose}`;
  if (!time || time.estimate === null) return `${left}.`;
  const span = time.low !== null && time.high !== null ? ` (${roughly(time.low)} to ${roughly(time.high)})` : "";
  return `${left}: about ${roughly(time.estimate)}${span} at this rate.`;
}

function watched(growth) {
  return `Watched for ${duration(growth.history_seconds)}.`;
}

/// What verdicts cannot know, however long they watch.
function gap(growth) {
  return growth.was_off && growth.interval_bytes > 0 ? "Sampling was off for a while: what leaked then does not show." : "";
}

function tooEarly(growth) {
  const known = plural(growth.verdicts.length, "call site");
  const left = growth.min_watch_seconds - growth.history_seconds;
  return [
    `Too early to tell: ${known} watched for ${duration(growth.history_seconds)}.`,
    [`The first verdicts come in about ${roughly(left)}.`, room(growth.memory)].join(" "),
  ];
}

/// Nothing alarms: what was watched, for how long, and what could not be seen yet.
function calm(growth) {
  const judged = growth.verdicts.filter((one) => one.verdict !== "too_early").length;
  const least = growth.too_early_below_bytes_per_second;
  const blind = least ? `A leak slower than ${rate({ estimate: least, low: least, high: least }).replace("+", "")} would not show yet.` : "";
  return [
    `Nothing leaks or grows: ${plural(judged, "call site")} judged, watched for ${duration(growth.history_seconds)}.`,
    [room(growth.memory), blind].filter(Boolean).join(" "),
  ];
}

/// Someone may be reading it: only what says something else than in `old` is made anew.
function alarm(growth, open, old) {
  const source = JSON.stringify(growth);
  if (sources.get(old) === source) return old;
  const item = old ?? el("li", { "data-site": growth.site });
  item.className = growth.verdict;
  sources.set(item, source);
  const place = growth.location ? ` (${growth.location})` : "";
  const own = growth.own_function && el("p", { class: "own" }, "in ", el("code", {}, growth.own_function), growth.own_location ? ` (${growth.own_location})` : "");
  const what = growth.task ? `Tasks of ${growth.task}. ` : growth.type ? `Of type ${growth.type}. ` : "";
  const stacks = growth.sites > 1 ? ` At ${growth.sites} stacks together.` : "";
  const parts = [
    el("p", { class: "head" }, el("span", { class: `chip ${growth.verdict}` }, growth.verdict), " ", el("code", {}, growth.function), place),
    own,
    el("p", { class: "numbers" }, `${rate(growth.rate_bytes_per_second)}, ${bytesError(growth.live_bytes)} live in ${countError(growth.live_objects)} objects, watched for ${duration(growth.watched_seconds)}.`),
    el("p", {}, `${what}${upper(growth.evidence)}.${stacks}`),
    growth.caution && el("p", { class: "caution" }, `${upper(growth.caution)}.`),
    growth.frames.length > 0 && stack(growth, item.querySelector(":scope > details")),
    item.querySelector(":scope > button") ?? el("button", { type: "button", onclick: () => open(growth.site) }, "Show the call site"),
  ];
  setChildren(item, parts.filter(Boolean));
  return item;
}

function stack(growth, old) {
  const title = growth.sites > 1 ? "The stack that they have in common" : "The stack";
  const source = title + JSON.stringify(growth.frames);
  if (sources.get(old) === source) return old;
  const made = el("details", { open: old?.open }, el("summary", {}, title), frames(growth.frames));
  sources.set(made, source);
  return made;
}

const upper = (text) => text.charAt(0).toUpperCase() + text.slice(1);
