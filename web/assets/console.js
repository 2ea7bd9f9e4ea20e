// Keeps the figures of the live page current, and gives two keys a meaning. Every page is whole without it.
"use strict";

const find = document.getElementById("find");
document.addEventListener("keydown", (event) => {
  const isTyping = event.target instanceof HTMLElement && event.target.closest("input, textarea, select") !== null;
  if (event.key === "/" && !isTyping && find !== null) {
    event.preventDefault();
    find.focus();
  }
  if (event.key === "Enter" && event.ctrlKey && event.target instanceof HTMLTextAreaElement) {
    event.target.form.requestSubmit();
  }
});

// A list in a file goes into the field that is sent.
for (const input of document.querySelectorAll("input[type=file][data-into]")) {
  input.closest("[hidden]").hidden = false;
  input.addEventListener("change", async () => {
    if (input.files.length > 0) document.getElementById(input.dataset.into).value = await input.files[0].text();
  });
}

function cell(name, index, row, table) {
  const td = document.createElement("td");
  td.className = table.tHead.rows[0].cells[index].className;
  if (index === 0 && table.dataset.links !== undefined) {
    const link = document.createElement("a");
    link.href = table.dataset.links + row.id;
    link.textContent = row[name];
    td.append(link);
  } else {
    td.textContent = row[name];
  }
  return td;
}

function fill(table, rows) {
  const columns = table.dataset.columns.split(",");
  const body = document.createElement("tbody");
  for (const row of rows) {
    const tr = body.insertRow();
    tr.append(...columns.map((name, index) => cell(name, index, row, table)));
  }
  if (rows.length === 0) {
    const td = body.insertRow().insertCell();
    td.colSpan = columns.length;
    td.className = "none";
    td.textContent = table.dataset.empty;
  }
  table.tBodies[0].replaceWith(body);
}

// The chart goes on from what the server drew: one point a second, the last five minutes.
const chart = document.getElementById("chart");
const line = chart === null ? null : chart.querySelector("polyline");
const box = chart === null ? null : chart.viewBox.baseVal;
let history = [];
if (line !== null) {
  const top = Number(document.getElementById("chart-top").textContent);
  const points = line.getAttribute("points").trim();
  history = points === "" ? [] : points.split(" ").map((point) => ((box.height - Number(point.split(",")[1])) * top) / box.height);
}

function draw(latest) {
  history.push(latest);
  history = history.slice(-box.width);
  const top = Math.max(1, ...history);
  const first = box.width - history.length;
  const points = history.map((n, index) => `${first + index},${(box.height - (n * box.height) / top).toFixed(1)}`);
  line.setAttribute("points", points.join(" "));
  document.getElementById("chart-top").textContent = Math.round(top);
}

function show(figures) {
  for (const [name, value] of Object.entries(figures)) {
    const place = document.getElementById(name);
    if (place === null) continue;
    if (Array.isArray(value)) fill(place, value);
    else place.textContent = value;
  }
  if (line !== null) draw(figures.calls_per_second);
}

const live = document.getElementById("live");
if (live !== null) {
  let lastHeard = Date.now();
  const stream = new EventSource("/figures");
  stream.onmessage = (event) => {
    lastHeard = Date.now();
    show(JSON.parse(event.data));
  };
  // Figures that no longer move must not look alive.
  setInterval(() => live.classList.toggle("lost", Date.now() - lastHeard > 5000), 1000);
}
