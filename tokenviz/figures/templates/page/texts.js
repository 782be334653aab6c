
// The list of several texts: sorted by what the reader looks for; one stop of the Tab key, in which the arrow keys open a text.

const START = 90;  // characters of a text's beginning
let shownText = 0, order = [];

// Each with its number: the greatest comes first, or the smallest where `least` is set; what has none (null) is last.
function textSorts() {
  const { texts, unit: over } = whole, found = [];
  if (pairs.length) {
    const [a, b] = pairs[state.pair].models.map((model) => short(models[model].name));
    found.push({ name: "what differs most", unit: `mean |${b} minus ${a}|, nats per ${over}`, value: (text) => texts[text].difference[state.pair] });
  }
  if (whole.sides) models.forEach(({ name }, model) => {
    found.push({ name: `margin by ${short(name)}`, unit: `${whole.sides.join(" minus ")}, nats`, least: true, value: (text) => texts[text].margin[model] });
  });
  models.forEach(({ name }, model) => {
    found.push({ name: `bits per byte by ${short(name)}`, unit: "bits per byte", value: (text) => texts[text].bits[model] });
  });
  const inOrder = new Intl.Collator(undefined, { numeric: true });
  found.push({ name: "name", compare: (a, b) => inOrder.compare(texts[a].name, texts[b].name) });
  found.push({ name: "order given", compare: (a, b) => a - b });
  return found;
}

function showList() {
  find("list-sort").replaceChildren(...textSorts().map(({ name }) => new Option(name)));
  sortList();
  openText(order[0]);
}

function sortList() {
  const { texts } = whole, { value, unit: measured, compare, least } = textSorts()[find("list-sort").selectedIndex];
  const sign = least ? 1 : -1;
  order = [...texts.keys()].sort(compare ?? ((a, b) => {
    const [x, y] = [value(a), value(b)];
    if (x === null || y === null) return (x === null) - (y === null) || a - b;
    return sign * (x - y) || a - b;
  }));
  find("list-unit").textContent = measured ?? "";
  find("list").replaceChildren(...order.map((text, place) => {
    const { name, start, n, won } = texts[text];
    const first = [make("span", name, "text-name")];
    if (value) {
      const number = make("span", printed(value(text), 2), "number");
      number.title = `n = ${n} ${whole.unit}s`;
      first.push(number);
    }
    const line = [make("span", first, "first")];
    if (won) line.push(make("span", won.map((words, model) => make("span", `${short(models[model].name)}: ${words}`, "won")), "verdicts"));
    line.push(make("bdi", start.slice(0, START), "start"));
    const option = attributes(make("li", line), { role: "option", id: `list-${place}`, "aria-selected": "false" });
    option.text = text;
    return option;
  }));
  markText();
}

function markText() {
  const place = order.indexOf(shownText);
  for (const option of find("list").children) option.setAttribute("aria-selected", String(option.text === shownText));
  find("list").setAttribute("aria-activedescendant", `list-${place}`);
  find("position").textContent = `${place + 1} of ${order.length}`;
  const chosen = find("list").children[place], box = chosen.getBoundingClientRect(), room = find("list").getBoundingClientRect();
  if (box.top < room.top || box.bottom > room.bottom) find("list").scrollTop += box.top - room.top - room.height / 3;
}

function openText(text) {
  shownText = text;
  read(parsed(`text-${text}`));
  find("text-name").textContent = data.text;
  markText();
}

function goToText(step) {
  const place = Math.max(0, Math.min(order.length - 1, order.indexOf(shownText) + step));
  if (order[place] === shownText) return;
  openText(order[place]);
  showText();
  find("text").scrollTop = 0;
}
