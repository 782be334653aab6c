"""Per-token values that other tools have published for models on a hub, and the published pair: `make test NETWORK=1`.

Nothing here can be computed where no hub is reached; CI does not run these tests. A tolerance is half of the last digit that
the source prints, or what its own tests allow. tests/units/test_word_scores.py has the values of gpt2-xl.

Of a tool that takes the end-of-text token out of the predictions before it normalises them (surprisal, and minicons in one of
its modes) the values are not the model's own: they are lower by at most -log(1 - P(end of text)), here some thousandths.
"""

import math
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import SAMPLES
from safetensors.torch import save_file
from transformers import GPT2Config, GPT2LMHeadModel

import tokenviz as tv
from tokenviz.models.loading import LoadedModel, load_model

END = "<|endoftext|>"  # GPT-2's BOS and end of a text are one token

# The pair's text as it was published, by mikexcohen/LLM_course.
PAIR = (
    "The goal of a correlation analysis is to compute a correlation coefficient. This coefficient is indicated using r, and is "
    "a number that encodes the normalized strength of the linear relationship between two variables. The normalization imposes "
    "boundaries of -1 to +1. Negative, zero, and positive correlation coefficients have distinct interpretations."
)


@pytest.fixture(scope="module")
def published() -> LoadedModel:
    return load_model("gpt2")


def nats(model: LoadedModel, text: str, *, bos: str) -> list[float]:
    """The log-probs of the tokens that have one, in order."""
    logprob = tv.score(model, text, bos=bos).logprob
    return logprob[~np.isnan(logprob)].tolist()


def by_word(model: LoadedModel, text: str, *, bos: str) -> dict[str, float]:
    """The surprisal of each word in bits, without the space in front."""
    found = tv.words(tv.score(model, text, bos=bos))
    return {word.strip(): -value / math.log(2) for word, value in zip(found.word, found.logprob, strict=True)}


# ---- gpt2 without a BOS --------------------------------------------------------------------------------------------


@pytest.mark.network
def test_a_sentence_and_its_violation(published: LoadedModel) -> None:
    # minicons, examples/surprisals.md
    right = nats(published, "The sketch of those trucks hasn't", bos="never")
    expected = [-10.879678726, -2.510551453, -6.663192749, -8.962379456, -8.681724548, -0.000534058]
    assert right == pytest.approx(expected, abs=1e-3)
    wrong = nats(published, "The sketch of those trucks haven't", bos="never")
    assert wrong[-2:] == pytest.approx([-10.669326782, -0.001327515], abs=1e-3)


@pytest.mark.network
def test_the_same_in_bits(published: LoadedModel) -> None:
    # minicons, examples/surprisals.md
    found = -np.array(nats(published, "The sketch of those trucks haven't", bos="never")) / math.log(2)
    assert found == pytest.approx([15.69606, 3.62196, 9.61296, 12.92998, 15.39258, 0.00192], abs=2e-3)


@pytest.mark.network
@pytest.mark.parametrize(("word", "logprob"), [("hasn't", -8.682258606), ("haven't", -10.670646667)])
def test_words_of_several_tokens_are_sums(published: LoadedModel, word: str, logprob: float) -> None:
    # minicons, pull request 66
    found = tv.words(tv.score(published, f"The sketch of those trucks {word}", bos="never"))
    assert (found.word[-1].strip(), found.logprob[-1]) == (word, pytest.approx(logprob, abs=1e-3))


@pytest.mark.network
def test_a_proverb_and_what_else_could_have_followed(published: LoadedModel) -> None:
    # pangoling, vignettes/intro-gpt2.Rmd
    scores = tv.score(published, "The apple doesn't fall far from the tree.", bos="never", top_k=10)
    found = dict(zip(scores.token, scores.logprob, strict=True))
    assert found[" apple"] == pytest.approx(-10.9, abs=0.05)
    assert found[" doesn"] == pytest.approx(-5.50, abs=5e-3)
    assert found["'t"] == pytest.approx(-0.000828, abs=5e-6)
    assert [found[" fall"], found[" far"]] == pytest.approx([-3.60, -2.91], abs=5e-3)
    assert [found[" from"], found[" the"]] == pytest.approx([-0.745, -0.207], abs=5e-4)
    assert [found[" tree"], found["."]] == pytest.approx([-0.2808024, -1.300929], abs=1e-4)
    at = scores.token.index(" tree")
    likeliest = [published.tokenizer.decode([token]) for token in scores.top_ids[at][:5]]
    assert likeliest == [" tree", " trees", " apple", " table", " head"]
    assert scores.top_logprobs[at][:5] == pytest.approx([-0.281, -3.60, -4.29, -4.50, -4.83], abs=5e-3)


@pytest.mark.network
def test_a_prefix_of_an_agreement_study(published: LoadedModel) -> None:
    # tmalsburg/llm_surprisal, README.org, in bits; its value of the first word is a known mistake
    found = by_word(published, "The key to the cabinets was", bos="never")
    assert list(found.values())[1:] == pytest.approx([10.4, 2.0, 3.8, 21.0, 4.2], abs=0.051)


# ---- gpt2 after its BOS, the end of the text scored ----------------------------------------------------------------


@pytest.mark.network
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Hello World!", [-8.293975830, -5.755699158, -1.474857330, -6.430915833]),
        ("This is an example.", [-4.858047485, -1.694931030, -2.420761108, -3.642982483, -6.384902954, -6.194488525]),
        (
            "The sky is blue today.",
            [-3.278099060, -8.624397278, -1.169471741, -2.719566345, -4.588973999, -1.297027588, -5.455337524],
        ),
    ],
)
def test_sentences_to_the_end_of_the_text(published: LoadedModel, text: str, expected: list[float]) -> None:
    # lm-scorer, tests/unit/models/test_gpt2.py, which allows a relative difference of 1e-4
    assert nats(published, text + END, bos="always") == pytest.approx(expected, rel=1e-4)


@pytest.mark.network
def test_the_id_0_is_a_token_like_others(published: LoadedModel) -> None:
    # lm-scorer, tests/unit/models/test_gpt2.py: the exclamation mark of "Hello World!"
    assert tv.score(published, "Hello World!" + END, bos="always").token_id.tolist() == [15496, 2159, 0, 50256]


@pytest.mark.network
def test_probabilities_and_their_product(published: LoadedModel) -> None:
    # lm-scorer, README
    found = nats(published, "I like this package." + END, bos="always")
    assert np.exp(found) == pytest.approx([0.018321, 0.0066431, 0.080633, 0.00060745, 0.27772, 0.0036381], rel=1e-4)
    assert sum(found) == pytest.approx(-25.835, abs=1e-3)


@pytest.mark.network
@pytest.mark.parametrize(
    ("text", "total"), [("The cat sat on the mat.", 30.357331336), ("The mat sat on the cat.", 40.837728029)]
)
def test_totals_without_the_end_of_the_text_are_a_little_lower(published: LoadedModel, text: str, total: float) -> None:
    # surprisal, tests/test_causallm.py, which masks the end of the text in every prediction
    assert 0 <= -sum(nats(published, text, bos="always")) - total < 0.02


# ---- other models --------------------------------------------------------------------------------------------------


@pytest.mark.network
def test_words_of_pythia() -> None:
    # byungdoh/llm_surprisal, README, in bits
    text = (
        "If you were to journey to the North of England, you would come to a valley that is surrounded by moors as high as "
        "mountains."
    )
    model = load_model("EleutherAI/pythia-70m@step143000")
    found = -np.array(nats(model, text, bos="always"))[:11] / math.log(2)
    expected = [8.806196213, 1.494968534, 5.134083748, 6.376556396, 15.824409485, 2.454831123, 2.214837074, 7.620594978]
    assert found == pytest.approx([*expected, 4.805300713, 0.840329707, 1.396087885], abs=2e-3)
    assert by_word(model, text, bos="always")["England,"] == pytest.approx(2.236417592, abs=2e-3)


@pytest.mark.network
def test_a_grammatical_sentence_costs_less() -> None:
    # minicons, README: totals in nats without a BOS
    model = load_model("distilgpt2")
    totals = [-sum(nats(model, f"The keys to the cabinet {verb} on the table.", bos="never")) for verb in ("are", "is")]
    assert totals == pytest.approx([39.879737854, 42.758464813], abs=1e-3)


# ---- what is chosen ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "chosen"),
    [
        ([], "not bench and not slow and not network and not gpu"),
        (["SLOW=1"], "not bench and not network and not gpu"),
        (["NETWORK=1"], "not bench and not slow and not gpu"),
        (["SLOW=1", "NETWORK=1", "GPU=1"], "not bench"),
        (["BENCH=1"], "bench"),
    ],
)
def test_make_chooses_what_is_asked_for(options: list[str], chosen: str) -> None:
    bare = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKEOVERRIDES", "MFLAGS", "SLOW")}
    command = ["make", "--no-print-directory", "-n", "-o", ".venv/ready", "-o", ".venv-bench/ready", "test", *options]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=SAMPLES.parents[1], env=bare)
    assert f"-m '{chosen}' " in done.stdout


# ---- the published pair --------------------------------------------------------------------------------------------


@pytest.mark.network
@pytest.mark.parametrize("text", ["correlation", "published"])
def test_gpt2_small_and_large_agree_as_published(published: LoadedModel, text: str) -> None:
    passage = tv.literal(PAIR, name="published") if text == "published" else tv.read_text("correlation")
    compared = tv.compare(tv.score(published, passage), tv.score("gpt2-large", passage))
    assert compared.unit == "token"
    assert compared.n == len(compared.units) - 1  # the first token has no prediction, and takes no part
    assert 0.90 <= compared.pearson_r.value <= 0.96


# ---- both at their real size, without a hub ------------------------------------------------------------------------

SHAPES = {"small": (12, 12, 768, 124_439_808), "large": (36, 20, 1280, 774_030_080)}  # layers, heads, width, parameters
SCORED = """
import resource, sys
import tokenviz as tv

text = tv.read_text(sys.argv[3])
scored = [tv.score(f"{folder},device=cpu", text) for folder in sys.argv[1:3]]
compared = tv.compare(*scored)
print(compared.n, len(compared.units), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20)
"""


def at_real_size(folder: Path, shape: tuple[int, int, int, int], tokenizer: Path) -> Path:
    """A GPT-2 in the shape of a published one, with random weights, drawn tensor by tensor."""
    layers, heads, width, parameters = shape
    config = GPT2Config(n_layer=layers, n_head=heads, n_embd=width)
    with torch.device("meta"):
        network = GPT2LMHeadModel(config)
    shapes = {name: weights.shape for name, weights in network.named_parameters()}  # the head is the embedding, once
    assert sum(one.numel() for one in shapes.values()) == parameters
    torch.manual_seed(0)
    drawn = {name: torch.empty(size).normal_(std=0.02) for name, size in shapes.items()}
    folder.mkdir()
    save_file(drawn, folder / "model.safetensors", metadata={"format": "pt"})
    config.architectures = ["GPT2LMHeadModel"]
    config.save_pretrained(folder)
    for path in tokenizer.glob("tokenizer*"):
        shutil.copy(path, folder)
    return folder


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the unit of the peak is Linux's")
def test_both_at_their_real_size_score_within_8_gb(gpt2_folder: Path, tmp_path: Path) -> None:
    folders = [at_real_size(tmp_path / name, shape, gpt2_folder) for name, shape in SHAPES.items()]
    sample = str(SAMPLES / "correlation.txt")
    done = subprocess.run(
        [sys.executable, "-c", SCORED, *map(str, folders), sample], capture_output=True, text=True, check=True
    )
    shutil.rmtree(tmp_path / "large")  # 3 GB
    n, units, gigabytes = map(float, done.stdout.split())
    assert n == units - 1
    assert 3 < gigabytes < 8
