"""Markdown for runs' descriptions: escaped names, tables, and the line of links that MLflow's pages show first."""

from collections.abc import Mapping

import pandas as pd

from tokenviz.models.describing import full_name
from tokenviz.tables import cell


def escaped(name: str) -> str:
    """Return a model's or text's name in Markdown, with characters escaped that would be markup."""
    return "".join(f"\\{sign}" if sign in "\\`*_{}[]<>()#+!|~$" else sign for sign in name.replace("\n", " "))


def markdown_table(headings: list[str], rows: list[list[str]]) -> str:
    """Return rows of cells as a Markdown table."""
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def frame_table(frame: pd.DataFrame) -> str:
    """Return a data frame as a Markdown table."""
    rows = [[escaped(cell(value)) for value in row] for row in frame.itertuples(index=False)]
    return markdown_table([escaped(str(name)) for name in frame.columns], rows)


def links_line(figures: Mapping[str, str], files: Mapping[str, str] | None = None) -> str:
    """Return a description's first line with links: on MLflow's pages, links further down cannot be clicked at first.

    Args:
        figures: Files among the run's figures, by the links' names.
        files: Other files of the run, whose links come first; by default none.
    """
    paths = {**(files or {}), **{name: f"figures/{file}" for name, file in figures.items()}}
    links = ", ".join(f"**[{name}](artifacts/{path})**" for name, path in paths.items())
    return f"{links}  \n" if links else ""


def run_link(words: str, run_id: str, figure: str) -> str:
    """Return a link to a figure of another run of the experiment; only the words where the run has no id yet."""
    return f"[{words}](runs/{run_id}/artifacts/figures/{figure})" if run_id else words


def pictures(figures: Mapping[str, str]) -> str:
    """Return figures by name as pictures for the end of a description: MLflow's pages show them under *Show more*."""
    return "".join(f"\n\n![{name}](artifacts/figures/{file})" for name, file in figures.items())


def model_in_bold(label: str, description: str) -> str:
    """Return a model's name in bold, with its description."""
    return f"**{escaped(label)}**{escaped(full_name(label, description).removeprefix(label))}"
