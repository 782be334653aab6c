"""Model specs: `NAME[@REVISION][,OPTION=VALUE]...`, the one way to name a model.

gpt2                            a hub id
gpt2@607a30d                    the same at one revision
models/mine                     a local folder
mine.gguf                       a GGUF file
smollm2-135m                    a model of the catalogue
smollm2-135m,dtype=bfloat16     with options
smollm2-135m,quantize=q4_0
"""

import re
from dataclasses import dataclass
from typing import Literal, get_args

from tokenviz.errors import ModelError

Dtype = Literal["float64", "float32", "bfloat16", "float16"]
Device = Literal["auto", "cpu", "cuda", "mps"]
Quantization = Literal["q8_0", "q5_1", "q5_0", "q4_1", "q4_0"]

CHOICES: dict[str, tuple[str, ...]] = {
    "dtype": get_args(Dtype),
    "quantize": get_args(Quantization),
    "device": get_args(Device),
}
"""The options of a spec, and the values of each."""


@dataclass(frozen=True)
class ModelSpec:
    """A parsed model spec.

    Attributes:
        name: Hub id, folder, GGUF file or catalogue name.
        revision: Branch, tag or commit on the hub; None for its default.
        dtype: Of the weights.
        quantize: Block format that the weights of the linear layers are rounded through; None for none.
        device: Where to compute; "auto" takes CUDA, then MPS, then the CPU.
    """

    name: str
    revision: str | None = None
    dtype: Dtype = "float32"
    quantize: Quantization | None = None
    device: Device = "auto"

    @classmethod
    def parse(cls, spec: str) -> "ModelSpec":
        """Read a spec.

        Raises:
            ModelError: It is empty, or an option or its value is not known.
        """
        name, *options = spec.split(",")
        # An "@" in a path is part of the path; a hub id has at most one "/" and no leading ".", "/" or "~".
        name, _, revision = name.partition("@") if _HUB_ID.fullmatch(name.partition("@")[0]) else (name, "", "")
        if not name:
            raise ModelError(f"the model spec {spec!r} names no model: write NAME[@REVISION][,OPTION=VALUE]...")
        if any(sign == "\0" or "\ud800" <= sign <= "\udfff" for sign in spec):  # bytes of a path that are no UTF-8
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
        """The spec as text, options in one fixed order, defaults left out; `parse` reads it back."""
        defaults = ModelSpec(self.name)
        options = [f",{key}={getattr(self, key)}" for key in CHOICES if getattr(self, key) != getattr(defaults, key)]
        return self.name + (f"@{self.revision}" if self.revision else "") + "".join(options)


_HUB_ID = re.compile(r"[\w-][\w.-]*(/[\w-][\w.-]*)?")


def is_hub_id(name: str) -> bool:
    """Whether a name has the form of a hub id: `model` or `owner/model`."""
    return _HUB_ID.fullmatch(name) is not None and not name.endswith(".gguf")


def _allowed() -> str:
    return "; ".join(f"{key}={'|'.join(values)}" for key, values in CHOICES.items())
