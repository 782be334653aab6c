"""A text is the same wherever it is and however it is compressed, and what cannot be read is said in one line."""

import base64
import csv
import gzip
import io
import json
import re
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from fsspec.registry import known_implementations
from hub import DataSets, answering

import tokenviz as tv
from tokenviz.base.errors import TextError
from tokenviz.base.progress import collecting
from tokenviz.data.rows import rows_of
from tokenviz.data.sources import Source, source_at
from tokenviz.data.texts import as_it_stands, is_folder, read_text, sample_names

PASSAGES = [
    "\ufeff  e\u0301 café\r\n\ttwo  spaces\u2028次 🐈‍⬛",
    "",
    'a "quoted", cell\nof two lines',
    *(f"line {n}" for n in range(40)),
]


def zstd(data: bytes) -> bytes:
    made = pa.BufferOutputStream()
    with pa.CompressedOutputStream(made, "zstd") as file:
        file.write(data)
    return bytes(made.getvalue())


ROSE = "KLUv/QRYlQAAYEEgcm9zZSBpcyBhLgEA7YoXo3Vd0w=="  # "A rose is a rose is a rose.", by zstd 1.5, with its checksum

PACKED: dict[str, Callable[[bytes], bytes]] = {"": bytes, ".gz": gzip.compress, ".zst": zstd}


def content(kind: str) -> bytes:
    if kind == ".txt":
        return PASSAGES[0].encode()
    if kind == ".jsonl":
        rows = [json.dumps({"id": f"p{n}", "text": one}, ensure_ascii=False) for n, one in enumerate(PASSAGES)]
        return "".join(f"{row}\n" for row in rows).encode()
    if kind == ".csv":
        made = io.StringIO(newline="")
        csv.writer(made).writerows([["id", "text"], *([f"p{n}", one] for n, one in enumerate(PASSAGES))])
        return made.getvalue().encode()
    file = io.BytesIO()
    pq.write_table(pa.table({"id": [f"p{n}" for n in range(len(PASSAGES))], "text": PASSAGES}), file, row_group_size=7)
    return file.getvalue()


def refused(message: str):
    return pytest.raises(TextError, match=f"^{re.escape(message)}$")


@pytest.fixture
def memory() -> Iterator[MemoryFileSystem]:
    files = fsspec.filesystem("memory")
    yield files
    files.store.clear()
    files.pseudo_dirs[:] = [""]


@pytest.mark.parametrize("packing", PACKED)
@pytest.mark.parametrize("kind", [".txt", ".jsonl", ".csv", ".parquet"])
def test_a_text_is_the_same_wherever_it_is_and_however_it_is_compressed(
    tmp_path: Path, memory: MemoryFileSystem, kind: str, packing: str
) -> None:
    if kind == ".parquet" and packing:
        packing = ""
    plain = tmp_path / f"mine{kind}"
    plain.write_bytes(content(kind))
    packed = PACKED[packing](content(kind))
    (tmp_path / f"mine{kind}{packing.upper()}").write_bytes(packed)
    memory.pipe_file(f"/bucket/mine{kind}{packing}", packed)
    expected = read_text(plain)
    assert expected.passages == (tuple(PASSAGES) if kind != ".txt" else (PASSAGES[0],))
    for source in (
        tmp_path / f"mine{kind}{packing.upper()}",
        f"file://{tmp_path}/mine{kind}{packing.upper()}",
        f"memory://bucket/mine{kind}{packing}",
    ):
        text = read_text(source)
        assert (text, text.name) == (expected, "mine")


def test_several_streams_in_one_file_are_one_content(tmp_path: Path) -> None:
    data = content(".jsonl")
    for packing in (".gz", ".zst"):
        path = tmp_path / f"mine.jsonl{packing}"
        path.write_bytes(PACKED[packing](data[:100]) + PACKED[packing](data[100:]))
        assert read_text(path).passages == tuple(PASSAGES)


def test_a_folder_is_the_same_at_an_address_and_with_compressed_files(tmp_path: Path, memory: MemoryFileSystem) -> None:
    here = tmp_path / "poems"
    files = {
        "b.txt": b"two",
        "a.md": b"one",
        "a b.txt": b"six",
        "deep/c.txt": b"three",
        "deep/.hidden/d.txt": b"no",
        "x.png": b"no",
    }
    for name, data in files.items():
        (here / name).parent.mkdir(parents=True, exist_ok=True)
        (here / name).write_bytes(data)
        memory.pipe_file(f"/shelf/poems/{name}", data)
    (here / "deep/c.txt").unlink()
    (here / "deep/c.txt.gz").write_bytes(gzip.compress(b"three"))
    with collecting() as notices:
        texts = [read_text(here), read_text("memory://shelf/poems"), read_text("memory://shelf/poems/")]
    assert texts[0] == texts[1] == texts[2]
    assert (texts[0].name, texts[0].passage_ids) == ("poems", ("a b.txt", "a.md", "b.txt", "deep/c.txt"))
    assert texts[0].passages == ("six", "one", "two", "three")
    assert notices[1] == "1 hidden file of 'memory://shelf/poems' is left out: deep/.hidden/d.txt"
    (here / "deep/c.txt").write_bytes(b"three")
    with collecting(), refused(f"the folder {str(here)!r} has 'deep/c.txt' twice, compressed and as it is: keep one of them"):
        read_text(here)


def test_a_sample_may_be_compressed(tmp_path: Path) -> None:
    (tmp_path / "story.txt.gz").write_bytes(gzip.compress(b"once"))
    assert sample_names(tmp_path) == ["story"]
    assert read_text("story", samples=tmp_path) == tv.literal("once", name="story")


def test_what_is_compressed_is_in_memory_a_piece_at_a_time(tmp_path: Path, memory: MemoryFileSystem) -> None:
    row = (json.dumps({"text": "x" * 10_000}) + "\n").encode()
    for source, packing in ((str(tmp_path / "mine.jsonl.gz"), ".gz"), ("memory://mine.jsonl.zst", ".zst")):
        with fsspec.open(source, "wb") as file:
            file.write(PACKED[packing](row * 1_000))
        tracemalloc.start()
        try:
            assert sum(1 for _ in rows_of(source_at(source), "text")) == 1_000  # 10 MB
            assert tracemalloc.get_traced_memory()[1] < 2e6
        finally:
            tracemalloc.stop()


class Counting(MemoryFileSystem):
    protocol = "counting"
    store: ClassVar[dict[str, object]] = {}
    read = 0

    @classmethod
    def _strip_protocol(cls, path):
        return path.removeprefix("counting:/")

    def _open(self, path, mode="rb", **kwargs):
        file = super()._open(path, mode, **kwargs)
        if mode != "rb":
            return file
        return _Counted(file.getvalue())


class _Counted(io.BytesIO):
    def read(self, size: int | None = -1, /) -> bytes:
        found = super().read(size)
        Counting.read += len(found)
        return found


def test_only_what_is_asked_for_is_fetched_of_a_parquet_file(monkeypatch: pytest.MonkeyPatch) -> None:
    fsspec.register_implementation("counting", Counting, clobber=True)
    monkeypatch.setattr(Counting, "read", 0)
    file = io.BytesIO()
    other = [f"{n:x}" * 200 for n in range(20_000, 24_000)]
    pq.write_table(
        pa.table({"text": ["one", "two"] * 2_000, "other": other}), file, compression="none", use_dictionary=["text"]
    )
    fsspec.filesystem("counting").pipe_file("/mine.parquet", file.getvalue())
    assert read_text("counting://mine.parquet").passages == ("one", "two") * 2_000
    assert 0 < Counting.read < len(file.getvalue()) / 3


def test_progress_is_that_of_the_file_as_it_is_stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: dict[str, list[float]] = {}

    @contextmanager
    def task(description: str, total: float | None, unit: str) -> Iterator[Callable[[float], None]]:
        own = done.setdefault(description, [total or 0.0, 0.0])

        def advance(amount: float) -> None:
            own[1] += amount

        yield advance

    monkeypatch.setattr("tokenviz.data.rows.task", task)
    monkeypatch.setattr("tokenviz.data.rows.MUCH", 4_000)
    rows = b"".join(json.dumps({"text": f"{n * n:x} " * 9}).encode() + b"\n" for n in range(2_000))
    sizes = {}
    with collecting() as notices:
        for name, data in (("a.jsonl.gz", rows), ("b.txt.zst", rows)):
            (tmp_path / name).write_bytes(PACKED[Path(name).suffix](data))
            sizes[name] = (tmp_path / name).stat().st_size
            read_text(tmp_path / name)
    assert done == {f"reading {name}": [size, size] for name, size in sizes.items()}
    assert notices == [f"reading {str(tmp_path / name)!r}: 0 MB, compressed" for name in sizes]


def test_what_is_not_compressed_as_its_name_says_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = content(".jsonl")

    def put(name: str, content: bytes) -> Path:
        (tmp_path / name).write_bytes(content)
        return tmp_path / name

    path = put("a.jsonl.gz", data)
    with refused(f"{str(path)!r} is not gzip, as its name says: it begins with b'{{\"id'"):
        read_text(path)
    path = put("a.txt.gz", zstd(data))
    with refused(f"{str(path)!r} is not gzip, as its name says: it begins with b'(\\xb5/\\xfd', as Zstandard does"):
        read_text(path)
    for name in ("a.txt", "a.jsonl", "a.csv"):
        path = put(name, gzip.compress(data))
        with refused(f"{path} is compressed with gzip: unpack it, or give a file whose name ends in .gz"):
            read_text(path)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(zstd(data))))
    with refused("standard input is compressed with Zstandard: unpack it, or give a file whose name ends in .zst"):
        read_text("-")


def noise(count: int) -> bytes:
    return b"".join(json.dumps({"text": f"{n * n * n:x}"}).encode() + b"\n" for n in range(count))


@pytest.mark.parametrize("packing", [".gz", ".zst"])
@pytest.mark.parametrize("kind", [".jsonl", ".txt"])
def test_what_is_cut_off_or_damaged_is_refused(tmp_path: Path, kind: str, packing: str) -> None:
    path, data = tmp_path / f"a{kind}{packing}", PACKED[packing](noise(3_000))
    for length in (len(data) - 1, len(data) // 2, 20):
        path.write_bytes(data[:length])
        with refused(f"{str(path)!r} ends too early: its end was cut off, as by a download that stopped"):
            read_text(path)
    path.write_bytes(data + b"and more")
    with pytest.raises(TextError, match=f"^{re.escape(f'{str(path)!r} is damaged: ')}[^\n]+$"):
        read_text(path)


def test_content_that_is_not_what_was_compressed_is_refused(tmp_path: Path) -> None:
    path, data = tmp_path / "a.jsonl.gz", gzip.compress(noise(3_000))
    path.write_bytes(data[:5_000] + bytes(byte ^ 0xFF for byte in data[5_000:5_100]) + data[5_100:])
    with pytest.raises(
        TextError, match=f"^{re.escape(f'{str(path)!r} is damaged: Error -3 while decompressing data: ')}[^\n]+$"
    ):
        read_text(path)
    path, data = tmp_path / "a.txt.gz", gzip.compress(b"A rose is a rose.")
    path.write_bytes(data[:-8] + b"\0\0\0\0" + data[-4:])
    with refused(f"{str(path)!r} is damaged: CRC check failed 0x0 != {int.from_bytes(data[-8:-4], 'little'):#x}"):
        read_text(path)
    path, data = tmp_path / "a.txt.zst", base64.b64decode(ROSE)
    path.write_bytes(data)
    assert read_text(path).passages == ("A rose is a rose is a rose.",)
    path.write_bytes(data[:-4] + b"\0\0\0\0")
    with refused(f"{str(path)!r} is damaged: ZSTD decompress failed: Restored data doesn't match checksum"):
        read_text(path)


def test_a_frame_that_refers_back_further_than_is_held_is_refused_with_the_way_out(tmp_path: Path) -> None:
    path = tmp_path / "a.txt.zst"
    path.write_bytes(b"\x28\xb5\x2f\xfd" + bytes([0b00000000, (31 - 10) << 3]) + b"\x01\x00\x00")  # a window of 2 GB
    advice = "'zstd -d --long=31 -c FILE | zstd -o OTHER' writes it again"
    with refused(f"{str(path)!r} refers back over more than 128 MB: {advice}"):
        read_text(path)


@pytest.mark.parametrize("packing", PACKED)
def test_an_empty_file_is_refused_as_one_that_is_not_compressed(tmp_path: Path, packing: str) -> None:
    for data in {b"", PACKED[packing](b"")}:
        (tmp_path / f"a.txt{packing}").write_bytes(data)
        (tmp_path / f"a.csv{packing}").write_bytes(data)
        with refused(f"{tmp_path}/a.txt{packing} is empty: give at least one character to score"):
            read_text(tmp_path / f"a.txt{packing}")
        with refused(f"{str(tmp_path / f'a.csv{packing}')!r} is empty: it has no row"):
            read_text(tmp_path / f"a.csv{packing}")


def test_places_in_messages_are_those_of_the_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, data = tmp_path / "a.jsonl.gz", noise(300)
    path.write_bytes(gzip.compress(data + b'{"text": b}\n'))
    with refused(f"line 301 of {str(path)!r} is not JSON: Expecting value at column 10"):
        read_text(path)
    monkeypatch.setattr("tokenviz.data.rows._STEP", 7)  # a character of two bytes lies across two pieces
    for wrong, byte in ((b"\xe9\n", 0), (b"\xc3\xa9\xc3", 2)):
        path.write_bytes(gzip.compress(data + wrong))
        with refused(f"{path} is not UTF-8: byte {len(data) + byte} is 0x{wrong[byte]:02x}; convert it first"):
            read_text(path)
    path.write_bytes(gzip.compress(data + b"\xe9" + data + b"\0"))
    with refused(f"{path} has NUL bytes: it looks like a binary file, not a text"):
        read_text(path)


class Broken(MemoryFileSystem):
    protocol = "broken"
    store: ClassVar[dict[str, object]] = {}

    @classmethod
    def _strip_protocol(cls, path):
        return path.removeprefix("broken:/")

    def info(self, path, **kwargs):
        if "closed" in path:
            raise PermissionError(13, "Forbidden")
        return {"name": path, "size": 100, "type": "file"}

    def _open(self, path, mode="rb", **kwargs):
        return _Failing(b'{"text": "a"}\n' * 3)


class _Failing(io.BytesIO):
    def read(self, size: int | None = -1, /) -> bytes:
        raise RuntimeError("the connection\nwas reset")


def test_an_address_that_cannot_be_read_is_refused_in_one_line(memory: MemoryFileSystem) -> None:
    fsspec.register_implementation("broken", Broken, clobber=True)
    memory.pipe_file("/bucket/a.pdf", b"%PDF")
    for name in ("a.txt", "none.jsonl.gz"):
        with refused(f"no text at 'memory://nothing/{name}': no such file, folder or bucket"):
            read_text(f"memory://nothing/{name}")
    with pytest.raises(TextError, match=r"^cannot read 'memory://bucket/a\.pdf' as a text: a file ends in "):
        read_text("memory://bucket/a.pdf")
    with refused("cannot read 'broken://closed/a.jsonl': Forbidden"):
        read_text("broken://closed/a.jsonl")
    for name in ("a.jsonl", "a.txt", "a.csv.gz", "a.parquet"):
        with refused(f"cannot read 'broken://open/{name}': the connection was reset"):
            read_text(f"broken://open/{name}")
    with refused("the text's address 'nowhere://a.txt' cannot be used: Protocol not known: nowhere"):
        read_text("nowhere://a.txt")


def test_a_package_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    error = "Please install gcsfs to access Google Storage"
    monkeypatch.setitem(known_implementations, "gs", {"class": "no_gcsfs.Files", "err": error})
    with refused(f"the text 'gs://bucket/a.jsonl' needs a package for gs://: {error}"):
        read_text("gs://bucket/a.jsonl")


def test_an_address_is_no_text_of_its_own(memory: MemoryFileSystem) -> None:
    address = "s3://bucket/a.jsonl.gz"
    with refused(
        f"{address!r} is the name of a file at an address: give read_text({address!r}) for it, or literal({address!r}) for the "
        "word itself"
    ):
        as_it_stands(address)
    assert as_it_stands("See https://example.org/a.txt").passages == ("See https://example.org/a.txt",)


def test_a_signed_link_has_the_name_of_its_file() -> None:
    link = "https://example.org/a/mine.jsonl.gz?signature=x/y.txt"
    source = Source(link, link, object())
    assert (source.name, source.stem, source.suffix, source.packing) == ("mine.jsonl.gz", "mine", ".jsonl", ".gz")
    assert not is_folder(link)


def test_a_folder_at_an_address_is_known_by_its_name(tmp_path: Path) -> None:
    assert is_folder(str(tmp_path))
    assert is_folder("s3://bucket/poems")
    assert not is_folder("s3://bucket/poems.csv.gz")
    assert not is_folder(str(tmp_path / "none"))


def test_tables_of_items_pairs_prompts_and_chats_are_read_the_same_way(tmp_path: Path, memory: MemoryFileSystem) -> None:
    tables = {
        "study.csv": "item,condition,text\n1,a,The cat sleeps.\n2,b,The dogs sleep.\n",
        "pairs.tsv": "good\tbad\nAlice was tired.\tAlice were tired.\n",
        "prompts.csv": "prompt,continuation\nParis is in, France\nParis is in, Italy\n",
    }
    readers: dict[str, Callable[[str], object]] = {
        "study.csv": lambda path: tv.read_items(path).text,
        "pairs.tsv": lambda path: tv.read_pairs(path).text,
        "prompts.csv": lambda path: tv.read_prompts(path).text,
    }
    for name, table in tables.items():
        (tmp_path / name).write_text(table)
        (tmp_path / f"{name}.gz").write_bytes(gzip.compress(table.encode()))
        memory.pipe_file(f"/bucket/{name}.zst", zstd(table.encode()))
        found = [
            readers[name](path) for path in (str(tmp_path / name), str(tmp_path / f"{name}.gz"), f"memory://bucket/{name}.zst")
        ]
        assert found[0] == found[1] == found[2]
    with fsspec.open("memory://bucket/study.parquet", "wb") as file:
        tv.read_items(tmp_path / "study.csv").table.to_parquet(file)
    assert tv.read_items("memory://bucket/study.parquet").text == tv.read_items(tmp_path / "study.csv").text


# A hub: the calls of huggingface_hub's file system, answered by a server of this process.


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, bytes]]:
    files: dict[str, bytes] = {}
    with answering(type("Hub", (DataSets,), {"files": files})) as address:
        monkeypatch.setitem(fsspec.config.conf, "hf", {"endpoint": address})
        yield files


def test_a_data_set_of_a_hub_is_read_through_its_file_system(tmp_path: Path, hub: dict[str, bytes]) -> None:
    for name in ("mine.jsonl", "mine.parquet", "mine.txt"):
        hub[name] = content(Path(name).suffix)
        (tmp_path / name).write_bytes(hub[name])
    hub["mine.csv.gz"] = gzip.compress(content(".csv"))
    for name in ("mine.jsonl", "mine.parquet", "mine.txt"):
        assert read_text(f"hf://datasets/lab/corpus/{name}") == read_text(tmp_path / name)
    assert read_text("hf://datasets/lab/corpus/mine.csv.gz") == read_text(tmp_path / "mine.jsonl")
    with refused("no text at 'hf://datasets/lab/corpus/none.txt': no such file, folder or bucket"):
        read_text("hf://datasets/lab/corpus/none.txt")
    with pytest.raises(TextError, match=r"^no text at 'hf://datasets/lab/other/a\.txt': no such file, folder or bucket"):
        read_text("hf://datasets/lab/other/a.txt")


@pytest.mark.network
def test_a_data_set_of_the_hub() -> None:
    text = read_text("hf://datasets/cornell-movie-review-data/rotten_tomatoes/test.parquet")
    assert len(text.passages) == 1066
    assert text.passages[0].startswith("lovingly photographed in the manner of a golden book")
