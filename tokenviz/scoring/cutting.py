"""Tokenizing a text with a progress report: one passage of 300 MB, or millions of passages, take minutes."""

from tokenviz.models import tokens
from tokenviz.models.loading import LoadedModel
from tokenviz.models.spans import EncodedPassage
from tokenviz.progress import task
from tokenviz.texts import Text

_STEP = 100_000  # characters between two progress reports


def cut(model: LoadedModel, text: Text) -> list[EncodedPassage]:
    """Cut a text into tokens, passage by passage.

    Raises:
        ScoringError: A passage cannot be tokenized, as in `tokens.encode`.
    """
    passages, done = [], 0
    what = f"cutting {text.name} into tokens of {model.label}"
    with task(what, sum(map(len, text.passages)), "characters") as advance:
        for passage in text.passages:
            passages.append(tokens.encode(model.tokenizer, passage))
            done += len(passage)
            if done >= _STEP:
                advance(done)
                done = 0
    return passages
