"""Texts are read exactly as they stand, or refused with the place where it fails."""

import csv
import io
import json
import re
from hashlib import sha256
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hostile import STRINGS
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tokenviz.errors import TextError
from tokenviz.texts import corpus, literal, read_text

# Everything that reading in text mode, stripping or normalising would change.
AWKWARD = "\ufeff  e\u0301 café\r\n\ttwo  spaces\u2028\u200d\r次 🐈‍⬛ שלום $$ <script>\x1b[31m\n\n "


def refused(message: str):
    return pytest.raises(TextError, match=f"^{re.escape(message)}$")


def test_a_literal_is_kept_as_it_stands() -> None:
    text = literal(AWKWARD, name="mine")
    assert (text.name, text.passages, text.passage_ids) == ("mine", (AWKWARD,), ())
    assert text.sha256 == sha256(AWKWARD.encode()).hexdigest()


def test_a_literal_without_a_name_is_called_by_its_hash() -> None:
    assert literal("abc").name == f"text-{sha256(b'abc').hexdigest()[:8]}"


def test_whitespace_alone_is_a_text() -> None:
    assert literal(" \n").passages == (" \n",)


def test_an_empty_literal_is_refused() -> None:
    with refused("the given text is empty: give at least one character to score"):
        literal("")
    with refused("the text 'x' is empty: give at least one character to score"):
        literal("", name="x")


def test_a_lone_surrogate_is_refused() -> None:
    with refused("the given text has a lone surrogate at character 2: it is no Unicode text"):
        literal("ab\ud800")
    with refused(r"the name 'a\udcff' has a lone surrogate at character 1: it is no Unicode text"):
        literal("ab", name="a\udcff")
    with refused(r"the name '\udcff.txt' has a lone surrogate at character 0: it is no Unicode text"):
        corpus(["a"], name="c", passage_ids=["\udcff.txt"])
    with refused("passage 1 of 'c' has a lone surrogate at character 0: it is no Unicode text"):
        corpus(["a", "\udfff"], name="c")


@pytest.mark.parametrize("suffix", [".txt", ".md"])
def test_a_file_is_kept_byte_for_byte(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"sample{suffix}"
    path.write_bytes(AWKWARD.encode())
    text = read_text(path)
    assert (text.name, text.passages) == ("sample", (AWKWARD,))
    assert text.sha256 == sha256(path.read_bytes()).hexdigest()


@given(passage=st.text(min_size=1, alphabet=st.characters(codec="utf-8", exclude_characters="\0")))
def test_any_text_survives_its_file(tmp_path_factory, passage: str) -> None:
    path = tmp_path_factory.getbasetemp() / "any.txt"
    path.write_bytes(passage.encode())
    assert read_text(path).passages == (passage,)


HOSTILE = st.one_of(st.sampled_from(STRINGS), st.text(st.characters(), max_size=12))  # halves of characters among them


@given(passage=HOSTILE, name=st.none() | HOSTILE)
def test_any_string_is_a_text_as_it_stands_or_refused_in_one_line(passage: str, name: str | None) -> None:
    if not passage or any("\ud800" <= sign <= "\udfff" for sign in passage + (name or "")):
        with pytest.raises(TextError) as caught:
            literal(passage, name=name)
        assert str(caught.value).isprintable()
        return
    text = literal(passage, name=name)
    assert (text.passages, text.sha256) == ((passage,), sha256(passage.encode()).hexdigest())
    assert text.name == (name or f"text-{text.sha256[:8]}")


@given(passages=st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12), min_size=1, max_size=4))
@example(["a\r\nb", "\r", '"', "\u2028", " ", "e\u0301", "\ufeff"])
@settings(max_examples=50, deadline=None)
def test_any_passages_survive_a_table(tmp_path_factory, passages: list[str]) -> None:
    folder = tmp_path_factory.getbasetemp()
    rows = "\n".join(json.dumps({"text": passage}, ensure_ascii=False) for passage in passages)
    (folder / "any.jsonl").write_bytes(rows.encode())
    with (folder / "any.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, quoting=csv.QUOTE_ALL).writerows([["text"], *([passage] for passage in passages)])
    pq.write_table(pa.table({"text": passages}), folder / "any.parquet")
    for suffix in ("jsonl", "csv", "parquet"):
        if any(passages):
            assert read_text(folder / f"any.{suffix}").passages == tuple(passages)
        else:
            with pytest.raises(TextError, match="is empty"):
                read_text(folder / f"any.{suffix}")


def test_standard_input_is_read_as_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(AWKWARD.encode())))
    text = read_text("-")
    assert (text.name, text.passages) == ("stdin", (AWKWARD,))


def test_empty_standard_input_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"")))
    with refused("standard input is empty: give at least one character to score"):
        read_text("-")


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "empty.txt"
    path.touch()
    with refused(f"{path} is empty: give at least one character to score"):
        read_text(path)


def test_a_binary_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "binary.txt"
    path.write_bytes(b"ab\0cd")
    with refused(f"{path} has NUL bytes: it looks like a binary file, not a text"):
        read_text(path)


def test_broken_utf8_is_refused_with_its_place(tmp_path: Path) -> None:
    path = tmp_path / "latin.txt"
    path.write_bytes("naïve".encode("latin-1"))
    with refused(f"{path} is not UTF-8: byte 2 is 0xef; convert it first"):
        read_text(path)


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "paper.pdf"
    path.write_bytes(b"%PDF")
    message = f"cannot read {str(path)!r} as a text: a file ends in .txt, .md, .jsonl, .csv, .parquet, or is a folder of them"
    with refused(message):
        read_text(str(path))


def test_a_missing_text_is_refused_with_the_samples_named(tmp_path: Path) -> None:
    with refused("no text at 'nothing': give a file, a folder, '-' for standard input"):
        read_text("nothing")
    (tmp_path / "b.txt").write_text("b")
    (tmp_path / "a.md").write_text("a")
    (tmp_path / "README.md").write_text("about")
    with refused("no text at 'nothing': give a file, a folder, '-' for standard input; the sample texts are a, b"):
        read_text("nothing", samples=tmp_path)


def test_what_the_system_cannot_read_is_refused_with_its_reason(tmp_path: Path) -> None:
    # Linux refuses to read this file to everybody; a file without permissions would open for root.
    path = Path("/proc/self/mem")
    if not path.exists():
        path = tmp_path / "closed"
        path.touch(mode=0o000)
    link = tmp_path / "unreadable.txt"
    link.symlink_to(path)
    with pytest.raises(TextError, match=f"^{re.escape(f'cannot read {str(link)!r}: ')}.+"):
        read_text(link)


def test_a_sample_is_found_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "story.txt").write_text("once")
    (tmp_path / "README.md").write_text("about")
    assert read_text("story", samples=tmp_path).passages == ("once",)
    with pytest.raises(TextError, match=r"the sample texts are story$"):
        read_text("README", samples=tmp_path)


def test_a_folder_is_its_text_files_in_the_order_of_their_names(tmp_path: Path) -> None:
    folder = tmp_path / "poems"
    (folder / "deep").mkdir(parents=True)
    for name, content in {"b.txt": "two", "a.md": "one", "deep/c.txt": "three", "picture.png": "no"}.items():
        (folder / name).write_text(content)
    text = read_text(folder)
    assert (text.name, text.passages, text.passage_ids) == (
        "poems",
        ("one", "two", "three"),
        ("a.md", "b.txt", "deep/c.txt"),
    )


def test_a_folder_without_texts_is_refused(tmp_path: Path) -> None:
    with refused(f"the folder {str(tmp_path)!r} has no .txt or .md file"):
        read_text(tmp_path)


def write_table(path: Path, rows: list[dict[str, object]]) -> Path:
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    elif path.suffix == ".csv":
        pd.DataFrame(rows).to_csv(path, index=False, lineterminator="\n")
    else:
        pd.DataFrame(rows).to_parquet(path)
    return path


TABLES = pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".parquet"])


@TABLES
def test_a_table_has_one_passage_a_row(tmp_path: Path, suffix: str) -> None:
    passages = [AWKWARD, "", 'a "quoted", cell\nof two lines', "last"]
    path = write_table(tmp_path / f"t{suffix}", [{"id": f"p{i}", "text": p} for i, p in enumerate(passages)])
    text = read_text(path)
    assert (text.name, text.passages, text.passage_ids) == ("t", tuple(passages), ("p0", "p1", "p2", "p3"))
    assert text.sha256 == sha256(json.dumps(passages, ensure_ascii=False).encode()).hexdigest()


@TABLES
def test_a_table_is_read_by_another_column(tmp_path: Path, suffix: str) -> None:
    path = write_table(tmp_path / f"t{suffix}", [{"text": "no", "body": "yes"}])
    assert read_text(path, column="body").passages == ("yes",)


@TABLES
def test_a_table_without_the_column_is_refused(tmp_path: Path, suffix: str) -> None:
    path = write_table(tmp_path / f"t{suffix}", [{"id": "1", "body": "x"}])
    where = {".jsonl": "line 1", ".csv": "row 1", ".parquet": "row 0"}[suffix]
    with refused(f"{where} of {str(path)!r} has no column 'text': it has 'id', 'body'"):
        read_text(path)


@pytest.mark.parametrize(("value", "kind"), [("null", "nothing"), ("3", "int"), ('["a"]', "list")])
def test_a_passage_that_is_no_string_is_refused(tmp_path: Path, value: str, kind: str) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text(f'{{"text": "a"}}\n{{"text": {value}}}\n')
    with refused(f"line 2 of {str(path)!r} has {kind} in column 'text': a passage is a string"):
        read_text(path)


def test_blank_lines_between_jsonl_rows_are_no_passages(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text('{"text": "a"}\n\n{"text": "b"}\n')
    assert read_text(path).passages == ("a", "b")


def test_a_line_separator_inside_a_json_string_ends_no_line(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text('{"text": "a\u2028b"}\n', encoding="utf-8")
    assert read_text(path).passages == ("a\u2028b",)


@pytest.mark.parametrize("suffix", [".jsonl", ".csv"])
def test_a_table_without_rows_is_refused(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"t{suffix}"
    path.write_text("text\n" if suffix == ".csv" else "\n")
    with refused(f"{str(path)!r} is empty: it has no row"):
        read_text(path)


def test_a_table_of_empty_passages_is_refused(tmp_path: Path) -> None:
    path = write_table(tmp_path / "t.jsonl", [{"text": ""}, {"text": ""}])
    with refused("the text 't' is empty: none of its 2 passages has a character to score"):
        read_text(path)


def test_ids_for_some_passages_only_are_refused(tmp_path: Path) -> None:
    path = write_table(tmp_path / "t.jsonl", [{"id": 1, "text": "a"}, {"text": "b"}])
    with refused(f"{str(path)!r} names only 1 of its 2 passages in column 'id'"):
        read_text(path)


def test_ids_that_do_not_match_in_number_are_refused() -> None:
    with refused("1 passage ids were given for 2 passages of 'c'"):
        corpus(["a", "b"], name="c", passage_ids=["1"])


def test_a_line_that_is_not_json_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text('{"text": "a"}\n{"text": b}\n')
    with refused(f"line 2 of {str(path)!r} is not JSON: Expecting value at column 10"):
        read_text(path)


@pytest.mark.parametrize(
    ("line", "reason"), [("[" * 3000, "maximum recursion depth exceeded"), ("9" * 5000, "Exceeds the limit (4300 digits)")]
)
def test_a_line_that_python_does_not_read_is_refused(tmp_path: Path, line: str, reason: str) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text(line)
    with pytest.raises(TextError, match=f"^{re.escape(f'line 1 of {str(path)!r} cannot be read: {reason}')}"):
        read_text(path)


def test_a_line_that_is_no_object_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text('["a"]\n')
    with refused(f"line 1 of {str(path)!r} is not a JSON object with a column for the text"):
        read_text(path)


def test_a_lone_surrogate_in_a_json_string_is_refused_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text('{"text": "\\ud800"}\n')
    with refused(f"line 1 of {str(path)!r} has a lone surrogate at character 0: it is no Unicode text"):
        read_text(path)


def test_a_row_with_too_many_cells_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("id,text\n1,a\n2,b,c\n")
    with refused(f"row 2 of {str(path)!r} has more cells than the header has columns"):
        read_text(path)


def test_a_broken_csv_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text('text\na\n"b"c\n')
    with refused(f"""{str(path)!r} is not CSV after row 1: ',' expected after '"'"""):
        read_text(path)


def test_a_csv_cell_may_be_long(tmp_path: Path) -> None:
    # Python's csv module stops at 131,072 characters unless it is told otherwise.
    path = tmp_path / "t.csv"
    path.write_text("text\n" + "x" * 200_000 + "\n")
    assert len(read_text(path).passages[0]) == 200_000


def test_a_broken_parquet_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    path.write_bytes(b"PAR1 and no more")
    with pytest.raises(TextError, match=f"^{re.escape(f'{str(path)!r} is not a Parquet file: ')}.+$"):
        read_text(path)


@pytest.mark.parametrize("name", ["text", "other"])
def test_a_time_beyond_the_calendar_is_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"text": ["a"]}).append_column(f"{name} time", pa.array([2**40], pa.timestamp("s"))), path)
    with pytest.raises(TextError, match=f"^{re.escape(f'{str(path)!r} has a value that cannot be read: ')}.+$"):
        read_text(path)


def test_the_home_of_nobody_is_no_place() -> None:
    with refused("no text at '~nobody-here/a.txt': give a file, a folder, '-' for standard input"):
        read_text("~nobody-here/a.txt")


def test_a_text_given_as_a_file_is_told_where_it_belongs() -> None:
    with pytest.raises(
        TextError, match=r"cannot be a file \(File name too long\): where it is the text itself, give it with --text"
    ):
        read_text("A sentence that is longer than any name of a file may be. " * 10)
    with pytest.raises(TextError, match=r"cannot be a file \(embedded null byte\): where it is the text itself"):
        read_text("~\0")


def test_a_byte_order_mark_before_a_table_is_no_part_of_its_first_column(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("\ufefftext\n\ufeffone\n", encoding="utf-8")
    (tmp_path / "a.jsonl").write_text('\ufeff{"text": "one"}\n', encoding="utf-8")
    assert read_text(tmp_path / "a.csv").passages == ("\ufeffone",)
    assert read_text(tmp_path / "a.jsonl").passages == ("one",)


def test_two_columns_of_one_name_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text,text\na,b\n")
    with pytest.raises(TextError, match="has two columns 'text': which one is meant"):
        read_text(tmp_path / "a.csv")


def test_an_id_names_one_passage(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,text\nx,a\nx,b\n")
    with pytest.raises(TextError, match="the passage id 'x' of 'a' is given twice: an id names one passage"):
        read_text(tmp_path / "a.csv")


def test_a_suffix_may_be_in_capitals(tmp_path: Path) -> None:
    (tmp_path / "A.TXT").write_text("one")
    assert read_text(tmp_path / "A.TXT").passages == ("one",)
