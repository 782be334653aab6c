"""Views of an experiment's runs in MLflow's pages: which runs, in which columns, with which chart.

MLflow keeps a view as a tag of the experiment. A link names it; one that has a name for readers stands in the pages' menu
"Views" as well.
"""

import json
import re
from collections.abc import Sequence
from typing import Any

from tokenviz.tracking.entities import PAGE_MODE

_TAG = "mlflow.sharedViewState."
_OF_GRID = re.compile(re.escape(_TAG) + r"([0-9a-f]{12})-(?:runs|curves)")
_NAME_WIDTH, _LEAST_WIDTH = 320, 60  # pixels; a name is a text and two models
_SIGN_WIDTH, _MARGINS = 7, 24
_NAME = "attributes.`Run Name`"
_SECTION = "curve"
_CHART_HEIGHT = 400  # pixels

View = dict[str, Any]


def table_view(query: str, metrics: Sequence[str]) -> View:
    """A list of runs.

    Args:
        query: Which, in MLflow's syntax.
        metrics: The columns after name and time; the dataset follows them.
    """
    columns = [*(f"metrics.`{name}`" for name in metrics), "attributes.`Dataset`"]
    widths = [max(_LEAST_WIDTH, _MARGINS + _SIGN_WIDTH * len(name)) for name in metrics]
    return {
        "searchFilter": query,
        "selectedColumns": columns,
        "columnOrder": [_NAME, *columns],
        "columnWidths": {_NAME: _NAME_WIDTH, **dict(zip(columns, widths, strict=False))},  # MLflow has one for the dataset
    }


def curve_view(query: str, metric: str) -> View:
    """A chart with a line for each run, wide enough to be read.

    Args:
        query: Which runs, in MLflow's syntax.
        metric: What was logged step by step.
    """
    chart = {"type": "LINE", "uuid": metric, "metricSectionId": _SECTION, "metricKey": metric, "lineSmoothness": 0}
    section = {"uuid": _SECTION, "name": metric, "display": True, "columns": 1, "cardHeight": _CHART_HEIGHT}
    return {"searchFilter": query, "compareRunCharts": [chart], "compareRunSections": [section]}


def view_tag(key: str, view: View, name: str = "") -> tuple[str, str]:
    """The experiment's tag that keeps a view.

    Args:
        key: By which links name it.
        view: The view.
        name: For readers, in the menu; empty for one that only a link leads to.
    """
    state = json.dumps(view)
    named = {"name": name, "createdAt": 0, "updatedAt": 0, "state": state}
    return f"{_TAG}{key}", json.dumps(named) if name else state


def grid_of_view(tag: str) -> str:
    """Return the id of the grid whose view an experiment's tag keeps; empty for any other tag."""
    found = _OF_GRID.fullmatch(tag)
    return found[1] if found else ""


def view_address(experiment_page: str, key: str, *, chart: bool = False) -> str:
    """The address that opens a view, as list or as chart."""
    mode = "compareRunsMode=CHART&" if chart else ""
    return f"{experiment_page}/runs?{mode}{PAGE_MODE}&viewStateShareKey={key}"
