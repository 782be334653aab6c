"""`score_to_file`: scores of a corpus that need not fit in memory, written part by part into one file."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from tokenviz.errors import DiskError
from tokenviz.models.loading import LoadedModel
from tokenviz.progress import task
from tokenviz.score_summary import ScoreSummary
from tokenviz.scores import BosMode, TokenScores, save_parts
from tokenviz.scoring.scorer import note_caveats, scored_parts
from tokenviz.texts import Text


def score_to_file(
    model: LoadedModel,
    text: Text,
    path: Path,
    *,
    bos: BosMode = "auto",
    context: int | None = None,
    stride: int | None = None,
    top_k: int = 0,
) -> ScoreSummary:
    """Score a text as `score` does, and write the table part by part.

    Parts are whole passages. Memory is bounded by the text itself, the rows of about a hundred thousand characters, and the
    longest passage. `TokenScores.load` reads the file, as does anything that reads Parquet.

    Args:
        model: A model from `load_model`.
        text: A text with any number of passages.
        path: The file to write; it appears when it is complete. Its column `id` holds the ids of passages.
        bos: "auto" (the default), "always", "never" or a token, as in `score`.
        context: The most tokens per window; by default as many as the model can read.
        stride: Tokens from one window's start to the next; by default half the context.
        top_k: Number of likeliest alternatives to keep at every position; by default none.

    Returns:
        The summary of the whole text.

    Raises:
        ScoringError: As in `score`.
        DiskError: The file exists, or cannot be written.
    """
    if path.exists():
        raise DiskError(f"{str(path)!r} is there already: remove it, or choose another name")
    if not path.parent.is_dir():
        raise DiskError(f"cannot write {str(path)!r}: there is no folder {str(path.parent)!r}")
    summaries: list[ScoreSummary] = []
    unread: Counter[str] = Counter()
    last: TokenScores | None = None

    def parts() -> Iterator[TokenScores]:
        nonlocal last
        with task(f"{model.label} reads all of {text.name}", sum(map(len, text.passages)), "characters") as advance:
            for last in scored_parts(model, text, bos=bos, context=context, stride=stride, top_k=top_k):
                summaries.append(last.summary())
                unread.update("".join(last.unread))
                yield last
                advance(sum(map(len, last.token)))

    save_parts(parts(), path, passage_ids=text.passage_ids)
    summary = ScoreSummary.joined(summaries)
    if last is not None:
        note_caveats(summary, unread, last)
    return summary
