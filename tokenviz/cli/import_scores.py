"""`tokenviz import-scores`: turns another engine's log-probs into a token table, tracked on request."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tokenviz.cli.shared import AsJson, Bos, Column, check_output
from tokenviz.harness import options

if TYPE_CHECKING:
    from tokenviz.dumps.importing import Imported


def import_command(
    given: typer.Context,
    file: Annotated[
        str,
        typer.Argument(
            help="A .jsonl or .json file of an engine's answers (also .gz, .zst and addresses), a .parquet token table, or a "
            "sample's name.",
            show_default=False,
        ),
    ],
    model: Annotated[
        str,
        typer.Option(
            "--model",
            "-m",
            help="Model spec whose tokenizer the engine used; no weights are read.",
            autocompletion=options.models,
        ),
    ],
    engine: Annotated[
        str | None,
        typer.Option(help="The engine's name and version, such as 'vLLM 0.11.0'; by default what the file says."),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(help="What the model is called in tables and figures; by default its spec and the engine's name."),
    ] = None,
    text: Annotated[
        str | None,
        typer.Option(
            help="A sample's name or a file with the passages that the rows are of, in order; by default the rows say it.",
            autocompletion=options.texts,
        ),
    ] = None,
    column: Column = "text",
    bos: Bos = "auto",
    generated: Annotated[
        bool, typer.Option("--generated", help="Take tokens that were generated after a prompt with log-probs as well.")
    ] = False,
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Leave bad rows out and list them.")] = False,
    track: Annotated[
        str | None,
        typer.Option(metavar="EXPERIMENT", help="Keep the scores as a run of this experiment; else nothing is tracked."),
    ] = None,
    as_json: AsJson = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print one CSV row per token.")] = False,
    parquet: Annotated[Path | None, typer.Option(help="Write the token table to this file.")] = None,
) -> None:
    """Import log-probs that vLLM, SGLang, llama.cpp, an OpenAI-compatible server or your own program computed.

    Each row is checked against the model's tokenizer: ids that do not give back the text, rows shifted by one, a missing start
    token and values that are no log-probs are refused. What the engine does not say is missing. docs/studies.md has the forms.

    A token table of tokenviz score --parquet --slim gets back what was left out, from the text and the tokenizer.
    """
    check_output(json=as_json, csv=as_csv, parquet=parquet is not None)
    from tokenviz.base.disk import check_new
    from tokenviz.base.progress import shown
    from tokenviz.cli.score import document, print_text
    from tokenviz.cli.shared import named_frames, print_csv, print_json
    from tokenviz.data.parquet import save_parts
    from tokenviz.data.sources import source_at
    from tokenviz.data.texts import read_text
    from tokenviz.dumps.importing import import_scores, is_table, table_parts
    from tokenviz.models.spec import ModelSpec

    if is_table(file):
        why = "a token table says how it was made"
        options.refuse_unused(given, why, ["engine", "name", "bos", "generated", "skip_bad"])
    options.refuse_unused(given, "there is no --text, and --column is of its table", ["column"] if text is None else [])
    if parquet is not None:
        check_new(parquet)
    with shown():
        passages = read_text(text, column=column) if text is not None else None
        if parquet is not None and track is None and passages is not None and is_table(file):  # it may be beyond memory
            save_parts(
                table_parts(source_at(file), ModelSpec.parse(model), passages), parquet, passage_ids=passages.passage_ids
            )
            return
        imported = import_scores(
            file, model, engine=engine, name=name, text=passages, bos=bos, generated=generated, skip_bad=skip_bad
        )  # fmt: skip
        if track is not None:
            _track(track, file, imported)
        if parquet is not None:
            imported.scores.save(parquet)
    if as_json:
        print_json({**document([imported.scores], None, [imported.text]), "skipped": list(imported.skipped)})
    elif as_csv:
        print_csv(named_frames([imported.scores], [imported.text], "text"))
    elif parquet is None:
        print_text([imported.scores], "logprob", "shared")


def _track(experiment: str, file: str, imported: "Imported") -> None:
    from tokenviz.base.progress import note
    from tokenviz.harness.grid import Grid
    from tokenviz.harness.session import ExperimentContext, running

    what = f"Log-probs from elsewhere: {imported.scores.spec.source}"
    with running(ExperimentContext(experiment, what, {"file": file, "skipped": len(imported.skipped)})):
        grid = Grid([], [], imported=[imported])
        (run,) = grid.score()
    note(f"{'found again as' if run.reused else 'kept as'} run {run.run_id} of the experiment {experiment!r}")
