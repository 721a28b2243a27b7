// Snapshots to take, keep and compare; files to fetch; the interval.

import { blob, json, post, query, remove } from "./api.js";
import { busy, byId, el, nothingFocused, save, setChildren } from "./dom.js";
import { bytesError, clock, exactBytes, parseBytes } from "./format.js";
import { askForFlame, showFlame } from "./flame.js";

export class Snapshots {
  /// `compare(from, to)` shows what changed.
  constructor(compare) {
    this.status = byId("snapshot-status");
    this.compare = compare;
    this.rows = new Map();
    byId("take").addEventListener("submit", (event) => this.take(event));
    byId("compare").addEventListener("submit", (event) => this.compareChosen(event));
    byId("interval-form").addEventListener("submit", (event) => this.setInterval(event));
    byId("flame-show").addEventListener("click", (event) => this.flame(event.currentTarget));
    byId("flame-what").addEventListener("change", () => (byId("flame-since").hidden = byId("flame-what").value !== "difference"));
    for (const button of document.querySelectorAll("[data-file]")) {
      button.addEventListener("click", () => busy(button, byId("file-status"), async () => save(await blob(button.dataset.path), button.dataset.file)));
    }
  }

  async refresh() {
    const { snapshots } = await json("heap/snapshots");
    // A row that is there already stays, with the focus in it.
    const before = this.rows;
    this.rows = new Map();
    for (const one of snapshots) {
      const key = JSON.stringify(one);
      this.rows.set(key, before.get(key) ?? this.row(one));
    }
    setChildren(byId("kept"), [...this.rows.values()]);
    byId("kept-none").hidden = snapshots.length > 0;
    const names = snapshots.map((one) => one.name);
    choices(byId("compare-from"), names, names.at(-1));
    choices(byId("compare-to"), [...names, "now"], "now");
    choices(byId("flame-from"), names, names.at(-1));
    byId("compare-button").disabled = names.length === 0;
    byId("flame-difference").disabled = names.length === 0;
  }

  row(one) {
    const path = `heap/snapshots/${one.name}`;
    const fetch = (event) => busy(event.currentTarget, this.status, async () => save(await blob(path), `${one.name}.heap`));
    const drop = (event) =>
      busy(event.currentTarget, this.status, async () => {
        const index = [...byId("kept").children].findIndex((row) => row.contains(event.target));
        await remove(path);
        await this.refresh();
        const { children } = byId("kept");
        const next = children[Math.min(index, children.length - 1)]?.querySelector("button:last-child");
        if (nothingFocused()) (next ?? byId("take-name")).focus();
      });
    return el(
      "li",
      {},
      el("span", { class: "name" }, el("code", {}, one.name), el("span", { class: "where" }, `${clock(one.taken_seconds)}, ${bytesError(one.live_bytes)} live`)),
      el("button", { type: "button", onclick: fetch, title: `native file, ${exactBytes(one.file_bytes)}`, "aria-label": `Download ${one.name}` }, "↓"),
      el("button", { type: "button", onclick: drop, title: "delete", "aria-label": `Delete ${one.name}` }, "×"),
    );
  }

  take(event) {
    event.preventDefault();
    const name = byId("take-name").value.trim();
    busy(byId("take-button"), this.status, async () => {
      const made = await post(name ? query("heap/snapshots", { name }) : "heap/snapshots");
      byId("take-name").value = "";
      this.status.textContent = `Kept ${made.name}.`;
      await this.refresh();
    });
  }

  compareChosen(event) {
    event.preventDefault();
    this.compare(byId("compare-from").value, byId("compare-to").value);
  }

  setInterval(event) {
    event.preventDefault();
    const status = byId("interval-status");
    const bytes = parseBytes(byId("interval-value").value);
    busy(byId("interval-button"), status, async () => {
      if (bytes === undefined) throw new Error("An interval is a whole number of bytes, or of KiB or MiB such as 64 KiB or 1.5 MiB; 1 counts every allocation, and off none.");
      await post(query("heap/interval", { bytes }));
      byId("interval-value").value = "";
      status.textContent = `From now on ${describeInterval(bytes)}.`;
    });
  }

  flame(button) {
    const shown = byId("flame-what").value;
    const captions = {
      live: "Live bytes by stack",
      allocated: "Bytes allocated since the start, by stack",
      difference: "The difference: red grew, blue shrank; the width is what lives now",
    };
    const parameters = shown === "difference" ? { diff_from: byId("flame-from").value } : { sample: shown };
    busy(button, byId("flame-status"), async () => {
      const drawing = await askForFlame(query("heap/flamegraph", { ...parameters, format: "svg" }));
      showFlame(byId("flame-picture"), drawing, captions[shown]);
    });
  }
}

function choices(select, names, chosen) {
  if ([...select.options].map((option) => option.value).join("\n") === names.join("\n")) return;
  const value = names.includes(select.value) ? select.value : chosen;
  select.replaceChildren(...names.map((name) => el("option", {}, name)));
  if (value !== undefined) select.value = value;
}

export function describeInterval(bytes) {
  if (bytes === 0) return "nothing is sampled";
  return bytes === 1 ? "every allocation is counted" : `one sample in ${exactBytes(bytes)}`;
}
