
// One place: pointed at, or picked to stay; and what the models say of it.

const HEADING = 45;  // pixels that a panel's heading covers
const hint = find("details").firstElementChild;
let marked = [];

// A place is a unit, and in it the `start` of a token and the model whose token it is (null for none).
function show(place) {
  for (const element of marked) for (const name of ["data-here", "data-picked"]) element.removeAttribute(name);
  marked = [];
  const details = find("details");
  ring.toggleAttribute("hidden", !place || point(place.unit) === null);
  if (!place) {
    details.replaceChildren(hint);
    return;
  }
  for (const panel of visible()) for (const row of panel.rowsOf(place.unit)) {
    const exact = panel.model === place.model && row === panel.rowAt(place.unit, place.start);
    for (const span of panel.spans[row]) span.setAttribute(exact ? "data-picked" : "data-here", "");
    marked.push(...panel.spans[row]);
  }
  const listed = rowOfPlace.get(place.unit);
  if (listed) {
    listed.setAttribute("data-here", "");
    marked.push(listed);
  }
  details.replaceChildren(context(place.unit), ...readings(place));
  const at = point(place.unit);
  if (at) for (const name of ["cx", "cy"]) ring.setAttribute(name, at[name]);
}

function context(place) {
  const { before, after } = around(place);
  const mark = data.marks?.[units.span[place]];
  const line = make("p", [...(mark ? [make("i", `${mark.name}: `)] : []), before, make("b", seen(units.text[place])), after], "context");
  line.dir = "auto";
  return line;
}

// A column a model: its token, what the model says of it, and what it would rather have read.
function readings(place) {
  const at = tokens.map((table, model) => ({ table, model, row: tokenAt(model, place.unit, place.start) }));
  const scored = ({ table, row }) => table.logprob[row] !== null;
  const line = (name, cell) => make("tr", [heading(name, "row"), ...at.map(cell)]);
  const numbers = (name, print) => line(name, (one) => make("td", scored(one) ? print(one) : "–", "number"));
  const lines = [
    line("token", ({ table, row }) => make("td", make("bdi", seen(table.text[row])), "number token")),
    line("log-prob (nats)", (one) => make("td", scored(one) ? printed(one.table.logprob[one.row], 4) : "not scored", "number")),
    numbers("probability", ({ table, row }) => share(table.logprob[row])),
    numbers("rank", ({ table, row }) => String(table.rank[row])),
    numbers("entropy (nats)", ({ table, row }) => printed(table.entropy[row], 3)),
  ];
  if (unit === "segment") {
    lines.push(line("segment (nats)", ({ model }) => {
      const count = units.n_tokens[model][place.unit];
      return make("td", `${printed(units.logprob[model][place.unit], 4)} in ${count}`, "number");
    }));
  }
  const most = Math.max(...tokens.map(({ k }) => k));
  if (most) lines.at(-1).className = "last";
  for (let number = 0; number < most; number++) lines.push(line(String(number + 1), (one) => alternative(one, number)));
  const names = make("tr", [make("td"), ...models.map(({ name }) => heading(short(name), "col"))]);
  const about = make("caption", "Each model's numbers, and by number its likeliest tokens with their probabilities.", "unseen");
  const table = make("table", [about, make("thead", names), make("tbody", lines)]);
  table.style.setProperty("--models", models.length);
  const found = [make("div", table, "wide")];
  if (!most) found.push(make("p", "No alternatives were kept with these scores (top_k).", "hint"));
  return found;
}

function alternative({ table, row }, number) {
  const logprob = number < table.k ? table.top_logprob[row * table.k + number] : null, cell = make("td", "", "choice");
  if (logprob === null) return cell;
  const token = seen(data.alternatives[table.top[row * table.k + number]]);
  cell.append(make("div", [make("bdi", token), make("span", share(logprob))]));
  cell.title = `${token}: log-prob ${printed(logprob, 3)} nats`;
  cell.style.setProperty("--share", `${(100 * Math.exp(logprob)).toFixed(1)}%`);
  if (table.read[row] === number) {
    cell.classList.add("read");
    cell.append(make("span", "(in the text)", "unseen"));
  }
  return cell;
}

function pick(panel, row, { aloud = false } = {}) {
  pickPlace({ unit: panel.unitOf(row), start: panel.rows.start[row], model: panel.model }, { panel, row, aloud });
}

// By default the panel is the first one, and the row that of the place.
function pickPlace(place, { panel = visible()[0], row = panel.rowAt(place.unit, place.start), aloud = false } = {}) {
  state.picked = place;
  activate();
  panel.activate(row);
  show(place);
  bringIntoView(panel.spans[row][0]);
  if (aloud) say(sentence(place));
}

function activate() {
  const { picked } = state;
  for (const panel of everyPanel()) panel.activate(picked && panel.rowAt(picked.unit, picked.start));
}

function bringIntoView(span) {
  const box = span.getBoundingClientRect(), scroller = find("text"), details = find("details").parentNode;
  const scrolls = getComputedStyle(scroller).overflowY !== "visible";  // else the page does, with the details at its foot
  const { top, bottom } = scrolls ? scroller.getBoundingClientRect() : { top: 0, bottom: details.getBoundingClientRect().top };
  if (box.top < top + HEADING || box.bottom > bottom) span.scrollIntoView({ block: "center" });
}

function release() {
  state.picked = null;
  activate();
  show(null);
}

function sentence(place) {
  const parts = models.map((_, model) => {
    const table = tokens[model], row = tokenAt(model, place.unit, place.start), name = `${models[model].name}, ${seen(table.text[row])}`;
    if (table.logprob[row] === null) return `${name}: not scored`;
    const first = table.k ? `, likeliest ${seen(data.alternatives[table.top[row * table.k]])}` : "";
    return `${name}: log-prob ${printed(table.logprob[row], 2)} nats, rank ${table.rank[row]}, entropy ${printed(table.entropy[row], 2)} nats${first}`;
  });
  return `${parts.join(". ")}.`;
}

let waiting = 0;
function say(words) {  // of keys in quick succession only the last is heard
  clearTimeout(waiting);
  waiting = setTimeout(() => { find("spoken").textContent = words; }, 150);
}
