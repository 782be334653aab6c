"""Addresses that open the MLflow pages at the right place."""

from urllib.parse import quote

from tokenviz.harness.grid import GridResult

_MODE = "workflowType=machine_learning"  # without it the pages open in MLflow's mode for chat applications


def comparison_link(result: GridResult) -> str:
    """The chart view of a grid's runs: a line chart of every text's log-probs, token by token."""
    query = quote(f"tags.`tokenviz.grid` LIKE '%{result.grid}%'", safe="")
    return f"{_experiment(result)}/runs?compareRunsMode=CHART&{_MODE}&searchFilter={query}"


def artifact_link(result: GridResult) -> str:
    """A heatmap: of the first comparison, or of the first text where there is only one model."""
    run_id = (result.comparisons or result.scores)[0].run_id
    return f"{_experiment(result)}/runs/{run_id}/artifacts/figures/heatmap.html?{_MODE}"


def _experiment(result: GridResult) -> str:
    return f"{result.web_address}/#/experiments/{result.experiment_id}"
