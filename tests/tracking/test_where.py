"""The line that says which runs are meant."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenviz.base.errors import StoreError
from tokenviz.tracking.where import mlflow_filter, parse_where

SCORE = {"kind": "score", "model": "gpt2", "text": "passage_vi", "n_scored": 40.0, "context": "1024"}
PAIR = {"kind": "comparison", "model": "", "model_a": "gpt2", "model_b": "gpt2-large", "text": "narrative", "pearson_r": 0.94}


@pytest.mark.parametrize(
    ("line", "score", "pair"),
    [
        ("model=gpt2", True, True),
        ("model=gpt2-large", False, True),
        ("model!=gpt2-large", True, False),
        ("model_a=gpt2", False, True),
        ("text~VI", True, False),
        ("text~narr", False, True),
        ("r<0.9", False, False),
        ("r>=0.94", False, True),
        ("rho>0", False, False),
        ("n_scored=40", True, False),
        ("context<1025", True, False),
        ("context < 200", False, False),
        ("not r<0.95", True, False),
        ("kind=score or r>0.9", True, True),
        ("kind=score or r>0.9 and r<0.91", True, False),
        ("(kind=score or r>0.9) and text=narrative", False, True),
        ("kind=score AND model~gpt", True, False),
        ("text='passage_vi'", True, False),
        ('text="no such"', False, False),
    ],
)
def test_a_line_means_what_it_says(line: str, score: bool, pair: bool) -> None:
    where = parse_where(line)
    assert (where.holds(SCORE), where.holds(PAIR)) == (score, pair)


def test_a_value_may_hold_commas_and_equals_signs() -> None:
    where = parse_where("model=gpt2,quantize=q4_0 and text=x")
    assert where.holds({"model": "gpt2,quantize=q4_0", "text": "x"})
    assert not where.holds({"model": "gpt2", "text": "x"})


def test_the_fields_of_a_line_are_known() -> None:
    assert parse_where("not (r<1 or text~x) and kind=score").fields() == {"pearson_r", "text", "kind"}


@given(st.text(max_size=40))
def test_any_line_is_read_or_refused(line: str) -> None:
    try:
        where = parse_where(line)
    except StoreError:
        return
    assert where.fields()


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("kind=score", "tags.`tokenviz.kind` = 'score'"),
        ("kind=score and text=a and r<0.9", "tags.`tokenviz.kind` = 'score' and tags.`tokenviz.text` = 'a'"),
        ("kind=score or text=a", ""),
        ("not kind=score", ""),
        ("model=gpt2", ""),
        ('text="it\'s"', ""),
        ("text='a`b'", ""),
    ],
)
def test_what_mlflow_decides_is_what_every_run_must_have(line: str, expected: str) -> None:
    assert mlflow_filter(parse_where(line)) == expected


def test_nothing_asked_is_no_filter() -> None:
    assert mlflow_filter(None) == ""
