"""Minimal pairs as lm-evaluation-harness and minicons decide them, item by item, on the same sentences by the same model.

They run in the environment of the benchmarks (`.venv-bench`, which `make bench` makes): `make test BENCH=1`.
"""

import json
import subprocess
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tokenviz as tv
from tokenviz.models.loading import LoadedModel
from tokenviz.units.pairs import Pairs, pair_table, read_pairs

ROOT = Path(__file__).resolve().parents[2]
PYTHON = ROOT / ".venv-bench" / "bin" / "python"
CLOSE = 2e-3  # nats, of sums: the tools add float32 log-probs in other orders

pytestmark = pytest.mark.bench

NOUNS = (("author", "authors"), ("senator", "senators"), ("dog", "dogs"), ("teacher", "teachers"), ("pilot", "pilots"))
VERBS = (("laughs", "laugh"), ("is tired", "are tired"), ("was here", "were here"), ("has left", "have left"))
BETWEEN = ("", " near the river", " that the farmers like", " of the old man", " behind the houses")


def generated() -> str:
    """A hundred pairs of agreement, half of them with a plural subject."""
    lines = ["good,bad,group"]
    for number, (noun, verb, between) in enumerate(product(NOUNS, VERBS, BETWEEN)):
        plural = number % 2
        start = f"The {noun[plural]}{between}"
        lines.append(f"{start} {verb[plural]}.,{start} {verb[1 - plural]}.,{'plural' if plural else 'singular'}")
    return "\n".join(lines) + "\n"


@pytest.fixture(scope="module")
def smollm() -> LoadedModel:
    return tv.load_model("smollm2-135m")


@pytest.fixture(scope="module", params=["agreement", "generated"])
def pairs(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Pairs:
    if request.param == "agreement":
        return read_pairs(ROOT / "experiments" / "items" / "agreement.csv")
    path = tmp_path_factory.mktemp("pairs") / "generated.csv"
    path.write_text(generated(), encoding="utf-8")
    found = read_pairs(path)
    assert len(found) == 100
    return found


@pytest.fixture(scope="module")
def theirs(pairs: Pairs, smollm: LoadedModel) -> dict[str, Any]:
    """The numbers of each tool and call, one or several per sentence."""
    done = subprocess.run(
        [PYTHON, ROOT / "tests" / "support" / "others.py", smollm.resolved.folder],
        input=json.dumps(pairs.text.passages), capture_output=True, text=True, check=False, timeout=900,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout.splitlines()[-1])
    return {name: values if isinstance(values[0], list) else np.array(values) for name, values in found.items()}


def decided(sums: np.ndarray) -> np.ndarray:
    return np.sign(sums[::2] - sums[1::2]) / 2 + 0.5


@pytest.mark.parametrize(("bos", "tool"), [("always", "lm_eval"), ("always", "minicons_bos"), ("never", "minicons")])
def test_sums_and_decisions_are_those_of_the_other_tools(
    pairs: Pairs, smollm: LoadedModel, theirs: dict[str, Any], bos: str, tool: str
) -> None:
    """lm-eval puts the tokenizer's BOS before a sentence without context, which is our `always`."""
    table = pair_table(pairs, tv.score(smollm, pairs.text, bos=bos))
    ours = np.ravel(np.column_stack([table["logprob_good"], table["logprob_bad"]]))
    np.testing.assert_allclose(ours, theirs[tool], atol=CLOSE, rtol=0)
    clear = np.abs(theirs[tool][::2] - theirs[tool][1::2]) > 2 * CLOSE
    assert clear.mean() > 0.95
    assert (decided(theirs[tool])[clear] == table["correct_sum"][clear]).all()


def test_the_other_calls_give_the_same_numbers(
    pairs: Pairs, smollm: LoadedModel, theirs: dict[str, Any], tmp_path: Path
) -> None:
    """What docs/coming-from.md says of them: means, last words, words, bits of tokens and rolling log-likelihoods."""
    sentences = pairs.text.passages
    starts = [sentence.rsplit(" ", 1) for sentence in sentences]
    rows = [{"prompt": start, "continuation": f" {last}"} for start, last in starts]
    (tmp_path / "last.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    prompts = tv.read_prompts(tmp_path / "last.jsonl")
    last = tv.prompt_table(prompts, tv.score(smollm, prompts.text))["logprob"]
    for tool in ("lm_eval_last", "minicons_last"):
        np.testing.assert_allclose(last, theirs[tool], atol=CLOSE, rtol=0)
    never, always = (tv.score(smollm, pairs.text, bos=bos) for bos in ("never", "always"))
    parts = [never.passage == number for number in range(len(sentences))]
    np.testing.assert_allclose([np.nanmean(never.logprob[part]) for part in parts], theirs["minicons_mean"], atol=CLOSE, rtol=0)
    sums = [always.logprob[always.passage == number].sum() for number in range(len(sentences))]
    np.testing.assert_allclose(sums, theirs["lm_eval_rolling"], atol=CLOSE, rtol=0)
    words = tv.words(always)
    np.testing.assert_allclose(words.logprob, np.concatenate(theirs["minicons_words"]), atol=CLOSE, rtol=0)
    bits = np.nan_to_num(-never.logprob / np.log(2))  # minicons gives 0.0 to a token without a prediction
    np.testing.assert_allclose(bits, np.concatenate(theirs["minicons_bits"]), atol=CLOSE, rtol=0)


def test_another_start_decides_otherwise(pairs: Pairs, smollm: LoadedModel, theirs: dict[str, Any]) -> None:
    """So that the equality above is no accident of easy pairs: what stands before a sentence moves its sums by nats."""
    table = pair_table(pairs, tv.score(smollm, pairs.text, bos="never"))
    assert np.abs(table["logprob_good"].to_numpy() - theirs["lm_eval"][::2]).min() > 1
