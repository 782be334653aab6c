"""Shards: consecutive whole passages of one text; the cuts depend on the text alone.

Shard 17 of a text has the same passages for every model, so that comparisons can go shard by shard. A shard consists of whole
parts (`tokenviz.scoring.parts`), so that its log-probs are those of the whole text, to the last bit.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

from tokenviz.scoring.parts import parts_of

SHARD_BYTES = 4 << 20
"""Approximate size of a shard in bytes of UTF-8: a minute of a small model on a processor, some seconds on a GPU."""


@dataclass(frozen=True)
class Shard:
    """One shard of a text.

    Attributes:
        begin: Its first passage in the text.
        end: One past its last passage.
        characters: Number of characters in its passages.
        sha256: SHA-256 of the JSON array of its passages. Shards with the same passages are one.
    """

    begin: int
    end: int
    characters: int
    sha256: str


def cut_shards(passages: Sequence[str], *, shard_bytes: int, part_characters: int) -> list[Shard]:
    """Cut a text into shards.

    Args:
        passages: The text's passages.
        shard_bytes: The largest size, in bytes of UTF-8, of a shard of several parts; a part is never cut.
        part_characters: The most characters in a part of several passages, as in `parts_of`.

    Returns:
        Shards that hold each passage once, in order.
    """
    shards: list[Shard] = []
    begin = end = size = 0
    for first, last in parts_of(passages, part_characters):
        more = sum(len(passage.encode()) for passage in passages[first:last])
        if size and size + more > shard_bytes:
            shards.append(_shard(passages, begin, end))
            begin, size = first, 0
        end, size = last, size + more
    return [*shards, _shard(passages, begin, end)]


def _shard(passages: Sequence[str], begin: int, end: int) -> Shard:
    own = passages[begin:end]
    return Shard(begin, end, sum(map(len, own)), sha256_of(own))


def sha256_of(passages: Sequence[str]) -> str:
    """Return the SHA-256 of passages, as `Text.sha256` does for a corpus."""
    return sha256(json.dumps(list(passages), ensure_ascii=False).encode()).hexdigest()
