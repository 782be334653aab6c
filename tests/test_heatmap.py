"""The text heatmap through its artists: what is written, in which colour, where, and on which page."""

import io
import itertools
import warnings

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from tables import NAN, falling, make_scores

from tokenviz.errors import ComparisonError
from tokenviz.figures import fonts
from tokenviz.figures.colours import ColourScale, contrast, shared_scale
from tokenviz.figures.fonts import drawable, fonts_for
from tokenviz.figures.heatmap import draw_heatmap
from tokenviz.scores import TokenScores

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


def test_every_token_is_written_once_in_order() -> None:
    [figure] = draw_heatmap(make_scores([WORDS]))
    assert [cell.get_text() for cell in cells(figure)] == WORDS


def test_boxes_have_the_colours_of_the_scale() -> None:
    scores = make_scores([WORDS], [NAN, -1, -7, -0.25, -3, -3, -5])
    [figure] = draw_heatmap(scores)
    scale = shared_scale([scores])
    colours = figure.axes[0].collections[0].get_facecolors()[:, :3]
    expected = [scale.colour(value) for value in scores.logprob[1:]]
    np.testing.assert_array_equal(colours, expected)


def test_boxes_stand_under_their_text() -> None:
    [figure] = draw_heatmap(make_scores([WORDS * 8]))
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
    [figure] = draw_heatmap(make_scores([WORDS * 6], falling(42)))
    backgrounds = figure.axes[0].collections[0].get_facecolors()[:, :3]
    inks = [cell.get_color() for cell in cells(figure)[1:]]
    assert set(inks) == {"black", "white"}
    for background, ink in zip(backgrounds, inks, strict=True):
        assert contrast(tuple(background), (0.0,) * 3 if ink == "black" else (1.0,) * 3) >= 4.5


def test_an_unscored_token_has_a_look_of_its_own_and_no_place_on_the_scale() -> None:
    [figure] = draw_heatmap(make_scores([WORDS, WORDS]))
    scored, unscored = figure.axes[0].collections[:2]
    assert len(scored.get_paths()) == 12
    assert len(unscored.get_paths()) == 2
    assert unscored.get_hatch()
    assert unscored.get_facecolors()[:, :3].tolist() == [[1, 1, 1]]
    assert unscored.get_linestyle() != scored.get_linestyle()
    assert "not scored: no prediction, and no part in the scale" in labels(figure)


def test_limits_are_printed_and_do_not_include_the_unscored() -> None:
    [figure] = draw_heatmap(make_scores([WORDS], [NAN, -1.5, -7, -2, -3, -3, -5]))
    assert {"−7.00", "−1.50", "log-prob (nats)"} <= set(labels(figure))
    assert "0.00" not in labels(figure)


def test_panels_share_their_limits() -> None:
    a = make_scores([WORDS], [NAN, -1, -2, -3, -4, -2, -2])
    b = make_scores([WORDS], [NAN, -2, -20, -2, -2, -2, -2], model="model-b")
    [figure] = draw_heatmap([a, b])
    assert {"−20.00", "−1.00"} <= set(labels(figure))
    first, _, second, _ = figure.axes[0].collections[:4]
    scale = ColourScale(-20, -1)
    np.testing.assert_array_equal(first.get_facecolors()[:, :3], [scale.colour(value) for value in a.logprob[1:]])
    np.testing.assert_array_equal(second.get_facecolors()[:, :3], [scale.colour(value) for value in b.logprob[1:]])


def test_given_limits_are_taken() -> None:
    [figure] = draw_heatmap(make_scores([WORDS]), scale=ColourScale(-12, 0))
    assert {"−12.00", "0.00"} <= set(labels(figure))


def test_the_colour_bar_runs_from_light_to_dark() -> None:
    [figure] = draw_heatmap(make_scores([WORDS]))
    strips = figure.axes[0].collections[2].get_facecolors()[:, :3]
    scale = shared_scale([make_scores([WORDS])])
    assert len(strips) == 64
    # A strip is drawn in the colour of its middle: a 128th of the scale, two of the map's 256 steps, from the end.
    np.testing.assert_allclose(strips[[0, -1]], [scale.colour(scale.low), scale.colour(scale.high)], atol=0.02)


def test_headings_say_which_model_and_how_much_was_scored() -> None:
    [figure] = draw_heatmap(make_scores([WORDS], [NAN, -1, -2, -3, -1, -2, -3], model="glass-en", name="cats"))
    assert labels(figure)[:2] == [
        "Log-prob of each token of “cats”",
        "glass-en: 6 of 7 tokens scored, mean −2.00 nats a token",
    ]


@pytest.mark.parametrize("tokens", HOSTILE.values(), ids=HOSTILE)
def test_any_text_draws_and_saves(tokens: list[str]) -> None:
    scores = make_scores([["A", *tokens, " end"]])
    [figure] = draw_heatmap([scores, scores])
    save_everywhere(figure)
    assert "".join(panels(figure)[0]) == "".join(panels(figure)[1]) == as_drawn(scores)
    assert outside(figure) == []


@pytest.mark.parametrize("tokens", HOSTILE.values(), ids=HOSTILE)
def test_any_text_draws_with_the_packaged_fonts_alone(tokens: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fonts, "_installed", frozenset)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # matplotlib warns of a character without a glyph
        for figure in draw_heatmap(make_scores([["A", *tokens]])):
            save_everywhere(figure)


def test_characters_without_a_font_are_explained_on_the_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fonts, "_installed", frozenset)
    [figure] = draw_heatmap(make_scores([["A", " 🙂"]]))
    assert cells(figure)[1].get_text() == " ⟨1F642⟩"
    assert "⟨...⟩: the code point of a character that no installed font has" in labels(figure)
    assert outside(figure) == []


@pytest.mark.parametrize(
    "name",
    ["$x$", "a_b^c", "$$", "\\frac", "<b>&", "line\nend", "日本語 한국어 🙂", "\x1b[31m", "long-name-" * 30],
)
def test_any_name_draws(name: str) -> None:
    [figure] = draw_heatmap(make_scores([WORDS], name=name, model=name))
    save_everywhere(figure)
    assert outside(figure) == []
    assert not any(text.get_parse_math() for text in figure.axes[0].texts)


def test_a_long_name_keeps_its_ends_and_the_counts() -> None:
    model = "/home/a/folder" + "/of/models" * 20 + "/final,dtype=bfloat16"
    [figure] = draw_heatmap(make_scores([WORDS], model=model))
    heading = labels(figure)[1]
    assert heading.startswith("/home/a/folder/of")
    assert heading.endswith(",dtype=bfloat16: 6 of 7 tokens scored, mean −2.25 nats a token")
    assert "…" in heading


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
    for figure in draw_heatmap(make_scores([tokens])):
        assert outside(figure) == []


@pytest.mark.parametrize("width", [5.5, 7.0, 11.0])
def test_nothing_lies_outside_a_figure_of_another_width(width: float) -> None:
    [figure] = draw_heatmap(make_scores([WORDS * 10]), width=width)
    assert figure.get_figwidth() == width
    assert outside(figure) == []


def test_long_texts_are_paged_and_every_token_stands_on_one_page() -> None:
    tokens = [f" w{number}" for number in range(1500)]
    figures = draw_heatmap(make_scores([tokens]))
    assert len(figures) > 2
    assert [cell.get_text() for figure in figures for cell in cells(figure)] == tokens
    titles = [labels(figure)[0] for figure in figures]
    assert titles == [f"Log-prob of each token of “text” (page {i} of {len(figures)})" for i in range(1, len(figures) + 1)]


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
    figures = draw_heatmap([a, b])
    assert len(figures) > 2
    pages = [panels(figure) for figure in figures]
    for number, scores in enumerate((a, b)):
        assert list(itertools.chain.from_iterable(page[number] for page in pages)) == list(scores.token)
    for page in pages:
        first, second = ("".join(panel) for panel in page)
        # A token of the second model begins on the page on which its first character stands.
        assert abs(len(first) - len(second)) <= 4


def test_colours_are_the_same_on_every_page() -> None:
    scores = make_scores([[f" w{number}" for number in range(1500)]], falling(1500))
    figures = draw_heatmap(scores)
    scale = shared_scale([scores])
    colours = np.concatenate([figure.axes[0].collections[0].get_facecolors()[:, :3] for figure in figures])
    np.testing.assert_array_equal(colours, [scale.colour(value) for value in scores.logprob[1:]])


def test_two_models_with_other_tokens_have_a_panel_each() -> None:
    a = make_scores([["un", "believ", "able", " cat"]], model="first", tokenizer="a")
    b = make_scores([["unbe", "lievable", " c", "at"]], model="second", tokenizer="b")
    [figure] = draw_heatmap([a, b])
    assert panels(figure) == [list(a.token), list(b.token)]
    assert [label.split(":")[0] for label in labels(figure)[1:3]] == ["first", "second"]
    assert outside(figure) == []


def test_nothing_scored_draws_without_a_scale() -> None:
    [figure] = draw_heatmap(make_scores([["one"]], [NAN]))
    save_everywhere(figure)
    assert labels(figure)[1] == "model-a: 0 of 1 tokens scored, mean – nats a token"
    assert "log-prob (nats)" not in labels(figure)
    assert not any("nan" in label for label in labels(figure))


def test_one_scored_token_draws_with_limits_that_coincide() -> None:
    [figure] = draw_heatmap(make_scores([["one", " two"]], [NAN, -2]))
    save_everywhere(figure)
    assert labels(figure).count("−2.00") == 2


def test_passages_stand_apart() -> None:
    [figure] = draw_heatmap(make_scores([["one", " two"], ["three"]]))
    first, second, third = (cell.get_position()[1] for cell in cells(figure))
    assert first == second
    assert third - second == pytest.approx(1.5 * 1.75 * 9)  # one and a half lines of 9 points


def test_panels_of_different_texts_are_refused() -> None:
    message = "^the panels of one heatmap show one text: give scores of the same text$"
    with pytest.raises(ComparisonError, match=message):
        draw_heatmap([make_scores([["one"]]), make_scores([["two"]])])


def test_further_tokens_of_a_character_are_explained() -> None:
    explained = "empty box: one more token of the character before it"
    (figure,) = draw_heatmap(make_scores([["a", "🙂", "", ""]], [NAN, -1, -2, -3]))
    assert explained in labels(figure)
    (figure,) = draw_heatmap(make_scores([["a", "b"]], [NAN, -1]))
    assert explained not in labels(figure)
