"""The text heatmap as one self-contained HTML file: no network, no script, the text selectable and exact."""

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from tokenviz.figures.colours import ColourScale, text_colour, to_hex
from tokenviz.figures.definition import TextHeatmap
from tokenviz.figures.panels import Panel

_GRADIENT_STEPS = 17
# Marks and overrides of the writing direction: in a token of their own box they reach no further than its end.
_DIRECTIONS = {chr(code) for code in (0x200E, 0x200F, 0x061C, *range(0x202A, 0x202F), *range(0x2066, 0x206A))}


def heatmap_html(heatmap: TextHeatmap, *, about: str = "") -> str:
    """A page that shows a text heatmap.

    Pointing at a token shows its numbers. The element of class `passage` holds the passage itself, exactly;
    only NUL, which HTML cannot hold, stands as ␀.

    Args:
        heatmap: What to show, from `text_heatmap`.
        about: What made it, for the page's metadata.
    """
    before, after = heatmap.title
    page: str = page_template("heatmap.html.j2").render(
        **_figure(heatmap, list(heatmap.panels)), title=f"{before}{heatmap.text_name}{after}", about=about
    )
    return page


def heatmap_fragment(heatmap: TextHeatmap, *, most: int) -> str:
    """The same as a part of another page, such as a notebook.

    Args:
        heatmap: What to show, from `text_heatmap`.
        most: Pieces to show of each panel, from the beginning; a line counts the others.
    """
    shown: str = page_template("heatmap_fragment.html.j2").render(
        **_figure(heatmap, [panel.beginning(most) for panel in heatmap.panels])
    )
    return shown


def _figure(heatmap: TextHeatmap, panels: list[Panel]) -> dict[str, Any]:
    """What the template of the figure takes, with some panels in the place of the heatmap's own."""
    words, scale = heatmap.legend, heatmap.scale
    left_out = [len(whole) - len(panel) for whole, panel in zip(heatmap.panels, panels, strict=True)]
    return {
        "panels": [
            _Spans(panel, scale, f"{count:,} more {heatmap.unit}s" if count else "")
            for panel, count in zip(panels, left_out, strict=True)
        ],
        "words": words,
        "caption": heatmap.caption,
        "underlined": scale.colours.diverging,
        "swatches": [(name, _hex(scale, float(number))) for number, name in enumerate(heatmap.buckets)],
        "gradient": ", ".join(_hex(scale, value) for value in scale.steps(_GRADIENT_STEPS)) if words.ticks else "",
    }


def _hex(scale: ColourScale, value: float) -> str:
    colour = scale.colour(value)
    return to_hex(colour) if colour else "#ffffff"


@dataclass(frozen=True)
class _Spans:
    panel: Panel
    scale: ColourScale
    left_out: str

    def passages(self) -> Iterator[Markup]:
        """Each passage as spans; what stands between their tags is the passage."""
        panel = self.panel
        spans: list[str] = []
        for row in range(len(panel)):
            if spans and panel.passage[row] != panel.passage[row - 1]:
                yield Markup("").join(spans)
                spans = []
            spans.append(self._span(row))
        yield Markup("").join(spans)

    def _span(self, row: int) -> Markup:
        text, value = self.panel.text[row], float(self.panel.values[row])
        # A parser turns a bare carriage return into a newline and drops NUL.
        token = escape(text.replace("\0", "␀")).replace("\r", Markup("&#13;"))
        classes, note = [], self.panel.notes[row]
        directions = sorted(_DIRECTIONS & set(text))
        if directions:
            classes.append("directions")
            note += f"; holds {', '.join(f'U+{ord(sign):04X} {unicodedata.name(sign)}' for sign in directions)}"
        colour = self.scale.colour(value)
        if colour is None:
            classes.append("unscored")
        elif self.scale.underlined(value):
            classes.append("below")
        named = Markup(' class="{}"').format(" ".join(classes)) if classes else ""
        style = Markup(' style="background:{};color:{}"').format(to_hex(colour), text_colour(colour)) if colour else ""
        return Markup('<span{}{} title="{}">{}</span>').format(named, style, note, token)


@cache
def page_template(name: str) -> Any:
    """A template beside this module, in which every value is escaped."""
    environment = Environment(
        loader=PackageLoader("tokenviz", "figures"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(name)
