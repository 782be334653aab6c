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


def links_line(figures: Mapping[str, str]) -> str:
    """Write a description's first line, links to figures by their names: further down MLflow's pages take no click at first."""
    links = ", ".join(f"**[{name}](artifacts/figures/{file})**" for name, file in figures.items())
    return f"{links}  \n" if links else ""


def model_in_bold(label: str, description: str) -> str:
    """Return a model's name in bold letters, with what it is."""
    return f"**{escaped(label)}**{escaped(full_name(label, description).removeprefix(label))}"
