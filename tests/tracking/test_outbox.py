"""The outbox: whole or not at all, one process at a time, and nothing torn is taken for whole."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import pytest
from run_records import filled, make_record

from tokenviz.base.errors import DiskError, StoreError
from tokenviz.base.progress import collecting
from tokenviz.tracking.outbox import Claim, Outbox, waiting_stores
from tokenviz.tracking.staged_runs import RunRecord, StagedRun, partial_of


@pytest.fixture
def outbox(tmp_path: Path) -> Outbox:
    return Outbox(tmp_path / "outbox", "a store")


def claim(outbox: Outbox, fingerprint: str = "f") -> Claim:
    claimed = outbox.claim("an experiment", fingerprint)
    assert claimed is not None
    return claimed


def pack(outbox: Outbox, fingerprint: str = "f") -> StagedRun:
    claimed = claim(outbox, fingerprint)
    staged = claimed.pack(filled(make_record(fingerprint, metrics={"m": 0.1 + 0.2})))
    claimed.release()
    return staged


def left_over(outbox: Outbox) -> StagedRun | None:
    claimed = claim(outbox)
    staged = claimed.left_over()
    claimed.release()
    return staged


def test_a_staged_run_comes_back_as_it_was_packed(outbox: Outbox) -> None:
    packed = pack(outbox)
    found = left_over(outbox)
    assert found == packed
    assert found is not None
    assert found.record.metrics["m"] == 0.1 + 0.2
    assert (found.files / "tables" / "a.csv").read_text() == "x\n1\n"


def test_a_cell_is_claimed_by_one_at_a_time(outbox: Outbox) -> None:
    first = claim(outbox)
    assert outbox.claim("an experiment", "f") is None
    claim(outbox, "g").release()
    other = outbox.claim("another experiment", "f")
    assert other is not None
    other.release()
    first.release()
    claim(outbox).release()


def test_nothing_is_left_of_a_claim_that_was_released(outbox: Outbox) -> None:
    claim(outbox).release()
    assert [path.name for path in outbox.folder.iterdir()] == ["store.txt"]


def test_the_claim_of_a_process_that_was_killed_is_free(outbox: Outbox) -> None:
    code = (
        "import os, signal\nfrom pathlib import Path\nfrom tokenviz.tracking.outbox import Outbox\n"
        f"claim = Outbox(Path({str(outbox.folder.parent)!r}), 'a store').claim('an experiment', 'f')\n"
        "assert claim is not None\nos.kill(os.getpid(), signal.SIGKILL)\n"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=120).returncode == -9
    claim(outbox).release()


def test_processes_that_pass_a_claim_on_never_have_it_at_once(outbox: Outbox, tmp_path: Path) -> None:
    counter = tmp_path / "counter"
    counter.write_text("0")
    code = (
        "import time\nfrom pathlib import Path\nfrom tokenviz.tracking.outbox import Outbox\n"
        f"outbox, counter = Outbox(Path({str(outbox.folder.parent)!r}), 'a store'), Path({str(counter)!r})\n"
        "for _ in range(50):\n"
        "    with outbox.claimed('an experiment', 'f', wait=True):\n"
        "        value = int(counter.read_text())\n        time.sleep(0.001)\n        counter.write_text(str(value + 1))\n"
    )
    workers = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(4)]
    assert [worker.wait() for worker in workers] == [0] * 4
    assert counter.read_text() == "200"


def test_a_process_that_dies_while_it_packs_leaves_no_staged_run(outbox: Outbox) -> None:
    def die(files: Path) -> NoReturn:
        (files / "half").write_text("a")
        raise SystemExit

    claimed = claim(outbox)
    with pytest.raises(SystemExit):
        claimed.pack(die)
    claimed.release()
    assert left_over(outbox) is None
    assert outbox.records() == []


@pytest.mark.parametrize("damage", ["table gone", "table torn", "table changed", "slip gone", "slip torn", "another format"])
def test_a_torn_staged_run_is_noticed_and_removed(outbox: Outbox, damage: str) -> None:
    staged = pack(outbox)
    table, record = staged.files / "tables" / "a.csv", staged.folder / "slip.json"
    match damage:
        case "table gone":
            table.unlink()
        case "table torn":
            table.write_text("x\n")
        case "table changed":
            table.write_text("x\n2\n")
        case "slip gone":
            record.unlink()
        case "slip torn":
            record.write_bytes(record.read_bytes()[:-9])
        case "another format":
            record.write_text(record.read_text().replace('"format": 1', '"format": 0'))
    with collecting() as notes:
        assert left_over(outbox) is None
    assert notes == [f"what an interrupted command left in {staged.folder} is torn: it is removed and computed again"]
    assert not staged.folder.exists()


def test_figures_that_were_called_complete_stay(outbox: Outbox) -> None:
    staged = pack(outbox)
    figures_folder = staged.make_figures_folder()
    (figures_folder / "heatmap.png").write_bytes(b"a picture")
    assert not staged.drawn
    staged.attach_figures(figures_folder)
    found = left_over(outbox)
    assert found is not None
    assert found.drawn
    assert (found.files / "figures" / "heatmap.png").read_bytes() == b"a picture"


@pytest.mark.parametrize("damage", ["not called complete", "torn"])
def test_figures_that_are_not_whole_are_taken_away(outbox: Outbox, damage: str) -> None:
    staged = pack(outbox)
    figures_folder = staged.make_figures_folder()
    (figures_folder / "heatmap.png").write_bytes(b"a picture")
    if damage == "torn":
        staged.attach_figures(figures_folder)
        (staged.files / "figures" / "heatmap.png").write_bytes(b"a pic")
    found = left_over(outbox)
    assert found is not None
    assert not found.drawn
    assert {path.name for path in found.folder.iterdir()} == {"slip.json", "files"}
    assert {path.name for path in found.files.iterdir()} == {"tables"}


def test_what_a_process_draws_that_outlives_its_parent_is_not_taken_for_what_is_drawn_anew(outbox: Outbox) -> None:
    staged = pack(outbox)
    old = staged.make_figures_folder()
    new = staged.make_figures_folder()
    (new / "heatmap.png").write_bytes(b"a picture")
    staged.attach_figures(new)
    (old / "heatmap.png").write_bytes(b"half a pic")
    found = left_over(outbox)
    assert found is not None
    assert found.drawn
    assert (found.files / "figures" / "heatmap.png").read_bytes() == b"a picture"
    assert not old.exists()


def test_figures_that_were_packed_with_the_tables_stay(outbox: Outbox) -> None:
    def fill(files: Path) -> RunRecord:
        (files / "figures").mkdir()
        (files / "figures" / "overview.png").write_bytes(b"a picture")
        return filled(make_record(figures=False))(files)

    with outbox.claimed("an experiment", "f") as claimed:
        assert claimed is not None
        claimed.pack(fill)
    found = left_over(outbox)
    assert found is not None
    assert found.drawn
    assert (found.files / "figures" / "overview.png").read_bytes() == b"a picture"


def test_what_waits_is_listed_in_the_order_of_its_making(outbox: Outbox) -> None:
    for fingerprint, ended in (("f", 3), ("g", 1), ("h", 2)):
        with outbox.claimed("an experiment", fingerprint) as claimed:
            assert claimed is not None
            claimed.pack(filled(make_record(fingerprint, ended=ended)))
    assert [record.fingerprint for record in outbox.records()] == ["g", "h", "f"]


def test_stores_do_not_share_staged_runs(outbox: Outbox) -> None:
    pack(outbox)
    other = Outbox(outbox.folder.parent, "another store")
    assert other.records() == []
    with other.claimed("an experiment", "f") as claimed:
        assert claimed is not None
        assert claimed.left_over() is None
    assert waiting_stores(outbox.folder.parent) == {"a store": 1}


def test_a_new_staged_run_takes_the_place_of_the_old(outbox: Outbox) -> None:
    old, new = pack(outbox), pack(outbox)
    assert new.folder == old.folder
    found = left_over(outbox)
    assert found is not None
    assert found.record == replace(old.record, id=new.record.id)


def test_a_removed_staged_run_is_gone(outbox: Outbox) -> None:
    pack(outbox).remove()
    assert left_over(outbox) is None
    assert outbox.records() == []


def test_a_disk_without_room_is_one_line(outbox: Outbox) -> None:
    def fail(files: Path) -> NoReturn:
        raise OSError(28, "No space left on device")

    claimed = claim(outbox)
    with pytest.raises(DiskError, match=r"^cannot keep results in '.*': No space left on device; make room there and repeat"):
        claimed.pack(fail)
    claimed.release()
    assert [path.name for path in outbox.folder.iterdir()] == ["store.txt"]


def test_a_file_in_the_place_of_the_outbox_is_refused(tmp_path: Path) -> None:
    (tmp_path / "outbox").write_text("")
    with pytest.raises(StoreError, match=r"^cannot write the outbox in '.*/outbox/[0-9a-f]{12}': Not a directory$"):
        Outbox(tmp_path / "outbox", "a store").claim("an experiment", "f")


def test_reading_an_outbox_makes_none(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "outbox", "a store")
    assert (outbox.records(), outbox.torn(), outbox.holds("an experiment", "f")) == ([], [], False)
    assert waiting_stores(tmp_path / "outbox") == {}
    assert list(tmp_path.iterdir()) == []


def test_what_dead_processes_left_is_tidied_and_nothing_else(outbox: Outbox) -> None:
    staged = pack(outbox, "waits")
    delivered, half = pack(outbox, "delivered"), pack(outbox, "half packed")
    (delivered.folder / "slip.json").unlink()  # killed while the staged run was being removed
    half.folder.rename(f"{half.folder}.partial")
    (outbox.folder / f"{'0' * 32}.lock").touch()
    with outbox.claimed("an experiment", "at work") as at_work:
        assert at_work is not None
        worked_on = pack(outbox, "other")
        worked_on.folder.rename(partial_of(at_work._folder))
        outbox.tidy()
        assert {path.name for path in outbox.folder.iterdir()} == {
            "store.txt", staged.folder.name, partial_of(at_work._folder).name, f"{at_work._folder.name}.lock",
        }  # fmt: skip
    outbox.tidy()
    assert {path.name for path in outbox.folder.iterdir()} == {"store.txt", staged.folder.name}
    assert staged.folder.is_dir()


@pytest.mark.parametrize("name", ["", "a sto", "another store\n"])
def test_a_torn_name_of_a_store_is_written_anew(outbox: Outbox, name: str) -> None:
    pack(outbox)
    (outbox.folder / "store.txt").write_text(name)
    assert waiting_stores(outbox.folder.parent) == {}
    claim(outbox, "g").release()
    assert waiting_stores(outbox.folder.parent) == {"a store": 1}


def test_a_staged_run_that_nobody_can_read_is_said(outbox: Outbox) -> None:
    staged = pack(outbox)
    assert outbox.torn() == []
    (staged.folder / "slip.json").write_text("{")
    assert outbox.torn() == [staged.folder]
