
// The list of places, sorted; where something is searched for, of those that hold it.

const A_FEW = 30;  // places more at a time
const rowOfPlace = new Map();
let listed = A_FEW;

const placeOf = (number) => ({ unit: number, start: units.start[number], model: null });

function difference(place) {
  const [a, b] = pairs[state.pair].models.map((model) => units.logprob[model][place]);
  return a === null || b === null ? null : b - a;
}

// Each with its key: the smallest comes first, and what has none (null) is left out.
function sorts() {
  const least = (model) => ({ name: `least probable by ${short(models[model].name)}`, key: (place) => units.logprob[model][place] });
  const reading = { name: "reading order", key: (place) => place };
  if (!pairs.length) return [least(0), reading];
  const [a, b] = pairs[state.pair].models;
  const apart = (name, key) => ({ name, key: (place) => difference(place) === null ? null : key(difference(place)) });
  return [
    apart("largest disagreement", (value) => -Math.abs(value)),
    apart(`more probable by ${short(models[b].name)}`, (value) => -value),
    apart(`more probable by ${short(models[a].name)}`, (value) => value),
    least(a), least(b), reading,
  ];
}

function showSorts() {
  const chosen = Math.max(0, find("sort").selectedIndex);
  find("sort").replaceChildren(...sorts().map(({ name }) => new Option(name)));
  find("sort").selectedIndex = chosen;
}

function showPlaces() {
  const { key } = sorts()[find("sort").selectedIndex], pair = pairs.length ? pairs[state.pair].models : [0];
  const among = query ? [...new Set(matches.flatMap(({ places }) => places))] : [...units.text.keys()];
  const order = among.map((place) => [key(place), place]).filter(([value]) => value !== null)
    .sort(([one, first], [other, second]) => one - other || first - second).map(([, place]) => place);
  const names = [...pair.map((model) => short(models[model].name)), ...(pair.length > 1 ? ["difference"] : [])];
  const table = find("places");
  table.tHead.replaceChildren(make("tr", [heading(`${unit} after its context`, "col"), ...names.map((name) => heading(name, "col"))]));
  rowOfPlace.clear();
  for (const place of order.slice(0, listed)) {
    const button = make("button", [around(place).before, make("b", seen(units.text[place]))]);
    Object.assign(button, { type: "button", place });
    const numbers = [...pair.map((model) => units.logprob[model][place]), ...(pair.length > 1 ? [difference(place)] : [])];
    rowOfPlace.set(place, make("tr", [make("td", button), ...numbers.map((value) => make("td", printed(value, 2), "number"))]));
  }
  table.tBodies[0].replaceChildren(...rowOfPlace.values());
  find("more").hidden = order.length <= listed;
  show(state.picked);
}

// Where the difference of two models lies: by kind of string, and in which passages, each of which leads to its place.
function showGaps() {
  const shown = data.gaps?.[state.pair];
  find("gaps").hidden = find("to-gaps").hidden = !shown || !shown.kinds.length;
  if (find("gaps").hidden) return;
  const [a, b] = pairs[state.pair].models.map((model) => short(models[model].name));
  find("gaps-words").textContent = `${b} minus ${a}, bits; above 0 where ${b} predicts better. The kinds add up to the whole.`;
  const fill = (table, names, rows) => {
    table.tHead.replaceChildren(make("tr", names.map((name) => heading(name, "col"))));
    table.tBodies[0].replaceChildren(...rows.map((row) => make("tr", row.map((cell, number) => make("td", cell, number ? "number" : "")))));
  };
  const percent = (value) => value === null ? "–" : `${printed(100 * value, 1)} %`;
  fill(find("gap-kinds"), ["kind of string", "n", "sum", "share", `per ${unit} of all`], shown.kinds.map(
    ({ kind, n, sum_bits, share, bits_per_unit }) => [kind, String(n), printed(sum_bits, 1), percent(share), printed(bits_per_unit, 3)]));
  find("gap-passages").hidden = shown.passages.length < 2;
  fill(find("gap-passages").querySelector("table"), ["passage", "n", "sum", "share"], shown.passages.map((row) => {
    const button = make("button", [make("b", String(row.passage + 1)), ` ${row.beginning.replace(/\s+/g, " ").replace(DIRECTIONS, "").trim()}`]);
    Object.assign(button, { type: "button", place: row.unit });
    return [button, String(row.n), printed(row.sum_bits, 1), percent(row.share)];
  }));
}
