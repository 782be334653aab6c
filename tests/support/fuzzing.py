"""Damaged inputs by the thousand for everything that reads: `make fuzz`, with SECONDS for each reader and a SEED.

A reader may succeed or refuse in one clear line; any other error, a crash of the process and a hang are findings. Each
reader has a process of its own, whose memory is limited. An input depends on the seed and its number alone; those of findings
are kept.

New examples for the property tests are hypothesis' own work (its profile `fuzz`, in conftest.py), and this is not: what is
looked for here ends or blocks the process that tries it. A segmentation fault in a Parquet, safetensors or tokenizer library,
an allocation of terabytes by a changed length, and a loop in C, which no exception reaches, would take pytest along, and the
example with it; here the next reader goes on, and the number of the input and its files are left. Nor does shrinking help:
an input is a valid file of kilobytes with a few bytes changed, and nearly all bytes that are drawn freely are refused by the
first four.
"""

import argparse
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import Any

_MEMORY = 8 << 30  # bytes of address space: an input must not take the machine along
_PATIENCE = 60  # seconds for one input
_LONGEST_LINE = 5000  # characters of a message, which may repeat what was given


class Hang(BaseException):
    """An input took too long."""


def fuzz(name: str, *, seconds: float, seed: int, kept: Path) -> dict[str, Any]:
    """Try one reader, in the working directory, for some time.

    Returns:
        How many inputs were tried, read and refused, and the findings: one for each error and place.
    """
    from fuzz_readers import READERS, spoil_one

    from tokenviz.base.errors import TokenvizError

    reader = READERS[name]
    place = Path("seeds")
    place.mkdir()
    seeds = reader.seeds(place)
    signal.signal(signal.SIGALRM, _give_up)
    counts = {"tried": 0, "read": 0, "refused": 0}
    findings: dict[str, str] = {}
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        rng = random.Random(f"{name}:{seed}:{counts['tried']}")
        counts["tried"] += 1
        (kept / "current").write_text(f"{name}:{seed}:{counts['tried'] - 1}")
        folder = Path("input")
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        for path, data in (reader.spoil or spoil_one)(rng, rng.choice(seeds)).items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(data)
        signal.alarm(_PATIENCE)
        try:
            reader.read(folder, rng)
            counts["read"] += 1
        except TokenvizError as error:
            counts["refused"] += 1
            line = " ".join(str(error).split())
            if not line or len(line) > _LONGEST_LINE:
                _keep(findings, f"a message of {len(line)} characters", _where(error), folder, kept)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001  that is what is looked for
            _keep(findings, f"{type(error).__name__}: {' '.join(str(error).split())[:200]}", _where(error), folder, kept)
        finally:
            signal.alarm(0)
            signal.signal(signal.SIGALRM, _give_up)
    return {**counts, "findings": list(findings.values())}


def _give_up(number: int, frame: object) -> None:
    raise Hang(f"no end after {_PATIENCE} seconds")


def _where(error: BaseException) -> str:
    """The innermost line of the package that an error came through."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if f"{os.sep}tokenviz{os.sep}" in frame.filename]
    return f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "outside of the package"


def _keep(findings: dict[str, str], what: str, where: str, folder: Path, kept: Path) -> None:
    key = f"{what.partition(':')[0]} at {where}"
    if key not in findings:
        target = kept / f"{len(findings):02}"
        shutil.copytree(folder, target)
        findings[key] = f"{what}, at {where}, by {target}"
        (kept / "findings.txt").open("a").write(findings[key] + "\n")


def _run(name: str, *, seconds: float, seed: int, kept: Path) -> dict[str, Any]:
    """`fuzz` in a process of its own."""
    kept.mkdir(parents=True)
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONFAULTHANDLER": "1"}
    with tempfile.TemporaryDirectory(prefix="tokenviz-fuzz-") as folder:
        work = Path(folder, "project")
        work.mkdir()
        if name == "GGUF files":
            environment["TOKENVIZ_CACHE"] = str(work / "cache")  # each file is converted into it
        command = [
            sys.executable,
            __file__,
            f"--reader={name}",
            "--seconds",
            str(seconds),
            "--seed",
            str(seed),
            "--to",
            str(kept),
        ]
        done = subprocess.run(command, cwd=work, env=environment, capture_output=True, text=True)
        if done.returncode:
            number = (kept / "current").read_text() if (kept / "current").exists() else "its beginning"
            lines = (kept / "findings.txt").read_text().splitlines() if (kept / "findings.txt").exists() else []
            crash = f"the process ended with {done.returncode} at {number}: {done.stderr[-500:]}"
            return {"tried": 0, "read": 0, "refused": 0, "findings": [*lines, crash]}
    return dict(json.loads(done.stdout.splitlines()[-1]))


def main() -> int:
    """Try all readers, or one; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60, help="for each reader")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="*", default=[], help="readers whose names hold these words")
    parser.add_argument("--to", type=Path, help="where the inputs of findings are kept; by default a new folder")
    parser.add_argument("--reader", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.reader:
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
        result = fuzz(arguments.reader, seconds=arguments.seconds, seed=arguments.seed, kept=arguments.to)
        print(json.dumps(result))
        return 0
    from fuzz_readers import READERS

    kept = arguments.to or Path(tempfile.mkdtemp(prefix="tokenviz-findings-"))
    names = [name for name in READERS if not arguments.only or any(word in name for word in arguments.only)]
    total = 0
    for name in names:
        found = _run(name, seconds=arguments.seconds, seed=arguments.seed, kept=kept / name.replace(" ", "-"))
        total += len(found["findings"])
        print(f"{name:18} {found['tried']:7,} tried {found['read']:7,} read {found['refused']:7,} refused "
              f"{len(found['findings']):3} findings", flush=True)  # fmt: skip
        for line in found["findings"]:
            print(f"    {line}", flush=True)
    print(f"{total} findings{f', their inputs in {kept}' if total else ''}")
    return 1 if total else 0


if __name__ == "__main__":
    sys.exit(main())
