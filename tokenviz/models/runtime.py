"""Settings of torch and transformers before a model is loaded: quiet, and exact from the first pass on."""


# Silence for transformers: its progress bars and warnings are hidden, since tokenviz shows its own progress.


def quiet_transformers() -> None:
    """Hide all messages of transformers except errors; call this before using transformers."""
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()


# A work-around that makes the elementary functions of a process's first forward pass as exact as those of later ones.


def warm_up_vector_math() -> None:
    """Make the process's first call of an elementary function in a single thread.

    The library behind PyTorch's cos, exp, tanh and others on x86 processors (MKL's vector mathematics) looks up its routines at
    the first call. When several threads make that call together, one may get a routine of 12 bits (pytorch/pytorch#188792). In
    up to 7 of 100 forked processes the first cosines were wrong by 1.5e-4 in one thread's half. In a first pass of Gemma 3 half
    of the positions had logits wrong by 0.08. After a call by a single thread nothing was wrong in 10,000 trials.
    """
    import torch

    torch.ones(1).exp()
