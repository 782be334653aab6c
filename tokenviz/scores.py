"""What one model predicted of one text: a row a token, and the settings that produced it.

`TokenScores` is the table that everything above is made of; `ScoreSpec` says which model, tokenizer, dtype,
BOS mode and windows gave it. Both are stored in one Parquet file and come back from it unchanged.
"""

import json
import math
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from tokenviz import display, durable, slim_tables
from tokenviz.errors import DiskError, ScoringError
from tokenviz.score_summary import ScoreSummary
from tokenviz.spans import Span

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

BosMode = str  # "auto", "always", "never", or a token of the vocabulary by its string
Spaces = Literal["front", "apart", "none"]
FORMAT_VERSION = "4"
READABLE_FORMATS = ("3", FORMAT_VERSION)
SCORING_VERSION = 4  # raise it when the same settings would give other numbers

# In the place of a token id, in rows without a score.
UNREAD = -1  # characters that no token stands for
REST = -2  # characters of the token before that come after characters that no token stands for

IMPORTED = "imported: "
"""How the source and the identity begin of scores that another engine computed; see `tokenviz.dumps.importing`."""

_ROWS_SHOWN = 20  # of a table, in a notebook
_ALTERNATIVES_SHOWN = 3


@dataclass(frozen=True)
class ScoreSpec:
    """Everything that moves a number, as it was when the scores were computed.

    Attributes:
        model: The model spec, as `ModelSpec.label` writes it.
        source: Where it came from: "catalogue", "folder", "gguf" or "hub"; of scores from elsewhere "imported: " and the engine
            with its version. What nobody said of such scores is "not known", or 0.
        identity: What pins the weights: `sha256:...` of the files, or `commit:...` on a hub.
        tokenizer: sha256 of the tokenizer's vocabulary; equal for the fast and slow variants of one tokenizer.
        spaces: Where the tokenizer leaves the space before a word: at the "front" of the word's first token; "apart", as a
            token by itself, where no token joins a space and a letter; or in "none" of its tokens.
        dtype: The dtype of the weights; the softmax is float32, or wider where the weights are.
        quantize: The block format the linear layers were rounded through, or None.
        device: "cpu", "cuda" or "mps".
        bos: The BOS mode that was asked for, or the start token by its string.
        bos_ids: The ids that opened every window in consequence; empty for none.
        context: The most tokens one window may hold, BOS included.
        stride: How far each window after the first moves on.
        top_k: How many alternatives were kept a position.
        batching: "packed" where sequences went through the model end to end, "padded" where the architecture did not
            allow it and they were padded to one length.
        head: "streamed" where logits were made from hidden states chunk by chunk, "whole" where the
            architecture did not allow it and each window's logits were made at once.
        scoring_version: `SCORING_VERSION` at the time.
        versions: Of the packages that computed.
        weights_sha256: Of a model from a hub, the sha256 of the weights alone: two revisions may serve the same weights. Empty
            for others, whose identity is a sha256 already, and in tables of older versions.
        model_description: What the model is, for a reader; see `tokenviz.models.describing`. Empty in older tables.
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

    @property
    def imported(self) -> bool:
        """Whether the scores are another engine's, so that they cannot be computed again."""
        return self.source.startswith(IMPORTED)


@dataclass(frozen=True, eq=False)
class TokenScores:
    """One row a token, in reading order; all columns have the length n.

    Attributes:
        text_name: The text's name.
        text_sha256: The text's hash, as `Text.sha256`.
        spec: The settings.
        passage: Which passage, from 0. int64.
        position: Which token of the passage, from 0. int64.
        token_id: Its id in the model's vocabulary. `UNREAD` in a row of characters that no token stands for, which the model
            did not read; `REST` in a row of what the token before such a row stands for after it. Both are unscored. int64.
        token: The slice of the original text that it stands for. The slices of a passage, joined, are the
            passage. Where several tokens share one character, the first has it and the others are empty.
        start: First character in the passage. Of a token without characters that is the next token's: join by
            `first_character`. int64.
        end: One past its last character. int64.
        first_character: The character that its first byte is of: `start`, or a character that a token before it has. int64.
        n_bytes: Bytes of the passage in UTF-8 that it stands for; those of a passage add up to the passage's. 0 where it
            shares characters with tokens before it and nobody can tell which bytes are its own: they are all counted with the
            first. In a table of an older version those of `token`. int64.
        unknown: Whether it is the tokenizer's token for what it does not know; False in a table of an older version. bool.
        logprob: Natural logarithm of its probability given the tokens before it; NaN where unscored.
        rank: 1 for the model's first choice: one more than the number of tokens with a greater logit; NaN
            where unscored. float64 of whole numbers.
        entropy: Of the predicted distribution, in nats; NaN where unscored.
        top_ids: (n, k), ids of the k likeliest tokens, likeliest first; -1 where unscored.
        top_logprobs: (n, k), their log-probs in nats; NaN where unscored.
        top_tokens: n tuples of k strings, for the reader; bytes that are no character stand as <0x..>.
        opens: How the token begins: 1 with whitespace (or it is a special token: the text is over), 2 with punctuation or
            a symbol, 0 with part of a word. int8.
        space_logprob: Log of the probability, given the tokens up to this one, that the next token opens with 1; in nats,
            from the prediction of the next token, and of what follows a passage's last token. NaN where `spec.spaces` is
            not "front", and for a passage's only token without a BOS: it is not read by the model.
        punctuation_logprob: The same for tokens that open with 2; minus infinity where the vocabulary has none.
        spans: The text's own, for each passage; empty where it has none. No column, but what sums are taken over.

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
        columns = {name: value for name, value in vars(self).items() if name != "spans"}
        lengths = {name: len(value) for name, value in columns.items() if isinstance(value, np.ndarray | tuple)}
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
        """For a notebook: the text in a few numbers, and its first tokens."""
        summary = self.summary()
        mean, bits = display.number(summary.mean_logprob), display.number(summary.bits_per_byte)
        facts = (
            f"{summary.n_scored:,} of {summary.n_tokens:,} tokens scored, mean log-prob {mean} nats, "
            f"perplexity per token {_perplexity(summary)}, bits per byte {bits}"
        )
        columns = ["passage"] * (self.n_passages > 1) + ["position", "token", "log-prob (nats)", "rank", "entropy (nats)"]
        columns += ["likeliest"] * bool(self.spec.top_k)
        left_out = len(self) - _ROWS_SHOWN
        return display.fragment(
            display.heading("Tokens of “", self.text_name, "” by ", self.spec.model),
            display.line(self.spec.model_description),
            display.line(facts),
            display.table(columns, map(self._shown_row, range(min(len(self), _ROWS_SHOWN))), left=["token", "likeliest"]),
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
        """Which tokens have a prediction, (n,)."""
        return ~np.isnan(self.logprob)

    @property
    def n_passages(self) -> int:
        """Passages that have a token."""
        return len(np.unique(self.passage))

    @property
    def counted(self) -> NDArray[np.bool_]:
        """Which tokens count in bits per byte and per character, (n,): the scored ones.

        Tokens that share characters, with nobody to tell which bytes are whose, count only where all of them are scored.
        """
        if not len(self):
            return self.scored
        opens = (self.n_bytes > 0) | np.append(True, self.passage[1:] != self.passage[:-1])
        together = np.cumsum(opens) - 1  # the number of the group that each row is in
        counted: NDArray[np.bool_] = np.logical_and.reduceat(self.scored, np.flatnonzero(opens))[together]
        return counted

    @property
    def n_characters(self) -> NDArray[np.float64]:
        """How many characters each token stands for, (n,): of one that several tokens share, the share of its bytes."""
        sizes = [len(character.encode()) for character in "".join(self.token)]
        reached = np.interp(np.cumsum(self.n_bytes), np.cumsum([0, *sizes]), np.arange(len(sizes) + 1))
        return np.diff(reached, prepend=0.0)

    @property
    def span_names(self) -> list[str]:
        """The name of the span that each token is in, by its last character; empty where it is in none."""
        ends = [[span.end for span in own] for own in self.spans]
        names = []
        for passage, end in zip(self.passage.tolist(), self.end.tolist(), strict=True):
            place = bisect_left(ends[passage], max(end, 1)) if self.spans else 0
            own = self.spans[passage][place] if self.spans and place < len(ends[passage]) else None
            names.append(own.name if own and max(end, 1) > own.start else "")
        return names

    @property
    def unread(self) -> tuple[str, ...]:
        """The slices that no token stands for, in reading order."""
        return tuple(self.token[row] for row in np.flatnonzero(self.token_id == UNREAD))

    def summary(self) -> ScoreSummary:
        """The table in a few numbers."""
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
        """Whether it is known of every scored token if it was the first choice: by its rank, or by what is likelier."""
        known = ~np.isnan(self.rank)
        if self.spec.top_k:
            known |= ~np.isnan(self.top_logprobs[:, 0])
        return bool(known[self.scored].all())

    @classmethod
    def joined(cls, parts: "Sequence[TokenScores]") -> "TokenScores":
        """Join the tables of consecutive passages of one text, by one spec, end to end.

        Args:
            parts: At least one.

        Raises:
            ScoringError: They are of several texts or specs.
        """
        first = parts[0]
        if len(parts) == 1:
            return first
        if any((part.text_sha256, part.spec) != (first.text_sha256, first.spec) for part in parts):
            raise ScoringError(f"the parts of {first.text_name!r} are of several texts or settings: score them again")
        columns: dict[str, Any] = {}
        for name, value in vars(first).items():
            if isinstance(value, np.ndarray):
                columns[name] = np.concatenate([getattr(part, name) for part in parts])
            elif isinstance(value, tuple) and name != "spans":
                columns[name] = tuple(one for part in parts for one in getattr(part, name))
        return replace(first, **columns)

    def taken(self, rows: NDArray[np.int64]) -> "TokenScores":
        """Return the table with these rows, in this order."""
        columns: dict[str, Any] = {}
        for name, value in vars(self).items():
            if isinstance(value, np.ndarray):
                columns[name] = value[rows]
            elif isinstance(value, tuple) and name != "spans":
                columns[name] = tuple(value[row] for row in rows)
        return replace(self, **columns)

    def to_frame(self) -> "pd.DataFrame":
        """A pandas data frame, one row a token; `rank` is a nullable integer. Alternatives and openings are left out.

        Where the text has spans, `span` is the name of the one that the token is in.
        """
        import pandas as pd

        frame = pd.DataFrame({name: getattr(self, name) for name in ("passage", "position", "token_id")})
        if self.spans:
            frame["span"] = self.span_names
        frame["token"] = list(self.token)
        for name in ("start", "end", "first_character", "n_bytes", "unknown", "logprob"):
            frame[name] = getattr(self, name)
        frame["rank"] = pd.array(self.rank, dtype="Float64").astype("Int64")
        frame["entropy"] = self.entropy
        return frame

    def to_json(self) -> dict[str, Any]:
        """The text's object in the output of `tokenviz score --json`: plain values, None where unscored."""
        summary = {name: nan_to_none(value) for name, value in asdict(self.summary()).items()}
        rows = [self._row(i) for i in range(len(self))]
        if self.spans:
            rows = [{**row, "span": name} for row, name in zip(rows, self.span_names, strict=True)]
        return {"name": self.text_name, "sha256": self.text_sha256, "tokens": rows, "summary": summary}

    def _row(self, i: int) -> dict[str, Any]:
        rank = nan_to_none(float(self.rank[i]))
        row = {
            "passage": int(self.passage[i]),
            "position": int(self.position[i]),
            "token": self.token[i],
            "token_id": int(self.token_id[i]),
            "start": int(self.start[i]),
            "end": int(self.end[i]),
            "first_character": int(self.first_character[i]),
            "n_bytes": int(self.n_bytes[i]),
            "unknown": bool(self.unknown[i]),
            "logprob": nan_to_none(float(self.logprob[i])),
            "rank": None if rank is None else int(rank),
            "entropy": nan_to_none(float(self.entropy[i])),
        }
        if self.spec.top_k:
            alternatives = zip(self.top_ids[i], self.top_tokens[i], self.top_logprobs[i], strict=True)
            row["top"] = [
                {"token_id": int(token_id), "token": token, "logprob": float(logprob)}
                for token_id, token, logprob in alternatives
                if token_id >= 0
            ]
        return row

    def save(self, path: Path) -> None:
        """Write one Parquet file that `TokenScores.load` reads back unchanged.

        Raises:
            DiskError: The file cannot be written.
        """
        save_parts([self], path)

    def _to_table(self) -> "pa.Table":
        import pyarrow as pa

        columns: dict[str, Any] = {
            "passage": pa.array(self.passage),
            "position": pa.array(self.position),
            "token_id": pa.array(self.token_id),
            "token": pa.array(self.token, type=pa.string()),
            "start": pa.array(self.start),
            "end": pa.array(self.end),
            "first_character": pa.array(self.first_character),
            "n_bytes": pa.array(self.n_bytes),
            "unknown": pa.array(self.unknown),
            "logprob": pa.array(self.logprob),
            "rank": pa.array(self.rank, from_pandas=True).cast(pa.int64()),
            "entropy": pa.array(self.entropy),
            "opens": pa.array(self.opens),
            "space_logprob": pa.array(self.space_logprob),
            "punctuation_logprob": pa.array(self.punctuation_logprob),
        }
        if self.spec.top_k:
            columns["top_ids"] = pa.array(list(self.top_ids), type=pa.list_(pa.int64()))
            columns["top_logprobs"] = pa.array(list(self.top_logprobs), type=pa.list_(pa.float64()))
            columns["top_tokens"] = pa.array(self.top_tokens, type=pa.list_(pa.string()))
        about: dict[str, Any] = {
            "format": FORMAT_VERSION,
            "text_name": self.text_name,
            "text_sha256": self.text_sha256,
            "spec": asdict(self.spec),
        }
        if self.spans:  # which versions that do not know them pass over
            about["spans"] = [[[span.name, span.start, span.end] for span in own] for own in self.spans]
        return pa.table(columns).replace_schema_metadata({"tokenviz": json.dumps(about)})

    @classmethod
    def load(cls, path: Path) -> "TokenScores":
        """Read what `save` wrote, now or by a version with format 3.

        Raises:
            ScoringError: The file is not a token table, is damaged, or of a format this version does not know.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            table = pq.read_table(path)
        except (pa.ArrowException, OSError) as error:
            raise ScoringError(f"{str(path)!r} is not a token table: {str(error).splitlines()[0]}") from error
        metadata = (table.schema.metadata or {}).get(b"tokenviz")
        if metadata is None:
            raise ScoringError(f"{str(path)!r} is a Parquet file, but not a token table written by tokenviz")
        try:
            about = json.loads(metadata)
            if about["format"] not in READABLE_FORMATS:
                raise ScoringError(
                    f"{str(path)!r} has table format {about['format']}; this version reads {' and '.join(READABLE_FORMATS)}"
                )
            return cls._of_table(table, about)
        except ScoringError:
            raise
        except (KeyError, TypeError, ValueError, AttributeError, RecursionError, pa.ArrowException) as error:
            reason = " ".join(str(error).split())[:200]
            raise ScoringError(f"{str(path)!r} is a damaged token table ({reason}): score the text again") from error

    @classmethod
    def _of_table(cls, table: "pa.Table", about: dict[str, Any]) -> "TokenScores":
        """What `_to_table` made, or any error that the rest of a damaged file makes."""
        import pyarrow as pa

        spec = ScoreSpec(**{**about["spec"], "bos_ids": tuple(about["spec"]["bos_ids"])})
        values = {"text_name": about["text_name"], "text_sha256": about["text_sha256"]}
        kinds = dict.fromkeys(values, str) | {field.name: field.type for field in fields(spec) if field.type in (str, int)}
        for name, value in {**values, **vars(spec)}.items():
            if name in kinds and type(value) is not kinds[name]:
                raise TypeError(f"{name} is {value!r}")
        if about["format"] == "3":
            table = _with_bytes_of_slices(table)
        column = {name: table.column(name).cast(kind) for name, kind in _COLUMNS.items()}
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


def save_parts(
    parts: Iterable[TokenScores],
    path: Path,
    *,
    passage_ids: Sequence[str] = (),
    footer: Callable[[], Mapping[str, str]] | None = None,
) -> None:
    """Write the consecutive parts of one text's table as one file, each as it comes: only one needs to be in memory.

    The file appears when it is complete.

    Args:
        parts: At least one; all of one text and spec.
        path: As for `TokenScores.save`.
        passage_ids: As in `Text`; they become the file's column `id`, which `TokenScores.load` passes over.
        footer: Called after the last part, gives what else the file's footer says, by key.

    Raises:
        DiskError: The file cannot be written.
    """
    import pyarrow as pa

    unfinished = path.with_name(path.name + ".part")
    try:
        with slim_tables.Writer(unfinished) as writer:
            for part in parts:
                table = part._to_table()
                if passage_ids:
                    table = table.add_column(1, "id", pa.array([passage_ids[i] for i in part.passage], pa.string()))
                writer.write(table)
            if footer:
                writer.add_footer(footer())
        durable.put(unfinished, path)
    except OSError as error:
        raise DiskError(f"cannot write {str(path)!r}: {error}") from error
    finally:
        unfinished.unlink(missing_ok=True)


# All but those of alternatives, with their types in the file.
_COLUMNS = {
    "passage": "int64", "position": "int64", "token_id": "int64", "token": "string", "start": "int64", "end": "int64",
    "first_character": "int64", "n_bytes": "int64", "unknown": "bool", "logprob": "double", "rank": "int64",
    "entropy": "double", "opens": "int8", "space_logprob": "double", "punctuation_logprob": "double",
}  # fmt: skip


def _with_bytes_of_slices(table: "pa.Table") -> "pa.Table":
    """Add the columns that a table of format 3 lacks, as far as its slices tell: shared characters are the first token's."""
    import pyarrow as pa

    tokens, starts = (table.column(name).to_pylist() for name in ("token", "start"))
    first = [start if token else max(0, start - 1) for token, start in zip(tokens, starts, strict=True)]
    table = table.append_column("first_character", pa.array(first, pa.int64()))
    table = table.append_column("n_bytes", pa.array([len(token.encode()) for token in tokens], pa.int64()))
    return table.append_column("unknown", pa.array([False] * len(tokens), pa.bool_()))


def nan_to_none(value: Any) -> Any:
    """None for a float that JSON cannot write (NaN, infinity), everything else as it is."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _perplexity(summary: ScoreSummary) -> str:
    value = summary.perplexity_per_token
    return display.number(value, ",.2f" if value < 1e6 else ".3g")
