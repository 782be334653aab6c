"""Run the notebooks and write them with their outputs as pages, docs/notebooks/NAME.md, which any viewer of Markdown shows.

`python docs/render_notebooks.py [NAME ...]` writes them, all by default. `stale` says, without running anything, which pages
show another notebook than there is; `docs/generate.py --check` asks it.
"""

import base64
import io
import re
import sys
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = ROOT / "notebooks"
PAGES = ROOT / "docs" / "notebooks"

_COLOURS = 256  # of a picture: as many as a palette holds


def head_of(notebook: Path) -> str:
    """The first line of a notebook's page, which says what it was made of."""
    digest = sha256(notebook.read_bytes()).hexdigest()
    return f"<!-- notebooks/{notebook.name} and its outputs, by make notebooks; sha256 {digest} -->"


def stale() -> list[str]:
    """The pages that do not show their notebook as it is."""
    found = []
    for notebook in sorted(NOTEBOOKS.glob("*.ipynb")):
        page = PAGES / f"{notebook.stem}.md"
        if not page.is_file() or page.read_text(encoding="utf-8").partition("\n")[0] != head_of(notebook):
            found.append(str(page.relative_to(ROOT)))
    return found


def executed(notebook: Path) -> dict:
    """A notebook with the outputs of a fresh kernel, in its own folder."""
    import nbformat
    from nbclient import NotebookClient

    contents = nbformat.read(notebook, as_version=4)
    NotebookClient(
        contents, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(notebook.parent)}}
    ).execute()
    return contents


def markdown(contents: dict, keep: Callable[[str, bytes], str]) -> str:
    """The cells and their outputs as Markdown.

    Args:
        contents: An executed notebook.
        keep: Takes a cell's id and a picture of its output, and says what the picture's file is called.
    """
    parts = []
    for cell in contents["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            # From where the page stands, the other notebooks are pages, and docs/ is the folder above.
            parts.append(re.sub(r"\]\((\w+)\.ipynb\)", r"](\1.md)", source).replace("](../docs/", "](../"))
            continue
        parts.append(f"```python\n{source}\n```")
        parts += [shown for output in cell["outputs"] if (shown := _output(output, cell["id"], keep))]
    return "\n\n".join(parts) + "\n"


def _output(output: dict, cell: str, keep: Callable[[str, bytes], str]) -> str:
    """The richest form that a page can show: a picture, a table, or text."""
    if output["output_type"] == "stream":
        return f"```text\n{output['text'].rstrip()}\n```"
    data = output["data"]
    if "image/png" in data:
        file = keep(cell, base64.b64decode(data["image/png"]))
        return f'<img src="{file}" width="{output["metadata"]["image/png"]["width"]}" alt="{_attribute(data["text/plain"])}">'
    if "text/html" in data:
        return _plain_table(data["text/html"])
    return f"```text\n{data['text/plain']}\n```"


def _plain_table(html: str) -> str:
    """HTML without styles, which viewers of Markdown drop, and without empty lines, at which HTML ends for them."""
    html = re.sub(r"<style.*?</style>\s*", "", html, flags=re.S)
    html = re.sub(r' style="text-align:\s*(left|right)[^"]*"', r' align="\1"', html)
    html = re.sub(r' (style|class|border)="[^"]*"', "", html)
    return re.sub(r"\n\s*\n", "\n", html).strip()


def _attribute(text: str) -> str:
    return text.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;").replace(">", "&gt;")


def write_page(notebook: Path) -> None:
    """Run one notebook and write its page and pictures."""
    from PIL import Image

    PAGES.mkdir(exist_ok=True)
    for old in PAGES.glob(f"{notebook.stem}--*.png"):
        old.unlink()

    def keep(cell: str, picture: bytes) -> str:
        path = PAGES / f"{notebook.stem}--{cell}.png"
        few = Image.open(io.BytesIO(picture)).convert("RGB").quantize(_COLOURS, Image.Quantize.MAXCOVERAGE)
        few.save(path, optimize=True)
        return path.name

    page = markdown(executed(notebook), keep)
    (PAGES / f"{notebook.stem}.md").write_text(f"{head_of(notebook)}\n\n{page}", encoding="utf-8")


def main() -> None:
    """Write the pages that are named, or all."""
    for name in sys.argv[1:] or sorted(path.stem for path in NOTEBOOKS.glob("*.ipynb")):
        sys.stderr.write(f"running {name}\n")
        write_page(NOTEBOOKS / f"{name}.ipynb")


if __name__ == "__main__":
    main()
