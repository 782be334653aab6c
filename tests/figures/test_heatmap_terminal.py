"""The heatmap in a terminal: coloured, complete, and never obeyed."""

import io
import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.color import ColorType
from rich.console import COLOR_SYSTEMS, Console
from rich.style import Style
from rich.text import Text
from tables import NAN, make_scores

from tokenviz.base.characters import visible
from tokenviz.data.spans import Span
from tokenviz.figures.heatmap.definition import Source, text_heatmap
from tokenviz.figures.heatmap.files import heatmap_ansi, heatmap_text, legend_text
from tokenviz.figures.typeset.colours import COLOUR_MAPS, ColourScale, contrast, to_hex

OVERRIDES = [chr(code) for code in (*range(0x202A, 0x202F), *range(0x2066, 0x206A))]
CONTROLS = [chr(code) for code in [*range(0x20), *range(0x7F, 0xA0)] if chr(code) not in "\n\t"] + OVERRIDES
ATTACKS = ["\x1b[31mred\x1b[0m", "\x1b]0;title\x07", "\x1b]8;;http://x\x1b\\link", "\x9b2J", "a\rb", "a\x08b", "[red]x[/red]"]


def text_of(source: Source, **settings) -> Text:
    heatmap = text_heatmap(source, **settings)
    return heatmap_text(heatmap, heatmap.panels[0])


def printed_by_a_terminal(text: Text) -> str:
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, color_system="truecolor", width=400, legacy_windows=False)
    console.print(text)
    return out.getvalue()


def style_of(text: Text, token: str) -> str:
    [style] = [str(span.style) for span in text.spans if text.plain[span.start : span.end] == token]
    return style


@pytest.mark.parametrize("token", [*ATTACKS, "".join(CONTROLS)])
def test_control_characters_never_reach_the_terminal(token: str) -> None:
    out = printed_by_a_terminal(text_of(make_scores([["A", token]])))
    without_colours = re.sub(r"\x1b\[[0-9;]*m", "", out)
    assert not set(CONTROLS) & set(without_colours)


def test_attacks_are_there_to_be_read() -> None:
    out = printed_by_a_terminal(text_of(make_scores([["A", "\x1b[31mred", "[b]", "\x9b", "\r"]])))
    assert re.sub(r"\x1b\[[0-9;]*m", "", out) == "A␛[31mred[b]<9B>␍\n"


def test_the_only_escape_sequences_are_those_of_the_colours() -> None:
    scores = make_scores([["A", "\x1b[5mB"]], [NAN, -1])
    sequences = re.findall(r"\x1b\[[0-9;]*m", printed_by_a_terminal(text_of(scores)))
    assert "\x1b[5m" not in sequences
    assert len(sequences) == 4  # on and off, twice


@given(
    st.lists(
        st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters=OVERRIDES), min_size=1),
        min_size=1,
        max_size=8,
    )
)
def test_text_is_conserved(tokens: list[str]) -> None:
    assert text_of(make_scores([tokens])).plain == "".join(tokens)


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_every_sign_stays_or_is_made_visible(text: str) -> None:
    shown = [visible(sign) for sign in text]
    assert visible(text) == "".join(shown)
    for sign, instead in zip(text, shown, strict=True):
        assert instead.isprintable() if sign in CONTROLS else instead == sign


def test_no_two_control_characters_look_alike() -> None:
    assert len({visible(sign) for sign in CONTROLS}) == len(CONTROLS)


def test_spaces_tabs_and_line_ends_stay() -> None:
    assert text_of(make_scores([["  a", "\t", "b ", " \n", "  c"]])).plain == "  a\tb  \n  c"


def test_passages_begin_on_a_line_of_their_own() -> None:
    assert text_of(make_scores([["a", " b"], ["c"]])).plain == "a b\nc"


def test_a_character_of_several_tokens_has_the_colour_of_the_most_surprising() -> None:
    scores = make_scores([["a", " ti\u1ebf", "", "ng"]], [NAN, -1, -9, -2])
    text = text_of(scores)
    assert text.plain == "a ti\u1ebfng"
    scale = ColourScale(-9, -1)
    assert to_hex(scale.colour(-9) or (1, 1, 1)) in style_of(text, "\u1ebf")
    assert to_hex(scale.colour(-1) or (1, 1, 1)) in style_of(text, " ti")
    assert (
        "a character that several tokens share has the colour of the most surprising" in legend_text(text_heatmap(scores)).plain
    )


def legend_of(source: Source, **settings) -> Text:
    return legend_text(text_heatmap(source, **settings))


def test_the_legend_prints_the_limits() -> None:
    line = legend_of(make_scores([["a", " b", " c"]], [NAN, -12.345, -0.001])).plain.strip()
    assert line == (
        "log-prob (nats), −12.35 to 0.00; surprising at the light end, predictable at the dark end; underlined: not scored"
    )


def test_the_legend_says_nothing_of_a_look_that_is_not_there() -> None:
    assert "underlined" not in legend_of(make_scores([["a", " b"]], [-1, -2])).plain


def test_the_legend_says_that_values_lie_beyond_its_limits() -> None:
    line = legend_of(make_scores([["a", " b", " c"]], [NAN, -9, -1]), limits=(-5, -2)).plain
    assert " log-prob (nats), ≤ −5.00 to ≥ −2.00; " in line


def test_the_legend_runs_from_surprising_to_predictable() -> None:
    heatmap = text_heatmap(make_scores([["a", " b", " c"]], [NAN, -12, -1]))
    styles = [str(span.style) for span in legend_text(heatmap).spans if "on #" in str(span.style)]
    assert styles == [f"on {to_hex(heatmap.scale.colour(value))}" for value in heatmap.scale.steps(12)]


def test_the_legend_of_ranks_names_the_buckets() -> None:
    line = legend_of(make_scores([["a", " b"]]), measure="rank_bucket").plain
    assert re.findall(r"1(?= )|\d+–\d+|above \d+", line) == ["1", "2–10", "11–100", "101–1000", "above 1000"]


def test_the_legend_of_nothing_scored_has_no_number() -> None:
    assert legend_of(make_scores([["a"]], [NAN])).plain == "underlined: not scored"


def test_the_legend_of_a_difference_tells_the_two_underlines_apart() -> None:
    a, b = make_scores([["a", " b", " c"]], [NAN, -1, -5]), make_scores([["a", " b", " c"]], [NAN, -4, -2], model="b")
    assert "underlined without colour: not scored" in legend_of([a, b], measure="difference").plain


@pytest.mark.parametrize("token", [*ATTACKS, "".join(CONTROLS)])
def test_a_file_for_a_terminal_has_no_controls_but_colours(token: str) -> None:
    out = heatmap_ansi(text_heatmap(make_scores([["A", token]], name=token, model=token)))
    assert not set(CONTROLS) & set(re.sub(r"\x1b\[[0-9;]*m", "", out))


def test_a_file_for_a_terminal_holds_the_text_with_headings_and_legend() -> None:
    words = ["two", " words", " of", " it", "\n", "  and", "\tmore"]
    out = heatmap_ansi(text_heatmap(make_scores([words, ["next"]], name="n", model="m")))
    plain = re.sub(r"\x1b\[[0-9;]*m", "", out)
    assert plain.startswith("Log-prob of each token of “n”\n\nm: 6 of 8 tokens scored, mean −2.25 nats per token\n")
    assert f"\n{''.join(words)}\nnext\n\n" in plain
    assert plain.endswith("underlined: not scored\n")
    assert "\x1b[" in out


def test_spans_stand_in_brackets_with_their_names() -> None:
    scores = make_scores([["Is", " it", "?", " \x1b[5m", "Yes"], ["No"]])
    spans = ((Span("user", 0, 6), Span("a\x1bb", 7, 14)), ())
    heatmap = text_heatmap(replace(scores, spans=spans))
    text = heatmap_text(heatmap, heatmap.panels[0])
    assert text.plain == "⟦user: Is it?⟧⟦a␛b:  ␛[5mYes⟧\nNo"
    assert "⟦name: …⟧: a span of the text; underlined: not scored" in legend_text(heatmap).plain
    last = text_heatmap(replace(scores, spans=((), (Span("x", 0, 2),))))
    assert heatmap_text(last, last.panels[0]).plain.endswith("\n⟦x: No⟧")
    assert "⟦" not in text_of(scores).plain + legend_text(text_heatmap(scores)).plain


@pytest.mark.parametrize("name", COLOUR_MAPS)
@pytest.mark.parametrize("system", ["truecolor", "256", "standard"])
def test_letters_stand_out_on_the_background_that_a_terminal_shows(name: str, system: str) -> None:
    count = len(COLOUR_MAPS[name].shades)
    heatmap = text_heatmap(make_scores([["a"] * count], np.arange(count)), limits=(-1, 0))
    heatmap = replace(heatmap, scale=ColourScale(0, count - 1, COLOUR_MAPS[name]))
    spans = heatmap_text(heatmap, heatmap.panels[0], colours=system).spans
    assert len(spans) == count
    for style in (Style.parse(str(span.style)) for span in spans):
        # Rich's palettes are xterm's; the names "black" and "white" would be numbers of a palette that themes change.
        parts = [one for one in (style.color, style.bgcolor) if one is not None]
        assert {one.type for one in parts} == {ColorType.TRUECOLOR}
        ink, ground = (tuple(part / 255 for part in one.downgrade(COLOR_SYSTEMS[system]).get_truecolor()) for one in parts)
        assert contrast(ink, ground) >= 4.5, style
