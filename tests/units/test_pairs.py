"""Minimal pairs: every decision by three named rules, ties and equal sentences said, intervals that hold."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from kills import draw_in_no_time

import tokenviz as tv
from tokenviz.comparing.studies import accuracies
from tokenviz.figures.plots.studies import pair_accuracy
from tokenviz.harness.session import ExperimentContext, running
from tokenviz.models.loading import LoadedModel
from tokenviz.units.pairs import _TAKEN, pair_table, read_pairs
from tokenviz.units.sums import RULES

PAIRS = """good,bad,group,n
The cats sleep.,The cats sleeps.,number,1
Alice was tired.,Alice were very tired.,number,2
Alice was tired.,Alice was tired.,other,3
"""


def write(folder: Path, content: str, name: str = "pairs.csv") -> Path:
    path = folder / name
    path.write_text(content, encoding="utf-8")
    return path


def test_every_pair_is_decided_by_each_rule(glass: LoadedModel, tmp_path: Path) -> None:
    pairs = read_pairs(write(tmp_path, PAIRS))
    table = pair_table(pairs, tv.score(glass, pairs.text))
    assert list(table)[:5] == ["good", "bad", "group", "n", "model"]
    assert set(table.columns[4:]) == _TAKEN  # the names that a file's own columns cannot have
    for row in table.itertuples():
        # The sentences by themselves, with what nothing predicts left out of sum, tokens and bytes.
        good, bad = (tv.score(glass, sentence) for sentence in (row.good, row.bad))
        sums = [float(np.nansum(one.logprob)) for one in (good, bad)]
        tokens = [int(one.scored.sum()) for one in (good, bad)]
        sizes = [sum(len(token.encode()) for token in one.token[1:]) for one in (good, bad)]
        assert (row.logprob_good, row.logprob_bad) == pytest.approx(sums, abs=1e-4)
        assert [row.n_scored_good, row.n_scored_bad] == tokens
        assert [row.n_bytes_good, row.n_bytes_bad] == sizes
        for rule, by in (("sum", (1, 1)), ("per_token", tokens), ("per_byte", sizes)):
            difference = sums[0] / by[0] - sums[1] / by[1]
            expected = 0.5 if row.good == row.bad else float(difference > 0)
            assert getattr(row, f"correct_{rule}") == expected
    assert table["identical"].tolist() == [False, False, True]
    assert not table["first_differs"].any()


def test_pairs_that_differ_in_a_token_without_a_prediction_are_counted(glass: LoadedModel, tmp_path: Path) -> None:
    pairs = read_pairs(write(tmp_path, "good,bad\nAlice was tired.,The was tired.\n"))
    assert pair_table(pairs, tv.score(glass, pairs.text))["first_differs"].tolist() == [True]
    assert pairs.groups == ("",)


def test_files_of_blimp_are_read_as_they_are(tmp_path: Path) -> None:
    line = '{"sentence_good": "Many girls insulted themselves.", "sentence_bad": "Many girls insulted herself.", '
    line += '"field": "morphology", "UID": "anaphor_number_agreement", "pairID": "0"}\n'
    pairs = read_pairs(write(tmp_path, line, "anaphor.jsonl"))
    assert pairs.text.passages == ("Many girls insulted themselves.", "Many girls insulted herself.")
    assert pairs.groups == ("anaphor_number_agreement",)
    assert pairs.table["pairID"].tolist() == ["0"]


def test_bad_rows_are_skipped_on_request(tmp_path: Path) -> None:
    path = write(tmp_path, "good,bad\nA cat.,\nA dog.,A dogs.\n")
    pairs = read_pairs(path, skip_bad=True)
    assert pairs.text.passages == ("A dog.", "A dogs.")
    assert len(pairs.skipped) == 1


def test_accuracies_count_ties_as_half_and_leave_out_what_is_not_decided() -> None:
    good, bad = np.array([-1.0, -2, -5, np.nan, -3]), np.array([-2.0, -2, -3, -1, -7])
    table = pd.DataFrame({"correct_sum": [1, 0.5, 0, np.nan, 1], "logprob_good": good, "logprob_bad": bad})
    found = accuracies(table, ("a", "a", "b", "b", "b"), ("sum",))
    assert found["group"].tolist() == ["a", "b", "all"]
    assert found["accuracy"].tolist() == [0.75, 0.5, 0.625]
    assert found["n"].tolist() == [2, 2, 4]
    assert found["n_ties"].tolist() == [1, 0, 1]
    assert found["interval"].tolist() == ["Wilson", "Wilson", "clustered by group"]
    assert found["mean_margin"].tolist() == [0.5, 1, 0.75]
    assert found[["d_z", "d_av"]].isna().all(axis=1).tolist() == [True, True, False]
    # By hand: margins 1, 0, -2 and 4.
    assert found["d_z"].iat[2] == pytest.approx(0.75 / np.std([1, 0, -2, 4], ddof=1))
    spreads = np.nanstd(good, ddof=1), np.std(bad[[0, 1, 2, 4]], ddof=1)
    assert found["d_av"].iat[2] == pytest.approx(0.75 / np.mean(spreads))
    assert accuracies(table, ("",) * 5, ("sum",))["group"].tolist() == ["all"]


def test_the_figure_shows_each_model_and_group() -> None:
    rows = [("m", "a", 0.5, 0.3, 0.7), ("m", "b", 1.0, 0.6, 1.0), ("k", "a", 0.2, 0.1, 0.4), ("k", "b", 0.9, 0.5, 1.0)]
    found = pd.DataFrame(rows, columns=["model", "group", "accuracy", "low", "high"])
    (axes,) = pair_accuracy(found).axes
    first, second, chance = axes.get_lines()
    assert [list(line.get_xdata()) for line in (first, second, chance)] == [[0.5, 1.0], [0.2, 0.9], [0.5, 0.5]]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a", "b"]
    intervals = [segment[:, 0].tolist() for group in axes.collections for segment in group.get_segments()]
    assert intervals == [[0.3, 0.7], [0.6, 1.0], [0.1, 0.4], [0.5, 1.0]]


def test_pairs_are_a_run_that_is_found_again(project: Path, monkeypatch: pytest.MonkeyPatch, glass: LoadedModel) -> None:
    draw_in_no_time(monkeypatch)
    monkeypatch.setattr("tokenviz.harness.kinds.scored.draw_scored", lambda *given: None)
    path = write(project, PAIRS)

    def decided() -> tv.GridResult:
        pairs = read_pairs(path)
        with running(ExperimentContext("trial")):
            grid = tv.Grid(["glass-en"], [pairs.text])
            grid.decide(pairs)
            return grid.summarise("Found.")

    (first,), (again,) = decided().pairs, decided().pairs
    assert (first.reused, again.reused, again.run_id) == (False, True, first.run_id)
    expected = pair_table(read_pairs(path), tv.score(glass, read_pairs(path).text))
    pd.testing.assert_frame_equal(again.table, expected)
    assert again.metrics["n_pairs"] == 3
    assert again.metrics["n_identical"] == 1
    by_sum = again.accuracies.query("rule == 'sum' and group == 'all'")
    assert again.metrics["accuracy_by_sum"] == by_sum["accuracy"].item()
    assert again.metrics["d_z_by_sum"] == by_sum["d_z"].item()
    assert again.metrics["d_av_by_per_byte"] == again.accuracies.query("rule == 'per_byte' and group == 'all'")["d_av"].item()
    path.write_text(PAIRS.replace(",3", ",4"))
    assert not decided().pairs[0].reused
    assert RULES == ("sum", "per_token", "per_byte")
