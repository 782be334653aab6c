"""Which `tokenviz ui` serves an embedded store at the moment, so that printed links lead to the port that it really has.

It leaves its address in the store's folder. Nothing takes that away when it is killed, so the address is asked whether it still
serves this store: a refused connection takes no time, an answer about 5 ms.
"""

import urllib.error
import urllib.request
from hashlib import sha256
from http.client import HTTPException
from pathlib import Path

from tokenviz.errors import StoreError

_FILE = ".ui"
_PATIENCE = 1  # seconds
_LONGEST = 300  # characters of an address
IDENTITY = "grids/identity"


def identity_of(name: str) -> str:
    """Return what tells a store from every other, without saying where it is.

    Args:
        name: Its folder, or its server's address.
    """
    return sha256(name.encode()).hexdigest()[:16]


def announce(folder: Path, address: str) -> None:
    """Leave the address at which the store in a folder is about to be served; not where the folder may not be written."""
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
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # this machine is asked, never a proxy
    try:
        with opener.open(f"{address}/{IDENTITY}", timeout=_PATIENCE) as answer:
            return bool(answer.read(100) == identity.encode())
    except (OSError, HTTPException, ValueError):
        return False


def refuse_old_installation() -> None:
    """Refuse to serve with an installation that does not know the pages of grids.

    Raises:
        StoreError: The package was installed before they were there.
    """
    from importlib.metadata import distributions

    # All of them: in a clone the first may be what an older installation left there.
    found = [point for one in distributions(name="tokenviz-harness") for point in one.entry_points]
    if not any(point.group == "mlflow.app" and point.name == "tokenviz" for point in found):
        raise StoreError(
            "MLflow does not find the pages of grids: this installation is older than its code; install it again "
            "(make setup, or pip install -e .)"
        )
