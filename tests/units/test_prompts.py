"""Prompts and continuations: sums that are arithmetic, the rule of lm-eval where it applies, and bad input in a line."""

import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kills import draw_in_no_time
from reference import exact

import tokenviz as tv
from tokenviz.base.errors import TextError
from tokenviz.base.progress import collecting
from tokenviz.figures.origin import provenance_of
from tokenviz.figures.plots.studies import continuation_marks
from tokenviz.harness.session import ExperimentContext, running
from tokenviz.models.loading import LoadedModel
from tokenviz.scoring.kernel import Kernel
from tokenviz.stats.intervals import student
from tokenviz.units.prompts import summarise_prompts
from tokenviz.units.sums import RULES

ROWS = "prompt,continuation,kind\nab,cd,1\nab,dd,2\nb,a,1\n"


def table_of(model: LoadedModel, prompt: str, *after: str, **how: Any) -> pd.DataFrame:
    made = tv.continuations(prompt, after)
    return tv.prompt_table(made, tv.score(model, made.text, **how))


def test_the_log_prob_of_a_continuation_is_arithmetic(bigram: LoadedModel, tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text(ROWS, encoding="utf-8")
    prompts = tv.read_prompts(tmp_path / "p.csv")
    table = tv.prompt_table(prompts, tv.score(bigram, prompts.text))
    expected = np.log([2 / 15 * 1 / 4, 1 / 15 * 27 / 40, 8 / 15])
    np.testing.assert_allclose(table["logprob"], expected, rtol=0, atol=1e-6)
    np.testing.assert_allclose(table["mean_logprob"], expected / [2, 2, 1], rtol=0, atol=1e-6)
    np.testing.assert_allclose(table["logprob_per_byte"], expected / [2, 2, 1], rtol=0, atol=1e-6)
    np.testing.assert_allclose(table["surprisal_bits"], -expected / math.log(2), rtol=0, atol=1e-6)
    assert table["kind"].tolist() == [1, 2, 1]
    assert table["prompt_number"].tolist() == [0, 0, 1]
    assert table["rank_first"].tolist() == [3, 4, 1]  # after b: a 8, b 4, c 2, d 1
    assert table["rank_worst"].tolist() == [3, 4, 1]
    assert table["all_first"].tolist() == [False, False, True]
    assert table["best_by_sum"].tolist() == [False, True, pd.NA]  # 1/30 against 0.045; the last has no other
    assert table["n_tokens_prompt"].tolist() == [2, 2, 1]


def test_of_equal_continuations_both_are_best_and_rules_may_differ(bigram: LoadedModel) -> None:
    table = table_of(bigram, "c", "a", "b", "ddd")
    assert table["best_by_sum"].tolist() == [True, True, False]
    assert table["best_by_per_token"].tolist() == [False, False, True]
    assert table["best_by_per_byte"].tolist() == [False, False, True]


def test_per_byte_is_over_the_bytes_of_the_continuation_itself(gpt2: LoadedModel) -> None:
    table = table_of(gpt2, "Thủ đô của Việt Nam là", " Hà Nội.")
    assert table["n_bytes"].tolist() == [len(" Hà Nội.".encode())]
    assert table["logprob_per_byte"][0] == table["logprob"][0] / len(" Hà Nội.".encode())


def test_a_token_across_the_border_is_the_continuations_and_counted(gpt2: LoadedModel) -> None:
    # " Yes" is one token: the space that ends the prompt is in it.
    apart, inside = table_of(gpt2, "Is it?", " Yes"), table_of(gpt2, "Is it? ", "Yes")
    assert (apart["crossings"][0], inside["crossings"][0]) == (0, 1)
    assert apart["logprob"][0] == inside["logprob"][0]
    assert apart["n_tokens"][0] == inside["n_tokens"][0] == 1
    assert apart["logprob_per_byte"][0] == pytest.approx(apart["logprob"][0] / 4)
    assert inside["logprob_per_byte"][0] == pytest.approx(inside["logprob"][0] / 3)


def test_a_prompt_that_ends_inside_a_token_of_several_bytes_is_counted(gpt2: LoadedModel) -> None:
    whole = tv.score(gpt2, "中文🐈文")
    for border in range(1, len("中文🐈文")):
        table = table_of(gpt2, "中文🐈文"[:border], "中文🐈文"[border:])
        crosses = (whole.first_character < border) & (whole.end > border) & (whole.end > whole.start)
        assert table["crossings"][0] == crosses.sum()
        assert table["n_tokens_prompt"][0] + table["n_tokens"][0] == len(whole)
    combining = table_of(gpt2, "cafe", "\u0301 noir")
    assert combining["n_tokens_prompt"][0] + combining["n_tokens"][0] == len(tv.score(gpt2, "cafe\u0301 noir"))


def test_a_continuation_within_the_first_token_has_no_number(gpt2: LoadedModel, run: Any, gpt2_folder: Path) -> None:
    table = table_of(gpt2, "T", "he cat")  # "The" is one token
    assert table["crossings"].tolist() == [1]
    assert (table["n_tokens_prompt"][0], table["n_tokens"][0], table["n_scored"][0]) == (0, 2, 1)
    assert math.isnan(table["logprob"][0])
    assert table["all_first"][0] is pd.NA
    assert not math.isnan(table_of(gpt2, "T", "he cat", bos="always")["logprob"][0])
    _, _, error = run("score", "-m", str(gpt2_folder), "--prompt", "T", "--continuation", "he cat")
    assert "1 of 1 continuations of prompt have no number: without a BOS the first token of a text has no prediction" in error


# The reference: what lm-evaluation-harness does with a context and a continuation (`_encode_pair`, 0.4.9).


def encode_pair(tokenizer: Any, context: str, continuation: str) -> tuple[list[int], list[int]]:
    n_spaces = len(context) - len(context.rstrip())
    if n_spaces > 0:
        continuation = context[-n_spaces:] + continuation
        context = context[:-n_spaces]
    whole = tokenizer(context + continuation, add_special_tokens=False)["input_ids"]
    before = tokenizer(context, add_special_tokens=False)["input_ids"]
    return whole[: len(before)], whole[len(before) :]


PAIRS = [
    ("The capital of France is", " Paris."),
    ("Question: Is it?\nAnswer:", " Yes"),
    ("Question: Is it?\nAnswer: ", "Yes"),
    ("Thủ đô của Việt Nam là", " Hà Nội."),
    ("他说：", "你好。"),
    ("1 + 1 =", " 2"),
]


@pytest.mark.parametrize(("prompt", "after"), PAIRS)
def test_continuations_are_those_of_lm_eval(gpt2: LoadedModel, prompt: str, after: str) -> None:
    context, continuation = encode_pair(gpt2.tokenizer, prompt, after)
    logprobs = exact(gpt2.resolved.folder, [*context, *continuation]).logprob[len(context) :]
    table = table_of(gpt2, prompt, after)
    assert table["n_tokens"][0] == len(continuation)
    assert table["logprob"][0] == pytest.approx(sum(logprobs), abs=1e-4)  # float32 against float64
    assert table["mean_logprob"][0] == pytest.approx(np.mean(logprobs), abs=1e-4)  # minicons' reduction


@pytest.mark.parametrize(("prompt", "after"), [("Q\n", "\nA"), ("def f(x):\n", "    return x\n"), ("a b  ", " c")])
def test_lm_eval_counts_whitespace_that_ends_the_prompt_with_the_continuation(
    gpt2: LoadedModel, prompt: str, after: str
) -> None:
    context, continuation = encode_pair(gpt2.tokenizer, prompt, after)
    logprobs = exact(gpt2.resolved.folder, [*context, *continuation]).logprob[len(context) :]
    table = table_of(gpt2, prompt, after)
    moved = len(continuation) - table["n_tokens"][0]  # tokens of whitespace alone
    assert moved > 0
    assert gpt2.tokenizer.decode(continuation[:moved]).isspace()
    assert table["logprob"][0] == pytest.approx(sum(logprobs[moved:]), abs=1e-4)


LETTERS = st.text(st.sampled_from("ab c.\nờ中🐈"), min_size=1, max_size=8)


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(LETTERS, LETTERS)
def test_where_lm_evals_cut_is_a_cut_of_the_whole_string_the_tokens_are_the_same(
    gpt2: LoadedModel, prompt: str, after: str
) -> None:
    tokenizer = gpt2.tokenizer
    context, continuation = encode_pair(tokenizer, prompt, after)
    alone = tokenizer(prompt.rstrip(), add_special_tokens=False)["input_ids"]
    scores = tv.score(gpt2, prompt + after)
    table = table_of(gpt2, prompt, after)
    assert table["n_tokens_prompt"][0] + table["n_tokens"][0] == len(scores)  # never a lost token
    stays = context == alone and prompt == prompt.rstrip()
    crosses = table["crossings"][0]
    if stays and not crosses:
        assert scores.token_id[-table["n_tokens"][0] :].tolist() == continuation


def test_lm_eval_loses_a_token_where_the_border_melts_and_this_does_not(gpt2: LoadedModel) -> None:
    # "un" and "believable" alone are two and two tokens; together they are cut at other places.
    prompt, after = "He is unbel", "ievable"
    context, continuation = encode_pair(gpt2.tokenizer, prompt, after)
    alone = gpt2.tokenizer(prompt, add_special_tokens=False)["input_ids"]
    assert context != alone  # the whole string's first tokens are not the prompt's
    table = table_of(gpt2, prompt, after)
    assert table["crossings"][0] == 1
    assert table["n_tokens"][0] > len(continuation)


def test_the_prompt_is_computed_once_for_all_its_continuations(gpt2: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    rows: list[int] = []
    packed = Kernel._packed_states

    def counting(self: Kernel, pack: Any) -> Any:
        rows.append(len(pack.ids))
        return packed(self, pack)

    monkeypatch.setattr(Kernel, "_packed_states", counting)
    prompt = "Alice was beginning to get very tired of sitting by her sister on the bank, and of"
    after = [" having nothing to do.", " a book.", " all that.", " it."]
    before, table = len(gpt2.tokenizer(prompt)["input_ids"]), table_of(gpt2, prompt, *after)
    if Kernel.of(gpt2).batching == "packed":
        assert sum(rows) == before + table["n_tokens"].sum()
    alone = [table_of(gpt2, prompt, one)["logprob"][0] for one in after]
    np.testing.assert_allclose(table["logprob"], alone, rtol=0, atol=1e-4)  # sums of up to six tokens, 2e-5 nats each


@pytest.mark.parametrize("form", ["csv", "tsv", "jsonl", "parquet"])
def test_every_format_gives_the_same_prompts(tmp_path: Path, form: str) -> None:
    rows = pd.DataFrame({"q": ["Is it? ", "他说："], "a": [" Yes", "你好"], "id": ["1", "2"]})
    path = tmp_path / f"t.{form}"
    if form == "parquet":
        rows.to_parquet(path)
    elif form == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows.to_dict("records")), encoding="utf-8")
    else:
        rows.to_csv(path, index=False, sep="\t" if form == "tsv" else ",")
    prompts = tv.read_prompts(path, prompt="q", continuation="a")
    assert prompts.text.passages == ("Is it?  Yes", "他说：你好")
    assert [[(span.name, span.start, span.end) for span in own] for own in prompts.text.spans] == [
        [("prompt", 0, 7), ("continuation", 7, 11)],
        [("prompt", 0, 3), ("continuation", 3, 5)],
    ]


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
def test_a_cell_may_hold_several_continuations(bigram: LoadedModel, tmp_path: Path, form: str) -> None:
    rows = [{"prompt": "ab", "continuation": ["c", "d"], "n": 1}, {"prompt": "b", "continuation": ["a"], "n": 2}]
    path = tmp_path / f"t.{form}"
    if form == "parquet":
        pd.DataFrame(rows).to_parquet(path)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    prompts = tv.read_prompts(path)
    assert repr(prompts) == "Prompts('t': 3 continuations of 2 prompts)"
    table = tv.prompt_table(prompts, tv.score(bigram, prompts.text))
    assert list(zip(table["n"], table["continuation"], strict=True)) == [(1, "c"), (1, "d"), (2, "a")]


def test_columns_of_other_names_are_kept_and_the_results_have_their_own(bigram: LoadedModel, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("q,a\nab,c\n", encoding="utf-8")
    prompts = tv.read_prompts(tmp_path / "t.csv", prompt="q", continuation="a")
    table = tv.prompt_table(prompts, tv.score(bigram, prompts.text))
    assert list(table)[:6] == ["q", "a", "model", "passage", "prompt_number", "prompt"]
    assert (table["prompt"][0], table["continuation"][0]) == ("ab", "c")


def write_rows(folder: Path, *rows: dict[str, Any]) -> Path:
    path = folder / "t.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (
            {"prompt": "ab\ud83d", "continuation": "\udc08"},
            "the prompt ends inside a character (a lone surrogate at character 2)",
        ),
        ({"prompt": "ab", "continuation": "\udc08 c"}, "the continuation begins inside a character (a lone surrogate at"),
        ({"prompt": "ab", "continuation": "a\udc08 c"}, "the continuation is no Unicode (a lone surrogate at character 1)"),
        ({"prompt": "ab", "continuation": []}, "has an empty list in column 'continuation': give at least one continuation"),
        ({"prompt": "ab", "continuation": ["c", ""]}, "has nothing in column 'continuation': give at least one character"),
        ({"prompt": "ab", "continuation": None}, "has nothing in column 'continuation'"),
        ({"prompt": "ab", "continuation": math.nan}, "has nothing in column 'continuation'"),
        ({"prompt": 7, "continuation": "c"}, "has a int in column 'prompt'"),
        ({"continuation": "c"}, "has nothing in column 'prompt'"),
    ],
)
def test_a_bad_row_is_named_and_left_out_on_request(
    tmp_path: Path, row: dict[str, Any], message: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = write_rows(tmp_path, {"prompt": "ab", "continuation": "c"}, row, {"prompt": "b", "continuation": "d"})
    with pytest.raises(TextError, match=f"^row 2 of {re.escape(repr(str(path)))}:? {re.escape(message)}.*--skip-bad leaves"):
        tv.read_prompts(path)
    prompts = tv.read_prompts(path, skip_bad=True)
    assert prompts.text.passages == ("abc", "bd")
    assert len(prompts.skipped) == 1
    assert "1 of 3 rows of t.jsonl are left out: row 2 of" in caplog.text


@pytest.mark.parametrize(
    ("prompt", "after", "inside"),
    [
        ("cafe", "\u0301", True),
        ("tie", "\u0302\u0301ng", True),
        ("\U0001f469\u200d", "\U0001f4bb", True),
        ("\U0001f1fb", "\U0001f1f3", True),
        ("\u1112\u1161", "\u11ab", True),
        ("\u0915", "\u093f", True),
        ("caf\u00e9", " noir", False),
        ("\U0001f1fb\U0001f1f3", "\U0001f1ef\U0001f1f5", False),
        ("a\r", "\n", False),
        ("\u732b", "\u5750", False),
        ("ab", "c", False),
    ],
)
def test_a_continuation_that_begins_inside_a_character_is_said(prompt: str, after: str, inside: bool, tmp_path: Path) -> None:
    with collecting() as notes:
        made = tv.continuations(f"A line before. {prompt}", ["x", after])
    words = (
        "begin inside a character, as between a letter and its mark; their numbers are of the rest of it, given its beginning"
    )
    assert notes == [f"1 of 2 continuations of prompt {words}: number 2"] * inside
    assert made.text.passages[1] == f"A line before. {prompt}{after}"
    rows = [{"prompt": prompt, "continuation": one} for one in ("x", "", ["y", after])]
    with collecting() as notes:
        tv.read_prompts(write_rows(tmp_path, *rows), skip_bad=True)
    assert notes[1:] == [f"1 of 3 continuations of t.jsonl {words}: row 3"] * inside


def test_what_moves_a_table_moves_its_hash() -> None:
    one = tv.continuations("ab", ["cd"])
    assert one.sha256 == tv.continuations("ab", ["cd"]).sha256
    assert one.sha256 != tv.continuations("a", ["bcd"]).sha256
    assert one.text.sha256 == tv.continuations("a", ["bcd"]).text.sha256


def test_the_command_prints_what_the_library_gives(run: Any, glass: LoadedModel, project: Path) -> None:
    given = ["score", "-m", "glass-en", "--prompt", "Alice was very", "--continuation", " tired.", "--continuation", " late."]
    expected = table_of(glass, "Alice was very", " tired.", " late.")
    code, out, _ = run(*given, "--json")
    [document] = json.loads(out)["prompts"]
    assert code == 0
    assert [row["logprob"] for row in document["rows"]] == pytest.approx(expected["logprob"].tolist())
    assert document["rows"][0]["best_by_sum"] is False
    code, out, _ = run(*given, "--csv")
    assert out.startswith('"prompt","continuation","model","passage","prompt_number","n_tokens_prompt"')
    code, out, _ = run(*given)
    assert "log P(continuation | prompt) by glass-en" in out
    assert "' late.'" in out
    assert "prompt: 'Alice was very'" in out
    (project / "p.csv").write_text("q,a\nAlice was ,very\nThe Queen, said\n,x\n", encoding="utf-8")
    table = ["score", "-m", "glass-en", "p.csv", "--by", "continuation", "--prompt-column", "q", "--continuation-column", "a"]
    assert run(*table)[0] == 1
    code, out, error = run(*table, "--skip-bad")
    assert code == 0
    assert "1 of 3 rows of p.csv are left out: row 3 of" in re.sub(r"\s+", " ", error)
    assert "1 continuation begins inside a token of the whole string, which belongs to the continuation." in out


def test_rules_have_a_column_each() -> None:
    assert [f"best_by_{rule}" for rule in RULES] == [name for name in tv.prompt_table.__doc__.split("`") if "best_by" in name]


@pytest.fixture
def study(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with a table of prompts; heatmaps are not the matter here."""
    draw_in_no_time(monkeypatch)
    rows = [
        {"prompt": "Alice was very", "continuation": [" tired.", " late."], "loại": "a"},
        {"prompt": "The Queen of ", "continuation": "Hearts", "loại": "b"},
    ]
    return write_rows(project, *rows)


def grid_of(path: Path, *, name: str = "trial") -> tuple[tv.Grid, Any]:
    prompts = tv.read_prompts(path)
    with running(ExperimentContext(name)):
        grid = tv.Grid(["glass-en"], [prompts.text], top_k=0)
        grid.score()
        made = grid.continue_prompts(prompts)
        grid.summarise("Found.", figures={"all": lambda: continuation_marks(made[0].table)})
    return grid, made


def test_prompts_are_a_run_that_is_found_drawn_traced_pulled_and_computed_again(
    study: Path, run: Any, glass: LoadedModel, project: Path
) -> None:
    _, [made] = grid_of(study)
    prompts = tv.read_prompts(study)
    expected = tv.prompt_table(prompts, tv.score(glass, prompts.text))
    pd.testing.assert_frame_equal(made.recorded.frame("prompts"), expected)
    assert made.metrics["n_continuations"] == 3
    assert (made.metrics["n_prompts"], made.metrics["n_crossings"], made.metrics["n_missing"]) == (2, 1, 0)
    assert made.metrics["mean_logprob_per_continuation"] == pytest.approx(expected["logprob"].mean())
    assert made.metrics["mean_logprob_per_token"] == pytest.approx(expected["logprob"].sum() / expected["n_tokens"].sum())
    bits = expected["surprisal_bits"].sum() / expected["n_bytes"].sum()
    assert made.metrics["bits_per_byte_of_continuations"] == pytest.approx(bits)
    assert made.metrics["share_all_first"] == 0
    assert "share_all_first_low" not in made.metrics  # three continuations are too few

    _, [again] = grid_of(study)
    assert (again.run_id, again.reused) == (made.run_id, True)
    assert "log-prob per continuation −" in run("runs")[1]
    code, out, _ = run("rerun", made.run_id)
    assert (code, "agrees" in out) == (0, True)
    code, out, _ = run("redraw", made.run_id, "--to", "one", "--format", "svg", "--width", "acl")
    assert code == 0
    about = provenance_of(project / out.splitlines()[0])
    assert (about["kind"], about["figure"], about["run_id"]) == ("prompts", "continuations", made.run_id)
    assert "n = 3 of 3 continuations of 2 prompts" in about["caption"]
    assert run("pull", "trial", "--to", "paper")[0] == 0
    assert (project / "paper" / "figures" / "t_glass-en_continuations.pdf").is_file()
    assert "tvTGlassEnPromptsNCrossings}{1} % continuations whose first token begins in the prompt" in (
        project / "paper" / "numbers.tex"
    ).read_text(encoding="utf-8")
    code, out, _ = run("trace", "paper/figures/t_glass-en_continuations.pdf")
    assert (code, made.run_id in out) == (0, True)


@pytest.mark.slow
def test_another_border_or_column_makes_another_run_of_the_same_scores(study: Path, project: Path) -> None:
    _, [first] = grid_of(study)
    rows = [json.loads(line) for line in study.read_text(encoding="utf-8").splitlines()]
    rows[1] |= {"loại": "c"}
    other, [second] = grid_of(write_rows(project, *rows))
    assert second.fingerprint != first.fingerprint
    assert other.made.scores[0].reused
    rows[1] |= {"prompt": "The Queen of", "continuation": " Hearts"}
    _, [third] = grid_of(write_rows(project, *rows))
    assert third.fingerprint not in (first.fingerprint, second.fingerprint)
    assert third.metrics["n_crossings"] == 0


def summed_up(prompts: int, continuations: int) -> pd.DataFrame:
    """A table of prompts whose continuations are alike, drawn with a seed."""
    random = np.random.default_rng(1)
    number = np.repeat(np.arange(prompts), continuations)
    logprob = -6 + random.normal(0, 2, prompts)[number] + random.normal(0, 0.5, len(number))
    first = pd.array(random.random(len(number)) < 0.4, dtype="boolean")
    table = pd.DataFrame({"prompt_number": number, "logprob": logprob, "n_tokens": 2, "n_bytes": 5, "all_first": first})
    return table.assign(surprisal_bits=-logprob / math.log(2))


def test_intervals_of_prompts_come_from_whole_prompts() -> None:
    table = summed_up(30, 4)
    found = summarise_prompts(table)
    mean = found.estimates["mean_logprob_per_continuation"]
    assert (mean.value, mean.n) == (pytest.approx(table["logprob"].mean()), 120)
    assert mean.drawn_from == "30 prompts"
    # One mean per prompt: the interval is Student's over these, and twice as wide as over continuations.
    means = table.groupby("prompt_number")["logprob"].mean().to_numpy()
    by_hand = student(means, "nats")
    assert mean.low == pytest.approx(by_hand.low, abs=0.1)
    assert mean.high == pytest.approx(by_hand.high, abs=0.1)
    assert mean.high - mean.low > 1.8 * np.ptp([student(table["logprob"].to_numpy(), "nats").low, mean.value]) * 2
    share = found.estimates["share_all_first"]
    assert share.value == pytest.approx(table["all_first"].mean())
    assert 0 < share.low < share.value < share.high < 1
    assert found.estimates["bits_per_byte_of_continuations"].value == pytest.approx(table["surprisal_bits"].sum() / 600)
    assert found.resampling is not None
    assert found.resampling.numbers == {"n_resampled_prompts": 30, "effective_prompts": 30}
    blank = table.assign(logprob=table["logprob"].where(table["prompt_number"] > 0))
    assert summarise_prompts(blank).estimates["share_all_first"].n == 116


@pytest.mark.parametrize(
    ("prompts", "continuations", "reason"),
    [
        (1, 12, "no interval: 1 prompt, and an interval across prompts needs at least 3"),
        (2, 12, "no interval: 2 prompts, and an interval across prompts needs at least 3"),
        (4, 2, "no interval: 8 continuations have a number, and an interval needs at least 10"),
    ],
)
def test_too_few_prompts_have_no_interval_and_say_why(prompts: int, continuations: int, reason: str) -> None:
    found = summarise_prompts(summed_up(prompts, continuations))
    assert {one.reason for one in found.estimates.values()} == {reason}
    assert found.resampling is None
    assert np.isnan([one.low for one in found.estimates.values()]).all()


def test_the_figure_shows_each_continuation_below_its_prompt(glass: LoadedModel) -> None:
    made = tv.continuations("Alice was very", [" tired.", " $late_", " 中文"])
    table = tv.prompt_table(made, tv.score(glass, made.text))
    [axes] = continuation_marks(pd.concat([table, table.assign(model="other")])).axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["Alice was very", "' tired.'", "' $late_'", "' 中文'"]
    first, second = axes.get_lines()[:2]
    np.testing.assert_array_equal(first.get_xdata(), table["logprob"])
    assert list(second.get_ydata()) == [1.125, 2.125, 3.125]
    assert axes.get_xlabel() == "log P(continuation | prompt) (nats)"
    many = tv.continuations("Alice", [f" {number}" for number in range(50)])
    [axes] = continuation_marks(tv.prompt_table(many, tv.score(glass, many.text))).axes
    assert len(axes.get_yticklabels()) == 41
    assert axes.get_xlabel().endswith("; the first 40 of 50 continuations")
