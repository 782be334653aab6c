"""Silence for transformers: its progress bars and warnings are hidden, since tokenviz shows its own progress."""


def quiet_transformers() -> None:
    """Hide all messages of transformers except errors; call this before using transformers."""
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
