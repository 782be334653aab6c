"""The family that is made here: the text, a few steps of real training, what is kept, and what two sizes predict."""

import csv
import re
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import Run, visible, write_wheel
from transformers import GPT2LMHeadModel

import tokenviz as tv
from tokenviz.base.errors import ModelError
from tokenviz.cli import installation
from tokenviz.models import catalogue, family
from tokenviz.models.catalogue import CATALOGUE
from tokenviz.models.family import SHAPES, Recipe, read_chapters, train, train_tokenizer
from tokenviz.models.loading import load_model, resolve
from tokenviz.models.spec import ModelSpec

VERSES = {
    1001001: 'In the beginning God created the heavens and the earth. God said, "Let there be light," and there was light. ',
    1001002: "God saw the light, and saw that it was good. God divided the light from the darkness. ",
    1002001: "The heavens and the earth were finished, and all their vast array. God`s work was done. ",
    19001001: "Blessed is the man who doesn`t walk in the counsel of the wicked,    nor stand in the way of sinners. ",
}
TINY = Recipe(vocabulary=300, context=16, batch=2, steps=12)


def source_of(verses: dict[int, str]) -> str:
    """A module as pythonbible's packages have it; to run it would fail."""
    starts = dict(zip(verses, np.cumsum([0, *map(len, verses.values())]).tolist(), strict=False))
    lines = ",\n".join(f"        {verse}: {start}" for verse, start in starts.items())
    return (
        "from pythonbible.bible.bible import Bible\n\nraise SystemExit('run')\n"
        f'bible = Bible(\n    Version.WORLD_ENGLISH,\n    """{"".join(verses.values())}""",\n    {{\n{lines}\n    }},\n)\n'
    )


CHAPTERS = read_chapters(source_of(VERSES)) * 4


def made(folder: Path, recipe: Recipe = TINY, name: str = "family-small") -> Path:
    train(CHAPTERS, SHAPES[name], recipe, folder, advance=lambda _: None)
    return folder


def weights(folder: Path) -> bytes:
    return (folder / "model.safetensors").read_bytes()


@pytest.fixture
def shelved(shelf: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both entries of the catalogue, with a short text on the shelf, and a short recipe."""
    content = source_of(VERSES).encode()
    wheel = write_wheel(shelf, "tiny_bible", {"tiny_bible/text.py": content})
    for name in SHAPES:
        entry = replace(CATALOGUE[name], wheels=(wheel,), sha256=sha256(content).hexdigest())
        monkeypatch.setitem(CATALOGUE, name, entry)
    monkeypatch.setattr(catalogue, "RECIPE", TINY)
    monkeypatch.setattr(installation, "RECIPE", TINY)


# ---- the text ------------------------------------------------------------------------------------------------------


def test_chapters_are_read_without_running_the_source() -> None:
    assert read_chapters(source_of(VERSES)) == [
        (VERSES[1001001] + VERSES[1001002]).strip() + "\n",
        "The heavens and the earth were finished, and all their vast array. God's work was done.\n",
        "Blessed is the man who doesn't walk in the counsel of the wicked,\nnor stand in the way of sinners.\n",
    ]


def test_the_tokenizer_is_the_same_every_time_and_gives_every_text_back() -> None:
    one, other = (train_tokenizer(CHAPTERS, TINY) for _ in range(2))
    assert one.backend_tokenizer.to_str() == other.backend_tokenizer.to_str()
    text = " The heavens đẹp 次\n\t🐈‍⬛!"
    assert one.decode(one(text)["input_ids"]) == text


def test_windows_are_stretches_of_the_text_in_an_order_that_the_seed_says() -> None:
    ids = np.arange(100, 200)
    windows = list(family._windows(ids, TINY))
    assert [window.shape for window in windows] == [(2, 17)] * 12
    assert all((np.diff(window) == 1).all() for window in windows)
    assert np.array_equal(windows, list(family._windows(ids, TINY)))
    assert not np.array_equal(windows, list(family._windows(ids, replace(TINY, seed=1))))
    most = max(window.max() for window in family._windows(ids, replace(TINY, steps=400)))
    assert most == 199  # the last token is learnt as well


def test_the_rate_goes_up_in_a_line_and_down_along_a_cosine() -> None:
    rates = [family._schedule(step, 100) for step in range(100)]
    assert rates[:10] == pytest.approx(np.arange(1, 11) / 10)
    assert rates[55] == pytest.approx(0.55)  # half way down, between 1 and a tenth
    assert all(a > b for a, b in pairwise(rates[10:]))
    assert 0.1 < rates[-1] < 0.11


# ---- training ------------------------------------------------------------------------------------------------------


def test_training_lowers_the_loss_that_scoring_sees(tmp_path: Path) -> None:
    folder = made(tmp_path / "m", replace(TINY, steps=40))
    with (folder / "training.csv").open(newline="") as file:
        losses = [float(row["loss"]) for row in csv.DictReader(file)]
    assert len(losses) == 40
    assert losses[0] == pytest.approx(np.log(300), abs=0.2)  # nothing is known yet: nearly uniform
    assert np.mean(losses[-5:]) < losses[0] - 1
    first, last = (load_model(str(folder / name)) for name in ("checkpoint-0", "checkpoint-40"))
    before, after = (tv.score(model, CHAPTERS[0]).summary().mean_logprob for model in (first, last))
    assert before == pytest.approx(-np.log(300), abs=0.2)
    assert after > before + 1
    # The first loss is that of the first windows under the first weights, by transformers' own arithmetic.
    ids = family._ids(CHAPTERS, first.tokenizer)
    window = torch.from_numpy(next(family._windows(ids, TINY)))
    network = GPT2LMHeadModel.from_pretrained(folder / "checkpoint-0")
    with torch.inference_mode():
        logits = network(window[:, :-1]).logits
        own = float(torch.nn.functional.cross_entropy(logits.flatten(0, 1), window[:, 1:].flatten()))
    assert losses[0] == pytest.approx(own, abs=1e-5)


def test_checkpoints_are_kept_at_doubled_steps(tmp_path: Path) -> None:
    assert Recipe().checkpoints == (0, 8, 16, 32, 64, 128, 256, 512)
    folder = made(tmp_path / "m")
    assert sorted(path.name for path in folder.glob("checkpoint-*")) == ["checkpoint-0", "checkpoint-12", "checkpoint-8"]
    assert weights(folder / "checkpoint-12") == weights(folder)
    assert len({weights(path) for path in folder.glob("checkpoint-*")}) == 3


def test_a_seed_gives_one_model_and_another_seed_another(tmp_path: Path) -> None:
    state = torch.random.get_rng_state()
    one, again = made(tmp_path / "a"), made(tmp_path / "b")
    other = made(tmp_path / "c", replace(TINY, seed=1))
    assert weights(one) == weights(again)
    assert weights(one) != weights(other)
    assert weights(one / "checkpoint-0") != weights(other / "checkpoint-0")
    assert torch.equal(torch.random.get_rng_state(), state)  # the caller's random numbers go on as they would have


def test_a_text_that_is_too_short_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"^the text has \d+ tokens, and a window has 256: take a longer text$"):
        train(CHAPTERS[:1], SHAPES["family-small"], Recipe(), tmp_path / "m", advance=lambda _: None)


# ---- the command ---------------------------------------------------------------------------------------------------


def test_two_sizes_with_one_tokenizer_are_made_and_used_by_name(run: Run, shelved: None, cache: Path) -> None:
    code, out, err = run("models", "make", "family-small", "family-large")
    assert code == 0, err
    assert out.splitlines() == [str(CATALOGUE[name].folder) for name in SHAPES]
    assert "GPT-2 of 2.2 M parameters" in err
    assert "about 5 minutes of training on two cores, once" in err
    small, large = (load_model(name) for name in SHAPES)
    assert small.tokenizer_sha256 == large.tokenizer_sha256
    assert sum(one.numel() for one in small.network.parameters()) < sum(one.numel() for one in large.network.parameters())
    assert small.resolved.description == "GPT-2 of 0.25 M parameters, trained here on the World English Bible"
    assert re.fullmatch("sha256:[0-9a-f]{64}", small.resolved.identity)
    assert len(visible(cache)) == 2
    before = weights(CATALOGUE["family-small"].folder)
    assert run("models", "make", "family-small")[0] == 0  # nothing is made again
    assert weights(CATALOGUE["family-small"].folder) == before


def test_checkpoints_have_names_of_their_own(shelved: None) -> None:
    last, early = (resolve(ModelSpec.parse(f"family-small{at}")) for at in ("", "@checkpoint-8"))
    assert early.folder == last.folder / "checkpoint-8"
    assert early.description == f"{last.description}, checkpoint-8"
    assert early.identity != last.identity
    assert resolve(ModelSpec.parse("family-small@checkpoint-12")).identity == last.identity  # the same weights
    message = "'family-small' has no checkpoint 'checkpoint-9': it has checkpoint-N for N = 0, 8, 12"
    with pytest.raises(ModelError, match=f"^{re.escape(message)}$"):
        resolve(ModelSpec.parse("family-small@checkpoint-9"))


def test_other_seeds_go_to_a_folder_of_ones_own(run: Run, shelved: None, cache: Path, tmp_path: Path) -> None:
    code, out, _ = run("models", "make", "family-small", "--seed", "3", "--steps", "9", "--to", "mine")
    assert (code, out) == (0, "mine/family-small\n")
    assert "9 steps of 2 windows of 16 tokens, with seed 3" in Path("mine/family-small/README.md").read_text()
    assert [path.name for path in Path("mine").iterdir()] == ["family-small"]
    assert load_model("mine/family-small").context == 16
    assert not cache.exists()


def test_interrupted_training_leaves_nothing(run: Run, shelved: None, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    schedule: Callable[[int, int], float] = family._schedule
    for step in (0, 5, 11):

        def interrupted(at: int, steps: int, last: int = step) -> float:
            if at == last:
                raise KeyboardInterrupt
            return schedule(at, steps)

        monkeypatch.setattr(family, "_schedule", interrupted)
        assert run("models", "make", "family-small")[0] == 130
        assert run("models", "make", "family-small", "--to", "mine")[0] == 130
        assert visible(cache) == []
        assert list(Path("mine").iterdir()) == []
    monkeypatch.setattr(family, "_schedule", schedule)
    assert run("models", "make", "family-small")[0] == 0


# ---- the family ----------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("text", ["correlation", "narrative"])
def test_the_family_shows_what_the_published_pair_shows(text: str) -> None:
    small, large = (tv.score(load_model(name), tv.read_text(text)) for name in SHAPES)
    compared = tv.compare(small, large)
    assert compared.units.by == "token"
    assert 0.90 < compared.pearson_r.value < 0.97
    assert large.summary().mean_logprob > small.summary().mean_logprob
