
// The text as each model reads it, coloured by the chosen measure.

const state = { measure: measures[0], pair: 0, picked: null };
const view = () => state.measure.views[state.measure.of_pair ? state.pair : 0];
const hidden = new Set();  // models that are not shown

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
    let passage = null;
    this.spans = this.rows.text.map((text, row) => {
      if (!row || this.rows.passage[row] !== this.rows.passage[row - 1]) {
        passage = make("div", [], "passage");
        attributes(passage, { role: "group", dir: "auto", lang: "" });  // of a language that is not known
        this.list.append(passage);
      }
      const span = document.createElement("span");
      span.textContent = text;
      span.setAttribute("role", "option");
      span.panel = this;
      span.row = row;
      passage.append(span);
      return span;
    });
    this.list.addEventListener("keydown", (event) => this.key(event));
    this.list.addEventListener("focus", () => {
      if (this.list.matches(":focus-visible")) pick(this, this.active ?? 0, { aloud: true });
    });
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
      this.spans[row].className = this.plain[row] ? `${this.plain[row]} ${look}` : look;
    }
    for (const row of of.below) this.spans[row].classList.add("below");
  }

  activate(row) {
    if (this.active !== null) {
      this.spans[this.active].removeAttribute("id");
      this.spans[this.active].removeAttribute("aria-selected");
    }
    this.active = row;
    this.list.removeAttribute("aria-activedescendant");
    if (row === null) return;
    this.spans[row].id = `${this.heading.id}-active`;
    this.spans[row].setAttribute("aria-selected", "true");
    this.list.setAttribute("aria-activedescendant", this.spans[row].id);
  }

  key(event) {
    if (event.altKey || event.metaKey) return;
    const row = this.active ?? 0, last = this.spans.length - 1;
    const backwards = getComputedStyle(this.spans[row].parentNode).direction === "rtl" ? "ArrowRight" : "ArrowLeft";
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
    const from = this.spans[row].getBoundingClientRect(), middle = (from.left + from.right) / 2;
    let best = row, distance = Infinity, top = null;
    for (let to = row + step; to >= 0 && to < this.spans.length; to += step) {
      const box = this.spans[to].getClientRects()[0];
      if (!box || Math.abs(box.top - from.top) < from.height / 2 && top === null) continue;
      top ??= box.top;
      if (Math.abs(box.top - top) > box.height / 2) break;
      const away = Math.max(box.left - middle, middle - box.right, 0);
      if (away < distance) [best, distance] = [to, away];
    }
    return best;
  }
}

const panels = models.map((_, model) => new Panel(model));
let pairPanel = null;
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
