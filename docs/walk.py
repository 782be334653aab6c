"""A newcomer's way through MLflow's pages, in a browser: from the links that an experiment prints to what was found.

`python docs/walk.py` walks it after a small experiment of its own and keeps the pictures of docs/ui.md; a test walks it too.
"""

import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from browser import browser, save_small

IMAGES = Path(__file__).resolve().parent / "images"
PICTURES = ("grid", "runs", "run", "dataset", "heatmap", "chart", "compare", "models")
SIZE = (1400, 800)  # of the window, in pixels
_PATIENCE = 60  # seconds
_TO_TEXTS = 800  # pixels; four columns that MLflow has before those of the texts
_REST = 1.5  # seconds, until what moves has come to rest


@dataclass(frozen=True)
class Way:
    """Where the way leads.

    Attributes:
        home: The first page, as `tokenviz ui` prints its address.
        runs: The address of the list of runs, as an experiment prints it.
        chart: That of the chart.
        text: The text whose runs are visited.
        models: Two models.
    """

    home: str
    runs: str
    chart: str
    text: str
    models: tuple[str, str]


def walk(window: Any, way: Way) -> Iterator[str]:
    """Go the way.

    Args:
        window: Selenium's, of a Chromium.
        way: Where it leads.

    Yields:
        A name for each page, while it is open.
    """

    def find(xpath: str) -> Any:
        return _wait(lambda: window.find_element("xpath", xpath), xpath)

    def press(xpath: str) -> None:
        def click() -> None:
            button = window.find_element("xpath", xpath)
            window.execute_script("arguments[0].scrollIntoView({block: 'center'})", button)
            button.click()

        _wait(click, xpath)

    def open_list() -> None:
        window.get("about:blank")  # the same page with another view is not loaded anew
        window.get(way.runs)

    scores = [f"{way.text} · {model}" for model in way.models]
    comparison = f"{way.text} · {' and '.join(way.models)}"
    _size(window)
    yield from walk_grid(window, way.home, way.text, way.models)
    open_list()
    run = find(_link(comparison))
    yield "runs"
    run.click()
    find(_link("Text heatmap"))
    yield "run"
    find(_link("Text heatmap")).click()  # where it stands: nothing has been opened or moved
    first, own = window.window_handles[0], window.window_handles[-1]  # MLflow opens a description's links in a tab of their own
    window.switch_to.window(own)
    _size(window)
    window.switch_to.frame(_wait(lambda: window.find_element("css selector", "iframe"), "the heatmap"))
    _wait(lambda: window.find_element("css selector", ".passage"), "the text")
    window.switch_to.default_content()
    yield "heatmap"
    window.close()
    window.switch_to.window(first)
    press(f'//*[starts-with(normalize-space(), "{way.text} (") and not(*)]')
    find('//*[contains(normalize-space(), "line 1")]')
    yield "dataset"
    window.get("about:blank")
    window.get(way.runs.partition("?")[0])  # as who comes another way sees the list: without a view
    find(_link(comparison))
    yield "plain list"
    window.get("about:blank")
    window.get(f"{way.runs.partition('/runs?')[0]}/models?workflowType=machine_learning")
    find(_link(way.models[0]))
    window.execute_script(f"document.querySelector('.ag-body-horizontal-scroll-viewport').scrollLeft = {_TO_TEXTS}")
    find(f'//*[starts-with(normalize-space(), "{way.text} (#") and not(*[2])]')
    yield "models"
    window.get("about:blank")
    window.get(way.chart)
    _wait(lambda: window.find_element("css selector", ".js-plotly-plot .scatterlayer .trace"), "the chart")
    yield "chart"
    open_list()
    for name in scores:
        row = find(f'{_link(name)}/ancestor::*[@role="row"]').get_attribute("row-id")
        window.find_element("css selector", f'[row-id="{row}"] input[type=checkbox]').click()
    press('//button[normalize-space()="Compare"]')
    find(_link("bits_per_byte"))
    for part in ("Visualizations", "Run details"):  # what was chosen and found is below them
        press(f'(//*[normalize-space()="{part}"])[last()]')
    press('//*[@role="switch"]')  # of the parameters: only those that differ
    yield "compare"
    open_list()
    find(_link(comparison))
    press('//button[normalize-space()="Views"]')
    press('//*[normalize-space()="Pairs of models" and not(*)]')
    _wait(lambda: _gone(window, _link(scores[0])), "the list of pairs")
    yield "pairs"
    field = find('//input[contains(@placeholder, "metrics.rmse")]')
    field.send_keys("\ue009a\ue000")  # Ctrl-A
    field.send_keys(f"tags.tokenviz.text = '{way.text}'\n")
    find(_link(scores[0]))
    yield "filtered"


def walk_grid(window: Any, home: str, text: str, models: tuple[str, str]) -> Iterator[str]:
    """Go from the first page to a heatmap, to the report of two models on a text, and to that of the lowest r.

    Args:
        window: Selenium's, of a Chromium.
        home: The first page's address.
        text: A text of the newest grid.
        models: Two of its models.

    Yields:
        A name for each page, while it is open.
    """

    def click(css: str) -> None:
        _wait(lambda: window.find_element("css selector", css).click(), css)

    def choose(list_of: str, value: str) -> None:
        click(f"#{list_of} option[value={value}]")

    window.get(home)
    _wait(lambda: window.find_element("css selector", "#scores td a"), "the grid")
    yield "grid"
    click(f'#scores td a[aria-label^="Heatmap of {text} by {models[0]}:"]')
    _wait(lambda: window.find_element("css selector", ".passage"), "the heatmap")
    yield "first heatmap"
    window.back()
    for field, words in (("texts", text), ("models", models[0])):
        _wait(lambda: window.find_element("css selector", "#pairs td a"), "the grid")
        window.find_element("css selector", f"#{field}").send_keys(words)
    _wait(lambda: _gone(window, '//section[@id="pairs"]//tbody/tr[2]'), "the rows of one text")
    click(f'#pairs td a[aria-label^="Report of {" and ".join(models)} on {text}:"]')
    _wait(lambda: window.find_element("css selector", "#places tbody button"), "the report")
    yield "report"
    window.back()
    _wait(lambda: window.find_element("css selector", "#pairs td a"), "the grid as it was left")
    yield "filtered grid"
    window.get(home)
    _wait(lambda: window.find_element("css selector", "#pairs td a"), "the grid")
    choose("order", "lowest")
    _wait(lambda: window.find_element("css selector", "#pairs td.extreme a"), "the lowest")
    yield "lowest"
    click("#pairs td.extreme a")
    _wait(lambda: window.find_element("css selector", "#places tbody button"), "the report of the lowest")
    yield "lowest report"


def heatmap_text(window: Any) -> list[str]:
    """The passages of the heatmap that is open."""
    window.switch_to.frame(window.find_element("css selector", "iframe"))
    passages: list[str] = window.execute_script("return [...document.querySelectorAll('.passage')].map(e => e.textContent)")
    window.switch_to.default_content()
    return passages


def _link(words: str) -> str:
    return f'//a[normalize-space()="{words}"]'


def _gone(window: Any, xpath: str) -> None:
    if window.find_elements("xpath", xpath):
        raise OSError("it is still there")


def _size(window: Any) -> None:
    width, height = SIZE
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
    window.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)


@contextmanager
def pages(project: Path) -> Iterator[str]:
    """`tokenviz ui` on a project, until the block ends; its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "tokenviz", "ui", "--port", str(port)]
    server = subprocess.Popen(
        command, cwd=project, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        _wait(lambda: socket.create_connection(("127.0.0.1", port), 1).close(), "the server")
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(server.pid, 15)
        server.wait(30)


def _wait(found: Callable[[], Any], what: str) -> Any:
    """What a function finds, once it finds something."""
    from selenium.common.exceptions import WebDriverException

    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            return found()
        except (WebDriverException, OSError):
            pass
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {_PATIENCE} s for {what}")
        time.sleep(0.2)


def main() -> None:
    """Run the reference experiment on two texts in a project of its own, and keep the pictures."""
    models = ("smollm2-135m", "gemma3-270m")
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder) / "project"
        shutil.copytree(IMAGES.parent.parent / "experiments", project / "experiments")
        command = [sys.executable, "-m", "tokenviz", "run", "single_token_predictions"]
        command += [word for name in models for word in ("--models", name)]
        command += [word for name in ("correlation", "passage_vi") for word in ("--texts", name)]
        done = subprocess.run(command, cwd=project, check=True, stderr=subprocess.PIPE, text=True)
        with pages(project) as address, browser(*SIZE) as window:
            _, runs, _, chart = (link.replace("http://127.0.0.1:5000", address) for link in re.findall(r"http\S+", done.stderr))
            for name in walk(window, Way(f"{address}/", runs, chart, "correlation", models)):
                if name in PICTURES:
                    time.sleep(_REST)
                    save_small(window.get_screenshot_as_png(), IMAGES / f"ui_{name}.png")


if __name__ == "__main__":
    main()
