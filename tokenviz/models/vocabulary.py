"""What the tokens of a vocabulary stand for: the bytes of each, and the characters that no token can stand for.

The tokenizers library decodes ids to a string, in which spaces and broken characters are changed; it does not say which bytes
one token is. So the pieces are read here as the three ways of writing them define: in the alphabet of byte-level BPE, as
SentencePiece writes them, or as they are.
"""

import re
from typing import Any
from weakref import WeakKeyDictionary

BYTE_PIECE = re.compile("<0x[0-9A-F]{2}>")
_SPACE_MARK = "\u2581"  # by which SentencePiece writes a space


def _byte_alphabet() -> dict[str, int]:
    """Return the printable characters by which byte-level BPE vocabularies write the 256 bytes."""
    kept = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    moved = [byte for byte in range(256) if byte not in kept]
    return {chr(byte): byte for byte in kept} | {chr(256 + i): byte for i, byte in enumerate(moved)}


BYTE_OF = _byte_alphabet()
_LETTER_OF = {byte: letter for letter, byte in BYTE_OF.items()}


class Vocabulary:
    """What a tokenizer's tokens stand for.

    Attributes:
        by_bytes: Whether its pieces are written in the alphabet of byte-level BPE.
        added: The ids of tokens that are found in a text before it is normalised and cut: special ones and others.
        unknown: The id of the token for what is unknown; None where there is none.
        drops: Whether the model leaves out what it does not know, without a word. BPE without a token for what is unknown does,
            and then counts the offsets of the tokens after it in the same word from the wrong character
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
        # The library does not tell which token of a Unigram model is for what is unknown.
        self.unknown = backend.token_to_id(piece) if piece else tokenizer.unk_token_id if kind == "Unigram" else None
        self._fallback = getattr(model, "byte_fallback", kind == "Unigram")  # nor whether a Unigram model goes on with bytes
        self.drops = kind == "BPE" and not piece
        self._prefix = getattr(model, "continuing_subword_prefix", None) or ""
        self._suffix = getattr(model, "end_of_word_suffix", None) or ""
        self._backend = backend
        self._contents: dict[int, bytes] = {}
        self._known: dict[str, bool] = {}

    @classmethod
    def of(cls, tokenizer: Any) -> "Vocabulary":
        """Return a tokenizer's vocabulary, read once."""
        size = tokenizer.backend_tokenizer.get_vocab_size(with_added_tokens=True)
        known_size, known = _KNOWN.get(tokenizer, (None, None))
        if known is None or known_size != size:
            known = cls(tokenizer)
            _KNOWN[tokenizer] = size, known
        return known

    def content(self, number: int) -> bytes:
        """Return the bytes that a token stands for, in UTF-8; a space where SentencePiece writes its mark for one."""
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
        """Whether a token can stand for a character that the model meets, or its bytes can."""
        found = self._known.get(character)
        if found is None:
            found = self._known[character] = self._is_known(character)
        return found

    def knows_byte(self, value: int) -> bool:
        """Whether a token of byte-level BPE can stand for a byte."""
        return self.knows(_LETTER_OF[value])

    def _is_known(self, character: str) -> bool:
        to_id = self._backend.token_to_id
        ways = {f"{prefix}{character}{suffix}" for prefix in ("", self._prefix) for suffix in ("", self._suffix)}
        if any(to_id(way) is not None for way in ways):
            return True
        return self._fallback and all(to_id(f"<0x{value:02X}>") is not None for value in character.encode())


_KNOWN: "WeakKeyDictionary[Any, tuple[int, Vocabulary]]" = WeakKeyDictionary()


def in_spaces(text: str) -> str:
    """Return a text with spaces where SentencePiece writes its mark for them."""
    return text.replace(_SPACE_MARK, " ")
