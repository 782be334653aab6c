"""Predictions of a text by one model, kept on disk, so that another model can be compared when it is in memory alone.

The logits are kept as the model gave them, in float32 (float64 for a float64 model). Nothing is rounded: a divergence from kept
predictions is the divergence from the model. (llama.cpp keeps 16 bits per logit, and its divergences can be negative.)

    kept = keep_predictions(tv.load_model("smollm2-135m"), "A text.", "kept")
    tv.divergences(kept, tv.load_model("smollm2-135m,quantize=q4_0"), "A text.")
"""

import json
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from tokenize import TokenError
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tokenviz.base import disk
from tokenviz.base.errors import ComparisonError, DiskError, ScoringError
from tokenviz.base.progress import task
from tokenviz.data.scores import BosMode
from tokenviz.data.texts import Text, as_it_stands
from tokenviz.models.loading import LoadedModel
from tokenviz.scoring.kernel import Kernel
from tokenviz.scoring.memory import reading
from tokenviz.scoring.scorer import check_ids, check_possible
from tokenviz.scoring.windows import Piece, cut, pieces_of

_LOGITS, _ABOUT = "logits.npy", "about.json"
_TORN = (EOFError, SyntaxError, TokenError)  # what numpy raises for a torn header


@dataclass(frozen=True, eq=False)
class KeptPredictions:
    """The logits before every token of a text that has a prediction: n of its m tokens.

    Attributes:
        model: The model's spec.
        tokenizer_sha256: Fingerprint of the model's vocabulary.
        text_sha256: SHA-256 of the text.
        prefix: The ids that opened every window.
        context: The most tokens per window.
        stride: Tokens from one window's start to the next.
        token_ids: (m,) token ids of the text.
        places: (m,) row of each token in the logits; -1 where it has no prediction.
        logits: (n, vocabulary), on disk.
    """

    model: str
    tokenizer_sha256: str
    text_sha256: str
    prefix: tuple[int, ...]
    context: int
    stride: int
    token_ids: NDArray[np.int64] = field(repr=False)
    places: NDArray[np.int64] = field(repr=False)
    logits: "np.memmap[Any, Any]" = field(repr=False)

    @property
    def vocabulary(self) -> int:
        """The number of logits per token."""
        return int(self.logits.shape[1])

    def logits_of(self, rows: torch.Tensor) -> torch.Tensor:
        """Read the logits (m, vocabulary) of some rows from disk."""
        return torch.from_numpy(np.asarray(self.logits[rows.numpy()]))

    @classmethod
    def load(cls, folder: Path | str) -> "KeptPredictions":
        """Open a folder that `keep_predictions` wrote; the logits stay on disk.

        Args:
            folder: The folder.

        Raises:
            ComparisonError: The folder holds no predictions, or damaged ones.
        """
        folder = Path(folder)
        try:
            about = json.loads((folder / _ABOUT).read_bytes())
            logits = np.load(folder / _LOGITS, mmap_mode="r")
            for name in ("token_ids", "places"):
                about[name] = np.array(about[name], np.int64)
            kept = cls(**{**about, "prefix": tuple(about["prefix"])}, logits=logits)
            kept._check()
        except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError, *_TORN) as error:
            raise ComparisonError(
                f"{str(folder)!r} holds no kept predictions ({str(error)[:200]}): make them with keep_predictions"
            ) from error
        return kept

    def _check(self) -> None:
        """Raise a ValueError where the columns do not fit together: a file may be torn, or belong to another text."""
        if not all(isinstance(number, int) for number in (self.context, self.stride, *self.prefix)):
            raise ValueError("the windows are no numbers of tokens")
        scored = self.places[self.places >= 0]
        whole = self.logits.ndim == 2 and self.logits.dtype in (np.float32, np.float64) and self.places.ndim == 1
        if not whole or self.places.shape != self.token_ids.shape or sorted(scored) != list(range(len(self.logits))):
            raise ValueError("the logits are not those of the tokens")


def keep_predictions(
    model: LoadedModel,
    text: Text | str,
    folder: Path | str,
    *,
    bos: BosMode = "auto",
    context: int | None = None,
    stride: int | None = None,
) -> KeptPredictions:
    """Write a model's predictions of a text to a folder, which appears when it is complete.

    They take 4 bytes for every token and word of the vocabulary: 100 MB for 500 tokens and 50,000 words.

    Args:
        model: A model from `load_model`.
        text: A text, or a string, which is taken literally.
        folder: The folder to make.
        bos: "auto" (the default), "always", "never" or a token, as in `score`.
        context: The most tokens per window; by default as many as the model can read.
        stride: Tokens from one window's start to the next; by default half the context.

    Raises:
        DiskError: The folder exists, or cannot be written, or there is no room for the predictions.
        ScoringError: As in `score`; or no token has a prediction.
        ModelError: The model is not causal.
    """
    text, folder = as_it_stands(text), Path(folder)
    prefix, context, stride = check_possible(model, bos=bos, context=context, stride=stride, top_k=0)
    passages = cut(model, text)
    check_ids(model, prefix, passages)
    pieces = pieces_of(passages, prefix, context=context, stride=stride)
    if not pieces:
        raise ScoringError(f"no token of {text.name!r} has a prediction by {model.label!r}: there is nothing to keep")
    scored = np.concatenate([piece.rows for piece in pieces])
    places = np.full(sum(len(passage.ids) for passage in passages), -1)
    places[scored] = np.arange(len(scored))
    shape = (len(scored), model.vocabulary)
    dtype = np.float64 if model.resolved.spec.dtype == "float64" else np.float32
    about = {
        "model": model.label,
        "tokenizer_sha256": model.tokenizer_sha256,
        "text_sha256": text.sha256,
        "prefix": prefix,
        "context": context,
        "stride": stride,
        "token_ids": np.concatenate([passage.ids for passage in passages]).tolist(),
        "places": places.tolist(),
    }
    kernel = Kernel.of(model)
    _check_room(folder, shape[0] * shape[1] * np.dtype(dtype).itemsize)
    try:
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".tokenviz-") as unfinished:
            new = Path(unfinished, folder.name)
            new.mkdir()
            logits = np.lib.format.open_memmap(new / _LOGITS, mode="w+", dtype=dtype, shape=shape)
            with reading(text.name), task(f"{model.label} reads {text.name}", shape[0], "tokens") as advance:
                for piece in _written(kernel, pieces, places, logits):
                    if not np.isfinite(logits[places[piece.rows]]).all():
                        raise ScoringError(
                            f"{model.label!r} on {text.name!r}, passage {piece.passage}: its logits are NaN or infinite; "
                            "nothing was kept. Try dtype=float32, or check the weights"
                        )
                    advance(len(piece.rows))
            logits.flush()
            del logits
            (new / _ABOUT).write_text(json.dumps(about), encoding="utf-8")
            disk.put(new, folder)
    except OSError as error:
        raise DiskError(f"cannot keep predictions in {str(folder)!r}: {error.strerror or error}") from error
    return KeptPredictions.load(folder)


def _written(kernel: Kernel, pieces: list[Piece], places: NDArray[np.int64], kept: NDArray[Any]) -> Iterator[Piece]:
    """Write the logits of each piece into its rows, some at a time; yield each piece when it is written."""

    def run(left: list[int]) -> Iterator[tuple[list[int], list[Piece]]]:
        ours = [pieces[i] for i in left]
        size = max(1, kernel.budget.logits // kernel.vocabulary)
        for numbers, states, rows in kernel.hidden_states([piece.ids for piece in ours], tokens=kernel.tokens_at_once):
            done = [ours[number] for number in numbers]
            for piece, own in zip(done, rows, strict=True):
                before, after = torch.from_numpy(own[piece.wanted - 1]), torch.from_numpy(places[piece.rows])
                for some, there in zip(torch.split(before, size), torch.split(after, size), strict=True):
                    logits = kernel.logits(states[some.to(states.device)])
                    kept[there.numpy()] = logits.to(
                        device="cpu", dtype=torch.promote_types(logits.dtype, torch.float32)
                    ).numpy()
            yield numbers, done

    for _, piece in kernel.within_memory([piece.ids for piece in pieces], run):
        yield piece


def _check_room(folder: Path, size: int) -> None:
    if folder.exists():
        raise DiskError(f"{str(folder)!r} is there already: give a folder that is not, for the predictions to be kept in")
    if not folder.parent.is_dir():
        raise DiskError(f"{str(folder.parent)!r} is no folder: make it first, and the predictions are kept in a new one in it")
    free = shutil.disk_usage(folder.parent).free
    if size > free:
        raise DiskError(
            f"the predictions take {size / 1e9:,.1f} GB, and {free / 1e9:,.1f} GB are free at {str(folder.parent)!r}: take a "
            "shorter text, or keep both models in memory"
        )
