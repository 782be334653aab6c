"""`tokenviz compare` with three models: every pair, and which of two models is closer to the third."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import combinations
from typing import TYPE_CHECKING, Any

from tokenviz.cli.outputs import print_json
from tokenviz.cli.pairs import Windows, scores_of

if TYPE_CHECKING:
    from tokenviz.comparing.alignment import Alignment
    from tokenviz.comparing.comparison import Comparison, PooledComparison
    from tokenviz.comparing.correlations import Closer
    from tokenviz.scores import TokenScores
    from tokenviz.texts import Text

_LETTERS = "abc"
_SHOWN = ("pearson_r", "spearman_rho", "concordance", "concordance_accuracy", "mean_difference", "d_av")


def compare_three(
    specs: Sequence[str],
    texts: "Sequence[Text]",
    windows: Windows,
    how: "Alignment",
    *,
    resamples: int | None,
    seed: int,
    simultaneous: bool,
    as_json: bool,
) -> None:
    """Score texts with three models, one after the other; print every pair's numbers and the differences of correlations."""
    from tokenviz.comparing.comparison import compare, pool
    from tokenviz.comparing.correlations import closest
    from tokenviz.models.loading import load, resolve
    from tokenviz.models.spec import ModelSpec
    from tokenviz.progress import shown
    from tokenviz.stats.estimate import LEVEL
    from tokenviz.stats.intervals import adjusted_level

    level = adjusted_level(len(specs)) if simultaneous else LEVEL
    with shown():
        resolved = [resolve(ModelSpec.parse(spec)) for spec in specs]  # all are available before the first is scored
        tables = dict(zip(_LETTERS, [scores_of(load(one), texts, windows) for one in resolved], strict=True))
        pairs: dict[str, Comparison | PooledComparison] = {}
        for first, second in combinations(tables, 2):
            both = zip(tables[first], tables[second], strict=True)
            found = [compare(*pair, **how, resamples=resamples, seed=seed, level=level) for pair in both]
            pairs[first + second] = found[0] if len(found) == 1 else pool(found, resamples=resamples, seed=seed, level=level)
        differences = closest(tables, **how, resamples=resamples, seed=seed, simultaneous=simultaneous)
    if as_json:
        print_json(_document(tables, pairs, differences))
    else:
        _print(tables, pairs, differences, simultaneous=simultaneous)


def _document(
    tables: "Mapping[str, list[TokenScores]]",
    pairs: "Mapping[str, Comparison | PooledComparison]",
    differences: "Sequence[Closer]",
) -> dict[str, Any]:
    models = {f"model_{letter}": asdict(own[0].spec) for letter, own in tables.items()}
    compared = {
        names: {"by": one.unit, "n": one.n, "statistics": one.statistics_json()}
        | {"sign_flips": one.sign_flips.to_json() if one.sign_flips else None}
        for names, one in pairs.items()
    }
    closer = [
        {"by": one.by, "question": question, "statistics": one.summary.to_json()}
        for question, one in zip(_questions(tables), differences, strict=True)
    ]
    return {**models, "texts": [own.text_name for own in tables["a"]], "pairs": compared, "closer": closer}


def _print(
    tables: "Mapping[str, list[TokenScores]]",
    pairs: "Mapping[str, Comparison | PooledComparison]",
    differences: "Sequence[Closer]",
    *,
    simultaneous: bool,
) -> None:
    from tokenviz.controls import visible
    from tokenviz.fitting import Column, print_fitted
    from tokenviz.models.describing import full_name_of
    from tokenviz.stats.estimate import interval_source, level_of, percent, rounded, rounded_interval
    from tokenviz.stats.intervals import many_intervals
    from tokenviz.terminal import results_console

    console = results_console()
    for letter, own in tables.items():
        console.print(f"{letter}: {visible(full_name_of(own[0].spec))}", markup=False)
    texts = ", ".join(visible(own.text_name) for own in tables["a"])
    rows = [(names, one.estimates()[name]) for name in _SHOWN for names, one in pairs.items()]
    values = [estimate for _, estimate in rows]
    columns = [
        Column("statistic", [estimate.definition.replace("b − a", "second − first") for estimate in values], folds=True),
        Column("models", [" and ".join(names) for names, _ in rows]),
        Column("value", list(map(rounded, values)), right=True),
        Column(f"{percent(level_of(values))} interval", list(map(rounded_interval, values)), 1, right=True),
        Column("n", [f"{one.n:,}" for one in values], 3, right=True),
        Column("unit", [one.unit for one in values], 2),
        Column("resampled", list(map(interval_source, values)), 4),
    ]
    console.print()
    print_fitted(console, columns, title=f"{texts}: every two of three models")
    found = [one.summary.estimates for one in differences]
    moved = [one["pearson_r_difference"] for one in found]
    columns = [
        Column("correlation of", _questions(tables), folds=True),
        Column("r", [" and ".join(rounded(one[f"pearson_r_{name}"]) for name in ("ab", "ac")) for one in found], 2, right=True),
        Column("difference", list(map(rounded, moved)), right=True),
        Column(f"{percent(level_of(moved))} interval", list(map(rounded_interval, moved)), 1, right=True),
        Column("n", [f"{one.n:,}" for one in moved], 3, right=True),
    ]
    console.print()
    print_fitted(console, columns, title="which of two is closer to the third: differences of Pearson's r over the same units")
    console.print(differences[0].summary.intervals_from, markup=False)
    for names, one in pairs.items():
        if one.sign_flips:
            console.print(f"mean difference of {' and '.join(names)}: {one.sign_flips.described}", markup=False)
    if not simultaneous:
        count = sum(one.has_interval for one in (*values, *moved))
        hint = " --simultaneous adjusts them number by number." * (count > 1)
        console.print(f"{many_intervals(count)}{hint}", markup=False)


def _questions(tables: "Mapping[str, list[TokenScores]]") -> list[str]:
    """Return the rows of `closest` in words, in its order: a with b minus a with c, and so on."""
    return [
        f"{one} with {first}, less {one} with {second}"
        for one in tables
        for first, second in combinations([other for other in tables if other != one], 2)
    ]
