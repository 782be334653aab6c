"""What is carried into a paper: runs of an experiment, one for each kind, models and text, and the tables of each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tokenviz.errors import PaperError
from tokenviz.figures.origin import Origin
from tokenviz.harness.kind import Kind, Quantity
from tokenviz.harness.kinds import kind_named
from tokenviz.progress import warn
from tokenviz.records.reader import Reader
from tokenviz.tracking.finding import FoundRun, check_fields, find_runs
from tokenviz.tracking.store import Store
from tokenviz.tracking.where import parse_where

_MOST_NAMED = 3


@dataclass(frozen=True, eq=False)
class Subject:
    """A run that has something for a paper.

    Attributes:
        run: As it was found.
        kind: Its tag, such as "score", or a measure's name.
        models: One, or two; none of a summary.
        text: The text's name; of a summary the experiment's.
    """

    run: FoundRun
    kind: str
    models: tuple[str, ...]
    text: str

    @classmethod
    def of(cls, run: FoundRun) -> "Subject":
        """Return what a run has for a paper."""
        tags = run.tags
        models = (tags["model"],) if tags.get("model") else tuple(filter(None, (tags.get("model_a"), tags.get("model_b"))))
        return cls(run, tags["kind"], models, tags.get("text", run.experiment))

    @property
    def of_text(self) -> bool:
        """Whether it is about one text, not about a whole experiment."""
        return "text" in self.run.tags

    @property
    def has(self) -> Kind[Any]:
        """What its kind says of it."""
        return kind_named(self.kind)

    @property
    def key(self) -> tuple[str, tuple[str, ...], str]:
        """What a pull has once."""
        return self.text, self.models, self.kind

    @property
    def origin(self) -> Origin:
        """Where its figures come from."""
        run = self.run
        fingerprint, command = run.tags.get("fingerprint", ""), run.tags.get("command", "")
        return Origin(fingerprint, run.experiment, self.kind, run.commit, command, run.run_id)

    def about(self, source: object) -> dict[str, object]:
        """For the metadata of a figure that is drawn of its tables."""
        return self.origin.about(self.has.about(source))


def subjects_of(experiment: str, *, where: str | None, store: Store) -> list[Subject]:
    """The runs of an experiment that are meant, in the order of texts and models.

    A comparison has the settings that its two score runs have in common. Of several runs of the same kind, models and text
    the newest is taken, and a note says what is left out.

    Args:
        experiment: The MLflow experiment's name.
        where: See `tokenviz.tracking.where`; by default all.
        store: Where they are.

    Raises:
        StoreError: There is no such experiment, or the line cannot be read or asks for a field that no run has.
        PaperError: No run is meant.
    """
    runs = find_runs(experiment, store=store)
    if where is not None:
        asked = parse_where(where)
        check_fields(asked, runs)
        params = {run.run_id: run.params for run in runs}
        runs = [run for run in runs if asked.holds({**_common_params(run, params), **run.row})]
    runs.sort(key=lambda run: (run.started, run.run_id), reverse=True)
    chosen: dict[tuple[str, tuple[str, ...], str], Subject] = {}
    left: list[tuple[Subject, Subject]] = []
    for subject in map(Subject.of, runs):
        newest = chosen.setdefault(subject.key, subject)
        if newest is not subject:
            left.append((newest, subject))
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


def _left_out(left: Sequence[tuple[Subject, Subject]]) -> str:
    """What is said of older runs."""
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
    """The tables of runs. Those of the text that was asked for last stay in memory: one text after another needs the least."""

    def __init__(self, store: Store) -> None:
        """Of a store."""
        self.reader = Reader(store)
        self._text = ""
        self._sources: dict[str, object] = {}

    def source(self, subject: Subject) -> Any:
        """Read what figures and numbers of a run are made from.

        Raises:
            StoreError: The run has lost a table, or one is not what was recorded.
        """
        if subject.text != self._text:
            self._text, self._sources = subject.text, {}
            self.reader.let_go()
        run = subject.run
        if run.run_id not in self._sources:
            self._sources[run.run_id] = subject.has.read(run, self.reader)
        return self._sources[run.run_id]

    def figures(self, subject: Subject) -> Mapping[str, tuple[str, ...]]:
        """Return the figures of a run that can be drawn, each with its formats."""
        return subject.has.figures(subject.run, self.reader)

    def quantities(self, subject: Subject) -> Sequence[Quantity]:
        """Read the numbers of a run that have an interval or a definition of their own.

        Raises:
            StoreError: The run has lost them, or they are not what was recorded.
        """
        return subject.has.quantities(subject.run, self.reader)
