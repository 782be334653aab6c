"""Memory: a budget that fits, weights that are forgotten while they lie in their file, little that is kept."""

import copy
import mmap
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from conftest import needs_onednn
from torch import nn

from tokenviz.models.loading import load_model
from tokenviz.scoring.kernel import Kernel
from tokenviz.scoring.memory import Budget, forget_pages, forget_rows_read

needs_pagemap = pytest.mark.skipif(not Path("/proc/self/pagemap").exists(), reason="only Linux says where pages come from")


# ---- the budget ----------------------------------------------------------------------------------------------------


def test_little_free_memory_gives_a_smaller_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    plenty = Budget.of("cpu", 4096, 50_257)
    free = psutil.virtual_memory()
    monkeypatch.setattr(psutil, "virtual_memory", lambda: free._replace(available=64 << 20))
    little = Budget.of("cpu", 4096, 50_257)
    assert little.logits * 4 <= (64 << 20) / 4
    assert little.tokens < plenty.tokens


@pytest.mark.parametrize(("widest", "tokens"), [(0, 2048), (16383, 2048), (16384, 1024), (32768, 512), (1 << 20, 512)])
def test_what_a_layer_makes_fits_in_memory_that_is_kept_for_the_next(widest: int, tokens: int) -> None:
    assert Budget.of("cpu", widest, 50_257).tokens == tokens


@pytest.mark.parametrize(
    ("vocabulary", "logits"),
    [(4, 1 << 23), (49_152, 1 << 23), (151_936, 128 * 151_936), (262_144, 1 << 25), (1 << 20, 1 << 25)],
)
def test_the_head_is_read_for_enough_tokens_at_once(vocabulary: int, logits: int) -> None:
    assert Budget.of("cpu", 0, vocabulary).logits == logits


# ---- what is kept for products -------------------------------------------------------------------------------------


LIMITS = ("LRU_CACHE_CAPACITY", "ONEDNN_PRIMITIVE_CACHE_CAPACITY")
EVER_NEW_NUMBERS_OF_ROWS = """
import os, torch
from tokenviz.models.loading import load_model
from tokenviz.scoring.kernel import Kernel
from tokenviz.scoring.linear import PackedLinear
def anonymous():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) // 1024 for line in status if line.startswith("RssAnon"))
Kernel.of(load_model("glass-en,device=cpu"))
layer, x = PackedLinear(torch.ones(256, 256), None), torch.ones(1100, 256)
with torch.inference_mode():
    for rows in range(1, 1101):
        layer(x[:rows])
        if rows == 100:
            before = anonymous()
print(anonymous() - before)
"""


@pytest.mark.slow
@needs_onednn
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux says how much memory a process has")
@pytest.mark.parametrize(("own", "least", "most"), [({}, 0, 250), (dict.fromkeys(LIMITS, "1024"), 400, 2000)])
def test_ever_new_numbers_of_rows_do_not_fill_the_memory(own: dict[str, str], least: int, most: int) -> None:
    """Unless the user has set other limits: what is kept for a number of rows is 0.7 MB."""
    environment = {name: value for name, value in os.environ.items() if name not in LIMITS} | own
    done = subprocess.run(
        [sys.executable, "-c", EVER_NEW_NUMBERS_OF_ROWS], capture_output=True, text=True, check=True, env=environment
    )
    assert least <= int(done.stdout) < most


# ---- weights in their file -----------------------------------------------------------------------------------------


def mapped(path: Path, n: int) -> torch.Tensor:
    with path.open("r+b") as file:
        return torch.frombuffer(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY), dtype=torch.float32, count=n)


def resident(tensor: torch.Tensor) -> int:
    """Bytes of a tensor's mapping that are in this process's memory."""
    address = tensor.data_ptr()
    inside = False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        first = line.split()[0]
        if "-" in first and not first.endswith(":"):
            begin, end = (int(part, 16) for part in first.split("-"))
            inside = begin <= address < end
        elif inside and first == "Rss:":
            return int(line.split()[1]) * 1024
    raise AssertionError("the tensor lies in no mapping")


@pytest.fixture
def weights(tmp_path: Path) -> Any:
    values = torch.arange(1 << 20, dtype=torch.float32)
    (tmp_path / "weights").write_bytes(values.numpy().tobytes())
    return mapped(tmp_path / "weights", len(values)), values


@needs_pagemap
def test_weights_in_their_file_are_forgotten_and_read_again(weights: Any) -> None:
    found, values = weights
    assert torch.equal(found, values)
    before = resident(found)
    assert before >= found.nbytes
    forget_pages(found)
    assert resident(found) < before / 2
    assert torch.equal(found, values)


@needs_pagemap
def test_weights_that_were_changed_are_kept(weights: Any) -> None:
    found, values = weights
    found[500_000] = -1  # as rounding to 8 bits does
    forget_pages(found)
    assert found[500_000] == -1
    in_no_file = values.clone()
    forget_pages(in_no_file)
    assert torch.equal(in_no_file, values)


class Scaled(nn.Embedding):
    """As Gemma's is."""

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return super().forward(ids) * 3


@pytest.fixture
def embedding(weights: Any) -> tuple[nn.Embedding, torch.Tensor]:
    """An embedding of 1,024 ids mapped from its file, and its values."""
    found, values = weights
    found, values = found.view(1024, -1), values.view(1024, -1)
    return Scaled(*found.shape, _weight=found), values * 3


@needs_pagemap
@pytest.mark.parametrize("shape", [(1, 1000), (1, 300), (3, 700)])
def test_rows_that_were_read_do_not_stay_in_memory(
    embedding: tuple[nn.Embedding, torch.Tensor], shape: tuple[int, int]
) -> None:
    lookup, values = embedding
    forget_rows_read(lookup)
    ids = torch.randint(1024, shape, generator=torch.Generator().manual_seed(9))
    with torch.inference_mode():
        assert torch.equal(lookup(ids), values[ids])
    assert resident(lookup.weight) == 0


@needs_pagemap
def test_few_rows_stay_until_there_are_many(embedding: tuple[nn.Embedding, torch.Tensor]) -> None:
    lookup, values = embedding
    forget_rows_read(lookup)
    ids = torch.arange(100)[None]
    with torch.inference_mode():
        assert torch.equal(lookup(ids), values[ids])
        assert resident(lookup.weight) > 0
        lookup(ids)
    assert resident(lookup.weight) == 0


@needs_pagemap
def test_rows_that_were_changed_are_read_as_they_are_now(embedding: tuple[nn.Embedding, torch.Tensor]) -> None:
    lookup, values = embedding
    forget_rows_read(lookup)
    ids = torch.arange(1000)[None]
    with torch.inference_mode():
        lookup.weight[500] = 7
        for _ in range(2):
            assert (lookup(ids)[0, 500] == 21).all()
        assert torch.equal(lookup(ids)[0, :500], values[:500])


@needs_pagemap
def test_a_copy_of_an_embedding_reads_its_own_rows(embedding: tuple[nn.Embedding, torch.Tensor]) -> None:
    lookup, values = embedding
    forget_rows_read(lookup)
    twin = copy.deepcopy(lookup)
    ids = torch.arange(1000)[None]
    with torch.inference_mode():
        twin.weight.zero_()
        assert not twin(ids).any()
        assert torch.equal(lookup(ids), values[ids])


def test_an_embedding_that_lies_in_no_file_is_left_alone() -> None:
    lookup = nn.Embedding(1000, 64)
    forget_rows_read(lookup)
    assert "forward" not in vars(lookup)


@needs_pagemap
def test_scoring_lets_go_of_the_rows_it_read(gpt2_folder: Path) -> None:
    model = load_model(f"{gpt2_folder},device=cpu")
    Kernel.of(model)
    assert "forward" in vars(model.network.get_input_embeddings())
