"""Prompt runs: one model on continuations of prompts, as a table of each continuation's log-prob given its prompt."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import pandas as pd

from tokenviz.data.scores import TokenScores
from tokenviz.data.texts import Text
from tokenviz.figures.named import Plot
from tokenviz.figures.plots.studies import MOST, continuation_marks
from tokenviz.harness.kind import Content, Outcome, Quantity
from tokenviz.harness.kinds.scored import ScoredJob, ScoredKind, ScoredRun, ScoredTable
from tokenviz.harness.kinds.writing import dataset_of, escaped, frame_table, links_line, text_params
from tokenviz.records.loading import Reader
from tokenviz.tracking.finding import FoundRun
from tokenviz.tracking.runs import fingerprint_of
from tokenviz.units.prompts import PROMPTS_VERSION, Prompts, conditional, prompt_table, summarise_prompts
from tokenviz.units.sums import note_unscored


@dataclass(frozen=True, eq=False)
class PromptsRun(ScoredRun):
    """A run of one model on prompts with continuations; its table is that of `prompt_table`."""

    kind = "prompts"


class PromptsKind(ScoredKind):
    """The kind of recorded prompt runs."""

    name = "prompts"
    steps = ("rank_", "all_first", "best_by_")
    definitions: ClassVar = {
        "n_prompts": "prompts",
        "n_continuations": "continuations",
        "n_missing": "continuations without a number: one of their tokens has no prediction",
        "n_crossings": "continuations whose first token begins in the prompt",
        "mean_logprob_per_continuation": "mean over continuations of log P(continuation | prompt), nats",
        "mean_logprob_per_token": "log-prob of all continuations over their tokens, nats per token",
        "bits_per_byte_of_continuations": "surprisal of all continuations over their bytes in UTF-8, bits per byte",
        "share_all_first": "share of continuations of which every token is the model's first choice",
    }
    plots: ClassVar = {
        "continuations": Plot(
            lambda made, width, size, _: continuation_marks(made.table, width=width, font_size=size),
            lambda made, _: _caption(made),
            7.0,
        )
    }

    def metrics(self, made: ScoredTable) -> dict[str, float]:
        table = made.table
        known = table[table["logprob"].notna()]
        return {
            "mean_logprob_per_continuation": float(known["logprob"].mean()),
            "mean_logprob_per_token": _share(float(known["logprob"].sum()), int(known["n_tokens"].sum())),
            "bits_per_byte_of_continuations": _share(float(known["surprisal_bits"].sum()), int(known["n_bytes"].sum())),
            "share_all_first": _share(float(known["all_first"].sum()), int(known["all_first"].notna().sum())),
            **_intervals(table),
            "n_prompts": float(table["prompt_number"].nunique()),
            "n_continuations": float(len(table)),
            "n_missing": float(len(table) - len(known)),
            "n_crossings": float(table["crossings"].sum()),
        }

    def frames(self, made: ScoredTable) -> dict[str, pd.DataFrame]:
        return {"statistics": summarise_prompts(made.table).to_frame()}

    def quantities(self, run: FoundRun, reader: Reader) -> Sequence[Quantity]:
        estimates = summarise_prompts(self.read(run, reader).table).estimates
        return [Quantity(name, replace(one, definition=self.definitions[name])) for name, one in estimates.items()]

    def compute_again(self, made: ScoredTable, text: Text, scores: TokenScores) -> pd.DataFrame:
        own = made.table.iloc[:, : list(made.table).index("model")]
        return conditional(own, text.passages, [len(prompt) for prompt in made.table["prompt"]], scores)


def _intervals(table: pd.DataFrame) -> dict[str, float]:
    summary = summarise_prompts(table)
    found = {f"{name}_low": one.low for name, one in summary.estimates.items()}
    found |= {f"{name}_high": one.high for name, one in summary.estimates.items()}
    return found | (summary.resampling.numbers if summary.resampling else {})


def _share(value: float, of: int) -> float:
    return value / of if of else float("nan")


def _caption(made: ScoredTable) -> str:
    table = made.table
    first = f" The first {MOST} of them are drawn." if len(table) > MOST else ""
    return (
        f"Log-prob of each continuation, given the prompt above it, by {made.model} on “{made.text}”: the sum over its tokens "
        f"in nats, n = {int(table['logprob'].notna().sum())} of {len(table)} continuations of "
        f"{table['prompt_number'].nunique()} prompts.{first}"
    )


KIND = PromptsKind()


@dataclass(frozen=True, eq=False)
class PromptsJob(ScoredJob[PromptsRun]):
    """Score continuations given their prompts by one model.

    Attributes:
        prompts: The prompts.
    """

    prompts: Prompts
    of = KIND

    @cached_property
    def fingerprint(self) -> str:
        parts: dict[str, object] = {"kind": self.kind, "version": PROMPTS_VERSION, "score": self.scored.fingerprint}
        return fingerprint_of(parts | {"prompts": self.prompts.sha256})

    @cached_property
    def params(self) -> Mapping[str, object]:
        prompts = self.prompts
        params: dict[str, object] = {"model": self.scored.model, **text_params(prompts.text)}
        return params | {
            "prompts_sha256": prompts.sha256, "prompts_version": PROMPTS_VERSION, "n_skipped": len(prompts.skipped)
        }  # fmt: skip

    def compute(self) -> ScoredTable:
        table = prompt_table(self.prompts, self.scored.scores)
        note_unscored(table, self.scored.text, "continuation")
        return self.made(table)

    def write(self, result: ScoredTable, files: Path) -> Content:
        frame = self.write_tables(result, files)["statistics"]
        summary = summarise_prompts(result.table)
        numbers = frame[["statistic", "value", "unit", "low", "high", "n"]]
        metrics = self.of.metrics(result)
        note = (
            f"{links_line({'Figure': 'continuations.png'})}**{escaped(self.scored.model)}** on the prompts of "
            f"**{escaped(self.scored.text)}**: {metrics['n_continuations']:.0f} continuations of {metrics['n_prompts']:.0f} "
            f"prompts, mean log-prob {metrics['mean_logprob_per_continuation']:.3f} nats per continuation and "
            f"{metrics['mean_logprob_per_token']:.3f} per token; {metrics['n_crossings']:.0f} begin inside a token of the "
            f"whole string, which is theirs; {metrics['n_missing']:.0f} have no number.\n\n{frame_table(numbers)}\n\n"
            f"{summary.intervals_from}. `tables/prompts.csv` has every row, with all columns of the prompts' own table."
        )
        return Content(dict(self.params), metrics, note, dataset=dataset_of(self.prompts.text))

    def run(self, outcome: Outcome[ScoredTable]) -> PromptsRun:
        run = PromptsRun(**self.about_scored(outcome))
        if outcome.result is not None:
            run.__dict__["table"] = outcome.result.table  # fills the cached property
        return run
