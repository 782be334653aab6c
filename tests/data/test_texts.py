"""Texts are read exactly as they stand, or refused with the place where it fails."""

import csv
import io
import json
import pickle
import re
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from disks import small_disk
from hostile import STRINGS
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tokenviz.base.errors import DiskError, TextError
from tokenviz.base.progress import collecting
from tokenviz.data.passages import Gathering, Passages, repeated
from tokenviz.data.rows import rows_of
from tokenviz.data.sources import source_at
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


# What is wrong with a file, and what is said of it.


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


def test_blank_lines_between_jsonl_rows_are_no_passages(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text('{"text": "a"}\n\n{"text": "b"}\n')
    assert read_text(path).passages == ("a", "b")


def test_a_line_separator_inside_a_json_string_ends_no_line(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text('{"text": "a\u2028b"}\n', encoding="utf-8")
    assert read_text(path).passages == ("a\u2028b",)


def test_a_csv_cell_may_be_long(tmp_path: Path) -> None:
    # Python's csv module stops at 131,072 characters unless it is told otherwise.
    path = tmp_path / "t.csv"
    path.write_text("text\n" + "x" * 200_000 + "\n")
    assert len(read_text(path).passages[0]) == 200_000


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


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_a_byte_that_is_no_utf8_is_counted_from_the_beginning_of_a_table(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    line = b'{"text": "a line of some length"}\n'
    path.write_bytes(line * 10_000 + b"\xe9")
    with refused(f"{path} is not UTF-8: byte {len(line) * 10_000} is 0xe9; convert it first"):
        read_text(path, column=line.decode().strip() if suffix == ".csv" else "text")


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
        "reading t.jsonl": 1.0, "reading t.csv": 1.0, "reading t.parquet": 1.0,
    }  # fmt: skip
    (tmp_path / "a.txt").write_text("a")
    read_text(tmp_path)
    assert done[f"looking for texts in {tmp_path}"] == 4
    assert done[f"reading {tmp_path.name}"] == 1


# Texts whose passages are kept in a scratch file.


def keep_little(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let next to nothing stay in memory."""
    monkeypatch.setattr("tokenviz.data.passages.IN_MEMORY", 0)
    monkeypatch.setattr("tokenviz.data.passages._BLOCK", 50)
    monkeypatch.setattr("tokenviz.data.passages._MOST", 7)


@settings(max_examples=20)
@given(
    passages=st.lists(
        st.text(st.characters(exclude_categories=("Cs",)), max_size=30) | st.just(AWKWARD), min_size=1, max_size=60
    ),
    index=st.integers(-70, 70),
    cut=st.slices(60),
)
def test_passages_in_a_scratch_file_are_those_of_a_tuple(passages: list[str], index: int, cut: slice) -> None:
    with pytest.MonkeyPatch.context() as patch:
        keep_little(patch)
        gathered = Gathering()
        for passage in passages:
            gathered.add(passage)
        (found, digest), whole = gathered.end(), tuple(passages)
    assert isinstance(found, Passages)
    assert (len(found), found.characters) == (len(whole), sum(map(len, whole)))
    assert tuple(found) == tuple(found[i] for i in range(len(found))) == whole
    assert found[cut] == whole[cut]
    if -len(whole) <= index < len(whole):
        assert found[index] == whole[index]
        assert whole[index] in found
    else:
        with pytest.raises(IndexError):
            found[index]
    assert (found == whole, whole == found, found == (*whole, ""), hash(found) == hash(whole)) == (True, True, False, True)
    assert pickle.loads(pickle.dumps(found)) == whole
    assert digest == sha256(json.dumps(passages, ensure_ascii=False).encode()).hexdigest()


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".parquet"])
def test_a_text_in_a_scratch_file_is_the_same_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str) -> None:
    rows = [{"id": f"p{number}", "text": f"{number} times.\n" * (number % 4)} for number in range(100)]
    rows[1]["text"] = AWKWARD
    path = write_table(tmp_path / f"t{suffix}", rows)
    held = read_text(path)
    keep_little(monkeypatch)
    kept = read_text(path)
    assert (type(held.passages), type(kept.passages), type(kept.passage_ids)) == (tuple, Passages, Passages)
    assert kept == held == corpus(list(held.passages), name="t", passage_ids=list(held.passage_ids))
    assert (repr(kept), kept._repr_html_(), kept.characters) == (repr(held), held._repr_html_(), held.characters)
    assert repr(kept.passages) == "<100 passages in a scratch file>"
    spans = [[("first", 0, 1)] if passage else [] for passage in held.passages]
    assert kept.with_spans(spans) == held.with_spans(spans)
    assert list(tmp_path.iterdir()) == [path]


def test_a_long_text_takes_little_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_table(tmp_path / "long.jsonl", [{"text": f"{number} " * 500} for number in range(1000)])
    monkeypatch.setattr("tokenviz.data.passages.IN_MEMORY", 100_000)
    monkeypatch.setattr("tokenviz.data.passages._BLOCK", 20_000)
    tracemalloc.start()
    try:
        text = read_text(path)
        assert sum(len(passage) for passage in text.passages) == text.characters > 1_900_000
        assert tracemalloc.get_traced_memory()[1] < 800_000
    finally:
        tracemalloc.stop()


def test_some_rows_of_a_parquet_file_are_in_memory_however_large_its_groups(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "one_group.parquet"
    passages = [f"{number:05} " + "x" * 800 for number in range(10_000)]
    pq.write_table(pa.table({"text": passages}), path, compression="none", use_dictionary=False, data_page_size=50_000)
    assert (pq.ParquetFile(path).num_row_groups, path.stat().st_size > 8_000_000) == (1, True)
    monkeypatch.setattr("tokenviz.data.rows._BATCH_BYTES", 100_000)
    monkeypatch.setattr("tokenviz.data.rows._STEP", 100_000)
    before, most = pa.total_allocated_bytes(), 0
    for number, (_, row) in enumerate(rows_of(source_at(path), "text")):
        assert row == {"text": passages[number]}
        most = max(most, pa.total_allocated_bytes() - before)
    assert most < 2_000_000


def test_of_names_that_occur_twice_the_first_is_found() -> None:
    assert repeated(["b", "a", "c", "a", "b"]) == "b"
    assert repeated(["b", "a", ""]) is None
    assert repeated([]) is None


def test_a_scratch_folder_without_room_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_table(tmp_path / "long.jsonl", [{"text": "many words " * 500} for _ in range(100)])
    keep_little(monkeypatch)
    with small_disk(tmp_path / "disk", "100k") as disk:
        monkeypatch.setattr("tempfile.tempdir", str(disk))
        place = f"the scratch folder {str(disk)!r}"
        said = f"cannot keep a long text in {place}: No space left on device; name another one with TMPDIR"
        with pytest.raises(DiskError, match=f"^{re.escape(said)}$"):
            read_text(path)
        assert not list(disk.iterdir())
