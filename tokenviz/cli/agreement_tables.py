"""What `tokenviz compare` prints: tables of statistics with their intervals, and of the largest differences."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tokenviz.comparing.comparison import Comparison, PooledComparison
    from tokenviz.comparing.estimate import Estimate
    from tokenviz.comparing.summaries import Summary

_CONTEXT = 28  # characters before a unit that a terminal has room for
_ONE_LINE = str.maketrans({"\n": "␊", "\t": "␉"})


def print_results(
    results: "Sequence[tuple[Comparison | PooledComparison, Summary | None]]", no_divergences: str, differences: int
) -> None:
    """Print comparisons with their divergences, one text after the other, and what comes from all together last.

    Args:
        results: Each with its divergences, where there are any.
        no_divergences: Why there are none.
        differences: How many of the largest differences to print.
    """
    from tokenviz.comparing.comparison import Comparison
    from tokenviz.comparing.estimate import printed
    from tokenviz.controls import visible
    from tokenviz.terminal import results_console

    console = results_console()
    for letter, name in zip("ab", results[0][0].full_names, strict=True):
        console.print(f"{letter}: {visible(name)}", markup=False)
    for one, found in results:
        if isinstance(one, Comparison):
            title = f"{visible(one.text_name)}: {one.n:,} of {len(one.units):,} {one.unit}s, scored by both"
        else:
            title = f"all {len(one.comparisons)} texts together: {one.n:,} {one.unit}s"
        _print_estimates(one.estimates(), title)
        fisher = f"; Fisher's is for independent {one.unit}s, which a text does not have" if one.resampling else ""
        if isinstance(one, Comparison):
            bits = (f"{letter} {printed(table.summary().bits_per_byte, 3)}" for letter, table in (("a", one.a), ("b", one.b)))
            console.print(f"bits per byte: {', '.join(bits)}", markup=False)
        console.print(one.intervals_from(one.unit) + fisher, markup=False)
        for reason, names in one.undetermined().items():
            console.print(f"{', '.join(names)}: {reason}", markup=False)
        if found:
            _print_estimates(found.estimates, "divergences between the predictions over the whole vocabulary")
        if differences and one.n and isinstance(one, Comparison):
            _print_differences(one, differences)
    if no_divergences:
        console.print(f"no divergences: {no_divergences}", markup=False)


def _print_estimates(estimates: "Mapping[str, Estimate]", title: str) -> None:
    from rich.table import Table
    from rich.text import Text as Line

    from tokenviz.comparing.estimate import rounded, rounded_interval
    from tokenviz.terminal import results_console

    table = Table(title=Line(title), title_justify="left")
    table.add_column("statistic")
    for heading in ("value", "95 % interval", "n"):
        table.add_column(heading, justify="right")
    table.add_column("unit")
    for name, estimate in estimates.items():
        label = f"{estimate.definition}, Fisher's interval" if name == "pearson_r_fisher" else estimate.definition
        table.add_row(label, rounded(estimate), rounded_interval(estimate), f"{estimate.n:,}", estimate.unit)
    console = results_console()
    console.print()
    console.print(table)


def _print_differences(one: "Comparison", most: int) -> None:
    from rich.table import Table
    from rich.text import Text as Line

    from tokenviz.controls import visible
    from tokenviz.terminal import results_console

    table = Table(title=Line(f"{visible(one.text_name)}: where a and b lie furthest apart"), title_justify="left")
    table.add_column("text before", justify="right")
    table.add_column(one.units.by)
    ranks = ("rank_a", "rank_b") if one.units.by == "token" else ()
    for heading in ("log-prob a", "log-prob b", "b − a", *(name.replace("_", " ") for name in ranks)):
        table.add_column(heading, justify="right")
    for row in one.largest_differences(most).to_dict("records"):
        before, unit = (visible(text).translate(_ONE_LINE) for text in (row["context"][-_CONTEXT:], row["text"]))
        numbers = (f"{row[name]:.3f}".replace("-", "−") for name in ("logprob_a", "logprob_b", "difference"))
        table.add_row(Line(before), Line(unit), *numbers, *(f"{row[name]:,}" for name in ranks))
    console = results_console()
    console.print()
    console.print(table)
