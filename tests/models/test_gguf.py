"""GGUF files: whole ones are converted once into ordinary folders, others are refused in a sentence."""

import math
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_gguf import WEIGHTS, write_gguf

from tokenviz.base.errors import ModelError
from tokenviz.models.conversion import check_gguf, convert_gguf
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


def test_a_file_cut_anywhere_is_refused(tiny: Path, tmp_path: Path) -> None:
    whole = tiny.read_bytes()
    check_gguf(tiny)
    path = tmp_path / "cut.gguf"
    for length in [*range(64), *range(64, len(whole), 37), len(whole) - 33]:
        path.write_bytes(whole[:length])
        with pytest.raises(ModelError, match=r"is not a GGUF file|is cut short"):
            check_gguf(path)


NUMBERS = 6 * (6 + 6 + 7 * 6) + 3 * 6  # embedding, head, seven matrices of the layer, three norms


@pytest.mark.parametrize(
    ("more", "names"),
    [
        ({"blk.0.attn_q.bias": np.ones(6, np.float32)}, "blk.0.attn_q.bias"),
        ({"blk.1.attn_norm.weight": np.ones(6, np.float32)}, "blk.1.attn_norm.weight"),
        (
            {f"blk.{layer}.ffn_norm.weight": np.ones(6, np.float32) for layer in range(1, 5)},
            "blk.1.ffn_norm.weight, blk.2.ffn_norm.weight, blk.3.ffn_norm.weight, ...",
        ),
    ],
)
def test_tensors_that_transformers_does_not_take_are_refused(
    tmp_path: Path, cache: Path, more: dict[str, np.ndarray], names: str
) -> None:
    path = write_gguf(tmp_path / "more.gguf", more=more)
    message = (
        f"the GGUF file {str(path)!r} holds {NUMBERS + 6 * len(more)} numbers, of which transformers takes {NUMBERS} "
        f"({names}): without the others the scores would be another model's. Take the model's safetensors instead"
    )
    with pytest.raises(ModelError, match=f"^{re.escape(message)}$"):
        load_model(str(path))
    assert [path.name for path in cache.iterdir() if not path.name.endswith(".lock")] == []


def test_a_conversion_of_an_earlier_version_is_looked_at_as_well(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_gguf(tmp_path / "more.gguf", more={"blk.0.attn_q.bias": np.ones(6, np.float32)})
    with monkeypatch.context() as earlier:
        earlier.setattr("tokenviz.models.conversion.check_whole", lambda *_: None)
        load_model(str(path))
    assert len([path for path in cache.iterdir() if path.is_dir()]) == 1
    with pytest.raises(ModelError, match="of which transformers takes"):
        load_model(str(path))


def test_a_head_that_is_the_embedding_need_not_be_there(tmp_path: Path, cache: Path) -> None:
    path = write_gguf(tmp_path / "tied.gguf", without="output.weight")
    assert score(load_model(str(path)), "acdab").scored.sum() == 2


def test_scales_of_one_change_nothing(tmp_path: Path, tiny: Path, cache: Path) -> None:
    says: dict[str, str | int] = {"llama.rope.scaling.type": "linear", "llama.rope.scaling.factor": 1}
    path = write_gguf(tmp_path / "ones.gguf", more={"rope_freqs.weight": np.ones(3, np.float32)}, says=says)
    found, expected = (score(load_model(str(one)), "acdab").logprob for one in (path, tiny))
    np.testing.assert_array_equal(found, expected)


def test_a_refused_file_leaves_nothing_behind(tiny: Path, tmp_path: Path, cache: Path) -> None:
    path = tmp_path / "cut.gguf"
    path.write_bytes(tiny.read_bytes()[:-200])
    with pytest.raises(ModelError):
        load_model(str(path))
    assert not cache.exists()
