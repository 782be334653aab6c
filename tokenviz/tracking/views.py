"""Views of an experiment's runs in MLflow's pages: which runs, in which columns, with which chart.

MLflow stores a view in a tag of the experiment. A link names it; a view with a name is also in the menu "Views".
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from tokenviz.tracking.entities import PAGE_MODE

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
