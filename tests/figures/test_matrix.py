"""The matrix of models through the artists that it holds."""

import io
import math

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from tokenviz.figures.plots.matrix import draw_model_matrix, model_matrix
from tokenviz.figures.typeset.colours import contrast
from tokenviz.stats.estimate import Estimate

NAMES = ["smollm2-135m", "smollm2-135m,quantize=q4_0", "gemma3-270m"]


def estimate(value: float) -> Estimate:
    return Estimate(value, 100, low=value - 0.1, high=value + 0.1)


def cells(*, both_ways: bool = False) -> dict[tuple[str, str], Estimate]:
    found = {(NAMES[0], NAMES[1]): estimate(0.9), (NAMES[0], NAMES[2]): estimate(0.5), (NAMES[1], NAMES[2]): estimate(0.3)}
    return found | {(b, a): estimate(one.value + 0.05) for (a, b), one in found.items()} if both_ways else found


def shown(figure: Figure) -> dict[tuple[int, int], str]:
    """The words in each cell, by row and column."""
    found: dict[tuple[int, int], str] = {}
    for text in figure.axes[0].texts:
        x, y = text.get_position()
        place = (round(y), round(x))
        found[place] = f"{found.get(place, '')} {text.get_text()}".strip()
    return found


def patches(figure: Figure) -> dict[tuple[int, int], Rectangle]:
    return {(round(one.get_y() + 0.5), round(one.get_x() + 0.5)): one for one in figure.axes[0].patches}  # the last of each


def test_a_number_that_is_the_same_both_ways_stands_below_the_diagonal() -> None:
    figure = model_matrix(cells(), title="Pearson's r", limits=(0, 1))
    found = shown(figure)
    assert set(found) == {(1, 0), (2, 0), (2, 1)}
    assert found[1, 0] == "0.900 0.800 to 1.000"
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == [
        f"{name}  {number}" for number, name in enumerate(NAMES, start=1)
    ]
    assert [label.get_text() for label in figure.axes[0].get_xticklabels()] == ["1", "2", "3"]


def test_a_number_with_a_direction_stands_in_its_row_and_column() -> None:
    found = shown(model_matrix(cells(both_ways=True), title="KL"))
    assert len(found) == 6
    assert found[0, 1].startswith("0.900")  # of the column's model from the row's
    assert found[1, 0].startswith("0.950")


def test_darker_is_more_and_words_can_be_read_on_every_colour() -> None:
    figure = model_matrix(cells(), title="r", limits=(0, 1))
    light = {place: sum(to_rgb(one.get_facecolor())) for place, one in patches(figure).items()}
    assert light[1, 0] < light[2, 0] < light[2, 1]
    for text in figure.axes[0].texts:
        x, y = text.get_position()
        ground = to_rgb(patches(figure)[round(y), round(x)].get_facecolor())
        assert contrast(ground, to_rgb(text.get_color())) >= 4.5


def test_what_is_not_determined_is_a_dash_without_a_colour() -> None:
    figure = model_matrix({(NAMES[0], NAMES[1]): Estimate(math.nan, 0), (NAMES[0], NAMES[2]): estimate(0.5)}, title="r")
    assert shown(figure)[1, 0] == "–"
    only = model_matrix({(NAMES[0], NAMES[1]): Estimate(math.nan, 0)}, title="r")
    assert shown(only)[1, 0] == "–"


@pytest.mark.parametrize("width", ["acl", 7.0])
def test_nothing_is_clipped(width: float | str) -> None:
    names = [f"a-model-with-a-long-name-{i},quantize=q4_0" for i in range(5)] + ["$x_1$", "日本語"]
    many = {(a, b): estimate(0.5) for i, a in enumerate(names) for b in names[:i]}
    figure = model_matrix(many, title="Lin's concordance of the log-probs", width=width)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    axes = figure.axes[0]
    cell = axes.get_window_extent().width / len(names)
    assert all(text.get_window_extent().width <= cell for text in axes.texts)
    for text in [*axes.texts, *axes.get_xticklabels(), *axes.get_yticklabels(), axes.title, axes._left_title]:
        box = text.get_window_extent()
        assert not text.get_text() or figure.bbox.padded(1).contains(box.x0, box.y0), text.get_text()
        assert not text.get_text() or figure.bbox.padded(1).contains(box.x1, box.y1), text.get_text()


def test_intervals_are_left_out_where_cells_are_narrow() -> None:
    names = [f"model-{i}" for i in range(9)]
    many = {(a, b): estimate(0.5) for i, a in enumerate(names) for b in names[:i]}
    assert {text.get_text() for text in model_matrix(many, title="r", width="acl").axes[0].texts} == {"0.500"}
    assert "0.400 to 0.600" in {text.get_text() for text in model_matrix(many, title="r").axes[0].texts}


def test_it_can_be_drawn_into_another_figure() -> None:
    figure = Figure()
    axes = figure.subplots()
    assert draw_model_matrix(axes, cells(), title="r", font_size=7.0) is axes
    figure.savefig(io.BytesIO(), format="png")
