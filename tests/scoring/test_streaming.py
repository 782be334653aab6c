"""`score_to_file`: the same table as in one go, in pieces."""

import re
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from safetensors.torch import load_file, save_file

from tokenviz.base.errors import ScoringError
from tokenviz.data.scores import TokenScores
from tokenviz.data.summary import ScoreSummary
from tokenviz.data.texts import corpus
from tokenviz.models.loading import LoadedModel, load_model
from tokenviz.scoring.scorer import score, score_to_file

PASSAGES = [
    "Alice was beginning to get very tired",
    "",
    "of sitting",
    "by her sister on the bank,",
    "and of having nothing to do" * 5,
]


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tokenviz.scoring.windows.PART_CHARACTERS", 40)


@pytest.mark.parametrize("settings", [{}, {"top_k": 3}, {"bos": "always", "context": 8, "stride": 2}])
def test_the_file_holds_what_score_gives(gpt2: LoadedModel, tmp_path: Path, settings: dict) -> None:
    text = corpus(PASSAGES, name="alice")
    path = tmp_path / "tokens.parquet"
    summary = score_to_file(gpt2, text, path, **settings)
    assert pq.ParquetFile(path).num_row_groups == 3
    found, expected = TokenScores.load(path), score(gpt2, text, **settings)
    assert (found.text_name, found.text_sha256, found.spec) == (text.name, text.sha256, expected.spec)
    assert (found.token, found.top_tokens) == (expected.token, expected.top_tokens)
    for name in ("passage", "position", "token_id", "start", "end", "top_ids", "opens"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
    for name in ("logprob", "entropy", "top_logprobs", "space_logprob", "punctuation_logprob"):
        np.testing.assert_allclose(getattr(found, name), getattr(expected, name), rtol=0, atol=1e-5)
    for name, value in vars(found.summary()).items():
        assert getattr(summary, name) == pytest.approx(value, rel=1e-12), name


def test_a_joined_summary_without_a_scored_token_is_missing(bigram: LoadedModel, tmp_path: Path) -> None:
    summary = score_to_file(bigram, corpus(["a", "b"], name="letters"), tmp_path / "t.parquet")
    assert (summary.n_tokens, summary.n_scored, summary.n_bytes) == (2, 0, 0)
    assert np.isnan([summary.mean_logprob, summary.perplexity_per_token, summary.bits_per_byte, summary.mean_entropy]).all()
    assert isinstance(summary, ScoreSummary)


def test_what_fails_half_way_leaves_no_file_and_names_the_passage(bigram: LoadedModel, tmp_path: Path) -> None:
    folder = tmp_path / "broken"
    bigram.tokenizer.save_pretrained(folder)
    for file in ("config.json", "generation_config.json"):
        (folder / file).write_bytes((bigram.resolved.folder / file).read_bytes())
    weights = load_file(bigram.resolved.folder / "model.safetensors")
    weights["model.layers.0.mlp.gate_proj.weight"][0, 2] = 3e38  # overflows after a "c"
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    path = tmp_path / "out" / "t.parquet"
    path.parent.mkdir()
    text = corpus(["ab" * 15, "ab" * 15, "ba", "abca"], name="letters")
    where = re.escape("'letters from passage 1', passage 2, token 3: the model's logits are NaN or infinite")
    with pytest.raises(ScoringError, match=where):
        score_to_file(load_model(str(folder)), text, path)
    assert list(path.parent.iterdir()) == []
