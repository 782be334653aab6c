"""Folders of models in which something is changed."""

import json
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

WEIGHTS = "model.safetensors"
Edit = Callable[[dict[str, torch.Tensor]], object]


def edit_json(path: Path, **changes: object) -> None:
    """Write a JSON object again with other fields."""
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | changes), encoding="utf-8")


def edit_weights(folder: Path, edit: Edit) -> None:
    weights = load_file(folder / WEIGHTS)
    edit(weights)
    save_file({name: value.contiguous() for name, value in weights.items()}, folder / WEIGHTS, {"format": "pt"})


def split(folder: Path, first: str, second: str) -> Path:
    """Have the weights in two files of these names, with an index."""
    weights = load_file(folder / WEIGHTS)
    (folder / WEIGHTS).unlink()
    names = sorted(weights)
    places = {name: (first, second)[number % 2] for number, name in enumerate(names)}
    for file in (first, second):
        (folder / file).parent.mkdir(exist_ok=True)
        save_file({name: weights[name] for name in names if places[name] == file}, folder / file, {"format": "pt"})
    (folder / f"{WEIGHTS}.index.json").write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": places}))
    return folder


def quantised(folder: Path, **settings: object) -> Path:
    """Have the config say how the weights are quantised; such a model is refused before they are read."""
    edit_json(folder / "config.json", quantization_config=settings)
    return folder


def cut_short(path: Path, length: int) -> None:
    """Keep so many bytes of a file, or all but so many where the number is below zero."""
    path.write_bytes(path.read_bytes()[:length])


def add_pickle(folder: Path, name: str) -> None:
    """Add a pickle that makes the file "bang" next to it when it is read."""
    torch.save(_Bomb(folder / "bang"), folder / name)


class _Bomb:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return open, (str(self.path), "w")
