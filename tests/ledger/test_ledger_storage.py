"""A ledger and texts in object storage: a real server of S3's protocol on this machine."""

import gzip
import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ledgers import SETTINGS, InProcess, ledger_of, small_parts, text  # noqa: F401  fixtures
from tables import assert_same_bits

import tokenviz as tv
from tokenviz.base.errors import TextError
from tokenviz.data.texts import Text
from tokenviz.ledger import driver
from tokenviz.ledger.driver import cell_result, drive
from tokenviz.ledger.storage import Storage
from tokenviz.models.loading import LoadedModel

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # of botocore and moto, of files left open


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[str]:
    pytest.importorskip("moto", reason="a server of S3 for tests is not installed")
    s3fs = pytest.importorskip("s3fs", reason="what reads s3:// is not installed")
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with (tmp_path / "moto.log").open("wb") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "moto.server", "-p", str(port)], stdout=log, stderr=log, env=os.environ
        )
    try:
        deadline = time.monotonic() + 600
        while time.monotonic() < deadline:
            with socket.socket() as one:
                if one.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.2)
        s3fs.S3FileSystem.clear_instance_cache()
        s3fs.S3FileSystem().mkdir("studies")
        yield "s3://studies/one"
    finally:
        server.terminate()
        server.wait()


def test_of_many_writers_of_one_object_the_first_wins(bucket: str) -> None:
    storage = Storage(bucket)
    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(lambda number: storage.add("results/a", str(number).encode()), range(8)))
    assert won.count(True) == 1
    assert storage.read("results/a") == str(won.index(True)).encode()
    assert storage.names("results") == {"a"}
    written = storage.written("results/a")
    assert written is not None
    assert abs(written - time.time()) < 60
    storage.remove("results/a")
    assert storage.read("results/a") is None
    assert storage.written("results/a") is None
    assert not storage.exists("results/a")
    storage.remove("results/a")


def test_a_ledger_in_object_storage_has_the_bits_of_one_score(
    glass: LoadedModel, ledger_of, text: Text, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(driver, "_POLL_REMOTE", 0.2)
    ledger, (cell,) = ledger_of("glass-en", address=bucket)
    drive(ledger, [cell], InProcess())
    assert_same_bits(cell_result(ledger, cell, text).scores, tv.score(glass, text, **SETTINGS))
    assert ledger.storage.names(f"claims/{cell.fingerprint}") == set()
    assert ledger.storage.names("workers") == set()


def test_texts_are_read_from_object_storage(bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import s3fs

    rows = "".join(json.dumps({"text": f"A line of some length, number {number}."}) + "\n" for number in range(3_000)).encode()
    plain = tmp_path / "corpus.jsonl"
    plain.write_bytes(rows)
    expected, files = tv.read_text(plain), s3fs.S3FileSystem()
    files.pipe_file("studies/corpus.jsonl", rows)
    files.pipe_file("studies/corpus.jsonl.gz", gzip.compress(rows))
    for name in ("corpus.jsonl", "corpus.jsonl.gz"):
        assert tv.read_text(f"s3://studies/{name}") == expected
    pq.write_table(pa.table({"text": list(expected.passages)}), tmp_path / "corpus.parquet", row_group_size=100)
    files.put_file(str(tmp_path / "corpus.parquet"), "studies/corpus.parquet")
    assert tv.read_text("s3://studies/corpus.parquet") == expected
    files.pipe_file("studies/poems/b.txt", b"two")
    files.pipe_file("studies/poems/deep/a.md.gz", gzip.compress(b"one"))
    assert tv.read_text("s3://studies/poems").passage_ids == ("b.txt", "deep/a.md")
    for address in ("s3://studies/none.txt", "s3://no-such-bucket/a.jsonl.gz"):
        with pytest.raises(TextError, match=f"^no text at '{re.escape(address)}': no such file, folder or bucket"):
            tv.read_text(address)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    s3fs.S3FileSystem.clear_instance_cache()
    with pytest.raises(TextError, match=r"^cannot read 's3://studies/corpus\.jsonl': Unable to locate credentials$"):
        tv.read_text("s3://studies/corpus.jsonl")
