"""The curves of context lengths and of precisions through the data that their artists hold."""

from collections.abc import Callable
from dataclasses import replace
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from tables import long_pair

import tokenviz as tv
from tokenviz.figures.plots.computing import RatioPanel, precision_curves, ratio_bars
from tokenviz.figures.plots.curves import context_curves
from tokenviz.figures.plots.matrix import correlation_overview
from tokenviz.figures.plots.studies import region_means
from tokenviz.figures.typeset.saving import inches

SEEN = [1, 2, 4, 8]
MODELS = ["smollm2-135m", "$x$_a-model-with-a-long-name,quantize=q4_0"]


def means(texts: int = 1) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "model": model,
            "text": f"text {text}",
            "seen": seen,
            "mean log-prob": -3.0 + i / 10 + text,
            "r with whole context": i / 4,
        }
        for model in MODELS
        for text in range(texts)
        for i, seen in enumerate(SEEN)
    )


def between(*, step: float = 0.1) -> pd.DataFrame:
    return pd.DataFrame(
        {"a": MODELS[0], "b": MODELS[1], "text": "text 0", "seen": seen, "r between models": 0.5 + step * i}
        for i, seen in enumerate(SEEN)
    )


def outside(figure: Figure) -> list[str]:
    """The words that are not wholly in the figure."""
    FigureCanvasAgg(figure).draw()
    found = []
    for axes in figure.axes:
        legend = axes.get_legend()
        for text in [axes.xaxis.label, axes.yaxis.label, *(legend.get_texts() if legend else [])]:
            box, room = text.get_window_extent(), figure.bbox.padded(1)
            if not (room.contains(box.x0, box.y0) and room.contains(box.x1, box.y1)):
                found.append(text.get_text())
    return found


def test_each_panel_draws_its_column_against_the_context() -> None:
    figure = context_curves(means(), between())
    left, middle, right = figure.axes
    assert [line.get_xdata().tolist() for line in left.lines] == [SEEN, SEEN]
    np.testing.assert_allclose(left.lines[0].get_ydata(), [-3.0, -2.9, -2.8, -2.7])
    np.testing.assert_allclose(middle.lines[1].get_ydata(), [0, 0.25, 0.5, 0.75])
    np.testing.assert_allclose(right.lines[0].get_ydata(), [0.5, 0.6, 0.7, 0.8])
    assert [label.get_text() for label in left.get_xticklabels()] == ["1", "2", "4", "8"]
    assert outside(figure) == []


def test_one_model_has_no_panel_between_models() -> None:
    assert len(context_curves(means(), between().iloc[:0]).axes) == 2


def test_models_and_texts_are_told_apart_without_colour() -> None:
    axes = context_curves(means(texts=2), between()).axes[0]
    looks = [(line.get_marker(), str(line.get_linestyle())) for line in axes.lines]
    assert len(looks) == len(set(looks)) == 4


def test_rounding_does_not_look_like_a_finding() -> None:
    axes = context_curves(means(), between(step=1e-9)).axes[2]
    low, high = axes.get_ylim()
    assert high - low == pytest.approx(0.02)
    assert low < 0.5 < high


@pytest.fixture
def moved() -> pd.DataFrame:
    random = np.random.default_rng(0)
    frames = [
        pd.DataFrame({"model": name, "kl": np.exp(random.normal(centre, 1, 200)), "surprisal_bits": random.exponential(4, 200)})
        for name, centre in (("m,quantize=q8_0", -7), ("m,quantize=q4_0", -3))
    ]
    return pd.concat(frames)


def test_shares_above_each_divergence_fall_from_one_to_zero(moved: pd.DataFrame) -> None:
    left, right = precision_curves(moved).axes
    for line, (_, own) in zip(left.lines, moved.groupby("model", sort=False), strict=True):
        x, y = line.get_xdata(), line.get_ydata()
        place = len(x) // 3
        assert y[place] == pytest.approx((own["kl"] > x[place]).mean())
        assert y[-1] == 0
    assert [line.get_linestyle() for line in left.lines] == ["-", "--"]
    low = moved[(moved["model"] == "m,quantize=q4_0") & (moved["surprisal_bits"] < 1)]
    assert right.lines[1].get_ydata()[0] == pytest.approx(low["kl"].mean())


@pytest.mark.parametrize("width", ["acl", 7.0])
def test_nothing_is_clipped(moved: pd.DataFrame, width: float | str) -> None:
    assert outside(precision_curves(moved, width=width)) == []
    assert outside(context_curves(means(), between(), width=width)) == []


def crowded() -> dict[str, Callable[[float | str], Figure]]:
    """Figures of more models, texts, conditions and regions than is comfortable."""
    models = ["smollm2-135m", "smollm2-135m,quantize=q4_0", "gemma3-270m"]
    seen, texts = (4, 16, 64, 128, 256, 512, 1024), ("narrative", "long_document")
    curves = pd.DataFrame(
        {"model": model, "text": text, "seen": n, "mean log-prob": -5 + n / 500, "r with whole context": 0.5 + n / 3000}
        for model in models
        for text in texts
        for n in seen
    )
    pairs = pd.DataFrame(
        {"a": models[0], "b": model, "text": text, "seen": n, "r between models": 0.5 + n / 3000}
        for model in models[1:]
        for text in texts
        for n in seen
    )
    regions = ("subject", "relative clause", "main verb", "spillover", "rest")
    study = pd.DataFrame(
        {"model": model, "region": region, "condition": condition, "mean": 5.0, "low": 4.0, "high": 6.0, "n": 24}
        for model in models
        for region in regions
        for condition in ("subject-extracted", "object-extracted", "control condition")
    )
    panel = RatioPanel(
        "smollm2-135m · mixed: 120 texts, 5,000 tokens", ("tokenviz", "minicons 0.3.36"), (3.0, np.nan), ("", "no")
    )
    compared = [
        tv.compare(*(replace(one, spec=replace(one.spec, model=name)) for one, name in zip(long_pair(40), pair, strict=True)))
        for pair in combinations(models, 2)
    ]
    return {
        "contexts": lambda width: context_curves(curves, pairs, width=width),
        "regions": lambda width: region_means(study, width=width),
        "throughput": lambda width: ratio_bars([panel, panel], baseline="the plain loop's", width=inches(width)),
        "overview": lambda width: correlation_overview(compared, width=width),
    }


@pytest.mark.parametrize("width", ["acl", 7.0])
@pytest.mark.parametrize("kind", ["contexts", "regions", "throughput", "overview"])
def test_in_a_crowded_figure_all_words_are_whole_and_apart_and_panels_keep_their_room(kind: str, width: float | str) -> None:
    figure = crowded()[kind](width)
    FigureCanvasAgg(figure).draw()
    ticks = {
        axes: [tick for tick in axes.xaxis.get_major_ticks() if tick.get_loc() == np.clip(tick.get_loc(), *axes.get_xlim())]
        for axes in figure.axes
    }
    drawn = {tick.label1 for own in ticks.values() for tick in own}
    beyond = {tick.label1 for axes in figure.axes for tick in axes.xaxis.get_major_ticks()} - drawn
    words = [text for text in figure.findobj(Text) if text.get_visible() and text.get_text().strip() and text not in beyond]
    room = figure.bbox.padded(1)
    boxes = {text: text.get_window_extent() for text in words}
    assert [
        text.get_text() for text, box in boxes.items() if not (room.contains(box.x0, box.y0) and room.contains(box.x1, box.y1))
    ] == []
    for axes in figure.axes:
        assert axes.has_data()
        assert axes.get_window_extent().height / figure.dpi > 0.3
        labels = [tick.label1.get_window_extent() for tick in ticks[axes] if not tick.label1.get_rotation()]
        assert not any(one.overlaps(other) for one, other in combinations(labels, 2))
