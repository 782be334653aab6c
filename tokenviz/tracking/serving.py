"""The address of the `tokenviz ui` that serves an embedded store, so that printed links have the port that it really uses.

`tokenviz ui` writes its address into the store's folder. The address stays there when the process is killed, so it is asked
whether it still serves this store: a refused connection takes no time, an answer about 5 ms.
"""

import urllib.error
import urllib.request
from hashlib import sha256
from http.client import HTTPException
from pathlib import Path

from tokenviz.errors import StoreError

_FILE = ".ui"
_PATIENCE = 1  # seconds for an answer
_LONGEST = 300  # characters of an address
IDENTITY = "grids/identity"


def identity_of(name: str) -> str:
    """Return an id of a store that does not reveal its location.

    Args:
        name: The store's folder, or its server's address.
    """
    return sha256(name.encode()).hexdigest()[:16]


def announce(folder: Path, address: str) -> None:
    """Write the address at which a store is about to be served into its folder, unless the folder may not be written."""
    try:
        (folder / _FILE).write_text(address, encoding="utf-8")
    except OSError:
        return


def served_at(folder: Path) -> str:
    """Return the address at which the store in a folder is served now; empty where it is not."""
    try:
        address = (folder / _FILE).read_text(encoding="utf-8")[:_LONGEST]
    except (OSError, ValueError):
        return ""
    return address if address.startswith("http://") and _answers(address, identity_of(str(folder))) else ""


def _answers(address: str, identity: str) -> bool:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # connects to this machine without a proxy
    try:
        with opener.open(f"{address}/{IDENTITY}", timeout=_PATIENCE) as answer:
            return bool(answer.read(100) == identity.encode())
    except (OSError, HTTPException, ValueError):
        return False


def refuse_old_installation() -> None:
    """Refuse to serve with an installation that lacks the pages of grids.

    Raises:
        StoreError: The package was installed before these pages existed.
    """
    from importlib.metadata import distributions

    # Check all of them: in a clone the first may be left from an older installation.
    found = [point for one in distributions(name="tokenviz-harness") for point in one.entry_points]
    if not any(point.group == "mlflow.app" and point.name == "tokenviz" for point in found):
        raise StoreError(
            "MLflow does not find the pages of grids: this installation is older than its code; install it again "
            "(make setup, or pip install -e .)"
        )
