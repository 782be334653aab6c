"""Make what is generated of the documentation: experiments/README.md, docs/gallery.md, docs/cli.md, the files that
docs/extending.md shows, the rooms of docs/architecture.md, and all pictures.

`python docs/generate.py` writes them; `--check` only says whether the pages, and those of the notebooks, are up to date (the
pictures need models).
"""

import contextlib
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from browser import browser, save_small
from render_notebooks import stale

ROOT = Path(__file__).resolve().parent.parent
IMAGES = ROOT / "docs" / "images"

HEAD = """# Experiments

One question a file; the file's name is the command and the MLflow experiment's name. This page is made from the
docstrings by `make docs`.

Run one with `tokenviz run NAME`; `make experiment NAME=name ARGS="..."` does so. To add one, copy `_template.py` (it runs as it
stands) and change the copy; [there is more to copy from](../docs/extending.md).

Of the models below, `smollm2-135m` is SmolLM2-135M-Instruct with weights from Q4_1, and `gemma3-270m` is Gemma 3 270M base with
weights from Q4_K_M; `quantize=` rounds such weights once more.
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


GALLERY_HEAD = """# Gallery

Every kind of figure once, with the lines that made it. This page is made by `make docs`, which runs them. They need

```python
{setting}
```

Each figure has a variant on given axes, for a notebook or somebody's own figure: `draw_heatmap(axes, heatmap)`,
`draw_unity_scatter(axes, comparison)`, `draw_along_text(axes, tables)`, `draw_entropy_calibration(axes, tables)`,
`draw_model_matrix(axes, cells, title=title)`, `draw_gap_bars(axes, table, unit=unit, models=models)`,
all in `tokenviz.figures`.
Widths are inches, a length such as `"8.4cm"`, or the name of a venue's column (`acl`, `acl-text`, `neurips`, `icml`, `ieee`,
...). The docstrings of `tv.text_heatmap` and its `save` list measures, colour maps, limits and formats.
`savefig` of the other figures is matplotlib's; `tv.save_figure(figure, "scatter.pdf", "scatter.png")` writes them as a
heatmap's `save` does: equal figures give equal bytes, and the text of a PDF can be searched and copied.
"""

SETTING = """import itertools

import tokenviz as tv
from tokenviz.figures import along_text, entropy_calibration, gap_bars, model_matrix

# SmolLM2-135M-Instruct, weights from Q4_1; Gemma 3 270M base, weights from Q4_K_M; a tiny model
small, large, tiny = (tv.load_model(name) for name in ("smollm2-135m", "gemma3-270m", "glass-en"))
text = tv.read_text("experiments/texts/correlation.txt")
a, b = tv.score(small, text), tv.score(large, text)
beginning = tv.literal(". ".join(text.passages[0].split(". ")[:2]) + ".", name="correlation")
long = tv.read_text("experiments/texts/long_document.md")
c, d = tv.score(small, long), tv.score(tiny, long)
scripts = tv.literal(
    "Peace is سلام in Arabic and שלום in Hebrew; water is पानी in Hindi, น้ำ in Thai, 水 in Japanese, "
    "물 in Korean; καλημέρα, доброе утро, tiếng Việt, 👋.",
    name="scripts",
)"""


@dataclass(frozen=True)
class Picture:
    """A figure of the gallery: its file's stem, what it shows, and the lines that make it."""

    name: str
    shows: str
    lines: str


PICTURES = (
    Picture(
        "heatmap",
        "A text heatmap of two models, on one scale. Dark is predictable; a model that puts no token before the text has no "
        "prediction for the first one.",
        """models = [tv.score(model, beginning) for model in (small, large)]
tv.text_heatmap(models).save("heatmap.png", width=5.5, font_size=7)""",
    ),
    Picture(
        "surprisal",
        "Surprisal in bits, in one column of an ACL paper, in a map made for colour-blind readers.",
        """tv.text_heatmap(a, measure="surprisal_bits", colours="cividis").save("surprisal.png", width="acl", font_size=7)""",
    ),
    Picture(
        "probability",
        "Probability, in grey.",
        """tv.text_heatmap(a, measure="probability", colours="greys").save("probability.png", width="acl", font_size=7)""",
    ),
    Picture(
        "rank",
        "The rank of each token among the model's predictions, in buckets.",
        """tv.text_heatmap(a, measure="rank_bucket").save("rank.png", width="acl", font_size=7)""",
    ),
    Picture(
        "entropy",
        "Entropy of the predictions, with fixed limits: the legend says that values lie beyond them.",
        """tv.text_heatmap(b, measure="entropy", limits=(0, 4), colours="magma").save("entropy.png", \
width="acl", font_size=7)""",
    ),
    Picture(
        "difference",
        "The difference of two models' log-probs, over the segments in which their tokenizers agree. A line under the text "
        "keeps the sign in a grey copy.",
        """tv.text_heatmap(models, measure="difference").save("difference.png", width=5.5, font_size=7)""",
    ),
    Picture(
        "scripts",
        "Many scripts: each in a font that has it, words of right-to-left scripts in their order. What a tokenizer takes apart "
        "stays apart: bytes of one character, marks without their letter.",
        """tv.text_heatmap(tv.score(small, scripts)).save("scripts.png", width=5.5, font_size=7)""",
    ),
    Picture(
        "scatter",
        "Two models' log-probs against each other, with the units on which they differ most.",
        """tv.unity_scatter(tv.compare(a, b)).savefig("scatter.png", dpi=150)""",
    ),
    Picture(
        "scatter_many",
        "The same for a long text: many points are counted in cells.",
        """tv.unity_scatter(tv.compare(d, c), width="acl", font_size=7).savefig("scatter_many.png", dpi=200)""",
    ),
    Picture(
        "along_text",
        "Log-probs along a text, of any number of models.",
        """along_text([a, b]).savefig("along_text.png", dpi=150)""",
    ),
    Picture(
        "gaps",
        "Where the difference of two models lies, by kind of string; the bars add up to the lowest one.",
        """mixed = tv.read_text("mixed_scripts")
gap_bars(tv.compare(tv.score(small, mixed), tv.score(large, mixed))).savefig("gaps.png", dpi=150)""",
    ),
    Picture(
        "calibration",
        "Calibration: the mean surprisal of the tokens against the mean entropy of their predictions, in bins of equal counts. "
        "On the line a model is as surprised as it expected; above it, it is overconfident.",
        """entropy_calibration([c, d]).savefig("calibration.png", dpi=110)""",
    ),
    Picture(
        "matrix",
        "Every pair of some models, with 95 % intervals; numbers that have a direction, such as a KL divergence, fill both "
        "halves.",
        """tables = [tv.score(model, text) for model in (small, large, tiny)]
pairs = [tv.compare(x, y) for x, y in itertools.combinations(tables, 2)]
r = {pair.models: pair.pearson_r for pair in pairs}
model_matrix(r, title="Pearson's r of the log-probs", limits=(0, 1), width=5.5).savefig("matrix.png", dpi=150)""",
    ),
    Picture(
        "report",
        "The interactive report, photographed where the two models differ most: one HTML file with every model's reading, what "
        "it would rather have read at each place, the scatter, search, and the places in order of disagreement.",
        """tv.save_report([tv.score(model, text, top_k=10) for model in (small, large)], "report.html")""",
    ),
)

GALLERY_TAIL = """## Without a picture here

The heatmap is drawn from the same definition as PNG, SVG, PDF, HTML, LaTeX and for a terminal:

```python
heatmap = tv.text_heatmap(a)
heatmap.save("heatmap.pdf", "heatmap.svg", "heatmap.html", "heatmap.tex", "heatmap-document.tex", "heatmap.ansi", width="acl")
```

- `heatmap.tex` is for `\\input` in a paper, with `\\caption{\\tokenvizcaption}`; `heatmap-document.tex` compiles by itself. Any
  engine sets Latin letters; Vietnamese with pdflatex needs the font encoding T5, other scripts lualatex or xelatex, and those
  that run from right to left lualatex. The first lines say which.
- `heatmap.ansi` is for a terminal: `cat heatmap.ansi`. `tokenviz score --measure entropy ...` prints the same directly.
- `tokenviz.figures.correlation_overview` shows every pair of an experiment's models on every text.

The same scores give the same bytes in every format, with the same versions and fonts. What TeX makes of them has TeX's own
date, unless `SOURCE_DATE_EPOCH` is set.
"""


def gallery_page() -> str:
    """The page, from the table of pictures."""
    parts = [GALLERY_HEAD.format(setting=SETTING)]
    for picture in PICTURES:
        parts.append(f"## {picture.name}\n\n{picture.shows}\n\n```python\n{picture.lines}\n```\n\n![{picture.shows}]"
                     f"(images/{picture.name}.png)\n")  # fmt: skip
    return "\n".join([*parts, GALLERY_TAIL])


def draw_pictures() -> None:
    """Run the gallery's lines, in the folder of its pictures."""
    from tokenviz.base.progress import shown
    from tokenviz.figures.typeset.saving import fixed_settings

    names: dict[str, object] = {}
    with shown(), fixed_settings():
        with contextlib.chdir(ROOT):
            exec(SETTING, names)
        with contextlib.chdir(IMAGES):
            for picture in PICTURES:
                exec(picture.lines, names)
                page = Path(f"{picture.name}.html")
                if page.exists():
                    photograph(page)
                    page.unlink()


def photograph(page: Path) -> None:
    """A report as a browser shows it, with its first place picked."""
    with browser(1300, 1070) as window:
        window.get(page.absolute().as_uri())
        window.execute_script("document.querySelector('#places tbody button').click()")
        save_small(window.get_screenshot_as_png(), page.with_suffix(".png"))


CLI_HEAD = """# Command line

What `tokenviz --help` and the help of each command say. This page is made by `make docs`.

Results go to stdout, progress and notes to stderr. Exit codes: 0; 1 for what is refused or found wrong, in one line; 2 for a
command that is not written right; 130 after Ctrl-C.
"""


def cli_page() -> str:
    """The page, from the commands as they are; 100 columns wide, whatever the terminal."""
    from typer.core import TyperGroup
    from typer.main import get_command

    from tokenviz.cli.app import app

    parts, width = [CLI_HEAD], {"terminal_width": 100, "max_content_width": 100}

    def describe(command: Any, name: str, parent: Any) -> None:
        context = command.make_context(name, [], parent=parent, resilient_parsing=True, **width)
        text = "\n".join(line.rstrip() for line in command.get_help(context).splitlines())
        parts.append(f"## {context.command_path}\n\n```text\n{text}\n```\n")
        if isinstance(command, TyperGroup) and name != "run":  # an experiment's options are in experiments/README.md
            for one in command.list_commands(context):
                describe(command.get_command(context, one), one, context)

    describe(get_command(app), "tokenviz", None)
    return "\n".join(parts)


def with_files(page: Path) -> str:
    """A page with the files that it shows, each below a comment that names it, as they are."""

    def shown(match: re.Match[str]) -> str:
        content = (page.parent / match["path"]).read_text(encoding="utf-8")
        return f"{match['comment']}\n```python\n{content}```\n"

    pattern = r"(?P<comment><!-- file: (?P<path>\S+) -->)\n```python\n.*?```\n"
    return re.sub(pattern, shown, page.read_text(encoding="utf-8"), flags=re.DOTALL)


def with_rooms(page: Path) -> str:
    """A page with the picture of the package's rooms, made from the imports: arrows between rooms that no other way implies."""
    import grimp

    graph = grimp.build_graph("tokenviz", exclude_type_checking_imports=True)

    def room_of(module: str) -> str:
        return module.split(".")[1]

    inside = [module for module in graph.modules if module.count(".") and not module.endswith("__main__")]
    arrows = {
        (room_of(module), room_of(other))
        for module in inside
        for other in graph.find_modules_directly_imported_by(module)
        if other.count(".") and room_of(module) != room_of(other)
    }
    lines = ["flowchart TD"]
    lines += [f"  {begin} --> {end}" for begin, end in sorted(arrows) if not _reaches(begin, end, arrows - {(begin, end)})]
    picture = "<!-- rooms -->\n```mermaid\n" + "\n".join(lines) + "\n```\n"
    return re.sub(r"<!-- rooms -->\n(```mermaid\n.*?```\n)?", picture, page.read_text(encoding="utf-8"), flags=re.DOTALL)


def _reaches(begin: str, end: str, arrows: set[tuple[str, str]]) -> bool:
    after = {other for one, other in arrows if one == begin}
    return end in after or any(_reaches(one, end, arrows) for one in after)


EXTENDING = ROOT / "docs" / "extending.md"
ARCHITECTURE = ROOT / "docs" / "architecture.md"
PAGES: dict[Path, Callable[[], str]] = {
    ROOT / "experiments" / "README.md": experiments_page,
    ROOT / "docs" / "gallery.md": gallery_page,
    ROOT / "docs" / "cli.md": cli_page,
    EXTENDING: lambda: with_files(EXTENDING),
    ARCHITECTURE: lambda: with_rooms(ARCHITECTURE),
}


def main() -> None:
    """Write, or check."""
    for path, page in PAGES.items():
        if "--check" not in sys.argv[1:]:
            path.write_text(page(), encoding="utf-8")
        elif not path.is_file() or path.read_text(encoding="utf-8") != page():
            sys.exit(f"{path.relative_to(ROOT)} is not up to date: run make docs")
    if "--check" in sys.argv[1:] and stale():
        sys.exit(f"{', '.join(stale())}: not of the notebooks as they are: run make notebooks")
    if "--check" not in sys.argv[1:]:
        IMAGES.mkdir(exist_ok=True)
        draw_pictures()


if __name__ == "__main__":
    main()
