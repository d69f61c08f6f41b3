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

document.querySelectorAll("table.sortable").forEach((table) => {
  const body = table.tBodies[0];
  headings(table, (column, direction) => {
    const rows = [...body.rows];
    rows.sort((a, b) => compare(valueOf(a.cells[column]), valueOf(b.cells[column]), direction));
    body.append(...rows);
  });
});

document.querySelectorAll("table.long").forEach((table) => {
  const data = JSON.parse(document.getElementById(table.dataset.source).textContent);
  const count = data.columns.length ? data.columns[0].values.length : 0;
  const everything = Array.from({ length: count }, (_, i) => i);
  const tools = document.getElementById(table.dataset.tools);
  const field = tools.querySelector("input");
  const shown = tools.querySelector(".count");
  const [back, on] = tools.querySelectorAll("button");
  let words = null; // each row's text, put together when it is first searched
  let order = everything;
  let page = 0;

  function cell(column, value) {
    const made = document.createElement("td");
    if (column.text) made.className = column.status ? `text ${value}` : "text";
    made.textContent = value === null ? "-" : typeof value === "number" ? format(column, value) : value;
    return made;
  }
  function format(column, value) {
    if (!column.digits) return String(value);
    return Math.abs(value) >= 1e-4 || value === 0 ? value.toFixed(column.digits) : value.toExponential(1);
  }
  function draw() {
    const pages = Math.max(1, Math.ceil(order.length / ROWS));
    page = Math.min(Math.max(page, 0), pages - 1);
    const first = page * ROWS;
    const rows = order.slice(first, first + ROWS).map((i) => {
      const row = document.createElement("tr");
      row.append(...data.columns.map((column) => cell(column, column.values[i])));
      return row;
    });
    table.tBodies[0].replaceChildren(...rows);
    const last = Math.min(first + ROWS, order.length);
    shown.textContent = order.length ? `rows ${first + 1} to ${last} of ${order.length}` : "no row has all of these words";
    back.disabled = page === 0;
    on.disabled = page >= pages - 1;
  }
  function matching() {
    const wanted = field.value.toLowerCase().split(/\s+/).filter(Boolean);
    if (!wanted.length) return everything;
    words ??= everything.map((i) => data.columns.map((c) => c.values[i] ?? "").join(" ").toLowerCase());
    return everything.filter((i) => wanted.every((word) => words[i].includes(word)));
  }
  let sorted = null;
  function arrange() {
    order = [...matching()];
    if (sorted) order.sort((a, b) => compare(sorted.values[a], sorted.values[b], sorted.direction));
    draw();
  }
  headings(table, (column, direction) => {
    sorted = { values: data.columns[column].values, direction };
    page = 0;
    arrange();
  });
  field.addEventListener("input", () => { page = 0; arrange(); });
  back.addEventListener("click", () => { page -= 1; draw(); });
  on.addEventListener("click", () => { page += 1; draw(); });
  tools.hidden = false;
  arrange();
});
