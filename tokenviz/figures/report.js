"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const { models, tokens, units, pairs, measures, unit } = data;
  const SVG = "http://www.w3.org/2000/svg";
  const PAGE_OF_PLACES = 30, CONTEXT = 28, LAYERS = 16, NEAR = 14;
  const DIRECTIONS = /[\u200e\u200f\u061c\u202a-\u202e\u2066-\u2069]+/;
  const find = (id) => document.getElementById(id);

  // ---- words and numbers ----

  const make = (tag, content = "", className = "") => {
    const element = document.createElement(tag);
    if (className) element.className = className;
    element.append(...(Array.isArray(content) ? content : [content]));
    return element;
  };
  const draw = (tag, attributes, text) => {
    const element = document.createElementNS(SVG, tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    if (text !== undefined) element.textContent = text;
    return element;
  };
  const printed = (value, decimals) => {
    if (value === null || Number.isNaN(value)) return "–";
    const text = value.toFixed(decimals);
    return Number(text) === 0 ? text.replace("-", "") : text.replace("-", "−");
  };
  const code = (sign) => `⟨U+${sign.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}⟩`;
  // A token where it is talked about: what cannot be seen stands for itself by a sign.
  const seen = (text) => text === "" ? "(no character of its own)" : text
    .replace(/^ +| +$/g, (spaces) => "␣".repeat(spaces.length))
    .replace(/\n/g, "↵").replace(/\r/g, "␍").replace(/\t/g, "⇥")
    .replace(/[\p{Cc}\u2028\u2029\ufeff\u200b\u200e\u200f\u061c\u202a-\u202e\u2060-\u2069\u00ad]/gu, code);

  const plain = (text) => text.replace(/\s+/g, " ").replace(DIRECTIONS, "");

  // ---- where everything stands; positions are UTF-16 units of a passage ----

  const passages = [];  // [text]
  for (const table of tokens) {
    table.start = new Int32Array(table.text.length);
    table.unit = new Int32Array(table.text.length);
  }
  tokens[0].text.forEach((text, row) => {
    const passage = tokens[0].passage[row];
    passages[passage] = (passages[passage] ?? "") + text;
  });
  const places = (texts, passage, start) => {
    for (let row = 0, reached = 0; row < texts.length; row++) {
      if (row && passage[row] !== passage[row - 1]) reached = 0;
      start[row] = reached;
      reached += texts[row].length;
    }
    return start;
  };
  for (const table of tokens) places(table.text, table.passage, table.start);
  units.start = places(units.text, units.passage, new Int32Array(units.text.length));
  models.forEach((_, model) => units.first[model].forEach((first, place) => {
    tokens[model].unit.fill(place, first, first + units.n_tokens[model][place]);
  }));
  const tokenAt = (model, place, start) => {
    const first = units.first[model][place];
    let row = first;
    while (row + 1 < first + units.n_tokens[model][place] && tokens[model].start[row + 1] <= start) row++;
    return row;
  };

  // ---- what is shown ----

  const state = { measure: measures[0], pair: 0, picked: null, sort: null, listed: PAGE_OF_PLACES, matches: [], match: -1 };
  const view = () => state.measure.views[state.measure.of_pair ? state.pair : 0];
  const hidden = new Set();  // models that are not shown

  // A panel shows a model's tokens, or the units of a pair (model null).
  class Panel {
    constructor(model) {
      this.model = model;
      this.rows = model === null ? units : tokens[model];
      this.painted = null;
      this.active = null;
      this.box = make("section", [], "panel");
      this.heading = make("h2");
      this.heading.id = `panel-${model ?? "pair"}`;
      this.list = make("div", [], "text");
      for (const [name, value] of [["role", "listbox"], ["tabindex", "0"], ["aria-labelledby", this.heading.id], ["aria-describedby", "help"]])
        this.list.setAttribute(name, value);
      this.box.append(this.heading, this.list);
      this.plain = this.rows.text.map((text) => [
        DIRECTIONS.test(text) ? "directions" : "", text === "" ? "empty" : "", /^[\r\n]+$/.test(text) ? "line" : "",
      ].filter(Boolean).join(" "));
      let passage = null;
      this.spans = this.rows.text.map((text, row) => {
        if (!row || this.rows.passage[row] !== this.rows.passage[row - 1]) {
          passage = make("div", [], "passage");
          for (const [name, value] of [["role", "group"], ["dir", "auto"], ["lang", ""]]) passage.setAttribute(name, value);
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
  const visible = () => state.measure.of_pair ? [pairPanel] : panels.filter((panel) => !hidden.has(panel.model));

  function showPanels() {
    if (state.measure.of_pair && !pairPanel) {
      pairPanel = new Panel(null);
      find("panels").append(pairPanel.box);
      mark(pairPanel);
    }
    const shown = visible();
    for (const panel of pairPanel ? [...panels, pairPanel] : panels) panel.box.hidden = !shown.includes(panel);
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

  // ---- one place: hovered, or picked to stay ----

  let marked = [];
  function show(place) {  // {unit, start, model}
    for (const span of marked) {
      span.removeAttribute("data-here");
      span.removeAttribute("data-picked");
    }
    marked = [];
    const details = find("details");
    if (!place) {
      details.replaceChildren(hint);
      ring.setAttribute("hidden", "");
      return;
    }
    for (const panel of visible()) for (const row of panel.rowsOf(place.unit)) {
      const exact = panel.model === place.model && row === panel.rowAt(place.unit, place.start);
      panel.spans[row].setAttribute(exact ? "data-picked" : "data-here", "");
      marked.push(panel.spans[row]);
    }
    const row = rowOfPlace.get(place.unit);
    if (row) {
      row.setAttribute("data-here", "");
      marked.push(row);
    }
    details.replaceChildren(context(place.unit), ...readings(place));
    const [x, y] = point(place.unit);
    ring.toggleAttribute("hidden", x === null);
    if (x !== null) {
      ring.setAttribute("cx", x);
      ring.setAttribute("cy", y);
    }
  }
  const hint = find("details").firstElementChild;

  function context(place) {
    const text = passages[units.passage[place]], start = units.start[place], end = start + units.text[place].length;
    const before = text.slice(Math.max(0, start - CONTEXT), start), after = text.slice(end, end + CONTEXT);
    const line = make("p", [start > CONTEXT ? "…" : "", plain(before), make("b", seen(units.text[place])), plain(after), end + CONTEXT < text.length ? "…" : ""], "context");
    line.dir = "auto";
    return line;
  }

  // A column a model: its token, what the model says of it, and what it would rather have read.
  function readings(place) {
    const at = tokens.map((table, model) => ({ table, model, row: tokenAt(model, place.unit, place.start) }));
    const scored = ({ table, row }) => table.logprob[row] !== null;
    const row = (name, cell) => {
      const heading = make("th", name);
      heading.scope = "row";
      return make("tr", [heading, ...at.map(cell)]);
    };
    const numbers = (name, print) => row(name, (one) => make("td", scored(one) ? print(one) : "–", "number"));
    const names = make("tr", [make("td"), ...models.map(({ name }) => {
      const heading = make("th", name);
      heading.scope = "col";
      return heading;
    })]);
    const rows = [
      row("token", ({ table, row }) => make("td", make("bdi", seen(table.text[row])), "number")),
      row("log-prob", (one) => make("td", scored(one) ? printed(one.table.logprob[one.row], 4) : "not scored", "number")),
      numbers("probability", ({ table, row }) => share(table.logprob[row])),
      numbers("rank", ({ table, row }) => String(table.rank[row])),
      numbers("entropy", ({ table, row }) => printed(table.entropy[row], 3)),
    ];
    if (at.some(({ model }) => units.n_tokens[model][place.unit] > 1)) {
      rows.push(row("segment", ({ model }) => {
        const count = units.n_tokens[model][place.unit];
        return make("td", `${printed(units.logprob[model][place.unit], 4)} in ${count} token${count > 1 ? "s" : ""}`, "number");
      }));
    }
    const most = Math.max(...tokens.map(({ k }) => k));
    if (most) rows[rows.length - 1].className = "last";
    for (let number = 0; number < most; number++) {
      rows.push(row(String(number + 1), (one) => alternative(one, number)));
    }
    const table = make("table", [make("thead", names), make("tbody", rows)]);
    const note = `Log-prob and entropy in nats. ${most ? "Below them each model's likeliest tokens with their probabilities; framed: the one in the text." : "No alternatives: the scores were made without top_k."}`;
    return [make("div", table, "wide"), make("p", note, "hint")];
  }

  function alternative({ table, row }, number) {
    const logprob = number < table.k ? table.top_logprob[row * table.k + number] : null, cell = make("td", "", "choice");
    if (logprob === null) return cell;
    cell.append(make("div", [make("bdi", seen(data.alternatives[table.top[row * table.k + number]])), make("span", share(logprob))]));
    cell.style.setProperty("--share", `${(100 * Math.exp(logprob)).toFixed(1)}%`);
    if (table.read[row] === number) {
      cell.classList.add("read");
      cell.append(make("span", "(in the text)", "unseen"));
    }
    return cell;
  }

  function share(logprob) {
    const value = Math.exp(logprob);
    if (value >= .0005) return value.toFixed(3);
    const [digits, power] = value.toExponential(0).split("e-");
    return `${digits}e−${power}`;
  }

  function pick(panel, row, { aloud = false } = {}) {
    const place = panel.unitOf(row);
    pickPlace({ unit: place, start: panel.rows.start[row], model: panel.model }, { near: panel, row, aloud });
  }

  function pickPlace(place, { near = null, row = null, aloud = false } = {}) {
    state.picked = place;
    for (const panel of visible()) panel.activate(panel === near ? row : panel.rowAt(place.unit, place.start));
    show(place);
    const panel = near ?? visible()[0];
    bringIntoView(panel.spans[panel.active]);
    if (aloud) say(sentence(place));
  }

  function bringIntoView(span) {
    const box = span.getBoundingClientRect();
    const narrow = getComputedStyle(find("panels").parentNode).overflowY === "visible";
    const port = narrow ? { top: 0, bottom: find("details").parentNode.getBoundingClientRect().top } : find("panels").parentNode.getBoundingClientRect();
    if (box.top < port.top + 40 || box.bottom > port.bottom - 8) span.scrollIntoView({ block: "center" });
  }

  function release() {
    state.picked = null;
    for (const panel of pairPanel ? [...panels, pairPanel] : panels) panel.activate(null);
    show(null);
  }

  function sentence(place) {
    const parts = models.map((_, model) => {
      const table = tokens[model], row = tokenAt(model, place.unit, place.start), name = `${models[model].name}, ${seen(table.text[row])}`;
      if (table.logprob[row] === null) return `${name}: not scored`;
      const first = table.k && table.top_logprob[row * table.k] !== null ? `, likeliest ${seen(data.alternatives[table.top[row * table.k]])}` : "";
      return `${name}: log-prob ${printed(table.logprob[row], 2)} nats, rank ${table.rank[row]}, entropy ${printed(table.entropy[row], 2)} nats${first}`;
    });
    return `${parts.join(". ")}.`;
  }

  let waiting = 0;
  function say(words) {  // of keys in quick succession only the last is heard
    clearTimeout(waiting);
    waiting = setTimeout(() => { find("spoken").textContent = words; }, 150);
  }

  // ---- the scatter of the chosen pair ----

  const frame = { left: 44, top: 8, right: 352, bottom: 308 };
  const ring = draw("circle", { class: "ring", r: 7, hidden: "" });
  const matched = draw("path", { class: "matches" });
  let xs = [], ys = [];

  function point(place) { return xs.length && !Number.isNaN(xs[place]) ? [xs[place], ys[place]] : [null, null]; }

  function showScatter() {
    if (!pairs.length) return;
    const { models: [a, b], words } = pairs[state.pair], svg = find("scatter");
    find("agreement").textContent = words;
    const x = units.logprob[a], y = units.logprob[b];
    let low = 0;
    for (let place = 0; place < x.length; place++) if (x[place] !== null && y[place] !== null) low = Math.min(low, x[place], y[place]);
    low = (low || -1) * 1.04;
    const high = -low * .03, { left, top, right, bottom } = frame;
    const across = (value) => left + (value - low) / (high - low) * (right - left);
    const up = (value) => bottom - (value - low) / (high - low) * (bottom - top);
    const layers = Array.from({ length: Math.min(LAYERS, x.length) }, () => []);
    xs = new Float64Array(x.length).fill(NaN);
    ys = new Float64Array(x.length).fill(NaN);
    for (let place = 0; place < x.length; place++) {
      if (x[place] === null || y[place] === null) continue;
      xs[place] = across(x[place]);
      ys[place] = up(y[place]);
      layers[place % layers.length].push(`M${xs[place].toFixed(1)} ${ys[place].toFixed(1)}h0`);
    }
    const few = x.length < 400;
    const parts = [draw("path", { class: "axis", d: `M${left} ${top}V${bottom}H${right}` }), draw("path", { class: "unity", d: `M${left} ${bottom}L${right} ${top}` })];
    const step = [1, 2, 5, 10, 20, 50, 100].find((size) => -low / size <= 7) ?? 200;
    for (let tick = 0; tick >= low; tick -= step) {
      parts.push(draw("text", { x: across(tick), y: bottom + 14, "text-anchor": "middle" }, printed(tick, 0)));
      parts.push(draw("text", { x: left - 6, y: up(tick) + 4, "text-anchor": "end" }, printed(tick, 0)));
    }
    const named = (model) => { const name = models[model].name; return `log-prob by ${name.length > 30 ? `${name.slice(0, 14)}…${name.slice(-14)}` : name} (nats a ${unit})`; };
    parts.push(draw("text", { x: (left + right) / 2, y: bottom + 32, "text-anchor": "middle" }, named(a)));
    parts.push(draw("text", { transform: `translate(12 ${(top + bottom) / 2}) rotate(-90)`, "text-anchor": "middle" }, named(b)));
    // One path a layer: where several lie on each other the ink adds up, as it would not within one path.
    for (const layer of layers) parts.push(draw("path", { class: "points", d: layer.join(""), "stroke-width": few ? 6 : 4, "stroke-opacity": few ? .55 : .35 }));
    svg.replaceChildren(...parts, matched, ring);
    showMatchesInScatter();
  }

  function nearest(event) {
    const box = find("scatter").getBoundingClientRect(), scale = 360 / box.width;
    const x = (event.clientX - box.left) * scale, y = (event.clientY - box.top) * scale;
    let best = null, distance = NEAR ** 2;
    for (let place = 0; place < xs.length; place++) {
      const away = (xs[place] - x) ** 2 + (ys[place] - y) ** 2;
      if (away < distance) [best, distance] = [place, away];
    }
    return best;
  }

  const placeOf = (number) => ({ unit: number, start: units.start[number], model: null });

  // ---- the list of places ----

  const rowOfPlace = new Map();

  function sorts() {
    const least = (model) => ({ name: `least probable by ${models[model].name}`, key: (place) => units.logprob[model][place] });
    const reading = { name: "reading order", key: (place) => place };
    if (!pairs.length) return [least(0), reading];
    const [a, b] = pairs[state.pair].models;
    const difference = (place) => units.logprob[a][place] === null || units.logprob[b][place] === null ? null : units.logprob[b][place] - units.logprob[a][place];
    return [
      { name: "largest disagreement", key: (place) => { const value = difference(place); return value === null ? null : -Math.abs(value); } },
      { name: `more by ${models[b].name}`, key: (place) => { const value = difference(place); return value === null ? null : -value; } },
      { name: `more by ${models[a].name}`, key: difference },
      least(a), least(b), reading,
    ];
  }

  function showSorts() {
    const chosen = Math.max(0, find("sort").selectedIndex);
    find("sort").replaceChildren(...sorts().map(({ name }, number) => new Option(name, number)));
    find("sort").selectedIndex = chosen;
  }

  function showPlaces() {
    const { key } = sorts()[find("sort").selectedIndex], pair = pairs.length ? pairs[state.pair].models : [0];
    const among = find("query").value ? [...new Set(state.matches.flatMap(({ places }) => places))] : units.text.map((_, place) => place);
    const keys = new Map(among.map((place) => [place, key(place)]));
    const order = among.filter((place) => keys.get(place) !== null).sort((one, other) => keys.get(one) - keys.get(other) || one - other);
    const heading = ["", ...pair.map((model) => models[model].name), ...(pair.length > 1 ? ["difference"] : [])];
    heading[0] = `${unit} after its context`;
    find("places").tHead.replaceChildren(make("tr", heading.map((name, column) => {
      const cell = make("th", name, column ? "number" : "");
      cell.scope = "col";
      return cell;
    })));
    rowOfPlace.clear();
    find("places").tBodies[0].replaceChildren(...order.slice(0, state.listed).map((place) => {
      const text = passages[units.passage[place]], start = units.start[place];
      const button = make("button", [plain(text.slice(Math.max(0, start - CONTEXT), start)), make("b", seen(units.text[place]))]);
      button.type = "button";
      button.place = place;
      const numbers = pair.map((model) => units.logprob[model][place]);
      const difference = numbers.length < 2 ? [] : [numbers.includes(null) ? null : numbers[1] - numbers[0]];
      const row = make("tr", [make("td", [button]), ...[...numbers, ...difference].map((value) => make("td", printed(value, 2), "number"))]);
      rowOfPlace.set(place, row);
      return row;
    }));
    find("more").hidden = order.length <= state.listed;
    show(state.picked);
  }

  // ---- search ----

  // Small letters, marks taken apart, so that é is found however it is written; and where each came from.
  function folded(text) {
    let out = "";
    const from = [];
    for (let at = 0; at < text.length;) {
      const sign = String.fromCodePoint(text.codePointAt(at)), small = sign.toLowerCase().normalize("NFD");
      for (let number = 0; number < small.length; number++) from.push(at);
      out += small;
      at += sign.length;
    }
    from.push(text.length);
    return { text: out, from };
  }
  let foldedPassages = null;

  function search() {
    const query = folded(find("query").value).text;
    state.matches = [];
    state.match = -1;
    if (query) {
      foldedPassages ??= passages.map(folded);
      const pattern = new RegExp(query.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&") + "(?![\\u0300-\\u036f])", "g");
      foldedPassages.forEach(({ text, from }, passage) => {
        for (const match of text.matchAll(pattern)) {
          state.matches.push({ passage, start: from[match.index], end: from[match.index + match[0].length] });
        }
      });
    }
    let place = 0;  // matches are in reading order, and so are units
    for (const match of state.matches) {
      match.places = [];
      while (place < units.text.length && before(place, match)) place++;
      for (let next = place; next < units.text.length && units.passage[next] === match.passage && units.start[next] < match.end; next++) match.places.push(next);
    }
    for (const panel of pairPanel ? [...panels, pairPanel] : panels) mark(panel);
    showMatchesInScatter();
    countMatches();
    state.listed = PAGE_OF_PLACES;
    showPlaces();
  }
  function before(place, match) {
    return units.passage[place] < match.passage || units.passage[place] === match.passage && units.start[place] + Math.max(1, units.text[place].length) <= match.start;
  }

  function mark(panel) {
    for (const row of panel.found ?? []) panel.spans[row].removeAttribute("data-found");
    panel.found = [];
    const { text, start } = panel.rows;
    for (const match of state.matches) for (const place of match.places) for (const row of panel.rowsOf(place)) {
      if (start[row] < match.end && start[row] + text[row].length > match.start) {
        panel.spans[row].setAttribute("data-found", "");
        panel.found.push(row);
      }
    }
  }

  function showMatchesInScatter() {
    const places = new Set(state.matches.flatMap((match) => match.places));
    matched.setAttribute("d", [...places].filter((place) => point(place)[0] !== null).map((place) => `M${xs[place].toFixed(1)} ${ys[place].toFixed(1)}h0`).join(""));
  }

  function countMatches() {
    const { matches, match } = state, none = !matches.length;
    find("previous").disabled = find("next").disabled = none;
    find("matches").textContent = !find("query").value ? "" : none ? "not found" : match < 0 ? `${matches.length} found` : `${match + 1} of ${matches.length}`;
  }

  function goToMatch(step) {
    const { matches } = state;
    if (!matches.length) return;
    state.match = state.match < 0 ? (step > 0 ? 0 : matches.length - 1) : (state.match + step + matches.length) % matches.length;
    const { places: [place], start } = matches[state.match];
    countMatches();
    pickPlace({ unit: place, start, model: null }, { aloud: true });
  }

  // ---- what the reader does ----

  const listen = (id, kind, action) => find(id).addEventListener(kind, action);
  const overToken = (event) => event.target.panel && event.target;

  listen("panels", "pointerover", (event) => {
    const span = overToken(event);
    if (span) show({ unit: span.panel.unitOf(span.row), start: span.panel.rows.start[span.row], model: span.panel.model });
  });
  listen("panels", "pointerleave", () => show(state.picked));
  listen("panels", "click", (event) => {
    const span = overToken(event);
    if (span) pick(span.panel, span.row);
  });
  listen("scatter", "pointermove", (event) => {
    const place = nearest(event);
    show(place === null ? state.picked : placeOf(place));
  });
  listen("scatter", "pointerleave", () => show(state.picked));
  listen("scatter", "click", (event) => {
    const place = nearest(event);
    if (place !== null) pickPlace(placeOf(place));
  });
  listen("places", "click", (event) => {
    const button = event.target.closest("button");
    if (button) pickPlace(placeOf(button.place), { aloud: true });
  });
  listen("more", "click", () => {
    state.listed += PAGE_OF_PLACES;
    showPlaces();
  });
  listen("sort", "change", () => {
    state.listed = PAGE_OF_PLACES;
    showPlaces();
  });
  listen("measure", "change", (event) => {
    state.measure = measures[event.target.selectedIndex];
    showPanels();
    show(state.picked);
  });
  listen("pair", "change", (event) => {
    state.pair = event.target.selectedIndex;
    showPanels();
    showScatter();
    showSorts();
    showPlaces();
  });
  listen("layout", "click", (event) => {
    if (event.target.value) setLayout(event.target.value);
  });
  listen("shown", "change", (event) => {
    const model = Number(event.target.value);
    if (event.target.checked) hidden.delete(model);
    else hidden.add(model);
    for (const box of find("shown").querySelectorAll("input")) box.disabled = box.checked && hidden.size === models.length - 1;
    showPanels();
    show(state.picked);
  });
  let typed = 0;
  listen("query", "input", () => {
    clearTimeout(typed);
    typed = setTimeout(search, 120);
  });
  listen("search", "submit", (event) => {
    event.preventDefault();
    clearTimeout(typed);
    if (state.match < 0) search();
    goToMatch(1);
  });
  listen("previous", "click", () => goToMatch(-1));
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && event.target !== find("query")) release();
  });

  function setLayout(layout) {
    find("panels").dataset.layout = layout;
    for (const button of find("layout").children) button.setAttribute("aria-pressed", String(button.value === layout));
  }

  const system = matchMedia("(prefers-color-scheme: dark)");
  function setDark(dark) {
    document.documentElement.dataset.theme = dark ? "dark" : "light";
    find("dark").setAttribute("aria-pressed", String(dark));
  }
  const follow = () => setDark(system.matches);
  system.addEventListener("change", follow);
  listen("dark", "click", () => {
    system.removeEventListener("change", follow);
    setDark(document.documentElement.dataset.theme !== "dark");
  });

  // ---- the first look ----

  follow();
  find("measure").append(...measures.map(({ label }) => new Option(label)));
  find("panels").append(...panels.map((panel) => panel.box));
  if (pairs.length) {
    find("pair").append(...pairs.map(({ name }) => new Option(name)));
    for (const element of document.querySelectorAll("[data-pair]")) element.hidden = false;
    find("layout").hidden = false;
  }
  if (models.length > 2) {
    find("shown").hidden = false;
    find("shown").append(...models.map(({ name }, model) => {
      const box = make("input");
      Object.assign(box, { type: "checkbox", value: String(model), checked: true });
      return make("label", [box, " ", name]);
    }));
  }
  setLayout(models.length > 3 ? "rows" : "columns");
  showPanels();
  showScatter();
  showSorts();
  showPlaces();
  const names = Object.keys(models[0].settings);
  const head = (name, scope) => Object.assign(make("th", name), { scope });
  find("settings").tHead.append(make("tr", [make("td"), ...models.map(({ name }) => head(name, "col"))]));
  find("settings").tBodies[0].append(...names.map((name) => make("tr", [head(name, "row"), ...models.map(({ settings }) => make("td", settings[name]))])));
})();
