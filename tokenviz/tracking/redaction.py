"""Removal of the environment's secrets from everything that a run records: command line, settings, patch."""

import os
import re
from typing import Any

_SECRET = re.compile(r"PASSWO?R?D|SECRET|CREDENTIAL|APIKEY|(^|_)(TOKEN|KEY|PAT|PASSPHRASE)S?(_|$)", re.IGNORECASE)
_SHORTEST = 6  # characters; a shorter value may occur in any text by chance
_IN_ADDRESS = re.compile(r"(\b[a-z][a-z0-9+.-]*://)[^\s/@'\"]+@", re.IGNORECASE)


def redacted(value: Any) -> Any:
    """Return a string, or a list or mapping of strings, without secrets.

    The value of an environment variable whose name suggests a secret (`HF_TOKEN`, `MLFLOW_TRACKING_PASSWORD`, ...) is replaced
    by the variable's name. User and password are removed from addresses.
    """
    if isinstance(value, str):
        for name, secret in _secrets():
            value = value.replace(secret, f"${name}")
        return _IN_ADDRESS.sub(r"\1", value)
    if isinstance(value, list | tuple):
        return [redacted(one) for one in value]
    if isinstance(value, dict):
        return {name: redacted(one) for name, one in value.items()}
    return value


def _secrets() -> list[tuple[str, str]]:
    """Return names and values of secrets, the longest value first: one may begin with another."""
    found = [(name, value) for name, value in os.environ.items() if len(value) >= _SHORTEST and _SECRET.search(name)]
    return sorted(found, key=lambda pair: -len(pair[1]))
