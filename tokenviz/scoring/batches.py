"""Putting windows of mixed lengths into padded batches."""

from collections.abc import Sequence

TOKEN_BUDGET = 2048  # padded tokens a batch; above this nothing is gained on a CPU
_MOST_PADDING = 0.1


def plan_batches(lengths: Sequence[int], *, token_budget: int = TOKEN_BUDGET) -> list[list[int]]:
    """Group sequences so that little is padded and no batch is too large.

    Args:
        lengths: Tokens of each sequence.
        token_budget: The most tokens of one batch, padding included; a longer sequence is a batch by itself.

    Returns:
        Indices into `lengths`, each once, longest first: what does not fit in memory fails at the start.
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
