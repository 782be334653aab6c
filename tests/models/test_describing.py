"""What a model is stands with its name: read from files, recorded with runs, and known of older ones by their weights."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from arithmetic import BIGRAM_WEIGHTS, make_bigram_folder
from gguf import GGMLQuantizationType, GGUFWriter, quants
from tables import make_scores
from tiny_gguf import write_gguf

import tokenviz as tv
from tokenviz.figures.heatmap.definition import text_heatmap
from tokenviz.figures.named import along_caption, calibration_caption, scatter_caption
from tokenviz.models.catalogue import CATALOGUE
from tokenviz.models.conversion import check_gguf
from tokenviz.models.describing import describe_catalogue, description_in, description_of, full_name
from tokenviz.models.loading import LoadedModel, resolve
from tokenviz.models.spec import ModelSpec


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TOKENVIZ_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "models"


def described(spec: str | Path, options: str = "") -> str:
    return resolve(ModelSpec.parse(f"{spec}{options}")).description


@pytest.mark.parametrize(
    ("label", "words"),
    [
        ("smollm2-135m", "SmolLM2-135M-Instruct, weights from Q4_1"),
        ("smollm2-135m,quantize=q4_0", "SmolLM2-135M-Instruct, weights from Q4_1, rounded once more to Q4_0"),
        ("smollm2-135m,dtype=bfloat16", "SmolLM2-135M-Instruct, weights from Q4_1, in bfloat16"),
        ("gemma3-270m", "Gemma 3 270M base, weights from Q4_K_M"),
        (
            "glass-en,quantize=q8_0",
            "glassllm, 0.85 M parameters trained on Lewis Carroll, weights from float16, rounded to Q8_0",
        ),
        ("glass-en,dtype=float16", "glassllm, 0.85 M parameters trained on Lewis Carroll, weights in float16"),
    ],
)
def test_a_model_of_the_catalogue_says_whose_weights_it_has(label: str, words: str) -> None:
    spec = ModelSpec.parse(label)
    assert describe_catalogue(spec, CATALOGUE[spec.name]) == words


def test_a_gguf_file_says_its_own_name(tmp_path: Path, cache: Path) -> None:
    path = write_gguf(tmp_path / "m.gguf", says={"general.name": "Tiny  Llama\n1"})
    assert described(path) == "Tiny Llama 1, weights in float32"


def test_parts_of_a_name_do_where_a_gguf_file_has_no_name(tmp_path: Path, cache: Path) -> None:
    says = {"general.basename": "Tiny", "general.size_label": "1B", "general.finetune": "Instruct"}
    assert described(write_gguf(tmp_path / "m.gguf", says=says)) == "Tiny 1B Instruct, weights in float32"


def test_a_gguf_file_without_a_name_is_called_as_it_lies_there(tmp_path: Path, cache: Path) -> None:
    assert (
        described(write_gguf(tmp_path / "mine.gguf", half=True), ",dtype=bfloat16") == "mine, weights from float16, in bfloat16"
    )


def quantised(path: Path, kind: GGMLQuantizationType, file_type: int | None) -> Path:
    """A file of one quantised matrix, and a norm in float32: nothing to score, but a header to read."""
    writer = GGUFWriter(path, "llama")
    if file_type is not None:
        writer.add_file_type(file_type)
    matrix = quants.quantize(np.linspace(-1, 1, 64 * 64, dtype=np.float32).reshape(64, 64), kind)
    writer.add_tensor("blk.0.attn_q.weight", matrix, raw_dtype=kind)
    writer.add_tensor("blk.0.attn_norm.weight", np.ones(100_000, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.mark.parametrize(
    ("kind", "file_type", "weights"),
    [
        (GGMLQuantizationType.Q4_1, 3, "Q4_1"),
        (GGMLQuantizationType.Q5_0, 15, "Q4_K_M"),  # a mixture, whose name no tensor has
        (GGMLQuantizationType.Q8_0, None, "Q8_0"),
        (GGMLQuantizationType.Q8_0, 0, "Q8_0"),  # a header that says float32
        (GGMLQuantizationType.Q8_0, 1024, "Q8_0"),  # guessed
        (GGMLQuantizationType.Q8_0, 9999, "Q8_0"),  # of a later llama.cpp
        (GGMLQuantizationType.F16, 3, "float16"),  # a header that says Q4_1
    ],
)
def test_the_weights_of_a_gguf_file_are_what_they_are(
    tmp_path: Path, kind: GGMLQuantizationType, file_type: int | None, weights: str
) -> None:
    assert check_gguf(quantised(tmp_path / "m.gguf", kind, file_type)).weights == weights


def folder(tmp_path: Path, stored: str = "float32", **config: object) -> Path:
    import torch
    from transformers import AutoModelForCausalLM

    path = make_bigram_folder(tmp_path / "mine", BIGRAM_WEIGHTS)
    if stored != "float32":
        AutoModelForCausalLM.from_pretrained(path, dtype=getattr(torch, stored)).save_pretrained(path)
    settings = json.loads((path / "config.json").read_text())
    (path / "config.json").write_text(json.dumps({**settings, **config}))
    return path


def test_a_folder_says_the_dtype_that_its_weights_have(tmp_path: Path) -> None:
    # What the config says is overruled by the weights themselves.
    path = folder(tmp_path, "bfloat16", dtype="float32", torch_dtype="float32")
    assert described(path) == "mine, weights from bfloat16"
    assert described(path, ",dtype=bfloat16") == "mine, weights in bfloat16"
    assert described(path, ",quantize=q4_0") == "mine, weights from bfloat16, rounded to Q4_0"


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"quant_method": "gptq", "bits": 4}, "GPTQ with 4 bits"),
        ({"quant_method": "bitsandbytes", "load_in_4bit": True}, "bitsandbytes with 4 bits"),
        ({"quant_method": "bitsandbytes", "_load_in_8bit": True, "load_in_4bit": False}, "bitsandbytes with 8 bits"),
        (
            {
                "quant_method": "compressed-tensors",
                "config_groups": {"group_0": {"input_activations": {"num_bits": 16}, "weights": {"num_bits": 4}}},
            },
            "compressed tensors with 4 bits",
        ),
        ({"quant_method": "fp8"}, "FP8"),
        ({}, ""),
    ],
)
def test_a_folder_says_how_it_was_quantised(tmp_path: Path, config: dict[str, object], words: str) -> None:
    path = folder(tmp_path, quantization_config=config)
    assert described(path) == f"mine, weights {f'from {words}' if words else 'in float32'}"
    if words:
        assert described(path, ",quantize=q4_0") == f"mine, weights from {words}, rounded once more to Q4_0"


def test_words_of_a_file_are_one_line_that_spoils_nothing(tmp_path: Path, cache: Path) -> None:
    words = described(write_gguf(tmp_path / "m.gguf", says={"general.name": f"a\x1b[31m\u202eb\n{'c' * 500}"}))
    assert words.startswith("a[31mb ccc")
    assert words.isprintable()
    assert len(words) < 110


def test_a_name_that_says_it_all_is_not_said_twice() -> None:
    assert full_name("gpt2", "gpt2") == full_name("gpt2", "") == "gpt2"
    assert full_name("gpt2", "GPT-2") == "gpt2 (GPT-2)"


def test_scores_keep_what_their_model_is(glass: LoadedModel, tmp_path: Path) -> None:
    scores = tv.score(glass, "Alice was very tired.")
    assert scores.spec.model == "glass-en"
    assert scores.spec.model_description == "glassllm, 0.85 M parameters trained on Lewis Carroll, weights from float16"
    scores.save(tmp_path / "tokens.parquet")
    assert tv.TokenScores.load(tmp_path / "tokens.parquet").spec == scores.spec


def test_weights_of_the_catalogue_are_known_in_older_tables() -> None:
    table = make_scores([["a", "b"]], model="smollm2-135m,quantize=q4_0")
    assert description_of(table.spec) == ""  # other weights under that name
    known = replace(table.spec, identity=CATALOGUE["smollm2-135m"].identity)
    assert description_of(known) == "SmolLM2-135M-Instruct, weights from Q4_1, rounded once more to Q4_0"
    # The same file by its path.
    assert description_of(replace(known, model="/x/file.gguf")) == "SmolLM2-135M-Instruct, weights from Q4_1"
    assert description_in({"model": "gemma3-270m", "identity": CATALOGUE["gemma3-270m"].identity}) == (
        "Gemma 3 270M base, weights from Q4_K_M"
    )
    assert description_in({"model_a": "gemma3-270m"}, "model_a") == ""
    assert description_in({"model_a": "x", "model_a_description": "Y"}, "model_a") == "Y"


def named(label: str, words: str) -> tv.TokenScores:
    table = make_scores([["a", "b", "c", "d"]], model=label)
    return replace(table, spec=replace(table.spec, model_description=words))


def test_captions_and_headings_say_what_models_are() -> None:
    a, b = named("small", "SmallLM, weights from Q4_1"), named("large", "LargeLM, weights in float32")
    both = ("small (SmallLM, weights from Q4_1", "large (LargeLM, weights in float32")
    comparison = tv.compare(a, b, resamples=0)
    heatmaps = [text_heatmap(comparison), text_heatmap(comparison, measure="difference")]
    captions = [*(heatmap.caption for heatmap in heatmaps), scatter_caption(comparison)]
    captions += [along_caption([a, b]), calibration_caption([a, b])]
    for caption in captions:
        assert all(words in caption for words in both), caption
    assert "small (SmallLM, weights from Q4_1; n = 3 of 4 tokens)" in captions[0]
    assert [panel.name for panel in heatmaps[0].panels] == [f"{words})" for words in both]
    assert [panel.name for panel in heatmaps[1].panels] == [f"{both[1]}) minus {both[0]})"]
    assert all(words in comparison._repr_html_() for words in both)


def test_plots_have_a_key_below_them() -> None:
    a, b = named("small", "SmallLM, weights from Q4_1"), named("large", "")
    comparison = tv.compare(a, b, resamples=0)
    from tokenviz.figures.plots.curves import along_text, entropy_calibration
    from tokenviz.figures.plots.matrix import correlation_overview

    for figure in (
        tv.unity_scatter(comparison), along_text(comparison), entropy_calibration([a, b]), correlation_overview([comparison]),
    ):  # fmt: skip
        assert [text.get_text() for text in figure.texts] == ["small (SmallLM, weights from Q4_1)"]
        figure.draw_without_rendering()
        key = figure.texts[0].get_window_extent()
        drawn = [axes.get_tightbbox() for axes in figure.axes]
        assert all(box is not None and box.y0 >= key.y1 for box in drawn)
    plain = tv.unity_scatter(tv.compare(named("small", ""), named("large", "large"), resamples=0))
    assert not plain.texts
