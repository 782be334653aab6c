"""Figures as files: how wide, the same bytes each time, text in a PDF that is found again, and shown in a notebook."""

import math
import re
import struct
import tempfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from io import BytesIO
from itertools import groupby
from pathlib import Path
from typing import Any, Literal, get_args

import matplotlib
import numpy as np
from matplotlib import _text_helpers
from matplotlib.axes import Axes
from matplotlib.backends.backend_pdf import PdfPages
from matplotlib.figure import Figure
from matplotlib.ft2font import LoadFlags

from tokenviz.base import disk
from tokenviz.base.errors import DiskError, FigureError
from tokenviz.figures.typeset.lines import JOINER, RIGHT_TO_LEFT_MARK, is_arabic, strong_direction

# Text in a PDF that is searched and copied exactly, even where letters are shaped from several glyphs.
#
# Matplotlib 3.11 shapes text and writes, for each glyph of a cluster (a Thai consonant with its marks, a Devanagari syllable),
# the characters of the whole cluster, so that copied text has each several times. While a PDF is written here, the glyphs of a
# cluster divide its characters among themselves.

_NOTHING = "\u200b"  # for a glyph beyond the number of characters: each needs one


@dataclass(frozen=True)
class _Glyph:
    """The attributes that the PDF backend reads of matplotlib's class, whose characters cannot be set."""

    ft_object: Any
    char: str
    glyph_index: int
    x: float
    y: float
    prev_kern: float


@contextmanager
def exact_text() -> Iterator[None]:
    """Write each character once in PDF files, inside the block."""
    shaped = _text_helpers.layout

    def layout(string: str, font: Any, **settings: Any) -> Iterator[_Glyph]:
        glyphs = _without_joiners(list(shaped(string, font, **settings)), string)
        characters = shared_out(string, [glyph.char for glyph in glyphs])
        for glyph, char in zip(glyphs, characters, strict=True):
            yield replace(glyph, char=char)

    _text_helpers.layout = layout  # type: ignore[assignment]  # what it yields has all that the PDF backend reads
    try:
        yield
    finally:
        _text_helpers.layout = shaped


def shared_out(string: str, clusters: list[str]) -> list[str]:
    """Return the characters of each glyph, so that every character of the text occurs once.

    Args:
        string: The text.
        clusters: For each glyph, from left to right, the characters of its whole cluster.
    """
    runs = [(cluster, len(list(run))) for cluster, run in groupby(clusters)]
    found: list[str] = []
    for cluster, count in runs:
        counts = [other for text, other in runs if text == cluster]
        # The number of glyphs of each cluster: at least as many as leave no more clusters than the text can hold.
        glyphs = next(
            n for n in range(1, count + 1)
            if math.gcd(*counts) % n == 0 and (sum(counts) <= n * string.count(cluster) or n == math.gcd(*counts))
        )  # fmt: skip
        found += _shares(cluster, glyphs) * (count // glyphs)
    return found


def _shares(cluster: str, glyphs: int) -> list[str]:
    cluster = cluster.ljust(glyphs, _NOTHING)
    first = len(cluster) - glyphs + 1
    shares = [cluster[:first], *cluster[first:]]
    return shares[::-1] if strong_direction(cluster) == "R" else shares


def _without_joiners(glyphs: list[Any], string: str) -> list[_Glyph]:
    """Return the glyphs without the blank ones of characters that only control joining and direction."""
    signs = {RIGHT_TO_LEFT_MARK} | ({JOINER} if any(map(is_arabic, string)) else set())
    kept: list[_Glyph] = []
    skipped = 0.0
    for glyph in glyphs:
        blank = {glyph.ft_object.get_char_index(ord(sign)) for sign in (" ", *signs)}
        if signs & set(glyph.char) and glyph.glyph_index in blank:
            # The glyph after it was moved back by the blank one's width.
            skipped += (
                glyph.prev_kern + glyph.ft_object.load_glyph(glyph.glyph_index, LoadFlags.NO_HINTING).linearHoriAdvance / 65536
            )
            continue
        char = "".join(sign for sign in glyph.char if sign not in signs)
        kept.append(_Glyph(glyph.ft_object, char, glyph.glyph_index, glyph.x, glyph.y, glyph.prev_kern + skipped))
        skipped = 0.0
    return kept


# Writing figures: equal figures give equal bytes, and their metadata describe what they show.

FigureFormat = Literal["png", "svg", "pdf"]
PAGE_FORMATS: tuple[FigureFormat, ...] = ("png",)
"""Formats of the plots that a run's page shows; heatmaps and reports are HTML. Others are drawn from its tables when wanted."""

DPI = 200  # with far fewer, letters are hinted so that a word is wider than its box
_SETTINGS: Any = {
    "text.hinting": "no_hinting",  # letters are as wide in a PNG as in a vector format, so that they fit their boxes
    "svg.fonttype": "none",  # text stays text: it can be searched, selected and checked
    "svg.hashsalt": "tokenviz",
    "pdf.fonttype": 42,
}


def run_formats(asked: Sequence[str]) -> tuple[FigureFormat, ...]:
    """Return the formats in which every figure of a run is drawn into it, besides what its page shows; each once.

    Args:
        asked: Some of the formats of figures, in any order; none by default.

    Raises:
        FigureError: There is no such format.
    """
    possible: tuple[FigureFormat, ...] = get_args(FigureFormat)
    for form in asked:
        if form not in possible:
            raise FigureError(
                f"no format {form!r} for the figures of runs: give some of {', '.join(possible)}; what its page shows is "
                "always drawn"
            )
    return tuple(form for form in possible if form in asked)


def page_formats(asked: Sequence[FigureFormat]) -> tuple[FigureFormat, ...]:
    """Return the formats of a plot that a run's page shows: those of `PAGE_FORMATS`, and others that are asked for."""
    return tuple(dict.fromkeys((*PAGE_FORMATS, *asked)))


@contextmanager
def fixed_settings() -> Iterator[None]:
    """Use matplotlib's default settings inside the block, whatever a matplotlibrc or a notebook has set."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_SETTINGS)
        yield


def save_figure(
    pages: Figure | Sequence[Figure],
    *paths: Path | str,
    title: str | None = None,
    description: str = "",
    formats: Sequence[FigureFormat] | None = None,
) -> list[Path]:
    """Write a figure of one or more pages: equal figures give equal bytes, and PDF and SVG keep their text.

    Args:
        pages: The figure, or its pages.
        paths: Files that end in `.png`, `.svg` or `.pdf`. Files of one name appear together or not at all. Several pages become
            one PDF, and `NAME_p1.png`, ... in other formats.
        title: Title in the metadata; by default the file's name.
        description: Description in the metadata: what made it. By default empty.
        formats: For paths without ending: those that are written, by default PNG, SVG and PDF.

    Returns:
        The files that were written.

    Raises:
        FigureError: A file ends otherwise, or there is none.
        DiskError: A file cannot be written.

    Example:
        >>> model = tv.load_model("glass-en")
        >>> a, b = (tv.score(model, "Alice was very tired.", context=context) for context in (4, 128))
        >>> scatter = tv.unity_scatter(tv.compare(a, b))
        >>> tv.save_figure(scatter, "scatter.pdf", "scatter.png", title="Context", description="4 tokens against 128")
        [PosixPath('scatter.pdf'), PosixPath('scatter.png')]
    """
    if not paths:
        raise FigureError("no file is given: give one such as 'figure.png'")
    possible: tuple[FigureFormat, ...] = get_args(FigureFormat)
    endings: dict[str, FigureFormat] = {f".{form}": form for form in possible}
    wanted: dict[Path, list[FigureFormat]] = {}
    for path in map(Path, paths):
        if formats is not None or not path.suffix:
            wanted.setdefault(path, []).extend(possible if formats is None else formats)
        elif path.suffix in endings:
            wanted.setdefault(path.with_suffix(""), []).append(endings[path.suffix])
        else:
            one = ", ".join(endings)
            raise FigureError(f"a figure cannot be saved as {str(path)!r}: give a file that ends in one of {one}")
    saved: list[Path] = []
    for stem, own in wanted.items():
        name = stem.name if title is None else title
        saved += together(stem, partial(save_pages, pages, title=name, description=description, formats=own))
    return saved


def save_pages(
    pages: Figure | Sequence[Figure],
    stem: Path,
    *,
    title: str,
    description: str,
    formats: Sequence[FigureFormat] = get_args(FigureFormat),
) -> list[Path]:
    """Write a figure of one or more pages, as `save_figure` does, in several formats.

    Args:
        pages: The figure, or its pages.
        stem: The files' path without ending, whatever dots its name has.
        title: Title in the metadata.
        description: Description in the metadata: what made it.
        formats: Formats to write; by default PNG, SVG and PDF.

    Returns:
        The files, in the order of `formats`.

    Raises:
        DiskError: A file cannot be written.
    """
    figures = [pages] if isinstance(pages, Figure) else list(pages)
    written = []
    try:
        with fixed_settings():
            for form in formats:
                if form == "pdf":
                    written.append(_save_pdf(figures, stem.with_name(f"{stem.name}.pdf"), title, description))
                    continue
                for number, figure in enumerate(figures, start=1):
                    page = f"_p{number}" if len(figures) > 1 else ""
                    path = stem.with_name(f"{stem.name}{page}.{form}")
                    if form == "png":
                        path.write_bytes(_png(figure, {"Title": title, "Description": description, "Software": "tokenviz"}))
                    else:
                        metadata = {"Title": title, "Description": description, "Creator": "tokenviz", "Date": None}
                        figure.savefig(path, dpi=DPI, metadata=metadata)
                        _keep_spaces(path)
                    written.append(path)
    except OSError as error:
        raise DiskError(f"cannot write the figure {str(stem)!r}: {error.strerror or error}") from error
    return written


def together(stem: Path, write: Callable[[Path], list[Path]]) -> list[Path]:
    """Make the files of a figure appear together, or none of them.

    Args:
        stem: The files' final path without suffix.
        write: Writes them, given such a path in another folder.

    Returns:
        The files at their final paths.

    Raises:
        DiskError: A file cannot be written.
    """
    try:
        with tempfile.TemporaryDirectory(dir=stem.parent, prefix=".tokenviz-") as folder:
            return [disk.put(path, stem.with_name(path.name)) for path in write(Path(folder, stem.name))]
    except OSError as error:
        if isinstance(error, DiskError):
            raise
        raise DiskError(f"cannot write the figure {str(stem)!r}: {error.strerror or error}") from error


def _png(figure: Figure, words: Mapping[str, str]) -> bytes:
    """Return a figure as a PNG file of its exact pixels.

    Pillow writes every row as differences from its neighbours, and an opacity that is the same everywhere. Boxes of one colour
    with letters in them take a quarter less room as they are, and are written faster.
    """
    drawn = BytesIO()
    figure.savefig(drawn, format="rgba", dpi=DPI)
    width, height = (int(inches * DPI + 1e-8) for inches in figure.get_size_inches().tolist())  # as matplotlib rounds
    pixels = np.frombuffer(drawn.getvalue(), np.uint8).reshape(height, width, 4)
    channels, colour_type = (3, 2) if (pixels[..., 3] == 255).all() else (4, 6)
    rows = np.zeros((height, 1 + channels * width), np.uint8)  # before each row: that it is not filtered
    for channel in range(channels):  # a quarter of the time that whole pixels take
        rows[:, 1 + channel :: channels] = pixels[..., channel]
    per_metre = round(DPI / 0.0254)
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, colour_type, 0, 0, 0)),
        (b"pHYs", struct.pack(">IIB", per_metre, per_metre, 1)),
        *((b"iTXt", key.encode() + bytes(5) + word.encode()) for key, word in words.items()),
        (b"IDAT", zlib.compress(rows.tobytes(), 6)),
        (b"IEND", b""),
    ]
    packed = (struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


def _keep_spaces(path: Path) -> None:
    """Keep the spaces at the beginning of tokens, which SVG drops by default: browsers read the style, others the attribute."""
    svg = path.read_text(encoding="utf-8").replace("<svg ", '<svg xml:space="preserve" ', 1)
    path.write_text(svg.replace('<style type="text/css">', '<style type="text/css">text{white-space:pre}', 1), encoding="utf-8")


def _save_pdf(figures: list[Figure], path: Path, title: str, description: str) -> Path:
    metadata = {"Title": title, "Subject": description, "Creator": "tokenviz", "CreationDate": None}
    with exact_text(), PdfPages(path, metadata=metadata) as pdf:
        for figure in figures:
            pdf.savefig(figure)
    return path


# Widths of figures: in a unit of length, or by the name of the venue whose column they fill.

_MM = 1 / 25.4
_UNITS = {"in": 1.0, "cm": 10 * _MM, "mm": _MM, "pt": 1 / 72.27, "bp": 1 / 72}  # pt is TeX's, as \columnwidth prints it
_LEAST, _GREATEST = 1.5, 40.0

# Width of a column in inches, and of the whole text where a page has two columns: from the venues' style files and author kits.
_VENUES: dict[str, tuple[float, ...]] = {
    "acl": (77 * _MM, 160 * _MM),  # also EMNLP, NAACL, EACL, TACL: one style
    "neurips": (5.5,),
    "iclr": (5.5,),
    "colm": (5.5,),
    "icml": (3.25, 6.75),
    "aistats": (3.25, 6.75),
    "aaai": (3.3125, 7.0),
    "cvpr": (3.25, 6.875),
    "acm": (241.147 / 72.27, 506.295 / 72.27),  # acmart, sigconf
    "ieee": (3.5, 7.16),
    "lncs": (122 * _MM,),
    "jmlr": (6.0,),
    "tmlr": (6.5,),
    "nature": (89 * _MM, 183 * _MM),
    "pnas": (87 * _MM, 178 * _MM),
    "elsevier": (90 * _MM, 190 * _MM),
}
WIDTHS = {
    name + suffix: inches for name, widths in _VENUES.items() for suffix, inches in zip(("", "-text"), widths, strict=False)
}
"""Inches by name: `acl` is one column, `acl-text` both; `neurips` has one column only."""


def inches(width: float | str) -> float:
    """Return a width in inches.

    Args:
        width: In inches; or a length such as "3.3in", "8.4cm", "84mm", "240pt" (TeX's point, 1/72.27 inch) or "239bp"; or a
            name from `WIDTHS`.

    Raises:
        FigureError: It is none of these, or a width in which no text can be set.
    """
    found = _parsed(width) if isinstance(width, str) else width
    if found is None:
        raise FigureError(
            f"no width {width!r}: give inches, a length such as 3.3in, 8.4cm, 84mm or 240pt, or one of {', '.join(WIDTHS)}"
        )
    if not _LEAST <= found <= _GREATEST:  # refuses NaN as well
        raise FigureError(f"a width of {width!r} is not possible: take {_LEAST:g} to {_GREATEST:g} inches")
    return found


def _parsed(width: str) -> float | None:
    if width in WIDTHS:
        return WIDTHS[width]
    length = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(in|cm|mm|pt|bp)?", width.strip())
    return float(length[1]) * _UNITS[length[2] or "in"] if length else None


def points(font_size: float) -> float:
    """Return a font size in points, if it is possible.

    Raises:
        FigureError: The size is not 4 to 48 points.
    """
    if not 4 <= font_size <= 48:
        raise FigureError(f"a font size of {font_size:g} points is not possible: take 4 to 48")
    return font_size


# `Picture`: a matplotlib figure that displays itself in any notebook, independently of pyplot's state.

_SCREEN = 96  # pixels per inch on a page
_SHARP = 2  # pixels of the picture per pixel of the page


class Picture(Figure):
    """The result of the drawing functions: a `Figure` like any other, to be changed, combined or saved."""

    def __repr__(self) -> str:
        titles = (axes.get_title(loc="left") for axes in self.findobj(Axes))  # including axes inside others
        title = " ".join(next((title for title in titles if title), "without a title").split())
        width, height = self.get_size_inches()
        return f"Picture({width:.1f} by {height:.1f} inches: {title})"

    def _repr_png_(self) -> tuple[bytes, dict[str, int]]:
        picture = BytesIO()
        with fixed_settings():
            self.savefig(picture, format="png", dpi=_SHARP * _SCREEN)
        width, height = (round(inches * _SCREEN) for inches in self.get_size_inches())
        return picture.getvalue(), {"width": width, "height": height}
