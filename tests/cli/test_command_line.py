"""The command line as a user meets it: clean output, one-line errors, exit codes."""

import csv
import io
import json
import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import servers
from conftest import Run
from kills import draw_in_no_time
from rich.console import Console
from servers import answer_of
from writing import ALICE

import tokenviz as tv
from tokenviz.figures.heatmap.definition import shared_limits
from tokenviz.models.loading import LoadedModel
from tokenviz.tracking.embedded import served_at


def test_json_holds_the_scores_of_the_library(run: Run, glass: LoadedModel) -> None:
    code, out, _ = run("score", "--model", "glass-en", "--text", ALICE, "--top-k", "3", "--json")
    assert code == 0
    document = json.loads(out)
    scores = tv.score(glass, ALICE, top_k=3)
    assert document["model"]["identity"] == scores.spec.identity
    (text,) = document["texts"]
    assert set(text) == {"name", "sha256", "tokens", "summary"}
    assert "".join(token["token"] for token in text["tokens"]) == ALICE
    assert [token["token_id"] for token in text["tokens"]] == scores.token_id.tolist()
    logprobs = [token["logprob"] for token in text["tokens"]]
    assert logprobs[0] is None
    assert logprobs[1:] == scores.logprob[1:].tolist()  # full precision: equal, not close
    assert text["tokens"][0]["rank"] is None
    assert text["tokens"][0]["top"] == []
    assert [len(token["top"]) for token in text["tokens"][1:]] == [3] * (len(scores) - 1)
    names = {"n_tokens", "n_scored", "mean_logprob", "perplexity_per_token", "bits_per_byte"}
    assert names <= set(text["summary"])
    assert text["summary"]["n_scored"] == len(scores) - 1


@pytest.mark.slow
def test_nothing_but_json_reaches_stdout_of_a_real_process(project: Path) -> None:
    command = [sys.executable, "-m", "tokenviz", "score", "-", "--model", "glass-en", "--json"]
    done = subprocess.run(command, input=ALICE.encode(), capture_output=True, check=True, timeout=120)
    assert json.loads(done.stdout)["texts"][0]["name"] == "stdin"
    assert done.stderr == b""


def test_csv_has_a_row_a_token(run: Run) -> None:
    code, out, _ = run("score", "--model", "glass-en", "--text", 'Alice,\n"she" said', "--csv")
    assert code == 0
    rows = list(csv.DictReader(io.StringIO(out, newline="")))
    assert "".join(row["token"] for row in rows) == 'Alice,\n"she" said'
    assert rows[0]["logprob"] == ""
    assert float(rows[1]["logprob"]) < 0


def test_csv_has_the_alternatives_that_are_asked_for(run: Run, glass: LoadedModel) -> None:
    _, out, _ = run("score", "--model", "glass-en", "--text", ALICE, "--csv", "--top-k", "2")
    rows, expected = list(csv.DictReader(io.StringIO(out, newline=""))), tv.score(glass, ALICE, top_k=2)
    assert list(rows[0])[-4:] == ["top_token_1", "top_logprob_1", "top_token_2", "top_logprob_2"]
    assert [rows[0][name] for name in list(rows[0])[-4:]] == [""] * 4
    assert tuple(rows[1][f"top_token_{k}"] for k in (1, 2)) == expected.top_tokens[1]
    assert [float(row["top_logprob_2"]) for row in rows[1:]] == expected.top_logprobs[1:, 1].tolist()


def test_csv_keeps_carriage_returns_inside_their_cell(run: Run) -> None:
    text = 'Alice\r\nwas\rvery, "very" tired'
    code, out, _ = run("score", "--model", "glass-en", "--text", text, "--csv")
    assert code == 0
    assert "".join(row["token"] for row in csv.DictReader(io.StringIO(out, newline=""))) == text


def test_csv_has_a_row_a_word_on_request(run: Run, glass: LoadedModel) -> None:
    code, out, err = run("score", "-m", "glass-en", "-t", ALICE, "-t", "Two words", "--csv", "--by", "word")
    assert (code, err) == (0, "")
    rows = list(csv.DictReader(io.StringIO(out, newline="")))
    assert "".join(row["word"] for row in rows) == ALICE + "Two words"
    assert rows[0]["logprob"] == ""
    expected = tv.words(tv.score(glass, ALICE))
    assert [row["word"] for row in rows[: len(expected)]] == ALICE.replace(" ", "| ").split("|")
    found = [float(row["corrected_logprob"]) for row in rows[1 : len(expected)]]
    np.testing.assert_array_equal(found, expected.corrected_logprob[1:])


def test_json_has_words_in_the_place_of_tokens_on_request(run: Run, glass: LoadedModel) -> None:
    code, out, err = run("score", "-m", "glass-en", "-t", ALICE, "--json", "--by", "word")
    assert (code, err) == (0, "")
    (text,) = json.loads(out)["texts"]
    assert set(text) == {"name", "sha256", "words", "summary"}
    assert text["words"] == tv.words(tv.score(glass, ALICE)).to_json()


def test_why_no_word_is_corrected_is_said_beside_the_output(run: Run) -> None:
    code, out, err = run("score", "-m", "glass-en", "-t", "猫です", "--csv", "--by", "word")
    assert code == 0
    assert len(out.splitlines()) == 3
    assert "has a corrected log-prob: none is scored and stands between two ends that whitespace shows" in " ".join(err.split())


def test_ids_of_passages_stand_in_every_form(run: Run, project: Path) -> None:
    (project / "rows.csv").write_text("id,text\nx,One two.\ny,\nz,Three.\n")
    score = ("score", "rows.csv", "-m", "glass-en")
    _, out, _ = run(*score, "--csv")
    rows = list(csv.DictReader(io.StringIO(out, newline="")))
    assert list(rows[0])[:3] == ["text", "id", "passage"]
    assert {(row["id"], row["passage"]) for row in rows} == {("x", "0"), ("z", "2")}
    _, out, _ = run(*score, "--csv", "--by", "word")
    words = list(csv.DictReader(io.StringIO(out, newline="")))
    assert [(row["id"], row["word"]) for row in words] == [("x", "One"), ("x", " two."), ("z", "Three.")]
    for by in ("token", "word"):
        (text,) = json.loads(run(*score, "--json", "--by", by)[1])["texts"]
        assert [row["id"] for row in text[f"{by}s"]] == [row["id"] for row in (rows if by == "token" else words)]
    assert run(*score, "--parquet", "t.parquet")[0] == 0
    assert pd.read_parquet("t.parquet")["id"].tolist() == [row["id"] for row in rows]
    assert len(tv.TokenScores.load(Path("t.parquet"))) == len(rows)


def test_a_text_without_ids_next_to_one_with_them_has_empty_ones(run: Run, project: Path) -> None:
    (project / "rows.csv").write_text("id,text\nx,One.\n")
    arguments = ("rows.csv", "-t", "Two.", "--csv")
    for command in (("score", "-m", "glass-en"), ("compare", "-m", "glass-en", "-m", "glass-en,dtype=bfloat16")):
        _, out, _ = run(*command, *arguments)
        rows = list(csv.DictReader(io.StringIO(out, newline="")))
        assert {(row["text_name" if command[0] == "compare" else "text"], row["id"]) for row in rows} == {
            ("rows", "x"), ("text-1eb32d1e", ""),
        }  # fmt: skip
    assert "id" not in run("score", "-m", "glass-en", "-t", "Two.", "--csv")[1].splitlines()[0].split(",")


def test_words_are_cut_apart_from_their_punctuation_on_request(run: Run, glass: LoadedModel) -> None:
    code, out, _ = run("score", "-m", "glass-en", "-t", ALICE, "--csv", "--by", "word", "--punctuation", "apart")
    assert code == 0
    rows = list(csv.DictReader(io.StringIO(out, newline="")))
    expected = tv.words(tv.score(glass, ALICE), punctuation="apart")
    assert [row["word"] for row in rows] == list(expected.word)
    assert [row["word"] for row in rows[-2:]] == [" bank", "."]


def test_json_names_the_passages_of_a_table(run: Run, project: Path) -> None:
    (project / "rows.csv").write_text("id,text\nx,One.\ny,Two.\n")
    _, out, _ = run("score", "rows.csv", "-m", "glass-en", "--json")
    assert json.loads(out)["texts"][0]["passage_ids"] == ["x", "y"]


def test_a_pipe_gets_the_text_without_colours_and_a_table(run: Run) -> None:
    code, out, _ = run("score", "--model", "glass-en", "--text", ALICE)
    assert code == 0
    assert out.startswith(ALICE)
    assert "\x1b" not in out
    assert re.search(r"tokens.*scored.*perplexity", out)


@pytest.mark.parametrize("measure", [None, "surprisal_bits", "probability", "rank_bucket", "entropy"])
def test_a_terminal_gets_the_colours_of_the_measure(
    run: Run, glass: LoadedModel, measure: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "tokenviz.base.terminal.results_console",
        lambda: Console(force_terminal=True, color_system="truecolor", width=200, highlight=False, legacy_windows=False),
    )
    code, out, _ = run("score", "-m", "glass-en", "-t", ALICE, "-t", "Alice sat.", *(["--measure", measure] if measure else []))
    assert code == 0
    tables = [tv.score(glass, text) for text in (ALICE, "Alice sat.")]
    chosen = measure or "logprob"
    limits = shared_limits(tables, measure=chosen)
    for table in tables:
        heatmap = tv.text_heatmap(table, measure=chosen, limits=limits)
        for colour in map(heatmap.scale.colour, heatmap.panels[0].values.tolist()):
            if colour is not None:
                assert ";48;2;" + ";".join(str(round(255 * part)) for part in colour) + "m" in out
    assert heatmap.legend.axis in out


def test_files_folders_tables_and_sample_names_are_read(run: Run, project: Path) -> None:
    (project / "a.txt").write_text("One.")
    (project / "many").mkdir()
    (project / "many" / "b.md").write_text("Two.")
    (project / "many" / "c.txt").write_text("Three.")
    (project / "rows.csv").write_text("id,body\nx,Four.\ny,Five.\n")
    code, out, _ = run("score", "a.txt", "many", "rows.csv", "passage_en", "--column", "body", "-m", "glass-en", "--json")
    assert code == 0
    texts = json.loads(out)["texts"]
    assert [text["name"] for text in texts] == ["a", "many", "rows", "passage_en"]
    assert [sorted({token["passage"] for token in text["tokens"]}) for text in texts] == [[0], [0, 1], [0, 1], [0]]


def test_a_text_of_one_token_scores_nothing_and_says_so(run: Run) -> None:
    code, out, _ = run("score", "--model", "glass-en", "--text", "a", "--json")
    assert code == 0
    summary = json.loads(out)["texts"][0]["summary"]
    assert (summary["n_tokens"], summary["n_scored"], summary["mean_logprob"]) == (1, 0, None)


def test_windows_are_taken_from_the_options(run: Run, glass: LoadedModel) -> None:
    _, out, _ = run("score", "-m", "glass-en", "-t", ALICE, "--context", "8", "--stride", "2", "--json")
    logprobs = [token["logprob"] for token in json.loads(out)["texts"][0]["tokens"]]
    np.testing.assert_array_equal(logprobs[1:], tv.score(glass, ALICE, context=8, stride=2).logprob[1:])


def test_a_table_is_written_while_it_is_computed(run: Run, glass: LoadedModel, project: Path) -> None:
    code, out, _ = run("score", "-m", "glass-en", "-t", ALICE, "--top-k", "2", "--parquet", "tokens.parquet")
    assert code == 0
    expected = tv.score(glass, ALICE, top_k=2)
    np.testing.assert_array_equal(tv.TokenScores.load(project / "tokens.parquet").logprob, expected.logprob)
    assert f"{expected.summary().mean_logprob:.3f}" in out


def test_models_lists_the_catalogue(run: Run, glass: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    code, out, _ = run("models")
    assert code == 0
    for words in ("smollm2-135m", "gemma3-270m", "glass-en", "Apache-2.0", "Gemma Terms of Use", "MIT"):
        assert words in out
    assert re.search(r"glass-en.*4 MB", out)


def test_models_pull_prints_the_folder(run: Run, glass: LoadedModel) -> None:
    code, out, _ = run("models", "pull", "glass-en")
    assert (code, out) == (0, f"{glass.resolved.folder}\n")


EXPERIMENT = '''"""Does it run?"""

from tokenviz import Grid, experiment


@experiment
def trial(texts: list[str] = ["correlation"], stride: int | None = None):
    """Score one text.

    Args:
        texts: Which texts.
        stride: How far a window moves.
    """
    grid = Grid(["glass-en"], texts, stride=stride)
    grid.score()
    return grid.summarise("It ran.")
'''


@pytest.fixture
def trial(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    draw_in_no_time(monkeypatch)
    path = project / "experiments" / "trial.py"
    path.write_text(EXPERIMENT)
    return path


def test_list_names_experiments_and_questions_without_running_them(run: Run, trial: Path) -> None:
    trial.write_text(EXPERIMENT + "\nraise SystemExit('it was run')\n")
    assert run("list") == (0, "trial  Does it run?\n", "")


def test_an_experiment_runs_by_name_and_again_finds_everything(run: Run, trial: Path) -> None:
    code, out, err = run("run", "trial", "--stride", "50", "--json")
    assert code == 0, err
    result = json.loads(out)
    assert [one["reused"] for one in result["scores"]] == [False]
    code, out, err = run("run", "trial", "--stride", "50")
    assert code == 0, err
    assert "1 of 1 runs were finished already and were not computed again" in err
    assert "correlation" in out
    assert f"/#/experiments/{result['experiment_id']}/runs" in err
    assert "tokenviz score" in err


def test_the_options_of_an_experiment_are_those_of_its_signature(run: Run, trial: Path) -> None:
    help_text = run("run", "trial", "--help")[1]
    for words in ("--texts", "Which texts.", "--stride", "How far a window moves.", "--force", "--json", "Score one text."):
        assert words in help_text


@pytest.mark.parametrize("content", [b"def (:", b"x = '\xff'", b"\0"])
def test_one_bad_file_does_not_hide_the_other_experiments(run: Run, trial: Path, content: bytes) -> None:
    trial.with_name("bad.py").write_bytes(content)
    code, out, _ = run("list")
    assert code == 0
    assert "(cannot be read: " in out.splitlines()[0]
    assert out.splitlines()[1] == "trial  Does it run?"


def test_a_mistake_in_an_experiment_keeps_its_traceback(run: Run, trial: Path) -> None:
    trial.write_text(EXPERIMENT.replace("grid.score()", "grid.nonsense()"))
    with pytest.raises(AttributeError, match=r"^'Grid' object has no attribute 'nonsense'$") as raised:
        run("run", "trial")
    assert Path(raised.traceback[-1].path).name == "trial.py"


def test_an_experiment_called_from_python_is_a_function(trial: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(trial.parent))
    import trial as module

    result = module.trial(stride=40)
    assert [run.text for run in result.scores] == ["correlation"]
    assert module.trial.question == "Score one text."


def test_a_hidden_file_is_no_experiment(run: Run, trial: Path) -> None:
    trial.with_name("._trial.py").write_bytes(b"\0\5\x16\7")  # a Mac's
    assert run("list") == (0, "trial  Does it run?\n", "")


@pytest.mark.parametrize(
    "address", ["http://[bad:x@", "http://a:b", "http://", "http://h:99999999", "https://[::1", "ftp://x", "nonsense"]
)
def test_what_is_no_address_of_a_server_is_refused(run: Run, monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    for command in (["runs"], ["sync"]):
        code, out, err = run(*command)
        assert (code, out, err.count("\n")) == (1, "", 1)
        assert err.startswith("error: MLFLOW_TRACKING_URI is ")
        assert "give the http:// or https:// address of an MLflow server" in err


def test_a_setting_of_mlflow_that_is_none_is_refused(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "abc")
    code, out, err = run("runs", "import", str(tmp_path))  # reading the embedded store does without MLflow
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert err.startswith("error: MLFLOW_HTTP_REQUEST_TIMEOUT cannot be used (Failed to convert 'abc' ")


def test_a_path_that_cannot_be_one_is_refused(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    long = "a" * 300
    shown = f"error: cannot use '{long[:120]}...': File name too long\n"
    assert run("runs", "import", long) == (1, "", shown)
    assert run("run", f"{long}.py") == (1, "", shown)
    monkeypatch.setenv("TOKENVIZ_CACHE", long)
    assert run("models") == (1, "", shown)


def test_version(run: Run) -> None:
    assert run("--version") == (0, f"tokenviz {tv.__version__}\n", "")


@pytest.fixture
def free_port() -> int:
    return servers.free_port()


@pytest.mark.slow
def test_ui_serves_the_store_on_the_loopback_address(project: Path, free_port: int) -> None:
    command = [sys.executable, "-m", "tokenviz", "ui", "--port", str(free_port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        try:
            assert server.stdout is not None
            assert server.stdout.readline() == f"http://127.0.0.1:{free_port}\n"
            first = answer_of(f"http://127.0.0.1:{free_port}/")
            assert b"<title>MLflow</title>" in first
            assert b'location.replace("grids/")' in first
            assert answer_of(f"http://127.0.0.1:{free_port}/grids/").startswith(b"No grid yet: run an experiment")
            assert served_at(project / "mlruns") == f"http://127.0.0.1:{free_port}"
            search = f"http://127.0.0.1:{free_port}/api/2.0/mlflow/experiments/search?max_results=5"
            assert json.loads(answer_of(search))["experiments"][0]["name"] == "Default"
        finally:
            server.terminate()
    assert {path.name for path in project.iterdir()} == {"experiments", "mlruns"}


def test_ui_refuses_a_busy_port(run: Run, free_port: int) -> None:
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", free_port))
        busy.listen()
        code, out, err = run("ui", "--port", str(free_port))
    assert (code, out) == (1, "")
    assert err == (
        f"error: port {free_port} of 127.0.0.1 cannot be used (Address already in use): choose another with --port, or with "
        "--host another address of this machine\n"
    )


@pytest.mark.parametrize(
    ("host", "warned"), [("127.0.0.1", False), ("localhost", False), ("127.9.9.9", False), ("0.0.0.0", True)]
)
def test_ui_names_the_danger_of_any_other_address(
    run: Run, monkeypatch: pytest.MonkeyPatch, free_port: int, host: str, warned: bool
) -> None:
    started: list[list[str]] = []
    monkeypatch.setattr("tokenviz.cli.ui.os.execve", lambda program, arguments, environment: started.append(arguments))
    code, out, err = run("ui", "--host", host, "--port", str(free_port))
    assert (code, out) == (0, f"http://{host}:{free_port}\n")
    assert started[0][started[0].index("--host") + 1] == host
    warning = (
        f"warning: whoever reaches port {free_port} of {host} can read, change and delete every run without a password, and "
        "read files of this machine; others on the way can read along. Safe ways to show runs to others: "
        f"'ssh -L {free_port}:127.0.0.1:{free_port} THIS-MACHINE' on theirs, 'tokenviz runs export --html', or a server with "
        "users (docs/server.md)\n"
    )
    empty = "There is no grid yet: run an experiment, such as make experiment, and load the page again.\n"
    assert err == (warning if warned else "") + empty + "Ctrl-C ends it.\n"
    assert ("--allowed-hosts" in started[0]) is not warned  # else MLflow advises to serve everybody


def test_ui_of_a_server_that_does_not_answer_is_one_line(run: Run, monkeypatch: pytest.MonkeyPatch, free_port: int) -> None:
    address = f"http://127.0.0.1:{free_port}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    code, out, err = run("ui")
    assert (code, out) == (1, "")
    assert err.startswith(f"error: the tracking server {address!r} does not answer (")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://me:secret@127.0.0.1:{free_port}")
    assert "secret" not in run("ui")[2]


def test_ui_of_a_server_is_for_this_machine_only(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://tracking.example")
    code, out, err = run("ui", "--host", "0.0.0.0", "--port", "5998")
    assert (code, out) == (1, "")
    assert err == (
        "error: the pages of a server are read with this user's credentials, and 0.0.0.0 would show them to everybody: leave "
        "--host out, and let others run 'tokenviz ui' themselves\n"
    )


def test_ui_of_an_installation_that_is_older_than_its_code_is_one_line(
    run: Run, monkeypatch: pytest.MonkeyPatch, free_port: int
) -> None:
    monkeypatch.setattr("importlib.metadata.distributions", lambda **chosen: iter(()))
    code, out, err = run("ui", "--port", str(free_port))
    assert (code, out) == (1, "")
    assert err == (
        "error: MLflow does not find the pages of grids: this installation is older than its code; install it again (make "
        "setup, or pip install -e .)\n"
    )


def test_ui_opens_a_browser_once_the_server_answers(run: Run, monkeypatch: pytest.MonkeyPatch, free_port: int) -> None:
    program = (
        "from http.server import *\n"
        "class H(SimpleHTTPRequestHandler):\n"
        "    def do_GET(self): self.send_response(200); self.end_headers(); self.server.shutdown_request(self.request)\n"
        f"server = HTTPServer(('127.0.0.1', {free_port}), H); server.handle_request()"
    )
    opened: list[str] = []
    monkeypatch.setattr("tokenviz.cli.ui.webbrowser.open", opened.append)
    real = subprocess.Popen
    monkeypatch.setattr(
        "tokenviz.cli.ui.subprocess.Popen", lambda arguments, env: real([sys.executable, "-c", program], env=env)
    )
    assert run("ui", "--open", "--port", str(free_port))[0] == 0
    assert opened == [f"http://127.0.0.1:{free_port}/"]


def test_a_full_disk_is_one_line(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: Any, **more: Any) -> None:
        raise OSError(28, "No space left on device", "somewhere")

    monkeypatch.setattr("tokenviz.cli.installation.typer.echo", full)
    code, _, err = run("models", "pull", "glass-en")
    assert (code, err) == (1, "error: no space left on the disk for somewhere; make room and try again\n")


@pytest.mark.slow
def test_a_reader_that_leaves_early_is_no_error(project: Path) -> None:
    command = f"{sys.executable} -m tokenviz score passage_en -m glass-en --csv | head -n 1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.startswith('"text","passage","position",')
    (line,) = done.stderr.splitlines()
    assert "2 tokens of 162 stand for something that the tokenizer does not know" in line


_ENDING = """
import atexit, gc
from tokenviz.base.terminal import run_command

atexit.register(lambda: print(gc.get_freeze_count() > 1000))
run_command(lambda **_: print(gc.isenabled(), gc.get_threshold()[0]), prog_name="trial")
"""


def test_the_garbage_collector_is_spared_and_still_at_work() -> None:
    done = subprocess.run([sys.executable, "-c", _ENDING], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "20000", "True"]
