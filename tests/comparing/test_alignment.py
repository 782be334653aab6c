"""Units of two models: tokens where the tokenizer is one, else segments that lose and double nothing."""

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tables import NAN, make_scores, tokenized
from transformers import AutoTokenizer
from writing import TEXTS

from tokenviz.comparing.alignment import By, Units, WordUnits, align, same_tokens
from tokenviz.data.scores import TokenScores
from tokenviz.models.loading import LoadedModel, resolve
from tokenviz.models.spec import ModelSpec
from tokenviz.models.tokens import fingerprint
from tokenviz.scoring.scorer import score
from tokenviz.units.words import words_of

# Letters, marks and signs of many scripts, with what tokenizers stumble over: joiners, spaces, line ends.
SIGNS = "ab Z\t\n\r.\u0301é\u0323ệ αЖשم\u0940न水界🙂\U0001f468\u200d\U0001f3fd\ufe0f￮"

HARD_TEXTS = {
    "emoji": "The family 👨‍👩‍👧‍👦 waves 👋🏽 at 🇻🇳.",
    "NFD": "cafe\u0301 and tie\u0302\u0301ng Vie\u0323\u0302t",
    "mixed": "Peace is سلام and שלום,  水を\tлить.\r\nנ end  ",
    "one emoji": "🙂",
}


def test_the_same_ids_that_end_elsewhere_are_not_the_same_tokens() -> None:
    # A tokenizer that changes letters can give one text the same ids with other ends: é as one token, and as e with its mark.
    a, b = make_scores([["ab", "c", "d"]], ids=[1, 2, 3]), make_scores([["a", "bc", "d"]], ids=[1, 2, 3])
    assert not same_tokens(a, b)
    assert rows_of(align(a, b)) == [(0, 0, 3, "abc"), (0, 3, 4, "d")]
    assert same_tokens(a, replace(a, logprob=a.logprob - 1))
    assert not same_tokens(a, replace(a, passage=a.passage + np.array([0, 1, 1])))


def rows_of(units: Units) -> list[tuple[int, int, int, str]]:
    return list(zip(units.passage.tolist(), units.start.tolist(), units.end.tolist(), units.text, strict=True))


def reference_segments(
    a: TokenScores, b: TokenScores, ends: Callable[[str], set[int]] | None = None
) -> list[tuple[int, str, float, float, int, int]]:
    """The definition character by character: a segment ends where both models' owner of the next character is new.

    With `ends`, which finds the ends of words in a passage, it ends where a word does as well.
    """
    segments = []
    for passage in sorted({*a.passage.tolist(), *b.passage.tolist()}):
        tokens = [[row for row in range(len(t)) if t.passage[row] == passage] for t in (a, b)]
        owners = []  # per model: per character, the tokens paid for up to and with this character
        for table, rows in zip((a, b), tokens, strict=True):
            owner: list[int] = []
            paid: list[list[int]] = []
            opening: list[int] = []
            for row in rows:
                if table.token[row]:
                    paid.append([*opening, row])
                    opening = []
                    owner += [len(paid) - 1] * len(table.token[row])
                elif paid:
                    paid[-1].append(row)
                else:
                    opening.append(row)
            owners.append((owner, paid))
        text = "".join(a.token[row] for row in tokens[0])
        begin = 0
        allowed = set(range(len(text) + 1)) if ends is None else ends(text)
        for place in range(1, len(text) + 1):
            if place < len(text) and any(owner[place] == owner[place - 1] for owner, _ in owners):
                continue
            if place not in allowed:
                continue
            sums, counts = [], []
            for table, (owner, paid) in zip((a, b), owners, strict=True):
                rows = [row for number in sorted(set(owner[begin:place])) for row in paid[number]]
                sums.append(float(sum(table.logprob[row] for row in rows)))
                counts.append(len(rows))
            segments.append((passage, text[begin:place], *sums, *counts))
            begin = place
    return segments


@st.composite
def tokenised(draw: st.DrawFn, passage: str) -> list[str]:
    """One random way to cut a passage into tokens, some of them without characters."""
    cuts = draw(st.sets(st.integers(1, max(1, len(passage) - 1)), max_size=len(passage)))
    places = [0, *sorted(cut for cut in cuts if cut < len(passage)), len(passage)]
    tokens = [""] * draw(st.sampled_from([0, 0, 0, 1, 2]))
    for start, end in pairwise(places):
        tokens += [passage[start:end], *[""] * draw(st.sampled_from([0, 0, 0, 1, 3]))]
    return tokens


@st.composite
def two_tables(draw: st.DrawFn) -> tuple[TokenScores, TokenScores]:
    passages = draw(st.lists(st.text(st.sampled_from(SIGNS), min_size=1, max_size=25), min_size=1, max_size=3))
    tables = []
    for model in ("a", "b"):
        cut = [draw(tokenised(passage)) for passage in passages]
        n = sum(map(len, cut))
        logprobs = draw(st.lists(st.floats(-30, 0), min_size=n, max_size=n))
        if draw(st.booleans()):
            firsts = np.cumsum([0, *map(len, cut[:-1])])
            logprobs = [NAN if row in firsts else value for row, value in enumerate(logprobs)]
        tables.append(make_scores(cut, logprobs, model=model, tokenizer=model))
    return tables[0], tables[1]


def word_ends(passage: str) -> set[int]:
    return {word.end for word in words_of(passage, punctuation="apart")}


def assert_units(units: Units, expected: list[tuple[int, str, float, float, int, int]]) -> None:
    found = zip(units.passage, units.text, units.logprob_a, units.logprob_b, units.n_tokens_a, units.n_tokens_b, strict=True)
    for (*place, sum_a, sum_b, n_a, n_b), row in zip(found, expected, strict=True):
        assert tuple(place) == row[:2]
        # Sums of at most a hundred numbers up to 30 in another order: rounding stays below 1e-11.
        np.testing.assert_allclose([sum_a, sum_b], row[2:4], rtol=0, atol=1e-10)
        assert (n_a, n_b) == row[4:]


def assert_conserved(units: Units, a: TokenScores, b: TokenScores) -> None:
    """Every character is in one unit, every token is paid for in one."""
    for passage in np.unique(a.passage):
        own = units.passage == passage
        whole = "".join(token for token, number in zip(a.token, a.passage, strict=True) if number == passage)
        assert units.start[own].tolist() == [0, *units.end[own][:-1].tolist()]
        assert units.end[own][-1] == len(whole)
        assert "".join(text for text, mine in zip(units.text, own, strict=True) if mine) == whole
        assert (units.end[own] > units.start[own]).all()
    for table, logprob, counts in ((a, units.logprob_a, units.n_tokens_a), (b, units.logprob_b, units.n_tokens_b)):
        assert counts.sum() == len(table)
        rows = np.repeat(~np.isnan(logprob), counts)  # the tokens of the units that are scored throughout
        np.testing.assert_allclose(logprob[~np.isnan(logprob)].sum(), table.logprob[rows].sum(), rtol=0, atol=1e-9)
        assert not np.isnan(table.logprob[rows]).any()
        # A unit is missing for one reason only: one of its tokens is.
        unscored = np.add.reduceat(np.isnan(table.logprob), np.cumsum([0, *counts[:-1]]))
        np.testing.assert_array_equal(np.isnan(logprob), unscored > 0)


def assert_mirrored(one: Units, other: Units) -> None:
    """What a and b are in one is b and a in the other."""
    assert one.text == other.text
    for name in ("passage", "start", "end"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    for first, second in (("logprob_a", "logprob_b"), ("n_tokens_a", "n_tokens_b")):
        np.testing.assert_array_equal(getattr(one, first), getattr(other, second))
        np.testing.assert_array_equal(getattr(one, second), getattr(other, first))


@given(two_tables())
@settings(deadline=None)
def test_segments_are_those_of_the_definition(tables: tuple[TokenScores, TokenScores]) -> None:
    a, b = tables
    assert_units(align(a, b), reference_segments(a, b))


@given(two_tables())
@settings(deadline=None)
def test_words_are_those_of_the_definition(tables: tuple[TokenScores, TokenScores]) -> None:
    a, b = tables
    assert_units(align(a, b, by="word", punctuation="apart"), reference_segments(a, b, word_ends))


@pytest.mark.parametrize("by", ["segment", "word"])
@given(two_tables())
@settings(deadline=None)
def test_units_cover_every_character_once_and_keep_the_totals(by: By, tables: tuple[TokenScores, TokenScores]) -> None:
    a, b = tables
    units = align(a, b, by=by)
    assert units.by == by
    assert_conserved(units, a, b)
    assert_mirrored(units, align(b, a, by=by))


def assert_holds_on_any_text(first: Any, second: Any, passage: str) -> None:
    """What must hold for two real tokenizers, or twice the same, on one text."""
    a, b = (tokenized(tokenizer, [passage], model=name, seed=3) for tokenizer, name in ((first, "a"), (second, "b")))
    segments, words = align(a, b, by="segment"), align(a, b, by="word")
    apart = align(a, b, by="word", punctuation="apart")
    for units in (segments, words, apart):
        assert_conserved(units, a, b)
    assert_units(segments, reference_segments(a, b))
    assert_units(apart, reference_segments(a, b, word_ends))
    # The coarser units are joined of the finer ones.
    assert set(words.end.tolist()) <= set(apart.end.tolist()) <= set(segments.end.tolist())
    assert isinstance(apart, WordUnits)
    assert (apart.n_words >= 1).all()
    assert apart.n_words.sum() == len(word_ends(passage))
    if first is second:
        with_characters = [token for token in a.token if token]
        assert list(segments.text) == with_characters
    assert_mirrored(words, align(b, a, by="word"))


@pytest.mark.parametrize("pair", [("glass", "gpt2"), ("gpt2", "gpt2")], ids=str)
@given(passage=TEXTS)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_two_real_tokenizers_on_texts_in_all_scripts(pair: tuple[str, str], request, passage: str) -> None:
    first, second = (request.getfixturevalue(name).tokenizer for name in pair)
    assert_holds_on_any_text(first, second, passage)


@pytest.fixture(scope="module")
def catalogue() -> dict[str, Any]:
    """The tokenizers of the two large catalogue models."""
    folders = {name: resolve(ModelSpec.parse(name)).folder for name in ("smollm2-135m", "gemma3-270m")}
    return {name: AutoTokenizer.from_pretrained(folder) for name, folder in folders.items()}


@pytest.mark.slow
@pytest.mark.parametrize(
    "pair", [("smollm2-135m", "gemma3-270m"), ("gemma3-270m", "gpt2"), ("gemma3-270m", "gemma3-270m")], ids=str
)
@given(passage=TEXTS)
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_catalogue_tokenizers_on_texts_in_all_scripts(pair: tuple[str, str], catalogue, gpt2, passage: str) -> None:
    first, second = (catalogue.get(name, gpt2.tokenizer) for name in pair)
    assert_holds_on_any_text(first, second, "x" + passage)  # SmolLM2's vocabulary has no token for some control characters


def test_one_tokenizer_gives_the_tokens_themselves() -> None:
    a = make_scores([["The", " cat", " sat"]], [NAN, -1, -2])
    b = make_scores([["The", " cat", " sat"]], [NAN, -3, -4], model="model-b")
    units = align(a, b)
    assert units.by == "token"
    assert rows_of(units) == [(0, 0, 3, "The"), (0, 3, 7, " cat"), (0, 7, 11, " sat")]
    np.testing.assert_array_equal(units.logprob_a, [NAN, -1, -2])
    np.testing.assert_array_equal(units.logprob_b, [NAN, -3, -4])
    assert units.n_tokens_a.tolist() == units.n_tokens_b.tolist() == [1, 1, 1]


def test_tokens_without_characters_stay_rows_of_their_own_under_one_tokenizer() -> None:
    a = make_scores([["🙂", "", "", "!"]], [NAN, -1, -2, -3])
    b = make_scores([["🙂", "", "", "!"]], [NAN, -4, -5, -6])
    assert align(a, b).text == ("🙂", "", "", "!")


def test_two_tokenizers_meet_where_both_have_a_boundary() -> None:
    a = make_scores([["un", "believ", "able", " cat"]], [-1, -2, -4, -8], tokenizer="a")
    b = make_scores([["unbe", "lievable", " c", "at"]], [-1, -3, -9, -27], tokenizer="b")
    units = align(a, b)
    assert units.by == "segment"
    assert rows_of(units) == [(0, 0, 12, "unbelievable"), (0, 12, 16, " cat")]
    assert units.logprob_a.tolist() == [-7, -8]
    assert units.logprob_b.tolist() == [-4, -36]
    assert units.n_tokens_a.tolist() == [3, 1]
    assert units.n_tokens_b.tolist() == [2, 2]


def test_all_tokens_of_a_shared_character_are_paid_for_in_its_segment() -> None:
    a = make_scores([["x", "🙂", "", "", "y"]], [-1, -2, -4, -8, -16], tokenizer="a")
    b = make_scores([["x", "🙂", "y"]], [-1, -3, -9], tokenizer="b")
    units = align(a, b)
    assert units.text == ("x", "🙂", "y")
    assert units.logprob_a.tolist() == [-1, -14, -16]
    assert units.n_tokens_a.tolist() == [1, 3, 1]


def test_tokens_without_characters_at_the_beginning_belong_to_the_first_segment() -> None:
    a = make_scores([["", "x", "y"]], [-1, -2, -4], tokenizer="a")
    b = make_scores([["x", "y"]], [-1, -3], tokenizer="b")
    assert align(a, b).logprob_a.tolist() == [-3, -4]


def test_a_segment_with_an_unscored_token_is_missing_for_that_model_only() -> None:
    a = make_scores([["T", "he", " cat"]], [NAN, -2, -4], tokenizer="a")
    b = make_scores([["The", " cat"]], [-1, -3], tokenizer="b")
    units = align(a, b)
    np.testing.assert_array_equal(units.logprob_a, [NAN, -4])
    np.testing.assert_array_equal(units.logprob_b, [-1, -3])


def test_segments_never_reach_over_two_passages() -> None:
    a = make_scores([["ab", "c"], ["abc"]], [-1, -2, -4], tokenizer="a")
    b = make_scores([["a", "bc"], ["ab", "c"]], [-1, -3, -9, -27], tokenizer="b")
    units = align(a, b)
    assert rows_of(units) == [(0, 0, 3, "abc"), (1, 0, 3, "abc")]
    assert units.logprob_a.tolist() == [-3, -4]
    assert units.logprob_b.tolist() == [-4, -36]


def test_one_vocabulary_cut_in_two_ways_is_not_one_tokenizer() -> None:
    a = make_scores([["a", "bc"]], tokenizer="same", ids=[1, 2])
    b = make_scores([["ab", "c"]], tokenizer="same", ids=[3, 4])
    assert not same_tokens(a, b)
    assert align(a, b).text == ("abc",)


def test_equal_pieces_of_other_ids_are_not_the_same_tokens() -> None:
    a = make_scores([["a", "b"]], tokenizer="same", ids=[1, 2])
    b = make_scores([["a", "b"]], tokenizer="same", ids=[1, 3])
    assert not same_tokens(a, b)
    assert align(a, b).by == "segment"


def test_two_vocabularies_of_one_size_are_not_one_tokenizer() -> None:
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    prints = [
        fingerprint(PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.WordLevel(words, unk_token="a"))))
        for words in ({"a": 0, "b": 1, "c": 2}, {"a": 0, "b": 1, "d": 2})
    ]
    a = make_scores([["a", "b"]], tokenizer=prints[0], ids=[0, 1])
    b = make_scores([["a", "b"]], tokenizer=prints[1], ids=[0, 1])  # the very same ids and spans
    assert not same_tokens(a, b)
    assert align(a, b).by == "segment"


@pytest.mark.parametrize("text", HARD_TEXTS.values(), ids=HARD_TEXTS)
def test_two_real_tokenizers_lose_nothing(text: str, glass: LoadedModel, gpt2: LoadedModel) -> None:
    a, b = score(glass, text), score(gpt2, text)
    units = align(a, b)
    assert units.by == "segment"
    assert "".join(units.text) == text
    assert units.start.tolist() == [0, *units.end[:-1].tolist()]
    assert units.n_tokens_a.sum() == len(a)
    assert units.n_tokens_b.sum() == len(b)
    expected = reference_segments(a, b)
    # A sum of a few numbers in another order.
    np.testing.assert_allclose(units.logprob_a, [row[2] for row in expected], rtol=1e-12)
    np.testing.assert_allclose(units.logprob_b, [row[3] for row in expected], rtol=1e-12)


def test_two_real_tokenizers_find_more_than_one_segment(glass: LoadedModel, gpt2: LoadedModel) -> None:
    units = align(score(glass, "Alice was beginning to get tired."), score(gpt2, "Alice was beginning to get tired."))
    assert len(units) > 3


def test_tokens_are_given_on_request_where_they_are_the_same() -> None:
    a = make_scores([["The", " cat"]], [NAN, -1])
    assert align(a, make_scores([["The", " cat"]], [NAN, -2], model="model-b"), by="token").by == "token"


def test_one_tokenizer_has_its_tokens_as_segments_on_request() -> None:
    a = make_scores([["The", " c", "at"], ["🙂", "", "!"]], [NAN, -1, -2, NAN, -4, -8])
    units = align(a, a, by="segment")
    assert units.by == "segment"
    assert units.text == ("The", " c", "at", "🙂", "!")
    np.testing.assert_array_equal(units.logprob_a, [NAN, -1, -2, NAN, -8])  # tokens that share a character are one segment
    assert units.n_tokens_a.tolist() == [1, 1, 1, 2, 1]


def test_words_are_sums_and_products_of_probabilities() -> None:
    a = make_scores([["The", " un", "believ", "able", " cat", "."]], [NAN, -1, -2, -4, -8, -16], tokenizer="a")
    b = make_scores([["Th", "e", " unbe", "lievable", " c", "at."]], [-1, -3, -9, -27, -81, -243], tokenizer="b")
    units = align(a, b, by="word")
    assert units.by == "word"
    assert units.text == ("The", " unbelievable", " cat.")
    np.testing.assert_array_equal(units.logprob_a, [NAN, -7, -24])
    np.testing.assert_array_equal(units.logprob_b, [-4, -36, -324])
    assert units.n_tokens_a.tolist() == [1, 3, 2]
    assert units.n_tokens_b.tolist() == [2, 2, 2]
    assert units.n_words.tolist() == [1, 1, 1]


def test_words_that_a_token_straddles_are_joined_and_counted() -> None:
    # "at." holds the end of a word and a full stop; one model has ")." as a token, the other a full stop with what follows.
    a = make_scores([["(", "The", " c", "at.", " A", ").", " B"]], [NAN, -1, -2, -4, -8, -16, -32], tokenizer="a")
    b = make_scores([["(The", " cat", ". A", ")", ".", " B"]], [-1, -3, -9, -27, -81, -243], tokenizer="b")
    units = align(a, b, by="word", punctuation="apart")
    assert units.text == ("(The", " cat. A", ").", " B")
    assert units.n_words.tolist() == [2, 3, 2, 1]
    np.testing.assert_array_equal(units.logprob_a, [NAN, -14, -16, -32])
    assert units.logprob_b.tolist() == [-1, -12, -108, -243]


def test_a_character_of_several_tokens_is_never_divided_by_words() -> None:
    a = make_scores([["水", "", "", "界", "!"]], [-1, -2, -4, -8, -16], tokenizer="a")
    b = make_scores([["水界", "", "!"]], [-1, -3, -9], tokenizer="b")
    units = align(a, b, by="word", punctuation="apart")
    assert units.text == ("水界", "!")
    assert units.n_words.tolist() == [2, 1]
    assert units.logprob_a.tolist() == [-15, -16]
    assert units.logprob_b.tolist() == [-4, -9]


def test_merged_whitespace_is_where_a_word_begins() -> None:
    # Gemma makes one token of several spaces, and leaves the word after them without one.
    a = make_scores([["The", "   ", "cat", "\n\n", "sat"]], [-1, -2, -4, -8, -16], tokenizer="a")
    b = make_scores([["The", "  ", " cat", "\n", "\n", "sat"]], [-1, -3, -9, -27, -81, -243], tokenizer="b")
    units = align(a, b, by="word")
    assert units.text == ("The", "   cat", "\n\nsat")
    assert units.logprob_a.tolist() == [-1, -6, -24]
    assert units.logprob_b.tolist() == [-1, -12, -351]


def test_words_are_given_with_one_tokenizer_as_well() -> None:
    a = make_scores([["The", " c", "at"]], [NAN, -1, -2])
    units = align(a, a, by="word")
    assert units.text == ("The", " cat")
    np.testing.assert_array_equal(units.logprob_a, [NAN, -3])
