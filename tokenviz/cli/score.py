"""`tokenviz score`: texts or a table of passages in, scores out, nothing tracked."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from tokenviz.base.disk import check_new
from tokenviz.cli.shared import (
    AsJson,
    Bos,
    Chat,
    Column,
    Context,
    Files,
    Limits,
    Literals,
    Spans,
    Stride,
    WordPunctuation,
    check_output,
    check_texts,
    named_frames,
    print_csv,
    print_json,
    read_chats,
    read_texts,
)
from tokenviz.cli.studies import (
    ContinuationColumn,
    Continuations,
    Prompt,
    PromptColumn,
    SkipBad,
    Watch,
    WatchAt,
    print_watched,
    prompts_given,
    score_continuations,
)
from tokenviz.harness import options

if TYPE_CHECKING:
    from tokenviz.data.scores import BosMode, TokenScores
    from tokenviz.data.summary import ScoreSummary
    from tokenviz.data.texts import Text
    from tokenviz.units.sums import SpanScores
    from tokenviz.units.word_scores import WordScores


def score_command(
    given: typer.Context,
    model: Annotated[
        str,
        typer.Option("--model", "-m", help="Model spec: NAME[@REVISION][,OPTION=VALUE]...", autocompletion=options.models),
    ],
    files: Files = None,
    text: Literals = None,
    column: Column = "text",
    spans: Spans = None,
    bos: Bos = "auto",
    context: Context = None,
    stride: Stride = None,
    top_k: Annotated[
        int | None,
        typer.Option("--top-k", min=1, help="Alternatives to print for every position, with --json, --csv or --parquet."),
    ] = None,
    as_json: AsJson = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print one CSV row per token.")] = False,
    by: Annotated[
        Literal["token", "word", "span", "passage", "continuation"],
        typer.Option(
            help="What the rows of --json and --csv are. Words carry the spaces before them; their log-probs are sums, and "
            "next to them sums that are corrected for these spaces. Spans are the texts' own, see --spans. Passages are the "
            "rows of one table, printed with all its columns. Continuations are given their prompts: of --prompt, or of tables "
            "with a column of each."
        ),
    ] = "token",
    punctuation: WordPunctuation = "attached",
    measure: Annotated[
        str | None,
        typer.Option(
            help="What the colours show: logprob (the default), surprisal_bits, probability, rank_bucket or entropy.",
            show_default=False,
            autocompletion=options.measures,
        ),
    ] = None,
    limits: Limits = None,
    prompt: Prompt = None,
    continuation: Continuations = None,
    prompt_column: PromptColumn = "prompt",
    continuation_column: ContinuationColumn = "continuation",
    watch: Watch = None,
    watch_at: WatchAt = "every",
    chat: Chat = False,
    skip_bad: SkipBad = False,
    parquet: Annotated[
        Path | None,
        typer.Option(
            help="Write the token table of one text to this file while it is computed, of texts beyond memory as well."
        ),
    ] = None,
    slim: Annotated[
        bool,
        typer.Option(
            "--slim",
            help="With --parquet: leave out the columns that the text and the tokenizer give back; tokenviz import-scores "
            "reads such a file.",
        ),
    ] = False,
) -> None:
    """Score texts token by token, without tracking.

    In a terminal: the text coloured by a measure and a small table. Numbers are natural logarithms (nats).
    """
    check_output(json=as_json, csv=as_csv, parquet=parquet is not None)
    if parquet is not None:
        check_new(parquet)
    elif slim:
        raise typer.BadParameter("--slim needs --parquet: it is about the file")
    if top_k and not (as_json or as_csv or parquet is not None):
        raise typer.BadParameter("--top-k needs --json, --csv or --parquet: the coloured text has no room for alternatives")
    if punctuation == "apart" and by != "word":
        raise typer.BadParameter("--punctuation apart needs --by word: tokens are what they are")
    if by == "continuation" or prompt is not None or continuation:
        _check_prompts(given, by, text or [])
        columns = (prompt_column, continuation_column)
        prompts = prompts_given(files, prompt, continuation, columns, skip_bad=skip_bad)
        how = {"as_json": as_json, "as_csv": as_csv}
        score_continuations(model, prompts, bos=bos, context=context, stride=stride, **how)
        return
    why = "columns of prompts and continuations are read with --by continuation"
    options.refuse_unused(given, why, ["prompt_column", "continuation_column"])
    if by == "passage":
        if text or len(files or []) != 1:
            raise typer.BadParameter("--by passage takes one .csv, .tsv, .jsonl or .parquet table, whose rows are the passages")
        why = "--by passage adds a model's numbers to a table"
        options.refuse_unused(given, why, ["top_k", "measure", "limits", "spans", "watch", "watch_at", "chat", "slim"])
        (table,) = files or []
        score_passages(
            model, str(table), column, bos=bos, context=context, stride=stride, skip_bad=skip_bad, as_json=as_json,
            parquet=parquet,
        )  # fmt: skip
        return
    if skip_bad and not (chat or spans):
        raise typer.BadParameter(
            "--skip-bad needs --by passage or continuation, --spans or --chat: rows of other tables are refused"
        )
    if watch:
        if by != "token":
            raise typer.BadParameter(f"--watch is of positions in the text, not by {by}")
        options.refuse_unused(given, "--watch prints a table of its own", ["top_k", "measure", "limits", "parquet"])
    elif watch_at != "every":
        raise typer.BadParameter("--watch-at needs --watch: it says where a candidate is looked at")
    check_texts(given, files, text, spans, chat=chat, skip_bad=skip_bad)
    if by != "token" and not (as_json or as_csv):
        raise typer.BadParameter(f"--by {by} needs --json or --csv")
    if by == "span" and spans is None and not chat:
        raise typer.BadParameter("--by span needs --spans COLUMN, the column of a table that holds the texts' spans, or --chat")
    if by != "token" and top_k:
        raise typer.BadParameter("--top-k needs --by token: alternatives are of tokens")
    texts = [] if chat else read_texts(files, text, column, spans, skip_bad=skip_bad)
    if measure is not None or limits is not None:
        _check_colours(measure, limits, coloured=not (as_json or as_csv or parquet is not None))
    if parquet is not None and (count := len(files or []) + len(text or [])) > 1:
        raise typer.BadParameter(f"--parquet takes one text, and {count} were given: one file holds one table")
    from tokenviz.base.progress import shown
    from tokenviz.models.loading import load_model
    from tokenviz.scoring.scorer import score, score_to_file
    from tokenviz.units.sums import SpanScores

    if chat:
        texts = read_chats(files, [model], skip_bad=skip_bad)
    with shown():
        loaded = load_model(model)
        if watch:
            how = {"as_json": as_json, "as_csv": as_csv}
            print_watched(loaded, texts, watch, watch_at, bos=bos, context=context, stride=stride, **how)
            return
        if parquet is not None:
            summary = score_to_file(
                loaded, texts[0], parquet, bos=bos, context=context, stride=stride, top_k=top_k or 0, slim=slim
            )
            _print_overview([(texts[0].name, summary)])
            return
        tables = [score(loaded, one, bos=bos, context=context, stride=stride, top_k=top_k or 0) for one in texts]
        sums: list[WordScores] | list[SpanScores] | None = None
        if by == "word":
            sums = [_words_of(table, punctuation) for table in tables]
        elif by == "span":
            sums = [SpanScores.of(table) for table in tables]
    if as_json:
        print_json(document(tables, sums, texts, f"{by}s"))
    elif as_csv:
        print_csv(named_frames(sums or tables, texts, "text_name" if by == "span" else "text"))  # a span has a text itself
    else:
        print_text(tables, measure or "logprob", limits or "shared")


def _check_prompts(given: typer.Context, by: str, literals: list[str]) -> None:
    if by not in ("token", "continuation"):
        raise typer.BadParameter(f"--prompt and --continuation are scored by continuation, not by {by}")
    if literals:
        raise typer.BadParameter("--text is a text of its own: give --prompt and --continuation, or a table of both")
    others = ["column", "top_k", "measure", "limits", "spans", "watch", "watch_at", "chat", "parquet"]
    options.refuse_unused(given, "continuations have a table of their own", others)
    if given.params["prompt"] is not None:
        why = "--prompt and --continuation are no table"
        options.refuse_unused(given, why, ["prompt_column", "continuation_column", "skip_bad"])


def _check_colours(measure: str | None, limits: str | None, *, coloured: bool) -> None:
    """Refuse an invalid measure and invalid limits before the work, not after it."""
    from tokenviz.figures.heatmap.measures import PairMeasure, checked_limits, chosen_limits, measure_named

    for option, value in (("--measure", measure), ("--limits", limits)):
        if value is not None and not coloured:
            raise typer.BadParameter(
                f"{option} is for the coloured text: leave out --json, --csv and --parquet, which hold all values"
            )
    if measure is not None and isinstance(measure_named(measure, of_pairs=False), PairMeasure):
        raise typer.BadParameter(f"--measure {measure} is of two models: one model's are the others")
    if limits is not None and isinstance(chosen := chosen_limits(limits), tuple):
        checked_limits(chosen, measure_named(measure or "logprob"))


def _words_of(table: "TokenScores", punctuation: Literal["attached", "apart"]) -> "WordScores":
    from tokenviz.base.progress import warn
    from tokenviz.units.word_scores import words

    found = words(table, punctuation=punctuation)
    if found.uncorrected:
        warn(found.uncorrected)
    return found


def document(
    tables: "list[TokenScores]",
    sums: "list[WordScores] | list[SpanScores] | None",
    texts: "list[Text]",
    rows_are: str = "tokens",
) -> dict[str, Any]:
    """Return the output of `--json`: the settings, and an entry per text with its tokens, words or spans."""
    entries = []
    for number, (table, text) in enumerate(zip(tables, texts, strict=True)):
        entry = table.to_json()
        if sums is not None:
            del entry["tokens"]
            entry[rows_are] = sums[number].to_json()
        if text.chat_template_sha256:
            entry["chat_template_sha256"] = text.chat_template_sha256
        if text.passage_ids:
            entry[rows_are] = [{"id": text.passage_ids[row["passage"]], **row} for row in entry[rows_are]]
            entry["passage_ids"] = list(text.passage_ids)
        entries.append(entry)
    return {"model": asdict(tables[0].spec), "texts": entries}


def print_text(tables: "list[TokenScores]", measure: str, limits: str) -> None:
    """Print coloured texts and a small table."""
    from tokenviz.base.terminal import results_console
    from tokenviz.figures.heatmap.definition import shared_limits, text_heatmap
    from tokenviz.figures.heatmap.files import heatmap_text, legend_text

    console = results_console()
    shared = shared_limits(tables, measure=measure) if limits == "shared" else limits
    for table in tables:
        heatmap = text_heatmap(table, measure=measure, limits=shared)
        console.print(heatmap_text(heatmap, heatmap.panels[0], colours=console.color_system))
        if console.is_terminal and limits != "shared" and table is not tables[-1]:
            console.print(legend_text(heatmap))  # each text has its own limits
        console.print()
    if console.is_terminal:
        console.print(legend_text(heatmap))
    _print_overview([(table.text_name, table.summary()) for table in tables])


def _print_overview(summaries: "list[tuple[str, ScoreSummary]]") -> None:
    from rich.table import Table
    from rich.text import Text as Line

    from tokenviz.base.characters import visible
    from tokenviz.base.terminal import results_console

    overview = Table()
    overview.add_column("text")
    caveats = {"unknown tokens": "n_unknown", "characters not read": "n_unread"}
    caveats = {heading: name for heading, name in caveats.items() if any(getattr(one, name) for _, one in summaries)}
    means = ("mean log-prob (nats per token)", "perplexity per token")
    for heading in ("bits per byte", "tokens", "scored", *caveats, *means):
        overview.add_column(heading, justify="right")
    for name, summary in summaries:
        numbers = (summary.bits_per_byte, summary.mean_logprob, summary.perplexity_per_token)
        bits, *others = ("–" if value != value else f"{value:.3f}" for value in numbers)
        counts = (summary.n_tokens, summary.n_scored, *(getattr(summary, name) for name in caveats.values()))
        overview.add_row(Line(visible(name)), bits, *map(str, counts), *others)
    results_console().print(overview)


# `tokenviz score FILE --by passage`: adds one model's numbers to a table of texts, one row per text.


def score_passages(
    model: str,
    file: str,
    column: str,
    *,
    bos: "BosMode",
    context: int | None,
    stride: int | None,
    skip_bad: bool,
    as_json: bool,
    parquet: Path | None,
) -> None:
    """Score the texts of a table and print it with the numbers, as CSV unless another output is chosen."""
    from tokenviz.base.display import write_parquet
    from tokenviz.base.progress import shown
    from tokenviz.cli.studies import plain_rows
    from tokenviz.models.loading import load_model
    from tokenviz.scoring.scorer import score
    from tokenviz.units.items import read_passages
    from tokenviz.units.tidy import check_request, tidy_table

    with shown():
        texts = read_passages(file, column=column, skip_bad=skip_bad)
        check_request(texts, by="item", previous=0)
        scores = score(load_model(model), texts.text, bos=bos, context=context, stride=stride)
        table = tidy_table(texts, scores, by="item", previous=0)
    if parquet is not None:
        write_parquet(table, parquet)
    elif as_json:
        print_json({"texts": texts.text.name, "by": "passage", "rows": plain_rows(table), "skipped": list(texts.skipped)})
    else:
        print_csv([table])
