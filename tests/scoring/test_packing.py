"""Packed passes: proven equal on load or not used, products as exact as PyTorch's own."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from architectures import make_folder
from conftest import DEVICES, needs_onednn
from torch import nn

from tokenviz.data.texts import corpus
from tokenviz.models.loading import LoadedModel, load_model
from tokenviz.scoring import linear
from tokenviz.scoring.attention import (
    AttentionRule,
    PackedPass,
    Recording,
    UnsupportedAttentionError,
    depends_on_length,
    record,
)
from tokenviz.scoring.kernel import Kernel
from tokenviz.scoring.layers import SteppedLayer, decoder_layers
from tokenviz.scoring.linear import PackedHead, PackedLinear
from tokenviz.scoring.scorer import score
from tokenviz.scoring.windows import plan_packs

TEXT = corpus(["abcdabddcaacbdbacc", "abcdabddcaacbdbaccd", "ddb", "cccb" * 12], name="letters")


# ---- attention -----------------------------------------------------------------------------------------------------


def attention_by_hand(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, rule: AttentionRule) -> torch.Tensor:
    """In float64, of one sequence: (heads, n, d), (key heads, n, d), (key heads, n, e) to (n, heads, e)."""
    group = query.shape[0] // key.shape[0]
    query, key, value = query.double(), key.double().repeat_interleave(group, 0), value.double().repeat_interleave(group, 0)
    scores = query @ key.transpose(1, 2) * rule.scaling
    if rule.softcap is not None:
        scores = torch.tanh(scores / rule.softcap) * rule.softcap
    i, j = torch.arange(query.shape[1])[:, None], torch.arange(query.shape[1])
    seen = (j <= i) & (j > i - (rule.window or query.shape[1]))
    return (scores.masked_fill(~seen, float("-inf")).softmax(-1) @ value).transpose(0, 1)


@needs_onednn
@pytest.mark.parametrize("name", ["llama", "gemma2", "gpt_neox"])
def test_products_are_asked_for_in_layouts_that_are_quick(
    name: str, tmp_path: Path, bigram: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_folder(name, bigram.tokenizer, tmp_path / name, **({"num_key_value_heads": 2} if name == "gemma2" else {}))
    model = load_model(f"{tmp_path / name},device=cpu")
    score(model, TEXT)
    product = torch.ops.mkldnn._linear_pointwise
    layouts: list[bool] = []

    def watched(x: torch.Tensor, weight: torch.Tensor, *others: Any) -> torch.Tensor:
        layouts.append(weight.is_mkldnn or weight.is_contiguous() or weight.T.is_contiguous())
        return product(x, weight, *others)

    monkeypatch.setattr(torch.ops.mkldnn, "_linear_pointwise", watched)
    score(model, TEXT)
    assert len(layouts) > 10
    assert all(layouts)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("window", [None, 5, 37])
@pytest.mark.parametrize("softcap", [None, 2.0])
@pytest.mark.parametrize(("scores_elements", "keys_step", "step_tokens"), [(200, 8, 40), (1 << 20, 256, 16)])
@pytest.mark.parametrize("width", [8, 10])  # of values: on a GPU there is a kernel for all sequences at once for the first
def test_packed_attention_is_attention(
    device: str,
    window: int | None,
    softcap: float | None,
    scores_elements: int,
    keys_step: int,
    step_tokens: int,
    width: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tokenviz.scoring.attention._KEYS_STEP", keys_step)
    for name in ("_SCORES_ELEMENTS", "_SCORES_ELEMENTS_ON_GPU"):
        monkeypatch.setattr(f"tokenviz.scoring.attention.{name}", scores_elements)
    generator = torch.Generator().manual_seed(5)
    shared = np.arange(60)
    sequences = [
        np.append(shared, [1, 2, 3]),
        np.append(shared[:33], [7] * 20),
        np.arange(90, 94),
        np.arange(80, 84),
        np.array([99]),
    ]
    (pack,) = plan_packs(sequences, token_budget=500, step_tokens=step_tokens, longest_whole=window)
    rule = AttentionRule(0.3, window, softcap)
    n = len(pack.ids)
    query, key = torch.randn(1, 6, n, 8, generator=generator), torch.randn(1, 2, n, 8, generator=generator)
    value = torch.randn(1, 2, n, width, generator=generator)
    query, key, value = query.to(device), key.to(device), value.to(device)
    running = PackedPass(pack)
    out = torch.empty(1, n, 6, width, device=device)
    for running.step in pack.steps:
        rows = slice(running.step.begin, running.step.end)
        out[:, rows] = running.attend(query[:, :, rows], key[:, :, rows], value[:, :, rows], rule)
    for rows in pack.rows.values():
        expected = attention_by_hand(*(t[0][:, rows].cpu() for t in (query, key, value)), rule)
        torch.testing.assert_close(out[0, rows].cpu().double(), expected, rtol=0, atol=2e-6)


@pytest.mark.parametrize(("window", "most_kinds"), [(None, 90), (512, 8)])
def test_a_long_text_is_attended_to_in_small_pieces_of_few_kinds(
    monkeypatch: pytest.MonkeyPatch, window: int | None, most_kinds: int
) -> None:
    n, step = 9000, 2048
    (pack,) = plan_packs([np.arange(n)], token_budget=step, step_tokens=step, longest_whole=window)
    products: list[tuple[torch.Size, torch.Size]] = []

    def watched(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        products.append((x.shape, weight.shape))
        return linear.multiply(x, weight)

    monkeypatch.setattr("tokenviz.scoring.attention.multiply", watched)
    query, key, value = torch.randn(1, 4, n, 8), torch.randn(1, 1, n, 8), torch.randn(1, 1, n, 8)
    running = PackedPass(pack)
    for running.step in pack.steps[1:]:  # the first is one call of PyTorch's where there is no window
        rows = slice(running.step.begin, running.step.end)
        running.attend(query[:, :, rows], key[:, :, rows], value[:, :, rows], AttentionRule(0.3, window, None))
    scores = [x[0] * weight[0] for x, weight in products[::2]]
    assert len(scores) > 50
    assert max(scores) <= (1 << 20) + 128 * 4 * 256
    assert len(set(products)) <= most_kinds


def test_a_mask_that_is_no_sliding_window_is_not_taken_for_one() -> None:
    recording = Recording(context=40)
    assert int(recording.mask(lambda batch, head, query, key: key <= query)) == 40
    assert int(recording.mask(lambda batch, head, query, key: (key <= query) & (key > query - 7))) == 7
    for mask in (
        lambda batch, head, query, key: key < query + 3,
        lambda batch, head, query, key: (key <= query) & (key // 8 == query // 8),  # in chunks
        lambda batch, head, query, key: (key <= query) | (key < 4),  # a prefix that all see
    ):
        with pytest.raises(UnsupportedAttentionError):
            recording.mask(mask)


def test_a_layer_whose_mask_says_something_else_is_not_run_packed() -> None:
    recording = Recording(context=40)
    layer = nn.Identity()
    recording.note(layer, torch.tensor(7), AttentionRule(1.0, 7, None))
    assert recording.shortest_window == 7
    for mask in (torch.tensor(40), torch.zeros(1, 1, 4, 4), None):
        with pytest.raises(UnsupportedAttentionError):
            recording.note(layer, mask, AttentionRule(1.0, 7, None))


def test_what_a_model_says_of_its_attention_is_recorded(tmp_path: Path, bigram: LoadedModel) -> None:
    model = make_folder("gemma2", bigram.tokenizer, tmp_path / "gemma2")
    rules = list(record(model.network, model.context).rules.values())
    assert [(rule.window, rule.softcap) for rule in rules] == [(4, 1.5), (None, 1.5)]


def test_models_whose_positions_change_with_the_length_are_known(tmp_path: Path, bigram: LoadedModel) -> None:
    assert depends_on_length(make_folder("longrope", bigram.tokenizer, tmp_path / "longrope").network)
    assert not depends_on_length(bigram.network)


# ---- what is not equal is not used ---------------------------------------------------------------------------------


@pytest.fixture
def llama(tmp_path: Path, bigram: LoadedModel) -> LoadedModel:
    """On a processor, where there is more than one way."""
    make_folder("llama", bigram.tokenizer, tmp_path / "llama")
    return load_model(f"{tmp_path / 'llama'},device=cpu")


def forms(model: LoadedModel) -> set[str]:
    return {layer.form for layer in decoder_layers(model.network)}


def test_a_packed_pass_that_gives_other_numbers_is_not_used(llama: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = score(llama, TEXT)
    assert expected.spec.batching == "packed"
    llama.memo.clear()
    monkeypatch.setattr(PackedPass, "_hide", lambda *_: None)  # lets tokens see those after them
    found = score(llama, TEXT)
    assert found.spec.batching == "padded"
    assert not any(isinstance(module, SteppedLayer) for module in llama.network.modules())
    np.testing.assert_allclose(found.logprob, expected.logprob, rtol=0, atol=1e-5)


def test_a_quick_form_that_gives_other_numbers_is_not_used(llama: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tokenviz.scoring.layers._rotate", lambda *_: None)
    found = score(llama, TEXT)
    assert (found.spec.batching, forms(llama)) == ("packed", {"own"})
    monkeypatch.undo()
    llama.memo.clear()
    np.testing.assert_allclose(score(llama, TEXT).logprob, found.logprob, rtol=0, atol=1e-5)
    assert forms(llama) == {"quick"}


@needs_onednn
def test_packed_weights_that_give_other_numbers_are_not_used(llama: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    true_forward = PackedLinear.forward
    monkeypatch.setattr(PackedLinear, "forward", lambda self, x: true_forward(self, x) + 0.1)
    found = score(llama, TEXT)
    assert not any(isinstance(module, PackedLinear | PackedHead) for module in llama.network.modules())
    monkeypatch.undo()
    llama.memo.clear()
    np.testing.assert_allclose(score(llama, TEXT).logprob, found.logprob, rtol=0, atol=1e-5)
    assert any(isinstance(module, PackedLinear) for module in llama.network.modules())


def test_without_onednn_the_numbers_are_the_same(llama: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("linear", "layers", "kernel"):
        monkeypatch.setattr(f"tokenviz.scoring.{name}.onednn_multiplies", lambda *_: False)
    found = score(llama, TEXT)
    assert (found.spec.batching, forms(llama)) == ("packed", {"quick"})
    assert not any(isinstance(module, PackedLinear | PackedHead) for module in llama.network.modules())
    monkeypatch.undo()
    llama.memo.clear()
    np.testing.assert_allclose(score(llama, TEXT).logprob, found.logprob, rtol=0, atol=1e-5)


def test_a_bfloat16_model_is_packed_as_well(llama: LoadedModel, bigram: LoadedModel) -> None:
    from tokenviz.models.loading import load_model

    half = load_model(f"{llama.resolved.folder},dtype=bfloat16")
    found, expected = score(half, TEXT), score(llama, TEXT)
    assert found.spec.batching == "packed"
    difference = np.abs(found.logprob - expected.logprob)[found.scored]
    assert 1e-5 < difference.max() < 0.1  # bfloat16, and no more than that


def test_a_common_beginning_changes_no_number(llama: LoadedModel) -> None:
    passages = ["abcdabddca" + end for end in ("a", "b", "abcd", "dddddd", "")]
    together = score(llama, corpus(passages, name="continuations"), top_k=3)
    for number, passage in enumerate(passages):
        rows = together.passage == number
        alone = score(llama, passage, top_k=3)
        np.testing.assert_allclose(together.logprob[rows], alone.logprob, rtol=0, atol=1e-5)
        np.testing.assert_allclose(together.top_logprobs[rows], alone.top_logprobs, rtol=0, atol=1e-5)


def test_a_second_kernel_takes_over_what_the_first_has_packed(llama: LoadedModel) -> None:
    first = Kernel(llama)
    found = score(llama, TEXT).logprob
    llama.memo.clear()
    second = Kernel(llama)
    assert (first.batching, first.head) == (second.batching, second.head) == ("packed", "streamed")
    np.testing.assert_allclose(score(llama, TEXT).logprob, found, rtol=0, atol=1e-5)
    assert not any(isinstance(layer.layer, SteppedLayer) for layer in decoder_layers(llama.network))


# ---- products ------------------------------------------------------------------------------------------------------


@needs_onednn
@pytest.mark.parametrize("k", [1, 100, 768, 769, 2000])
@pytest.mark.parametrize("bias", [False, True])
def test_a_packed_linear_layer_is_as_exact_as_pytorchs_own(k: int, bias: bool) -> None:
    torch.manual_seed(6)
    layer = nn.Linear(k, 70, bias=bias)
    x = torch.randn(2, 33, k)
    expected = x.double() @ layer.weight.double().T + (layer.bias.double() if bias else 0)
    with torch.inference_mode():
        off = (PackedLinear(*linear.weight_and_bias(layer))(x) - expected).abs().max()
        its_own = (layer(x) - expected).abs().max()
    assert off <= 2 * its_own + 1e-6


@needs_onednn
def test_gpt2s_transposed_layers_are_packed_too() -> None:
    from transformers.pytorch_utils import Conv1D

    torch.manual_seed(7)
    layer = Conv1D(20, 30)  # from 30 to 20
    x = torch.randn(4, 30)
    with torch.inference_mode():
        torch.testing.assert_close(PackedLinear(*linear.weight_and_bias(layer))(x), layer(x), rtol=0, atol=1e-6)


@needs_onednn
@pytest.mark.parametrize(("kept_block", "large"), [(1 << 30, False), (1, True)])
def test_many_logits_and_what_layers_use_are_not_in_memory_together(
    gpt2_folder: Path, monkeypatch: pytest.MonkeyPatch, kept_block: int, large: bool
) -> None:
    model = load_model(f"{gpt2_folder},device=cpu")
    head = Kernel.of(model)._packed_head
    assert head is not None
    monkeypatch.setattr("tokenviz.scoring.kernel.KEPT_BLOCK", kept_block)
    kept_when_given_back: list[int] = []
    monkeypatch.setattr(
        "tokenviz.scoring.kernel.give_back_freed_memory", lambda: kept_when_given_back.append(head._kept.numel())
    )
    head.forget()
    score(model, "Alice was beginning to get very tired.")
    assert (head._kept.numel() == 0) == large
    assert kept_when_given_back == [0] * large  # before the logits are made


@needs_onednn
def test_a_packed_head_writes_over_its_logits_only_where_it_was_told_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linear, "_HEAD_BLOCK", 16)
    torch.manual_seed(8)
    layer = nn.Linear(12, 50)
    with torch.inference_mode():
        head = PackedHead(*linear.weight_and_bias(layer))
        x, y = torch.randn(3, 12), torch.randn(2, 12)
        kept = head(x)
        torch.testing.assert_close(head(y), layer(y), rtol=0, atol=1e-5)
        torch.testing.assert_close(kept, layer(x), rtol=0, atol=1e-5)
        with head.reusing():
            first = head(x)
            torch.testing.assert_close(first, layer(x), rtol=0, atol=1e-5)
            second = head(y)
            assert second.data_ptr() == first.data_ptr()
            torch.testing.assert_close(second, layer(y), rtol=0, atol=1e-5)
        torch.testing.assert_close(kept, layer(x), rtol=0, atol=1e-5)


def test_company_moves_scores_by_less_than_is_promised_and_repetition_by_nothing(glass: LoadedModel) -> None:
    beginning = (Path(__file__).parents[2] / "experiments" / "texts" / "narrative.txt").read_text(encoding="utf-8")[:300]
    ends = [" and then it rained, so that nobody went out.", " because the sea was calm.", " XQZ 77 :: end", " It was late."]
    passages = [beginning + end for end in ends]
    together = score(glass, corpus(passages, name="together"))
    np.testing.assert_array_equal(together.logprob, score(glass, corpus(passages, name="again")).logprob)
    for number, passage in enumerate(passages):
        alone = score(glass, passage)
        np.testing.assert_array_equal(alone.logprob, score(glass, passage).logprob)
        # Measured: up to 6e-6; see docs/definitions.md.
        np.testing.assert_allclose(together.logprob[together.passage == number], alone.logprob, rtol=0, atol=2e-5)
