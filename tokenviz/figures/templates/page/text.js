
// The text as each model reads it, coloured by the chosen measure.

const state = { measure: measures[0], pair: 0, picked: null };
const view = () => state.measure.views[state.measure.of_pair ? state.pair : 0];
const hidden = new Set();  // models that are not shown

const LEAST_CONTRAST = 4.5;
const RIGHT_TO_LEFT = /[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc]/;

// The boxes that rows are drawn in: a token, or a character that several of them share.
function boxesOf({ text, shared, ends }) {
  const whole = text.join(""), found = [], places = new Set();
  ends.reduce((at, distance) => (places.add(at + distance), at + distance), 0);
  const add = (rows, begin, end) => {
    const parts = [];
    for (let from = begin, to = begin + 1; to <= end; to++) {
      if (to < end && !places.has(to)) continue;
      if (parts.length) parts.push(document.createElement("wbr"));
      parts.push(whole.slice(from, to));
      from = to;
    }
    found.push({ rows, parts, text: whole.slice(begin, end), mayEnd: places.has(begin) });
  };
  let at = 0, next = 0, reached = 0;
  text.forEach((own, row) => {
    reached += own.length;
    while (at < reached || (!own && shared[next]?.[0] === row)) {
      const [first, count, begin, length] = shared[next] ?? [0, 0, Infinity, 0];
      if (begin > at) add([row], at, at = Math.min(reached, begin));
      else {
        add(Array.from({ length: count }, (_, number) => first + number), at, at += length);
        next++;
      }
    }
    const before = shared[next - 1];
    if (!own && !(before && before[0] <= row && row < before[0] + before[1])) found.push({ rows: [row], parts: "", text: "", mayEnd: false });
  });
  return found;
}

// The relative luminance of a colour of the style sheet, as the Web Content Accessibility Guidelines define it, and those of
// its grey copies, by the rules of `colours.py`.
const GREYS = [[.299, .587, .114], [.3, .59, .11], [.2126, .7152, .0722]];
const luminances = new Map();
function luminancesOf(look) {
  if (look === "unscored") return [1];
  if (!luminances.has(look)) {
    const sample = make("span", "", look);
    document.body.append(sample);
    const parts = getComputedStyle(sample).backgroundColor.match(/\d+/g).map((part) => part / 255);
    sample.remove();
    const linear = (part) => part <= .04045 ? part / 12.92 : ((part + .055) / 1.055) ** 2.4;
    const sum = (shares, values) => shares.reduce((total, share, number) => total + share * values[number], 0);
    const own = sum([.2126, .7152, .0722], parts.map(linear));
    const even = own <= .0031308 ? 12.92 * own : 1.055 * own ** (1 / 2.4) - .055;
    const greys = [...GREYS.map((shares) => sum(shares, parts)), even];
    luminances.set(look, [own, ...greys.map((grey) => linear(Math.round(255 * grey) / 255))]);
  }
  return luminances.get(look);
}

// The ink for a letter on several colours: the one that stands out more where it stands out least; with an edge if that is little.
function inkOn(looks) {
  const all = looks.map(luminancesOf), inColour = all.map(([own]) => own), any = all.flat();
  const contrasts = (values) => ({ black: (Math.min(...values) + .05) / .05, white: 1.05 / (Math.max(...values) + .05) });
  const first = contrasts(inColour), worst = contrasts(any), enough = (ink) => Math.min(first[ink], LEAST_CONTRAST);
  const ink = (enough("white") - enough("black") || worst.white - worst.black) > 0 ? "white" : "black";
  return `${ink}${worst[ink] < LEAST_CONTRAST ? " edged" : ""}`;
}

// A panel shows a model's tokens, or the units of a pair (model null). It is a list box whose options are the tokens: one stop
// of the Tab key, in which the arrow keys move.
class Panel {
  constructor(model) {
    this.model = model;
    this.rows = model === null ? units : tokens[model];
    this.painted = null;
    this.active = null;
    this.found = [];
    this.box = make("section", [], "panel");
    this.heading = make("h2");
    this.heading.id = `panel-${model ?? "pair"}`;
    this.list = make("div", [], "text");
    attributes(this.list, { role: "listbox", tabindex: 0, "aria-labelledby": this.heading.id, "aria-describedby": "help" });
    this.box.append(this.heading, this.list);
    this.plain = this.rows.text.map((text) => [
      DIRECTIONS.test(text) ? "directions" : "", text === "" ? "empty" : "", /^[\r\n]+$/.test(text) ? "line" : "",
    ].filter(Boolean).join(" "));
    this.shared = [];
    this.spans = this.rows.text.map(() => []);  // the elements of each token: more than one where it shares a character
    let passage = null, element = null;
    for (const box of boxesOf(this.rows)) {
      if (this.rows.passage[box.rows[0]] !== passage) {
        passage = this.rows.passage[box.rows[0]];
        element = make("div", [], "passage");
        attributes(element, { role: "group", dir: "auto", lang: "" });  // of a language that is not known
        this.list.append(data.sides ? this.side(passage, element) : element);
      }
      if (box.mayEnd) element.append(document.createElement("wbr"));
      element.append(box.rows.length > 1 ? this.sharedBox(box) : this.option(box.rows[0], box.parts, box.text));
    }
    if (data.marks) this.mark();
    this.list.addEventListener("keydown", (event) => this.key(event));
    this.list.addEventListener("focus", () => {
      if (this.list.matches(":focus-visible")) pick(this, this.active ?? 0, { aloud: true });
    });
  }

  // The line above what is in a named span of the text, with the name where it begins. Style sheets draw the name: whoever
  // copies the text gets the text alone.
  mark() {
    this.rows.span.forEach((mark, row) => {
      if (mark >= 0) for (const span of this.spans[row]) span.style.borderTopColor = data.marks[mark].colour;
    });
    for (const [row, label] of this.rows.labels) {
      const [first] = this.spans[row];
      (first.dataset.part === undefined ? first : first.closest(".shared")).dataset.mark = label;
    }
  }

  // A sentence of a minimal pair, under what it is and its sum.
  side(passage, element) {
    const { name, sums, words } = data.sides[passage], own = this.model;
    const label = make("p", [make("b", name), own === null ? "" : `: ${printed(sums[own], 2)} nats ${words[own]}`], "side-label");
    label.id = `side-${own ?? "pair"}-${passage}`;
    element.setAttribute("aria-labelledby", label.id);
    return make("div", [label, element], "side");
  }

  option(row, content, text) {
    const span = make("span", content);
    if (this.spans[row].length) span.setAttribute("aria-hidden", "true");  // a token is said once
    else span.setAttribute("role", "option");
    if (content === "" && text) span.setAttribute("aria-label", `part of ${seen(text)}`);
    span.panel = this;
    span.row = row;
    this.spans[row].push(span);
    return span;
  }

  // A character that several tokens share: one box, divided in their colours.
  sharedBox({ rows, text }) {
    const order = RIGHT_TO_LEFT.test(text) ? [...rows].reverse() : rows;
    const parts = order.map((row, number) => {
      const part = this.option(row, "", text);
      part.dataset.part = "";
      part.style.left = `${100 * number / rows.length}%`;
      part.style.width = `${100 / rows.length}%`;
      return part;
    });
    const box = make("span", [text, ...parts], "shared");
    box.setAttribute("role", "presentation");
    this.shared.push({ box, parts });
    return box;
  }

  unitOf(row) { return this.model === null ? row : this.rows.unit[row]; }

  rowsOf(place) {
    if (this.model === null) return [place];
    const first = units.first[this.model][place];
    return Array.from({ length: units.n_tokens[this.model][place] }, (_, number) => first + number);
  }

  rowAt(place, start) { return this.model === null ? place : tokenAt(this.model, place, start); }

  paint() {
    const shown = view(), of = shown.panels[this.model ?? 0];
    if (this.painted === of) return;
    this.painted = of;
    this.heading.replaceChildren(make("b", of.name), `: ${of.remark}`);
    const shades = of.shades, prefix = shown.colours + "-";
    for (let row = 0; row < shades.length; row++) {
      const shade = shades[row], look = shade === null ? "unscored" : prefix + shade;
      for (const span of this.spans[row]) span.className = this.plain[row] ? `${this.plain[row]} ${look}` : look;
    }
    for (const row of of.below) for (const span of this.spans[row]) span.classList.add("below");
    for (const { box, parts } of this.shared) {
      box.className = `shared ${inkOn(parts.map((part) => part.className.split(" ").find((name) => name.startsWith(prefix)) ?? "unscored"))}`;
    }
  }

  activate(row) {
    if (this.active !== null) {
      this.spans[this.active][0].removeAttribute("id");
      this.spans[this.active][0].removeAttribute("aria-selected");
    }
    this.active = row;
    this.list.removeAttribute("aria-activedescendant");
    if (row === null) return;
    const [span] = this.spans[row];
    span.id = `${this.heading.id}-active`;
    span.setAttribute("aria-selected", "true");
    this.list.setAttribute("aria-activedescendant", span.id);
  }

  key(event) {
    if (event.altKey || event.metaKey) return;
    const row = this.active ?? 0, last = this.spans.length - 1;
    const backwards = getComputedStyle(this.spans[row][0].closest(".passage")).direction === "rtl" ? "ArrowRight" : "ArrowLeft";
    let to = row;
    if (event.key === "ArrowLeft" || event.key === "ArrowRight") to += event.key === backwards ? -1 : 1;
    else if (event.key === "ArrowDown" || event.key === "ArrowUp") to = this.line(row, event.key === "ArrowDown" ? 1 : -1);
    else if (event.key === "Home" || event.key === "End") {
      const step = event.key === "Home" ? -1 : 1;
      if (event.ctrlKey) to = step < 0 ? 0 : last;
      else while (to + step >= 0 && to + step <= last && this.rows.passage[to + step] === this.rows.passage[row]) to += step;
    } else if (event.key !== "Enter" && event.key !== " ") return;
    event.preventDefault();
    pick(this, Math.max(0, Math.min(last, to)), { aloud: true });
  }

  // The nearest token on the line below or above.
  line(row, step) {
    const from = this.spans[row][0].getBoundingClientRect(), middle = (from.left + from.right) / 2;
    let best = row, distance = Infinity, top = null;
    for (let to = row + step; to >= 0 && to < this.spans.length; to += step) {
      const box = this.spans[to][0].getClientRects()[0];
      if (!box || Math.abs(box.top - from.top) < from.height / 2 && top === null) continue;
      top ??= box.top;
      if (Math.abs(box.top - top) > box.height / 2) break;
      const away = Math.max(box.left - middle, middle - box.right, 0);
      if (away < distance) [best, distance] = [to, away];
    }
    return best;
  }
}

let panels = [], pairPanel = null;
function makePanels() {
  panels = models.map((_, model) => new Panel(model));
  pairPanel = null;
  find("panels").classList.toggle("sides", Boolean(data.sides));
  find("panels").classList.toggle("marked", Boolean(data.marks));
  find("panels").replaceChildren(...panels.map((panel) => panel.box));
}
const everyPanel = () => pairPanel ? [...panels, pairPanel] : panels;
const visible = () => state.measure.of_pair ? [pairPanel] : panels.filter((panel) => !hidden.has(panel.model));

function showPanels() {
  if (state.measure.of_pair && !pairPanel) {
    pairPanel = new Panel(null);
    find("panels").append(pairPanel.box);
    mark(pairPanel);
    activate();
  }
  const shown = visible();
  for (const panel of everyPanel()) panel.box.hidden = !shown.includes(panel);
  for (const panel of shown) panel.paint();
  find("panels").style.setProperty("--columns", shown.length);
  showLegend();
  find("caption").textContent = view().caption;
  find("panels").classList.toggle("code", view().code);
}

function showLegend() {
  const shown = view(), legend = find("legend");
  legend.replaceChildren();
  if (shown.swatches.length) {
    const buckets = shown.ticks.map((name, number) =>
      make("span", [make("span", "", `swatch ${shown.colours}-${shown.swatches[number]}`), name], "bucket"));
    legend.append(make("div", [`${shown.axis}: `, ...buckets]));
  } else if (shown.ticks.length) {
    const bar = make("div", shown.bar.map((shade) => make("span", "", `${shown.colours}-${shade}`)), "bar");
    const sign = shown.diverging ? [make("div", "", "sign")] : [];
    legend.append(make("div", [make("div", shown.axis), bar, ...sign, make("div", shown.ticks.map((tick) => make("span", tick)), "ticks")], "scale"));
  }
  const words = shown.lines.map((line) => make("div", line));
  if (shown.unscored) words.push(make("div", [make("span", "", "swatch unscored-swatch"), shown.unscored]));
  legend.append(make("div", words));
}
