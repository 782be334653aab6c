"""Keeping transformers' own bars and warnings off stderr, where tokenviz shows one progress of its own."""


def quiet_transformers() -> None:
    """Leave only errors of transformers; called by whatever is about to use it."""
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
