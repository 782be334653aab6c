"""BibTeX for what runs are based on: the software that computed them, their models and their texts."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tokenviz.base import disk
from tokenviz.base.errors import DiskError, PaperError, StoreError
from tokenviz.figures.typeset.latex import latex_prelude, latex_text
from tokenviz.models.catalogue import CATALOGUE
from tokenviz.models.describing import description_in
from tokenviz.paper.naming import apart, file_mark, file_part
from tokenviz.tracking.entities import RUN_ID
from tokenviz.tracking.finding import FoundRun, find_run, find_runs
from tokenviz.tracking.store import Store

FILE = "references.bib"
_WEIGHTS = ("revision", "identity", "weights_sha256")  # parameters that identify the weights
_HASH = re.compile(r"\b([0-9a-f]{16})[0-9a-f]{16,}\b")

Fields = Mapping[str, str]  # fields of an entry, written literally


@dataclass(frozen=True)
class Citation:
    """An entry of a bibliography.

    Attributes:
        kind: BibTeX's kind of entry, such as "misc".
        key: The key by which a paper cites it.
        fields: Fields, written for LaTeX.
        plain: The original form of words in scripts that LaTeX needs support for.
    """

    kind: str
    key: str
    fields: Fields
    plain: str = ""

    def __str__(self) -> str:
        lines = "".join(f"  {name:12} = {{{value}}},\n" for name, value in self.fields.items())
        return f"@{self.kind}{{{self.key},\n{lines}}}\n"


# The citations that the authors ask for: pytorch.org, and the CITATION file of the repository of transformers.
_SOFTWARE: dict[str, tuple[str, dict[str, str]]] = {
    "tokenviz": (
        "misc",  # BibTeX itself has no entries for software
        {
            "author": "{tokenviz developers}",
            "title": "{tokenviz: what causal language models predict, token by token}",
        },
    ),
    "torch": (
        "inproceedings",
        {
            "author": "Ansel, Jason and Yang, Edward and He, Horace and others",
            "title": "{PyTorch} 2: Faster Machine Learning Through Dynamic {Python} Bytecode Transformation and Graph "
            "Compilation",
            "booktitle": "Proceedings of the 29th ACM International Conference on Architectural Support for Programming "
            "Languages and Operating Systems, Volume 2 (ASPLOS '24)",
            "year": "2024",
            "doi": "10.1145/3620665.3640366",
        },
    ),
    "transformers": (
        "inproceedings",
        {
            "author": "Wolf, Thomas and Debut, Lysandre and Sanh, Victor and others",
            "title": "Transformers: State-of-the-Art Natural Language Processing",
            "booktitle": "Proceedings of the 2020 Conference on Empirical Methods in Natural Language Processing: System "
            "Demonstrations",
            "pages": "38--45",
            "year": "2020",
            "doi": "10.18653/v1/2020.emnlp-demos.6",
        },
    ),
}


def cite(references: Sequence[str], store: Store) -> list[Citation]:
    """Return what a paper should cite for some runs: software, models and texts, each once.

    A run of two models represents both of their score runs, and a summary all runs of its grid.

    Args:
        references: The first digits of the runs' ids or fingerprints.
        store: The runs' store.

    Raises:
        StoreError: There is no such run, or the store fails.
        PaperError: A run has neither model nor text.
    """
    runs = {run.run_id: run for reference in references for run in _meant(find_run(reference, store), store)}
    if not runs:
        raise PaperError(f"{references[0]} is about no model and no text: name a score, a comparison or a summary run")
    scores = sorted(runs.values(), key=lambda run: (run.params["model"], run.params["text"], run.started))
    return [*_software(scores), *_models(scores), *_texts(scores)]


def write_citations(citations: Sequence[Citation], folder: Path) -> Path:
    """Write a bibliography into a paper's folder; an earlier one is replaced.

    Raises:
        DiskError: The folder cannot be written.
        PaperError: A file of this name exists that tokenviz did not write.
    """
    file = folder / FILE
    try:
        if file.exists() and not file.read_text(encoding="utf-8", errors="replace").startswith(_HEAD[:30]):
            raise PaperError(f"{str(file)!r} was not written by tokenviz: move it, or give another folder")
        folder.mkdir(parents=True, exist_ok=True)
        disk.write(file, bibliography(citations))
    except OSError as error:
        raise DiskError(f"cannot write {str(file)!r}: {error.strerror or error}") from error
    return file


_HEAD = "% Bibliography by tokenviz (`tokenviz cite`): software, models and texts of runs.\n"


def bibliography(citations: Sequence[Citation]) -> str:
    """Return the content of a BibTeX file."""
    entries = "\n".join(map(str, citations))
    prelude = latex_prelude("".join(citation.plain for citation in citations))
    preamble = f'@preamble{{"{prelude.removesuffix(chr(10)).removesuffix("%")}"}}\n\n' if prelude else ""
    return f"{_HEAD}\n{preamble}{entries}"


def _meant(run: FoundRun, store: Store) -> Iterator[FoundRun]:
    """Yield the runs of one model and one text that a run represents."""
    if run.tags.get("kind") == "summary":
        grids = set(run.tags.get("grid", "").split())
        for other in find_runs(run.experiment, store=store):
            if grids & set(other.tags.get("grid", "").split()) and "model" in other.params and "text" in other.params:
                yield other
    elif "model" in run.params and "text" in run.params:
        yield run
    for name, value in run.params.items():
        if name.startswith("run_") and RUN_ID.fullmatch(value):
            try:
                yield from _meant(find_run(value, store), store)
            except StoreError:  # it was removed, and with it what it records
                continue


def _software(runs: Sequence[FoundRun]) -> Iterator[Citation]:
    for name, (kind, fields) in _SOFTWARE.items():
        versions = sorted({run.params[f"version_{name}"] for run in runs if run.params.get(f"version_{name}")})
        yield Citation(kind, name, fields | ({"note": f"Version {', '.join(versions)}"} if versions else {}))


def _models(runs: Sequence[FoundRun]) -> Iterator[Citation]:
    """Yield one entry for each set of weights, whatever options it was loaded with."""
    by_weights: dict[str, list[FoundRun]] = {}
    for run in runs:
        by_weights.setdefault(run.params.get("identity") or run.params["model"], []).append(run)
    names = {weights: some[0].params["model"].partition(",")[0] for weights, some in by_weights.items()}
    keys = apart({weights: f"model-{file_part(name)}" for weights, name in names.items()},
                 {weights: f"-{file_mark(weights)}" for weights in by_weights})  # fmt: skip
    for weights, some in by_weights.items():
        run = some[0]
        described = description_in(run.params, "model")
        labels = sorted({one.params["model"] for one in some})
        # The identity of a model that is trained here is the SHA-256 of its weights, which the catalogue cannot know.
        known = CATALOGUE.get(names[weights]) if run.params.get("source") == "catalogue" else None
        notes = [f"Here {' and '.join(labels)}"]
        notes += [described] if described and (known is None or known.cited) else []
        notes += [f"{name} {_short(run.params[name])}" for name in _WEIGHTS if run.params.get(name) not in (None, "", "null")]
        notes += [f"licence {known.licence}"] if known is not None else ["cite its authors as its model card asks"]
        if known is not None and known.cited:
            kind, fields = known.cited
        else:
            kind, fields = "misc", {"title": f"{{{latex_text(described or names[weights])}}}", "key": keys[weights]}
        plain = "; ".join(notes)
        yield Citation(kind, keys[weights], {**fields, "note": latex_text(plain)}, f"{described}{names[weights]}{plain}")


def _texts(runs: Sequence[FoundRun]) -> Iterator[Citation]:
    texts = {run.params["text_sha256"]: run.params for run in reversed(runs) if run.params.get("text_sha256")}
    names = {digest: params["text"] for digest, params in texts.items()}
    keys = apart({digest: f"text-{file_part(name)}" for digest, name in names.items()},
                 {digest: f"-{digest[:6]}" for digest in names})  # fmt: skip
    for digest, params in sorted(texts.items(), key=lambda pair: names[pair[0]]):
        passages = params.get("n_passages", "1")
        said = f"Text of {passages} passage{'s' * (passages != '1')}; sha256 {_short(digest)}"
        fields = {"title": f"{{{latex_text(names[digest])}}}", "key": keys[digest], "note": latex_text(said)}
        yield Citation("misc", keys[digest], fields, names[digest])


def _short(words: str) -> str:
    """Shorten long hashes in words; the runs have them in full."""
    return _HASH.sub(r"\1...", words)
