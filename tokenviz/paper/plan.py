"""Plans: the figures that a pull makes from an experiment's runs, and the content of its other files. Nothing is drawn here."""

import json
import math
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from tokenviz import __version__
from tokenviz.base.errors import FigureError, PaperError
from tokenviz.comparing.comparison import Comparison
from tokenviz.figures.heatmap.definition import shared_limits
from tokenviz.figures.heatmap.measures import Limits, PairMeasure, measure_named
from tokenviz.figures.named import FIGURES, Look
from tokenviz.figures.typeset.latex import latex_prelude, latex_text
from tokenviz.models.describing import model_sentence
from tokenviz.paper.manifest import Entry, Order
from tokenviz.paper.naming import apart, descriptions_of, file_mark, file_part, macro_mark, macro_part
from tokenviz.paper.numbers import Number, macro_stem, numbers_of, numbers_tex, tables_of, tables_tex
from tokenviz.paper.runs import PaperRun, Tables, paper_runs_of
from tokenviz.tracking.runs import fingerprint_of
from tokenviz.tracking.store import Store


@dataclass(frozen=True, eq=False)
class Drawing:
    """A figure of a run in one format.

    Attributes:
        paper_run: The run.
        figure: Name of the figure.
        form: The format.
        stem: Path within the folder, without the suffix.
        key: Hash of all that it is made from.
    """

    paper_run: PaperRun
    figure: str
    form: str
    stem: str
    key: str

    def files(self, known: Mapping[str, Entry]) -> dict[str, Entry]:
        """Return the entries of a manifest that are this figure as it would be drawn now; several where it has pages."""
        return {path: entry for path, entry in known.items() if entry.made.get("key") == self.key}


class Plan:
    """The figures that a pull makes, and the content of its other files."""

    def __init__(self, order: Order, store: Store) -> None:
        """Find the runs; nothing is drawn yet.

        Raises:
            StoreError: The runs cannot be found, as in `paper_runs_of`.
            PaperError: No run is found, as in `paper_runs_of`; or none has such figures.
            FigureError: There is no such figure.
        """
        self.order = order
        self.paper_runs = paper_runs_of(order.experiment, where=order.where, store=store)
        self._store = store
        self.tables = Tables(store)
        known = dict.fromkeys(
            [*FIGURES, *(figure for paper_run in self.paper_runs for figure in self.tables.figures(paper_run))]
        )
        for figure in order.figures:
            if figure not in known:
                raise FigureError(f"no figure {figure!r}: there are {', '.join(known)}")
        self.drawings = list(self._drawings())
        if order.figures and not self.drawings:
            raise PaperError(
                f"no run that is meant has a figure {' or '.join(order.figures)} as {', '.join(order.formats)}: take another"
            )

    @property
    def undrawn(self) -> list[PaperRun]:
        """Return the runs without a figure of this pull."""
        drawn = {drawing.paper_run for drawing in self.drawings}
        return [paper_run for paper_run in self.paper_runs if paper_run not in drawn]

    @cached_property
    def numbers(self) -> dict[PaperRun, list[Number]]:
        """The numbers of each run."""
        return {paper_run: numbers_of(paper_run, self.tables) for paper_run in self.paper_runs}

    @cached_property
    def descriptions(self) -> dict[str, str]:
        """The description of each model, by its label."""
        newest = sorted((paper_run.run for paper_run in self.paper_runs), key=lambda run: run.started, reverse=True)
        return descriptions_of(newest, self._store)

    @property
    def runs(self) -> dict[str, dict[str, Any]]:
        """Return the runs for the manifest."""
        return {
            paper_run.run.run_id: {
                "fingerprint": paper_run.origin.fingerprint,
                "kind": paper_run.kind,
                "models": list(paper_run.models),
                "descriptions": {name: self.descriptions[name] for name in paper_run.models if name in self.descriptions},
                "text": paper_run.text,
                "commit": paper_run.run.commit,
                "command": paper_run.origin.command,
                "params": dict(sorted(paper_run.run.params.items())),
            }
            for paper_run in self.paper_runs
        }

    def texts(self, captions: Mapping[Drawing, str]) -> dict[str, str]:
        """Return the content of the files that are not figures, by path.

        Args:
            captions: The captions of the figures.
        """
        about = self._about()
        tables = tables_tex(self.numbers, about)
        found = {f"tables/{name}.tex": content for name, content in tables.items()}
        for paper_run in self.paper_runs:
            own = paper_run.has.tex(paper_run.run, self.tables.reader)
            found |= {f"tables/{paper_run.kind}_{file_part(name)}.tex": content for name, content in own.items()}
        found["numbers.tex"] = numbers_tex(self.numbers, self.order.prefix, about, self.descriptions)
        found["captions.tex"] = self._captions(captions, list(tables), about)
        return found

    def _drawings(self) -> Iterator[Drawing]:
        order = self.order
        models = {name for paper_run in self.paper_runs for name in paper_run.models}
        parts = {name: file_part(name) for name in {paper_run.text for paper_run in self.paper_runs} | models}
        parts = apart(parts, {name: f"-{file_mark(name)}" for name in parts})
        for paper_run in self.paper_runs:
            kind, possible = paper_run.has, self.tables.figures(paper_run)
            shown = kind.shown(paper_run.run, self.tables.reader)
            for figure in [one for one in order.figures if one in possible] if order.figures else shown:
                named = [parts[name] for name in (paper_run.text, *paper_run.models)]
                stem = "_".join([*named, kind.figure_part(paper_run.run, figure)])
                for form in order.formats:
                    if form in possible[figure]:
                        yield Drawing(paper_run, figure, form, f"figures/{stem}", self._key(paper_run, figure, form))

    def _key(self, paper_run: PaperRun, figure: str, form: str) -> str:
        look = asdict(self.look(paper_run, figure))
        if look["title"]:
            del look["title"]  # as when every figure had a title, so that figures pulled then are still recognised
        return fingerprint_of({**asdict(paper_run.origin), **look, "figure": figure, "format": form, "tokenviz": __version__})

    def look(self, paper_run: PaperRun, figure: str) -> Look:
        """Return the look of a figure: with the limits of all heatmaps where they share them, else with those of its run."""
        look = paper_run.has.look(figure, self.order.look(figure, self._shared if self.order.limits == "shared" else None))
        return paper_run.look(figure, look, self.tables)

    @cached_property
    def _shared(self) -> Limits:
        """The common limits of all heatmaps."""
        own = [paper_run for paper_run in self.paper_runs if paper_run.has.of_tokens]
        sources = [self.tables.source(paper_run) for paper_run in own]
        measure = measure_named(self.order.measure or "logprob")
        if isinstance(measure, PairMeasure):
            sources = [source for source in sources if isinstance(source, Comparison)]
        return shared_limits(sources, measure=measure) if sources else Limits(math.nan, math.nan, "set")

    def _about(self) -> dict[str, object]:
        """Return what the files that are not figures record about their origin."""
        runs = [paper_run.run for paper_run in self.paper_runs]
        return {
            "experiment": self.order.experiment,
            "where": self.order.where,
            "runs": [run.run_id for run in runs],
            "models": sorted({name for paper_run in self.paper_runs for name in paper_run.models}),
            "descriptions": self.descriptions,
            "commits": sorted({run.commit for run in runs} - {""}),
            "commands": sorted({run.tags.get("command", "") for run in runs} - {""}),
            "again": pull_command(self.order),
        }

    def _captions(self, captions: Mapping[Drawing, str], tables: list[str], about: Mapping[str, object]) -> str:
        labels = list(dict.fromkeys(name for paper_run in self.paper_runs for name in paper_run.models))
        models = latex_text(model_sentence(labels, self.descriptions))
        known = tables_of(self.paper_runs)
        found = {
            f"{self.order.prefix}{macro_part(name)}Caption": " ".join(filter(None, (known[name].caption, models)))
            for name in tables
        }
        named: dict[tuple[PaperRun, str], str] = {}
        for drawing, caption in captions.items():
            named.setdefault((drawing.paper_run, drawing.figure), caption)
        stems = {key: f"{macro_stem(key[0], self.order.prefix)}{macro_part(key[1])}" for key in named}
        stems = apart(stems, {key: macro_mark(repr((*key[0].key, key[1]))) for key in stems})
        found |= {f"{stems[key]}Caption": latex_text(caption) for key, caption in named.items()}
        lines = ["% Captions by tokenviz, for \\input in the preamble. " + json.dumps(about)]
        lines += [f"\\newcommand{{\\{macro}}}{{{caption}}}" for macro, caption in found.items()]
        return latex_prelude("".join((*named.values(), *self.descriptions.values()))) + "\n".join(lines) + "\n"


def pull_command(order: Order) -> str:
    """Return the command line that pulls with some settings, for any folder."""
    parts = ["tokenviz", "pull", order.experiment, "--format", ",".join(order.formats)]
    options = {
        "where": order.where,
        "measure": order.measure,
        "limits": order.limits,
        "colours": order.colours,
        "width": order.width,
    }
    parts += [part for name, value in options.items() if value is not None for part in (f"--{name}", value)]
    if order.figures:
        parts += ["--figure", ",".join(order.figures)]
    if order.font_size != Order.font_size:
        parts += ["--font-size", str(order.font_size)]
    if order.prefix != Order.prefix:
        parts += ["--prefix", order.prefix]
    return f"{shlex.join(parts)} --to FOLDER"
