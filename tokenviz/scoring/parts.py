"""Parts of a text: consecutive passages that go through the model together.

Which passages share a pack affects the last bits of their log-probs. The parts depend on the text alone, so that a text gets
the same bits whether it is scored in one call, into a file, or in shards by many workers.
"""

from collections.abc import Iterator, Sequence

PART_CHARACTERS = 1 << 17
"""The most characters in a part of several passages: enough tokens for full packs, and some tens of megabytes of rows."""


def parts_of(passages: Sequence[str], most: int | None = None) -> Iterator[tuple[int, int]]:
    """Group passages into parts.

    What comes after the end of a part does not depend on what was before it: passages from there on are grouped as in the whole
    text.

    Args:
        passages: The passages of a text.
        most: The most characters in a part; by default `PART_CHARACTERS`. A longer passage is a part by itself.

    Yields:
        The first passage of each part, and one past its last.
    """
    most = most or PART_CHARACTERS
    begin = size = 0
    for number, passage in enumerate(passages):
        if passage and size and size + len(passage) > most:
            yield begin, number
            begin, size = number, 0
        size += len(passage)
    yield begin, len(passages)
