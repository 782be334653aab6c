"""What pins a model's folder: every file that is loaded, wherever it is in the folder, and nothing outside it."""

import hashlib
import json
import re
import shutil
from pathlib import Path

import pytest
import torch
from folders import edit_json, split
from safetensors.torch import load_file, save_file

from tokenviz.base.errors import ModelError
from tokenviz.models.folders import model_files, weights_sha256
from tokenviz.models.loading import load_model, resolve
from tokenviz.models.spec import ModelSpec
from tokenviz.scoring.scorer import score


def identity(folder: Path) -> str:
    return resolve(ModelSpec(str(folder))).identity


def refused(folder: Path, message: str) -> None:
    with pytest.raises(ModelError, match=f"^{re.escape(message)}$"):
        load_model(str(folder))


def halve(path: Path) -> None:
    save_file({name: value / 2 for name, value in load_file(path).items()}, path, metadata={"format": "pt"})


# ---- ordinary folders ----------------------------------------------------------------------------------------------

ORDINARY = {
    "config.json": b'{"model_type": "llama"}',
    "generation_config.json": b"{}",
    "tokenizer.json": b'{"model": {}}',
    "tokenizer_config.json": b'{"bos_token": "a"}',
    "merges.txt": b"a b\n",
    "chat_template.jinja": b"{{ messages }}",
    "model.safetensors.index.json": b'{"metadata": {}, "weight_map": {"a": "model-2.safetensors", "b": "model-1.safetensors"}}',
    "model-1.safetensors": b"one",
    "model-2.safetensors": b"two",
    "README.md": b"not loaded",
}


def test_the_identity_of_an_ordinary_folder_stays_what_it_was(tmp_path: Path) -> None:
    """Runs of earlier versions are found by it: descriptions in order of name, then weights, bytes after bytes."""
    for name, content in ORDINARY.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "onnx").mkdir()
    (tmp_path / "onnx" / "model.safetensors").write_bytes(b"not loaded")
    assert identity(tmp_path) == "sha256:558cb6cec20c8d958dad8f2a0434a0fa26873d9087c622b9b8a1a36ccc8c02ea"
    hashed = [name for name in sorted(ORDINARY) if not name.endswith((".md", ".safetensors"))]
    hashed += ["model-1.safetensors", "model-2.safetensors"]
    assert identity(tmp_path) == f"sha256:{hashlib.sha256(b''.join(ORDINARY[name] for name in hashed)).hexdigest()}"


# ---- files elsewhere in the folder ---------------------------------------------------------------------------------


def test_weights_in_sub_folders_are_part_of_the_identity(folder: Path) -> None:
    expected = score(load_model(str(folder)), "abcd").logprob
    split(folder, "weights/part-1.safetensors", "weights/part-2.safetensors")
    before = identity(folder)
    assert (score(load_model(str(folder)), "abcd").logprob[1:] == expected[1:]).all()
    for file in ("part-1", "part-2"):
        halve(folder / "weights" / f"{file}.safetensors")
        assert identity(folder) != before
        before = identity(folder)


def test_weights_at_the_top_and_below_count_both(folder: Path) -> None:
    split(folder, "a.safetensors", "more/b.safetensors")
    seen = {identity(folder)}
    for path in (folder / "a.safetensors", folder / "more" / "b.safetensors"):
        halve(path)
        seen.add(identity(folder))
    assert len(seen) == 3


def test_files_in_sub_folders_count_by_name(folder: Path) -> None:
    split(folder, "weights/a.safetensors", "weights/b.safetensors")
    before = identity(folder)
    (folder / "weights" / "a.safetensors").rename(folder / "weights" / "c")
    (folder / "weights" / "b.safetensors").rename(folder / "weights" / "a.safetensors")
    (folder / "weights" / "c").rename(folder / "weights" / "b.safetensors")
    assert identity(folder) != before


def test_a_link_counts_by_what_it_leads_to(folder: Path, tmp_path: Path) -> None:
    split(folder, "weights/a.safetensors", "weights/b.safetensors")
    before = identity(folder)
    shutil.move(folder / "weights", tmp_path / "elsewhere")
    (folder / "weights").symlink_to(tmp_path / "elsewhere")
    assert identity(folder) == before
    halve(tmp_path / "elsewhere" / "a.safetensors")
    assert identity(folder) != before


def test_weights_that_the_config_names_are_part_of_the_identity(folder: Path) -> None:
    (folder / "own").mkdir()
    (folder / "model.safetensors").rename(folder / "own" / "w.safetensors")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "transformers_weights": "own/w.safetensors"}))
    before = identity(folder)
    load_model(str(folder))
    halve(folder / "own" / "w.safetensors")
    assert identity(folder) != before


@pytest.mark.parametrize(
    "name", ["additional_chat_templates/rag.jinja", "bpe.codes", "tokenizer.model.v3", "qwen.tiktoken", "prophetnet.tokenizer"]
)
def test_templates_and_vocabularies_of_rarer_names_are_part_of_the_identity(folder: Path, name: str) -> None:
    seen = {identity(folder)}
    (folder / name).parent.mkdir(exist_ok=True)
    for content in ("a", "b"):
        (folder / name).write_text(content)
        seen.add(identity(folder))
    assert len(seen) == 3


@pytest.mark.parametrize(
    ("file", "setting"), [("tokenizer_config.json", "fast_tokenizer_files"), ("config.json", "configuration_files")]
)
def test_files_for_a_version_of_transformers_are_part_of_the_identity(folder: Path, file: str, setting: str) -> None:
    (folder / "old").mkdir()
    (folder / "old" / "tokenizer.4.0.0.json").write_text("{}")
    edit_json(folder / file, **{setting: ["old/tokenizer.4.0.0.json"]})
    before = identity(folder)
    (folder / "old" / "tokenizer.4.0.0.json").write_text("{ }")
    assert identity(folder) != before


# ---- indexes that lead elsewhere, or nowhere -----------------------------------------------------------------------


@pytest.mark.parametrize("name", ["../other/w.safetensors", "a/../../w.safetensors", "/tmp/w.safetensors", "C:\\w", "..\\w"])
def test_an_index_that_leads_out_of_the_folder_is_refused(folder: Path, name: str) -> None:
    split(folder, "a.safetensors", "b.safetensors")
    path = folder / "model.safetensors.index.json"
    path.write_text(path.read_text().replace('"b.safetensors"', json.dumps(name)))
    refused(
        folder,
        f"{str(folder)!r} is refused: its model.safetensors.index.json names {name!r}, which leads out of the folder; a "
        "model's files must be in its folder",
    )


def test_an_index_next_to_whole_weights_is_not_read(folder: Path) -> None:
    before = load_model(str(folder))
    (folder / "model.safetensors.index.json").write_text('{"weight_map": {"a": "../x"}, "metadata": {}}')
    assert (score(load_model(str(folder)), "ab").logprob[1:] == score(before, "ab").logprob[1:]).all()


# ---- the weights alone ---------------------------------------------------------------------------------------------


def as_cached(folder: Path, source: Path, *, commit: str) -> Path:
    """A model as huggingface_hub's cache keeps it: links to blobs, large ones under their sha256."""
    snapshot, blobs = folder / "snapshots" / commit, folder / "blobs"
    snapshot.mkdir(parents=True)
    blobs.mkdir(exist_ok=True)
    for path in source.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            hashed = hashlib.sha256 if path.suffix == ".safetensors" else hashlib.sha1
            blob = blobs / hashed(content).hexdigest()
            blob.write_bytes(content)
            link = snapshot / path.relative_to(source)
            link.parent.mkdir(exist_ok=True)
            link.symlink_to(blob)
    return snapshot


def test_the_weights_of_one_file_are_known_by_its_sha256(folder: Path, tmp_path: Path) -> None:
    expected = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    assert weights_sha256(model_files(folder, "m")) == expected
    snapshot = as_cached(tmp_path / "cache", folder, commit="0" * 40)
    assert weights_sha256(model_files(snapshot, "m")) == expected


def test_the_name_of_a_blob_is_taken_and_its_content_not_read(folder: Path, tmp_path: Path) -> None:
    snapshot = as_cached(tmp_path / "cache", folder, commit="0" * 40)
    blob = (snapshot / "model.safetensors").resolve()
    blob.write_bytes(b"")
    assert weights_sha256(model_files(snapshot, "m")) == blob.name


def test_a_blob_of_another_name_is_hashed(folder: Path, tmp_path: Path) -> None:
    snapshot = as_cached(tmp_path / "cache", folder, commit="0" * 40)
    link = snapshot / "model.safetensors"
    expected = link.resolve().name
    other = link.resolve().rename(tmp_path / "cache" / "blobs" / ("a" * 40))
    link.unlink()
    link.symlink_to(other)
    assert weights_sha256(model_files(snapshot, "m")) == expected


def test_the_weights_of_several_files_are_known_by_their_sha256s(folder: Path, tmp_path: Path) -> None:
    split(folder, "a.safetensors", "more/b.safetensors")
    files = ("a.safetensors", "more/b.safetensors")
    lines = "".join(f"{hashlib.sha256((folder / name).read_bytes()).hexdigest()}  {name}\n" for name in files)
    expected = hashlib.sha256(lines.encode()).hexdigest()
    assert weights_sha256(model_files(folder, "m")) == expected
    assert weights_sha256(model_files(as_cached(tmp_path / "cache", folder, commit="0" * 40), "m")) == expected


def test_weights_that_are_not_loaded_do_not_count(folder: Path) -> None:
    before = weights_sha256(model_files(folder, "m"))
    save_file({"x": torch.ones(1)}, folder / "consolidated.safetensors")
    assert weights_sha256(model_files(folder, "m")) == before
