"""The public names: which they are, and that each is found."""

import pytest

import tokenviz

NAMES = [
    "BosMode", "Comparison", "Grid", "GridResult", "Text", "TokenScores", "TokenvizError", "compare", "divergences",
    "experiment", "information", "literal", "load_model", "load_runs", "load_tokens", "read_text", "save_figure",
    "save_heatmap", "save_report", "score", "text_heatmap", "unity_scatter", "words",
]  # fmt: skip


def test_the_public_names_are_these() -> None:
    assert tokenviz.__all__ == NAMES
    assert list(tokenviz._HOMES) == NAMES
    assert dir(tokenviz) == sorted([*NAMES, "__version__"])


@pytest.mark.parametrize("name", NAMES)
def test_public_names_resolve(name: str) -> None:
    assert getattr(tokenviz, name) is not None


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match=r"^module 'tokenviz' has no attribute 'nonsense'$"):
        tokenviz.nonsense  # noqa: B018  the look-up is the test
