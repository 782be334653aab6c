"""A recorded run and its files, each checked against its recorded checksum.

A figure or a number from a damaged table is worse than none. So a file is compared with the run's list of files
(`checksums.sha256`), and the run's main table also with the hash in the store: whoever changes a table together with the list
has not changed the store. Runs of early versions have no list; they are read with a note.
"""

import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from tokenviz.base.errors import DamagedError, StoreError, TokenvizError
from tokenviz.base.progress import warn
from tokenviz.tracking.finding import CURE, FoundRun, fetch, files_of, find_run
from tokenviz.tracking.runs import Runs
from tokenviz.tracking.staged_runs import CHECKSUMS, TABLE_TAG, StagedRun, checksum, packed_checksums, read_checksums
from tokenviz.tracking.store import Store

if TYPE_CHECKING:
    import pandas as pd

T = TypeVar("T")


def table_file(name: str) -> str:
    """Return the path of a table among a run's files."""
    return f"tables/{name}.parquet"


TOKENS_TABLE = table_file("tokens")
UNITS_TABLE = table_file("units")
STATISTICS_TABLE = table_file("statistics")
SAMPLE_TABLE = table_file("sample")
SAMPLES_OF_BOTH = (table_file("sample_a"), table_file("sample_b"))
BY_PARTS = "read_in_parts"
"""The parameter of a run of tables that are too large for memory: how many parts it was read in. Figures are of a sample."""
_MAIN_TABLES = {"score": TOKENS_TABLE, "comparison": UNITS_TABLE}


@dataclass(frozen=True, eq=False)
class RecordedRun(ABC):
    """A finished computation as it was recorded, in a store or in the outbox.

    Attributes:
        name: The run's name, for readers.
        kind: The run's kind, such as "score", "comparison" or "summary"; of a measure its name.
        params: The run's settings.
        metrics: The run's numbers; one that is not determined is absent.
    """

    name: str
    kind: str
    params: Mapping[str, str]
    metrics: Mapping[str, float]

    @property
    @abstractmethod
    def described(self) -> str:
        """The run's description in messages."""

    @property
    @abstractmethod
    def cure(self) -> str:
        """Advice for the case that the run is damaged."""

    @abstractmethod
    def other(self, param: str) -> "RecordedRun":
        """Return the run that a parameter names.

        Raises:
            StoreError: That run is gone.
        """

    @abstractmethod
    def fetch(self, artifact: str, folder: Path) -> Path:
        """Return the path of one of the run's files on this disk, unchanged since it was written; download it where necessary.

        Args:
            artifact: The file's path among the run's files.
            folder: The folder for a downloaded file.

        Raises:
            StoreError: The file is gone or was changed, or a server does not answer.
        """

    @abstractmethod
    def has(self, artifact: str) -> bool:
        """Return whether the run was written with a file of this path."""

    def read(self, artifact: str, reader: Callable[[Path], T]) -> T:
        """Read one of the run's files after checking that it is unchanged.

        Args:
            artifact: The file's path among the run's files.
            reader: The function that reads it.

        Raises:
            StoreError: The file cannot be fetched, as in `fetch`; or this version cannot read it.
        """
        import pyarrow as pa

        with tempfile.TemporaryDirectory(prefix="tokenviz-") as folder:
            path = self.fetch(artifact, Path(folder))
            try:
                return reader(path)
            except (TokenvizError, pa.ArrowException, OSError, ValueError, KeyError, TypeError) as error:
                reason = " ".join(str(error).replace(str(path), path.name).split())
                raise DamagedError(
                    f"the file {artifact!r} of {self.described} cannot be used: {reason}; {self.cure}"
                ) from error

    def frame(self, name: str) -> "pd.DataFrame":
        """Read one of the run's tables, by its name without folder and suffix.

        Raises:
            StoreError: The table cannot be read, as in `read`.
        """
        import pandas as pd

        return self.read(table_file(name), pd.read_parquet)


@dataclass(frozen=True, eq=False)
class StoredRun(RecordedRun):
    """A run in a store.

    Attributes:
        run_id: MLflow's id of the run.
        tags: The run's tags in the store.
        store: The store.
    """

    run_id: str
    tags: Mapping[str, str] = field(repr=False)
    store: Store = field(repr=False)

    @classmethod
    def of(cls, run: FoundRun, store: Store) -> "StoredRun":
        """Return a found run as a recorded run."""
        return cls(run.name, run.tags.get("kind", ""), run.params, run.metrics, run.run_id, run.tags, store)

    @property
    def described(self) -> str:
        return f"run {self.run_id} ({self.name!r})"

    @property
    def cure(self) -> str:
        return CURE

    def other(self, param: str) -> RecordedRun:
        run_id = self.params.get(param, "")
        try:
            return StoredRun.of(find_run(run_id, self.store), self.store)
        except StoreError as error:
            if self.store.failed_with(error):
                raise  # a server that fails has lost nothing
            raise DamagedError(
                f"{self.described} is made of the run {run_id or '(unknown)'}, which the store does not have: {self.cure}"
            ) from error

    def fetch(self, artifact: str, folder: Path) -> Path:
        listed = self._listed
        if listed is not None and artifact not in listed and artifact.startswith("figures/"):
            raise StoreError(
                f"{self.described} does not hold {artifact!r}: 'tokenviz runs fetch {self.run_id} {artifact}' draws a figure"
            )
        path = fetch(self.store, self.run_id, artifact, folder)
        digest = checksum(path)
        main = self.tags.get(TABLE_TAG) if artifact == _MAIN_TABLES.get(self.kind, table_file(self.kind)) else None
        if listed is not None and artifact not in listed:
            raise DamagedError(f"the list of files of {self.described} does not have {artifact!r}: {self.cure}")
        if {main, listed[artifact] if listed else None} - {None, digest}:
            raise DamagedError(f"the file {artifact!r} of {self.described} is not what was written: {self.cure}")
        return path

    def has(self, artifact: str) -> bool:
        if self._listed is not None:
            return artifact in self._listed
        return artifact in files_of(self.store, self.run_id, artifact.rpartition("/")[0])

    @cached_property
    def _listed(self) -> dict[str, str] | None:
        """The run's list of files; None for a run of an early version, which has none."""
        with tempfile.TemporaryDirectory(prefix="tokenviz-") as name:
            folder = Path(name)
            with suppress(DamagedError):  # there is no list; the code below knows whether there should be one
                folder = fetch(self.store, self.run_id, CHECKSUMS, folder).parent
            try:
                listed = read_checksums(folder, self.tags)
            except DamagedError as error:
                raise DamagedError(f"{error} in {self.described}: {self.cure}") from error
        if listed is None:
            warn(f"{self.described} has no list of its files ({CHECKSUMS}): not all that is read of it can be checked")
        return listed


@dataclass(frozen=True, eq=False)
class WaitingRun(RecordedRun):
    """Results that wait in the outbox for a store.

    Attributes:
        staged: The staged run.
        runs: The runs of the MLflow experiment that it will belong to.
    """

    staged: StagedRun = field(repr=False)
    runs: Runs = field(repr=False)

    @classmethod
    def of(cls, staged: StagedRun, runs: Runs) -> "WaitingRun":
        """Return a staged run as a recorded run."""
        record = staged.record
        params = {name: str(value) for name, value in record.params.items()}
        return cls(record.name, record.tags.get("kind", ""), params, record.metrics, staged, runs)

    @property
    def described(self) -> str:
        return f"the results {self.name!r} in the outbox"

    @property
    def cure(self) -> str:
        return "run its experiment again"

    def other(self, param: str) -> RecordedRun:
        fingerprint = self.staged.record.refers.get(param, "")
        return recorded_of(self.runs, fingerprint, f"{self.described} are made of")

    def fetch(self, artifact: str, folder: Path) -> Path:
        listed, path = packed_checksums(self.staged.folder), self.staged.files / artifact
        if listed is None:  # `tokenviz sync` has delivered it in the meantime
            return recorded_of(self.runs, self.staged.record.fingerprint, "there were").fetch(artifact, folder)
        try:
            digest = checksum(path)
        except OSError as error:
            raise DamagedError(f"{self.described} have lost the file {artifact!r}: {self.cure}") from error
        if digest != listed.get(artifact, digest):
            raise DamagedError(f"the file {artifact!r} of {self.described} is not what was written: {self.cure}")
        return path

    def has(self, artifact: str) -> bool:
        return artifact in (packed_checksums(self.staged.folder) or {})


def recorded_of(runs: Runs, fingerprint: str, what: str) -> RecordedRun:
    """Return the results with a fingerprint: the finished run, or else the staged run in the outbox.

    Args:
        runs: The MLflow experiment's runs.
        fingerprint: The fingerprint (`tokenviz.tracking.runs.fingerprint_of`).
        what: The beginning of the message where there is neither.

    Raises:
        StoreError: There is neither, or the store fails.
    """
    found = runs.find(fingerprint)
    if found is not None:
        return StoredRun.of(find_run(found.run_id, runs.store), runs.store)
    staged = runs.outbox.staged(runs.name, fingerprint)
    if staged is None:
        raise DamagedError(
            f"{what} results with the fingerprint {fingerprint[:12]}, which are neither in the store nor wait for it"
        )
    return WaitingRun.of(staged, runs)
