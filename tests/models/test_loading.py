"""Folders, files and the hub: what is loaded, and what is refused before or while it is read."""

import json
import os
import re
import shutil
import subprocess
import sys
import types
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from arithmetic import BIGRAM_WEIGHTS
from folders import add_pickle, edit_json, edit_weights
from hub import COMMIT, Models
from safetensors.torch import load_file
from torch.utils._python_dispatch import TorchDispatchMode

from tokenviz.base.errors import ModelError
from tokenviz.models.loading import LoadedModel, load_model, resolve
from tokenviz.models.runtime import imports_put_off
from tokenviz.models.spec import ModelSpec
from tokenviz.scoring.scorer import score


def refused(message: str):
    return pytest.raises(ModelError, match=f"^{re.escape(message)}$")


def refused_because(message: str):
    """For messages that end in a library's own words."""
    return pytest.raises(ModelError, match=f"^{re.escape(message)}.+$")


# ---- what is loaded ------------------------------------------------------------------------------------------------


def test_a_folder_is_loaded_as_it_is(folder: Path) -> None:
    model = load_model(str(folder))
    assert (model.label, model.resolved.source, model.resolved.folder) == (str(folder), "folder", folder)
    assert (model.context, model.vocabulary) == (64, len(BIGRAM_WEIGHTS))
    assert not model.network.training
    assert not any(weight.requires_grad for weight in model.network.parameters())
    assert set(model.versions) == {"torch", "transformers", "tokenizers"}


def test_a_catalogue_name_comes_before_a_folder_of_that_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, glass: LoadedModel
) -> None:
    (tmp_path / "glass-en").mkdir()
    monkeypatch.chdir(tmp_path)
    assert resolve(ModelSpec("glass-en")) == glass.resolved


@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16", "float16"])
def test_the_weights_have_the_dtype_that_was_asked_for(bigram: LoadedModel, dtype: str) -> None:
    model = load_model(f"{bigram.resolved.folder},dtype={dtype}")
    assert {weight.dtype for weight in model.network.parameters()} == {getattr(torch, dtype)}
    assert score(model, "ab").spec.dtype == dtype


def test_float32_is_the_default_whatever_the_folder_says(folder: Path) -> None:
    edit_weights(folder, lambda weights: weights.update({name: value.bfloat16() for name, value in weights.items()}))
    edit_json(folder / "config.json", dtype="bfloat16")
    model = load_model(str(folder))
    assert {weight.dtype for weight in model.network.parameters()} == {torch.float32}


def test_the_identity_is_that_of_the_files(folder: Path, bigram: LoadedModel) -> None:
    before = resolve(ModelSpec(str(folder))).identity
    assert before == bigram.resolved.identity
    assert re.fullmatch("sha256:[0-9a-f]{64}", before)
    edit_weights(folder, lambda weights: weights["lm_head.weight"].add_(1))
    after = resolve(ModelSpec(str(folder))).identity
    edit_json(folder / "config.json", rms_norm_eps=1e-3)
    assert len({before, after, resolve(ModelSpec(str(folder))).identity}) == 3


def test_a_model_that_states_no_limit_gets_one(tmp_path: Path, bigram: LoadedModel) -> None:
    from transformers import BloomConfig, BloomForCausalLM

    BloomForCausalLM(BloomConfig(vocab_size=4, hidden_size=8, n_layer=1, n_head=2)).save_pretrained(tmp_path)
    bigram.tokenizer.save_pretrained(tmp_path)
    assert load_model(str(tmp_path)).context == 2048


def test_the_device_is_chosen_and_recorded(bigram: LoadedModel) -> None:
    found = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    assert bigram.device == found
    assert load_model(f"{bigram.resolved.folder},device=cpu").device == "cpu"


def test_a_device_that_is_not_there_is_refused(bigram: LoadedModel) -> None:
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    missing = "mps" if there["cuda"] else "cuda"  # no machine has both
    have = ", ".join(device for device, is_there in there.items() if is_there)
    with refused(f"device={missing}: torch finds none on this machine; it has {have}"):
        load_model(f"{bigram.resolved.folder},device={missing}")


def test_folders_with_commas_and_ats_in_their_names_are_loaded(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    expected = score(load_model(str(folder)), "abcd").logprob
    for name in ("my,model", "gpt2@step1000", "x,dtype=bfloat16"):
        (tmp_path / "names").mkdir(exist_ok=True)
        shutil.copytree(folder, tmp_path / "names" / name)
        for spec in (f"names/{name}", load_model(f"names/{name}").label):
            found = score(load_model(spec), "abcd")
            np.testing.assert_array_equal(found.logprob, expected)
            assert found.spec.dtype == "float32"
        assert load_model(f"names/{name},dtype=float64").network.dtype == torch.float64


# ---- what is refused -----------------------------------------------------------------------------------------------


def test_a_pickle_beside_safetensors_is_not_read(folder: Path) -> None:
    add_pickle(folder, "pytorch_model.bin")
    load_model(str(folder))
    assert not (folder / "bang").exists()


def test_an_unknown_setting_of_a_tokenizer_is_nothing(folder: Path) -> None:
    (folder / "tokenizer_config.json").write_text('{"model": 3}')
    assert load_model(str(folder)).vocabulary == 4


@pytest.mark.parametrize("model_type", ["llama", "oddity"])
def test_code_that_comes_with_a_model_is_never_run(folder: Path, tmp_path: Path, model_type: str) -> None:
    marker = tmp_path / "ran"
    code = f"open({str(marker)!r}, 'w')\nclass Config: ...\nclass Model: ...\nclass Tokens: ...\n"
    (folder / "custom.py").write_text(code)
    classes = {"AutoConfig": "custom.Config", "AutoModelForCausalLM": "custom.Model", "AutoTokenizer": ["custom.Tokens", None]}
    edit_json(folder / "config.json", model_type=model_type, auto_map=classes)
    edit_json(folder / "tokenizer_config.json", auto_map=classes)
    if model_type == "llama":
        load_model(str(folder))
    else:
        with refused_because(f"cannot load {str(folder)!r}: "):
            load_model(str(folder))
    assert not marker.exists()


# ---- the hub -------------------------------------------------------------------------------------------------------


def test_a_hub_id_is_fetched_and_pinned_to_its_commit(hub: type[Models], bigram: LoadedModel) -> None:
    model = load_model("owner/tiny@main")
    assert (model.resolved.source, model.resolved.identity) == ("hub", f"commit:{COMMIT}")
    np.testing.assert_array_equal(score(model, "abcd").logprob, score(bigram, "abcd").logprob)
    assert not list(model.resolved.folder.glob("*.bin"))


def test_the_weights_of_a_hub_model_are_known_by_their_sha256(hub: type[Models], bigram: LoadedModel) -> None:
    expected = sha256((bigram.resolved.folder / "model.safetensors").read_bytes()).hexdigest()
    model = load_model("owner/tiny")
    assert model.resolved.weights_sha256 == score(model, "ab").spec.weights_sha256 == expected
    assert score(bigram, "ab").spec.weights_sha256 == ""


def test_weights_in_sub_folders_of_a_hub_model_are_fetched(hub: type[Models], bigram: LoadedModel, tmp_path: Path) -> None:
    hub.folder = Path(shutil.copytree(bigram.resolved.folder, tmp_path / "split"))
    (hub.folder / "weights").mkdir()
    (hub.folder / "onnx").mkdir()
    (hub.folder / "onnx" / "model.safetensors").write_bytes(b"for another program")
    (hub.folder / "model.safetensors").rename(hub.folder / "weights" / "all.safetensors")
    names = load_file(hub.folder / "weights" / "all.safetensors")
    index = {"metadata": {}, "weight_map": dict.fromkeys(names, "weights/all.safetensors")}
    (hub.folder / "model.safetensors.index.json").write_text(json.dumps(index))
    model = load_model("owner/tiny")
    np.testing.assert_array_equal(score(model, "abcd").logprob, score(bigram, "abcd").logprob)
    assert not (model.resolved.folder / "onnx").exists()
    hub.extra = {"model.safetensors.index.json": json.dumps({**index, "weight_map": {"a": "../w.safetensors"}}).encode()}
    shutil.rmtree(tmp_path / "hub")
    with refused(
        "'owner/tiny' is refused: its model.safetensors.index.json names '../w.safetensors', which leads out of the folder; a "
        "model's files must be in its folder"
    ):
        load_model("owner/tiny")


# ---- a process's first calls of elementary functions -----------------------------------------------------------------

FIRST_CALLS = """
import os, sys
import torch
from tokenviz.models.runtime import warm_up_vector_math

angles = torch.arange(12.0)[:, None] * torch.linspace(0.0001, 1, 256)  # enough for every thread to get a share
for _ in range(1000):
    child = os.fork()
    if not child:
        warm_up_vector_math()
        os._exit(not torch.equal(angles.cos(), angles.cos()))
    if os.waitpid(child, 0)[1]:
        sys.exit("the first cosines were not the second ones")
"""


@pytest.mark.slow
def test_the_first_cosines_of_a_process_are_as_exact_as_later_ones() -> None:
    """Without the call that `load` makes they are not in 0.2 to 7 of 100 processes, on an Intel Xeon of two cores."""
    threads = {"OMP_NUM_THREADS": "2"}
    command = [sys.executable, "-c", FIRST_CALLS]
    done = subprocess.run(command, env={**os.environ, **threads}, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr


class ElementaryCalls(TorchDispatchMode):
    """How many numbers each call of an elementary function is given."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[int] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in (torch.ops.aten.exp.default, torch.ops.aten.cos.default, torch.ops.aten.sin.default):
            self.sizes.append(args[0].numel())
        return func(*args, **(kwargs or {}))


def test_loading_makes_the_first_call_with_one_number(bigram: LoadedModel) -> None:
    with ElementaryCalls() as calls:
        load_model(str(bigram.resolved.folder))
    assert calls.sizes[:1] == [1]


# ---- what is imported to load a model -----------------------------------------------------------------------------------

RARE = """
import rare_marks

class Base:
    words = {"a": 1}
    def say(self):
        return "real"

def double(x):
    return 2 * x

table = {"key": "value"}
__version__ = "3.1"
"""


@pytest.fixture
def rare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A package with a module below it; importing the real one imports `rare_marks` as well."""
    for name, source in {"rare/__init__.py": RARE, "rare/below.py": RARE, "rare_marks.py": ""}.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(source)
    monkeypatch.syspath_prepend(str(tmp_path))
    before = list(sys.meta_path)
    yield "rare"
    assert sys.meta_path == before
    for name in ("rare", "rare.below", "rare_marks"):
        sys.modules.pop(name, None)


def test_a_module_is_imported_when_something_of_it_is_used(rare: str) -> None:
    with imports_put_off((rare,)):
        from rare.below import Base, double  # type: ignore[import-not-found]  # of the fixture

        assert not isinstance(3, Base)
        assert not issubclass(int, Base)
        assert "rare_marks" not in sys.modules
    assert "rare" not in sys.modules
    assert not isinstance(3, Base)
    assert "rare_marks" not in sys.modules
    assert double(4) == 8
    real = sys.modules["rare.below"].Base
    assert isinstance(real(), Base)
    assert isinstance(Base(), real)
    assert issubclass(real, Base)
    assert not isinstance(3, Base)


@pytest.mark.parametrize(
    "use",
    [
        lambda module: module.double(1) == 2,
        lambda module: module.Base.words["a"] == 1,
        lambda module: module.table["key"] == "value",
        lambda module: "key" in module.table,
        lambda module: list(module.table) == ["key"],
        lambda module: types.new_class("Sub", types.resolve_bases((module.Base,)))().say() == "real",
        lambda module: module.__version__ == "3.1",
        lambda module: isinstance(None, module.Base | None),
        lambda module: isinstance(None, None | module.Base),
    ],
)
def test_a_module_that_is_used_at_once_is_imported_at_once(rare: str, use: Callable[[Any], bool]) -> None:
    with imports_put_off((rare,)):
        import rare.below as below  # type: ignore[import-not-found]  # of the fixture

        assert "rare_marks" not in sys.modules
        assert use(below)
        import rare as package  # type: ignore[import-not-found]  # of the fixture

        assert package.table == {"key": "value"}  # from now on all are real
    assert sys.modules["rare"] is package


def test_a_module_that_is_there_is_no_stand_in(rare: str) -> None:
    import rare.below as below  # type: ignore[import-not-found]  # of the fixture

    with imports_put_off((rare,)):
        import rare.below as again

        assert again is below
    assert sys.modules["rare.below"] is below


LEAN = """
import sys
from tokenviz.models import runtime
from tokenviz.models.loading import load_model
from tokenviz.scoring.scorer import score

runtime.own_process = True

rare = ("accelerate", "scipy.optimize", "sympy", "torch._dynamo", "torch.distributed.tensor", "matplotlib")
model = load_model(sys.argv[1])
before = score(model, "Alice was very tired.").logprob
assert not [name for name in rare if name in sys.modules], [name for name in rare if name in sys.modules]

import torch
from transformers import PreTrainedModel
from transformers.distributed import sharding_utils

assert not isinstance(torch.ones(1), sharding_utils.DTensor)
from torch.distributed.tensor import DTensor
assert issubclass(DTensor, sharding_utils.DTensor)

fresh = load_model(sys.argv[1]).network
ids = torch.arange(8)[None]
plain = fresh(input_ids=ids).logits
compiled = torch.compile(fresh, backend="eager")(input_ids=ids).logits
assert torch.equal(plain, compiled)
marked = PreTrainedModel.can_record_outputs.fget
assert id(marked) in torch._dynamo.trace_rules._allowed_callable_ids
assert (score(model, "Alice was very tired.").logprob[1:] == before[1:]).all()
"""


@pytest.mark.slow
def test_scoring_imports_no_code_for_compiling_and_training_which_works_afterwards() -> None:
    done = subprocess.run([sys.executable, "-c", LEAN, "glass-en"], capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr


IMPORTED = """
import sys
from tokenviz.cli.app import main
from tokenviz.models.loading import load_model

if sys.argv[1] == "score":
    try:
        main()
    except SystemExit as end:
        assert not end.code
else:
    load_model("glass-en")
sys.exit(7 if "torch._dynamo" in sys.modules else 0)
"""


@pytest.mark.slow
@pytest.mark.parametrize(("given", "code"), [(["score", "-m", "glass-en", "-t", "Alice"], 0), (["in Python"], 7)])
def test_only_the_command_puts_imports_off(given: list[str], code: int) -> None:
    done = subprocess.run([sys.executable, "-c", IMPORTED, *given], capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == code, done.stderr
