"""Matching of a dumped passage with a tokenizer: the ids of its tokens, what came before them, and whether all agrees."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from tokenviz.base.errors import ScoringError, TextError
from tokenviz.data.scores import BosMode
from tokenviz.dumps.forms import Alternative, Dumped, DumpedToken
from tokenviz.models.offsets import EncodedPassage, as_written
from tokenviz.models.tokens import bos_prefix, encode, readable
from tokenviz.models.vocabulary import Vocabulary, WordStarts, word_starts_of

_EQUAL = 1e-3  # nats; one number written twice, perhaps once in half precision
_PLACEHOLDER = re.compile(r"token_id:(\d+)")  # vLLM with return_tokens_as_token_ids
_ESCAPED = re.compile(r"bytes:((?:\\x[0-9a-fA-F]{2})+)")  # OpenAI's completions API
_REPLACED = "\ufffd"  # in the place of bytes that are not a whole character


class Tokens:
    """A tokenizer's vocabulary in reverse: from bytes to ids.

    Attributes:
        tokenizer: A fast tokenizer.
        name: Name of its model, for messages.
        bos: What is expected before a text.
        prefix: The ids that are expected before a text.
    """

    def __init__(self, tokenizer: Any, name: str, bos: BosMode) -> None:
        self.tokenizer, self.name, self.bos = tokenizer, name, bos
        self.prefix = bos_prefix(tokenizer, bos, name)
        self._vocabulary = Vocabulary.of(tokenizer)
        self.size = len(tokenizer)
        self._ids: dict[bytes, list[int]] | None = None
        self._readable: dict[int, str] = {-1: ""}

    @cached_property
    def word_starts(self) -> WordStarts:
        """The word starts of its tokens."""
        return word_starts_of(self.tokenizer, self.size)

    def content(self, number: int) -> bytes:
        """Return the bytes of a token."""
        return self._vocabulary.content(number)

    def readable(self, rows: Sequence[Sequence[int]]) -> tuple[tuple[str, ...], ...]:
        """Return the strings of alternatives for readers; -1 is none."""
        for number in {number for row in rows for number in row} - self._readable.keys():
            self._readable[number] = readable(self.tokenizer, number)
        return tuple(tuple(self._readable[number] for number in row) for row in rows)

    def named(self, one: Alternative | DumpedToken) -> int | None:
        """Return the id of a token that an engine names; None where no id matches, or more than one."""
        if one.token_id is not None:
            return one.token_id
        content = one.content if one.content is not None else _content(one.token)
        if isinstance(content, int):
            return content if content < self.size else None
        if content is None:
            return None
        found = self._of_content(content)
        return found[0] if len(found) == 1 else None

    def _of_content(self, content: bytes) -> list[int]:
        if self._ids is None:
            self._ids = {}
            for number in range(self.size):
                self._ids.setdefault(self.content(number), []).append(number)
        return self._ids.get(content, [])

    def is_written(self, number: int, one: Alternative | DumpedToken) -> bool:
        """Return whether the engine's string and bytes for a token are compatible with an id."""
        content = self.content(number)
        if one.content is not None:
            # llama.cpp writes nothing for special tokens, and for the first bytes of a character: its last token has all of
            # them.
            return one.content in (content, b"") or (not _is_text(content) and one.content.endswith(content))
        said = _content(one.token)
        if isinstance(said, int):
            return said == number
        if said is None:
            return one.token is None or not _is_text(content)  # bytes that are not a character
        return said.strip() in (content.strip(), b"")  # decoding removes the first space, and special tokens


def _content(token: str | None) -> bytes | int | None:
    """Return the bytes of a token's string, or the id that it contains; None where it has neither."""
    if token is None or _REPLACED in token:
        return None
    if found := _PLACEHOLDER.fullmatch(token):
        return int(found[1])
    if found := _ESCAPED.fullmatch(token):
        return bytes.fromhex(found[1].replace("\\x", ""))
    return token.encode("utf-8", "surrogatepass")


def _is_text(content: bytes) -> bool:
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return True


@dataclass(frozen=True, eq=False)
class Matched:
    """A passage with known token ids.

    Attributes:
        passage: The text.
        encoded: Its tokens, from its first character to its last.
        tokens: The engine's entry for each token.
        own: Whether the tokenizer itself gives the same tokens for the text.
        generated: Number of generated tokens at the end that were left out.
        unfinished: Number of tokens that were left out because they belong to an unfinished character or mark the end of the
            text.
    """

    passage: str
    encoded: EncodedPassage
    tokens: tuple[DumpedToken, ...]
    own: bool
    generated: int = 0
    unfinished: int = 0


def match(dumped: Dumped, known: Tokens, passage: str | None, *, generated: bool) -> Matched:
    """Match a dumped passage with a tokenizer.

    Args:
        dumped: A passage from `passages_of`.
        known: The tokenizer, and what is expected before a text.
        passage: The text that the passage must be, or begin with; None where the row has it.
        generated: Whether tokens that the engine generated after a prompt with log-probs belong to the passage.

    Raises:
        TextError: The two do not match; the message does not name the row.
    """
    tokens, left_out, dropped = _completed(dumped, known), 0, 0
    text = None if dumped.text is None else dumped.before + dumped.text
    if dumped.n_prompt and not generated and passage is None:
        left_out = len(tokens) - dumped.n_prompt
        if left_out:
            text = dumped.prompt if dumped.prompt is not None else _shortened(text, tokens[dumped.n_prompt :])
        tokens = tokens[: dumped.n_prompt]
    unread = _unread(dumped, known) if dumped.before else []
    tokens = _identified([*unread, *tokens], known, passage if passage is not None else text, whole=passage is None)
    tokens, opened = _without_prefix(tokens, known, passage if passage is not None else text)
    unscored = max(0, len(unread) - len(known.prefix) * opened)
    if passage is not None:
        own = encode(known.tokenizer, passage).ids.tolist()
        ids = [_id(one) for one in tokens]
        if ids[: len(own)] != own:
            raise TextError(f"is of another text than the passage {passage[:40]!r}: {_where_they_part(ids, own, known)}")
        tokens, text = tokens[: len(own)], passage
    else:
        tokens, text, dropped = _to_whole_characters(tokens, known, text)
    ids = [_id(one) for one in tokens]
    text = _read_back(known, ids) if text is None else text
    encoded, own_cut = _placed(known, text, ids)
    if unread and dumped.n_prompt:
        unscored += 1  # SGLang gives none for the first of the requested tokens
    if dumped.unscored:
        unscored = int((encoded.ends <= len(dumped.unscored)).sum())
    _check_missing(tokens, opened=opened, unscored=unscored)
    _check_alternatives(tokens, known)
    return Matched(text, encoded, tuple(tokens), own_cut, left_out, dropped)


def _completed(dumped: Dumped, known: Tokens) -> list[DumpedToken]:
    """Insert the tokens that the engine omits: llama.cpp lists no token that ends inside a character.

    The next token that ends a character is listed with the bytes of all of them, and with its own log-prob.
    """
    tokens = list(dumped.tokens)
    longer = [one for one in tokens if _absorbs(one, known)]
    if not longer and len(dumped.ids) in (0, len(tokens)):
        return tokens
    ids = list(dumped.ids)
    if not ids and dumped.text is not None:
        before = len(encode(known.tokenizer, dumped.before).ids) if dumped.before else 0
        ids = encode(known.tokenizer, dumped.before + dumped.text).ids.tolist()[before:]
    listed = iter(tokens)
    one = next(listed, None)
    found = []
    for number in ids:
        if one is not None and one.token_id == number:
            found.append(one)
            one = next(listed, None)
        else:
            found.append(DumpedToken(number, None, None, None, left_out=True))
    if one is not None or any(row.left_out and _is_text(known.content(_id(row))) for row in found):
        said = longer[0].token if longer else ""
        raise TextError(
            f"gives one log-prob for the several tokens of {said!r}, and which they are cannot be told: ask llama.cpp with "
            "return_tokens"
        )
    return found


def _absorbs(one: DumpedToken, known: Tokens) -> bool:
    """Return whether an engine writes a token with the bytes of earlier tokens, which it omits."""
    if one.content is None or one.token_id is None or one.token_id >= known.size:
        return False
    content = known.content(one.token_id)
    return not _is_text(content) and one.content != content and one.content.endswith(content)


def _shortened(text: str | None, tokens: Sequence[DumpedToken]) -> str | None:
    """Remove tokens from the end of a text; return None where their strings do not show how much that is."""
    ending = "".join(one.token or "" for one in tokens)
    return text[: len(text) - len(ending)] if text and ending and text.endswith(ending) else None


def _to_whole_characters(
    tokens: list[DumpedToken], known: Tokens, text: str | None
) -> tuple[list[DumpedToken], str | None, int]:
    """Drop tokens at the end that are not text: one that ends the generation, and bytes of an unfinished character."""
    kept, special = len(tokens), set(known.tokenizer.all_special_ids)
    while kept > 1 and text is not None and _id(tokens[kept - 1]) in special:
        if text.encode().endswith(known.content(_id(tokens[kept - 1]))):
            break
        kept -= 1
    while kept > 1 and not _is_text(b"".join(known.content(_id(one)) for one in tokens[:kept])):
        kept -= 1
    if kept < len(tokens) and text is not None and _REPLACED in text:
        text = None  # part of an unfinished character
    return tokens[:kept], text, len(tokens) - kept


def _unread(dumped: Dumped, known: Tokens) -> list[DumpedToken]:
    """Return the tokens that an engine read before those with log-probs."""
    ids = encode(known.tokenizer, dumped.before).ids.tolist()
    if dumped.n_prompt:  # the end of the prompt is among the tokens
        there = [one.token_id for one in dumped.tokens[: dumped.n_prompt]]
        if ids[len(ids) - len(there) :] != there:
            raise TextError("has log-probs of other tokens than its prompt ends with")
        ids = ids[: len(ids) - len(there)]
    n_read = len(ids) + (dumped.n_prompt or 0)
    if dumped.n_before is not None and dumped.n_before != n_read + len(known.prefix):
        if known.prefix and dumped.n_before == n_read:
            raise TextError(_lacks_bos(known))
        if dumped.n_before == n_read + 1 and not known.prefix:
            raise TextError(_has_bos(known))
        raise TextError(
            f"says that the engine read {dumped.n_before} tokens before those it generated, and the prompt has "
            f"{n_read + len(known.prefix)} by the tokenizer of {known.name!r}"
        )
    return [DumpedToken(number, None, None, None) for number in (*known.prefix, *ids)]


def _identified(tokens: list[DumpedToken], known: Tokens, text: str | None, *, whole: bool) -> list[DumpedToken]:
    """Return the tokens with an id for each."""
    if any(one.token_id is None for one in tokens):
        tokens = _named_by_text(tokens, known, text, whole=whole)
    for place, one in enumerate(tokens):
        if _id(one) >= known.size:
            raise TextError(
                f"has token id {one.token_id} at token {place}, and the tokenizer of {known.name!r} has {known.size:,} ids: it "
                "is not the model's"
            )
        if not known.is_written(_id(one), one):
            said = one.token if one.token is not None else one.content
            raise TextError(
                f"writes token {place}, id {one.token_id}, as {said!r}, and in the tokenizer of {known.name!r} it is "
                f"{known.content(_id(one)).decode('utf-8', 'backslashreplace')!r}: it is not the model's"
            )
    return tokens


def _named_by_text(tokens: list[DumpedToken], known: Tokens, text: str | None, *, whole: bool) -> list[DumpedToken]:
    """Find the ids of tokens that are strings or missing, from the tokenizer's own tokens of the text where these match."""
    if text:
        own = encode(known.tokenizer, text).ids.tolist()
        bos = known.tokenizer.bos_token_id
        for ids in (own, [*known.prefix, *own], [bos, *own] if bos is not None else own):
            fits = len(ids) == len(tokens) if whole else len(ids) <= len(tokens)
            if fits and all(_may_be(number, one, known) for number, one in zip(ids, tokens, strict=False)):
                rest = [_with_id(one, known.named(one)) for one in tokens[len(ids) :]]
                return [*(_with_id(one, number) for number, one in zip(ids, tokens, strict=False)), *rest]
    for place, one in enumerate(tokens):
        number = known.named(one)
        if number is not None:
            tokens[place] = _with_id(one, number)
        elif one.token is None and one.content is None:
            if text is None:
                raise TextError("says neither its text nor its token ids: add the prompt to the row, or ask for the ids")
            raise TextError(
                f"has {len(tokens)} entries, and {text[:40]!r} is {len(encode(known.tokenizer, text).ids)} tokens by the "
                f"tokenizer of {known.name!r}, with other ids than the entries hold: ask the engine for the ids"
            )
        else:
            said = one.token if one.token is not None else one.content
            why = "bytes that are no character, of which ids would say which" if _REPLACED in str(said) else "no token"
            raise TextError(f"has {said!r} as token {place}, and in the tokenizer of {known.name!r} that is {why}")
    return tokens


def _may_be(number: int, one: DumpedToken, known: Tokens) -> bool:
    if one.token_id is None and one.token is None and one.content is None and one.top:  # vLLM, without ids
        return any(alternative.token_id == number for alternative in one.top)
    return one.token_id in (None, number) and known.is_written(number, one)


def _with_id(one: DumpedToken, number: int | None) -> DumpedToken:
    if one.logprob is None and one.token is None and one.top:
        own = next((other for other in one.top if other.token_id == number), None)
        if own is not None:
            return replace(one, token_id=number, logprob=own.logprob, token=own.token, rank=own.rank)
    return replace(one, token_id=number)


def _id(one: DumpedToken) -> int:
    assert one.token_id is not None
    return one.token_id


def _lacks_bos(known: Tokens) -> str:
    return (
        f"does not begin with {_named(known.prefix, known)}, which the tokenizer of {known.name!r} puts before a text: every "
        "log-prob is another without it; --bos never imports it as it is"
    )


def _has_bos(known: Tokens) -> str:
    return (
        f"begins with {_named((known.tokenizer.bos_token_id,), known)}, which the tokenizer of {known.name!r} does not put "
        f"before a text with bos {known.bos!r}: --bos always imports it as it is"
    )


def _named(ids: Sequence[int], known: Tokens) -> str:
    return " ".join(known.content(number).decode("utf-8", "backslashreplace") for number in ids)


def _without_prefix(tokens: list[DumpedToken], known: Tokens, text: str | None) -> tuple[list[DumpedToken], bool]:
    """Remove the start tokens where they are not part of the text; return whether there were any."""
    prefix, bos = known.prefix, known.tokenizer.bos_token_id
    ids = [_id(one) for one in tokens]
    written = encode(known.tokenizer, text).ids.tolist() if text else []
    if prefix and tuple(ids[: len(prefix)]) == prefix:
        if written[: len(prefix)] == list(prefix) and ids[: 2 * len(prefix)] != [*prefix, *prefix]:
            return tokens, False  # the text contains its own
        for place, one in enumerate(tokens[: len(prefix)]):
            if one.logprob is not None:
                what = "0.0, which stands for no value" if one.logprob == 0 else f"a log-prob ({one.logprob:g})"
                raise TextError(f"has {what} at token {place}, the start token {_named(prefix, known)}: null is expected")
        return tokens[len(prefix) :], True
    if prefix:
        raise TextError(_lacks_bos(known))
    if bos is not None and ids[:1] == [bos] and written[:1] != [bos]:
        raise TextError(_has_bos(known))
    return tokens, False


def _where_they_part(ids: list[int], own: list[int], known: Tokens) -> str:
    place = next((i for i, (one, other) in enumerate(zip(ids, own, strict=False)) if one != other), min(len(ids), len(own)))
    here = [repr(_named((row[place],), known)) if place < len(row) else "nothing" for row in (ids, own)]
    return f"at token {place} it has {here[0]}, and the text {here[1]}"


def _read_back(known: Tokens, ids: list[int]) -> str:
    """Return a text that the tokenizer cuts into some ids; if there is none, the text that it decodes them to.

    Decoders remove a space at the beginning, or put spaces between tokens. The tokens' own bytes contain everything.
    """
    decoded = str(known.tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False))
    joined = b"".join(map(known.content, ids)).decode("utf-8", "replace")
    for text in (decoded, joined, joined.removeprefix(" ")):
        if text and encode(known.tokenizer, text).ids.tolist() == ids:
            return text
    return next((text for text in (decoded, joined) if as_written(known.tokenizer, text, ids) is not None), decoded)


def _placed(known: Tokens, text: str, ids: list[int]) -> tuple[EncodedPassage, bool]:
    """Find the characters of each token; the ids need not be those that the tokenizer gives for the text."""
    if not ids:
        raise TextError("has no token but the start token")
    try:
        own = encode(known.tokenizer, text)
    except ScoringError as error:
        raise TextError(str(error)) from error
    read = own.ids[own.ids >= 0].tolist()
    if read == ids:
        if len(read) != len(own.ids):
            raise TextError("holds characters that no token stands for, which cannot be imported")
        return own, True
    found = as_written(known.tokenizer, text, ids)
    if found is None:
        raise TextError(f"has ids that do not give back its text: {_where_they_part(ids, read, known)}")
    return found, False


def _check_missing(tokens: list[DumpedToken], *, opened: bool, unscored: int) -> None:
    """Refuse a passage with missing values at places that have a prediction."""
    missing = [one.logprob is None for one in tokens]
    if all(missing):
        raise TextError("has no log-prob at all")
    if not unscored and not opened and not missing[0]:
        if tokens[0].logprob == 0:
            raise TextError(
                "has 0.0 for its first token, before which nothing stands: it has no log-prob, and null is expected"
            )
        if missing[-1]:
            raise TextError(
                "is shifted by one: the last token has no log-prob and the first has one, before which nothing stands"
            )
        raise TextError(
            f"has a log-prob ({tokens[0].logprob:g}) for its first token, before which nothing stands: a start token is "
            "missing, or the row is shifted by one"
        )
    allowed = max(unscored, 0 if opened else 1)
    late = [place for place, gone in enumerate(missing) if gone and place >= allowed and not tokens[place].left_out]
    if late:
        hint = ": it is shifted by one" if late in ([allowed], [len(tokens) - 1]) and len(tokens) > allowed + 1 else ""
        raise TextError(f"has no log-prob for token {late[0]}{hint}")


def _check_alternatives(tokens: list[DumpedToken], known: Tokens) -> None:
    """Refuse a passage whose alternatives contradict its log-probs."""
    if not any(one.top for one in tokens):
        return
    apart = [place for place, one in enumerate(tokens) if one.logprob is not None and one.top and not _agrees(one, one, known)]
    if not apart:
        return
    rows = [place for place, one in enumerate(tokens) if one.logprob is not None and one.top]
    for step in (1, -1):
        pairs = [(tokens[i], tokens[i + step]) for i in rows if 0 <= i + step < len(tokens) and tokens[i + step].top]
        if 2 * len(apart) > len(rows) > 2 and pairs and sum(_agrees(a, b, known) for a, b in pairs) > 0.9 * len(pairs):
            raise TextError("is shifted by one: its log-probs are those that the alternatives give to the neighbouring tokens")
    place = apart[0]
    one = tokens[place]
    listed = _listed(one, known)
    if listed is not None:
        raise TextError(
            f"has two values for token {place}, {_named((_id(one),), known)!r}: {one.logprob:g}, and {listed:g} among the "
            "alternatives"
        )
    raise TextError(
        f"has {one.logprob:g} for token {place}, {_named((_id(one),), known)!r}, which is likelier than some of the "
        "alternatives and is not among them: log-probs and alternatives are of different places"
    )


def _listed(one: DumpedToken, known: Tokens) -> float | None:
    """Return the value of a token among its alternatives; None where it is missing or ambiguous."""
    return next((other.logprob for other in one.top if known.named(other) == one.token_id), None)


def _agrees(value: DumpedToken, place: DumpedToken, known: Tokens) -> bool:
    """Return whether a log-prob may be that of the token of a place, judging by the alternatives there."""
    assert value.logprob is not None
    listed = _listed(place, known)
    if listed is not None:
        return abs(listed - value.logprob) <= _EQUAL
    if any(known.named(other) is None for other in place.top):  # it may be that one
        return True
    counts = Counter(other.logprob for other in place.top)
    return value.logprob <= min(counts) + _EQUAL
