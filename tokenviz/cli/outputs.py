"""How the commands that score print for programs: one JSON object, or one CSV table."""

import json
import sys
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd


def print_json(document: Mapping[str, Any]) -> None:
    """One object on one line; what is missing is null."""
    # json.dump would write it piece by piece, in pure Python: three times as slow.
    sys.stdout.write(json.dumps(document, ensure_ascii=False, allow_nan=False) + "\n")


def print_csv(frames: "Iterable[pd.DataFrame]") -> None:
    """Tables of the same columns, one below the other."""
    from tokenviz.tables import write_csv

    for number, frame in enumerate(frames):
        write_csv(frame, sys.stdout, header=number == 0)
