"""`tokenviz compare`: two or three models and texts in, how alike their predictions are out, nothing tracked."""

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from tokenviz.cli.shared import (
    AsJson,
    Bos,
    Chat,
    Column,
    Context,
    Files,
    Literals,
    SkipBad,
    Spans,
    Stride,
    WordPunctuation,
    check_output,
    check_repeats,
    check_texts,
    named_frames,
    print_csv,
    print_json,
    read_chats,
    read_texts,
)
from tokenviz.harness import options

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tokenviz.base import display
    from tokenviz.comparing.alignment import Alignment
    from tokenviz.comparing.comparison import Comparison, PooledComparison
    from tokenviz.comparing.readings import ThreeModels, Windows
    from tokenviz.stats.estimate import Estimate
    from tokenviz.stats.summaries import Summary


def compare_command(
    given: typer.Context,
    model: Annotated[
        list[str],
        typer.Option(
            "--model",
            "-m",
            help="Model spec: NAME[@REVISION][,OPTION=VALUE]...; give it twice, a and b; or three times.",
            autocompletion=options.models,
        ),
    ],
    files: Files = None,
    text: Literals = None,
    column: Column = "text",
    spans: Spans = None,
    chat: Chat = False,
    skip_bad: SkipBad = False,
    bos: Bos = "auto",
    context: Context = None,
    stride: Stride = None,
    by: Annotated[
        Literal["token", "segment", "word", "span"] | None,
        typer.Option(
            help="What to compare over; by default tokens where the tokenizers are the same, else segments, the finest cut "
            "that both make; spans are the texts' own, see --spans and --chat.",
            show_default=False,
        ),
    ] = None,
    punctuation: WordPunctuation = "attached",
    divergences: Annotated[
        Literal["memory", "disk", "none"],
        typer.Option(
            help="How to measure divergences between whole predictions, where both models have one vocabulary: with both in "
            "memory; one after the other, with the first one's predictions on disk (4 bytes for each token and word of the "
            "vocabulary); or not."
        ),
    ] = "memory",
    resamples: Annotated[
        int | None,
        typer.Option(
            help="How many resamples the intervals rest on, 0 for no intervals; by default 2000, fewer of long texts."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the random numbers that draw the resamples.")] = 0,
    differences: Annotated[int, typer.Option(min=0, help="How many of the largest differences to print.")] = 10,
    simultaneous: Annotated[
        bool,
        typer.Option(
            "--simultaneous",
            help="With three models: intervals of which those of one number hold at once in 95 of 100 studies (Bonferroni).",
        ),
    ] = False,
    as_json: AsJson = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print the aligned log-probs, one CSV row per unit.")] = False,
) -> None:
    """Compare two models' predictions of texts, without tracking.

    Every statistic has its 95 % interval. Several texts are compared one by one and all together. Log-probs are natural
    logarithms (nats). With three models every pair is compared, over all texts together, and the output says which of two
    models is closer to the third.
    """
    if len(model) not in (2, 3):
        raise typer.BadParameter(
            f"--model takes two models, a and b, or three, and {len(model)} {'was' if len(model) == 1 else 'were'} given"
        )
    if as_csv and len(model) != 2:
        raise typer.BadParameter("--csv takes two models: its rows are the aligned log-probs of a and b")
    if simultaneous and len(model) != 3:
        raise typer.BadParameter("--simultaneous takes three models: of two, every number is asked for once")
    check_output(json=as_json, csv=as_csv)
    if punctuation == "apart" and by != "word":
        raise typer.BadParameter("--punctuation apart needs --by word: tokens and segments are cut without regard to it")
    if by == "span" and spans is None and not chat:
        raise typer.BadParameter("--by span needs --spans COLUMN, the column of a table that holds the texts' spans, or --chat")
    if as_csv:
        unused = ["divergences", "resamples", "seed", "differences"]
        options.refuse_unused(given, "--csv prints the aligned log-probs alone", unused)
    if len(model) == 3:
        options.refuse_unused(given, "of three models the numbers of every pair are printed", ["divergences", "differences"])
    check_texts(given, files, text, spans, chat=chat, skip_bad=skip_bad)
    texts = [] if chat else read_texts(files, text, column, spans, skip_bad=skip_bad)
    from tokenviz.base.progress import shown
    from tokenviz.comparing.readings import compare_three, compare_two

    if chat:
        texts = read_chats(files, model, skip_bad=skip_bad)
    check_repeats("text", [one.name for one in texts], [one.sha256 for one in texts])
    windows: Windows = {"bos": bos, "context": context, "stride": stride}
    how: Alignment = {"by": by, "punctuation": punctuation}
    if len(model) == 3:
        with shown():
            three = compare_three(model, texts, windows, how, resamples=resamples, seed=seed, simultaneous=simultaneous)
        if as_json:
            print_json(three.to_json())
        else:
            print_three(three, simultaneous=simultaneous)
        return
    if as_csv:
        resamples, divergences = 0, "none"
    with shown():
        a, b = model
        two = compare_two((a, b), texts, windows, how, predictions=divergences, resamples=resamples, seed=seed)
    if as_csv:
        print_csv(named_frames(two.comparisons, texts, "text_name"))
    elif as_json:
        print_json(two.to_json(differences=differences))
    else:
        print_results(two.results, two.no_divergences, differences)


# The output of `tokenviz compare`: tables of statistics with their intervals, and of the largest differences.

_CONTEXT = 28  # characters before a unit for which a terminal has room
_OF_THREE = ("pearson_r", "spearman_rho", "concordance", "concordance_accuracy", "mean_difference", "d_av")
_ONE_LINE = str.maketrans({"\n": "␊", "\t": "␉"})


def print_results(
    results: "Sequence[tuple[Comparison | PooledComparison, Summary | None]]", no_divergences: str, differences: int
) -> None:
    """Print comparisons with their divergences text by text, and the pooled comparison last.

    Args:
        results: Comparisons, each with its divergences or None.
        no_divergences: Why there are none.
        differences: The number of largest differences to print.
    """
    from tokenviz.base.characters import visible
    from tokenviz.base.terminal import results_console
    from tokenviz.comparing.comparison import Comparison
    from tokenviz.stats.estimate import printed

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
        console.print(one.intervals_from + fisher, markup=False)
        if one.sign_flips:
            over = "passages" if isinstance(one, Comparison) else "texts"
            described = one.sign_flips.described
            console.print(f"mean difference over {one.sign_flips.n} {over}, each counted once: {described}", markup=False)
        for reason, names in one.undetermined().items():
            console.print(f"{', '.join(names)}: {reason}", markup=False)
        if found:
            _print_estimates(found.estimates, "divergences between the predictions over the whole vocabulary")
        if one.n:
            _print_gaps(one)
        if differences and one.n and isinstance(one, Comparison):
            _print_differences(one, differences)
    if no_divergences:
        console.print(f"no divergences: {no_divergences}", markup=False)


def _print_estimates(estimates: "Mapping[str, Estimate]", title: str) -> None:
    from tokenviz.base.display import Column

    labels = [
        f"{estimate.definition}, Fisher's interval" if name == "pearson_r_fisher" else estimate.definition
        for name, estimate in estimates.items()
    ]
    _print_titled([Column("statistic", labels, folds=True), *_numbers(list(estimates.values()))], title)


def _numbers(estimates: "Sequence[Estimate]", heading: str = "value") -> "list[display.Column]":
    """Return the columns of a table of estimates: value, interval, n, unit, and what was resampled."""
    from tokenviz.base.display import Column
    from tokenviz.stats.estimate import interval_source, level_of, percent, rounded, rounded_interval

    return [
        Column(heading, list(map(rounded, estimates)), right=True),
        Column(f"{percent(level_of(estimates))} interval", list(map(rounded_interval, estimates)), 1, right=True),
        Column("n", [f"{one.n:,}" for one in estimates], 3, right=True),
        Column("unit", [one.unit for one in estimates], 2),
        Column("resampled", list(map(interval_source, estimates)), 4),  # the line below the table contains it as well
    ]


def _print_titled(columns: "list[display.Column]", title: str) -> None:
    from tokenviz.base.display import print_fitted
    from tokenviz.base.terminal import results_console

    console = results_console()
    console.print()
    print_fitted(console, columns, title=title)


def _print_gaps(one: "Comparison | PooledComparison") -> None:
    from tokenviz.base.display import Column
    from tokenviz.comparing.comparison import Comparison
    from tokenviz.comparing.gaps import gaps_by_kind, parts_of_gap
    from tokenviz.stats.estimate import printed

    drawn = one.resampling
    several = (one,) if isinstance(one, Comparison) else one.comparisons
    rows = gaps_by_kind(several, resamples=drawn.resamples if drawn else 0, seed=drawn.seed if drawn else 0).to_dict("records")
    intervals = [f"{printed(row['low'], 3)}, {printed(row['high'], 3)}" if row["low"] == row["low"] else "–" for row in rows]
    columns = [
        Column(parts_of_gap(several[0].unit), [row["kind"] for row in rows]),
        Column("n", [f"{row['n']:,}" for row in rows], 1, right=True),
        Column("sum, bits", [printed(row["sum_bits"], 1) for row in rows], right=True),
        Column(
            "share",
            [f"{printed(100 * row['share'], 1)} %" if row["share"] == row["share"] else "–" for row in rows],
            right=True,
        ),
        Column(f"bits per {one.unit} of all", [printed(row["bits_per_unit"], 3) for row in rows], 2, right=True),
        Column("95 % interval", intervals, 3, right=True),
    ]
    _print_titled(columns, "where the difference b − a lies: the parts add up to the whole")


def _print_differences(one: "Comparison", most: int) -> None:
    from tokenviz.base.characters import visible
    from tokenviz.base.display import Column

    rows = one.largest_differences(most).to_dict("records")
    columns = [
        Column("text before", [visible(row["context"][-_CONTEXT:]).translate(_ONE_LINE) for row in rows], right=True),
        Column(one.units.by, [visible(row["text"]).translate(_ONE_LINE) for row in rows]),
    ]
    for rank, (heading, name) in enumerate((("log-prob a", "logprob_a"), ("log-prob b", "logprob_b"), ("b − a", "difference"))):
        numbers = [f"{row[name]:.3f}".replace("-", "−") for row in rows]
        columns.append(Column(heading, numbers, 1 if rank < 2 else 0, right=True))
    for name in ("rank_a", "rank_b") if one.units.by == "token" else ():
        columns.append(Column(name.replace("_", " "), [f"{row[name]:,}" for row in rows], 2, right=True))
    _print_titled(columns, f"{visible(one.text_name)}: where a and b lie furthest apart")


def print_three(found: "ThreeModels", *, simultaneous: bool) -> None:
    """Print every pair's numbers, and the differences of correlations.

    Args:
        found: From `compare_three`.
        simultaneous: Whether the intervals hold at once already.
    """
    from tokenviz.base.characters import visible
    from tokenviz.base.display import Column
    from tokenviz.base.terminal import results_console
    from tokenviz.models.describing import full_name_of
    from tokenviz.stats.estimate import rounded
    from tokenviz.stats.intervals import many_intervals

    console = results_console()
    for letter, own in found.tables.items():
        console.print(f"{letter}: {visible(full_name_of(own[0].spec))}", markup=False)
    texts = ", ".join(visible(own.text_name) for own in found.tables["a"])
    rows = [(names, one.estimates()[name]) for name in _OF_THREE for names, one in found.pairs.items()]
    values = [estimate for _, estimate in rows]
    columns = [
        Column("statistic", [estimate.definition.replace("b − a", "second − first") for estimate in values], folds=True),
        Column("models", [" and ".join(names) for names, _ in rows]),
        *_numbers(values),
    ]
    _print_titled(columns, f"{texts}: every two of three models")
    estimates = [one.summary.estimates for one in found.closer]
    moved = [one["pearson_r_difference"] for one in estimates]
    both = [" and ".join(rounded(one[f"pearson_r_{name}"]) for name in ("ab", "ac")) for one in estimates]
    columns = [
        Column("correlation of", found.questions, folds=True),
        Column("r", both, 2, right=True),
        *_numbers(moved, "difference")[:3],
    ]
    _print_titled(columns, "which of two is closer to the third: differences of Pearson's r over the same units")
    console.print(found.closer[0].summary.intervals_from, markup=False)
    for names, one in found.pairs.items():
        if one.sign_flips:
            console.print(f"mean difference of {' and '.join(names)}: {one.sign_flips.described}", markup=False)
    if not simultaneous:
        count = sum(one.has_interval for one in (*values, *moved))
        hint = " --simultaneous adjusts them number by number." * (count > 1)
        console.print(f"{many_intervals(count)}{hint}", markup=False)
