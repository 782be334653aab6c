"use strict";
// A grid as matrices: texts are rows, models or pairs of models are columns; every cell leads to its run's figure.

const data = JSON.parse(document.getElementById("data").textContent);
const { models, texts, units, scores, pairs, others } = data;
const find = (id) => document.getElementById(id);
const ROWS = 60, WIDEST = 24;  // what is shown at once: a browser lays out a few thousand cells without a pause
const PRINTED = 10;  // columns side by side on paper
const state = { rows: {}, columns: {}, sorted: {} };

const make = (tag, content = [], values = {}) => {
  const element = document.createElement(tag);
  element.append(...[content].flat());  // strings become text nodes, never markup
  for (const [name, value] of Object.entries(values)) element.setAttribute(name, value);
  return element;
};
// A name, whose lines end after its punctuation where it is longer than its column.
const named = (name) => make("bdi", name.split(/(?<=[-_/.,:=@])/).flatMap((part, number) => (number ? [make("wbr"), part] : [part])));
const printed = (value, decimals) => {
  if (value === null) return "–";
  const text = value.toFixed(decimals);
  return Number(text) === 0 ? text.replace("-", "") : text.replace("-", "−");
};
// Three, and up to six so that an interval's width shows in two digits: as every table of the project prints it.
const decimalsOf = (low, high) => (high > low ? Math.min(6, Math.max(3, 1 - Math.floor(Math.log10(high - low)))) : 3);
const counted = (count, noun) => `${count.toLocaleString("en")} ${noun}${count === 1 ? "" : "s"}`;

// Where a run's figure is, as an address; in a frame that may open nothing only as words.
const framed = data.links === "artifact" && location.protocol !== "file:";
const page = (run) => `#/experiments/${data.experiment_id}/runs/${run}`;
const MODE = "?workflowType=machine_learning";  // without it MLflow's pages open in another mode
const address = (run, file) => {
  if (!run) return "";
  if (framed) return file ? `${page(run)}/artifacts/figures/${encodeURIComponent(file)}${MODE}` : `${page(run)}${MODE}`;
  if (data.links === "folder") return file ? `runs/${run}/${encodeURIComponent(file)}` : data.pages ? `${data.pages}${page(run)}${MODE}` : "";
  return file ? `../../${run}/artifacts/figures/${encodeURIComponent(file)}` : "";
};
const link = (run, file, name, content) => {
  const to = address(run, file);
  if (!to) return make("span", content);
  const element = make("a", content, { href: to, "aria-label": name });
  if (framed) element.addEventListener("click", (event) => {
    event.preventDefault();
    const host = location.href.replace(/^blob:/, "").replace(/[^/]*$/, "");  // a blob's address begins with its maker's
    find("where-name").textContent = name;
    find("where-address").value = `${/^https?:/.test(host) ? host : ""}${to}`;
    find("where").hidden = false;
    find("where-address").select();
  });
  return element;
};

// The scale of all pictures: from the 2nd percentile of their parts to the greatest.
const levels = scores.picture.join("").replaceAll("-", "");
const counts = [...data.codes].map((code) => levels.split(code).length - 1);
let seen = 0;
const most = counts.reduce((kept, count, step) => (seen += count, count && (kept === null || seen <= levels.length * .98) ? step : kept), null) ?? 0;
const least = Math.max(0, counts.findIndex((count) => count > 0));
const shade = (code) => {
  const step = data.codes.indexOf(code);
  const share = most === least ? .5 : 1 - (Math.min(most, step) - least) / (most - least);
  return data.shades[Math.round(share * (data.shades.length - 1))];
};
const picture = (codes) => {
  const canvas = make("canvas", [], { width: data.columns, height: codes.length / data.columns, "aria-hidden": "true" });
  const pen = canvas.getContext("2d");
  [...codes].forEach((code, place) => {
    if (code === "-") return;
    pen.fillStyle = shade(code);
    pen.fillRect(place % data.columns, Math.floor(place / data.columns), 1, 1);
  });
  return canvas;
};
const showLegend = () => {
  find("legend").hidden = !levels;
  for (const colour of data.shades) {
    const part = make("i");
    part.style.background = colour;
    find("legend").querySelector(".bar").append(part);
  }
  find("legend").querySelector(".ticks").textContent =
    `mean log-prob of the tokens in each 96th of the text: ${printed(-most * data.step, 1)} (light) to ${printed(-least * data.step, 1)} nats (dark); white is not scored`;
};

// A matrix: its columns and cells by number.
const matrix = (id, columns, source, value, cell) => {
  const cells = new Map(source.run.map((_, place) => [`${source.text[place]} ${columns.of(place)}`, place]));
  return { id, columns, source, value, cell, at: (text, column) => cells.get(`${text} ${column}`) };
};
const names = [], numbers = new Map();
pairs.run.forEach((_, place) => {
  const key = `${pairs.a[place]} ${pairs.b[place]} ${pairs.by[place]}`;
  if (!numbers.has(key)) {
    numbers.set(key, names.length);
    names.push({ models: [models[pairs.a[place]], models[pairs.b[place]]], by: units[pairs.by[place]] });
  }
});
const number = () => find("number").value;
const matrices = [
  matrix("pairs", {
    of: (place) => numbers.get(`${pairs.a[place]} ${pairs.b[place]} ${pairs.by[place]}`),
    all: names.map((pair) => ({ words: [named(pair.models[0]), make("br"), named(pair.models[1]), make("small", ` by ${pair.by}`)], models: pair.models, name: pair.models.join(" and ") })),
  }, pairs, (place) => pairs.r[place], (place) => {
    const decimals = decimalsOf(pairs.low[place], pairs.high[place]), r = printed(pairs.r[place], decimals);
    const interval = pairs.low[place] === null ? "no interval" : `${printed(pairs.low[place], decimals)} to ${printed(pairs.high[place], decimals)}`;
    const name = `Report of ${models[pairs.a[place]]} and ${models[pairs.b[place]]} on ${texts[pairs.text[place]]}: r ${r}`;
    return link(pairs.run[place], "report.html", name, [
      make("b", r), make("small", interval),
      make("small", [`ρ`, make("sub", "c"), ` ${printed(pairs.concordance[place], 3)}, n ${pairs.n[place].toLocaleString("en")}`]),
    ]);
  }),
  matrix("scores", { of: (place) => scores.model[place], all: models.map((name) => ({ words: [named(name)], models: [name], name })) },
    scores, (place) => scores[number()][place], (place) => {
      const value = printed(scores[number()][place], 3);
      const name = `Heatmap of ${texts[scores.text[place]]} by ${models[scores.model[place]]}: ${value} ${number() === "bits" ? "bits per byte" : "nats per token"}`;
      const parts = [make("b", value), make("small", `n ${scores.n[place].toLocaleString("en")}`)];
      if (scores.picture[place]) parts.splice(1, 0, picture(scores.picture[place]));
      return link(scores.run[place], "heatmap.html", name, parts);
    }),
];

const wanted = (id, name) => name.toLocaleLowerCase().includes(find(id).value.trim().toLocaleLowerCase());
const compare = new Intl.Collator("en", { numeric: true }).compare;
const sign = () => (find("order").value === "highest" ? -1 : 1);
const ordered = (items, extreme, name) => {
  const order = find("order").value, keyed = items.map((item) => [item, extreme(item)]);
  if (order === "name") keyed.sort((a, b) => compare(name(a[0]), name(b[0])));
  if (order === "lowest" || order === "highest") keyed.sort((a, b) => a[1] - b[1]);
  return keyed.map(([item]) => item);
};
const extremeOf = (values) => Math.min(Infinity, ...values.map((value) => (value === null || value === undefined ? Infinity : sign() * value)));

// The texts and columns that the filters keep, in the order that is chosen, and the value that comes first in it.
const kept = ({ id, columns, value, at }) => {
  const there = (text, column) => { const place = at(text, column); return place === undefined ? null : value(place); };
  let shownTexts = texts.map((_, text) => text).filter((text) => wanted("texts", texts[text]));
  let shownColumns = columns.all.map((_, column) => column).filter((column) => columns.all[column].models.some((name) => wanted("models", name)));
  shownColumns = shownColumns.filter((column) => shownTexts.some((text) => at(text, column) !== undefined));
  shownTexts = shownTexts.filter((text) => shownColumns.some((column) => at(text, column) !== undefined));
  const rows = ordered(shownTexts, (text) => extremeOf(shownColumns.map((column) => there(text, column))), (text) => texts[text]);
  const across = ordered(shownColumns, (column) => extremeOf(shownTexts.map((text) => there(text, column))), (column) => columns.all[column].name);
  const by = state.sorted[id];
  if (by && across.includes(by.column)) {
    const key = (text) => { const one = there(text, by.column); return one === null ? Infinity : by.sign * one; };
    rows.sort((one, other) => key(one) - key(other));
  }
  const first = extremeOf(shownTexts.flatMap((text) => shownColumns.map((column) => there(text, column))));
  return { rows, across, first };
};
const bodyOf = ({ value, cell, at }, rows, across, first) => make("tbody", rows.map((text) => make("tr", [
  make("th", make("bdi", texts[text]), { scope: "row" }),
  ...across.map((column) => {
    const place = at(text, column);
    if (place === undefined) return make("td", "–", { class: "none" });
    const extreme = ["lowest", "highest"].includes(find("order").value) && sign() * value(place) === first;
    return make("td", cell(place), extreme ? { class: "extreme" } : {});
  }),
])));
const wordsOf = (columns, column) => columns.all[column].words.map((part) => part.cloneNode(true));

const show = (matrix) => {
  const { id, columns, source } = matrix;
  const { rows, across, first } = kept(matrix);
  const by = state.sorted[id];
  const section = find(id);
  const kind = find("kind").value;
  section.hidden = !source.run.length || (kind !== "all" && kind !== id) || !rows.length;
  if (section.hidden) return 0;
  const visible = { rows: rows.slice(0, state.rows[id] ?? ROWS), columns: across.slice(0, state.columns[id] ?? WIDEST) };
  const head = make("tr", [make("th", "text", { scope: "col" }), ...visible.columns.map((column) => {
    const button = make("button", wordsOf(columns, column), { type: "button", title: "Sort the texts by this column" });
    button.addEventListener("click", () => {
      const now = state.sorted[id];
      state.sorted[id] = { column, sign: now && now.column === column ? -now.sign : 1 };
      render();
    });
    const now = by && by.column === column ? { "aria-sort": by.sign > 0 ? "ascending" : "descending" } : {};
    return make("th", [button, now["aria-sort"] ? (by.sign > 0 ? " ↑" : " ↓") : ""], { scope: "col", ...now });
  })]);
  section.querySelector(".wide table").replaceChildren(make("thead", head), bodyOf(matrix, visible.rows, visible.columns, first));
  const more = section.querySelector(".more");
  more.replaceChildren(`${counted(visible.rows.length, "text")} of ${rows.length.toLocaleString("en")}, ${visible.columns.length} of ${counted(across.length, "column")} `);
  if (visible.rows.length < rows.length) more.append(button("More texts", () => { state.rows[id] = visible.rows.length + ROWS; }));
  if (visible.columns.length < across.length) more.append(button("More columns", () => { state.columns[id] = visible.columns.length + WIDEST; }));
  more.hidden = !more.querySelector("button");
  return rows.length;
};
const button = (words, action) => {
  const element = make("button", words, { type: "button" });
  element.addEventListener("click", () => { action(); render(); });
  return element;
};
const showOthers = () => {
  const kind = find("kind").value;
  const rows = others.filter(([own, name]) => wanted("texts", name) && wanted("models", name) && (kind === "all" || kind === `kind ${own}`));
  find("others").hidden = !rows.length;
  find("others").querySelector("table").replaceChildren(
    make("thead", make("tr", ["kind", "run", "what was found"].map((name) => make("th", name, { scope: "col" })))),
    make("tbody", rows.map(([own, name, run, found, figure]) => make("tr", [
      make("th", own, { scope: "row" }), make("td", link(run, figure, name, make("b", name))), make("td", found)]))),
  );
  return rows.length;
};

// Paper cannot be scrolled: there a matrix is laid out in blocks of columns, with every text and column that the filters keep.
const blocksOf = (matrix) => {
  const { rows, across, first } = kept(matrix);
  const blocks = [];
  for (let begin = 0; begin < across.length; begin += PRINTED) {
    const block = across.slice(begin, begin + PRINTED);
    const head = make("tr", [make("th", "text", { scope: "col" }), ...block.map((column) => make("th", wordsOf(matrix.columns, column), { scope: "col" }))]);
    const table = make("table", [
      make("caption", `Columns ${begin + 1} to ${begin + block.length} of ${across.length}`),
      make("thead", head), bodyOf(matrix, rows, block, first),
    ]);
    table.style.setProperty("--share", block.length / PRINTED);
    blocks.push(table);
  }
  return make("div", blocks, { class: "blocks" });
};
const clearBlocks = () => document.querySelectorAll(".blocks").forEach((blocks) => blocks.remove());
addEventListener("beforeprint", () => {
  clearBlocks();
  for (const matrix of matrices) if (!find(matrix.id).hidden) find(matrix.id).querySelector(".wide").before(blocksOf(matrix));
});
addEventListener("afterprint", clearBlocks);

const render = () => {
  const shown = matrices.map(show).concat(showOthers());
  find("nothing").hidden = shown.some((count) => count > 0);
  find("warning").hidden = number() !== "mean";
  const chosen = new URLSearchParams(["texts", "models", "order", "kind", "number"].filter((id) => find(id).value && find(id).value !== find(id).dataset.first).map((id) => [id, find(id).value]));
  if (!framed) try {
    history.replaceState(null, "", `${location.pathname}${location.search}${chosen.size ? "#" : ""}${chosen}`);  // Back from a figure comes to the same view
  } catch { /* a frame of no origin keeps no history */ }
};

const kinds = [["all", "all kinds"], ...(pairs.run.length ? [["pairs", "pairs of models"]] : []), ...(scores.run.length ? [["scores", "models"]] : []),
  ...[...new Set(others.map(([kind]) => kind))].map((kind) => [`kind ${kind}`, kind])];
find("kind").append(...kinds.map(([value, words]) => make("option", words, { value })));
for (const id of ["texts", "models", "order", "kind", "number"]) find(id).dataset.first = find(id).value;
for (const [id, value] of new URLSearchParams(location.hash.slice(1))) if (find(id) && "value" in find(id) && value.length < 200) find(id).value = value;
for (const id of ["order", "kind"]) if (!find(id).value) find(id).value = find(id).dataset.first;
let typing = 0;
const soon = () => { clearTimeout(typing); typing = setTimeout(render, 100); };
for (const kind of ["input", "change"]) find("controls").addEventListener(kind, soon);
find("controls").addEventListener("submit", (event) => event.preventDefault());
find("order").addEventListener("change", () => { state.sorted = {}; });
find("number").addEventListener("change", render);
find("where-close").addEventListener("click", () => { find("where").hidden = true; });
find("dark").addEventListener("click", (event) => setDark(event.target.getAttribute("aria-pressed") !== "true"));
const setDark = (dark) => {
  document.documentElement.dataset.theme = dark ? "dark" : "light";
  find("dark").setAttribute("aria-pressed", dark);
};
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") find("where").hidden = true;
  const cell = event.target.closest("td, tbody th"), step = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
  if (!cell || !step || event.altKey || event.ctrlKey || event.metaKey) return;
  const row = cell.parentNode, body = row.parentNode;
  const next = body.rows[row.sectionRowIndex + step[0]]?.cells[cell.cellIndex + step[1]]?.querySelector("a");
  if (next) { event.preventDefault(); next.focus(); }
});
setDark(matchMedia("(prefers-color-scheme: dark)").matches);
const size = [[models.length, "model"], [texts.length, "text"], [scores.run.length, "score"], [pairs.run.length, "comparison"], [others.length, "other run"]];
find("size").textContent = `${size.filter(([count]) => count).map(([count, noun]) => counted(count, noun)).join(", ")}. Grid ${data.grid}.`;
if (data.pages) {
  find("runs").href = `${data.pages}#/experiments/${data.experiment_id}/runs${MODE}&viewStateShareKey=${data.grid}-runs`;
  find("runs").hidden = false;
}
showLegend();
render();
