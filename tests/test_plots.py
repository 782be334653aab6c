"""Comparison figures through the data that their artists hold."""

import io
import math

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from tables import NAN, long_pair, make_scores

from tokenviz.comparing.comparison import Comparison, compare
from tokenviz.figures.plots import along_text, correlation_overview, unity_scatter

A = [NAN, -1.0, -2.5, -0.5, -4.0, -3.0]
B = [NAN, -2.0, -2.0, -1.0, -9.0, -3.5]
NAMES = ["$x$", "a_b^c", "$$", "\\frac", "<b>&", "line\nend", "日本語 한국어 🙂", "\x1b[31m", "_hidden", "long-name-" * 12]


def comparison_of(
    a: list[float], b: list[float], *, models: tuple[str, str] = ("first", "second"), name: str = "cats"
) -> Comparison:
    words = [f" w{number}" for number in range(len(a))]
    return compare(make_scores([words], a, model=models[0], name=name), make_scores([words], b, model=models[1], name=name))


def offsets(figure: Figure) -> np.ndarray:
    return np.asarray(figure.axes[0].collections[0].get_offsets())


def outside(figure: Figure) -> list[str]:
    """The texts of a figure that are not wholly in it."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    found = []
    # Matplotlib keeps labels of ticks beyond the limits; it does not draw them.
    beyond = [
        tick.label1
        for axis in (figure.axes[0].xaxis, figure.axes[0].yaxis)
        for tick in axis.get_major_ticks()
        if not min(axis.get_view_interval()) <= tick.get_loc() <= max(axis.get_view_interval())
    ]
    for text in figure.findobj(lambda artist: isinstance(artist, Text) and artist not in beyond):
        extent = text.get_window_extent(canvas.get_renderer())
        # Rounding to pixels moves an edge by at most one.
        inside = extent.x0 >= -1 and extent.x1 <= figure.bbox.x1 + 1 and extent.y0 >= -1 and extent.y1 <= figure.bbox.y1 + 1
        if text.get_text() and not inside:
            found.append(text.get_text())
    return found


def test_scatter_holds_the_pairs_that_both_models_scored() -> None:
    figure = unity_scatter(comparison_of([NAN, -1, NAN, -3, -4], [NAN, NAN, -2, -5, -6]))
    assert offsets(figure).tolist() == [[-3, -5], [-4, -6]]


def test_scatter_has_no_point_for_the_first_token() -> None:
    figure = unity_scatter(comparison_of(A, B))
    assert offsets(figure).tolist() == [list(pair) for pair in zip(A[1:], B[1:], strict=True)]


def test_scatter_has_equal_limits_that_hold_every_point() -> None:
    axes = unity_scatter(comparison_of(A, B)).axes[0]
    assert axes.get_xlim() == axes.get_ylim()
    assert axes.get_aspect() == 1
    assert axes.get_xlim()[0] < -9
    assert axes.get_xlim()[1] > 0


def test_scatter_has_the_line_on_which_both_agree() -> None:
    axes = unity_scatter(comparison_of(A, B)).axes[0]
    [line] = axes.get_lines()
    np.testing.assert_array_equal(line.get_xdata(), line.get_ydata())
    assert tuple(line.get_xdata()) == axes.get_xlim()


def test_scatter_says_r_rho_and_n() -> None:
    comparison = comparison_of(A, B)
    title = unity_scatter(comparison).axes[0].get_title(loc="left")
    r, rho = comparison.pearson_r.value, comparison.spearman_rho.value
    assert title == f"cats\nr = {r:.3f}, ρ = {rho:.3f}, n = 5 tokens"


def test_scatter_says_the_interval_where_there_is_one() -> None:
    comparison = compare(*long_pair())
    r, rho = comparison.pearson_r, comparison.spearman_rho
    title = unity_scatter(comparison).axes[0].get_title(loc="left")
    interval = f"r = {r.value:.3f}, 95 % interval {r.low:.3f} to {r.high:.3f}"
    assert title == f"text\n{interval}\nρ = {rho.value:.3f}, n = 199 tokens"
    assert outside(unity_scatter(comparison)) == []


def test_scatter_names_each_axis_after_its_model_and_unit() -> None:
    axes = unity_scatter(comparison_of(A, B)).axes[0]
    assert axes.get_xlabel() == "log-prob by first (nats a token)"
    assert axes.get_ylabel() == "log-prob by second (nats a token)"


def test_scatter_of_two_tokenizers_is_over_segments() -> None:
    a = make_scores([["ab", "c", "d"]], [-1, -2, -4], tokenizer="a")
    b = make_scores([["a", "bc", "d"]], [-1, -3, -9], tokenizer="b")
    figure = unity_scatter(compare(a, b))
    assert offsets(figure).tolist() == [[-3, -4], [-4, -9]]
    assert "nats a segment" in figure.axes[0].get_xlabel()
    assert figure.axes[0].get_title(loc="left").endswith("r = –, ρ = –, n = 2 segments")


@pytest.mark.parametrize("values", [[NAN, NAN], [NAN, 0.0], [NAN, -1.0]], ids=["nothing", "certain", "one"])
@pytest.mark.parametrize("draw", [unity_scatter, along_text])
def test_hardly_any_data_draws(draw, values: list[float]) -> None:
    draw(comparison_of(values, values)).savefig(io.BytesIO(), format="png", dpi=40)


def test_along_text_has_a_gap_where_a_model_scored_nothing() -> None:
    axes = along_text(comparison_of(A, [NAN, -1, NAN, -2, -3, -4])).axes[0]
    first, second = axes.get_lines()
    np.testing.assert_array_equal(first.get_ydata(), A)
    np.testing.assert_array_equal(second.get_ydata(), [NAN, -1, NAN, -2, -3, -4])
    np.testing.assert_array_equal(first.get_xdata(), range(6))


def test_along_text_names_its_lines_and_axes() -> None:
    axes = along_text(comparison_of(A, B)).axes[0]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["first", "second"]
    assert axes.get_xlabel() == "token of cats, in reading order"
    assert axes.get_ylabel() == "log-prob (nats a token)"


def test_along_text_tells_its_lines_apart_without_colour() -> None:
    first, second = along_text(comparison_of(A, B)).axes[0].get_lines()
    assert first.get_linestyle() != second.get_linestyle()


@pytest.mark.parametrize(("n", "smoothed"), [(400, False), (401, True)])
def test_along_a_long_text_is_a_running_mean_and_says_so(n: int, smoothed: bool) -> None:
    values = [NAN, *np.random.default_rng(0).uniform(-9, 0, n - 1)]
    axes = along_text(comparison_of(values, values)).axes[0]
    assert ("mean over 51 tokens" in axes.get_xlabel()) == smoothed
    drawn = axes.get_lines()[0].get_ydata()
    if not smoothed:
        np.testing.assert_array_equal(drawn, values)
        return
    expected = [np.nanmean(values[max(0, i - 25) : i + 26]) for i in range(n)]
    # Sums of fifty numbers in another order.
    np.testing.assert_allclose(drawn, expected, rtol=0, atol=1e-10)


def test_a_running_mean_counts_missing_values_as_missing() -> None:
    values = np.full(500, -4.0)
    values[100:180] = NAN  # longer than the window
    drawn = along_text(comparison_of(list(values), list(values))).axes[0].get_lines()[0].get_ydata()
    assert np.isnan(drawn[125:155]).all()
    np.testing.assert_allclose(drawn[~np.isnan(drawn)], -4.0, atol=1e-12)  # a mean of equal numbers, summed


def test_overview_has_a_dot_for_every_pair_at_its_text() -> None:
    comparisons = [
        comparison_of(A, B, name="cats"),
        comparison_of(A, [NAN, -1.0, -2.0, -0.4, -3.0, -3.0], name="dogs"),
        comparison_of(A, [NAN, -4.0, -3.0, -2.0, -1.0, -0.5], models=("first", "third"), name="cats"),
    ]
    axes = correlation_overview(comparisons).axes[0]
    dots = axes.get_lines()
    assert [label.get_text() for label in axes.get_yticklabels()] == ["cats", "dogs"]
    assert axes.get_yticks().tolist() == [0, 1]
    np.testing.assert_array_equal(dots[0].get_xdata(), [comparisons[0].pearson_r.value, comparisons[1].pearson_r.value])
    np.testing.assert_array_equal(dots[1].get_xdata(), [comparisons[2].pearson_r.value])
    assert [round(row) for row in (*dots[0].get_ydata(), *dots[1].get_ydata())] == [0, 1, 0]
    assert dots[0].get_ydata()[0] != dots[1].get_ydata()[0]
    assert dots[0].get_marker() != dots[1].get_marker()


def test_overview_has_a_line_over_each_interval_and_none_where_there_is_none() -> None:
    short, long = comparison_of(A, B, models=("a", "b"), name="short"), compare(*long_pair(name="long"))
    axes = correlation_overview([short, long]).axes[0]
    [lines] = axes.collections
    [segment] = lines.get_segments()
    dots = axes.get_lines()[0]
    r = long.pearson_r
    np.testing.assert_array_equal(segment[:, 0], [r.low, r.high])
    assert (segment[:, 1] == dots.get_ydata()[1]).all()
    assert axes.get_xlim()[0] < r.low


def test_overview_names_its_pairs() -> None:
    figure = correlation_overview([comparison_of(A, B), comparison_of(A, B, models=("first", "third"))])
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["first and second", "first and third"]


def test_overview_has_no_dot_where_the_correlation_is_not_determined() -> None:
    figure = correlation_overview([comparison_of(A[:2], B[:2], name="short"), comparison_of(A, B)])
    drawn = figure.axes[0].get_lines()[0].get_xdata()
    assert math.isnan(drawn[0])
    assert not math.isnan(drawn[1])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("draw", [unity_scatter, along_text, lambda c: correlation_overview([c])], ids=["xy", "along", "r"])
def test_any_name_draws_inside_the_figure(draw, name: str) -> None:
    figure = draw(comparison_of(A, B, models=(name, f"{name}2"), name=name))
    for form in ("png", "svg", "pdf"):
        figure.savefig(io.BytesIO(), format=form, dpi=60)
    assert outside(figure) == []


@pytest.mark.parametrize("draw", [along_text, lambda c: correlation_overview([c])], ids=["along", "r"])
def test_a_name_that_begins_with_an_underscore_is_in_the_legend(draw) -> None:
    figure = draw(comparison_of(A, B, models=("_a", "_b")))
    legend = figure.legends[0] if figure.legends else figure.axes[0].get_legend()
    assert " and ".join(text.get_text() for text in legend.get_texts()) == "_a and _b"


@pytest.mark.parametrize("n", [10, 1000])
def test_the_labels_along_a_text_are_inside_the_figure(n: int) -> None:
    assert outside(along_text(comparison_of([-1.0] * n, [-2.0] * n, name="a long name of a text, for a label"))) == []


def test_an_overview_of_many_pairs_shows_every_mark_apart() -> None:
    pairs = [(f"m{i}", f"m{j}") for i in range(5) for j in range(i)]
    figure = correlation_overview([comparison_of(A, B, models=pair, name=text) for pair in pairs for text in ("cats", "dogs")])
    axes = figure.axes[0]
    heights = [height for line in axes.get_lines() for height in line.get_ydata()]
    assert len(set(np.round(heights, 6))) == 20
    assert all(min(axes.get_ylim()) < height < max(axes.get_ylim()) for height in heights)
    assert {round(height) for height in heights} == {0, 1}  # no text's marks reach into another's row
    assert len({(line.get_marker(), line.get_color()) for line in axes.get_lines()}) == len(pairs)


def test_an_overview_tells_segments_from_tokens() -> None:
    other = compare(make_scores([["ab", "c"]], [NAN, -1], model="x"), make_scores([["a", "bc"]], [NAN, -1], model="y"))
    same = comparison_of(A, B)
    marks = correlation_overview([same, other]).axes[0].get_lines()
    assert [mark.get_fillstyle() for mark in marks] == ["full", "none"]
