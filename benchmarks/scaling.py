"""What a ledger costs: one worker next to plain scoring, and tokens per second against the number of workers.

`python -m benchmarks.scaling LEDGER MODEL TOKENS_PER_SECOND` is one worker of the second measurement. It says "ready" when
a sentence has gone through a ledger of its own, so that everything is imported, and begins when a line comes in.
"""

import os
import random
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import pandas as pd

from benchmarks.lineup import ROOT
from benchmarks.samples import mixed
from tokenviz.base.errors import ExperimentError
from tokenviz.base.hardware import cores
from tokenviz.base.progress import task
from tokenviz.data.texts import Text, corpus
from tokenviz.ledger.book import Cell, Ledger, open_ledger, plan_ledger
from tokenviz.ledger.driver import cell_result
from tokenviz.ledger.shard_scores import read_footer
from tokenviz.ledger.worker import work
from tokenviz.models.loading import load_model, resolve
from tokenviz.scoring.scorer import score_to_file

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from rich.table import Table

_SETTINGS: dict[str, Any] = {"bos": "auto", "context": None, "stride": None, "top_k": 0}
_CHARACTERS = 3  # about so many make a token, for how long a text has to be
_SHARD_BYTES = 1 << 17  # of the overhead: one part; a thirtieth of what shards have by default, so that there are many
_SMALL, _LARGE = 1000, 20_000  # characters of a shard: of a throttled worker, and of one that is not
_FEWEST = 3  # shards of a worker, of which the first is not counted


@dataclass(frozen=True)
class Overhead:
    """One worker next to plain scoring of the same text, round by round.

    Attributes:
        tokens: Tokens of all rounds together.
        shards: Shards of all rounds together.
        plain: Processor seconds: the model read, the text scored into one file.
        ledger: Processor seconds of a ledger that is planned and filled by one worker.
        joined: The driver's part at the end: the shards read, checked and joined to one table.
    """

    tokens: int
    shards: int
    plain: tuple[float, ...]
    ledger: tuple[float, ...]
    joined: tuple[float, ...]

    @property
    def share(self) -> float:
        """What the ledger costs, as a share of plain scoring: the median of the rounds."""
        return median(mine / plain for mine, plain in zip(self.ledger, self.plain, strict=True)) - 1


@dataclass(frozen=True)
class Pace:
    """So many workers on one ledger.

    Attributes:
        workers: How many.
        limit: The most tokens per second that each may do; 0 for no limit.
        rates: Tokens per second of all together, round by round, while they are at it: a worker's start is left out.
    """

    workers: int
    limit: float
    rates: tuple[float, ...]

    @property
    def rate(self) -> float:
        """Tokens per second: the median of the rounds."""
        return median(self.rates)


@dataclass(frozen=True)
class Scaling:
    """The whole measurement.

    Attributes:
        machine: Processor, cores, torch.
        model: The model spec.
        overhead: What a ledger costs one worker.
        paces: Speed by number of workers, those without a limit first.
        run_id: The MLflow run's; empty until it is there.
        link: Where the run's page is.
    """

    machine: Mapping[str, str | int]
    model: str
    overhead: Overhead
    paces: tuple[Pace, ...]
    run_id: str = ""
    link: str = ""

    def multiple(self, pace: Pace) -> float:
        """The rate as a multiple of that of the fewest workers with the same limit, per worker of these."""
        first = next(one for one in self.paces if one.limit == pace.limit)
        return pace.rate / first.rate * first.workers

    def frame(self) -> pd.DataFrame:
        """One row per limit and number of workers."""
        rows = [
            {
                "limit_per_worker": pace.limit or float("nan"), "workers": pace.workers, "tokens_per_second": pace.rate,
                "least": min(pace.rates), "greatest": max(pace.rates), "multiple_of_one": self.multiple(pace),
                "share_of_linear": self.multiple(pace) / pace.workers,
            }
            for pace in self.paces
        ]  # fmt: skip
        return pd.DataFrame(rows)

    def to_json(self) -> dict[str, Any]:
        """The result as plain values."""
        return {
            "experiment": "scaling", "run_id": self.run_id, "machine": dict(self.machine), "model": self.model,
            "overhead": asdict(self.overhead) | {"share": self.overhead.share},
            "paces": [asdict(pace) | {"tokens_per_second": pace.rate, "multiple": self.multiple(pace)} for pace in self.paces],
        }  # fmt: skip

    def metrics(self) -> dict[str, float]:
        """Every number by name."""
        found = {"overhead": self.overhead.share, "joined_seconds": median(self.overhead.joined)}
        for pace in self.paces:
            name = f"{pace.workers}_workers{'_throttled' * bool(pace.limit)}"
            found |= {f"{name}.tokens_per_second": pace.rate, f"{name}.multiple": self.multiple(pace)}
        return found

    def rows(self) -> list[tuple[str, ...]]:
        """The table as strings."""
        return [
            (
                f"{pace.limit:,.0f} tokens/s each" if pace.limit else "none", str(pace.workers), f"{pace.rate:,.0f}",
                f"{self.multiple(pace):.2f}", f"{self.multiple(pace) / pace.workers:.1%}",
            )
            for pace in self.paces
        ]  # fmt: skip

    def page(self) -> str:
        """What was found, in Markdown."""
        one, shares = self.overhead, self._shares()
        lines = [
            f"{', '.join(f'{value}' for value in self.machine.values())}; {self.model}.", "",
            f"**One worker's ledger costs {one.share:+.1%}** of the processor time of plain scoring (median of "
            f"{len(one.plain)} rounds of {one.tokens // len(one.plain):,} tokens; "
            f"{min(shares):+.1%} to {max(shares):+.1%}). Both read the model and write the "
            f"token table; the ledger has {one.shards} shards of {one.tokens:,} tokens. To read, check and join the shards "
            f"of a round takes another {median(one.joined):.2f} s, once, in the driver.", "",
            "| limit | workers | tokens/s | × one | share of linear |", "|---|--:|--:|--:|--:|",
            *(f"| {' | '.join(row)} |" for row in self.rows()), "",
            "A limit shows what coordination costs where there are fewer cores than workers: a throttled worker sleeps after "
            "each shard. Without a limit the cores of the machine are shared.",
        ]  # fmt: skip
        return "\n".join(lines) + "\n"

    def to_table(self) -> "Table":
        """The result for a terminal."""
        from rich.table import Table

        table = Table(title=f"scaling: {self.model} by workers of one ledger", title_justify="left")
        for heading in ("limit", "workers", "tokens/s", "× one", "share of linear"):
            table.add_column(heading, justify="left" if heading == "limit" else "right")
        for row in self.rows():
            table.add_row(*row)
        return table

    def guide(self) -> list[str]:
        """What was found, and where to look."""
        found = f"The ledger of one worker costs {self.overhead.share:+.1%} of the processor time of plain scoring"
        return [found, *([f"Look at it: run make ui, then open {self.link}"] if self.link else [])]

    def figure(self) -> "Figure":
        """Tokens per second against workers, next to a straight line."""
        from tokenviz.figures.plots.computing import worker_lines

        series: dict[str, dict[int, float]] = {}
        for pace in self.paces:
            name = f"at most {pace.limit:,.0f} tokens/s each" if pace.limit else f"no limit, {self.machine['cores']} cores"
            series.setdefault(name, {})[pace.workers] = pace.rate
        return worker_lines(series)

    def _shares(self) -> list[float]:
        return [mine / plain - 1 for mine, plain in zip(self.overhead.ledger, self.overhead.plain, strict=True)]


def measure_overhead(model: str, *, tokens: int, rounds: int) -> Overhead:
    """Score a text plainly and by a ledger, in turn, and take the processor time, which other programs disturb least.

    Args:
        model: A model spec.
        tokens: About how many tokens to score in all rounds together.
        rounds: Each with a text of its own; which of the two comes first takes turns.
    """
    _warm_up(model)
    found: list[Overhead] = []
    with task("one worker next to plain scoring", rounds, "rounds") as advance:
        for number in range(rounds):
            text = random_words(_CHARACTERS * tokens // rounds, passage=1500, seed=number)
            found.append(_round(model, text, plain_first=number % 2 == 0))
            advance(1)
    return Overhead(
        tokens=sum(one.tokens for one in found),
        shards=sum(one.shards for one in found),
        plain=tuple(seconds for one in found for seconds in one.plain),
        ledger=tuple(seconds for one in found for seconds in one.ledger),
        joined=tuple(seconds for one in found for seconds in one.joined),
    )


def _round(model: str, text: Text, *, plain_first: bool) -> Overhead:
    """Score a text in both ways, and read back what the ledger holds."""
    with tempfile.TemporaryDirectory(prefix="tokenviz-scaling-") as scratch:
        folder = Path(scratch)
        ways: dict[str, Callable[[], object]] = {
            "plain": lambda: score_to_file(load_model(model), text, folder / "plain.parquet", **_SETTINGS),
            "ledger": lambda: work(_planned(model, text, folder / "ledger", _SHARD_BYTES)[0]),
        }
        seconds = {name: _processor_seconds(ways[name]) for name in (ways if plain_first else reversed(ways))}
        ledger = open_ledger(str(folder / "ledger"))
        (cell,) = ledger.cells()
        joined = _processor_seconds(lambda: cell_result(ledger, cell, text))
        done = ledger.done(cell)
        n_tokens = sum(read_footer(ledger, cell, shard).summary["n_tokens"] for shard in done)
    return Overhead(n_tokens, len(done), (seconds["plain"],), (seconds["ledger"],), (joined,))


def _warm_up(model: str) -> None:
    """Import what the first shard of a process imports, which is no part of what is measured."""
    _round(model, corpus(["What is imported once is imported before."], name="a sentence"), plain_first=True)


def measure_paces(model: str, workers: Sequence[int], *, limit: float, seconds: float, rounds: int) -> tuple[Pace, ...]:
    """Have numbers of workers fill ledgers, in turn, round by round.

    Args:
        model: A model spec.
        workers: How many, in the order of the result.
        limit: The most tokens per second that each may do; 0 for no limit.
        seconds: That each is to be at it, about, where there is a limit.
        rounds: How often.

    Raises:
        ExperimentError: A worker failed.
    """
    rates: dict[int, list[float]] = {count: [] for count in workers}
    characters = _SMALL if limit else _LARGE
    each = max(_FEWEST, round(seconds * limit * _CHARACTERS / characters)) if limit else 8  # shards of a worker
    with task(f"workers {'with a' if limit else 'without'} limit", rounds * len(workers), "measurements") as advance:
        for number in range(rounds):
            for count in workers:
                text = random_words(characters * each * count, passage=characters, seed=1000 * number + count)
                with tempfile.TemporaryDirectory(prefix="tokenviz-scaling-") as scratch:
                    ledger, cell = _planned(model, text, Path(scratch) / "ledger", characters, part_characters=characters)
                    _run_workers(ledger, model, count, limit)
                    rates[count].append(_rate(ledger, cell))
                advance(1)
    return tuple(Pace(count, limit, tuple(found)) for count, found in rates.items())


def random_words(characters: int, *, passage: int, seed: int) -> Text:
    """Draw the words of the sample texts at random: as many as one likes, and no passage like another.

    Args:
        characters: Length of the whole text, at least.
        passage: Characters of each passage, at least.
        seed: Seed of the draw.
    """
    words, chance = " ".join(mixed()).split(), random.Random(seed)
    passages: list[str] = []
    while sum(map(len, passages)) < characters:
        one: list[str] = []
        while sum(map(len, one)) + len(one) < passage:
            one.append(chance.choice(words))
        passages.append(" ".join(one))
    return corpus(passages, name="random words")


def _planned(model: str, text: Text, folder: Path, shard_bytes: int, part_characters: int | None = None) -> tuple[Ledger, Cell]:
    resolved = resolve(model)
    cell = Cell(f"scaling-{text.sha256[:16]}", resolved.spec.label, resolved.identity, text.name, text.sha256, _SETTINGS)
    ledger, _ = plan_ledger(str(folder), [cell], [text], shard_bytes=shard_bytes, part_characters=part_characters)
    return ledger, cell


def _processor_seconds(call: Callable[[], object]) -> float:
    begun = time.process_time()
    call()
    return time.process_time() - begun


def _run_workers(ledger: Ledger, model: str, count: int, limit: float) -> None:
    """Start workers, have them begin together, and wait for their end."""
    command = [sys.executable, "-m", "benchmarks.scaling", ledger.address, model, str(limit)]
    shared = os.environ | {"OMP_NUM_THREADS": str(max(1, cores() // count))}  # as the engine `local` shares the cores
    running = [
        subprocess.Popen(
            command, cwd=ROOT, env=shared, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        for _ in range(count)
    ]
    try:
        for worker in running:
            assert worker.stdout is not None
            worker.stdout.readline()
        for worker in running:
            assert worker.stdin is not None
            with suppress(BrokenPipeError):  # it has ended, and says why below
                worker.stdin.write("go\n")
                worker.stdin.flush()
        for worker in running:
            _, said = worker.communicate()
            if worker.returncode:
                raise ExperimentError(f"a worker failed: {said.strip().splitlines()[-1] if said.strip() else 'it was killed'}")
    finally:
        for worker in running:
            worker.kill()


def _rate(ledger: Ledger, cell: Cell) -> float:
    """Tokens per second of all workers: of each those of its shards after the first, over the time from there to its last."""
    ends: dict[str, list[tuple[float, int]]] = defaultdict(list)
    for shard in ledger.done(cell):
        footer = read_footer(ledger, cell, shard)
        written = ledger.storage.written(f"results/{cell.fingerprint}/{shard}.parquet")
        assert written is not None
        ends[footer.worker].append((written, int(footer.summary["n_tokens"])))
    total = 0.0
    for one in map(sorted, ends.values()):
        if len(one) > 1:
            total += sum(tokens for _, tokens in one[1:]) / (one[-1][0] - one[0][0])
    return total


if __name__ == "__main__":
    address, label, most = sys.argv[1:]
    _warm_up(label)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    work(open_ledger(address), model=label, tokens_per_second=float(most) or None)
