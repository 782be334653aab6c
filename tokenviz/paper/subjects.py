"""What is carried into a paper: runs of an experiment, one for each kind, models and text, and the tables of each."""

from collections.abc import Sequence
from dataclasses import dataclass

from tokenviz.comparing.comparison import Comparison
from tokenviz.errors import PaperError
from tokenviz.figures.origin import Origin, of_pair, of_scores
from tokenviz.progress import warn
from tokenviz.records.run import RecordedRun, StoredRun
from tokenviz.records.tables import read_comparison, read_scores, read_statistics
from tokenviz.scores import TokenScores
from tokenviz.stats.estimate import Estimate
from tokenviz.tracking.finding import FoundRun, check_fields, find_run, find_runs
from tokenviz.tracking.store import Store
from tokenviz.tracking.where import parse_where

_MOST_NAMED = 3


@dataclass(frozen=True, eq=False)
class Subject:
    """A run that is about one text.

    Attributes:
        run: As it was found.
        kind: "score", "comparison", or a measure's name.
        models: One, or two.
        text: The text's name.
    """

    run: FoundRun
    kind: str
    models: tuple[str, ...]
    text: str

    @classmethod
    def of(cls, run: FoundRun) -> "Subject | None":
        """Of a run; None for one that is about a whole experiment."""
        tags = run.tags
        models = (tags["model"],) if tags.get("model") else tuple(filter(None, (tags.get("model_a"), tags.get("model_b"))))
        return cls(run, tags["kind"], models, tags["text"]) if models and "text" in tags else None

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

    def about(self, source: TokenScores | Comparison) -> dict[str, object]:
        """For the metadata of a figure that is drawn of its tables."""
        return self.origin.about(of_scores(source) if isinstance(source, TokenScores) else of_pair(source))


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
    for subject in filter(None, map(Subject.of, runs)):
        newest = chosen.setdefault(subject.key, subject)
        if newest is not subject:
            left.append((newest, subject))
    if not chosen:
        meant = f" that {where!r} means" if where is not None else ""
        raise PaperError(f"experiment {experiment!r} has no finished run of a text{meant}: run it, or change --where")
    if left:
        warn(_left_out(left))
    return [chosen[key] for key in sorted(chosen)]


def subject_of(run_id: str, *, store: Store) -> Subject:
    """One run.

    Args:
        run_id: MLflow's id, or how it begins.
        store: Where it is.

    Raises:
        StoreError: There is no such run, or several.
        PaperError: It is not about a text.
    """
    run = find_run(run_id, store)
    subject = Subject.of(run)
    if subject is None:
        kind = run.tags["kind"]
        raise PaperError(f"{_named(run)} is of kind {kind!r} and has no tables: give a score or a comparison")
    return subject


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
        self._store = store
        self._text = ""
        self._scores: dict[str, TokenScores] = {}
        self._comparisons: dict[str, Comparison] = {}

    def source(self, subject: Subject) -> TokenScores | Comparison:
        """What figures of a run are drawn from.

        Raises:
            PaperError: The run has no such tables.
            StoreError: It has lost one, or one is not what was recorded.
        """
        run = subject.run
        if subject.text != self._text:
            self._text, self._scores, self._comparisons = subject.text, {}, {}
        if subject.kind == "score":
            return self._tokens(run.run_id, self._recorded(run))
        if subject.kind != "comparison":
            raise PaperError(f"{_named(run)} is of kind {subject.kind!r} and has no figure: give a score or a comparison")
        if run.run_id not in self._comparisons:
            recorded = self._recorded(run)
            a, b = (self._tokens(run.params.get(name, ""), recorded.other(name)) for name in ("run_a", "run_b"))
            self._comparisons[run.run_id] = read_comparison(recorded, a, b)
        return self._comparisons[run.run_id]

    def check(self, subject: Subject) -> None:
        """See that the tables that figures and numbers rest on are what was recorded; of a measure's run that is none.

        Raises:
            StoreError: The run has lost one, or one is not what was recorded.
        """
        if subject.kind in ("score", "comparison"):
            self.source(subject)

    def statistics(self, run: FoundRun) -> dict[str, Estimate]:
        """A comparison's numbers by name, with intervals and definitions.

        Raises:
            StoreError: The run has lost them, or they are not what was recorded.
        """
        return read_statistics(self._recorded(run))

    def _recorded(self, run: FoundRun) -> StoredRun:
        return StoredRun.of(run, self._store)

    def _tokens(self, run_id: str, run: RecordedRun) -> TokenScores:
        if run_id not in self._scores:
            self._scores[run_id] = read_scores(run)
        return self._scores[run_id]


def _named(run: FoundRun) -> str:
    return f"run {run.run_id} ({run.name!r})"
