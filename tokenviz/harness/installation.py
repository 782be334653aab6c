"""A check of the installation: versions, models on disk, device, fonts, LaTeX. Nothing is changed."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires, version

from packaging.requirements import Requirement

from tokenviz.base.errors import Check, listed, size
from tokenviz.base.hardware import cores, memory_bytes, processor
from tokenviz.tracking.inspection import inspect_store

_DISTRIBUTION = "tokenviz-harness"
_NAMED = ("torch", "transformers", "mlflow", "numpy")  # packages that compute or store numbers
_ENGINES = {"pdflatex": "texlive-latex-base", "lualatex": "texlive-luatex", "xelatex": "texlive-xetex"}
_TEX_FILES = {"xcolor.sty": "texlive-latex-recommended", "lmodern.sty": "lmodern", "t5enc.def": "texlive-lang-other"}


def check_all(*, quick: bool = False) -> list[Check]:
    """Run all checks of `tokenviz doctor`.

    Args:
        quick: Skip what takes long: the runs' files, the device, fonts and LaTeX.
    """
    return [*inspect_store(quick=quick), *check_installation(quick=quick)]


def check_installation(*, quick: bool = False) -> list[Check]:
    """Check versions and models; unless `quick`, also device, fonts and LaTeX."""
    slow = () if quick else (_device(), _fonts(), _latex())
    return [_versions(), *_models(), *slow]


def _versions() -> Check:
    wrong = []
    for line in requires(_DISTRIBUTION) or ():
        requirement = Requirement(line)
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            try:
                there = version(requirement.name)
            except PackageNotFoundError:
                wrong.append(f"{requirement} is not installed")
                continue
            if not requirement.specifier.contains(there, prereleases=True):
                wrong.append(f"{requirement.name} {there} where {requirement} is needed")
    if wrong:
        return Check("versions", "wrong", listed(wrong), "make setup, or pip install --upgrade tokenviz-harness")
    named = ", ".join(f"{name} {version(name)}" for name in _NAMED)
    return Check("versions", "ok", f"tokenviz {version(_DISTRIBUTION)}, Python {sys.version.split()[0]}, {named}")


def _models() -> Iterator[Check]:
    from tokenviz.models.cache import cache_folder, torn_weights
    from tokenviz.models.catalogue import CATALOGUE

    folder = cache_folder()
    there = [model.name for model in CATALOGUE.values() if model.folder.is_dir()]
    space = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    absent = [name for name in CATALOGUE if name not in there]
    advice = f"tokenviz models pull {absent[0]} fetches one; experiments do so by themselves" if absent else ""
    yield Check("models", "ok", f"{', '.join(there) or 'none'} of the catalogue; {size(space)} in {folder}", advice)
    torn = torn_weights(folder)
    if torn:
        advice = "remove the folders of these files: the models are made again when they are needed"
        yield Check("models", "wrong", f"damaged weights: {listed([str(path) for path in torn])}", advice)
    left = [path for path in folder.glob(".*.partial") if path.is_dir()]
    if left:
        advice = "if no process is at work on it, remove it, or fetch the model again"
        yield Check("models", "note", f"half prepared: {listed([str(path) for path in left])}", advice)


def _device() -> Check:
    from tokenviz.models.loading import pick_device

    return Check("device", "ok", f"{pick_device('auto')}; {processor()}, {cores()} cores, {size(memory_bytes())} memory")


def _fonts() -> Check:
    from tokenviz.figures.typeset.fonts import missing_scripts

    missing = missing_scripts()
    if missing:
        packages = sorted({script.package for script in missing})
        found = f"none for {listed([script.name for script in missing], 5)}: drawn as code points in figures"
        return Check("fonts", "note", found, f"apt-get install {' '.join(packages)}, or the fonts of the same names elsewhere")
    return Check("fonts", "ok", "for every script that figures know")


def _latex() -> Check:
    absent = {name: package for name, package in _ENGINES.items() if shutil.which(name) is None}
    if len(absent) == len(_ENGINES):
        found = "none; text heatmaps are written as LaTeX all the same"
        return Check("LaTeX", "note", found, f"apt-get install {' '.join([*_ENGINES.values(), *_TEX_FILES.values()])}")
    absent |= {name: package for name, package in _TEX_FILES.items() if not _has_tex_file(name)}
    if absent:
        return Check("LaTeX", "note", f"without {listed(list(absent))}", f"apt-get install {' '.join(absent.values())}")
    return Check("LaTeX", "ok", f"{', '.join(_ENGINES)} with {', '.join(_TEX_FILES)}")


def _has_tex_file(name: str) -> bool:
    try:
        return subprocess.run(["kpsewhich", name], capture_output=True, check=False, timeout=60).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False
