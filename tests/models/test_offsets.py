"""What tokens stand for: decomposed scripts, characters that a tokenizer drops, and the bytes of each token."""

import re
import unicodedata
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_tokenizers import LEARNT, SENTENCES, by_likelihood, in_bytes, in_word_pieces, slices, with_byte_fallback
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from tokenviz.base.characters import cluster_ends
from tokenviz.base.errors import ScoringError
from tokenviz.data.scores import REST, UNREAD
from tokenviz.models.loading import LoadedModel
from tokenviz.models.offsets import EncodedPassage
from tokenviz.models.tokens import encode
from tokenviz.units.words import words_of

KINDS: dict[str, Callable[[Any], PreTrainedTokenizerFast]] = {
    "bytes": in_bytes, "likelihood": by_likelihood, "word pieces": in_word_pieces, "byte fallback": with_byte_fallback,
}  # fmt: skip


def checked(tokenizer: Any, passage: str) -> EncodedPassage:
    """The rows of a passage, which cover it and its bytes once, and hold the tokenizer's own tokens."""
    encoded = encode(tokenizer, passage)
    assert "".join(slices(passage, encoded)) == passage
    assert encoded.n_bytes.sum() == len(passage.encode())
    assert (encoded.n_bytes >= 0).all()
    assert ((encoded.first_characters >= 0) & (encoded.first_characters <= encoded.starts)).all()
    assert (encoded.first_characters[encoded.starts < encoded.ends] < encoded.ends[encoded.starts < encoded.ends]).all()
    own = tokenizer(passage, add_special_tokens=False)["input_ids"]
    assert encoded.ids[encoded.ids >= 0].tolist() == own
    return encoded


@pytest.mark.parametrize("form", ["NFC", "NFKC"])
@pytest.mark.parametrize("kind", KINDS)
def test_decomposed_text_is_cut_as_composed_text_is(kind: str, form: str) -> None:
    tokenizer = KINDS[kind](getattr(normalizers, form)())
    for script, sentence in SENTENCES.items():
        composed, decomposed = (unicodedata.normalize(other, sentence) for other in ("NFC", "NFD"))
        assert len(decomposed) > len(composed), script
        whole, parts = checked(tokenizer, composed), checked(tokenizer, decomposed)
        assert parts.ids.tolist() == whole.ids.tolist(), script
        assert [unicodedata.normalize("NFC", one) for one in slices(decomposed, parts)] == slices(composed, whole), script
        assert UNREAD not in parts.ids


def test_words_of_decomposed_korean_are_those_of_composed() -> None:
    tokenizer = in_bytes(normalizers.NFC())
    sentence = unicodedata.normalize("NFD", SENTENCES["Korean"])
    ends = set(checked(tokenizer, sentence).ends.tolist())
    words = words_of(sentence, punctuation="attached")
    assert len(words) == 3
    assert {word.end for word in words} <= ends


@pytest.mark.parametrize("kind", KINDS)
def test_what_normalisers_change_is_not_called_unread(kind: str) -> None:
    normalizer = normalizers.Sequence(
        [normalizers.NFD(), normalizers.StripAccents(), normalizers.Lowercase(), normalizers.NFC()]
    )
    tokenizer = KINDS[kind](normalizer)
    for passage in ("THE  Rún", " příliš\tžluťoučký\r\nkůň ", "e\u0301\u0323 the"):
        assert UNREAD not in checked(tokenizer, passage).ids


@pytest.fixture(scope="module")
def course() -> PreTrainedTokenizerFast:
    """Trained without its initial alphabet, with merges: many letters, all digits and most bytes are not in it."""
    return in_bytes(alphabet=False, size=60, corpus=[LEARNT] * 5)


def expected_unread(passage: str, known: str = LEARNT) -> list[str]:
    """Characters one of whose bytes is not in the corpus."""
    return [one for one in passage if not set(one.encode()) <= set(known.encode())]


DROPPED = [
    "the 2019-12 run", 'the Jazz quartet, "Xylo"', "the\nrun", "na\u00efve the", "猫 the 猫", "2019 the", "the 2019",
    "a2b the9 quar7tet", "t\u00e9 e\u0301 \u00e9tude the", "the\u00a0run", "🐈 of", "the, 1, 2, a",
]  # fmt: skip


@pytest.mark.parametrize("passage", DROPPED)
def test_characters_that_byte_level_bpe_drops_are_rows_of_their_own(course: PreTrainedTokenizerFast, passage: str) -> None:
    encoded = checked(course, passage)
    rows = slices(passage, encoded)
    unread = "".join(piece for piece, number in zip(rows, encoded.ids, strict=True) if number == UNREAD)
    assert list(unread) == expected_unread(passage)
    # What a token shows is what it stands for, but for what comes after a hole in it.
    for place, (piece, number) in enumerate(zip(rows, encoded.ids.tolist(), strict=True)):
        if number >= 0 and piece:
            rest = "".join(rows[place + 2 : place + 3]) if REST in encoded.ids[place + 2 : place + 3] else ""
            assert piece + rest in course.decode([number]) + rest
            assert set(piece.encode()) <= set(LEARNT.encode())


@given(passage=st.text(alphabet="ther un,qJX29é猫\n", min_size=1, max_size=30))
def test_no_dropped_character_is_in_a_row_with_a_score(course: PreTrainedTokenizerFast, passage: str) -> None:
    if not set(passage.encode()) & set(LEARNT.encode()):
        return
    encoded = checked(course, passage)
    rows = list(zip(slices(passage, encoded), encoded.ids, strict=True))
    assert [one for piece, number in rows if number == UNREAD for one in piece] == expected_unread(passage)
    assert not expected_unread("".join(piece for piece, number in rows if number != UNREAD))


def test_a_token_over_a_hole_has_a_row_before_it_and_one_without_a_score_after_it(course: PreTrainedTokenizerFast) -> None:
    passage = "tXhe run"
    encoded = checked(course, passage)
    assert slices(passage, encoded)[:3] == ["t", "X", "he"]
    assert encoded.ids[1:3].tolist() == [UNREAD, REST]
    assert course.decode([int(encoded.ids[0])]) == "the"
    assert encoded.n_bytes[:3].tolist() == [3, 1, 0]
    assert encoded.first_characters[:3].tolist() == [0, 1, 2]


def test_spaces_between_words_may_be_dropped_by_design(course: PreTrainedTokenizerFast) -> None:
    tokenizer = in_bytes(alphabet=False, size=60, corpus=["the", "run"] * 5)
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    passage = "the  run\n9 the "
    assert slices(passage, checked(tokenizer, passage)) == ["the", "  run", "\n9", " the "]
    assert checked(tokenizer, passage).ids[2] == UNREAD


def test_characters_that_a_pre_tokenizer_removes_are_rows_of_their_own() -> None:
    tokenizer = Tokenizer(models.WordLevel({"the": 0, "run": 1, "[UNK]": 2}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Punctuation("removed")])
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="[UNK]")
    encoded = checked(fast, "the, run! xyz.")
    assert slices("the, run! xyz.", encoded) == ["the", ",", " run", "!", " xyz", "."]
    assert encoded.ids.tolist() == [0, UNREAD, 1, UNREAD, 2, UNREAD]
    assert encoded.unknown.tolist() == [False, False, False, False, True, False]


@pytest.mark.parametrize("kind", KINDS)
def test_characters_that_a_normaliser_removes_are_rows_of_their_own(kind: str) -> None:
    tokenizer = KINDS[kind](normalizers.Replace("\u20ac", ""))
    passage = "the \u20ac run\u20ac of"
    encoded = checked(tokenizer, passage)
    rows = slices(passage, encoded)
    assert [rows[row] for row in np.flatnonzero(encoded.ids == UNREAD)] in ([" \u20ac", "\u20ac"], ["\u20ac", "\u20ac"])


def test_bpe_of_characters_without_one_for_the_unknown_drops_them() -> None:
    tokenizer = Tokenizer(models.BPE({"a": 0, "b": 1, "\u2581": 2, "ab": 3}, [("a", "b")]))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer)
    encoded = checked(fast, "ab xab bax")
    assert slices("ab xab bax", encoded) == ["", "ab", " ", "x", "ab", " ", "b", "a", "x"]
    assert encoded.ids.tolist() == [2, 3, 2, UNREAD, 3, 2, 1, 0, UNREAD]


def test_special_strings_in_a_text_are_found_among_dropped_characters(course: PreTrainedTokenizerFast) -> None:
    course = in_bytes(alphabet=False, size=60, corpus=[LEARNT] * 5)
    course.add_special_tokens({"eos_token": "<|end|>"})
    passage = "the <<|end|>> run<|end|>"
    encoded = checked(course, passage)
    rows = slices(passage, encoded)
    assert [rows[row] for row in np.flatnonzero(encoded.ids == course.eos_token_id)] == ["<|end|>", "<|end|>"]
    assert [rows[row] for row in np.flatnonzero(encoded.ids == UNREAD)] == ["<", ">"]


def test_a_text_whose_dropped_characters_cannot_be_told_is_refused() -> None:
    normalizer = normalizers.Replace("ru", "qu")  # of two characters at once: no character is normalised by itself
    tokenizer = in_bytes(normalizer, alphabet=False, size=60, corpus=[LEARNT] * 5)
    passage = "the 9 run"
    message = (
        "the tokenizer leaves out characters of 'the 9 run', and which ones cannot be told: its offsets are those of other "
        "characters. Give it a token for what is unknown, or the bytes as its initial alphabet"
    )
    with pytest.raises(ScoringError, match=f"^{re.escape(message)}$"):
        encode(tokenizer, passage)
    assert UNREAD not in checked(tokenizer, "the run").ids  # nothing is dropped of this


def test_unknown_tokens_are_marked_and_their_literal_strings_are_not() -> None:
    tokenizer = by_likelihood(normalizers.NFC())
    encoded = checked(tokenizer, "the \u16a0\u16db run")
    assert encoded.unknown.sum() == 1
    assert slices("the \u16a0\u16db run", encoded)[int(np.flatnonzero(encoded.unknown)[0])].strip() == "\u16a0\u16db"
    assert not checked(tokenizer, "the <unk> run").unknown.any()


def own_bytes(tokenizer: Any, passage: str) -> list[int]:
    """How many bytes each token of byte-level BPE adds, by the letters that its vocabulary writes them with."""
    return [len(piece) for piece in tokenizer.convert_ids_to_tokens(tokenizer(passage, add_special_tokens=False)["input_ids"])]


@pytest.mark.parametrize("script", SENTENCES)
def test_bytes_of_byte_level_tokens_are_the_letters_of_their_pieces(gpt2: LoadedModel, script: str) -> None:
    passage = f"{SENTENCES[script]} 🐈"
    encoded = checked(gpt2.tokenizer, passage)
    assert encoded.n_bytes.tolist() == own_bytes(gpt2.tokenizer, passage)
    # The first character of each, by a count of whole characters in the bytes before it.
    reached = np.cumsum([0, *encoded.n_bytes])
    sizes = np.cumsum([0, *(len(one.encode()) for one in passage)])
    expected = [int(np.searchsorted(sizes, place, side="right")) - 1 for place in reached[:-1]]
    assert encoded.first_characters.tolist() == expected


@pytest.mark.parametrize("normalizer", [None, normalizers.NFC()])
def test_byte_fallback_knows_the_bytes_of_each_token(normalizer: Any) -> None:
    tokenizer = with_byte_fallback(normalizer)
    passage = "한 猫 é"
    encoded = checked(tokenizer, passage)
    assert encoded.n_bytes.tolist() == [0, 3, 1, 1, 1, 1, 1, 1, 1]
    assert slices(passage, encoded) == ["", "한", " ", "猫", "", "", " ", "é", ""]
    assert encoded.first_characters.tolist() == [0, 0, 1, 2, 2, 2, 3, 4, 4]


def test_bytes_of_characters_that_were_changed_are_the_first_tokens() -> None:
    passage = unicodedata.normalize("NFD", "한 é 猫")  # 9 and 3 bytes, of which the tokenizer makes 3 and 2
    encoded = checked(with_byte_fallback(normalizers.NFC()), passage)
    assert encoded.n_bytes.tolist() == [0, 9, 1, 3, 0, 1, 1, 1, 1]
    assert slices(passage, encoded)[1:5] == [passage[:3], " ", passage[4:6], ""]


def test_clusters_are_those_of_unicode() -> None:
    text = "e\u0301\r\n👩‍👩‍👧‍👦한" + unicodedata.normalize("NFD", "한")
    assert [text[start:end] for start, end in pairwise([0, *cluster_ends(text)])] == [
        "e\u0301", "\r\n", "👩‍👩‍👧‍👦", "한", unicodedata.normalize("NFD", "한")
    ]  # fmt: skip
