"""MLflow's entities: runs within MLflow's limits, and the views of an experiment's runs."""

import json
import math
import re
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from tokenviz.tracking.staged_runs import RunRecord

# The content of a run as MLflow's entities: within MLflow's limits, with nothing cut silently.

RUN_ID = re.compile(r"[0-9a-f]{32}")
CURVE_POINTS = 1000  # about 330 bytes each in the database; also the most points that one call accepts
_LONGEST_PARAM = 6000  # MLflow's limit, in characters
_LONGEST_TAG = 8000
_LONGEST_DIGEST = 36
_IDENTITY_TAG = "identity."
_IDENTITIES = {
    "identity", "source", "tokenizer", "spaces", "weights_sha256", "text_sha256", "bos_ids", "batching", "head",
    "scoring_version", "comparison_version", "measure_version", "run_a", "run_b", "run_scores", "intervals", "undetermined",
}  # fmt: skip
_NUMBERS_TAG = "numbers"
_LONGEST_NUMBERS = 5000  # older servers (before MLflow's migration f5a4f2784254) cut a longer tag silently; cut JSON is lost
_ASIDE = {"n_bytes", "n_unknown", "n_unread", "bits_per_character", "block_length", "scoring_seconds", "tokens_per_second"}
_ALONG_TEXT = "token/"  # how curves are named whose last value is that of a text's last token, and says nothing of the whole
_LONGEST_LINK = 150  # characters that a link to a file can add

PAGE_MODE = "workflowType=machine_learning"  # without it MLflow's pages open in their mode for chat applications
_TO_FILE = re.compile(r"\]\((?:runs/(\w+)/)?artifacts/([^)]*)\)")
_TO_FIGURE = re.compile(
    r"(?:(?P<listed>, \*\*)|(?<!!))\[(?P<words>[^\]]*)\]\(artifacts/figures/(?P<figure>[^)]*)\)(?(listed)\*\*)"
)
_PICTURE = re.compile(r"(!\[[^\]]*\])\(artifacts/([^)]*)\)")
_IN_A_PARAGRAPH = re.compile(r"^((?![#>|]).*\S)\n(?=[^\W\d]|\*\*|\()", re.MULTILINE)
_TO_PAGE = re.compile(rf"\]\(#/experiments/\w+/runs/(\w+)/artifacts/([^)]*)\?{re.escape(PAGE_MODE)}\)")
_TO_PICTURE = re.compile(r"\]\(get-artifact\?path=([^)&]*)&run_uuid=\w+\)")


def metric_points(metrics: Mapping[str, float], record: RunRecord) -> list[tuple[str, float, int, int]]:
    """Return the points of numbers and curves: name, value, time and step.

    NaN is left out: a missing number must not look like a number.

    Args:
        metrics: The numbers that are shown.
        record: Record of the run.
    """
    points = [(name, float(value), record.ended, 0) for name, value in metrics.items()]
    for name, curve in record.curves.items():
        points += [(name, value, record.ended, step) for step, value in ended(name, curve[:CURVE_POINTS])]
    return points


def require_possible(params: Mapping[str, str], points: Sequence[tuple[str, float, int, int]], note: str) -> None:
    """Have MLflow check names and lengths as its client does, for a run that is written without the client.

    Raises:
        MlflowException: A name or a value is not possible.
    """
    from mlflow.entities import Metric, Param, RunTag
    from mlflow.utils.validation import _validate_batch_log_data, _validate_batch_log_limits

    settings = [Param(*pair) for pair in params.items()]
    numbers = [Metric(*point) for point in {point[0]: point for point in points}.values()]  # one of each name
    _validate_batch_log_data(numbers, settings, [RunTag("mlflow.note.content", note)])
    _validate_batch_log_limits([], settings, [])


def ended(name: str, curve: Sequence[tuple[int, float]]) -> list[tuple[int, float]]:
    """Return the points of a curve as MLflow keeps them.

    MLflow shows the value of the last step as if it were the run's. A curve along a text ends with a step of no value, so that
    its run, "Compare" and the list of runs show no number for it; charts draw nothing there.

    Args:
        name: Name of the curve.
        curve: Its values by step.
    """
    known = [(step, value) for step, value in curve if math.isfinite(value)]
    return [*known, (known[-1][0] + 1, math.nan)] if known and name.startswith(_ALONG_TEXT) else known


def split_numbers(metrics: Mapping[str, float]) -> tuple[dict[str, float], dict[str, str]]:
    """Part a run's numbers into metrics, which MLflow's pages show, and a tag with those that are seldom read.

    The ends of intervals, what was resampled, and times would bury the few numbers that a reader compares. `with_numbers` puts
    them together again. What is not finite is in neither; more than a tag can hold stays among the metrics.
    """
    finite = {name: float(value) for name, value in metrics.items() if math.isfinite(value)}
    aside = {name: value for name, value in finite.items() if _is_aside(name, metrics)}
    written = json.dumps(aside)
    if not aside or len(written) > _LONGEST_NUMBERS:
        return finite, {}
    return {name: value for name, value in finite.items() if name not in aside}, {_NUMBERS_TAG: written}


def with_numbers(metrics: Mapping[str, float], tags: Mapping[str, str]) -> tuple[dict[str, float], dict[str, str]]:
    """Put a run's numbers together again, of a run of any version: before 0.2 all of them were metrics.

    Args:
        metrics: A run's metrics.
        tags: Its own tags, without the `tokenviz.` prefix.

    Returns:
        All numbers, and the tags that are none.
    """
    own = dict(tags)
    try:
        aside = json.loads(own.pop(_NUMBERS_TAG, "{}"))
        found = {str(name): float(value) for name, value in aside.items()}
    except (ValueError, TypeError, AttributeError):
        found = {}  # another program wrote over it; what the tables hold is checked without it
    return {**metrics, **found}, own


def _is_aside(name: str, metrics: Mapping[str, float]) -> bool:
    if name.endswith(("_low", "_high")):
        return name.rpartition("_")[0] in metrics  # otherwise it is no end of an interval, but a measure's own number
    if name.startswith("effective_"):
        return f"n_resampled_{name.removeprefix('effective_')}" in metrics
    return name in _ASIDE or name.startswith("n_resampled_")


def settings_of(params: Mapping[str, object], files: Path) -> tuple[dict[str, str], dict[str, str]]:
    """Return settings as strings: None and lists as JSON; one that is too long goes into a file, and its hash takes its place.

    Returns:
        Parameters, which MLflow's pages compare, and tags with what identifies model, text, machine and versions: a user who
        compares two runs looks for the settings, not for hashes. `with_identities` joins the two again.
    """
    written = {name: value if isinstance(value, str) else json.dumps(value) for name, value in params.items()}
    long = {name: value for name, value in written.items() if len(value) > _LONGEST_PARAM}
    if long:
        (files / "params.json").write_text(json.dumps(dict(params), ensure_ascii=False), encoding="utf-8")
    written |= {name: f"see params.json (sha256 {sha256(value.encode()).hexdigest()})" for name, value in long.items()}
    return split_identities(written)


def split_identities(params: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """Split settings into parameters and tags, as `settings_of` describes."""
    shown = {name: value for name, value in params.items() if not _is_identity(name)}
    return shown, {f"{_IDENTITY_TAG}{name}": value for name, value in params.items() if name not in shown}


def with_identities(params: Mapping[str, str], tags: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """Join the settings of a run of any version: before 0.2 all of them were parameters.

    Args:
        params: The run's parameters.
        tags: The run's own tags, without the `tokenviz.` prefix.

    Returns:
        All settings, and the tags that are not settings.
    """
    own = {name: value for name, value in tags.items() if not name.startswith(_IDENTITY_TAG)}
    found = {name.removeprefix(_IDENTITY_TAG): value for name, value in tags.items() if name not in own}
    return {**params, **found}, own


def _is_identity(name: str) -> bool:
    return name in _IDENTITIES or name.startswith(("version_", "hardware_"))


def without_missing(note: str, files: Path) -> str:
    """Return a description without links to figures that the run does not have, such as a report that would be too large."""

    def kept(found: re.Match[str]) -> str:
        if (files / "figures" / unquote(found["figure"])).exists():
            return found[0]
        return "" if found["listed"] else found["words"]

    return _TO_FIGURE.sub(kept, note)


def short_note(note: str, files: Path) -> str:
    """Return a description, cut where it would exceed MLflow's limit with its links written out; a file then has all of it."""
    longest = _LONGEST_TAG - _LONGEST_LINK * len(_TO_FILE.findall(note))
    if len(note) <= longest:
        return note
    (files / "description.md").write_text(note, encoding="utf-8")
    more = "\n\n(cut here: MLflow keeps no more; Artifacts › description.md has the whole)"
    return note[: longest - len(more)].rpartition("\n")[0] + more


def linked(note: str, experiment_id: str, run_id: str) -> str:
    """Turn a description's links to files into links to MLflow's pages, and its pictures into pictures that they show.

    Links are `[words](artifacts/FILE)` to the run's own files and `[words](runs/RUN/artifacts/FILE)` to those of another run of
    the experiment; pictures are `![words](artifacts/FILE)`. The addresses are relative, so that any port and path prefix works.
    """
    note = _PICTURE.sub(lambda found: f"{found[1]}(get-artifact?path={quote(found[2])}&run_uuid={run_id})", note)
    page = f"](#/experiments/{experiment_id}/runs"
    return _TO_FILE.sub(lambda found: f"{page}/{found[1] or run_id}/artifacts/{found[2]}?{PAGE_MODE})", note)


def unwrapped(markdown: str) -> str:
    """Return Markdown with each paragraph in one line: MLflow's pages break lines where the source does."""
    parts = markdown.split("```")  # every second part is code, and is not changed
    parts[::2] = [_IN_A_PARAGRAPH.sub(r"\1 ", part) for part in parts[::2]]
    return "```".join(parts)


def unlinked(note: str, run_id: str) -> str:
    """Return the description that `linked` was given for a run."""
    note = _TO_PICTURE.sub(lambda found: f"](artifacts/{unquote(found[1])})", note)
    return _TO_PAGE.sub(lambda found: f"]({'' if found[1] == run_id else f'runs/{found[1]}/'}artifacts/{found[2]})", note)


def dataset_fields(fields: Mapping[str, str]) -> dict[str, str]:
    """Return a text as the fields of the dataset that a run used, within MLflow's limits; empty for none."""
    return {**fields, "digest": fields["digest"][:_LONGEST_DIGEST]} if fields else {}


# Views of an experiment's runs in MLflow's pages: which runs, in which columns, with which chart.
#
# MLflow stores a view in a tag of the experiment. A link names it; a view with a name is also in the menu "Views".

_TAG = "mlflow.sharedViewState."
_OF_GRID = re.compile(re.escape(_TAG) + r"([0-9a-f]{12})-(?:runs|curves)")
_NAME_WIDTH, _LEAST_WIDTH = 320, 60  # pixels; a run's name holds a text and two models
_SIGN_WIDTH, _MARGINS = 7, 24
_NAME = "attributes.`Run Name`"
_DATASET = "attributes.`Dataset`"
OFFERED = ("tokenviz-comparisons", "tokenviz-scores")  # the keys of the views that MLflow's menu has
_SECTION = "curve"
_CHART_HEIGHT = 400  # pixels

View = dict[str, Any]


def table_view(query: str, metrics: Sequence[str]) -> View:
    """Return a view with a list of runs.

    Args:
        query: The runs to list, in MLflow's syntax.
        metrics: The columns after name and time; the dataset follows them.
    """
    columns = [*(f"metrics.`{name}`" for name in metrics), _DATASET]
    widths = [max(_LEAST_WIDTH, _MARGINS + _SIGN_WIDTH * len(name)) for name in metrics]
    return {
        "searchFilter": query,
        "selectedColumns": columns,
        "columnOrder": [_NAME, *columns],
        # MLflow has its own width for the dataset
        "columnWidths": {_NAME: _NAME_WIDTH, **dict(zip(columns, widths, strict=False))},
    }


def curve_view(query: str, metric: str) -> View:
    """Return a view with one wide line chart, with a line for each run.

    Args:
        query: The runs to draw, in MLflow's syntax.
        metric: A number that was logged step by step.
    """
    chart = {"type": "LINE", "uuid": metric, "metricSectionId": _SECTION, "metricKey": metric, "lineSmoothness": 0}
    section = {"uuid": _SECTION, "name": metric, "display": True, "columns": 1, "cardHeight": _CHART_HEIGHT}
    return {"searchFilter": query, "compareRunCharts": [chart], "compareRunSections": [section]}


def view_tag(key: str, view: View, name: str = "") -> tuple[str, str]:
    """Return the experiment's tag that stores a view.

    Args:
        key: The key by which links name the view.
        view: The view.
        name: The name in the menu; empty (the default) for a view that only links open.
    """
    state = json.dumps(view)
    named = {"name": name, "createdAt": 0, "updatedAt": 0, "state": state}
    return f"{_TAG}{key}", json.dumps(named) if name else state


def columns_offered(tags: Mapping[str, str]) -> View:
    """Return the columns of the views that an experiment offers in the menu, one after another.

    Args:
        tags: The experiment's.

    Returns:
        A view without a condition, as MLflow's pages keep it in a browser; empty where the experiment offers none of ours.
    """
    columns: dict[str, None] = {}
    widths: dict[str, int] = {}
    for key in OFFERED:
        try:
            view = json.loads(json.loads(tags[f"{_TAG}{key}"])["state"])
            columns |= dict.fromkeys(view["selectedColumns"])
            widths |= view["columnWidths"]
        except (KeyError, ValueError, TypeError):
            return {}  # it has none, or another program wrote over it
    ordered = [*(name for name in columns if name != _DATASET), _DATASET]
    return {"selectedColumns": ordered, "columnOrder": [_NAME, *ordered], "columnWidths": widths}


def grid_of_view(tag: str) -> str:
    """Return the id of the grid whose view is in an experiment's tag; empty for any other tag."""
    found = _OF_GRID.fullmatch(tag)
    return found[1] if found else ""


def view_address(experiment_page: str, key: str, *, chart: bool = False) -> str:
    """Return the address that opens a view, as list or as chart."""
    mode = "compareRunsMode=CHART&" if chart else ""
    return f"{experiment_page}/runs?{mode}{PAGE_MODE}&viewStateShareKey={key}"
