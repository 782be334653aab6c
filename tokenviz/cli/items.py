"""`tokenviz items`: turns a table of items into a tidy table with a model's numbers, without tracking."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from tokenviz.cli.inputs import AsJson, Bos, Context, Stride
from tokenviz.cli.outputs import print_csv, print_json
from tokenviz.harness import completion

if TYPE_CHECKING:
    import pandas as pd


def items_command(
    file: Annotated[
        str, typer.Argument(help="A .csv, .tsv, .jsonl or .parquet table, or a sample's name.", show_default=False)
    ],
    models: Annotated[
        list[str], typer.Option("--model", "-m", help="Model spec; may be repeated.", autocompletion=completion.models)
    ],
    text: Annotated[str | None, typer.Option(help="The column that holds the text.")] = None,
    regions: Annotated[
        list[str] | None, typer.Option("--region", "-r", help="A column that holds a region; repeated, in their order.")
    ] = None,
    words: Annotated[str | None, typer.Option(help="The column that holds one word per row.")] = None,
    item: Annotated[str, typer.Option(help="The column that names the items.")] = "item",
    condition: Annotated[
        str | None, typer.Option(help="The column of conditions; by default condition, where there is one.", show_default=False)
    ] = None,
    join: Annotated[str, typer.Option(help="What stands between regions or words.")] = " ",
    by: Annotated[
        Literal["item", "region", "word", "token"] | None,
        typer.Option(
            help="What the rows are; by default regions or own words where there are such, else items.", show_default=False
        ),
    ] = None,
    previous: Annotated[int, typer.Option(min=0, max=3, help="For how many units before each the numbers are repeated.")] = 1,
    frequency: Annotated[
        str | None, typer.Option(help="A language of the package wordfreq, such as en, for word frequencies.")
    ] = None,
    bos: Bos = "auto",
    context: Context = None,
    stride: Stride = None,
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Leave bad rows out and list them.")] = False,
    as_json: AsJson = False,
    parquet: Annotated[Path | None, typer.Option(help="Write the table to this Parquet file instead of printing CSV.")] = None,
) -> None:
    """Score the items of a study, without tracking: every column of their table, and the models' numbers, one row per unit.

    Prints CSV for R and pandas. docs/studies.md goes from stimuli to a mixed model; 'tokenviz run items' keeps runs.
    """
    if as_json and parquet is not None:
        raise typer.BadParameter("choose one of --json and --parquet")
    import pandas as pd

    from tokenviz.models.loading import load_model
    from tokenviz.progress import shown
    from tokenviz.scoring.scorer import score
    from tokenviz.tables import write_parquet
    from tokenviz.units.items import read_items
    from tokenviz.units.tidy import check_request, tidy_table

    with shown():
        study = read_items(
            file, text=text, regions=regions or [], words=words, item=item, condition=condition, join=join, skip_bad=skip_bad
        )
        rows = by or ("region" if any(study.units) else "item")
        check_request(study, by=rows, previous=previous)
        frames = []
        for model in models:
            scores = score(load_model(model), study.text, bos=bos, context=context, stride=stride)
            frames.append(tidy_table(study, scores, by=rows, previous=previous, frequency=frequency))
    table = pd.concat(frames, ignore_index=True)
    if parquet is not None:
        write_parquet(table, parquet)
    elif as_json:
        print_json({"items": study.text.name, "by": rows, "rows": plain_rows(table), "skipped": list(study.skipped)})
    else:
        print_csv([table])


def plain_rows(table: "pd.DataFrame") -> list[dict[str, object]]:
    """Return the rows of a table as plain values, None where one is missing."""
    import json

    rows: list[dict[str, object]] = json.loads(table.to_json(orient="records", double_precision=15, force_ascii=False))
    return rows
