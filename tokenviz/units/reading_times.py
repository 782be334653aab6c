"""Reading times of a study's units: from a column of the items' own table, or from a separate table with subjects."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from tokenviz.base.errors import TextError, check_kind, listed
from tokenviz.base.progress import warn
from tokenviz.data.sources import Source
from tokenviz.units.items import Bad, Items, cell_of, check_columns, columns_of, read_table

TIME = "reading_time"
SUBJECT = "subject"
_REGION = "region"
_LEAVES_OUT = "; --skip-bad leaves such rows out"


@dataclass(frozen=True, eq=False)
class ReadingTimes:
    """Reading times, each with the unit that was read.

    Attributes:
        table: One row per reading: `passage` (from 0) and `unit_number` (from 1) as in `tidy_table`, `reading_time` in
            milliseconds, and `subject` where there are subjects.
        by: The kind of unit: "region" (or a word of the table), or the whole "item".
        sha256: SHA-256 of all readings.
        skipped: One line for each row that was left out, with the reason.
    """

    table: pd.DataFrame
    by: Literal["item", "region"]
    sha256: str
    skipped: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.table)

    def __repr__(self) -> str:
        readers = f" of {self.table[SUBJECT].nunique()} subjects" if SUBJECT in self.table else ""
        return f"ReadingTimes({len(self)} readings{readers}, by {self.by})"


def read_reading_times(
    items: Items,
    times: str | Path | None = None,
    *,
    column: str | None = None,
    subject: str | None = None,
    skip_bad: bool = False,
) -> ReadingTimes:
    """Read the reading times of a study.

    Args:
        items: The study, from `read_items`.
        times: A table with one reading per row: the columns of items and conditions as in the study, `region` where the study
            has regions (for words of the table it is the word's number, from 1), the reading time, and optionally the subject.
            By default the times are in the items' own table: of each word, where that has one word per row, else of whole
            items.
        column: The column of reading times, in milliseconds; by default "reading_time", or the only column whose name ends so.
        subject: The column of subjects; by default "subject" where there is one.
        skip_bad: Whether to leave bad rows out and list them; by default one bad row refuses the table.

    Returns:
        The readings.

    Raises:
        TextError: The file cannot be read; a column is missing; a reading time is missing, not a number, or not above 0; a row
            is of an item or region that the study does not have.

    Example:
        >>> from pathlib import Path
        >>> Path("read.csv").write_text("item,word,reading_time\\n1,The,310\\n1,cat,295\\n")
        43
        >>> tv.read_reading_times(tv.read_items("read.csv"))
        ReadingTimes(2 readings, by region)
    """
    check_kind(items, Items, TextError, "the items of a study: give what read_items returns, then the table of times")
    if times is None:
        name, table, own = items.text.name, items.table, True
    else:
        strings = [items.item, *([items.condition] if items.condition else []), _REGION, subject or SUBJECT]
        path, table = read_table(times, strings, skip_bad=skip_bad)
        name, own = str(path), False
    column = column or _time_column(table, name)
    needed = [column, *([subject] if subject else [])]
    if not own:
        needed += [items.item, *([items.condition] if items.condition else []), *([_REGION] if any(items.units) else [])]
    check_columns(table, needed, name)
    subject = subject or (SUBJECT if SUBJECT in table else None)
    by: Literal["item", "region"] = "region" if any(items.units) and (items.own_words or not own) else "item"
    places = _own_places(items, by) if own else _places(items, table, name, by)
    kept: list[tuple[int, int, str, float]] = []
    skipped: list[str] = []
    for row, place in places:
        found: Any = place if isinstance(place, Bad) else _time(table, row, column, name)
        reader: Any = cell_of(table, row, subject, Source(name, name), of_id=True) if subject else ""
        bad = [one.words for one in (found, reader) if isinstance(one, Bad)]
        if bad and not skip_bad:
            raise TextError(bad[0] + _LEAVES_OUT)
        if bad:
            skipped.append(bad[0])
        elif not isinstance(place, Bad):
            kept.append((*place, str(reader), found))
    if not kept:
        raise TextError(f"{name!r} has no reading time that can be used")
    if skipped:
        warn(f"{len(skipped)} of {len(skipped) + len(kept)} readings are left out: {'; '.join(skipped[:20])}")
    frame = pd.DataFrame(kept, columns=["passage", "unit_number", SUBJECT, TIME])
    digest = sha256(frame.to_csv(index=False).encode("utf-8", "surrogatepass")).hexdigest()
    return ReadingTimes(frame if subject else frame.drop(columns=SUBJECT), by, digest, tuple(skipped))


def join_times(table: pd.DataFrame, times: ReadingTimes) -> pd.DataFrame:
    """Join the numbers of a study's units with their readings: one row per reading, and one per unit without any.

    Args:
        table: A table from `tidy_table`, with the kind of unit of the readings.
        times: The readings.

    Returns:
        The columns of both; the reading time of a unit that was not read is NaN.
    """
    known = table.drop(columns=[name for name in (TIME, SUBJECT) if name in table])
    return known.merge(times.table, on=["passage", "unit_number"], how="left", validate="one_to_many")


def _time_column(table: pd.DataFrame, name: str) -> str:
    ending = [str(one) for one in table if str(one).endswith(TIME)]
    if TIME in ending or len(ending) == 1:
        return TIME if TIME in ending else ending[0]
    raise TextError(
        f"{name!r} has {'several columns' if ending else 'no column'} of reading times: name the one, in milliseconds, with "
        f"column (--column); it has {columns_of(table)}"
    )


def _own_places(items: Items, by: str) -> Iterator[tuple[int, tuple[int, int]]]:
    for passage, rows in enumerate(items.rows):
        if by == "item":
            yield rows[0], (passage, 1)
            continue
        for number, unit in enumerate(items.units[passage], start=1):
            yield unit.row, (passage, number)


def _places(items: Items, table: pd.DataFrame, name: str, by: str) -> Iterator[tuple[int, tuple[int, int] | Bad]]:
    """Yield the unit of each row of a table of readings."""
    passages = {label: number for number, label in enumerate(_labels(items))}
    units = [{unit.name: number for number, unit in enumerate(own, start=1) if unit.name} for own in items.units]
    columns = [items.item, *([items.condition] if items.condition else [])]
    for row in range(len(table)):
        where = f"row {row + 1} of {name!r}"
        cells: list[Any] = [cell_of(table, row, one, Source(name, name), of_id=True) for one in columns]
        if by == "region":
            cells.append(cell_of(table, row, _REGION, Source(name, name), of_id=True))
        bad = [cell for cell in cells if isinstance(cell, Bad)]
        label = tuple(cells[: len(columns)])
        if bad:
            yield row, bad[0]
        elif label not in passages:
            yield row, Bad(f"{where}: the study has no item {'/'.join(label)!r}")
        elif by == "item":
            yield row, (passages[label], 1)
        elif cells[-1] not in units[passages[label]]:
            known = listed([repr(one) for one in units[passages[label]]], 6)
            yield row, Bad(f"{where}: the item {'/'.join(label)!r} has no region {cells[-1]!r}: it has {known}")
        else:
            yield row, (passages[label], units[passages[label]][cells[-1]])


def _labels(items: Items) -> Iterator[tuple[str, ...]]:
    columns = [items.item, *([items.condition] if items.condition else [])]
    for rows in items.rows:
        yield tuple(str(items.table[name].iat[rows[0]]) for name in columns)


def _time(table: pd.DataFrame, row: int, column: str, name: str) -> float | Bad:
    value: Any = table[column].iat[row]
    where = f"row {row + 1} of {name!r} has "
    rule = ": a reading time is a number of milliseconds above 0"
    if value is None or value is pd.NA or value != value or (isinstance(value, str) and not value.strip()):
        return Bad(f"{where}nothing in column {column!r}{rule}")
    try:
        number = math.nan if isinstance(value, bool | np.bool_) else float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        return Bad(f"{where}{str(value)[:40]!r} in column {column!r}{rule}")
    if number <= 0:
        return Bad(f"{where}{number:g} in column {column!r}{rule}")
    return number
