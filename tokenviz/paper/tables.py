"""The numbers of runs as LaTeX tables in the style of booktabs, for \\input within a table environment."""

from collections.abc import Iterable, Mapping, Sequence

from tokenviz.figures.booktabs import booktabs
from tokenviz.paper.numbers import Number, number_tex
from tokenviz.paper.subjects import Subject

_SCORES = (
    ("n_scored", "$n$"),
    ("mean_logprob", "log-prob"),
    ("perplexity_per_token", "perplexity"),
    ("bits_per_byte", "bits/byte"),
    ("mean_entropy", "entropy"),
)
_COMPARISONS = (("n", "$n$"), ("pearson_r", "$r$"), ("spearman_rho", r"$\rho$"), ("concordance", r"$\rho_c$"))
_WITH_INTERVAL = "pearson_r"

CAPTIONS = {  # in LaTeX
    "scores": "Predictions of each text by each model: $n$ scored tokens, mean log-prob (nats per token), perplexity per "
    "token, bits per byte, mean entropy of the predictions (nats).",
    "comparisons": "Log-probs of each text by two models, a and b, over $n$ tokens, or segments where the tokenizers differ: "
    r"Pearson's $r$ with its 95\,\% interval, Spearman's $\rho$, Lin's concordance $\rho_c$.",
}
"""What each table shows, by its name."""


def tables_tex(numbers: Mapping[Subject, Sequence[Number]], about: Mapping[str, object]) -> dict[str, str]:
    """The tables that runs allow, by name: "scores" and "comparisons".

    Args:
        numbers: Of each run.
        about: What made the files.
    """
    found = {}
    scores = {subject: values for subject, values in numbers.items() if subject.kind == "score"}
    if scores:
        headings = ["text", "model", *(heading for _, heading in _SCORES)]
        rows = [[subject.text, *subject.models, *_cells(values, _SCORES)] for subject, values in scores.items()]
        found["scores"] = booktabs("llrrrrr", headings, rows, about)
    comparisons = {subject: values for subject, values in numbers.items() if subject.kind == "comparison"}
    if comparisons:
        headings = ["text", "a", "b", "over", "$n$", "$r$", r"95\,\%", r"$\rho$", r"$\rho_c$"]
        rows = [
            [subject.text, *subject.models, f"{subject.run.params['by']}s", *_cells(values, _COMPARISONS)]
            for subject, values in comparisons.items()
        ]
        found["comparisons"] = booktabs("llllrrrrr", headings, rows, about)
    return found


def _cells(numbers: Iterable[Number], columns: Sequence[tuple[str, str]]) -> list[str]:
    by_name = {number.name: number for number in numbers}
    cells = []
    for name, _ in columns:
        number = by_name.get(name)
        cells.append(number_tex(number.value if number else "–"))
        if name == _WITH_INTERVAL:
            ends = [number_tex(end) for end in (number.low, number.high)] if number and number.low else []
            cells.append(f"[{', '.join(ends)}]" if ends else number_tex("–"))
    return cells
