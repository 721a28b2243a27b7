// What changed between two moments: a table with error bars, and the flame graph of the difference.

import { blob, json, query } from "./api.js";
import { announce, busy, byId, el, nothingFocused, save } from "./dom.js";
import { bytesChangeError, bytesError, clock, countChange, duration, plural } from "./format.js";
import { askForFlame, showFlame } from "./flame.js";
import { fitTails, tail } from "./fit.js";
import { frames } from "./site.js";
import { GAP, places, title } from "./table.js";

const FEW = 12;

export class Diff {
  constructor() {
    this.panel = byId("diff");
    new ResizeObserver(() => fitTails(byId("diff-rows"))).observe(this.panel);
    this.status = byId("diff-status");
    byId("diff-close").addEventListener("click", () => this.close());
    byId("diff-flame").addEventListener("click", (event) => this.flame(event.currentTarget));
    byId("diff-by").addEventListener("change", () => this.load());
    for (const [id, format, name] of [
      ["diff-pprof", "pprof", "diff.pb.gz"],
      ["diff-text", "text", "diff.txt"],
    ]) {
      byId(id).addEventListener("click", (event) =>
        busy(event.currentTarget, this.status, async () => save(await blob(this.path(format)), name)),
      );
    }
  }

  /// Compares two moments: names of kept snapshots, `now`, or `@` and seconds of the process.
  async compare(from, to) {
    this.span = { from, to };
    this.rows = FEW;
    if (!this.panel.contains(document.activeElement)) this.opener = document.activeElement;
    this.panel.hidden = false;
    byId("diff-picture").replaceChildren();
    await this.load();
  }

  close() {
    const focused = this.panel.contains(document.activeElement) || nothingFocused();
    const before = this.panel.hidden;
    this.panel.hidden = true;
    this.onClose?.();
    if (before || !focused) return;
    const back = this.opener?.isConnected && this.opener !== document.body ? this.opener : byId("graph");
    back.focus({ preventScroll: true });
  }

  path(format) {
    return query("heap/diff", { ...this.span, by: byId("diff-by").value, n: this.rows, format });
  }

  async load() {
    const path = this.path("json");
    this.latest = path;
    byId("diff-title").textContent = "Comparing…";
    this.status.textContent = "";
    this.status.classList.remove("wrong");
    try {
      const answer = await json(path);
      // Another span may have been chosen meanwhile.
      if (this.latest === path) this.show(answer);
    } catch (error) {
      if (this.latest !== path) return;
      byId("diff-title").textContent = "Nothing to compare";
      byId("diff-total").textContent = "";
      byId("diff-rows").replaceChildren();
      byId("diff-rest").replaceChildren();
      this.status.textContent = error.message;
      this.status.classList.add("wrong");
    }
  }

  show(answer) {
    const { from, to, total } = answer;
    const span = to.taken_seconds - from.taken_seconds;
    byId("diff-title").textContent = `Change from ${moment(this.span.from, from)} to ${moment(this.span.to, to)}, ${span === 0 ? "the same moment" : duration(Math.abs(span))}`;
    const significant = answer.rows.filter((row) => row.significant).length;
    const born = total.allocated_bytes ? ` ${bytesError(total.allocated_bytes)} allocated and ${bytesError(total.freed_bytes)} freed in between.` : "";
    const sure = answer.error_bars ? `${plural(significant, "row")} here changed more than sampling alone explains.` : "Of these files no errors are known.";
    byId("diff-total").textContent = `Live bytes: ${bytesChangeError(total.live_bytes_change)}, from ${bytesError(total.before_bytes)} to ${bytesError(total.after_bytes)}.${born} ${sure}${from.was_off || to.was_off ? ` ${GAP}` : ""}`;
    const ends = answer.rows.flatMap((row) => [row.live_bytes_change.low, row.live_bytes_change.high]);
    const scale = [Math.min(0, ...ends), Math.max(0, ...ends)];
    const rows = answer.rows.length ? answer.rows.map((row) => this.row(row, scale, answer.by)) : [el("tr", {}, el("td", { colspan: 4 }, "Nothing was allocated or freed."))];
    byId("diff-rows").replaceChildren(...rows);
    fitTails(byId("diff-rows"));
    const more = async () => {
      this.rows = 500;
      await this.load();
      if (nothingFocused()) byId("diff-rows").children[answer.rows.length]?.querySelector("summary")?.focus();
    };
    byId("diff-rest").replaceChildren(
      ...(answer.hidden_rows ? [el("button", { type: "button", onclick: more }, `Show ${Math.min(500, answer.hidden_rows + answer.rows.length)} rows`)] : []),
    );
    announce(byId("diff-total").textContent);
  }

  row(row, scale, by) {
    const change = row.live_bytes_change;
    const name = title(row, by);
    const chips = [
      row.significant && el("span", { class: `chip ${change.estimate > 0 ? "grew" : "shrank"}` }, change.estimate > 0 ? "grew" : "shrank"),
      row.new && el("span", { class: "chip" }, "new"),
      row.vanished && el("span", { class: "chip" }, "gone"),
    ];
    const head = [el("span", { class: "name-line" }, tail("code", {}, name), chips), ...places(row)];
    const opened = row.frames?.length ? el("details", {}, el("summary", {}, head), frames(row.frames)) : el("div", {}, head);
    return el(
      "tr",
      { class: row.significant === false ? "noise" : undefined },
      el("th", { scope: "row" }, opened),
      el("td", { class: "number" }, bytesChangeError(change)),
      el("td", { class: "share" }, changeBar(change, scale)),
      el("td", { class: "number wide" }, countChange(row.live_objects_change)),
    );
  }

  async flame(button) {
    const { span } = this;
    await busy(button, this.status, async () => {
      try {
        const drawing = await askForFlame(this.path("svg"));
        // Another span may have been chosen meanwhile.
        if (span === this.span) showFlame(byId("diff-picture"), drawing, "The difference: red grew, blue shrank; the width is what lives after");
      } catch (error) {
        if (span === this.span) throw error;
      }
    });
  }
}

function moment(asked, header) {
  const named = asked === "now" || asked.startsWith("@") ? "" : `${asked} (`;
  return `${named}${clock(header.taken_seconds)}${named && ")"}`;
}

/// The change from zero, and its 95 % interval over it.
function changeBar(change, [low, high]) {
  const percent = (value) => `${(((value - low) / Math.max(1, high - low)) * 100).toFixed(2)}%`;
  const width = (part) => `${((part / Math.max(1, high - low)) * 100).toFixed(2)}%`;
  const bar = el("span", { class: `bar change ${change.estimate > 0 ? "more" : "less"}`, role: "img", "aria-label": bytesChangeError(change) });
  const fill = el("span", { class: "fill" });
  fill.style.left = percent(Math.min(0, change.estimate));
  fill.style.width = width(Math.abs(change.estimate));
  const whisker = el("span", { class: "whisker" });
  whisker.style.left = percent(change.low);
  whisker.style.width = width(change.high - change.low);
  const zero = el("span", { class: "zero" });
  zero.style.left = percent(0);
  bar.append(fill, whisker, zero);
  return bar;
}
