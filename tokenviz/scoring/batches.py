"""Padded batches of windows of different lengths."""

from collections.abc import Sequence

TOKEN_BUDGET = 2048  # padded tokens per batch; on a processor a larger batch is not faster
_MOST_PADDING = 0.1


def plan_batches(lengths: Sequence[int], *, token_budget: int = TOKEN_BUDGET) -> list[list[int]]:
    """Group sequences into batches with little padding and a bounded size.

    Args:
        lengths: Number of tokens of each sequence.
        token_budget: The most tokens of one batch, padding included; a longer sequence is a batch by itself.

    Returns:
        Batches of indices into `lengths`. Each index occurs once. The longest come first, so that a batch that does not fit in
        memory fails at the start.
    """
    order = sorted(range(len(lengths)), key=lambda i: (-lengths[i], i))
    batches: list[list[int]] = []
    longest = used = 0
    for i in order:
        padded = longest * (len(batches[-1]) + 1) if batches else 0
        if not batches or padded > token_budget or padded - used - lengths[i] > _MOST_PADDING * padded:
            batches.append([])
            longest, used = lengths[i], 0
        batches[-1].append(i)
        used += lengths[i]
    return batches
