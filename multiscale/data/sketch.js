// The picture of the page until plotly.js has started: its traces and layout on a canvas, every point, not to be zoomed or read off.
"use strict";
const SCALE = [[0, "rgb(0,32,76)"], [0.118, "rgb(0,52,110)"], [0.235, "rgb(60,74,107)"], [0.353, "rgb(91,95,109)"], [0.471, "rgb(117,117,117)"],
  [0.588, "rgb(146,140,120)"], [0.706, "rgb(176,165,114)"], [0.824, "rgb(209,191,102)"], [0.941, "rgb(243,219,79)"], [1, "rgb(255,233,69)"]];

function lowest(values) { return values.reduce((a, b) => Math.min(a, b), Infinity); }
function highest(values) { return values.reduce((a, b) => Math.max(a, b), -Infinity); }

// Values on an axis: `place` gives the fraction of its length (none where there is none), `ticks` pairs of fraction and text.
function axisOf(settings, values) {
  if (settings.type === "category") {
    const words = [...new Set(values.map(String))], at = new Map(words.map((word, i) => [word, (i + 0.5) / words.length]));
    const each = Math.ceil(words.length / 20);
    return { place: (value) => at.get(String(value)), ticks: words.filter((_, i) => i % each === 0).map((word) => [at.get(word), word.slice(0, 24)]) };
  }
  const log = settings.type === "log", on = (value) => log ? (value > 0 ? Math.log10(value) : NaN) : Number(value);
  const placed = values.map(on).filter(Number.isFinite), least = lowest(placed), most = highest(placed);
  const margin = 0.05 * (most - least) || 0.05 * Math.abs(most) || 1, low = least - margin, span = most - least + 2 * margin;
  const place = (value) => (on(value) - low) / span;
  return { place, ticks: ticksOf(log, low, low + span).map((value) => [place(value), String(Number(value.toPrecision(4)))]) };
}

function ticksOf(log, low, high) {
  if (log && high - low > 0.7) {
    const steps = high - low > 3 ? [1] : [1, 2, 5], each = Math.max(1, Math.ceil((high - low) / 8)), found = [];
    for (let power = Math.floor(low); power <= high; power += each) for (const step of steps) found.push(step * 10 ** power);
    return found.filter((value) => Math.log10(value) >= low && Math.log10(value) <= high);
  }
  const [from, to] = log ? [10 ** low, 10 ** high] : [low, high], rough = (to - from) / 9, power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find((word) => word * power >= rough);
  return Array.from({ length: Math.floor(to / step) - Math.ceil(from / step) + 1 }, (_, i) => (Math.ceil(from / step) + i) * step);
}

function shade(fraction) {
  const at = Math.max(1, SCALE.findIndex(([place]) => place >= fraction)), [[a, dark], [b, light]] = [SCALE[at - 1], SCALE[at]];
  const [from, to] = [dark, light].map((word) => word.match(/\d+/g).map(Number));
  return `rgb(${from.map((value, i) => Math.round(value + (to[i] - value) * (fraction - a) / (b - a))).join(",")})`;
}

// Draws what Plotly.react would draw and returns how many points it has drawn.
function sketch(canvas, traces, layout) {
  const { width, height } = canvas.getBoundingClientRect(), fine = window.devicePixelRatio || 1;
  Object.assign(canvas, { width: width * fine, height: height * fine });
  const pen = canvas.getContext("2d"), bar = traces[0].marker.colorbar, named = layout.showlegend ? traces : [];
  const left = 70, right = width - (bar ? 90 : 20), top = 20, bottom = height - (named.length ? 75 : 55);
  const x = axisOf(layout.xaxis, traces.flatMap((t) => t.x)), y = axisOf(layout.yaxis, traces.flatMap((t) => t.y));
  const across = (fraction) => left + fraction * (right - left), up = (fraction) => bottom - fraction * (bottom - top);
  pen.scale(fine, fine);
  pen.font = `12px ${layout.font.family}`;
  const write = (text, at, level, align) => { pen.textAlign = align; pen.fillText(text, at, level); };
  const line = (a, b, c, d) => { pen.beginPath(); pen.moveTo(a, b); pen.lineTo(c, d); pen.stroke(); };
  pen.fillStyle = layout.font.color;
  pen.strokeStyle = layout.xaxis.gridcolor;
  for (const [at, text] of x.ticks) { line(across(at), top, across(at), bottom); write(text, across(at), bottom + 16, "center"); }
  for (const [at, text] of y.ticks) { line(left, up(at), right, up(at)); write(text, left - 6, up(at) + 4, "right"); }
  write(layout.xaxis.title.text, (left + right) / 2, bottom + 36, "center");
  pen.save();
  pen.translate(14, (top + bottom) / 2);
  pen.rotate(-Math.PI / 2);
  write(layout.yaxis.title.text, 0, 0, "center");
  pen.restore();
  let count = 0, from = left;
  for (const trace of traces) {
    const { color, size, opacity } = trace.marker, many = Array.isArray(color), bars = trace.error_y;
    const known = many ? color.filter((value) => value !== null) : [], least = lowest(known), span = highest(known) - least || 1;
    trace.x.forEach((value, i) => {
      const level = trace.y[i], at = across(x.place(value)), high = up(y.place(level));
      if (!Number.isFinite(at + high)) return;
      if (bars) {
        pen.strokeStyle = bars.color;
        const ends = [level - bars.arrayminus[i], level + bars.array[i]].map((end) => up(y.place(end)));
        if (ends.every(Number.isFinite)) line(at, Math.min(ends[0], bottom), at, Math.max(ends[1], top));
      }
      pen.globalAlpha = opacity;
      pen.fillStyle = !many ? color : color[i] === null ? layout.font.color : shade((color[i] - least) / span);
      pen.beginPath();
      pen.arc(at, high, size / 2, 0, 7);
      pen.fill();
      pen.globalAlpha = 1;
      count += 1;
    });
    if (bar) {
      for (let i = 0; i < 100; i++) { pen.fillStyle = shade(i / 99); pen.fillRect(right + 12, bottom - (i + 1) * (bottom - top) / 100, 12, (bottom - top) / 100 + 1); }
      pen.fillStyle = layout.font.color;
      for (const fraction of [0, 0.5, 1]) write(String(Number((least + fraction * span).toPrecision(3))), right + 28, bottom - fraction * (bottom - top) + 4, "left");
      write(bar.title.text, right + 80, top - 8, "right");
    } else if (named.length) {
      pen.fillStyle = trace.marker.color;
      pen.fillRect(from, height - 14, 8, 8);
      pen.fillStyle = layout.font.color;
      write(trace.name, from + 12, height - 6, "left");
      from += 24 + pen.measureText(trace.name).width;
    }
  }
  return count;
}
