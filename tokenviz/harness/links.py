"""Addresses of MLflow's pages, and the views of an experiment's runs that they open."""

from tokenviz.figures.overview import OVERVIEW
from tokenviz.harness.results import GridResult
from tokenviz.tracking.entities import PAGE_MODE
from tokenviz.tracking.views import OFFERED, curve_view, table_view, view_address, view_tag
from tokenviz.tracking.where import tag_filter

_OF_SCORES = ("bits_per_byte", "n_scored")
_PER_TOKEN = ("mean_logprob", "perplexity_per_token")  # numbers that are comparable only between models of one tokenizer
_OF_COMPARISONS = ("pearson_r", "concordance", "mean_difference", "n")


def views_of(grid: str, text: str, *, several_tokenizers: bool) -> dict[str, str]:
    """Return the views of a grid, and those of all runs that MLflow's menu offers, as tags of the experiment.

    Args:
        grid: The grid's id.
        text: The name of its first text.
        several_tokenizers: Whether its models cut texts differently; then no column is a mean over tokens.
    """
    of_scores = _OF_SCORES if several_tokenizers else (*_OF_SCORES, *_PER_TOKEN)
    scores, comparisons = (tag_filter("kind", kind) for kind in ("score", "comparison"))
    ours = f"tags.`tokenviz.grid` LIKE '%{grid}%'"
    curves = " and ".join(filter(None, [ours, scores, tag_filter("text", text)]))
    return dict(
        [
            view_tag(OFFERED[1], table_view(scores, of_scores), "Models on texts"),
            view_tag(OFFERED[0], table_view(comparisons, _OF_COMPARISONS), "Pairs of models"),
            view_tag(f"{grid}-runs", table_view(ours, (*_OF_COMPARISONS, *of_scores))),
            view_tag(f"{grid}-curves", curve_view(curves, "token/logprob")),
        ]
    )


def grid_link(result: GridResult) -> str:
    """Return the address of the grid's own page; on a server, which has none, of the page among the summary's files."""
    if result.is_embedded:
        return f"{result.web_address}/grids/{result.grid}/"
    return f"{_experiment(result)}/runs/{result.summary_run_id}/artifacts/{OVERVIEW}?{PAGE_MODE}"


def runs_link(result: GridResult) -> str:
    """Return the address of the list of a grid's runs, the summary first."""
    return view_address(_experiment(result), f"{result.grid}-runs")


def chart_link(result: GridResult) -> str:
    """Return the address of the chart of the first text, with a line of log-probs per model."""
    return view_address(_experiment(result), f"{result.grid}-curves", chart=True)


def figure_link(result: GridResult) -> str:
    """Return the address of the first comparison's report, or with only one model of the first text's heatmap."""
    run, figure = (result.comparisons[0], "report") if result.comparisons else (result.scores[0], "heatmap")
    return f"{_experiment(result)}/runs/{run.run_id}/artifacts/figures/{figure}.html?{PAGE_MODE}"


def _experiment(result: GridResult) -> str:
    return f"{result.web_address}/#/experiments/{result.experiment_id}"
