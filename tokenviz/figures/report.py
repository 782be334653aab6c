"""The interactive report: one self-contained HTML file in which several models' readings of a text are explored.

It runs from disk and in a sandboxed frame: no network, no storage, no other file. The text and all names come in as data
that the page's script puts into text nodes only, and the page's own policy lets nothing else run or load.
"""

import base64
import hashlib
import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2.utils import htmlsafe_json_dumps
from markupsafe import Markup

from tokenviz import durable
from tokenviz.errors import DiskError, FigureError
from tokenviz.figures.colours import COLOUR_MAPS, text_colour, to_hex
from tokenviz.figures.definition import Source, tables_of
from tokenviz.figures.html import page_template
from tokenviz.figures.limits import Chosen, checked_limits, chosen_limits
from tokenviz.figures.measures import MEASURES, measure_named
from tokenviz.figures.report_data import report_data
from tokenviz.models.describing import full_name_of

_SCRIPTS = (
    "data.js",
    "text.js",
    "details.js",
    "scatter.js",
    "places.js",
    "search.js",
    "reader.js",
)  # later ones use earlier ones


def save_report(
    source: Source, path: Path | str, *, limits: str | Chosen | None = None, about: Mapping[str, object] | None = None
) -> Path:
    """Write an interactive page of one or several models' readings of a text.

    Pointing at a token, or going to it by the arrow keys, shows its log-prob, rank, entropy and likeliest alternatives by each
    model; the scatter of two models and a list of the places where they differ most lead to the text, and back.

    Args:
        source: Token tables of one text by any number of models, or a comparison. Alternatives are shown where they were kept
            (`top_k`), ten at most. The models are laid side by side over tokens where one tokenizer made all of them, else over
            the segments that all of them cut alike.
        path: Of the file, `*.html`.
        limits: Of the colours, as for `text_heatmap`: numbers are of log-probs and of no other measure, percentiles of all.
        about: What made it, for its metadata, which say besides what it shows.

    Returns:
        The path.

    Raises:
        ComparisonError: The tables are of different texts.
        FigureError: There is no table, or the file's name does not end in .html.
        DiskError: The file cannot be written.

    Example:
        >>> scores = tv.score(tv.load_model("glass-en"), "Alice was very tired.", top_k=10)
        >>> tv.save_report(scores, "report.html")
        PosixPath('report.html')
    """
    path = checked_path(path)
    page = report_html(source, limits=limits, about=about)
    try:
        durable.write(path, page)
        return path
    except OSError as error:
        raise DiskError(f"cannot write the report {str(path)!r}: {error.strerror or error}") from error


def checked_path(path: Path | str) -> Path:
    """The path of a report, if there can be one.

    Raises:
        FigureError: Its name does not end in .html.
        DiskError: There is no such folder.
    """
    path = Path(path)
    if path.suffix.lower() not in (".html", ".htm"):
        raise FigureError(f"a report is an HTML page, and {path.name!r} does not end in .html: name it so")
    if not path.parent.is_dir():
        raise DiskError(f"cannot write the report {str(path)!r}: there is no folder {str(path.parent)!r}")
    return path


def report_limits(limits: str | Chosen | None) -> Chosen:
    """Return the limits of a report, which shows one text: those of all its texts are those of the text.

    Raises:
        FigureError: No report can have them.
    """
    chosen = chosen_limits("text" if limits in (None, "shared") else limits)
    return checked_limits(chosen, measure_named("logprob")) if isinstance(chosen, tuple) else chosen


def report_html(source: Source, *, limits: str | Chosen | None = None, about: Mapping[str, object] | None = None) -> str:
    """Return the page of `save_report` as a string."""
    tables = tables_of(source)
    data = report_data(tables, report_limits(limits))
    models = [table.spec.model for table in tables]
    named = [full_name_of(table.spec) for table in tables]
    shown = {"figure": "report", "models": models, "text": tables[0].text_name, "text_sha256": tables[0].text_sha256}
    style, script = page_part("report.css") + _shades(), "".join(map(page_part, _SCRIPTS))
    page: str = page_template("page/report.html.j2").render(
        title=f"{', '.join(named)} on “{tables[0].text_name}”",
        about=json.dumps({**(about or {}), **shown}, allow_nan=False),
        policy=policy_of(style, script),
        style=Markup(style),
        script=Markup(script),
        data=htmlsafe_json_dumps(data, dumps=compact_json),
    )
    return page


@cache
def page_part(name: str) -> str:
    """Return one of the files that the pages of this room are made of."""
    return files("tokenviz.figures").joinpath("page", name).read_text(encoding="utf-8")


@cache
def _shades() -> str:
    """A class for every colour: background and a text that stands out from it."""
    rules = [
        f".{name}-{number}{{background:{to_hex(colour)};color:{text_colour(colour)}}}"
        for name in sorted({measure.colours for measure in MEASURES.values()})
        for number, colour in enumerate(COLOUR_MAPS[name].shades)
    ]
    return "\n".join(rules) + "\n"


def policy_of(style: str, script: str) -> str:
    """Return a page's policy: its own style and script, and nothing else, run or load."""
    return f"default-src 'none'; style-src {_hash(style)}; script-src {_hash(script)}; base-uri 'none'; form-action 'none'"


def _hash(part: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(part.encode()).digest()).decode()}'"


def compact_json(data: Any, **_: Any) -> str:
    """Return plain values as JSON without spaces, for a page's data."""
    return json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
