"""Where two tokenizers stand side by side: bits per byte come first, and no mean over tokens is set against another."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from tables import NAN, make_scores

import tokenviz as tv
from tokenviz.figures.heatmap.definition import text_heatmap
from tokenviz.figures.named import save_named
from tokenviz.figures.report.data import report_data
from tokenviz.harness.results import views_of

# "abcd" as a|b|c|d, and as ab|cd: the boundaries that both have are around "ab" and "cd".
SMALL = make_scores([["a", "b", "c", "d"]], [NAN, -1.0, -2.0, -3.0], model="small", tokenizer="one")
LARGE = make_scores([["ab", "cd"]], [-1.5, -2.5], model="large", tokenizer="two")


@pytest.mark.parametrize("measure", ["logprob", "surprisal_bits", "probability", "entropy", "rank_bucket"])
def test_headings_begin_with_bits_per_byte(measure: str) -> None:
    bits = [table.summary().bits_per_byte for table in (SMALL, LARGE)]
    remarks = [panel.remark for panel in text_heatmap([SMALL, LARGE], measure=measure).panels]
    assert [remark.split(", ")[1] for remark in remarks] == [f"{value:.2f} bits per byte" for value in bits]
    if measure in ("logprob", "surprisal_bits"):
        assert not any("mean" in remark or "nats" in remark for remark in remarks)
    else:
        assert all(remark.endswith("(over tokens of its own)") for remark in remarks)
    shown = report_data([SMALL, LARGE])["measures"][0]["views"][0]["panels"]
    assert all("bits per byte" in panel["remark"] for panel in shown)


def test_one_tokenizer_keeps_means_over_tokens() -> None:
    other = make_scores([["a", "b", "c", "d"]], [NAN, -2.0, -2.0, -2.0], model="large", tokenizer="one")
    remarks = [panel.remark for panel in text_heatmap([SMALL, other]).panels]
    assert remarks == ["3 of 4 tokens scored, mean −2.00 nats per token"] * 2


def test_segments_are_coloured_by_sums_on_one_scale() -> None:
    heatmap = text_heatmap([SMALL, LARGE], by="segment")
    small, large = heatmap.panels
    assert (heatmap.unit, small.text, large.text) == ("segment", ("ab", "cd"), ("ab", "cd"))
    np.testing.assert_array_equal(small.values, [NAN, -5.0])
    np.testing.assert_array_equal(large.values, [-1.5, -2.5])
    assert (heatmap.limits.low, heatmap.limits.high) == (-5.0, -1.5)
    assert (small.n_scored, large.n_scored) == (1, 2)
    assert small.notes == ("not scored", "log-prob -5.0000 nats, 2 tokens")
    bits = text_heatmap([SMALL, LARGE], by="segment", measure="surprisal_bits")
    np.testing.assert_allclose(bits.panels[1].values, [1.5 / math.log(2), 2.5 / math.log(2)], rtol=1e-12)
    assert "of each segment of" in heatmap.caption


def test_segments_of_one_tokenizer_are_its_tokens() -> None:
    assert text_heatmap([SMALL, SMALL], by="segment").unit == "token"


def test_the_figure_of_segments_can_be_asked_for_by_name(tmp_path: Path) -> None:
    comparison = tv.compare(SMALL, LARGE, resamples=0)
    [page] = save_named("segments", comparison, tmp_path / "x", formats=["html"])
    assert "Log-prob of each segment" in page.read_text(encoding="utf-8")


@pytest.mark.parametrize("several", [True, False])
def test_the_first_columns_of_mlflow_are_bits_per_byte(several: bool) -> None:
    views = views_of("0123", "text", several_tokenizers=several)
    state = json.loads(json.loads(views["mlflow.sharedViewState.tokenviz-scores"])["state"])
    columns = [column.removeprefix("metrics.").strip("`") for column in state["selectedColumns"]]
    assert columns[0] == "bits_per_byte"
    assert ("mean_logprob" in columns) == ("perplexity_per_token" in columns) == (not several)
