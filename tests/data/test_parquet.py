"""Token tables in narrow types: what is read is what was written, bit by bit."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import Run
from tables import assert_same_bits

import tokenviz as tv
from tokenviz.base.errors import ScoringError, TextError
from tokenviz.data.parquet import LEFT_OUT_KEY, save_parts, to_table
from tokenviz.data.scores import TokenScores
from tokenviz.data.sources import source_at
from tokenviz.data.texts import Text, corpus
from tokenviz.dumps.importing import table_parts
from tokenviz.harness.rebuilding import rerun
from tokenviz.models.loading import LoadedModel
from tokenviz.models.spec import ModelSpec
from tokenviz.tracking.store import open_store

WORDS = corpus(["Alice was very tired.", "", "你好, thế giới"], name="words")


@pytest.fixture(scope="module")
def scores(glass: LoadedModel) -> TokenScores:
    return tv.score(glass, WORDS, top_k=3)


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
    pq.write_table(to_table(found), tmp_path / "wide.parquet", compression="zstd")
    slim, wide = ((tmp_path / f"{name}.parquet").stat().st_size for name in ("slim", "wide"))
    assert slim < 0.8 * wide


# Slim tables: text and tokenizer give back what was left out.


@pytest.mark.parametrize("top_k", [0, 3])
def test_a_slim_table_comes_back_to_the_bit(glass: LoadedModel, tmp_path: Path, top_k: int) -> None:
    scores, path = tv.score(glass, WORDS, top_k=top_k), tmp_path / "slim.parquet"
    scores.save(path, slim=True)
    kept = ["passage", "position", "logprob", "rank", "entropy", "space_logprob", "punctuation_logprob"]
    assert pq.read_schema(path).names == kept + ["top_ids", "top_logprobs"] * bool(top_k)
    imported = tv.import_scores(path, "glass-en", text=WORDS)
    assert_same_bits(imported.scores, scores)
    assert imported.text is WORDS


def test_slim_parts_come_back_one_by_one(glass: LoadedModel, tmp_path: Path) -> None:
    text = corpus([*WORDS.passages, *WORDS.passages], name="words twice")
    one = replace(tv.score(glass, WORDS, top_k=2), text_name=text.name, text_sha256=text.sha256)
    parts, path = [one, replace(one, passage=one.passage + 3)], tmp_path / "slim.parquet"
    save_parts(iter(parts), path, slim=True)
    found = list(table_parts(source_at(path), ModelSpec.parse("glass-en"), text))
    assert len(found) == 2
    for part, expected in zip(found, parts, strict=True):
        assert_same_bits(part, expected)


def test_a_slim_table_needs_its_own_text_and_tokenizer(scores: TokenScores, bigram: LoadedModel, tmp_path: Path) -> None:
    path, other = tmp_path / "t.parquet", tv.literal("Alice was very tired.", name="alice")
    scores.save(path, slim=True)

    def refused(message: str, *, model: str = "glass-en", text: Text | None = WORDS, **options: str) -> None:
        with pytest.raises((ScoringError, TextError), match=f"^{re.escape(message)}$"):
            tv.import_scores(path, model, text=text, **options)

    refused(
        f"{str(path)!r} has scores of the text 'words' (sha256 {WORDS.sha256[:12]}), and 'alice' is another (sha256 "
        f"{other.sha256[:12]}): give the text that was scored",
        text=other,
    )
    refused(f"{str(path)!r} has scores of the text 'words': give that text as well, with --text, in Python text=", text=None)
    refused(
        f"{str(path)!r} has scores by 'glass-en', and the tokenizer of {bigram.label!r} is another: name a model that "
        "has the same one",
        model=bigram.label,
    )
    refused(
        f"{str(path)!r} is a token table, which says how it was made: leave out engine, name, bos, generated, skip_bad",
        name="other",
    )
    message = (
        f"{str(path)!r} is a slim table, without what the text and the tokenizer give back: 'tokenviz import-scores FILE "
        "--model glass-en --text TEXT' puts it back, import_scores in Python"
    )
    for read in (TokenScores.load, lambda path: list(TokenScores.parts(path))):
        with pytest.raises(ScoringError, match=f"^{re.escape(message)}$"):
            read(path)


def test_what_does_not_come_back_is_refused(scores: TokenScores, tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    replace(scores, n_bytes=scores.n_bytes + 1).save(path, slim=True)
    versions = ", ".join(f"{name} {version}" for name, version in scores.spec.versions.items())
    message = (
        f"{str(path)!r} does not get back from text and tokenizer what was left out of it: its tokens were made by {versions}"
    )
    with pytest.raises(ScoringError, match=f"^{re.escape(message)}$"):
        tv.import_scores(path, "glass-en", text=WORDS)
    scores.save(path, slim=True)
    table = pq.read_table(path)
    told = pq.read_metadata(path).metadata[LEFT_OUT_KEY.encode()]
    late = table.set_column(1, "position", pa.array([99] * len(table), pa.int32()))
    with pq.ParquetWriter(path, late.schema) as writer:
        writer.write_table(late)
        writer.add_key_value_metadata({LEFT_OUT_KEY: told})
    with pytest.raises(ScoringError, match=f"^{re.escape(message)}$"):
        tv.import_scores(path, "glass-en", text=WORDS)


@pytest.mark.parametrize(
    ("spec", "whose"),
    [({"source": "imported: vLLM 0.11"}, "vLLM 0.11"), ({"scoring_version": 3}, "another version of tokenviz")],
)
def test_tokens_that_need_not_come_back_are_not_left_out(
    scores: TokenScores, tmp_path: Path, spec: dict[str, str], whose: str
) -> None:
    message = (
        f"scores of 'glass-en' cannot be saved as a slim table: {whose} made them, perhaps with other tokens than the "
        "tokenizer makes of the text here"
    )
    with pytest.raises(ScoringError, match=f"^{re.escape(message)}$"):
        replace(scores, spec=replace(scores.spec, **spec)).save(tmp_path / "t.parquet", slim=True)
    assert not list(tmp_path.iterdir())


def test_a_slim_table_takes_a_fifth_less_room(glass: LoadedModel, tmp_path: Path) -> None:
    text = corpus(["Alice was beginning to get very tired of sitting by her sister on the bank. " * 4] * 30, name="many")
    found = tv.score(glass, text)
    sizes = []
    for slim in (False, True):
        found.save(tmp_path / "t.parquet", slim=slim)
        group = pq.read_metadata(tmp_path / "t.parquet").row_group(0)
        sizes.append(sum(group.column(place).total_compressed_size for place in range(group.num_columns)))
    whole, left = sizes
    assert left < 0.8 * whole


def test_the_command_writes_a_slim_table_and_gives_it_back(run: Run, project: Path) -> None:
    Path("t.csv").write_text("id,sentence\nx,Alice was tired.\ny,So was I.\n")
    score, text = ("score", "t.csv", "--column", "sentence", "-m", "glass-en", "--parquet"), ("--text", "t.csv")
    assert run(*score, "whole.parquet")[0] == 0
    assert run(*score, "slim.parquet", "--slim")[0] == 0
    found = ("import-scores", "slim.parquet", "-m", "glass-en", *text, "--column", "sentence")
    assert run(*found, "--parquet", "back.parquet") == (0, "", "")
    assert_same_bits(TokenScores.load(Path("back.parquet")), TokenScores.load(Path("whole.parquet")))
    assert pq.read_table("back.parquet")["id"] == pq.read_table("whole.parquet")["id"]
    assert run(*found, "--engine", "vLLM")[0] == 2
    code, _, err = run("import-scores", "slim.parquet", "-m", "glass-en", "--csv")
    assert (code, err) == (
        1, "error: 'slim.parquet' has scores of the text 't': give that text as well, with --text, in Python text=\n"
    )  # fmt: skip


@pytest.mark.slow
def test_a_slim_table_is_kept_as_a_run_and_computed_again(run: Run, project: Path, glass: LoadedModel) -> None:
    Path("t.txt").write_text("Alice was tired. So was I.")
    scores = tv.score(glass, tv.read_text("t.txt"))
    scores.save(Path("slim.parquet"), slim=True)
    found = ("import-scores", "slim.parquet", "-m", "glass-en", "--text", "t.txt")
    code, out, err = run(*found, "--track", "kept", "--csv")
    assert (code, out.count("\n")) == (0, len(scores) + 1)
    assert "kept as run" in err
    kept = tv.load_runs("kept")
    assert_same_bits(tv.load_scores(kept.iloc[0]), scores)
    (again,) = rerun(kept["run_id"].iloc[0], open_store())
    assert again.agrees(0)
    assert "found again as run" in run(*found, "--track", "kept", "--csv")[2]
