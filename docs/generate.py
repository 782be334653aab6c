"""Make the generated pages: experiments/README.md from the docstrings, and the pictures of the README.

`python docs/generate.py` writes them; `--check` only says whether the pages are up to date (the pictures need models).
"""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "experiments" / "README.md"
IMAGES = ROOT / "docs" / "images"

HEAD = """# Experiments

One question a file; the file's name is the command and the MLflow experiment's name. This page is made from the
docstrings by `make docs`.

Run one with `make experiment NAME=name ARGS="..."`, `tokenviz run NAME`, or `python -m experiments.NAME`. To add one, copy
`_template.py` (it runs as it stands) and change the copy.
"""


def experiments_page() -> str:
    """The page, from the experiments as they are."""
    from tokenviz.cli.experiments import experiment_files, load_experiment, question

    parts = [HEAD]
    for name, path in experiment_files().items():
        if name.startswith("_"):
            continue
        experiment = load_experiment(name)
        options = "\n".join(
            f"| `--{parameter.replace('_', '-')}` | {_default(value.default)} | {experiment.argument_help.get(parameter, '')} |"
            for parameter, value in experiment.signature.parameters.items()
        )
        parts.append(
            f"## {name}\n\n*{question(path)}*\n\n{experiment.description}\n\n"
            f"| option | default | meaning |\n|---|---|---|\n{options}\n"
        )
    return "\n".join(parts)


def _default(value: object) -> str:
    if value is None:
        return "–"
    return ", ".join(f"`{one}`" for one in value) if isinstance(value, list) else f"`{value}`"


def draw_images() -> None:
    """The README's pictures, from the models and the text of the reference experiment."""
    import tokenviz as tv
    from tokenviz.figures.saving import save_figure
    from tokenviz.progress import shown

    with shown():
        text = tv.read_text(ROOT / "experiments" / "texts" / "correlation.txt")
        a, b = (tv.score(tv.load_model(name), text) for name in ("smollm2-135m", "gemma3-270m"))
        made_by = "make docs"
        heatmap, scatter = tv.draw_heatmap([a, b]), tv.unity_scatter(tv.compare(a, b))
        save_figure(heatmap, IMAGES / "heatmap", title="correlation", description=made_by, formats=["png"])
        save_figure(scatter, IMAGES / "scatter", title="correlation", description=made_by, formats=["png"])


def main() -> None:
    """Write, or check."""
    page = experiments_page()
    if "--check" in sys.argv[1:]:
        if not PAGE.is_file() or PAGE.read_text(encoding="utf-8") != page:
            sys.exit(f"{PAGE.relative_to(ROOT)} is not up to date: run make docs")
        return
    PAGE.write_text(page, encoding="utf-8")
    IMAGES.mkdir(exist_ok=True)
    draw_images()


if __name__ == "__main__":
    main()
