"""Tokens: their slices are the text, whatever the script, and their ids are the tokenizer's own."""

import re
from pathlib import Path
from typing import Any

import pytest
from arithmetic import BIGRAM_WEIGHTS, make_bigram_folder
from hypothesis import example, given
from small_tokenizers import assert_tiles, slices
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import AutoTokenizer, GPT2Tokenizer, PreTrainedTokenizerFast
from writing import PIECE_TEXTS, PIECES

from tokenviz.base.errors import ScoringError
from tokenviz.models.loading import LoadedModel
from tokenviz.models.tokens import bos_prefix, encode, fingerprint, forget_sources, readable


@given(passage=PIECE_TEXTS)
@example(passage="".join(PIECES))
def test_slices_join_up_to_the_text_with_glass(glass: LoadedModel, passage: str) -> None:
    assert_tiles(glass.tokenizer, passage)


@given(passage=PIECE_TEXTS)
@example(passage="".join(PIECES))
def test_slices_join_up_to_the_text_with_gpt2(gpt2: LoadedModel, passage: str) -> None:
    assert_tiles(gpt2.tokenizer, passage)


@given(passage=PIECE_TEXTS)
def test_a_slice_is_what_its_token_decodes_to_where_that_is_whole_characters(gpt2: LoadedModel, passage: str) -> None:
    encoded = encode(gpt2.tokenizer, passage)
    decoded = [gpt2.tokenizer.decode([i], clean_up_tokenization_spaces=False) for i in encoded.ids]
    if not any("\ufffd" in piece for piece in decoded):
        assert slices(passage, encoded) == decoded


def test_spaces_belong_to_the_token_after_them(gpt2: LoadedModel) -> None:
    passage = "I was  a mat\r\n"
    assert slices(passage, encode(gpt2.tokenizer, passage)) == ["I", " was", " ", " a", " mat", "\r", "\n"]


def test_an_emoji_of_several_tokens_is_counted_once(gpt2: LoadedModel) -> None:
    passage = "a 🐈 b"
    encoded = encode(gpt2.tokenizer, passage)
    assert len(encoded.ids) > 3
    assert [piece for piece in slices(passage, encoded) if piece] == ["a", " 🐈", " b"]
    assert sum(len(piece) for piece in slices(passage, encoded)) == len(passage)


def test_trimmed_offsets_get_their_spaces_back(gpt2_folder: Path) -> None:
    fast = AutoTokenizer.from_pretrained(gpt2_folder)
    fast.backend_tokenizer.post_processor = processors.ByteLevel(trim_offsets=True)
    passage = " I was  a mat "
    untrimmed = encode(AutoTokenizer.from_pretrained(gpt2_folder), passage)
    assert fast(passage, return_offsets_mapping=True)["offset_mapping"][1] == (3, 6)
    assert slices(passage, encode(fast, passage)) == slices(passage, untrimmed)


def words_tokenizer(*, normalizer: Any = None) -> PreTrainedTokenizerFast:
    """Whole words; spaces are dropped, as BERT's tokenizer does."""
    tokenizer = Tokenizer(models.WordLevel({"[UNK]": 0, "e": 1, "b": 2}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="[UNK]")


def test_characters_that_the_tokenizer_drops_go_to_the_token_after_them() -> None:
    passage = "\te  b  "
    assert slices(passage, encode(words_tokenizer(), passage)) == ["\te", "  b  "]


def test_a_combining_mark_goes_to_its_letter() -> None:
    tokenizer = words_tokenizer(normalizer=normalizers.StripAccents())
    passage = "e\u0301 b\u0302\u0323"
    assert slices(passage, encode(tokenizer, passage)) == ["e\u0301", " b\u0302\u0323"]


def test_an_empty_passage_has_no_tokens(glass: LoadedModel) -> None:
    encoded = encode(glass.tokenizer, "")
    assert len(encoded.ids) == len(encoded.starts) == len(encoded.ends) == 0


def test_a_passage_of_which_the_tokenizer_makes_nothing_is_refused() -> None:
    message = "the tokenizer makes no token of '   ': there is nothing to score"
    with pytest.raises(ScoringError, match=f"^{re.escape(message)}$"):
        encode(words_tokenizer(), "   ")


def test_a_tokenizer_that_fails_is_named_as_the_reason() -> None:
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    without_unknown = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.WordLevel({"a": 0}, unk_token="nothing")))
    with pytest.raises(ScoringError, match=r"^the tokenizer cannot read 'b': WordLevel error: Missing .UNK. token"):
        encode(without_unknown, "b")


def test_no_special_tokens_are_added(bigram_bos: LoadedModel) -> None:
    assert encode(bigram_bos.tokenizer, "abc").ids.tolist() == [0, 1, 2]


def test_a_special_string_in_a_text_is_read_as_the_tokenizer_reads_it(gpt2: LoadedModel, glass: LoadedModel) -> None:
    assert encode(gpt2.tokenizer, "a<|endoftext|>").ids.tolist()[-1] == gpt2.tokenizer.eos_token_id == 50256
    # glassllm's own tokenizer knows no special strings in a text.
    assert 1 not in encode(glass.tokenizer, "unk").ids
    assert len(encode(glass.tokenizer, "<unk>").ids) > 1


@pytest.mark.parametrize(("mode", "expected"), [("auto", ()), ("always", (50256,)), ("never", ())])
def test_bos_modes_of_a_tokenizer_that_adds_none_by_itself(gpt2: LoadedModel, mode, expected) -> None:
    assert bos_prefix(gpt2.tokenizer, mode, "gpt2") == expected


@pytest.mark.parametrize(("mode", "expected"), [("auto", (3,)), ("always", (3,)), ("never", ())])
def test_bos_modes_of_a_tokenizer_that_adds_its_own(bigram_bos: LoadedModel, mode, expected) -> None:
    assert bos_prefix(bigram_bos.tokenizer, mode, "bigram") == expected


@pytest.fixture(scope="module")
def chat_tokenizer() -> PreTrainedTokenizerFast:
    """Its `bos_token` opens a turn of a chat and stands before every text; trained texts were apart by another token."""
    tokens = ["[UNK]", "<|im_start|>", "<|endoftext|>", "a", "Ġ"]
    tokenizer = Tokenizer(models.WordLevel({token: number for number, token in enumerate(tokens)}, unk_token="[UNK]"))
    tokenizer.post_processor = processors.TemplateProcessing(single="<|im_start|> $A", special_tokens=[("<|im_start|>", 1)])
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<|im_start|>", unk_token="[UNK]")
    fast.add_special_tokens({"additional_special_tokens": ["<|endoftext|>"]})
    return fast


@pytest.mark.parametrize(
    ("bos", "expected"),
    [("auto", (1,)), ("always", (1,)), ("never", ()), ("<|endoftext|>", (2,)), ("<|im_start|>", (1,)), ("Ġ", (4,))],
)
def test_a_start_token_by_name_stands_alone(chat_tokenizer: PreTrainedTokenizerFast, bos: str, expected: Any) -> None:
    assert bos_prefix(chat_tokenizer, bos, "chat") == expected


@pytest.mark.parametrize(
    ("bos", "end"),
    [
        ("<|endoftxt|>", "; did you mean '<|endoftext|>'?"),
        ("b", "; its special tokens are '<|im_start|>', '[UNK]', '<|endoftext|>'"),
        ("", "; its special tokens are '<|im_start|>', '[UNK]', '<|endoftext|>'"),
        ("Auto", "; its special tokens are '<|im_start|>', '[UNK]', '<|endoftext|>'"),
    ],
)
def test_a_start_token_that_is_not_there_is_refused(chat_tokenizer: PreTrainedTokenizerFast, bos: str, end: str) -> None:
    message = (
        f"bos {bos!r}: the tokenizer of 'chat' has no such token; use 'auto', 'always', 'never' or the string of a token of "
        f"its vocabulary{end}"
    )
    with pytest.raises(ScoringError, match=f"^{re.escape(message)}$"):
        bos_prefix(chat_tokenizer, bos, "chat")


def test_what_a_tokenizer_puts_after_a_text_is_no_prefix(tmp_path: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(make_bigram_folder(tmp_path, BIGRAM_WEIGHTS))
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="d $A c", special_tokens=[("d", 3), ("c", 2)]
    )
    assert tokenizer("a")["input_ids"] == [3, 0, 2]
    assert bos_prefix(tokenizer, "auto", "m") == (3,)


def dna_tokenizer(post_processor: Any, *, unknown: bool) -> PreTrainedTokenizerFast:
    """The four letters of DNA; nothing else is known, or everything else is <unk>."""
    letters = {"<cls>": 0, "<eos>": 1, "<unk>": 2, "A": 3, "C": 4, "G": 5, "T": 6}
    tokenizer = Tokenizer(models.WordLevel(letters, unk_token="<unk>") if unknown else models.BPE(letters, []))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    tokenizer.post_processor = post_processor
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, cls_token="<cls>", eos_token="<eos>")


TEMPLATE = processors.TemplateProcessing(single="<cls> $A <eos>", special_tokens=[("<cls>", 0), ("<eos>", 1)])
TWICE = processors.TemplateProcessing(
    single="both $A", special_tokens=[{"id": "both", "ids": [1, 0], "tokens": ["<eos>", "<cls>"]}]
)  # one special token may stand for several ids
PROCESSORS: list[tuple[Any, tuple[int, ...]]] = [
    (None, ()),
    (TEMPLATE, (0,)),
    (TWICE, (1, 0)),
    (processors.TemplateProcessing(single="$A <eos>", special_tokens=[("<eos>", 1)]), ()),
    (processors.BertProcessing(("<eos>", 1), ("<cls>", 0)), (0,)),
    (processors.RobertaProcessing(("<eos>", 1), ("<cls>", 0)), (0,)),
    (processors.ByteLevel(trim_offsets=True), ()),
    (processors.Sequence([processors.ByteLevel(trim_offsets=False), TEMPLATE]), (0,)),
    (processors.Sequence([TEMPLATE, processors.ByteLevel()]), (0,)),
]


@pytest.mark.parametrize("unknown", [True, False])
@pytest.mark.parametrize(("post_processor", "expected"), PROCESSORS)
def test_auto_is_what_the_post_processor_puts_before_a_text(
    post_processor: Any, expected: tuple[int, ...], unknown: bool
) -> None:
    tokenizer = dna_tokenizer(post_processor, unknown=unknown)
    ids = tokenizer("GAT")["input_ids"]
    assert tuple(ids[: ids.index(5)]) == expected
    assert bos_prefix(tokenizer, "auto", "dna") == expected
    assert bos_prefix(tokenizer, "never", "dna") == ()


def test_auto_follows_a_bos_that_is_switched_on_later(gpt2_folder: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(gpt2_folder)
    assert bos_prefix(tokenizer, "auto", "gpt2") == ()
    tokenizer.add_bos_token = True
    assert tokenizer("a")["input_ids"][0] == 50256
    assert bos_prefix(tokenizer, "auto", "gpt2") == (50256,)


def test_the_fingerprint_is_the_same_at_every_loading(gpt2: LoadedModel, gpt2_folder: Path) -> None:
    assert fingerprint(AutoTokenizer.from_pretrained(gpt2_folder)) == gpt2.tokenizer_sha256
    other_class = PreTrainedTokenizerFast.from_pretrained(gpt2_folder, padding_side="left")
    assert fingerprint(other_class) == gpt2.tokenizer_sha256


def test_what_a_tokenizer_was_built_from_is_let_go_of(gpt2_folder: Path) -> None:
    whole, lean = (GPT2Tokenizer.from_pretrained(gpt2_folder) for _ in range(2))
    forget_sources(lean)
    assert {"_vocab", "_merges"} <= vars(whole).keys()
    assert not {"_vocab", "_merges"} & vars(lean).keys()
    text = "Alice’s sister 😀 was\n\nvery tired<|endoftext|>"
    assert lean(text) == whole(text)
    assert lean.get_vocab() == whole.get_vocab()
    assert lean.decode(lean(text)["input_ids"]) == text
    assert fingerprint(lean) == fingerprint(whole)


def test_two_vocabularies_of_one_size_have_two_fingerprints() -> None:
    def of(*words: str) -> str:
        vocabulary = {word: number for number, word in enumerate(words)}
        return fingerprint(PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.WordLevel(vocabulary, unk_token="a"))))

    assert of("a", "b", "c") == of("a", "b", "c")
    assert len({of("a", "b", "c"), of("a", "c", "b"), of("a", "b", "d")}) == 3


def test_the_fingerprint_tells_the_tests_tokenizers_apart(glass, gpt2, bigram) -> None:
    assert len({model.tokenizer_sha256 for model in (glass, gpt2, bigram)}) == 3


def test_no_id_is_shown_as_a_replacement_character(gpt2: LoadedModel, glass: LoadedModel) -> None:
    for model in (gpt2, glass):
        shown = [readable(model.tokenizer, i) for i in range(len(model.tokenizer))]
        assert not [piece for piece in shown if "\ufffd" in piece]
        assert all(shown)


def test_bytes_that_are_no_character_are_shown_as_bytes(gpt2: LoadedModel) -> None:
    ids = encode(gpt2.tokenizer, "🐈").ids
    shown = "".join(readable(gpt2.tokenizer, int(i)) for i in ids)
    assert shown == "<0xF0><0x9F><0x90><0x88>"


def test_byte_tokens_of_a_sentencepiece_vocabulary_are_shown_as_they_are() -> None:
    tokenizer = Tokenizer(models.WordLevel({"a": 0, "<0xE1>": 1}, unk_token="a"))
    tokenizer.decoder = decoders.ByteFallback()
    assert readable(PreTrainedTokenizerFast(tokenizer_object=tokenizer), 1) == "<0xE1>"


def test_a_readable_token_keeps_its_space(gpt2: LoadedModel, glass: LoadedModel) -> None:
    for model in (gpt2, glass):
        assert readable(model.tokenizer, int(encode(model.tokenizer, "it was").ids[-1])) == " was"


def test_an_id_beyond_the_tokenizer_is_shown_by_its_number(bigram: LoadedModel) -> None:
    assert readable(bigram.tokenizer, 17) == "<id 17>"
