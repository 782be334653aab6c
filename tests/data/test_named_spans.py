"""Named spans of a text: nothing is lost or counted twice, borders inside tokens are counted, bad spans are refused."""

import io
import json
import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from arithmetic import BIGRAM_WEIGHTS, make_bigram_folder
from hypothesis import given, settings
from hypothesis import strategies as st
from kills import draw_in_no_time
from tables import make_scores

import tokenviz as tv
from tokenviz.base.errors import TextError
from tokenviz.comparing.alignment import SpanUnits, align, units_of
from tokenviz.data.scores import TokenScores
from tokenviz.data.spans import Span, checked_spans, pieces_of_spans
from tokenviz.data.texts import corpus
from tokenviz.harness.session import ExperimentContext, running
from tokenviz.models.loading import LoadedModel
from tokenviz.records.tables import read_comparison
from tokenviz.scoring.scorer import score_to_file

MIXED = "Việt Nam, 中文和🐈‍⬛的文本。\r\n\tna\u0308ch\u200dste  e\u0301"


def with_spans(scores: TokenScores, *passages: list[tuple[str, int, int]]) -> TokenScores:
    return replace(scores, spans=tuple(tuple(Span(*one) for one in own) for own in passages))


def test_a_token_that_crosses_a_border_is_in_the_later_span_and_counted() -> None:
    scores = make_scores([["ab", "cd", "ef"]], [-1.0, -2.0, -4.0])
    table = tv.span_table(with_spans(scores, [("x", 0, 3), ("y", 3, 5), ("z", 5, 6)]))
    assert table["span"].tolist() == ["x", "y", "z"]
    assert table["text"].tolist() == ["abc", "de", "f"]
    assert table["logprob"].tolist() == [-1.0, -2.0, -4.0]
    assert table["n_tokens"].tolist() == [1, 1, 1]
    assert table["crossings"].tolist() == [0, 1, 1]
    assert table["mean_logprob"].tolist() == [-1.0, -2.0, -4.0]
    assert table["logprob_per_byte"].tolist() == [-1 / 3, -1.0, -4.0]


def test_a_span_inside_one_token_has_no_token_and_no_number() -> None:
    table = tv.span_table(with_spans(make_scores([["ab", "cdef"]], [-1.0, -2.0]), [("x", 2, 4), ("y", 4, 6)]))
    assert table["span"].tolist() == ["", "x", "y"]
    assert table["n_tokens"].tolist() == [1, 0, 1]
    assert math.isnan(table["logprob"][1])
    assert pd.isna(table["rank"][1])
    assert table["logprob"].sum() == -3.0


def test_a_token_crosses_the_border_before_its_first_whole_character_if_it_begins_inside_the_one_before() -> None:
    scores = make_scores([["a", "b", "cd"]], [-1.0, -2.0, -3.0])
    scores = replace(scores, first_character=np.array([0, 1, 1]))  # the third token begins with the last bytes of "b"
    assert tv.span_table(with_spans(scores, [("x", 0, 2)]))["crossings"].tolist() == [0, 1]
    assert tv.span_table(with_spans(scores, [("x", 0, 1)]))["crossings"].tolist() == [0, 0]


def test_what_no_span_names_is_a_row_without_a_name() -> None:
    table = tv.span_table(with_spans(make_scores([["a", "b", "c", "d"]], [-1.0] * 4), [("x", 1, 2)]))
    assert list(zip(table["span"], table["text"], strict=True)) == [("", "a"), ("x", "b"), ("", "cd")]


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_the_spans_sum_to_the_text_wherever_the_borders_are(gpt2: LoadedModel, data: st.DataObject) -> None:
    borders = data.draw(st.lists(st.integers(0, len(MIXED)), min_size=2, max_size=8, unique=True).map(sorted))
    spans = [(f"s{i}", start, end) for i, (start, end) in enumerate(zip(borders[::2], borders[1::2], strict=False))]
    text = tv.literal(MIXED).with_spans([spans])
    scores = _scored(gpt2)
    table = tv.span_table(replace(scores, spans=text.spans))
    assert "".join(table["text"]) == MIXED
    assert table["n_tokens"].sum() == len(scores)
    assert table["n_scored"].sum() == scores.scored.sum()
    assert table["n_bytes"].sum() == len(MIXED.encode())
    assert table["logprob"].sum() == pytest.approx(np.nansum(scores.logprob), rel=1e-13)
    # As many tokens cross a border as have their first and their last byte on both sides of one.
    ends = table["end"].to_numpy()[:-1]
    has = scores.end > scores.start
    crossing = [bool(((scores.first_character[i] < ends) & (ends < scores.end[i])).any()) for i in range(len(scores)) if has[i]]
    assert table["crossings"].sum() == sum(crossing)


_SCORED: list[TokenScores] = []


def _scored(model: LoadedModel) -> TokenScores:
    if not _SCORED:
        _SCORED.append(tv.score(model, tv.literal(MIXED)))
    return _SCORED[0]


def test_spans_change_no_number_of_a_token(glass: LoadedModel) -> None:
    text = tv.literal("Alice was very tired.")
    plain, spanned = tv.score(glass, text), tv.score(glass, text.with_spans([[("x", 3, 9)]]))
    np.testing.assert_array_equal(plain.logprob, spanned.logprob)
    assert spanned.spans == ((Span("x", 3, 9),),)
    assert plain.spans == ()


def test_a_token_is_named_after_the_span_of_its_last_character() -> None:
    scores = with_spans(make_scores([["ab", "cd", "", "ef"], ["g"]]), [("x", 0, 3), ("y", 3, 4)], [])
    assert scores.span_names == ["x", "y", "y", "", ""]
    assert scores.to_frame()["span"].tolist() == scores.span_names
    assert [row["span"] for row in scores.to_json()["tokens"]] == scores.span_names
    assert "span" not in make_scores([["a"]]).to_frame()


def test_spans_come_back_from_the_file_and_are_nothing_to_whoever_does_not_know_them(
    glass: LoadedModel, tmp_path: Path
) -> None:
    text = corpus(["Alice was", "", "tired."], name="c").with_spans([[("主语", 0, 5)], [], [("x", 0, 6)]])
    scores = tv.score(glass, text)
    scores.save(tmp_path / "t.parquet")
    assert TokenScores.load(tmp_path / "t.parquet").spans == text.spans
    # The columns of the file are those of a text without spans.
    tv.score(glass, replace(text, spans=())).save(tmp_path / "plain.parquet")
    assert pd.read_parquet(tmp_path / "t.parquet").equals(pd.read_parquet(tmp_path / "plain.parquet"))


def test_a_table_written_part_by_part_has_the_spans_of_the_whole(glass: LoadedModel, tmp_path: Path) -> None:
    passages = ["Alice was very tired. " * 3000, "She", "Alice was very tired. " * 3000, "sat."]
    text = corpus(passages, name="c").with_spans([[("a", 0, 5)], [("b", 0, 3)], [], [("c", 1, 4)]])
    score_to_file(glass, text, tmp_path / "t.parquet")
    scores = TokenScores.load(tmp_path / "t.parquet")
    assert scores.spans == text.spans
    assert tv.span_table(scores)["span"].tolist() == ["a", "", "b", "", "", "c"]


def test_spans_are_put_in_reading_order() -> None:
    assert checked_spans([("b", 3, 4), {"name": "a", "start": 0, "end": 2}], 5, "x") == (Span("a", 0, 2), Span("b", 3, 4))
    assert [span.name for span in pieces_of_spans(checked_spans([("b", 3, 4)], 5, "x"), 5)] == ["", "b", ""]


def write_table(folder: Path, form: str) -> Path:
    rows = [
        {"id": "1", "text": "Is it? Yes", "parts": [{"name": "target", "start": 7, "end": 10}]},
        {
            "id": "2",
            "text": "中文文本",
            "parts": [{"name": "target", "start": 2, "end": 4}, {"name": "x", "start": 0, "end": 1}],
        },
        {"id": "3", "text": "none", "parts": None},
    ]
    path = folder / f"t.{form}"
    if form == "parquet":
        pd.DataFrame(rows).to_parquet(path)
    elif form == "csv":
        cells = [{**row, "parts": json.dumps(row["parts"]) if row["parts"] else ""} for row in rows]
        pd.DataFrame(cells).to_csv(path, index=False)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.mark.parametrize("form", ["jsonl", "csv", "parquet"])
def test_spans_are_read_from_a_column(tmp_path: Path, form: str) -> None:
    text = tv.read_text(write_table(tmp_path, form), spans="parts")
    assert text.passage_ids == ("1", "2", "3")
    assert text.spans == ((Span("target", 7, 10),), (Span("x", 0, 1), Span("target", 2, 4)), ())
    assert tv.read_text(write_table(tmp_path, form)).spans == ()


def test_rows_with_bad_spans_are_left_out_on_request_and_listed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    cells = ['[["a", 0, 2]]', '[["a", 0, 9]]', "", "7"]
    table = pd.DataFrame({"text": ["abc", "def", "ghi", "jkl"], "spans": cells, "id": ["w", "x", "y", "z"]})
    table.to_csv(tmp_path / "t.csv", index=False)
    with (tmp_path / "t.csv").open("a", encoding="utf-8") as file:
        file.write("mno,,v,too,many\n")
    text = tv.read_text(tmp_path / "t.csv", spans="spans", skip_bad=True)
    assert (text.passages, text.passage_ids) == (("abc", "ghi"), ("w", "y"))
    assert text.spans == ((Span("a", 0, 2),), ())
    [said] = [record.message for record in caplog.records if "left out" in record.message]
    assert said.startswith("3 of 5 rows of t.csv are left out: row 2 of ")
    assert re.findall(r"row (\d) of", said) == ["2", "4", "5"]
    assert said.endswith("has more cells than the header has columns")
    table[1:2].to_csv(tmp_path / "t.csv", index=False)
    with pytest.raises(TextError, match=r"^'.*' has no row that can be scored: row 1 of .* has the span 'a' from 0 to 9"):
        tv.read_text(tmp_path / "t.csv", spans="spans", skip_bad=True)


def test_lines_that_are_not_json_are_left_out_on_request_and_listed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text('{"text"\n{"text":"abc","s":[["a",0,2]]}\n{"text":"a\\ud800","s":[]}\n')
    with pytest.raises(TextError, match=r"^line 1 of .* is not JSON: .* at column 8; --skip-bad leaves such rows out$"):
        tv.read_text(path, spans="s")
    assert tv.read_text(path, spans="s", skip_bad=True).passages == ("abc",)
    [said] = [record.message for record in caplog.records if "left out" in record.message]
    assert said.startswith("2 of 3 rows of t.jsonl are left out: line 1 of ")
    assert said.endswith("has a lone surrogate at character 1: it is no Unicode text")


def test_the_command_prints_spans_as_csv(run: Any, project: Path) -> None:
    write_table(project, "jsonl")
    code, out, _ = run("score", "-m", "glass-en", "t.jsonl", "--spans", "parts", "--by", "span", "--csv")
    table = pd.read_csv(io.StringIO(out), keep_default_na=False)
    assert (code, list(table.columns[:6])) == (0, ["text_name", "id", "passage", "span", "start", "end"])
    assert table["text"].tolist() == ["Is it? ", "Yes", "中", "文", "文本", "none"]


def test_the_difference_of_two_models_shows_the_spans_of_the_text() -> None:
    spans = [("x", 0, 3), ("y", 3, 5)]
    a = with_spans(make_scores([["ab", "cd", "ef"]], [-1.0, -2.0, -4.0], model="a"), spans)
    b = with_spans(make_scores([["ab", "cd", "ef"]], [-1.0, -1.0, -1.0], model="b"), spans)
    assert tv.text_heatmap([a, b], measure="difference").panels[0].spans == ("x", "y", "")
    other = with_spans(make_scores([["a", "bcd", "ef"]], [-1.0, -1.0, -1.0], model="c", tokenizer="c"), spans)
    heatmap = tv.text_heatmap([a, other], by="segment")
    assert [panel.spans for panel in heatmap.panels] == [("y", "")] * 2


def test_items_are_spans_too(tmp_path: Path) -> None:
    (tmp_path / "s.csv").write_text("item,region_subject,region_verb\n1,The cat,sat.\n", encoding="utf-8")
    items = tv.read_items(tmp_path / "s.csv")
    assert items.text.spans == ()  # whose fingerprint stays as it was
    assert items.spanned.spans == ((Span("region:subject", 0, 7), Span("region:verb", 7, 12)),)
    (tmp_path / "w.csv").write_text("item,word\n1,The\n1,cat\n", encoding="utf-8")
    assert tv.read_items(tmp_path / "w.csv").spanned.spans == ((Span("word:1", 0, 3), Span("word:2", 3, 7)),)


def test_the_regions_of_items_have_the_sums_of_spans(glass: LoadedModel) -> None:
    items = tv.read_items("garden_paths")
    scores = tv.score(glass, items.spanned)
    spans, regions = tv.span_table(scores), tv.tidy_table(items, scores, by="region")
    assert spans["span"].tolist() == [f"region:{name}" for name in regions["region"]]
    for column in ("start", "end", "n_tokens", "n_scored", "crossings", "entropy_before"):
        np.testing.assert_array_equal(spans[column].to_numpy(float), regions[column].to_numpy(float))
    whole = regions["logprob"].notna()
    np.testing.assert_array_equal(spans["logprob"][whole], regions["logprob"][whole])


def test_two_models_are_compared_by_span() -> None:
    a = make_scores([["ab", "cd", "ef"]], [-1.0, -2.0, -4.0], model="a", tokenizer="a")
    b = make_scores([["a", "b", "c", "d", "ef"]], [math.nan, -1.0, -1.5, -3.0, -5.0], model="b", tokenizer="b")
    spans = [("x", 0, 3), ("y", 3, 5), ("z", 5, 6)]
    units = align(with_spans(a, spans), with_spans(b, spans), by="span")
    assert isinstance(units, SpanUnits)
    assert units.span.tolist() == ["x", "y", "z"]
    assert units.logprob_a.tolist() == [-1.0, -2.0, -4.0]
    np.testing.assert_array_equal(units.logprob_b, [math.nan, -3.0, -5.0])
    assert (units.crossings_a.tolist(), units.crossings_b.tolist()) == ([0, 1, 1], [0, 0, 1])
    assert (units.n_tokens_a.tolist(), units.n_tokens_b.tolist()) == ([1, 1, 1], [3, 1, 1])


def test_a_tracked_comparison_by_span_comes_back_and_is_computed_again(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draw_in_no_time(monkeypatch)
    for name, weights in (("first", BIGRAM_WEIGHTS), ("second", BIGRAM_WEIGHTS[::-1].copy())):
        make_bigram_folder(project / name, weights)
    spans = [(f"s{i}", 3 * i + 1, 3 * i + 4) for i in range(5)]
    text = tv.literal("abcdabcdabcdabcd", name="t").with_spans([spans])

    def grid(text: tv.Text) -> tv.Grid:
        with running(ExperimentContext("trial", "What it asks.", {})):
            made = tv.Grid(["first", "second"], [text], top_k=0)
            made.score()
            return made

    first = grid(text)
    run = first.compare(by="span")[0]
    assert run.by == "span"
    recorded = read_comparison(run.recorded)
    assert recorded.units.span.tolist() == run.comparison.units.span.tolist() == ["", *(name for name, _, _ in spans)]
    assert recorded.pearson_r.value == run.comparison.pearson_r.value
    assert run.comparison.n == 5  # the first stretch is of one token without a prediction
    frame = run.comparison.to_frame()
    assert isinstance(units_of(frame, "span"), SpanUnits)

    from tokenviz.harness.rebuilding import rerun

    [again] = rerun(run.run_id, first.store)
    assert again.agrees(1e-6)
    # Spans are part of what a run holds; a text without them has the run that it had.
    plain = grid(replace(text, spans=()))
    assert plain.made.scores[0].fingerprint != first.made.scores[0].fingerprint
    other = grid(text.with_spans([[("x", 0, 3)]]))
    assert other.made.scores[0].fingerprint != first.made.scores[0].fingerprint
    assert grid(text).made.scores[0].reused
