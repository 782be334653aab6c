"use strict";
// What the page knows, where everything stands in the text, and how it is printed.

const CONTEXT = 28;  // UTF-16 units
const DIRECTIONS = /[\u200e\u200f\u061c\u202a-\u202e\u2066-\u2069]+/;
const find = (id) => document.getElementById(id);
const parsed = (id) => JSON.parse(find(id).textContent);
const whole = parsed("data");  // one text; or the list of several, each of which has an element of its own
const several = "texts" in whole;
let data, models, tokens, units, pairs, measures, unit, passages;  // of the text that is shown

const make = (tag, content = "", className = "") => {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.append(...(Array.isArray(content) ? content : [content]));  // strings become text nodes, never markup
  return element;
};
const attributes = (element, values) => {
  for (const [name, value] of Object.entries(values)) element.setAttribute(name, value);
  return element;
};
const heading = (name, scope) => {
  const cell = make("th", name);
  cell.scope = scope;
  return cell;
};
const printed = (value, decimals) => {
  if (value === null) return "–";
  const text = value.toFixed(decimals);
  return Number(text) === 0 ? text.replace("-", "") : text.replace("-", "−");
};
const share = (logprob) => {
  const value = Math.exp(logprob);
  if (value >= .0005) return value.toFixed(3);
  const [digits, power] = value.toExponential(0).split("e-");
  return `${digits}e−${power}`;
};
const LONGEST_NAME = 28;
// A model's name where there is little room: without its middle.
const short = (name) => {
  const signs = [...name], half = LONGEST_NAME / 2;
  return signs.length > LONGEST_NAME ? [...signs.slice(0, half), "…", ...signs.slice(1 - half)].join("") : name;
};
const code = (sign) => `⟨U+${sign.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}⟩`;
// A token where it is talked about: what cannot be seen stands for itself by a sign.
const seen = (text) => text === "" ? "(no character of its own)" : text
  .replace(/^ +| +$/g, (spaces) => "␣".repeat(spaces.length))
  .replace(/\n/g, "↵").replace(/\r/g, "␍").replace(/\t/g, "⇥")
  .replace(/[\p{Cc}\u2028\u2029\ufeff\u200b\u200e\u200f\u061c\u202a-\u202e\u2060-\u2069\u00ad]/gu, code);

// ---- where everything stands; `start` counts the UTF-16 units of a passage, as JavaScript's strings do ----

function starts({ text, passage }) {
  const found = new Int32Array(text.length);
  for (let row = 1; row < text.length; row++) {
    found[row] = passage[row] === passage[row - 1] ? found[row - 1] + text[row - 1].length : 0;
  }
  return found;
}

function read(text) {
  data = text;
  ({ models, tokens, units, pairs, measures, unit } = data);
  passages = [];
  tokens[0].text.forEach((own, row) => {
    const passage = tokens[0].passage[row];
    passages[passage] = (passages[passage] ?? "") + own;
  });
  units.start = starts(units);
  tokens.forEach((table, model) => {
    table.start = starts(table);
    table.unit = new Int32Array(table.text.length);
    units.first[model].forEach((first, place) => table.unit.fill(place, first, first + units.n_tokens[model][place]));
  });
}
read(several ? parsed("text-0") : whole);

// A model's token at a place, of several in a unit the one that holds `start`.
function tokenAt(model, place, start) {
  const first = units.first[model][place], { start: own } = tokens[model];
  let row = first;
  while (row + 1 < first + units.n_tokens[model][place] && own[row + 1] <= start) row++;
  return row;
}

// What stands before and after a unit, on one line; a character of two UTF-16 units is not cut in halves.
function around(place) {
  const text = passages[units.passage[place]], start = units.start[place], end = start + units.text[place].length;
  const before = text.slice(Math.max(0, start - CONTEXT), start).replace(/^[\udc00-\udfff]/, "");
  const after = text.slice(end, end + CONTEXT).replace(/[\ud800-\udbff]$/, "");
  const onOneLine = (part) => part.replace(/\s+/g, " ").replace(DIRECTIONS, "");
  return { before: (start > CONTEXT ? "…" : "") + onOneLine(before), after: onOneLine(after) + (end + CONTEXT < text.length ? "…" : "") };
}
