"""`tokenviz pull`, `trace`, `redraw` and `cite`: from runs to a paper, and from a paper's files back to the runs."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tokenviz.cli.shared import AsJson, Limits, print_json
from tokenviz.harness import options
from tokenviz.harness.options import parts

if TYPE_CHECKING:
    from tokenviz.paper.checking import Checked
    from tokenviz.paper.pulling import Pulled

# Those of scores and comparisons, then of items, pairs, prompts, reading times and training.
_FIGURES = (
    "heatmap, segments, difference, scatter, along_text, gaps, calibration, "
    "regions, accuracy, continuations, gains, curves, steps"
)
_Measure = Annotated[
    str | None,
    typer.Option(help="What the colours of heatmaps show; log-prob unless told otherwise.", autocompletion=options.measures),
]
_Colours = Annotated[
    str | None, typer.Option(help="Colour map of heatmaps; by default the measure's own.", autocompletion=options.colours)
]
_Width = Annotated[
    str | None, typer.Option(help="Width of the figures: 3.3in, 8.4cm, or a venue's column such as acl, acl-text, neurips.")
]
_FontSize = Annotated[float, typer.Option(help="Font size of the figures, in points.")]


def pull_command(
    context: typer.Context,
    experiment: Annotated[str, typer.Argument(help="Whose runs.", show_default=False, autocompletion=options.experiments)],
    to: Annotated[Path, typer.Option(help="The paper's folder.", show_default=False)],
    where: Annotated[str | None, typer.Option(help='Which runs, such as "text=correlation and model~gpt2".')] = None,
    form: Annotated[
        str,
        typer.Option("--format", help="Formats of the figures: some of png, svg, pdf, html, tex, tex-document, with commas."),
    ] = "pdf",
    figure: Annotated[
        str | None,
        typer.Option(
            help=f"Which figures, with commas: {_FIGURES}, or one of the experiment's own; by default those of the runs' "
            "own pages, and along_text."
        ),
    ] = None,
    measure: _Measure = None,
    limits: Limits = None,
    colours: _Colours = None,
    width: _Width = None,
    font_size: _FontSize = 9.0,
    prefix: Annotated[str, typer.Option(help="How the macros begin: letters.")] = "tv",
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace files that were edited, or are not ours, as well.")
    ] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; say what is stale, edited or missing, with exit code 1.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Pull an experiment's figures, LaTeX tables and numbers into a paper's folder.

    There are figures/, tables/, numbers.tex with one macro for each number, captions.tex with one for each figure, and
    manifest.json. Figures have no title: their captions say what they show. Pulling again changes only what changed.
    --check compares the folder with its last pull.
    """
    from tokenviz.base.progress import shown

    if check:
        why = "--check takes from the manifest how the folder was pulled"
        options.refuse_unused(context, why, context.params.keys() - {"experiment", "to", "check", "as_json"})
        from tokenviz.paper.checking import check as checked

        with shown():
            found = checked(experiment, to)
        _print_checked(found, as_json=as_json)
        if not found.clean:
            raise typer.Exit(1)
        return
    from tokenviz.paper.manifest import Order
    from tokenviz.paper.pulling import pull

    order = Order(
        experiment=experiment, where=where, figures=parts(figure or ""), formats=parts(form), measure=measure,
        limits=limits, colours=colours, width=width, font_size=font_size, prefix=prefix,
    )  # fmt: skip
    with shown():
        pulled = pull(order, to, overwrite=overwrite)
    _print_pulled(pulled, to, as_json=as_json)


def trace_command(
    file: Annotated[Path, typer.Argument(help="A PNG, SVG, PDF, HTML or LaTeX file of tokenviz.", show_default=False)],
    as_json: AsJson = False,
) -> None:
    """Print where a file comes from: run, model, text, settings, commit, and the command that makes it again."""
    from tokenviz.figures.origin import provenance_lines, provenance_of

    about = provenance_of(file)
    if as_json:
        print_json(about)
        return
    from tokenviz.base.characters import visible

    lines = provenance_lines(about)
    width = max(len(heading) for heading, _ in lines)
    for heading, value in lines:
        typer.echo(f"{visible(heading):{width}}  {visible(value)}".replace("\n", "␊"))


def redraw_command(
    run: Annotated[str, typer.Argument(help="A run: its id, or how that begins.", show_default=False)],
    figure: Annotated[
        str | None,
        typer.Option(help=f"One of {_FIGURES}, or one of the experiment's own; by default the first one of the run's page."),
    ] = None,
    measure: _Measure = None,
    limits: Limits = None,
    colours: _Colours = None,
    width: _Width = None,
    font_size: _FontSize = 9.0,
    form: Annotated[
        str, typer.Option("--format", help="Some of png, svg, pdf, html, tex, tex-document, ansi, with commas.")
    ] = "pdf",
    title: Annotated[
        bool, typer.Option("--title/--no-title", help="Whether a line above says what is shown, as a paper's caption does.")
    ] = True,
    to: Annotated[Path, typer.Option(help="The folder to write to.")] = Path(),
) -> None:
    """Draw a figure of a run again, from its tables; no model is loaded. Prints the files' paths."""
    from tokenviz.base.progress import shown
    from tokenviz.figures.named import Look
    from tokenviz.paper.pulling import redraw

    look = Look(measure=measure, limits=limits, colours=colours, width=width, font_size=font_size, title=title)
    with shown():
        paths = redraw(run, figure=figure, formats=parts(form), look=look, folder=to)
    for path in paths:
        typer.echo(path)


def cite_command(
    runs: Annotated[
        list[str],
        typer.Argument(help="Runs: the first digits of their ids; a summary stands for its grid.", show_default=False),
    ],
    to: Annotated[
        Path | None,
        typer.Option(help="The paper's folder, to write references.bib to; by default it is printed.", show_default=False),
    ] = None,
) -> None:
    """Print BibTeX for what runs are based on: software with its versions, models with their weights, texts."""
    from tokenviz.base.progress import shown
    from tokenviz.paper.citing import bibliography, cite, write_citations
    from tokenviz.tracking.store import open_for_reading

    with shown():
        citations = cite(runs, open_for_reading())
    if to is None:
        typer.echo(bibliography(citations), nl=False)
        return
    typer.echo(write_citations(citations, to))


def _print_pulled(pulled: "Pulled", folder: Path, *, as_json: bool) -> None:
    if as_json:
        print_json(asdict(pulled))
        return
    for path in pulled.written:
        typer.echo(f"written  {folder / path}")
    for path in pulled.removed:
        typer.echo(f"removed  {folder / path}  (its run is not meant any more)")
    for path in pulled.kept:
        typer.echo(f"kept     {folder / path}  (it was edited, or is not ours; --overwrite replaces it)")
    counts = {name: len(getattr(pulled, name)) for name in ("written", "unchanged", "kept", "removed")}
    typer.echo(", ".join(f"{count} {name}" for name, count in counts.items()))


def _print_checked(found: "Checked", *, as_json: bool) -> None:
    if as_json:
        print_json(asdict(found))
        return
    for problem in found.problems:
        typer.echo(f"{problem.state:7}  {problem.path}  ({problem.why})")
    if found.not_asked:
        typer.echo(f"unknown  whether files are stale: {found.not_asked}")
    if found.clean:
        typer.echo(f"{found.n_files} files are what the runs say")
