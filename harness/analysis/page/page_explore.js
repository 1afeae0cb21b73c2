// Explore: a scatter of any two quantities; Curves: any set of cells over steps, seconds or tokens.
page.quantities = () => page.columns.filter((column) => column.number && !["attempt"].includes(column.name));
page.shown = (column, value) => (column.unit === "points" || column.unit === "%" ? 100 * value : value);
page.heading = (column) => column.label + ({ points: " (points)", "%": " (%)", share: "", "": "" }[column.unit] ?? ` (${column.unit})`);
const HIGHER = ["test", "validation", "normalised"], LOWER = ["share", "stored", "peak", "process", "step", "seconds", "flops", "energy", "forgetting"];
const counted = (number, word) => `${number} ${word}${number === 1 ? "" : "s"}`;
const sense = (column) => (HIGHER.includes(column.name) ? 1 : LOWER.includes(column.name) ? -1 : 0);
page.arms = (rows, names) => [...d3.group(rows, (row) => [row.group, row.model, row.task, row.arm].join("\u0000")).values()].map((group) => {
  const first = group[0];
  const means = Object.fromEntries(names.map((name) => [name, d3.mean(group, (row) => row[name])]));
  return { ...first, ...means, n: group.length, ids: group.map((row) => row.id) };
});
page.front = (points, across, up) => points.filter((one) => !points.some((other) =>
  sense(across) * other.x >= sense(across) * one.x && sense(up) * other.y >= sense(up) * one.y &&
  (other.x !== one.x || other.y !== one.y))).sort((a, b) => a.x - b.x);
page.cap = (rows, name) => new Set([...d3.rollup(rows, (group) => group.length, (row) => row[name])].sort((a, b) => b[1] - a[1]).slice(0, 12).map(([value]) => value));

page.sections.explore = async (_, words) => {
  await page.load();
  page.filters(words, page.scatter);
  const all = page.quantities();
  const chosen = (name, usual) => (all.some((column) => column.name === words.get(name)) ? words.get(name) : all.some((column) => column.name === usual) ? usual : all[0] && all[0].name);
  const names = all.map((column) => [column.name, column.label]);
  const form = document.getElementById("axes");
  const x = chosen("x", "share"), y = chosen("y", "test");
  form.replaceChildren(
    page.choice("x", "across", names, x, null), page.choice("y", "up", names, y, null),
    page.choice("over", "points are", [["cells", "cells"], ["arms", "arms (mean over seeds and rates)"]], words.get("over") || "arms", null),
    page.choice("facet", "panels", [["model", "by model"], ["task", "by task"]], words.get("facet") || "model", "one"),
    page.tick("linx", "linear across", words.get("linx") === "1"), page.tick("logy", "logarithmic up", words.get("logy") === "1"),
    page.tick("nofront", "without the Pareto front", words.get("nofront") === "1"),
  );
  if (words.get("facet") === "one") form.elements.facet.value = "";
  form.onsubmit = (event) => event.preventDefault();
  form.oninput = (event) => {
    const text = event.target.type === "checkbox" ? (event.target.checked ? "1" : "") : event.target.value || "one";
    page.set({ [event.target.name]: text });
    page.scatter(page.read().words);
  };
  page.scatter(words);
};
page.scatter = (words) => {
  const form = document.getElementById("axes"), get = (name) => form.elements[name];
  const place = document.getElementById("scatter"), note = document.getElementById("scatter-note");
  const across = page.columns.find((column) => column.name === get("x").value), up = page.columns.find((column) => column.name === get("y").value);
  const facet = get("facet").value, arms = get("over").value === "arms";
  if (!across || !up) {
    place.replaceChildren();
    note.textContent = "There is no finished cell to draw.";
    return;
  }
  const rows = page.filtered(words).filter((row) => row.status === "done" && row.counts);
  const logx = across.log && !get("linx").checked, logy = get("logy").checked;
  let points = (arms ? page.arms(rows, [across.name, up.name]) : rows).map((row) => ({ ...row, x: page.shown(across, row[across.name]), y: page.shown(up, row[up.name]) }));
  points = points.filter((row) => row[across.name] != null && row[up.name] != null && (!logx || row.x > 0) && (!logy || row.y > 0));
  const kept = facet ? page.cap(points, facet) : null, left = points.length;
  if (kept) points = points.filter((row) => kept.has(row[facet]));
  const methods = [...new Set(points.map((row) => row.method))].sort();
  const panels = facet ? [...new Set(points.map((row) => row[facet]))].sort() : [""];
  // A logarithmic axis below 1 would have 0.1 as "100m".
  const plain = (here, axis, log) => log && here.some((row) => row[axis] < 1) ? { tickFormat: ".3~g" } : {};
  const drawn = panels.map((panel) => {
    const here = facet ? points.filter((row) => row[facet] === panel) : points;
    const front = !get("nofront").checked && sense(across) && sense(up) ? page.front(here, across, up) : [];
    const title = `${panel ? panel + ": " : ""}${up.label} against ${across.label}, ${counted(here.length, arms ? "arm" : "cell")}`;
    const width = Math.min(panels.length > 1 ? 560 : 980, Math.max(300, place.clientWidth - 4));
    const figure = page.draw({
      width, height: panels.length > 1 ? 340 : 480, marginLeft: 58, marginBottom: 44, ariaLabel: title, grid: true, style: { background: "transparent", color: "inherit" },
      x: { label: page.heading(across), type: logx ? "log" : "linear", nice: !logx, ...plain(here, "x", logx) }, y: { label: page.heading(up), type: logy ? "log" : "linear", nice: !logy, ...plain(here, "y", logy) },
      color: { domain: methods, range: methods.map(page.colour) }, symbol: { domain: methods, range: methods.map(page.symbol), legend: false },
      marks: [Plot.line(front, { x: "x", y: "y", stroke: "currentColor", strokeOpacity: 0.6, strokeDasharray: "4 3", curve: sense(up) * sense(across) < 0 ? "step-after" : "step-before" }),
        Plot.dot(here, { x: "x", y: "y", fill: "method", stroke: "method", fillOpacity: arms ? 0.85 : 0.5, strokeOpacity: 0.9, symbol: "method", r: arms ? 5 : 4 }),
        Plot.tip(here, Plot.pointer({ x: "x", y: "y", fill: "var(--page)", title: (row) => [row.arm, `${row.model}, ${row.task}${arms ? "" : ", seed " + row.seed}`, `${across.label} ${page.number(row[across.name], across.unit)}`, `${up.label} ${page.number(row[up.name], up.unit)}`, arms ? `mean of ${counted(row.n, "cell")}` : row.id].join("\n") }))],
    });
    figure.addEventListener("click", () => {
      if (figure.value) arms && figure.value.n > 1 ? page.go("cells", "", { keys: figure.value.ids.join(",") }) : page.go("cell", figure.value.id);
    });
    return page.make("div", {}, page.make("h2", {}, panel || ""), figure);
  });
  place.replaceChildren(page.legend(methods), page.make("div", { class: panels.length > 1 ? "pair" : "" }, ...drawn));
  const lost = left - points.length;
  note.textContent = points.length
    ? `${counted(points.length, arms ? "arm" : "cell")} of ${counted(rows.length, "finished cell")}${lost ? `; ${lost} more are in panels that are not drawn` : ""}. Dashed: the Pareto front, which no other point beats on both axes. A click opens ${arms ? "the cells of an arm" : "a cell"}; Cells lists the same ones.`
    : `No finished cell of these filters has both a ${across.label} and a ${up.label}.`;
};

const MOST_CURVES = 120, MOST_BEHIND_MEDIANS = 1200;
page.sections.curves = async (_, words) => {
  await page.load();
  page.filters(words, page.curves);
  const form = document.getElementById("curve-axes");
  form.replaceChildren(
    page.choice("x", "across", [["step", "steps"], ["seconds", "seconds of training"], ["tokens", "tokens"]], words.get("x") || "step", null),
    page.choice("y", "up", [["test", "test score"], ["validation", "validation score"], ["train_loss", "training loss"], ["validation_loss", "validation loss"], ["learning_rate", "learning rate"]], words.get("y") || "validation", null),
    page.tick("mean", "one line per arm (median over seeds)", words.get("mean") === "1"),
  );
  form.onsubmit = (event) => event.preventDefault();
  form.oninput = (event) => {
    page.set({ [event.target.name]: event.target.type === "checkbox" ? (event.target.checked ? "1" : "") : event.target.value });
    page.curves(page.read().words);
  };
  await page.curves(words);
};
page.points = (curve, x, y) => curve.map((point) => {
  const scores = point.scores || {}, tests = Object.entries(scores).filter(([name]) => !["validation", "train_sample"].includes(name)).map(([, value]) => value);
  const up = y === "validation" ? scores.validation : y === "test" ? (tests.length ? d3.mean(tests) : undefined) : point[y];
  return { x: point[x], y: ["test", "validation"].includes(y) ? 100 * up : up };
}).filter((point) => Number.isFinite(point.x) && Number.isFinite(point.y));
page.medians = (lines) => d3.flatRollup(lines, (group) => ({ x: d3.median(group, (point) => point.x), y: d3.median(group, (point) => point.y), method: group[0].method, n: group.length }), (line) => line.arm, (line) => line.at)
  .map(([arm, , point]) => ({ ...point, arm, id: arm, seed: `median of ${counted(point.n, "seed")}` }));
page.curves = async (words) => {
  const form = document.getElementById("curve-axes"), place = document.getElementById("curves"), note = document.getElementById("curves-note");
  const x = form.elements.x.value, y = form.elements.y.value, mean = form.elements.mean.checked;
  const rows = page.filtered(words).filter((row) => row.counts), most = mean ? MOST_BEHIND_MEDIANS : MOST_CURVES, shown = rows.slice(0, most);
  const turn = (page.turn = (page.turn || 0) + 1);
  const lines = [];
  for (const row of shown) {
    const points = page.points((await page.details(row)).curve || [], x, y);
    if (points.length > 1) lines.push(...points.map((point, at) => ({ ...point, at, id: row.id, arm: row.arm, method: row.method, panel: `${row.model}, ${row.task}`, seed: row.seed })));
  }
  if (turn !== page.turn) return;
  const panels = [...new Set(lines.map((line) => line.panel))].sort().slice(0, 12), methods = [...new Set(lines.map((line) => line.method))].sort();
  const label = { step: "steps", seconds: "seconds of training", tokens: "tokens" }[x], heading = form.elements.y.selectedOptions[0].textContent + (["test", "validation"].includes(y) ? " (points)" : "");
  place.replaceChildren(page.legend(methods), page.make("div", { class: panels.length > 1 ? "pair" : "" }, ...panels.map((panel) => {
    let here = lines.filter((line) => line.panel === panel);
    if (mean) here = page.medians(here);
    const figure = page.draw({ width: Math.min(panels.length > 1 ? 560 : 980, Math.max(300, place.clientWidth - 4)), height: 340, marginLeft: 58, grid: true, style: { background: "transparent", color: "inherit" }, ariaLabel: `${panel}: ${heading} over ${label}`,
      x: { label }, y: { label: heading, nice: true }, color: { domain: methods, range: methods.map(page.colour) }, symbol: { domain: methods, range: methods.map(page.symbol), legend: false },
      marks: [Plot.line(here, { x: "x", y: "y", z: "id", stroke: "method", strokeWidth: 1.4, strokeOpacity: 0.8, sort: "x" }),
        Plot.dot(here, Plot.selectLast({ x: "x", y: "y", z: "id", fill: "method", symbol: "method", r: 4 })),
        Plot.tip(here, Plot.pointer({ x: "x", y: "y", fill: "var(--page)", title: (line) => `${line.arm}, ${typeof line.seed === "number" ? "seed " : ""}${line.seed}\n${label} ${page.digits(line.x)}\n${heading} ${page.digits(line.y)}` }))] });
    figure.addEventListener("click", () => figure.value && !mean && page.go("cell", figure.value.id));
    return page.make("div", {}, page.make("h2", {}, panel), figure);
  })));
  const drawn = new Set(lines.map((line) => line.id)).size;
  note.textContent = drawn ? `${drawn} of ${counted(rows.length, "cell")}${rows.length > shown.length ? ` are drawn; the page reads the first ${most} only, so filter to see others` : ""}. A click opens a cell.` : "No cell of these filters has such a curve.";
};
