"""`import_scores`: a file of another engine's log-probs in, token tables out."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tokenviz.base.disk import samples_folder
from tokenviz.base.errors import ScoringError, TextError, did_you_mean
from tokenviz.base.progress import task, warn
from tokenviz.data.parquet import about_file, undamaged
from tokenviz.data.rows import content_of, decoded, lines_of
from tokenviz.data.scores import UNREAD, BosMode, ScoreSpec, TokenScores
from tokenviz.data.sources import Source, source_at
from tokenviz.data.texts import Text
from tokenviz.dumps.forms import Dumped, passages_of
from tokenviz.dumps.matching import Matched, Tokens, match
from tokenviz.dumps.table import Found, columns
from tokenviz.models import tokens
from tokenviz.models.loading import load_tokenizer
from tokenviz.models.offsets import EncodedPassage
from tokenviz.models.spec import ModelSpec

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
        path: A `.jsonl`, `.ndjson` or `.json` file, which may be compressed (`.gz`, `.zst`) and at an address, as a text; a
            `.parquet` file; or the name of a sample in experiments/dumps.
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
    source = find_dump(path)
    spec = ModelSpec.parse(model) if isinstance(model, str) else model
    if is_table(path):
        if (engine, name, bos, generated, skip_bad) != (None, None, "auto", False, False):
            raise TextError(
                f"{str(path)!r} is a token table, which says how it was made: leave out engine, name, bos, generated, skip_bad"
            )
        parts = list(table_parts(source, spec, text))
        assert text is not None
        return Imported(TokenScores.joined(parts), text)
    known = Tokens(load_tokenizer(spec), spec.label, bos)
    engines: Counter[str] = Counter()
    found = Found(known)
    skipped: list[str] = []
    place = 0
    with task(f"matching {source.name}", None, "passages") as advance:
        for where, one in _dumped(source):
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
                    found.add(None, _unscored(known, passage))
                continue
            engines[one.engine] += 1
            found.add(one.id, matched, engine or one.engine)
            advance(1)
    if not engines:
        raise TextError(f"{str(source)!r} has no row that can be imported{': ' + skipped[0] if skipped else ''}")
    if text is not None and place < len(text.passages):
        raise TextError(f"{str(source)!r} has {place} passages, and {text.name!r} has {len(text.passages)}")
    _note(source.name, found, skipped)
    made = text or found.text(source.stem)
    return Imported(found.table(made, engine or next(iter(engines)), name), made, tuple(skipped))


def _dumped(source: Source) -> Iterator[tuple[str, Dumped | TextError]]:
    """Yield every passage of a file, or the error that explains why a row has none."""
    for where, row in rows_of_dump(source):
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


def _note(name: str, found: "Found", skipped: Sequence[str]) -> None:
    rows = found.passages
    if skipped:
        warn(f"{len(skipped)} rows of {name} are left out: {'; '.join(skipped[:_MOST_NAMED])}")
    generated = sum(one.generated for one in rows)
    if generated:
        warn(
            f"{generated} tokens of {name} were generated after a prompt with log-probs and are left out: --generated "
            "takes them as part of the text"
        )
    unfinished = sum(one.unfinished for one in rows)
    if unfinished:
        warn(f"{unfinished} tokens at the ends of passages of {name} are left out: they are no whole character, or no text")
    if found.left_out:
        warn(f"{found.left_out} tokens of {name} that end inside a character have no log-prob: the engine leaves them out")
    others = sum(not one.own for one in rows)
    if others:
        warn(
            f"{others} of {len(rows)} passages of {name} are cut into other tokens than the tokenizer makes of the text: "
            "they are compared over segments or words"
        )


# Slim tables (`TokenScores.save`), which get the missing columns back from text and tokenizer.


def is_table(path: str | Path) -> bool:
    """Return whether a file's name ends as that of a token table does."""
    return str(path).lower().endswith(".parquet")


def table_parts(source: Source, model: ModelSpec, text: Text | None) -> Iterator[TokenScores]:
    """Read a token table part by part, slim or not; only one part needs to be in memory.

    Args:
        source: The Parquet file, on this disk.
        model: A model with the tokenizer of the table's model.
        text: The text that was scored.

    Raises:
        TextError: There is no text.
        ModelError: The model's tokenizer cannot be loaded.
        ScoringError: The table is damaged, of another text, or of another tokenizer.
    """
    if source.files is not None:
        raise TextError(f"{str(source)!r} is a token table at an address: copy it to this disk, and give its path")
    path = Path(source.path)
    about = about_file(path)
    with undamaged(path):
        scored, sha256, spec = str(about["text_name"]), str(about["text_sha256"]), ScoreSpec.of(about)
    if text is None:
        raise TextError(
            f"{str(path)!r} has scores of the text {scored!r}: give that text as well, with --text, in Python text="
        )
    if sha256 != text.sha256:
        raise ScoringError(
            f"{str(path)!r} has scores of the text {scored!r} (sha256 {sha256[:12]}), and {text.name!r} is another (sha256 "
            f"{text.sha256[:12]}): give the text that was scored"
        )
    known = Tokens(load_tokenizer(model), model.label, "auto")
    if spec.tokenizer != tokens.fingerprint(known.tokenizer):
        raise ScoringError(
            f"{str(path)!r} has scores by {spec.model!r}, and the tokenizer of {known.name!r} is another: name a model that "
            "has the same one"
        )
    unread = about["left_out"]["unread"] if "left_out" in about else frozenset()

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
        made = columns(passages, encoded, known)
        strings = np.array(made.pop("token"), object)
        back = {name: column[rows] for name, column in made.items()} | {"token": strings[rows]}
        return back if top_ids is None else back | {"top_tokens": known.readable(top_ids)}

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


def find_dump(given: str | Path) -> Source:
    """Return the file of a dump: a path, an address, or the name of a sample in experiments/dumps.

    Raises:
        TextError: There is no such file.
    """
    source, samples = source_at(given), samples_folder("dumps")
    if source.files is not None or source.suffix or Path(source.path).exists() or not samples.is_dir():
        return source
    by_name = {file.stem: file for file in samples.iterdir() if file.suffix in SUFFIXES}
    if str(given) not in by_name:
        names = ", ".join(sorted(by_name))
        raise TextError(f"no dump at {str(given)!r}: give a file, or a sample: {names}{did_you_mean(str(given), by_name)}")
    return source_at(by_name[str(given)])


def rows_of_dump(source: Source) -> Iterator[tuple[str, object]]:
    """Read the rows of a dump; of JSON Lines, only one is in memory.

    Args:
        source: A file with one of `SUFFIXES`, compressed or not. A line of JSON Lines that is not JSON is one error, and the
            other lines are read.

    Yields:
        The place of a row, for messages, and the row, or the `TextError` about it.

    Raises:
        TextError: The file is missing, of another kind, empty, damaged, or not UTF-8; or a JSON document that cannot be read.
    """
    if source.suffix not in SUFFIXES:
        raise TextError(
            f"cannot read {str(source)!r} as a dump: a file ends in {', '.join(SUFFIXES)}, with .gz or .zst after it where "
            "it is compressed, or in .parquet where it is a token table"
        )
    found = False
    try:
        for where, row in _document(source) if source.suffix == ".json" else _lines(source):
            found = True
            yield where, row
    except OSError as error:
        if isinstance(error, TextError):
            raise
        raise TextError(f"cannot read {str(source)!r}: {error.strerror or error}") from error
    if not found:
        raise TextError(f"{str(source)!r} is empty: it has no row")


def _document(source: Source) -> Iterator[tuple[str, object]]:
    text = decoded(content_of(source), str(source)).removeprefix("\ufeff")
    if not text.strip():
        return
    document = _parsed(text, repr(str(source)))
    if isinstance(document, TextError):
        raise document
    rows = document if isinstance(document, list) else [document]
    yield from ((f"row {number} of {str(source)!r}", row) for number, row in enumerate(rows, 1))


def _lines(source: Source) -> Iterator[tuple[str, object]]:
    for number, line in enumerate(lines_of(source, "\n"), 1):  # only "\n" ends a line: "\r" and U+2028 may occur in JSON
        if line.strip():
            where = f"line {number} of {str(source)!r}"
            yield where, _parsed(line.removesuffix("\n"), where)


def _parsed(text: str, where: str) -> object:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        place = f"column {error.colno}" if "\n" not in text else f"line {error.lineno}"
        return TextError(f"{where} is not JSON: {error.msg} at {place}")
    except (ValueError, RecursionError) as error:  # a number of thousands of digits; deeply nested brackets
        return TextError(f"{where} cannot be read: {error}")
