"""The list of mutants fits the code and the tests; whether each is killed is seen by `make mutants`."""

from pathlib import Path

import pytest
from mutants import MUTANTS, Mutant
from mutating import ROOT, faults, verdict_of


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutant_can_be_tried(mutant: Mutant) -> None:
    assert faults(mutant, ROOT) == []
    assert mutant.old != mutant.new


def test_no_two_mutants_have_one_name() -> None:
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A package of one function, with a test that notices and one that does not."""
    (tmp_path / "tokenviz").mkdir()
    (tmp_path / "tests").mkdir()
    (tmp_path / "tokenviz" / "sums.py").write_text("def double(x):\n    return 2 * x\n")
    (tmp_path / "tests" / "test_sums.py").write_text(
        "from tokenviz.sums import double\n\ndef test_it_doubles():\n    assert double(3) == 6\n\n"
        "def test_nothing():\n    assert double\n"
    )
    return tmp_path


@pytest.mark.slow
def test_a_break_is_noticed_by_a_test_that_proves_something_and_undone(tree: Path) -> None:
    whole = (tree / "tokenviz" / "sums.py").read_text()
    found = [
        verdict_of(Mutant("", "sums.py", "2 * x", new, f"test_sums::{test}"), tree)
        for new, test in (("3 * x", "test_it_doubles"), ("3 * x", "test_nothing"), ("2 *", "test_it_doubles"))
    ]
    assert found == ["killed", "SURVIVED", "NOT RUN"]
    assert (tree / "tokenviz" / "sums.py").read_text() == whole


def test_what_does_not_fit_is_said(tree: Path) -> None:
    assert faults(Mutant("a", "sums.py", "2 * y", "", "test_sums::test_it_doubles"), tree) == [
        "'a': tokenviz/sums.py holds '2 * y' 0 times, and must hold it once"
    ]
    assert faults(Mutant("a", "sums.py", "2 * x", "", "test_sums::test_other"), tree) == [
        "'a': there is no test test_sums::test_other"
    ]
