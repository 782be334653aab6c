"""Model specs: `NAME[@REVISION][,OPTION=VALUE]...`, the one way to name a model.

gpt2                            a hub id
gpt2@607a30d                    the same model at one revision
models/mine                     a local folder
mine.gguf                       a GGUF file
smollm2-135m                    a model of the catalogue
smollm2-135m,dtype=bfloat16     with options
smollm2-135m,quantize=q4_0

A "," or "@" in the name of a folder or file is part of the name where such a folder or file exists. Labels keep it apart from
an option or a revision: "./" comes before a name that could be on a hub, and "/" after a name with a ",", since no option has a
"/".
"""

import re
from dataclasses import dataclass
from os.path import expanduser
from pathlib import Path
from typing import Literal, get_args

from tokenviz.errors import ModelError

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
            ModelError: The spec is empty, or an option or its value is not known.
        """
        name, options, revision = _split(spec)
        if not name:
            raise ModelError(f"the model spec {spec!r} names no model: write NAME[@REVISION][,OPTION=VALUE]...")
        if any(sign == "\0" or "\ud800" <= sign <= "\udfff" for sign in spec):  # bytes of a path that are not UTF-8
            raise ModelError(f"the model spec {spec!r} holds what is no Unicode text: rename the folder or file")
        values: dict[str, str] = {}
        for option in options:
            key, equals, value = option.partition("=")
            if not equals or key not in CHOICES:
                raise ModelError(f"unknown option {option!r} in the model spec {spec!r}: {_allowed()}")
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
