"""Shell completion: models of the catalogue and their options, sample texts, experiments, measures.

Each function takes the beginning of a word and returns whole words. Where it returns none the shell completes file names.
"""

from collections.abc import Callable

from tokenviz.project import experiment_files, samples_folder


def models(incomplete: str) -> list[str]:
    """Return model specs: names from the catalogue, and after a comma the options and their values."""
    from tokenviz.models.catalogue import CATALOGUE
    from tokenviz.models.spec import CHOICES

    spec, comma, _ = incomplete.rpartition(",")
    words = [f"{spec},{key}={value}" for key, values in CHOICES.items() for value in values] if comma else list(CATALOGUE)
    return [word for word in words if word.startswith(incomplete)]


def family(incomplete: str) -> list[str]:
    """Return the models that are trained here."""
    from tokenviz.models.family import SHAPES

    return [name for name in SHAPES if name.startswith(incomplete)]


def texts(incomplete: str) -> list[str]:
    """Return the names of the sample texts."""
    from tokenviz.texts import sample_names

    return [name for name in sample_names(samples_folder()) if name.startswith(incomplete)]


def experiments(incomplete: str) -> list[str]:
    """Return the experiments of the project, and those of the wheel."""
    return [name for name in sorted(experiment_files()) if name.startswith(incomplete) and not name.startswith("_")]


def measures(incomplete: str) -> list[str]:
    """Return the measures that a heatmap can show."""
    from tokenviz.figures.measures import MEASURES

    return [name for name in MEASURES if name.startswith(incomplete)]


def colours(incomplete: str) -> list[str]:
    """Return the colour maps of heatmaps."""
    from tokenviz.figures.colours import COLOUR_MAPS

    return [name for name in COLOUR_MAPS if name.startswith(incomplete)]


OF_ARGUMENTS: dict[str, Callable[[str], list[str]]] = {"model": models, "models": models, "text": texts, "texts": texts}
"""Completions of the arguments that experiments share, by the arguments' names."""
