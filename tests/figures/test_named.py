"""Figures by name: each drawn and written in one way, and saying what it shows."""

import re
from pathlib import Path

import pytest
from tables import long_pair

import tokenviz as tv
from tokenviz.base.errors import DiskError
from tokenviz.figures.named import FIGURES, OF_ONE_MODEL, Look, formats_of, save_named
from tokenviz.figures.origin import provenance_of
from tokenviz.figures.typeset.saving import together


@pytest.mark.parametrize("figure", FIGURES)
def test_every_figure_says_models_text_and_n_in_every_format(figure: str, tmp_path: Path) -> None:
    comparison = tv.compare(*long_pair(60))
    formats = [form for form in formats_of(figure) if form != "ansi"]
    paths = save_named(figure, comparison, tmp_path / "x", formats=formats, look=Look(width="acl"), about={"fingerprint": "f"})
    assert len(paths) == len(formats)
    for path in paths:
        about = provenance_of(path)
        assert (about["models"], about["text"], about["fingerprint"]) == (["a", "b"], "text", "f")
        assert "“text”" in about["caption"]
        assert "n = 59 of 60 tokens" in about["caption"]
        assert about["width_inches"] == pytest.approx(77 / 25.4)


@pytest.mark.parametrize("figure", OF_ONE_MODEL)
def test_one_models_figures(figure: str, tmp_path: Path) -> None:
    [path] = save_named(figure, long_pair(60)[0], tmp_path / "x", formats=["png"])
    assert provenance_of(path)["models"] == ["a"]


def test_a_caption_of_a_scatter_has_r_with_its_interval_or_none(tmp_path: Path) -> None:
    few = tv.compare(*long_pair(2))
    [path] = save_named("scatter", few, tmp_path / "few", formats=["png"])
    assert "Pearson’s r is not determined, n = 1 of 2 tokens." in provenance_of(path)["caption"]
    many = tv.compare(*long_pair(60))
    [path] = save_named("scatter", many, tmp_path / "many", formats=["png"])
    r = many.pearson_r
    assert (
        f"Pearson’s r = {r.value:.3f} (95 % interval {r.low:.3f} to {r.high:.3f}, resampled 15 blocks of 4 tokens), n = 59"
        in (provenance_of(path)["caption"])
    )


def test_files_appear_together_or_not_at_all(tmp_path: Path) -> None:
    def write(place: Path) -> list[Path]:
        (place.with_suffix(".one")).write_text("1")
        raise OSError(28, "No space left on device")

    message = f"cannot write the figure {str(tmp_path / 'x')!r}: No space left on device"
    with pytest.raises(DiskError, match=f"^{re.escape(message)}$"):
        together(tmp_path / "x", write)
    assert list(tmp_path.iterdir()) == []
