"""Characters that no token stands for and unknown tokens, from the model to the reader: in no number, counted, and named."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import Run
from kept_runs import keep_scores
from small_tokenizers import LEARNT, by_likelihood, in_bytes
from tables import assert_same_bits
from tokenizers import normalizers
from transformers import GPT2Config, GPT2LMHeadModel

import tokenviz as tv
from tokenviz.data.scores import REST, UNREAD, TokenScores
from tokenviz.data.texts import corpus
from tokenviz.figures.heatmap.definition import text_heatmap
from tokenviz.harness.kinds.score import record_scores
from tokenviz.harness.kinds.summary import score_table
from tokenviz.ledger.shard_scores import unread_rows
from tokenviz.models.loading import LoadedModel, load_model
from tokenviz.scoring.positions import context_logprobs, position_values
from tokenviz.scoring.scorer import score_to_file
from tokenviz.tracking.finding import find_runs
from tokenviz.units.sums import sum_units

TEXT = "the 2019-12 run, tXhe \u16a0 quartet and a lyre"
READ = "the  run, the  quartet and a lyre"  # what is left of it


def model_folder(tokenizer, folder: Path) -> Path:
    import torch

    torch.manual_seed(2)
    GPT2LMHeadModel(GPT2Config(n_layer=1, n_embd=32, n_head=2, vocab_size=len(tokenizer))).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def course(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    """A model whose tokenizer was trained without its initial alphabet."""
    tokenizer = in_bytes(alphabet=False, size=60, corpus=[LEARNT] * 5)
    return load_model(str(model_folder(tokenizer, tmp_path_factory.mktemp("course"))))


@pytest.fixture(scope="module")
def likelihood(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    """A model whose tokenizer has a token for what it does not know."""
    return load_model(str(model_folder(by_likelihood(normalizers.NFC()), tmp_path_factory.mktemp("likelihood"))))


def test_scores_are_those_of_the_text_without_what_was_not_read(course: LoadedModel) -> None:
    scores, left = tv.score(course, TEXT), tv.score(course, READ)
    tokens = scores.token_id >= 0
    assert (scores.token_id == UNREAD).sum() == 3
    assert (scores.token_id == REST).sum() == 1
    np.testing.assert_array_equal(scores.token_id[tokens], left.token_id)
    for name in ("logprob", "rank", "entropy", "space_logprob", "punctuation_logprob"):
        np.testing.assert_allclose(getattr(scores, name)[tokens], getattr(left, name), atol=1e-6)
        assert np.isnan(getattr(scores, name)[~tokens]).all()
    assert scores.summary().n_unread == len("2019-12X\u16a0")
    assert scores.summary().bits_per_byte == pytest.approx(left.summary().bits_per_byte, rel=1e-6)
    assert scores.n_bytes.sum() == len(TEXT.encode())


def test_a_slim_table_gets_it_back_and_passages_that_could_not_be_scored(course: LoadedModel, tmp_path: Path) -> None:
    text = corpus([TEXT, "\u16a0 7", "the run", "a lyre"], name="four")
    scored = tv.score(course, corpus([*text.passages[:2], "", text.passages[3]], name="four"))
    rows = TokenScores.joined([scored, unread_rows(scored, {2: text.passages[2]})])
    table = replace(rows.taken(np.argsort(rows.passage, kind="stable")), text_sha256=text.sha256)
    assert (table.token_id[table.passage == 2], table.token_id[table.passage == 1][0]) == ([UNREAD], UNREAD)
    table.save(tmp_path / "slim.parquet", slim=True)
    assert_same_bits(tv.import_scores(tmp_path / "slim.parquet", course.label, text=text).scores, table)


def test_in_short_windows_too(course: LoadedModel) -> None:
    for context, stride in ((3, 1), (4, 2)):
        scores = tv.score(course, TEXT, context=context, stride=stride)
        left = tv.score(course, READ, context=context, stride=stride)
        np.testing.assert_allclose(scores.logprob[scores.token_id >= 0], left.logprob, atol=1e-5)


def test_what_is_measured_besides_has_the_rows_of_the_table(course: LoadedModel) -> None:
    text = corpus([TEXT, "2019 the run 7"], name="two")
    scores = tv.score(course, text)
    values = position_values(course, text, lambda logits, ids: logits.log_softmax(-1).gather(-1, ids[:, None])[:, 0])
    np.testing.assert_allclose(values.values, scores.logprob, atol=1e-5)
    assert values.token == scores.token
    contexts = context_logprobs(course, text, [1, 900])
    np.testing.assert_allclose(contexts.logprob[:, 1], scores.logprob, atol=1e-5)
    divergences = tv.divergences(course, course, text)
    np.testing.assert_array_equal(np.isnan(divergences.values.kl_ab), np.isnan(scores.logprob))
    for found in (values, contexts, divergences):
        np.testing.assert_array_equal(found.position, scores.position)


def test_a_table_is_saved_and_loaded_and_compared(course: LoadedModel, likelihood: LoadedModel, tmp_path: Path) -> None:
    scores, other = tv.score(course, TEXT), tv.score(likelihood, TEXT)
    scores.save(tmp_path / "t.parquet")
    loaded = TokenScores.load(tmp_path / "t.parquet")
    np.testing.assert_array_equal(loaded.token_id, scores.token_id)
    assert tv.compare(scores, loaded).n == int(scores.scored.sum())
    pair = tv.compare(scores, other)
    unscored = "".join(text for text, value in zip(pair.units.text, pair.units.logprob_a, strict=True) if np.isnan(value))
    assert {*"2019-12X\u16a0"} <= {*unscored}
    assert "".join(pair.units.text) == TEXT
    found = tv.words(scores)
    assert [word for word, value in zip(found.word, found.logprob, strict=True) if np.isnan(value)] == [
        "the",
        " 2019-12",
        " tXhe",
        " \u16a0",
    ]


def test_a_region_that_was_not_read_in_whole_has_no_sum(course: LoadedModel) -> None:
    scores = tv.score(course, TEXT)
    ends = [[3, 7, 9, 16, 20, 23, len(TEXT)]]  # "the| 201|9-|12 run,| tXh|e \u16a0| quartet ..."
    sums = sum_units(scores, [TEXT], ends)
    assert np.isnan(sums.logprob).tolist() == [True, True, True, True, True, True, False]
    assert sum_units(scores, [TEXT], [[3, 4, 11, len(TEXT)]]).logprob[1] == scores.logprob[1]


def test_a_corpus_on_disk_says_it_once(course: LoadedModel, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tokenviz.scoring.windows.PART_CHARACTERS", 10)
    (tmp_path / "some.jsonl").write_text("".join(json.dumps({"text": f"the run {n}2"}) + "\n" for n in range(3)))
    code, out, err = run(
        "score", "-m", str(course.resolved.folder), "some.jsonl", "--parquet", "t.parquet",
    )  # fmt: skip
    assert code == 0
    assert "characters not read" in out
    assert err.count("were not read") == 1
    assert "some: 6 characters ('2', '0', '1') were not read, because no token stands for them, and are in no number" in err
    scores = TokenScores.load(tmp_path / "t.parquet")
    assert scores.unread == ("02", "12", "22")
    again = score_to_file(course, corpus(["the run 02", "the run 12", "the run 22"], name="some"), tmp_path / "u.parquet")
    assert again == scores.summary()


def test_the_command_names_what_was_not_read(course: LoadedModel, run: Run) -> None:
    code, out, err = run("score", "-m", str(course.resolved.folder), "-t", TEXT, "--json")
    assert code == 0
    found = json.loads(out)["texts"][0]
    assert found["summary"]["n_unread"] == 9
    unread = [row for row in found["tokens"] if row["token_id"] == UNREAD]
    assert [row["token"] for row in unread] == ["2019-12", "X", "\u16a0"]
    assert [row["logprob"] for row in unread] == [None] * 3
    assert "9 characters ('2', '1', '0', '9', '-', 'X', '\u16a0') were not read" in err


def test_one_character_is_one(course: LoadedModel, run: Run) -> None:
    assert "1 character ('\\n') was not read, because" in run("score", "-m", str(course.resolved.folder), "-t", "the\nrun")[2]


def test_the_command_counts_unknown_tokens(likelihood: LoadedModel, run: Run) -> None:
    folder = str(likelihood.resolved.folder)
    code, out, err = run("score", "-m", folder, "-t", "the \u16a0 run")
    assert code == 0
    assert "unknown tokens" in out
    assert "characters not read" not in out
    assert (
        "1 token of 10 stands for something that the tokenizer does not know, so that bits per byte cannot be compared with "
        "those of another tokenizer" in err
    )
    summary = json.loads(run("score", "-m", folder, "-t", "the \u16a0 run", "--json")[1])["texts"][0]["summary"]
    assert (summary["n_unknown"], summary["n_unread"]) == (1, 0)
    code, out, err = run("score", "-m", folder, "-t", "the run")
    assert "unknown" not in out + err


def test_a_run_keeps_the_counts_and_says_so(
    course: LoadedModel, likelihood: LoadedModel, project: Path, tmp_path: Path
) -> None:
    for model, counts, words in ((course, (0, 9), "9 characters were not read"), (likelihood, (6, 0), "6 tokens of")):
        scores = tv.score(model, TEXT)
        keep_scores(scores, experiment=f"of {counts[0]}")
        [run] = find_runs(f"of {counts[0]}")
        assert (run.metrics["n_unknown"], run.metrics["n_unread"]) == counts
        (tmp_path / words).mkdir()
        assert words in record_scores(scores, tv.literal(TEXT), 1.0, tmp_path / words).note
        panel = text_heatmap(scores).panels[0]
        assert ("unknown to the tokenizer" in panel.remark, "characters not read" in panel.remark) == tuple(map(bool, counts))
    heatmap = text_heatmap(tv.score(course, TEXT))
    assert "not read: no token stands for it" in heatmap.panels[0].notes
    n = len(course.tokenizer(TEXT)["input_ids"])
    assert f"n = {n - 1} of {n} tokens" in heatmap.caption


def test_the_table_of_a_grid_has_the_counts_where_there_are_any(course: LoadedModel, glass: LoadedModel) -> None:
    class Scored:
        """What the table asks of a run."""

        def __init__(self, model: LoadedModel, text: str) -> None:
            self.model, self.text, self.run_id, self.sample = "m", "t", "", tv.score(model, text)
            self.summary, self.fingerprint = self.sample.summary(), ""

    assert "characters not read" in score_table([Scored(course, TEXT), Scored(course, READ)])  # type: ignore[list-item]  # all that it asks for
    assert "not read" not in score_table([Scored(course, READ)])  # type: ignore[list-item]  # all that it asks for
