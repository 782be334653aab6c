"""Tables of studies with something wrong: one line with the row's number, or `--skip-bad` and the rest."""

import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import Run

import tokenviz as tv
from tokenviz.base.errors import TextError
from tokenviz.base.progress import collecting
from tokenviz.models.loading import LoadedModel
from tokenviz.units.items import read_items, read_passages
from tokenviz.units.pairs import read_pairs
from tokenviz.units.prompts import read_prompts

# Each has one bad row; two others are good.
ITEMS = {
    "no id": ("a.csv", "item,text\n1,The cat\n,The dog\n2,A cow\n", "row 2 of '{path}' has nothing in column 'item'"),
    "an id twice": (
        "a.csv", "item,text\n1,The cat\n2,The dog\n1,A cow\n",
        "row 3 of '{path}': the item '1' is there already, in row 1: each occurs once",
    ),
    "an id twice in a condition": (
        "a.csv", "item,condition,text\n1,x,The cat\n1,y,The dog\n1,x,A cow\n",
        "row 3 of '{path}': the item and condition '1/x' is there already, in row 1: each occurs once",
    ),
    "a region elsewhere": (
        "a.csv", "item,text,region_verb\n1,The cat sat,sat\n2,The dog ran,sat\n3,A cow sat,sat\n",
        "row 2 of '{path}': the region 'verb' ('sat') is not in its text after the regions before it",
    ),
    "regions that overlap": (
        "a.csv", "item,text,region_a,region_b\n1,The cat sat,The cat,sat\n2,The cat sat,The cat,cat sat\n3,A cow sat,A,sat\n",
        "row 2 of '{path}': the region 'b' ('cat sat') is not in its text after the regions before it",
    ),
    "too few regions": (
        "a.csv", "item,region_a,region_b\n1,The,cat\n2,The\n3,A,cow\n", "row 2 of '{path}' has nothing in column 'region_b'",
    ),
    "too few regions in JSON": (
        "a.jsonl",
        '{"item":1,"region_a":"x","region_b":"y"}\n{"item":2,"region_a":"x"}\n{"item":3,"region_a":"x","region_b":"y"}\n',
        "row 2 of '{path}' has nothing in column 'region_b'",
    ),
    "too many regions": (
        "a.csv", "item,region_a,region_b\n1,The,cat\n2,The,dog,barks\n3,A,cow\n",
        "row 2 of '{path}' has more cells than the header has columns",
    ),
    "NaN for a text": (
        "a.jsonl", '{"item":1,"text":"x"}\n{"item":2,"text":NaN}\n{"item":3,"text":"y"}\n',
        "row 2 of '{path}' has nothing in column 'text'",
    ),
    "whitespace for a text": (
        "a.csv", "item,text\n1,猫坐着\n2,  \n3,Con mèo\n", "row 2 of '{path}' has whitespace only in column 'text'",
    ),
    "a lone surrogate": (
        "a.jsonl", '{"item":1,"text":"x"}\n{"item":2,"text":"a\\ud83d"}\n{"item":3,"text":"y"}\n',
        "row 2 of '{path}' has a lone surrogate at character 1 in column 'text': it is no Unicode text",
    ),
    "a lone surrogate in a list elsewhere": (
        "a.jsonl", '{"item":1,"text":"x","b":[]}\n{"item":2,"text":"a","b":["\\udc08"]}\n{"item":3,"text":"y","b":[]}\n',
        "row 2 of '{path}' has a lone surrogate in column 'b': it is no Unicode text",
    ),
    "a broken line": (
        "a.jsonl", '{"item":1,"text":"x"}\n{"item":2,"text"\n{"item":3,"text":"y"}\n',
        "line 2 of '{path}' is not JSON: Expecting ':' delimiter at column 17",
    ),
    "a word missing": ("a.csv", "item,word\n1,The\n2,\n3,A\n", "row 2 of '{path}' has nothing in column 'word'"),
    "an item's words apart": (
        "a.csv", "item,word\n1,The\n2,A\n1,cat\n",
        "row 3 of '{path}': the item '1' is there already, in row 1: each occurs once",
    ),
}  # fmt: skip
PAIRS = {
    "half a pair": ("a.csv", "good,bad\na b,a\na b,\nb,a\n", "row 2 of '{path}' has nothing in column 'bad'"),
    "NaN for half a pair": (
        "a.jsonl", '{"good":"a","bad":"b"}\n{"good":NaN,"bad":"b"}\n{"good":"b","bad":"a"}\n',
        "row 2 of '{path}' has nothing in column 'good'",
    ),
    "too many cells": (
        "a.csv", "good,bad\na,b\nYes, it is.,No\nb,a\n", "row 2 of '{path}' has more cells than the header has columns",
    ),
    "a lone surrogate": (
        "a.jsonl", '{"good":"a","bad":"b"}\n{"good":"c","bad":"\\ud83d"}\n{"good":"b","bad":"a"}\n',
        "row 2 of '{path}' has a lone surrogate at character 0 in column 'bad': it is no Unicode text",
    ),
    "a line that is cut off": (
        "a.jsonl", '{"good":"a","bad":"b"}\n{"good":"c","bad":"d"}\n{"good":"b","b',
        "line 3 of '{path}' is not JSON: Unterminated string starting at at column 13",
    ),
}  # fmt: skip
PROMPTS = {
    "too many cells": (
        "a.csv", "prompt,continuation\na,b\nYes, it is.,No\nb,a\n",
        "row 2 of '{path}' has more cells than the header has columns",
    ),
    "a lone surrogate elsewhere": (
        "a.jsonl",
        '{"prompt":"a","continuation":"b"}\n{"prompt":"a","continuation":"c","by":"\\ud83d"}\n'
        '{"prompt":"a","continuation":"d"}\n',
        "row 2 of '{path}' has a lone surrogate at character 0 in column 'by': it is no Unicode text",
    ),
    "no object": (
        "a.jsonl", '["a","b"]\n{"prompt":"a","continuation":"b"}\n{"prompt":"a","continuation":"d"}\n',
        "line 1 of '{path}' is not a JSON object with a column for the text",
    ),
}  # fmt: skip
_NOUNS = {read_items: "items", read_pairs: "pairs", read_prompts: "rows"}


@pytest.mark.parametrize(
    ("read", "case"),
    [
        (read, one)
        for read, cases in ((read_items, ITEMS), (read_pairs, PAIRS), (read_prompts, PROMPTS))
        for one in cases.values()
    ],
)
def test_a_bad_row_is_one_line_and_the_rest_goes_on(
    tmp_path: Path, read: Callable[[Path], object], case: tuple[str, str, str]
) -> None:
    name, content, message = case
    path = tmp_path / name
    path.write_text(content, encoding="utf-8")
    message = message.format(path=path)
    with pytest.raises(TextError) as caught:
        read(path)
    assert str(caught.value) == f"{message}; --skip-bad leaves such rows out"
    with collecting() as notes:
        found = read(path, skip_bad=True)
    assert (len(found), found.skipped) == (2, (message,))
    assert notes == [f"1 of 3 {_NOUNS[read]} of {name} are left out: {message}"]


def test_what_is_left_out_changes_nothing_of_the_rest(tmp_path: Path) -> None:
    """Whole numbers stay whole, the table can be stored, and of items in words none is scored without one of its words."""
    good = '{"item":1,"text":"x","n":7}\n'
    path = tmp_path / "a.jsonl"
    for bad in ("{", '{"item":"\\ud800","text":"y","n":8}'):
        path.write_text(f"{bad}\n{good}")
        items = read_items(path, skip_bad=True)
        assert (items.text.passages, len(items.table)) == (("x",), 2)
        assert str(items.table["n"].iat[1]) == "7"
        assert read_passages(path, skip_bad=True).text.passages == ("x",)
        items.table.iloc[1:].infer_objects().to_parquet(tmp_path / "a.parquet")
    lines = ['{"item":1,"word":"The"}', "{", '{"item":1,"word":"sat"}', '{"item":2,"word":"No"}']
    path.write_text("\n".join(lines))
    items = read_items(path, skip_bad=True)
    assert items.text.passages == ("No",)
    assert items.skipped == (
        f"line 2 of {str(path)!r} is not JSON: Expecting property name enclosed in double quotes at column 2",
        f"row 1 of {str(path)!r}: the item '1' may have a word in row 2, which has no item",
    )


def test_whole_numbers_of_which_one_is_missing_are_ids_all_the_same(tmp_path: Path) -> None:
    """A missing value makes floats of a column of whole numbers."""
    path = tmp_path / "a.parquet"
    pd.DataFrame({"item": [1, None, 3], "text": ["a", "b", "c"]}).to_parquet(path)
    with pytest.raises(TextError, match=r"^row 2 of .* has nothing in column 'item'; --skip-bad leaves such rows out$"):
        read_items(path)
    assert read_items(path, skip_bad=True).text.passage_ids == ("1", "3")


def test_pairs_of_the_same_sentence_are_kept_and_named_by_their_rows(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("good,bad\na b,a b\n,x\nc,d\nxin chào,xin chào\n", encoding="utf-8")
    with collecting() as notes:
        assert len(read_pairs(path, skip_bad=True)) == 3
    assert notes[-1] == "2 of 3 pairs of a.csv are the same sentence twice, a tie whatever the model: rows 1, 4"


def test_pairs_that_differ_first_are_warned_of(project: Path) -> None:
    """By the run of a grid; pairs that begin alike are not."""
    from kills import draw_in_no_time

    from tokenviz.harness.session import ExperimentContext, running

    lines = ["good,bad", "Alice was here.,Alice were here.", "Alice was here.,The was here."]
    notes: dict[int, list[str]] = {}
    with pytest.MonkeyPatch.context() as patch:
        draw_in_no_time(patch)
        patch.setattr("tokenviz.harness.kinds.scored.draw_scored", lambda *given: None)
        for count in (2, 3):
            path = project / "pairs.csv"
            path.write_text("\n".join(lines[:count]), encoding="utf-8")
            pairs = read_pairs(path)
            with running(ExperimentContext("trial")), collecting() as notes[count]:
                tv.Grid(["glass-en"], [pairs.text]).decide(pairs)
    assert [note for note in notes[3] if "first token" in note] == [
        "1 of 2 pairs of pairs differ in their first token, which has no prediction by glass-en without a BOS and counts for "
        "neither sentence: --bos always gives it one"
    ]
    assert [note for note in notes[2] if "first token" in note] == []


def test_items_are_joined_and_named_as_the_options_say(run: Run, project: Path) -> None:
    (project / "câu.csv").write_text("câu,loại,region_a,region_b\n一,x,猫,坐着\n一,y,狗,跑了\n", encoding="utf-8")
    arguments = ("items", "câu.csv", "-m", "glass-en", "--item", "câu", "--condition", "loại", "--previous", "0")
    code, out, _ = run(*arguments, "--join", "")
    table = pd.read_csv(io.StringIO(out))
    assert (code, table["unit"].tolist()) == (0, ["猫", "坐着", "狗", "跑了"])
    assert table[["start", "end"]].to_numpy().tolist() == [[0, 1], [1, 3], [0, 1], [1, 3]]
    assert table["câu"].tolist() == ["一"] * 4
    _, out, _ = run(*arguments)
    assert pd.read_csv(io.StringIO(out))["unit"].tolist() == ["猫", " 坐着", "狗", " 跑了"]
    code, _, err = run("items", "câu.csv", "-m", "glass-en")
    assert (code, err) == (
        1,
        "error: 'câu.csv' has no column 'item': it has 'câu', 'loại', 'region_a', 'region_b'; --item names "
        "the one with the items\n",
    )
    code, _, err = run("items", "câu.csv", "-m", "glass-en", "--item", "câu", "--condition", "")
    message = "row 2 of 'câu.csv': the item '一' is there already, in row 1: each occurs once; --skip-bad leaves such rows out"
    assert (code, err) == (1, f"error: {message}\n")


def test_a_table_is_scored_by_passage_with_every_column(run: Run, project: Path, glass: LoadedModel) -> None:
    (project / "a.csv").write_text('id,text,rt,nhóm\nx,The cat sat.,310.5,NA\ny,,1,b\nz,"Con mèo, ngủ.",,c\n', encoding="utf-8")
    code, out, err = run("score", "a.csv", "-m", "glass-en", "--by", "passage")
    assert (code, out) == (1, "")
    assert err == "error: row 2 of 'a.csv' has nothing in column 'text'; --skip-bad leaves such rows out\n"
    code, out, err = run("score", "a.csv", "-m", "glass-en", "--by", "passage", "--skip-bad")
    table = pd.read_csv(io.StringIO(out), keep_default_na=False)
    assert code == 0
    assert "1 of 3 texts of a.csv are left out: row 2 of 'a.csv' has nothing in column 'text'" in err
    assert list(table)[:5] == ["id", "text", "rt", "nhóm", "model"]
    assert table["nhóm"].tolist() == ["NA", "c"]
    for row in table.itertuples():
        alone = tv.score(glass, tv.literal(row.text, name="x"))
        assert float(row.logprob) == pytest.approx(np.nansum(alone.logprob), abs=1e-4)
        assert (int(row.n_tokens), int(row.n_scored)) == (len(alone), int(alone.scored.sum()))
    document = json.loads(run("score", "a.csv", "-m", "glass-en", "--by", "passage", "--skip-bad", "--json")[1])
    assert [one["id"] for one in document["rows"]] == ["x", "z"]
    assert document["skipped"] == ["row 2 of 'a.csv' has nothing in column 'text'"]
    assert run("score", "a.csv", "-m", "glass-en", "--by", "passage", "--skip-bad", "--parquet", "a.parquet")[0] == 0
    assert pd.read_parquet(project / "a.parquet")["id"].tolist() == ["x", "z"]


def test_a_column_that_is_not_there_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("id,sentence\n1,x\n")
    with pytest.raises(
        TextError, match=r"has no column 'text': it has 'id', 'sentence'; --column names the one with the text$"
    ):
        read_passages(path)
    assert len(read_passages(path, column="sentence")) == 1
