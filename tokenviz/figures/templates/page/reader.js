
// What the reader does, and the first look.

const listen = (id, kind, action) => find(id).addEventListener(kind, action);

listen("panels", "pointerover", (event) => {
  const { panel, row } = event.target;
  if (panel) show({ unit: panel.unitOf(row), start: panel.rows.start[row], model: panel.model });
});
listen("panels", "pointerleave", () => show(state.picked));
listen("panels", "click", (event) => {
  const { panel, row } = event.target;
  if (panel) pick(panel, row);
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
listen("to-gaps", "click", () => {
  find("gaps").scrollIntoView();
  find("gaps-title").focus({ preventScroll: true });
});
listen("gaps", "click", (event) => {
  const button = event.target.closest("button");
  if (button) pickPlace(placeOf(button.place), { aloud: true });
});
listen("more", "click", () => {
  listed += A_FEW;
  showPlaces();
});
listen("sort", "change", () => {
  listed = A_FEW;
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
  showGaps();
  showPlaces();
  if (several) sortList();
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
if (several) {
  listen("list-sort", "change", () => {
    sortList();
    find("list").scrollTop = 0;
  });
  listen("list", "click", (event) => {
    const option = event.target.closest("li");
    if (option) goToText(order.indexOf(option.text) - order.indexOf(shownText));
  });
  listen("list", "keydown", (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1, PageDown: 10, PageUp: -10, Home: -order.length, End: order.length }[event.key];
    if (step === undefined || event.altKey || event.metaKey || event.ctrlKey) return;
    event.preventDefault();
    goToText(step);
  });
  listen("text-before", "click", () => goToText(-1));
  listen("text-after", "click", () => goToText(1));
}
let typing = 0;
listen("query", "input", () => {
  clearTimeout(typing);
  typing = setTimeout(search, 120);
});
listen("search", "submit", (event) => {
  event.preventDefault();
  clearTimeout(typing);
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

// What changes with the text; which measure, pair, models and layout are shown stays.
function showText() {
  state.measure = measures.find(({ name }) => name === state.measure.name) ?? measures[0];
  find("measure").replaceChildren(...measures.map(({ label }) => new Option(label)));
  find("measure").selectedIndex = measures.indexOf(state.measure);
  state.picked = null;
  listed = A_FEW;
  makePanels();
  foldedPassages = null;
  showPanels();
  showScatter();
  showSorts();
  showGaps();
  if (query) search();
  else showPlaces();
  find("settings").tHead.replaceChildren(make("tr", [make("td"), ...models.map(({ name }) => heading(name, "col"))]));
  find("settings").tBodies[0].replaceChildren(...Object.keys(models[0].settings).map((name) =>
    make("tr", [heading(name, "row"), ...models.map(({ settings }) => make("td", settings[name]))])));
}

follow();
if (pairs.length) {
  find("pair").append(...pairs.map(({ models: [a, b] }) => new Option(`${short(models[b].name)} minus ${short(models[a].name)}`)));
  for (const element of document.querySelectorAll("[data-pair]")) element.hidden = false;
  find("layout").hidden = false;
}
if (models.length > 2) {
  find("shown").hidden = false;
  find("shown").append(...models.map(({ name }, model) => {
    const box = make("input");
    Object.assign(box, { type: "checkbox", value: String(model), checked: true });
    return make("label", [box, " ", short(name)]);
  }));
}
setLayout(models.length > 3 || data.sides ? "rows" : "columns");
if (several) showList();
showText();
show(placeOf(0));
// Room for the numbers is kept: what stands below would else move away under the pointer that asks for them.
find("details").style.setProperty("--room", `${find("details").offsetHeight}px`);
show(null);
