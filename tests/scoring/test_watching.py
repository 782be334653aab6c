"""Named candidates: arithmetic at every position, the same as scoring them in the text, and bad input in a line."""

import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from arithmetic import BIGRAM_WEIGHTS, make_bigram_folder

import tokenviz as tv
from tokenviz.base.errors import ScoringError
from tokenviz.data.texts import corpus
from tokenviz.models.loading import LoadedModel, load_model

SENTENCE = "Alice was beginning to get very tired of sitting by her sister on the bank."


def test_candidates_of_a_bigram_model_are_arithmetic(bigram: LoadedModel) -> None:
    found = tv.watch(bigram, "ab", ["d", "ba"]).to_frame()
    assert found["position"].tolist() == [1, 1, 2, 2]
    assert found["start"].tolist() == [1, 1, 2, 2]
    assert found["token"].tolist() == ["b", "b", "", ""]
    assert found["candidate"].tolist() == ["d", "ba"] * 2
    assert found["n_candidate_tokens"].tolist() == [1, 2] * 2
    assert found["first_token"].tolist() == ["d", "b"] * 2
    np.testing.assert_allclose(found["first_logprob"], np.log([8 / 15, 2 / 15, 1 / 15, 4 / 15]), rtol=0, atol=1e-6)
    assert found["first_rank"].tolist() == [1, 3, 4, 2]
    # Of several tokens the whole is known where nothing else follows: b after b, a after b.
    np.testing.assert_allclose(found["whole_logprob"], np.log([8 / 15, math.nan, 1 / 15, 4 / 15 * 8 / 15]), rtol=0, atol=1e-6)


def test_what_is_there_has_the_log_prob_and_rank_of_the_token_table(gpt2: LoadedModel) -> None:
    scores = tv.score(gpt2, SENTENCE)
    found = tv.watch(gpt2, SENTENCE, [" was", " very", " her"]).to_frame()
    own = found[found["candidate"] == found["token"]]
    assert len(own) == 3
    rows = own["position"].to_numpy()
    np.testing.assert_allclose(own["first_logprob"], scores.logprob[rows], rtol=0, atol=2e-5)
    np.testing.assert_array_equal(own["first_rank"].to_numpy(float), scores.rank[rows])


def test_all_of_a_vocabulary_adds_up_to_one(bigram: LoadedModel) -> None:
    found = tv.watch(bigram, "abcd", ["a", "b", "c", "d"])
    np.testing.assert_allclose(np.exp(found.first_logprob).sum(axis=1), 1, rtol=0, atol=1e-6)
    assert found.first_rank.min() == 1


def test_the_end_is_what_the_next_token_would_get(gpt2: LoadedModel) -> None:
    found = tv.watch(gpt2, SENTENCE, [" The", " The Queen"], at="end").to_frame()
    assert found["position"].tolist() == [len(tv.score(gpt2, SENTENCE))] * 2
    assert found["start"].tolist() == [len(SENTENCE)] * 2
    for candidate, whole in zip(found["candidate"], found["whole_logprob"], strict=True):
        made = tv.continuations(SENTENCE, [candidate])
        assert whole == pytest.approx(tv.prompt_table(made, tv.score(gpt2, made.text))["logprob"][0], abs=1e-4)
    every = tv.watch(gpt2, SENTENCE, [" The", " The Queen"]).to_frame()
    pd.testing.assert_frame_equal(every[-2:].reset_index(drop=True), found, rtol=0, atol=2e-5)


def test_windows_are_those_of_score(gpt2: LoadedModel) -> None:
    scores = tv.score(gpt2, SENTENCE, context=6, stride=2)
    found = tv.watch(gpt2, SENTENCE, [" sitting"], context=6, stride=2).to_frame()
    row = int(found[found["token"] == " sitting"]["position"].iloc[0])
    assert found["first_logprob"][row - 1] == pytest.approx(scores.logprob[row], abs=2e-5)
    assert found["position"].tolist() == list(range(1, len(scores) + 1))
    long = tv.watch(gpt2, SENTENCE, [" The Queen of Hearts"], at="end", context=6).to_frame()
    assert not math.isnan(long["whole_logprob"][0])


def test_a_passage_of_one_token_has_an_end_and_an_empty_one_only_after_a_bos(
    bigram: LoadedModel, bigram_bos: LoadedModel
) -> None:
    text = corpus(["a", "", "ab", "d"], name="c")
    for at in ("end", "every"):
        assert tv.watch(bigram, text, ["b"], at=at).passage.tolist() == ([0, 2, 3] if at == "end" else [0, 2, 2, 3])
    found = tv.watch(bigram_bos, text, ["b", "ca"], at="end").to_frame()
    assert found["passage"].tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    after = [0, 3, 1, 3]  # what the last token is; the empty passage has the BOS "d", and "d" itself is not doubled
    firsts = [[BIGRAM_WEIGHTS[row, 1], BIGRAM_WEIGHTS[row, 2]] / BIGRAM_WEIGHTS[row].sum() for row in after]
    np.testing.assert_allclose(found["first_logprob"], np.log(firsts).reshape(-1), rtol=0, atol=1e-6)
    np.testing.assert_allclose(found["whole_logprob"][1::2], np.log([one[1] / 4 for one in firsts]), rtol=0, atol=1e-6)


def test_candidates_stand_in_the_text_as_they_are(tmp_path: Path) -> None:
    """A tokenizer that puts a space before whatever it is given does not give the candidate one."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    folder = make_bigram_folder(tmp_path, np.ones((8, 8)), tokens=list("abcdefgh"))
    vocabulary = {token: number for number, token in enumerate(["<unk>", "▁", "(", "Yes", "▁Yes", "▁(", "a", "▁a"])}
    tokenizer = Tokenizer(models.BPE(vocabulary, [], unk_token="<unk>", ignore_merges=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Metaspace(prepend_scheme="always", split=True), pre_tokenizers.Split("(", "isolated")]
    )
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="always")
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>").save_pretrained(folder)
    model = load_model(str(folder))
    assert tv.watch(model, "a", ["Yes", " Yes"], at="end").candidates[1].ids == (4,)
    assert tv.watch(model, "a", ["Yes", " Yes"], at="end").candidates[0].ids == (3,)


def test_logits_that_are_nan_stop_it(bigram: LoadedModel, tmp_path: Path) -> None:
    weights = BIGRAM_WEIGHTS.copy()
    weights[1, 2] = math.nan
    model = load_model(str(make_bigram_folder(tmp_path, weights)))
    with pytest.raises(ScoringError, match=r"on 'x', passage 0, token 1: the model's logits are NaN or infinite; nothing was"):
        tv.watch(model, tv.literal("ab", name="x"), ["c"])


def test_the_command_prints_what_the_library_gives(run: Any, glass: LoadedModel) -> None:
    given = ["score", "-m", "glass-en", "-t", "Alice was very", "--watch", " tired", "--watch", " much"]
    expected = tv.watch(glass, "Alice was very", [" tired", " much"]).to_frame()
    code, out, _ = run(*given, "--json")
    [text] = json.loads(out)["texts"]
    assert code == 0
    assert [row["first_logprob"] for row in text["watched"]] == pytest.approx(expected["first_logprob"].tolist())
    assert [row["first_rank"] for row in text["watched"]] == expected["first_rank"].tolist()
    _, out, _ = run(*given, "--watch-at", "end", "--csv")
    assert len(out.splitlines()) == 3
    assert '"first_logprob","first_rank","whole_logprob"' in out.splitlines()[0]
    _, out, _ = run(*given)
    assert "Candidates by glass-en" in out
    assert "(end)" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--watch", "a", "--by", "word", "--csv"], "--watch is of positions in the text, not by word"),
        (["--watch", "a", "--top-k", "2", "--json"], "--watch prints a table of its own: leave out --top-k"),
        (["--watch-at", "end"], "--watch-at needs --watch: it says where a candidate is looked at"),
    ],
)
def test_options_that_do_not_fit_are_refused(run: Any, arguments: list[str], message: str) -> None:
    code, _, error = run("score", "-m", "glass-en", "-t", "x", *arguments)
    assert code == 2
    assert message in re.sub(r"[\s│]+", " ", error)
