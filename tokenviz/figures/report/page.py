"""The interactive report: one self-contained HTML file to explore several models' readings of a text.

It works from disk and in a sandboxed frame: no network, no storage, no other file. The text and all names are data that the
page's script puts only into text nodes, and the page's content security policy lets nothing else run or load.
"""

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2.utils import htmlsafe_json_dumps
from markupsafe import Markup

from tokenviz.base import disk
from tokenviz.base.errors import DiskError, FigureError
from tokenviz.comparing.comparison import Comparison
from tokenviz.figures.heatmap.definition import Source, tables_of
from tokenviz.figures.heatmap.html import page_template
from tokenviz.figures.heatmap.measures import MEASURES, Chosen, checked_limits, chosen_limits, measure_named
from tokenviz.figures.report.data import MOST_ALTERNATIVES, report_data
from tokenviz.figures.report.texts import Entry, entries_data, list_data
from tokenviz.figures.typeset.colours import COLOUR_MAPS, text_colour, to_hex
from tokenviz.models.describing import full_name_of

MOST_BYTES = 64_000_000
"""Limit for a report of several texts: 200 texts of 135 tokens by 3 models take 25 MB with 10 alternatives per token (Chromium
opens
them in a second), and 12 MB with 3."""

_SCRIPTS = (
    "data.js",
    "text.js",
    "details.js",
    "scatter.js",
    "places.js",
    "search.js",
    "texts.js",
    "reader.js",
)  # later ones use earlier ones


def save_report(
    source: Source, path: Path | str, *, limits: str | Chosen | None = None, about: Mapping[str, object] | None = None
) -> Path:
    """Write an interactive page with one or several models' readings of a text.

    Pointing at a token, or going to it by the arrow keys, shows its log-prob, rank, entropy and likeliest alternatives by each
    model. The scatter of two models and a list of the places where they differ most are linked with the text.

    Args:
        source: Token tables of one text by any number of models, or a comparison. Alternatives are shown where they were kept
            (`top_k`), ten at most. Models are compared over tokens where one tokenizer made all of them, else over the segments
            that all of them share.
        path: The file to write, `*.html`.
        limits: Limits of the colours, as for `text_heatmap`: numbers are for log-probs only, percentiles for all measures.
        about: What made it, for its metadata, which also contain what it shows.

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
        disk.write(path, page)
        return path
    except OSError as error:
        raise DiskError(f"cannot write the report {str(path)!r}: {error.strerror or error}") from error


def save_texts_report(
    entries: Sequence[Entry],
    path: Path | str,
    *,
    title: str,
    limits: str | Chosen | None = None,
    about: Mapping[str, object] | None = None,
    alternatives: int = MOST_ALTERNATIVES,
    most_bytes: int | None = None,
) -> Path:
    """Write an interactive page of several texts, passages, items or minimal pairs, with a list of them at its side.

    The list is sorted by the difference of two models, by bits per byte, by name, or by the margin of minimal pairs. A text is
    shown as by `save_report`; for a minimal pair both sentences are shown next to each other, with their sums.

    Args:
        entries: Entries from `text_entries`, `passage_entries` or `pair_entries`.
        path: The file to write, `*.html`.
        title: Heading and title of the page.
        limits: Limits of the colours, as for `save_report`; "shared" for those of all texts together.
        about: What made it, for its metadata.
        alternatives: The most alternatives per token; fewer make the page smaller. By default 10.
        most_bytes: The largest size of the page, in bytes; by default 64 MB.

    Returns:
        The path.

    Raises:
        ComparisonError: The texts are not all by the same models.
        ReportSizeError: The page would be larger than `most_bytes`.
        FigureError: There is no text, or the file's name does not end in .html.
        DiskError: The file cannot be written.
    """
    path = checked_path(path)
    page = texts_report_html(entries, title=title, limits=limits, about=about, alternatives=alternatives, most_bytes=most_bytes)
    try:
        disk.write(path, page)
        return path
    except OSError as error:
        raise DiskError(f"cannot write the report {str(path)!r}: {error.strerror or error}") from error


def texts_report_html(
    entries: Sequence[Entry],
    *,
    title: str,
    limits: str | Chosen | None = None,
    about: Mapping[str, object] | None = None,
    alternatives: int = MOST_ALTERNATIVES,
    most_bytes: int | None = None,
) -> str:
    """Return the page of `save_texts_report` as a string."""
    if not entries:
        raise FigureError("there is nothing to show: give the scores of at least one text")
    chosen = "shared" if limits == "shared" else report_limits(limits)
    size, most, texts = 0, MOST_BYTES if most_bytes is None else most_bytes, []
    for data in entries_data(entries, chosen, alternatives=alternatives):
        texts.append(htmlsafe_json_dumps(data, dumps=compact_json))
        size += len(texts[-1].encode("utf-8", "surrogatepass"))
        if size > most:
            raise too_large(len(entries), len(entries[0].tables), most)
    shown = {"figure": "report", "models": [table.spec.model for table in entries[0].tables], "n_texts": len(entries)}
    return _page(title, list_data(entries), {**(about or {}), **shown}, texts)


class ReportSizeError(FigureError):
    """A report would be larger than a page that opens quickly."""


def too_large(texts: int, models: int, most: int = MOST_BYTES) -> ReportSizeError:
    """Return the error about a report that would be too large."""
    return ReportSizeError(
        f"a report of {texts} texts by {models} model{'s' * (models != 1)} would hold more than {most // 1_000_000} MB: "
        "give fewer texts or models, or keep fewer alternatives (--top-k 3)"
    )


def checked_path(path: Path | str) -> Path:
    """Return the path of a report, if it is possible.

    Raises:
        FigureError: Its name does not end in .html.
        DiskError: Its folder does not exist, or the path is a folder.
    """
    path = Path(path)
    if path.suffix.lower() not in (".html", ".htm"):
        raise FigureError(f"a report is an HTML page, and {path.name!r} does not end in .html: name it so")
    disk.check_place(path)
    return path


def report_limits(limits: str | Chosen | None) -> Chosen:
    """Return the limits of a report of one text, where "shared" means those of the text.

    Raises:
        FigureError: The limits are not possible for a report.
    """
    chosen = chosen_limits("text" if limits in (None, "shared") else limits)
    return checked_limits(chosen, measure_named("logprob")) if isinstance(chosen, tuple) else chosen


def report_html(source: Source, *, limits: str | Chosen | None = None, about: Mapping[str, object] | None = None) -> str:
    """Return the page of `save_report` as a string."""
    tables = tables_of(source)
    data = report_data(tables, report_limits(limits), compared=source if isinstance(source, Comparison) else None)
    models = [table.spec.model for table in tables]
    named = [full_name_of(table.spec) for table in tables]
    shown = {"figure": "report", "models": models, "text": tables[0].text_name, "text_sha256": tables[0].text_sha256}
    return _page(f"{', '.join(named)} on “{tables[0].text_name}”", data, {**(about or {}), **shown})


def _page(title: str, data: Mapping[str, Any], about: Mapping[str, object], texts: Sequence[str] = ()) -> str:
    style, script = page_part("report.css") + _shades(), "".join(map(page_part, _SCRIPTS))
    page: str = page_template("page/report.html.j2").render(
        title=title,
        about=json.dumps(about, allow_nan=False),
        policy=policy_of(style, script),
        style=Markup(style),
        script=Markup(script),
        data=htmlsafe_json_dumps(data, dumps=compact_json),
        texts=texts,
    )
    return page


@cache
def page_part(name: str) -> str:
    """Return one of the files from which the pages of this package are made."""
    return files("tokenviz.figures").joinpath("templates", "page", name).read_text(encoding="utf-8")


@cache
def _shades() -> str:
    """Return one CSS class per colour: background and a text colour that contrasts with it."""
    rules = [
        f".{name}-{number}{{background:{to_hex(colour)};color:{text_colour(colour)}}}"
        for name in sorted({measure.colours for measure in MEASURES.values()})
        for number, colour in enumerate(COLOUR_MAPS[name].shades)
    ]
    return "\n".join(rules) + "\n"


def policy_of(style: str, script: str) -> str:
    """Return a page's content security policy: only its own style and script may be used."""
    return f"default-src 'none'; style-src {_hash(style)}; script-src {_hash(script)}; base-uri 'none'; form-action 'none'"


def _hash(part: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(part.encode()).digest()).decode()}'"


def compact_json(data: Any, **_: Any) -> str:
    """Return plain values as JSON without spaces, for a page's data."""
    return json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
