"""A model's two halves: the same numbers for every architecture, batch, budget and way of running it."""

import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from architectures import ARCHITECTURES, make_folder
from conftest import DEVICES
from reference import FLOAT32, assert_agrees, exact
from safetensors.torch import load_file, save_file
from writing import ALICE

from tokenviz.base.errors import ModelError, ScoringError
from tokenviz.data.texts import corpus
from tokenviz.models.loading import LoadedModel, load_model
from tokenviz.scoring.kernel import Kernel
from tokenviz.scoring.layers import SteppedLayer, decoder_layers
from tokenviz.scoring.memory import Budget, forward_pass, reading
from tokenviz.scoring.scorer import score


@pytest.fixture(scope="session", params=sorted(ARCHITECTURES))
def small(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, bigram: LoadedModel) -> LoadedModel:
    """A small random model of each architecture over four letters."""
    return make_folder(request.param, bigram.tokenizer, tmp_path_factory.mktemp(request.param) / request.param)


SENTENCE = "abcdabddcaacbdbacc"
# Beginnings that are shared, lengths around the steps and windows, and three that are padded together.
PASSAGES = [SENTENCE, SENTENCE[:12] + "bbaad", "dab", "cccb" * 12, "d", SENTENCE[:9], "adcadcbdda" * 4, SENTENCE[:0:-1]]


def test_every_architecture_agrees_with_the_exact_loop(small: LoadedModel) -> None:
    scores = score(small, corpus(PASSAGES, name="letters"), top_k=5)
    expected = ARCHITECTURES[small.resolved.folder.name]
    assert scores.spec.head == expected.head
    assert scores.spec.batching == ("padded" if expected.way == "padded" else "packed")
    assert scores.logprob[scores.scored].std() > 0.01  # a model that says the same everywhere would prove nothing
    if small.resolved.folder.name == "longrope":
        return  # its positions change with the length of what it reads, so a prefix is not scored as in the whole: see below
    for number in range(len(PASSAGES)):
        first, end = np.flatnonzero(scores.passage == number)[[0, -1]] + [0, 1]
        if end - first == 1:
            continue
        assert_agrees(scores, exact(small.resolved.folder, scores.token_id[first:end].tolist()), rows=slice(first, end))


def test_decoder_layers_take_the_quickest_form_that_is_equal(small: LoadedModel) -> None:
    kernel = Kernel.of(small)
    expected = ARCHITECTURES[small.resolved.folder.name].way
    if expected == "padded":
        assert kernel.batching == "padded"
        assert not any(isinstance(module, SteppedLayer) for module in small.network.modules())
    else:
        assert {layer.form for layer in decoder_layers(small.network)} == {expected}


def test_company_changes_nothing_for_any_architecture(small: LoadedModel) -> None:
    together = score(small, corpus(PASSAGES, name="letters"), top_k=2)
    for number, passage in enumerate(PASSAGES):
        alone = score(small, passage, top_k=2)
        rows = together.passage == number
        # Float32 sums in another order.
        np.testing.assert_allclose(together.logprob[rows], alone.logprob, rtol=0, atol=1e-5)
        np.testing.assert_allclose(together.entropy[rows], alone.entropy, rtol=0, atol=1e-5)
        np.testing.assert_array_equal(together.top_ids[rows], alone.top_ids)


def test_scores_are_those_of_the_models_own_forward_pass(small: LoadedModel) -> None:
    from transformers import AutoModelForCausalLM

    network = AutoModelForCausalLM.from_pretrained(small.resolved.folder).eval()
    scores = score(small, corpus(PASSAGES, name="letters"))
    for number in range(len(PASSAGES)):
        rows = scores.passage == number
        ids = torch.from_numpy(scores.token_id[rows].copy())
        with torch.inference_mode():
            logprobs = network(ids[None], use_cache=False).logits[0].double().log_softmax(-1)
        expected = logprobs[:-1].gather(-1, ids[1:, None])[:, 0]
        np.testing.assert_allclose(scores.logprob[rows][1:], expected, rtol=0, atol=2e-5)


@pytest.mark.parametrize("name", ["glass", "gpt2"])
def test_the_whole_head_gives_the_same_numbers(name: str, request, monkeypatch: pytest.MonkeyPatch) -> None:
    model = request.getfixturevalue(name)
    streamed = score(model, ALICE, top_k=2)
    monkeypatch.setattr(Kernel, "_streams", lambda *_: None)
    whole = score(replace(model, memo={}), ALICE, top_k=2)
    assert (streamed.spec.head, whole.spec.head) == ("streamed", "whole")
    # The same matrices, multiplied for other numbers of rows at a time.
    np.testing.assert_allclose(whole.logprob, streamed.logprob, rtol=0, atol=1e-5)
    np.testing.assert_array_equal(whole.rank, streamed.rank)


def test_a_model_is_checked_once(bigram: LoadedModel) -> None:
    assert Kernel.of(bigram) is Kernel.of(bigram)


def test_a_model_whose_head_cannot_be_run_apart_is_run_whole(glass: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = Kernel(glass)
    assert kernel.head == "streamed"

    def refuses(*_: object) -> None:
        raise TypeError("this head wants more than hidden states")

    monkeypatch.setattr(Kernel, "_apply_head", refuses)
    assert Kernel(glass).head == "whole"


def test_a_head_that_gives_other_logits_is_not_used(glass: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    true_head = Kernel._apply_head
    monkeypatch.setattr(Kernel, "_apply_head", lambda self, states: true_head(self, states) + 1)
    assert Kernel(glass).head == "whole"


def test_the_networks_own_forward_pass_still_works_and_says_the_same(glass: LoadedModel) -> None:
    model = load_model("glass-en")
    ids = torch.arange(8, device=model.device)[None]
    before = model.network(input_ids=ids).logits
    score(model, "Alice was beginning to get very tired")
    after = model.network(input_ids=ids).logits
    torch.testing.assert_close(after, before, rtol=0, atol=1e-4)  # other products, the same sums
    score(model, "sitting by her sister on the bank")
    assert torch.equal(model.network(input_ids=ids).logits, after)  # and what it returned is not written over
    assert torch.equal(after, model.network(input_ids=ids).logits)


@pytest.fixture
def narrow(gpt2: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> Kernel:
    """A kernel with hardly any memory to go on with."""
    kernel = Kernel.of(gpt2)
    monkeypatch.setattr(kernel, "budget", Budget(tokens=16, logits=5 * gpt2.vocabulary))
    return kernel


@pytest.fixture
def logits_read(monkeypatch: pytest.MonkeyPatch) -> list[torch.Tensor]:
    """Copies of all logits (m, vocabulary) that are computed from now on."""
    read: list[torch.Tensor] = []
    logits_of = Kernel.logits

    def watched(self: Kernel, states: torch.Tensor) -> torch.Tensor:
        logits = logits_of(self, states)
        read.append(logits.clone())
        return logits

    monkeypatch.setattr(Kernel, "logits", watched)
    return read


def test_logits_never_exist_for_all_positions_of_a_long_text(
    gpt2: LoadedModel, narrow: Kernel, logits_read: list[torch.Tensor]
) -> None:
    scores = score(gpt2, "word " * 600)
    assert len(scores) > 600
    assert max(logits.numel() for logits in logits_read) == narrow.budget.logits


def test_the_budget_changes_no_number(gpt2: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    model = load_model(f"{gpt2.resolved.folder},device=cpu")  # a GPU sums in other orders for other numbers of rows
    text = corpus([ALICE * 20, ALICE, "sister", ALICE * 3], name="alice")
    monkeypatch.setattr(Kernel.of(model), "budget", Budget(tokens=16, logits=5 * model.vocabulary))
    chunked = score(model, text, top_k=3)
    monkeypatch.setattr(Kernel.of(model), "budget", Budget.of("cpu", 4096, 50_257))
    whole = score(model, text, top_k=3)
    np.testing.assert_allclose(chunked.logprob, whole.logprob, rtol=0, atol=1e-5)
    np.testing.assert_allclose(chunked.top_logprobs, whole.top_logprobs, rtol=0, atol=1e-5)


def test_a_head_whose_logits_differ_in_their_last_bit_is_not_run_apart(
    gpt2_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    apply_head = Kernel._apply_head
    monkeypatch.setattr(
        Kernel, "_apply_head", lambda self, states: torch.nextafter(apply_head(self, states), torch.tensor(torch.inf))
    )
    assert Kernel.of(load_model(f"{gpt2_folder},device=cpu")).head == "whole"


@pytest.mark.parametrize(("width", "tokens"), [(1000, 2048), (5000, 1024), (10_000, 512)])
def test_the_wider_a_model_the_fewer_tokens_go_together(gpt2_folder: Path, width: int, tokens: int) -> None:
    model = load_model(f"{gpt2_folder},device=cpu")
    model.network.config.intermediate_size = width  # what it says of itself; no layer is built of it
    assert Kernel.of(model).budget.tokens == tokens


_IN_LITTLE_MEMORY = """
import resource
import sys
from pathlib import Path
import torch
from tokenviz.models.loading import load_model
from tokenviz.scoring.kernel import Kernel
from tokenviz.scoring.memory import Budget
from tokenviz.scoring.scorer import score
from tokenviz.data.texts import corpus

model = load_model(sys.argv[1])
score(model, corpus(["word", "words"], name="for the threads to be there"))
kernel = Kernel.of(model)
before = kernel.budget = Budget(tokens=2048, logits=1 << 27)  # half a gigabyte at once
room = int(sys.argv[2]) * 2**20
if model.device == "cuda":
    used, total = torch.cuda.memory_reserved(), torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction(min(1, (used + room) / total))
else:
    used = int(Path("/proc/self/statm").read_text().split()[5]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_DATA, (used + room, -1))
scores = score(model, corpus([letter + " word" * 250 for letter in "abcdefgh"], name="words"))
print(before.logits // kernel.budget.logits, *scores.logprob[1:250])
"""


def _score_in_little_memory(model: str, megabytes: int) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", _IN_LITTLE_MEMORY, model, str(megabytes)]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux keeps a process within a limit of address space")
@pytest.mark.parametrize("device", DEVICES)
def test_out_of_memory_halves_the_budget_and_goes_on(gpt2_folder: Path, device: str) -> None:
    plenty, little = (_score_in_little_memory(f"{gpt2_folder},device={device}", megabytes) for megabytes in (4000, 200))
    (same, *expected), (halved, *found) = (run.stdout.split() for run in (plenty, little))
    assert same == "1"
    assert int(halved) >= 2, little.stderr
    np.testing.assert_allclose([float(x) for x in found], [float(x) for x in expected], rtol=0, atol=1e-5)


@pytest.mark.parametrize("where", ["head", "network"])
def test_what_a_caller_does_to_the_logits_counts(gpt2_folder: Path, where: str) -> None:
    model = load_model(f"{gpt2_folder},device=cpu")
    expected = score(model, ALICE, top_k=0)

    def flatter(module: Any, given: Any, made: Any) -> Any:
        if where == "head":
            return made / 2
        made.logits = made.logits / 2
        return made

    module = model.network.get_output_embeddings() if where == "head" else model.network
    hook = module.register_forward_hook(flatter)
    try:
        assert score(model, ALICE, top_k=0).entropy[1:].min() > expected.entropy[1:].max()
    finally:
        hook.remove()
    np.testing.assert_array_equal(score(model, ALICE, top_k=0).logprob, expected.logprob)


def test_too_little_memory_for_anything_is_said(gpt2: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    # A real limit so low makes native code crash before PyTorch can say anything.
    def full(*_: object) -> None:
        raise torch.OutOfMemoryError("no memory at all")

    kernel = Kernel.of(gpt2)
    monkeypatch.setattr(kernel, "budget", kernel.budget)
    monkeypatch.setattr(kernel, "_packed_states", full)
    message = f"'{gpt2.label}' does not fit in memory with a sequence of 16 tokens: take a smaller context, or a smaller dtype"
    with pytest.raises(ScoringError, match=f"^{re.escape(message)}$"):
        score(gpt2, corpus([ALICE, "sister"], name="alice"))


@pytest.mark.parametrize("context", [512, 3, 2])
def test_a_model_that_sees_what_follows_is_refused(context: int, tmp_path: Path, bigram: LoadedModel) -> None:
    from transformers import BertConfig, BertLMHeadModel

    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=4, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32, initializer_range=0.5,
        max_position_embeddings=context,
    )  # fmt: skip
    BertLMHeadModel(config).save_pretrained(tmp_path)
    bigram.tokenizer.save_pretrained(tmp_path)
    model = load_model(str(tmp_path))
    message = f"{str(tmp_path)!r} is not a causal language model: its predictions change with the tokens after them"
    with pytest.raises(ModelError, match=f"^{re.escape(message)}$"):
        score(model, "abcd")


def test_the_softmax_of_a_bfloat16_model_is_float32(bigram_bfloat16: LoadedModel, logits_read: list[torch.Tensor]) -> None:
    row = np.array([0, 1, 2, 3, 0, 2])
    ((_, found),) = Kernel.of(bigram_bfloat16).statistics([row], [np.arange(1, 6)], 4)
    (logits,) = logits_read
    assert logits.dtype == torch.bfloat16
    exact_ = torch.log_softmax(logits.cpu().double(), dim=-1)
    np.testing.assert_allclose(found.logprob, exact_.numpy()[np.arange(5), row[1:]], rtol=0, atol=1e-5)
    np.testing.assert_allclose(np.exp(found.top_logprobs).sum(axis=1), 1, rtol=0, atol=1e-5)


@pytest.fixture(scope="session")
def bigram_bfloat16(bigram: LoadedModel) -> LoadedModel:
    return load_model(f"{bigram.resolved.folder},dtype=bfloat16")


@pytest.mark.parametrize("name", ["glass", "gpt2"])
def test_what_a_caller_has_set_for_pytorch_moves_no_number(name: str, request: pytest.FixtureRequest) -> None:
    model = request.getfixturevalue(name)
    expected = score(model, ALICE, top_k=2)
    try:
        for precision in ("high", "medium"):  # factors of products rounded to TF32, and to bfloat16
            torch.set_float32_matmul_precision(precision)
            with torch.autocast(model.device, dtype=torch.bfloat16):
                found = score(replace(model, memo={}), ALICE, top_k=2)
                assert torch.is_autocast_enabled(model.device)
            assert torch.get_float32_matmul_precision() == precision
            np.testing.assert_array_equal(found.logprob, expected.logprob)
            np.testing.assert_array_equal(found.space_logprob, expected.space_logprob)
    finally:
        torch.set_float32_matmul_precision("highest")


def test_left_padding_by_hand_gives_the_same_log_probs(gpt2: LoadedModel) -> None:
    # The kernel pads on the right; the numbers must be the model's, not the padding side's.
    scores = score(gpt2, "The goal of a correlation analysis is to compute a coefficient.")
    ids = torch.tensor([[0, 0, 0, *scores.token_id.tolist()]], device=gpt2.device)
    mask = torch.tensor([[0, 0, 0, *[1] * len(scores)]], device=gpt2.device)
    positions = (mask.cumsum(-1) - 1).clamp(min=0)
    with torch.inference_mode():
        logits = gpt2.network(input_ids=ids, attention_mask=mask, position_ids=positions).logits[0, 3:-1].cpu().double()
    expected = torch.log_softmax(logits, -1).gather(-1, torch.from_numpy(scores.token_id[1:].copy())[:, None])[:, 0]
    np.testing.assert_allclose(scores.logprob[1:], expected, rtol=0, atol=FLOAT32)


def test_a_model_that_sees_what_follows_in_long_texts_only_is_refused(
    tmp_path: Path, bigram: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import ReformerConfig, ReformerModelWithLMHead

    torch.manual_seed(0)
    config = ReformerConfig(
        vocab_size=5, hidden_size=16, attention_head_size=8, num_attention_heads=2, feed_forward_size=32, is_decoder=True,
        attn_layers=["lsh", "lsh"], axial_pos_shape=[16, 16], axial_pos_embds_dim=[8, 8], max_position_embeddings=256,
        hash_seed=3, num_buckets=4, initializer_range=0.5, axial_norm_std=1.0, pad_token_id=4, eos_token_id=4,
    )  # fmt: skip
    ReformerModelWithLMHead(config).save_pretrained(tmp_path)
    bigram.tokenizer.save_pretrained(tmp_path)
    monkeypatch.setattr("tokenviz.models.supported._check_hidden_sight", lambda *_: None)  # which knows it by name
    model = load_model(str(tmp_path))
    score(model, "abcd")
    message = f"{str(tmp_path)!r} is not a causal language model: its predictions change with the tokens after them"
    with pytest.raises(ModelError, match=f"^{re.escape(message)}$"):
        score(model, "abcdacbb" * 40)


def test_the_long_look_costs_no_more_than_the_text(
    tmp_path: Path, bigram: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = make_folder("bloom", bigram.tokenizer, tmp_path)
    kernel = Kernel.of(model)
    read: list[int] = []
    hidden = kernel._hidden

    def count(ids: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        read.append(ids.numel())
        return hidden(ids, mask)

    monkeypatch.setattr(kernel, "_hidden", count)
    for length, sizes in ((20, [20]), (90, [90, 90]), (200, [200])):  # once, for three rows of a third
        read.clear()
        score(model, "a" * length)
        assert read == sizes


# ---- what fails inside a model -------------------------------------------------------------------------------------


def test_an_error_of_the_models_own_names_model_text_and_error(gpt2: LoadedModel) -> None:
    longer = replace(gpt2, context=gpt2.context + 5, memo={})
    message = (
        f"{gpt2.label!r} cannot read 'alice': the model's own forward pass fails with IndexError: index out of range in self"
    )
    with pytest.raises(ScoringError, match=f"^{re.escape(message)}$"):
        score(longer, corpus(["abc " * gpt2.context], name="alice"))


def test_an_error_of_the_models_own_on_the_first_try_is_one_line(tmp_path: Path, bigram: LoadedModel) -> None:
    from transformers import XmodConfig, XmodForCausalLM

    config = XmodConfig(
        vocab_size=5, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32, is_decoder=True,
        languages=["en_XX", "de_DE"], default_language=None,
    )  # fmt: skip
    XmodForCausalLM(config).save_pretrained(tmp_path)
    bigram.tokenizer.save_pretrained(tmp_path)
    message = f"{str(tmp_path)!r} cannot be run: the model's own forward pass fails with ValueError: Input language unknown."
    with pytest.raises(ScoringError, match=f"^{re.escape(message)}[^\n]*$"):
        score(load_model(str(tmp_path)), "abcd")


def test_running_out_of_memory_is_no_error_of_the_models_own() -> None:
    with pytest.raises(RuntimeError, match=r"^bad_alloc$"), forward_pass("m"):
        raise RuntimeError("bad_alloc")
    message = "^'m' cannot read 't': the model's own forward pass fails with AssertionError$"
    with pytest.raises(ScoringError, match=message), reading("t"), forward_pass("m"):
        raise AssertionError


@pytest.mark.parametrize(("pad", "context"), [(1, 512), (0, 513)])
def test_positions_that_begin_after_that_of_padding_are_not_counted(
    tmp_path: Path, bigram: LoadedModel, pad: int, context: int
) -> None:
    model = make_folder(
        "roberta", bigram.tokenizer, tmp_path, max_position_embeddings=514, pad_token_id=pad, bos_token_id=2, eos_token_id=3
    )
    assert model.context == context
    assert score(model, "cdc" * 400).summary().n_scored == 1199


@pytest.mark.parametrize("name", ["stablelm", "longcat_flash"])
def test_what_was_not_replaced_is_put_back_without_fault(
    name: str, tmp_path: Path, bigram: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(_: object) -> object:
        raise LookupError("2 lists of 2 layers")

    expected = score(make_folder(name, bigram.tokenizer, tmp_path), SENTENCE).logprob
    monkeypatch.setattr("tokenviz.scoring.layers.decoder_layers", none)
    found = score(load_model(str(tmp_path)), SENTENCE)
    assert found.spec.batching == "padded"
    np.testing.assert_allclose(found.logprob, expected, rtol=0, atol=1e-5)


def test_a_copy_of_a_model_with_broken_weights_is_stopped(tmp_path: Path, bigram: LoadedModel) -> None:
    folder = tmp_path / "broken"
    shutil.copytree(bigram.resolved.folder, folder)
    weights = load_file(folder / "model.safetensors")
    # Overflows after a "c" and nowhere else; a NaN in an embedding would reach every position through the attention.
    weights["model.layers.0.mlp.gate_proj.weight"][0, 2] = 3e38
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    message = (
        f"'{folder}' on 'sample', passage 1, token 3: the model's logits are NaN or infinite; nothing was recorded. "
        "Try dtype=float32, or check the weights"
    )
    with pytest.raises(ScoringError, match=f"^{re.escape(message)}$"):
        score(load_model(str(folder)), corpus(["abab", "abca", "ab"], name="sample"))
