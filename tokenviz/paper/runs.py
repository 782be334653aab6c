"""The runs of an experiment that a paper uses, one for each kind, models and text, and the tables of each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tokenviz.base.errors import PaperError
from tokenviz.base.progress import warn
from tokenviz.figures.named import Look
from tokenviz.figures.origin import Origin
from tokenviz.harness.kind import Kind, Quantity
from tokenviz.harness.kinds import kind_named
from tokenviz.records.loading import Reader
from tokenviz.tracking.finding import FoundRun, check_fields, find_runs
from tokenviz.tracking.store import Store
from tokenviz.tracking.where import parse_where

_MOST_NAMED = 3


@dataclass(frozen=True, eq=False)
class PaperRun:
    """A run that a paper uses.

    Attributes:
        run: The run as it was found.
        kind: Its kind, such as "score", or a measure's name.
        models: Its model, or two; none for a summary.
        text: The text's name; for a summary the experiment's.
    """

    run: FoundRun
    kind: str
    models: tuple[str, ...]
    text: str

    @classmethod
    def of(cls, run: FoundRun) -> "PaperRun":
        """Return a run as a paper uses it.

        Raises:
            PaperError: Another program made the run.
        """
        tags = run.tags
        if "kind" not in tags:
            raise PaperError(f"run {run.run_id} ({run.name!r}) is none of tokenviz: name one that 'tokenviz runs' lists")
        models = (tags["model"],) if tags.get("model") else tuple(filter(None, (tags.get("model_a"), tags.get("model_b"))))
        return cls(run, tags["kind"], models, tags.get("text", run.experiment))

    @property
    def of_text(self) -> bool:
        """Whether the run is of one text, not of a whole experiment."""
        return "text" in self.run.tags

    @property
    def has(self) -> Kind[Any]:
        """The kind of the run."""
        return kind_named(self.kind)

    @property
    def key(self) -> tuple[str, tuple[str, ...], str]:
        """The key that is unique within a pull."""
        return self.text, self.models, self.kind

    @property
    def origin(self) -> Origin:
        """The origin of its figures."""
        run = self.run
        fingerprint, command = run.tags.get("fingerprint", ""), run.tags.get("command", "")
        return Origin(fingerprint, run.experiment, self.kind, run.commit, command, run.run_id)

    def look(self, figure: str, look: Look, tables: "Tables") -> Look:
        """Return the look of a figure, with the limits that the run was drawn with where it has none.

        Raises:
            StoreError: A table is missing, or differs from what was recorded.
        """
        limits = self.run.tags.get("limits")
        if limits is None or look.limits is not None:
            return look
        return self.has.as_drawn(figure, look, limits, lambda: tables.source(self))

    def about(self, source: object) -> dict[str, object]:
        """Return the metadata of a figure that is drawn from its tables."""
        return self.origin.about(self.has.about(source))


def paper_runs_of(experiment: str, *, where: str | None, store: Store) -> list[PaperRun]:
    """Return an experiment's runs that meet some conditions, in the order of texts and models.

    A comparison has the settings that its two score runs share. Of several runs of the same kind, models and text the newest is
    taken, and a note lists the others.

    Args:
        experiment: Name of the MLflow experiment.
        where: Conditions, in the syntax of `tokenviz.tracking.where`; None for all runs.
        store: The runs' store.

    Raises:
        StoreError: There is no such experiment, or the conditions cannot be parsed or name a field that no run has.
        PaperError: No run meets the conditions.
    """
    runs = find_runs(experiment, store=store)
    if where is not None:
        asked = parse_where(where)
        check_fields(asked, runs)
        params = {run.run_id: run.params for run in runs}
        runs = [run for run in runs if asked.holds({**_common_params(run, params), **run.row})]
    runs.sort(key=lambda run: (run.started, run.run_id), reverse=True)
    chosen: dict[tuple[str, tuple[str, ...], str], PaperRun] = {}
    left: list[tuple[PaperRun, PaperRun]] = []
    for paper_run in map(PaperRun.of, runs):
        newest = chosen.setdefault(paper_run.key, paper_run)
        if newest is not paper_run:
            left.append((newest, paper_run))
    if not chosen:
        meant = f" that {where!r} means" if where is not None else ""
        raise PaperError(f"experiment {experiment!r} has no finished run{meant}: run it, or change --where")
    if texts := [both for both in left if both[1].of_text]:
        warn(_left_out(texts))
    if summaries := len(left) - len(texts):
        warn(f"{summaries} older {'summaries are' if summaries > 1 else 'summary is'} left out: --where chooses")
    return [chosen[key] for key in sorted(chosen)]


def _common_params(run: FoundRun, params: dict[str, dict[str, str]]) -> dict[str, str]:
    a, b = (params.get(run.params.get(name, ""), {}) for name in ("run_a", "run_b"))
    return {name: value for name, value in a.items() if b.get(name) == value}


def _left_out(left: Sequence[tuple[PaperRun, PaperRun]]) -> str:
    """Return the note about older runs that are left out."""
    different: dict[str, None] = {}
    for newest, older in left:
        ours, theirs = newest.run.params, older.run.params
        different |= {name: None for name in {**ours, **theirs} if ours.get(name) != theirs.get(name)}
    names = [name for name in different if name not in ("run_a", "run_b") and not name.startswith(("hardware", "version"))]
    more = ", ..." if len(names) > _MOST_NAMED else ""
    why = f" (they differ in {', '.join(names[:_MOST_NAMED])}{more})" if names else ""
    count = f"{len(left)} older run{'s' * (len(left) != 1)}"
    return f"{count} of the same models and texts {'are' if len(left) != 1 else 'is'} left out{why}: --where chooses"


class Tables:
    """Tables of runs. Those of the last text stay in memory; reading text by text needs least memory."""

    def __init__(self, store: Store) -> None:
        """Keep the store; nothing is read yet."""
        self.reader = Reader(store)
        self._text = ""
        self._sources: dict[str, object] = {}

    def source(self, paper_run: PaperRun) -> Any:
        """Read the data that figures and numbers of a run are made from.

        Raises:
            StoreError: A table is missing, or differs from what was recorded.
        """
        if paper_run.text != self._text:
            self._text, self._sources = paper_run.text, {}
            self.reader.let_go()
        run = paper_run.run
        if run.run_id not in self._sources:
            self._sources[run.run_id] = paper_run.has.read(run, self.reader)
        return self._sources[run.run_id]

    def figures(self, paper_run: PaperRun) -> Mapping[str, tuple[str, ...]]:
        """Return the figures of a run that can be drawn, each with its formats."""
        return paper_run.has.figures(paper_run.run, self.reader)

    def quantities(self, paper_run: PaperRun) -> Sequence[Quantity]:
        """Read the numbers of a run that have an interval or their own definition.

        Raises:
            StoreError: The numbers are missing, or differ from what was recorded.
        """
        return paper_run.has.quantities(paper_run.run, self.reader)
