"""`compare`: two token tables of one text, as aligned units and numbers."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tokenviz.base import display
from tokenviz.base.errors import ComparisonError
from tokenviz.comparing.agreement import Agreement, agreement_of
from tokenviz.comparing.alignment import By, Units, align, check_units
from tokenviz.data.scores import TokenScores, nan_to_none
from tokenviz.data.texts import Text, as_it_stands
from tokenviz.models.describing import full_name_of
from tokenviz.stats.definitions import Values
from tokenviz.stats.differences import SignFlips, sign_flip_test
from tokenviz.stats.estimate import LEVEL
from tokenviz.stats.resampling import SEED, check_resampling
from tokenviz.stats.summaries import estimates_of, resampling_of
from tokenviz.units.words import Punctuation

if TYPE_CHECKING:
    import pandas as pd

    from tokenviz.models.loading import LoadedModel

COMPARISON_VERSION = 3  # raise it when the same scores would give other numbers

_CONTEXT = 60  # characters before a unit that a table shows
_DIFFERENCES_SHOWN = 5  # rows in a notebook


@dataclass(frozen=True, eq=False, kw_only=True)
class Comparison(Agreement):
    """Two models' log-probs of one text, compared; the numbers are those of `Agreement`.

    Attributes:
        a: The first model's scores.
        b: The second model's scores.
        units: The aligned units: tokens, segments, words or spans.
        whole: Units of the whole text, where its tables are too large for memory and were read part by part. The numbers are
            those of the whole text then, and `a`, `b` and `units` hold a sample of its passages, as `text_name` says. 0
            otherwise.
        n_parts: Number of these parts; 0 otherwise.

    Example:
        >>> model = tv.load_model("glass-en")
        >>> text = "Alice was beginning to get very tired of sitting by her sister on the bank."
        >>> comparison = tv.compare(tv.score(model, text, context=4, stride=1), tv.score(model, text))
        >>> comparison.n, comparison.unit
        (24, 'token')
        >>> r = comparison.pearson_r
        >>> f"r = {r.value:.2f}, 95 % interval {r.low:.2f} to {r.high:.2f}"
        'r = 0.93, 95 % interval 0.83 to 0.97'
        >>> list(comparison.estimates())[:3]
        ['pearson_r', 'pearson_r_fisher', 'spearman_rho']
        >>> comparison.largest_differences(1)["text"].item()
        ' very'
    """

    a: TokenScores = field(repr=False)
    b: TokenScores = field(repr=False)
    units: Units = field(repr=False)
    whole: int = field(default=0, repr=False)
    n_parts: int = field(default=0, repr=False)

    def __repr__(self) -> str:
        a, b = self.models
        return f"Comparison({a!r} and {b!r} on {self.text_name!r}: {self._described(self.unit, self.n_units)})"

    def _repr_html_(self) -> str:
        """Return HTML for a notebook: the numbers with their intervals, and the largest differences."""
        a, b = self.full_names
        furthest = self.largest_differences(_DIFFERENCES_SHOWN)
        columns = ["largest differences, in context", self.unit, "log-prob a (nats)", "log-prob b (nats)", "b − a"]
        rows: list[list[display.Cell]] = [
            [display.Verbatim(before), display.Verbatim(unit), *map(display.number, values)]
            for before, unit, *values in furthest[["context", "text", "logprob_a", "logprob_b", "difference"]].itertuples(
                index=False
            )
        ]
        size = f"”: {self.n:,} of {self.n_units:,} {self.unit}s scored by both"
        return display.fragment(
            display.heading("a: ", a, ", b: ", b, ", on “", self.text_name, size),
            self._statistics_html(),
            display.table(columns, rows, left=columns[:2]) if rows else "",
        )

    @property
    def text_name(self) -> str:
        """The name of the text."""
        return self.a.text_name

    @property
    def n_units(self) -> int:
        """Units of the text, scored or not."""
        return self.whole or len(self.units)

    @property
    def models(self) -> tuple[str, str]:
        """The specs of a and b."""
        return self.a.spec.model, self.b.spec.model

    @property
    def full_names(self) -> tuple[str, str]:
        """The specs of a and b, each with the model's description."""
        return full_name_of(self.a.spec), full_name_of(self.b.spec)

    @property
    def unit(self) -> By:
        """The kind of unit."""
        return self.units.by

    @property
    def sign_flips(self) -> SignFlips | None:
        """Return the sign-flip test of the passages' mean differences (b minus a).

        None for fewer than two passages, and where only a sample of the passages is here.
        """
        if self.whole:
            return None
        units = self.units
        means = [_mean_difference(units, units.passage == passage) for passage in np.unique(units.passage)]
        return sign_flip_test(np.array(means)) if len(means) > 1 else None

    def to_frame(self) -> "pd.DataFrame":
        """Return a pandas data frame with one row per unit."""
        import pandas as pd

        columns = {name: value for name, value in vars(self.units).items() if name not in ("by", "text")}
        frame = pd.DataFrame(columns)
        frame.insert(3, "text", list(self.units.text))
        frame["difference"] = frame["logprob_b"] - frame["logprob_a"]
        return frame

    def largest_differences(self, most: int = 20) -> "pd.DataFrame":
        """Return the units with the largest differences between the models, largest first; of equal ones the earlier first.

        Args:
            most: The most rows to return; by default 20.

        Returns:
            A pandas data frame: `passage`, `start` and `end` of the unit in characters, `context` (up to 60 characters before
            it in its passage), `text`, `logprob_a`, `logprob_b` and `difference` (b minus a) in nats, and `rank_a` and
            `rank_b`, 1 for a model's first choice, missing where the units are not tokens.
        """
        import pandas as pd

        units = self.units
        difference = units.logprob_b - units.logprob_a
        known = np.flatnonzero(~np.isnan(difference))
        rows = known[np.argsort(-np.abs(difference[known]), kind="stable")][:most]
        ranks = (self.a.rank[rows], self.b.rank[rows]) if units.by == "token" else (np.full(len(rows), np.nan),) * 2
        return pd.DataFrame(
            {
                "passage": units.passage[rows],
                "start": units.start[rows],
                "end": units.end[rows],
                "context": [_before(units, row) for row in rows],
                "text": [units.text[row] for row in rows],
                "logprob_a": units.logprob_a[rows],
                "logprob_b": units.logprob_b[rows],
                "difference": difference[rows],
                "rank_a": pd.array(ranks[0], dtype="Float64").astype("Int64"),
                "rank_b": pd.array(ranks[1], dtype="Float64").astype("Int64"),
            }
        )

    def to_json(self, *, differences: int = 20) -> dict[str, Any]:
        """Return the comparison's object in the output of `tokenviz compare --json`: plain values, None where undetermined.

        Args:
            differences: The most units with large differences to include; by default 20.
        """
        rows = self.largest_differences(differences).astype(object)
        return {
            "text": self.text_name,
            "sha256": self.a.text_sha256,
            "by": self.unit,
            "n": self.n,
            "n_units": self.n_units,
            "statistics": self.statistics_json(),
            "sign_flips": self.sign_flips.to_json() if self.sign_flips else None,
            "largest_differences": [
                {str(name): nan_to_none(value) for name, value in row.items()}
                for row in rows.where(rows.notna(), None).to_dict("records")
            ],
        }


@dataclass(frozen=True, eq=False, kw_only=True)
class PooledComparison(Agreement):
    """Two models on several texts pooled: every unit of every text has the same weight.

    Attributes:
        comparisons: The comparison of each text.
    """

    comparisons: tuple[Comparison, ...] = field(repr=False)

    def __repr__(self) -> str:
        a, b = self.models
        described = self._described(self.unit, sum(len(one.units) for one in self.comparisons))
        return f"PooledComparison({a!r} and {b!r} on {len(self.comparisons)} texts: {described})"

    def _repr_html_(self) -> str:
        """Return HTML for a notebook: the numbers with their intervals."""
        a, b = self.full_names
        size = f", on {len(self.comparisons):,} texts: {self.n:,} {self.unit}s scored by both"
        return display.fragment(display.heading("a: ", a, ", b: ", b, size), self._statistics_html())

    @property
    def models(self) -> tuple[str, str]:
        """The specs of a and b."""
        return self.comparisons[0].models

    @property
    def full_names(self) -> tuple[str, str]:
        """The specs of a and b, each with the model's description."""
        return self.comparisons[0].full_names

    @property
    def unit(self) -> By:
        """The kind of unit."""
        return self.comparisons[0].unit

    @property
    def sign_flips(self) -> SignFlips | None:
        """Return the sign-flip test of the texts' mean differences (b minus a); None for one text."""
        means = [_mean_difference(one.units, np.ones(len(one.units), bool)) for one in self.comparisons]
        return sign_flip_test(np.array(means)) if len(means) > 1 else None

    def to_json(self) -> dict[str, Any]:
        """Return plain values, None where undetermined."""
        return {
            "texts": [comparison.text_name for comparison in self.comparisons],
            "by": self.unit,
            "n": self.n,
            "n_units": sum(len(comparison.units) for comparison in self.comparisons),
            "statistics": self.statistics_json(),
            "sign_flips": self.sign_flips.to_json() if self.sign_flips else None,
        }


def compare(
    a: "TokenScores | LoadedModel | str",
    b: "TokenScores | LoadedModel | str",
    *,
    text: Text | str | None = None,
    by: By | None = None,
    punctuation: Punctuation = "attached",
    resamples: int | None = None,
    seed: int = SEED,
    level: float = LEVEL,
) -> Comparison:
    """Compare two models on one text.

    The intervals come from resampled passages where the text has several, and from resampled blocks of consecutive units where
    it has one. Two passages give no interval (`tokenviz.stats.resampling`, `tokenviz.stats.intervals`).

    Args:
        a: Scores of the text by one model; or the model, which then reads `text`: from `load_model`, or a model spec.
        b: Scores of the same text by another; or the model.
        text: The text that models score, one after the other; by default `a` and `b` are scores.
        by: The units: "token", which must be the same; "segment", the finest division where both have a token boundary; "word";
            or "span", where the text has spans: a token that crosses a border belongs to the later one. By default tokens where
            they are the same, else segments.
        punctuation: For words: "attached" to the word it touches (the default), or "apart".
        resamples: Number of resamples; by default 2,000, and fewer for more than 10,000 units. 0 for no intervals.
        seed: Seed of the random numbers; the same seed gives the same intervals.
        level: Level of the intervals; by default 0.95. Use `tokenviz.stats.adjusted_level(count)` where `count` intervals must
            hold at once.

    Returns:
        Correlations, concordance, differences (nats) and shares, each an `Estimate` with n and an interval, and the
        aligned units.

    Raises:
        ComparisonError: The scores are of two texts, or tokens were asked for and differ; or `resamples`, `seed` or `level` is
            not possible; or there is a model and no text, or a text and no model.
        TokenvizError: A model cannot be had, or cannot read the text.

    Example:
        >>> comparison = tv.compare("glass-en", "glass-en,dtype=bfloat16", text="Alice was very tired.")
        >>> bool(comparison.pearson_r.value > 0.99)
        True
        >>> tv.compare(comparison.a, comparison.b, by="word").n  # from scores that are there already
        3
    """
    if text is not None and isinstance(a, TokenScores) and isinstance(b, TokenScores):
        raise ComparisonError("a and b are scores, which have their text: leave out text, or give models")
    check_resampling(resamples, seed, level)
    check_units(by, punctuation)
    a, b = _scores_of((a, b), text)
    units = align(a, b, by=by, punctuation=punctuation)
    return Comparison(a=a, b=b, units=units, **_numbers(a, b, units, resamples, seed, level=level))


def _scores_of(given: "Sequence[TokenScores | LoadedModel | str]", text: Text | str | None) -> list[TokenScores]:
    """Return scores unchanged; for each model, score the text."""
    if text is None:
        for one in given:
            if not isinstance(one, TokenScores):
                name = repr(one) if isinstance(one, str) else f"a {type(one).__name__}"
                raise ComparisonError(
                    f"{name} is not scores: give scores, or models with the text that they read, compare(a, b, text=...)"
                )
        return [one for one in given if isinstance(one, TokenScores)]
    from tokenviz.models.loading import LoadedModel, ResolvedModel, load, resolve  # with torch, which scores do not need
    from tokenviz.scoring.scorer import score

    text = as_it_stands(text)
    found = [one if isinstance(one, TokenScores | LoadedModel) else resolve(one) for one in given]
    # The one alternative that is kept is the first choice, which the share of equal ones needs.
    return [
        one if isinstance(one, TokenScores) else score(load(one) if isinstance(one, ResolvedModel) else one, text, top_k=1)
        for one in found
    ]


def recorded_comparison(
    a: TokenScores, b: TokenScores, units: Units, statistics: "pd.DataFrame", *, whole: int = 0, n_parts: int = 0
) -> Comparison:
    """Restore a comparison from its recorded tables.

    Recorded numbers are not computed again, so that they stay the same where a later version would define one differently. Only
    a number that the table lacks is computed.

    Args:
        a: The first model's scores.
        b: The second model's scores.
        units: The aligned units.
        statistics: The table of `Comparison.statistics_frame`.
        whole: Units of the whole text, where it was read part by part; 0 otherwise.
        n_parts: Number of these parts; 0 otherwise.
    """
    known = estimates_of(statistics)
    names = [field.name for field in fields(Agreement) if field.name != "resampling"]
    missing = [name for name in names if name not in known]
    numbers = _numbers(a, b, units, None, SEED, wanted=missing) if missing else {}
    numbers |= {name: known[name] for name in names if name in known}
    numbers["resampling"] = resampling_of(statistics, units.by)
    return Comparison(a=a, b=b, units=units, whole=whole, n_parts=n_parts, **numbers)


def _numbers(
    a: TokenScores,
    b: TokenScores,
    units: Units,
    resamples: int | None,
    seed: int,
    *,
    level: float = LEVEL,
    wanted: Sequence[str] = (),
) -> dict[str, Any]:
    same, not_same = same_first(a, b, units)
    return agreement_of(
        units.logprob_a,
        units.logprob_b,
        same,
        passages=units.passage,
        texts=np.zeros(len(units), np.int64),
        not_same=not_same,
        unit=units.by,
        resamples=resamples,
        seed=seed,
        level=level,
        wanted=wanted,
    )


def pool(
    comparisons: Sequence[Comparison], *, resamples: int | None = None, seed: int = SEED, level: float = LEVEL
) -> PooledComparison:
    """Pool several texts' comparisons of the same two models.

    The intervals come from resampled texts. There is no interval for two texts, or where one text is much longer than all
    others: these do not show how much texts differ.

    Args:
        comparisons: The comparison of each text, at least one.
        resamples: Number of resamples, as in `compare`.
        seed: Seed of the random numbers.
        level: Level of the intervals, as in `compare`.

    Raises:
        ComparisonError: The comparisons are of different models or over different units, or one of several is of a text that
            was read part by part.
    """
    if not comparisons:
        raise ComparisonError("no comparisons were given: there is nothing to take together")
    pairs = {(one.a.spec.model, one.b.spec.model) for one in comparisons}
    if len(pairs) > 1:
        (a, b), (c, d) = sorted(pairs)[:2]
        raise ComparisonError(
            f"{a!r} and {b!r} cannot be taken together with {c!r} and {d!r}: take comparisons of the same two models"
        )
    first = comparisons[0]
    for other in comparisons[1:]:
        if other.units.by != first.units.by:
            raise ComparisonError(
                f"{first.text_name!r} is compared over {first.units.by}s and {other.text_name!r} over {other.units.by}s: "
                "take comparisons over the same units together"
            )
    in_parts = [one.text_name for one in comparisons if one.whole]
    if in_parts and len(comparisons) == 1 and level == LEVEL:
        return PooledComparison(comparisons=(first,), **{each.name: getattr(first, each.name) for each in fields(Agreement)})
    if in_parts:
        raise ComparisonError(
            f"{in_parts[0]!r} was read part by part and its comparison holds a sample of its units, so that it cannot be "
            f"pooled with other texts or given intervals of another level than {LEVEL:g}: use each text's own comparison"
        )
    found = [same_first(one.a, one.b, one.units) for one in comparisons]
    sizes = [len(one.units) for one in comparisons]
    texts = np.repeat(np.arange(len(comparisons)), sizes)
    numbers = agreement_of(
        np.concatenate([one.units.logprob_a for one in comparisons]),
        np.concatenate([one.units.logprob_b for one in comparisons]),
        np.concatenate([same for same, _ in found]),
        passages=np.concatenate([one.units.passage for one in comparisons]),
        texts=texts,
        not_same=next((reason for _, reason in found if reason), ""),
        unit=first.units.by,
        resamples=resamples,
        seed=seed,
        level=level,
    )
    return PooledComparison(comparisons=tuple(comparisons), **numbers)


def same_first(a: TokenScores, b: TokenScores, units: Units) -> tuple[Values, str]:
    """Return 1 or 0 per unit that both scored, whether the likeliest token is the same; or NaN and why it is not known."""
    nowhere = np.full(len(units), np.nan)
    if units.by != "token":
        return nowhere, f"first choices are of tokens, and these models are compared over {units.by}s"
    if not (a.spec.top_k and b.spec.top_k):
        return nowhere, "no first choices were kept: score with a top_k of at least 1"
    first_a, first_b = a.top_ids[:, 0], b.top_ids[:, 0]
    return np.where((first_a < 0) | (first_b < 0), np.nan, first_a == first_b), ""  # imported scores may lack first choices


def _mean_difference(units: Units, rows: NDArray[np.bool_]) -> float:
    """Return the mean of b - a over some of the units; NaN where none of them is scored by both."""
    found = (units.logprob_b - units.logprob_a)[rows]
    found = found[~np.isnan(found)]
    return float(found.mean()) if len(found) else math.nan


def _before(units: Units, row: int) -> str:
    """Return up to 60 characters before a unit in its passage."""
    text, i = "", row - 1
    while i >= 0 and units.passage[i] == units.passage[row] and len(text) < _CONTEXT:
        text, i = units.text[i] + text, i - 1
    return text[-_CONTEXT:]
