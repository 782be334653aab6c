"""Small ledgers: a text of 40 shards, plans of them, an engine in the process of the test, and an experiment that uses one."""

import json
import random
import re
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from conftest import Run

from tokenviz.data.texts import Text, corpus
from tokenviz.ledger import engines
from tokenviz.ledger.book import Cell, Ledger, open_ledger, plan_ledger
from tokenviz.ledger.engines import Ended
from tokenviz.ledger.worker import work
from tokenviz.models.loading import resolve
from tokenviz.models.spec import ModelSpec

WORDS = [
    "Alice", "was", "beginning", "to", "get", "very", "tired", "of", "sitting", "by", "her", "sister", "on", "the", "bank",
    "你好", "thế", "giới", "nhỏ",
]  # fmt: skip


SETTINGS: dict[str, Any] = {"bos": "auto", "context": None, "stride": None, "top_k": 2}


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tokenviz.scoring.windows.PART_CHARACTERS", 40)
    monkeypatch.setattr("tokenviz.ledger.driver._POLL", 0.01)


@pytest.fixture
def text() -> Text:
    """40 shards of some passages, of which one is empty and two are the same."""
    random.seed(5)
    passages = [" ".join(random.choices(WORDS, k=random.randint(2, 9))) for _ in range(60)]
    return corpus([passages[0], "", *passages, "x" * 90, passages[0]], name="words")


@pytest.fixture
def ledger_of(tmp_path: Path, text: Text):
    """Plan a ledger of models on the text."""

    def plan(*models: str, address: str | None = None, of: Text = text) -> tuple[Ledger, list[Cell]]:
        cells = []
        for number, label in enumerate(models):
            resolved = resolve(ModelSpec.parse(label))
            name = resolved.spec.label
            cells.append(Cell(f"{number}{of.sha256[:20]}", name, resolved.identity, of.name, of.sha256, SETTINGS))
        return plan_ledger(address or str(tmp_path / "ledger"), cells, [of], shard_bytes=60)

    return plan


class InProcess:
    """An engine with one worker, in a thread of this process."""

    def __init__(self) -> None:
        self._threads, self._ended = [], []

    def room(self) -> int:
        return 0

    def start(self, ledger: Ledger, models: Sequence[str]) -> int:
        if self.alive():
            return 0
        self._threads.append(threading.Thread(target=self._work, args=(open_ledger(ledger.address), models[0])))
        self._threads[-1].start()
        return 1

    def _work(self, ledger: Ledger, model: str) -> None:
        try:
            worked = work(ledger, model=model)
            self._ended.append(Ended(0, 3 if worked.failed else 0, ""))
        except Exception as error:  # noqa: BLE001  as a process that ends with its message
            self._ended.append(Ended(0, 1, f"error: {error}"))

    def ended(self) -> list[Ended]:
        found, self._ended = self._ended, []
        return found

    def alive(self) -> int:
        return sum(thread.is_alive() for thread in self._threads)

    def stop(self) -> None:
        for thread in self._threads:
            thread.join()


@pytest.fixture
def local(monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine `local` with its worker in this process: what starts takes seconds."""

    def engine(name: str, workers: int | None) -> InProcess:
        engines.engine_of(name, workers=workers)
        return InProcess()

    monkeypatch.setattr("tokenviz.harness.session.engine_of", engine)


EXPERIMENT = '''from tokenviz import Grid, GridResult, experiment

@experiment
def trial(models: list[str] = ["glass-en"], texts: list[str] = ["words.jsonl"]) -> GridResult:
    """How?

    Args:
        models: Specs.
        texts: Files.
    """
    grid = Grid(models, texts, top_k=2)
    grid.score()
    return grid.summarise("Found.")
'''


@pytest.fixture
def trial(project: Path, text: Text) -> Path:
    (project / "experiments" / "shard_trial.py").write_text(EXPERIMENT)
    lines = [json.dumps({"id": f"p{number}", "text": one}) for number, one in enumerate(text.passages)]
    (project / "words.jsonl").write_text("\n".join(lines))
    return project


def refused(run: Run, *arguments: str) -> str:
    code, out, err = run(*arguments)
    assert (code in (1, 2), out) == (True, "")
    said = " ".join(re.sub(r"[│╭╰─╮╯]", " ", err).split())
    return said.removeprefix("error: ")
