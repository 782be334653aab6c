"""The text heatmap through its artists: what is written, in which colour, where, and on which page."""

import io
import itertools
import warnings
from dataclasses import replace

import matplotlib
import numpy as np
import pytest
from matplotlib import pyplot as plt
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from tables import NAN, falling, make_scores

from tokenviz.base.errors import FigureError
from tokenviz.data.scores import TokenScores
from tokenviz.data.spans import Span
from tokenviz.figures.heatmap.definition import Source, text_heatmap
from tokenviz.figures.heatmap.drawing import draw_heatmap, heatmap_pages
from tokenviz.figures.heatmap.measures import MEASURES
from tokenviz.figures.typeset import fonts
from tokenviz.figures.typeset.colours import ColourScale, contrast
from tokenviz.figures.typeset.fonts import drawable, fonts_for
from tokenviz.figures.typeset.saving import inches

WORDS = ["The", " cat", " sat", " on", " the", " mat", "."]
HOSTILE = {
    "dollars": ["$$", "$x$", "$", "\\$"],
    "TeX": ["_", "%", "\\", "\\frac{1}", "{", "}", "#", "~", "^"],
    "markup": ["<script>", "alert('x')", "</script>", "&", "&amp;", '"', "'", "]]>", "<!--", "-->"],
    "line ends": ["a\n", "\r\n", "\r", "\n\n", "\u2028", "\x85", "\x0b", "\x0c"],
    "escape sequences": ["\x1b[31m", "\x1b]0;title\x07", "\x9b2J"],
    "controls": ["\0", "\x01", "\x08", "\x7f", "\x80", "\ufffe", "\uffff"],
    "invisible": ["\u200d", "\ufe0f", "\u202e", "\u200b", "\xad", "\ufeff", "\u0301"],
    "scripts": ["Việt", "سلام", "שלום", "漢字", "한국어", "पानी", "น้ำ", "🙂", "👨‍👩‍👧", "\U000e0020", "𝔘"],
}


def pages(source: Source, *, width: float | str = 7.0, font_size: float = 9.0, **settings) -> list[Figure]:
    return heatmap_pages(text_heatmap(source, **settings), width=width, font_size=font_size)


def scale_of(source: Source, **settings) -> ColourScale:
    return text_heatmap(source, **settings).scale


def cells(figure: Figure) -> list[Text]:
    """The pieces of text that stand in boxes: they alone are aligned by their baseline."""
    return [text for text in figure.axes[0].texts if text.get_va() == "baseline"]


def labels(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.axes[0].texts if text.get_va() != "baseline"]


def panels(figure: Figure) -> list[list[str]]:
    """The strings in the boxes of each panel: a panel begins with a heading that counts its tokens."""
    found: list[list[str]] = []
    for text in figure.axes[0].texts:
        if "tokens scored" in text.get_text():
            found.append([])
        elif text.get_va() == "baseline":
            found[-1].append(text.get_text())
    return found


def as_drawn(scores: TokenScores) -> str:
    text = "".join(scores.token)
    return drawable(text, fonts_for(set(text))[1])


def save_everywhere(figure: Figure) -> None:
    for form in ("png", "svg", "pdf"):
        figure.savefig(io.BytesIO(), format=form, dpi=40)


def outside(figure: Figure) -> list[str]:
    """The texts that are not wholly in the figure."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    box = figure.bbox
    return [
        text.get_text()
        for text in figure.axes[0].texts
        for extent in [text.get_window_extent(canvas.get_renderer())]
        # Rounding to pixels moves an edge by at most one pixel.
        if extent.x0 < box.x0 - 1 or extent.x1 > box.x1 + 1 or extent.y0 < box.y0 - 1 or extent.y1 > box.y1 + 1
    ]


def test_boxes_stand_under_their_text() -> None:
    [figure] = pages(make_scores([WORDS * 8]))
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    to_pixels = figure.axes[0].transData
    boxes = [to_pixels.transform(path.vertices) for path in figure.axes[0].collections[0].get_paths()]
    for cell, box in zip(cells(figure)[1:], boxes, strict=True):
        extent = cell.get_window_extent(canvas.get_renderer())
        # The ink may come a pixel nearer than the font's own widths say, from hinting.
        assert box[:, 0].min() - 1 <= extent.x0
        assert extent.x1 <= box[:, 0].max() + 1
        assert box[:, 1].min() - 1 <= extent.y0
        assert extent.y1 <= box[:, 1].max() + 1


def test_text_is_readable_on_its_box() -> None:
    [figure] = pages(make_scores([WORDS * 6], falling(42)))
    backgrounds = figure.axes[0].collections[0].get_facecolors()[:, :3]
    inks = [cell.get_color() for cell in cells(figure)[1:]]
    assert set(inks) == {"black", "white"}
    for background, ink in zip(backgrounds, inks, strict=True):
        assert contrast(tuple(background), (0.0,) * 3 if ink == "black" else (1.0,) * 3) >= 4.5


def test_an_unscored_token_has_a_look_of_its_own_and_no_place_on_the_scale() -> None:
    [figure] = pages(make_scores([WORDS, WORDS]))
    scored, unscored = figure.axes[0].collections[:2]
    assert len(scored.get_paths()) == 12
    assert len(unscored.get_paths()) == 3  # and the sample in the legend
    assert unscored.get_hatch()
    assert unscored.get_facecolors()[:, :3].tolist() == [[1, 1, 1]]
    assert unscored.get_linestyle() != scored.get_linestyle()
    assert "not scored: no prediction, and no part in the scale" in labels(figure)


def test_limits_are_printed_and_do_not_include_the_unscored() -> None:
    [figure] = pages(make_scores([WORDS], [NAN, -1.5, -7, -2, -3, -3, -5]))
    assert {"−7.00", "−1.50", "log-prob (nats)"} <= set(labels(figure))
    assert "0.00" not in labels(figure)


def test_given_limits_are_taken() -> None:
    [figure] = pages(make_scores([WORDS]), limits=(-12, 0))
    assert {"−12.00", "0.00"} <= set(labels(figure))


def test_the_colour_bar_runs_from_light_to_dark() -> None:
    [figure] = pages(make_scores([WORDS]))
    strips = figure.axes[0].collections[2].get_facecolors()[:, :3]
    scale = scale_of(make_scores([WORDS]))
    assert len(strips) == 64
    # A strip is drawn in the colour of its middle: a 128th of the scale, two of the map's 256 steps, from the end.
    np.testing.assert_allclose(strips[[0, -1]], [scale.colour(scale.low), scale.colour(scale.high)], atol=0.02)


def test_headings_say_which_model_and_how_much_was_scored() -> None:
    [figure] = pages(make_scores([WORDS], [NAN, -1, -2, -3, -1, -2, -3], model="glass-en", name="cats"))
    assert labels(figure)[:2] == [
        "Log-prob of each token of “cats”",
        "glass-en: 6 of 7 tokens scored, mean −2.00 nats per token",
    ]


@pytest.mark.parametrize("tokens", HOSTILE.values(), ids=HOSTILE)
def test_any_text_draws_and_saves(tokens: list[str]) -> None:
    scores = make_scores([["A", *tokens, " end"]])
    [figure] = pages([scores, scores])
    save_everywhere(figure)
    assert "".join(panels(figure)[0]) == "".join(panels(figure)[1]) == as_drawn(scores)
    assert outside(figure) == []


@pytest.mark.parametrize("tokens", HOSTILE.values(), ids=HOSTILE)
def test_any_text_draws_with_the_packaged_fonts_alone(tokens: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fonts, "_installed", frozenset)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # matplotlib warns of a character without a glyph
        for figure in pages(make_scores([["A", *tokens]])):
            save_everywhere(figure)


def test_characters_without_a_font_are_explained_on_the_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fonts, "_installed", frozenset)
    [figure] = pages(make_scores([["A", " 🙂"]]))
    assert cells(figure)[1].get_text() == " ⟨1F642⟩"
    assert "⟨...⟩: the code point of a character that no installed font has" in labels(figure)
    assert outside(figure) == []


@pytest.mark.parametrize(
    "name",
    ["$x$", "a_b^c", "$$", "\\frac", "<b>&", "line\nend", "日本語 한국어 🙂", "\x1b[31m", "long-name-" * 30],
)
def test_any_name_draws(name: str) -> None:
    [figure] = pages(make_scores([WORDS], name=name, model=name))
    save_everywhere(figure)
    assert outside(figure) == []
    assert not any(text.get_parse_math() for text in figure.axes[0].texts)


def test_a_long_name_keeps_its_ends_and_the_counts() -> None:
    model = "/home/a/folder" + "/of/models" * 20 + "/final,dtype=bfloat16"
    [figure] = pages(make_scores([WORDS], model=model))
    heading = labels(figure)[1]
    assert heading.startswith("/home/a/folder/of")
    assert heading.endswith("/final,dtype=bfloat16:")
    assert "…" in heading
    assert labels(figure)[2] == "6 of 7 tokens scored, mean −2.25 nats per token"


@pytest.mark.parametrize(
    "tokens",
    [
        ["see", " https://example.org/" + "very-long_path%20" * 30, " for", " more"],
        ["x" * 1500],
        ["水" * 300, "한" * 200],
        [" word"] * 1000,
        ["W" * 40, " ", "i" * 400],
        ["    " * 60, "\t" * 200, "def"],
    ],
    ids=["URL", "one token", "wide signs", "thousand tokens", "wide letters", "indentation"],
)
def test_nothing_lies_outside_the_figure(tokens: list[str]) -> None:
    for figure in pages(make_scores([tokens])):
        assert outside(figure) == []


def overlapping(figure: Figure) -> list[tuple[str, str]]:
    """Pairs of headings and words of the legend that share more than a pixel's rim."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    boxes = [
        (text.get_text(), text.get_window_extent(canvas.get_renderer()).padded(-1))
        for text in figure.axes[0].texts
        if text.get_va() != "baseline"
    ]
    return [(a, b) for (a, first), (b, second) in itertools.combinations(boxes, 2) if first.overlaps(second)]


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize(
    ("width", "font_size"), [("acl", 9), ("acl", 6), (1.5, 7), ("ieee", 8), ("neurips", 9), (11.0, 9), (7.0, 24)]
)
def test_no_heading_or_legend_is_clipped_or_overlaps_at_any_width(measure: str, width: float | str, font_size: float) -> None:
    a = make_scores([WORDS * 3], falling(21), model="a-model-with-a-name", name="a text with a name")
    b = make_scores([WORDS * 3], falling(21)[::-1], model="another-model,dtype=bfloat16", name="a text with a name")
    source = [a, b] if measure == "difference" else a
    [figure] = pages(source, measure=measure, width=width, font_size=font_size)
    assert figure.get_figwidth() == pytest.approx(inches(width))
    assert outside(figure) == []
    assert overlapping(figure) == []


def test_fonts_have_the_size_that_is_asked_for() -> None:
    [figure] = pages(make_scores([WORDS]), font_size=7.5)
    assert {cell.get_fontsize() for cell in cells(figure)} == {7.5}


def test_long_texts_are_paged_and_every_token_stands_on_one_page() -> None:
    tokens = [f" w{number}" for number in range(1500)]
    figures = pages(make_scores([tokens]))
    assert len(figures) > 2
    assert [cell.get_text() for figure in figures for cell in cells(figure)] == tokens
    titles = [labels(figure)[0] for figure in figures]
    assert titles == [f"Log-prob of each token of “text” (page {i} of {len(figures)})" for i in range(1, len(figures) + 1)]
    bare = heatmap_pages(text_heatmap(make_scores([tokens])), title=False)
    assert [labels(figure)[0] for figure in bare] == [f"page {i} of {len(figures)}" for i in range(1, len(figures) + 1)]


def test_pages_of_two_models_show_the_same_stretch_of_text() -> None:
    words = [f" word{number}" for number in range(700)]
    text = "".join(words)
    half = len(words) // 2
    split = len("".join(words[:half]))
    a = make_scores([words[:half], words[half:]], tokenizer="a")
    b = make_scores(
        [[text[i : min(i + 3, split)] for i in range(0, split, 3)], [text[i : i + 3] for i in range(split, len(text), 3)]],
        model="model-b", tokenizer="b",
    )  # fmt: skip
    figures = pages([a, b])
    assert len(figures) > 2
    drawn = [panels(figure) for figure in figures]
    for number, scores in enumerate((a, b)):
        assert "".join(itertools.chain.from_iterable(page[number] for page in drawn)) == "".join(scores.token)
    for page in drawn:
        first, second = ("".join(panel) for panel in page)
        # A token of the second model begins on the page on which its first character stands.
        assert abs(len(first) - len(second)) <= 4


def test_colours_are_the_same_on_every_page() -> None:
    scores = make_scores([[f" w{number}" for number in range(1500)]], falling(1500))
    figures = pages(scores)
    scale = scale_of(scores)
    colours = np.concatenate([figure.axes[0].collections[0].get_facecolors()[:, :3] for figure in figures])
    np.testing.assert_array_equal(colours, [scale.colour(value) for value in scores.logprob[1:]])


def test_two_models_with_other_tokens_have_a_panel_each() -> None:
    a = make_scores([["un", "believ", "able", " cat"]], model="first", tokenizer="a")
    b = make_scores([["unbe", "lievable", " c", "at"]], model="second", tokenizer="b")
    [figure] = pages([a, b])
    assert panels(figure) == [list(a.token), list(b.token)]
    assert [label.split(":")[0] for label in labels(figure)[1:3]] == ["first", "second"]
    assert outside(figure) == []


def test_nothing_scored_draws_without_a_scale() -> None:
    [figure] = pages(make_scores([["one"]], [NAN]))
    save_everywhere(figure)
    assert labels(figure)[1] == "model-a: 0 of 1 tokens scored, mean – nats per token"
    assert "log-prob (nats)" not in labels(figure)
    assert not any("nan" in label for label in labels(figure))


def test_one_scored_token_draws_with_limits_that_coincide() -> None:
    [figure] = pages(make_scores([["one", " two"]], [NAN, -2]))
    save_everywhere(figure)
    assert labels(figure).count("−2.00") == 2


def test_passages_stand_apart() -> None:
    [figure] = pages(make_scores([["one", " two"], ["three"]]))
    first, second, third = (cell.get_position()[1] for cell in cells(figure))
    assert first == second
    assert third - second == pytest.approx(1.5 * 1.75 * 9)  # one and a half lines of 9 points


def test_a_character_of_several_tokens_is_one_box_divided_in_their_colours() -> None:
    scores = make_scores([["ti\u1ebf", "", "ng", "🙂", "", ""]], [NAN, -1, -2, -9, -8, -1])
    [figure] = pages(scores)
    assert [cell.get_text() for cell in cells(figure)] == ["ti", "\u1ebf", "ng", "🙂"]
    boxes = sorted(tuple(path.get_extents().extents) for path in figure.axes[0].collections[0].get_paths())
    assert len(boxes) == 5  # the scored tokens have one each
    emoji = boxes[2:]
    assert len({round(right - left, 6) for left, _, right, _ in emoji}) == 1
    for (_, _, right, _), (left, _, _, _) in itertools.pairwise(boxes):
        assert right == pytest.approx(left)
    assert "several colours in one box: tokens that share a character" in labels(figure)
    [figure] = pages(make_scores([["a", "b"]], [NAN, -1]))
    assert "several colours in one box: tokens that share a character" not in labels(figure)


def test_a_letter_on_a_dark_and_a_light_part_is_written_once_and_can_be_read_on_both() -> None:
    [figure] = pages(make_scores([["a", "\u1ebf", ""]], [NAN, -1, -9]))
    assert [cell.get_text() for cell in cells(figure)] == ["a", "\u1ebf"]
    [letter] = figure.axes[0].patches
    inks = {cells(figure)[1].get_color(), "black" if letter.get_facecolor()[0] == 0 else "white"}
    assert inks == {"black", "white"}
    assert outside(figure) == []


def pair() -> list[TokenScores]:
    return [make_scores([WORDS], [NAN, -1, -5, -2, -3, -1, -4]), make_scores([WORDS], [NAN, -4, -2, -2, -1, -2, -4], model="b")]


def test_a_difference_below_zero_is_underlined_and_others_are_not() -> None:
    [figure] = pages(pair(), measure="difference")
    scored, _, _, _, lines = figure.axes[0].collections
    boxes = [path.get_extents() for path in scored.get_paths()]
    marks = [path.get_extents() for path in lines.get_paths()]
    differences = [-3.0, 3.0, 0.0, 2.0, -1.0, 0.0]
    for box, value in zip(boxes, differences, strict=True):
        inside = [mark for mark in marks if box.x0 < mark.x0 and mark.x1 < box.x1 and box.y0 < mark.y0 and mark.y1 < box.y1]
        assert len(inside) == (value < 0)
    assert len(marks) == 3  # and the one under the legend's negative half


def test_an_underline_has_the_colour_of_its_text() -> None:
    [figure] = pages(pair(), measure="difference")
    lines = figure.axes[0].collections[4].get_facecolors()[:, 0]
    inks = [
        cell.get_color() for cell, value in zip(cells(figure)[1:], [-3.0, 3.0, 0.0, 2.0, -1.0, 0.0], strict=True) if value < 0
    ]
    assert [("black", "white")[int(line)] for line in lines[:2]] == inks


def test_the_legend_of_ranks_has_a_swatch_for_each_bucket() -> None:
    [figure] = pages(make_scores([WORDS]), measure="rank_bucket", width="acl")
    scale = scale_of(make_scores([WORDS]), measure="rank_bucket")
    swatches = figure.axes[0].collections[2].get_facecolors()[:, :3]
    np.testing.assert_array_equal(swatches, [scale.colour(float(number)) for number in range(5)])
    names = [label for label in labels(figure) if label in text_heatmap(make_scores([WORDS]), measure="rank_bucket").buckets]
    assert names == ["1", "2–10", "11–100", "101–1000", "above 1000"]


def test_a_heatmap_draws_on_given_axes_from_their_upper_left_corner() -> None:
    figure = Figure(figsize=(6, 4), dpi=100)
    figure.add_axes((0.5, 0.55, 0.4, 0.4))
    axes = figure.add_axes((0.1, 0.1, 0.5, 0.8))
    heatmap = text_heatmap(make_scores([WORDS * 3]))
    assert draw_heatmap(axes, heatmap, font_size=8) is axes
    assert [text.get_text() for text in axes.texts if text.get_va() == "baseline"] == WORDS * 3
    # A unit is a point, so that texts of a size in points fit their boxes.
    assert axes.get_xlim() == pytest.approx((0, 6 * 0.5 * 72))
    assert axes.get_ylim() == pytest.approx((4 * 0.8 * 72, 0))
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    frame = axes.get_window_extent()
    for text in axes.texts:
        extent = text.get_window_extent(canvas.get_renderer())
        assert frame.x0 - 1 <= extent.x0
        assert extent.x1 <= frame.x1 + 1
        assert frame.y0 - 1 <= extent.y0
        assert extent.y1 <= frame.y1 + 1


def test_axes_that_are_not_high_enough_are_refused() -> None:
    axes = Figure(figsize=(4, 1)).add_axes((0, 0, 1, 1))
    message = (
        r"^the heatmap of 'text' takes \d+\.\d\d inches at this width and font size, and the axes are 1\.00 high: "
        r"give higher or wider axes, or a smaller font$"
    )
    with pytest.raises(FigureError, match=message):
        draw_heatmap(axes, text_heatmap(make_scores([WORDS * 10])))
    assert list(axes.texts) == []


def test_drawing_leaves_settings_and_pyplot_alone() -> None:
    before = dict(matplotlib.rcParams)
    figure = Figure(figsize=(6, 4))
    draw_heatmap(figure.add_axes((0, 0, 1, 1)), text_heatmap(make_scores([WORDS])))
    for drawn in pages(make_scores([WORDS])):
        save_everywhere(drawn)
    assert dict(matplotlib.rcParams) == before
    assert plt.get_fignums() == []


def test_a_dark_style_and_tex_do_not_change_what_is_drawn() -> None:
    with matplotlib.rc_context({"text.color": "white", "text.usetex": True, "figure.facecolor": "black"}):
        [figure] = pages(make_scores([WORDS]))
        assert {text.get_color() for text in figure.axes[0].texts if text.get_va() != "baseline"} == {"black"}
        assert not any(text.get_usetex() for text in figure.axes[0].texts)
        assert figure.get_facecolor() == (1.0, 1.0, 1.0, 1.0)


def test_what_a_terminal_would_obey_and_what_has_no_width_is_drawn_as_a_code_point() -> None:
    [figure] = pages(make_scores([["a", "\u202eb", "\u200b", "\xad"]]))
    assert [cell.get_text() for cell in cells(figure)] == ["a", "⟨202E⟩b", "⟨200B⟩", "⟨AD⟩"]


def test_code_is_set_in_a_face_of_fixed_width_and_its_headings_are_not() -> None:
    code = ["def", " f", "():\n", "    ", "a", " = ", "1\n", "    ", "b", "\n", "    ", "return", "\n"]
    [figure] = pages(make_scores([code]))
    assert {cell.get_fontname() for cell in cells(figure)} == {"DejaVu Sans Mono"}
    headings = [text for text in figure.axes[0].texts if text.get_va() != "baseline"]
    assert {heading.get_fontname() for heading in headings} == {"DejaVu Sans"}
    [figure] = pages(make_scores([WORDS]))
    assert {cell.get_fontname() for cell in cells(figure)} == {"DejaVu Sans"}


@pytest.mark.parametrize("width", [1.5, 2.5, 7.0])
def test_the_name_of_a_span_ends_where_the_next_one_begins(width: float) -> None:
    words = ["The", " cat", " sat", " on", " it", "."]
    spans = tuple(
        Span(name, 4 * place + (place > 0) * -1, 4 * place + 3)
        for place, name in enumerate(("MMMMMMMM", "WWWWWWWW", "verb", "preposition"))
    )
    scores = make_scores([words])
    [figure] = pages(replace(scores, spans=(spans,)), width=width)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    names = [text for text in cells(figure) if text.get_fontsize() < 6]
    boxes = [text.get_window_extent(canvas.get_renderer()) for text in names]
    assert [text.get_text()[0] for text in names] == ["M", "v", "p"]  # "W…W" is wider than " cat"
    for first, second in itertools.pairwise(boxes):
        assert first.x1 < second.x0 or abs(first.y0 - second.y0) > 5
    assert max(box.x1 for box in boxes) <= figure.bbox.width
