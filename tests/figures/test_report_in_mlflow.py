"""A run's report in MLflow's own pages: in the frame that they give an artifact, with every function."""

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from arithmetic import BIGRAM_WEIGHTS, make_bigram_folder
from kept_runs import run_grid
from reports import complaints, details, listed, picked, tokens_of
from selenium.common.exceptions import NoSuchElementException, StaleElementReferenceException
from servers import answer_of, free_port

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def frame_with_the_report(window: Any) -> None:
    """Go into the frame in which MLflow shows the file, as soon as it is there."""
    deadline = time.monotonic() + 180
    while time.monotonic() < deadline:
        window.switch_to.default_content()
        for frame in window.find_elements("tag name", "iframe"):
            try:
                window.switch_to.frame(frame)
                window.find_element("css selector", "#places tbody button")
                return
            except (NoSuchElementException, StaleElementReferenceException):
                window.switch_to.default_content()
        time.sleep(0.5)
    raise AssertionError("MLflow shows no report")


def test_the_report_of_a_comparison_run_works_in_mlflow(project: Path, chromium) -> None:
    for name, weights in (("first", BIGRAM_WEIGHTS), ("second", BIGRAM_WEIGHTS[::-1].copy())):
        make_bigram_folder(project / name, weights)
    result = run_grid(["first", "second"], texts=["abcdabcd"])
    [compared] = result.comparisons
    port = free_port()
    command = [sys.executable, "-m", "tokenviz", "ui", "--port", str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        try:
            address = f"http://127.0.0.1:{port}"
            answer_of(f"{address}/")
            chromium.execute_cdp_cmd(
                "Emulation.setDeviceMetricsOverride", {"width": 1400, "height": 900, "deviceScaleFactor": 1, "mobile": False}
            )
            chromium.get(
                f"{address}/#/experiments/{result.experiment_id}/runs/{compared.run_id}/artifacts/figures/report.html"
                "?workflowType=machine_learning"
            )
            frame_with_the_report(chromium)
            complaints(chromium)  # what MLflow's own page said while it loaded
            assert chromium.execute_script("return origin") == "null"
            assert "".join(token.text for token in tokens_of(chromium, 1)) == "abcdabcd"
            assert len(listed(chromium)) == 7
            chromium.find_element("css selector", "#places tbody button").click()
            assert len(picked(chromium)) == 2
            assert [len(details(chromium)[number]) for number in "12"] == [2, 2]
            chromium.find_element("id", "to-gaps").click()
            assert chromium.switch_to.active_element.get_attribute("id") == "gaps-title"
            assert complaints(chromium) == []
        finally:
            chromium.switch_to.default_content()
            chromium.get("about:blank")
            server.terminate()
