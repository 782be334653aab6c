"""Measures that a heatmap can show of a token, the ends of their scales, and several models' log-probs unit by unit."""

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tokenviz.base.errors import ComparisonError, FigureError, did_you_mean
from tokenviz.comparing.alignment import By, Units, same_tokens
from tokenviz.data.scores import TokenScores
from tokenviz.stats.estimate import printed
from tokenviz.units.words import Spans, common_spans

# Measures of tokens that a heatmap can show. Each is one definition here; drawers, captions and the command line use it.
#
# Dark is always the predictable end, so that a text looks similar with every measure. Missing values stay NaN.

Values = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Measure:
    """The properties that all measures share.

    Attributes:
        name: The name that users write.
        label: A singular noun for headings and legends.
        unit: Unit of its numbers; empty where they have none.
        colours: The default colour map.
    """

    name: str
    label: str
    unit: str
    colours: str

    @property
    def axis(self) -> str:
        """Return label and unit, as a legend prints them."""
        return f"{self.label} ({self.unit})" if self.unit else self.label

    def printed(self, value: float) -> str:
        """Return a value for legends and captions: two decimals, or one digit for a share that is too small for them."""
        if not self.unit and 0 < value < 0.005:
            return f"{value:.0e}".replace("e-0", "e-").replace("-", "−")
        return printed(value)


@dataclass(frozen=True, kw_only=True)
class TokenMeasure(Measure):
    """A measure of one model's tokens.

    Attributes:
        take: Returns the values of a table's tokens, (n,); NaN where unscored.
        dark: The values that are dark: "high" or "low" ones.
        ends: One word each for the light and the dark end.
        buckets: For a measure with classes, their names from 0 up; its values are their numbers. Else empty.
    """

    take: Callable[[TokenScores], Values]
    dark: Literal["high", "low"]
    ends: tuple[str, str] = ("surprising", "predictable")
    buckets: tuple[str, ...] = ()
    colours: str = "viridis"


@dataclass(frozen=True, kw_only=True)
class PairMeasure(Measure):
    """A measure of two models on the units of a comparison: signed, and 0 where they agree.

    Attributes:
        take: Returns the values of the units, (n,), above 0 in favour of the second model; NaN where a model did not score the
            whole unit.
    """

    take: Callable[[Units], Values]
    colours: str = "rdbu"


BUCKET_TOPS = (1, 10, 100, 1000)
"""The greatest rank of each bucket except the last, as in GLTR (Gehrmann, Strobelt and Rush 2019), with an additional bucket
for the first
choice."""


def _bucket(scores: TokenScores) -> Values:
    numbers = np.searchsorted(BUCKET_TOPS, scores.rank).astype(np.float64)
    return np.where(np.isnan(scores.rank), np.nan, numbers)


MEASURES: dict[str, TokenMeasure | PairMeasure] = {
    measure.name: measure
    for measure in (
        TokenMeasure(name="logprob", label="log-prob", unit="nats", dark="high", take=lambda scores: scores.logprob),
        TokenMeasure(
            name="surprisal_bits", label="surprisal", unit="bits", dark="low", take=lambda scores: -scores.logprob / math.log(2)
        ),
        TokenMeasure(name="probability", label="probability", unit="", dark="high", take=lambda scores: np.exp(scores.logprob)),
        TokenMeasure(
            name="rank_bucket", label="rank", unit="", dark="low", take=_bucket,
            buckets=("1", "2–10", "11–100", "101–1000", "above 1000"),
        ),
        TokenMeasure(
            name="entropy", label="entropy", unit="nats", dark="low", ends=("uncertain", "certain"),
            take=lambda scores: scores.entropy,
        ),
        PairMeasure(
            name="difference", label="difference in log-prob", unit="nats", take=lambda units: units.logprob_b - units.logprob_a
        ),
    )
}  # fmt: skip


def measure_named(name: str, *, of_pairs: bool = True) -> TokenMeasure | PairMeasure:
    """Return a measure by its name.

    Args:
        name: The name.
        of_pairs: Whether measures of two models are among those that a message offers; by default they are.

    Raises:
        FigureError: There is no measure of that name.
    """
    if name not in MEASURES:
        known = [one for one, measure in MEASURES.items() if of_pairs or isinstance(measure, TokenMeasure)]
        raise FigureError(f"no measure {name!r}: there are {', '.join(known)}{did_you_mean(name, known)}")
    return MEASURES[name]


# The ends of a colour scale: of one text, of a set of texts, between two percentiles, or fixed numbers.

_NUMBER = r"\s*([-+−]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*"
_PAIR = re.compile(f"{_NUMBER},{_NUMBER}")
_SET = "shared:"  # comes before the limits of a set, in the command that draws one of its figures again
_LIMITS = (
    "give two numbers, the lower one first, such as -12,0; or text, shared, or a percentile below p50 such as p1 (from the 1st "
    "to the 99th)"
)
_PERCENTILES = re.compile(r"\s*p(\d+\.?\d*|\.\d+)\s*(?:,\s*p(\d+\.?\d*|\.\d+)\s*)?")


@dataclass(frozen=True)
class Percentiles:
    """Two percentiles of a text's values: values beyond them have the colour of the end.

    Attributes:
        low: Percentile, 0 to 100.
        high: Percentile, 0 to 100, above `low`.
    """

    low: float
    high: float

    def __str__(self) -> str:
        return f"{_ordinal(self.low)} to {_ordinal(self.high)} percentile"


@dataclass(frozen=True)
class Limits:
    """The values at the two ends of a colour scale, and their origin.

    Attributes:
        low: The lower end; NaN where nothing is scored.
        high: The upper end; NaN where nothing is scored.
        origin: The least and greatest value of the "text", or of a "set" of texts; "percentiles" of the text; or "fixed"
            numbers.
        percentiles: The percentiles; None for other origins.
    """

    low: float
    high: float
    origin: Literal["text", "set", "percentiles", "fixed"]
    percentiles: Percentiles | None = None


Chosen = Literal["text", "shared"] | tuple[float, float] | Percentiles | Limits
"""Requested limits: of the text, of the texts that are shown together, between percentiles, or two numbers."""


def chosen_limits(given: str | Chosen) -> Chosen:
    """Parse limits as a user writes them; refuse anything else.

    Args:
        given: "text", "shared", a percentile such as "p1" (from the 1st to the 99th) or two such as "p5,p100", two numbers such
            as "-12,0"; or limits that are parsed already.

    Raises:
        FigureError: It is none of these.
    """
    if isinstance(given, Limits | Percentiles):
        return given
    if isinstance(given, tuple | list) and len(given) == 2 and all(isinstance(one, Real) for one in given):
        return given[0], given[1]
    if not isinstance(given, str):
        raise FigureError(f"no limits {given!r}: {_LIMITS}")
    if given == "text":
        return "text"
    if given == "shared":
        return "shared"
    if pair := _PAIR.fullmatch(given.removeprefix(_SET)):
        low, high = (float(number.replace("−", "-")) for number in pair.groups())
        return Limits(low, high, "set") if given.startswith(_SET) else (low, high)
    if found := _PERCENTILES.fullmatch(given):
        least = float(found[1])
        greatest = 100 - least if found[2] is None else float(found[2])
        if 0 <= least < greatest <= 100:
            return Percentiles(least, greatest)
    raise FigureError(f"no limits {given!r}: {_LIMITS}")


def run_limits(limits: str | Chosen | None) -> Chosen:
    """Return the limits of the figures of runs, each of which is drawn before the scores of the next one are known.

    Raises:
        FigureError: The limits are not possible.
    """
    chosen = chosen_limits("text" if limits is None else limits)
    if chosen == "shared":
        raise FigureError(
            "limits cannot be shared among runs, each of which is drawn before the next is scored: give two numbers, or take "
            "'tokenviz pull EXPERIMENT --limits shared --to FOLDER'"
        )
    return checked_limits(chosen, MEASURES["logprob"]) if isinstance(chosen, tuple) else chosen


def limits_fit(chosen: Chosen, measure: TokenMeasure | PairMeasure) -> bool:
    """Return whether limits that are given for several figures apply to one: numbers are log-probs."""
    if isinstance(chosen, Percentiles):
        return not (isinstance(measure, TokenMeasure) and measure.buckets)
    return not isinstance(chosen, Limits | tuple) or measure.name == "logprob"


def written_limits(chosen: str | Chosen) -> str:
    """Return limits in the form that `chosen_limits` parses."""
    if isinstance(chosen, str):
        return chosen
    if isinstance(chosen, Percentiles):
        return f"p{chosen.low:g},p{chosen.high:g}"
    low, high = (chosen.low, chosen.high) if isinstance(chosen, Limits) else chosen
    return f"{_SET if isinstance(chosen, Limits) and chosen.origin == 'set' else ''}{low!r},{high!r}"


def checked_limits(limits: Limits | tuple[float, float], measure: TokenMeasure | PairMeasure) -> Limits:
    """Return limits that were given as numbers, if they are possible for a measure.

    Raises:
        FigureError: They are not possible.
    """
    if isinstance(limits, Limits):
        return limits
    _refuse_classes(measure)
    low, high = limits
    given = f"limits {low:g} to {high:g}"
    if not (math.isfinite(low) and math.isfinite(high)):
        raise FigureError(f"{given} are not possible: give two numbers, the lower one first")
    if low >= high:
        wrong = "hold no range" if low == high else "are the wrong way round"
        raise FigureError(f"{given} {wrong}: give the lower one first")
    if isinstance(measure, PairMeasure) and -low != high:
        far = max(abs(low), abs(high))
        raise FigureError(f"{given} do not have 0 in the middle, as those of a {measure.label} must: give {-far:g} and {far:g}")
    return Limits(low, high, "fixed")


def limits_of(
    values: Sequence[Values],
    measure: TokenMeasure | PairMeasure,
    origin: Literal["text", "set"],
    between: Percentiles | None = None,
) -> Limits:
    """Return the limits of values: the least and the greatest, or two percentiles; for a difference symmetric around 0.

    Args:
        values: Values of all panels or texts that share the scale.
        measure: The measure of the values.
        origin: Whether the values are of one text or of a set.
        between: Percentiles to take instead of the least and the greatest; by default none.

    Raises:
        FigureError: The measure has classes, which have no percentiles.
    """
    if between is not None:
        _refuse_classes(measure)
    found = np.concatenate(values)
    found = found[~np.isnan(found)]
    kind = "percentiles" if between is not None else origin
    if not len(found):
        return Limits(math.nan, math.nan, kind, between)
    if isinstance(measure, TokenMeasure) and measure.buckets:
        return Limits(0.0, len(measure.buckets) - 1.0, origin)
    ends = (0.0, 100.0) if between is None else (between.low, between.high)
    low, high = (float(end) for end in np.percentile(found, ends))
    if isinstance(measure, PairMeasure):
        far = max(abs(low), abs(high))
        return Limits(-far, far, kind, between)
    return Limits(low, high, kind, between)


def _refuse_classes(measure: TokenMeasure | PairMeasure) -> None:
    if isinstance(measure, TokenMeasure) and measure.buckets:
        raise FigureError(f"the measure {measure.name!r} has fixed classes ({', '.join(measure.buckets)}) and takes no limits")


def _ordinal(number: float) -> str:
    whole = int(number) if number == int(number) else None
    if whole is None:
        return f"{number:g}th"
    suffix = "th" if whole % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(whole % 10, "th")
    return f"{whole}{suffix}"


# Several models' log-probs of one text, unit by unit.


@dataclass(frozen=True, eq=False)
class Rows:
    """The units over which several models can be compared, in reading order; all columns have length n.

    Attributes:
        by: The kind of unit.
        spans: The units' places in the text, and each model's tokens in them.
        logprobs: One array per model, in nats per unit; NaN where it did not score every token of the unit.
    """

    by: By
    spans: Spans
    logprobs: tuple[Values, ...]

    def __len__(self) -> int:
        return len(self.spans.start)

    @property
    def passage(self) -> NDArray[np.int64]:
        """Number of the passage of each unit."""
        return self.spans.passage

    def pair(self, a: int, b: int) -> Units:
        """Return the units of two of the models, by the models' numbers."""
        spans = self.spans
        return Units(
            by=self.by,
            passage=spans.passage,
            start=spans.start,
            end=spans.end,
            text=spans.text,
            logprob_a=self.logprobs[a],
            logprob_b=self.logprobs[b],
            n_tokens_a=spans.n_tokens[a],
            n_tokens_b=spans.n_tokens[b],
        )


def common_rows(tables: Sequence[TokenScores]) -> Rows:
    """Return the tokens, where one tokenizer made all of them, else the segments that all models share.

    Args:
        tables: Tables of one text, at least one.

    Raises:
        ComparisonError: The tables are of different texts.
    """
    first, *others = tables
    for other in others:
        if other.text_sha256 != first.text_sha256:
            raise ComparisonError(
                f"the scores are of two texts, {first.text_name!r} and {other.text_name!r}: give scores of one text"
            )
    if all(same_tokens(first, other) for other in others):
        return Rows("token", _tokens(first, len(tables)), tuple(table.logprob for table in tables))
    spans = common_spans(tables)
    sums = [np.add.reduceat(table.logprob, rows) for table, rows in zip(tables, spans.first_rows, strict=True)]
    return Rows("segment", spans, tuple(sums))


def _tokens(table: TokenScores, models: int) -> Spans:
    """Return each token as a span that several models share."""
    n = len(table)
    return Spans(
        passage=table.passage,
        start=table.start,
        end=table.end,
        text=table.token,
        last_words=(),
        n_words=np.zeros(n, np.int64),
        first_rows=(np.arange(n),) * models,
        n_tokens=(np.ones(n, np.int64),) * models,
    )
