"""The experiments of this repository, run as a user runs them, and the pages made from them."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of experiments/ in a project of its own."""
    shutil.copytree(ROOT / "experiments", tmp_path / "experiments", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return tmp_path


def run(checkout: Path, *arguments: str) -> str:
    done = subprocess.run([sys.executable, "-m", *arguments], capture_output=True, text=True, check=False, cwd=checkout)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_template_runs_as_it_stands(checkout: Path) -> None:
    result = json.loads(run(checkout, "experiments._template", "--json"))
    assert result["experiment"] == "_template"
    assert [(one["model"], one["text"]) for one in result["scores"]] == [("glass-en", "correlation")]


def test_a_copy_of_the_template_is_an_experiment_of_its_own(checkout: Path) -> None:
    shutil.copy(checkout / "experiments" / "_template.py", checkout / "experiments" / "mine.py")
    assert "mine What does this experiment ask?" in re.sub(" +", " ", run(checkout, "tokenviz", "list"))
    result = json.loads(run(checkout, "tokenviz", "run", "mine", "--json"))
    assert result["experiment"] == "mine"


def test_the_reference_experiment_compares_every_pair_on_every_text(checkout: Path) -> None:
    models = ["glass-en", "glass-en,dtype=bfloat16", "glass-en,dtype=float64"]
    texts = ["correlation", "mixed_scripts"]
    arguments = [word for model in models for word in ("--models", model)] + [w for text in texts for w in ("--texts", text)]
    result = json.loads(run(checkout, "experiments.single_token_predictions", *arguments, "--json"))
    assert len(result["scores"]) == 6
    pairs = [(one["model_a"], one["model_b"], one["text"]) for one in result["comparisons"]]
    assert pairs == [(models[i], models[j], text) for i, j in ((0, 1), (0, 2), (1, 2)) for text in texts]
    # One model in two precisions: nearly the same predictions.
    assert all(one["pearson_r"] > 0.99 and one["by"] == "token" for one in result["comparisons"])


@pytest.mark.slow
def test_the_reference_pair_of_tokenizers(checkout: Path) -> None:
    out = run(checkout, "experiments.single_token_predictions", "--texts", "correlation", "--texts", "narrative", "--json")
    found = {(one["model_a"], one["model_b"], one["text"]): one for one in json.loads(out)["comparisons"]}
    quantized = found["smollm2-135m", "smollm2-135m,quantize=q4_0", "narrative"]
    other = found["smollm2-135m", "gemma3-270m", "narrative"]
    assert (quantized["by"], other["by"]) == ("token", "segment")
    # A model agrees more with its own 4-bit weights than with another family's model.
    assert 0.9 < quantized["pearson_r"] < 1
    assert 0.8 < other["pearson_r"] < quantized["pearson_r"]


@pytest.mark.slow
def test_the_python_lines_of_the_readme_run(tmp_path: Path) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.S)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "logprob" in done.stdout
    assert (tmp_path / "heatmap.png").stat().st_size > 10_000


def test_the_hashes_of_the_sample_texts_are_those_of_their_table() -> None:
    from hashlib import sha256

    folder = ROOT / "experiments" / "texts"
    table = dict(re.findall(r"^\| `([^`]+)` .*`([0-9a-f]{64})`", (folder / "README.md").read_text(encoding="utf-8"), re.M))
    files = {path.name: sha256(path.read_bytes()).hexdigest() for path in folder.iterdir() if path.name != "README.md"}
    assert table == files
    assert len(files) == 8


def test_the_page_of_experiments_is_up_to_date() -> None:
    subprocess.run([sys.executable, str(ROOT / "docs" / "generate.py"), "--check"], check=True)


def test_make_help_lists_every_target() -> None:
    listed = subprocess.run(["make", "help"], capture_output=True, text=True, check=True, cwd=ROOT).stdout
    for target in ("setup", "experiment", "test", "check", "ui", "paper", "bench", "clean", "help"):
        assert f"make {target} " in listed
