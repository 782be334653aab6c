"""`words`: one model's scores of a text, word by word, with and without the correction for spaces at the front of words.

Tokens of most models include the space before a word. The sum of a word's token log-probs is then the log-prob that the text
continues with these letters, not that the word ends after them. "mat" gets the same sum in "a mat" and in "a matron", and the
cost of its end is part of the next word's sum. The corrected log-prob moves that cost to the word itself.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tokenviz.base import display
from tokenviz.base.errors import ComparisonError, check_kind
from tokenviz.data.scores import TokenScores, nan_to_none
from tokenviz.models.vocabulary import INSIDE, PUNCTUATION, SPACE
from tokenviz.units.words import Ending, Punctuation, common_spans, words_of

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class WordScores:
    """One row per word, in reading order; all columns have length n.

    Attributes:
        text_name: The text's name.
        model: The model's spec.
        punctuation: "attached" or "apart", as in `words_of`.
        uncorrected: Why no word has a corrected log-prob; empty where one has.
        passage: Number of the passage, from 0. int64.
        start: First character in the passage. int64.
        end: One past the last character. int64.
        word: The slice of the passage, including whitespace before the word; the concatenated slices of a passage are the
            passage.
        n_words: Words in the row: more than one where a token crosses the end of a word (units/words.py). int64.
        n_tokens: Tokens of the row. int64.
        logprob: Sum of its tokens' log-probs, in nats; NaN where one of them is not scored.
        end_logprob: Log-prob that a word ends where this one does, in nats; NaN where it cannot be determined.
        corrected_logprob: `logprob` plus its own `end_logprob`, minus that of the preceding word; NaN where one is missing.
    """

    text_name: str
    model: str
    punctuation: Punctuation
    uncorrected: str
    passage: NDArray[np.int64]
    start: NDArray[np.int64]
    end: NDArray[np.int64]
    word: tuple[str, ...]
    n_words: NDArray[np.int64]
    n_tokens: NDArray[np.int64]
    logprob: NDArray[np.float64]
    end_logprob: NDArray[np.float64]
    corrected_logprob: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.start)

    def __repr__(self) -> str:
        scored, corrected = (int((~np.isnan(values)).sum()) for values in (self.logprob, self.corrected_logprob))
        return f"WordScores({self.text_name!r} by {self.model!r}: {len(self)} words, {scored} scored, {corrected} corrected)"

    def _repr_html_(self) -> str:
        """Return HTML for a notebook: the first words."""
        columns = ["word", "tokens", "log-prob (nats)", "corrected (nats)"]
        rows: list[list[display.Cell]] = [
            [
                display.Verbatim(self.word[i]),
                str(self.n_tokens[i]),
                display.number(self.logprob[i]),
                display.number(self.corrected_logprob[i]),
            ]
            for i in range(min(len(self), display.ROWS_SHOWN))
        ]
        left_out = len(self) - display.ROWS_SHOWN
        return display.fragment(
            display.heading("Words of “", self.text_name, "” by ", self.model),
            display.table(columns, rows, left=["word"]),
            display.line(f"… {left_out:,} more words: to_frame() has them all" if left_out > 0 else ""),
            display.line(self.uncorrected),
        )

    def to_frame(self) -> "pd.DataFrame":
        """Return a pandas data frame with one row per word, with `surprisal_bits` and `corrected_surprisal_bits`."""
        import pandas as pd

        frame = pd.DataFrame({name: value for name, value in vars(self).items() if isinstance(value, np.ndarray)})
        frame.insert(3, "word", list(self.word))
        for name in ("", "corrected_"):
            frame[f"{name}surprisal_bits"] = -frame[f"{name}logprob"] / math.log(2) + 0.0  # 0 bits, not -0
        return frame

    def to_json(self) -> list[dict[str, Any]]:
        """Return the rows as plain values, None where a value is missing."""
        rows = self.to_frame().to_dict(orient="records")
        return [{str(name): nan_to_none(value) for name, value in row.items()} for row in rows]


def words(scores: TokenScores, *, punctuation: Punctuation = "attached") -> WordScores:
    """Sum token log-probs to words, and correct the sums for the spaces at the front of words.

    Let E be the log-prob, given all tokens up to the end of a word, that the word ends there. The corrected log-prob of a word
    is log P(its tokens) + E(at its end) - E(at its beginning): the log-prob of the word *and its end*, given that the preceding
    word has ended. Over all words that may come next, and the end of the text, these probabilities sum to 1; the uncorrected
    ones sum to more.

    E is the log of the total probability of the tokens that end the word, from the same logits that predict the next token.
    These are tokens that begin with any whitespace (a space, tab, line end or no-break space), and special tokens, which end
    the text. With punctuation "apart", tokens that begin with punctuation or a symbol end a word too, and after punctuation
    every token does: E = 0.

    - The first word of a passage is divided by nothing: whether a text begins with whitespace is part of its probability.
      (Pimentel and Meister divide by the mass of the tokens without a space.) Without a BOS its first token is not scored, and
      it is NaN.
    - After punctuation: with "attached", "mat," is one word and ends with whitespace; with "apart", the comma is a word that
      cannot continue.
    - Line ends, tabs and several spaces need no special rule: whitespace belongs to the word after it, and the word before it
      ends where it begins.
    - The last word ends with the passage, where E is that of the position after it. A passage's log-prob is the sum of the
      uncorrected ones; the corrected ones sum to that plus the E at its end. Whitespace that ends a passage is a word by
      itself, with E = 0.
    - E is NaN, and with it the corrected log-probs of the words on both sides: at the end of a word in a script without spaces;
      where a word touches such a word; and where the token after the end does not begin as the rule says (the rest of a
      character that two tokens share).

    A token is classified by its first character. A token that is only a joining character, such as "'" before the "t" of
    "don't", counts as punctuation, so with punctuation apart E is a little too large after a word that might continue so.

    Args:
        scores: Scores of one text by one model.
        punctuation: Cut words with their punctuation ("attached", the default) or without ("apart"), as in `words_of`.

    Returns:
        One row per word: `logprob`, `corrected_logprob` and `end_logprob` in nats, and the word's place in the text.

    Raises:
        ComparisonError: `punctuation` is neither.

    Example:
        >>> found = tv.words(tv.score(tv.load_model("glass-en"), "Alice was very tired."))
        >>> found.to_frame()[["word", "n_tokens", "logprob", "corrected_logprob"]].round(1)
              word  n_tokens  logprob  corrected_logprob
        0    Alice         1      NaN                NaN
        1      was         1     -3.2               -3.2
        2     very         1     -4.0               -4.0
        3   tired.         3    -13.1              -13.1

    References:
        Pimentel and Meister (2024), How to Compute the Probability of a Word, for tokenizers that mark the beginning of words;
        Oh and Schuler (2024), Leading Whitespaces of Language Models' Subword Vocabulary Pose a Confound for Calculating Word
        Probabilities. The packages wordsprobability and minicons (`bow_correction`) compute the same with fewer tokens that
        end a word: those that begin with a space (and, in wordsprobability, the end of the text), no tabs and line ends.
    """
    check_kind(scores, TokenScores, ComparisonError, "scores: give what score returns")
    spans = common_spans([scores], lambda passage: words_of(passage, punctuation=punctuation))
    first = spans.first_rows[0]
    logprob = np.add.reduceat(scores.logprob, first)
    end_logprob = end_logprobs(
        scores,
        np.append(first[1:], len(scores)) - 1,
        np.append(scores.opens[first[1:]], 0),
        np.append(spans.passage[1:] != spans.passage[:-1], True),
        [word.ending for word in spans.last_words],
    )
    opens_passage = np.append(True, spans.passage[1:] != spans.passage[:-1])
    before = np.where(opens_passage, 0.0, np.roll(end_logprob, 1))
    corrected = logprob + end_logprob - before
    return WordScores(
        text_name=scores.text_name,
        model=scores.spec.model,
        punctuation=punctuation,
        uncorrected=_refusal(scores) if np.isnan(corrected).all() else "",
        passage=spans.passage,
        start=spans.start,
        end=spans.end,
        word=spans.text,
        n_words=spans.n_words,
        n_tokens=spans.n_tokens[0],
        logprob=logprob,
        end_logprob=end_logprob,
        corrected_logprob=corrected,
    )


def end_logprobs(
    scores: TokenScores,
    last: NDArray[np.int64],
    opens_next: NDArray[np.int8],
    ends_passage: NDArray[np.bool_],
    endings: Sequence[Ending],
) -> NDArray[np.float64]:
    """Return the log-prob, given all tokens up to the end of a unit, that a word ends there.

    Args:
        scores: Scores of one text by one model.
        last: (n,) row of each unit's last token.
        opens_next: (n,) how the next token begins, as in `TokenScores.opens`.
        ends_passage: (n,) whether the passage ends there.
        endings: What must follow each of the n units for a word to have ended there.

    Returns:
        (n,) in nats; NaN where it cannot be determined.
    """
    found = np.full(len(last), np.nan)
    if scores.spec.spaces != "front":
        return found
    with np.errstate(invalid="ignore"):  # for missing values
        either = np.logaddexp(scores.space_logprob, scores.punctuation_logprob)
    for ending, values, word_starts in (
        ("space", scores.space_logprob, [SPACE]),
        ("space or punctuation", either, [SPACE, PUNCTUATION]),
        ("anything", np.zeros(len(scores)), [INSIDE, SPACE, PUNCTUATION]),
    ):
        here = np.array([one == ending for one in endings], bool)
        here &= ends_passage | np.isin(opens_next, word_starts)
        found[here] = values[last[here]]
    return found


def _refusal(scores: TokenScores) -> str:
    what = f"no word of {scores.text_name!r} by {scores.spec.model!r} has a corrected log-prob: "
    match scores.spec.spaces:
        case "none":
            return (
                what + "its tokenizer marks where words end, or keeps no spaces, and the correction is for spaces at the front"
            )
        case "apart":
            return (
                what + "its tokenizer makes a space a token by itself, and the correction is for spaces at the front of words"
            )
        case "front" if scores.spec.imported:
            return what + "its scores are another engine's, which does not say how probable a space was after each token"
        case "front":
            return what + "none is scored and stands between two ends that whitespace shows"
