"use strict";
// The live page: asks its server once a second what has changed, and draws that.

const page = document.body.dataset;
const byId = (id) => document.getElementById(id);
const SECOND = 1000;

async function get(url) {
  const answer = await fetch(url);
  if (!answer.ok) throw new Error((await answer.text()).trim().slice(0, 300));
  return answer.json();
}

function trouble(error) {
  const place = byId("trouble");
  place.hidden = !error;
  place.textContent = error ? (error instanceof TypeError ? "The dashboard does not answer: was it ended? This page shows what it had." : error.message) : "";
}

// Repeats an action while the page can be seen. What went wrong is said, and tried again.
function repeat(action, every) {
  let failures = 0;
  async function turn() {
    if (!document.hidden) {
      try { await action(); if (failures) trouble(null); failures = 0; } catch (error) { failures += 1; trouble(error); }
    }
    setTimeout(turn, every * Math.min(8, 1 + failures));
  }
  turn();
}

// ---- sections of the report, computed beside the server

function showSections(api, query = "") {
  let made = -1, shown = 0;
  async function look() {
    const answer = await get(api + query);
    const note = byId("computed");
    if (answer.computing) note.textContent = shown ? "computing anew …" : "computing what the tables say …";
    else note.textContent = answer.wrong ? `not computed: ${answer.wrong}` : answer.made ? `as of ${new Date(answer.made * 1000).toLocaleTimeString()}; computed anew as the tables grow` : "The report's sections come with the first trial that ends.";
    if (answer.made !== made || answer.sections.length > shown) {
      made = answer.made;
      shown = answer.sections.length;
      fill(answer.sections);
    }
  }
  repeat(look, 2 * SECOND);
}

const filled = new Map();
function fill(sections) {
  const place = byId("sections"), links = byId("more");
  sections.forEach((section, number) => {
    const key = `report-${section.name || number}`;
    if (filled.get(key) === section.html) return;
    filled.set(key, section.html);
    let element = byId(key);
    if (!element) {
      element = document.createElement("section");
      element.id = key;
      place.append(element);
      if (section.title) {
        const link = document.createElement("a");
        link.href = `#${key}`;
        link.textContent = section.title;
        links.append(link);
      }
    }
    element.innerHTML = section.html; // made by our templates, which escape all text
    if (section.title) {
      const heading = document.createElement("h2");
      heading.textContent = section.title;
      element.prepend(heading);
    }
    element.querySelectorAll("table.sortable").forEach(sortable);
    figures.showWithin(element);
  });
}

// ---- the list of runs

function runsPage() {
  const form = byId("compare"), button = form.querySelector("button");
  const ticked = () => form.querySelectorAll("input:checked").length;
  form.addEventListener("change", () => { button.disabled = ticked() < 2; });
  button.disabled = ticked() < 2;
  repeat(async () => {
    for (const row of await get("/api/runs")) {
      const line = form.querySelector(`tr[data-run="${CSS.escape(`${row.sweep}/${row.run}`)}"]`);
      if (!line) { location.reload(); return; }
      for (const cell of line.querySelectorAll("[data-cell]")) {
        if (cell.textContent !== row[cell.dataset.cell]) cell.textContent = row[cell.dataset.cell];
        if (cell.dataset.cell === "state") cell.className = `text state ${row.state.split(":")[0]}`;
      }
    }
  }, 3 * SECOND);
}

// ---- a run

function runPage() {
  const api = page.api;
  const plots = Object.fromEntries([...document.querySelectorAll(".plot[data-figure]")].map((plot) => [plot.dataset.figure, plot]));
  const table = longTable(byId("trials-table"), byId("trials-tools"), { href: (row) => `${page.trials}/${encodeURIComponent(table.value("trial", row))}` });
  const stops = longTable(byId("stops-table"), byId("stops-tools"), { href: (row) => `${page.trials}/${encodeURIComponent(stops.value("trial", row))}` });
  const metric = byId("metric");
  let epoch = 0, since = 0, stopped = 0, first = true;
  const due = { curves: true, coordinates: true, timeline: true };

  async function look() {
    const answer = await get(`${api}/changes?epoch=${epoch}&since=${since}`);
    const changed = answer.since !== since || answer.epoch !== epoch;
    if (answer.epoch !== epoch) table.clear();
    ({ epoch, since } = answer);
    head(answer.head);
    if (changed) {
      table.put(answer.trials);
      for (const name of Object.keys(due)) due[name] = true;
    }
    if (answer.head.stops !== stopped) {
      stopped = answer.head.stops;
      stops.clear();
      stops.put(await get(`${api}/stops`));
      byId("stops-table").hidden = byId("stops-tools").hidden = !stopped;
      byId("no-stops").hidden = stopped > 0;
    }
    if (first) { first = false; repeat(drawDue, 2 * SECOND); showSections(`${api}/sections`); }
  }

  function head(told) {
    byId("share").value = told.share;
    byId("state").textContent = told.state;
    byId("state").className = `state ${told.state}`;
    byId("words").textContent = told.words;
    document.title = `${told.ended}/${told.planned} ${document.title.replace(/^\d+\/\d+ /, "")}`;
    for (const [name, html] of Object.entries(told.html)) {
      const place = byId(name);
      if (place.source === html) continue;
      place.source = html;
      place.innerHTML = html; // made by our templates
      place.querySelectorAll("table.sortable").forEach(sortable);
    }
    if (told.metrics.join() !== [...metric.options].map((option) => option.value).join()) {
      const chosen = metric.value || told.metrics[0];
      metric.replaceChildren(...told.metrics.map((name) => new Option(name.replaceAll("_", " "), name, false, name === chosen)));
    }
    const asked = byId("asked"), text = told.asked.length ? `requested: ${told.asked.join("; ")}` : "";
    if (asked.told !== text) { asked.told = text; asked.hidden = !text; asked.textContent = text; }
    for (const name of ["end", "add"]) if (byId(name)) byId(name).hidden = told.state !== "running";
  }

  async function drawDue() {
    for (const [name, plot] of Object.entries(plots)) {
      if (!due[name] || !await inView(plot)) continue;
      due[name] = false;
      const query = name === "curves" ? `?metric=${encodeURIComponent(metric.value)}` : "";
      figures.show(plot, await get(`${api}/figure/${name}${query}`));
    }
  }
  function inView(plot) {
    if (figures.isSeen(plot)) return true;
    return new Promise((done) => {
      figures.whenSeen(plot, () => { done(true); drawDue(); });
      done(false);
    });
  }

  metric.addEventListener("change", () => { due.curves = true; drawDue(); });
  brushing(plots.coordinates, table, byId("unbrush"));
  const log = byId("log-text");
  figures.whenSeen(log, () => repeat(async () => {
    const text = (await get(`${api}/log`)).text || "the log is empty";
    if (log.textContent === text) return;
    const below = log.scrollTop + log.clientHeight >= log.scrollHeight - 8;
    log.textContent = text;
    if (below) log.scrollTop = log.scrollHeight;
  }, 5 * SECOND));
  steer(byId("end"), `${api}/ask`, () => ({ kind: "end_run" }), "End the run? Trials that train now are interrupted, and --resume goes on with them.");
  byId("add")?.addEventListener("submit", async (event) => {
    event.preventDefault();
    const { field, values } = event.target.elements;
    await ask(`${api}/ask`, { kind: "add_values", values: `${field.value}=${values.value}` });
    values.value = "";
  });
  repeat(look, SECOND);
}

// Keeps the rows of the table whose lines all brushes take in.
function brushing(plot, table, button) {
  // a figure leaves out the trials that have no value yet
  let places = new Map();
  function within(value, range) {
    const ranges = Array.isArray(range[0]) ? range : [range];
    return ranges.some(([low, high]) => value >= low && value <= high);
  }
  function apply() {
    const axes = plot.data?.[0]?.dimensions ?? [];
    const brushed = axes.filter((axis) => axis.constraintrange);
    plot.brushes = Object.fromEntries(brushed.map((axis) => [axis.label, axis.constraintrange]));
    button.hidden = !brushed.length;
    table.keep(brushed.length ? (row) => {
      const place = places.get(row);
      return place !== undefined && brushed.every((axis) => within(axis.values[place], axis.constraintrange));
    } : null);
  }
  plot.addEventListener("drawn", () => {
    places = new Map(plot.layout.meta.rows.map((row, place) => [row, place]));
    if (!plot.listens) { plot.listens = true; plot.on("plotly_restyle", apply); }
    apply();
  });
  button.addEventListener("click", () => {
    const count = plot.data[0].dimensions.length;
    Plotly.restyle(plot, Object.fromEntries(Array.from({ length: count }, (_, i) => [`dimensions[${i}].constraintrange`, [null]])));
  });
}

// ---- a trial

function trialPage() {
  document.querySelectorAll(".plot[data-figure]").forEach((plot) => {
    figures.whenSeen(plot, () => repeat(async () => figures.show(plot, await get(`${page.api}/figure/${plot.dataset.figure}`)), 4 * SECOND));
  });
  showSections(`${page.api}/sections`);
  steer(byId("stop"), page.ask, () => ({ kind: "stop_trial", trial_id: page.trial }), "Stop this trial after its epoch? It cannot be taken up again.");
}

// ---- steering

function steer(button, url, request, question) {
  button?.addEventListener("click", async () => {
    if (!window.confirm(question)) return;
    button.disabled = true;
    if (!await ask(url, request())) button.disabled = false;
  });
}

async function ask(url, request) {
  const answer = await fetch(url, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(request) });
  const note = byId("asked");
  note.hidden = false;
  note.textContent = answer.ok ? "requested: the driver takes it up at its next step" : await answer.text();
  return answer.ok;
}

({ runs: runsPage, run: runPage, trial: trialPage, compare: () => showSections(page.api, location.search) })[page.page]();
