"""Addresses that open the MLflow pages at the right place."""

from urllib.parse import quote

from tokenviz.harness.results import GridResult
from tokenviz.tracking.entities import PAGE_MODE


def runs_link(result: GridResult) -> str:
    """The list of a grid's runs, the summary first."""
    return f"{_experiment(result)}/runs?{PAGE_MODE}&searchFilter={_query(result)}"


def chart_link(result: GridResult) -> str:
    """The chart view of one text, a line of log-probs token by token for each model."""
    text = result.scores[0].text
    # A name with the quote that ends it is left out: the filter would no longer be a filter.
    named = "" if "'" in text else f" and tags.`tokenviz.text` = '{text}'"
    query = _query(result, f" and tags.`tokenviz.kind` = 'score'{named}")
    return f"{_experiment(result)}/runs?compareRunsMode=CHART&{PAGE_MODE}&searchFilter={query}"


def artifact_link(result: GridResult) -> str:
    """A heatmap: of the first comparison, or of the first text where there is only one model."""
    run_id = (result.comparisons or result.scores)[0].run_id
    return f"{_experiment(result)}/runs/{run_id}/artifacts/figures/heatmap.html?{PAGE_MODE}"


def _query(result: GridResult, more: str = "") -> str:
    return quote(f"tags.`tokenviz.grid` LIKE '%{result.grid}%'{more}", safe="")


def _experiment(result: GridResult) -> str:
    return f"{result.web_address}/#/experiments/{result.experiment_id}"
