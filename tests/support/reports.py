"""Reports to test: the tables that they show, and what a parser or a browser finds on their pages."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
from tables import NAN, make_scores

import tokenviz as tv
from tokenviz.data.scores import TokenScores
from tokenviz.models.loading import LoadedModel
from tokenviz.units.pairs import Pairs, read_pairs


def with_alternatives(scores: TokenScores, k: int = 3, seed: int = 0) -> TokenScores:
    """The same with k made-up alternatives a token, the second of them the token itself, ranks and entropies."""
    random, n = np.random.default_rng(seed), len(scores)
    ids = random.integers(1000, 50_000, (n, k))
    ids[:, 1] = scores.token_id
    logprobs = -np.sort(random.exponential(2.0, (n, k)), axis=1)
    unscored = ~scores.scored
    ids[unscored], logprobs[unscored] = -1, NAN
    known = dict(zip(scores.token_id.tolist(), scores.token, strict=True))
    strings = tuple(() if gone else tuple(known.get(i, f" w{i}") for i in row)
                    for row, gone in zip(ids.tolist(), unscored, strict=True))  # fmt: skip
    return replace(
        scores,
        spec=replace(scores.spec, top_k=k),
        top_ids=ids,
        top_logprobs=logprobs,
        top_tokens=strings,
        rank=np.where(unscored, NAN, 1 + random.integers(0, 3000, n)),
        entropy=np.where(unscored, NAN, random.exponential(2.0, n)),
    )


def three() -> list[TokenScores]:
    """Two models of one tokenizer and one of another; two passages, each first token not scored by the first two."""
    passages = [["The", " cat", " sat", ".", "\n"], ["tiếng", " Việt", " 水"]]
    other = [["The", " c", "at", " sat", ".\n"], ["ti", "ếng", " V", "iệt", " 水"]]
    a = make_scores(passages, [NAN, -1.25, -2.5, -0.5, -6.0, NAN, -4.0, -0.13], model="a")
    b = make_scores(passages, [NAN, -4.25, -2.5, -0.25, -1.0, NAN, -2.0, -9.0], model="b")
    c = make_scores(other, [-3.0, -1.0, -2.0, -0.5, -0.5, -7.0, -0.5, -1.0, -1.5, -2.0], model="c", tokenizer="c")
    return [with_alternatives(table, seed=seed) for seed, table in enumerate((a, b, c))]


def long_tables(n: int = 5000, k: int = 10, passages: int = 5) -> list[TokenScores]:
    """Three models' tables of n tokens with k alternatives of a large vocabulary."""
    random = np.random.default_rng(1)
    words = ["the", " of", " correlation", " cat", "ing", " 水", " tiếng", ",", " analysis", " is", "\n"]
    tokens = [words[i] for i in random.integers(0, len(words), n)]
    size = n // passages
    base = random.exponential(2.5, n)
    tables = []
    for seed, model in enumerate("abc"):
        values = -0.8 * base - random.exponential(0.5, n)
        values[::size] = NAN
        made = make_scores([tokens[i : i + size] for i in range(0, n, size)], values, model=model)
        tables.append(with_alternatives(made, k, seed))
    return tables


class Page(HTMLParser):
    """The elements of a page, and what its scripts and styles hold as they stand."""

    def __init__(self, source: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.raw: dict[str, str] = {}
        self.open = ""
        self.feed(source)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.open = {"style": "style", "title": "title"}.get(tag, "")
        if tag == "script":
            self.open = "data" if dict(attrs).get("type") == "application/json" else "script"

    def handle_endtag(self, tag: str) -> None:
        self.open = ""

    def handle_data(self, data: str) -> None:
        if self.open:
            self.raw[self.open] = self.raw.get(self.open, "") + data

    @property
    def data(self) -> dict[str, Any]:
        return json.loads(self.raw["data"])

    def meta(self, **wanted: str) -> str:
        key, value = next(iter(wanted.items()))
        [found] = [attributes["content"] for tag, attributes in self.tags if tag == "meta" and attributes.get(key) == value]
        return found or ""


def passages_in(table: dict[str, Any]) -> list[str]:
    found: dict[int, str] = {}
    for passage, text in zip(table["passage"], table["text"], strict=True):
        found[passage] = found.get(passage, "") + text
    return list(found.values())


PAIRS = (
    "good,bad,group\nThe cats sleep.,The cats sleeps.,number\nAlice was tired.,Alice were tired.,number\nA cat.,A cat.,same\n"
)


def two_texts() -> list[TokenScores]:
    """Models a and b on an English and on a Vietnamese text; the second text by b first."""
    a = make_scores([["A", " b", " c"]], [NAN, -1.0, -3.0], name="english", model="a")
    b = make_scores([["A", " b", " c"]], [NAN, -2.0, -3.5], name="english", model="b")
    other = [["Mèo", " ngủ", "", " 水"]]
    c = make_scores(other, [NAN, -1.0, -5.0, -2.0], name="tiếng Việt", model="a")
    d = make_scores(other, [NAN, -9.0, -5.0, -1.0], name="tiếng Việt", model="b")
    return [a, b, d, c]


def pairs_of(glass: LoadedModel, folder: Path) -> tuple[Pairs, TokenScores]:
    (folder / "pairs.csv").write_text(PAIRS, encoding="utf-8")
    pairs = read_pairs(folder / "pairs.csv")
    return pairs, tv.score(glass, pairs.text)


def complaints(window: Any) -> list[str]:
    """What the console of the page says: errors, and what its policy refused."""
    return [entry["message"] for entry in window.get_log("browser") if "favicon" not in entry["message"]]


Open = Callable[..., Any]


@contextmanager
def opening(window: Any, path: Path) -> Iterator[Open]:
    """Opens pages, written at a path, in a window of some size; at the end nothing was complained of or asked for."""

    def open_page(source: str, *, width: int = 1280, height: int = 800) -> Any:
        window.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride", {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        )
        system_is(window, "light")
        path.write_text(source, encoding="utf-8", newline="")
        window.get_log("performance")  # empties them
        window.get_log("browser")
        window.get(path.as_uri())
        return window

    yield open_page
    assert complaints(window) == []
    events = [json.loads(entry["message"])["message"] for entry in window.get_log("performance")]
    asked = {event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"}
    assert asked == {path.as_uri()}


def system_is(window: Any, theme: str) -> None:
    window.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": theme}]})
    time.sleep(0.1)  # the page is told in its next frame


def tokens_of(window: Any, panel: int = 0) -> list[Any]:
    return window.find_elements("css selector", ".panel")[panel].find_elements("css selector", ".text span")


def details(window: Any) -> dict[str, list[str]]:
    """The table of numbers, by the name of the row."""
    rows = window.execute_script(
        "return [...document.querySelectorAll('#details tbody tr')]"
        ".map(row => [...row.cells].map(cell => cell.firstElementChild?.tagName === 'DIV'"
        " ? [...cell.firstElementChild.children].map(e => e.textContent).join(' ') : cell.textContent))"
    )
    return {name: cells for name, *cells in rows}


def picked(window: Any) -> list[str]:
    """The tokens that are marked in the text, the picked one with a star."""
    return window.execute_script(
        "return [...document.querySelectorAll('.panel:not([hidden]) [data-here], .panel:not([hidden]) [data-picked]')]"
        ".map(e => e.textContent + (e.hasAttribute('data-picked') ? '*' : ''))"
    )


def listed(window: Any) -> list[list[str]]:
    return window.execute_script(
        "return [...document.querySelectorAll('#places tbody tr')]"
        ".map(row => [row.querySelector('b').textContent, ...[...row.cells].slice(1).map(cell => cell.textContent)])"
    )


def search(window: Any, text: str) -> str:
    from selenium.webdriver.common.keys import Keys

    field = window.find_element("id", "query")
    field.send_keys(Keys.CONTROL, "a", Keys.NULL, Keys.DELETE, text)
    time.sleep(0.3)
    return window.find_element("id", "matches").text


def found(window: Any) -> list[str]:
    return window.execute_script(
        "return [...document.querySelectorAll('.panel:first-child [data-found]')].map(e => e.textContent)"
    )
