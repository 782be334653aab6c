"""Reports of a grid's texts, items or minimal pairs, which a summary holds, and of a pair run's own pairs."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from tokenviz.figures.limits import Chosen
from tokenviz.figures.report import ReportSizeError, save_texts_report
from tokenviz.figures.report_texts import Entry, most_telling, pair_entries, passage_entries, text_entries
from tokenviz.progress import warn
from tokenviz.scores import TokenScores

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
