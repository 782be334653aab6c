"""A browser without a window, for the pictures of the docs."""

import io
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_ARGUMENTS = (
    "headless", "no-sandbox", "disable-gpu", "hide-scrollbars", "no-first-run", "disable-background-networking",
    # With a mouse: pages show the tools of a chart only under it.
    "blink-settings=primaryHoverType=2,availableHoverTypes=2,primaryPointerType=4,availablePointerTypes=4",
)  # fmt: skip


@contextmanager
def browser(width: int, height: int) -> Iterator[Any]:
    """Chromium with a window of so many pixels, driven by selenium, until the block ends."""
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    for argument in (*_ARGUMENTS, f"window-size={width},{height}"):
        options.add_argument(f"--{argument}")
    window = webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))
    try:
        yield window
    finally:
        window.quit()


def save_small(screenshot: bytes, path: Path) -> None:
    """Write a screenshot in few colours, so that it is small."""
    from PIL import Image

    picture = Image.open(io.BytesIO(screenshot)).convert("RGB")
    picture.quantize(255, Image.Quantize.FASTOCTREE).save(path, optimize=True)
