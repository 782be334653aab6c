"""The overview of a grid: one self-contained HTML page with models x texts, pairs of models x texts, and its other runs.

Each cell has a run's numbers and leads to its heatmap or report; that of a score has a small picture of the heatmap as well.
The page loads nothing. Where its links lead follows from where it is (see `Links`).
"""

import json
import math
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from jinja2.utils import htmlsafe_json_dumps
from markupsafe import Markup
from numpy.typing import NDArray

from tokenviz.figures.colours import COLOUR_MAPS, to_hex
from tokenviz.figures.html import page_template
from tokenviz.figures.report import compact_json, page_part, policy_of
from tokenviz.scores import TokenScores, nan_to_none
from tokenviz.tables import cell

Links = Literal["folder", "artifact"]
"""Where a run's figures are, seen from the page: "folder" where each is at `runs/RUN/FILE`, as `tokenviz ui` serves them and
`tokenviz runs export --html` writes them; "artifact" where the page is a file of the summary run. On a disk the artifacts of
other runs are beside it then. MLflow's pages show it in a frame that may open nothing: it says where each figure is."""

Addresses = Sequence[tuple[str, str]]
"""Where links lead, and what they are called."""

OVERVIEW = "overview.html"  # the page's name among a summary run's files
COLUMNS, LINES = 24, 4  # of a picture, which is as large as a reader can compare with its neighbours
_STEP = 0.2  # nats
_CODES = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"  # multiples of -_STEP
_UNSCORED = "-"
_SHADES = 62
_NOTHING = 1e-9  # characters: less is what rounding leaves of none
_MOST_NUMBERS = 3  # of a run of a kind that has no matrix
_LOOKED_AT = ("report.html", "heatmap.html")  # what such a run is looked at by: the first that it has
_DECIMALS, _NARROW, _MORE_DECIMALS = 6, 0.01, 9  # more where an interval is so narrow that more are printed
_DATA = re.compile(r'<script type="application/json" id="data">(.*?)</script>', re.DOTALL)


@dataclass(frozen=True)
class ScoreCell:
    """A model on a text.

    Attributes:
        model: The model's label.
        text: The text's name.
        run_id: Of its run; empty where a server has not taken it yet.
        bits_per_byte: See `ScoreSummary`.
        mean_logprob: Nats per token.
        n_scored: Tokens with a prediction.
        picture: From `picture_of`; empty for none.
    """

    model: str
    text: str
    run_id: str
    bits_per_byte: float
    mean_logprob: float
    n_scored: int
    picture: str = ""

    @classmethod
    def of(cls, model: str, text: str, run_id: str, numbers: Mapping[str, float], picture: str = "") -> "ScoreCell":
        """Return the cell of a run by its numbers' names."""
        bits, mean, n = (numbers.get(name, math.nan) for name in ("bits_per_byte", "mean_logprob", "n_scored"))
        return cls(model, text, run_id, bits, mean, 0 if math.isnan(n) else int(n), picture)


@dataclass(frozen=True)
class PairCell:
    """Two models on a text.

    Attributes:
        a: The first model's label.
        b: The second's.
        text: The text's name.
        run_id: Of its run; empty where a server has not taken it yet.
        by: What they are compared over.
        n: Units that both have a value of.
        r: Pearson's r.
        low: Where its 95 % interval begins; NaN where there is none.
        high: Where it ends.
        concordance: Lin's coefficient.
    """

    a: str
    b: str
    text: str
    run_id: str
    by: str
    n: int
    r: float
    low: float
    high: float
    concordance: float

    @classmethod
    def of(cls, a: str, b: str, text: str, run_id: str, by: str, numbers: Mapping[str, float]) -> "PairCell":
        """Return the cell of a run by its numbers' names."""
        names = ("pearson_r", "pearson_r_low", "pearson_r_high", "concordance")
        return cls(a, b, text, run_id, by, int(numbers.get("n", 0)), *(numbers.get(name, math.nan) for name in names))


@dataclass(frozen=True)
class OtherRun:
    """A run of any other kind.

    Attributes:
        kind: The run's.
        name: The run's, for a reader.
        run_id: Its id; empty where a server has not taken it yet.
        found: Its first numbers, in words.
        figure: The file among its figures that the page leads to; empty for none.
    """

    kind: str
    name: str
    run_id: str
    found: str
    figure: str = ""

    @classmethod
    def of(cls, kind: str, name: str, run_id: str, numbers: Mapping[str, float], figures: Collection[str]) -> "OtherRun":
        """Return what the overview says of a run.

        Args:
            kind: The run's.
            name: The run's.
            run_id: Its id.
            numbers: Its numbers.
            figures: The names of its figures' files.
        """
        shown = [f"{number.replace('_', ' ')} {cell(value)}" for number, value in list(numbers.items())[:_MOST_NUMBERS]]
        return cls(kind, name, run_id, ", ".join(shown), next((file for file in _LOOKED_AT if file in figures), ""))


@dataclass(frozen=True)
class Overview:
    """A grid.

    Attributes:
        experiment: The MLflow experiment's name.
        experiment_id: Its id.
        grid: The grid's id.
        question: What the experiment asks, in a line.
        scores: Its score runs.
        pairs: Its comparison runs.
        others: Its other runs.
        remark: What a reader should know of the whole, such as that it is not finished.
    """

    experiment: str
    experiment_id: str
    grid: str
    question: str
    scores: Sequence[ScoreCell]
    pairs: Sequence[PairCell]
    others: Sequence[OtherRun] = ()
    remark: str = ""


def picture_of(scores: TokenScores) -> str:
    """Draw a text's heatmap in little: `COLUMNS` x `LINES` equal parts of its characters, in reading order.

    Returns:
        A character for each part: the mean log-prob of the tokens that its characters are of, in steps of 0.2 nats down to
        -12.2, or "-" where none is scored.
    """
    values = _parts(scores)
    steps = np.clip(np.rint(values / -_STEP), 0, len(_CODES) - 1)
    return "".join(_UNSCORED if math.isnan(step) else _CODES[int(step)] for step in steps)


def _parts(scores: TokenScores) -> NDArray[np.float64]:
    ends = scores.end[np.diff(scores.passage, append=-1) != 0]  # the last token of each passage
    offset = np.concatenate([[0], np.cumsum(ends)])
    number = np.cumsum(np.diff(scores.passage, prepend=scores.passage[:1]) != 0)
    places = np.concatenate([[0], (offset[number] + scores.end)]).astype(float)
    widths = np.diff(np.maximum.accumulate(places), prepend=0.0)[1:]
    places = np.concatenate([[0.0], np.cumsum(widths)])
    known = np.where(scores.scored, scores.logprob, 0.0)
    sums = np.concatenate([[0.0], np.cumsum(widths * known)])
    weights = np.concatenate([[0.0], np.cumsum(widths * scores.scored)])
    edges = np.linspace(0, places[-1], COLUMNS * LINES + 1)
    total, weight = np.diff(np.interp(edges, places, sums)), np.diff(np.interp(edges, places, weights))
    means: NDArray[np.float64] = np.divide(total, weight, out=np.full(len(total), math.nan), where=weight > _NOTHING)
    return means


def overview_html(overview: Overview, links: Links, *, pages: str = "", grids: Addresses = (), files: Addresses = ()) -> str:
    """Return the page of a grid.

    Args:
        overview: The grid.
        links: Where a run's figures are.
        pages: The address of MLflow's pages, absolute or relative to this one; empty where there are none.
        grids: Other grids, where there are such.
        files: Figures and tables of the whole grid, where the page can lead to them.
    """
    style, script = page_part("overview.css"), page_part("overview.js")
    page: str = page_template("page/overview.html.j2").render(
        title=overview.experiment,
        question=overview.question,
        remark=overview.remark,
        grids=grids,
        files=files,
        policy=policy_of(style, script),
        style=Markup(style),
        script=Markup(script),
        data=htmlsafe_json_dumps(_plain(overview) | {"links": links, "pages": pages}, dumps=compact_json),
    )
    return page


def pictures_in(page: str) -> dict[str, str]:
    """Return the pictures that the page of a grid has, by the ids of their runs; none where it is no such page."""
    found = _DATA.search(page)
    if not found:
        return {}
    try:
        scores = json.loads(found[1])["scores"]
        return dict(zip(scores["run"], scores["picture"], strict=True))
    except (ValueError, KeyError, TypeError):
        return {}


def _plain(overview: Overview) -> dict[str, Any]:
    """The grid as columns of plain values, names by number: 20 models on 200 texts stay below 5 MB."""
    models = _numbered([*(one.model for one in overview.scores), *(name for one in overview.pairs for name in (one.a, one.b))])
    texts = _numbered([*(one.text for one in overview.scores), *(one.text for one in overview.pairs)])
    units = _numbered([one.by for one in overview.pairs])
    scores, pairs = overview.scores, overview.pairs
    return {
        "experiment": overview.experiment,
        "experiment_id": overview.experiment_id,
        "grid": overview.grid,
        "models": list(models),
        "texts": list(texts),
        "units": list(units),
        "columns": COLUMNS,
        "step": _STEP,
        "codes": _CODES,
        "shades": [to_hex(COLOUR_MAPS["viridis"].at(number / (_SHADES - 1))) for number in range(_SHADES)],
        "scores": {
            "model": [models[one.model] for one in scores],
            "text": [texts[one.text] for one in scores],
            "run": [one.run_id for one in scores],
            "bits": [_short(one.bits_per_byte) for one in scores],
            "mean": [_short(one.mean_logprob) for one in scores],
            "n": [one.n_scored for one in scores],
            "picture": [one.picture for one in scores],
        },
        "pairs": {
            "a": [models[one.a] for one in pairs],
            "b": [models[one.b] for one in pairs],
            "text": [texts[one.text] for one in pairs],
            "by": [units[one.by] for one in pairs],
            "run": [one.run_id for one in pairs],
            "n": [one.n for one in pairs],
            "r": [_short(one.r, one.high - one.low) for one in pairs],
            "low": [_short(one.low, one.high - one.low) for one in pairs],
            "high": [_short(one.high, one.high - one.low) for one in pairs],
            "concordance": [_short(one.concordance) for one in pairs],
        },
        "others": [[run.kind, run.name, run.run_id, run.found, run.figure] for run in overview.others],
    }


def _numbered(names: Sequence[str]) -> dict[str, int]:
    return {name: number for number, name in enumerate(dict.fromkeys(names))}


def _short(value: float, width: float = math.nan) -> float | None:
    short: float | None = nan_to_none(round(value, _MORE_DECIMALS if width < _NARROW else _DECIMALS))
    return short
