"""Vocabularies: the bytes that each token covers, and the characters that no token can cover.

The tokenizers library decodes ids to a string, in which spaces and broken characters are changed; it does not report the bytes
of a single token. So pieces are decoded here, by the definitions of the three ways to write them: in the alphabet of byte-level
BPE, with SentencePiece's marks, or literally.
"""

import re
from typing import Any
from weakref import WeakKeyDictionary

BYTE_PIECE = re.compile("<0x[0-9A-F]{2}>")
_SPACE_MARK = "\u2581"  # SentencePiece's character for a space


def _byte_alphabet() -> dict[str, int]:
    """Return the printable characters that stand for the 256 bytes in byte-level BPE vocabularies."""
    kept = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    moved = [byte for byte in range(256) if byte not in kept]
    return {chr(byte): byte for byte in kept} | {chr(256 + i): byte for i, byte in enumerate(moved)}


BYTE_OF = _byte_alphabet()
_LETTER_OF = {byte: letter for letter, byte in BYTE_OF.items()}


class Vocabulary:
    """The bytes of a tokenizer's tokens.

    Attributes:
        by_bytes: Whether the pieces are written in the alphabet of byte-level BPE.
        added: The ids of tokens that are found in a text before it is normalised and split: special ones and others.
        unknown: The id of the unknown token; None where there is none.
        drops: Whether the model silently drops unknown characters. BPE without an unknown token does, and then counts the
            offsets of later tokens in the same word from the wrong character
            (https://github.com/huggingface/tokenizers/issues/813).
    """

    def __init__(self, tokenizer: Any) -> None:
        backend = tokenizer.backend_tokenizer
        model = backend.model
        parts = (backend.pre_tokenizer, backend.decoder, backend.normalizer)
        self.by_bytes = any(part is not None and b'"ByteLevel"' in part.__getstate__() for part in parts)
        added = backend.get_added_tokens_decoder()
        self.added = frozenset(added)
        self._added = {number: str(token.content).encode() for number, token in added.items()}
        kind = type(model).__name__
        piece = getattr(model, "unk_token", None)
        # The library does not report the unknown token of a Unigram model.
        self.unknown = backend.token_to_id(piece) if piece else tokenizer.unk_token_id if kind == "Unigram" else None
        # It does not report whether a Unigram model falls back to bytes either
        self._fallback = getattr(model, "byte_fallback", kind == "Unigram")
        self.drops = kind == "BPE" and not piece
        self._prefix = getattr(model, "continuing_subword_prefix", None) or ""
        self._suffix = getattr(model, "end_of_word_suffix", None) or ""
        self._backend = backend
        self._contents: dict[int, bytes] = {}
        self._known: dict[str, bool] = {}

    @classmethod
    def of(cls, tokenizer: Any) -> "Vocabulary":
        """Return a tokenizer's vocabulary, which is read once."""
        size = tokenizer.backend_tokenizer.get_vocab_size(with_added_tokens=True)
        known_size, known = _KNOWN.get(tokenizer, (None, None))
        if known is None or known_size != size:
            known = cls(tokenizer)
            _KNOWN[tokenizer] = size, known
        return known

    def content(self, number: int) -> bytes:
        """Return the bytes of a token, in UTF-8; SentencePiece's mark for a space becomes a space."""
        found = self._contents.get(number)
        if found is None:
            found = self._contents[number] = self._content(number)
        return found

    def _content(self, number: int) -> bytes:
        piece = self._backend.id_to_token(number) or ""
        if self._fallback and BYTE_PIECE.fullmatch(piece):
            return bytes([int(piece[3:5], 16)])
        if number in self._added:
            return self._added[number]
        if self._suffix:
            piece = piece.removesuffix(self._suffix)
        if self._prefix:
            piece = piece.removeprefix(self._prefix)
        if self.by_bytes and all(letter in BYTE_OF for letter in piece):
            return bytes(map(BYTE_OF.__getitem__, piece))
        return in_spaces(piece).encode()

    def knows(self, character: str) -> bool:
        """Return whether a token can cover a normalised character, or several tokens its bytes."""
        found = self._known.get(character)
        if found is None:
            found = self._known[character] = self._is_known(character)
        return found

    def knows_byte(self, value: int) -> bool:
        """Return whether a token of byte-level BPE can cover a byte."""
        return self.knows(_LETTER_OF[value])

    def _is_known(self, character: str) -> bool:
        to_id = self._backend.token_to_id
        ways = {f"{prefix}{character}{suffix}" for prefix in ("", self._prefix) for suffix in ("", self._suffix)}
        if any(to_id(way) is not None for way in ways):
            return True
        return self._fallback and all(to_id(f"<0x{value:02X}>") is not None for value in character.encode())


_KNOWN: "WeakKeyDictionary[Any, tuple[int, Vocabulary]]" = WeakKeyDictionary()


def in_spaces(text: str) -> str:
    """Return a text with SentencePiece's marks replaced by spaces."""
    return text.replace(_SPACE_MARK, " ")
