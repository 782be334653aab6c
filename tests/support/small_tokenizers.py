"""Small tokenizers of every kind, trained on a sentence each of many languages, and how their tokens cover a text."""

from typing import Any

import numpy as np
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from tokenviz.models.offsets import EncodedPassage
from tokenviz.models.tokens import encode

# Each has characters that are composed of others.
SENTENCES = {
    "Korean": "한국어 문장은 아름답다", "Bengali": "কোনো বৌদ্ধ মন্দির", "Tamil": "கொடி யானை போகும்", "Hindi": "ऩमक ऱोज़ ऴगा",
    "Vietnamese": "Tiếng Việt đẹp lắm", "Greek": "Ἑλληνικὴ γλῶσσα", "Russian": "йод и ёлка", "Arabic": "آمنة أحمد مؤمن",
    "Japanese": "ガギグ ばびぶ", "Sinhala": "කෝපි දෝෂ", "Kannada": "ಕೋಟಿ ಕೊಡು", "Czech": "příliš žluťoučký kůň",
}  # fmt: skip


CORPUS = [*SENTENCES.values()] * 3 + ["the run of a quartet"] * 3


LEARNT = "the run of a quartet, and of a lyre"


def in_bytes(
    normalizer: Any = None, *, alphabet: bool = True, size: int = 340, corpus: Any = CORPUS
) -> PreTrainedTokenizerFast:
    """Byte-level BPE; without the bytes as its initial alphabet it has those of its corpus alone."""
    tokenizer = Tokenizer(models.BPE())
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    letters = pre_tokenizers.ByteLevel.alphabet() if alphabet else []
    tokenizer.train_from_iterator(corpus, trainers.BpeTrainer(vocab_size=size, initial_alphabet=letters, show_progress=False))
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer)


def by_likelihood(normalizer: Any) -> PreTrainedTokenizerFast:
    """Unigram, as SentencePiece makes it."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.UnigramTrainer(vocab_size=300, unk_token="<unk>", special_tokens=["<unk>"], show_progress=False)
    tokenizer.train_from_iterator(CORPUS, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>")


def in_word_pieces(normalizer: Any) -> PreTrainedTokenizerFast:
    """WordPiece, as BERT has it."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(vocab_size=300, special_tokens=["[UNK]"], show_progress=False)
    tokenizer.train_from_iterator(CORPUS, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="[UNK]")


def with_byte_fallback(normalizer: Any, letters: str = SENTENCES["Korean"]) -> PreTrainedTokenizerFast:
    """Characters, and bytes for those that are not in the vocabulary, as Llama 2 and Gemma have them."""
    vocabulary = {f"<0x{value:02X}>": value for value in range(256)}
    for letter in sorted({*letters.replace(" ", "\u2581"), "\u2581"}):
        vocabulary[letter] = len(vocabulary)
    tokenizer = Tokenizer(models.BPE(vocabulary, [], byte_fallback=True))
    marks = [normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")]
    tokenizer.normalizer = normalizers.Sequence([*([] if normalizer is None else [normalizer]), *marks])
    tokenizer.decoder = decoders.Sequence([decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse()])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer)


def slices(passage: str, encoded: EncodedPassage) -> list[str]:
    return [passage[start:end] for start, end in zip(encoded.starts, encoded.ends, strict=True)]


def assert_tiles(tokenizer: Any, passage: str) -> None:
    encoded = encode(tokenizer, passage)
    assert len(encoded.ids) == len(encoded.starts) == len(encoded.ends) > 0
    assert encoded.starts[0] == 0
    assert encoded.ends[-1] == len(passage)
    np.testing.assert_array_equal(encoded.starts[1:], encoded.ends[:-1])
    assert (encoded.starts <= encoded.ends).all()
    assert "".join(slices(passage, encoded)) == passage
    # Other rows are of characters that the vocabulary has no token for.
    assert encoded.ids[encoded.ids >= 0].tolist() == tokenizer(passage, add_special_tokens=False)["input_ids"]
