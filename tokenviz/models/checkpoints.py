"""Checkpoints of one model, and the number of training steps of each."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from os.path import expanduser
from pathlib import Path

from tokenviz.errors import ModelError
from tokenviz.models.catalogue import CATALOGUE, pull
from tokenviz.models.spec import ModelSpec

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
