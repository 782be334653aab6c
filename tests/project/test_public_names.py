"""The public names: which they are, that pages teach no others, what their help says, and that its examples are true."""

import ast
import doctest
import inspect
import json
import re
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest
from docstring_parser import parse

import tokenviz as tv
from tokenviz.harness.experiments import Experiment

ROOT = Path(__file__).resolve().parents[2]
NAMES = [
    "BosMode", "Comparison", "Grid", "GridResult", "Span", "Text", "TokenScores", "TokenvizError", "chat_text",
    "checkpoints_of", "compare", "continuations", "corpus", "divergences", "experiment", "import_scores", "information",
    "literal", "load_comparison", "load_model", "load_runs", "load_scores", "load_tokens", "pair_table", "position_values",
    "prompt_table", "read_items", "read_pairs", "read_prompts", "read_reading_times", "read_text",
    "save_figure", "save_report", "score",
    "span_table", "text_heatmap", "tidy_table", "unity_scatter", "watch", "words",
]  # fmt: skip
STATISTICS = [
    "Calibration", "Estimate", "LEVEL", "Resampling", "SignFlips", "Summary", "adjusted_level", "calibrate", "clustered",
    "concordance", "concordance_accuracy", "correlation_difference", "d_av", "d_z", "deming_intercept", "deming_slope",
    "fisher", "kendall_tau", "location_shift", "many_intervals", "mean_difference", "median_difference", "pearson_r",
    "printed", "rms_difference", "rounded", "rounded_interval", "scale_shift", "share_greater", "sign_flip_test",
    "spearman_rho", "student", "wilson",
]  # fmt: skip
NAMESPACES = {
    "tokenviz": NAMES,
    "tokenviz.comparing": [
        "closest", "condition_means", "correlate", "engine_differences", "pool", "summarise_divergences",
    ],
    "tokenviz.figures": [
        "PairMeasure", "TextHeatmap", "TokenMeasure", "along_text", "context_curves", "continuation_marks",
        "correlation_overview", "draw_along_text", "draw_correlation_overview", "draw_entropy_calibration", "draw_gap_bars",
        "draw_heatmap", "draw_model_matrix", "draw_pair_accuracy", "draw_unity_scatter", "entropy_calibration", "gap_bars",
        "likelihood_gains", "model_matrix", "pair_accuracy", "precision_curves", "provenance_lines", "provenance_of",
        "region_means", "save_texts_report", "shared_limits", "training_curves",
    ],
    "tokenviz.harness": [
        "At", "By", "ComparisonRun", "DIVERGENCES", "ExperimentError", "Measure", "MeasureRun", "Measured", "ScoreRun",
        "candidates", "context_effect", "position_measure",
    ],
    "tokenviz.paper": ["Order", "check", "pull", "redraw"],
    "tokenviz.stats": STATISTICS,
}  # fmt: skip
EVERY_NAME = [(namespace, name) for namespace, names in NAMESPACES.items() for name in names]
DOCUMENTED = [name for name in NAMES if name != "BosMode"]  # a type of three strings, which `score` explains
FUNCTIONS = [name for name in DOCUMENTED if inspect.isfunction(getattr(tv, name))]
# Whose examples go on from another one's.
GOES_ON_FROM = dict.fromkeys(["GridResult", "load_comparison", "load_runs", "load_scores", "load_tokens"], "Grid") | {
    "pair_table": "read_pairs",
    "prompt_table": "read_prompts",
    "tidy_table": "read_items",
}


@pytest.mark.parametrize("namespace", NAMESPACES)
def test_the_public_names_are_these(namespace: str) -> None:
    module = import_module(namespace)
    assert module.__all__ == NAMESPACES[namespace]
    assert dir(module) == sorted(NAMESPACES[namespace])
    # A module of the same name would take the name's place as soon as it is imported.
    assert [name for name in module.__all__ if find_spec(f"{namespace}.{name}")] == []


@pytest.mark.parametrize("namespace", NAMESPACES)
def test_type_checkers_know_the_same_names(namespace: str) -> None:
    module = import_module(namespace)
    tree = ast.parse(Path(module.__file__).read_text(encoding="utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING")
    imported = {alias.asname: (node.module, alias.name) for node in block.body for alias in node.names}
    assert imported == {name: (home, name) for name, home in module._HOMES.items()}


def test_a_name_is_in_one_namespace() -> None:
    assert len({name for _, name in EVERY_NAME}) == len(EVERY_NAME)


@pytest.mark.parametrize(("namespace", "name"), EVERY_NAME)
def test_public_names_resolve_and_explain_themselves(namespace: str, name: str) -> None:
    module = import_module(namespace)
    found = getattr(module, name)
    if inspect.isfunction(found) or (inspect.isclass(found) and found is not str):
        assert found.__module__ == module._HOMES[name]
        assert len(found.__doc__.split()) > 5


@pytest.mark.parametrize("namespace", NAMESPACES)
def test_an_unknown_name_is_an_attribute_error(namespace: str) -> None:
    module = import_module(namespace)
    with pytest.raises(AttributeError, match=rf"^module '{namespace}' has no attribute 'nonsense'$"):
        module.nonsense  # noqa: B018  the look-up is the test


def taught_in(path: Path) -> Iterator[str]:
    """Every name below `tokenviz` that a page, a notebook or an experiment imports or writes out, with its module."""
    text = path.read_text(encoding="utf-8")
    code = [text]
    if path.suffix == ".md":
        code = re.findall(r"^```python\n(.*?)^```$", text, re.M | re.S)
        prose = re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S)
        yield from re.findall(r"(?<![\w/.-])tokenviz(?:\.[A-Za-z_]\w*){2,}", prose)
    elif path.suffix == ".ipynb":
        code = ["".join(cell["source"]) for cell in json.loads(text)["cells"] if cell["cell_type"] == "code"]
    for block in code:
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "tokenviz":
                yield from (f"{node.module}.{alias.name}" for alias in node.names)
            elif isinstance(node, ast.Import):
                yield from (f"{alias.name}." for alias in node.names if alias.name.startswith("tokenviz."))


def public(name: str) -> bool:
    namespace, _, last = name.rpartition(".")
    return last in NAMESPACES.get(namespace, ()) or (namespace == "tokenviz" and name in NAMESPACES)


TEACHING = [
    ROOT / "README.md",
    *sorted(path for folder in ("docs", "docs/notebooks", "experiments", "notebooks") for path in (ROOT / folder).glob("*.md")),
    *sorted(path for folder in ("docs/examples", "experiments") for path in (ROOT / folder).glob("*.py")),
    *sorted((ROOT / "notebooks").glob("*.ipynb")),
]  # fmt: skip


@pytest.mark.parametrize("path", TEACHING, ids=lambda path: str(path.relative_to(ROOT)))
def test_pages_notebooks_and_experiments_teach_public_names_alone(path: Path) -> None:
    assert [name for name in taught_in(path) if not public(name)] == []


def test_a_name_that_is_not_public_is_noticed(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "`tokenviz.stats.wilson`, `tokenviz.data.texts.corpus` and the tag `tokenviz.kind`\n\n"
        "```python\nimport tokenviz.data.scores\n"
        "from tokenviz import Grid, nothing\nfrom tokenviz.figures.plots.matrix import correlation_overview\n```\n"
    )
    assert [name for name in taught_in(page) if not public(name)] == [
        "tokenviz.data.texts.corpus", "tokenviz.data.scores.", "tokenviz.nothing",
        "tokenviz.figures.plots.matrix.correlation_overview",
    ]  # fmt: skip
    assert {"tokenviz.stats.wilson", "tokenviz.Grid"} < set(taught_in(page))


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
