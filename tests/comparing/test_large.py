"""Tables that are read part by part: the numbers of the whole, ranks and figures of a sample that says it is one."""

import itertools
import json
import math
import random
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Run
from ledgers import local  # noqa: F401  a fixture

import tokenviz as tv
from tokenviz.base.errors import ComparisonError
from tokenviz.comparing import large
from tokenviz.comparing.alignment import By
from tokenviz.comparing.comparison import Comparison, compare, pool
from tokenviz.comparing.distances import summarise_divergences, summarise_divergences_by_parts
from tokenviz.comparing.large import Gathered, compare_parts, shown_passages, whole_passages
from tokenviz.data.scores import UNREAD, TokenScores
from tokenviz.data.texts import Text, corpus
from tokenviz.models.loading import LoadedModel
from tokenviz.scoring.divergence import Divergences, divergences_by_parts
from tokenviz.stats.replicates import PartSums, part_replicates, rank_replicates, unit_replicates
from tokenviz.units.sums import InformationSums, information, information_of_parts

WORDS = ["Alice", "was", "beginning", "to", "get", "very", "tired", "of", "sitting", "by", "her", "sister", "你好", "thế"]


@pytest.fixture(scope="module")
def text() -> Text:
    random.seed(7)
    return corpus([" ".join(random.choices(WORDS, k=random.randint(1, 9))) for _ in range(60)], name="words")


@pytest.fixture(scope="module")
def both(glass: LoadedModel, text: Text) -> tuple[TokenScores, TokenScores]:
    return tv.score(glass, text, top_k=2), tv.score(glass, text, top_k=2, context=2, stride=1)


def cut(table: TokenScores, seed: int, pieces: int = 9) -> Iterator[TokenScores]:
    """The table in so many parts, some of which end within a passage."""
    random.seed(seed)
    ends = [0, *sorted(random.sample(range(1, len(table)), pieces - 1)), len(table)]
    return iter([table.taken(np.arange(begin, end)) for begin, end in itertools.pairwise(ends)])


def compared(both: tuple[TokenScores, TokenScores], text: Text, seed: int = 1, **how: Any) -> Comparison:
    a, b = both
    return compare_parts(lambda: cut(a, seed), lambda: cut(b, seed + 1), text, **how)


@pytest.mark.parametrize("by", [None, "token", "segment", "word"])
def test_numbers_read_part_by_part_are_those_of_the_whole(
    both: tuple[TokenScores, TokenScores], text: Text, by: By | None
) -> None:
    found, expected = compared(both, text, by=by), compare(*both, by=by)
    assert (found.whole, found.unit) == (len(expected.units), expected.unit)
    assert found.n_parts > 5
    numbers = expected.estimates()
    assert set(found.estimates()) == set(numbers)
    for name, estimate in found.estimates().items():
        assert estimate.value == pytest.approx(numbers[name].value, rel=1e-12, nan_ok=True), name
        assert (estimate.n, estimate.unit, estimate.definition) == (
            numbers[name].n,
            numbers[name].unit,
            numbers[name].definition,
        )
        if name != "pearson_r_fisher" and estimate.determined:
            assert estimate.drawn_from.startswith(f"{found.n_parts} parts"), name
            assert estimate.low <= estimate.value <= estimate.high
            assert estimate.high - estimate.low < 10 * (numbers[name].high - numbers[name].low), name
    assert found.intervals_from.startswith("95 % intervals from 2,000 resamples of ")
    assert found.resampling is not None
    assert found.resampling.numbers.keys() == {"n_resampled_parts", "effective_parts"}


def test_ranks_are_of_a_sample_that_does_not_depend_on_the_cut(
    both: tuple[TokenScores, TokenScores], text: Text, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(large, "RANKED", 100)
    one, other, whole = compared(both, text, 1), compared(both, text, 5), compare(*both)
    for name in ("spearman_rho", "kendall_tau", "median_difference"):
        assert getattr(one, name).n == 100
        assert getattr(one, name).value == getattr(other, name).value
        assert getattr(one, name).value == pytest.approx(getattr(whole, name).value, abs=0.15)
    assert one.spearman_rho.value != whole.spearman_rho.value
    assert (one.n, one.pearson_r.n) == (whole.n, whole.n)
    longer = replace(text, sha256="f" * 64)
    assert compared(both, longer).spearman_rho.value != one.spearman_rho.value  # another text has another sample


def test_of_a_large_sample_the_interval_of_ranks_is_that_of_its_spread(monkeypatch: pytest.MonkeyPatch) -> None:
    """So many units do not fit in the integers that count how often parts are drawn."""
    monkeypatch.setattr("tokenviz.comparing.agreement.default_resamples", lambda n: 100)
    random_numbers = np.random.default_rng(3)
    x = random_numbers.normal(size=20_000)
    y = x + random_numbers.normal(size=20_000)
    labels = np.repeat(np.arange(8), 2500)
    sums = [PartSums.of(x[labels == part], y[labels == part], np.ones(2500)) for part in range(8)]
    found = large.agreement_of_parts(sums, (x, y, labels))
    for name in ("spearman_rho", "kendall_tau", "pearson_r"):
        assert 0.002 < found[name].high - found[name].low < 0.05, name


def test_parts_resampled_are_their_units_resampled() -> None:
    random_numbers = np.random.default_rng(4)
    x = random_numbers.normal(-3, 1, 300).round(1)
    y = (x + random_numbers.normal(0.2, 1, 300)).round(1)
    same = np.where(random_numbers.random(300) < 0.1, np.nan, random_numbers.random(300) < 0.5)
    labels = np.repeat(np.arange(6), [10, 90, 50, 50, 60, 40])
    drawn = random_numbers.integers(0, 3, (6, 20))
    expected = unit_replicates(x, y, same, [drawn[labels]])
    parts = [PartSums.of(x[labels == part], y[labels == part], same[labels == part]) for part in range(6)]
    found = part_replicates(parts, [drawn[:, :7], drawn[:, 7:]]) | rank_replicates(x, y, [drawn[labels]])
    assert found.keys() == expected.keys()
    for name, values in found.items():
        assert values == pytest.approx(expected[name], rel=1e-11, abs=1e-13), name


def test_what_a_model_predicts_is_the_same_in_parts(both: tuple[TokenScores, TokenScores], text: Text) -> None:
    table = both[0]
    gathered = Gathered(text, lambda: cut(table, 3))
    assert sum(map(len, gathered.each())) == len(table)
    assert vars(gathered.summary) == pytest.approx(vars(table.summary()), rel=1e-12)
    found, expected = gathered.information, information(table)
    assert found.estimates.keys() == expected.estimates.keys()
    for name, estimate in found.estimates.items():
        assert estimate.value == pytest.approx(expected.estimates[name].value, rel=1e-12), name
        assert estimate.n == expected.estimates[name].n
        assert estimate.low < estimate.value < estimate.high
    assert "parts" in found.intervals_from


@pytest.fixture(scope="module")
def rounded() -> LoadedModel:
    return tv.load_model("glass-en,dtype=bfloat16")


@pytest.fixture(scope="module")
def apart(glass: LoadedModel, rounded: LoadedModel, text: Text) -> Divergences:
    return tv.divergences(glass, rounded, text)


def divergences_cut(found: Divergences, ends: list[int]) -> Iterator[Divergences]:
    """The divergences in parts that end with these passages."""
    for begin, end in itertools.pairwise([0, *ends, int(found.passage[-1]) + 1]):
        rows = np.flatnonzero((found.passage >= begin) & (found.passage < end))
        yield replace(found, passage=found.passage[rows], position=found.position[rows], values=found.values.take(rows))


def test_divergences_measured_part_by_part_have_the_numbers_of_the_whole(apart: Divergences, text: Text) -> None:
    ends = [5, 12, 20, 24, 31, 40, 47, 55]
    found, sample = summarise_divergences_by_parts(divergences_cut(apart, ends), text.sha256)
    expected = summarise_divergences(apart)
    assert list(found.estimates) == list(expected.estimates)
    for name, estimate in found.estimates.items():  # the sample is all of so few tokens
        other = expected.estimates[name]
        assert estimate.value == pytest.approx(other.value, rel=1e-12), name
        assert (estimate.n, estimate.unit, estimate.definition) == (other.n, other.unit, other.definition)
        assert estimate.drawn_from.startswith("9 parts"), name
        assert estimate.low <= estimate.value <= estimate.high
    known = ~np.isnan(apart.values.kl_ab)
    assert np.array_equal(sample.passage, apart.passage[known])
    assert np.array_equal(sample.position, apart.position[known])
    for name, column in vars(sample.values).items():
        assert np.array_equal(column, getattr(apart.values, name)[known]), name


def test_percentiles_of_divergences_are_of_a_sample_that_does_not_depend_on_the_cut(
    apart: Divergences, text: Text, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(large, "RANKED", 100)
    (one, table), (other, same) = (
        summarise_divergences_by_parts(divergences_cut(apart, ends), text.sha256)
        for ends in ([5, 12, 20, 24, 31, 40, 47, 55], [9, 15, 22, 33, 44, 50])
    )
    whole = summarise_divergences(apart)
    assert len(table.passage) == 100
    assert np.array_equal(table.values.kl_ab, same.values.kl_ab)
    for name in ("kl_ab_p50", "js_p95"):
        assert (one.estimates[name].n, one.estimates[name].value) == (100, other.estimates[name].value)
        assert one.estimates[name].value != whole.estimates[name].value
    assert one.estimates["mean_kl_ab"].value == pytest.approx(whole.estimates["mean_kl_ab"].value, rel=1e-12)
    assert one.estimates["mean_kl_ab"].n == whole.estimates["mean_kl_ab"].n


def test_divergences_of_few_parts_have_no_interval(apart: Divergences, text: Text) -> None:
    found, _ = summarise_divergences_by_parts(divergences_cut(apart, [30]), text.sha256)
    assert found.estimates["mean_js"].reason.startswith("no interval: 2 parts, and an interval across parts needs at least ")
    with pytest.raises(ComparisonError, match=r"^no divergences were given: there is nothing to summarise$"):
        summarise_divergences_by_parts([], text.sha256)


def test_models_are_measured_a_part_at_a_time(
    glass: LoadedModel, rounded: LoadedModel, apart: Divergences, text: Text, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tokenviz.scoring.windows.PART_CHARACTERS", 200)
    parts = list(divergences_by_parts(glass, rounded, text, bos="auto", context=None, stride=None, top_k=10))
    assert len(parts) > 5
    assert max(len(part.passage) for part in parts) < len(apart.passage) / 4
    assert np.array_equal(np.concatenate([part.passage for part in parts]), apart.passage)
    assert np.array_equal(np.concatenate([part.position for part in parts]), apart.position)
    for name, column in vars(apart.values).items():
        found = np.concatenate([getattr(part.values, name) for part in parts])
        assert np.allclose(found, column, rtol=1e-3, atol=1e-6, equal_nan=True), name


def test_a_sample_of_units_is_never_pooled(both: tuple[TokenScores, TokenScores], text: Text) -> None:
    in_parts, in_memory = compared(both, text), compare(*both)
    alone = pool([in_parts])
    assert {name: (one.value, one.low, one.n) for name, one in alone.estimates().items()} == {
        name: (one.value, one.low, one.n) for name, one in in_parts.estimates().items()
    }
    message = (
        f"{in_parts.text_name!r} was read part by part and its comparison holds a sample of its units, so that it cannot be "
        "pooled with other texts or given intervals of another level than 0.95: use each text's own comparison"
    )
    with pytest.raises(ComparisonError, match=f"^{re.escape(message)}$"):
        pool([in_memory, in_parts])
    with pytest.raises(ComparisonError, match=f"^{re.escape(message)}$"):
        pool([in_parts], level=0.99)


def test_two_parts_give_no_interval(both: tuple[TokenScores, TokenScores]) -> None:
    sums = [InformationSums.of(part) for part in whole_passages(cut(both[0], 2, pieces=2))]
    found = information_of_parts(sums).estimates["bits_per_byte"]
    assert math.isnan(found.low)
    assert found.reason == "no interval: 2 parts, and an interval across parts needs at least 3 of like size"


def test_figures_are_of_passages_at_random_and_say_so(
    both: tuple[TokenScores, TokenScores], text: Text, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(large, "SHOWN", 200)
    shown = shown_passages(text)
    assert 2 <= len(shown) < 30
    assert list(shown) == sorted(shown)
    assert all(size == len(text.passages[number]) for number, size in shown.items())
    assert sum(shown.values()) <= 200
    for looked_at in (1, 7, 59):
        monkeypatch.setattr(large, "_LOOKED_AT", looked_at)
        assert shown_passages(text) == shown
    found = compared(both, text)
    assert set(np.unique(found.units.passage).tolist()) == set(shown)
    assert "".join(found.units.text) == "".join(text.passages[number] for number in shown)
    whole = len(both[0])
    assert found.text_name == f"words, a sample of {len(found.units)} of {whole} tokens"
    assert repr(found).startswith(f"Comparison('glass-en' and 'glass-en' on {found.text_name!r}: {found.n} of {whole} tokens")
    assert found.sign_flips is None
    monkeypatch.setattr(large, "SHOWN", 5)
    ((number, size),) = shown_passages(text).items()
    assert size == 5 < len(text.passages[number])
    units = compared(both, text, by="segment").units
    assert text.passages[number].startswith("".join(units.text))
    assert 0 < units.end[-1] <= 5


def test_a_passage_that_was_not_scored_can_be_what_figures_show(
    both: tuple[TokenScores, TokenScores], text: Text, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is one row of characters that no token covers, which may be longer than everything that is shown."""
    monkeypatch.setattr(large, "SHOWN", 5)
    ((number, _),) = shown_passages(text).items()
    whole, missing = text.passages[number], np.full(1, np.nan)

    def unscored(table: TokenScores) -> list[TokenScores]:
        row = replace(
            table.taken(np.array([0])), passage=np.array([number]), token_id=np.array([UNREAD]), token=(whole,),
            end=np.array([len(whole)]), logprob=missing, rank=missing, entropy=missing,
        )  # fmt: skip
        before, after = (np.flatnonzero(rows) for rows in (table.passage < number, table.passage > number))
        return [table.taken(before), row, table.taken(after)]

    a, b = map(unscored, both)
    gathered = Gathered(text, lambda: iter(a))
    n_tokens = sum(len(part) for part in gathered.each()) - 1
    assert gathered.sample.token == (whole,)
    assert gathered.sample.text_name == f"words, a sample of 0 of {n_tokens} tokens"
    units: tuple[By, ...] = ("token", "segment")
    for by in units:
        found = compare_parts(lambda: iter(a), lambda: iter(b), text, by=by)
        assert (found.units.text, found.units.logprob_a.tolist()) == ((whole,), pytest.approx([math.nan], nan_ok=True))
        assert found.n == compare(TokenScores.joined(a), TokenScores.joined(b), by=by).n


def test_a_table_read_part_by_part_is_what_load_gives(both: tuple[TokenScores, TokenScores], tmp_path: Path) -> None:
    from tokenviz.data.parquet import save_parts

    save_parts(whole_passages(cut(both[0], 4)), tmp_path / "t.parquet")
    parts = list(TokenScores.parts(tmp_path / "t.parquet"))
    assert len(parts) > 3
    joined, expected = TokenScores.joined(parts), TokenScores.load(tmp_path / "t.parquet")
    for name, value in vars(expected).items():
        if isinstance(value, np.ndarray):
            assert getattr(joined, name).tobytes() == value.tobytes(), name
        else:
            assert getattr(joined, name) == value, name


EXPERIMENT = '''from tokenviz import Grid, GridResult, experiment
from tokenviz.harness import DIVERGENCES

@experiment
def large_trial(models: list[str] = ["glass-en", "glass-en,dtype=bfloat16"]) -> GridResult:
    """How?"""
    grid = Grid(models, ["words.jsonl"], top_k=2)
    grid.score()
    (pair,) = grid.compare(measures=[DIVERGENCES])
    assert ("a sample of" in pair.divergences.text_name) == ("a sample of" in pair.comparison.text_name)
    return grid.summarise("Found.")
'''


@pytest.mark.slow
@pytest.mark.usefixtures("local")
def test_a_large_cell_of_a_ledger_becomes_runs_read_in_parts(
    run: Run,
    project: Path,
    text: Text,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tokenviz.scoring.windows.PART_CHARACTERS", 200)
    (project / "experiments" / "large_trial.py").write_text(EXPERIMENT)
    lines = [json.dumps({"id": f"p{number}", "text": one}) for number, one in enumerate(text.passages)]
    (project / "words.jsonl").write_text("\n".join(lines))
    arguments = ("run", "large_trial", "--ledger", "shards", "--shard-bytes", "400", "--json")
    with monkeypatch.context() as patch:
        patch.setattr("tokenviz.ledger.driver.LARGE", 50)
        code, out, _ = run(*arguments)
        assert code == 0
        found = json.loads(out)
        code, out, _ = run(*arguments)
        assert all(one["reused"] for kind in ("scores", "comparisons") for one in json.loads(out)[kind])
    by_parts = tv.load_runs("large_trial")
    scored = by_parts[by_parts["kind"] == "score"].iloc[0]
    assert int(scored["read_in_parts"]) > 5
    assert scored["intervals"].startswith("95 % intervals from 2,000 resamples of ")
    table = tv.load_scores(scored["run_id"])
    expected = tv.score(scored["model"], text, top_k=2)
    assert np.array_equal(table.logprob, expected.logprob, equal_nan=True)
    assert scored["bits_per_byte"] == pytest.approx(expected.summary().bits_per_byte, rel=1e-12)
    comparison = tv.load_comparison(found["comparisons"][0]["run_id"])
    whole = compare(*(tv.load_scores(one["run_id"]) for one in found["scores"]))
    assert comparison.text_name.startswith("words, a sample of ")
    assert comparison.pearson_r.value == pytest.approx(whole.pearson_r.value, rel=1e-12)
    assert (comparison.n, comparison.n_units) == (whole.n, len(whole.units))
    recorded = by_parts[by_parts["run_id"] == found["comparisons"][0]["run_id"]].iloc[0]
    apart = tv.divergences(*(tv.load_model(one["model"]) for one in found["scores"]), text)
    assert recorded["mean_kl_ab"] == pytest.approx(np.nanmean(apart.values.kl_ab), rel=1e-3)
    assert recorded["mean_kl_ab_low"] < recorded["mean_kl_ab"] < recorded["mean_kl_ab_high"]
    code, out, err = run("pull", "large_trial", "--to", "paper")
    assert code == 0, err
