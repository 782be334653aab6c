"""The numbers of runs as LaTeX tables in the style of booktabs, for \\input within a table environment."""

from collections.abc import Mapping, Sequence
from itertools import chain

from tokenviz.figures.booktabs import booktabs
from tokenviz.figures.latex import latex_text
from tokenviz.harness.kind import FamilyTable, RunTable
from tokenviz.paper.numbers import Number, number_tex
from tokenviz.paper.subjects import Subject

Numbers = Mapping[Subject, Sequence[Number]]


def tables_of(subjects: Sequence[Subject]) -> dict[str, RunTable | FamilyTable]:
    """Return the tables that the kinds of some runs have, by name."""
    return {table.name: table for subject in subjects for table in subject.has.tables}


def tables_tex(numbers: Numbers, about: Mapping[str, object]) -> dict[str, str]:
    """Return the LaTeX tables that runs allow, by name: "scores" and "comparisons", and those of other kinds.

    Args:
        numbers: The numbers of each run.
        about: What made the files.
    """
    found: dict[str, str] = {}
    for name, table in tables_of(list(numbers)).items():
        own = {subject: values for subject, values in numbers.items() if table in subject.has.tables}
        made = _by_run(table, own, about) if isinstance(table, RunTable) else _by_family(table, own, about)
        found |= {name: made} if made else {}
    return found


def _by_run(table: RunTable, numbers: Numbers, about: Mapping[str, object]) -> str:
    models = _model_headings(numbers)
    headings = ["text", *models, *(heading for _, heading in table.words)]
    words = len(headings)
    for name, heading in table.columns:
        headings += [heading, r"95\,\%"] if name == table.interval else [heading]
    rows = []
    for subject, values in numbers.items():
        by_name = {number.name: number for number in values}
        said = [f"{subject.run.params[name]}s" for name, _ in table.words]
        cells = chain.from_iterable(_cells(by_name.get(name), interval=name == table.interval) for name, _ in table.columns)
        rows.append([subject.text, *subject.models, *said, *cells])
    return booktabs("l" * words + "r" * (len(headings) - words), headings, rows, about)


def _by_family(table: FamilyTable, numbers: Numbers, about: Mapping[str, object]) -> str:
    rows = [
        [subject.text, *subject.models, *number.labels, number_tex(number.n or "–"), *_cells(number, interval=True)]
        for subject, values in numbers.items()
        for number in values
        if number.family == table.name
    ]
    # Labels that are empty in all rows, such as the region of whole items, have no column.
    models = len(_model_headings(numbers))
    kept = [place for place in range(len(table.words)) if any(row[1 + models + place] for row in rows)]
    dropped = {1 + models + place for place in range(len(table.words)) if place not in kept}
    rows = [[cell for place, cell in enumerate(row) if place not in dropped] for row in rows]
    headings = ["text", *_model_headings(numbers), *(latex_text(table.words[place]) for place in kept)]
    columns = "l" * len(headings) + "rrr"
    return booktabs(columns, [*headings, "$n$", table.value, r"95\,\%"], rows, about) if rows else ""


def _model_headings(numbers: Numbers) -> list[str]:
    return ["model"] if all(len(subject.models) == 1 for subject in numbers) else ["a", "b"]


def _cells(number: Number | None, *, interval: bool) -> list[str]:
    cells = [number_tex(number.value if number else "–")]
    if interval:
        ends = [number_tex(end) for end in (number.low, number.high)] if number and number.low else []
        cells.append(f"[{', '.join(ends)}]" if ends else number_tex("–"))
    return cells
