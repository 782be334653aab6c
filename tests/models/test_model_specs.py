"""Model specs: one way to write a model, read and written without loss."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenviz.models.spec import ModelSpec, is_hub_id


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("gpt2", ModelSpec("gpt2")),
        ("gpt2@607a30d", ModelSpec("gpt2", "607a30d")),
        ("openai-community/gpt2@main", ModelSpec("openai-community/gpt2", "main")),
        ("smollm2-135m,dtype=bfloat16", ModelSpec("smollm2-135m", dtype="bfloat16")),
        ("smollm2-135m,quantize=q4_0,device=cpu", ModelSpec("smollm2-135m", quantize="q4_0", device="cpu")),
        ("models/mine.gguf", ModelSpec("models/mine.gguf")),
        ("/data/run@3/model", ModelSpec("/data/run@3/model")),
        ("./run@3", ModelSpec("./run@3")),
        ("~/run@3", ModelSpec("~/run@3")),
    ],
)
def test_a_spec_is_read(spec: str, expected: ModelSpec) -> None:
    assert ModelSpec.parse(spec) == expected


def test_the_defaults_are_float32_on_any_device_without_rounding() -> None:
    spec = ModelSpec.parse("gpt2")
    assert (spec.revision, spec.dtype, spec.quantize, spec.device) == (None, "float32", None, "auto")


def test_a_label_has_its_options_in_one_order_and_no_defaults() -> None:
    assert ModelSpec.parse("m@r,device=cpu,quantize=q8_0,dtype=float32").label == "m@r,quantize=q8_0,device=cpu"


@given(
    name=st.sampled_from(["gpt2", "a/b", "./folder", "/some/x@1/y", "file.gguf"]),
    revision=st.sampled_from([None, "main", "0abc", "v1.0"]),
    dtype=st.sampled_from(["float64", "float32", "bfloat16", "float16"]),
    quantize=st.sampled_from([None, "q8_0", "q5_1", "q5_0", "q4_1", "q4_0"]),
    device=st.sampled_from(["auto", "cpu", "cuda", "mps"]),
)
def test_a_label_is_read_back_as_the_same_spec(name, revision, dtype, quantize, device) -> None:
    spec = ModelSpec(name, revision if name in ("gpt2", "a/b") else None, dtype, quantize, device)
    assert ModelSpec.parse(spec.label) == spec


@pytest.mark.parametrize(
    ("path", "spec", "expected"),
    [
        ("my,model", "my,model", ModelSpec("my,model/")),
        ("my,model", "my,model/", ModelSpec("my,model/")),
        ("my,model", "./my,model,dtype=bfloat16", ModelSpec("./my,model/", dtype="bfloat16")),
        ("my,model/deep", "my,model/deep,device=cpu", ModelSpec("my,model/deep", device="cpu")),
        ("a,b,c", "a,b,c,quantize=q4_0,dtype=float16", ModelSpec("a,b,c/", dtype="float16", quantize="q4_0")),
        ("x,dtype=bfloat16", "x,dtype=bfloat16", ModelSpec("x,dtype=bfloat16/")),
        ("x,", "x,", ModelSpec("x,/")),
        ("names/gpt2@step1000", "names/gpt2@step1000", ModelSpec("./names/gpt2@step1000")),
        ("gpt2@a,b", "gpt2@a,b,dtype=float64", ModelSpec("./gpt2@a,b/", dtype="float64")),
        ("mine@2.gguf", "mine@2.gguf", ModelSpec("./mine@2.gguf")),
        ("names/gpt2", "names/gpt2@step1000", ModelSpec("names/gpt2", "step1000")),
        ("elsewhere", "names/gpt2@step1000", ModelSpec("names/gpt2", "step1000")),
        ("gpt2", "gpt2,dtype=float64", ModelSpec("gpt2", dtype="float64")),
    ],
)
def test_commas_and_ats_in_the_name_of_a_folder_belong_to_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str, spec: str, expected: ModelSpec
) -> None:
    (tmp_path / path).mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    found = ModelSpec.parse(spec)
    assert found == expected
    assert found.revision is not None or (tmp_path / found.name).samefile(tmp_path / path)
    assert ModelSpec.parse(found.label) == found
    monkeypatch.chdir("/")  # where there is no such folder
    assert ModelSpec.parse(found.label) == found


@pytest.mark.parametrize(
    ("name", "expected"),
    [("gpt2", True), ("owner/model", True), ("a/b/c", False), ("./gpt2", False), ("/gpt2", False), ("mine.gguf", False)],
)
def test_hub_ids_are_told_from_paths(name: str, expected: bool) -> None:
    assert is_hub_id(name) is expected
