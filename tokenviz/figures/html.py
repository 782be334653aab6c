"""The text heatmap as one self-contained HTML file: no network, no script, the text selectable and exact."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from tokenviz.figures.colours import ColourScale, printed, shared_scale, text_colour, to_hex
from tokenviz.figures.layout import panels_of_one_text
from tokenviz.scores import TokenScores

_GRADIENT_STEPS = 16


def heatmap_html(scores: TokenScores | Sequence[TokenScores], *, scale: ColourScale | None = None) -> str:
    """A page that shows a text with every token on a background scaled from its log-prob, predictable tokens darkest.

    Pointing at a token shows its log-prob, rank and entropy. The element of class `passage` holds the
    passage itself, exactly; only NUL, which HTML cannot hold, stands as ␀.

    Args:
        scores: One table, or several of the same text, shown one below the other on one scale.
        scale: Colour limits; by default from the least to the greatest scored log-prob of all the tables.

    Raises:
        ComparisonError: The tables are of different texts.
    """
    tables = panels_of_one_text(scores)
    scale = scale or shared_scale(tables)
    span = scale.high - scale.low
    stops = (scale.colour(scale.low + span * i / _GRADIENT_STEPS) for i in range(_GRADIENT_STEPS + 1))
    page: str = _template().render(
        text_name=tables[0].text_name,
        panels=[_Panel(table, scale) for table in tables],
        low=printed(scale.low),
        high=printed(scale.high),
        gradient=", ".join(to_hex(stop) for stop in stops if stop),
    )
    return page


@dataclass(frozen=True)
class _Panel:
    table: TokenScores
    scale: ColourScale

    @property
    def heading(self) -> str:
        summary = self.table.summary()
        return (
            f"{self.table.spec.model}: {summary.n_scored} of {summary.n_tokens} tokens scored, "
            f"mean {printed(summary.mean_logprob)} nats a token"
        )

    def passages(self) -> Iterator[Markup]:
        """Each passage as spans; what stands between their tags is the passage."""
        table = self.table
        spans: list[str] = []
        for row in range(len(table)):
            if spans and table.passage[row] != table.passage[row - 1]:
                yield Markup("").join(spans)
                spans = []
            spans.append(self._span(row))
        yield Markup("").join(spans)

    def _span(self, row: int) -> Markup:
        table = self.table
        # A parser turns a bare carriage return into a newline and drops NUL.
        token = escape(table.token[row].replace("\0", "␀")).replace("\r", Markup("&#13;"))
        colour = self.scale.colour(float(table.logprob[row]))
        if colour is None:
            return Markup('<span class="unscored" title="not scored">{}</span>').format(token)
        about = f"log-prob {table.logprob[row]:.4f} nats, rank {table.rank[row]:.0f}, entropy {table.entropy[row]:.3f} nats"
        style = f"background:{to_hex(colour)};color:{text_colour(colour)}"
        return Markup('<span style="{}" title="{}">{}</span>').format(style, about, token)


@cache
def _template() -> Any:
    environment = Environment(
        loader=PackageLoader("tokenviz", "figures"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("heatmap.html.j2")
