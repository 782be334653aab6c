"""Model specs, `NAME[@REVISION][,OPTION=VALUE]...`, the one way to name a model; and the checkpoints of one model.

    gpt2                            a hub id
    gpt2@607a30d                    the same model at one revision
    models/mine                     a local folder
    mine.gguf                       a GGUF file
    smollm2-135m                    a model of the catalogue
    smollm2-135m,dtype=bfloat16     with options
    smollm2-135m,quantize=q4_0

A "," or "@" in the name of a folder or file is part of the name where such a folder or file exists. Labels keep it apart from
an option or a revision: "./" comes before a name that could be on a hub, and "/" after a name with a ",", since no option has
a "/".
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from os.path import expanduser
from pathlib import Path
from typing import Literal, get_args

from tokenviz.base.errors import ModelError
from tokenviz.models.catalogue import CATALOGUE, pull

Dtype = Literal["float64", "float32", "bfloat16", "float16"]
Device = Literal["auto", "cpu", "cuda", "mps"]
Quantization = Literal["q8_0", "q5_1", "q5_0", "q4_1", "q4_0"]

SIZES = {"float64": 8, "float32": 4, "bfloat16": 2, "float16": 2}
"""Bytes of a number of each dtype."""

CHOICES: dict[str, tuple[str, ...]] = {
    "dtype": get_args(Dtype),
    "quantize": get_args(Quantization),
    "device": get_args(Device),
}
"""The options of a spec, and the values that each may have."""


@dataclass(frozen=True)
class ModelSpec:
    """A parsed model spec.

    Attributes:
        name: Hub id, folder, GGUF file or catalogue name.
        revision: Branch, tag or commit on the hub; None for its default.
        dtype: Dtype of the weights; by default float32.
        quantize: Block format that the weights of the linear layers are rounded through; None for no rounding.
        device: Device to compute on; "auto" takes CUDA, then MPS, then the CPU.
    """

    name: str
    revision: str | None = None
    dtype: Dtype = "float32"
    quantize: Quantization | None = None
    device: Device = "auto"

    @classmethod
    def parse(cls, spec: str) -> "ModelSpec":
        """Parse a spec.

        Raises:
            ModelError: The spec is empty or no string, or an option or its value is not known.
        """
        if not isinstance(spec, str):
            raise ModelError(f"a {type(spec).__name__} is no model spec: give a string such as 'gpt2'")
        name, options, revision = _split(spec)
        if not name:
            raise ModelError(f"the model spec {spec!r} names no model: write NAME[@REVISION][,OPTION=VALUE]...")
        if any(sign == "\0" or "\ud800" <= sign <= "\udfff" for sign in spec):  # bytes of a path that are not UTF-8
            raise ModelError(f"the model spec {spec!r} holds what is no Unicode text: rename the folder or file")
        values: dict[str, str] = {}
        for option in options:
            key, equals, value = option.partition("=")
            if not equals or key not in CHOICES:
                several = "; several models are given one by one" if option and not equals and key not in CHOICES else ""
                raise ModelError(f"unknown option {option!r} in the model spec {spec!r}: {_allowed()}{several}")
            if value not in CHOICES[key]:
                choices = ", ".join(CHOICES[key])
                raise ModelError(f"{key} {value!r} in the model spec {spec!r} is none of {choices}")
            if key in values:
                raise ModelError(f"{key} is given twice in the model spec {spec!r}")
            values[key] = value
        return cls(name, revision or None, **values)  # type: ignore[arg-type]  # checked against CHOICES

    @property
    def label(self) -> str:
        """The spec as text, with options in a fixed order and defaults left out; `parse` reads it back."""
        defaults = ModelSpec(self.name)
        options = [f",{key}={getattr(self, key)}" for key in CHOICES if getattr(self, key) != getattr(defaults, key)]
        return self.name + (f"@{self.revision}" if self.revision else "") + "".join(options)


def _split(spec: str) -> tuple[str, list[str], str]:
    """Return the name, the options and the revision of a spec."""
    parts = spec.split(",")
    least = max((i for i, part in enumerate(parts) if "/" in part), default=0) + 1  # no option has a "/"
    for end in range(len(parts), least - 1, -1):
        name = ",".join(parts[:end])
        if (end > 1 or "@" in name) and _is_there(name):
            return _unmistakable(name), parts[end:], ""
    name = ",".join(parts[:least])
    hub, _, revision = name.partition("@")
    # An "@" in a path is part of the path; a hub id has at most one "/" and no leading ".", "/" or "~".
    return (hub, parts[least:], revision) if _HUB_ID.fullmatch(hub) else (name, parts[least:], "")


def _is_there(name: str) -> bool:
    try:
        return Path(expanduser(name)).exists()
    except (OSError, ValueError):  # too long for a name, or none
        return False


def _unmistakable(path: str) -> str:
    """Return a path in a form in which no part of it reads as a revision or an option."""
    hub, at, _ = path.partition("@")
    before = "./" if at and _HUB_ID.fullmatch(hub) else ""
    return before + path + ("/" if "," in path.rpartition("/")[2] else "")


_HUB_ID = re.compile(r"[\w-][\w.-]*(/[\w-][\w.-]*)?")


def is_hub_id(name: str) -> bool:
    """Return whether a name has the form of a hub id: `model` or `owner/model`."""
    return _HUB_ID.fullmatch(name) is not None and not name.endswith(".gguf")


def _allowed() -> str:
    return "; ".join(f"{key}={'|'.join(values)}" for key, values in CHOICES.items())


# Checkpoints of one model, and the number of training steps of each.

_STEP = re.compile(r"(?:^|[^a-z0-9])(?:global[-_]?step|step|checkpoint|ckpt|iter)s?[-_=]?([0-9]+)(?![^\W_])", re.IGNORECASE)
_FEWEST = 2


@dataclass(frozen=True)
class Checkpoint:
    """A model after a number of training steps.

    Attributes:
        step: Number of training steps.
        model: The label of its model spec.
    """

    step: int
    model: str


def step_of(name: str) -> int:
    """Read the training step from the name of a revision or a folder: "step1000", "checkpoint-500", "1000".

    Raises:
        ModelError: The name holds no step, or more than one.
    """
    if name.isascii() and name.isdecimal():
        return int(name)
    found = _STEP.findall(name)
    if len(found) != 1:
        what = "more than one training step is named" if found else "no training step can be read"
        raise ModelError(f"{what} in {name!r}: a checkpoint is called 'step1000', 'checkpoint-500' or '1000'")
    return int(found[0])


def checkpoints_of(model: str, revisions: Sequence[str] = ()) -> list[Checkpoint]:
    """Find the checkpoints of one model, in the order of their steps.

    Args:
        model: A model spec: a hub id or a catalogue name that has revisions, or a folder that holds the checkpoints as folders.
        revisions: The revisions, or the names of the folders, each separately or several separated by commas. By default
            all the folders of a local model; revisions on a hub must be named.

    Returns:
        At least two checkpoints, whose steps are read from their names.

    Raises:
        ModelError: There are fewer than two, or a step cannot be read or occurs twice.

    Example:
        >>> tv.checkpoints_of("owner/model", ["step512,step1"])
        [Checkpoint(step=1, model='owner/model@step1'), Checkpoint(step=512, model='owner/model@step512')]
    """
    spec = ModelSpec.parse(model)
    if spec.revision is not None:
        raise ModelError(f"{model!r} is one revision: give the model without it, and the revisions by themselves")
    names = [name.strip() for given in revisions for name in given.split(",") if name.strip()]
    path = Path(expanduser(spec.name))
    local = spec.name not in CATALOGUE and path.is_dir()
    if not names:
        names = _found_in(path if local else _catalogue_folder(spec.name), model)
    by_step: dict[int, str] = {}
    for name in names:
        step = step_of(Path(name).name if local else name)
        if step in by_step:
            raise ModelError(f"the step {step} is given twice for {model!r}, as {by_step[step]!r} and as {name!r}")
        by_step[step] = name
    if len(by_step) < _FEWEST:
        raise ModelError(f"{model!r} has {len(by_step)} checkpoint: a course of training has at least {_FEWEST}")
    found = []
    for step, name in sorted(by_step.items()):
        own = replace(spec, name=str(path / name)) if local else replace(spec, revision=name)
        if local and not (path / name).is_dir():
            raise ModelError(f"{model!r} has no checkpoint {name!r}: it has {', '.join(_folders(path)) or 'none'}")
        found.append(Checkpoint(step, own.label))
    return found


def _catalogue_folder(name: str) -> Path:
    if name in CATALOGUE and CATALOGUE[name].form == "family":
        return pull(CATALOGUE[name])
    raise ModelError(f"{name!r} is no folder of checkpoints: name its revisions, such as step1000,step2000")


def _found_in(path: Path, model: str) -> list[str]:
    names = _folders(path)
    if not names:
        raise ModelError(f"{model!r} holds no checkpoints: it is to have folders such as 'checkpoint-500' with a config.json")
    return names


def _folders(path: Path) -> list[str]:
    return sorted(one.name for one in path.iterdir() if (one / "config.json").is_file())
