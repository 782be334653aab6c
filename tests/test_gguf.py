"""GGUF files: whole ones are converted once into ordinary folders, others are refused in a sentence."""

import math
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_gguf import WEIGHTS, write_gguf

from tokenviz.errors import ModelError
from tokenviz.models.gguf import check_gguf, convert_gguf
from tokenviz.models.loading import load_model
from tokenviz.scoring.scorer import score


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TOKENVIZ_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "models"


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_gguf(tmp_path_factory.mktemp("gguf") / "tiny.gguf")


def test_a_gguf_file_is_converted_and_scored(tiny: Path, cache: Path) -> None:
    model = load_model(str(tiny))
    assert (model.resolved.source, model.context, model.vocabulary) == ("gguf", 64, 6)
    assert model.resolved.folder.parent == cache
    scores = score(model, "acdab", top_k=1)
    assert scores.token == ("a", "cd", "ab")
    # After "a" come 1 to 6 of 21, after "cd" 31 to 36 of 201.
    np.testing.assert_allclose(scores.logprob, [math.nan, math.log(6 / 21), math.log(35 / 201)], rtol=0, atol=1e-5)


def test_a_file_is_converted_once(tiny: Path, cache: Path) -> None:
    folder = load_model(str(tiny)).resolved.folder
    written = (folder / "model.safetensors").stat().st_mtime_ns
    assert load_model(str(tiny)).resolved.folder == folder
    assert (folder / "model.safetensors").stat().st_mtime_ns == written
    assert [path.name for path in cache.iterdir() if not path.name.endswith(".lock")] == [folder.name]


def test_the_weights_pin_the_conversion(tmp_path: Path, tiny: Path, cache: Path) -> None:
    other = write_gguf(tmp_path / "tiny.gguf", weights=WEIGHTS[::-1])
    one, two = load_model(str(tiny)), load_model(str(other))
    assert one.resolved.identity != two.resolved.identity
    assert one.resolved.folder != two.resolved.folder


def test_the_converted_folder_is_plain_float32_safetensors(tiny: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    convert_gguf(tiny, tmp_path / "model")
    names = {path.name for path in (tmp_path / "model").iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= names
    network = AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    assert {weight.dtype for weight in network.parameters()} == {torch.float32}
    assert "quantization_config" not in (tmp_path / "model" / "config.json").read_text()


def test_what_is_no_gguf_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(b"PK\x03\x04 something else")
    message = f"{str(path)!r} is not a GGUF file: it does not begin with 'GGUF'"
    with pytest.raises(ModelError, match=f"^{re.escape(message)}$"):
        load_model(str(path))


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    path.touch()
    with pytest.raises(ModelError, match=f"^{re.escape(f'{str(path)!r} is not a GGUF file')}"):
        load_model(str(path))


def test_a_file_cut_inside_its_tensors_is_refused(tiny: Path, tmp_path: Path) -> None:
    path = tmp_path / "cut.gguf"
    path.write_bytes(tiny.read_bytes()[:-200])
    with pytest.raises(
        ModelError, match=f"^{re.escape(f'the GGUF file {str(path)!r} is cut short or damaged: ')}.+; fetch it again$"
    ):
        load_model(str(path))


def test_a_file_without_tensors_is_refused(tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "head.gguf", tensors=False)
    size = path.stat().st_size
    message = f"the GGUF file {str(path)!r} is cut short: its tensors end at byte 0, the file at {size:,}; fetch it again"
    with pytest.raises(ModelError, match=f"^{re.escape(message)}$"):
        load_model(str(path))


def test_a_file_cut_anywhere_is_refused(tiny: Path, tmp_path: Path) -> None:
    whole = tiny.read_bytes()
    check_gguf(tiny)
    path = tmp_path / "cut.gguf"
    for length in [*range(64), *range(64, len(whole), 37), len(whole) - 33]:
        path.write_bytes(whole[:length])
        with pytest.raises(ModelError, match=r"is not a GGUF file|is cut short"):
            check_gguf(path)


def test_a_refused_file_leaves_nothing_behind(tiny: Path, tmp_path: Path, cache: Path) -> None:
    path = tmp_path / "cut.gguf"
    path.write_bytes(tiny.read_bytes()[:-200])
    with pytest.raises(ModelError):
        load_model(str(path))
    assert not cache.exists()


def test_an_architecture_that_transformers_does_not_read_is_refused(tmp_path: Path, cache: Path) -> None:
    path = write_gguf(tmp_path / "odd.gguf", architecture="oddity")
    with pytest.raises(ModelError, match=f"^{re.escape(f'transformers cannot read the GGUF file {str(path)!r}: ')}.*oddity"):
        load_model(str(path))
    assert [path.name for path in cache.iterdir() if not path.name.endswith(".lock")] == []
