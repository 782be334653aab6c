"""Content that several kinds of runs write alike: descriptions in Markdown, tables, the text, and reports of several texts."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from textwrap import wrap

import pandas as pd

from tokenviz.base.display import cell
from tokenviz.base.progress import warn
from tokenviz.data.scores import TokenScores
from tokenviz.data.texts import Text
from tokenviz.figures.heatmap.measures import Chosen
from tokenviz.figures.report.page import ReportSizeError, save_texts_report
from tokenviz.figures.report.texts import Entry, most_telling, pair_entries, passage_entries, text_entries
from tokenviz.models.describing import full_name

# Markdown for runs' descriptions: escaped names, tables, and the line of links that MLflow's pages show first.


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
    """Return a link to a figure of another run of the experiment; only the words where no id is given."""
    return f"[{words}](runs/{run_id}/artifacts/figures/{figure})" if run_id else words


def pictures(figures: Mapping[str, str]) -> str:
    """Return figures by name as pictures for the end of a description: MLflow's pages show them under *Show more*."""
    return "".join(f"\n\n![{name}](artifacts/figures/{file})" for name, file in figures.items())


def model_in_bold(label: str, description: str) -> str:
    """Return a model's name in bold, with its description."""
    return f"**{escaped(label)}**{escaped(full_name(label, description).removeprefix(label))}"


# Files and parameters that the runs of several kinds share: the folder of tables, the text, and the text as a dataset.

_LONGEST_NAME = 200  # bytes; file systems allow 255, endings included
_OPENING, _LINE = 2000, 60  # characters of a text that are kept with a run, and those per line, which MLflow's pages do not cut


def tables_folder(folder: Path) -> Path:
    """Make the folder of a run's tables among its files."""
    tables = folder / "tables"
    tables.mkdir()
    return tables


def text_params(text: Text) -> dict[str, object]:
    """Return the parameters that describe a run's text."""
    params: dict[str, object] = {"text": text.name, "text_sha256": text.sha256, "n_passages": len(text.passages)}
    if text.spans:
        params["span_names"] = list(dict.fromkeys(span.name for own in text.spans for span in own))
    if text.chat_template_sha256:
        params["chat_template_sha256"] = text.chat_template_sha256
    return params


def dataset_of(text: Text) -> dict[str, str]:
    """Return the text as MLflow's pages show the data of a run: name and hash, size, beginning."""
    opening = next(passage for passage in text.passages if passage)[:_OPENING]
    profile: dict[str, object] = {"passages": len(text.passages), "characters": text.characters}
    profile |= {f"line {number}": line for number, line in enumerate(wrap(opening, _LINE), 1)}
    return {
        "name": text.name,
        "digest": text.sha256,
        "source_type": "text",
        "source": json.dumps({"text": text.name, "sha256": text.sha256}, ensure_ascii=False),
        "profile": json.dumps(profile, ensure_ascii=False),
    }


def is_file_name(name: str) -> bool:
    """Return whether a run may have a file of a name: MLflow reads some characters, and outer spaces as parts of an address."""
    return (
        name.isprintable()
        and name.strip() == name != ""
        and not set(name) & set("/\\#?%")
        and len(name.encode()) < _LONGEST_NAME
    )


# Reports of a grid's texts, items or minimal pairs, which a summary holds, and of a pair run's own pairs.

_MOST_ENTRIES = 200  # entries take about 10 s to draw; a table of 1,000 pairs would take a minute per run
_MOST_BYTES = 16_000_000  # MLflow's page holds a file several times in memory
_ALTERNATIVES = 3  # per token: half the size of a report with ten
_MOST_TABLES = 1000  # tables among which the most informative entries are chosen


def report_pairs(
    tables: Sequence[TokenScores],
    decisions: Sequence[pd.DataFrame],
    groups: Sequence[str],
    folder: Path,
    about: Mapping[str, object],
) -> str:
    """Write a report of minimal pairs into a folder.

    Args:
        tables: Each model's scores of the pairs' text.
        decisions: Each model's `pair_table`, in the same order.
        groups: The group of each pair.
        folder: The folder to write to.
        about: What made it, for the file's metadata.

    Returns:
        The file's name; empty where none was written, which a warning says.
    """
    name = f"the minimal pairs of “{tables[0].text_name}”"
    return _report(pair_entries(tables, decisions, groups), "pairs", name, folder, "shared", about)


def report_texts(tables: Sequence[TokenScores], folder: Path, limits: Chosen, about: Mapping[str, object]) -> str:
    """Write a report of the texts that all models read, if there are several, as `report_pairs` does."""
    if len(tables) > _MOST_TABLES:
        warn(f"no report of {len(tables)} pairs of a model and a text: it would be too large")
        return ""
    models = {table.spec.model for table in tables}
    read = Counter((table.text_name, table.text_sha256) for table in tables)
    by_all = [table for table in tables if read[table.text_name, table.text_sha256] == len(models)]
    entries = text_entries(by_all)
    if len(entries) < 2:
        return ""
    return _report(entries, "texts", f"{len(entries)} texts", folder, limits, about)


def report_items(tables: Sequence[TokenScores], names: Sequence[str], folder: Path, about: Mapping[str, object]) -> str:
    """Write a report of items, the passages of one text, as `report_pairs` does."""
    return _report(passage_entries(tables, names), "items", f"the items of “{tables[0].text_name}”", folder, "shared", about)


def _report(entries: Sequence[Entry], what: str, name: str, folder: Path, limits: Chosen, about: Mapping[str, object]) -> str:
    if not entries:
        return ""
    models = ", ".join(table.spec.model for table in entries[0].tables)
    kept = most_telling(entries, _MOST_ENTRIES)
    cut = f": {len(kept)} of {len(entries):,} {what}, {_WHICH[bool(kept[0].decided)]}" if len(kept) < len(entries) else ""
    try:
        path = save_texts_report(
            kept,
            folder / "report.html",
            title=f"{models} on {name}{cut}",
            limits=limits,
            about=about,
            alternatives=_ALTERNATIVES,
            most_bytes=_MOST_BYTES,
        )
    except ReportSizeError as error:
        warn(f"the run has no report: {error}")
        return ""
    return path.name


_WHICH = {True: "those of the least margin by a model", False: "those in which models differ most"}
