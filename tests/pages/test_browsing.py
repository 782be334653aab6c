"""From the first page to every figure of a grid, in a browser: with the project's own store, on a server, behind a prefix."""

import re
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from arithmetic import BIGRAM_WEIGHTS, make_bigram_folder
from servers import Proxy, free_port, postgres, postgres_binaries, served

import tokenviz as tv
from tokenviz.harness.grid import Grid
from tokenviz.harness.results import GridResult
from tokenviz.harness.session import ExperimentContext, running

DOCS = Path(__file__).resolve().parents[2] / "docs"
TEXTS = {"english": "abcdabcdabcdabca", "tiếng Việt": "ddccbbaaddccbbaa", "中文": "acacacacbdbdbdbd"}
pytestmark = [pytest.mark.browser, pytest.mark.slow]


def run_grid(project: Path, monkeypatch: pytest.MonkeyPatch) -> GridResult:
    monkeypatch.setattr("tokenviz.harness.grid.run_formats", lambda asked: ())
    monkeypatch.setattr("tokenviz.harness.kinds.comparison._FIGURES", ("heatmap",))
    for name, weights in (("first", BIGRAM_WEIGHTS), ("second", BIGRAM_WEIGHTS[::-1].copy()), ("third", BIGRAM_WEIGHTS**2)):
        make_bigram_folder(project / name, weights)
    with running(ExperimentContext("trial", "How alike are they?")):
        grid = Grid(["first", "second", "third"], [tv.literal(text, name=name) for name, text in TEXTS.items()], top_k=2)
        grid.score()
        grid.compare()
        return grid.summarise("Found.")


def tracked_on_postgres(stack: ExitStack, tmp_path: Path) -> str:
    cluster = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="postgres-")))
    port, superuser = stack.enter_context(postgres(cluster))
    server_port = free_port()
    (tmp_path / "server").mkdir()
    command = [
        sys.executable, "-m", "mlflow", "server", "--backend-store-uri",
        f"postgresql+psycopg2://127.0.0.1:{port}/postgres", "--artifacts-destination", str(tmp_path / "server" / "artifacts"),
        "--host", "127.0.0.1", "--port", str(server_port), "--workers", "1",
    ]  # fmt: skip
    return stack.enter_context(served(command, server_port, tmp_path / "server", superuser))


@contextmanager
def homes(kind: str, project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, GridResult]]:
    """A grid, and the address of its pages."""
    import walk

    with ExitStack() as stack:
        if kind == "postgres":
            monkeypatch.setenv("MLFLOW_TRACKING_URI", tracked_on_postgres(stack, tmp_path))
        result = run_grid(project, monkeypatch)
        address = stack.enter_context(walk.pages(project))
        if kind == "prefix":
            address = stack.enter_context(Proxy(address, "/lab/tokenviz")).address
        yield address, result


@pytest.mark.parametrize("kind", ["embedded", "prefix", "postgres"])
def test_every_figure_is_two_clicks_away(
    kind: str, chromium: Any, project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if kind == "postgres" and postgres_binaries() is None:
        pytest.skip("PostgreSQL is not installed")
    monkeypatch.syspath_prepend(str(DOCS))
    import walk

    seen = {}
    with homes(kind, project, tmp_path, monkeypatch) as (address, result):
        lowest = min(result.comparisons, key=lambda run: run.metrics["pearson_r"])
        for name in walk.walk_grid(chromium, f"{address}/", "tiếng Việt", ("first", "second")):
            time.sleep(0.3)
            seen[name] = chromium.find_element("css selector", "body").text
            if name == "first heatmap":
                assert chromium.find_element("css selector", ".passage").text == TEXTS["tiếng Việt"]
                assert chromium.execute_script("return origin") == "null"
            if name == "lowest report":
                assert f"/runs/{lowest.run_id}/report.html" in chromium.current_url
        assert "How alike are they?" in seen["grid"]
        assert "3 models, 3 texts, 9 scores, 9 comparisons" in seen["grid"]
        assert all(text in seen["grid"] for text in TEXTS)
        assert "tiếng Việt" in seen["report"]
        assert "english" not in seen["filtered grid"]
        r = f"{lowest.metrics['pearson_r']:.3f}".replace("-", "−")
        assert r in seen["lowest"]
        # MLflow's list of the grid's runs is a click away, too, in its mode for models and with its assistant closed.
        chromium.get(f"{address}/")
        walk._wait(lambda: chromium.find_element("css selector", "#runs:not([hidden])").click(), "the link to MLflow")
        walk._wait(lambda: chromium.find_element("xpath", '//a[normalize-space()="summary · trial"]'), "the list of runs")
        if kind != "postgres":
            chromium.get("about:blank")
            chromium.get(f"{address}/#/experiments")
            time.sleep(3)
            page = chromium.find_element("css selector", "body").text
            assert "Model registry" in page
            assert not re.search("Assistant|telemetry|Traces 0", page)
            # Its button is there, out of sight: if MLflow marked it otherwise, it would be seen again.
            parts = "[...document.querySelectorAll('[data-assistant-ui]')]"
            assert chromium.execute_script(f"return {parts}.length") > 0
            assert chromium.execute_script(f"return {parts}.filter(part => part.checkVisibility()).length") == 0
        assert result.web_address.startswith("http://")
        chromium.get("about:blank")
    sys.modules.pop("walk")
