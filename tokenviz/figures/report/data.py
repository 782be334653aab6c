"""The data of the interactive report as plain values; the page only lays them out.

Every number, colour, limit and word of a measure is that of the text heatmap (`definition.py`). Colours are indices of a map's
shades, so that thousands of tokens stay small and change quickly.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tokenviz.comparing.comparison import Comparison
from tokenviz.comparing.gaps import gaps_by_kind, passage_gaps
from tokenviz.data.scores import TokenScores, nan_to_none
from tokenviz.data.spans import names_at
from tokenviz.figures.heatmap.definition import TextHeatmap, pair_heatmap, text_heatmap
from tokenviz.figures.heatmap.measures import MEASURES, Chosen, Limits, Measure, PairMeasure, Rows, common_rows, limits_fit
from tokenviz.figures.heatmap.panels import Panel, boxes, passages_of, span_labels
from tokenviz.figures.typeset.colours import span_colours
from tokenviz.models.describing import description_of, full_name_of
from tokenviz.stats.definitions import pearson_r, spearman_rho
from tokenviz.stats.estimate import Estimate, rounded

if TYPE_CHECKING:
    import pandas as pd

MOST_ALTERNATIVES = 10  # per token: as many as a user can read; keeps a long text's file small
_LOGPROB, _ENTROPY, _ALTERNATIVE = 4, 3, 4  # decimals
_STEPS = 17  # steps of a legend's bar
_PASSAGES = 20  # the most passages that are named among those that differ most


def report_data(
    tables: Sequence[TokenScores],
    limits: Chosen = "text",
    *,
    shared: Mapping[str, Limits] | None = None,
    alternatives: int = MOST_ALTERNATIVES,
    gaps: bool = True,
    compared: Comparison | None = None,
) -> dict[str, Any]:
    """Return all data of the page about a text.

    Args:
        tables: Tables of one text, at least one.
        limits: Limits of the colours; numbers are log-probs.
        shared: Common limits of several texts, by measure, which replace `limits`; by default none.
        alternatives: The most alternatives per token; by default 10.
        gaps: Whether `gaps` say where the difference of each pair of models lies; by default they do.
        compared: The comparison of the two tables, whose correlations are not computed again; by default none.

    Returns:
        Values that JSON can write; None where unscored. Rows of `tokens` are each model's own tokens. Rows of `units` are the
        units that all models share, and their `first` and `n_tokens` name the tokens. `measures` have one view, or one per pair
        of models. For a text with spans, `marks` are their names and colours, `span` is the number of each row's span, and
        `labels` are rows with the names above them.

    Raises:
        ComparisonError: The tables are of different texts.
    """
    rows = common_rows(tables)
    pairs = list(combinations(range(len(tables)), 2))
    strings: dict[str, int] = {}
    marks = list(dict.fromkeys(span.name for own in tables[0].spans for span in own))
    names = names_at(tables[0].spans, rows.passage.tolist(), rows.spans.end.tolist()) if marks else []
    return {
        "text": tables[0].text_name,
        "unit": rows.by,
        "models": [{"name": table.spec.model, "settings": _settings(table)} for table in tables],
        "tokens": [
            _tokens(table, strings, alternatives) | _marked(table.token, table.passage, table.span_names, marks)
            for table in tables
        ],
        "alternatives": list(strings),
        "units": {
            "passage": rows.passage.tolist(),
            "text": list(rows.spans.text),
            "logprob": [_numbers(logprob, _LOGPROB) for logprob in rows.logprobs],
            "first": [first.tolist() for first in rows.spans.first_rows],
            "n_tokens": [counts.tolist() for counts in rows.spans.n_tokens],
            **_drawn(rows.spans.text, rows.passage),
            **_marked(rows.spans.text, rows.passage, names, marks),
        },
        **({"marks": [{"name": name, "colour": colour} for name, colour in span_colours(marks).items()]} if marks else {}),
        "pairs": [{"models": pair, "words": _agreement(rows, pair, compared)} for pair in pairs],
        **({"gaps": _gaps(rows, pairs)} if gaps and pairs else {}),
        "measures": list(_measures(tables, rows, pairs, limits, shared or {})),
    }  # fmt: skip


def _gaps(rows: Rows, pairs: Sequence[tuple[int, int]]) -> list[dict[str, Any]]:
    """Return the rows of `gaps_by_kind` and of `passage_gaps` for each pair of models, without intervals.

    A passage has the number of its first unit (`unit`).
    """
    found = []
    for a, b in pairs:
        units = rows.pair(a, b)
        kinds = gaps_by_kind(units, resamples=0)[["kind", "n", "sum_bits", "share", "bits_per_unit"]]
        passages = passage_gaps(units, _PASSAGES).assign(unit=lambda frame: np.searchsorted(rows.passage, frame["passage"]))
        found.append({"kinds": _plain(kinds), "passages": _plain(passages) if rows.passage[-1] else []})
    return found


def _plain(frame: "pd.DataFrame") -> list[dict[str, Any]]:
    rows = frame.to_dict(orient="records")
    return [{str(name): nan_to_none(_rounded(value)) for name, value in row.items()} for row in rows]


def _rounded(value: Any) -> Any:
    return round(value, _LOGPROB) if isinstance(value, float) else value


def _marked(text: Sequence[str], passage: NDArray[np.int64], names: Sequence[str], marks: Sequence[str]) -> dict[str, Any]:
    """Return the number of each row's span, -1 for none, and the names above rows; nothing for a text without spans."""
    if not marks:
        return {}
    numbers = {name: number for number, name in enumerate(marks)}
    return {
        "span": [numbers.get(name, -1) for name in names],
        "labels": list(span_labels(text, passage, names).items()),
    }


def _settings(table: TokenScores) -> dict[str, str]:
    """Return the settings of the scores, by name, as they are printed."""
    spec = asdict(table.spec)
    versions = ", ".join(f"{package} {version}" for package, version in spec.pop("versions").items())
    bos_ids = ", ".join(map(str, spec.pop("bos_ids"))) or "none"
    del spec["model_description"]
    is_called = {"model": spec.pop("model"), "weights": description_of(table.spec) or "not known"}
    shown = {"text": table.text_sha256, **is_called, **spec, "bos_ids": bos_ids, "versions": versions}
    return {name.replace("_", " "): "none" if value is None else str(value) for name, value in shown.items() if value != ""}


def _tokens(table: TokenScores, strings: dict[str, int], most: int) -> dict[str, Any]:
    """Return a model's tokens; the strings of its alternatives are numbered in `strings`."""
    k = min(table.spec.top_k, most)
    numbered = [
        strings.setdefault(string, len(strings)) for row in table.top_tokens for string in row[:k] + ("",) * (k - len(row))
    ]
    same = (table.top_ids[:, :k] == table.token_id[:, None]) & (table.token_id[:, None] >= 0)  # (n, k)
    return {
        "passage": table.passage.tolist(),
        "text": list(table.token),
        **_drawn(table.token, table.passage),
        "logprob": _numbers(table.logprob, _LOGPROB),
        "rank": [None if np.isnan(rank) else int(rank) for rank in table.rank],
        "entropy": _numbers(table.entropy, _ENTROPY),
        "k": k,
        "top": numbered,
        "top_logprob": _numbers(table.top_logprobs[:, :k].ravel(), _ALTERNATIVE),
        "read": np.where(same.any(axis=1), same.argmax(axis=1), -1).tolist() if k else [-1] * len(table),
    }


def _drawn(texts: Sequence[str], passage: NDArray[np.int64]) -> dict[str, list[Any]]:
    """Return how the page draws texts in boxes, in UTF-16 units from the beginning of the first passage.

    Returns:
        `shared`: for each character that several rows share, the first row, the number of rows, its beginning and its length;
        `ends`: the distances between places where a line may end.
    """
    shared, ends, reached = [], [], 0
    for pieces in passages_of(texts, passage):
        for box in boxes(pieces):
            if len(box.rows) > 1:
                shared.append([box.rows[0], len(box.rows), reached, _utf16(box.text)])
            for part, may_end in zip(box.parts, box.may_end, strict=True):
                ends += [reached] * may_end
                reached += _utf16(part)
    return {"shared": shared, "ends": np.diff(ends, prepend=0).tolist() if ends else []}


def _utf16(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2


def _numbers(values: NDArray[np.float64], decimals: int) -> list[float | None]:
    return [nan_to_none(round(value, decimals)) for value in values.tolist()]


def _agreement(rows: Rows, pair: tuple[int, int], compared: Comparison | None) -> str:
    """Return one line on the agreement of two models."""
    if compared is not None and compared.units.by == rows.by and not compared.whole:
        # Of the same units: a process that only draws then need not import scipy.stats, which takes 0.6 s.
        r, rho = (Estimate(one.value, one.n) for one in (compared.pearson_r, compared.spearman_rho))
    else:
        x, y = (rows.logprobs[model] for model in pair)
        r, rho = pearson_r(x, y), spearman_rho(x, y)
    return f"r = {rounded(r)}, ρ = {rounded(rho)}, n = {r.n} {rows.by}s scored by both"


def _measures(
    tables: Sequence[TokenScores],
    rows: Rows,
    pairs: Sequence[tuple[int, int]],
    limits: Chosen,
    shared: Mapping[str, Limits],
) -> Iterator[dict[str, Any]]:
    for measure in MEASURES.values():
        own = shared.get(measure.name, limits if limits_fit(limits, measure) else None)
        if isinstance(measure, PairMeasure):
            heatmaps = [
                pair_heatmap(
                    rows.pair(a, b),
                    measure,
                    models=(tables[a].spec.model, tables[b].spec.model),
                    names=(full_name_of(tables[a].spec), full_name_of(tables[b].spec)),
                    text_name=tables[0].text_name,
                    spans=tables[0].spans,
                    limits=own,
                )
                for a, b in pairs
            ]
        else:
            heatmaps = [text_heatmap(tables, measure=measure.name, limits=own)]
        if heatmaps:
            yield {
                "name": measure.name,
                "label": measure.label,
                "of_pair": isinstance(measure, PairMeasure),
                "views": [_view(heatmap, measure) for heatmap in heatmaps],
            }


def _view(heatmap: TextHeatmap, measure: Measure) -> dict[str, Any]:
    scale, legend = heatmap.scale, heatmap.legend
    shown = scale.steps(_STEPS) if legend.ticks and not heatmap.buckets else []
    return {
        "colours": measure.colours,
        "axis": legend.axis,
        "ticks": legend.ticks,
        "lines": legend.lines,
        "unscored": legend.unscored,
        "bar": [scale.shade(value) for value in shown],
        "swatches": [scale.shade(float(number)) for number in range(len(heatmap.buckets))] if legend.ticks else [],
        "diverging": scale.colours.diverging,
        "caption": heatmap.caption,
        "code": heatmap.is_code,
        "panels": [_panel(heatmap, panel) for panel in heatmap.panels],
    }


def _panel(heatmap: TextHeatmap, panel: Panel) -> dict[str, Any]:
    values = panel.values.tolist()
    return {
        "name": panel.name,
        "remark": panel.remark,
        "shades": [heatmap.scale.shade(value) for value in values],
        "below": [row for row, value in enumerate(values) if heatmap.scale.underlined(value)],
    }
