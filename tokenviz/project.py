"""The folders of a project: `experiments/` and, next to it, `mlruns/`.

A wheel contains the experiments and the sample texts as well (`setup.py`), for projects that have none.
"""

from pathlib import Path


def project_root() -> Path:
    """Return the nearest folder at or above the working directory that has `experiments/`.

    Outside any project it is the checkout that this package was installed from, if there is one, else the working directory.
    """
    here = Path.cwd()
    checkout = Path(__file__).resolve().parent.parent
    for folder in (here, *here.parents, checkout):
        if (folder / "experiments").is_dir():
            return folder
    return here


def shipped_folder() -> Path:
    """Return the folder of the experiments in a wheel; a clone has no such folder, and uses its `experiments/`."""
    return Path(__file__).resolve().parent / "shipped"


def experiment_files() -> dict[str, Path]:
    """Return the files of experiments by name; the project's own replace those of the wheel.

    A leading underscore hides a file from lists, but it can be run.
    """
    folders = (shipped_folder(), project_root() / "experiments")
    return {path.stem: path for folder in folders for path in sorted(folder.glob("[!.~]*.py")) if path.stem != "__init__"}


def samples_folder(kind: str = "texts") -> Path:
    """Return the folder of the samples: the project's own where it has one, else that of the wheel.

    Args:
        kind: "texts" (the default), "items" for the tables of items, "chats", or "dumps" for other engines' log-probs.
    """
    folders = (project_root() / "experiments" / kind, shipped_folder() / kind)
    return next((folder for folder in folders if folder.is_dir()), folders[0])
