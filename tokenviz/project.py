"""Where the project's folders are: `experiments/` and, next to it, `mlruns/`.

A wheel carries the experiments and the sample texts as well (`setup.py`), for folders that have none of their own.
"""

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


def shipped_folder() -> Path:
    """Return the folder of the experiments that a wheel carries; a clone has none, and uses its `experiments/`."""
    return Path(__file__).resolve().parent / "shipped"


def experiment_files() -> dict[str, Path]:
    """Return the experiments by name, the project's own before those of the wheel.

    A leading underscore keeps a file out of lists, but not from being run.
    """
    folders = (shipped_folder(), project_root() / "experiments")
    return {path.stem: path for folder in folders for path in sorted(folder.glob("[!.~]*.py")) if path.stem != "__init__"}


def samples_folder(kind: str = "texts") -> Path:
    """Return the folder of the samples: the project's own where it has some, else that of the wheel.

    Args:
        kind: "texts", "items" for the tables of items, "chats", or "dumps" for other engines' log-probs.
    """
    folders = (project_root() / "experiments" / kind, shipped_folder() / kind)
    return next((folder for folder in folders if folder.is_dir()), folders[0])
