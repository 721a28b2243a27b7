// Numbers as people read them, never with more digits than their error allows: an error has one
// digit, or two where it begins with 1, and the number that it belongs to ends at the same place.

const MAX_DIGITS = 4;
const BYTES = { base: 1024, names: [" B", " KiB", " MiB", " GiB", " TiB", " PiB"] };
const COUNT = { base: 1000, names: ["", "k", "M", "G", "T", "P"] };

export const exact = (value) => ({ estimate: value, low: value, high: value });

const halfWidth = (value) => (value.high - value.low) / 2;

/// The power of ten of the last digit that means something.
function lastPlace(value, error) {
  const first = (number) => Math.floor(Math.log10(number));
  const finest = value === 0 ? -Infinity : first(Math.abs(value)) + 1 - MAX_DIGITS;
  if (error === 0) return Math.max(finest, 1 - MAX_DIGITS);
  const place = first(error * 1.03);
  const leading = error / 10 ** place;
  return Math.max(leading < 1.95 ? place - 1 : place, finest);
}

function toPlace(value, place) {
  const rounded = place < 0 ? Math.round(value * 10 ** -place) / 10 ** -place : Math.round(value / 10 ** place) * 10 ** place;
  return (rounded + 0).toFixed(Math.max(0, -place));
}

function scaled(value, units) {
  const error = halfWidth(value);
  const size = Math.abs(value.estimate) > error ? Math.abs(value.estimate) : Math.max(Math.abs(value.low), Math.abs(value.high));
  let index = 0;
  let scale = 1;
  while (size / scale >= units.base - 0.5 && index + 1 < units.names.length) {
    scale *= units.base;
    index += 1;
  }
  let place = lastPlace(value.estimate / scale, error / scale);
  if (index === 0) place = Math.max(place, 0);
  let text = toPlace(value.estimate / scale, place);
  if (error === 0 && text.includes(".")) text = text.replace(/\.?0+$/, "");
  const around = error === 0 ? "" : toPlace(Math.max(error / scale, 10 ** place), place);
  return { text: text === "-0" ? "0" : text, error: around, unit: units.names[index], smallest: units.names[0] };
}

function plain(value, units) {
  const { text, unit, smallest } = scaled(value, units);
  return value.estimate === 0 || text === "0" ? `0${smallest}` : text + unit;
}

function withError(value, units) {
  const { text, error, unit } = scaled(value, units);
  return error === "" ? plain(value, units) : `${text}${unit} ± ${error}${units === COUNT ? unit : ""}`;
}

const signed = (value, text) => (value.estimate > 0 && !/^0(?!\.)/.test(text) ? `+${text}` : text.replace(/^-/, "−"));

export const bytes = (value) => plain(value, BYTES);
export const bytesError = (value) => withError(value, BYTES);
export const bytesChange = (value) => signed(value, plain(value, BYTES));
export const bytesChangeError = (value) => signed(value, withError(value, BYTES));
export const count = (value) => plain(value, COUNT);
export const countError = (value) => withError(value, COUNT);
export const countChange = (value) => signed(value, plain(value, COUNT));
export const exactBytes = (value) => bytes(exact(value));

/// The error of bytes that were estimated at an interval, where it is not at hand: their variance is
/// at most the interval times the bytes.
export const samplingError = (value, interval) => (interval <= 1 ? 0 : 1.96 * Math.sqrt(interval * value) + interval);

/// Such bytes, without digits that mean nothing.
export function sampledBytes(value, interval) {
  const error = samplingError(value, interval);
  return bytes({ estimate: value, low: value - error, high: value + error });
}

/// `+3.1 MiB/min ± 0.4`: per second, minute or hour, so that it is a MiB at least where it can be.
export function rate(value) {
  const times = [[1, "/s"], [60, "/min"], [3600, "/h"]];
  const [seconds, unit] = times.find(([time]) => Math.abs(value.estimate) * time >= 1048576) ?? times[2];
  const of = (number) => number * seconds;
  const part = scaled({ estimate: of(value.estimate), low: of(value.low), high: of(value.high) }, BYTES);
  return signed(value, `${part.text}${part.unit}${unit}${part.error && ` ± ${part.error}`}`);
}

/// `4.2 s`, `12 min 30 s`, `3 h 12 min`, `2 d 3 h`.
export function duration(seconds) {
  if (seconds < 1e-6) return `${Math.round(seconds * 1e9)} ns`;
  if (seconds < 1e-3) return `${Math.round(seconds * 1e6)} µs`;
  if (seconds < 1) return `${Math.round(seconds * 1e3)} ms`;
  if (seconds < 59.95) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  const [days, hours, minutes] = [Math.floor(whole / 86400), Math.floor(whole / 3600), Math.floor(whole / 60)];
  if (days > 0) return `${days} d ${hours % 24} h`;
  if (hours > 0) return `${hours} h ${minutes % 60} min`;
  return whole % 60 === 0 ? `${minutes} min` : `${minutes} min ${whole % 60} s`;
}

/// Time that is an estimate, in one unit and two digits: `2.7 days`.
export function roughly(seconds) {
  const units = [[90, 1, "s"], [5400, 60, "min"], [172800, 3600, "h"], [Infinity, 86400, "days"]];
  const [, size, unit] = units.find(([end]) => seconds < end) ?? units[3];
  const value = seconds / size;
  return `${Number(value.toFixed(value < 9.95 ? 1 : 0))} ${unit}`;
}

const CLOCK = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
const SHORT = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const DAY = new Intl.DateTimeFormat(undefined, { month: "short", day: "numeric" });

/// The time of day of seconds since 1970, with the day if it is another than today.
export function clock(seconds, short = false) {
  const date = new Date(seconds * 1000);
  const time = (short ? SHORT : CLOCK).format(date);
  return date.toDateString() === new Date().toDateString() ? time : `${DAY.format(date)} ${time}`;
}

/// `64k`, `512 KiB`, `1.5 MiB`, `off` → bytes; undefined if it is none of them. A fraction of a byte
/// is none: rounded, it would mean that every allocation is counted, or none.
export function parseBytes(text) {
  const words = { off: 0, all: 1 };
  const clean = text.trim().toLowerCase();
  if (clean in words) return words[clean];
  const found = /^(\d+(?:\.\d+)?)\s*(?:([kmg])i?b?|b|bytes)?$/.exec(clean);
  if (!found) return undefined;
  const bytes = Number(found[1]) * ({ k: 1024, m: 1048576, g: 1073741824 }[found[2]] ?? 1);
  const whole = Number.isInteger(bytes) || (found[2] && bytes >= 1024);
  return whole ? Math.round(bytes) : undefined;
}

/// `chat::serve` of `chat::serve::{async_fn#0}::{closure#1}`.
export const withoutClosures = (path) => path.replace(/(::\{[a-z_]+#\d+\})+$/, "");

export const plural = (number, word) => `${number.toLocaleString("en")} ${word}${number === 1 ? "" : "s"}`;

/// `chat::register` of `chat::register::<T>`; what is long in the middle is cut there.
export function shortName(name, limit = 80) {
  return name.length <= limit ? name : `${name.slice(0, limit / 2 - 1)}…${name.slice(-limit / 2)}`;
}
