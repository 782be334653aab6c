"""Texts are read exactly as they stand, or refused with the place where it fails."""

import csv
import io
import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hostile import STRINGS
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tokenviz.base.errors import TextError
from tokenviz.base.progress import collecting
from tokenviz.data.texts import corpus, literal, read_text, sample_names

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


# What is wrong with a file, and what is said of it.
REFUSED: list[tuple[str, bytes, str]] = [
    ("binary.txt", b"ab\0cd", "{path} has NUL bytes: it looks like a binary file, not a text"),
    ("latin.txt", "naïve".encode("latin-1"), "{path} is not UTF-8: byte 2 is 0xef; convert it first"),
    ("t.jsonl", b'{"text": "a"}\n{"text": null}\n', "line 2 of {path!r} has nothing in column 'text': a passage is a string"),
    ("t.jsonl", b'{"text": "a"}\n{"text": 3}\n', "line 2 of {path!r} has int in column 'text': a passage is a string"),
    ("t.jsonl", b'{"text": "a"}\n{"text": ["a"]}\n', "line 2 of {path!r} has list in column 'text': a passage is a string"),
    ("t.jsonl", b"\n", "{path!r} is empty: it has no row"),
    ("t.csv", b"text\n", "{path!r} is empty: it has no row"),
    ("t.jsonl", b'{"text": ""}\n{"text": ""}\n', "the text 't' is empty: none of its 2 passages has a character to score"),
    ("t.jsonl", b'{"id": 1, "text": "a"}\n{"text": "b"}\n', "{path!r} names only 1 of its 2 passages in column 'id'"),
    ("t.jsonl", b'{"text": "a"}\n{"text": b}\n', "line 2 of {path!r} is not JSON: Expecting value at column 10"),
    ("t.jsonl", b'["a"]\n', "line 1 of {path!r} is not a JSON object with a column for the text"),
    (
        "t.jsonl", b'{"text": "\\ud800"}\n',
        "line 1 of {path!r} has a lone surrogate at character 0: it is no Unicode text",
    ),
    (
        "t.jsonl", b'{"text": "a"}\n{"text": "b", "id": 1, "text": "c"}\n',
        "line 2 of {path!r} has two keys 'text': which one is meant?",
    ),
    ("t.csv", b"id,text\n1,a\n2,b,c\n", "row 2 of {path!r} has more cells than the header has columns"),
    ("t.csv", b'text\na\n"b"c\n', """{path!r} is not CSV after row 1: ',' expected after '"'"""),
    ("t.csv", b"text,text\na,b\n", "{path!r} has two columns 'text': which one is meant?"),
    ("t.csv", b"id,text\nx,a\nx,b\n", "the passage id 'x' of 't' is given twice: an id names one passage"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "content", "message"), REFUSED)
def test_a_file_that_is_no_text_is_refused(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with refused(message.format(path=str(path))):
        read_text(path)


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    kinds = ".txt, .md, .jsonl or .csv, with .gz or .zst after it where it is compressed, or in .parquet"
    for name in ("paper.pdf", "table.parquet.gz", "a.zip"):
        path = tmp_path / name
        path.write_bytes(b"%PDF")
        with refused(f"cannot read {str(path)!r} as a text: a file ends in {kinds}, or is a folder of them"):
            read_text(str(path))


def test_a_missing_text_is_refused_with_the_samples_named(tmp_path: Path) -> None:
    itself = "; where it is the text itself, give it with -t"
    with refused(f"no text at 'nothing': give a file, a folder, '-' for standard input{itself}"):
        read_text("nothing", samples=tmp_path / "none")
    (tmp_path / "b.txt").write_text("b")
    (tmp_path / "a.md").write_text("a")
    (tmp_path / "README.md").write_text("about")
    with refused(f"no text at 'nothing': give a file, a folder, '-' for standard input; the sample texts are a, b{itself}"):
        read_text("nothing", samples=tmp_path)
    with refused("no text at 'missing.txt': give a file, a folder, '-' for standard input"):  # no sentence ends so
        read_text("missing.txt", samples=tmp_path / "none")
    sentence = "A rose is a rose is a rose, and nothing but a rose, all the year round."
    with refused(f"no text at '{sentence[:60]}...': give a file, a folder, '-' for standard input{itself}"):
        read_text(sentence, samples=tmp_path / "none")


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
    with pytest.raises(TextError, match=r"the sample texts are story; "):
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
    with refused(f"{where} of {str(path)!r} has no column 'text': it has 'id', 'body'; --column names the one with the text"):
        read_text(path)


def test_blank_lines_between_jsonl_rows_are_no_passages(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text('{"text": "a"}\n\n{"text": "b"}\n')
    assert read_text(path).passages == ("a", "b")


def test_a_line_separator_inside_a_json_string_ends_no_line(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text('{"text": "a\u2028b"}\n', encoding="utf-8")
    assert read_text(path).passages == ("a\u2028b",)


def test_ids_that_do_not_match_in_number_are_refused() -> None:
    with refused("1 passage ids were given for 2 passages of 'c'"):
        corpus(["a", "b"], name="c", passage_ids=["1"])


@pytest.mark.parametrize(
    ("line", "reason"), [("[" * 3000, "maximum recursion depth exceeded"), ("9" * 5000, "Exceeds the limit (4300 digits)")]
)
def test_a_line_that_python_does_not_read_is_refused(tmp_path: Path, line: str, reason: str) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text(line)
    with pytest.raises(TextError, match=f"^{re.escape(f'line 1 of {str(path)!r} cannot be read: {reason}')}"):
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


@pytest.mark.parametrize("name", ["text", "id"])
def test_a_time_beyond_the_calendar_is_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"text": ["a"], name: pa.array([2**40], pa.timestamp("s"))}), path)
    with pytest.raises(TextError, match=f"^{re.escape(f'{str(path)!r} has a value that cannot be read: ')}.+$"):
        read_text(path)


def test_the_home_of_nobody_is_no_place() -> None:
    with refused("no text at '~nobody-here/a.txt': give a file, a folder, '-' for standard input"):
        read_text("~nobody-here/a.txt", samples=Path("none"))


def test_a_text_given_as_a_file_is_told_where_it_belongs() -> None:
    with pytest.raises(
        TextError, match=r"cannot be a file \(File name too long\): where it is the text itself, give it with -t"
    ):
        read_text("A sentence that is longer than any name of a file may be. " * 10)
    with pytest.raises(TextError, match=r"cannot be a file \(embedded null byte\): where it is the text itself"):
        read_text("~\0")


def test_a_byte_order_mark_before_a_table_is_no_part_of_its_first_column(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("\ufefftext\n\ufeffone\n", encoding="utf-8")
    (tmp_path / "a.jsonl").write_text('\ufeff{"text": "one"}\n', encoding="utf-8")
    assert read_text(tmp_path / "a.csv").passages == ("\ufeffone",)
    assert read_text(tmp_path / "a.jsonl").passages == ("one",)


def test_a_suffix_may_be_in_capitals(tmp_path: Path) -> None:
    (tmp_path / "A.TXT").write_text("one")
    assert read_text(tmp_path / "A.TXT").passages == ("one",)


HIDDEN = [
    ".b.txt", "._b.txt", "~$b.txt", "~b.md", ".~lock.b.txt", ".#b.txt", ".ipynb_checkpoints/b-checkpoint.txt", ".git/x/b.md",
    "in/.hidden/b.txt", "__MACOSX/in/b.txt",
]  # fmt: skip


def test_a_folders_hidden_files_are_left_out_and_counted(tmp_path: Path) -> None:
    folder = tmp_path / "poems"
    for name in ("b.txt", "in/c.md", *HIDDEN, ".DS_Store", "b.txt~", "#b.txt#", "b.txt.swp"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        # A Mac's copies and locks of office programs are no text at all.
        (folder / name).write_bytes(b"\0\xff" if "b.txt" in name and name != "b.txt" else name.encode())
    with collecting() as notices:
        text = read_text(folder)
    assert text.passage_ids == ("b.txt", "in/c.md")
    assert notices == [f"10 hidden files of {str(folder)!r} are left out: .#b.txt, ._b.txt, .b.txt and 7 more"]
    assert notices[0].warning
    assert read_text(folder / ".git").passage_ids == ("x/b.md",)  # by its name it is meant


def test_a_folder_of_nothing_but_hidden_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / ".a.txt").write_text("a")
    with collecting() as notices, refused(f"the folder {str(tmp_path)!r} has no .txt or .md file that is not hidden"):
        read_text(tmp_path)
    assert notices == [f"1 hidden file of {str(tmp_path)!r} is left out: .a.txt"]


def test_a_hidden_file_is_no_sample(tmp_path: Path) -> None:
    for name in ("story.txt", "._story.txt", "~$story.md"):
        (tmp_path / name).write_text(name)
    assert sample_names(tmp_path) == ["story"]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("suffix", [".txt", ".csv", ".jsonl"])
def test_other_encodings_of_unicode_are_called_by_their_names(tmp_path: Path, encoding: str, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_bytes("id,text\r\n1,Ein Käse für “alle” ohne Löcher.\r\n".encode(encoding))
    name = encoding[:6].upper()
    if encoding == "utf-16-be" and suffix == ".csv":
        assert path.read_bytes()[0] == 0  # no byte-order mark helps
    with refused(f"{path} is {name}, not UTF-8: convert it first, for instance with 'iconv -f {name} -t UTF-8'"):
        read_text(path)


@pytest.mark.parametrize("data", [b"\x7fELF\0\0\0\0", b"\0", b"a\0", b"\0" * 5000, b"ab" * 3000 + b"\0"])
def test_what_has_nul_bytes_otherwise_is_binary(tmp_path: Path, data: bytes) -> None:
    for suffix in (".txt", ".csv", ".jsonl"):
        path = tmp_path / f"a{suffix}"
        path.write_bytes(data)
        with refused(f"{path} has NUL bytes: it looks like a binary file, not a text"):
            read_text(path)


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_a_byte_that_is_no_utf8_is_counted_from_the_beginning_of_a_table(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    line = b'{"text": "a line of some length"}\n'
    path.write_bytes(line * 10_000 + b"\xe9")
    with refused(f"{path} is not UTF-8: byte {len(line) * 10_000} is 0xe9; convert it first"):
        read_text(path, column=line.decode().strip() if suffix == ".csv" else "text")


@TABLES
@pytest.mark.parametrize("name", ["Text", " text", "TEXT", "texts"])
def test_a_column_of_nearly_that_name_is_named(tmp_path: Path, suffix: str, name: str) -> None:
    path = write_table(tmp_path / f"t{suffix}", [{"id": "1", name: "x"}])
    with pytest.raises(TextError, match=f"--column names the one with the text; did you mean {re.escape(repr(name))}\\?$"):
        read_text(path)


def test_a_parquet_column_that_is_given_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.Table.from_arrays([pa.array(["a"]), pa.array(["b"])], names=["text", "text"]), path)
    with refused(f"{str(path)!r} has two columns 'text': which one is meant?"):
        read_text(path)


@pytest.mark.parametrize(("separator", "name"), [(";", "semicolons"), ("\t", "tabs"), ("|", "bars")])
def test_a_csv_that_is_separated_otherwise_is_read_and_named(tmp_path: Path, separator: str, name: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text(f'id{separator}text\n1{separator}"Milk, {separator} honey"\n2{separator}Bread, too\n')
    with collecting() as notices:
        text = read_text(path)
    assert (text.passages, text.passage_ids) == ((f"Milk, {separator} honey", "Bread, too"), ("1", "2"))
    assert notices == [f"{str(path)!r} is separated by {name}, by its first line"]
    with pytest.raises(TextError, match=r"has no column 'body': it has 'id', 'text'; "):
        read_text(path, column="body")


def test_a_semicolon_in_a_heading_or_a_text_separates_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("text,a;b\nMilk; honey,x\n")
    assert read_text(path).passages == ("Milk; honey",)
    path.write_text("text\nMilk; honey\n")
    assert read_text(path).passages == ("Milk; honey",)


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.dictionary(pa.int8(), pa.string())])
def test_a_parquet_text_is_the_same_whatever_its_groups_and_its_kind(tmp_path: Path, kind: pa.DataType) -> None:
    passages = [f"row {i % 7}" for i in range(1000)]
    other = pa.array([2**40] * 1000, pa.timestamp("s"))  # nobody asked for it
    table = pa.table({"text": pa.array(passages).cast(kind), "id": range(1000), "when": other})
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=64)
    text = read_text(tmp_path / "a.parquet")
    assert text.passages == tuple(passages)
    assert text.passage_ids == tuple(map(str, range(1000)))
    assert text.sha256 == sha256(json.dumps(passages).encode()).hexdigest()


@pytest.mark.parametrize("count", [1, 999, 1000, 1001, 2500])
def test_the_sha256_of_a_corpus_is_that_of_its_json(count: int) -> None:
    passages = [f'é "{i}"' for i in range(count)]
    assert corpus(passages, name="c").sha256 == sha256(json.dumps(passages, ensure_ascii=False).encode()).hexdigest()


def test_much_is_said_before_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tokenviz.data.rows.MUCH", 1000)
    monkeypatch.setattr("tokenviz.data.texts.MUCH", 1000)
    monkeypatch.setattr("tokenviz.data.rows._MANY_ROWS", 100)
    rows = [{"text": f"line {i}"} for i in range(200)]
    paths = [write_table(tmp_path / f"t{suffix}", rows) for suffix in (".jsonl", ".csv", ".parquet")]
    plain = tmp_path / "a.txt"
    plain.write_text("x" * 1500)
    with collecting() as notices:
        for path in (*paths, plain, tmp_path):
            read_text(path)
    assert notices == [
        *(f"reading {str(path)!r}: 0 MB" for path in paths[:2]), f"reading {str(paths[2])!r}: 200 rows",
        f"reading {str(plain)!r}: 0 MB", f"reading 1 files of {str(tmp_path)!r}: 0 MB",
    ]  # fmt: skip


def test_reading_reports_its_progress(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: dict[str, float] = {}

    @contextmanager
    def task(description: str, total: float | None, unit: str) -> Iterator[Callable[[float], None]]:
        def advance(amount: float) -> None:
            done[description] = done.get(description, 0) + amount / (total or 1)

        yield advance

    monkeypatch.setattr("tokenviz.data.rows.task", task)
    monkeypatch.setattr("tokenviz.data.texts.task", task)
    rows = [{"text": "x" * 1000} for _ in range(4000)]
    for suffix in (".jsonl", ".csv", ".parquet"):
        read_text(write_table(tmp_path / f"t{suffix}", rows))
    assert {name: round(share, 1) for name, share in done.items()} == {
        "reading t.jsonl": 1.0, "reading t.csv": 1.0, "reading t.parquet": 1.0, "taking the sha256": 3.0,
    }  # fmt: skip
    (tmp_path / "a.txt").write_text("a")
    read_text(tmp_path)
    assert done[f"looking for texts in {tmp_path}"] == 4
    assert done[f"reading {tmp_path.name}"] == 1
