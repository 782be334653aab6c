"""The experiments of this repository, run as a user runs them, and the pages made from them."""

import csv
import io
import json
import math
import os
import re
import shutil
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from arithmetic import BIGRAM_WEIGHTS, make_bigram_folder
from chat_templates import TEMPLATES
from conftest import Run

import tokenviz as tv
from tokenviz.base.disk import experiment_files
from tokenviz.cli.experiments import load_experiment
from tokenviz.harness.experiments import experiment_command
from tokenviz.records.run import TOKENS_TABLE
from tokenviz.scoring.positions import context_logprobs

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of experiments/ in a project of its own."""
    left_out = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "experiments", tmp_path / "experiments", ignore=left_out, dirs_exist_ok=True)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return tmp_path


def run(checkout: Path, *arguments: str) -> str:
    done = subprocess.run([sys.executable, "-m", *arguments], capture_output=True, text=True, check=False, cwd=checkout)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_the_template_runs_as_it_stands(checkout: Path) -> None:
    result = json.loads(run(checkout, "tokenviz", "run", "_template", "--json"))
    assert result["experiment"] == "_template"
    assert [(one["model"], one["text"]) for one in result["scores"]] == [("glass-en", "correlation")]


@pytest.mark.slow
def test_a_copy_of_the_template_is_an_experiment_of_its_own(checkout: Path) -> None:
    shutil.copy(checkout / "experiments" / "_template.py", checkout / "experiments" / "mine.py")
    assert "mine What does this experiment ask?" in re.sub(" +", " ", run(checkout, "tokenviz", "list"))
    result = json.loads(run(checkout, "tokenviz", "run", "mine", "--json"))
    assert result["experiment"] == "mine"


@pytest.mark.slow
def test_the_reference_experiment_compares_every_pair_on_every_text(checkout: Path) -> None:
    models = ["glass-en", "glass-en,dtype=bfloat16", "glass-en,dtype=float64"]
    texts = ["correlation", "mixed_scripts"]
    arguments = [word for model in models for word in ("--models", model)] + [w for text in texts for w in ("--texts", text)]
    result = json.loads(run(checkout, "tokenviz", "run", "single_token_predictions", *arguments, "--json"))
    assert len(result["scores"]) == 6
    pairs = [(one["model_a"], one["model_b"], one["text"]) for one in result["comparisons"]]
    assert pairs == [(models[i], models[j], text) for i, j in ((0, 1), (0, 2), (1, 2)) for text in texts]
    # One model in two precisions: nearly the same predictions.
    assert all(one["pearson_r"] > 0.99 and one["by"] == "token" for one in result["comparisons"])


def tables(checkout: Path, experiment: str, *arguments: str) -> dict[str, list[dict[str, str]]]:
    """The tables of an experiment's summary, as a user finds them among its files."""
    summary = json.loads(run(checkout, "tokenviz", "run", experiment, *arguments, "--json"))["summary_run_id"]
    (folder,) = checkout.glob(f"mlruns/artifacts/*/{summary}/artifacts/tables")
    return {path.stem: list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8")))) for path in folder.glob("*.csv")}


def figures(checkout: Path) -> set[str]:
    """The figures of the last summary, by name."""
    folders = [path.parent for path in checkout.glob("mlruns/artifacts/*/*/artifacts/figures/*.png")]
    newest = max(folders, key=lambda folder: folder.stat().st_mtime)
    return {path.stem for path in newest.glob("*.png")}


@pytest.mark.slow
def test_context_length_follows_one_set_of_tokens(checkout: Path) -> None:
    (checkout / "alice.txt").write_text(
        "Alice was beginning to get very tired of sitting by her sister on the bank, and of having nothing to do: once or "
        "twice she had peeped into the book her sister was reading, but it had no pictures or conversations in it."
    )
    arguments = ("--models", "glass-en", "--models", "glass-en,dtype=float64", "--texts", "alice.txt")
    found = tables(checkout, "context_length", *arguments, "--seen", "1", "--seen", "4", "--seen", "16")
    rows = [row for row in found["by context"] if row["model"] == "glass-en"]
    assert [row["seen"] for row in rows] == ["1", "4", "16"]
    assert len({row["n"] for row in rows}) == 1
    whole = tv.score(tv.load_model("glass-en"), (checkout / "alice.txt").read_text())
    assert int(rows[0]["n"]) == len(whole) - 16  # those with 16 tokens before them
    alone = context_logprobs(tv.load_model("glass-en"), (checkout / "alice.txt").read_text(), [1, 4, 16])
    means = [float(row["mean log-prob"]) for row in rows]
    assert means == pytest.approx(alone.logprob[16:].mean(axis=0), abs=1e-5)
    r = [float(row["r with whole context"]) for row in rows]
    assert r[0] < r[1] < r[2] < 1
    assert all(float(row["r between models"]) > 0.9999 for row in found["between models"])
    assert figures(checkout) == {"context_length"}


@pytest.mark.slow
def test_precision_says_how_far_predictions_move(checkout: Path) -> None:
    arguments = ("--model", "glass-en", "--variants", "dtype=bfloat16", "--variants", "dtype=float64", "--texts", "correlation")
    found = tables(checkout, "precision", *arguments, "--most", "2")
    rounded, exact = found["by precision"]
    assert rounded["model"] == "glass-en,dtype=bfloat16"
    assert 1e-6 < float(rounded["mean KL"]) < 1e-2
    assert 0 <= float(exact["mean KL"]) < 1e-9
    assert [row["model"] for row in found["most moved tokens"]] == ["glass-en,dtype=bfloat16"] * 2 + [
        "glass-en,dtype=float64"
    ] * 2
    assert figures(checkout) == {"precision"}


@pytest.mark.slow
def test_small_and_large_says_what_size_adds(checkout: Path) -> None:
    models = ("--models", "glass-en,dtype=bfloat16", "--models", "glass-en")
    found = tables(checkout, "small_and_large", *models, "--texts", "correlation", "--texts", "passage_en")["small and large"]
    assert [(row["small"], row["large"], row["text"]) for row in found] == [
        (models[1], models[3], text) for text in ("correlation", "passage_en")
    ]
    small, large = (tv.score(model, tv.read_text("correlation")) for model in models[1::2])
    compared = tv.compare(small, large)
    assert int(found[0]["n"]) == compared.n
    assert float(found[0]["r"]) == pytest.approx(compared.pearson_r.value, abs=1e-6)
    assert float(found[0]["r low"]) < float(found[0]["r"]) < float(found[0]["r high"])
    difference = np.nanmean(large.logprob) - np.nanmean(small.logprob)
    assert float(found[0]["mean difference (nats)"]) == pytest.approx(difference, abs=1e-6)
    assert figures(checkout) == {"correlations", "scatter"}


@pytest.mark.slow
def test_the_survey_compares_models_with_one_vocabulary_and_with_two(checkout: Path) -> None:
    make_bigram_folder(checkout / "letters", BIGRAM_WEIGHTS)
    (checkout / "one.txt").write_text("abcdabcddcbaabcd" * 3)
    (checkout / "two.txt").write_text("dcbaabcdabcdaabb" * 3)
    (checkout / "three.txt").write_text("abddcbcaabdcbdca" * 3)
    models = ("glass-en", "glass-en,dtype=bfloat16", "./letters")
    arguments = [word for model in models for word in ("--models", model)]
    found = tables(
        checkout,
        "model_survey",
        *arguments,
        *(w for name in ("one", "two", "three") for w in ("--texts", f"{name}.txt")),
        "--top-k",
        "4",
    )
    assert all(" resamples of 3 texts" in row["intervals"] for table in ("models", "pairs") for row in found[table])
    first, *others = found["pairs"]
    assert (first["a"], first["b"], first["over"]) == (*models[:2], "tokens")
    assert float(first["r low"]) < float(first["r"]) < float(first["r high"]) <= 1
    assert float(first["KL of b from a"]) > 0
    assert [(row["over"], row["KL of b from a"]) for row in others] == [("segments", "")] * 2
    assert [row["model"] for row in found["models"]] == list(models)
    for row in found["models"]:
        # Nothing but ASCII: a character is a byte.
        assert float(row["bits_per_byte"]) == pytest.approx(float(row["bits_per_character"]))
    assert figures(checkout) == {"pearson_r", "concordance", "kl"}


def test_a_survey_of_one_model_is_refused(run: Run, checkout: Path) -> None:
    message = "error: a survey compares models with each other, and one was given, 'glass-en': give at least two\n"
    assert run("run", "model_survey", "--models", "glass-en") == (1, "", message)


@pytest.mark.slow
def test_a_model_agrees_most_with_its_8_bit_self_then_with_its_4_bit_self_then_with_another_family(checkout: Path) -> None:
    found = tables(checkout, "model_survey", "--texts", "narrative", "--texts", "correlation")["pairs"]
    mine = {row["b"]: row for row in found if row["a"] == "smollm2-135m"}
    eight, four, other = mine["smollm2-135m,quantize=q8_0"], mine["smollm2-135m,quantize=q4_0"], mine["gemma3-270m"]
    for name in ("r", "concordance"):
        assert float(eight[name]) > float(four[name]) > float(other[name])
    assert float(eight["r"]) > float(four["r"]) > float(other["r"])
    assert float(eight["KL of b from a"]) < float(four["KL of b from a"])
    # Two texts do not say by how much other texts would differ.
    reason = "no interval: 2 texts, and an interval across texts needs at least 3"
    assert all((row["intervals"], row["r low"]) == (reason, "") for row in (eight, four, other))


@pytest.mark.slow
def test_the_reference_pair_of_tokenizers(checkout: Path) -> None:
    out = run(
        checkout, "tokenviz", "run", "single_token_predictions", "--texts", "correlation", "--texts", "narrative", "--json"
    )
    found = {(one["model_a"], one["model_b"], one["text"]): one for one in json.loads(out)["comparisons"]}
    quantized = found["smollm2-135m", "smollm2-135m,quantize=q4_0", "narrative"]
    other = found["smollm2-135m", "gemma3-270m", "narrative"]
    assert (quantized["by"], other["by"]) == ("token", "segment")
    # A model agrees more with its own 4-bit weights than with another family's model.
    assert 0.9 < quantized["pearson_r"] < 1
    assert 0.8 < other["pearson_r"] < quantized["pearson_r"]


def test_the_hashes_of_the_sample_texts_are_those_of_their_table() -> None:
    from hashlib import sha256

    folder = ROOT / "experiments" / "texts"
    table = dict(re.findall(r"^\| `([^`]+)` .*`([0-9a-f]{64})`", (folder / "README.md").read_text(encoding="utf-8"), re.M))
    files = {path.name: sha256(path.read_bytes()).hexdigest() for path in folder.iterdir() if path.name != "README.md"}
    assert table == files
    assert len(files) == 8


@pytest.mark.parametrize(("given", "port"), [((), 5000), (("PORT=5123",), 5123)])
def test_make_ui_serves_on_the_port_that_is_given(given: tuple[str, ...], port: int) -> None:
    bare = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKEOVERRIDES", "MFLAGS", "PORT")}
    dry = ["make", "--no-print-directory", "-n", "-o", ".venv/ready", "ui", *given]
    done = subprocess.run(dry, capture_output=True, text=True, check=True, cwd=ROOT, env=bare)
    assert done.stdout == f".venv/bin/tokenviz ui --port {port}\n"


def test_make_help_lists_every_target() -> None:
    listed = subprocess.run(["make", "help"], capture_output=True, text=True, check=True, cwd=ROOT).stdout
    for target in (
        "setup",
        "experiment",
        "test",
        "check",
        "mutants",
        "fuzz",
        "coverage",
        "ui",
        "paper",
        "bench",
        "clean",
        "help",
    ):
        assert f"make {target} " in listed


@pytest.mark.slow
def test_candidates_are_watched_at_every_position_and_computed_again(checkout: Path) -> None:
    given = ["--models", "glass-en", "--texts", "correlation", "--watch", " the", "--watch", " tired"]
    result = json.loads(run(checkout, "tokenviz", "run", "candidates", *given, "--json"))
    single, several = result["tables"]["candidates"]
    text = tv.read_text(checkout / "experiments" / "texts" / "correlation.txt")
    watched = tv.watch(tv.load_model("glass-en"), text, [" the", " tired"])
    for number, row in enumerate((single, several)):
        assert row["n"] == len(watched.position)
        assert row["first (nats)"] == pytest.approx(watched.first_logprob[:, number].mean())
        assert row["first choice (share)"] == pytest.approx((watched.first_rank[:, number] == 1).mean())
    assert single["whole (nats)"] == pytest.approx(single["first (nats)"])
    assert several["whole (nats)"] is None  # of several tokens it is known at the end alone
    assert "agrees" in run(checkout, "tokenviz", "rerun", result["measures"][0]["run_id"])
    at_end = json.loads(run(checkout, "tokenviz", "run", "candidates", *given, "--at", "end", "--json"))["tables"]["candidates"]
    assert at_end[1]["whole (nats)"] == pytest.approx(watched.whole_logprob[-1, 1])


@pytest.mark.slow
def test_chats_are_summed_by_role_and_their_template_is_recorded(checkout: Path, gpt2_folder: Path) -> None:
    shutil.copytree(gpt2_folder, checkout / "chatty")
    path = checkout / "chatty" / "tokenizer_config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**config, "chat_template": TEMPLATES["llama3"]}), encoding="utf-8")
    result = json.loads(run(checkout, "tokenviz", "run", "chats", "--models", "chatty", "--json"))
    roles = {row["role"]: row for row in result["tables"]["roles"]}
    assert list(roles) == ["(template)", "user", "assistant", "system"]
    assert (roles["assistant"]["n_spans"], roles["user"]["n_spans"], roles["system"]["n_spans"]) == (7, 7, 1)
    scored = result["scores"][0]["run_id"]
    (table,) = checkout.glob(f"mlruns/artifacts/*/{scored}/artifacts/{TOKENS_TABLE}")
    scores = tv.TokenScores.load(table)
    assert sum(row["bits"] for row in roles.values()) == pytest.approx(-np.nansum(scores.logprob) / math.log(2))
    shown = json.loads(run(checkout, "tokenviz", "runs", "show", scored, "--json"))
    assert shown["params"]["chat_template_sha256"] == sha256(TEMPLATES["llama3"].encode()).hexdigest()
    assert "agrees" in run(checkout, "tokenviz", "rerun", scored)


@pytest.mark.slow
def test_prompts_are_scored_by_every_model(checkout: Path) -> None:
    models = ["glass-en", "glass-en,dtype=bfloat16"]
    given = [word for model in models for word in ("--models", model)]
    result = json.loads(run(checkout, "tokenviz", "run", "prompts", *given, "--bos", "<bos>", "--json"))
    assert [(one["model"], one["n_continuations"], one["n_prompts"]) for one in result["prompts"]] == [
        (model, 18, 6) for model in models
    ]
    rows = result["tables"]["continuations"]
    assert [row["model"] for row in rows] == [model for model in models for _ in range(18)]
    prompts = tv.read_prompts(checkout / "experiments" / "items" / "capitals.jsonl")
    table = tv.prompt_table(prompts, tv.score(tv.load_model("glass-en"), prompts.text, bos="<bos>"))
    assert [row["log-prob"] for row in rows[:18]] == pytest.approx(table["logprob"].tolist(), abs=1e-4)
    assert figures(checkout) == {"continuations"}


@pytest.mark.parametrize("name", sorted(experiment_files()))
def test_every_experiment_has_a_command(name: str) -> None:
    experiment = load_experiment(name)
    options = {option.name for option in experiment_command(experiment).params}
    assert options >= {*experiment.signature.parameters, "json"}
    of_grids = {"force", "limits", "formats", "engine", "ledger", "workers", "shard_bytes"}
    assert options & of_grids == (set() if name in ("scaling", "throughput") else of_grids)


def test_an_experiment_that_makes_no_grid_refuses_what_it_would_ignore(run: Run, project: Path) -> None:
    (project / "experiments" / "own.py").write_text(
        "from tokenviz import experiment\n\n\nclass Own:\n    def to_json(self):\n        return {'found': 3}\n\n\n"
        '@experiment\ndef own() -> Own:\n    """Ask."""\n    return Own()\n'
    )
    assert run("run", "own", "--json")[:2] == (0, '{"found": 3}\n')
    for option in (["--ledger", "shards"], ["--engine", "ray"], ["--limits", "text"], ["--force"]):
        code, out, err = run("run", "own", *option)
        assert (code, out) == (2, "")
        assert err.strip().endswith(f"Error: No such option: {option[0]}")


def test_an_argument_that_every_experiment_has_as_an_option_is_refused(run: Run, project: Path) -> None:
    file = project / "experiments" / "taken.py"
    file.write_text(
        "from tokenviz import Grid, GridResult, experiment\n\n\n"
        "@experiment\ndef taken(models: list[str] = [], workers: int = 1) -> GridResult:\n"
        '    """Ask."""\n    return Grid(models, []).summarise("")\n'
    )
    code, out, err = run("run", "taken")
    assert (code, out) == (1, "")
    assert err == (
        f"error: '{file}' has an argument 'workers', which every experiment has as an option already: give it another name "
        "(none of force, json, limits, formats, engine, ledger, workers, shard_bytes)\n"
    )
