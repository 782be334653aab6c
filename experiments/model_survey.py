"""How alike are several models on many texts, and how well does each predict them?"""

from collections.abc import Mapping

import pandas as pd

from tokenviz import BosMode, Grid, GridResult, experiment, information
from tokenviz.comparing import closest, pool, summarise_divergences
from tokenviz.figures import model_matrix
from tokenviz.harness import DIVERGENCES, ComparisonRun, ExperimentError
from tokenviz.stats import LEVEL, Estimate, adjusted_level, many_intervals

READING = """
All texts are taken together: every token (every segment, where the tokenizers differ) counts alike. The 95 % intervals say
how far a number would move with other texts of the kind: whole texts are resampled, and each row says how many there were.
Few texts, or texts of very unequal size, give wide intervals; two give none, since they do not show how much texts differ.
One text alone is resampled in stretches, and its intervals speak of that text only.

**Pearson's r** says whether two models find the same places predictable, **Lin's concordance** whether their log-probs are
equal. **KL** is the mean Kullback-Leibler divergence over the whole vocabulary: what is lost, in nats per token, when the
tokens that a predicts are coded with the predictions of b. It exists only where both have one vocabulary. **Bits per byte** and
**bits per character** compare models with different tokenizers; the mean log-prob of a token does not.

**sign-flip p** is of the texts' mean differences, each text counted once. **closer** asks of every model to which of two others
it is
closer: the difference of two correlations over the same units, whose interval comes from the same resamples.
"""


@experiment
def model_survey(
    models: list[str] = ["smollm2-135m", "smollm2-135m,quantize=q8_0", "smollm2-135m,quantize=q4_0", "gemma3-270m"],
    texts: list[str] = ["correlation", "narrative", "passage_en", "code", "passage_vi"],
    bos: BosMode = "auto",
    top_k: int = 10,
    simultaneous: bool = False,
) -> GridResult:
    """Compare every pair of several models on several texts: matrices of r, concordance and KL, and bits per byte.

    Args:
        models: Model specs, at least two; may be repeated.
        texts: Sample names, files or folders; may be repeated.
        bos: BOS before the text: what the tokenizer does by itself, always, never, or a token by name.
        top_k: Alternatives to keep at every position, and of which the overlap is measured.
        simultaneous: Make the intervals of each number over all pairs (all models, all rows of "closer") hold at once in 95 of
            100 studies, by Bonferroni's bound; without it each one holds in 95 of 100 by itself.
    """
    if len(models) < 2:
        raise ExperimentError(f"a survey compares models with each other, and one was given, {models[0]!r}: give at least two")
    grid = Grid(models, texts, bos=bos, top_k=top_k)
    by_model, pairs = {}, {}
    for scored in grid.score():
        by_model.setdefault(scored.model, []).append(scored.scores)
    for compared in grid.compare(measures=[DIVERGENCES]):
        pairs.setdefault((compared.a.model, compared.b.model), []).append(compared)
    level = adjusted_level(len(pairs)) if simultaneous else LEVEL
    alike = {pair: pool([run.comparison for run in runs], level=level) for pair, runs in pairs.items()}
    r, concordance = ({pair: getattr(one, name) for pair, one in alike.items()} for name in ("pearson_r", "concordance"))
    kl = mean_kl(pairs, level)
    of_models = adjusted_level(len(by_model)) if simultaneous else LEVEL
    known = {name: information(tables, level=of_models) for name, tables in by_model.items()}
    closer = closest(by_model, simultaneous=simultaneous)
    tables = {
        "models": pd.DataFrame([
            {"model": name} | spread(one.estimates) | {"intervals": one.intervals_from} for name, one in known.items()
        ]),
        "pairs": pd.DataFrame([
            {"a": a, "b": b, "over": f"{one.comparisons[0].units.by}s", "n": one.n}
            | spread({"r": one.pearson_r, "concordance": one.concordance})
            | spread({"KL of b from a": kl.get((a, b)), "KL of a from b": kl.get((b, a))})
            | {"sign-flip p": one.sign_flips.p if one.sign_flips else None, "intervals": one.intervals_from}
            for (a, b), one in alike.items()
        ]),
    }  # fmt: skip
    if closer:
        tables["closer"] = pd.DataFrame([
            {"a": a, "b": b, "c": c, "over": f"{one.by}s", "n": one.summary.estimates["pearson_r_difference"].n}
            | {f"r({pair})": one.summary.estimates[f"pearson_r_{pair}"].value for pair in ("ab", "ac")}
            | spread({"r(ab) - r(ac)": one.summary.estimates["pearson_r_difference"]})
            | {"intervals": one.summary.intervals_from}
            for one in closer
            for a, b, c in [one.models]
        ])  # fmt: skip
    count = sum(int(table[name].notna().sum()) for table in tables.values() for name in table if name.endswith(" low"))
    several = "" if simultaneous else f"\n{many_intervals(count)} Run it with `--simultaneous` for such intervals.\n"
    figures = {
        "pearson_r": lambda: model_matrix(r, title="Pearson's r of the log-probs", limits=(0, 1)),
        "concordance": lambda: model_matrix(concordance, title="Lin's concordance of the log-probs", limits=(0, 1)),
    }
    if kl:
        figures["kl"] = lambda: model_matrix(
            kl, title="mean KL divergence of the column's model from the row's (nats per token)"
        )
    return grid.summarise(READING + several * (count > 1), figures=figures, tables=tables)


def mean_kl(pairs: Mapping[tuple[str, str], list[ComparisonRun]], level: float) -> dict[tuple[str, str], Estimate]:
    """The mean KL divergence of b from a by (a, b), both ways, where they have one vocabulary."""
    found = {}
    for (a, b), runs in pairs.items():
        measured = [run.divergences for run in runs if run.divergences]
        if measured:
            estimates = summarise_divergences(measured, level=level).estimates
            found |= {(a, b): estimates["mean_kl_ab"], (b, a): estimates["mean_kl_ba"]}
    return found


def spread(estimates: Mapping[str, Estimate | None]) -> dict[str, float]:
    """Each number with the ends of its interval, as columns of a table."""
    columns = {}
    for name, one in estimates.items():
        if one is not None:
            columns |= {name: one.value, f"{name} low": one.low, f"{name} high": one.high}
    return columns
