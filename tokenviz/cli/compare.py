"""`tokenviz compare`: compares two models' predictions of texts, without tracking."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from tokenviz.cli.agreement_tables import print_results
from tokenviz.cli.inputs import (
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
    check_chat,
    read_chats,
    read_texts,
)
from tokenviz.cli.outputs import named_frames, print_csv, print_json
from tokenviz.cli.pairs import Windows, read_by_both
from tokenviz.cli.three import compare_three
from tokenviz.harness import completion

if TYPE_CHECKING:
    from tokenviz.comparing.alignment import Alignment


def compare_command(
    model: Annotated[
        list[str],
        typer.Option(
            "--model",
            "-m",
            help="Model spec: NAME[@REVISION][,OPTION=VALUE]...; give it twice, a and b; or three times.",
            autocompletion=completion.models,
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
    seed: Annotated[int, typer.Option(min=0, help="Of the random numbers that draw the resamples.")] = 0,
    differences: Annotated[int, typer.Option(min=0, help="How many of the largest differences to print.")] = 10,
    simultaneous: Annotated[
        bool,
        typer.Option(
            "--simultaneous",
            help="With three models: intervals of which those of one number hold at once in 95 of 100 studies (Bonferroni).",
        ),
    ] = False,
    as_json: AsJson = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print the aligned log-probs, one CSV row a unit.")] = False,
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
    if as_json and as_csv:
        raise typer.BadParameter("choose one of --json and --csv")
    if punctuation == "apart" and by != "word":
        raise typer.BadParameter("--punctuation apart needs --by word: tokens and segments are cut without regard to it")
    if by == "span" and spans is None and not chat:
        raise typer.BadParameter("--by span needs --spans COLUMN, the column of a table that holds the texts' spans, or --chat")
    check_chat(files, text, spans, chat=chat, skip_bad=skip_bad)
    texts = [] if chat else read_texts(files, text, column, spans, skip_bad=skip_bad)
    from tokenviz.comparing.comparison import Comparison, PooledComparison, compare, pool
    from tokenviz.comparing.divergences import summarise_divergences
    from tokenviz.models.loading import resolve
    from tokenviz.models.spec import ModelSpec
    from tokenviz.progress import shown
    from tokenviz.stats.resampling import check_resampling

    check_resampling(resamples, seed)
    if chat:
        texts = read_chats(files, model, skip_bad=skip_bad)
    windows: Windows = {"bos": bos, "context": context, "stride": stride}
    if len(model) == 3:
        how: Alignment = {"by": by, "punctuation": punctuation}
        compare_three(model, texts, windows, how, resamples=resamples, seed=seed, simultaneous=simultaneous, as_json=as_json)
        return
    if as_csv:
        resamples, divergences = 0, "none"
    with shown():
        a, b = (resolve(ModelSpec.parse(spec)) for spec in model)  # both are available before the first is scored
        read = read_by_both(a, b, texts, windows, divergences)
        compared = [
            compare(*pair, by=by, punctuation=punctuation, resamples=resamples, seed=seed)
            for pair in zip(read.a, read.b, strict=True)
        ]
        together = pool(compared, resamples=resamples, seed=seed) if len(compared) > 1 else None
        apart = [summarise_divergences(one, resamples=resamples, seed=seed) for one in read.divergences]
        if together and apart:
            apart.append(summarise_divergences(read.divergences, resamples=resamples, seed=seed))
    if as_csv:
        print_csv(named_frames(compared, texts, "text_name"))
        return
    everything: list[Comparison | PooledComparison] = [*compared, *([together] if together else [])]
    results = [(one, apart[i] if apart else None) for i, one in enumerate(everything)]
    if not as_json:
        print_results(results, read.no_divergences, differences)
        return
    documents: list[dict[str, Any]] = [
        (one.to_json(differences=differences) if isinstance(one, Comparison) else one.to_json())
        | {"divergences": found.to_json() if found else None}
        for one, found in results
    ]
    print_json(
        {
            "model_a": asdict(compared[0].a.spec),
            "model_b": asdict(compared[0].b.spec),
            "comparisons": documents[: len(texts)],
            "together": documents[-1] if together else None,
            "no_divergences": read.no_divergences,
        }
    )
