"""Comparison figures through the data that their artists hold."""

import io
import math
from dataclasses import replace

import matplotlib
import numpy as np
import pytest
from matplotlib import pyplot as plt
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from matplotlib.text import Annotation, Text
from tables import NAN, long_pair, make_scores

from tokenviz.comparing.comparison import Comparison, compare
from tokenviz.figures.heatmap.measures import common_rows
from tokenviz.figures.plots.comparison import draw_unity_scatter, gap_bars, unity_scatter
from tokenviz.figures.plots.curves import along_text, draw_along_text, draw_entropy_calibration, entropy_calibration
from tokenviz.figures.plots.matrix import correlation_overview, draw_correlation_overview
from tokenviz.stats.estimate import Estimate

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


def title_of(figure: Figure) -> str:
    """The scatter's title, which stands above the upper histogram."""
    return figure.axes[0].get_title(loc="left").replace("\u00a0", " ")


def outside(figure: Figure) -> list[str]:
    """The texts of a figure that are not wholly in it."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    found = []
    # Matplotlib keeps labels of ticks beyond the limits; it does not draw them.
    beyond = [
        tick.label1
        for axes in (*figure.axes, *figure.axes[0].child_axes)
        for axis in (axes.xaxis, axes.yaxis)
        for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks())
        if not min(axis.get_view_interval()) <= tick.get_loc() <= max(axis.get_view_interval()) or not axes.axison
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
    title = title_of(unity_scatter(comparison))
    r, rho = comparison.pearson_r.value, comparison.spearman_rho.value
    assert title == f"cats\nr = {r:.3f}, ρ = {rho:.3f}, n = 5 tokens"


def test_scatter_names_each_axis_after_its_model_and_unit() -> None:
    axes = unity_scatter(comparison_of(A, B)).axes[0]
    assert axes.get_xlabel() == "log-prob by first (nats per token)"
    assert axes.get_ylabel() == "log-prob by second (nats per token)"


def test_scatter_of_two_tokenizers_is_over_segments() -> None:
    a = make_scores([["ab", "c", "d"]], [-1, -2, -4], tokenizer="a")
    b = make_scores([["a", "bc", "d"]], [-1, -3, -9], tokenizer="b")
    figure = unity_scatter(compare(a, b))
    assert offsets(figure).tolist() == [[-3, -4], [-4, -9]]
    assert "nats per segment" in figure.axes[0].get_xlabel()
    assert title_of(figure).endswith("r = –, ρ = –, n = 2 segments")


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
    assert axes.get_ylabel() == "log-prob (nats per token)"


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


MANY = np.random.default_rng(0)


def many(n: int) -> Comparison:
    a = MANY.exponential(3, n)
    return comparison_of([NAN, *-a[1:]], [NAN, *(-a[1:] * MANY.uniform(0.5, 1.5, n - 1))])


def names_of(figure: Figure) -> list[Text]:
    """The names written beside points: annotations with a line to the point."""
    return [text for text in figure.axes[0].texts if isinstance(text, Annotation) and text.arrow_patch is not None]


def test_scatter_names_the_units_that_differ_most() -> None:
    differences = [0.1, -5.0, 0.2, 3.0, -0.3, 4.0]
    a = [-6.0, -5.5, -1.0, -8.0, -2.0, -9.0]
    figure = unity_scatter(comparison_of(a, [x + d for x, d in zip(a, differences, strict=True)]), outliers=3)
    assert {(text.get_text(), tuple(text.xy)) for text in names_of(figure)} == {
        ("w1", (-5.5, -10.5)), ("w5", (-9.0, -5.0)), ("w3", (-8.0, -5.0)),
    }  # fmt: skip
    assert names_of(unity_scatter(comparison_of(a, a[::-1]), outliers=0)) == []


@pytest.mark.parametrize("width", ["acl", 4.6])
def test_names_do_not_overlap_and_stay_inside(width: float | str) -> None:
    # Eight points that differ most lie on top of each other.
    values = [-1.0, -2.0, -3.0] + [-9.0] * 8
    figure = unity_scatter(comparison_of(values, [-1.1, -2.1, -3.1] + [-1.0] * 8), width=width, outliers=8, font_size=7)
    names = names_of(figure)
    assert len(names) >= 5
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    # The box of an annotation includes its arrow: what is compared is the text alone.
    boxes = [Text.get_window_extent(name, canvas.get_renderer()) for name in names]
    for box in boxes:
        frame = figure.axes[0].get_window_extent()
        assert frame.x0 <= box.x0
        assert box.x1 <= frame.x1
    for i, first in enumerate(boxes):
        assert not any(first.overlaps(second) for second in boxes[i + 1 :])


@pytest.mark.parametrize(("n", "cells"), [(2001, False), (2002, True)])
def test_many_points_are_counted_in_cells(n: int, cells: bool) -> None:
    figure = unity_scatter(many(n))
    collection, *_ = figure.axes[0].collections
    assert isinstance(collection, PolyCollection) == cells
    if cells:
        assert collection.get_array().sum() == n - 1  # every scored point once, the first token not
        corner = figure.axes[0].child_axes[0]
        assert corner.get_title() == "tokens in a cell"
    assert outside(figure) == []


def test_margins_are_histograms_of_all_points() -> None:
    figure = unity_scatter(comparison_of(A, B))
    axes = figure.axes[0]
    assert axes.child_axes == []
    _, above, beside = axes.collections
    # The corners of each bar: the ends of its bin, and a share of the axes' size outside them that stands for its count.
    bars, turned = (np.array([path.vertices[:4] for path in one.get_paths()]) for one in (above, beside))
    for bar, place in ((bars, 0), (turned, 1)):
        values = (A, B)[place]
        lengths = np.ptp(bar[:, :, 1 - place], axis=1)
        counts = [
            len([value for value in values if corners[:, place].min() <= value < corners[:, place].max()]) for corners in bar
        ]
        assert sum(counts) == 5
        np.testing.assert_allclose(lengths, np.array(counts) * 0.13 / (1.05 * max(counts)), atol=1e-12)
        assert bar[:, :, 1 - place].min() == pytest.approx(1.02)
        assert (bar[:, :, place].min(), bar[:, :, place].max()) == axes.get_xlim()
    # They are in line with the points, whatever limits and size the axes are given.
    for limits in (axes.get_xlim(), (-20.0, 0.0)):
        axes.set(xlim=limits, ylim=limits)
        frame, edge = axes.get_window_extent(), axes.transData.transform((-9.0, -9.0))
        for one, place in ((above, 0), (beside, 1)):
            assert one.get_transform().transform((-9.0, -9.0))[place] == pytest.approx(edge[place])
            assert one.get_transform().transform((1.0, 1.0))[1 - place] == pytest.approx((frame.y1, frame.x1)[place])
            clip = one.get_clip_box()
            assert (clip.x0, clip.y0)[place] == pytest.approx((frame.x0, frame.y0)[place])
            assert (clip.x0, clip.y0)[1 - place] > (frame.x1, frame.y1)[1 - place]


def test_scatter_on_given_axes_has_its_title_and_no_margins() -> None:
    axes = Figure(figsize=(4, 4)).add_subplot()
    assert draw_unity_scatter(axes, comparison_of(A, B)) is axes
    assert axes.get_title(loc="left").startswith("cats\nr\u00a0=\u00a0")
    assert axes.child_axes == []


@pytest.mark.parametrize("width", ["acl", "ieee", 4.6])
def test_a_narrow_scatter_is_not_clipped(width: float | str) -> None:
    figure = unity_scatter(comparison_of(A, B, models=("a-model-of-28-characters-xxx",) * 2), width=width, font_size=7)
    assert outside(figure) == []


def three_models() -> list:
    a = make_scores([["ab", "c", "d", " e"], ["fg", "h"]], [-1, -2, -4, -0.5, -3, -1], model="a", tokenizer="a")
    b = make_scores([["a", "bc", "d", " e"], ["f", "gh"]], [-1, -3, -9, -0.25, -2, -7], model="b", tokenizer="b")
    c = make_scores([["abcd", " ", "e"], ["fg", "h"]], [-8, -1, NAN, -2, -1], model="c", tokenizer="c")
    return [a, b, c]


def test_models_with_other_tokenizers_share_the_segments_that_all_cut_alike() -> None:
    rows = common_rows(three_models())
    assert rows.by == "segment"
    assert rows.passage.tolist() == [0, 0, 1]  # "abcd", " e" and "fgh"
    np.testing.assert_array_equal(rows.logprobs, [[-7, -0.5, -4], [-13, -0.25, -9], [-8, NAN, -3]])


def test_models_with_one_tokenizer_share_their_tokens() -> None:
    tables = [make_scores([["a", " b"]], values, model=str(values)) for values in ([NAN, -1.0], [NAN, -2.0], [-3.0, -4.0])]
    rows = common_rows(tables)
    assert rows.by == "token"
    np.testing.assert_array_equal(rows.logprobs, [[NAN, -1], [NAN, -2], [-3, -4]])


def test_one_model_alone_is_along_its_tokens() -> None:
    rows = common_rows([make_scores([["a", " b"]], [NAN, -1.0])])
    assert rows.by == "token"
    np.testing.assert_array_equal(rows.logprobs, [[NAN, -1]])


def test_along_text_has_a_line_for_each_of_many_models_that_ends_with_its_passage() -> None:
    axes = along_text(three_models()).axes[0]
    lines = axes.get_lines()
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["a", "b", "c"]
    np.testing.assert_array_equal(lines[0].get_ydata(), [-7, -0.5, NAN, -4])
    np.testing.assert_array_equal(lines[1].get_ydata(), [-13, -0.25, NAN, -9])
    assert len({(line.get_color(), str(line.get_linestyle())) for line in lines}) == 3
    assert len({str(line._dash_pattern) for line in lines}) == 3


def test_a_running_mean_does_not_cross_passages() -> None:
    low, high = [-1.0] * 300, [-9.0] * 300
    scores = make_scores([[f" w{i}" for i in range(300)], [f" v{i}" for i in range(300)]], low + high)
    drawn = along_text([scores]).axes[0].get_lines()[0].get_ydata()
    assert np.isnan(drawn[300])
    # A mean over equal numbers is that number, up to the rounding of fifty sums.
    np.testing.assert_allclose(drawn[:300], -1.0, atol=1e-12)
    np.testing.assert_allclose(drawn[301:], -9.0, atol=1e-12)


def test_a_passage_shorter_than_the_window_has_its_own_mean() -> None:
    scores = make_scores([[f" w{i}" for i in range(500)], ["a", "b", "c"]], [-1.0] * 500 + [-3.0, -6.0, -9.0])
    drawn = along_text([scores]).axes[0].get_lines()[0].get_ydata()
    np.testing.assert_allclose(drawn[501:], -6.0, atol=1e-12)


def calibrated(entropies: list[float], logprobs: list[float], model: str = "m"):
    scores = make_scores([[f" w{i}" for i in range(len(logprobs))]], logprobs, model=model)
    return replace(scores, entropy=np.array(entropies))


def test_calibration_draws_the_means_of_each_bin_and_the_line_of_equality() -> None:
    entropies = [1.0] * 5 + [2.0] * 5 + [4.0] * 5
    table = calibrated(entropies, [-1.5] * 5 + [-2.0] * 5 + [-3.0, -4.0, -5.0, -6.0, -7.0])
    axes = entropy_calibration([table], bins=3).axes[0]
    points, equality = axes.get_lines()
    np.testing.assert_array_equal(points.get_xdata(), [1.0, 2.0, 4.0])
    np.testing.assert_array_equal(points.get_ydata(), [1.5, 2.0, 5.0])
    np.testing.assert_array_equal(equality.get_xdata(), equality.get_ydata())
    assert axes.get_xlim() == axes.get_ylim()
    [bars] = axes.collections
    heights = [segment[:, 1] for segment in bars.get_segments()]
    error = np.sqrt(2.5 / 5)  # variance of 3..7 over five tokens
    np.testing.assert_allclose(heights, [[1.5, 1.5], [2.0, 2.0], [5 - error, 5 + error]])
    [name] = [text.get_text() for text in axes.get_legend().get_texts()]
    assert " ".join(name.split()) == "m: entropy 2.33, surprisal 2.83, n = 15"


@pytest.mark.parametrize("logprobs", [[NAN], [NAN, -1.0]], ids=["nothing", "one"])
def test_hardly_any_data_has_a_calibration(logprobs: list[float]) -> None:
    figure = entropy_calibration([calibrated([NAN, 2.0][: len(logprobs)], logprobs)])
    figure.savefig(io.BytesIO(), format="png", dpi=40)
    assert len(figure.axes[0].get_lines()[0].get_xdata()) == len(logprobs) - 1


@pytest.mark.parametrize("width", ["acl", 4.6])
def test_a_narrow_calibration_is_not_clipped(width: float | str) -> None:
    tables = [calibrated([1.0, 2.0] * 20, [-1.0, -2.5] * 20, f"a-model-of-some-length-{i}") for i in range(3)]
    assert outside(entropy_calibration(tables, width=width, font_size=7)) == []


DRAWERS = {
    "scatter": lambda axes: draw_unity_scatter(axes, comparison_of(A, B)),
    "along": lambda axes: draw_along_text(axes, comparison_of(A, B)),
    "calibration": lambda axes: draw_entropy_calibration(axes, [comparison_of(A, B).a]),
    "overview": lambda axes: draw_correlation_overview(axes, [comparison_of(A, B)]),
}


@pytest.mark.parametrize("draw", DRAWERS.values(), ids=DRAWERS)
def test_drawing_on_given_axes_returns_them_and_touches_nothing_else(draw) -> None:
    figure = Figure(figsize=(6, 3))
    left, right = figure.subplots(1, 2)
    before = dict(matplotlib.rcParams)
    assert draw(left) is left
    assert dict(matplotlib.rcParams) == before
    assert plt.get_fignums() == []
    assert not right.has_data()
    assert len(figure.axes) == 2


NARROW = {
    "along": lambda: along_text(
        comparison_of([-1.0] * 500, [-2.0] * 500, name="a-text-with-a-long-name"), width="acl", font_size=7
    ),
    "overview": lambda: correlation_overview([comparison_of(A, B)], width="acl", font_size=7),
    "gaps": lambda: gap_bars(comparison_of(A, B, models=("a-model-of-28-characters-xxx",) * 2), width="acl"),
}


@pytest.mark.parametrize("draw", NARROW.values(), ids=NARROW)
def test_narrow_figures_are_not_clipped(draw) -> None:
    figure = draw()
    assert figure.get_figwidth() == pytest.approx(77 / 25.4)
    assert outside(figure) == []


def test_an_interval_is_drawn_and_printed_where_there_is_one() -> None:
    plain = comparison_of(A, B)
    known = replace(plain, pearson_r=Estimate(0.8, 5, low=0.6, high=0.9))
    axes = correlation_overview([known]).axes[0]
    [line] = axes.collections
    np.testing.assert_array_equal(line.get_segments()[0][:, 0], [0.6, 0.9])
    assert "with its 95 % interval" in axes.get_xlabel()
    unknown = correlation_overview([plain]).axes[0]
    assert "interval" not in unknown.get_xlabel()
    assert len(unknown.collections) == 0
    figure = unity_scatter(known, width="acl", font_size=7)
    assert "r = 0.800, 95 % interval 0.600 to 0.900, ρ" in " ".join(title_of(figure).split())
    assert outside(figure) == []
    long = replace(plain, pearson_r=Estimate(0.8, 5, low=0.6, high=0.9, drawn_from="1,043 blocks of 107 tokens"))
    figure = unity_scatter(long, width=2.8, font_size=10)
    assert title_of(figure).count("\n") > 4
    assert outside(figure) == []


def test_what_has_no_text_is_not_named() -> None:
    """Where a character is several tokens, the later ones have none of it."""
    tokens = ["a", "é", "", "b", "c"]
    tables = [make_scores([tokens], [NAN, x, y, -2.0, -3.5], model=model) for model, x, y in (("a", -9, -7), ("b", -1, -1))]
    assert [name.get_text() for name in names_of(unity_scatter(compare(*tables), outliers=1))] == ["é"]
    tables = [make_scores([tokens], [NAN, x, y, -2.0, -3.5], model=model) for model, x, y in (("a", -7, -9), ("b", -1, -1))]
    assert [name.get_text() for name in names_of(unity_scatter(compare(*tables), outliers=1))] == ["é"]


@pytest.mark.parametrize(("width", "font_size"), [(4.6, 9.0), ("acl", 9.0), ("acl", 7.0)])
def test_a_long_name_and_long_numbers_stay_on_the_page(width: float | str, font_size: float) -> None:
    models = ("smollm2-135m", "smollm2-135m,quantize=q4_0")
    figure = unity_scatter(
        comparison_of([-18.6, -0.1, -7.0], [-16.0, -0.2, -5.0], models=models), width=width, font_size=font_size
    )
    assert figure.axes[0].yaxis.get_tightbbox().x0 > -0.5  # pixels
    assert figure.axes[0].xaxis.get_tightbbox().y0 > -0.5


def test_a_line_that_lies_under_another_is_seen_as_its_rim() -> None:
    tables = [make_scores([["a", "b", "c"]], [NAN, -1, -2], model=name) for name in ("first", "second", "third")]
    lines = along_text(tables).axes[0].get_lines()
    assert [line.get_linewidth() for line in lines] == sorted((line.get_linewidth() for line in lines), reverse=True)
    assert len({line.get_linewidth() for line in lines}) == 3
    assert [line.get_zorder() for line in lines] == sorted(line.get_zorder() for line in lines)
