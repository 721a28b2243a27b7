// Puts the page together, and asks for what is new: one request every two seconds at most, and none
// while nobody sees it.

import { json, query } from "./api.js";
import { announce, byId } from "./dom.js";
import { Diff } from "./diff.js";
import { clock, duration, exactBytes } from "./format.js";
import { Graph } from "./graph.js";
import { bindLinks } from "./links.js";
import { Past } from "./past.js";
import { describeInterval, Snapshots } from "./snapshots.js";
import { Table } from "./table.js";
import { showGrowth } from "./verdict.js";

/// Seconds between two requests, and between two of what costs more.
const PACE = 2;
const SLOW = 10;

/// Reports may take this share of time at most, on a large or a busy process.
const SHARE = 0.05;

const past = new Past();
const table = new Table();
const diff = new Diff();
const snapshots = new Snapshots((from, to) => {
  graph.clearSpan();
  diff.compare(from, to);
  byId("diff").scrollIntoView({ block: "nearest" });
});
const graph = new Graph(past, (from, to) => {
  if (from === undefined) return;
  // What lies at the end of the graph is now.
  const end = to >= past.end ? "now" : `@${to.toFixed(3)}`;
  diff.compare(`@${from.toFixed(3)}`, end);
});
diff.onClose = () => graph.clearSpan();
graph.onView = () => {
  if (graph.needsLayers && !past.layers) jobs.layers.due = 0;
};

/// What is asked for again and again: how often, and when next.
const jobs = {
  history: {
    light: true,
    every: () => Math.max(PACE, past.clock?.tick_seconds ?? PACE),
    async run() {
      const answer = await json(query("heap/history", past.since()));
      if (past.add(answer)) restart();
      header(answer);
      graph.draw();
    },
  },
  growth: {
    every: () => Math.max(SLOW, past.clock?.tick_seconds ?? SLOW),
    async run() {
      const growth = await json("heap/growth?format=json");
      showGrowth(growth, (id) => table.reveal(id));
      table.setVerdicts(growth);
    },
  },
  // All rows are many.
  table: { every: () => (table.wantsAll ? 6 * SLOW : SLOW), run: () => table.refresh() },
  snapshots: { every: () => 3 * SLOW, run: () => snapshots.refresh() },
  layers: {
    every: () => (graph.needsLayers ? SLOW : Infinity),
    async run() {
      past.addLayers(await json("heap/history/by?n=8"));
      graph.draw();
    },
  },
};
for (const job of Object.values(jobs)) job.due = 0;
jobs.layers.due = Infinity;

const now = () => performance.now() / 1000;

function restart() {
  byId("status").dataset.note = "restarted";
  announce("The process restarted.");
  graph.clearSpan();
  diff.close();
  table.restart();
  for (const job of Object.values(jobs)) if (job.due < Infinity) job.due = 0;
}

function header(clockNow) {
  const { pid, watched_seconds: watched, tick_seconds: tick, interval_bytes: interval } = clockNow;
  byId("process").textContent = `pid ${pid}, up ${duration(watched)}`;
  byId("settings").textContent = `${describeInterval(interval)}, a point every ${duration(tick)}`;
  byId("interval-now").textContent = interval > 1 ? exactBytes(interval) : describeInterval(interval);
}

/// The time changes all the time; aloud is said only what changed otherwise.
function status(text, bad) {
  const element = byId("status");
  if (bad && element.textContent !== text) announce(text);
  if (!bad && element.className === "bad") announce("The endpoint answers again.");
  element.textContent = text;
  element.className = bad ? "bad" : "good";
}

/// Does what is most overdue.
async function step() {
  const at = now();
  const [, job] = Object.entries(jobs).reduce((best, one) => (one[1].due < best[1].due ? one : best));
  if (job.due > at) return;
  job.due = at + PACE;
  try {
    await job.run();
    const took = now() - at;
    job.due = at + Math.max(job.every(), job.light ? 0 : took / SHARE);
    status(`${byId("status").dataset.note ? "restarted; " : ""}updated ${clock(Date.now() / 1000)}`, false);
  } catch (error) {
    job.due = at + (error.status === undefined ? PACE : SLOW);
    status(error.message, true);
  }
  if (graph.needsLayers && jobs.layers.due === Infinity) jobs.layers.due = 0;
}

let timer;
let stepping = false;
let last = -Infinity;

async function beat() {
  clearTimeout(timer);
  if (document.hidden || stepping) return;
  const wait = last + PACE - now();
  if (wait <= 0) {
    last = now();
    stepping = true;
    await step();
    stepping = false;
  }
  if (!document.hidden) timer = setTimeout(beat, Math.max(50, (last + PACE - now()) * 1000));
}

document.addEventListener("visibilitychange", () => (document.hidden ? clearTimeout(timer) : beat()));

/// All that the page shows at first, at once; then at its pace.
async function start() {
  stepping = true;
  await step();
  await step();
  await step();
  await step();
  stepping = false;
  last = now();
  beat();
}

bindLinks();
start();
