"""The report of several texts in a browser: the list sorts and opens texts, by pointer and keys; nothing leaves the page."""

import base64
import html
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from programs import needs_program
from reports import (
    Open,
    complaints,
    details,
    found,
    listed,
    opening,
    pairs_of,
    search,
    three,
    tokens_of,
    two_texts,
    with_alternatives,
)
from tables import NAN, make_scores

from tokenviz.data.scores import TokenScores
from tokenviz.figures.report.page import texts_report_html
from tokenviz.figures.report.texts import Entry, pair_entries, passage_entries, text_entries
from tokenviz.figures.typeset.colours import contrast
from tokenviz.models.loading import LoadedModel
from tokenviz.units.pairs import pair_table

pytestmark = pytest.mark.browser


@pytest.fixture
def opened(chromium, tmp_path: Path):
    """Opens a report of some texts in a window of some size."""
    with opening(chromium, tmp_path / "report.html") as open_page:
        yield lambda entries, **size: open_page(texts_report_html(entries, title="several texts"), **size)


def three_texts() -> list[TokenScores]:
    """Two models; the texts differ by 0.75, 3 and nothing that both scored."""
    tables = [
        *two_texts(),
        make_scores([["x"]], [NAN], name="text 10", model="a"),
        make_scores([["x"]], [NAN], name="text 10", model="b"),
    ]
    return [with_alternatives(table, seed=seed) for seed, table in enumerate(tables)]


def in_list(window: Any) -> list[tuple[str, str]]:
    """Each text's name and number, from top to bottom."""
    return [
        tuple(pair)
        for pair in window.execute_script(
            "return [...document.querySelectorAll('#list li')]"
            ".map(e => [e.querySelector('.text-name').textContent, e.querySelector('.number')?.textContent ?? ''])"
        )
    ]


def shown(window: Any) -> tuple[str, str]:
    """The name of the text that is shown, and the text."""
    name = window.find_element("id", "text-name").text
    return name, "".join(token.get_attribute("textContent") for token in tokens_of(window, 0))


def sort_by(window: Any, label: str) -> None:
    from selenium.webdriver.support.ui import Select

    Select(window.find_element("id", "list-sort")).select_by_visible_text(label)


def change(window: Any, name: str, index: int) -> None:
    window.execute_script(
        "const box = document.getElementById(arguments[0]); box.selectedIndex = arguments[1];"
        "box.dispatchEvent(new Event('change', { bubbles: true }))", name, index,
    )  # fmt: skip


def press(window: Any, key: str) -> None:
    window.execute_script(
        "document.getElementById('list').dispatchEvent(new KeyboardEvent('keydown', { key: arguments[0], bubbles: true }))", key
    )


def test_what_differs_most_is_first_and_opens(opened: Open) -> None:
    window = opened(text_entries(three_texts()))
    assert in_list(window) == [("tiếng Việt", "3.00"), ("english", "0.75"), ("text 10", "–")]
    assert shown(window) == ("tiếng Việt", "Mèo ngủ 水")
    assert window.find_element("id", "list-unit").text == "mean |b minus a|, nats per token"
    sort_by(window, "bits per byte by a")
    assert [name for name, _ in in_list(window)] == ["english", "tiếng Việt", "text 10"]
    sort_by(window, "name")
    assert in_list(window) == [("english", ""), ("text 10", ""), ("tiếng Việt", "")]
    sort_by(window, "order given")
    assert [name for name, _ in in_list(window)] == ["english", "tiếng Việt", "text 10"]
    assert shown(window)[0] == "tiếng Việt"  # sorting opens nothing


def test_a_text_is_opened_by_pointer_and_by_keys_and_shows_its_own_numbers(opened: Open) -> None:
    window = opened(text_entries(three_texts()))
    window.find_elements("css selector", "#list li")[1].click()
    assert shown(window) == ("english", "A b c")
    assert window.find_element("id", "position").text == "2 of 3"
    assert sorted(row[1:] for row in listed(window)) == [["−1.00", "−2.00", "−1.00"], ["−3.00", "−3.50", "−0.50"]]
    tokens_of(window)[1].click()
    assert details(window)["log-prob (nats)"] == ["−1.0000", "−2.0000"]
    press(window, "ArrowUp")
    assert shown(window)[0] == "tiếng Việt"
    assert window.execute_script("return state.picked") is None  # the place was of the other text
    tokens_of(window)[1].click()
    assert details(window)["log-prob (nats)"] == ["−1.0000", "−9.0000"]
    press(window, "End")
    assert shown(window) == ("text 10", "x")
    press(window, "ArrowDown")
    assert shown(window)[0] == "text 10"
    press(window, "Home")
    assert shown(window)[0] == "tiếng Việt"
    chosen = window.execute_script(
        "const list = document.getElementById('list');"
        "const one = document.getElementById(list.getAttribute('aria-activedescendant'));"
        "return [list.tabIndex, one.getAttribute('aria-selected'), one.querySelector('.text-name').textContent,"
        " document.querySelectorAll('#list [aria-selected=true]').length]"
    )
    assert chosen == [0, "true", "tiếng Việt", 1]


def test_measure_and_search_stay_from_text_to_text(opened: Open) -> None:
    window = opened(text_entries(three_texts()))
    change(window, "measure", 5)
    assert window.execute_script("return document.querySelector('#panels .panel:not([hidden]) h2').textContent").startswith(
        "b minus a"
    )
    assert search(window, "b") == "not found"
    window.find_element("id", "text-after").click()
    assert window.execute_script("return document.querySelector('#panels .panel:not([hidden]) h2').textContent").startswith(
        "b minus a"
    )
    assert window.find_element("id", "matches").text == "1 found"
    assert " b" in found(window)


def test_the_gap_is_that_of_the_text_that_is_shown(opened: Open) -> None:
    window = opened(text_entries(three_texts()))
    whole = "return [...document.querySelector('#gap-kinds tbody tr:last-child').cells].map(cell => cell.textContent)"
    assert window.execute_script(whole) == ["all", "3", "−10.1", "100.0 %", "−3.366"]
    press(window, "ArrowDown")
    assert window.execute_script(whole) == ["all", "2", "−2.2", "100.0 %", "−1.082"]
    assert window.find_element("id", "to-gaps").is_displayed()
    press(window, "ArrowDown")  # a text of which nothing was scored by both
    assert not window.find_element("id", "gaps").is_displayed()
    assert not window.find_element("id", "to-gaps").is_displayed()


def test_three_models_are_sorted_by_the_pair_that_is_compared(opened: Open) -> None:
    window = opened(passage_entries(three(), ["one", "hai"]))
    first = in_list(window)
    change(window, "pair", 2)
    assert in_list(window) != first
    assert window.find_element("id", "list-unit").text == "mean |c minus b|, nats per segment"
    assert [value for _, value in in_list(window)] == sorted((value for _, value in in_list(window)), reverse=True)


def test_sentences_of_a_pair_are_side_by_side_with_their_decision(opened: Open, glass: LoadedModel, tmp_path: Path) -> None:
    pairs, scores = pairs_of(glass, tmp_path)
    window = opened(pair_entries([scores], [pair_table(pairs, scores)], pairs.groups))
    assert window.find_element("id", "list-unit").text == "good minus bad, nats"
    margins = [float(value.replace("−", "-")) for _, value in in_list(window)]
    assert margins == sorted(margins)  # what the model gets wrong comes first
    sides = window.find_elements("css selector", ".side")
    assert [side.find_element("tag name", "b").text for side in sides] == ["good", "bad"]
    left, right = (side.rect for side in sides)
    assert left["y"] == right["y"]
    assert left["x"] + left["width"] <= right["x"]
    name = window.find_element("id", "text-name").text
    number = int(name.split()[1].rstrip(",")) - 1
    texts = window.execute_script("return [...document.querySelectorAll('.passage')].map(e => e.textContent)")
    assert texts == list(pairs.text.passages[2 * number : 2 * number + 2])
    words = [side.find_element("css selector", ".side-label").text for side in sides]
    table = pair_table(pairs, scores).iloc[number]
    assert words[0].startswith(f"good: {table['logprob_good']:.2f} nats in {table['n_scored_good']} tokens".replace("-", "−"))
    assert ["wins by sum" in one for one in words] == [table["correct_sum"] == 1, table["correct_sum"] == 0]
    described = window.execute_script(
        "return [...document.querySelectorAll('.passage')]"
        ".map(e => document.getElementById(e.getAttribute('aria-labelledby')).textContent)"
    )
    assert [one.split(":")[0] for one in described] == ["good", "bad"]
    window = opened(
        pair_entries([scores], [pair_table(pairs, scores)], ("subjects of a long clause", "objects of a long clause", "verbs"))
    )
    lines = window.execute_script(
        "return [...document.querySelectorAll('#list .number')].map(e => {"
        " const range = document.createRange(); range.selectNodeContents(e); return range.getClientRects().length; })"
    )
    assert max(lines) == 1  # the name next to it takes two lines, the number does not


@pytest.mark.parametrize("dark", [False, True])
def test_the_list_can_be_read_in_light_and_dark(opened: Open, dark: bool) -> None:
    window = opened(text_entries(three_texts()))
    if dark:
        window.find_element("id", "dark").click()
    colours = window.execute_script(
        "const ground = (e) => { const own = getComputedStyle(e).backgroundColor;"
        "return own.endsWith(', 0)') ? ground(e.parentNode) : own };"
        "return [...document.querySelectorAll('#list .text-name, #list .start, #list-unit')]"
        ".map(e => [ground(e), getComputedStyle(e).color].map(c => c.match(/\\d+/g).slice(0, 3).map(n => n / 255)))"
    )
    assert len(colours) == 7
    for ground, ink in colours:
        assert contrast(tuple(ground), tuple(ink)) >= 4.5


def test_nothing_is_wider_than_a_telephone_and_the_list_does_not_fill_it(opened: Open) -> None:
    tables = [make_scores([[f"{'long' * 30} {number}"]], name=f"{'name' * 30} {number}") for number in range(30)]
    window = opened(text_entries(tables), width=400)
    assert window.execute_script("return document.documentElement.scrollWidth") <= 400
    assert window.find_element("id", "list").rect["height"] < 300
    window.find_elements("css selector", "#list li")[2].click()
    assert len(tokens_of(window, 0)) == 1


def test_a_print_holds_the_text_that_is_shown_and_not_the_list(opened: Open, tmp_path: Path) -> None:
    needs_program("pdftotext", "poppler-utils")
    window = opened(text_entries(three_texts()))
    made = window.execute_cdp_cmd("Page.printToPDF", {"printBackground": True})
    path = tmp_path / "report.pdf"
    path.write_bytes(base64.b64decode(made["data"]))
    text = subprocess.run(["pdftotext", path, "-"], capture_output=True, text=True, check=True).stdout
    assert "several texts" in text
    assert "tiếng Việt" in text
    for words in ("english", "Sort by", "order given"):
        assert words not in text


def in_a_frame(window: Any, folder: Path, entries: Sequence[Entry], width: int = 1200, height: int = 700) -> None:
    """Go into a frame of no origin, as MLflow shows files in, with a report."""
    window.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": 1280, "height": 800, "deviceScaleFactor": 1, "mobile": False}
    )
    outer = folder / "outer.html"
    framed = html.escape(texts_report_html(entries, title="x"), quote=True)
    outer.write_text(
        f'<!doctype html><iframe sandbox="allow-scripts" width="{width}" height="{height}" srcdoc="{framed}"></iframe>',
        encoding="utf-8",
    )
    window.get_log("browser")
    window.get(outer.as_uri())
    window.switch_to.frame(0)
    assert window.execute_script("return origin") == "null"


def test_the_page_of_several_texts_runs_in_a_sandboxed_frame_of_no_origin(chromium, tmp_path: Path) -> None:
    in_a_frame(chromium, tmp_path, text_entries(three_texts()))
    chromium.find_elements("css selector", "#list li")[1].click()
    assert shown(chromium)[0] == "english"
    chromium.switch_to.default_content()
    assert complaints(chromium) == []


def test_the_page_of_pairs_runs_in_a_sandboxed_frame_of_no_origin(chromium, glass: LoadedModel, tmp_path: Path) -> None:
    pairs, scores = pairs_of(glass, tmp_path)
    in_a_frame(chromium, tmp_path, pair_entries([scores], [pair_table(pairs, scores)], pairs.groups), 870, 525)
    # MLflow's frame in a window of 1,400 x 900 pixels: the list leaves room for what the two sentences are.
    label, below = (chromium.find_element("css selector", name).rect for name in (".side-label", ".details"))
    assert label["y"] + label["height"] <= below["y"]
    for entry in range(len(pairs.groups)):
        chromium.find_elements("css selector", "#list li")[entry].click()
        left, right = chromium.find_elements("css selector", ".side")
        assert [side.find_element("tag name", "b").text for side in (left, right)] == ["good", "bad"]
        assert left.rect["y"] == right.rect["y"]
        assert left.rect["x"] + left.rect["width"] <= right.rect["x"]
        assert "".join(token.get_attribute("textContent") for token in tokens_of(chromium, 0)).strip()
    chromium.switch_to.default_content()
    assert complaints(chromium) == []
