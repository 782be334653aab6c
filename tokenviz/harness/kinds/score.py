"""Score runs: one model on one text, as a token table, its numbers, a curve and a text heatmap."""

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd

from tokenviz.comparing.information import information
from tokenviz.figures.limits import Chosen
from tokenviz.figures.named import Look, save_named
from tokenviz.figures.origin import of_scores
from tokenviz.harness.deliveries import Drawing
from tokenviz.harness.jobs import Content, Job, Outcome, Run, fingerprint_of_pair
from tokenviz.harness.kinds.files import PICTURES, dataset_of, tables_folder, text_params
from tokenviz.harness.kinds.markdown import escaped, links_line, model_in_bold
from tokenviz.harness.session import Session
from tokenviz.models.describing import description_of
from tokenviz.models.loading import ResolvedModel
from tokenviz.records.run import TOKENS_TABLE, RecordedRun
from tokenviz.records.tables import read_scores
from tokenviz.scores import TokenScores
from tokenviz.stats.summaries import Summary
from tokenviz.tables import write_csv
from tokenviz.texts import Text


@dataclass(frozen=True, eq=False, repr=False)
class ScoreRun(Run):
    """One model on one text, as a run.

    Attributes:
        model: The model spec's label.
        text: The text's name.
    """

    model: str
    text: str

    def _subject(self) -> str:
        return f"{self.text!r} by {self.model!r}"

    @cached_property
    def scores(self) -> TokenScores:
        """The token table, read from the run."""
        return read_scores(self.recorded)


@dataclass(frozen=True, eq=False)
class ScoreJob(Job[tuple[TokenScores, float], ScoreRun]):
    """Score one text by one model; the result is the table and the seconds that it took.

    Attributes:
        session: The grid's.
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

    def compute(self) -> tuple[TokenScores, float]:
        from tokenviz.scoring.scorer import score

        (loaded,) = self.session.memory.models(self.model.spec.label)
        begin = time.perf_counter()
        scores = score(loaded, self.text, **vars(self.session.settings))
        return scores, time.perf_counter() - begin

    def write(self, result: tuple[TokenScores, float], files: Path) -> Content:
        return record_scores(result[0], self.text, result[1], files)

    def read(self, run: RecordedRun) -> tuple[TokenScores, float]:
        return read_scores(run), float("nan")

    def draw(self, result: tuple[TokenScores, float]) -> Drawing:
        scores = result[0]
        return Drawing(
            draw_scores,
            (scores, self.session.about(self.fingerprint, self.kind, of_scores(scores)), self.session.experiment.limits),
        )

    def run(self, outcome: Outcome[tuple[TokenScores, float]]) -> ScoreRun:
        run = ScoreRun(**self.about_run(outcome, self.session.runs), model=self.model.spec.label, text=self.text.name)
        if outcome.result is not None:
            run.__dict__["scores"] = outcome.result[0]  # fills the cached property: no need to read it back
        return run


def record_scores(scores: TokenScores, text: Text, seconds: float, folder: Path) -> Content:
    """Write a model/text pair's tables into a folder; return the rest of its run."""
    tables = tables_folder(folder)
    scores.save(folder / TOKENS_TABLE)
    write_csv(scores.to_frame(), tables / "tokens.csv")
    if text.passage_ids:
        rows = {"passage": range(len(text.passages)), "id": text.passage_ids}
        write_csv(pd.DataFrame(rows), tables / "passages.csv")
    summary = scores.summary()
    caveats = summary.caveats()
    known = information(scores)
    metrics = score_metrics(scores, known) | {"scoring_seconds": seconds, "tokens_per_second": summary.n_tokens / seconds}
    params = score_params(scores) | text_params(text) | {"intervals": known.intervals_from}
    note = (
        f"{links_line({'Text heatmap': 'heatmap.html'})}"
        f"{model_in_bold(scores.spec.model, description_of(scores.spec))} on **{escaped(text.name)}**: "
        f"{summary.bits_per_byte:.3f} bits per byte; mean log-prob {summary.mean_logprob:.3f} nats per token over "
        f"{summary.n_scored} of {summary.n_tokens} tokens; perplexity per token {summary.perplexity_per_token:.2f}. "
        "Only bits per byte can be compared between models of different tokenizers.\n\n"
        f"{''.join(f'**{caveat}.**' + chr(10) * 2 for caveat in map(escaped, caveats))}"
        "In the heatmap predictable tokens are darkest, a dashed outline marks a token without a prediction. "
        f"`{TOKENS_TABLE}` holds every value; the curve `token/logprob` shows the first thousand tokens."
    )
    curve = [(row, float(value)) for row, value in enumerate(scores.logprob) if scores.scored[row]]
    return Content(params, metrics, note, {"token/logprob": curve}, dataset_of(text))


def score_metrics(scores: TokenScores, known: Summary | None = None) -> dict[str, float]:
    """Return the numbers of a score run that follow from its table.

    Args:
        scores: The table.
        known: Its `information`, where that has been computed.
    """
    known = known or information(scores)
    numbers = {name: float(value) for name, value in asdict(scores.summary()).items()}
    metrics = dict(
        sorted(numbers.items(), key=lambda pair: pair[0].startswith("n_"))
    )  # as MLflow's pages show them: counts last
    for name, estimate in known.estimates.items():
        metrics |= {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}
    return metrics | (known.resampling.numbers if known.resampling else {})


def score_params(scores: TokenScores) -> dict[str, object]:
    """Return the settings of a score run that its table says."""
    spec = asdict(scores.spec) | {"model_description": description_of(scores.spec)}
    versions = spec.pop("versions")
    for name in ("weights_sha256", "model_description"):
        if not spec[name]:
            del spec[name]  # a parameter without a value is none
    return spec | {f"version_{name}": value for name, value in versions.items()}


def draw_scores(scores: TokenScores, about: Mapping[str, object], limits: Chosen, folder: Path) -> None:
    """Draw the heatmap of a model/text pair.

    Args:
        scores: The table.
        about: What made it, for the files' metadata.
        limits: Of the colours.
        folder: To draw in.
    """
    save_named("heatmap", scores, folder / "heatmap", formats=(*PICTURES, "html"), look=Look(limits=limits), about=about)
