"""What a newcomer types first in Python: it works, or one line says what is wanted."""

from pathlib import Path

from tables import make_scores

import tokenviz as tv
from tokenviz.figures import along_text, correlation_overview, entropy_calibration
from tokenviz.figures.origin import provenance_of
from tokenviz.models.loading import LoadedModel


def test_a_model_spec_is_a_model(project: Path, glass: LoadedModel) -> None:
    named, loaded = (tv.score(model, "Alice was very tired.") for model in ("glass-en", glass))
    assert named.to_json() == loaded.to_json()
    found = tv.divergences("glass-en", "glass-en,dtype=bfloat16", "Alice was very tired.")
    assert (found.model_a, found.model_b) == ("glass-en", "glass-en,dtype=bfloat16")


def test_one_string_is_one_model_and_one_text(project: Path) -> None:
    grid = tv.Grid("glass-en", "correlation")
    (run,) = grid.score()
    assert (run.model, run.text) == ("glass-en", "correlation")
    assert tv.Grid("glass-en", tv.literal("Alice.", name="alice")).score()[0].text == "alice"


def test_a_sample_is_found_by_its_name(project: Path) -> None:
    assert tv.read_text("correlation").passages == ((project / "experiments/texts/correlation.txt").read_text(),)


def test_a_heatmap_is_saved_as_it_is_shown_in_the_formats_of_the_endings(tmp_path: Path) -> None:
    heatmap = tv.text_heatmap(
        make_scores([["one", " two", " three"]]), measure="surprisal_bits", limits=(0, 8), colours="cividis"
    )
    names = ["a.b.svg", "a.b.tex", "a.b-document.tex", "a.b.ansi", "c.png"]
    paths = heatmap.save(*(tmp_path / name for name in names), width=3.0, title=False)
    assert paths == [tmp_path / name for name in names]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names)
    about = provenance_of(paths[0])
    assert [about[name] for name in ("measure", "colours", "limits", "width_inches", "title")] == [
        "surprisal_bits", "cividis", [0, 8], 3.0, False,
    ]  # fmt: skip
    assert "\\documentclass" in paths[2].read_text()
    assert "\\documentclass" not in paths[1].read_text()


def test_a_figure_without_a_title_has_that_of_its_file(tmp_path: Path) -> None:
    from PIL import Image

    a, b = (make_scores([["one", " two", " three", " four"]], model=name) for name in "ab")
    (path,) = tv.save_figure(tv.unity_scatter(tv.compare(a, b)), tmp_path / "scatter.png")
    with Image.open(path) as image:
        assert image.info["Title"] == "scatter"


def test_one_where_several_may_be_is_drawn(glass: LoadedModel, tmp_path: Path) -> None:
    scores, other = (tv.score(glass, "A b", context=context) for context in (8, 128))
    assert along_text(scores).axes[0].get_lines()
    assert entropy_calibration(scores).axes[0].get_lines()
    assert correlation_overview(tv.compare(scores, other)).axes[0].get_lines()
    scores.save(str(tmp_path / "a.parquet"))
    assert tv.TokenScores.load(str(tmp_path / "a.parquet")).to_json() == scores.to_json()
