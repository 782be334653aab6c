"""Token tables in narrow types: what is read is what was written, bit by bit."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tables import assert_same_bits

import tokenviz as tv
from tokenviz.data.scores import TokenScores, save_parts
from tokenviz.data.texts import corpus
from tokenviz.models.loading import LoadedModel


@pytest.fixture(scope="module")
def scores(glass: LoadedModel) -> TokenScores:
    return tv.score(glass, corpus(["Alice was very tired.", "", "你好, thế giới"], name="words"), top_k=3)


def test_floats_of_a_float32_model_are_stored_as_float32_and_come_back_to_the_bit(scores: TokenScores, tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    scores.save(path)
    schema = pq.read_schema(path)
    assert {schema.field(name).type for name in ("logprob", "entropy", "space_logprob", "punctuation_logprob")} == {
        pa.float32()
    }
    assert {schema.field(name).type for name in ("passage", "token_id", "start", "rank")} == {pa.int32()}
    assert schema.field("top_logprobs").type.value_type == pa.float32()
    column = pq.read_metadata(path).row_group(0).column(schema.get_field_index("logprob"))
    assert "BYTE_STREAM_SPLIT" in column.encodings
    assert_same_bits(TokenScores.load(path), scores)


def test_a_number_that_float32_does_not_hold_keeps_its_type(scores: TokenScores, tmp_path: Path) -> None:
    exact = replace(scores, logprob=np.where(scores.scored, scores.logprob + 1e-12, np.nan))
    path = tmp_path / "t.parquet"
    exact.save(path)
    assert pq.read_schema(path).field("logprob").type == pa.float64()
    assert_same_bits(TokenScores.load(path), exact)


def test_a_whole_number_beyond_32_bits_keeps_its_type(scores: TokenScores, tmp_path: Path) -> None:
    late = replace(scores, passage=scores.passage + 2**31)
    path = tmp_path / "t.parquet"
    late.save(path)
    assert_same_bits(TokenScores.load(path), late)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_parts_of_which_one_fits_and_one_does_not_are_one_table(
    scores: TokenScores, tmp_path: Path, order: tuple[int, int]
) -> None:
    later = replace(scores, passage=scores.passage + 3, entropy=scores.entropy * (1 + 1e-12))
    parts = [(scores, later)[number] for number in order]
    path = tmp_path / "t.parquet"
    save_parts(iter([*parts, scores]), path, footer=lambda: {"more": "words"})
    assert_same_bits(TokenScores.load(path), TokenScores.joined([*parts, scores]))
    assert pq.read_metadata(path).metadata[b"more"] == b"words"
    assert list(tmp_path.iterdir()) == [path]


def test_a_narrow_table_takes_less_room(glass: LoadedModel, tmp_path: Path) -> None:
    text = corpus(["Alice was beginning to get very tired of sitting by her sister on the bank. " * 4] * 30, name="many")
    found = tv.score(glass, text, top_k=3)
    found.save(tmp_path / "slim.parquet")
    pq.write_table(found._to_table(), tmp_path / "wide.parquet", compression="zstd")
    slim, wide = ((tmp_path / f"{name}.parquet").stat().st_size for name in ("slim", "wide"))
    assert slim < 0.8 * wide
