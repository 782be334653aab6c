"""Shards: consecutive whole passages of one text, cut by the text alone.

Shard 17 of a text holds the same passages for every model, so that comparisons go shard by shard. A shard is made of whole
parts (see `tokenviz.scoring.parts`), which makes its log-probs those of the whole text, to the last bit.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

from tokenviz.scoring.parts import parts_of

SHARD_BYTES = 4 << 20
"""About how much UTF-8 a shard holds: a minute of a small model on a processor, some seconds of it on a GPU."""


@dataclass(frozen=True)
class Shard:
    """One shard of a text.

    Attributes:
        begin: Its first passage in the text.
        end: One past its last.
        characters: In its passages.
        sha256: Of the JSON array of its passages. Shards with the same passages are one.
    """

    begin: int
    end: int
    characters: int
    sha256: str


def cut_shards(passages: Sequence[str], *, shard_bytes: int, part_characters: int) -> list[Shard]:
    """Cut a text into shards.

    Args:
        passages: The text's.
        shard_bytes: The most UTF-8 of a shard of several parts; a part is never cut.
        part_characters: See `parts_of`.

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
    """Hash passages as `Text.sha256` does those of a corpus."""
    return sha256(json.dumps(list(passages), ensure_ascii=False).encode()).hexdigest()
