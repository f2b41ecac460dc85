// Draws the figures of a report that are alive; their still pictures stay for readers without scripts and for print.
"use strict";
(() => {
  const style = () => getComputedStyle(document.documentElement);
  const coloured = (value) => typeof value === "string"
    ? value.replace(/var\((--[\w-]+)\)/g, (_, name) => style().getPropertyValue(name).trim())
    : Array.isArray(value) ? value.map(coloured)
      : value && typeof value === "object" ? Object.fromEntries(Object.entries(value).map(([key, item]) => [key, coloured(item)])) : value;
  const draw = () => {
    for (const figure of document.querySelectorAll("figure.alive")) {
      const told = JSON.parse(figure.querySelector("script").textContent);
      const common = { paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font: { color: "var(--ink)", family: "system-ui, sans-serif", size: 12 },
        margin: { l: 60, r: 15, t: 15, b: 45 }, height: 420, hovermode: "closest", legend: { orientation: "h", y: -0.2 } };
      const settings = { displaylogo: false, responsive: true, toImageButtonOptions: { format: "svg", filename: "figure" } };
      figure.querySelector(".still").hidden = true;
      Plotly.react(figure.querySelector(".live"), coloured(told.traces), coloured({ ...common, ...told.layout }), settings);
    }
  };
  draw();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
})();
