"""Which tokens open a word, told from vocabularies of every kind."""

from pathlib import Path

import numpy as np
import pytest
from arithmetic import BIGRAM_TOKENS
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from tokenviz.models.loading import LoadedModel, load_model
from tokenviz.models.vocabulary import INSIDE, PUNCTUATION, SPACE, word_starts_of


def kind(tokenizer, piece: str) -> int:
    """Of one token, by its name in the vocabulary."""
    return int(word_starts_of(tokenizer, len(tokenizer)).kinds[tokenizer.get_vocab()[piece]])


def fast(vocabulary: list[str], *, pattern: str, decoder=None, normalizer=None, **special: str) -> PreTrainedTokenizerFast:
    numbered = {piece: number for number, piece in enumerate(vocabulary)}
    tokenizer = Tokenizer(models.WordLevel(numbered, unk_token=vocabulary[0]))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(pattern), "isolated")
    if decoder is not None:
        tokenizer.decoder = decoder
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special)


def assert_sorted_as_they_decode(model: LoadedModel) -> None:
    """Every token that decodes to whole characters is sorted as plain string methods sort what it decodes to."""
    tokenizer = model.tokenizer
    kinds = word_starts_of(tokenizer, model.vocabulary).kinds
    anchor = tokenizer("a", add_special_tokens=False)["input_ids"]
    before = tokenizer.decode(anchor, clean_up_tokenization_spaces=False)
    left_out = {*tokenizer.all_special_ids, *tokenizer.added_tokens_decoder}
    numbers = [number for number in range(len(tokenizer)) if number not in left_out]
    texts = tokenizer.backend_tokenizer.decode_batch([[*anchor, number] for number in numbers])
    checked = np.zeros(3, int)
    for number, text in zip(numbers, texts, strict=True):
        text = text[len(before) :]
        if not text or "\ufffd" in text:
            continue
        if text[0].isspace():
            expected = SPACE
        elif text[0].isalnum() or text[0] == "_":
            expected = INSIDE
        elif text[0].isascii() and (text[0] not in "'.,:;" or not (text[1:2].isalnum() or text[1:2] == "_")):
            expected = PUNCTUATION
        else:
            continue  # marks, joiners and signs beyond ASCII have tests of their own
        assert kinds[number] == expected, (number, text)
        checked[expected] += 1
    assert checked.sum() > 0.85 * len(numbers)
    assert (checked > 0).all()


@pytest.mark.parametrize("name", ["glass", "gpt2"])
def test_tokens_are_sorted_as_they_decode(name: str, request: pytest.FixtureRequest) -> None:
    assert_sorted_as_they_decode(request.getfixturevalue(name))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["smollm2-135m", "gemma3-270m"])
def test_tokens_of_the_catalogue_models_are_sorted_as_they_decode(name: str) -> None:
    assert_sorted_as_they_decode(load_model(name))


@pytest.mark.parametrize(
    ("piece", "expected"),
    [
        ("Ġmat", SPACE), ("Ġ", SPACE), ("Ġ(", SPACE), ("Ċ", SPACE), ("ĉ", SPACE), ("Âł", SPACE), ("<|endoftext|>", SPACE),
        ("mat", INSIDE), ("7", INSIDE), ("_", INSIDE), ("'t", INSIDE), ("'ve", INSIDE), ("Ã©", INSIDE), ("Ì", INSIDE),
        (".", PUNCTUATION), ("...", PUNCTUATION), ("'", PUNCTUATION), ("=\"", PUNCTUATION), ("$", PUNCTUATION),
        ("âĢĶ", PUNCTUATION),  # an em dash
        ("âĢ", PUNCTUATION),  # the first two bytes of dashes, quotes and spaces: none of them a letter
        ("Ã", INSIDE),  # the first byte of é and its like
        ("ãĢ", INSIDE),  # of the ideographic full stop, but also of an iteration mark, which is a letter
        ("ðŁ", INSIDE),  # of emoji, but also of letters
        ("ł", INSIDE),  # a later byte
    ],
)  # fmt: skip
def test_tokens_of_gpt2_by_their_first_character(gpt2: LoadedModel, piece: str, expected: int) -> None:
    assert kind(gpt2.tokenizer, piece) == expected


def test_a_mark_or_joiner_goes_with_what_stands_before_it() -> None:
    pieces = ["▁a", "▁", "a", "\u0301", "\u200d", "\ufe0f", "!", "，", "🙂", "水"]
    tokenizer = fast(pieces, pattern="▁a|.", decoder=decoders.Replace("▁", " "), normalizer=normalizers.Replace(" ", "▁"))
    found = [kind(tokenizer, piece) for piece in pieces]
    assert found == [SPACE, SPACE, INSIDE, INSIDE, INSIDE, INSIDE, PUNCTUATION, PUNCTUATION, PUNCTUATION, INSIDE]


def test_bytes_of_a_sentencepiece_vocabulary_are_what_they_stand_for() -> None:
    pieces = ["<unk>", "▁a", "▁", "a", "<0x0A>", "<0x20>", "<0x2E>", "<0x61>", "<0xE6>", "<0x80>", "<0xF0>"]
    decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    tokenizer = fast(pieces, pattern="▁a|.", decoder=decoder, normalizer=normalizers.Replace(" ", "▁"), unk_token="<unk>")
    found = [kind(tokenizer, piece) for piece in pieces]
    assert found == [INSIDE, SPACE, SPACE, INSIDE, SPACE, SPACE, PUNCTUATION, INSIDE, INSIDE, INSIDE, INSIDE]


def test_special_tokens_end_a_word_but_the_unknown_one_does_not() -> None:
    pieces = ["<unk>", "<s>", "</s>", " a", " ", "a"]
    special = {"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>"}
    tokenizer = fast(pieces, pattern=" ?a| ", **special)
    assert word_starts_of(tokenizer, 6).kinds.tolist() == [INSIDE, SPACE, SPACE, SPACE, SPACE, INSIDE]


def test_the_end_of_text_of_gpt2_ends_a_word_though_it_is_called_unknown_as_well(gpt2_folder: Path) -> None:
    tokenizer = load_model(str(gpt2_folder)).tokenizer
    tokenizer.unk_token = "<|endoftext|>"
    assert kind(tokenizer, "<|endoftext|>") == SPACE


def test_what_was_added_to_a_byte_vocabulary_is_written_as_it_is() -> None:
    # Runs of spaces are added so to GPT-NeoX; the last token is spelled in signs that stand for no byte.
    tokenizer = Tokenizer(models.BPE({"a": 0, "Ġ": 1, "Ġa": 2, "水": 3}, [("Ġ", "a")]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer)
    fast.add_tokens(["   ", "(", "Ġ"])
    found = word_starts_of(fast, len(fast))
    assert found.kinds.tolist() == [INSIDE, SPACE, SPACE, INSIDE, SPACE, PUNCTUATION]


def test_ids_beyond_the_vocabulary_open_nothing_and_beyond_the_logits_are_left_out(gpt2: LoadedModel) -> None:
    found = word_starts_of(gpt2.tokenizer, 50_300)
    assert len(found.kinds) == 50_300
    assert not found.kinds[50_257:].any()
    assert len(word_starts_of(gpt2.tokenizer, 100).kinds) == 100


@pytest.mark.parametrize("name", ["glass", "gpt2", "spaced"])
def test_spaces_at_the_front_are_recognised(name: str, request: pytest.FixtureRequest) -> None:
    model = request.getfixturevalue(name)
    assert word_starts_of(model.tokenizer, model.vocabulary).spaces == "front"


def test_a_space_that_the_tokenizer_adds_to_every_text_hides_nothing() -> None:
    # As Llama's first tokenizers: a space before every text, taken away again when decoding.
    tokenizer = Tokenizer(models.BPE({"▁": 0, "a": 1, "▁a": 2, "▁▁": 3, "!": 4}, [("▁", "a"), ("▁", "▁")]))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always", split=False)
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="always")
    found = word_starts_of(PreTrainedTokenizerFast(tokenizer_object=tokenizer), 5)
    assert found.spaces == "front"
    assert found.kinds.tolist() == [SPACE, INSIDE, SPACE, SPACE, PUNCTUATION]


def test_a_tokenizer_that_marks_the_ends_of_words_keeps_no_spaces() -> None:
    tokenizer = Tokenizer(models.BPE({"a": 0, "b": 1, "b</w>": 2, "ab</w>": 3}, [("a", "b</w>")], end_of_word_suffix="</w>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.decoder = decoders.BPEDecoder(suffix="</w>")
    found = word_starts_of(PreTrainedTokenizerFast(tokenizer_object=tokenizer), 4)
    assert found.spaces == "none"
    assert not found.kinds.any()


def test_a_tokenizer_that_marks_the_insides_of_words_keeps_no_spaces() -> None:
    tokenizer = Tokenizer(models.WordPiece({"[UNK]": 0, "mat": 1, "##ron": 2, ".": 3}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    assert word_starts_of(PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="[UNK]"), 4).spaces == "none"


def test_a_vocabulary_without_a_space_keeps_no_spaces(bigram: LoadedModel) -> None:
    assert BIGRAM_TOKENS[0] == bigram.tokenizer.convert_ids_to_tokens(bigram.tokenizer(" ")["input_ids"])[0]  # as the unknown
    assert word_starts_of(bigram.tokenizer, 4).spaces == "none"


def test_a_tokenizer_of_characters_keeps_spaces_apart() -> None:
    found = word_starts_of(fast(["a", "b", " ", "."], pattern="."), 4)
    assert found.spaces == "apart"
    assert not found.kinds.any()
