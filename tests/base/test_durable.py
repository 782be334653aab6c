"""Files are on the disk before they have their names: the order of the calls, wherever something is put in its place."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from run_records import filled, make_record

import tokenviz as tv
from tokenviz.base import disk as durable
from tokenviz.data.scores import TokenScores
from tokenviz.figures.heatmap.files import save_heatmap
from tokenviz.models.cache import build_once
from tokenviz.models.loading import LoadedModel
from tokenviz.tracking.embedded_runs import finish_run
from tokenviz.tracking.repairs import rebuild
from tokenviz.tracking.runs import Runs
from tokenviz.tracking.staged_runs import pack
from tokenviz.tracking.store import open_store


class Disk:
    """Records what is synced and renamed, by what the descriptors and names stand for at that moment."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.synced: dict[tuple[int, int], tuple[int, int]] = {}  # (size, time of change) when it was synced, by file
        self.faults: list[str] = []
        self.placed: list[Path] = []
        self.to_sync: dict[Path, Path] = {}  # folders that were renamed into, by what was put there
        fsync, replace, rename = os.fsync, os.replace, os.rename

        def record_sync(descriptor: int) -> None:
            fsync(descriptor)
            stat = os.fstat(descriptor)
            self.synced[stat.st_dev, stat.st_ino] = (stat.st_size, stat.st_mtime_ns)
            path = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
            self.to_sync = {placed: parent for placed, parent in self.to_sync.items() if parent != path}

        def record_move(move: Callable[..., None]) -> Callable[..., None]:
            def moved(source: str | Path, target: str | Path) -> None:
                self.look(Path(source), Path(target))
                move(source, target)
                self.placed.append(Path(target))
                self.to_sync[Path(target)] = Path(target).resolve().parent

            return moved

        monkeypatch.setattr(os, "fsync", record_sync)
        monkeypatch.setattr(os, "replace", record_move(replace))
        monkeypatch.setattr(os, "rename", record_move(rename))

    def look(self, source: Path, target: Path) -> None:
        for path in [source, *source.rglob("*")]:
            stat = path.stat()
            if self.synced.get((stat.st_dev, stat.st_ino)) != (stat.st_size, stat.st_mtime_ns):
                self.faults.append(f"{path} became {target} before it was synced")


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    return Disk(monkeypatch)


def test_the_recorder_notices_what_is_not_synced(disk: Disk, tmp_path: Path) -> None:
    (tmp_path / "a").write_text("x")
    os.replace(tmp_path / "a", tmp_path / "b")
    assert len(disk.faults) == len(disk.to_sync) == 1


def prepared_model(folder: Path, glass: LoadedModel) -> None:
    def build(scratch: Path) -> None:
        (scratch / "model" / "deep").mkdir(parents=True)
        (scratch / "model" / "deep" / "weights").write_bytes(bytes(5000))

    build_once(folder / "models" / "one", build, needs_bytes=0)


def staged(folder: Path, glass: LoadedModel) -> None:
    staged = pack(folder / "parcel", filled(make_record("f")))
    figures_folder = staged.make_figures_folder()
    (figures_folder / "a.png").write_bytes(b"x")
    staged.attach_figures(figures_folder)


def delivered(folder: Path, glass: LoadedModel) -> None:
    Runs(open_store(), "an experiment", "").keep("f", filled(make_record("f")))


def rebuilt(folder: Path, glass: LoadedModel) -> None:
    delivered(folder, glass)
    for path in (folder / "mlruns").glob("mlflow.db*"):
        path.unlink()
    assert rebuild(lambda place, known: None).count == 1


def saved(folder: Path, glass: LoadedModel) -> None:
    scores = tv.score(glass, "Alice was very tired.")
    scores.save(folder / "scores.parquet")
    assert TokenScores.load(folder / "scores.parquet").token == scores.token
    save_heatmap(scores, folder / "heatmap", formats=["png", "html", "tex"])
    tv.save_report(scores, folder / "report.html")


@pytest.mark.parametrize("work", [prepared_model, staged, delivered, rebuilt, saved])
def test_nothing_has_its_name_before_it_is_on_the_disk(
    project: Path, glass: LoadedModel, disk: Disk, work: Callable[[Path, LoadedModel], None]
) -> None:
    work(project, glass)
    ours = [path for path in disk.placed if path.is_relative_to(project)]
    assert ours
    assert [fault for fault in disk.faults if str(project) in fault and "mlflow.db" not in fault] == []
    assert [
        path for path in disk.to_sync if path.is_relative_to(project) and path.exists() and "mlflow.db" not in path.name
    ] == []


def test_a_run_is_on_the_disk_before_its_database_calls_it_finished(
    project: Path, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = Runs(open_store(), "an experiment", "")
    unsynced: list[Path] = []

    def look(database: Path, run_id: str, ended: int) -> None:
        folder = project / "mlruns" / "artifacts" / runs.experiment_id / run_id
        for path in [folder.parent, folder, *folder.rglob("*")]:
            stat = path.stat()
            if disk.synced.get((stat.st_dev, stat.st_ino)) != (stat.st_size, stat.st_mtime_ns):
                unsynced.append(path)
        assert (folder / "run.json").is_file()
        finish_run(database, run_id, ended)

    monkeypatch.setattr("tokenviz.tracking.runs.finish_run", look)
    runs.keep("f", filled(make_record("f")))
    assert unsynced == []


def test_a_write_that_fails_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    durable.write(tmp_path / "a", "before\r\n")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space left"):
            durable.write(tmp_path / "a", "after")
    assert (tmp_path / "a").read_bytes() == b"before\r\n"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_folder_is_put_in_place_with_what_links_say_left_alone(tmp_path: Path) -> None:
    (tmp_path / "new" / "inner").mkdir(parents=True)
    (tmp_path / "new" / "gone").symlink_to("nowhere")
    assert durable.put(tmp_path / "new", tmp_path / "there") == tmp_path / "there"
    assert (tmp_path / "there" / "gone").is_symlink()
    shutil.rmtree(tmp_path / "there")
