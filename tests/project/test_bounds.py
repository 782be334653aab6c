"""Private names of other libraries: each is where it is looked for, and its library has an upper bound until then."""

import ast
import importlib
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import tokenviz

BOUNDS = {"matplotlib": "3.12", "mlflow": "4", "torch": "3", "typer": "1"}
NAMES = {
    "matplotlib": ["_text_helpers", "_text_helpers.layout", "backends._backend_pdf_ps", "backends.backend_pdf.PdfFile"],
    "mlflow": [
        "store.db.utils._upgrade_db", "store.db.base_sql_model.Base", "store.db_migrations",
        "store.tracking.sqlalchemy_store.SqlAlchemyStore._dispose_engine",
        "store.tracking.sqlalchemy_store.SqlAlchemyStore._engine_map",
        "tracking._tracking_service.utils._SERVER_ARTIFACT_ROOT_ENV_VAR",
        "utils.validation._validate_batch_log_data", "utils.validation._validate_batch_log_limits",
    ],
    "torch": ["ops.mkldnn._linear_pointwise", "ops.mkldnn._is_mkldnn_bf16_supported", "ops.aten._efficient_attention_forward"],
    "typer": ["core.TyperGroup", "core.CompletionItem"],
}  # fmt: skip
ROOT = Path(__file__).resolve().parents[2]


def found(library: str, name: str) -> object:
    """What a dotted name stands for: modules as far as there are some, then attributes."""
    parts, path = name.split("."), library
    thing: object = importlib.import_module(library)
    for part in parts:
        path = f"{path}.{part}"
        try:
            thing = getattr(thing, part)
        except AttributeError:
            thing = importlib.import_module(path)
    return thing


@pytest.mark.parametrize(("library", "name"), [(library, name) for library, names in NAMES.items() for name in names])
def test_a_private_name_is_where_it_is_looked_for(library: str, name: str) -> None:
    assert found(library, name) is not None


def test_a_name_that_is_gone_is_noticed() -> None:
    with pytest.raises(ImportError):
        found("matplotlib", "backends._gone")


@pytest.mark.parametrize(("library", "bound"), BOUNDS.items())
def test_a_library_with_private_names_has_an_upper_bound(library: str, bound: str) -> None:
    lines = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    (requirement,) = (one for one in map(Requirement, lines) if one.name == library)
    assert f"<{bound}" in {str(part) for part in requirement.specifier}
    assert requirement.specifier.contains(importlib.metadata.version(library))
    assert not requirement.specifier.contains(bound)


def private_imports() -> set[tuple[str, str]]:
    """Private modules and names of the four libraries that the package imports."""
    used = set()
    for path in Path(tokenviz.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.partition(".")[0] in BOUNDS:
                library, _, module = node.module.partition(".")
                names = [".".join(filter(None, (module, one.name))) for one in node.names]
                used |= {(library, name) for name in names if any(part.startswith("_") for part in name.split("."))}
    return used


def test_every_private_name_that_is_imported_is_listed() -> None:
    used = private_imports()
    assert used
    assert {name for library, name in used if name not in NAMES[library]} == set()
