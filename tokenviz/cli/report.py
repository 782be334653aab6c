"""`tokenviz report`: models and a text in, an interactive page out, nothing tracked."""

from pathlib import Path
from typing import Annotated

import typer

from tokenviz.cli.inputs import Bos, Column, Context, Files, Limits, Literals, Stride, read_texts
from tokenviz.harness import completion


def report_command(
    model: Annotated[
        list[str],
        typer.Option(
            "--model",
            "-m",
            help="Model spec: NAME[@REVISION][,OPTION=VALUE]...; give it once a model.",
            autocompletion=completion.models,
        ),
    ],
    files: Files = None,
    text: Literals = None,
    column: Column = "text",
    bos: Bos = "auto",
    context: Context = None,
    stride: Stride = None,
    top_k: Annotated[int, typer.Option("--top-k", min=0, max=10, help="Likeliest tokens to show at every place.")] = 10,
    limits: Limits = None,
    to: Annotated[Path, typer.Option(help="The file to write.")] = Path("report.html"),
) -> None:
    """Explore models' readings of a text in one HTML file, without tracking.

    Each token coloured by a measure, with what every model predicted there; two models' scatter and the places where they
    differ most. The file needs no network and no other file.
    """
    texts = read_texts(files, text, column)
    if len(texts) > 1:
        raise typer.BadParameter(f"a report is of one text, and {len(texts)} were given: make a report of each")
    from tokenviz.figures.report import checked_path, report_limits, save_report
    from tokenviz.models.loading import load, resolve
    from tokenviz.models.spec import ModelSpec
    from tokenviz.progress import shown
    from tokenviz.scoring.scorer import score

    checked_path(to)
    if limits is not None:
        report_limits(limits)  # before the work, not after it
    with shown():
        resolved = [resolve(ModelSpec.parse(spec)) for spec in model]  # all are there before the first is scored
        tables = [score(load(one), texts[0], bos=bos, context=context, stride=stride, top_k=top_k) for one in resolved]
        typer.echo(save_report(tables, to, limits=limits))
