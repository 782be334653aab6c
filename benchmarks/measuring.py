"""One case measured: every contender warm in a process of its own, rounds taken in turn, errors against float64."""

import math
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.contenders import Rows
from benchmarks.lineup import LINEUP, PLAIN, PRODUCTS, REFERENCE, ROOT, Entry
from benchmarks.machine import Workload
from benchmarks.processes import ContenderFailed, WorkerProcess
from benchmarks.samples import Case
from tokenviz.base.errors import ExperimentError
from tokenviz.base.hardware import cores
from tokenviz.base.progress import note, task

_DTYPES = {entry.name: entry.dtype for entry in LINEUP}


@dataclass(frozen=True)
class Outcome:
    """One contender on one case.

    Attributes:
        name: The contender's.
        label: For tables, with the version where it is known.
        gives: "tokens" or "sums".
        failed: Why it could not be measured; empty where it was.
        how: How it reads the texts.
        seconds: Of each round.
        ratios: The plain loop's seconds over its own, round by round.
        peak_bytes: The most memory its process had.
        error_largest: Against the reference: of log-probs in nats per token, or of sums in nats per text.
        error_mean: The mean of the same absolute errors.
    """

    name: str
    label: str
    gives: str
    failed: str = ""
    how: str = ""
    seconds: tuple[float, ...] = ()
    ratios: tuple[float, ...] = ()
    peak_bytes: int = 0
    error_largest: float = math.nan
    error_mean: float = math.nan

    @property
    def ratio(self) -> float:
        """Speed as a multiple of the plain loop's, the median of the rounds; NaN where there is none."""
        return median(self.ratios) if self.ratios else math.nan


@dataclass(frozen=True)
class CaseOutcome:
    """All contenders on one case.

    Attributes:
        model: The model spec.
        text_set: The set's name.
        lengths: Scored tokens of each text.
        workload: Of the model.
        outcomes: In the order of the line-up.
        peaks: Floating-point operations a second of the machine's matrix products of the model's shapes, round by round, by
            the type that is multiplied.
    """

    model: str
    text_set: str
    lengths: tuple[int, ...]
    workload: Workload
    outcomes: tuple[Outcome, ...]
    peaks: dict[str, tuple[float, ...]]

    @property
    def peak_flops(self) -> float:
        """In float32, the median of the rounds."""
        return median(self.peaks["float32"])

    @property
    def n_tokens(self) -> int:
        """Scored tokens of the whole set."""
        return sum(self.lengths)

    def tokens_per_second(self, outcome: Outcome) -> float:
        """By the median round."""
        return self.n_tokens / median(outcome.seconds) if outcome.seconds else math.nan

    def share_of_peak(self, outcome: Outcome) -> float:
        """Useful operations a second over the machine's matrix products a second in the same type, the median of the rounds."""
        peaks = self.peaks.get(_DTYPES.get(outcome.name, "float32"), ())
        if not outcome.seconds or not peaks:
            return math.nan
        useful = self.workload.useful_flops(self.lengths)
        return median(useful / seconds / peak for seconds, peak in zip(outcome.seconds, peaks, strict=True))

    def memory_beyond_weights(self, outcome: Outcome) -> float:
        """Bytes of the peak without the model's weights in float32."""
        return outcome.peak_bytes - self.workload.weights_bytes if outcome.peak_bytes else math.nan


@dataclass
class _Running:
    """A contender while it is being measured."""

    entry: Entry
    process: WorkerProcess | None = None
    label: str = ""
    how: str = ""
    failed: str = ""
    errors: tuple[float, float] = (math.nan, math.nan)
    rounds: list[dict[str, Any]] = field(default_factory=list)

    def fail(self, reason: str) -> None:
        self.failed = reason
        if self.process is not None:
            self.process.close()
        note(f"{self.entry.label} could not run: {reason}")


def measure(case: Case, folder: Path, workload: Workload, entries: Sequence[Entry], *, rounds: int, work: Path) -> CaseOutcome:
    """Measure a case.

    Args:
        case: Model and texts.
        folder: The model as a Hugging Face folder.
        workload: Of the model.
        entries: The contenders; the plain loop is measured whether it is among them or not.
        rounds: How often each scores the texts, one contender after the other in every round.
        work: Where conversions are kept for other cases and measurements.

    Raises:
        ExperimentError: The plain loop cannot run, to compare with in float32 or in float64.
    """
    contenders = [_Running(entry, label=entry.label) for entry in entries]
    if PLAIN not in entries:
        contenders.append(_Running(PLAIN, label=PLAIN.label))
    plain = next(running for running in contenders if running.entry == PLAIN)
    steps = 1 + (2 + rounds) * len(contenders)
    with task(f"measuring {case.name}", steps, "steps") as advance, ExitStack() as stack:
        reference = _reference(case, folder)
        advance(1)
        for running in contenders:
            _start(running, case, folder, work, stack)
            advance(1)
        for running in contenders:
            _step(running, lambda running=running: _warm_up(running, case, reference))
            advance(1)
        _insist_on(plain, case)
        products = _products(workload, case, folder, work, stack)
        peaks: dict[str, list[float]] = {running.entry.dtype: [] for running in (plain, *contenders)}
        for _ in range(rounds):
            for dtype, found in peaks.items():
                found.append(_peak(products, case, dtype))
            for running in contenders:
                _step(running, lambda running=running: running.rounds.append(running.process.ask("round")))
                advance(1)
    _insist_on(plain, case)
    seconds = [taken["seconds"] for taken in plain.rounds]
    outcomes = tuple(_outcome(running, seconds) for running in contenders if running.entry in entries)
    peaks_of = {dtype: tuple(found) for dtype, found in peaks.items()}
    return CaseOutcome(case.model, case.text_set, tuple(map(len, reference)), workload, outcomes, peaks_of)


def _insist_on(plain: _Running, case: Case) -> None:
    if plain.failed:
        raise ExperimentError(f"{case.name}: the plain loop could not run: {plain.failed}")


def _products(workload: Workload, case: Case, folder: Path, work: Path, stack: ExitStack) -> WorkerProcess:
    """Start the process that measures the machine's peak among the rounds."""
    process = WorkerProcess(PRODUCTS)
    stack.callback(process.close)
    job = _job(PRODUCTS, case, folder, work) | {"options": {"shapes": workload.shapes_written}}
    try:
        process.ask("load", job=job, distribution=PRODUCTS.distribution)
    except ContenderFailed as error:
        raise ExperimentError(f"{case.name}: the machine's peak could not be measured: {error}") from error
    return process


def _peak(products: WorkerProcess, case: Case, dtype: str) -> float:
    try:
        return float(products.ask("peak", dtype=dtype)["flops"])
    except ContenderFailed as error:
        raise ExperimentError(f"{case.name}: the machine's peak could not be measured: {error}") from error


def _reference(case: Case, folder: Path) -> list[list[float]]:
    """The float64 log-probs; their process ends before anything is timed."""
    process = WorkerProcess(REFERENCE)
    try:
        with tempfile.TemporaryDirectory() as nothing:
            process.ask("load", job=_job(REFERENCE, case, folder, Path(nothing)), distribution=REFERENCE.distribution)
            rows: list[list[float]] = process.ask("warm_up", texts=list(case.texts))["rows"]
            return rows
    except ContenderFailed as error:
        raise ExperimentError(f"{case.name}: the plain loop in float64 could not run: {error}") from error
    finally:
        process.close()


def _job(entry: Entry, case: Case, folder: Path, work: Path) -> dict[str, Any]:
    return {
        "model": case.model,
        "folder": str(folder),
        "work": str(work),
        "threads": cores(),
        "options": entry.options,
    }


def _start(running: _Running, case: Case, folder: Path, work: Path, stack: ExitStack) -> None:
    entry = running.entry
    own = work / f"{entry.module}-{_code_of(entry)}-{folder.name}"
    job = _job(entry, case, folder, own)
    try:
        if entry.converts and not own.is_dir():
            _convert(entry, job, own)
        running.process = WorkerProcess(entry)
        stack.callback(running.process.close)
        running.label = entry.with_version(running.process.ask("load", job=job, distribution=entry.distribution)["version"])
    except ContenderFailed as error:
        running.fail(str(error))


def _code_of(entry: Entry) -> str:
    """A digest of what decides how a model is converted: the tools' versions and the code here."""
    contenders = ROOT / "benchmarks" / "contenders"
    files = (ROOT / "benchmarks" / "requirements.txt", contenders / "graph.py", contenders / f"{entry.module}.py")
    return sha256(b"".join(path.read_bytes() for path in files if path.is_file())).hexdigest()[:12]


def _convert(entry: Entry, job: dict[str, Any], target: Path) -> None:
    """Convert in a process of its own, so that the memory it takes is not counted; only a finished folder has the name."""
    process = WorkerProcess(entry)
    try:
        target.parent.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent) as parent:
            made = Path(parent) / "made"
            made.mkdir()
            process.ask("prepare", job=job | {"work": str(made)})
            made.rename(target)
    finally:
        process.close()


def _step(running: _Running, work: Any) -> None:
    if running.failed:
        return
    try:
        work()
    except ContenderFailed as error:
        running.fail(str(error))


def _warm_up(running: _Running, case: Case, reference: list[list[float]]) -> None:
    assert running.process is not None
    answer = running.process.ask("warm_up", texts=list(case.texts))
    running.how = answer["how"]
    running.errors = errors_of(answer["rows"], reference, gives=running.entry.gives)


def errors_of(rows: Rows, reference: list[list[float]], *, gives: str) -> tuple[float, float]:
    """The largest and the mean absolute error.

    Args:
        rows: Log-probs of the scored tokens of each text, or one sum a text.
        reference: Log-probs of the scored tokens of each text.
        gives: "tokens" or "sums".

    Raises:
        ContenderFailed: Other tokens were scored than the reference has, or something is not finite.
    """
    # A sum is compared like a text of one token.
    expected = [[math.fsum(row)] for row in reference] if gives == "sums" else reference
    given = [row if isinstance(row, list) else [row] for row in rows]
    for number, (own, row) in enumerate(zip(given, expected, strict=True)):
        if len(own) != len(row):
            raise ContenderFailed(f"gave {len(own)} log-probs for text {number}, which has {len(row)} scored tokens")
    differences = [abs(a - b) for own, row in zip(given, expected, strict=True) for a, b in zip(own, row, strict=True)]
    if not all(map(math.isfinite, differences)):
        raise ContenderFailed("gave log-probs that are not finite")
    return max(differences), math.fsum(differences) / len(differences)


def _outcome(running: _Running, plain_seconds: list[float]) -> Outcome:
    entry = running.entry
    if running.failed:
        return Outcome(entry.name, running.label, entry.gives, failed=running.failed, how=running.how)
    seconds = tuple(taken["seconds"] for taken in running.rounds)
    return Outcome(
        name=entry.name,
        label=running.label,
        gives=entry.gives,
        how=running.how,
        seconds=seconds,
        ratios=tuple(plain / own for plain, own in zip(plain_seconds, seconds, strict=True)),
        peak_bytes=max(taken["peak_bytes"] for taken in running.rounds),
        error_largest=running.errors[0],
        error_mean=running.errors[1],
    )
