"""The public names: which they are, what their help says, and that its examples are true."""

import doctest
import inspect
from pathlib import Path

import pytest
from docstring_parser import parse

import tokenviz as tv
from tokenviz import stats
from tokenviz.harness.decorator import Experiment

NAMES = [
    "BosMode", "Comparison", "Grid", "GridResult", "Span", "Text", "TokenScores", "TokenvizError", "chat_text",
    "checkpoints_of", "compare", "continuations", "divergences", "experiment", "import_scores", "information", "literal",
    "load_comparison", "load_model", "load_runs", "load_scores", "load_tokens", "pair_table", "prompt_table",
    "read_items", "read_pairs", "read_prompts", "read_reading_times", "read_text",
    "save_figure", "save_heatmap", "save_report", "score",
    "span_table", "text_heatmap", "tidy_table", "unity_scatter", "watch", "words",
]  # fmt: skip
STATISTICS = [
    "LEVEL", "Calibration", "Estimate", "Resampling", "SignFlips", "Summary", "adjusted_level", "calibrate", "clustered",
    "concordance", "concordance_accuracy", "correlation_difference", "d_av", "d_z", "deming_intercept", "deming_slope",
    "fisher", "kendall_tau", "location_shift", "many_intervals", "mean_difference", "median_difference", "pearson_r",
    "printed", "rms_difference", "rounded", "rounded_interval", "scale_shift", "share_greater", "sign_flip_test",
    "spearman_rho", "student", "wilson",
]  # fmt: skip
DOCUMENTED = [name for name in NAMES if name != "BosMode"]  # a type of three strings, which `score` explains
FUNCTIONS = [name for name in DOCUMENTED if inspect.isfunction(getattr(tv, name))]
# Whose examples go on from another one's.
GOES_ON_FROM = dict.fromkeys(["GridResult", "load_comparison", "load_runs", "load_scores", "load_tokens"], "Grid") | {
    "pair_table": "read_pairs",
    "prompt_table": "read_prompts",
    "tidy_table": "read_items",
}


def test_the_public_names_are_these() -> None:
    assert tv.__all__ == NAMES
    assert list(tv._HOMES) == NAMES
    assert dir(tv) == sorted([*NAMES, "__version__"])


def test_the_public_statistics_are_these() -> None:
    assert stats.__all__ == STATISTICS
    assert list(stats._HOMES) == STATISTICS
    assert dir(stats) == sorted(STATISTICS)


@pytest.mark.parametrize("name", [name for name in STATISTICS if name != "LEVEL"])
def test_public_statistics_resolve_and_explain_themselves(name: str) -> None:
    statistic = getattr(stats, name)
    assert statistic.__module__ == f"tokenviz.stats.{stats._HOMES[name]}"
    assert len(statistic.__doc__.split()) > 5


def test_an_unknown_statistic_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match=r"^module 'tokenviz.stats' has no attribute 'nonsense'$"):
        stats.nonsense  # noqa: B018  the look-up is the test


@pytest.mark.parametrize("name", NAMES)
def test_public_names_resolve(name: str) -> None:
    assert getattr(tv, name) is not None


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match=r"^module 'tokenviz' has no attribute 'nonsense'$"):
        tv.nonsense  # noqa: B018  the look-up is the test


def test_a_bos_mode_is_any_string_since_a_token_may_be_named() -> None:
    assert tv.BosMode is str
    assert all(f'"{mode}"' in tv.score.__doc__ for mode in ("auto", "always", "never"))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_help_explains_arguments_result_and_refusals(name: str) -> None:
    function = getattr(tv, name)
    explained = parse(function.__doc__)
    assert [one.arg_name for one in explained.params] == list(inspect.signature(function).parameters)
    assert all(one.description for one in explained.params)
    assert explained.returns is not None
    assert explained.returns.description
    assert explained.raises or name == "experiment"
    assert all(one.description for one in explained.raises)


def test_help_explains_every_column() -> None:
    for kind in (tv.TokenScores, tv.Text, tv.GridResult, tv.Comparison):
        named = {one.arg_name for base in kind.__mro__ for one in parse(base.__doc__ or "").params}
        assert set(inspect.signature(kind).parameters) <= named


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One project for all examples: those that read runs find what was made before."""
    return tmp_path_factory.mktemp("examples")


@pytest.mark.parametrize("name", DOCUMENTED)
def test_the_example_is_true(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "experiments").mkdir(exist_ok=True)
    monkeypatch.chdir(folder)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    names: dict[str, object] = {"tv": tv}
    for one in [GOES_ON_FROM[name], name] if name in GOES_ON_FROM else [name]:
        run_example(one, names)


def run_example(name: str, names: dict[str, object]) -> None:
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    test = doctest.DocTestParser().get_doctest(getattr(tv, name).__doc__, names, f"tokenviz.{name}", None, 0)
    assert test.examples
    report: list[str] = []
    runner.run(test, out=report.append, clear_globs=False)
    assert runner.failures == 0, "".join(report)
    names.update(test.globs)


def test_an_experiment_of_no_file_has_the_name_of_its_function() -> None:
    names: dict[str, object] = {}
    exec(compile("def trial():\n    '''What?'''", "/tmp/ipykernel_1/2345.py", "exec"), names)
    assert Experiment(names["trial"]).name == "trial"
    assert Experiment(test_an_experiment_of_no_file_has_the_name_of_its_function).name == "test_public_names"
