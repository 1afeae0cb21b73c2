// The records: unpacked when a view first needs them, and filtered by what the address says.
page.unpack = async (text) => {
  if (!("DecompressionStream" in window)) {
    const error = new Error(
      "This browser cannot unpack the records (it has no DecompressionStream): figures, Explore, Curves and Cells need " +
      "Chrome 80, Firefox 113, Safari 16.4 or newer. The verdicts and the tables are complete without them.");
    error.expected = true;
    throw error;
  }
  const bytes = Uint8Array.from(atob(text), (sign) => sign.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return JSON.parse(await new Response(stream).text());
};
// The libraries run before the records are shown. The policy names their digests, as it names those of our own scripts.
page.libraries = async () => {
  for (const text of await page.unpack(document.getElementById("libraries").textContent)) document.head.append(page.make("script", {}, text));
};
page.load = async () => {
  page.running = page.running || page.libraries();
  await page.running;
  if (page.rows) return;
  const place = document.getElementById("rows");
  if (!place) {
    page.rows = [];
    page.columns = [];
    return;
  }
  const packed = await page.unpack(place.textContent);
  const columns = packed.values.map((values) => (Array.isArray(values) ? values : values.at.map((at) => values.distinct[at])));
  page.columns = packed.columns;
  const rows = Array.from({ length: columns[0].length }, (_, at) => {
    const row = { at };
    page.columns.forEach((column, place) => (row[column.name] = columns[place][at]));
    row.id = row.key.slice(0, 12) + (row.origin ? "." + row.origin : row.counts ? "" : "." + row.attempt);
    row.text = page.words(`${row.key} ${row.status} ${row.group} ${row.arm} ${row.model} ${row.task} seed ${row.seed}`);
    return row;
  });
  page.rows = rows;
};
// Rows that were packed column by column (packed.py). Object.fromEntries makes own properties, whatever their names are.
page.unfold = (column) => {
  let values = column.values;
  if (column.of) {
    const parts = Object.entries(column.of).map(([name, part]) => [name, page.unfold(part)]);
    values = Array.from({ length: column.count }, (_, at) => Object.fromEntries(parts.filter(([, items]) => items[at] !== undefined).map(([name, items]) => [name, items[at]])));
  } else if (column.lists) {
    const items = page.unfold(column.lists);
    let from = 0;
    values = column.lengths.map((length) => items.slice(from, (from += length)));
  }
  if (!column.lacks) return values;
  const lacks = new Set(column.lacks), whole = [];
  for (let at = 0, next = 0; at < values.length + lacks.size; at++) whole.push(lacks.has(at) ? undefined : values[next++]);
  return whole;
};
page.details = async (row) => {
  const place = Math.floor(row.at / page.boot.chunk);
  page.chunks = page.chunks || new Map();
  if (!page.chunks.has(place)) page.chunks.set(place, page.unpack(document.getElementById(`details-${place}`).textContent).then(page.unfold));
  return (await page.chunks.get(place))[row.at % page.boot.chunk];
};
// A search finds the beginnings of words, and a number that is written whole: 7 is seed 7 and not seed 17 or 70.
page.words = (text) => ` ${text.toLowerCase().replace(/[^\p{L}\p{N}.]+/gu, " ")} `;
page.asked = (text) => text.split(/\s+/).map((part) => page.words(part).trim()).filter(Boolean).map((part) => ` ${part}` + (/^\d{1,6}$/.test(part) ? " " : ""));
page.filtered = (words) => {
  const keys = (words.get("keys") || "").split(",").filter(Boolean);
  const asked = ["group", "method", "model", "task"].filter((name) => words.get(name)).map((name) => [name, words.get(name)]);
  const parts = page.asked(words.get("q") || "");
  const status = words.get("status");
  const chosen = keys.length ? new Set(keys.flatMap((key) => page.rows.filter((row) => row.key.startsWith(key)).map((row) => row.id))) : null;
  return page.rows.filter((row) =>
    asked.every(([name, text]) => row[name] === text) && parts.every((part) => row.text.includes(part)) &&
    (!status || row.status === status || (status === "stale" && row.stale)) && (!chosen || chosen.has(row.id)));
};
page.filters = (words, changed) => {
  const form = document.getElementById("filters");
  const distinct = (name) => [...new Set(page.rows.map((row) => row[name]))].filter(Boolean).sort();
  const labels = { group: "exhibit or grid", method: "method", model: "model", task: "task" };
  const states = [...distinct("status"), ...(page.rows.some((row) => row.stale) ? ["stale"] : [])];
  const search = page.make("input", { type: "search", name: "q", value: words.get("q") || "", placeholder: "key, arm, status …" });
  const active = document.activeElement && form.contains(document.activeElement) ? document.activeElement.name : null;
  form.replaceChildren(
    ...Object.entries(labels).map(([name, label]) => page.choice(name, label, distinct(name), words.get(name))),
    page.choice("status", "status", states, words.get("status")),
    page.make("label", {}, "search", search),
  );
  if (words.get("keys")) {
    form.append(page.make("button", { type: "button", onclick: () => { page.set({ keys: "" }); page.show(); } },
      `only ${words.get("keys").split(",").length} chosen cells ×`));
  }
  form.append(page.make("button", { type: "reset" }, "Clear"));
  form.onsubmit = (event) => event.preventDefault();
  form.onreset = () => { page.set(Object.fromEntries(page.SHARED.map((name) => [name, ""]))); page.show(); };
  form.oninput = (event) => { page.set({ [event.target.name]: event.target.value }); changed(page.read().words); };
  if (active) form.elements[active] && form.elements[active].focus();
};
const UNITS = [[1e12, "T"], [1e9, "G"], [1e6, "M"], [1e3, "k"]];
page.number = (value, unit = "") => {
  if (value === null || value === undefined) return "—";
  if (typeof value !== "number") return String(value);
  if (unit === "points") return (100 * value).toFixed(1);
  if (unit === "%") return `${page.digits(100 * value)} %`;
  if (unit === "bytes" || unit === "FLOP") {
    const [size, sign] = UNITS.find(([size]) => Math.abs(value) >= size) || [1, ""];
    return `${page.digits(value / size)} ${sign}${unit === "bytes" ? "B" : "FLOP"}`;
  }
  return page.digits(value) + (unit && unit !== "share" ? ` ${unit}` : "");
};
page.digits = (value) => {
  const size = Math.abs(value);
  return value === 0 || Number.isInteger(value) ? String(value) : size < 1e-3 || size >= 1e6 ? value.toExponential(2) : String(+value.toPrecision(4));
};
page.look = (method) => page.boot.looks[method] || ["#777777", "#aaaaaa", "o"];
page.colour = (method) => page.look(method)[matchMedia("(prefers-color-scheme: dark)").matches ? 1 : 0];
// matplotlib's markers as symbols of Plot, so that a method looks as in the printed figures.
const polygon = (points) => ({ draw(context, size) {
  const scale = Math.sqrt(size) * 0.72;
  points.forEach(([x, y], at) => context[at ? "lineTo" : "moveTo"](scale * x, scale * y));
  context.closePath();
} });
const places = (count) => Array.from({ length: count }, (_, at) => at);
const regular = (sides, turn = 0) => polygon(places(sides).map((at) => [Math.sin(turn + (2 * Math.PI * at) / sides), -Math.cos(turn + (2 * Math.PI * at) / sides)]));
const spikes = (turn, wide) => polygon(places(8).map((at) => {
  const angle = turn + (Math.PI * at) / 4, far = at % 2 ? wide : 1;
  return [far * Math.sin(angle), -far * Math.cos(angle)];
}));
const SYMBOLS = { o: "circle", ".": "circle", s: "square", D: "diamond", "^": regular(3), v: regular(3, Math.PI), "*": "star", "<": regular(3, -Math.PI / 2),
  ">": regular(3, Math.PI / 2), P: spikes(0, 0.45), X: spikes(Math.PI / 4, 0.45), d: polygon([[0, -1.1], [0.6, 0], [0, 1.1], [-0.6, 0]]), p: regular(5), h: regular(6), H: regular(6, Math.PI / 6), 8: regular(8, Math.PI / 8) };
page.symbol = (method) => SYMBOLS[page.look(method)[2]] || "circle";
// A picture with one text in its place: Plot's own labels of its parts are no names of anything.
page.draw = (options) => {
  const figure = Plot.plot(options);
  for (const part of figure.querySelectorAll("[aria-label], [aria-description]")) {
    part.removeAttribute("aria-label");
    part.removeAttribute("aria-description");
  }
  figure.setAttribute("role", "img");
  return figure;
};
page.legend = (methods) => page.make("ul", { class: "keys" }, ...methods.map((method) => {
  const drawn = Plot.plot({ width: 14, height: 14, margin: 0, x: { axis: null, domain: [-1, 1] }, y: { axis: null, domain: [-1, 1] }, symbol: { domain: [method], range: [page.symbol(method)] },
    marks: [Plot.dot([0], { x: 0, y: 0, r: 5, fill: page.colour(method), symbol: () => method })] });
  drawn.setAttribute("aria-hidden", "true");
  return page.make("li", {}, drawn, method);
}));
