"""The token table: what it sums up to, and that its file gives it back unchanged."""

import json
import math
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from arithmetic import BIGRAM_WEIGHTS
from tables import make_scores, with_first_choices

from tokenviz.base.errors import ScoringError
from tokenviz.data.scores import UNREAD, ScoreSpec, TokenScores, nan_to_none
from tokenviz.data.summary import ScoreSummary
from tokenviz.data.texts import corpus
from tokenviz.scoring.scorer import score
from tokenviz.units.sums import information

SPEC = ScoreSpec(
    model="m", source="folder", identity="sha256:00", tokenizer="11", spaces="none", dtype="float32", quantize=None,
    device="cpu", bos="auto", bos_ids=(), context=64, stride=32, top_k=0, batching="packed", head="streamed",
    scoring_version=1, versions={"torch": "2"},
)  # fmt: skip


def table(
    logprob: list[float], *, token: list[str] | None = None, rank: list[float] | None = None, entropy: list[float] | None = None
) -> TokenScores:
    """A table of one passage with the given numbers."""
    n = len(logprob)
    tokens = token or ["x"] * n
    ends = np.cumsum([len(piece) for piece in tokens], dtype=np.int64)
    return TokenScores(
        text_name="t", text_sha256="22", spec=SPEC,
        passage=np.zeros(n, np.int64), position=np.arange(n), token_id=np.arange(n),
        token=tuple(tokens), start=np.array([0, *ends[:-1]], np.int64)[:n], end=ends,
        first_character=np.array([0, *ends[:-1]], np.int64)[:n], unknown=np.zeros(n, bool),
        n_bytes=np.array([len(one.encode()) for one in tokens], np.int64),
        logprob=np.array(logprob, float), rank=np.array(rank or [math.nan] * n), entropy=np.array(entropy or [math.nan] * n),
        top_ids=np.empty((n, 0), np.int64), top_logprobs=np.empty((n, 0)), top_tokens=((),) * n,
        opens=np.zeros(n, np.int8), space_logprob=np.full(n, math.nan), punctuation_logprob=np.full(n, math.nan),
    )  # fmt: skip


def assert_identical(one: TokenScores, other: TokenScores) -> None:
    for name, value in vars(one).items():
        if isinstance(value, np.ndarray):
            assert value.dtype == getattr(other, name).dtype, name
            assert value.shape == getattr(other, name).shape, name
            np.testing.assert_array_equal(value, getattr(other, name), err_msg=name)  # NaN equals NaN here
        else:
            assert value == getattr(other, name), name


def test_means_are_over_scored_tokens_only() -> None:
    summary = table([math.nan, -1.0, -3.0], rank=[math.nan, 1, 4], entropy=[math.nan, 0.5, 1.5]).summary()
    assert (summary.n_tokens, summary.n_scored) == (3, 2)
    assert summary.mean_logprob == -2.0
    assert summary.mean_entropy == 1.0
    assert summary.share_rank_1 == 0.5


def test_perplexity_is_e_to_the_mean_surprisal_in_nats() -> None:
    halves = [math.nan, math.log(1 / 2), math.log(1 / 8)]
    # The geometric mean of 2 and 8 is 4; two to the mean nats, a known mistake, would be 2.6.
    assert table(halves).summary().perplexity_per_token == pytest.approx(4.0, rel=1e-12)


def test_bits_per_byte_counts_the_bytes_of_the_scored_characters() -> None:
    # log2: 3 + 5 bits over "é" (2 bytes) and "🐈" (4 bytes); the unscored "次" (3 bytes) does not count.
    summary = table([math.nan, -3 * math.log(2), -5 * math.log(2)], token=["次", "é", "🐈"]).summary()
    assert summary.bits_per_byte == pytest.approx(8 / 6, rel=1e-12)


def test_a_character_of_several_tokens_counts_its_bytes_once() -> None:
    summary = table([math.nan, -2 * math.log(2), -4 * math.log(2)], token=["a", "🐈", ""]).summary()
    assert summary.bits_per_byte == pytest.approx(6 / 4, rel=1e-12)


def test_a_character_with_an_unscored_token_counts_neither_bits_nor_bytes_where_its_bytes_are_not_told_apart() -> None:
    # The first token has all three bytes of "次" on paper; the second is a part of it as well, and only "é" counts.
    scores = table([math.nan, -7 * math.log(2), -3 * math.log(2)], token=["次", "", "é"])
    assert scores.counted.tolist() == [False, False, True]
    assert scores.summary().n_bytes == 2
    assert scores.summary().bits_per_byte == pytest.approx(3 / 2, rel=1e-12)
    found = information(scores).estimates
    assert found["bits_per_byte"].value == pytest.approx(3 / 2, rel=1e-12)
    assert found["bits_per_character"].value == pytest.approx(3, rel=1e-12)


def test_each_token_of_a_character_counts_with_its_own_bytes() -> None:
    # "次" in tokens of one and two bytes, "é" in one of two: the last two are scored, 4 bytes and 1 2/3 characters.
    scores = table([math.nan, -7 * math.log(2), -3 * math.log(2)], token=["次", "", "é"])
    scores = replace(scores, n_bytes=np.array([1, 2, 2]))
    assert scores.counted.tolist() == [False, True, True]
    np.testing.assert_allclose(scores.n_characters, [1 / 3, 2 / 3, 1], rtol=1e-12)
    assert scores.summary().bits_per_byte == pytest.approx(10 / 4, rel=1e-12)
    assert information(scores).estimates["bits_per_character"].value == pytest.approx(10 / (5 / 3), rel=1e-12)


def test_a_shared_character_does_not_reach_into_the_next_passage() -> None:
    scores = make_scores([["a", "次", ""], ["", "b"]], [math.nan, -1.0, -1.0, -1.0, math.nan])
    assert scores.counted.tolist() == [False, True, True, True, False]


def test_bits_of_joined_parts_are_those_of_the_whole() -> None:
    whole = make_scores([["次", "", "é"], ["次", "", "é"]], [math.nan, -7.0, -3.0, -2.0, -7.0, -3.0])
    parts = [make_scores([["次", "", "é"]], [*logprobs]) for logprobs in ([math.nan, -7.0, -3.0], [-2.0, -7.0, -3.0])]
    joined, summary = ScoreSummary.joined([part.summary() for part in parts]), whole.summary()
    assert (joined.n_bytes, joined.n_scored) == (summary.n_bytes, summary.n_scored) == (7, 5)
    assert joined.bits_per_byte == pytest.approx(summary.bits_per_byte, rel=1e-12)
    assert joined.bits_per_byte == pytest.approx(15 / math.log(2) / 7, rel=1e-12)


def test_unknown_tokens_and_unread_characters_are_counted_and_in_no_other_number() -> None:
    scores = table([math.nan, math.nan, -2.0, -4.0], token=["a", "2019", "x", "b"])
    scores = replace(scores, token_id=np.array([5, UNREAD, 0, 7]), unknown=np.array([False, False, True, False]))
    summary = scores.summary()
    assert (summary.n_tokens, summary.n_scored, summary.n_unknown, summary.n_unread) == (3, 2, 1, 4)
    assert (summary.n_bytes, summary.mean_logprob) == (2, -3.0)
    assert scores.unread == ("2019",)
    joined = ScoreSummary.joined([summary, summary])
    assert (joined.n_unknown, joined.n_unread) == (2, 8)


def test_a_table_of_format_3_is_read_with_the_bytes_of_its_slices(tmp_path: Path) -> None:
    scores = make_scores([["次", "", "é"], ["a", "🐈", "", "b"]])
    scores.save(tmp_path / "new.parquet")
    saved = pq.read_table(tmp_path / "new.parquet")
    about = json.loads(saved.schema.metadata[b"tokenviz"]) | {"format": "3"}
    old = saved.drop_columns(["first_character", "n_bytes", "unknown"])
    pq.write_table(old.replace_schema_metadata({"tokenviz": json.dumps(about)}), tmp_path / "old.parquet")
    read = TokenScores.load(tmp_path / "old.parquet")
    assert_identical(read, scores)
    assert read.first_character.tolist() == [0, 0, 1, 0, 1, 1, 2]
    assert read.n_bytes.tolist() == [3, 0, 2, 1, 4, 0, 1]


def test_bits_per_byte_without_bytes_is_missing() -> None:
    assert math.isnan(table([math.nan, -1.0], token=["🐈", ""]).summary().bits_per_byte)


def test_a_table_with_nothing_scored_has_no_means() -> None:
    summary = table([math.nan]).summary()
    assert (summary.n_tokens, summary.n_scored) == (1, 0)
    for name in ("mean_logprob", "perplexity_per_token", "bits_per_byte", "mean_entropy", "share_rank_1"):
        assert math.isnan(getattr(summary, name)), name


def test_a_perplexity_beyond_floats_is_infinite() -> None:
    assert table([math.nan, -1e6]).summary().perplexity_per_token == math.inf


def test_missing_is_nan_in_the_columns_and_null_in_json() -> None:
    rows = table([math.nan, -1.5], rank=[math.nan, 3], entropy=[math.nan, 2.5]).to_json()["tokens"]
    assert [rows[0][name] for name in ("logprob", "rank", "entropy")] == [None, None, None]
    assert [rows[1][name] for name in ("logprob", "rank", "entropy")] == [-1.5, 3, 2.5]
    assert "NaN" not in json.dumps(rows, allow_nan=False)


def test_json_rows_hold_plain_values(bigram) -> None:
    found = score(bigram, "abc", top_k=2).to_json()
    assert list(found) == ["name", "sha256", "tokens", "summary"]
    assert list(found["tokens"][0]) == [
        "passage", "position", "token", "token_id", "start", "end", "first_character", "n_bytes", "unknown", "logprob", "rank",
        "entropy", "top",
    ]  # fmt: skip
    assert found["tokens"][0]["top"] == []
    # After "a": P = 1, 2, 4, 8 of 15.
    assert [(top["token"], top["token_id"]) for top in found["tokens"][1]["top"]] == [("d", 3), ("c", 2)]
    for top, probability in zip(found["tokens"][1]["top"], [8 / 15, 4 / 15], strict=True):
        assert top["logprob"] == pytest.approx(math.log(probability), abs=1e-6)  # float32 softmax
    types = {type(value) for row in found["tokens"] for value in row.values()} | {type(v) for v in found["summary"].values()}
    assert types == {int, float, str, bool, list, type(None)}
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_json_keeps_full_precision() -> None:
    value = -0.1234567890123456789
    assert json.loads(json.dumps(table([math.nan, value]).to_json()))["tokens"][1]["logprob"] == value


def test_a_summary_that_json_cannot_write_is_null() -> None:
    assert table([math.nan, -1e6]).to_json()["summary"]["perplexity_per_token"] is None
    assert [nan_to_none(value) for value in (math.nan, math.inf, -math.inf, 1.0, 2, "nan")] == [None, None, None, 1.0, 2, "nan"]


@pytest.mark.parametrize("top_k", [0, 3])
def test_saving_and_loading_is_the_identity(tmp_path: Path, gpt2, top_k: int) -> None:
    text = corpus(["The cat 🐈‍⬛", "", "x", "line\r\n\ttwo"], name="c")
    scores = score(gpt2, text, top_k=top_k)
    assert np.isnan(scores.logprob).sum() == 3
    scores.save(tmp_path / "tokens.parquet")
    assert_identical(TokenScores.load(tmp_path / "tokens.parquet"), scores)


def test_a_saved_prefix_comes_back(tmp_path: Path, bigram_bos) -> None:
    scores = score(bigram_bos, "ab")
    scores.save(tmp_path / "tokens.parquet")
    assert TokenScores.load(tmp_path / "tokens.parquet").spec == scores.spec
    assert scores.spec.bos_ids == (3,)


@pytest.mark.parametrize("top_k", [0, 2])
def test_a_table_without_rows_is_saved_and_loaded(tmp_path: Path, top_k: int) -> None:
    empty = table([])
    wide = {"top_ids": np.empty((0, top_k), np.int64), "top_logprobs": np.empty((0, top_k))}
    empty = replace(empty, spec=replace(SPEC, top_k=top_k), **wide)
    empty.save(tmp_path / "tokens.parquet")
    assert_identical(TokenScores.load(tmp_path / "tokens.parquet"), empty)


def test_the_file_has_no_value_where_nothing_is_scored(tmp_path: Path) -> None:
    table([math.nan, -1.0], rank=[math.nan, 2]).save(tmp_path / "t.parquet")
    assert pq.read_table(tmp_path / "t.parquet").column("rank").to_pylist() == [None, 2]


@pytest.mark.parametrize("format_", ["2", "99"])
def test_a_table_of_another_format_is_refused(tmp_path: Path, format_: str) -> None:
    path = tmp_path / "t.parquet"
    table([math.nan, -1.0]).save(path)
    saved = pq.read_table(path)
    about = json.loads(saved.schema.metadata[b"tokenviz"])
    pq.write_table(saved.replace_schema_metadata({"tokenviz": json.dumps({**about, "format": format_})}), path)
    message = f"{str(path)!r} has table format {format_}; this version reads 3, 4 and 5"
    with pytest.raises(ScoringError, match=f"^{re.escape(message)}$"):
        TokenScores.load(path)


def test_a_table_from_before_the_sha256_of_weights_is_read(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    table([math.nan, -1.0]).save(path)
    saved = pq.read_table(path)
    about = json.loads(saved.schema.metadata[b"tokenviz"])
    del about["spec"]["weights_sha256"]
    pq.write_table(saved.replace_schema_metadata({"tokenviz": json.dumps(about)}), path)
    assert TokenScores.load(path).spec.weights_sha256 == ""


ABOUT_DAMAGE = [
    lambda about: [], lambda about: about | {"spec": "s"}, lambda about: about | {"spec": {}},
    lambda about: about | {"text_name": 1}, lambda about: {"format": "3"},
    lambda about: about | {"spec": about["spec"] | {"top_k": "1"}},
]  # fmt: skip
COLUMN_DAMAGE = [
    lambda saved: saved.drop_columns(["logprob"]),
    lambda saved: saved.set_column(0, "passage", pa.array(["x"] * len(saved))),
    lambda saved: saved.set_column(0, "passage", pa.array([None] * len(saved), pa.int64())),
    lambda saved: saved.set_column(3, "token", pa.array([["a"]] * len(saved))),
]


@pytest.mark.parametrize("damage", [*ABOUT_DAMAGE, *COLUMN_DAMAGE])
def test_a_damaged_table_is_refused(tmp_path: Path, damage: Callable[[Any], Any]) -> None:
    path = tmp_path / "t.parquet"
    table([math.nan, -1.0]).save(path)
    saved = pq.read_table(path)
    if damage in COLUMN_DAMAGE:
        saved = damage(saved)
    else:
        about = damage(json.loads(saved.schema.metadata[b"tokenviz"]))
        saved = saved.replace_schema_metadata({"tokenviz": json.dumps(about)})
    pq.write_table(saved, path)
    start, end = f"{str(path)!r} is a damaged token table (", "): score the text again"
    with pytest.raises(ScoringError, match=f"^{re.escape(start)}.+{re.escape(end)}$"):
        TokenScores.load(path)


def test_a_table_with_other_alternatives_than_it_says_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    with_first_choices(make_scores([["a", "b"]]), [-1, 1]).save(path)
    saved = pq.read_table(path)
    place = saved.schema.get_field_index("top_tokens")
    pq.write_table(saved.set_column(place, "top_tokens", pa.array([["x"], ["x", "y"]])), path)
    message = f"{str(path)!r} is a damaged token table (there are not 1 alternatives everywhere): score the text again"
    with pytest.raises(ScoringError, match=f"^{re.escape(message)}$"):
        TokenScores.load(path)


def test_columns_are_read_only() -> None:
    scores = table([math.nan, -1.0])
    names = [name for name, value in vars(scores).items() if isinstance(value, np.ndarray)]
    assert len(names) == 16
    for name in names:
        with pytest.raises(ValueError, match="read-only"):
            getattr(scores, name)[...] = 0


def test_columns_of_a_loaded_table_are_read_only(tmp_path: Path) -> None:
    table([math.nan, -1.0]).save(tmp_path / "t.parquet")
    with pytest.raises(ValueError, match="read-only"):
        TokenScores.load(tmp_path / "t.parquet").logprob[0] = 0


def test_a_frame_has_one_row_a_token(bigram) -> None:
    frame = score(bigram, "ab").to_frame()
    assert list(frame) == [
        "passage", "position", "token_id", "token", "start", "end", "first_character", "n_bytes", "unknown", "logprob",
        "surprisal_bits", "rank", "entropy",
    ]  # fmt: skip
    assert frame["surprisal_bits"].isna().tolist() == [True, False]
    assert frame["surprisal_bits"][1] == -frame["logprob"][1] / math.log(2)
    assert frame["token"].tolist() == ["a", "b"]
    assert frame["rank"].isna().tolist() == [True, False]
    assert frame["rank"][1] == 3
    assert str(frame["rank"].dtype) == "Int64"


def test_a_frame_has_the_alternatives_as_columns(bigram) -> None:
    scores = score(bigram, "ab", top_k=2)
    frame = scores.to_frame()
    added = ["top_token_1", "top_logprob_1", "top_token_2", "top_logprob_2"]
    assert list(frame) == [*scores.to_frame(alternatives=False), *added]
    assert frame[added].isna().to_numpy().tolist() == [[True] * 4, [False] * 4]
    assert tuple(frame[added[::2]].iloc[1]) == scores.top_tokens[1]
    assert frame[added[1::2]].iloc[1].tolist() == scores.top_logprobs[1].tolist()


def test_a_table_says_what_it_is() -> None:
    assert (
        repr(table([math.nan, -1.0]))
        == "TokenScores('t' by 'm': 2 tokens, 1 scored, mean log-prob −1.000 nats, perplexity per token 2.72)"
    )


def test_passages_with_tokens_are_counted(bigram) -> None:
    scores = score(bigram, corpus(["ab", "", "c"], name="c"))
    assert scores.n_passages == 2
    assert scores.scored.tolist() == [False, True, False]
    assert len(BIGRAM_WEIGHTS) == bigram.vocabulary
