"use strict";
// Draws figures of Plotly's in the colours of the page's scheme, when they come into view. The live page fetches Plotly's
// script then; the report has it inside, packed.

const PALETTE = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#56b4e9", "#882255", "#7a7a7a"];
const PRINTED = { map: {}, ink: "#1a1b1c", faint: "#8a8b8c", line: "#d8d9da", paper: "#ffffff", width: 700 };
const dark = window.matchMedia("(prefers-color-scheme: dark)");
const drawn = new Map(); // element: the figure as it came
let plotly = null;

function loadPlotly() {
  plotly ??= document.getElementById("plotly-packed") ? unpackPlotly() : fetchPlotly();
  return plotly;
}

function fetchPlotly() {
  return new Promise((done, failed) => {
    const script = document.createElement("script");
    script.src = "/static/plotly.js";
    script.addEventListener("load", () => done(window.Plotly));
    script.addEventListener("error", () => failed(new Error("Plotly's script cannot be loaded")));
    document.head.append(script);
  });
}

async function unpackPlotly() {
  const packed = Uint8Array.from(atob(document.getElementById("plotly-packed").textContent), (letter) => letter.charCodeAt(0));
  const text = await new Response(new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
  const script = document.createElement("script");
  script.textContent = text;
  document.head.append(script);
  return window.Plotly;
}

function colours() {
  const style = getComputedStyle(document.documentElement);
  const of = (name) => style.getPropertyValue(name).trim();
  const map = { "#1a1b1c": of("--ink"), "#8a8b8c": of("--faint"), "#d8d9da": of("--line"), "#fdfefe": of("--paper") };
  PALETTE.forEach((colour, number) => { map[colour] = of(`--c${number}`); });
  return { map, ink: of("--ink"), faint: of("--faint"), line: of("--line"), paper: of("--paper") };
}

function themed(value, map) {
  if (typeof value === "string") return map[value.toLowerCase()] ?? value;
  if (Array.isArray(value)) return typeof value[0] === "object" || (typeof value[0] === "string" && value[0][0] === "#") ? value.map((item) => themed(item, map)) : value;
  if (value && typeof value === "object") return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, themed(item, map)]));
  return value;
}

// print: as it came, in the colours of paper.
function prepared(figure, width, print = false) {
  const { map, ink, faint, line, paper } = print ? PRINTED : colours();
  const { data, layout } = themed(figure, map);
  const narrow = width < 600 && !print;
  const axes = Object.keys(layout).filter((name) => /^[xy]axis\d*$/.test(name));
  for (const name of new Set(["xaxis", "yaxis", ...axes])) {
    layout[name] = { gridcolor: line, zerolinecolor: line, linecolor: faint, exponentformat: "power", ...layout[name] };
  }
  Object.assign(layout, {
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font: { color: ink, size: narrow ? 11 : 12, family: "system-ui, sans-serif" },
    hoverlabel: { bgcolor: paper, bordercolor: faint, font: { color: ink } }, modebar: { bgcolor: "rgba(0,0,0,0)", color: faint, activecolor: ink },
    autosize: true,
  });
  for (const title of layout.annotations ?? []) title.font = { size: narrow ? 11 : 12, color: ink };
  if (narrow && layout.grid && layout.grid.columns > 1) {
    const panels = axes.filter((name) => name[0] === "x").length;
    const before = layout.height - 90, each = before / layout.grid.rows;
    // below the axes by as many pixels as before
    if (layout.legend?.y < 0) layout.legend = { ...layout.legend, y: (layout.legend.y * before) / (panels * each) };
    layout.grid = { ...layout.grid, rows: panels, columns: 1 };
    layout.height = 90 + panels * each;
    for (const name of axes) if (name[0] === "y") layout[name].showticklabels = true;
  }
  return { data, layout };
}

const OPTIONS = { responsive: true, displaylogo: false, displayModeBar: "hover", modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d"] };

async function redraw(element) {
  const figure = drawn.get(element);
  const Plotly = await loadPlotly();
  const { data, layout } = prepared(figure, element.clientWidth);
  const brushes = element.brushes;
  if (brushes && data[0]?.type === "parcoords") {
    for (const axis of data[0].dimensions) if (brushes[axis.label]) axis.constraintrange = brushes[axis.label];
  }
  await Plotly.react(element, data, layout, OPTIONS);
  element.dispatchEvent(new CustomEvent("drawn"));
}

// Draws a figure once its element is in view; an earlier one in the same element is changed, and its zoom kept.
function show(element, figure) {
  if (!figure || !figure.data.length) {
    if (!drawn.has(element)) { element.classList.add("empty"); element.textContent = "nothing to draw yet"; }
    return;
  }
  if (element.classList.contains("empty")) { element.classList.remove("empty"); element.textContent = ""; }
  const first = !drawn.has(element);
  drawn.set(element, figure);
  if (first) element.style.minHeight = `${figure.layout.height ?? 300}px`;
  whenSeen(element, () => redraw(element));
}

const waiting = new Map();
const seen = new Set();
const observer = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    if (isIntersecting) seen.add(target); else seen.delete(target);
    const action = waiting.get(target);
    if (isIntersecting && action) { waiting.delete(target); action(); }
  }
}, { rootMargin: "150px" });

// Calls an action when the element comes into view; of several that wait, the last one.
function whenSeen(element, action) {
  if (seen.has(element)) { action(); return; }
  waiting.set(element, action);
  observer.observe(element);
}

dark.addEventListener("change", () => drawn.forEach((_, element) => { if (element.isConnected) whenSeen(element, () => redraw(element)); }));
// Paper is white, and narrower than a screen.
window.addEventListener("beforeprint", () => drawn.forEach((figure, element) => {
  if (!window.Plotly || !element.isConnected) return;
  const { data, layout } = prepared(figure, PRINTED.width, true);
  window.Plotly.react(element, data, { ...layout, autosize: false, width: PRINTED.width }, { ...OPTIONS, responsive: false });
}));
window.addEventListener("afterprint", () => drawn.forEach((_, element) => { if (element.isConnected) redraw(element); }));

// Draws the figures that stand as JSON in a part of a page.
function showWithin(place) {
  place.querySelectorAll(".plot > script[type='application/json']").forEach((source) => {
    const plot = source.parentElement, figure = JSON.parse(source.textContent);
    plot.replaceChildren();
    show(plot, figure);
  });
}

window.figures = { show, showWithin, whenSeen, isSeen: (element) => seen.has(element) };
showWithin(document);
