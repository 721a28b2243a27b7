// What the page knows of the past: the process's figures point by point, and who held what.

const FIGURES = ["jemalloc_allocated_bytes", "jemalloc_active_bytes", "jemalloc_resident_bytes", "resident_bytes", "threads"];

/// Beyond this many points all are asked for anew, which the endpoint keeps fewer of.
const MAX_POINTS = 10_000;

export class Past {
  constructor() {
    this.forget();
  }

  forget() {
    this.at = [];
    this.live = { estimate: [], low: [], high: [] };
    for (const name of FIGURES) this[name] = [];
    this.clock = undefined;
    this.layers = undefined;
  }

  /// The parameters that ask for what is new.
  since() {
    if (this.at.length === 0 || this.at.length > MAX_POINTS) return {};
    return { since: this.at[this.at.length - 1] };
  }

  /// Adds an answer of /heap/history; true if it is of another process than those before.
  add(answer) {
    const before = this.clock;
    // The process id tells nothing: in a container it is the same after a restart.
    const restarted = before !== undefined && answer.profile_id !== before.profile_id;
    if (restarted || this.at.length > MAX_POINTS) this.forget();
    this.clock = answer;
    if (restarted) return true;
    const last = this.at.length ? this.at[this.at.length - 1] : -Infinity;
    answer.at_seconds.forEach((at, index) => {
      if (at <= last) return;
      this.at.push(at);
      for (const end of ["estimate", "low", "high"]) this.live[end].push(answer.live_bytes[end][index]);
      for (const name of FIGURES) this[name].push(answer[name][index]);
    });
    return false;
  }

  addLayers(answer) {
    this.layers = answer;
  }

  /// Seconds since 1970 of a time of the process.
  wall(at) {
    return this.clock.taken_seconds - this.clock.watched_seconds + at;
  }

  get end() {
    return this.at.length ? this.at[this.at.length - 1] : 0;
  }

  get start() {
    return this.at.length ? this.at[0] : 0;
  }
}

/// The index of the point nearest to a time.
export function nearest(times, at) {
  let [low, high] = [0, times.length - 1];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (times[middle] < at) low = middle + 1;
    else high = middle;
  }
  return low > 0 && at - times[low - 1] < times[low] - at ? low - 1 : low;
}
