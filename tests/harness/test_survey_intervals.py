"""A survey's intervals that hold at once say their level, and a survey of three models says which is closer to which."""

from pathlib import Path

import pytest
from kills import draw_in_no_time

from experiments.model_survey import model_survey
from tokenviz.harness.session import ExperimentContext, running

MODELS = ["glass-en", "glass-en,dtype=bfloat16", "glass-en,dtype=float16"]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    draw_in_no_time(monkeypatch)


@pytest.mark.slow
def test_intervals_hold_at_once_on_request(project: Path) -> None:
    texts = []
    for number, line in enumerate(
        (
            "Alice was very tired of sitting by her sister on the bank.",
            "The Queen said: Off with her head!",
            "There was a table set out under a tree in front of the house.",
        )
    ):
        texts.append(str(project / f"t{number}.txt"))
        Path(texts[-1]).write_text(line + " " + line[::-1], encoding="utf-8")
    found = {}
    for simultaneous in (False, True):
        with running(ExperimentContext("model_survey")):
            found[simultaneous] = model_survey._function(MODELS, texts, simultaneous=simultaneous)
    plain, adjusted = (found[simultaneous].tables for simultaneous in (False, True))
    assert plain["closer"][["a", "b", "c"]].to_numpy().tolist() == [
        [MODELS[0], MODELS[1], MODELS[2]], [MODELS[1], MODELS[0], MODELS[2]], [MODELS[2], MODELS[0], MODELS[1]],
    ]  # fmt: skip
    for name, rows in (("pairs", 3), ("closer", 3), ("models", 3)):
        assert len(plain[name]) == rows
        assert plain[name]["intervals"].str.startswith("95 % intervals").all()
        assert adjusted[name]["intervals"].str.startswith("98.33 % intervals").all()
    difference = "r(ab) - r(ac)"
    assert plain["closer"][difference].tolist() == adjusted["closer"][difference].tolist()
    assert (adjusted["closer"][f"{difference} low"] < plain["closer"][f"{difference} low"]).all()
    assert plain["pairs"]["sign-flip p"].between(0.25, 1).all()
