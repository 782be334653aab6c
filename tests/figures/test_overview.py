"""The page of a grid: its pictures, its size, what it shows and escapes."""

import base64
import itertools
import json
import re
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from programs import needs_program
from tables import make_scores

from tokenviz.data.scores import TokenScores
from tokenviz.figures.report.overview import (
    COLUMNS,
    LINES,
    OtherRun,
    Overview,
    PairCell,
    ScoreCell,
    overview_html,
    picture_of,
    pictures_in,
)

PARTS = COLUMNS * LINES


def of(*values: float, passages: int = 1) -> TokenScores:
    """Scores of texts of tokens with four characters each."""
    scores = make_scores([["abcd"] * len(values)] * passages)
    return replace(scores, logprob=np.array([*values] * passages))


def grid(**changes: Any) -> Overview:
    cells: dict[str, Any] = {
        "scores": [
            ScoreCell.of("a", "t", "1" * 32, {"bits_per_byte": 1.5, "mean_logprob": -2.0, "n_scored": 9.0}, "0" * PARTS)
        ],
        "pairs": [PairCell.of("a", "b", "t", "2" * 32, "token", {"n": 9.0, "pearson_r": 0.9, "concordance": 0.8})],
    }
    return Overview(**{"experiment": "e", "experiment_id": "1", "grid": "0123", "question": "Why?", **cells, **changes})


def data_of(page: str) -> dict[str, dict[str, list[object]]]:
    found = re.search(r'id="data">(.*?)</script>', page, re.DOTALL)
    assert found
    loaded: dict[str, dict[str, list[object]]] = json.loads(found[1])
    return loaded


def test_a_picture_has_the_means_of_equal_parts_of_the_text() -> None:
    # Two tokens: half of the parts are of each. A step is 0.2 nats.
    assert picture_of(of(-1.0, -3.0)) == "5" * (PARTS // 2) + "F" * (PARTS // 2)
    # 192 tokens: each part is of two.
    assert picture_of(of(*[-1.0, -3.0] * PARTS)) == "A" * PARTS
    # The first is unscored; what is less than -12.2 is the last step.
    assert picture_of(of(np.nan, -40.0, 0.0, -0.2)) == "-" * 24 + "z" * 24 + "0" * 24 + "1" * 24


def test_a_picture_goes_through_all_passages() -> None:
    assert picture_of(of(-1.0, -3.0, passages=2)) == ("5" * 24 + "F" * 24) * 2


def test_a_part_that_is_half_unscored_has_the_mean_of_the_rest() -> None:
    values = [np.nan, -2.0] * PARTS
    assert picture_of(of(*values)) == "A" * PARTS


def test_a_token_without_characters_changes_nothing() -> None:
    scores = make_scores([["a", "", "b"]])
    assert picture_of(replace(scores, logprob=np.array([-1.0, -9.0, -3.0]))) == "5" * 48 + "F" * 48


def test_names_are_data_and_no_markup() -> None:
    name = "</script><b>&'\""
    cells = {
        "scores": [ScoreCell.of(name, name, "", {}, "")],
        "pairs": [],
        "others": [OtherRun.of(name, name, "", {name: 1.0}, ["heatmap.html"])],
    }
    page = overview_html(grid(**cells, experiment=name, question=name), "folder", grids=[("../4567/", name)])
    assert "<b>&" not in page
    assert data_of(page)["models"] == [name]
    assert page.count("</script>") == 2


def test_a_number_that_is_not_there_is_null() -> None:
    data = data_of(overview_html(grid(), "artifact"))
    assert (data["pairs"]["low"], data["pairs"]["r"], data["scores"]["bits"]) == ([None], [0.9], [1.5])


def test_a_narrow_interval_keeps_the_digits_that_are_printed() -> None:
    numbers = {"pearson_r": 0.999980123456, "pearson_r_low": 0.9999731234, "pearson_r_high": 0.9999851234}
    cell = PairCell.of("a", "b", "t", "2" * 32, "token", {"n": 9.0, "concordance": 0.81234567, **numbers})
    data = data_of(overview_html(grid(pairs=[cell]), "artifact"))["pairs"]
    assert (data["r"], data["low"], data["concordance"]) == ([0.999980123], [0.999973123], [0.812346])


def test_pictures_are_found_again_in_a_page() -> None:
    assert pictures_in(overview_html(grid(), "artifact")) == {"1" * 32: "0" * PARTS}
    assert pictures_in("<html></html>") == {}
    assert pictures_in('<script type="application/json" id="data">{"scores": 1}</script>') == {}


@pytest.mark.parametrize("figures", [["scatter.png", "heatmap.html"], ["heatmap.html", "report.html"], []])
def test_another_run_is_looked_at_by_its_report_or_else_its_heatmap(figures: list[str]) -> None:
    run = OtherRun.of("margin", "n", "3" * 32, {"mean_margin": 0.25, "b": 2.0, "c": 3.0, "d": 4.0}, figures)
    assert run.figure == (figures[-1] if figures else "")
    assert run.found == "mean margin 0.25, b 2, c 3"


def test_twenty_models_on_two_hundred_texts_stay_below_five_megabytes() -> None:
    dice = np.random.default_rng(0)
    models, texts = [f"organisation/model-{number}b" for number in range(20)], [f"text {number}" for number in range(200)]

    def run_id() -> str:
        return dice.bytes(16).hex()

    numbers = {"bits_per_byte": 1.23456789, "mean_logprob": -3.456789, "n_scored": 12345.0, "n": 12345.0}
    numbers |= {"pearson_r": 0.876543, "pearson_r_low": 0.812345, "pearson_r_high": 0.912345, "concordance": 0.712345}
    codes = np.array(list("ABCDEFGH-"))
    scores = [
        ScoreCell.of(model, text, run_id(), numbers, "".join(dice.choice(codes, PARTS)))
        for model, text in itertools.product(models, texts)
    ]
    pairs = [
        PairCell.of(*pair, text, run_id(), "token", numbers) for pair in itertools.combinations(models, 2) for text in texts
    ]
    page = overview_html(grid(scores=scores, pairs=pairs), "folder")
    assert (len(scores), len(pairs)) == (4000, 38000)
    assert len(page.encode()) < 5_000_000, len(page.encode())


MODELS, READ = [f"m{number:02}" for number in range(20)], ["t1", "t2", "t3"]
PAIRS = list(itertools.combinations(MODELS, 2))


def wide() -> Overview:
    """Twenty models on three texts, each number of another value."""
    scores = [
        ScoreCell.of(model, text, "1" * 32, {"bits_per_byte": 1 + number / 1000, "n_scored": 9.0}, "0" * PARTS)
        for number, (model, text) in enumerate(itertools.product(MODELS, READ))
    ]
    pairs = [
        PairCell.of(*pair, text, "2" * 32, "token", {"n": 9.0, "pearson_r": 0.1 + number / 1000, "concordance": 0.8})
        for number, (pair, text) in enumerate(itertools.product(PAIRS, READ))
    ]
    return grid(scores=scores, pairs=pairs)


@pytest.fixture
def opened(chromium: Any, tmp_path: Path) -> Any:
    """The page of a wide grid in a browser."""
    page = tmp_path / "overview.html"
    page.write_text(overview_html(wide(), "artifact"), encoding="utf-8")
    chromium.get(page.as_uri())
    return chromium


@pytest.mark.browser
def test_a_wide_grid_is_laid_out_for_paper_in_blocks_of_columns(opened: Any) -> None:
    blocks = (
        "return [...document.querySelectorAll('#pairs .blocks table')].map(table => [table.caption.textContent,"
        "[...table.tHead.rows[0].cells].map(cell => cell.textContent),"
        "[...table.tBodies[0].rows].map(row => [row.cells[0].tagName, ...[...row.cells].map(cell => cell.textContent)])])"
    )
    assert opened.execute_script(blocks) == []
    opened.execute_script("dispatchEvent(new Event('beforeprint'))")
    found = opened.execute_script(blocks)
    assert [caption for caption, _, _ in found] == [f"Columns {first} to {first + 9} of 190" for first in range(1, 190, 10)]
    assert [name for _, heads, _ in found for name in heads[1:]] == [f"{a}{b} by token" for a, b in PAIRS]
    for number, (_, heads, rows) in enumerate(found):
        assert (heads[0], len(heads), [row[:2] for row in rows]) == ("text", 11, [["TH", text] for text in READ])
        for column, name in enumerate(heads[1:]):
            place = PAIRS.index((name[:3], name[3:6]))
            assert place == 10 * number + column
            assert [row[2 + column][:5] for row in rows] == [f"{0.1 + (3 * place + text) / 1000:.3f}" for text in range(3)]
    opened.execute_script("dispatchEvent(new Event('afterprint'))")
    assert opened.execute_script(blocks) == []
    # What the filters leave out is not printed.
    opened.find_element("id", "models").send_keys("m07")
    opened.execute_async_script("setTimeout(arguments[0], 300)")
    opened.execute_script("dispatchEvent(new Event('beforeprint'))")
    assert [caption for caption, _, _ in opened.execute_script(blocks)] == ["Columns 1 to 10 of 19", "Columns 11 to 19 of 19"]


@pytest.mark.browser
def test_a_print_of_a_wide_grid_has_every_model_and_pair(opened: Any, tmp_path: Path) -> None:
    needs_program("pdftotext", "poppler-utils")
    made = opened.execute_cdp_cmd("Page.printToPDF", {"printBackground": True, "preferCSSPageSize": True})
    path = tmp_path / "overview.pdf"
    path.write_bytes(base64.b64decode(made["data"]))
    text = subprocess.run(["pdftotext", path, "-"], capture_output=True, text=True, check=True).stdout
    found = set(text.split())
    assert {f"{0.1 + number / 1000:.3f}" for number in range(3 * len(PAIRS))} <= found
    assert {f"{1 + number / 1000:.3f}" for number in range(3 * len(MODELS))} <= found
    assert text.count("Columns ") == 21
    assert not opened.find_elements("css selector", ".blocks")
    # No page has words beyond its edge.
    boxes = subprocess.run(["pdftotext", "-bbox", path, "-"], capture_output=True, text=True, check=True).stdout
    width = float(re.findall(r'<page width="([\d.]+)"', boxes)[0])
    edges = [float(edge) for edge in re.findall(r'xMax="([\d.]+)"', boxes)]
    assert max(edges) < width - 28  # points, of the margin


@pytest.mark.browser
def test_names_of_models_are_broken_after_their_punctuation_in_a_print(chromium: Any, tmp_path: Path) -> None:
    needs_program("pdftotext", "poppler-utils")
    models = ["smollm2-135m,quantize=q4_0", "gemma3-270m,dtype=bfloat16", "EleutherAI/pythia-1.4b-deduped", *"abc"]
    numbers = {"n": 9.0, "pearson_r": 0.9, "concordance": 0.8}
    pairs = [PairCell.of(*pair, "t", "2" * 32, "token", numbers) for pair in itertools.combinations(models, 2)]
    page = tmp_path / "overview.html"
    page.write_text(overview_html(grid(pairs=pairs), "artifact"), encoding="utf-8")
    chromium.get(page.as_uri())
    assert chromium.find_element("css selector", "#pairs th:nth-child(2) bdi").get_attribute("textContent") == models[0]
    made = chromium.execute_cdp_cmd("Page.printToPDF", {"preferCSSPageSize": True})
    path = tmp_path / "overview.pdf"
    path.write_bytes(base64.b64decode(made["data"]))
    text = subprocess.run(["pdftotext", path, "-"], capture_output=True, text=True, check=True).stdout
    assert {"smollm2-135m,", "quantize=q4_0", "gemma3-270m,", "dtype=bfloat16", "EleutherAI/"} <= set(text.split())
