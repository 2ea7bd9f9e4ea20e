// Keeps the figures of the console current. The page is whole without it; this only saves the reload.
"use strict";

const live = document.getElementById("live");
let lastHeard = Date.now();

function cell(column, row, table) {
  const td = document.createElement("td");
  td.className = table.tHead.rows[0].cells[column.index].className;
  if (table.id === "invoices" && column.name === "number") {
    const link = document.createElement("a");
    link.href = `/invoices/${row.id}/pdf`;
    link.textContent = row.number;
    td.append(link);
  } else {
    td.textContent = row[column.name];
  }
  return td;
}

function fill(table, rows) {
  const columns = table.dataset.columns.split(",").map((name, index) => ({ name, index }));
  const body = document.createElement("tbody");
  for (const row of rows) {
    const tr = body.insertRow();
    tr.append(...columns.map((column) => cell(column, row, table)));
  }
  if (rows.length === 0) {
    const td = body.insertRow().insertCell();
    td.colSpan = columns.length;
    td.className = "none";
    td.textContent = table.dataset.empty;
  }
  table.tBodies[0].replaceWith(body);
}

function show(figures) {
  for (const [name, value] of Object.entries(figures)) {
    const place = document.getElementById(name);
    if (place === null) continue;
    if (Array.isArray(value)) fill(place, value);
    else place.textContent = value;
  }
}

const stream = new EventSource("/figures");
stream.onmessage = (event) => {
  lastHeard = Date.now();
  show(JSON.parse(event.data));
};
// Figures that no longer move must not look alive.
setInterval(() => live.classList.toggle("lost", Date.now() - lastHeard > 5000), 1000);
