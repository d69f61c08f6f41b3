"use strict";
// Tables that sort by a click on a heading. Short ones are sorted in the page; the long one of all trials is drawn a page
// at a time from the data beside it, so that 20,000 rows open as quickly as 50.

const ROWS = 50;

function compare(a, b, direction) {
  const missing = (x) => x === null || x === "" || Number.isNaN(x);
  if (missing(a) || missing(b)) return missing(a) - missing(b); // what is missing stands last either way
  const order = typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b), "en", { numeric: true });
  return order * direction;
}

function headings(table, sort) {
  table.querySelectorAll("thead th").forEach((cell, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...cell.childNodes);
    cell.append(button);
    button.addEventListener("click", () => {
      const first = cell.classList.contains("text") || cell.dataset.better === "lower" ? "ascending" : "descending";
      const now = cell.getAttribute("aria-sort");
      const next = now === null ? first : now === "ascending" ? "descending" : "ascending";
      table.querySelectorAll("th[aria-sort]").forEach((other) => other.removeAttribute("aria-sort"));
      cell.setAttribute("aria-sort", next);
      sort(column, next === "ascending" ? 1 : -1);
    });
  });
}

function valueOf(cell) {
  if (cell.dataset.v === undefined) return cell.textContent.trim();
  return cell.dataset.v === "" ? null : Number(cell.dataset.v);
}

function sortable(table) {
  const body = table.tBodies[0];
  headings(table, (column, direction) => {
    const rows = [...body.rows];
    rows.sort((a, b) => compare(valueOf(a.cells[column]), valueOf(b.cells[column]), direction));
    body.append(...rows);
  });
}

// A long table, drawn a page at a time. `put` takes {rows, columns}: the places of rows, and their values by column; `keep`
// takes a function of a row's place. href: of a row's first cell.
function longTable(table, tools, { href = null } = {}) {
  const field = tools.querySelector("input");
  const shown = tools.querySelector(".count");
  const [back, on] = tools.querySelectorAll(".pages button");
  let columns = [], count = 0;
  let words = null; // each row's text, put together when it is first searched
  let kept = null, order = [], page = 0, sorted = null;

  function cell(column, row) {
    const value = column.values[row] ?? null;
    const made = document.createElement("td");
    if (column.text) made.className = column.status ? `text ${value}` : "text";
    const text = value === null ? "-" : typeof value === "number" ? format(column, value) : value;
    if (href && column === columns[0]) {
      const link = document.createElement("a");
      link.href = href(row);
      link.textContent = text;
      made.append(link);
    } else made.textContent = text;
    return made;
  }
  function format(column, value) {
    if (!column.digits) return Number.isInteger(value) ? String(value) : String(Number(value.toPrecision(6)));
    if (Math.abs(value) >= 1e6) return value.toExponential(2);
    return Math.abs(value) >= 1e-4 || value === 0 ? value.toFixed(column.digits) : value.toExponential(1);
  }
  function draw() {
    const pages = Math.max(1, Math.ceil(order.length / ROWS));
    page = Math.min(Math.max(page, 0), pages - 1);
    const first = page * ROWS;
    const rows = order.slice(first, first + ROWS).map((i) => {
      const row = document.createElement("tr");
      row.append(...columns.map((column) => cell(column, i)));
      return row;
    });
    table.tBodies[0].replaceChildren(...rows);
    const last = Math.min(first + ROWS, order.length);
    shown.textContent = order.length ? `rows ${first + 1} to ${last} of ${order.length}` : count ? "no row has all of these words" : "no rows";
    back.disabled = page === 0;
    on.disabled = page >= pages - 1;
  }
  function matching() {
    const wanted = field.value.toLowerCase().split(/\s+/).filter(Boolean);
    const rows = Array.from({ length: count }, (_, i) => i).filter((i) => !kept || kept(i));
    if (!wanted.length) return rows;
    words ??= Array.from({ length: count }, (_, i) => columns.map((c) => c.values[i] ?? "").join(" ").toLowerCase());
    return rows.filter((i) => wanted.every((word) => words[i].includes(word)));
  }
  function arrange() {
    order = matching();
    if (sorted && columns[sorted.column]) {
      const { values } = columns[sorted.column];
      order.sort((a, b) => compare(values[a] ?? null, values[b] ?? null, sorted.direction));
    }
    draw();
  }
  function head() {
    const cells = columns.map((column) => {
      const made = document.createElement("th");
      if (column.text) made.className = "text";
      if (column.better) made.dataset.better = column.better;
      made.textContent = column.name.replaceAll("_", " ");
      return made;
    });
    const row = document.createElement("tr");
    row.append(...cells);
    table.tHead.replaceChildren(row);
    const known = sorted && columns.findIndex((column) => column.name === sorted.name);
    sorted = sorted && known >= 0 ? { ...sorted, column: known } : null;
    if (sorted) cells[known].setAttribute("aria-sort", sorted.direction > 0 ? "ascending" : "descending");
    sorting();
  }
  function sorting() {
    headings(table, (column, direction) => {
      sorted = { column, direction, name: columns[column].name };
      page = 0;
      arrange();
    });
  }
  field.addEventListener("input", () => { page = 0; arrange(); });
  back.addEventListener("click", () => { page -= 1; draw(); });
  on.addEventListener("click", () => { page += 1; draw(); });
  return {
    value: (name, row) => columns.find((column) => column.name === name).values[row],
    clear() { columns = []; count = 0; words = null; },
    keep(test) { kept = test; page = 0; arrange(); },
    put(more) {
      if (!more.columns.length) { arrange(); return; }
      if (more.columns.map((c) => c.name).join() !== columns.map((c) => c.name).join()) {
        const known = new Map(columns.map((column) => [column.name, column.values]));
        columns = more.columns.map((column) => ({ ...column, values: known.get(column.name) ?? [] }));
        head();
      }
      more.columns.forEach((column, number) => more.rows.forEach((row, i) => { columns[number].values[row] = column.values[i]; }));
      count = Math.max(count, ...more.rows.slice(-1).map((row) => row + 1), columns[0].values.length);
      words = null;
      arrange();
    },
    begin(given) { columns = given; count = given.length ? given[0].values.length : 0; sorting(); arrange(); },
  };
}

document.querySelectorAll("table.sortable").forEach(sortable);
document.querySelectorAll("table.long").forEach((table) => {
  const tools = document.getElementById(table.dataset.tools);
  tools.hidden = false;
  longTable(table, tools).begin(JSON.parse(document.getElementById(table.dataset.source).textContent).columns);
});
