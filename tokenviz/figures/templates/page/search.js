
// Search in the text.

let query = "", matches = [], current = -1, foldedPassages = null;

// Small letters with their marks apart, so that é is found however it is written; and where in the text each came from.
function folded(text) {
  const from = [];
  let small = "", at = 0;
  for (const sign of text) {
    const parts = sign.toLowerCase().normalize("NFD");
    for (let number = 0; number < parts.length; number++) from.push(at);
    small += parts;
    at += sign.length;
  }
  return { small, from: [...from, at] };
}

function search() {
  query = find("query").value;
  matches = query ? found(folded(query).small) : [];
  current = -1;
  let first = 0;  // matches are in reading order, and so are units
  for (const match of matches) {
    while (endsBefore(first, match)) first++;
    match.places = [];
    for (let place = first; units.passage[place] === match.passage && units.start[place] < match.end; place++) match.places.push(place);
  }
  for (const panel of everyPanel()) mark(panel);
  showMatchesInScatter();
  countMatches();
  listed = A_FEW;
  showPlaces();
}

function found(wanted) {
  foldedPassages ??= passages.map(folded);
  // A letter is not found where a mark follows that makes another letter of it.
  const pattern = new RegExp(wanted.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&") + "(?![\\u0300-\\u036f])", "g");
  return foldedPassages.flatMap(({ small, from }, passage) => [...small.matchAll(pattern)].map(({ 0: text, index }) =>
    ({ passage, start: from[index], end: from[index + text.length] })));
}

function endsBefore(place, { passage, start }) {
  if (units.passage[place] !== passage) return units.passage[place] < passage;
  return units.start[place] + units.text[place].length <= start;
}

function mark(panel) {
  for (const row of panel.found) for (const span of panel.spans[row]) span.removeAttribute("data-found");
  const { text, start } = panel.rows;
  panel.found = matches.flatMap((match) => match.places.flatMap((place) => panel.rowsOf(place))
    .filter((row) => start[row] < match.end && start[row] + text[row].length > match.start));
  for (const row of panel.found) for (const span of panel.spans[row]) span.setAttribute("data-found", "");
}

function showMatchesInScatter() {
  const places = new Set(matches.flatMap((match) => match.places));
  matched.setAttribute("d", [...places].filter(point).map(dot).join(""));
}

function countMatches() {
  const count = current < 0 ? `${matches.length} found` : `${current + 1} of ${matches.length}`;
  find("matches").textContent = !query ? "" : matches.length ? count : "not found";
}

function goToMatch(step) {
  if (find("query").value !== query) search();
  if (!matches.length) return;
  current = current < 0 && step < 0 ? matches.length - 1 : (current + step + matches.length) % matches.length;
  countMatches();
  const { places: [place], start } = matches[current];
  pickPlace({ unit: place, start, model: null }, { aloud: true });
}
