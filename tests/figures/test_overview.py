"""The page of a grid: its pictures, its size, what it shows and escapes."""

import itertools
import json
import re
from dataclasses import replace

import numpy as np
import pytest
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


def grid(**changes: object) -> Overview:
    cells = {
        "scores": [
            ScoreCell.of("a", "t", "1" * 32, {"bits_per_byte": 1.5, "mean_logprob": -2.0, "n_scored": 9.0}, "0" * PARTS)
        ],
        "pairs": [PairCell.of("a", "b", "t", "2" * 32, "token", {"n": 9.0, "pearson_r": 0.9, "concordance": 0.8})],
    }
    return Overview(**{"experiment": "e", "experiment_id": "1", "grid": "0123", "question": "Why?", **cells, **changes})  # type: ignore[arg-type]


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
