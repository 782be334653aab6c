"""The definition of a text heatmap: pieces of text, their values, one scale, headings, legend and caption, for all drawers."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from tokenviz.base.errors import ComparisonError, FigureError, check_kind
from tokenviz.comparing.alignment import By, Units
from tokenviz.comparing.comparison import Comparison, compare
from tokenviz.data.scores import TokenScores
from tokenviz.data.spans import Span
from tokenviz.figures.heatmap.measures import (
    Chosen,
    Limits,
    PairMeasure,
    Percentiles,
    TokenMeasure,
    checked_limits,
    chosen_limits,
    limits_of,
    measure_named,
)
from tokenviz.figures.heatmap.panels import Panel, pair_panel, segment_panels, token_panel
from tokenviz.figures.typeset.colours import ColourMap, ColourScale, colour_map
from tokenviz.models.describing import full_name_of

if TYPE_CHECKING:
    from tokenviz.figures.heatmap.files import HeatmapFormat

Source = TokenScores | Sequence[TokenScores] | Comparison
_PIECES_SHOWN = 2000  # pieces of a panel in a notebook
_PIECES_DRAWN = 1000  # pieces of all panels in a notebook's picture
_SPANS_NAMED = 6  # spans in a caption
_BEYOND = 0.1  # of the distance of two classes
SHARED = "several colours in one box: tokens that share a character"
UNSCORED = "not scored: no prediction, and no part in the scale"


@dataclass(frozen=True)
class Legend:
    """The words of a legend.

    Attributes:
        axis: What the colours show, with its unit.
        ticks: The labels below the bar, from low to high; or the names of the buckets.
        lines: Sentences on the ends of the scale, and on boxes that are divided.
        unscored: The sentence next to a sample of an unscored piece; empty where every piece has a value.
    """

    axis: str
    ticks: tuple[str, ...]
    lines: tuple[str, ...]
    unscored: str


@dataclass(frozen=True, eq=False)
class TextHeatmap:
    """A text in which the background of every piece shows a measure of it.

    Attributes:
        text_name: The text's name.
        unit: The kind of piece: tokens, the segments that two tokenizers share, or words.
        measure: What the colours show.
        limits: The limits of the scale.
        scale: The mapping from values to colours, one for all panels.
        models: The models whose values they are; two for a difference.
        panels: The panels from the top.
    """

    text_name: str
    unit: By
    measure: TokenMeasure | PairMeasure
    limits: Limits
    scale: ColourScale
    models: tuple[str, ...]
    panels: tuple[Panel, ...]

    def __repr__(self) -> str:
        what, models = f"{self.measure.axis} of each {self.unit}", _listed([*map(repr, self.models)])
        return f"TextHeatmap({what} of {self.text_name!r} by {models}, {' to '.join(self.printed_limits)})"

    def _repr_html_(self) -> str:
        """Return HTML for a notebook: the text in its colours, long texts up to the first 2,000 pieces."""
        from tokenviz.figures.heatmap.html import heatmap_fragment

        return heatmap_fragment(self, most=_PIECES_SHOWN)

    def _repr_png_(self) -> tuple[bytes, dict[str, int]] | None:
        """Return a picture for where no HTML is shown, such as a PDF of a notebook; None for a long text, to save time."""
        from tokenviz.figures.heatmap.drawing import heatmap_pages

        if sum(map(len, self.panels)) > _PIECES_DRAWN:
            return None
        [page, *_] = heatmap_pages(self)
        return page._repr_png_()

    def save(self, *paths: Path | str, width: float | str = 7.0, font_size: float = 9.0, title: bool = True) -> list[Path]:
        """Write the heatmap as files, each in the format of its ending.

        Args:
            paths: Files that end in `.png`, `.svg`, `.pdf`, `.html`, `.tex` (for \\input), `-document.tex` (which compiles by
                itself) or `.ansi` (for a terminal). Files of one name appear together or not at all. For several pages PNG
                and SVG are called `NAME_p1.png`, ...
            width: In inches (by default 7), a length such as "8.4cm", or the name of a venue's column such as "acl". HTML and
                a terminal use the width they have, and a fragment that of the lines around it.
            font_size: Size of the text, in points; not for HTML and the terminal. By default 9.
            title: Whether a line above says what is shown; by default it does. A paper's caption says it as well; LaTeX has
                the caption alone.

        Returns:
            The files that were written.

        Raises:
            FigureError: A file ends otherwise, there is none, or a setting is not possible.
            DiskError: A file cannot be written.
        """
        from tokenviz.figures.heatmap.files import format_of, save_heatmap

        if not paths:
            raise FigureError("no file is given: give one such as 'heatmap.png'")
        wanted: dict[Path, list[HeatmapFormat]] = {}
        for path in paths:
            stem, form = format_of(Path(path))
            wanted.setdefault(stem, []).append(form)
        saved = [save_heatmap(self, *one, width=width, font_size=font_size, title=title) for one in wanted.items()]
        return [path for files in saved for path in files]

    @property
    def title(self) -> tuple[str, str]:
        """The heading before and after the text's name."""
        label = self.measure.label
        return f"{label[0].upper()}{label[1:]} of each {self.unit} of “", "”"

    @property
    def buckets(self) -> tuple[str, ...]:
        """The names of the measure's classes; empty where its values are numbers."""
        return self.measure.buckets if isinstance(self.measure, TokenMeasure) else ()

    @property
    def span_names(self) -> tuple[str, ...]:
        """The names of the text's spans, in the order in which they come; empty where it has none."""
        return tuple(dict.fromkeys(name for panel in self.panels for name in panel.spans if name))

    @property
    def is_code(self) -> bool:
        """Whether the text is set in a fixed-width face: at least three lines, and one in five, are indented."""
        lines = [line for line in "".join(self.panels[0].text).split("\n") if line.strip()]
        indented = sum(line.startswith(("  ", "\t")) for line in lines)
        return indented >= 3 and 5 * indented >= len(lines)

    @property
    def legend(self) -> Legend:
        """The words of the legend."""
        unscored = UNSCORED if any(panel.n_scored < len(panel) for panel in self.panels) else ""
        axis = f"{self.measure.axis}, {self.limits.percentiles}" if self.limits.percentiles else self.measure.axis
        shared = (SHARED,) if any(panel.shares_characters for panel in self.panels) else ()
        if self.scale.is_empty:
            return Legend(axis, (), shared, unscored)
        low, high = self.printed_limits
        if isinstance(self.measure, TokenMeasure):
            light, dark = self.measure.ends
            ends = f"{light} at the light end, {dark} at the dark end"
            return Legend(axis, self.buckets or (low, high), (ends, *shared), unscored)
        a, b = self.models
        lines = (f"left of 0, underlined: {a} gave it more probability", f"right of 0: {b} gave it more probability")
        return Legend(axis, (low, "0", high), (*lines, *shared), unscored)

    @property
    def printed_limits(self) -> tuple[str, str]:
        """Return the limits as the legend prints them; where values are beyond a limit, "≤" or "≥" shows it."""
        below, above = self._beyond()
        low, high = self.measure.printed(self.limits.low), self.measure.printed(self.limits.high)
        return f"≤ {low}" if below else low, f"≥ {high}" if above else high

    @property
    def caption(self) -> str:
        """The caption for a paper: models, text, measure, limits and n in sentences."""
        shown = f"{self.measure.axis[0].upper()}{self.measure.axis[1:]}"
        if isinstance(self.measure, PairMeasure):
            a = self.models[0]
            [panel] = self.panels
            what = (
                f"{shown} of each {self.unit} of “{self.text_name}”: {panel.name}, "
                f"n = {panel.n_scored} of {panel.n_units} {self.unit}s. Underlined: {a} gave it more probability."
            )
        else:
            counts = [
                f"{label} ({'; '.join(filter(None, (words, f'n = {panel.n_scored} of {panel.n_units} {self.unit}s')))})"
                for label, panel in zip(self.models, self.panels, strict=True)
                for words in (panel.name.removeprefix(label)[2:-1],)  # the words within the brackets
            ]
            what = f"{shown} of each {self.unit} of “{self.text_name}” by {_listed(counts)}. {self._ends()}"
        return " ".join(part for part in (what, self._limits(), self._unscored(), self._spans()) if part)

    def _ends(self) -> str:
        assert isinstance(self.measure, TokenMeasure)
        if self.buckets:
            return f"Colours by rank: {', '.join(self.buckets)}; dark is {self.measure.ends[1]}."
        return f"Light is {self.measure.ends[0]}, dark is {self.measure.ends[1]}."

    def _limits(self) -> str:
        if self.scale.is_empty or self.buckets:
            return ""
        low, high = self.measure.printed(self.limits.low), self.measure.printed(self.limits.high)
        if self.limits.origin == "fixed":
            below, above = self._beyond()
            beyond = [f"{below} below"] * bool(below) + [f"{above} above"] * bool(above)
            what = f"fixed limits; beyond them lie {_listed(beyond)}" if beyond else "fixed limits"
        elif self.limits.percentiles is not None:
            both = " of the differences, on both sides of 0" if isinstance(self.measure, PairMeasure) else " of the text"
            below, above = self._beyond()
            what = f"the {self.limits.percentiles}{both}; beyond them lie {below} below and {above} above"
        elif isinstance(self.measure, PairMeasure):
            what = f"the greatest difference of the {self.limits.origin} on both sides of 0"
        else:
            what = f"the least and the greatest value of the {self.limits.origin}"
        return f"Colours run from {low} to {high}{f' {self.measure.unit}'.rstrip()}: {what}."

    def _unscored(self) -> str:
        return "A dashed outline marks what has no prediction." if self.legend.unscored else ""

    def _spans(self) -> str:
        names = [f"“{name}”" for name in self.span_names[:_SPANS_NAMED]]
        more = len(self.span_names) - len(names)
        names += [f"{more} other{'s' * (more != 1)}"] * bool(more)
        return f"Lines above the text mark its spans: {_listed(names)}." if names else ""

    def _beyond(self) -> tuple[int, int]:
        """Return the number of values below and above the limits."""
        values = np.concatenate([panel.values for panel in self.panels])
        return int((values < self.limits.low).sum()), int((values > self.limits.high).sum())


def text_heatmap(
    source: Source,
    *,
    measure: str | TokenMeasure | PairMeasure = "logprob",
    limits: str | Chosen | None = None,
    colours: str | None = None,
    by: Literal["token", "segment"] = "token",
) -> TextHeatmap:
    """Define a heatmap of a text: the background of every token shows a measure of it; predictable tokens are dark.

    Args:
        source: One token table, or several of the same text, each a panel; or a comparison, whose two tables are the panels for
            a measure of tokens, and whose units are the pieces for a difference.
        measure: One of `MEASURES`: "logprob" (the default), "surprisal_bits", "probability", "rank_bucket", "entropy"; or
            "difference", the second model's log-prob minus the first's, which two tables allow as well. Or your own
            `TokenMeasure` or `PairMeasure` from `tokenviz.figures`.
        limits: Limits of the colours: low and high, also as "-12,0"; "text" (the default) for the least and the greatest value
            of the text in all panels, and for a difference the greatest size on both sides of 0; a percentile such as "p1" for
            the 1st to the 99th, so that one outlier does not flatten the scale; or those of a set from `shared_limits`.
        colours: One of `COLOUR_MAPS`; by default the measure's own.
        by: The kind of piece: each model's tokens (the default), or the segments that all models share, with the sums of their
            tokens. Where tokenizers differ only segments can be compared colour by colour. For "logprob" and "surprisal_bits".

    Returns:
        The definition of the heatmap. A notebook shows it; its method `save` writes it: `heatmap.save("heatmap.png")`.

    Raises:
        ComparisonError: The tables are of different texts.
        FigureError: The measure, the limits, the colours or the pieces are not possible, or the source is not scores.

    Example:
        >>> scores = tv.score(tv.load_model("glass-en"), "Alice was very tired.")
        >>> heatmap = tv.text_heatmap(scores, measure="surprisal_bits", limits=(0, 8))
        >>> heatmap
        TextHeatmap(surprisal (bits) of each token of 'text-...' by 'glass-en', 0.00 to 8.00)
        >>> heatmap.save("alice.html", "alice.tex")
        [PosixPath('alice.html'), PosixPath('alice.tex')]
        >>> heatmap.caption
        'Surprisal (bits) of each token of “text-...” by glass-en (...; n = 5 of 6 tokens). Light is surprising, ...'
    """
    if by not in ("token", "segment"):
        raise FigureError(f"by {by!r} is not possible: take 'token' or 'segment'")
    chosen = _measure(measure, [source])
    if isinstance(chosen, PairMeasure):
        comparison = _pair(source, chosen)
        a, b = comparison.a.spec, comparison.b.spec
        return pair_heatmap(
            comparison.units, chosen, models=(a.model, b.model), names=(full_name_of(a), full_name_of(b)),
            text_name=comparison.text_name, spans=comparison.a.spans, limits=limits, colours=colours,
        )  # fmt: skip
    tables = tables_of(source)
    several = len({table.spec.tokenizer for table in tables}) > 1
    if not several:
        by = "token"  # all models have these tokens
    if by == "segment":
        panels = segment_panels(tables, chosen)
    else:
        panels = tuple(token_panel(table, chosen, several_tokenizers=several) for table in tables)
    found = _limits(limits, chosen, panels)
    return TextHeatmap(
        text_name=tables[0].text_name,
        unit=by,
        measure=chosen,
        limits=found,
        scale=_scale(found, chosen, colour_map(colours or chosen.colours, diverging=False)),
        models=tuple(table.spec.model for table in tables),
        panels=panels,
    )


def pair_heatmap(
    units: Units,
    measure: PairMeasure,
    *,
    models: tuple[str, str],
    text_name: str,
    names: tuple[str, str] | None = None,
    spans: Sequence[Sequence[Span]] = (),
    limits: str | Chosen | None = None,
    colours: str | None = None,
) -> TextHeatmap:
    """Define the heatmap of a measure of two models on given units and `spans`; settings are as for `text_heatmap`."""
    panels = (pair_panel(units, models, names or models, measure, spans),)
    found = _limits(limits, measure, panels)
    return TextHeatmap(
        text_name=text_name,
        unit=units.by,
        measure=measure,
        limits=found,
        scale=ColourScale(found.low, found.high, colour_map(colours or measure.colours, diverging=True)),
        models=models,
        panels=panels,
    )


def _limits(given: str | Chosen | None, measure: TokenMeasure | PairMeasure, panels: tuple[Panel, ...]) -> Limits:
    chosen = chosen_limits("text" if given is None else given)
    if isinstance(chosen, Limits | tuple):
        return checked_limits(chosen, measure)
    if chosen == "shared":
        raise FigureError(
            "shared limits are of several texts, and this figure shows one: give those that shared_limits finds for all of "
            "them, or two numbers; 'tokenviz pull' and 'tokenviz score' share them among their texts"
        )
    between = chosen if isinstance(chosen, Percentiles) else None
    return limits_of([panel.values for panel in panels], measure, "text", between)


def shared_limits(sources: Sequence[Source], *, measure: str | TokenMeasure | PairMeasure = "logprob") -> Limits:
    """Return the limits of a whole set, so that one colour means one value in all its heatmaps.

    Args:
        sources: The sources of the set's heatmaps.
        measure: What the heatmaps show; by default log-probs.

    Raises:
        FigureError: There is no such measure, or it does not fit the sources.
    """
    chosen = _measure(measure, sources)
    if isinstance(chosen, PairMeasure):
        values = [chosen.take(_pair(source, chosen).units) for source in sources]
    else:
        values = [chosen.take(table) for source in sources for table in tables_of(source)]
    return limits_of(values, chosen, "set")


def _measure(given: str | TokenMeasure | PairMeasure, sources: Sequence[Source]) -> TokenMeasure | PairMeasure:
    """Return the measure that is given by its name; where a source is not of two models, the others are offered."""
    if isinstance(given, TokenMeasure | PairMeasure):
        return given
    check_kind(given, str, FigureError, "a measure: give the name of one, such as 'entropy', or your own TokenMeasure")
    return measure_named(given, of_pairs=all(len(tables_of(source)) == 2 for source in sources))


def _scale(limits: Limits, measure: TokenMeasure, colours: ColourMap) -> ColourScale:
    """Return the scale of a measure of tokens.

    Of an odd number of classes the middle one would be in the middle of viridis, on the darkest of the shades that have black
    letters, the least readable of all in grey. It is moved to the shades that have white ones.
    """
    beyond = _BEYOND * bool(measure.buckets)
    falling = measure.dark == "low"
    return ColourScale(limits.low - beyond * (not falling), limits.high + beyond * falling, colours, falling=falling)


def tables_of(source: Source) -> list[TokenScores]:
    """Return the token tables of a figure's source.

    Raises:
        ComparisonError: The tables are of different texts.
        FigureError: There is no table, or something else.
    """
    if isinstance(source, Comparison):
        return [source.a, source.b]
    given = list[object](source) if isinstance(source, Iterable) else [source]
    tables = [one for one in given if isinstance(one, TokenScores)]
    others = [type(one).__name__ for one in given if not isinstance(one, TokenScores)]
    if others:
        raise FigureError(f"a {others[0]} is not scores: give the scores of one model or more, or a comparison")
    if not tables:
        raise FigureError("there is nothing to show: give the scores of at least one model")
    if len({table.text_sha256 for table in tables}) != 1:
        raise ComparisonError("one figure shows one text: give scores of the same text")
    return tables


def _pair(source: Source, measure: PairMeasure) -> Comparison:
    if isinstance(source, Comparison):
        return source
    tables = [source] if isinstance(source, TokenScores) else list(source)
    if len(tables) != 2:
        raise FigureError(
            f"the measure {measure.name!r} is of two models, and {len(tables)} table{'s' * (len(tables) != 1)} "
            f"{'were' if len(tables) != 1 else 'was'} given: give a comparison, or two tables of one text"
        )
    return compare(*tables)


def _listed(parts: Sequence[str]) -> str:
    return " and ".join([", ".join(parts[:-1]), parts[-1]]) if len(parts) > 1 else "".join(parts)
