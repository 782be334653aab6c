"""The origin of a figure: what is written into its file, and read back from any file that tokenviz wrote."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from PIL import Image, UnidentifiedImageError

from tokenviz.base.errors import DiskError, PaperError
from tokenviz.comparing.comparison import Comparison
from tokenviz.data.scores import TokenScores
from tokenviz.models.describing import description_in, description_of, full_name

# The origin of a figure: metadata about the run that its numbers belong to.


@dataclass(frozen=True)
class Origin:
    """The run that a figure belongs to.

    Attributes:
        fingerprint: Hash of everything that the run's numbers depend on; finds the run in any store that has it.
        experiment: Name of the MLflow experiment.
        kind: Kind of the run.
        commit: Commit of the code that made it; empty where it is not known.
        command: The command line that made it.
        run_id: MLflow's id; empty for a figure that is drawn before a store has given the run one.
    """

    fingerprint: str
    experiment: str
    kind: str
    commit: str
    command: str
    run_id: str = ""

    def about(self, more: Mapping[str, object]) -> dict[str, object]:
        """Return a file's metadata: the run, and further entries."""
        known = {"run_id": self.run_id} if self.run_id else {}
        known |= {"fingerprint": self.fingerprint, "experiment": self.experiment, "kind": self.kind}
        return {**known, **more, "commit": self.commit, "command": self.command}


def of_scores(scores: TokenScores) -> dict[str, object]:
    """Return metadata of a model's figure besides its run: the text and every setting."""
    return {"text_sha256": scores.text_sha256, "spec": _settings_of(scores)}


def of_pair(comparison: Comparison) -> dict[str, object]:
    """Return metadata of two models' figure besides its run: the text, and every setting of both."""
    specs = [_settings_of(table) for table in (comparison.a, comparison.b)]
    return {"text_sha256": comparison.a.text_sha256, "specs": specs}


def _settings_of(scores: TokenScores) -> dict[str, object]:
    return {**asdict(scores.spec), "model_description": description_of(scores.spec)}


# Reading the origin of a file that tokenviz wrote: figures in any format, tables and numbers.

_DESCRIPTION = "{http://purl.org/dc/elements/1.1/}description"
_SUBJECT = re.compile(rb"/Subject \(((?:\\.|[^\\()])*)\)", re.S)
_COMMENT = re.compile(r"^%[^\n]*?(\{\"[^\n]*\})[ \t]*$", re.M)
_OLD_LIMITS = re.compile(r"(?<= --limits )([-\d.e+]+) ([-\d.e+]+)(?= |$)")  # two numbers, where newer commands have one word
_SETTINGS_APART = ("model", "model_description", "versions")


def provenance_of(path: Path) -> dict[str, Any]:
    """Return what made a file.

    Args:
        path: A PNG, SVG, PDF, HTML or LaTeX file.

    Raises:
        PaperError: tokenviz did not write the file, or its metadata are missing.
        DiskError: The file cannot be read.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DiskError(f"cannot read {str(path)!r}: {error.strerror or error}") from error
    found = _described(path, data)
    try:
        about: dict[str, Any] = json.loads(found) if found else {}
    except (ValueError, RecursionError):
        about = {}
    if isinstance(about, dict) and isinstance(about.get("again"), str):
        about["again"] = _OLD_LIMITS.sub(r"\1,\2", about["again"])
    if not _is_whole(about):
        raise PaperError(
            f"{str(path)!r} says nothing of where it comes from: tokenviz did not write it, or another program rewrote it "
            "and left that out; give a PNG, SVG, PDF, HTML or LaTeX file of tokenviz"
        )
    return about


def _is_whole(about: Any) -> bool:
    """Return whether metadata have the form that tokenviz writes."""
    if not isinstance(about, dict) or not {"figure", "experiment"} & set(about):
        return False
    lists, specs = [about.get(name, []) for name in ("runs", "models", "commits", "commands")], _specs(about)
    return (
        all(isinstance(one, list) and all(isinstance(name, str) for name in one) for one in lists)
        and isinstance(specs, list)
        and all(isinstance(one, dict) and "model" in one and isinstance(one.get("versions", {}), dict) for one in specs)
    )


def provenance_lines(about: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return what made a file as pairs of a heading and its text, for readers."""
    lines: list[tuple[str, object]] = [
        ("run", _run(about)),
        ("runs", ", ".join(about.get("runs", ()))),
        ("experiment", about.get("experiment")),
        ("where", about.get("where")),
        ("models" if len(about.get("models", ())) > 1 else "model", " and ".join(_models(about))),
        ("text", _text(about)),
        ("shows", about.get("caption") or about.get("figure")),
        ("look", _look(about)),
        *((f"settings of {spec['model']}", _settings(spec)) for spec in _specs(about)),
        ("commit", about.get("commit")),
        ("commits", ", ".join(about.get("commits", ()))),
        ("run made by", about.get("command")),
        *(("runs made by", command) for command in about.get("commands", ())),
        ("made again by", about.get("again") or about.get("command")),
    ]
    return [(heading, str(value)) for heading, value in lines if value]


def _described(path: Path, data: bytes) -> str | None:
    """Return the description in a file's metadata; the first bytes determine the format, not the name."""
    head = data[:1024].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    readers: list[tuple[bool, Callable[[Path, bytes], str | None]]] = [
        (head.startswith(b"\x89png"), _of_png),
        (head.startswith(b"%pdf-"), _of_pdf),
        (head.startswith((b"<!doctype html", b"<html")), _of_html),
        (head.startswith(b"<"), _of_svg),
        (True, _of_latex),
    ]
    return next(read for fits, read in readers if fits)(path, data)


def _of_png(path: Path, data: bytes) -> str | None:
    try:
        with Image.open(path, formats=["PNG"]) as image:
            found = image.info.get("Description")
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError):  # errors of Pillow for a damaged file
        return None
    return found if isinstance(found, str) else None


def _of_pdf(path: Path, data: bytes) -> str | None:
    found = _SUBJECT.search(data)
    return re.sub(rb"\\(.)", rb"\1", found[1], flags=re.S).decode("latin-1") if found else None


def _of_svg(path: Path, data: bytes) -> str | None:
    try:
        root = ElementTree.fromstring(data)
    except ElementTree.ParseError:
        return None
    return next((element.text for element in root.iter(_DESCRIPTION)), None)


class _Meta(HTMLParser):
    """Finds the description in a page's head."""

    description: str | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag == "meta" and values.get("name") == "description" and self.description is None:
            self.description = values.get("content")


def _of_html(path: Path, data: bytes) -> str | None:
    reader = _Meta()
    reader.feed(data.decode("utf-8", "replace").partition("<body")[0])
    return reader.description


def _of_latex(path: Path, data: bytes) -> str | None:
    found = _COMMENT.search(data.decode("utf-8", "replace").replace("\r\n", "\n"))
    return found[1] if found else None


def _run(about: Mapping[str, Any]) -> str:
    run_id, fingerprint = about.get("run_id"), about.get("fingerprint")
    if not fingerprint:
        return ""
    return f"{run_id} (fingerprint {fingerprint})" if run_id else f"with the tag tokenviz.fingerprint = {fingerprint}"


def _text(about: Mapping[str, Any]) -> str:
    digest = about.get("text_sha256")
    return f"{about.get('text', '')}{f' (sha256 {digest})' if digest else ''}"


def _look(about: Mapping[str, Any]) -> str:
    names = ("measure", "limits", "colours", "width_inches", "font_size")
    said = [f"{name} {about[name]}" for name in names if about.get(name) is not None]
    return ", ".join([*said, *["without title"] * (about.get("title") is False)])


def _models(about: Mapping[str, Any]) -> list[str]:
    """Return the models with their descriptions, from the file or from the catalogue by their weights."""
    known = {str(spec["model"]): description_in(spec) for spec in _specs(about)} | dict(_said_of_models(about))
    return [full_name(model, known.get(model, "")) for model in about.get("models", ())]


def _said_of_models(about: Mapping[str, Any]) -> Mapping[str, str]:
    """Return the descriptions of models in a file of several runs."""
    said = about.get("descriptions", {})
    return {str(model): str(words) for model, words in said.items()} if isinstance(said, Mapping) else {}


def _specs(about: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    specs: list[Mapping[str, Any]] = about.get("specs", [about["spec"]] if "spec" in about else [])
    return specs


def _settings(spec: Mapping[str, Any]) -> str:
    versions = " ".join(f"{name} {version}" for name, version in spec.get("versions", {}).items())
    settings = ", ".join(f"{name}={value}" for name, value in spec.items() if name not in _SETTINGS_APART)
    return f"{settings}{f'; {versions}' if versions else ''}"
