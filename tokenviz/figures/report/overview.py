"""The overview of a grid: one self-contained HTML page with models x texts, pairs of models x texts, and its other runs.

Each cell has a run's numbers and links to its heatmap or report; the cell of a score also has a small picture of the heatmap.
The page loads nothing. The targets of its links depend on where the page is (`Links`).
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

from tokenviz.base.display import cell
from tokenviz.data.scores import TokenScores, nan_to_none
from tokenviz.figures.heatmap.html import page_template
from tokenviz.figures.report.page import compact_json, page_part, policy_of
from tokenviz.figures.typeset.colours import COLOUR_MAPS, to_hex

Links = Literal["folder", "artifact"]
"""Where a run's figures are, relative to the page: "folder" if each is at `runs/RUN/FILE`, as `tokenviz ui` serves them and
`tokenviz runs export --html` writes them; "artifact" if the page is a file of the summary run. On a disk the artifacts of
other runs are next to it then. MLflow's pages show it in a frame that cannot open links: it names the place of each figure."""

Addresses = Sequence[tuple[str, str]]
"""Targets of links, with their names."""

OVERVIEW = "overview.html"  # the page's name among a summary run's files
COLUMNS, LINES = 24, 4  # of a picture, which is large enough to compare it with its neighbours
_STEP = 0.2  # nats
_CODES = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"  # multiples of -_STEP
_UNSCORED = "-"
_SHADES = 62
_NOTHING = 1e-9  # characters; less is rounding of 0
_MOST_NUMBERS = 3  # numbers of a run of a kind that has no matrix
_LOOKED_AT = ("report.html", "heatmap.html")  # the page links to the first of these that such a run has
_DECIMALS, _NARROW, _MORE_DECIMALS = 6, 0.01, 9  # more digits where a narrow interval needs more
_DATA = re.compile(r'<script type="application/json" id="data">(.*?)</script>', re.DOTALL)


@dataclass(frozen=True)
class ScoreCell:
    """A model on a text.

    Attributes:
        model: The model's label.
        text: The text's name.
        run_id: Id of its run; empty while it waits for a server.
        bits_per_byte: Bits per byte, as in `ScoreSummary`.
        mean_logprob: Mean log-prob, in nats per token.
        n_scored: Tokens with a prediction.
        picture: The result of `picture_of`; empty for none.
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
        """Return the cell of a run from its numbers by name."""
        bits, mean, n = (numbers.get(name, math.nan) for name in ("bits_per_byte", "mean_logprob", "n_scored"))
        return cls(model, text, run_id, bits, mean, 0 if math.isnan(n) else int(n), picture)


@dataclass(frozen=True)
class PairCell:
    """Two models on a text.

    Attributes:
        a: The first model's label.
        b: The second model's label.
        text: The text's name.
        run_id: Id of its run; empty while it waits for a server.
        by: The units that they are compared over.
        n: Units that both models scored.
        r: Pearson's r.
        low: Lower end of its 95 % interval; NaN where there is none.
        high: Upper end of its 95 % interval; NaN where there is none.
        concordance: Lin's concordance coefficient.
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
        """Return the cell of a run from its numbers by name."""
        names = ("pearson_r", "pearson_r_low", "pearson_r_high", "concordance")
        return cls(a, b, text, run_id, by, int(numbers.get("n", 0)), *(numbers.get(name, math.nan) for name in names))


@dataclass(frozen=True)
class OtherRun:
    """A run of any other kind.

    Attributes:
        kind: Kind of the run.
        name: Name of the run, for readers.
        run_id: Id of the run; empty while it waits for a server.
        found: Its first numbers, in words.
        figure: The file among its figures that the page links to; empty for none.
    """

    kind: str
    name: str
    run_id: str
    found: str
    figure: str = ""

    @classmethod
    def of(cls, kind: str, name: str, run_id: str, numbers: Mapping[str, float], figures: Collection[str]) -> "OtherRun":
        """Return a run's entry in the overview.

        Args:
            kind: Kind of the run.
            name: Name of the run.
            run_id: Id of the run.
            numbers: Its numbers, by name.
            figures: The names of its figures' files.
        """
        shown = [f"{number.replace('_', ' ')} {cell(value)}" for number, value in list(numbers.items())[:_MOST_NUMBERS]]
        return cls(kind, name, run_id, ", ".join(shown), next((file for file in _LOOKED_AT if file in figures), ""))


Cell = ScoreCell | PairCell | OtherRun
"""The part of a run that the page shows."""


@dataclass(frozen=True)
class Overview:
    """The data of a grid's page.

    Attributes:
        experiment: Name of the MLflow experiment.
        experiment_id: MLflow's id of the experiment.
        grid: Id of the grid.
        question: The experiment's question, in one line.
        scores: Its score runs.
        pairs: Its comparison runs.
        others: Its other runs.
        remark: A remark about the whole, such as that it is not finished; empty for none.
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
    """Return a small picture of a text's heatmap: `COLUMNS` x `LINES` equal parts of its characters, in reading order.

    Returns:
        A character for each part: the mean log-prob of the tokens that contain its characters, in steps of 0.2 nats down to
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
        overview: The data of the page.
        links: Where a run's figures are.
        pages: The address of MLflow's pages, absolute or relative to this one; empty where there are none.
        grids: Other grids, with their addresses; by default none.
        files: Figures and tables of the whole grid, with their addresses; by default none.
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
    """Return the pictures in the page of a grid, by the ids of their runs; empty for any other page."""
    found = _DATA.search(page)
    if not found:
        return {}
    try:
        scores = json.loads(found[1])["scores"]
        return dict(zip(scores["run"], scores["picture"], strict=True))
    except (ValueError, KeyError, TypeError):
        return {}


def _plain(overview: Overview) -> dict[str, Any]:
    """Return the grid as columns of plain values, names by number: 20 models on 200 texts stay below 5 MB."""
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
