"""`manifest.json`: what was pulled into a folder, with which settings, from which runs, and the SHA-256 of each file."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from tokenviz.base.errors import DiskError, PaperError, TokenvizError
from tokenviz.figures.heatmap.measures import Limits, PairMeasure, checked_limits, chosen_limits, measure_named
from tokenviz.figures.named import TITLED, Look, formats_of
from tokenviz.figures.typeset.colours import colour_map
from tokenviz.figures.typeset.saving import inches, points
from tokenviz.paper.naming import PREFIX, macro_prefix

MANIFEST = "manifest.json"

FORMATS = tuple(form for form in formats_of("heatmap") if form != "ansi")
"""The formats of figures in a paper."""

_FORMAT_VERSION = 2
_WITH_TITLES = 1  # the version in which all figures have a title, which the order does not record
_MADE = {"figure", "format", "stem", "caption", "key"}


@dataclass(frozen=True, kw_only=True)
class Order:
    """The settings of a pull.

    Attributes:
        experiment: Name of the MLflow experiment.
        where: Conditions on its runs, in the syntax of `tokenviz.tracking.where`; None for all.
        figures: Names of figures, for runs that have them; empty for those that a run's page shows.
        formats: Formats of the figures. A format that a figure does not have is skipped for it.
        measure: Measure of the heatmaps; None for log-probs.
        limits: Limits of the heatmaps' colours, as in `text_heatmap`; "shared" for common limits of all pulled heatmaps.
        colours: Colour map of the heatmaps; None for the default.
        width: Width of the figures, as in `Look`.
        font_size: Font size, in points.
        prefix: Prefix of the macros.
        title: Whether figures have a title, which a paper's caption would repeat.
    """

    experiment: str
    where: str | None = None
    figures: tuple[str, ...] = ()
    formats: tuple[str, ...] = ("pdf",)
    measure: str | None = None
    limits: str | None = None
    colours: str | None = None
    width: str | None = None
    font_size: float = 9.0
    prefix: str = PREFIX
    title: bool = False

    def __post_init__(self) -> None:
        for form in self.formats:
            if form not in FORMATS:
                raise PaperError(f"no format {form!r} for a paper: there are {', '.join(FORMATS)}")
        measure = measure_named(self.measure) if self.measure is not None else None
        numbers = chosen_limits(self.limits) if self.limits is not None else None
        if isinstance(numbers, tuple):
            checked_limits(numbers, measure or measure_named("logprob"))
        if self.colours is not None:
            colour_map(self.colours, diverging=isinstance(measure, PairMeasure))
        if self.width is not None:
            inches(self.width)
        points(self.font_size)
        macro_prefix(self.prefix)

    def look(self, figure: str, shared: Limits | None = None) -> Look:
        """Return the look of a figure; settings of heatmaps do not apply to other figures.

        Args:
            figure: Name of the figure.
            shared: The common limits of all heatmaps, where they share them; by default None.
        """
        if figure not in ("heatmap", "segments"):
            return Look(width=self.width, font_size=self.font_size, title=self.title or figure not in TITLED)
        # A segment may hold several tokens, so its values differ from those of the heatmaps that share their limits.
        limits = (shared if figure == "heatmap" else None) if self.limits == "shared" else self.limits
        return Look(
            measure=self.measure, limits=limits, colours=self.colours, width=self.width, font_size=self.font_size,
            title=self.title,
        )  # fmt: skip


@dataclass(frozen=True)
class Entry:
    """A file that was pulled.

    Attributes:
        sha256: SHA-256 of its bytes.
        runs: Ids of the runs that it shows.
        made: For a figure: its name, format, caption, its path's `stem`, and the `key` (hash) of all that it was made from.
            Else empty.
    """

    sha256: str
    runs: tuple[str, ...]
    made: Mapping[str, str] = field(default_factory=dict)

    def untouched(self, path: Path) -> bool:
        """Return whether a file is unchanged since it was pulled."""
        return path.is_file() and digest_of(path) == self.sha256


@dataclass(frozen=True)
class Manifest:
    """The files that tokenviz wrote into a folder.

    Attributes:
        order: The settings of the pull.
        runs: By id: fingerprint, kind, models, text, parameters, commit and command.
        files: By path within the folder, with slashes.
    """

    order: Order
    runs: Mapping[str, Mapping[str, Any]]
    files: Mapping[str, Entry]

    def to_text(self) -> str:
        """Return the file's content; equal manifests have equal content."""
        content = {
            "format": _FORMAT_VERSION,
            "order": asdict(self.order),
            "runs": {run: self.runs[run] for run in sorted(self.runs)},
            "files": {path: asdict(self.files[path]) for path in sorted(self.files)},
        }
        return json.dumps(content, ensure_ascii=False, indent=1) + "\n"


def read_manifest(folder: Path) -> Manifest | None:
    """Read a folder's manifest; None where it has none.

    Raises:
        PaperError: Its manifest.json was not written by tokenviz, or by a version that is not known here.
        DiskError: The file cannot be read.
    """
    path = folder / MANIFEST
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise DiskError(f"cannot read {str(path)!r}: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise PaperError(_foreign(path)) from error
    try:
        if content["format"] not in (_WITH_TITLES, _FORMAT_VERSION):
            raise PaperError(
                f"{str(path)!r} has format {content['format']}; this version reads {_WITH_TITLES} and {_FORMAT_VERSION}"
            )
        order: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in content["order"].items()
        }
        if content["format"] == _WITH_TITLES:
            order["title"] = True
        files = {
            name: Entry(entry["sha256"], tuple(entry["runs"]), dict(entry["made"])) for name, entry in content["files"].items()
        }
        if not all(_is_place(name) and _is_whole(entry) for name, entry in files.items()):
            raise PaperError(_foreign(path))
        texts = [order["experiment"], *(order[name] for name in ("where", "width") if order[name] is not None)]
        if not all(isinstance(text, str) for text in texts):
            raise PaperError(_foreign(path))
        return Manifest(Order(**order), dict(content["runs"]), files)
    except TokenvizError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise PaperError(_foreign(path)) from error


def _is_place(name: str) -> bool:
    """Return whether a path stays within the folder."""
    path = Path(name)
    return "\0" not in name and len(name.encode()) < 256 and not path.is_absolute() and ".." not in path.parts


def _is_whole(entry: Entry) -> bool:
    """Return whether an entry has all values, and of the right types."""
    texts = (entry.sha256, *entry.runs, *entry.made.values())
    return bool(entry.runs) and set(entry.made) in (set(), _MADE) and all(isinstance(text, str) for text in texts)


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a file's bytes."""
    return sha256(path.read_bytes()).hexdigest()


def _foreign(path: Path) -> str:
    return f"{str(path)!r} is not a manifest that tokenviz pull wrote, or was edited: give another folder, or delete it"
