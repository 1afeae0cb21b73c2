// Cells: a table of every attempt, the page of one attempt, and the fields in which several differ.
page.sections.cells = async (_, words) => {
  await page.load();
  page.filters(words, page.refresh);
  if (!page.table) page.build(words);
  else page.refresh(words);
};
page.build = (words) => {
  const show = (column) => (cell) => page.number(cell.getValue(), column.unit);
  const hidden = ["key", "attempt", "counts", "stale", "method", "process", "stored", "best_step", "flops", "energy"];
  const open = (event, cell) => page.go("cell", cell.getRow().getData().id);
  const columns = page.columns.filter((column) => !hidden.includes(column.name)).map((column) => ({
    title: page.heading(column).replace(" (bytes)", "").replace(" (%)", ""), field: column.name, hozAlign: column.number ? "right" : "left", sorter: column.number ? "number" : "string", headerSortTristate: false,
    sorterParams: { alignEmptyValues: "bottom" }, ...(column.number ? { formatter: (cell) => document.createTextNode(show(column)(cell)) } : {}),
    ...(column.name === "status" ? { formatter: (cell) => page.make("span", { class: `status ${cell.getValue()}` }, cell.getValue() + (cell.getRow().getData().stale ? ", stale" : "")) } : {}),
  }));
  const [name, direction] = (words.get("sort") || "").split(":");
  page.table = new Tabulator("#cell-table", {
    data: page.rows, index: "id", height: Math.max(320, Math.min(620, window.innerHeight - 260)), layout: "fitDataFill", renderVerticalBuffer: 150, selectableRows: true, selectableRowsRangeMode: "click",
    placeholder: "No attempt of these filters.", columnDefaults: { resizable: true, tooltip: false }, initialSort: name ? [{ column: name, dir: direction || "asc" }] : [],
    columns: [
      { title: "select", width: 70, headerSort: false, hozAlign: "center", formatter: (cell) => {
        const row = cell.getRow(), data = row.getData();
        return page.make("input", { type: "checkbox", "aria-label": `Select ${data.id}`, checked: row.isSelected(), onclick: (event) => { event.stopPropagation(); row.toggleSelect(); } });
      } },
      { title: "cell", field: "id", formatter: (cell) => page.make("a", { href: `#cell=${cell.getValue()}` }, cell.getValue().slice(0, 8) + (cell.getValue().split(".")[1] ? "." + cell.getValue().split(".")[1] : "")) },
      ...columns,
    ],
  });
  page.table.on("rowClick", (event, row) => { if (!event.target.closest("a, input")) row.toggleSelect(); });
  page.table.on("rowDblClick", (event, row) => page.go("cell", row.getData().id));
  page.table.on("rowSelectionChanged", (data, rows, on, off) => {
    for (const row of [...on, ...off]) {
      const box = row.getElement().querySelector("input[type=checkbox]");
      if (box) box.checked = row.isSelected();
    }
    const button = document.getElementById("compare-button");
    button.disabled = data.length < 2;
    button.textContent = data.length < 2 ? "Compare the selected cells" : `Compare ${data.length} cells`;
  });
  page.table.on("dataSorted", (sorters) => { if (page.read().name === "cells" && sorters.length) page.set({ sort: `${sorters[0].field}:${sorters[0].dir}` }); });
  page.table.on("tableBuilt", () => {
    const grid = document.getElementById("cell-table"), holder = grid.querySelector(".tabulator-tableholder");
    grid.removeAttribute("aria-owns"); // a grid has groups of rows; the holder, which scrolls by keys, is the group
    grid.setAttribute("aria-label", "Attempts");
    holder.setAttribute("role", "rowgroup");
    holder.querySelector(".tabulator-table").setAttribute("role", "presentation");
    for (const head of grid.querySelectorAll(".tabulator-sortable")) { // Tabulator sorts by clicks alone
      head.tabIndex = 0;
      head.addEventListener("keydown", (event) => {
        if (!["Enter", " "].includes(event.key)) return;
        event.preventDefault();
        head.click();
      });
    }
    page.refresh(page.read().words);
  });
  document.getElementById("compare-button").onclick = () => page.go("compare", page.table.getSelectedData().map((row) => row.id).join(","));
  document.getElementById("csv-button").onclick = page.csv;
};
// The table has all rows and shows some of them: to hand it other rows at each filter would take four times as long.
page.refresh = (words) => {
  const kept = new Set(page.filtered(words).map((row) => row.id));
  page.table.setFilter((row) => kept.has(row.id));
  page.count();
};
page.count = () => {
  document.getElementById("cell-count").textContent = `${page.table.getDataCount("active")} of ${page.rows.length} attempts`;
};
// A spreadsheet must not read a text as a formula.
page.csvCell = (value) => {
  const text = value === null || value === undefined ? "" : String(value);
  const safe = typeof value === "string" && /^[=+\-@\t\r]/.test(text) ? "'" + text : text;
  return /[",\n\r]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
};
page.csv = () => {
  const names = page.columns.map((column) => column.name);
  const lines = [names.join(","), ...page.filtered(page.read().words).map((row) => names.map((name) => page.csvCell(row[name])).join(","))];
  page.save("cells.csv", lines.join("\n") + "\n");
};
page.grid = (title, pairs) => {
  const rows = pairs.filter(([, value]) => value !== null && value !== undefined && value !== "");
  if (!rows.length) return null;
  return page.make("div", {}, page.make("h2", {}, title), page.make("table", {}, page.make("tbody", {}, ...rows.map(([name, value]) =>
    page.make("tr", {}, page.make("th", { scope: "row" }, name), page.make("td", {}, value instanceof Node ? value : page.plain(value)))))));
};
page.plain = (value) => (Array.isArray(value) ? value.map(page.plain).join(", ") : typeof value === "number" ? page.digits(value) : value && typeof value === "object" ? Object.entries(value).map(([name, item]) => `${name} ${page.plain(item)}`).join("; ") : String(value));
page.flat = (value, at = "") => Object.entries(value || {}).flatMap(([name, item]) => item && typeof item === "object" && !Array.isArray(item) ? page.flat(item, `${at}${name}.`) : [[at + name, item]]);
page.sections.cell = async (value) => {
  await page.load();
  const place = document.getElementById("section-cell"), row = page.find(value);
  if (!row) {
    place.replaceChildren(page.make("h1", {}, "Cell"), page.make("p", {}, `This page has no cell whose key begins with ${value}.`));
    return;
  }
  const data = await page.details(row);
  const others = page.rows.filter((other) => other.key === row.key && other !== row);
  const scores = Object.entries(data.scores || {}).flatMap(([point, found]) => Object.entries(found.sets || {}).flatMap(([name, numbers]) => Object.entries(numbers).map(([metric, number]) => [`${point} (step ${found.step}), ${name}, ${metric}`, metric === "n" ? number : number === null ? "—" : page.digits(number)])));
  const why = Object.entries((data.scores || {}).best?.why_null || {}).map(([name, text]) => [`no ${name}`, text]);
  const memory = Object.entries(data.memory || {}).flatMap(([phase, figures]) => Object.entries(figures || {}).filter(([, number]) => number !== null).map(([name, number]) => [phase === "why_null" ? `no ${name}` : `${phase}, ${name.replaceAll("_", " ")}`, typeof number === "number" ? page.number(number, "bytes") : number]));
  const made = data.provenance || {};
  const head = page.make("p", {}, page.make("span", { class: `status ${row.status}` }, row.status), `, attempt ${row.attempt}${row.counts ? "" : ", which does not count"}${row.stale ? ", stale: today's code would give other numbers" : ""}. `,
    ...others.map((other) => page.make("a", { href: `#cell=${other.id}` }, `${other.origin || ""} attempt ${other.attempt} (${other.status}) `.trimStart())), ...(row.group ? ["Of ", page.make("a", { href: `#cells&group=${encodeURIComponent(row.group)}` }, row.group), ". "] : []),
    page.make("a", { href: `#cells&q=${encodeURIComponent(row.arm)}&model=${encodeURIComponent(row.model)}&task=${encodeURIComponent(row.task)}` }, "Its other seeds"));
  place.replaceChildren(...[
    page.make("h1", {}, `${row.arm}, ${row.model}, ${row.task}, seed ${row.seed}`), head,
    page.make("p", { class: "command" }, page.make("code", {}, data.command), page.make("button", { type: "button", "data-copy": true }, "Copy")),
    data.error ? page.make("div", { class: "notice" }, page.make("strong", {}, `${data.error.type || "error"}: `), data.error.message || "", page.make("div", { class: "small" }, page.flat({ ...data.error, log: null, message: null, type: null }).filter(([, item]) => item !== null && item !== "").map(([name, item]) => `${name} ${page.plain(item)}`).join("; "))) : null,
    page.lines(data, row),
    page.make("div", { class: "pair" }, ...[page.grid("Scores", [...scores, ...why]), page.grid("Memory by phase", memory), page.grid("Time", page.flat(data.time)), page.grid("Operations and parameters", [...page.flat(data.parameters), ...page.flat(data.flops).map(([name, item]) => [`flops.${name}`, item])]),
      page.grid("Fields", Object.entries(data.fields).filter(([, item]) => item !== null)), page.grid("Notes", page.flat(data.notes)), page.grid("Device", page.flat(data.device)), page.grid("Task", page.flat(data.task_facts)),
      page.grid("Made by", page.flat({ fingerprint: made.fingerprint, ...made })), page.grid("Probes", Object.entries(data.probes || {}).map(([name, lines]) => [name, page.make("pre", {}, lines.join("\n"))]))].filter(Boolean)),
    data.log.length ? page.make("div", {}, page.make("h2", {}, "End of the log"), page.make("pre", { tabindex: "0" }, data.log.join("\n"))) : null,
    page.make("p", { class: "small" }, `key ${row.key}`),
  ].filter(Boolean));
};
page.lines = (data, row) => {
  const points = ["validation", "test"].flatMap((name) => page.points(data.curve || [], "step", name).map((point) => ({ ...point, name })));
  if (points.length < 3) return null;
  const label = `Curve of ${row.arm}: score in points over steps`;
  const last = ["validation", "test"].map((name) => (points.findLast((point) => point.name === name) || { y: NaN }).y);
  const figure = page.draw({ width: Math.min(760, Math.max(300, document.getElementById("main-content").clientWidth - 40)), height: 240, marginRight: 70, grid: true, ariaLabel: label, style: { background: "transparent", color: "inherit" }, x: { label: "steps" }, y: { label: "score (points)", nice: true },
    marks: [...["validation", "test"].map((name, at) => Plot.line(points.filter((point) => point.name === name), { x: "x", y: "y", stroke: "currentColor", strokeDasharray: at ? "4 3" : null })), Plot.dot(points, { x: "x", y: "y", r: 2.5, fill: "currentColor" }), ...["validation", "test"].map((name, at) => Plot.text(points.filter((point) => point.name === name), Plot.selectLast({ x: "x", y: "y", text: "name", dx: 7, dy: last[at] < last[1 - at] || (at && last[0] === last[1]) ? 7 : -7, textAnchor: "start" })))] });
  return page.make("div", { class: "plot" }, figure);
};
page.sections.compare = async (value) => {
  await page.load();
  const place = document.getElementById("section-compare"), rows = value.split(",").map(page.find).filter(Boolean);
  const title = page.make("h1", {}, "What differs");
  if (rows.length < 2) {
    place.replaceChildren(title, page.make("p", {}, "Select two or more cells in Cells, or name them in the address: #compare=KEY,KEY."));
    return;
  }
  const details = await Promise.all(rows.map(page.details));
  const names = [...new Set(details.flatMap((data) => Object.keys(data.fields)))];
  const texts = (name, read) => details.map((data, at) => read(data, rows[at], name));
  const differing = names.map((name) => [name, texts(name, (data) => (data.fields[name] === undefined ? "—" : page.plain(data.fields[name] === null ? "none" : data.fields[name])))]).filter(([, values]) => new Set(values).size > 1);
  const figures = ["status", ...page.quantities().map((column) => column.name).filter((name) => !["seed", "rate", "best_step"].includes(name))].map((name) => {
    const column = page.columns.find((each) => each.name === name);
    return [column.label, rows.map((row) => page.number(row[name], column.unit))];
  }).filter(([, values]) => values.some((text) => text !== "—") && new Set(values).size > 1);
  const made = ["git", "deltabench", "fingerprint"].map((name) => [name, details.map((data) => page.plain((data.provenance || {})[name] ?? "—"))]).filter(([, values]) => new Set(values).size > 1);
  const body = (label, pairs) => pairs.length ? [page.make("tr", {}, page.make("th", { scope: "rowgroup", colspan: String(rows.length + 1) }, label)), ...pairs.map(([name, values]) => page.make("tr", {}, page.make("th", { scope: "row" }, name), ...values.map((text) => page.make("td", {}, text))))] : [];
  place.replaceChildren(title, page.make("p", { class: "small" }, `${rows.length} cells. Only what differs is shown: ${differing.length} of ${names.length} fields.`),
    page.make("div", { class: "scroll", role: "region", tabindex: "0", "aria-label": "Differences" }, page.make("table", { id: "differences" },
      page.make("thead", {}, page.make("tr", {}, page.make("td", {}), ...rows.map((row) => page.make("th", { scope: "col" }, page.make("a", { href: `#cell=${row.id}` }, row.id.slice(0, 8)), ` ${row.arm}`)))),
      page.make("tbody", {}, ...body("fields", differing), ...body("figures", figures), ...body("code", made)))));
};
