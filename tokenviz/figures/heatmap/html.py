"""The text heatmap as one self-contained HTML file: no network, no script, the text selectable and exact."""

import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from tokenviz.figures.heatmap.definition import TextHeatmap
from tokenviz.figures.heatmap.panels import Box, Panel, boxes
from tokenviz.figures.typeset.colours import Colour, ColourScale, span_colours, stands_out, text_colour, to_hex
from tokenviz.figures.typeset.lines import strong_direction

_GRADIENT_STEPS = 17
_MAY_END = "<wbr>"  # not a character, so that copied text is unchanged
# Marks and overrides of the writing direction. Inside a token's own box they have no effect beyond its end.
_DIRECTIONS = {chr(code) for code in (0x200E, 0x200F, 0x061C, *range(0x202A, 0x202F), *range(0x2066, 0x206A))}


def heatmap_html(heatmap: TextHeatmap, *, about: str = "", title: bool = True) -> str:
    """Return a page that shows a text heatmap.

    Pointing at a token shows its numbers. The element of class `passage` contains exactly the passage, except that NUL, which
    HTML cannot contain, is ␀.

    Args:
        heatmap: A heatmap from `text_heatmap`.
        about: What made it, for the page's metadata.
        title: Whether a heading says what is shown, as the caption does; by default it does.
    """
    before, after = heatmap.title
    page: str = page_template("heatmap.html.j2").render(
        **_figure(heatmap, list(heatmap.panels)),
        title=f"{before}{heatmap.text_name}{after}",
        heading=title,
        about=about,
    )
    return page


def heatmap_fragment(heatmap: TextHeatmap, *, most: int) -> str:
    """Return a text heatmap as a part of another page, such as a notebook.

    Args:
        heatmap: A heatmap from `text_heatmap`.
        most: The most pieces to show per panel, from the beginning; a line counts the others.
    """
    shown: str = page_template("heatmap_fragment.html.j2").render(
        **_figure(heatmap, [panel.beginning(most) for panel in heatmap.panels])
    )
    return shown


def _figure(heatmap: TextHeatmap, panels: list[Panel]) -> dict[str, Any]:
    """Return the arguments of the figure's template, with `panels` in the place of the heatmap's own."""
    words, scale = heatmap.legend, heatmap.scale
    left_out = [len(whole) - len(panel) for whole, panel in zip(heatmap.panels, panels, strict=True)]
    return {
        "panels": [
            _Spans(panel, scale, f"{count:,} more {heatmap.unit}s" if count else "", span_colours(heatmap.span_names))
            for panel, count in zip(panels, left_out, strict=True)
        ],
        "words": words,
        "code": heatmap.is_code,
        "marked": bool(heatmap.span_names),
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
    span_colours: Mapping[str, str]

    def passages(self) -> Iterator[Markup]:
        """Yield each passage as HTML spans; the text between the tags is exactly the passage.

        Lines break only at a `wbr`. By default a browser breaks after a space, and would paint that space, the first character
        of the next token, at the end of the line.
        """
        for _, passage in groupby(self.panel.pieces, key=lambda piece: self.panel.passage[piece.rows[0]]):
            yield Markup("".join(map(self._span, boxes(list(passage)))))

    def _span(self, box: Box) -> str:
        """Return the HTML of a box. Its parts are escaped here one by one, a third of what templates in Python take."""
        rows, text = box.rows, box.text
        values = [float(self.panel.values[row]) for row in rows]
        before, *inside = (_MAY_END if may_end else "" for may_end in box.may_end)
        # A parser turns a bare carriage return into a newline and drops NUL.
        first, *others = (str(escape(part.replace("\0", "␀"))).replace("\r", "&#13;") for part in box.parts)
        token = first + "".join(end + part for end, part in zip(inside, others, strict=True))
        classes = []
        notes = [self.panel.notes[row] for row in rows]
        note = notes[0] if len(rows) == 1 else "\n".join(
            f"token {number} of {len(rows)} that share this: {one}" for number, one in enumerate(notes, start=1)
        )  # fmt: skip
        directions = [] if text.isascii() else sorted(_DIRECTIONS & set(text))
        if directions:
            classes.append("directions")
            note += f"; holds {', '.join(f'U+{ord(sign):04X} {unicodedata.name(sign)}' for sign in directions)}"
        colours = [self.scale.colour(value) for value in values]
        if not any(colours):
            classes.append("unscored")
        elif all(map(self.scale.underlined, values)):
            classes.append("below")
        named = f' class="{escape(" ".join(classes))}"' if classes else ""
        declarations = [_style(colours, text)] if any(colours) else []
        span = self.panel.spans[rows[0]] if self.panel.spans else ""
        if span:
            declarations.append(f"border-top-color:{self.span_colours[span]}")
            note += f"; in the span {span}"
        # The style sheet adds the name of a span, so that copied text does not contain it.
        label = self.panel.labels.get(rows[0], "")
        opens = f' data-span="{escape(label)}"' if label else ""
        style = f' style="{escape(";".join(declarations))}"' if declarations else ""
        return f'{before}<span{named}{style}{opens} title="{escape(note)}">{token}</span>'


def _style(colours: Sequence[Colour | None], text: str) -> str:
    """Return the declarations for a box: one colour, or equal parts for tokens that share a character."""
    shown = [to_hex(colour) if colour else "#ffffff" for colour in colours]
    ink = text_colour(*colours)
    if len(shown) == 1:
        return f"background:{shown[0]};color:{ink}"
    way = "left" if strong_direction(text) == "R" else "right"
    share = 100 / len(shown)
    stops = ",".join(f"{colour} {k * share:.4g}% {(k + 1) * share:.4g}%" for k, colour in enumerate(shown))
    hard = not stands_out(ink, *colours)
    edge = {"black": "#fff", "white": "#000"}[ink]
    return (
        f"background:linear-gradient(to {way},{stops});color:{ink}" + f";text-shadow:{','.join([f'0 0 2px {edge}'] * 3)}" * hard
    )


@cache
def page_template(name: str) -> Any:
    """Return a template next to this module, in which every value is escaped."""
    environment = Environment(
        loader=PackageLoader("tokenviz", "figures/templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(name)
