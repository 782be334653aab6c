"""Writing tables as CSV and Parquet, and formatting their cells for readers, the same everywhere."""

import csv
import math
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from tokenviz.errors import DiskError

if TYPE_CHECKING:
    import pandas as pd


def write_csv(frame: "pd.DataFrame", target: Path | TextIO, *, header: bool = True) -> None:
    """Write a table as CSV: strings are quoted, so that they may contain a carriage return; missing values are empty.

    Args:
        frame: The table; its index is left out.
        target: A path or an open text file.
        header: Whether the first line names the columns; by default it does.

    Raises:
        DiskError: The file cannot be written.
    """
    try:
        frame.to_csv(target, index=False, header=header, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n")
    except OSError as error:
        if isinstance(error, BrokenPipeError | DiskError):  # standard output raises DiskError by itself
            raise
        raise DiskError(f"cannot write the table {target}: {error.strerror or error}") from error


def write_parquet(frame: "pd.DataFrame", path: Path) -> None:
    """Write a table to a Parquet file, which appears when it is complete.

    Args:
        frame: The table; its index is left out.
        path: The file.

    Raises:
        DiskError: The file cannot be written.
    """
    unfinished = path.with_name(path.name + ".part")
    try:
        frame.to_parquet(unfinished, index=False)
        unfinished.replace(path)
    except OSError as error:
        raise DiskError(f"cannot write {str(path)!r}: {error.strerror or error}") from error
    finally:
        unfinished.unlink(missing_ok=True)


def cell(value: object) -> str:
    """Return one value of a table for a reader: numbers to four digits, a dash for a missing value."""
    if isinstance(value, float):
        return "–" if math.isnan(value) else f"{value:.4g}".replace("-", "−")
    if value is None or str(value) == "<NA>":  # pandas' missing whole number
        return "–"
    return f"{value:,}" if isinstance(value, int) else str(value)
