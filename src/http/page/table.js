// Who holds memory: a table that can be grouped, ordered and searched, whose rows open.

import { json, query } from "./api.js";
import { announce, byId, el, nothingFocused, setChildren } from "./dom.js";
import { bytesError, clock, count, plural, rate, withoutClosures } from "./format.js";
import { fitTails, tail } from "./fit.js";
import { showSite } from "./site.js";

/// Rows on a page, and those that are asked for without being told to look for more.
const PAGE = 20;
const FEW = 200;
const ALL = 10_000;

/// Of a process that was not sampled all the time.
export const GAP = "Sampling was off for a while: what was allocated then is in no number.";

const estimate = (name) => (row) => row[name].estimate;

/// What can be ordered by: column, the row's value, and whether the endpoint orders so, too.
const ORDERS = {
  live: { of: estimate("live_bytes"), server: "live" },
  growth: { of: (row) => row.growth_bytes_per_second?.estimate ?? -Infinity, server: "growth" },
  objects: { of: estimate("live_objects") },
  allocated: { of: estimate("allocated_bytes"), server: "allocated" },
  name: { of: (row) => row.title.toLowerCase(), up: true },
};

/// What a row is called in a table by `by`.
export function title(row, by) {
  if (by === "task") return row.task ?? "what is no task";
  if (by === "type") return row.type ?? "of unknown type";
  return row.function ?? row.crate;
}

const place = (row) => row.location ?? (row.version ? `version ${row.version}` : "");

/// Where a row's bytes are allocated, and where in the person's own code that comes from.
export function places(row) {
  const own = row.own_function && `${withoutClosures(row.own_function)}${row.own_location ? ` (${row.own_location})` : ""}`;
  return [place(row) && tail("span", { class: "where" }, place(row)), own && tail("span", { class: "where own" }, own)].filter(Boolean);
}

export class Table {
  constructor() {
    this.rows = [];
    this.order = "live";
    this.up = false;
    this.page = 0;
    this.open = undefined;
    this.verdicts = new Map();
    /// While nothing is sampled rates fall for no other reason.
    this.sampled = true;
    /// Whether all rows are here; whether they were asked for by hand, and whether to look for something.
    this.whole = false;
    this.loadedByHand = false;
    this.looksForMore = false;
    byId("by").addEventListener("change", () => this.regroup());
    byId("search").addEventListener("input", () => this.search());
    byId("more-rows").addEventListener("click", () => this.loadAll("loadedByHand"));
    byId("previous").addEventListener("click", () => this.turn(-1));
    byId("next").addEventListener("click", () => this.turn(1));
    for (const button of document.querySelectorAll("[data-order]")) {
      button.addEventListener("click", () => this.sort(button.dataset.order));
    }
    byId("order").addEventListener("change", () => this.sort(byId("order").value));
    new ResizeObserver(() => fitTails(byId("rows"))).observe(byId("top"));
    this.headers();
  }

  get by() {
    return byId("by").value;
  }

  /// Whether there are rows that are not here. What holds nothing is never among the rows.
  get more() {
    return this.answer?.hidden_rows > 0 && !this.whole && this.rows.length >= FEW;
  }

  get wantsAll() {
    return this.loadedByHand || this.looksForMore;
  }

  wantFew() {
    Object.assign(this, { loadedByHand: false, looksForMore: false });
  }

  /// Asks for the rows again, once however often it is called. What is asked for later, with another
  /// grouping or for more rows, takes the place of what is still on its way.
  refresh() {
    const { wantsAll } = this;
    const sort = ORDERS[this.order].server ?? "live";
    const path = query("heap/top", { by: this.by, sort, n: wantsAll ? ALL : FEW, frames: 0, format: "json" });
    if (this.asked?.path !== path) {
      const asked = { path };
      this.asked = asked;
      asked.answer = this.ask(asked, wantsAll).finally(() => {
        if (this.asked === asked) this.asked = undefined;
      });
    }
    return this.asked.answer;
  }

  async ask(asked, all) {
    try {
      const answer = await json(asked.path);
      if (this.asked !== asked) return;
      this.whole = all;
      this.trouble = undefined;
      this.show(answer);
    } catch (error) {
      if (this.asked !== asked) return;
      if (!this.whole) this.wantFew();
      throw error;
    }
  }

  show(answer) {
    this.answer = answer;
    this.rows = answer.rows;
    for (const row of this.rows) {
      row.title = title(row, answer.by);
      row.text = `${row.title} ${row.function ?? ""} ${place(row)} ${row.own_function ?? ""} ${row.own_location ?? ""} ${row.crate ?? ""} ${row.type ?? ""} ${row.task ?? ""}`.toLowerCase();
    }
    this.render();
  }

  setVerdicts(growth) {
    this.sampled = growth.interval_bytes > 0;
    this.verdicts = new Map(growth.verdicts.map((one) => [one.site, one]));
    this.render();
  }

  async regroup() {
    this.page = 0;
    this.open = undefined;
    this.wantFew();
    await this.attempt(() => this.refresh());
    if (byId("search").value) await this.search();
  }

  /// Another process: nothing of the one before is of use.
  restart() {
    this.wantFew();
    Object.assign(this, { answer: undefined, rows: [], whole: false, open: undefined, verdicts: new Map(), asked: undefined });
    byId("rows").replaceChildren();
    byId("table-status").textContent = "Asking…";
  }

  async loadAll(why) {
    this[why] = true;
    byId("more-rows").disabled = true;
    await this.attempt(() => this.refresh());
    byId("more-rows").disabled = false;
    if (nothingFocused()) byId(this.more ? "more-rows" : "next").focus();
  }

  /// Looks through all rows, which are asked for if they are not here.
  async search() {
    this.page = 0;
    this.render();
    const searched = byId("search").value;
    if (searched && this.more) await this.loadAll("looksForMore");
    if (!searched && this.looksForMore) {
      this.looksForMore = false;
      await this.attempt(() => this.refresh());
    }
    announce(byId("table-status").textContent);
  }

  async sort(order) {
    this.up = this.order === order ? !this.up : Boolean(ORDERS[order].up);
    this.order = order;
    this.page = 0;
    this.headers();
    this.render();
    if (this.more) await this.attempt(() => this.refresh());
  }

  headers() {
    const direction = this.up ? "ascending" : "descending";
    byId("order").value = this.order;
    byId("top").dataset.ordered = this.order;
    for (const column of document.querySelectorAll("#top thead th")) {
      const buttons = [...column.querySelectorAll("[data-order]")];
      for (const button of buttons) button.dataset.direction = button.dataset.order === this.order ? direction : "none";
      if (buttons.length) column.setAttribute("aria-sort", buttons.some((one) => one.dataset.order === this.order) ? direction : "none");
    }
  }

  turn(pages) {
    this.page += pages;
    this.render();
    // A browser takes the focus from what is disabled, as the last page's button is.
    const [pressed, other] = pages > 0 ? ["next", "previous"] : ["previous", "next"];
    if (byId(pressed).disabled && (nothingFocused() || document.activeElement === byId(pressed))) byId(other).focus();
  }

  async attempt(work) {
    this.trouble = undefined;
    try {
      await work();
    } catch (error) {
      this.trouble = error.message;
      announce(error.message);
      this.render();
    }
  }

  /// Shows a site by its id, whatever was chosen before.
  async reveal(id) {
    byId("by").value = "site";
    byId("search").value = "";
    Object.assign(this, { order: "live", up: false, open: id });
    this.wantFew();
    this.headers();
    await this.attempt(() => this.refresh());
    const found = () => this.found().findIndex((row) => row.id === id);
    if (found() < 0 && this.more) await this.loadAll("looksForMore");
    this.page = Math.max(0, Math.floor(found() / PAGE));
    this.render();
    byId("rows").querySelector("[aria-expanded=true]")?.focus();
    byId("rows").querySelector(".open")?.scrollIntoView({ block: "center" });
  }

  /// The rows that match, in their order.
  found() {
    const words = byId("search").value.toLowerCase().split(/\s+/).filter(Boolean);
    const matches = words.length ? this.rows.filter((row) => words.every((word) => row.text.includes(word))) : [...this.rows];
    const { of } = ORDERS[this.order];
    const sign = this.up ? 1 : -1;
    return matches.sort((a, b) => {
      const [x, y] = [of(a), of(b)];
      return x < y ? -sign : x > y ? sign : 0;
    });
  }

  render() {
    if (!this.answer) return;
    const found = this.found();
    const pages = Math.max(1, Math.ceil(found.length / PAGE));
    this.page = Math.min(Math.max(0, this.page), pages - 1);
    const shown = found.slice(this.page * PAGE, (this.page + 1) * PAGE);
    const keys = shown.map((row) => this.key(row));
    const opened = byId("rows").querySelector(".detail");
    const most = Math.max(1, ...this.rows.map((row) => row.live_bytes.high));
    const focused = document.activeElement?.closest?.("[data-key]")?.dataset.key;
    const lines = shown.flatMap((row, index) => {
      const line = this.line(row, keys[index], most);
      if (keys[index] !== this.open) return [line];
      // What is being read stays.
      const detail = opened?.dataset.of === this.open ? opened : this.detail(row);
      return [line, detail];
    });
    setChildren(byId("rows"), lines);
    fitTails(byId("rows"));
    if (focused) byId("rows").querySelector(`[data-key="${CSS.escape(focused)}"] button`)?.focus({ preventScroll: true });
    this.footer(found, pages);
  }

  footer(found, pages) {
    const hidden = this.answer.hidden_rows;
    const group = { site: "call site" }[this.answer.by] ?? this.answer.by;
    const status = byId("table-status");
    status.textContent = this.trouble ?? `${this.what(found.length, hidden, group)}, as of ${clock(this.answer.taken_seconds)}`;
    status.classList.toggle("wrong", this.trouble !== undefined);
    byId("more-rows").hidden = !this.more;
    byId("more-rows").textContent = `load the other ${hidden.toLocaleString("en")}`;
    byId("page-number").textContent = `${this.page + 1} of ${pages}`;
    byId("previous").disabled = this.page === 0;
    byId("next").disabled = this.page >= pages - 1;
    byId("pager").hidden = pages === 1;
    const unseen = this.answer.unseen_bytes;
    const bound = unseen ? `A call site that is not listed holds less than ${bytesError({ estimate: unseen, low: unseen, high: unseen })}, with 95 % confidence. ` : "";
    byId("unseen").textContent = this.answer.was_off ? `${GAP} ` : bound;
    byId("notes").textContent = this.answer.notes.join(" ");
  }

  /// How many rows there are, are found among how many, and are not here, and why.
  what(found, hidden, group) {
    const total = plural(this.rows.length + hidden, group);
    const matches = `${found} ${found === 1 ? "match" : "matches"} among`;
    const searched = byId("search").value;
    if (this.more) return searched ? `${matches} the first ${this.rows.length} of ${total}` : total;
    const rest = hidden.toLocaleString("en");
    const here = plural(this.rows.length, group);
    const empty = hidden > 0 && this.rows.length < ALL;
    if (empty) return searched ? `${matches} ${here} that hold${this.rows.length === 1 ? "s" : ""} memory` : `${total}, of which ${rest} hold nothing`;
    return (searched ? `${matches} ${here}` : total) + (hidden > 0 ? `, without ${rest} that hold least` : "");
  }

  key(row) {
    return row.id ?? `${row.crate ?? ""} ${row.title}`;
  }

  line(row, key, most) {
    const open = key === this.open;
    const verdict = this.verdicts.get(row.id);
    const alarms = this.sampled && verdict && (verdict.verdict === "leaking" || verdict.verdict === "growing");
    const growth = alarms ? verdict.rate_bytes_per_second : row.growth_bytes_per_second;
    const sure = this.sampled && growth && (growth.low > 0 || growth.high < 0);
    return el(
      "tr",
      { class: open ? "open" : undefined, "data-key": key },
      el(
        "th",
        { scope: "row" },
        el(
          "span",
          { class: "name-line" },
          el("button", { type: "button", class: "opener", "aria-expanded": String(open), onclick: () => this.toggle(key) }, tail("code", {}, row.title)),
          alarms && el("span", { class: `chip ${verdict.verdict}` }, verdict.verdict),
        ),
        places(row),
      ),
      el("td", { class: "number live" }, bytesError(row.live_bytes), sure && el("span", { class: "growth" }, rate(growth))),
      el("td", { class: "share" }, errorBar(row.live_bytes, most)),
      el("td", { class: "number wide objects" }, count(row.live_objects)),
      el("td", { class: "number wide allocated" }, bytesError(row.allocated_bytes)),
    );
  }

  toggle(key) {
    this.open = this.open === key ? undefined : key;
    this.render();
  }

  detail(row) {
    const cell = el("td", { colspan: 5 });
    const line = el("tr", { class: "detail", "data-of": this.key(row) }, cell);
    if (row.id) {
      showSite(cell, row.id, this.verdicts.get(row.id));
    } else {
      const sites = row.sites ? plural(row.sites, "call site") : "its call sites";
      const show = () => {
        byId("by").value = "site";
        byId("search").value = row.title;
        this.regroup();
      };
      cell.append(
        el("p", {}, `${bytesError(row.live_bytes)} live in ${count(row.live_objects)} objects, ${bytesError(row.allocated_bytes)} allocated since the start, at ${sites}.`),
        el("button", { type: "button", onclick: show }, `Show ${sites}`),
      );
    }
    return line;
  }
}

/// A bar as long as the estimate, with a line over its 95 % interval.
export function errorBar(value, most) {
  const percent = (part) => `${Math.max(0, Math.min(100, (part / most) * 100)).toFixed(2)}%`;
  const bar = el("span", { class: "bar", role: "img", "aria-label": `95 % interval ${bytesError(value)}` });
  const fill = el("span", { class: "fill" });
  fill.style.width = percent(value.estimate);
  const whisker = el("span", { class: "whisker" });
  whisker.style.left = percent(value.low);
  whisker.style.width = percent(value.high - value.low);
  bar.append(fill, whisker);
  return bar;
}
