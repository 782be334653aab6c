"""The texts that are scored: cut from the sample texts, always the same."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.lineup import ROOT
from tokenviz.base.errors import ExperimentError
from tokenviz.models.loading import resolve

_TEXTS = ROOT / "experiments" / "texts"
_SENTENCE = re.compile(r".+?[.!?][\"'”’)]*(?=\s|$)", re.DOTALL)


@dataclass(frozen=True)
class Case:
    """One model on one set of texts.

    Attributes:
        model: A model spec without options.
        text_set: The set's name.
        texts: The set.
    """

    model: str
    text_set: str
    texts: tuple[str, ...]

    @property
    def name(self) -> str:
        """As arguments write it."""
        return f"{self.model}:{self.text_set}"


def mixed() -> list[str]:
    """16 texts of mixed lengths, about 1,800 tokens, more than half of them in one document."""
    document = _paragraphs("long_document.md")
    short = _sentences([*_paragraphs("correlation.txt"), *_paragraphs("passage_en.txt"), document[-1]])
    return [_opening(5000), *_paragraphs("narrative.txt"), document[-2], *short[:11]]


def sentences() -> list[str]:
    """104 single sentences."""
    return _sentences([*_paragraphs("narrative.txt"), *_paragraphs("long_document.md")])[:104]


def long() -> list[str]:
    """One text of about 2,000 tokens."""
    return [_opening(9200)]


def short() -> list[str]:
    """50 texts of two or three sentences, about 100 tokens each: a set of costs, not a case."""
    names = ("long_document.md", "narrative.txt", "passage_en.txt", "correlation.txt")
    texts = [""]
    for sentence in _sentences([part for name in names for part in _paragraphs(name)]):
        texts[-1] = f"{texts[-1]} {sentence}".strip()
        if len(texts[-1]) >= 400:
            texts.append("")
    return texts[:50]


TEXT_SETS: dict[str, Callable[[], list[str]]] = {"mixed": mixed, "sentences": sentences, "long": long}


def parse_case(case: str) -> Case:
    """A case from MODEL:SET.

    Raises:
        ExperimentError: There is no such set, or the model has options, which other tools do not know.
    """
    model, colon, text_set = case.rpartition(":")
    if not colon or text_set not in TEXT_SETS:
        raise ExperimentError(f"{case!r} is no case: give MODEL:SET with one of the sets {', '.join(TEXT_SETS)}")
    if "," in model:
        raise ExperimentError(f"the model of {case!r} has options, which other tools do not know: give the model alone")
    return Case(model, text_set, tuple(TEXT_SETS[text_set]()))


def folder_of(model: str) -> Path:
    """The folder of a model's files, fetched where it is not there yet."""
    return resolve(model).folder


def described(model: str) -> str:
    """What a model is, in words."""
    return resolve(model).description


def _paragraphs(name: str) -> list[str]:
    """The paragraphs of a sample text, without its headings."""
    whole = (_TEXTS / name).read_text(encoding="utf-8")
    return [part.strip() for part in whole.split("\n\n") if not part.startswith("#")]


def _sentences(paragraphs: list[str]) -> list[str]:
    return [sentence.strip() for paragraph in paragraphs for sentence in _SENTENCE.findall(paragraph)]


def _opening(characters: int) -> str:
    """Whole paragraphs from the beginning of the long document."""
    parts = (_TEXTS / "long_document.md").read_text(encoding="utf-8").split("\n\n")
    count = next(i for i in range(len(parts)) if len("\n\n".join(parts[:i])) > characters)
    return "\n\n".join(parts[: count - 1])
