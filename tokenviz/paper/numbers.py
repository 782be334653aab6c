"""Numbers for a paper, so that none is typed by hand: macros (`numbers.tex`), and tables in the style of booktabs."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from types import MappingProxyType

from tokenviz.figures.typeset.latex import booktabs, latex_prelude, latex_text
from tokenviz.harness.kind import FamilyTable, Quantity, RunTable
from tokenviz.models.describing import full_name
from tokenviz.paper.naming import apart, macro_mark, macro_part
from tokenviz.paper.runs import PaperRun, Tables
from tokenviz.stats.estimate import PLAIN_UNITS, Estimate, rounded, rounded_interval

# `numbers.tex`: one LaTeX macro for each number, its interval's ends and its n, so that no number is typed by hand.

_ENDS = ("_low", "_high")
_COUNTS = {
    "n": "compared units",
    "n_units": "units of the text",
    "n_tokens": "tokens of the text",
    "n_scored": "tokens with a prediction",
    "n_bytes": "UTF-8 bytes of the tokens with a prediction",
    "n_unknown": "tokens that stand for something unknown to the tokenizer",
    "n_unread": "characters that no token stands for",
    "n_passages": "passages",
    "n_resampled_texts": "texts that were resampled for the intervals",
    "n_resampled_passages": "passages that were resampled for the intervals",
    "n_resampled_blocks": "blocks that were resampled for the intervals",
    "block_length": "units in a block that was resampled for the intervals",
}
_DEFINITIONS = {
    "mean_logprob": "mean log-prob, nats per token",
    "perplexity_per_token": "perplexity per token",
    "bits_per_byte": "bits per byte",
    "mean_entropy": "mean entropy of the predictions, nats",
    "effective_texts": "effective number of the texts, by their sizes",
    "effective_passages": "effective number of the passages, by their sizes",
    "share_rank_1": "share of tokens that were the first choice",
}
_OF_THE_MACHINE = ("scoring_seconds", "tokens_per_second")  # they do not describe a text or a model


@dataclass(frozen=True)
class Number:
    """One number of a run.

    Attributes:
        name: Name in the run, such as "pearson_r".
        definition: Definition, with the unit.
        value: The rounded value with a minus sign; "–" where it is not determined.
        low: Lower end of its 95 % interval; empty where there is none.
        high: Upper end of its 95 % interval; empty where there is none.
        n: Number of units that it is computed from; empty for a count.
        reason: Why it is not determined; empty where it is.
        family: The `FamilyTable` that has a row for it; empty for none.
        labels: The labels of that row.
    """

    name: str
    definition: str
    value: str
    low: str = ""
    high: str = ""
    n: str = ""
    reason: str = ""
    family: str = ""
    labels: tuple[str, ...] = ()

    @property
    def parts(self) -> dict[str, str]:
        """Return the values that get macros, by the suffix of the macro's name."""
        if self.reason:
            return {}
        found = {"": self.value, "Low": self.low, "High": self.high, "N": self.n}
        return {ending: value for ending, value in found.items() if value}


def numbers_of(paper_run: PaperRun, tables: Tables) -> list[Number]:
    """Return the numbers of a run, in its order; none for a summary, whose numbers are its tables.

    Raises:
        StoreError: The table of its numbers is missing, or differs from what was recorded.
    """
    if not paper_run.of_text:
        return []
    metrics = {name: value for name, value in sorted(paper_run.run.metrics.items()) if name not in _OF_THE_MACHINE}
    definitions = {**_COUNTS, **_DEFINITIONS, **paper_run.has.definitions}
    counts = [Number(name, definitions.get(name, name), f"{value:.0f}") for name, value in metrics.items() if _is_count(name)]
    rest = {name: value for name, value in metrics.items() if not _is_count(name) and "/" not in name}
    n = int(metrics.get("n", metrics.get("n_scored", metrics.get("n_units", 0))))
    quantities = tables.quantities(paper_run)
    known = {f"{one.name}{end}" for one in quantities for end in ("", *_ENDS)}
    rest = {name: value for name, value in rest.items() if name not in known}
    intervals = paper_run.run.params.get("intervals", "") if not quantities else ""
    return counts + [_with_interval(one) for one in quantities] + _plain(rest, n, definitions, intervals)


def macros_of(numbers: Mapping[PaperRun, Sequence[Number]], prefix: str) -> dict[tuple[PaperRun, str], str]:
    """Return each number's macro without suffix: text, models and number, such as tvCorrelationGptTwoMeanLogprob."""
    keys = [(paper_run, number.name) for paper_run, found in numbers.items() for number in found]
    names = {key: f"{macro_stem(key[0], prefix)}{macro_part(key[1])}" for key in keys}
    marks = {(paper_run, name): macro_mark(repr((*paper_run.key, name))) for paper_run, name in keys}
    return apart(names, marks)


def macro_stem(paper_run: PaperRun, prefix: str) -> str:
    """Return the beginning of a run's macros."""
    kind = "" if paper_run.has.plain else macro_part(paper_run.kind)
    return f"{prefix}{macro_part(paper_run.text)}{'Vs'.join(map(macro_part, paper_run.models))}{kind}"


def numbers_tex(
    numbers: Mapping[PaperRun, Sequence[Number]],
    prefix: str,
    about: Mapping[str, object],
    descriptions: Mapping[str, str] = MappingProxyType({}),
) -> str:
    """Return the file's content: definitions of macros, each number with a comment that defines it.

    Args:
        numbers: The numbers of each run.
        prefix: Prefix of the macros.
        about: What made the file.
        descriptions: Descriptions of the models, by label. Each model has a macro with its description, so that a paper can
            name what was scored.
    """
    macros = macros_of(numbers, prefix)
    labels = dict.fromkeys(label for paper_run in numbers for label in paper_run.models)
    lines = [
        *filter(None, [latex_prelude("".join((*labels, *descriptions.values()))).rstrip("\n")]),
        "% Numbers by tokenviz, for \\input in the preamble. " + json.dumps(about),
    ]
    stems = {label: f"{prefix}{macro_part(label)}Model" for label in labels}
    for label, macro in apart(stems, {label: macro_mark(label) for label in stems}).items():
        lines.append(f"\\newcommand{{\\{macro}}}{{{latex_text(descriptions.get(label, label))}}} % what {_quoted(label)} is")
    for paper_run, found in numbers.items():
        if not found:
            continue
        models = [_quoted(full_name(label, descriptions.get(label, ""))) for label in paper_run.models]
        lines += ["", f"% {' and '.join(models)} on {_quoted(paper_run.text)}"]
        for number in found:
            macro = f"\\{macros[paper_run, number.name]}"
            if number.reason:
                lines.append(f"% {macro} is not determined: {_quoted(number.reason)}")
            for ending, value in number.parts.items():
                comment = f" % {_quoted(number.definition)[1:-1]}" if ending != "N" else ""
                lines.append(f"\\newcommand{{{macro}{ending}}}{{{number_tex(value)}}}{comment}")
    return "\n".join(lines) + "\n"


def number_tex(value: str) -> str:
    """Return a printed number as LaTeX that works in text and formulas."""
    if value == "–":
        return r"\textendash{}"
    return rf"\ensuremath{{-{value[1:]}}}" if value.startswith("−") else value


def _is_count(name: str) -> bool:
    return name in ("n", "block_length") or name.startswith("n_")


def _plain(metrics: Mapping[str, float], n: int, definitions: Mapping[str, str], intervals: str) -> list[Number]:
    return [
        Number(name, _defined(name, definitions, intervals), rounded(Estimate(value, n)), n=str(n) if n else "")
        for name, value in metrics.items()
    ]


def _defined(name: str, definitions: Mapping[str, str], intervals: str) -> str:
    """Return the definition of a metric; for an interval's end also how the interval was computed."""
    for ending, what in zip(_ENDS, ("begins", "ends"), strict=True):
        if name.endswith(ending):
            number = name.removesuffix(ending)
            source = f"; {intervals}" if intervals else ""
            return f"where the 95 % interval of {definitions.get(number, number)} {what}{source}"
    return definitions.get(name, name)


def _with_interval(quantity: Quantity) -> Number:
    estimate = quantity.estimate
    of = "" if estimate.unit in PLAIN_UNITS else f", {estimate.unit}"
    definition, row = f"{estimate.definition}{of}", (quantity.family, quantity.labels)
    if not estimate.determined:
        return Number(quantity.name, definition, rounded(estimate), "", "", "", estimate.reason, *row)
    low, high = rounded_interval(estimate, "|").split("|") if not math.isnan(estimate.low) else ("", "")
    method = f"; {estimate.method}" if estimate.method else ""
    return Number(quantity.name, f"{definition}{method}", rounded(estimate), low, high, str(estimate.n), "", *row)


def _quoted(text: str) -> str:
    """Return a text as part of a comment of one line."""
    return json.dumps(text, ensure_ascii=False)


# The numbers of runs as LaTeX tables in the style of booktabs, for \input within a table environment.

Numbers = Mapping[PaperRun, Sequence[Number]]


def tables_of(paper_runs: Sequence[PaperRun]) -> dict[str, RunTable | FamilyTable]:
    """Return the tables that the kinds of some runs have, by name."""
    return {table.name: table for paper_run in paper_runs for table in paper_run.has.tables}


def tables_tex(numbers: Numbers, about: Mapping[str, object]) -> dict[str, str]:
    """Return the LaTeX tables that runs allow, by name: "scores" and "comparisons", and those of other kinds.

    Args:
        numbers: The numbers of each run.
        about: What made the files.
    """
    found: dict[str, str] = {}
    for name, table in tables_of(list(numbers)).items():
        own = {paper_run: values for paper_run, values in numbers.items() if table in paper_run.has.tables}
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
    for paper_run, values in numbers.items():
        by_name = {number.name: number for number in values}
        said = [f"{paper_run.run.params[name]}s" for name, _ in table.words]
        cells = chain.from_iterable(_cells(by_name.get(name), interval=name == table.interval) for name, _ in table.columns)
        rows.append([paper_run.text, *paper_run.models, *said, *cells])
    return booktabs("l" * words + "r" * (len(headings) - words), headings, rows, about)


def _by_family(table: FamilyTable, numbers: Numbers, about: Mapping[str, object]) -> str:
    rows = [
        [paper_run.text, *paper_run.models, *number.labels, number_tex(number.n or "–"), *_cells(number, interval=True)]
        for paper_run, values in numbers.items()
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
    return ["model"] if all(len(paper_run.models) == 1 for paper_run in numbers) else ["a", "b"]


def _cells(number: Number | None, *, interval: bool) -> list[str]:
    cells = [number_tex(number.value if number else "–")]
    if interval:
        ends = [number_tex(end) for end in (number.low, number.high)] if number and number.low else []
        cells.append(f"[{', '.join(ends)}]" if ends else number_tex("–"))
    return cells
