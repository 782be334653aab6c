"""Writing figures: equal figures give equal bytes, and their metadata describe what they show."""

import struct
import tempfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any, Literal, get_args

import matplotlib
import numpy as np
from matplotlib.backends.backend_pdf import PdfPages
from matplotlib.figure import Figure

from tokenviz import durable
from tokenviz.errors import DiskError, FigureError
from tokenviz.figures.pdf_text import exact_text

FigureFormat = Literal["png", "svg", "pdf"]
PAGE_FORMATS: tuple[FigureFormat, ...] = ("png",)
"""Formats of every figure of a run besides HTML, for its page; others are drawn from its tables when they are wanted."""

_DPI = 200
_SETTINGS: Any = {
    "text.hinting": "no_hinting",  # letters are as wide in a PNG as in a vector format, so that they fit their boxes
    "svg.fonttype": "none",  # text stays text: it can be searched, selected and checked
    "svg.hashsalt": "tokenviz",
    "pdf.fonttype": 42,
}


def run_formats(asked: Sequence[str]) -> tuple[FigureFormat, ...]:
    """Return the formats besides HTML of the figures that are drawn into runs: those of a run's page, and those asked for.

    Raises:
        FigureError: There is no such format.
    """
    possible: tuple[FigureFormat, ...] = get_args(FigureFormat)
    for form in asked:
        if form not in possible:
            raise FigureError(
                f"no format {form!r} for the figures of runs: give some of {', '.join(possible)}; HTML and PNG are always drawn"
            )
    return tuple(form for form in possible if form in (*PAGE_FORMATS, *asked))


@contextmanager
def fixed_settings() -> Iterator[None]:
    """Use matplotlib's default settings inside the block, whatever a matplotlibrc or a notebook has set."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_SETTINGS)
        yield


def save_figure(
    pages: Figure | Sequence[Figure],
    stem: Path | str,
    *,
    title: str | None = None,
    description: str = "",
    formats: Sequence[FigureFormat] = ("png", "svg", "pdf"),
) -> list[Path]:
    """Write a figure of one or more pages: equal figures give equal bytes, and PDF and SVG keep their text.

    Args:
        pages: The figure, or its pages.
        stem: Path without suffix. A figure of several pages becomes one PDF, and `STEM_p1.png`, ... in other formats.
        title: Title in the metadata; by default the file's name.
        description: Description in the metadata: what made it. By default empty.
        formats: Formats to write; by default PNG, SVG and PDF.

    Returns:
        The files, in the order of `formats`.

    Raises:
        DiskError: A file cannot be written.

    Example:
        >>> model = tv.load_model("glass-en")
        >>> a, b = (tv.score(model, "Alice was very tired.", context=context) for context in (4, 128))
        >>> scatter = tv.unity_scatter(tv.compare(a, b))
        >>> tv.save_figure(scatter, "scatter", title="Context", description="4 tokens against 128", formats=["pdf", "png"])
        [PosixPath('scatter.pdf'), PosixPath('scatter.png')]
    """
    figures = [pages] if isinstance(pages, Figure) else list(pages)
    stem = Path(stem)
    title = stem.name if title is None else title
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
                        figure.savefig(path, dpi=_DPI, metadata=metadata)
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
            return [durable.put(path, stem.with_name(path.name)) for path in write(Path(folder, stem.name))]
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
    figure.savefig(drawn, format="rgba", dpi=_DPI)
    width, height = (int(inches * _DPI + 1e-8) for inches in figure.get_size_inches().tolist())  # as matplotlib rounds
    pixels = np.frombuffer(drawn.getvalue(), np.uint8).reshape(height, width, 4)
    channels, colour_type = (3, 2) if (pixels[..., 3] == 255).all() else (4, 6)
    rows = np.zeros((height, 1 + channels * width), np.uint8)  # before each row: that it is not filtered
    rows[:, 1:] = pixels[..., :channels].reshape(height, -1)
    per_metre = round(_DPI / 0.0254)
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
