"""Divergences over a text: the two models' own folders, run by a plain float64 loop, are the judge."""

import itertools
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from architectures import bent_copy, make_folder
from arithmetic import BIGRAM_WEIGHTS, make_bigram_folder
from reference import FLOAT32, exact
from safetensors.torch import load_file, save_file
from tables import DIVERGENCES
from writing import ALICE

import tokenviz as tv
from tokenviz.base.errors import ComparisonError, ScoringError
from tokenviz.data.texts import corpus
from tokenviz.models.loading import LoadedModel
from tokenviz.scoring import kernel as kernels
from tokenviz.scoring.divergence import Divergences, divergences_by_parts
from tokenviz.scoring.kernel import Kernel
from tokenviz.scoring.memory import Budget

FOLDERS = ("llama", "gpt2", "bloom", "opt")  # packed twice, padded, and padded with a whole head


@pytest.fixture(scope="module")
def bent(glass: LoadedModel, tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    return bent_copy(glass, tmp_path_factory.mktemp("bent") / "glass")


@pytest.fixture(scope="module")
def letters(bigram: LoadedModel, tmp_path_factory: pytest.TempPathFactory) -> dict[str, LoadedModel]:
    """Architectures that are run in different ways, over one vocabulary."""
    return {name: make_folder(name, bigram.tokenizer, tmp_path_factory.mktemp(name) / name) for name in FOLDERS}


def assert_agrees(
    found: Divergences, a: LoadedModel, b: LoadedModel, ids: np.ndarray, *, rows: slice = slice(None), **how: int
) -> None:
    """A passage's rows are what ten lines of float64 over every prefix say."""
    log_p, log_q = (exact(model.resolved.folder, ids.tolist(), **how).logprobs for model in (a, b))
    p, q = np.exp(log_p), np.exp(log_q)
    m = (p + q) / 2
    expected = {
        "kl_ab": (p * (log_p - log_q)).sum(1),
        "kl_ba": (q * (log_q - log_p)).sum(1),
        "js": (p * (log_p - np.log(m)) + q * (log_q - np.log(m))).sum(1) / 2,
        "total_variation": np.abs(p - q).sum(1) / 2,
    }
    assert np.nanmax(expected["kl_ab"]) > 0.01  # models that say the same would prove nothing
    for name, column in expected.items():
        np.testing.assert_allclose(getattr(found.values, name)[rows], column, rtol=0, atol=FLOAT32, err_msg=name)


def test_a_text_agrees_with_the_float64_loop(glass: LoadedModel, bent: LoadedModel) -> None:
    assert_agrees(tv.divergences(glass, bent, ALICE), glass, bent, tv.score(glass, ALICE).token_id)


def test_long_texts_are_read_in_the_windows_of_score(glass: LoadedModel, bent: LoadedModel) -> None:
    found = tv.divergences(glass, bent, ALICE * 2, context=12, stride=1)
    assert_agrees(found, glass, bent, tv.score(glass, ALICE * 2).token_id, context=12)


@pytest.mark.parametrize(("first", "second"), list(itertools.permutations(FOLDERS, 2)))
def test_models_that_are_run_in_different_ways_can_be_compared(
    letters: dict[str, LoadedModel], first: str, second: str
) -> None:
    a, b = letters[first], letters[second]
    # Common beginnings, and lengths that are put in another order by each way of running.
    passages = ["abcdabddcaac", "dab", "abcdabddcabb", "d", "cccbdd" * 4]
    found = tv.divergences(a, b, corpus(passages, name="letters"), top_k=2)
    scores = tv.score(a, corpus(passages, name="letters"))
    for number in (0, 1, 2, 4):
        begin, end = np.flatnonzero(scores.passage == number)[[0, -1]] + [0, 1]
        assert_agrees(found, a, b, scores.token_id[begin:end], rows=slice(begin, end))


def test_first_choices_and_overlaps_are_those_of_the_token_tables(glass: LoadedModel, bent: LoadedModel) -> None:
    found = tv.divergences(glass, bent, ALICE, top_k=4).values
    a, b = (tv.score(model, ALICE, top_k=4) for model in (glass, bent))
    overlap = [len({*x} & {*y}) / 4 for x, y in zip(a.top_ids[1:], b.top_ids[1:], strict=True)]
    assert found.top_overlap[1:].tolist() == overlap
    assert found.same_first[1:].tolist() == (a.top_ids[1:, 0] == b.top_ids[1:, 0]).tolist()
    assert 0 < found.same_first[1:].mean() < 1


@pytest.mark.parametrize("bos", ["never", "always"])
def test_rows_are_those_of_score(bigram_bos: LoadedModel, bos: str) -> None:
    text = corpus(["abcd", "", "dab", "a"], name="letters")  # "d" is the BOS: a passage that opens with it has no second one
    scores = tv.score(bigram_bos, text, bos=bos)
    found = tv.divergences(bigram_bos, bigram_bos, text, bos=bos, top_k=2)
    np.testing.assert_array_equal(found.passage, scores.passage)
    np.testing.assert_array_equal(found.position, scores.position)
    for name in DIVERGENCES:
        np.testing.assert_array_equal(np.isnan(getattr(found.values, name)), ~scores.scored)


def test_the_table_has_a_row_a_token_and_a_column_a_divergence(glass: LoadedModel, bent: LoadedModel) -> None:
    found = tv.divergences(glass, bent, ALICE)
    frame = found.to_frame()
    assert list(frame) == ["passage", "position", *DIVERGENCES]
    assert len(frame) == len(tv.score(glass, ALICE))
    np.testing.assert_array_equal(frame["kl_ab"], found.values.kl_ab)
    assert (found.model_a, found.model_b, found.top_k) == ("glass-en", bent.label, 10)


def test_bigrams_by_hand(bigram: LoadedModel, tmp_path: Path) -> None:
    other = tv.load_model(str(make_bigram_folder(tmp_path / "other", BIGRAM_WEIGHTS[::-1].copy())))
    found = tv.divergences(bigram, other, "abcd", top_k=2)
    p = BIGRAM_WEIGHTS / BIGRAM_WEIGHTS.sum(1, keepdims=True)
    q = p[::-1]
    expected = (p * np.log(p / q)).sum(1)[:3]  # what stands before the second, third and fourth token
    assert np.isnan(found.values.kl_ab[0])
    np.testing.assert_allclose(found.values.kl_ab[1:], expected, rtol=0, atol=1e-5)


def test_the_order_of_the_models_swaps_the_directions(glass: LoadedModel, bent: LoadedModel) -> None:
    there, back = tv.divergences(glass, bent, ALICE).values, tv.divergences(bent, glass, ALICE).values
    np.testing.assert_allclose(there.kl_ab, back.kl_ba, rtol=1e-4)
    np.testing.assert_allclose(there.js, back.js, rtol=1e-4)
    assert not np.allclose(there.kl_ab[1:], there.kl_ba[1:], rtol=1e-4)


def test_a_model_has_no_divergence_from_itself(glass: LoadedModel) -> None:
    # The head puts the logits of both into the same memory.
    found = tv.divergences(glass, glass, ALICE).values
    for name in ("kl_ab", "kl_ba", "js", "total_variation"):
        assert getattr(found, name)[1:].tolist() == [0] * (len(found.kl_ab) - 1)
    assert found.same_first[1:].all()


def test_the_budget_changes_no_number(glass: LoadedModel, bent: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    text = corpus([ALICE * 5, ALICE, "sister", ALICE * 2], name="alice")
    whole = tv.divergences(glass, bent, text)
    sizes: list[int] = []
    take = Kernel.logits
    monkeypatch.setattr(Kernel, "logits", lambda self, states: sizes.append(len(states)) or take(self, states))
    monkeypatch.setattr(Kernel.of(glass), "budget", Budget(tokens=16, logits=1 << 30))
    monkeypatch.setattr(Kernel.of(bent), "budget", Budget(tokens=32, logits=7 * bent.vocabulary))
    narrow = tv.divergences(glass, bent, text)
    assert max(sizes) == 7  # logits never exist for all positions: the smaller budget holds for both models
    for name in ("kl_ab", "js", "total_variation"):
        np.testing.assert_allclose(getattr(narrow.values, name), getattr(whole.values, name), rtol=1e-3, atol=1e-7)


def test_out_of_memory_the_rest_is_gone_on_with(glass: LoadedModel, bent: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    text = corpus([ALICE * 5, ALICE, "sister"], name="alice")
    whole = tv.divergences(glass, bent, text)
    true_logits, failures = Kernel.logits, [1, 1]

    def full_at_first(self: Kernel, states: torch.Tensor) -> torch.Tensor:
        if self is Kernel.of(glass) and failures:
            failures.pop()
            raise torch.OutOfMemoryError("no memory for now")
        return true_logits(self, states)

    before = Kernel.of(bent).budget
    monkeypatch.setattr(Kernel.of(bent), "budget", before)
    monkeypatch.setattr(kernels, "give_back_freed_memory", lambda: None)
    monkeypatch.setattr(Kernel, "logits", full_at_first)
    again = tv.divergences(glass, bent, text)
    assert Kernel.of(bent).budget.logits == before.logits // 4
    np.testing.assert_allclose(again.values.kl_ab, whole.values.kl_ab, rtol=1e-3, atol=1e-7)


INSTEAD = "there is no divergence token by token; tokenviz.compare compares the two over segments"


def refused(message: str, a: LoadedModel, b: LoadedModel, text: object, error: type = ComparisonError, **how: object) -> None:
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        tv.divergences(a, b, text, top_k=2, **how)


def test_two_vocabularies_are_refused(glass: LoadedModel, gpt2: LoadedModel) -> None:
    common = len(glass.tokenizer.get_vocab().items() & gpt2.tokenizer.get_vocab().items())
    message = (
        f"the vocabularies of 'glass-en' (1,024 tokens) and {gpt2.label!r} (50,257) have {common} tokens with their ids in "
        f"common: {INSTEAD}"
    )
    refused(message, glass, gpt2, ALICE)


def test_logits_of_two_widths_are_refused(letters: dict[str, LoadedModel], bigram: LoadedModel) -> None:
    llama = letters["llama"]
    message = f"{llama.label!r} has 5 logits and {bigram.label!r} has 4, with one tokenizer: {INSTEAD}"
    refused(message, llama, bigram, "abcd")


def test_one_vocabulary_that_cuts_in_two_ways_is_refused(
    bigram: LoadedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tokenizers import Regex, pre_tokenizers

    other = tv.load_model(str(make_bigram_folder(tmp_path / "other", BIGRAM_WEIGHTS)))
    other.tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(".."), "isolated")
    message = (
        f"{bigram.label!r} cuts passage 1 of 'letters' into 4 tokens and {other.label!r} into 2 other ones, with one "
        f"vocabulary: {INSTEAD}"
    )
    refused(message, bigram, other, corpus(["", "abcd"], name="letters"))
    monkeypatch.setattr("tokenviz.scoring.windows.PART_CHARACTERS", 2)  # the last passage is in a part of its own
    parts = divergences_by_parts(
        bigram, other, corpus(["a", "", "abcd"], name="letters"), bos="auto", context=None, stride=None, top_k=2
    )
    assert len(next(parts).passage) == 1
    with pytest.raises(ComparisonError, match=f"^{re.escape(message.replace('passage 1', 'passage 2'))}$"):
        next(parts)


def test_a_bos_before_one_models_text_only_is_refused(bigram: LoadedModel, bigram_bos: LoadedModel) -> None:
    message = (
        f"bos 'auto' puts the ids [] before what {bigram.label!r} reads, and [3] before what {bigram_bos.label!r} reads: take "
        "'always' or 'never' for both"
    )
    refused(message, bigram, bigram_bos, "abcd")


def test_a_context_that_one_model_cannot_read_is_refused(glass: LoadedModel, bent: LoadedModel) -> None:
    message = "context 128 is not possible: this model takes 2 to 64 tokens, the predicted one included"
    refused(message, glass, replace(bent, context=64), ALICE, ScoringError, context=128)


def test_the_shorter_context_is_the_default(glass: LoadedModel, bent: LoadedModel) -> None:
    short = tv.divergences(glass, replace(bent, context=64), ALICE * 4).values
    np.testing.assert_array_equal(short.kl_ab, tv.divergences(glass, bent, ALICE * 4, context=64).values.kl_ab)
    assert not np.allclose(short.kl_ab[1:], tv.divergences(glass, bent, ALICE * 4).values.kl_ab[1:])


def test_logits_that_are_not_finite_are_refused(bigram: LoadedModel, tmp_path: Path) -> None:
    weights = load_file(make_bigram_folder(tmp_path / "broken", BIGRAM_WEIGHTS) / "model.safetensors")
    weights["model.layers.0.mlp.gate_proj.weight"][0, 2] = 3e38  # overflows after a "c" and nowhere else
    save_file(weights, tmp_path / "broken" / "model.safetensors", metadata={"format": "pt"})
    broken = tv.load_model(str(tmp_path / "broken"))
    message = (
        f"{bigram.label!r} and {broken.label!r} on 'letters', passage 1, token 3: the logits of one of them are NaN or "
        "infinite; nothing was measured. Try dtype=float32, or check the weights"
    )
    refused(message, bigram, broken, corpus(["abab", "abca"], name="letters"), ScoringError)
