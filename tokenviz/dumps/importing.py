"""`import_scores`: a file of another engine's log-probs in, token tables out."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tokenviz.base.disk import samples_folder
from tokenviz.base.errors import ScoringError, TextError, did_you_mean
from tokenviz.base.progress import task, warn
from tokenviz.data.parquet import about_file
from tokenviz.data.rows import decoded, say_much
from tokenviz.data.scores import IMPORTED, UNREAD, BosMode, ScoreSpec, TokenScores
from tokenviz.data.texts import Text, corpus, literal
from tokenviz.dumps.forms import Dumped, DumpedToken, passages_of
from tokenviz.dumps.matching import Matched, Tokens, match
from tokenviz.models import tokens
from tokenviz.models.loading import load_tokenizer
from tokenviz.models.offsets import EncodedPassage
from tokenviz.models.spec import ModelSpec
from tokenviz.models.vocabulary import INSIDE

IMPORT_VERSION = 1  # raise it when the same file would give another table

_MOST_NAMED = 20


@dataclass(frozen=True, eq=False)
class Imported:
    """The content of a dump.

    Attributes:
        scores: The token table. Entropies, ranks beyond the alternatives and word starts are missing.
        text: Its text.
        skipped: One line for each row that was left out, with the reason.
    """

    scores: TokenScores
    text: Text = field(repr=False)
    skipped: tuple[str, ...] = ()


def import_scores(
    path: str | Path,
    model: str | ModelSpec,
    *,
    engine: str | None = None,
    name: str | None = None,
    text: Text | None = None,
    bos: BosMode = "auto",
    generated: bool = False,
    skip_bad: bool = False,
) -> Imported:
    """Read log-probs that another engine computed, and check them against the model's tokenizer.

    The file is JSON Lines, with one row per line, or one JSON document: vLLM's `prompt_logprobs`, SGLang's
    `input_token_logprobs`, llama.cpp's `completion_probabilities`, the completions and chat forms of the OpenAI API, or objects
    with `text`, `ids` (or `tokens`) and `logprobs`. Only the model's tokenizer is read, not its weights.

    Or it is a token table that tokenviz wrote (`.parquet`). A slim one gets the missing columns back from the text and the
    tokenizer, and is then the table that was saved, to the bit.

    Args:
        path: A `.jsonl`, `.ndjson`, `.json` or `.parquet` file, or the name of a sample in experiments/dumps.
        model: The model spec whose tokenizer the engine used.
        engine: Name and version of the engine, such as "vLLM 0.11.0"; by default what the rows say.
        name: Name of the model in tables and figures; by default its spec and the engine's name.
        text: The text of the rows, in the order of its passages: a row that continues after its passage is cut there. By
            default the text comes from the rows, and is named after the file.
        bos: What came before each text: "auto" (the default) what the tokenizer itself puts there, "always" its BOS, "never"
            nothing.
        generated: Whether tokens that were generated after a prompt with log-probs belong to the text; by default not.
        skip_bad: Whether to leave bad rows out and list them; where `text` is given their passages stay, without log-probs. By
            default one bad row refuses the file.

    Returns:
        The token table, its text, and the rows that were left out.

    Raises:
        TextError: The file cannot be read, or a row violates its form, contradicts itself or the tokenizer, or has a value that
            is not a log-prob; the message names the row.
        ModelError: The model's tokenizer cannot be loaded.
        ScoringError: `bos` is not possible for this tokenizer; or a token table is damaged, of another text, or of another
            tokenizer.

    Example:
        >>> from pathlib import Path
        >>> row = '{"engine": "mine 1.0", "text": "Alice was", "tokens": ["Alice", " was"], "logprobs": [null, -3.2]}'
        >>> _ = Path("mine.jsonl").write_text(row)
        >>> imported = tv.import_scores("mine.jsonl", "glass-en")
        >>> imported.scores
        TokenScores('mine' by 'glass-en in mine 1.0': 2 tokens, 1 scored, ...)
        >>> imported.scores.spec.source
        'imported: mine 1.0'
    """
    path = find_dump(path)
    spec = ModelSpec.parse(model) if isinstance(model, str) else model
    if is_table(path):
        if (engine, name, bos, generated, skip_bad) != (None, None, "auto", False, False):
            raise TextError(
                f"{str(path)!r} is a token table, which says how it was made: leave out engine, name, bos, generated, skip_bad"
            )
        parts = list(table_parts(path, spec, text))
        assert text is not None
        return Imported(TokenScores.joined(parts), text)
    known = Tokens(load_tokenizer(spec), spec.label, bos)
    engines: Counter[str] = Counter()
    found: list[tuple[Dumped | None, Matched]] = []
    skipped: list[str] = []
    place = 0
    with task(f"reading {path.name}", None, "passages") as advance:
        for where, one in _dumped(path):
            passage = None
            if text is not None:
                if place == len(text.passages):
                    raise TextError(f"{where} comes after the last of the {place} passages of {text.name!r}")
                passage = text.passages[place]
            place += 1
            try:
                if isinstance(one, TextError):
                    raise one
                if engine is None and engines and one.engine not in engines:
                    raise TextError(
                        f"is of {one.engine}, and rows before it are of {next(iter(engines))}: one file, one engine"
                    )
                matched = match(one, known, passage, generated=generated)
            except (TextError, ScoringError) as error:
                message = str(error) if str(error).startswith(where) else f"{where} {error}"
                if not skip_bad:
                    raise TextError(f"{message}; --skip-bad leaves such rows out") from error
                skipped.append(message)
                if passage is not None:
                    found.append((None, _unscored(known, passage)))
                continue
            engines[one.engine] += 1
            found.append((one, matched))
            advance(1)
    if not engines:
        raise TextError(f"{str(path)!r} has no row that can be imported{': ' + skipped[0] if skipped else ''}")
    if text is not None and place < len(text.passages):
        raise TextError(f"{str(path)!r} has {place} passages, and {text.name!r} has {len(text.passages)}")
    rows = [matched for _, matched in found]
    _note(path, rows, skipped)
    made = text or _text_of(path, rows, [one.id if one else None for one, _ in found])
    said = engine or next(iter(engines))
    scores = _table(made, rows, _spec(known, said, name, rows), known)
    return Imported(scores, made, tuple(skipped))


def _dumped(path: Path) -> Iterator[tuple[str, Dumped | TextError]]:
    """Yield every passage of a file, or the error that explains why a row has none."""
    for where, row in rows_of_dump(path):
        rows = row if isinstance(row, list) else [row]  # SGLang answers a batch with a list
        for number, one in enumerate(rows, 1):
            part = f", part {number}" if len(rows) > 1 else ""
            if isinstance(one, TextError):
                yield where, one
                continue
            try:
                passages = list(passages_of(one))
            except TextError as error:
                yield f"{where}{part}", error
                continue
            for choice, passage in enumerate(passages, 1):
                yield f"{where}{part}{f', choice {choice}' if len(passages) > 1 else ''}", passage


def _unscored(known: Tokens, passage: str) -> Matched:
    """Return a passage without log-probs, in the place of a row that was left out."""
    return Matched(passage, tokens.encode(known.tokenizer, passage), (), own=True)


def _note(path: Path, rows: Sequence[Matched], skipped: Sequence[str]) -> None:
    if skipped:
        warn(f"{len(skipped)} rows of {path.name} are left out: {'; '.join(skipped[:_MOST_NAMED])}")
    generated = sum(one.generated for one in rows)
    if generated:
        warn(
            f"{generated} tokens of {path.name} were generated after a prompt with log-probs and are left out: --generated "
            "takes them as part of the text"
        )
    unfinished = sum(one.unfinished for one in rows)
    if unfinished:
        warn(
            f"{unfinished} tokens at the ends of passages of {path.name} are left out: they are no whole character, or no text"
        )
    absent = sum(one.left_out for row in rows for one in row.tokens)
    if absent:
        warn(f"{absent} tokens of {path.name} that end inside a character have no log-prob: the engine leaves them out")
    others = sum(not one.own for one in rows)
    if others:
        warn(
            f"{others} of {len(rows)} passages of {path.name} are cut into other tokens than the tokenizer makes of the text: "
            "they are compared over segments or words"
        )


def _text_of(path: Path, rows: Sequence[Matched], ids: Sequence[str | None]) -> Text:
    names = [one for one in ids if one is not None]
    if len(rows) == 1:
        return literal(rows[0].passage, name=path.stem)
    unique = len(names) == len(rows) == len(set(names))
    return corpus([one.passage for one in rows], name=path.stem, passage_ids=names if unique else None)


def _spec(known: Tokens, engine: str, name: str | None, rows: Sequence[Matched]) -> ScoreSpec:
    # Only what the engine wrote, not how the model would be loaded here: equal dumps are equal runs.
    said = [[[one.token_id, one.logprob, one.rank, *((a.token, a.token_id, a.logprob) for a in one.top)] for one in row.tokens]
            for row in rows]  # fmt: skip
    identity = sha256(json.dumps([IMPORT_VERSION, engine, known.prefix, said]).encode("utf-8", "surrogatepass")).hexdigest()
    top_k = _top_k(rows, known)
    lacks = f"no entropies, {f'ranks to {top_k}' if top_k else 'no ranks'}"
    return ScoreSpec(
        model=name or f"{known.name} in {engine}",
        source=f"{IMPORTED}{engine}",
        identity=f"{IMPORTED}sha256:{identity}",
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


def _top_k(rows: Sequence[Matched], known: Tokens) -> int:
    """Return the number of likeliest tokens at every scored place.

    Some engines add the token itself where it is not among them. Then places differ by one, or it is the last of all
    everywhere, or its rank is greater than their number.
    """
    every = [one for row in rows for one in row.tokens if one.top]
    listed = [one for one in every if _is_whole(one, known)] or every
    if not listed:
        return 0
    least = min(len(one.top) for one in listed)
    added = all(len(one.top) == least and _is_last(one) for one in listed)
    added |= any(one.rank is not None and one.rank > least and len(one.top) == least and _is_last(one) for one in listed)
    return least - added


def _is_whole(one: DumpedToken, known: Tokens) -> bool:
    """Return whether every alternative is known: an object of strings holds only one of several tokens with one string."""
    return all(known.named(other) is not None for other in one.top)


def _is_last(one: DumpedToken) -> bool:
    """Return whether a token is among its alternatives, and none of them is less likely."""
    assert one.logprob is not None
    return min(other.logprob for other in one.top) >= one.logprob - 1e-9 and any(
        other.token_id == one.token_id or (other.token_id is None and other.logprob == one.logprob) for other in one.top
    )


def _table(text: Text, rows: Sequence[Matched], spec: ScoreSpec, known: Tokens) -> TokenScores:
    lengths = [len(row.encoded.ids) for row in rows]
    n, k = sum(lengths), spec.top_k
    logprob, rank = np.full(n, np.nan), np.full(n, np.nan)
    top_ids, top_logprobs = np.full((n, k), -1, np.int64), np.full((n, k), np.nan)
    true_ranks = any(one.rank and one.rank > len(one.top) + 1 for row in rows for one in row.tokens)
    begin = 0
    for row, length in zip(rows, lengths, strict=True):
        for place, one in enumerate(row.tokens):
            if one.logprob is None:
                continue
            logprob[begin + place] = one.logprob
            top = sorted(one.top, key=lambda other: -other.logprob)[:k]
            ahead = sum(other.logprob > one.logprob for other in one.top)
            if ahead < k <= len(one.top) and _is_whole(one, known):
                rank[begin + place] = ahead + 1
            elif one.rank and true_ranks:  # an older vLLM wrote k + 1 for all tokens outside the k likeliest
                rank[begin + place] = one.rank
            for column, other in enumerate(top):
                number = known.named(other)
                if number is None:
                    break  # the string of several tokens, or of none: it and later alternatives stay missing
                top_ids[begin + place, column], top_logprobs[begin + place, column] = number, other.logprob
        begin += length
    return TokenScores(
        text_name=text.name,
        text_sha256=text.sha256,
        spec=spec,
        passage=np.repeat(np.arange(len(rows)), lengths),
        position=np.concatenate([np.arange(length) for length in lengths]),
        logprob=logprob,
        rank=rank,
        entropy=np.full(n, np.nan),
        top_ids=top_ids,
        top_logprobs=top_logprobs,
        top_tokens=known.readable(top_ids.tolist()),
        space_logprob=np.full(n, np.nan),
        punctuation_logprob=np.full(n, np.nan),
        **_columns([row.passage for row in rows], [row.encoded for row in rows], known),
    )


def _columns(passages: Sequence[str], encoded: Sequence[EncodedPassage], known: Tokens) -> dict[str, Any]:
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


# Slim tables (`TokenScores.save`), which get the missing columns back from text and tokenizer.


def is_table(path: str | Path) -> bool:
    """Return whether a file's name ends as that of a token table does."""
    return str(path).lower().endswith(".parquet")


def table_parts(path: Path, model: ModelSpec, text: Text | None) -> Iterator[TokenScores]:
    """Read a token table part by part, slim or not; only one part needs to be in memory.

    Args:
        path: The Parquet file.
        model: A model with the tokenizer of the table's model.
        text: The text that was scored.

    Raises:
        TextError: There is no text.
        ModelError: The model's tokenizer cannot be loaded.
        ScoringError: The table is damaged, of another text, or of another tokenizer.
    """
    about = about_file(path)
    if text is None:
        raise TextError(
            f"{str(path)!r} has scores of the text {about['text_name']!r}: give that text as well, with --text, in Python text="
        )
    if about["text_sha256"] != text.sha256:
        raise ScoringError(
            f"{str(path)!r} has scores of the text {about['text_name']!r} (sha256 {about['text_sha256'][:12]}), and "
            f"{text.name!r} is another (sha256 {text.sha256[:12]}): give the text that was scored"
        )
    known = Tokens(load_tokenizer(model), model.label, "auto")
    spec = ScoreSpec.of(about)
    if spec.tokenizer != tokens.fingerprint(known.tokenizer):
        raise ScoringError(
            f"{str(path)!r} has scores by {spec.model!r}, and the tokenizer of {known.name!r} is another: name a model that "
            "has the same one"
        )
    unread = frozenset(about.get("left_out", {}).get("unread", ()))

    def give_back(
        passage: NDArray[np.int64], position: NDArray[np.int64], top_ids: Sequence[Sequence[int]] | None
    ) -> Mapping[str, Any]:
        numbers, which = np.unique(passage, return_inverse=True)
        passages = [text.passages[number] for number in numbers]
        encoded = [
            _without_tokens(one) if number in unread else tokens.encode(known.tokenizer, one)
            for number, one in zip(numbers.tolist(), passages, strict=True)
        ]
        lengths = np.array([len(one.ids) for one in encoded])
        # A position beyond the passage's tokens gets those of the last: the digest then differs.
        rows = (np.cumsum(lengths) - lengths)[which] + np.minimum(position, lengths[which] - 1)
        made = _columns(passages, encoded, known)
        strings = np.array(made.pop("token"), object)
        columns = {name: column[rows] for name, column in made.items()} | {"token": strings[rows]}
        return columns if top_ids is None else columns | {"top_tokens": known.readable(top_ids)}

    return TokenScores.parts(path, give_back)


def _without_tokens(passage: str) -> EncodedPassage:
    """Return a passage that was not scored: one row, which no token covers."""
    zero = np.zeros(1, np.int64)
    return EncodedPassage(
        ids=np.array([UNREAD]), starts=zero, ends=np.array([len(passage)]), n_bytes=np.array([len(passage.encode())]),
        first_characters=zero, unknown=np.zeros(1, np.bool_),
    )  # fmt: skip


# Reading files of dumps: JSON Lines with one row per line, or one JSON document, an object or a list of them.

SUFFIXES = (".jsonl", ".ndjson", ".json")


def find_dump(source: str | Path) -> Path:
    """Return the file of a dump: a path, or the name of a sample in experiments/dumps.

    Raises:
        TextError: There is no such file.
    """
    path, samples = Path(source), samples_folder("dumps")
    if path.suffix or path.exists() or not samples.is_dir():
        return path
    by_name = {file.stem: file for file in samples.iterdir() if file.suffix in SUFFIXES}
    if str(source) not in by_name:
        names = ", ".join(sorted(by_name))
        raise TextError(f"no dump at {str(source)!r}: give a file, or a sample: {names}{did_you_mean(str(source), by_name)}")
    return by_name[str(source)]


def rows_of_dump(path: Path) -> Iterator[tuple[str, object]]:
    """Read the rows of a dump.

    Args:
        path: A file with one of `SUFFIXES`. A line of JSON Lines that is not JSON is one error, and the other lines are read.

    Yields:
        The place of a row, for messages, and the row, or the `TextError` about it.

    Raises:
        TextError: The file is missing, of another kind, empty, or not UTF-8; or a JSON document that cannot be read.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise TextError(f"cannot read {str(path)!r} as a dump: a file ends in {', '.join(SUFFIXES)}")
    try:
        say_much(repr(str(path)), path.stat().st_size)
        text = decoded(path.read_bytes(), str(path)).removeprefix("\ufeff")
    except OSError as error:
        if isinstance(error, TextError):
            raise
        raise TextError(f"cannot read {str(path)!r}: {error.strerror or error}") from error
    if not text.strip():
        raise TextError(f"{str(path)!r} is empty: it has no row")
    if path.suffix.lower() == ".json":
        document = _parsed(text, repr(str(path)))
        if isinstance(document, TextError):
            raise document
        rows = document if isinstance(document, list) else [document]
        yield from ((f"row {number} of {str(path)!r}", row) for number, row in enumerate(rows, 1))
        return
    for number, line in enumerate(text.split("\n"), 1):  # only "\n" ends a line: "\r" and U+2028 may occur in JSON
        if line.strip():
            where = f"line {number} of {str(path)!r}"
            yield where, _parsed(line, where)


def _parsed(text: str, where: str) -> object:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        place = f"column {error.colno}" if "\n" not in text else f"line {error.lineno}"
        return TextError(f"{where} is not JSON: {error.msg} at {place}")
    except (ValueError, RecursionError) as error:  # a number of thousands of digits; deeply nested brackets
        return TextError(f"{where} cannot be read: {error}")
