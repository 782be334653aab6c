"""The ledger: shards scored by any number of workers give what one process gives, whatever happens to them."""

import json
import os
import random
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pyarrow.parquet as pq
import pytest
from arithmetic import BIGRAM_WEIGHTS, make_bigram_folder
from conftest import Run
from disks import read_only, small_disk
from fsspec.implementations.local import LocalFileSystem
from hypothesis import given
from hypothesis import strategies as st
from ledgers import SETTINGS, InProcess, ledger_of, local, refused, small_parts, text, trial  # noqa: F401  fixtures
from safetensors.torch import load_file, save_file
from tables import assert_same_bits

import tokenviz as tv
from tokenviz.base.errors import LedgerError, ModelError
from tokenviz.data.scores import UNREAD, TokenScores
from tokenviz.data.texts import Text, corpus
from tokenviz.ledger import claims, driver
from tokenviz.ledger.book import Cell, Ledger, cut_shards, open_ledger, result_name
from tokenviz.ledger.claims import Beacon
from tokenviz.ledger.driver import cell_result, drive
from tokenviz.ledger.shard_scores import read_footer
from tokenviz.ledger.worker import _Worker, work
from tokenviz.models.loading import LoadedModel
from tokenviz.scoring.windows import parts_of


@pytest.fixture
def bigrams(tmp_path: Path) -> tuple[str, str]:
    folders = (tmp_path / "first", tmp_path / "second")
    make_bigram_folder(folders[0], BIGRAM_WEIGHTS)
    make_bigram_folder(folders[1], BIGRAM_WEIGHTS[::-1].copy())
    return str(folders[0]), str(folders[1])


@given(st.lists(st.text(max_size=30), min_size=1, max_size=30), st.integers(1, 60), st.integers(1, 120))
def test_shards_hold_every_passage_once_and_are_made_of_whole_parts(passages: list[str], part: int, size: int) -> None:
    shards = cut_shards(passages, shard_bytes=size, part_characters=part)
    assert [number for shard in shards for number in range(shard.begin, shard.end)] == list(range(len(passages)))
    whole = list(parts_of(passages, part))
    ends = {end for _, end in whole}
    assert {shard.end for shard in shards} <= ends
    for shard in shards:  # a shard's own parts are those of the whole
        own = [(shard.begin + begin, shard.begin + end) for begin, end in parts_of(passages[shard.begin : shard.end], part)]
        assert own == [one for one in whole if shard.begin <= one[0] < shard.end]
        many = len(own) > 1
        assert not many or sum(len(one.encode()) for one in passages[shard.begin : shard.end]) <= size


def test_no_part_has_only_empty_passages_and_a_long_passage_is_a_part_by_itself() -> None:
    assert list(parts_of(["", "a" * 50, "", "b", "c" * 9], 10)) == [(0, 3), (3, 5)]
    assert list(parts_of(["ab", "cd", "ef"], 4)) == [(0, 2), (2, 3)]


def test_what_comes_after_does_not_move_a_shard(text: Text) -> None:
    few = cut_shards(text.passages[:30], shard_bytes=60, part_characters=40)
    many = cut_shards(text.passages, shard_bytes=60, part_characters=40)
    assert len(many) >= 40
    assert few[:-1] == many[: len(few) - 1]


def test_shards_have_the_bits_of_one_score_whoever_scored_which(
    glass: LoadedModel, ledger_of, text: Text, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger, (cell,) = ledger_of("glass-en")
    with monkeypatch.context() as patch:
        patch.setattr("tokenviz.ledger.worker._Worker._claim", _few(9))
        with pytest.raises(LedgerError, match=r"^enough$"):
            work(ledger)
    drive(ledger, [cell], InProcess())
    found = cell_result(ledger, cell, text)
    expected = tv.score(glass, text, **SETTINGS)
    assert_same_bits(found.scores, expected)
    assert found.missing == {}
    assert found.seconds > 0
    contents = {shard.sha256 for shard in ledger.shards(text.sha256)}
    assert ledger.done(cell) == contents
    footers = [read_footer(ledger, cell, one) for one in contents]
    assert len({footer.worker for footer in footers}) == 2
    by_content = {footer.shard: footer for footer in footers}
    sums = [by_content[shard.sha256].sums for shard in ledger.shards(text.sha256)]
    scored = expected.logprob[expected.scored]
    assert sum(one["logprob"] for one in sums) == pytest.approx(scored.sum(), rel=1e-12)
    assert sum(one["logprob_squared"] for one in sums) == pytest.approx((scored**2).sum(), rel=1e-12)
    assert sum(one["first_choices"] for one in sums) == (expected.rank == 1).sum()


def test_the_spans_of_a_text_are_in_its_table(glass: LoadedModel, ledger_of, text: Text) -> None:
    text = text.with_spans([[("start", 0, min(3, len(one)))] if one else [] for one in text.passages])
    ledger, (cell,) = ledger_of("glass-en", of=text)
    work(ledger)
    found = cell_result(ledger, cell, text).scores
    assert found.spans == text.spans
    assert_same_bits(found, tv.score(glass, text, **SETTINGS))


def test_the_file_of_one_score_has_the_same_bits(glass: LoadedModel, ledger_of, text: Text, tmp_path: Path) -> None:
    from tokenviz.scoring.scorer import score_to_file

    ledger, (cell,) = ledger_of("glass-en")
    work(ledger)
    score_to_file(glass, text, tmp_path / "t.parquet", **SETTINGS)
    assert_same_bits(cell_result(ledger, cell, text).scores, TokenScores.load(tmp_path / "t.parquet"))


def test_a_worker_takes_another_model_when_its_own_has_no_open_shard(ledger_of, bigrams: tuple[str, str]) -> None:
    letters = corpus(["abcd" * 10, "dcba" * 10, "aabb" * 10], name="letters")
    ledger, cells = ledger_of(*bigrams, of=letters)
    worked = work(ledger, model=bigrams[1])
    assert (worked.shards, worked.failed, worked.left) == (6, 0, 0)
    for cell in cells:
        expected = tv.score(cell.model, letters, **SETTINGS)
        assert_same_bits(cell_result(ledger, cell, letters).scores, expected)
    assert work(ledger).shards == 0  # nothing is open


def test_a_model_that_the_ledger_does_not_have_is_said(ledger_of) -> None:
    ledger, _ = ledger_of("glass-en")
    message = f"the ledger {ledger.address!r} has no model 'gpt2': it has glass-en"
    with pytest.raises(LedgerError, match=f"^{re.escape(message)}$"):
        work(ledger, model="gpt2")


def test_another_model_of_the_same_name_is_refused(ledger_of, bigrams: tuple[str, str]) -> None:
    ledger, _ = ledger_of(bigrams[0])
    make_bigram_folder(Path(bigrams[0]), BIGRAM_WEIGHTS * [1, 1, 1, 2])
    message = r"^the model '.*first' of this machine \(sha256:.*\) is not the ledger's \(.*copy the one"
    with pytest.raises(ModelError, match=message):
        work(ledger)


def poisoned_folder(folder: Path) -> Path:
    """A bigram model whose logits overflow after a "c"."""
    make_bigram_folder(folder, BIGRAM_WEIGHTS)
    weights = load_file(folder / "model.safetensors")
    weights["model.layers.0.mlp.gate_proj.weight"][0, 2] = 3e38
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def test_a_passage_that_cannot_be_scored_is_a_row_with_its_reason(
    ledger_of, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model = str(poisoned_folder(tmp_path / "poisoned"))
    letters = corpus(["ab" * 5, "abca", "ba", "", "ab" * 15, "bb"], name="letters")
    ledger, (cell,) = ledger_of(model, of=letters)
    worked = work(ledger)
    assert worked.failed == 0
    assert f"{cell.model} on letters: 1 passage cannot be scored: " in caplog.text
    found = cell_result(ledger, cell, letters)
    assert list(found.missing) == [1]
    assert "passage 0, token 3: the model's logits are NaN or infinite" in found.missing[1]
    scores = found.scores
    rows = np.flatnonzero(scores.passage == 1)
    assert [scores.token[row] for row in rows] == ["abca"]
    assert (scores.token_id[rows], scores.n_bytes[rows]) == ([UNREAD], [4])
    assert np.isnan(scores.logprob[rows]).all()
    assert np.array_equal(np.unique(scores.passage), [0, 1, 2, 4, 5])
    assert (np.diff(scores.passage) >= 0).all()
    rest = corpus(["ab" * 5, "", "ba", "", "ab" * 15, "bb"], name="letters")
    expected = tv.score(model, rest, **SETTINGS)
    assert scores.logprob[scores.passage != 1].tobytes() == expected.logprob.tobytes()


def test_a_shard_that_fails_on_three_workers_is_set_aside_and_the_rest_completes(
    ledger_of, bigrams: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    letters = corpus(["ab" * 20, "cd" * 20, "aa" * 20], name="letters")
    ledger, (cell,) = ledger_of(bigrams[0], of=letters)
    from tokenviz.scoring import scorer

    whole = scorer._score_part

    def part(model: Any, text: Text, **settings: Any) -> TokenScores:
        if "cdcd" in text.passages[0]:
            raise RuntimeError("the device has gone")
        return whole(model, text, **settings)

    monkeypatch.setattr(scorer, "_score_part", part)
    drive(ledger, [cell], InProcess())
    assert list(ledger.set_aside(cell).values()) == ["RuntimeError: the device has gone"]
    found = cell_result(ledger, cell, letters)
    assert (found.missing, found.n_failed) == ({1: "RuntimeError: the device has gone"}, 1)
    assert found.scores.token[20 * 2] == "cd" * 20
    monkeypatch.setattr(scorer, "_score_part", whole)  # another command tries again
    drive(ledger, [cell], InProcess())
    assert_same_bits(cell_result(ledger, cell, letters).scores, tv.score(bigrams[0], letters, **SETTINGS))


def test_workers_that_end_without_a_shard_end_the_driver_with_their_words(ledger_of, bigrams: tuple[str, str]) -> None:
    letters = corpus(["ab" * 20], name="letters")
    ledger, (cell,) = ledger_of(bigrams[0], of=letters)
    make_bigram_folder(Path(bigrams[0]), BIGRAM_WEIGHTS * [1, 1, 1, 2])
    message = "3 workers ended one after the other without finishing a shard: error: the model "
    with pytest.raises(LedgerError, match=rf"^{message}.*what is done stays, and the same command goes on from there$"):
        drive(ledger, [cell], InProcess())


def test_a_torn_or_foreign_file_is_moved_aside_and_its_shard_scored_again(glass: LoadedModel, ledger_of, text: Text) -> None:
    ledger, (cell,) = ledger_of("glass-en")
    work(ledger)
    shards = sorted(ledger.done(cell))[:6]
    half, empty, other_parquet, other_shard, changed, whole = (
        Path(ledger.storage.path(result_name(cell, shard))) for shard in shards
    )
    metadata = pq.read_metadata(changed).metadata
    table = pq.read_table(changed)
    values = table["logprob"].to_pylist()
    table = table.set_column(table.schema.get_field_index("logprob"), "logprob", [[value - 1 for value in values]])
    with pq.ParquetWriter(changed, table.schema) as writer:
        writer.write_table(table)
        writer.add_key_value_metadata({key: value for key, value in metadata.items() if b"shard" in key})
    damaged = [changed.read_bytes()]
    with pytest.raises(LedgerError, match=r"is not what its footer says: repeat the command"):
        cell_result(ledger, cell, text)
    assert not changed.exists()
    half.write_bytes(half.read_bytes()[: half.stat().st_size // 2])
    empty.write_bytes(b"")
    pq.write_table(pq.read_table(other_parquet).replace_schema_metadata({}), other_parquet)
    other_shard.write_bytes(whole.read_bytes())
    damaged += [path.read_bytes() for path in (half, empty, other_parquet, other_shard)]
    whole.with_name("notes.txt").write_text("mine")
    whole.with_name("notes.parquet").write_text("mine")
    drive(ledger, [cell], InProcess())
    assert_same_bits(cell_result(ledger, cell, text).scores, tv.score(glass, text, **SETTINGS))
    assert whole.with_name("notes.parquet").read_text() == "mine"
    aside = [path.read_bytes() for path in Path(ledger.address, "torn", cell.fingerprint).iterdir()]
    assert sorted(aside) == sorted(damaged)


def test_what_a_ledger_lacks_or_holds_torn_is_one_line(ledger_of, text: Text) -> None:
    ledger, (cell,) = ledger_of("glass-en")
    (shard, *_) = ledger.shards(text.sha256)
    passages, about = f"texts/{text.sha256}/{shard.sha256}.json.gz", f"texts/{text.sha256}.json"
    where = f"of the ledger {ledger.address!r}"

    def refuses(call: Callable[[Ledger], object], message: str) -> None:
        with pytest.raises(LedgerError) as error:
            call(open_ledger(ledger.address))
        assert str(error.value) == message

    place = Path(ledger.address)
    (place / passages).write_bytes((place / passages).read_bytes()[:-9])
    again = "repeat the command that planned it"
    refuses(lambda one: one.passages(text.sha256, shard), f"{passages!r} {where} is torn: {again}")
    (place / passages).unlink()
    refuses(lambda one: one.passages(text.sha256, shard), f"{passages!r} {where} is missing: {again}")
    (place / about).write_text("{")
    refuses(lambda one: one.shards(text.sha256), f"{about!r} {where} is torn: remove it and repeat the command")
    (place / about).unlink()
    refuses(
        lambda one: one.shards(text.sha256), f"the ledger {ledger.address!r} lacks the text {text.sha256[:12]}: copy it whole"
    )
    (place / "cells" / f"{cell.fingerprint}.json").write_text("{}")
    with pytest.raises(
        LedgerError, match=rf"^the ledger '{re.escape(ledger.address)}' holds a cell of another version: .*missing"
    ):
        ledger.cells()


def test_shards_from_several_machines_name_all_devices_and_are_refused_where_they_do_not_fit(ledger_of, text: Text) -> None:
    ledger, (cell,) = ledger_of("glass-en")
    work(ledger)
    path = Path(ledger.storage.path(result_name(cell, min(ledger.done(cell)))))

    def says(**settings: str) -> None:
        metadata = {key: value for key, value in pq.read_metadata(path).metadata.items() if key != b"ARROW:schema"}
        about = json.loads(metadata[b"tokenviz"])
        metadata[b"tokenviz"] = json.dumps({**about, "spec": about["spec"] | settings}).encode()
        pq.write_table(pq.read_table(path).replace_schema_metadata(metadata), path)

    says(device="cuda")
    assert cell_result(ledger, cell, text).scores.spec.device == "cpu and cuda"
    says(batching="padded")
    with pytest.raises(LedgerError) as error:
        cell_result(ledger, cell, text)
    assert str(error.value) == (
        "the shards of 'words' by 'glass-en' were computed in ways that do not fit together (batching, head or model): give a "
        "ledger of its own to each kind of machine"
    )


def test_a_text_of_which_no_shard_can_be_scored_is_refused_with_the_reason(
    ledger_of, bigrams: tuple[str, str], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from tokenviz.scoring import scorer

    letters = corpus(["ab" * 20], name="letters")
    ledger, (cell,) = ledger_of(bigrams[0], of=letters)

    def part(model: Any, text: Text, **settings: Any) -> TokenScores:
        raise RuntimeError("the device has gone")

    monkeypatch.setattr(scorer, "_score_part", part)
    caplog.set_level("INFO")
    for _ in range(2):
        drive(ledger, [cell], InProcess())
    assert "trying again what an earlier command set aside: 1 shard" in caplog.text
    message = f"no shard of 'letters' could be scored by {cell.model!r}: RuntimeError: the device has gone"
    with pytest.raises(LedgerError, match=f"^{re.escape(message)}$"):
        cell_result(ledger, cell, letters)


class Flaky(LocalFileSystem):
    """A file system that fails one call in ten, some of them after they have done their work."""

    protocol = "flaky"
    cachable = False
    calls = failed = 0

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return super()._strip_protocol(path.removeprefix("flaky://"))

    def _sometimes(self, late: bool = False) -> None:
        if not late:
            Flaky.calls += 1
        if random.random() < 0.05:
            Flaky.failed += 1
            raise OSError(5, "the store has hiccups")


def _flaky(name: str) -> Any:
    def call(self: Flaky, *arguments: Any, **named: Any) -> Any:
        self._sometimes()
        found = getattr(LocalFileSystem, name)(self, *arguments, **named)
        self._sometimes(late=True)
        return found

    return call


for _name in ("ls", "cat_file", "pipe_file", "exists", "modified", "rm_file", "get_file"):
    setattr(Flaky, _name, _flaky(_name))


@pytest.mark.slow
def test_a_store_that_fails_one_call_in_ten_costs_nothing(
    glass: LoadedModel, ledger_of, text: Text, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fsspec.register_implementation("flaky", Flaky, clobber=True)
    monkeypatch.setattr("tokenviz.ledger.storage._WAITS", 0.001)
    monkeypatch.setattr(driver, "_POLL_REMOTE", 0.01)
    monkeypatch.setattr(Flaky, "makedirs_before", True, raising=False)
    monkeypatch.setattr("tokenviz.ledger.claims.REFRESHED", 0.05)
    (tmp_path / "flaky").mkdir()
    ledger, (cell,) = ledger_of("glass-en", address=f"flaky://{tmp_path}/flaky")
    assert not ledger.storage.is_local
    drive(ledger, [cell], InProcess())
    assert_same_bits(cell_result(ledger, cell, text).scores, tv.score(glass, text, **SETTINGS))
    assert Flaky.failed > 0.07 * Flaky.calls > 20


@pytest.mark.slow
def test_a_ledger_in_memory_or_any_other_file_system_is_one(glass: LoadedModel, ledger_of, text: Text) -> None:
    ledger, (cell,) = ledger_of("glass-en", address="memory://ledgers/one")
    work(ledger)
    assert_same_bits(cell_result(ledger, cell, text).scores, tv.score(glass, text, **SETTINGS))


def test_a_claim_counts_for_five_minutes_by_the_clock_of_the_files(ledger_of) -> None:
    ledger, (cell,) = ledger_of("glass-en")
    (shard, *_) = ledger.shards(cell.text_sha256)
    with Beacon(ledger.storage) as mine, Beacon(ledger.storage) as other:
        other._about["machine"] = "another machine"
        assert other.claim(cell.fingerprint, shard.sha256)
        path = Path(ledger.storage.path(other._claim))
        assert mine.fresh(cell.fingerprint, shard.sha256, other.name)
        for age, counts in ((290, True), (-290, True), (310, False), (3600, False), (-3600, False)):
            other._write_claim()
            os.utime(path, (time.time() - age, time.time() - age))
            assert mine.fresh(cell.fingerprint, shard.sha256, other.name) is counts, age


def test_an_hour_between_two_clocks_does_not_matter(ledger_of, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a worker's own clock says is never compared with another's."""
    ledger, (cell,) = ledger_of("glass-en")
    (shard, *_) = ledger.shards(cell.text_sha256)
    with Beacon(ledger.storage) as late:
        late._about["machine"] = "another machine"
        monkeypatch.setattr(claims.time, "time", lambda: time.monotonic() + 3600)
        assert late.claim(cell.fingerprint, shard.sha256)
        with Beacon(ledger.storage) as mine:
            assert mine.fresh(cell.fingerprint, shard.sha256, late.name)
            assert list(mine.alive()) == [late.name]


def test_the_claim_of_a_dead_process_of_this_machine_does_not_count(ledger_of) -> None:
    ledger, (cell,) = ledger_of("glass-en")
    (shard, *_) = ledger.shards(cell.text_sha256)
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    with Beacon(ledger.storage) as mine:
        name = f"claims/{cell.fingerprint}/{shard.sha256}.host-{child}-dead"
        ledger.storage.replace(name, json.dumps({**mine._about, "pid": child}).encode())
        assert not mine.fresh(cell.fingerprint, shard.sha256, f"host-{child}-dead")
        assert not ledger.storage.exists(name)


def test_a_claim_is_refreshed_and_goes_with_its_worker(ledger_of, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims, "REFRESHED", 0.02)
    ledger, (cell,) = ledger_of("glass-en")
    (shard, *_) = ledger.shards(cell.text_sha256)
    with Beacon(ledger.storage) as mine:
        assert mine.claim(cell.fingerprint, shard.sha256)
        path = Path(ledger.storage.path(mine._claim))
        os.utime(path, (0, 0))
        deadline = time.monotonic() + 10
        while path.stat().st_mtime < 1 and time.monotonic() < deadline:
            time.sleep(0.02)
        assert path.stat().st_mtime > 1
    assert not path.exists()
    assert ledger.storage.names("workers") == set()


def test_a_worker_looks_at_few_of_the_claims_of_many_others(ledger_of, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger, (cell,) = ledger_of("glass-en")
    shards = sorted({shard.sha256 for shard in ledger.shards(cell.text_sha256)})
    with Beacon(ledger.storage) as beacon, Beacon(ledger.storage) as other:
        for shard in shards[::2]:
            ledger.storage.replace(f"claims/{cell.fingerprint}/{shard}.{other.name}", json.dumps(other._about).encode())
        asked: list[str] = []
        fresh = beacon.fresh
        monkeypatch.setattr(beacon, "fresh", lambda cell, shard, worker: asked.append(shard) or fresh(cell, shard, worker))
        free = next(_Worker(ledger, beacon, None)._candidates(cell))
        assert free.sha256 not in shards[::2]
        assert len(asked) < len(shards) / 4
        assert {shard.sha256 for shard in _Worker(ledger, beacon, None)._candidates(cell)} == set(shards[1::2])


def test_of_two_that_claim_at_once_one_gives_way(ledger_of) -> None:
    ledger, (cell,) = ledger_of("glass-en")
    (shard, *_) = ledger.shards(cell.text_sha256)
    with Beacon(ledger.storage) as a, Beacon(ledger.storage) as b:
        first, second = sorted([a, b], key=lambda one: one.name)
        for one in (first, second):
            one._claim = f"claims/{cell.fingerprint}/{shard.sha256}.{one.name}"
            one._write_claim()
        assert first.claim(cell.fingerprint, shard.sha256)
        assert not second.claim(cell.fingerprint, shard.sha256)


def test_a_file_is_put_in_its_place_once(tmp_path: Path) -> None:
    from tokenviz.ledger.storage import Storage

    for address in (str(tmp_path / "here"), "memory://there"):
        storage = Storage(address)
        assert storage.add("a/b", b"one")
        assert not storage.add("a/b", b"two")
        assert storage.read("a/b") == b"one"
        assert storage.names("a") == {"b"}


# --- through an experiment's command


@pytest.mark.slow
def test_an_experiment_by_ledger_makes_the_runs_of_one_without(run: Run, trial: Path, local: None) -> None:
    code, out, _ = run("run", "shard_trial", "--json", "--engine", "local", "--ledger", "shards", "--shard-bytes", "60")
    assert code == 0
    by_ledger = json.loads(out)
    assert by_ledger["missing"] == 0
    found = next((trial / "mlruns").rglob("tokens.parquet")).read_bytes()
    code, out, _ = run("run", "shard_trial", "--json")
    assert json.loads(out)["scores"][0]["reused"]  # the fingerprint is that of a plain run
    assert json.loads(out)["summary_run_id"] == by_ledger["summary_run_id"]
    code, out, _ = run("run", "shard_trial", "--json", "--force")
    tables = [path.read_bytes() for path in (trial / "mlruns").rglob("tokens.parquet")]
    assert (len(tables), set(tables)) == (2, {found})


def test_what_is_missing_is_said_in_tag_summary_and_exit_code(run: Run, trial: Path, local: None) -> None:
    model = poisoned_folder(trial / "poisoned")
    (trial / "letters.csv").write_text("id,text\nfirst,abab\nsecond,abca\nthird,ba\n")
    arguments = ("run", "shard_trial", "--models", model.name, "--texts", "letters.csv", "--ledger", "shards")
    code, out, err = run(*arguments, "--json")
    assert code == 3
    result = json.loads(out)
    assert result["missing"] == 1
    assert "The results" not in err
    (scored,) = result["scores"]
    from tokenviz.tracking.finding import find_run
    from tokenviz.tracking.store import open_store

    store = open_store()
    assert find_run(scored["run_id"], store).tags["without_passages"] == "1"
    assert find_run(result["summary_run_id"], store).tags["without_passages"] == "1"
    note = store.client.get_run(result["summary_run_id"]).data.tags["mlflow.note.content"]
    assert "**without 1 passage, which could not be scored" in note
    table = next((trial / "mlruns").rglob("missing.csv")).read_text().splitlines()
    assert table[0] == '"passage","id","reason"'
    assert table[1].startswith('1,"second",')
    assert "token 3: the model's logits are NaN or infinite" in table[1]
    code, out, err = run(*arguments)
    assert code == 3  # and so it stays
    assert "The results are without 1 passage, which could not be scored: tables/missing.csv of each run says which." in err
    code, _, err = run("run", "shard_trial", "--models", model.name, "--texts", "letters.csv")
    assert code == 1  # a plain run has all passages, or ends
    assert "NaN or infinite" in err


class Locked(LocalFileSystem):
    """A file system whose errors are its own, as those of object storage are."""

    protocol = "locked"
    cachable = False

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return super()._strip_protocol(path.removeprefix("locked://"))

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **_: Any) -> bytes:
        raise LookupError("unable to locate credentials")


def test_bad_input_is_one_line_before_anything_is_started(run: Run, trial: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tokenviz.harness.session.drive", lambda *_: pytest.fail("something was started"))
    assert "--engine needs --ledger PATH" in refused(run, "run", "shard_trial", "--engine", "local")
    assert "--workers needs --ledger PATH" in refused(run, "run", "shard_trial", "--workers", "2")
    assert "--force does not go with --ledger" in refused(run, "run", "shard_trial", "--ledger", "shards", "--force")
    said = refused(run, "run", "shard_trial", "--ledger", "shards", "--engine", "slrum")
    assert said == "no engine 'slrum': take one of local, slurm, ray; did you mean 'slurm'?"
    said = refused(run, "run", "shard_trial", "--ledger", "nosuch://place")
    assert said.startswith("the ledger's address 'nosuch://place' cannot be used: Protocol not known: nosuch")
    with monkeypatch.context() as patch:
        patch.setattr("tokenviz.ledger.engines.local.memory_bytes", lambda: 1000)
        patch.setattr("tokenviz.ledger.engines.local._gpus", lambda: 0)
        said = refused(run, "run", "shard_trial", "--ledger", "shards")
    assert said == (
        "the model 'glass-en' has 0.0 GB of weights, and no worker of the engine 'local' has more than 0.0 GB of memory: take "
        "larger machines, or a smaller model"
    )
    (trial / "full").mkdir()
    (trial / "full" / "thesis.txt").write_text("mine")
    assert refused(run, "run", "shard_trial", "--ledger", "full") == (
        f"{'full'!r} is not empty, and no ledger: give a folder of its own"
    )
    (trial / "file").write_text("mine")
    assert refused(run, "run", "shard_trial", "--ledger", "file").startswith("cannot use ")
    with read_only(trial / "experiments"):
        said = refused(run, "run", "shard_trial", "--ledger", "experiments/ledger")
        assert said.startswith("cannot use 'writable-")
    said = refused(run, "run", "shard_trial", "--ledger", "/proc/nobody/ledger")
    assert said == "cannot make the folder of the ledger '/proc/nobody/ledger': No such file or directory"
    fsspec.register_implementation("locked", Locked, clobber=True)
    said = refused(run, "run", "shard_trial", "--ledger", "locked:///place")
    assert said == "cannot use the ledger 'locked:///place': unable to locate credentials"
    fsspec.register_implementation("absent", "no_such_module.Store", clobber=True)
    said = refused(run, "run", "shard_trial", "--ledger", "absent://place")
    assert said.startswith("the ledger 'absent://place' needs a package for absent://: ")
    said = refused(run, "work", "nowhere")
    assert said == "no ledger at 'nowhere': 'tokenviz run NAME --engine local --ledger nowhere' makes one"


def test_a_ledger_of_another_version_or_text_is_refused(run: Run, trial: Path, local: None) -> None:
    arguments = ("run", "shard_trial", "--ledger", "shards")
    assert run(*arguments, "--shard-bytes", "60")[0] == 0
    header = trial / "shards" / "ledger.json"
    good = header.read_text()
    (trial / "words.jsonl").write_text('{"id": "p", "text": "Another text"}\n')
    said = refused(run, *arguments)
    assert re.match(r"the ledger '.*shards' holds another text 'words' \(sha256 \w{12}, this one has \w{12}\)", said), said
    assert said.endswith("give the text of before, or another --ledger")
    said = refused(run, *arguments, "--shard-bytes", "70")
    assert "has shards of 60 bytes, and 70 were asked for" in said
    header.write_text(json.dumps(json.loads(good) | {"scoring_version": 3}))
    for command in (arguments, ("work", "shards")):
        said = refused(run, *command)
        assert "is of version 1.3.4 (ledger, scoring, table) and this tokenviz of 1.4.4: finish it with the version" in said
    header.write_text("{")
    assert "is none of a ledger of tokenviz" in refused(run, *arguments)


def test_the_command_work_scores_what_is_open(run: Run, trial: Path, ledger_of, text: Text, glass: LoadedModel) -> None:
    ledger, (cell,) = ledger_of("glass-en")
    (shard, *_) = ledger.shards(text.sha256)
    with Beacon(ledger.storage) as other:
        other._about["machine"] = "another machine"
        assert other.claim(cell.fingerprint, shard.sha256)
        code, out, err = run("work", ledger.address)
    assert (code, out) == (0, "")
    assert re.search(r"\d\d shards with [\d,]+ tokens done, 0 failed\n.*1 shard is left to the worker that is at it\n", err)
    code, _, err = run("work", ledger.address)
    assert code == 0
    assert re.fullmatch(r"1 shard with [\d,]+ tokens done, 0 failed\n", err.splitlines(keepends=True)[-1])
    watch = driver._Watch(ledger, [cell])
    assert watch.look() == watch.total
    watch.workers = 1
    assert re.fullmatch(r"1 model on 1 text, in \d\d shards", watch.title)
    assert re.fullmatch(r"[\d,]+ tokens, 0 tokens/s, 1 worker, 0 shards failed", watch.details())
    assert_same_bits(cell_result(ledger, cell, text).scores, tv.score(glass, text, **SETTINGS))


def test_a_ledger_on_a_full_disk_is_one_line_and_loses_nothing(
    glass: LoadedModel, ledger_of, text: Text, tmp_path: Path
) -> None:
    with small_disk(tmp_path / "disk", "400k") as disk:
        ledger, (cell,) = ledger_of("glass-en", address=str(disk / "ledger"))
        with pytest.raises(LedgerError, match=r"^cannot use 'results/.*No space left on device$"):
            work(ledger)
        done = ledger.done(cell)
        assert 0 < len(done) < 40
        for shard in done:
            read_footer(ledger, cell, shard)
        subprocess.run(["mount", "-o", "remount,size=8m", str(disk)], check=True, timeout=60)
        work(ledger)
        assert_same_bits(cell_result(ledger, cell, text).scores, tv.score(glass, text, **SETTINGS))


IN_LITTLE_MEMORY = """
import resource, sys
from pathlib import Path
from tokenviz.ledger import worker
from tokenviz.ledger.book import open_ledger
from tokenviz.scoring.kernel import Kernel
from tokenviz.scoring.memory import Budget
from tokenviz.scoring.scorer import score

def load(self, label, whole=worker._Worker._load):
    model = whole(self, label)
    score(model, "for the threads to be there")
    kernels.append(Kernel.of(model))
    kernels[0].budget = Budget(tokens=2048, logits=1 << 27)  # half a gigabyte at once
    used = int(Path("/proc/self/statm").read_text().split()[5]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_DATA, (used + (200 << 20), -1))
    return model

kernels, worker._Worker._load = [], load
worked = worker.work(open_ledger(sys.argv[1]))
print((1 << 27) // kernels[0].budget.logits, worked.shards, worked.failed)
"""


@pytest.mark.slow
def test_a_worker_out_of_memory_halves_what_it_does_at_once(
    ledger_of, gpt2_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tokenviz.scoring.windows.PART_CHARACTERS", 20_000)
    words = corpus([letter + " word" * 250 for letter in "abcdefgh"], name="words")
    ledger, (cell,) = ledger_of(f"{gpt2_folder},device=cpu", of=words)
    command = [sys.executable, "-c", IN_LITTLE_MEMORY, ledger.address]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stderr
    halved, shards, failed = map(int, done.stdout.split())
    assert halved >= 2
    assert (shards, failed) == (1, 0)
    found, expected = cell_result(ledger, cell, words).scores, tv.score(cell.model, words, **SETTINGS)
    np.testing.assert_allclose(found.logprob, expected.logprob, rtol=0, atol=1e-5)


LARGE = """
import sys
from pathlib import Path
from tokenviz.comparing.large import Gathered
from tokenviz.data import passages
from tokenviz.data.parquet import save_parts
from tokenviz.data.texts import read_text
from tokenviz.ledger import driver
from tokenviz.ledger.book import Cell, plan_ledger
from tokenviz.ledger.worker import work
from tokenviz.models.loading import resolve
from tokenviz.models.spec import ModelSpec

driver.LARGE = passages.IN_MEMORY = 0
model, corpus, folder = sys.argv[1:]
text, resolved = read_text(corpus), resolve(ModelSpec.parse(model))
settings = {"bos": "auto", "context": None, "stride": None, "top_k": 0}
cell = Cell("f", resolved.spec.label, resolved.identity, text.name, text.sha256, settings)
ledger, cells = plan_ledger(folder, [cell], [text], shard_bytes=100_000, part_characters=20_000)
work(ledger)
found = driver.cell_result(ledger, cell, text)
gathered = Gathered(text, found.parts)
save_parts(gathered.each(), Path(folder, "whole.parquet"))
n_scored = gathered.information.estimates["mean_logprob"].n
(peak,) = (line.split()[1] for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
print(gathered.summary.n_tokens, n_scored, len(text.passages), peak)
"""


@pytest.mark.slow
def test_a_million_tokens_take_no_more_memory_than_a_tenth_of_them(bigrams: tuple[str, str], tmp_path: Path) -> None:
    """They are read, cut into shards, scored, and joined to one table, in one process."""
    peaks = []
    for n_passages in (2_000, 20_000):
        corpus_file = tmp_path / f"{n_passages}.jsonl"
        with corpus_file.open("w") as file:
            for number in range(n_passages):  # each another passage
                passage = "".join("abcd"[number >> 2 * place & 3] for place in range(52))
                file.write(json.dumps({"id": str(number), "text": passage}) + "\n")
        command = [sys.executable, "-c", LARGE, bigrams[0], str(corpus_file), str(tmp_path / f"ledger-{n_passages}")]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=1800)
        assert done.returncode == 0, done.stderr
        n_tokens, n_scored, n_read, peak = map(int, done.stdout.split())
        assert (n_tokens, n_scored, n_read) == (52 * n_passages, 51 * n_passages, n_passages)
        peaks.append(peak / 1024)
    assert peaks[1] < peaks[0] + 60, peaks  # megabytes; the table alone would have some hundred


@pytest.mark.slow
def test_a_ledger_copied_to_another_place_is_finished_there(
    glass: LoadedModel, ledger_of, text: Text, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil

    ledger, (cell,) = ledger_of("glass-en")
    with monkeypatch.context() as patch:
        patch.setattr("tokenviz.ledger.worker._Worker._claim", _few(7))
        with pytest.raises(LedgerError, match=r"^enough$"):
            work(ledger)
    assert len(ledger.done(cell)) == 7
    shutil.copytree(ledger.address, tmp_path / "elsewhere")
    there = open_ledger(str(tmp_path / "elsewhere"))
    work(there)
    assert_same_bits(cell_result(there, cell, text).scores, tv.score(glass, text, **SETTINGS))


def _few(most: int) -> Any:
    whole, count = _Worker._claim, 0

    def claim(self: Any, cell: Cell) -> Any:
        nonlocal count
        count += 1
        if count > most:
            raise LedgerError("enough")
        return whole(self, cell)

    return claim
