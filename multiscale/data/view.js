// The browser page of `multiscale view`: rows come from the address in data-source, again and again while something may change.
"use strict";
const PAGE = 50, EVERY_MS = 2000, FAST_FROM = 1500, BARS_UP_TO = 400, MOST_WORDS = 30;
const $ = (id) => document.getElementById(id);
const state = { columns: [], rows: [], version: "", filters: {}, sort: null, page: 0, x: "", y: "", color: "", xlog: null, ylog: null, bars: true, chosen: null };
const source = document.body.dataset.source;

const column = (name) => state.columns.findIndex((c) => c.name === name);
const numeric = (name) => column(name) >= 0 && state.columns[column(name)].numeric;
const told = (value) => value === null ? "–"
  : typeof value === "number" && !Number.isInteger(value) ? String(Number(value.toPrecision(5))) : String(value);
const plain = (name) => name.replaceAll("^2", "²").replaceAll("^3", "³").replaceAll("ohm", "Ω").replaceAll("(um)", "(µm)");
const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

function element(tag, settings, ...children) {
  const made = Object.assign(document.createElement(tag), settings);
  made.append(...children);
  return made;
}

async function fetchRows() {
  const answer = await fetch(`${source}?since=${encodeURIComponent(state.version)}`);
  if (!answer.ok) throw new Error(`the server answers ${answer.status}`);
  const data = await answer.json();
  const changed = "rows" in data || data.changed.length > 0;
  if ("rows" in data) {
    const first = state.columns.length === 0;
    state.columns = data.columns.map(({ cells, all, ...column }) => column);
    state.rows = Array.from({ length: data.rows }, (_, place) => data.columns.map((c) => c.cells ? c.cells[place] : c.all));
    state.key = data.key;
    state.reports = data.reports ?? false;
    $("title").textContent = data.title;
    if (first) begin(data);
    fillSelectors();
  } else {
    for (const [place, row] of data.changed) state.rows[place] = row;
  }
  state.version = data.version;
  tellCounts(data);
  return changed;
}

function begin(data) {
  const kept = readAddress();
  state.x = kept.x && column(kept.x) >= 0 ? kept.x : data.x;
  state.y = kept.y && column(kept.y) >= 0 ? kept.y : data.y;
  state.color = kept.color && column(kept.color) >= 0 ? kept.color : "state";
  state.xlog = kept.xlog ?? null;
  state.ylog = kept.ylog ?? null;
  for (const [name, filter] of Object.entries(kept.filters ?? {})) if (column(name) >= 0) state.filters[name] = filter;
  drawFilters();
}

function readAddress() {
  try { return JSON.parse(decodeURIComponent(location.hash.slice(1)) || "{}"); } catch { return {}; }
}

function writeAddress() {
  const { x, y, color, xlog, ylog, filters } = state;
  history.replaceState(null, "", `#${encodeURIComponent(JSON.stringify({ x, y, color, xlog, ylog, filters }))}`);
}

function tellCounts(data) {
  const parts = Object.entries(data.counts).filter(([, count]) => count > 0).map(([name, count]) => `${count} ${name}`);
  $("counts").textContent = [`${state.rows.length} rows`, ...parts, data.left].filter(Boolean).join(" · ");
  $("problem").hidden = !data.problem;
  $("problem").textContent = data.problem;
  const all = Object.values(data.counts).reduce((a, b) => a + b, 0), open = all - (data.counts.done ?? 0) - (data.counts.failed ?? 0);
  $("progress").hidden = state.key !== "design" || open === 0;
  $("progress").querySelector(".over").style.width = `${100 * (data.counts.done ?? 0) / (all || 1)}%`;
  $("progress").querySelector(".broken").style.width = `${100 * (data.counts.failed ?? 0) / (all || 1)}%`;
}

function fillSelectors() {
  const filled = state.columns.filter((c) => !c.empty || c.numeric);
  const options = (names, chosen) => names.map((name) => element("option", { value: name, textContent: plain(name), selected: name === chosen }));
  $("x").replaceChildren(...options(filled.map((c) => c.name), state.x));
  $("y").replaceChildren(...options(filled.filter((c) => c.numeric).map((c) => c.name), state.y));
  $("color").replaceChildren(element("option", { value: "", textContent: "none" }), ...options(filled.map((c) => c.name), state.color));
  if (!$("y").value && $("y").options.length) $("y").selectedIndex = 0;
  state.x = $("x").value;
  state.y = $("y").value;
  state.color = $("color").value;
  $("add").replaceChildren(element("option", { value: "", textContent: "a column …" }),
    ...options(filled.map((c) => c.name).filter((name) => !(name in state.filters)), ""));
}

function words(name) {
  const at = column(name), counts = new Map();
  for (const row of state.rows) counts.set(row[at], (counts.get(row[at]) ?? 0) + 1);
  return [...counts].sort((a, b) => b[1] - a[1]);
}

function drawFilters() {
  $("filters").replaceChildren(...Object.entries(state.filters).map(([name, filter]) => {
    const box = element("div", { className: "filter" }, element("b", { textContent: plain(name) }));
    if ("min" in filter) {
      for (const [key, label] of [["min", "from"], ["max", "to"]]) {
        const input = element("input", { type: "number", step: "any", value: filter[key] ?? "", ariaLabel: `${name} ${label}` });
        input.addEventListener("input", () => { filter[key] = input.value === "" ? null : Number(input.value); refilter(); });
        box.append(element("label", {}, `${label} `, input));
      }
    } else if ("text" in filter) {
      const input = element("input", { type: "search", value: filter.text, ariaLabel: `${name} contains` });
      input.addEventListener("input", () => { filter.text = input.value; refilter(); });
      box.append(element("label", {}, "contains ", input));
    } else {
      for (const [word, count] of words(name)) {
        const tick = element("input", { type: "checkbox", checked: !filter.without.includes(word) });
        tick.addEventListener("change", () => {
          filter.without = tick.checked ? filter.without.filter((w) => w !== word) : [...filter.without, word];
          refilter();
        });
        box.append(element("label", {}, tick, ` ${told(word)} (${count})`));
      }
    }
    const remove = element("button", { type: "button", textContent: "remove", ariaLabel: `remove the filter ${name}` });
    remove.addEventListener("click", () => { delete state.filters[name]; drawFilters(); fillSelectors(); refilter(); });
    box.append(remove);
    return box;
  }));
}

function addFilter(name) {
  if (!name) return;
  state.filters[name] = numeric(name) ? { min: null, max: null } : words(name).length > MOST_WORDS ? { text: "" } : { without: [] };
  drawFilters();
  fillSelectors();
  refilter();
}

function passing() {
  const tests = Object.entries(state.filters).map(([name, f]) => {
    const at = column(name);
    if ("min" in f) return (row) => (f.min === null && f.max === null) || (row[at] !== null && (f.min === null || row[at] >= f.min) && (f.max === null || row[at] <= f.max));
    if ("text" in f) return (row) => String(row[at] ?? "").toLowerCase().includes(f.text.toLowerCase());
    return (row) => !f.without.includes(row[at]);
  });
  const found = [];
  state.rows.forEach((row, place) => { if (tests.every((test) => test(row))) found.push(place); });
  return found;
}

function sorted(places) {
  if (!state.sort) return places;
  const at = column(state.sort.name), sign = state.sort.down ? -1 : 1;
  const order = (a, b) => a === b ? 0 : a === null ? 1 : b === null ? -1 : sign * (typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b)));
  return [...places].sort((p, q) => order(state.rows[p][at], state.rows[q][at]));
}

function isWide(values) {
  let low = Infinity, high = -Infinity;
  for (const value of values) { if (typeof value !== "number" || value <= 0) return false; low = Math.min(low, value); high = Math.max(high, value); }
  return high / low >= 20;
}

const hasWebGl = (() => { try { return Boolean(document.createElement("canvas").getContext("webgl")); } catch { return false; } })();

function draw(places) {
  const x = column(state.x), y = column(state.y), c = column(state.color);
  const shown = places.filter((p) => state.rows[p][y] !== null && state.rows[p][x] !== null);
  $("plot").hidden = shown.length === 0;
  $("nothing").hidden = shown.length > 0;
  $("nothing").textContent = `No row that passes the filters has both ${plain(state.x)} and ${plain(state.y)} yet.`;
  if (!shown.length) return;
  const xs = shown.map((p) => state.rows[p][x]), ys = shown.map((p) => state.rows[p][y]);
  const xlog = state.xlog ?? isWide(xs), ylog = state.ylog ?? isWide(ys);
  $("xlog").checked = xlog;
  $("ylog").checked = ylog;
  $("xlog").disabled = !numeric(state.x);
  const kind = shown.length >= FAST_FROM && hasWebGl ? "scattergl" : "scatter";
  const low = column(state.y.replace(/^ccd \(/, "ccd_low (")), high = column(state.y.replace(/^ccd \(/, "ccd_high ("));
  const hasBars = low >= 0 && high >= 0 && low !== y;
  $("barlabel").hidden = !hasBars || shown.length > BARS_UP_TO;
  const withBars = hasBars && state.bars && shown.length <= BARS_UP_TO;
  const trace = (group, name, marker) => ({
    type: kind, mode: "markers", name, x: group.map((p) => state.rows[p][x]), y: group.map((p) => state.rows[p][y]), customdata: group,
    marker: { size: shown.length > 3000 ? 4 : 8, opacity: shown.length > 3000 ? 0.55 : 0.85, ...marker },
    hovertemplate: `${plain(state.x)} %{x}<br>${plain(state.y)} %{y}<extra>${name}</extra>`,
    ...(withBars ? { error_y: { type: "data", symmetric: false, thickness: 1, width: 0, color: color("--muted"),
      array: group.map((p) => state.rows[p][high] - state.rows[p][y]), arrayminus: group.map((p) => state.rows[p][y] - state.rows[p][low]) } } : {}),
  });
  let traces;
  if (c >= 0 && numeric(state.color)) {
    const bar = { title: { text: plain(state.color), side: "right" }, outlinewidth: 0, tickfont: { color: color("--ink") }, thickness: 12 };
    traces = [trace(shown, "", { color: shown.map((p) => state.rows[p][c]), colorscale: SCALE, showscale: true, colorbar: bar })];
  } else if (c >= 0) {
    const groups = new Map();
    for (const p of shown) {
      const word = told(state.rows[p][c]);
      if (!groups.has(word)) groups.set(word, []);
      groups.get(word).push(p);
    }
    traces = [...groups].slice(0, 60).map(([word, group], i) => trace(group, word, { color: color(`--series-${1 + i % 7}`) }));
  } else {
    traces = [trace(shown, "", { color: color("--series-1") })];
  }
  const axis = (name, log) => ({ title: { text: plain(name) }, type: numeric(name) ? (log ? "log" : "linear") : "category", gridcolor: color("--grid"),
    zeroline: false, linecolor: color("--muted"), tickcolor: color("--muted"), automargin: true });
  const layout = { paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font: { color: color("--ink"), family: "system-ui, sans-serif" },
    margin: { l: 60, r: 20, t: 20, b: 50 }, xaxis: axis(state.x, xlog), yaxis: axis(state.y, ylog), showlegend: traces.length > 1,
    legend: { orientation: "h", y: -0.25 }, hovermode: "closest", uirevision: `${state.x} ${state.y} ${xlog} ${ylog}` };
  const settings = { displaylogo: false, responsive: true, modeBarButtonsToRemove: ["select2d", "lasso2d"], toImageButtonOptions: { format: "svg", filename: "sweep" } };
  if (!window.Plotly) return tellSketch(sketch($("sketch"), traces, layout));
  const isNew = !$("plot").classList.contains("js-plotly-plot");
  if (isNew) $("sketch").remove();
  Plotly.react("plot", traces, layout, settings);
  if (isNew) $("plot").on("plotly_click", (event) => choose(event.points[0].customdata));
}

function tellSketch(count) {
  $("sketch").dataset.points = count;
  $("waiting").textContent = `All ${count} points are drawn; zoom, values and clicks follow.`;
  $("waiting").hidden = false;
}

function link(row) {
  const name = encodeURIComponent(String(row[column(state.key)]));
  return state.key === "design" ? `design/${name}` : `/case/${name}/`;
}

function choose(place) {
  state.chosen = place;
  const row = state.rows[place], name = String(row[column(state.key)]);
  const open = element("a", { className: "button", href: link(row), target: "_blank", rel: "noopener", textContent: `open ${name}` });
  const pairs = state.columns.map((c, i) => [c.name, row[i]]).filter(([, value]) => value !== null);
  const list = element("dl", {}, ...pairs.map(([key, value]) => element("div", {}, element("dt", { textContent: plain(key) }), element("dd", { textContent: told(value) }))));
  const parts = [open];
  if (state.reports && row[column("state")] === "done") {
    parts.push(" ", element("a", { className: "button", href: `${link(row)}/report`, target: "_blank", rel: "noopener", textContent: "open its report" }));
  }
  $("chosen").replaceChildren(...parts, list);
  $("chosen").hidden = false;
  drawTable();
}

function drawTable() {
  const filled = state.columns.map((c, i) => [c, i]).filter(([c, i]) => c.variable || state.rows.some((row) => row[i] !== null));
  const order = sorted(state.passing), pages = Math.max(1, Math.ceil(order.length / PAGE));
  state.page = Math.min(state.page, pages - 1);
  const head = element("tr", {}, ...filled.map(([c]) => {
    const mark = state.sort?.name === c.name ? (state.sort.down ? " ↓" : " ↑") : "";
    const button = element("button", { type: "button", textContent: plain(c.name) + mark });
    button.addEventListener("click", () => {
      state.sort = state.sort?.name !== c.name ? { name: c.name, down: false } : state.sort.down ? null : { name: c.name, down: true };
      state.page = 0;
      drawTable();
    });
    const cell = element("th", { scope: "col", className: c.numeric ? "n" : "" }, button);
    if (mark) cell.ariaSort = state.sort.down ? "descending" : "ascending";
    return cell;
  }));
  $("table").tHead.replaceChildren(head);
  $("table").tBodies[0].replaceChildren(...order.slice(state.page * PAGE, (state.page + 1) * PAGE).map((place) => {
    const row = state.rows[place];
    const line = element("tr", { className: place === state.chosen ? "chosen" : "" }, ...filled.map(([c, i]) => {
      const cell = element("td", { className: c.numeric ? "n" : "", title: row[i] === null ? "" : String(row[i]) });
      cell.append(c.name === state.key ? element("a", { href: link(row), target: "_blank", rel: "noopener", textContent: told(row[i]) }) : told(row[i]));
      return cell;
    }));
    line.addEventListener("click", (event) => { if (event.target.tagName !== "A") choose(place); });
    return line;
  }));
  $("page").textContent = `${order.length ? state.page * PAGE + 1 : 0} – ${Math.min((state.page + 1) * PAGE, order.length)} of ${order.length}`;
  $("before").disabled = state.page === 0;
  $("after").disabled = state.page >= pages - 1;
}

// The library of the picture takes longer to start than all else: the table and a sketch of the picture stand there before it is asked for.
let loading = null;
function library() {
  loading ??= new Promise((ready, failed) => {
    const script = element("script", { src: "/static/plotly.js", onload: ready, onerror: () => failed(new Error("the picture's library did not come")) });
    document.head.append(script);
  });
  return loading;
}

async function redraw() {
  state.passing = passing();
  $("shown").textContent = state.passing.length === state.rows.length ? "" : `${state.passing.length} of ${state.rows.length} rows pass`;
  drawTable();
  writeAddress();
  if (!window.Plotly) {
    performance.mark("table");  // for benchmarks/view.py
    draw(state.passing);
    await shownOnScreen();
    performance.mark("picture");
    await library();
    $("waiting").hidden = true;
  }
  draw(state.passing);
}

function shownOnScreen() {
  return document.hidden ? Promise.resolve() : new Promise((ready) => requestAnimationFrame(() => setTimeout(ready)));
}

function refilter() {
  state.page = 0;
  redraw();
}

function saveCsv() {
  const quoted = (value) => value === null ? "" : /[",\n]/.test(String(value)) ? `"${String(value).replaceAll('"', '""')}"` : String(value);
  const lines = [state.columns.map((c) => quoted(c.name)), ...sorted(state.passing).map((p) => state.rows[p].map(quoted))];
  const address = URL.createObjectURL(new Blob([lines.map((line) => line.join(",")).join("\n") + "\n"], { type: "text/csv" }));
  element("a", { href: address, download: "rows.csv" }).click();
  setTimeout(() => URL.revokeObjectURL(address), 1000);
}

for (const name of ["x", "y", "color"]) {
  $(name).addEventListener("change", () => {
    state[name] = $(name).value;
    if (name !== "color") state[`${name}log`] = null;
    redraw();
  });
}
for (const name of ["xlog", "ylog", "bars"]) $(name).addEventListener("change", () => { state[name] = $(name).checked; redraw(); });
$("bars").checked = state.bars;
$("add").addEventListener("change", () => addFilter($("add").value));
$("save").addEventListener("click", saveCsv);
$("before").addEventListener("click", () => { state.page -= 1; drawTable(); });
$("after").addEventListener("click", () => { state.page += 1; drawTable(); });
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);

async function follow() {
  try {
    if (!document.hidden || state.version === "") if (await fetchRows()) await redraw();
    document.body.dataset.ready = "yes";
  } catch (error) {
    $("problem").hidden = false;
    $("problem").textContent = `Not up to date: ${error.message}. Is \`multiscale view\` still running?`;
  }
  setTimeout(follow, EVERY_MS);
}
follow();
