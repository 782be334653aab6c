"""The token table of matched passages: the engine's values in arrays, the identity of a dump, and the columns of the text."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from importlib.metadata import version
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tokenviz.data.scores import IMPORTED, ScoreSpec, TokenScores
from tokenviz.data.texts import Text, corpus, literal
from tokenviz.dumps.forms import DumpedToken
from tokenviz.dumps.matching import Matched, Tokens
from tokenviz.models import tokens
from tokenviz.models.offsets import EncodedPassage
from tokenviz.models.vocabulary import INSIDE

IMPORT_VERSION = 1  # raise it when the same file would give another table


@dataclass(frozen=True, eq=False)
class Values:
    """An engine's values for n tokens, in arrays: as objects they take twenty times the memory.

    Attributes:
        logprob: Log-probs, in nats; NaN where there is none.
        rank: Ranks; NaN where there is none.
        listed: Number of alternatives.
        ahead: Number of alternatives that are likelier than the token.
        whole: Whether every alternative is known: an object of strings holds only one of several tokens with one string.
        last: Whether the token is among its alternatives, and none of them is less likely.
        top_ids: (n, most), ids of the alternatives, likeliest first; -1 from the first on that is not known.
        top_logprobs: (n, most), their log-probs, in nats.
    """

    logprob: NDArray[np.float64]
    rank: NDArray[np.float64]
    listed: NDArray[np.int64]
    ahead: NDArray[np.int64]
    whole: NDArray[np.bool_]
    last: NDArray[np.bool_]
    top_ids: NDArray[np.int64]
    top_logprobs: NDArray[np.float64]

    @classmethod
    def none(cls, n: int, most: int) -> "Values":
        """Return n tokens of which nothing is said."""
        nan, zeros, false = np.full(n, np.nan), np.zeros(n, np.int64), np.zeros(n, np.bool_)
        empty = np.full((n, most), -1, np.int64), np.full((n, most), np.nan)
        return cls(nan, nan.copy(), zeros, zeros.copy(), false, false.copy(), *empty)

    @classmethod
    def of(cls, entries: Sequence[DumpedToken], n: int, known: Tokens) -> "Values":
        """Return what the entries say, one for each token or none at all."""
        made = cls.none(n, max((len(one.top) for one in entries), default=0))
        for row, one in enumerate(entries):
            if one.logprob is None:
                continue
            made.logprob[row] = one.logprob
            made.rank[row] = one.rank or np.nan
            made.listed[row] = len(one.top)
            made.ahead[row] = sum(other.logprob > one.logprob for other in one.top)
            made.last[row] = bool(one.top) and _is_last(one)
            ids = [(known.named(other), other.logprob) for other in sorted(one.top, key=lambda other: -other.logprob)]
            made.whole[row] = all(number is not None for number, _ in ids)
            for column, (number, logprob) in enumerate(ids):
                if number is None:
                    break  # the string of several tokens, or of none: it and later alternatives stay missing
                made.top_ids[row, column], made.top_logprobs[row, column] = number, logprob
        return made

    @classmethod
    def joined(cls, parts: Sequence["Values"]) -> "Values":
        """Concatenate the values of several passages."""
        most = max(part.top_ids.shape[1] for part in parts)
        made = cls.none(sum(len(part.rank) for part in parts), most)
        begin = 0
        for part in parts:
            rows = slice(begin, begin := begin + len(part.rank))
            for name, values in vars(part).items():
                whole = getattr(made, name)
                (whole[rows, : values.shape[1]] if values.ndim == 2 else whole[rows])[...] = values
        return made

    @property
    def top_k(self) -> int:
        """The number of likeliest tokens at every scored place.

        Some engines add the token itself where it is not among them. Then places differ by one, or it is the last of all
        everywhere, or its rank is greater than their number.
        """
        chosen = self.listed > 0
        chosen = chosen & self.whole if (chosen & self.whole).any() else chosen
        if not chosen.any():
            return 0
        least = int(self.listed[chosen].min())
        last = (self.last & (self.listed == least))[chosen]
        return least - bool(last.all() or (last & (self.rank[chosen] > least)).any())

    def ranks(self, k: int) -> NDArray[np.float64]:
        """Return the rank of each token; NaN where neither the engine nor the k alternatives say it."""
        shown = (self.ahead < k) & (k <= self.listed) & self.whole
        # An older vLLM wrote k + 1 for all tokens outside the k likeliest.
        own = self.rank if (self.rank > self.listed + 1).any() else np.full(len(self.rank), np.nan)
        return np.where(shown, self.ahead + 1.0, own)


def _is_last(one: DumpedToken) -> bool:
    assert one.logprob is not None
    return min(other.logprob for other in one.top) >= one.logprob - 1e-9 and any(
        other.token_id == one.token_id or (other.token_id is None and other.logprob == one.logprob) for other in one.top
    )


class Found:
    """The passages of a dump that were matched, without the engine's own entries.

    Attributes:
        passages: The passages.
        left_out: Number of tokens that the engine leaves out.
    """

    def __init__(self, known: Tokens) -> None:
        self.passages: list[Matched] = []
        self.left_out = 0
        self._known, self._values, self._ids = known, list[Values](), list[str | None]()
        self._identity: Any = None  # the hash, once the engine is known
        self._said = ""

    def add(self, name: str | None, matched: Matched, engine: str | None = None) -> None:
        """Add a passage, by its name in the file and the engine; both are None for one without log-probs."""
        entries = matched.tokens
        self.passages.append(replace(matched, tokens=()))
        self.left_out += sum(one.left_out for one in entries)
        self._ids.append(name)
        self._values.append(Values.of(entries, len(matched.encoded.ids), self._known))
        # The hash is of what the engine wrote, not of how the model would be loaded here: equal dumps are equal runs.
        said = [[one.token_id, one.logprob, one.rank, *((a.token, a.token_id, a.logprob) for a in one.top)] for one in entries]
        self._said += ", " * (len(self.passages) > 1) + json.dumps(said)
        if engine is not None:
            if self._identity is None:
                head = json.dumps([IMPORT_VERSION, engine, self._known.prefix]).removesuffix("]")
                self._identity = sha256(f"{head}, [".encode())
            self._identity.update(self._said.encode())
            self._said = ""

    def text(self, name: str) -> Text:
        """Return the text of the passages, with their names in the file where each has its own."""
        if len(self.passages) == 1:
            return literal(self.passages[0].passage, name=name)
        names = [one for one in self._ids if one is not None]
        unique = len(names) == len(self.passages) == len(set(names))
        return corpus([one.passage for one in self.passages], name=name, passage_ids=names if unique else None)

    def table(self, text: Text, engine: str, name: str | None) -> TokenScores:
        """Return the token table of the passages, which are those of the text."""
        known, values = self._known, Values.joined(self._values)
        lengths, k = [len(values.rank) for values in self._values], values.top_k
        n, missing = len(values.rank), np.full(len(values.rank), np.nan)
        top_ids = values.top_ids[:, :k]
        return TokenScores(
            text_name=text.name,
            text_sha256=text.sha256,
            spec=self._spec(engine, name, k),
            passage=np.repeat(np.arange(len(lengths)), lengths),
            position=np.arange(n) - np.repeat(np.cumsum(lengths) - lengths, lengths),
            logprob=values.logprob,
            rank=values.ranks(k),
            entropy=missing,
            top_ids=top_ids,
            top_logprobs=values.top_logprobs[:, :k],
            top_tokens=known.readable(top_ids.tolist()),
            space_logprob=missing.copy(),
            punctuation_logprob=missing.copy(),
            **columns([one.passage for one in self.passages], [one.encoded for one in self.passages], known),
        )

    def _spec(self, engine: str, name: str | None, top_k: int) -> ScoreSpec:
        known, identity = self._known, self._identity
        assert identity is not None
        identity.update(f"{self._said}]]".encode())
        lacks = f"no entropies, {f'ranks to {top_k}' if top_k else 'no ranks'}"
        return ScoreSpec(
            model=name or f"{known.name} in {engine}",
            source=f"{IMPORTED}{engine}",
            identity=f"{IMPORTED}sha256:{identity.hexdigest()}",
            tokenizer=tokens.fingerprint(known.tokenizer),
            spaces=known.word_starts.spaces,
            dtype="not known",
            quantize=None,
            device="not known",
            bos=known.bos,
            bos_ids=known.prefix,
            context=0,
            stride=0,
            top_k=top_k,
            batching="not known",
            head="not known",
            scoring_version=0,
            versions={"tokenviz": version("tokenviz-harness"), "tokenizers": version("tokenizers")},
            model_description=f"log-probs imported from {engine}, {lacks}",
        )


def columns(passages: Sequence[str], encoded: Sequence[EncodedPassage], known: Tokens) -> dict[str, Any]:
    """Return the columns of a token table that follow from the passages and their tokens."""

    def joined(name: str) -> NDArray[Any]:
        return np.concatenate([getattr(one, name) for one in encoded])

    ids = joined("ids")
    return {
        "token_id": ids,
        "token": tuple(
            passage[start:end]
            for passage, one in zip(passages, encoded, strict=True)
            for start, end in zip(one.starts, one.ends, strict=True)
        ),
        "start": joined("starts"),
        "end": joined("ends"),
        "first_character": joined("first_characters"),
        "n_bytes": joined("n_bytes"),
        "unknown": joined("unknown"),
        "opens": np.where(ids < 0, np.int8(INSIDE), known.word_starts.kinds[np.maximum(ids, 0)]),
    }
