"""Who is measured: the contenders in the order of the table, and the environment in which each of them lives."""

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

ROOT = Path(__file__).resolve().parent.parent
PEERS_PYTHON = ROOT / ".venv-bench" / "bin" / "python"
CONVERTED = ROOT / ".venv-bench" / "converted"  # models that some of them convert once
NOT_INSTALLED = "not installed: make bench installs it"


@dataclass(frozen=True)
class Entry:
    """One contender.

    Attributes:
        name: As arguments and metrics write it.
        label: As tables and figures write it; the version is added.
        module: In `benchmarks.contenders`.
        distribution: The package whose version is shown.
        peer: Whether it needs the environment of the other tools.
        gives: Log-probs of every token, or sums over each text.
        converts: Whether its module has a `prepare`.
        options: For the module.
        interpreter: Of an environment of its own, instead of the other tools'.
    """

    name: str
    label: str
    module: str
    distribution: str
    peer: bool = True
    gives: Literal["tokens", "sums"] = "tokens"
    converts: bool = False
    options: dict[str, str] = field(default_factory=dict)
    interpreter: Path | None = None

    def with_version(self, version: str) -> str:
        """The label with a version behind the tool's name."""
        name, comma, more = self.label.partition(",")
        return f"{name} {version}{comma}{more}"

    @property
    def dtype(self) -> str:
        """The type that it computes in."""
        return self.options.get("dtype", "float32")

    @property
    def python(self) -> Path:
        """The interpreter of its environment."""
        return self.interpreter or (PEERS_PYTHON if self.peer else Path(sys.executable))


PLAIN = Entry("plain-loop", "plain loop", "plain_loop", "transformers", peer=False)
REFERENCE = Entry("reference", "reference", "plain_loop", "transformers", peer=False, options={"dtype": "float64"})
PRODUCTS = Entry("products", "matrix products", "products", "torch", peer=False)
OURS = Entry("tokenviz", "tokenviz", "ours", "tokenviz-harness", peer=False)
PREVIEW = Entry("tokenviz-bfloat16", "tokenviz, bfloat16", "ours", "tokenviz-harness", peer=False,
                options={"dtype": "bfloat16"})  # fmt: skip

LINEUP = (
    OURS,
    PREVIEW,
    PLAIN,
    Entry("minicons", "minicons", "minicons_scorer", "minicons"),
    Entry("lm-eval", "lm-eval", "lm_eval_harness", "lm-eval", gives="sums"),
    Entry("surprisal", "surprisal", "surprisal_package", "surprisal"),
    Entry("ctranslate2", "CTranslate2", "ctranslate2_generator", "ctranslate2", converts=True),
    Entry("openvino", "OpenVINO", "openvino_graph", "openvino", converts=True),
    Entry("onnxruntime", "ONNX Runtime", "onnx_graph", "onnxruntime", converts=True),
)

# On a GPU: `python -m benchmarks.gpu`.
GPU_LINEUP = (
    *(entry for entry in LINEUP if entry.name in ("minicons", "lm-eval")),
    Entry("vllm", "vLLM", "vllm_engine", "vllm"),
)
