"""Token spans: which characters and bytes of a passage each token covers.

The tokenizers library reports offsets, but they are not sufficient. A normaliser to NFC reports a composed letter as the first
of its characters alone. Tokens that share a character report the same one. BPE that drops unknown characters counts all later
offsets of the word from the wrong character (https://github.com/huggingface/tokenizers/issues/813). So the bytes of the tokens
are aligned with the bytes of the passage. The reported offsets are used for unknown tokens, and where a normaliser changes more
than single characters.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tokenviz.base.characters import cluster_ends
from tokenviz.data.scores import REST, UNREAD
from tokenviz.models.vocabulary import Vocabulary, in_spaces

Ints = NDArray[np.int64]
Offsets = Sequence[tuple[int, int]]

_DROPPED = -1  # in the place of a token: no token covers it
_LONGEST_CLUSTER = 64  # characters; real letters have fewer marks, and the time grows with the square


@dataclass(frozen=True)
class EncodedPassage:
    """The rows of a passage; their spans cover every character once, in order and without gaps. All columns have length n.

    Attributes:
        ids: Token ids; `UNREAD` and `REST` in rows of characters where no token starts.
        starts: First character of each row, in the passage.
        ends: One past the last character of each row.
        n_bytes: Number of UTF-8 bytes of the passage that each row covers.
        first_characters: The character that contains the row's first byte.
        unknown: Whether the row's token is the unknown token.
    """

    ids: Ints
    starts: Ints
    ends: Ints
    n_bytes: Ints
    first_characters: Ints
    unknown: NDArray[np.bool_]


@dataclass
class _Unit:
    """Characters that are not divided, their bytes after normalisation, and the tokens that these bytes are in.

    Attributes:
        start: First character, in the passage.
        end: One past the last character.
        met: The bytes that the normaliser makes of them; empty where it drops them.
        as_written: Whether these are their own bytes, so that a token's share of them is known.
        blank: Whether they are whitespace, which many tokenizers drop.
        owners: The token that each of the bytes is in, or `_DROPPED`; for changed characters there may be fewer. Empty where no
            token covers them and none has to.
    """

    start: int
    end: int
    met: bytes
    as_written: bool
    blank: bool
    owners: list[int] = field(default_factory=list)


def place(tokenizer: Any, passage: str, ids: Sequence[int], offsets: Offsets) -> EncodedPassage | None:
    """Find the characters and bytes that the tokens of a passage cover.

    Args:
        tokenizer: A fast tokenizer.
        passage: The text that was tokenized.
        ids: The tokens, at least one.
        offsets: The offsets that the tokenizer reports, one pair per token.

    Returns:
        The rows; None where the tokens' bytes do not match the passage and the offsets cannot be trusted.
    """
    vocabulary = Vocabulary.of(tokenizer)
    contents = [vocabulary.content(number) for number in ids]
    written = _as_written(vocabulary, passage, ids, contents)
    if written is not None:
        return written
    reading = _Reading(tokenizer, vocabulary, passage)
    unknown = [
        number == vocabulary.unknown and in_spaces(passage[start:end]).strip().encode() != content.strip()
        for number, content, (start, end) in zip(ids, contents, offsets, strict=True)
    ]
    anchors = [i for i, number in enumerate(ids) if unknown[i] or number in vocabulary.added]
    units = _walked(reading, contents, anchors, offsets) or _reported(reading, contents, unknown, offsets)
    return None if units is None else _rows(passage, ids, unknown, units)


def as_written(tokenizer: Any, passage: str, ids: Sequence[int]) -> EncodedPassage | None:
    """Find the characters that tokens cover whose concatenated bytes are those of a passage, whoever tokenized it.

    Args:
        tokenizer: A fast tokenizer; the ids need not be those that it makes of the passage.
        passage: The text.
        ids: The tokens, at least one.

    Returns:
        The rows; None where the bytes differ.
    """
    vocabulary = Vocabulary.of(tokenizer)
    return _as_written(vocabulary, passage, ids, [vocabulary.content(number) for number in ids])


def _as_written(vocabulary: Vocabulary, passage: str, ids: Sequence[int], contents: list[bytes]) -> EncodedPassage | None:
    """Return rows for tokens whose concatenated bytes are those of the passage, perhaps with a space before it."""
    source, joined = passage.encode(), b"".join(contents)
    inserted = joined == b" " + source
    if not (joined == source or inserted):
        return None
    if not vocabulary.by_bytes and in_spaces(passage) != passage:
        return None  # a token for the literal space mark would be confused with one for a space
    ends = np.maximum(np.cumsum([len(content) for content in contents]) - inserted, 0)
    begins = np.append(0, ends[:-1])
    first_of_character = (np.frombuffer(source, np.uint8) & 0xC0) != 0x80
    begun = np.append(0, np.cumsum(first_of_character))  # number of characters that begin before each byte
    return EncodedPassage(
        ids=np.array(ids, np.int64),
        starts=begun[begins],
        ends=begun[ends],
        n_bytes=ends - begins,
        first_characters=begun[np.minimum(begins + 1, len(source))] - 1,
        unknown=np.zeros(len(ids), np.bool_),
    )


class _Reading:
    """A passage as the tokenizer normalises and splits it."""

    def __init__(self, tokenizer: Any, vocabulary: Vocabulary, passage: str) -> None:
        self._backend, self.vocabulary, self.passage = tokenizer.backend_tokenizer, vocabulary, passage
        self._normalised: dict[str, str] = {}
        self.units = list(self._cut())
        whole = self._normalise(passage)
        self.whole = in_spaces(whole).encode()
        self.cut_out, self.blanks_known = self._cut_out(whole)

    def _normalise(self, text: str) -> str:
        normalizer = self._backend.normalizer
        return text if normalizer is None else str(normalizer.normalize_str(text))

    def met(self, text: str) -> str:
        """Return the normalised form of a part of the passage, without what the normaliser adds to the ends of texts."""
        found = self._normalised.get(text)
        if found is None:
            before, within = self._normalise("a"), self._normalise(f"a{text}a")
            whole = len(within) > len(before) and within.startswith(before) and within.endswith("a")
            found = within[len(before) : -1] if whole else self._normalise(text)
            self._normalised[text] = found
        return found

    def _cut(self) -> Iterable[_Unit]:
        """Yield grapheme clusters, split further where the normaliser treats the parts independently and drops none."""
        for start, end in pairwise([0, *cluster_ends(self.passage)]):
            begin = start
            for place in range(start + 1, min(end, start + _LONGEST_CLUSTER)):
                before, after = self.met(self.passage[begin:place]), self.met(self.passage[place:end])
                if bool(before) == bool(after) and before + after == self.met(self.passage[begin:end]):
                    yield self._unit(begin, place)
                    begin = place
            yield self._unit(begin, end)

    def _unit(self, start: int, end: int) -> _Unit:
        text = self.passage[start:end]
        met = self.met(text)
        return _Unit(start, end, in_spaces(met).encode(), met == text, text.isspace())

    def _cut_out(self, whole: str) -> tuple[set[int], bool]:
        """Return the starts of the units that the pre-tokenizer drops, and whether they are known."""
        cutter = self._backend.pre_tokenizer
        if self.whole != b"".join(unit.met for unit in self.units):
            return set(), False
        kept = np.zeros(len(whole), bool)
        for _, (start, end) in [("", (0, len(whole)))] if cutter is None else cutter.pre_tokenize_str(whole):
            kept[start:end] = True
        left_out, place = set(), 0
        for unit in self.units:
            length = len(unit.met.decode())
            if length and not kept[place : place + length].any():
                left_out.add(unit.start)
            place += length
        return left_out, True

    def droppable(self, unit: _Unit, place: int) -> bool:
        """Return whether the tokenizer may have dropped what a unit has from one of its bytes on."""
        if not self.vocabulary.drops:
            return False
        if self.vocabulary.by_bytes:
            return not self.vocabulary.knows_byte(unit.met[place])
        return not place and not all(map(self.vocabulary.knows, unit.met.decode()))


def _walked(reading: _Reading, contents: list[bytes], anchors: list[int], offsets: Offsets) -> list[_Unit] | None:
    """Match the bytes of all units with those of the tokens, one after the other; None where they do not match.

    Unknown tokens, and tokens that are found in the text before it is split, get the characters that the tokenizer reports.
    """
    units = reading.units
    token = number = 0
    tokens = list(enumerate(contents))
    for anchor in [*anchors, len(contents)]:
        start, end = offsets[anchor] if anchor < len(contents) else (len(reading.passage), len(reading.passage))
        before = number
        while before < len(units) and units[before].end <= start:
            before += 1
        if not _walk(reading, units[number:before], tokens[token:anchor]):
            return None
        number, token = before, anchor + 1
        while anchor < len(contents) and number < len(units) and units[number].start < end:
            units[number].owners.append(anchor)
            number += 1
    return units


def _walk(reading: _Reading, units: list[_Unit], tokens: list[tuple[int, bytes]]) -> bool:
    """Assign each byte of the units to the token that contains it, or to none; return False where they do not match."""
    left = b"".join(content for _, content in tokens)
    token_of = [number for number, content in tokens for _ in content]
    place = 0
    for unit in units:
        byte = 0
        while byte < len(unit.met):
            cut_out = unit.start in reading.cut_out
            if not cut_out and left[place : place + 1] == unit.met[byte : byte + 1]:
                unit.owners.append(token_of[place])
                place += 1
                byte += 1
            elif unit.blank and not byte and (cut_out or not reading.blanks_known):
                break  # dropped between words, by design
            elif cut_out or reading.droppable(unit, byte):
                count = 1 if reading.vocabulary.by_bytes and not cut_out else len(unit.met)
                unit.owners += [_DROPPED] * count
                byte += count
            elif unit.blank and not byte:
                break
            elif left[place : place + 1] == b" ":
                place += 1  # a space that the tokenizer puts before a word
            elif unit.met[byte : byte + 1] == b" ":
                byte += 1  # a space that the normaliser puts next to a character
            else:
                return False
        if not unit.met and not unit.blank:
            unit.owners.append(_DROPPED)
    return not left[place:].strip(b" ")


def _reported(reading: _Reading, contents: list[bytes], unknown: list[bool], offsets: Offsets) -> list[_Unit] | None:
    """Assign units to tokens by the reported offsets: whole grapheme clusters where tokens share or drop characters."""
    complete = not any(unknown) and b"".join(contents).replace(b" ", b"") == b"".join(reading.whole.split(b" "))
    if reading.vocabulary.drops and not complete:
        return None
    passage = reading.passage
    tokens_of: list[list[int]] = [[] for _ in passage]
    for number, (start, end) in enumerate(offsets):
        for character in range(start, end):
            tokens_of[character].append(number)
    units = []
    for start, end in pairwise([0, *cluster_ends(passage)]):
        tokens = sorted({number for one in tokens_of[start:end] for number in one})
        if tokens and all(len(one) == 1 for one in tokens_of[start:end]):
            units += [
                _Unit(place, place + 1, b"", False, passage[place].isspace(), tokens_of[place]) for place in range(start, end)
            ]
            continue
        blank = passage[start:end].isspace()
        harmless = blank or (complete and bool(reading.met(passage[start:end])))
        units.append(_Unit(start, end, b"", False, blank, tokens or ([] if harmless else [_DROPPED])))
    return units


def _rows(passage: str, ids: Sequence[int], unknown: list[bool], units: list[_Unit]) -> EncodedPassage:
    """Make rows from tokens and dropped characters, in reading order."""
    rows = _Rows(ids)
    for unit in units:
        if not unit.owners:
            continue  # the next row covers it too
        size = len(passage[unit.start : unit.end].encode())
        skipped = len(passage[rows.end : unit.start].encode())
        if _DROPPED in unit.owners:
            rows.leave_out(unit, skipped, size)
        else:
            rows.read(unit, skipped, size)
    return rows.finished(passage, unknown)


class _Rows:
    """Rows under construction."""

    def __init__(self, ids: Sequence[int]) -> None:
        self._ids = ids
        self._token_rows: list[int] = []  # row of each token that has one
        self._rows: list[list[int]] = []  # id, end, bytes, first character; -1 where the first character is not known yet

    @property
    def end(self) -> int:
        """One past the last character of the rows."""
        return self._rows[-1][1] if self._rows else 0

    def _open(self, number: int) -> None:
        self._rows.append([number, self.end, 0, -1])

    def _row_of(self, token: int) -> list[int]:
        """Return the row of a token; earlier tokens that cover nothing get their rows first."""
        while len(self._token_rows) <= token:
            self._token_rows.append(len(self._rows))
            self._open(self._ids[len(self._token_rows) - 1])
        return self._rows[self._token_rows[token]]

    def _add(self, token: int, share: int, character: int) -> None:
        row = self._row_of(token)
        row[2] += share
        row[3] = character if row[3] < 0 else row[3]

    def read(self, unit: _Unit, skipped: int, size: int) -> None:
        """Add characters that the model reads to the first of their tokens, and their bytes to each token where known."""
        first = unit.owners[0]
        self._add(first, skipped, self.end if skipped else unit.start)
        since = self._rows[self._token_rows[first] :]
        if all(row[0] != UNREAD for row in since):
            for row in since:
                row[1] = unit.end  # later rows share its characters
        else:
            if self._rows[-1][0] != REST:
                self._open(REST)
            self._rows[-1][1] = unit.end
        shares = _shares(unit, size) or [size] + [0] * (len(unit.owners) - 1)
        for token, share in zip(unit.owners, shares, strict=True):
            self._add(token, share, unit.start)

    def leave_out(self, unit: _Unit, skipped: int, size: int) -> None:
        """Add characters that no token covers, or of which tokens cover some bytes only."""
        shares = _shares(unit, size)
        own: list[int] | None = None  # the row of the uncovered characters
        for place, token in enumerate(unit.owners):
            share = shares[place] if shares else 0
            if token != _DROPPED:
                self._add(token, share, unit.start)
                continue
            if own is None:
                if not self._rows or self._rows[-1][0] != UNREAD:
                    self._open(UNREAD)
                    self._rows[-1][3] = self._rows[-1][1]
                own = self._rows[-1]
                own[1] = unit.end
                own[2] += skipped + (0 if shares else size)
            own[2] += share

    def finished(self, passage: str, unknown: list[bool]) -> EncodedPassage:
        """Return the rows; what the tokenizer drops at the end of the passage belongs to the last one."""
        self._row_of(len(self._ids) - 1)
        last = self._rows[-1]
        last[2] += len(passage[last[1] :].encode())
        last[1] = len(passage)
        ids, ends, n_bytes, first = np.array(self._rows, np.int64).T
        starts = np.append(0, ends[:-1])
        of_token = np.zeros(len(ids), np.bool_)
        of_token[self._token_rows] = unknown
        first = np.where(first < 0, np.minimum(starts, len(passage) - 1), first)
        return EncodedPassage(ids, starts, ends, n_bytes, first, of_token)


def _shares(unit: _Unit, size: int) -> list[int] | None:
    """Return the number of bytes in each of a unit's tokens; None where it is not known."""
    return [1] * size if unit.as_written and len(unit.owners) == size else None
