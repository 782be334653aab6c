"""`words`: plain and corrected log-probs, held against arithmetic, against a loop of other code, and against what must hold."""

import itertools
import json
import math
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from arithmetic import SPACED_TOKENS, SPACED_WEIGHTS
from hypothesis import HealthCheck, given, settings
from reference import FLOAT32, exact
from tables import NAN, make_scores, make_spec, tokenized
from writing import TEXTS

import tokenviz as tv
from tokenviz.data.scores import TokenScores
from tokenviz.data.texts import corpus
from tokenviz.models.loading import LoadedModel, load_model
from tokenviz.scoring.kernel import Kernel
from tokenviz.scoring.scorer import score
from tokenviz.units.word_scores import WordScores, words
from tokenviz.units.words import Punctuation, words_of

MODES: list[Punctuation] = ["attached", "apart"]
MATRON, MAT = "I was a matron in France.", "I was a mat in France."
ALICE = 'Alice was  beginning to "get very\ntired", of sitting by her sister (on the bank).\n'

P = SPACED_WEIGHTS / SPACED_WEIGHTS.sum(axis=1, keepdims=True)
AT = {token: number for number, token in enumerate(SPACED_TOKENS)}
OPEN = [AT[token] for token in ("<eos>", " a", " b", " ", "\n")]
SPACE = dict(zip(SPACED_TOKENS, np.log(P[:, OPEN].sum(1)), strict=True))  # log-prob that whitespace or the end follows
EITHER = dict(zip(SPACED_TOKENS, np.log(P[:, [*OPEN, AT["."]]].sum(1)), strict=True))  # or a full stop


def log(*tokens: str) -> float:
    """Log-prob of a chain of tokens after the first of them."""
    return sum(math.log(P[AT[one], AT[other]]) for one, other in itertools.pairwise(tokens))


def assert_columns(found: WordScores, expected: list[tuple[str, float, float]]) -> None:
    assert list(found.word) == [row[0] for row in expected]
    np.testing.assert_allclose(found.logprob, [row[1] for row in expected], atol=1e-5)
    np.testing.assert_allclose(found.corrected_logprob, [row[2] for row in expected], atol=1e-5)


def test_attached_words_by_hand(spaced: LoadedModel) -> None:
    found = words(score(spaced, "ab b.  a\nb", bos="always"))
    assert_columns(
        found,
        [
            ("ab", log("<eos>", "a", "b"), log("<eos>", "a", "b") + SPACE["b"]),
            (" b.", log("b", " b", "."), log("b", " b", ".") + SPACE["."] - SPACE["b"]),
            ("  a", log(".", " ", " a"), log(".", " ", " a") + SPACE[" a"] - SPACE["."]),
            ("\nb", log(" a", "\n", "b"), log(" a", "\n", "b") + SPACE["b"] - SPACE[" a"]),
        ],
    )
    np.testing.assert_allclose(found.end_logprob, [SPACE["b"], SPACE["."], SPACE[" a"], SPACE["b"]], atol=1e-5)
    assert found.n_tokens.tolist() == [2, 2, 2, 2]
    assert found.uncorrected == ""


def test_words_apart_from_punctuation_by_hand(spaced: LoadedModel) -> None:
    found = words(score(spaced, "ab b.  a.b", bos="always"), punctuation="apart")
    assert_columns(
        found,
        [
            ("ab", log("<eos>", "a", "b"), log("<eos>", "a", "b") + EITHER["b"]),
            (" b", log("b", " b"), log("b", " b") + EITHER[" b"] - EITHER["b"]),
            (".", log(" b", "."), log(" b", ".") - EITHER[" b"]),  # a full stop cannot go on: nothing to pay
            # UAX #29 joins letters around a full stop.
            ("  a.b", log(".", " ", " a", ".", "b"), log(".", " ", " a", ".", "b") + EITHER["b"]),
        ],
    )


def test_whitespace_at_the_end_is_a_word_that_is_over(spaced: LoadedModel) -> None:
    found = words(score(spaced, "a \n", bos="always"))
    assert_columns(
        found,
        [
            ("a", log("<eos>", "a"), log("<eos>", "a") + SPACE["a"]),
            (" \n", log("a", " ", "\n"), log("a", " ", "\n") - SPACE["a"]),
        ],
    )


def test_a_text_that_begins_with_whitespace_has_it_in_its_first_word(spaced: LoadedModel) -> None:
    found = words(score(spaced, " ab", bos="always"))
    assert_columns(found, [(" ab", log("<eos>", " a", "b"), log("<eos>", " a", "b") + SPACE["b"])])


def test_without_a_bos_the_first_word_is_missing_and_the_second_is_not(spaced: LoadedModel) -> None:
    found = words(score(spaced, "ab b"))
    assert_columns(found, [("ab", NAN, NAN), (" b", log("b", " b"), log("b", " b") + SPACE[" b"] - SPACE["b"])])
    assert found.end_logprob[0] == pytest.approx(SPACE["b"], abs=1e-5)


@pytest.mark.parametrize("mode", MODES)
def test_the_probabilities_of_all_next_words_sum_to_1(spaced: LoadedModel, mode: Punctuation) -> None:
    """After "a" and its end: the words of up to 5 tokens, and what is left by arithmetic."""
    inside = ["a", "b", "."] if mode == "attached" else ["a", "b"]
    ends = SPACE if mode == "attached" else EITHER
    longest = 5
    texts = [
        "a" + first + "".join(rest)
        for first in (" a", " b")
        for length in range(longest)
        for rest in itertools.product(inside, repeat=length)
    ]
    found = words(score(spaced, corpus(texts, name="words")), punctuation=mode)
    rows = [np.flatnonzero(found.passage == number)[1] for number in range(len(texts))]
    total = np.exp(found.corrected_logprob[rows]).sum()
    others = ["<eos>", " ", "\n", *([] if mode == "attached" else ["."])]
    left = P[AT["a"], [AT[token] for token in others]].sum() / math.exp(ends["a"])
    # What goes on after the longest: the first token, then `longest` more inside tokens.
    state = np.array([P[AT["a"], AT[token]] if token in (" a", " b") else 0.0 for token in SPACED_TOKENS])
    goes_on = np.array([[P[i, j] if token in inside else 0.0 for j, token in enumerate(SPACED_TOKENS)] for i in range(len(P))])
    left += (state @ np.linalg.matrix_power(goes_on, longest)).sum() / math.exp(ends["a"])
    assert total + left == pytest.approx(1, abs=1e-5)
    # The plain sums count every word that begins with these letters: the shorter ones hold the longer ones.
    assert np.exp(found.logprob[rows]).sum() / math.exp(ends["a"]) > total + 0.2


@pytest.mark.parametrize("mode", MODES)
def test_corrected_words_add_up_to_the_text_and_its_end(gpt2: LoadedModel, mode: Punctuation) -> None:
    passages = [ALICE, "The cat's mat", "(“No!” she   said)\r\n\r\n\tand left…", "a"]
    scores = score(gpt2, corpus(passages, name="alice"), bos="always")
    found = words(scores, punctuation=mode)
    for number in range(len(passages)):
        own, tokens = found.passage == number, scores.passage == number
        end = found.end_logprob[own][-1]
        assert found.logprob[own].sum() == pytest.approx(scores.logprob[tokens].sum(), abs=1e-9)
        assert found.corrected_logprob[own].sum() == pytest.approx(scores.logprob[tokens].sum() + end, abs=1e-9)
        assert end <= 0


def reference_words(model: LoadedModel, text: str) -> list[tuple[str, float, float]]:
    """Attached words by other code: a regular expression, one prefix at a time in float64, a vocabulary sorted by decoding."""
    ids = model.tokenizer(text, add_special_tokens=False)["input_ids"]
    prefix = (model.tokenizer.bos_token_id,) if model.tokenizer.bos_token_id is not None else ()
    logprobs = exact(model.resolved.folder, [*ids, 0], prefix=prefix).logprobs
    anchor = model.tokenizer("a", add_special_tokens=False)["input_ids"]
    decoded = model.tokenizer.backend_tokenizer.decode_batch([[*anchor, i] for i in range(len(model.tokenizer))])
    opening = [i for i, piece in enumerate(decoded) if piece[1:2].isspace() or i == model.tokenizer.eos_token_id]
    space = np.log(np.exp(logprobs[:, opening]).sum(axis=1))
    rows, place, before = [], 0, 0.0
    for word in re.findall(r"\s*\S+|\s+$", text):
        first, length = place, 0
        while length < len(word):
            length += len(decoded[ids[place]]) - 1
            place += 1
        assert length == len(word)
        plain = sum(logprobs[i, ids[i]] for i in range(first, place))
        end = space[place] if word.strip() else 0.0
        rows.append((word, plain, plain + end - before))
        before = end
    return rows


@pytest.mark.parametrize(("name", "quote"), [("glass", "“"), ("gpt2", '"')])  # each as one token
def test_words_agree_with_other_code(name: str, quote: str, request: pytest.FixtureRequest) -> None:
    model = request.getfixturevalue(name)
    text = ALICE.replace('"', quote)
    found = words(score(model, text, bos="always" if model.tokenizer.bos_token_id is not None else "auto"))
    expected = reference_words(model, text)
    assert list(found.word) == [word for word, *_ in expected]
    np.testing.assert_allclose(found.logprob, [row[1] for row in expected], rtol=0, atol=2 * FLOAT32)
    np.testing.assert_allclose(found.corrected_logprob, [row[2] for row in expected], rtol=0, atol=2 * FLOAT32)


def assert_tells_mat_from_matron(model: LoadedModel, *, least: float) -> None:
    """The letters of "mat" cost the same in both; that the word is over costs what the plain sum leaves to the next one."""
    matron, mat = score(model, MATRON), score(model, MAT)
    inside = [row for row in range(len(matron)) if matron.end[row] <= len("I was a mat")]
    plain = words(mat)
    row = plain.word.index(" mat")
    assert plain.logprob[row] == pytest.approx(matron.logprob[inside][-plain.n_tokens[row] :].sum(), abs=1e-4)
    before = plain.end_logprob[row - 1]
    assert matron.space_logprob[inside[-plain.n_tokens[row] - 1]] == pytest.approx(before, abs=1e-4)
    # To have begun with these letters is one thing, for the word to be over after them another.
    begun = plain.logprob[row] - before
    assert plain.corrected_logprob[row] < begun - least
    # What "mat" pays the word after it saves.
    assert plain.corrected_logprob[row + 1] > plain.logprob[row + 1] + least
    assert words(matron).word[row] == " matron"


def test_mat_is_told_from_matron(glass: LoadedModel) -> None:
    assert_tells_mat_from_matron(glass, least=1.5)


@pytest.fixture(scope="module")
def smollm2() -> LoadedModel:
    return load_model("smollm2-135m")


@pytest.mark.slow
def test_smollm2_tells_mat_from_matron(smollm2: LoadedModel) -> None:
    assert_tells_mat_from_matron(smollm2, least=2)


@pytest.mark.slow
def test_gemma3_tells_mat_from_matron() -> None:
    assert_tells_mat_from_matron(load_model("gemma3-270m"), least=2)


def corrected_by_minicons(model: LoadedModel, text: str) -> list[float]:
    """Bits a token, where each token is a word: what minicons 0.3 gives with `bow_correction` and a BOS.

    Its set is the tokens that begin with the mark of a space: without line ends, tabs and special tokens.
    """
    scores = score(model, text, bos="always", top_k=model.vocabulary)
    mark = model.tokenizer.convert_ids_to_tokens(model.tokenizer(" ")["input_ids"])[0]
    marked = [number for piece, number in model.tokenizer.get_vocab().items() if piece.startswith(mark)]
    rows = zip(scores.top_ids, scores.top_logprobs, strict=True)
    space = [np.logaddexp.reduce(logprobs[np.isin(ids, marked)]) for ids, logprobs in rows]
    space[0] = 0.0
    return [-(scores.logprob[i] + space[i + 1] - space[i]) / math.log(2) for i in range(len(scores) - 1)]


@pytest.mark.slow
def test_the_predictions_are_those_that_minicons_corrects(smollm2: LoadedModel) -> None:
    found = corrected_by_minicons(smollm2, MAT)  # minicons 0.3.39 on the same weights
    np.testing.assert_allclose(found[:5], [13.667, 4.310, 3.679, 15.723, 4.110], rtol=0, atol=2e-3)


@pytest.mark.slow
def test_more_tokens_end_a_word_here_than_in_minicons(smollm2: LoadedModel) -> None:
    found = words(score(smollm2, MAT, bos="always"))
    theirs = corrected_by_minicons(smollm2, MAT)[3]
    ours = -found.corrected_logprob[3] / math.log(2)
    # A line end or the end of the text after "I was a mat" is what a model of chats expects in one case of four.
    assert theirs - 0.5 < ours < theirs - 0.1


@pytest.mark.network
def test_published_values_of_gpt2_xl() -> None:
    # minicons, examples/surprisals_correction.py, in bits.
    model = load_model("gpt2-xl")
    plain = score(model, MAT, bos="always")
    assert plain.token[3] == score(model, MATRON, bos="always").token[3] == " mat"
    assert -plain.logprob[3] / math.log(2) == pytest.approx(16.3446, abs=2e-3)
    found = corrected_by_minicons(model, MAT)
    np.testing.assert_allclose(found[:5], [6.3007, 3.8402, 4.6762, 21.3354, 5.8012], rtol=0, atol=2e-3)
    ours = -words(plain).corrected_logprob[3] / math.log(2)
    assert found[3] - 0.5 < ours < found[3]


def test_a_script_without_spaces_has_sums_and_no_correction(gpt2: LoadedModel) -> None:
    scores = score(gpt2, "日本の首都は東京です。", bos="always")
    found = words(scores)
    assert found.logprob.sum() == pytest.approx(scores.logprob.sum(), abs=1e-9)
    assert np.isnan(found.corrected_logprob).all()
    assert found.uncorrected == (
        f"no word of {scores.text_name!r} by {gpt2.label!r} has a corrected log-prob: none is scored and stands between two "
        "ends that whitespace shows"
    )


def test_words_beside_a_script_without_spaces_are_not_corrected_and_others_are(gpt2: LoadedModel) -> None:
    found = words(score(gpt2, "We like 東京 very much iPhoneを see", bos="always"))
    assert found.uncorrected == ""
    known = dict(zip(found.word, np.isfinite(found.corrected_logprob), strict=True))
    assert known[" like"]
    assert known[" much"]
    # Whether the word before has ended is known; whether 東京 has is not, and so what "very" begins with is not.
    assert not known[" 東京"]
    assert not known[" very"]
    assert not known[" iPhone"]
    assert not known[" see"]


def test_a_character_that_begins_in_the_token_before_is_not_corrected(gpt2: LoadedModel) -> None:
    # GPT-2 has no token for an emoji: the word's end is followed by bytes of which it is not known what they begin.
    found = words(score(gpt2, "so 🐈 it", bos="always"), punctuation="apart")
    assert found.word == ("so", " 🐈", " it")
    assert np.isfinite(found.corrected_logprob).all()
    beside = words(score(gpt2, "so🐈 it", bos="always"), punctuation="apart")
    assert beside.word == ("so", "🐈", " it")
    assert np.isnan(beside.corrected_logprob).tolist() == [True, True, False]


def test_a_closing_quote_of_three_bytes_is_punctuation(gpt2: LoadedModel) -> None:
    found = words(score(gpt2, "“No” she", bos="always"), punctuation="apart")
    assert found.word == ("“", "No", "”", " she")
    assert np.isfinite(found.corrected_logprob).all()
    assert (found.corrected_logprob < 0).all()


@pytest.mark.parametrize("mode", MODES)
@given(passage=TEXTS)
@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_must_hold_on_any_text(gpt2: LoadedModel, mode: Punctuation, passage: str) -> None:
    scores = with_word_starts(tokenized(gpt2.tokenizer, [passage, passage[::-1]], model="gpt2", first=True), gpt2)
    found = words(scores, punctuation=mode)
    whole = ["".join(found.word[i] for i in np.flatnonzero(found.passage == number)) for number in (0, 1)]
    assert whole == [passage, passage[::-1]]
    assert found.n_words.sum() == sum(len(words_of(one, punctuation=mode)) for one in whole)
    # By other code: a word's tokens are those whose character, or the character that they share, is in it.
    characters = np.where(scores.end > scores.start, scores.start, scores.start - 1)
    for row in range(len(found)):
        own = (scores.passage == found.passage[row]) & (characters >= found.start[row]) & (characters < found.end[row])
        assert found.logprob[row] == pytest.approx(scores.logprob[own].sum(), abs=1e-9)
        assert found.n_tokens[row] == own.sum()
    for number in (0, 1):
        own = found.passage == number
        corrected = found.corrected_logprob[own]
        if not np.isnan(corrected).any():
            total = found.logprob[own].sum() + found.end_logprob[own][-1]
            assert corrected.sum() == pytest.approx(total, abs=1e-9)


def with_word_starts(scores: TokenScores, model: LoadedModel) -> TokenScores:
    """Made-up scores with the word starts of a real vocabulary and made-up masses."""
    n = len(scores)
    return replace(
        scores,
        spec=make_spec(spaces="front"),
        opens=Kernel.of(model).word_starts.kinds[scores.token_id],
        space_logprob=-np.random.default_rng(1).exponential(1, n),
        punctuation_logprob=-np.random.default_rng(2).exponential(3, n),
    )


def test_a_word_with_an_unscored_token_is_missing() -> None:
    scores = make_scores([["T", "he", " cat"], ["The", " cat"]], [NAN, -1, -2, -4, -8])
    np.testing.assert_array_equal(words(scores).logprob, [NAN, -2, -4, -8])


def test_a_token_that_straddles_words_joins_them() -> None:
    found = words(make_scores([["我", "爱北", "京", "。"]], [-1, -2, -4, -8]))
    assert found.word == ("我", "爱北京。")
    assert found.n_words.tolist() == [1, 2]
    assert found.logprob.tolist() == [-1, -14]


@pytest.mark.parametrize(
    ("spaces", "reason"),
    [
        ("none", "its tokenizer marks where words end, or keeps no spaces, and the correction is for spaces at the front"),
        ("apart", "its tokenizer makes a space a token by itself, and the correction is for spaces at the front of words"),
    ],
)
def test_other_tokenizers_are_refused_the_correction_with_a_reason(spaces: str, reason: str) -> None:
    scores = replace(make_scores([["(", "a", " ", "b", "!", "!"]], name="sample"), spec=make_spec(spaces=spaces))
    for mode, logprob in (("attached", [NAN, -9]), ("apart", [NAN, -1, -3.5, -2.5, -3])):
        found = words(scores, punctuation=mode)
        np.testing.assert_array_equal(found.logprob, logprob)
        assert np.isnan(found.corrected_logprob).all()
        assert np.isnan(found.end_logprob).all()
        assert found.uncorrected == f"no word of 'sample' by 'model-a' has a corrected log-prob: {reason}"


def test_a_frame_has_one_row_a_word_and_surprisals_in_bits(spaced: LoadedModel) -> None:
    found = words(score(spaced, "ab b."))
    frame = found.to_frame()
    assert list(frame) == [
        "passage", "start", "end", "word", "n_words", "n_tokens", "logprob", "end_logprob", "corrected_logprob",
        "surprisal_bits", "corrected_surprisal_bits",
    ]  # fmt: skip
    np.testing.assert_array_equal(frame["surprisal_bits"], -found.logprob / math.log(2))
    np.testing.assert_array_equal(frame["corrected_surprisal_bits"], -found.corrected_logprob / math.log(2))
    certain = words(make_scores([["a"]], [0.0])).to_frame()
    assert math.copysign(1, certain["surprisal_bits"][0]) == 1


def test_json_rows_hold_plain_values_and_null_for_what_is_missing(spaced: LoadedModel) -> None:
    rows = words(score(spaced, "ab b.")).to_json()
    assert json.loads(json.dumps(rows, allow_nan=False)) == rows
    assert rows[0]["logprob"] is None
    assert rows[1]["word"] == " b."
    assert {type(value) for row in rows for value in row.values()} == {int, float, str, type(None)}


def test_words_of_a_table_read_back_are_the_same(spaced: LoadedModel, tmp_path: Path) -> None:
    scores = score(spaced, "ab b.")
    scores.save(tmp_path / "t.parquet")
    read = words(tv.TokenScores.load(tmp_path / "t.parquet"))
    np.testing.assert_array_equal(read.corrected_logprob, words(scores).corrected_logprob)
