// Drawing on a canvas: axes, lines, bands and stacks. Knows nothing of what they mean.

import { clock } from "./format.js";

const MARGIN = { left: 64, right: 12, top: 10, bottom: 24 };

/// Steps that people count in: powers of two of bytes, or 1, 2, 5 of anything else.
function steps(top, isBytes, wanted) {
  const least = top / wanted;
  let step = 1;
  if (isBytes) {
    while (step < least) step *= 2;
  } else {
    const power = 10 ** Math.floor(Math.log10(Math.max(least, 1)));
    step = [1, 2, 5, 10].map((factor) => factor * power).find((one) => one >= least) ?? power * 10;
  }
  return step;
}

const TIMES = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800, 604800];

export class Plot {
  constructor(canvas) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
  }

  /// Fits the canvas to its element and the screen; takes the colours of the scheme.
  begin(from, to, top, isBytes) {
    const scale = window.devicePixelRatio || 1;
    const { clientWidth: width, clientHeight: height } = this.canvas;
    if (this.canvas.width !== Math.round(width * scale) || this.canvas.height !== Math.round(height * scale)) {
      this.canvas.width = Math.round(width * scale);
      this.canvas.height = Math.round(height * scale);
    }
    const style = getComputedStyle(this.canvas);
    this.color = (name) => style.getPropertyValue(`--${name}`).trim();
    this.font = `11px ${style.fontFamily}`;
    Object.assign(this, { width, height, from, to: to > from ? to : from + 1, isBytes });
    const step = steps(Math.max(top, 1), isBytes, Math.max(2, Math.floor(height / 50)));
    this.step = step;
    this.top = Math.max(step, Math.ceil((top * 1.02) / step) * step);
    this.context.setTransform(scale, 0, 0, scale, 0, 0);
    this.context.clearRect(0, 0, width, height);
    this.context.lineJoin = "round";
  }

  x(at) {
    return MARGIN.left + ((at - this.from) / (this.to - this.from)) * (this.width - MARGIN.left - MARGIN.right);
  }

  y(value) {
    return this.height - MARGIN.bottom - (value / this.top) * (this.height - MARGIN.top - MARGIN.bottom);
  }

  /// The time at a place.
  at(x) {
    const share = (x - MARGIN.left) / (this.width - MARGIN.left - MARGIN.right);
    return this.from + Math.min(1, Math.max(0, share)) * (this.to - this.from);
  }

  axes(label, wallOf) {
    const { context } = this;
    context.font = this.font;
    context.fillStyle = this.color("muted");
    context.strokeStyle = this.color("grid");
    context.lineWidth = 1;
    context.textBaseline = "middle";
    context.textAlign = "right";
    for (let value = 0; value <= this.top * 1.0001; value += this.step) {
      const y = Math.round(this.y(value)) + 0.5;
      this.stroke([[MARGIN.left, y], [this.width - MARGIN.right, y]]);
      context.fillText(label(value), MARGIN.left - 8, y);
    }
    context.textBaseline = "alphabetic";
    context.textAlign = "center";
    const span = this.to - this.from;
    const wanted = Math.max(2, (this.width - MARGIN.left - MARGIN.right) / 90);
    const step = TIMES.find((one) => one >= span / wanted) ?? TIMES.at(-1);
    const offset = wallOf(0) - new Date().getTimezoneOffset() * 60;
    for (let wall = Math.ceil((this.from + offset) / step) * step; wall <= this.to + offset; wall += step) {
      const x = Math.round(this.x(wall - offset)) + 0.5;
      if (x < MARGIN.left + 14 || x > this.width - 24) continue;
      this.stroke([[x, this.height - MARGIN.bottom], [x, this.height - MARGIN.bottom + 4]]);
      context.fillText(clock(wallOf(wall - offset), step >= 60), x, this.height - 7);
    }
  }

  stroke(points) {
    this.context.beginPath();
    points.forEach(([x, y], index) => (index ? this.context.lineTo(x, y) : this.context.moveTo(x, y)));
    this.context.stroke();
  }

  clip(draw) {
    const { context } = this;
    context.save();
    context.beginPath();
    context.rect(MARGIN.left, 0, this.width - MARGIN.left - MARGIN.right, this.height - MARGIN.bottom + 1);
    context.clip();
    draw();
    context.restore();
  }

  /// A line through points; nothing where the value is not known.
  line(times, values, color, { width = 1.5, dash = [] } = {}) {
    const { context } = this;
    context.strokeStyle = color;
    context.lineWidth = width;
    context.setLineDash(dash);
    context.beginPath();
    let pen = false;
    times.forEach((at, index) => {
      const value = values[index];
      if (value === null || value === undefined) {
        pen = false;
        return;
      }
      if (pen) context.lineTo(this.x(at), this.y(value));
      else context.moveTo(this.x(at), this.y(value));
      pen = true;
    });
    context.stroke();
    context.setLineDash([]);
  }

  /// What lies between two rows of values.
  band(times, low, high, color, alpha) {
    const { context } = this;
    if (times.length === 0) return;
    context.fillStyle = color;
    context.globalAlpha = alpha;
    context.beginPath();
    times.forEach((at, index) => context.lineTo(this.x(at), this.y(high[index])));
    for (let index = times.length - 1; index >= 0; index -= 1) context.lineTo(this.x(times[index]), this.y(low[index]));
    context.fill();
    context.globalAlpha = 1;
  }

  /// A level over the whole width, with its name above it.
  level(value, color, name) {
    const y = Math.round(this.y(value)) + 0.5;
    this.context.strokeStyle = color;
    this.context.fillStyle = color;
    this.context.lineWidth = 1;
    this.context.setLineDash([6, 4]);
    this.stroke([[MARGIN.left, y], [this.width - MARGIN.right, y]]);
    this.context.setLineDash([]);
    this.context.textAlign = "right";
    this.context.fillText(name, this.width - MARGIN.right - 4, y - 4);
  }

  span(from, to) {
    const [left, right] = [this.x(from), this.x(to)];
    const { context } = this;
    context.fillStyle = this.color("accent");
    context.globalAlpha = 0.14;
    context.fillRect(left, MARGIN.top, right - left, this.height - MARGIN.top - MARGIN.bottom);
    context.globalAlpha = 1;
    context.strokeStyle = this.color("accent");
    context.lineWidth = 1;
    for (const x of [left, right]) this.stroke([[x, MARGIN.top], [x, this.height - MARGIN.bottom]]);
  }

  cursor(at) {
    this.context.strokeStyle = this.color("muted");
    this.context.lineWidth = 1;
    const x = Math.round(this.x(at)) + 0.5;
    this.stroke([[x, MARGIN.top], [x, this.height - MARGIN.bottom]]);
  }

  dot(at, value, color) {
    const { context } = this;
    context.fillStyle = color;
    context.beginPath();
    context.arc(this.x(at), this.y(value), 3, 0, 2 * Math.PI);
    context.fill();
  }
}
