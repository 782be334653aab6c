"""Runs in the store: those of a small grid, and score and comparison runs recorded as a grid does, from tables made by hand."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from run_records import make_record
from tables import long_pair

import tokenviz as tv
from tokenviz.comparing.alignment import By
from tokenviz.data.scores import TokenScores
from tokenviz.harness.grid import Grid
from tokenviz.harness.kind import Content
from tokenviz.harness.kinds.comparison import record_comparison
from tokenviz.harness.kinds.score import record_scores
from tokenviz.harness.results import GridResult
from tokenviz.harness.session import ExperimentContext, running
from tokenviz.paper.manifest import Order
from tokenviz.paper.pulling import pull
from tokenviz.tracking.outbox import RunRecord
from tokenviz.tracking.runs import Runs
from tokenviz.tracking.store import open_store
from tokenviz.units.words import Punctuation

COMMIT = "c0ffee" * 6 + "c0ff"
COMMAND = "tokenviz run trial --models a"


def keep_scores(
    scores: TokenScores, *, experiment: str = "trial", replaces: bool = False, started: int = 0, **params: Any
) -> str:
    """A finished score run of a table; returns its id.

    Args:
        scores: The table.
        experiment: Of the run.
        replaces: Whether it takes the place of the run of the same model, text and `params`.
        started: Seconds after the first.
        params: Settings besides those of the table's own spec.
    """
    text = tv.literal("".join(scores.token), name=scores.text_name)
    tags = {"kind": "score", "model": scores.spec.model, "text": scores.text_name}

    def content(files: Path) -> Content:
        return record_scores(scores, text, 1.0, files)

    return _keep(experiment, _fingerprint(scores, params), tags, content, "tokens", {}, replaces, started, params)


def keep_comparison(
    a: TokenScores,
    b: TokenScores,
    *,
    experiment: str = "trial",
    replaces: bool = False,
    by: By | None = None,
    punctuation: Punctuation = "attached",
    **params: Any,
) -> str:
    """A finished comparison run of two tables whose score runs are kept already; returns its id."""
    tags = {"kind": "comparison", "model_a": a.spec.model, "model_b": b.spec.model, "text": a.text_name}
    refers = {"run_a": _fingerprint(a, params), "run_b": _fingerprint(b, params)}

    def content(files: Path) -> Content:
        made = record_comparison(tv.compare(a, b, by=by, punctuation=punctuation), {}, files)
        if by == "word":
            made.params["punctuation"] = punctuation
        return made

    fingerprint = "-".join([*refers.values(), *([f"{by}-{punctuation}"] if by else [])])
    return _keep(experiment, fingerprint, tags, content, "units", refers, replaces, 0, {})


def keep_pair(a: TokenScores, b: TokenScores, *, experiment: str = "trial", **params: Any) -> list[str]:
    """Both score runs and the comparison."""
    runs = [keep_scores(table, experiment=experiment, **params) for table in (a, b)]
    return [*runs, keep_comparison(a, b, experiment=experiment, **params)]


def _fingerprint(scores: TokenScores, params: dict[str, Any]) -> str:
    return "".join(f"{ord(sign):x}" for sign in f"{scores.spec.model}{scores.text_name}{params or ''}")


def _keep(
    experiment: str, fingerprint: str, tags: dict[str, str], content: Any, table: str, refers: dict[str, str], replaces: bool,
    started: int, params: dict[str, Any],
) -> str:  # fmt: skip
    def fill(files: Path) -> RunRecord:
        made = content(files)
        return make_record(
            fingerprint, experiment=experiment, tags={**tags, "command": COMMAND},
            context={"mlflow.source.git.commit": COMMIT}, params={**made.params, **params}, metrics=made.metrics, curves={},
            table=f"tables/{table}.parquet", refers=refers, replaces=replaces, started=1_700_000_000_000 + 1000 * started,
        )  # fmt: skip

    return Runs(open_store(), experiment, "").keep(fingerprint, fill)


TEXTS = ["abcdabcd", "ddccbbaa"]


def run_grid(
    models: list[str],
    *,
    experiment: str = "trial",
    question: str = "What is asked.",
    force: bool = False,
    texts: Sequence[str] = TEXTS,
    description: str = "Found.",
    figures: Mapping[str, Callable[[], Figure]] | None = None,
    **settings: Any,
) -> GridResult:
    """Some models on some texts: scored, compared, summarised."""
    with running(ExperimentContext(experiment, question, {"models": models, **settings}, force)):
        settings = {"top_k": 2, **settings}
        grid = Grid(models, [tv.literal(text) for text in texts], **settings)
        grid.score()
        grid.compare()
        return grid.summarise(description, figures=figures)


def pulled_pair(once: Callable[[str, Callable[[], list[str]]], list[str]], project: Path, order: Order) -> Path:
    """The folder of a paper into which two models on one text were pulled: made once for an order, then copied."""

    def make() -> list[str]:
        runs = keep_pair(*long_pair(40))
        pull(order, project / "paper")
        return runs

    once(f"a pair and its paper by {order}", make)
    return project / "paper"
