"""`tokenviz compare`: compares two models' predictions of texts, without tracking."""

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from tokenviz.cli.agreement_tables import print_results, print_three
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
from tokenviz.harness import completion

if TYPE_CHECKING:
    from tokenviz.comparing.alignment import Alignment
    from tokenviz.comparing.readings import Windows


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
    if as_json and as_csv:
        raise typer.BadParameter("choose one of --json and --csv")
    if punctuation == "apart" and by != "word":
        raise typer.BadParameter("--punctuation apart needs --by word: tokens and segments are cut without regard to it")
    if by == "span" and spans is None and not chat:
        raise typer.BadParameter("--by span needs --spans COLUMN, the column of a table that holds the texts' spans, or --chat")
    check_chat(files, text, spans, chat=chat, skip_bad=skip_bad)
    texts = [] if chat else read_texts(files, text, column, spans, skip_bad=skip_bad)
    from tokenviz.comparing.readings import compare_three, compare_two
    from tokenviz.progress import shown

    if chat:
        texts = read_chats(files, model, skip_bad=skip_bad)
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
