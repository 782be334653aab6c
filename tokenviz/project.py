"""Where the project's folders are: `experiments/` and, beside it, `mlruns/`."""

from pathlib import Path


def project_root() -> Path:
    """The nearest folder at or above the working directory that has `experiments/`.

    Outside any project: the checkout that this package was installed from, where it is one; else the working directory.
    """
    here = Path.cwd()
    checkout = Path(__file__).resolve().parent.parent
    for folder in (here, *here.parents, checkout):
        if (folder / "experiments").is_dir():
            return folder
    return here


def samples_folder() -> Path:
    """Where the project's sample texts are."""
    return project_root() / "experiments" / "texts"
