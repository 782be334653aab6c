"""Tables for papers: what stands in them, and that LaTeX takes hostile names."""

import json
import math
import re

import pandas as pd

from tokenviz.figures.typeset.latex import frame_booktabs

FRAME = pd.DataFrame(
    {
        "n": [100, 2000],
        "a": ["smollm2-135m", "smollm2-135m"],
        "b": ["x_1,quantize=q4_0", "50% & $\\alpha$ #{}~^"],
        "r": [0.95123, math.nan],
        "r low": [0.94, math.nan],
        "r high": [0.96, math.nan],
        "KL": [-0.25, 12345.0],
    }
)


def rows(text: str) -> list[list[str]]:
    inner = text[text.index("\\midrule") : text.index("\\bottomrule")].splitlines()[1:]
    return [[part.strip() for part in re.split(r"(?<!\\)&", line.removesuffix("\\\\"))] for line in inner]


def test_words_come_first_and_an_interval_stands_behind_its_number() -> None:
    text = frame_booktabs(FRAME, {"run": "1"})
    assert "\\begin{tabular}{@{}llrrr@{}}" in text
    assert "a & b & n & r & KL \\\\" in text
    first, second = rows(text)
    assert first[0] == "smollm2-135m"
    assert first[2:] == ["100", "0.951 [0.940, 0.960]", "$-$0.25"]
    assert second[0] == ""  # as above
    assert second[2:] == ["2,000", "--", "1.234e+04"]


def test_signs_of_names_are_only_signs() -> None:
    text = frame_booktabs(FRAME, {})
    assert "x\\_1,quantize=q4\\_0" in text
    assert "50\\% \\&" in text
    assert "$\\alpha$" not in text


def test_a_comment_says_what_made_it() -> None:
    first = frame_booktabs(FRAME, {"fingerprint": "abc", "note": "line\nend"}).splitlines()[0]
    assert json.loads(first[first.index("{", first.index("booktabs}") + 9) :]) == {"fingerprint": "abc", "note": "line\nend"}
