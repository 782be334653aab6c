"""The Markdown of runs' descriptions: names escaped, tables, and the line of links that MLflow's pages show first."""

from collections.abc import Mapping

import pandas as pd

from tokenviz.models.describing import full_name
from tokenviz.tables import cell


def escaped(name: str) -> str:
    """Write a model's or text's name in Markdown: characters that would be markup are only characters."""
    return "".join(f"\\{sign}" if sign in "\\`*_{}[]<>()#+!|~$" else sign for sign in name.replace("\n", " "))


def markdown_table(headings: list[str], rows: list[list[str]]) -> str:
    """Write rows of cells as a Markdown table."""
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def frame_table(frame: pd.DataFrame) -> str:
    """Write a data frame as a Markdown table."""
    rows = [[escaped(cell(value)) for value in row] for row in frame.itertuples(index=False)]
    return markdown_table([escaped(str(name)) for name in frame.columns], rows)


def links_line(figures: Mapping[str, str], files: Mapping[str, str] | None = None) -> str:
    """Write a description's first line: further down MLflow's pages take no click at first.

    Args:
        figures: Files among the run's figures by what their links are called.
        files: Other files of the run; they come first.
    """
    paths = {**(files or {}), **{name: f"figures/{file}" for name, file in figures.items()}}
    links = ", ".join(f"**[{name}](artifacts/{path})**" for name, path in paths.items())
    return f"{links}  \n" if links else ""


def run_link(words: str, run_id: str, figure: str) -> str:
    """Link words to a figure of another run of the experiment; without a run, as one that waits for a server, only words."""
    return f"[{words}](runs/{run_id}/artifacts/figures/{figure})" if run_id else words


def pictures(figures: Mapping[str, str]) -> str:
    """Write figures by their names as pictures, for the end of a description: MLflow's pages show them under *Show more*."""
    return "".join(f"\n\n![{name}](artifacts/figures/{file})" for name, file in figures.items())


def model_in_bold(label: str, description: str) -> str:
    """Return a model's name in bold letters, with what it is."""
    return f"**{escaped(label)}**{escaped(full_name(label, description).removeprefix(label))}"
