"""Score runs: one model on one text, as a token table, its numbers, a curve and a heatmap; or another engine's log-probs."""

import math
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tokenviz.base.display import counted, write_csv
from tokenviz.base.errors import StoreError
from tokenviz.base.progress import warn
from tokenviz.comparing.large import Gathered, Parts
from tokenviz.data.parquet import save_parts
from tokenviz.data.scores import IMPORTED, TokenScores
from tokenviz.data.summary import ScoreSummary
from tokenviz.data.texts import Text
from tokenviz.dumps.importing import Imported
from tokenviz.dumps.table import IMPORT_VERSION
from tokenviz.figures.heatmap.measures import Chosen
from tokenviz.figures.named import OF_ONE_MODEL, Look, formats_of, save_named
from tokenviz.figures.origin import of_scores
from tokenviz.figures.report.overview import Cell, ScoreCell, picture_of
from tokenviz.figures.typeset.saving import FigureFormat
from tokenviz.harness.deliveries import Drawing
from tokenviz.harness.kind import Content, Job, Kind, Outcome, Run, RunTable, fingerprint_of_pair
from tokenviz.harness.kinds.writing import dataset_of, escaped, links_line, model_in_bold, tables_folder, text_params
from tokenviz.harness.measures import Settings
from tokenviz.harness.recomputing import Again, NotEnoughError, Rerun, held_against
from tokenviz.harness.session import Session
from tokenviz.models.describing import description_of
from tokenviz.models.loading import ResolvedModel, load
from tokenviz.records.loading import Reader
from tokenviz.records.run import BY_PARTS, SAMPLE_TABLE, TOKENS_TABLE, RecordedRun
from tokenviz.records.tables import read_sample, read_scores
from tokenviz.stats.summaries import Summary
from tokenviz.tracking.finding import FoundRun
from tokenviz.tracking.runs import FinishedRun, fingerprint_of
from tokenviz.units.sums import information


@dataclass(frozen=True, eq=False)
class Scored:
    """The result of scoring one text.

    Attributes:
        scores: The token table, or the sample of a large one, which its figures show. None before a large one has been read.
        seconds: Duration in seconds; NaN where it is not recorded.
        missing: Passages without scores, by number, with the reason: a ledger's workers leave out what cannot be scored.
        n_failed: Number of these that may be scored in another attempt.
        large: Reads a table that is too large for memory; None where `scores` is the whole table.
    """

    scores: TokenScores | None
    seconds: float
    missing: Mapping[int, str] = field(default_factory=dict)
    n_failed: int = 0
    large: Gathered | None = None

    @property
    def drawn(self) -> TokenScores:
        """The rows that figures show."""
        if self.large is not None:
            return self.large.sample
        assert self.scores is not None
        return self.scores

    @property
    def tags(self) -> dict[str, str]:
        """The run's tags that count missing passages."""
        counts = {WITHOUT: len(self.missing), FAILED: self.n_failed}
        return {name: str(count) for name, count in counts.items() if count}


@dataclass(frozen=True, eq=False, repr=False)
class ScoreRun(Run):
    """A run of one model on one text.

    Attributes:
        model: The model spec's label.
        text: The text's name.
        missing: Number of its passages that could not be scored.
        n_parts: Number of parts that its table was read in, where that is too large for memory; 0 otherwise.
        again: Computes the scores once more, for a server that fails when they are read back; None where that is not possible.
    """

    model: str
    text: str
    missing: int = 0
    n_parts: int = 0
    again: Callable[[], TokenScores] | None = None

    def _subject(self) -> str:
        return f"{self.text!r} by {self.model!r}"

    def _about(self) -> dict[str, Any]:
        return {"model": self.model, "text": self.text}

    def cell(self, run_id: str) -> Cell:
        return ScoreCell.of(self.model, self.text, run_id, self.metrics, picture_of(self.sample))

    @cached_property
    def scores(self) -> TokenScores:
        """The token table, read from the run as a whole, however large it is.

        Raises:
            StoreError: The table is lost or damaged, or a server fails and the scores cannot be computed here.
        """
        try:
            return read_scores(self.recorded)
        except StoreError as error:
            if self.again is None or not self.runs.store.failed_with(error):
                raise
            warn(f"{error}: {self.text!r} is scored by {self.model!r} again")
            return self.again()

    @property
    def sample(self) -> TokenScores:
        """The rows that figures show: all, or some passages of a table that is read in parts, as its `text_name` says."""
        return self._sample if self.n_parts else self.scores

    @cached_property
    def _sample(self) -> TokenScores:
        return read_sample(self.recorded)

    @property
    def summary(self) -> ScoreSummary:
        """The table in a few numbers."""
        if not self.n_parts:
            return self.scores.summary()
        numbers: dict[str, Any] = {field.name: self.metrics.get(field.name, math.nan) for field in fields(ScoreSummary)}
        return ScoreSummary(**{name: int(value) if name.startswith("n_") else value for name, value in numbers.items()})

    @contextmanager
    def parts(self) -> Iterator[Parts]:
        """Have the token table to be read part by part, while the block lasts: only one part needs to be in memory."""
        with tempfile.TemporaryDirectory(prefix="tokenviz-") as folder:
            yield partial(TokenScores.parts, self.recorded.fetch(TOKENS_TABLE, Path(folder)))


@dataclass(frozen=True, eq=False)
class ScoreJob(Job[Scored, ScoreRun]):
    """Score one text with one model; the result is the table and the duration.

    Attributes:
        session: The grid's session.
        model: The model.
        text: The text.
    """

    session: Session
    model: ResolvedModel
    text: Text
    kind = "score"
    table = TOKENS_TABLE

    @property
    def name(self) -> str:
        return f"{self.text.name} · {self.model.spec.label}"

    @cached_property
    def fingerprint(self) -> str:
        return fingerprint_of_pair(self.kind, self.model, self.text, self.session.settings)

    @property
    def tags(self) -> Mapping[str, str]:
        return {"model": self.model.spec.label, "text": self.text.name}

    def compute(self) -> Scored:
        from tokenviz.scoring.scorer import score

        if self.session.ledger is not None:
            found = self.session.ledger.result((self.fingerprint, self.model, self.text), self.session.settings)
            large = Gathered(self.text, found.parts) if found.scores is None else None
            return Scored(found.scores, found.seconds, found.missing, found.n_failed, large)
        (loaded,) = self.session.memory.models(self.model.spec.label)
        begin = time.perf_counter()
        scores = score(loaded, self.text, **vars(self.session.settings))
        return Scored(scores, time.perf_counter() - begin)

    def write(self, result: Scored, files: Path) -> Content:
        if result.large is not None:
            content = record_parts(result.large, self.text, result.seconds, files)
        else:
            content = record_scores(result.drawn, self.text, result.seconds, files)
        if not result.missing:
            return content
        ids = self.text.passage_ids
        rows = [
            {"passage": number, **({"id": ids[number]} if ids else {}), "reason": reason}
            for number, reason in result.missing.items()
        ]
        write_csv(pd.DataFrame(rows), files / "tables" / "missing.csv")
        words = f"**{without(len(rows))}: `tables/missing.csv` says which, and why.**"
        return replace(content, tags=result.tags, note=f"{words}\n\n{content.note}")

    def holds(self, run: FinishedRun) -> bool:
        if self.session.ledger is None:  # this process scores all passages or none
            return WITHOUT not in run.tags
        return FAILED not in run.tags

    def read(self, run: RecordedRun) -> Scored:
        return Scored(read_sample(run) if BY_PARTS in run.params else read_scores(run), float("nan"))

    def draw(self, result: Scored) -> Drawing:
        scores = result.drawn
        about = self.session.about(self.fingerprint, self.kind, of_scores(scores))
        return Drawing(draw_scores, (scores, about, self.session.experiment.limits, self.session.formats))

    def run(self, outcome: Outcome[Scored]) -> ScoreRun:
        run = ScoreRun(
            **self.about_run(outcome, self.session.runs),
            model=self.model.spec.label,
            text=self.text.name,
            missing=int(outcome.tags.get(WITHOUT, 0)),
            n_parts=int(str(outcome.params.get(BY_PARTS, 0))),
            again=None if self.session.ledger else partial(_score_again, self.model, self.text, self.session.settings),
        )
        if outcome.result is not None:  # fills the cached property: no need to read it back
            run.__dict__["_sample" if run.n_parts else "scores"] = outcome.result.drawn
        return run


def _score_again(model: ResolvedModel, text: Text, settings: Settings) -> TokenScores:
    """Score with a model that is loaded for this alone: what a grid returns keeps no model in memory."""
    from tokenviz.scoring.scorer import score

    return score(load(model), text, **vars(settings))


_ROWS = 10_000  # of the table of passages that are in memory at once

WITHOUT, FAILED = "without_passages", "failed_passages"
"""The tags that count a run's passages without scores, and those of them that another attempt may score."""


def without(count: int) -> str:
    """Return words that say how many passages are missing."""
    return f"without {counted(count, 'passage')}, which could not be scored"


def record_scores(scores: TokenScores, text: Text, seconds: float, folder: Path) -> Content:
    """Write a model/text pair's tables into a folder; return the rest of its run."""
    tables = tables_folder(folder)
    scores.save(folder / TOKENS_TABLE)
    write_csv(scores.to_frame(alternatives=False), tables / "tokens.csv")
    curve = (
        "In the heatmap predictable tokens are darkest, a dashed outline marks a token without a prediction. "
        f"`{TOKENS_TABLE}` holds every value; the curve `token/logprob` shows the first thousand tokens, "
        "each at the character where it begins."
    )
    return _content(scores, scores.summary(), information(scores), text, seconds, curve, tables)


def record_parts(large: Gathered, text: Text, seconds: float, folder: Path) -> Content:
    """Write the tables of a model/text pair that is read part by part into a folder; return the rest of its run."""
    tables = tables_folder(folder)
    save_parts(large.each(), folder / TOKENS_TABLE)
    sample = large.sample
    sample.save(folder / SAMPLE_TABLE)
    shown = escaped(sample.text_name.removeprefix(f"{text.name}, "))
    words = (
        f"**The table was read in {large.n_parts:,} parts.** The numbers are of all tokens; their intervals come from "
        f"resampled parts, stretches of whole passages. The heatmap shows {shown}, whole passages that were taken at random, "
        f"from the text's hash; predictable tokens are darkest. `{TOKENS_TABLE}` holds every value, `{SAMPLE_TABLE}` those of "
        "the sample; the curve `token/logprob` shows the first "
        "thousand tokens, each at the character where it begins."
    )
    content = _content(large.first, large.summary, large.information, text, seconds, words, tables)
    content.params[BY_PARTS] = large.n_parts
    return content


def _content(
    scores: TokenScores, summary: ScoreSummary, known: Summary, text: Text, seconds: float, words: str, tables: Path
) -> Content:
    """Return a score run's content by its table, or by the first part of it, and its numbers."""
    if text.passage_ids:
        with (tables / "passages.csv").open("w", encoding="utf-8", newline="") as file:
            for begin in range(0, len(text.passages), _ROWS):
                ids = text.passage_ids[begin : begin + _ROWS]
                write_csv(pd.DataFrame({"passage": range(begin, begin + len(ids)), "id": ids}), file, header=not begin)
    caveats = summary.caveats()
    metrics = _metrics(summary, known) | {"scoring_seconds": seconds, "tokens_per_second": summary.n_tokens / seconds}
    params = score_params(scores) | text_params(text) | {"intervals": known.intervals_from}
    note = (
        f"{links_line({'Text heatmap': 'heatmap.html'})}"
        f"{model_in_bold(scores.spec.model, description_of(scores.spec))} on **{escaped(text.name)}**: "
        f"{summary.bits_per_byte:.3f} bits per byte; mean log-prob {summary.mean_logprob:.3f} nats per token over "
        f"{summary.n_scored} of {summary.n_tokens} tokens; perplexity per token {summary.perplexity_per_token:.2f}. "
        "Only bits per byte can be compared between models of different tokenizers.\n\n"
        f"{''.join(f'**{caveat}.**' + chr(10) * 2 for caveat in map(escaped, caveats))}"
        f"{words}"
    )
    return Content(params, metrics, note, {"token/logprob": logprob_curve(scores)}, dataset_of(text))


def logprob_curve(scores: TokenScores) -> list[tuple[int, float]]:
    """Return pairs of the first character, in the whole text, and the log-prob of each scored token.

    So the curves of two tokenizers align. Passages follow each other; characters are counted from 0.
    """
    lengths = np.zeros(int(scores.passage.max(initial=0)) + 1, dtype=np.int64)
    np.maximum.at(lengths, scores.passage, scores.end)
    begins = (np.cumsum(lengths) - lengths)[scores.passage] + scores.first_character
    return [(int(begins[row]), float(value)) for row, value in enumerate(scores.logprob) if scores.scored[row]]


def score_metrics(scores: TokenScores, known: Summary | None = None) -> dict[str, float]:
    """Return the numbers of a score run, computed from its table.

    Args:
        scores: The table.
        known: Its `information`, if that has been computed already.
    """
    return _metrics(scores.summary(), known or information(scores))


def _metrics(summary: ScoreSummary, known: Summary) -> dict[str, float]:
    numbers = {name: float(value) for name, value in asdict(summary).items()}
    order = sorted(numbers, key=lambda name: (name.startswith("n_"), name != "bits_per_byte"))
    metrics = {name: numbers[name] for name in order}  # MLflow's "Compare" opens on the first; counts come last
    for name, estimate in known.estimates.items():
        metrics |= {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}
    return metrics | (known.resampling.numbers if known.resampling else {})


def score_params(scores: TokenScores) -> dict[str, object]:
    """Return the settings of a score run that its table records."""
    spec = asdict(scores.spec) | {"model_description": description_of(scores.spec)}
    versions = spec.pop("versions")
    for name in ("weights_sha256", "model_description"):
        if not spec[name]:
            del spec[name]  # a parameter needs a value
    return spec | {f"version_{name}": value for name, value in versions.items()}


def draw_scores(
    scores: TokenScores, about: Mapping[str, object], limits: Chosen, formats: Sequence[FigureFormat], folder: Path
) -> None:
    """Draw the heatmap of a model/text pair.

    Args:
        scores: The token table.
        about: What made it, for the files' metadata.
        limits: Limits of the colours.
        formats: Formats that were asked for, besides what the run's page shows.
        folder: The folder for the figures.
    """
    save_named("heatmap", scores, folder / "heatmap", formats=(*formats, "html"), look=Look(limits=limits), about=about)


class ScoreKind(Kind[TokenScores]):
    """The kind of recorded score runs."""

    name = "score"
    plain = True
    of_tokens = True
    tables = (
        RunTable(
            "scores",
            "Predictions of each text by each model: $n$ scored tokens, mean log-prob (nats per token), perplexity per "
            "token, bits per byte, mean entropy of the predictions (nats).",
            (
                ("n_scored", "$n$"),
                ("mean_logprob", "log-prob"),
                ("perplexity_per_token", "perplexity"),
                ("bits_per_byte", "bits/byte"),
                ("mean_entropy", "entropy"),
            ),
        ),
    )

    def read(self, run: FoundRun, reader: Reader) -> TokenScores:
        return reader.sample(run.run_id, reader.recorded(run))

    def figures(self, run: FoundRun, reader: Reader) -> Mapping[str, tuple[str, ...]]:
        return {figure: formats_of(figure) for figure in OF_ONE_MODEL}

    def shown(self, run: FoundRun, reader: Reader) -> tuple[str, ...]:
        return ("heatmap",)

    def draw(
        self, figure: str, source: TokenScores, stem: Path, *, formats: Sequence[Any], look: Look, about: Mapping[str, object]
    ) -> list[Path]:
        return save_named(figure, source, stem, formats=formats, look=look, about=about)

    def about(self, source: TokenScores) -> Mapping[str, object]:
        return of_scores(source)

    def rerun(self, run: FoundRun, again: Again) -> Rerun:
        if (source := run.params.get("source", "")).startswith(IMPORTED):
            raise NotEnoughError(
                f"run {run.run_id} holds log-probs that another engine computed ({source}): nothing of it can be computed again"
            )
        if BY_PARTS in run.params:
            raise NotEnoughError(
                f"run {run.run_id} holds a table that is too large to be computed again in one process: repeat "
                f"'{run.tags.get('command', 'its command')}' with a new ledger, and compare the runs"
            )
        then, now, text = again.both(run.run_id, again.reader.recorded(run))
        with tempfile.TemporaryDirectory() as folder:
            content = record_scores(now, text, 1.0, Path(folder))
        return held_against(run, content.metrics, [(then, now)])


KIND = ScoreKind()


# Score runs of another engine's log-probs: the table comes from a dump, and cannot be computed again.

_NAN = float("nan")


@dataclass(frozen=True, eq=False)
class ImportJob(Job[TokenScores, ScoreRun]):
    """Keep imported scores as a score run, which is read like any other.

    Attributes:
        session: The grid's session.
        imported: The scores and their text.
    """

    session: Session
    imported: Imported
    kind = "score"
    table = TOKENS_TABLE

    @property
    def name(self) -> str:
        return f"{self.imported.text.name} · {self.imported.scores.spec.model}"

    @cached_property
    def fingerprint(self) -> str:
        return fingerprint_of_import(self.imported)

    @property
    def tags(self) -> Mapping[str, str]:
        return {"model": self.imported.scores.spec.model, "text": self.imported.text.name}

    def compute(self) -> TokenScores:
        return self.imported.scores

    def write(self, result: TokenScores, files: Path) -> Content:
        return record_scores(result, self.imported.text, _NAN, files)

    def read(self, run: RecordedRun) -> TokenScores:
        return read_scores(run)

    def draw(self, result: TokenScores) -> Drawing:
        about = self.session.about(self.fingerprint, self.kind, of_scores(result))
        return Drawing(draw_scores, (result, about, self.session.experiment.limits, self.session.formats))

    def run(self, outcome: Outcome[TokenScores]) -> ScoreRun:
        about = self.about_run(outcome, self.session.runs)
        run = ScoreRun(**about, model=self.imported.scores.spec.model, text=self.imported.text.name)
        if outcome.result is not None:
            run.__dict__["scores"] = outcome.result  # fills the cached property
        return run


def fingerprint_of_import(imported: Imported) -> str:
    """Return the fingerprint of imported scores, from what the engine recorded; it differs from all runs computed here."""
    spec = imported.scores.spec
    parts: dict[str, object] = {"kind": "imported", "version": IMPORT_VERSION, "identity": spec.identity, "model": spec.model}
    if not spec.imported:  # a table of tokenviz's own
        parts["spec"] = asdict(spec)
    return fingerprint_of(
        parts | {"text": imported.text.name, "text_sha256": imported.text.sha256, "tokenizer": spec.tokenizer}
    )
