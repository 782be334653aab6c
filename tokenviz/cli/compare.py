"""`tokenviz compare`: two models and texts in, how alike their predictions are out, nothing tracked."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tokenviz.cli.inputs import AsJson, Bos, Column, Context, Files, Literals, Stride, read_texts
from tokenviz.cli.outputs import print_csv, print_json

if TYPE_CHECKING:
    import pandas as pd

    from tokenviz.comparing.agreement import Agreement
    from tokenviz.comparing.comparison import Comparison, PooledComparison
    from tokenviz.models.loading import ResolvedModel
    from tokenviz.scores import BosMode, TokenScores
    from tokenviz.texts import Text

_CONTEXT = 28  # characters before a unit that a terminal has room for
_ONE_LINE = str.maketrans({"\n": "␊", "\t": "␉"})


def compare_command(
    model: Annotated[
        list[str], typer.Option("--model", "-m", help="Model spec: NAME[@REVISION][,OPTION=VALUE]...; give it twice, a and b.")
    ],
    files: Files = None,
    text: Literals = None,
    column: Column = "text",
    bos: Bos = "auto",
    context: Context = None,
    stride: Stride = None,
    resamples: Annotated[
        int | None,
        typer.Option(
            help="How many resamples the intervals rest on, 0 for no intervals; by default 2000, fewer of long texts."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the random numbers that draw the resamples.")] = 0,
    differences: Annotated[int, typer.Option(min=0, help="How many of the largest differences to print.")] = 10,
    as_json: AsJson = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print the aligned log-probs, one CSV row a unit.")] = False,
) -> None:
    """Compare two models' log-probs of texts, without tracking.

    Over tokens where the tokenizers are the same, else over segments: the finest cut that both make. Every statistic has its
    95 % interval. Several texts are compared one by one and all together. Log-probs are natural logarithms (nats).
    """
    if len(model) != 2:
        raise typer.BadParameter(
            f"--model takes two models, a and b, and {len(model)} {'was' if len(model) == 1 else 'were'} given"
        )
    if as_json and as_csv:
        raise typer.BadParameter("choose one of --json and --csv")
    texts = read_texts(files, text, column)
    from tokenviz.comparing.comparison import compare, pool
    from tokenviz.comparing.resampling import check_resampling
    from tokenviz.models.loading import resolve
    from tokenviz.models.spec import ModelSpec
    from tokenviz.progress import shown

    check_resampling(resamples, seed)
    with shown():
        resolved = [resolve(ModelSpec.parse(spec)) for spec in model]  # both are there before the first is scored
        a, b = (_scores(one, texts, bos=bos, context=context, stride=stride) for one in resolved)
        count = 0 if as_csv else resamples
        compared = [compare(*pair, resamples=count, seed=seed) for pair in zip(a, b, strict=True)]
        together = pool(compared, resamples=count, seed=seed) if len(compared) > 1 else None
    if as_json:
        print_json(_document(compared, together, differences))
    elif as_csv:
        print_csv(map(_named_frame, compared))
    else:
        _print_tables(compared, together, differences)


def _scores(
    resolved: "ResolvedModel", texts: "list[Text]", *, bos: "BosMode", context: int | None, stride: int | None
) -> "list[TokenScores]":
    """By one model, which is not kept in memory. One alternative is the first choice."""
    from tokenviz.models.loading import load
    from tokenviz.scoring.scorer import score

    loaded = load(resolved)
    return [score(loaded, one, bos=bos, context=context, stride=stride, top_k=1) for one in texts]


def _document(compared: "list[Comparison]", together: "PooledComparison | None", differences: int) -> dict[str, Any]:
    return {
        "model_a": asdict(compared[0].a.spec),
        "model_b": asdict(compared[0].b.spec),
        "comparisons": [one.to_json(differences=differences) for one in compared],
        "together": together.to_json() if together else None,
    }


def _named_frame(one: "Comparison") -> "pd.DataFrame":
    frame = one.to_frame()
    frame.insert(0, "text_name", one.text_name)
    return frame


def _print_tables(compared: "list[Comparison]", together: "PooledComparison | None", differences: int) -> None:
    from tokenviz.controls import visible
    from tokenviz.terminal import results_console

    console = results_console()
    first = compared[0]
    for letter, scores in (("a", first.a), ("b", first.b)):
        console.print(f"{letter}: {visible(scores.spec.model)}", markup=False)
    for one in compared:
        of = f"{one.n:,} of {len(one.units):,} {one.units.by}s, scored by both"
        _print_agreement(one, f"{visible(one.text_name)}: {of}", one.units.by)
        if differences and one.n:
            _print_differences(one, differences)
    if together:
        title = f"all {len(compared)} texts together: {together.n:,} {first.units.by}s"
        _print_agreement(together, title, first.units.by)


def _print_agreement(found: "Agreement", title: str, unit: str) -> None:
    from rich.table import Table
    from rich.text import Text as Line

    from tokenviz.comparing.estimate import rounded, rounded_interval
    from tokenviz.terminal import results_console

    table = Table(title=Line(title), title_justify="left")
    table.add_column("statistic")
    for heading in ("value", "95 % interval", "n"):
        table.add_column(heading, justify="right")
    table.add_column("unit")
    for name, estimate in found.estimates().items():
        label = f"{estimate.definition}, Fisher's interval" if name == "pearson_r_fisher" else estimate.definition
        table.add_row(label, rounded(estimate), rounded_interval(estimate), f"{estimate.n:,}", estimate.unit)
    console = results_console()
    console.print()
    console.print(table)
    fisher = f"; Fisher's is for independent {unit}s, which a text does not have" if found.resampling else ""
    console.print(found.intervals_from(unit) + fisher, markup=False)
    for reason, names in found.undetermined().items():
        console.print(f"{', '.join(names)}: {reason}", markup=False)


def _print_differences(one: "Comparison", most: int) -> None:
    from rich.table import Table
    from rich.text import Text as Line

    from tokenviz.controls import visible
    from tokenviz.terminal import results_console

    table = Table(title=Line(f"{visible(one.text_name)}: where a and b lie furthest apart"), title_justify="left")
    table.add_column("text before", justify="right")
    table.add_column(one.units.by)
    ranks = ("rank_a", "rank_b") if one.units.by == "token" else ()
    for heading in ("log-prob a", "log-prob b", "b − a", *(name.replace("_", " ") for name in ranks)):
        table.add_column(heading, justify="right")
    for row in one.largest_differences(most).to_dict("records"):
        before, unit = (visible(text).translate(_ONE_LINE) for text in (row["context"][-_CONTEXT:], row["text"]))
        numbers = (f"{row[name]:.3f}".replace("-", "−") for name in ("logprob_a", "logprob_b", "difference"))
        table.add_row(Line(before), Line(unit), *numbers, *(f"{row[name]:,}" for name in ranks))
    console = results_console()
    console.print()
    console.print(table)
