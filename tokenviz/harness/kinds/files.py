"""Files and parameters that the runs of several kinds share: the folder of tables, the text, and the text as a dataset."""

import json
from pathlib import Path
from textwrap import wrap

from tokenviz.texts import Text

_LONGEST_NAME = 200  # bytes; file systems allow 255, endings included
_OPENING, _LINE = 2000, 60  # characters of a text that are kept with a run, and those per line, which MLflow's pages do not cut


def tables_folder(folder: Path) -> Path:
    """Make the folder of a run's tables among its files."""
    tables = folder / "tables"
    tables.mkdir()
    return tables


def text_params(text: Text) -> dict[str, object]:
    """Return the parameters that describe a run's text."""
    params: dict[str, object] = {"text": text.name, "text_sha256": text.sha256, "n_passages": len(text.passages)}
    if text.spans:
        params["span_names"] = list(dict.fromkeys(span.name for own in text.spans for span in own))
    if text.chat_template_sha256:
        params["chat_template_sha256"] = text.chat_template_sha256
    return params


def dataset_of(text: Text) -> dict[str, str]:
    """Return the text as MLflow's pages show the data of a run: name and hash, size, beginning."""
    opening = next(passage for passage in text.passages if passage)[:_OPENING]
    profile: dict[str, object] = {"passages": len(text.passages), "characters": sum(map(len, text.passages))}
    profile |= {f"line {number}": line for number, line in enumerate(wrap(opening, _LINE), 1)}
    return {
        "name": text.name,
        "digest": text.sha256,
        "source_type": "text",
        "source": json.dumps({"text": text.name, "sha256": text.sha256}, ensure_ascii=False),
        "profile": json.dumps(profile, ensure_ascii=False),
    }


def is_file_name(name: str) -> bool:
    """Return whether a run may have a file of a name: MLflow reads some characters, and outer spaces as parts of an address."""
    return (
        name.isprintable()
        and name.strip() == name != ""
        and not set(name) & set("/\\#?%")
        and len(name.encode()) < _LONGEST_NAME
    )
