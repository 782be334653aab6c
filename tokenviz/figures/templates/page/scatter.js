
// The log-probs of the chosen pair against each other.

const FRAME = { left: 44, top: 8, right: 352, bottom: 308 };  // of the drawing's 360 by 350
const NEAR = 14;  // how far a pointer may be from its point
const FEW = 400;  // points that are told apart as marks of full size
const LAYERS = 16;

const draw = (tag, values, text = "") => {
  const element = attributes(document.createElementNS("http://www.w3.org/2000/svg", tag), values);
  element.textContent = text;
  return element;
};
const ring = draw("circle", { class: "ring", r: 7, hidden: "" });
const matched = draw("path", { class: "matches" });
let xs = [], ys = [];  // of each unit; NaN where either model did not score it

const point = (place) => place < xs.length && !Number.isNaN(xs[place]) ? { cx: xs[place], cy: ys[place] } : null;
const dot = (place) => `M${xs[place].toFixed(1)} ${ys[place].toFixed(1)}h0`;

function showScatter() {
  if (!pairs.length) return;
  const { models: [a, b], words } = pairs[state.pair], x = units.logprob[a], y = units.logprob[b];
  const { left, top, right, bottom } = FRAME, places = [...x.keys()].filter((place) => x[place] !== null && y[place] !== null);
  const least = places.reduce((low, place) => Math.min(low, x[place], y[place]), 0) || -1;
  const low = least * 1.04, high = -least * .03;
  const across = (value) => left + (value - low) / (high - low) * (right - left);
  const up = (value) => bottom - (value - low) / (high - low) * (bottom - top);
  xs = new Float64Array(x.length).fill(NaN);
  ys = new Float64Array(x.length).fill(NaN);
  for (const place of places) [xs[place], ys[place]] = [across(x[place]), up(y[place])];

  const parts = [
    draw("path", { class: "axis", d: `M${left} ${top}V${bottom}H${right}` }),
    draw("path", { class: "unity", d: `M${left} ${bottom}L${right} ${top}` }),
    draw("text", { x: (left + right) / 2, y: bottom + 32, "text-anchor": "middle" }, axisName(a)),
    draw("text", { transform: `translate(12 ${(top + bottom) / 2}) rotate(-90)`, "text-anchor": "middle" }, axisName(b)),
  ];
  const step = [1, 2, 5, 10, 20, 50, 100].find((size) => -low / size <= 7) ?? 200;
  for (let tick = 0; tick >= low; tick -= step) {
    parts.push(draw("text", { x: across(tick), y: bottom + 14, "text-anchor": "middle" }, printed(tick, 0)));
    parts.push(draw("text", { x: left - 6, y: up(tick) + 4, "text-anchor": "end" }, printed(tick, 0)));
  }
  // One path a layer: where points lie on each other the ink adds up, as it would not within one path.
  const ink = places.length < FEW ? { "stroke-width": 6, "stroke-opacity": .55 } : { "stroke-width": 4, "stroke-opacity": .35 };
  const layers = Array(LAYERS).fill("");
  places.forEach((place, number) => { layers[number % LAYERS] += dot(place); });
  parts.push(...layers.map((d) => draw("path", { class: "points", d, ...ink })));
  find("agreement").textContent = words;
  find("scatter").replaceChildren(...parts, matched, ring);
  showMatchesInScatter();
}

const axisName = (model) => `log-prob by ${short(models[model].name)} (nats per ${unit})`;

function nearest(event) {
  const box = find("scatter").getBoundingClientRect(), scale = find("scatter").viewBox.baseVal.width / box.width;
  const x = (event.clientX - box.left) * scale, y = (event.clientY - box.top) * scale;
  let best = null, distance = NEAR ** 2;
  for (let place = 0; place < xs.length; place++) {
    const away = (xs[place] - x) ** 2 + (ys[place] - y) ** 2;
    if (away < distance) [best, distance] = [place, away];
  }
  return best;
}
