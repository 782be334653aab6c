"""Reading a tokenizer from a folder, and errors about damaged files as one line."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tokenviz.errors import ModelError
from tokenviz.models.pieces import check_pieces


def read_tokenizer(folder: Path, label: str) -> Any:
    """Read the tokenizer of a folder; no code that comes with it is run.

    Args:
        folder: The folder that holds the tokenizer.
        label: The model's label, for messages.

    Raises:
        ModelError: The tokenizer was built from a sentencepiece model and tokenizes differently.
        Exception: Whatever the libraries raise; `readable` turns it into one line.
    """
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(str(folder), local_files_only=True, trust_remote_code=False)
    tokenizer("a")  # some invalid settings are detected only here
    check_pieces(tokenizer, folder, label)
    return tokenizer


@contextmanager
def readable(label: str) -> Iterator[None]:
    """Turn whatever libraries raise for damaged files into one line."""
    try:
        yield
    except ModelError:
        raise
    except BaseException as error:  # tokenizers raises bare exceptions, and Rust panics, which are not Exceptions
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        raise ModelError(f"cannot load {label!r}: {_one_line(error)}") from error


def _one_line(error: BaseException) -> str:
    return re.sub(r"\s+", " ", str(error)).strip()[:300] or type(error).__name__
