"""The parts of a text: consecutive passages that go through the model in each other's company.

Which passages share a pack moves the last bits of their log-probs. The cut depends on the text alone, so that a text has the
same bits whether it is scored in one go, into a file, or in shards by many workers.
"""

from collections.abc import Iterator, Sequence

PART_CHARACTERS = 1 << 17
"""The most characters of a part of several passages: enough tokens for full packs, and some tens of megabytes of rows."""


def parts_of(passages: Sequence[str], most: int | None = None) -> Iterator[tuple[int, int]]:
    """Cut passages into parts.

    What comes after a cut does not depend on what was before it: passages that begin at a cut are cut as in the whole.

    Args:
        passages: Of a text.
        most: Characters of a part; by default `PART_CHARACTERS`. A longer passage is a part by itself.

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
