"""Token scores: one model's predictions for one text, one row per token, with the settings that produced them.

All results are made from the table `TokenScores`; its `ScoreSpec` names the model, tokenizer, dtype, BOS mode and windows. Both
are stored in one Parquet file and read back unchanged.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from tokenviz.base import display
from tokenviz.base.errors import ScoringError, TokenvizError, check_kind
from tokenviz.data import parquet
from tokenviz.data.spans import Span, names_at
from tokenviz.data.summary import ScoreSummary

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

BosMode = str  # "auto", "always", "never", or a token of the vocabulary by its string
Spaces = Literal["front", "apart", "none"]
SCORING_VERSION = 4  # raise it when the same settings would give other numbers

# Values in the place of a token id, in rows without a score.
UNREAD = -1  # characters that no token covers
REST = -2  # characters of the previous token that come after characters that no token covers

IMPORTED = "imported: "
"""The beginning of source and identity of scores that another engine computed (`tokenviz.dumps.importing`)."""

_ALTERNATIVES_SHOWN = 3
_IN_JSON = (
    "passage", "position", "token", "token_id", "start", "end", "first_character", "n_bytes", "unknown", "logprob", "rank",
    "entropy",
)  # fmt: skip


@dataclass(frozen=True)
class ScoreSpec:
    """All settings that the numbers depend on, as they were when the scores were computed.

    Attributes:
        model: The model spec, as `ModelSpec.label` writes it.
        source: The model's source: "catalogue", "folder", "gguf" or "hub". For scores from elsewhere "imported: " and the
            engine with its version; unknown settings of such scores are "not known", or 0.
        identity: The hash that pins the weights: `sha256:...` of the files, or `commit:...` on a hub.
        tokenizer: SHA-256 of the tokenizer's vocabulary; equal for the fast and slow variants of one tokenizer.
        spaces: Where the tokenizer leaves the space before a word: at the "front" of the word's first token; "apart", as a
            separate token, where no token joins a space and a letter; or in "none" of its tokens.
        dtype: The dtype of the weights; the softmax is float32, or wider where the weights are.
        quantize: The block format that the linear layers were rounded through, or None.
        device: "cpu", "cuda" or "mps".
        bos: The BOS mode that was asked for, or the start token by its string.
        bos_ids: The ids that opened every window as a result; empty for none.
        context: The most tokens per window, BOS included.
        stride: Tokens from one window's start to the next.
        top_k: The number of alternatives kept per position.
        batching: "packed" where sequences went through the model end to end; "padded" where the architecture did not allow it
            and they were padded to one length.
        head: "streamed" where logits were made from hidden states chunk by chunk; "whole" where the architecture did not allow
            it and each window's logits were made at once.
        scoring_version: `SCORING_VERSION` at the time.
        versions: Versions of the packages that computed.
        weights_sha256: SHA-256 of the weights alone for a model from a hub, since two revisions may have the same weights.
            Empty for others, whose identity is a SHA-256 already, and in tables of older versions.
        model_description: The model's description for readers (`tokenviz.models.describing`). Empty in older tables.
    """

    model: str
    source: str
    identity: str
    tokenizer: str
    spaces: Spaces
    dtype: str
    quantize: str | None
    device: str
    bos: BosMode
    bos_ids: tuple[int, ...]
    context: int
    stride: int
    top_k: int
    batching: Literal["packed", "padded", "not known"]
    head: Literal["streamed", "whole", "not known"]
    scoring_version: int
    versions: dict[str, str]
    weights_sha256: str = ""
    model_description: str = ""

    @classmethod
    def of(cls, about: Mapping[str, Any]) -> "ScoreSpec":
        """Return the settings that the file of a table says, under "spec"."""
        return cls(**{**about["spec"], "bos_ids": tuple(about["spec"]["bos_ids"])})

    @property
    def imported(self) -> bool:
        """Whether another engine computed the scores, so that they cannot be computed again."""
        return self.source.startswith(IMPORTED)

    def refuse_to_slim(self) -> None:
        """Refuse a slim table where the tokens may be others than those that the tokenizer makes of the text today.

        Raises:
            ScoringError: Another engine, or another version, made the scores.
        """
        if self.imported or self.scoring_version != SCORING_VERSION:
            whose = self.source.removeprefix(IMPORTED) if self.imported else "another version of tokenviz"
            raise ScoringError(
                f"scores of {self.model!r} cannot be saved as a slim table: {whose} made them, perhaps with other tokens than "
                "the tokenizer makes of the text here"
            )


@dataclass(frozen=True, eq=False)
class TokenScores:
    """The scores of a text: one row per token, in reading order; all columns have length n.

    Attributes:
        text_name: The name of the text.
        text_sha256: The hash of the text (`Text.sha256`).
        spec: The settings.
        passage: Number of the passage, from 0. int64.
        position: Number of the token in its passage, from 0. int64.
        token_id: The token's id in the model's vocabulary. `UNREAD` in a row of characters that no token covers, which the
            model did not read. `REST` in a row of characters of an earlier token that come after an `UNREAD` row. Both are
            unscored. int64.
        token: The slice of the original text that the token covers. The concatenated slices of a passage are the passage. Where
            several tokens share one character, the first has it and the others are empty.
        start: First character in the passage. For a token without characters it is that of the next token: join by
            `first_character`. int64.
        end: One past the token's last character. int64.
        first_character: The character that contains the token's first byte: `start`, or a character of an earlier token. int64.
        n_bytes: UTF-8 bytes of the passage that the token covers; over a passage they add up to its bytes. Where tokens share
            characters and their own bytes cannot be determined, the first has all and the others have 0. In a table of an older
            version it is the bytes of `token`. int64.
        unknown: Whether it is the tokenizer's unknown token; False in a table of an older version. bool.
        logprob: Natural logarithm of the token's probability given the tokens before it; NaN where unscored.
        rank: 1 for the model's first choice: one more than the number of tokens with a greater logit; NaN where unscored.
            float64 of whole numbers.
        entropy: Entropy of the predicted distribution, in nats; NaN where unscored.
        top_ids: (n, k), ids of the k likeliest tokens, likeliest first; -1 where unscored.
        top_logprobs: (n, k), log-probs of the k likeliest tokens, in nats; NaN where unscored.
        top_tokens: n tuples of k strings, for readers; bytes that form no character are written <0x..>.
        opens: How the token begins: 1 with whitespace (or it is a special token, which ends the text), 2 with punctuation or a
            symbol, 0 with part of a word. int8.
        space_logprob: Log of the probability, given the tokens up to this one, that the next token has `opens` 1; in nats. It
            comes from the prediction of the next token, or of what follows a passage's last token. NaN where `spec.spaces` is
            not "front", and for a passage's only token without a BOS, which the model does not read.
        punctuation_logprob: Log of the probability that the next token has `opens` 2, likewise; minus infinity where the
            vocabulary has no such token.
        spans: The named spans of each passage; empty where the text has none. It is not a column; sums can be taken over spans.

    Example:
        >>> from pathlib import Path
        >>> scores = tv.score(tv.load_model("glass-en"), "Alice was very tired.")
        >>> scores.token
        ('Alice', ' was', ' very', ' t', 'i', 'red.')
        >>> scores.logprob.round(1)
        array([ nan, -3.2, -4. , -4.8, -2.9, -5.4])
        >>> round(scores.summary().mean_logprob, 2)
        -4.05
        >>> scores.save(Path("tokens.parquet"))
        >>> tv.TokenScores.load(Path("tokens.parquet")).text_name == scores.text_name
        True
    """

    text_name: str
    text_sha256: str
    spec: ScoreSpec
    passage: NDArray[np.int64]
    position: NDArray[np.int64]
    token_id: NDArray[np.int64]
    token: tuple[str, ...]
    start: NDArray[np.int64]
    end: NDArray[np.int64]
    first_character: NDArray[np.int64]
    n_bytes: NDArray[np.int64]
    unknown: NDArray[np.bool_]
    logprob: NDArray[np.float64]
    rank: NDArray[np.float64]
    entropy: NDArray[np.float64]
    top_ids: NDArray[np.int64]
    top_logprobs: NDArray[np.float64]
    top_tokens: tuple[tuple[str, ...], ...]
    opens: NDArray[np.int8]
    space_logprob: NDArray[np.float64]
    punctuation_logprob: NDArray[np.float64]
    spans: tuple[tuple[Span, ...], ...] = ()

    def __post_init__(self) -> None:
        lengths = {name: len(getattr(self, name)) for name in parquet.ALL_COLUMNS}
        if len(set(lengths.values())) > 1:
            raise ScoringError(f"the columns of one table differ in length: {lengths}")
        for value in vars(self).values():
            if isinstance(value, np.ndarray):
                value.setflags(write=False)

    def __len__(self) -> int:
        return len(self.token_id)

    def __repr__(self) -> str:
        summary = self.summary()
        return (
            f"TokenScores({self.text_name!r} by {self.spec.model!r}: {summary.n_tokens} tokens, "
            f"{summary.n_scored} scored, mean log-prob {display.number(summary.mean_logprob)} nats, "
            f"perplexity per token {_perplexity(summary)})"
        )

    def _repr_html_(self) -> str:
        """Return HTML for a notebook: the text in a few numbers, and its first tokens."""
        summary = self.summary()
        mean, bits = display.number(summary.mean_logprob), display.number(summary.bits_per_byte)
        facts = (
            f"{summary.n_scored:,} of {summary.n_tokens:,} tokens scored, mean log-prob {mean} nats, "
            f"perplexity per token {_perplexity(summary)}, bits per byte {bits}"
        )
        columns = ["passage"] * (self.n_passages > 1) + ["position", "token", "log-prob (nats)", "rank", "entropy (nats)"]
        columns += ["likeliest"] * bool(self.spec.top_k)
        left_out = len(self) - display.ROWS_SHOWN
        return display.fragment(
            display.heading("Tokens of “", self.text_name, "” by ", self.spec.model),
            display.line(self.spec.model_description),
            display.line(facts),
            display.table(
                columns, map(self._shown_row, range(min(len(self), display.ROWS_SHOWN))), left=["token", "likeliest"]
            ),
            display.line(f"… {left_out:,} more tokens: to_frame() has them all" if left_out > 0 else ""),
        )

    def _shown_row(self, i: int) -> list[display.Cell]:
        where = [str(self.passage[i])] * (self.n_passages > 1) + [str(self.position[i])]
        numbers = (display.number(self.logprob[i]), display.number(self.rank[i], ",.0f"), display.number(self.entropy[i]))
        alternatives: list[display.Cell] = []
        if self.spec.top_k:
            pairs = zip(self.top_tokens[i], self.top_logprobs[i].tolist(), strict=True)
            known = [f"{token!r} {100 * math.exp(logprob):.0f} %" for token, logprob in pairs if not math.isnan(logprob)]
            alternatives = [", ".join(known[:_ALTERNATIVES_SHOWN]) or display.MISSING]
        return [*where, display.Verbatim(self.token[i]), *numbers, *alternatives]

    @property
    def scored(self) -> NDArray[np.bool_]:
        """Whether each token has a prediction, (n,)."""
        return ~np.isnan(self.logprob)

    @property
    def n_passages(self) -> int:
        """The number of passages that have a token."""
        return len(np.unique(self.passage))

    @property
    def counted(self) -> NDArray[np.bool_]:
        """Whether each token counts in bits per byte and per character, (n,): the scored tokens do.

        Tokens that share characters, and whose own bytes cannot be determined, count only where all of them are scored.
        """
        if not len(self):
            return self.scored
        opens = (self.n_bytes > 0) | np.append(True, self.passage[1:] != self.passage[:-1])
        together = np.cumsum(opens) - 1  # number of the group that each row is in
        counted: NDArray[np.bool_] = np.logical_and.reduceat(self.scored, np.flatnonzero(opens))[together]
        return counted

    @property
    def n_characters(self) -> NDArray[np.float64]:
        """The number of characters that each token covers, (n,); of a shared character a token has its share of the bytes."""
        sizes = [len(character.encode()) for character in "".join(self.token)]
        reached = np.interp(np.cumsum(self.n_bytes), np.cumsum([0, *sizes]), np.arange(len(sizes) + 1))
        return np.diff(reached, prepend=0.0)

    @property
    def span_names(self) -> list[str]:
        """The name of the span that contains each token's last character; empty where there is none."""
        return names_at(self.spans, self.passage.tolist(), self.end.tolist())

    @property
    def unread(self) -> tuple[str, ...]:
        """The slices that no token covers, in reading order."""
        return tuple(self.token[row] for row in np.flatnonzero(self.token_id == UNREAD))

    def passages_without_tokens(self) -> list[int]:
        """Return the passages that are one row, which no token covers: a ledger's worker could not score them."""
        alone = np.diff(self.passage, prepend=-1, append=-1) != 0
        return list(self.passage[(self.token_id == UNREAD) & alone[:-1] & alone[1:]].tolist())

    def summary(self) -> ScoreSummary:
        """Return the table in a few numbers."""
        scored, counted = self.scored, self.counted
        n_scored = int(scored.sum())
        return ScoreSummary.of_means(
            n_tokens=int((self.token_id >= 0).sum()),
            n_scored=n_scored,
            n_bytes=int(self.n_bytes[counted].sum()),
            n_unknown=int(self.unknown.sum()),
            n_unread=sum(map(len, self.unread)),
            bits=-float(self.logprob[counted].sum()) / math.log(2),
            mean_logprob=float(self.logprob[scored].mean()) if n_scored else math.nan,
            mean_entropy=float(self.entropy[scored].mean()) if n_scored else math.nan,
            share_rank_1=float((self.rank[scored] == 1).mean()) if n_scored and self._first_known else math.nan,
        )

    @property
    def _first_known(self) -> bool:
        """Return whether ranks or alternatives show for every scored token if it was the first choice."""
        known = ~np.isnan(self.rank)
        if self.spec.top_k:
            known |= ~np.isnan(self.top_logprobs[:, 0])
        return bool(known[self.scored].all())

    @classmethod
    def joined(cls, parts: "Sequence[TokenScores]") -> "TokenScores":
        """Concatenate the tables of consecutive passages of one text, scored with one spec.

        Args:
            parts: The tables, at least one.

        Raises:
            ScoringError: The tables are of several texts or specs.
        """
        first = parts[0]
        if len(parts) == 1:
            return first
        if any((part.text_sha256, part.spec) != (first.text_sha256, first.spec) for part in parts):
            raise ScoringError(f"the parts of {first.text_name!r} are of several texts or settings: score them again")
        columns: dict[str, Any] = {}
        for name in parquet.ALL_COLUMNS:
            values = [getattr(part, name) for part in parts]
            arrays = isinstance(values[0], np.ndarray)
            columns[name] = np.concatenate(values) if arrays else tuple(chain.from_iterable(values))
        return replace(first, **columns)

    def taken(self, rows: NDArray[np.int64]) -> "TokenScores":
        """Return the table with these rows, in this order."""
        whole = {name: getattr(self, name) for name in parquet.ALL_COLUMNS}
        columns: dict[str, Any] = {
            name: column[rows] if isinstance(column, np.ndarray) else tuple(column[row] for row in rows)
            for name, column in whole.items()
        }
        return replace(self, **columns)

    def to_frame(self, *, alternatives: bool = True) -> "pd.DataFrame":
        """Return a pandas data frame with one row per token.

        Its columns are those of this table without the openings, and

        - `surprisal_bits`, minus the logarithm of the token's probability to base 2;
        - `span`, where the text has spans: the name of the one that contains the token;
        - `top_token_1`, `top_logprob_1`, `top_token_2`, ... up to `spec.top_k`: the likeliest tokens, and their log-probs in
          nats.

        `rank` is a nullable integer. What is not scored is missing.

        Args:
            alternatives: Whether the likeliest tokens have columns.
        """
        import pandas as pd

        columns: dict[str, Any] = {name: getattr(self, name) for name in ("passage", "position", "token_id")}
        if self.spans:
            columns["span"] = self.span_names
        columns["token"] = list(self.token)
        columns |= {name: getattr(self, name) for name in ("start", "end", "first_character", "n_bytes", "unknown", "logprob")}
        columns["surprisal_bits"] = -self.logprob / math.log(2) + 0.0  # 0 bits, not -0
        columns["rank"] = pd.array(self.rank, dtype="Float64").astype("Int64")
        columns["entropy"] = self.entropy
        for k in range(self.spec.top_k if alternatives else 0):
            known = (self.top_ids[:, k] >= 0).tolist()
            names = [row[k] if there else None for row, there in zip(self.top_tokens, known, strict=True)]
            columns |= {f"top_token_{k + 1}": names, f"top_logprob_{k + 1}": self.top_logprobs[:, k]}
        return pd.DataFrame(columns)  # at once: column by column takes five times as long

    def to_json(self) -> dict[str, Any]:
        """Return the text's object in the output of `tokenviz score --json`: plain values, None where unscored."""
        summary = {name: nan_to_none(value) for name, value in asdict(self.summary()).items()}
        rows = [self._row(i) for i in range(len(self))]
        if self.spans:
            rows = [{**row, "span": name} for row, name in zip(rows, self.span_names, strict=True)]
        return {"name": self.text_name, "sha256": self.text_sha256, "tokens": rows, "summary": summary}

    def _row(self, i: int) -> dict[str, Any]:
        values = ((name, getattr(self, name)[i]) for name in _IN_JSON)
        row = {name: nan_to_none(value.item() if isinstance(value, np.generic) else value) for name, value in values}
        row["rank"] = None if row["rank"] is None else int(row["rank"])
        if self.spec.top_k:
            alternatives = zip(self.top_ids[i], self.top_tokens[i], self.top_logprobs[i], strict=True)
            row["top"] = [
                {"token_id": int(token_id), "token": token, "logprob": float(logprob)}
                for token_id, token, logprob in alternatives
                if token_id >= 0
            ]
        return row

    def save(self, path: Path | str, *, slim: bool = False) -> None:
        """Write one Parquet file that `TokenScores.load` reads back unchanged.

        Args:
            path: The file.
            slim: Whether to leave out the columns that the text and the tokenizer give back. `import_scores` reads such a file,
                with both at hand, and returns this table unchanged.

        Raises:
            ScoringError: The table cannot be slim: its tokens are not those that the tokenizer makes of the text today.
            DiskError: The file cannot be written.
        """
        parquet.save_parts([self], Path(path), slim=slim)

    @classmethod
    def load(cls, path: Path | str) -> "TokenScores":
        """Read a file that `save` wrote, in this version or in one with format 3.

        Raises:
            ScoringError: The file is not a token table, is damaged or slim, or has a format that this version does not know.
        """
        return parquet.read(Path(path), cls._of_table)

    @classmethod
    def parts(cls, path: Path, give_back: parquet.GiveBack | None = None) -> "Iterator[TokenScores]":
        """Read what `save` or `score_to_file` wrote one row group after the other: only one needs to be in memory.

        Joined by `TokenScores.joined` they are what `load` returns.

        Args:
            path: The file.
            give_back: Makes the columns that a slim table lacks; by default none, and a slim table is refused.

        Returns:
            An iterator over consecutive parts of the table.

        Raises:
            ScoringError: The file is no table of scores, or of a newer format; or what is given back is not what was left out,
                which is known only after the last part.
        """
        return parquet.read_parts(path, cls._of_table, give_back)

    @classmethod
    def _of_table(cls, table: "pa.Table", about: dict[str, Any]) -> "TokenScores":
        """Return the table of a file that `save` wrote, or of a part; a damaged file may raise any error."""
        import pyarrow as pa

        spec = ScoreSpec.of(about)
        values = {"text_name": about["text_name"], "text_sha256": about["text_sha256"]}
        kinds = dict.fromkeys(values, str) | {field.name: field.type for field in fields(spec) if field.type in (str, int)}
        for name, value in {**values, **vars(spec)}.items():
            if name in kinds and type(value) is not kinds[name]:
                raise TypeError(f"{name} is {value!r}")
        if about["format"] == "3":
            table = parquet.with_bytes_of_slices(table)
        column = {name: table.column(name).cast(kind) for name, kind in parquet.COLUMNS.items()}
        for name, array in column.items():
            if array.null_count and name != "rank":
                raise ValueError(f"the column {name} has gaps")
        n, k = table.num_rows, spec.top_k
        top_tokens = tuple(map(tuple, table.column("top_tokens").to_pylist())) if k else ((),) * n
        if {*map(len, top_tokens)} - {k}:
            raise ValueError(f"there are not {k} alternatives everywhere")
        return cls(
            **values,
            spec=spec,
            token=tuple(column.pop("token").to_pylist()),
            rank=column.pop("rank").cast(pa.float64()).to_numpy(),
            top_ids=np.array(table.column("top_ids").to_pylist() if k else [], np.int64).reshape(n, k),
            top_logprobs=np.array(table.column("top_logprobs").to_pylist() if k else [], float).reshape(n, k),
            top_tokens=top_tokens,
            spans=tuple(tuple(Span(str(n), int(i), int(j)) for n, i, j in own) for own in about.get("spans", [])),
            **{name: array.to_numpy() for name, array in column.items()},
        )


def tables_in(given: TokenScores | Iterable[TokenScores], error: type[TokenvizError]) -> list[TokenScores]:
    """Return the token tables in one of them or in several.

    Args:
        given: One table or several.
        error: The error to raise.

    Raises:
        TokenvizError: Something else is given.
    """
    tables = list(given) if isinstance(given, Iterable) else [given]
    for one in tables:
        check_kind(one, TokenScores, error, "scores: give what score returns, or a list of such")
    return tables


def nan_to_none(value: Any) -> Any:
    """Return None for a float that JSON cannot write (NaN, infinity), and anything else unchanged."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _perplexity(summary: ScoreSummary) -> str:
    value = summary.perplexity_per_token
    return display.number(value, ",.2f" if value < 1e6 else ".3g")
