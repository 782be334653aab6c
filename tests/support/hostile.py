"""Inputs that nobody meant: valid ones damaged at random, in their bytes or in the values that they hold."""

import json
import random
from typing import Any

# What has broken programs of this kind before: no text, controls, marks, halves of characters, paths, markup, numbers as words.
STRINGS = [
    "", " ", "\0", "\n", "\r\n", "\x1b[31m", "\x85", "\u2028", "\u202e", "\ufeff", "e\u0301", "\ud800", "\udcff", "👩🏽‍🚀",
    "नमस्ते", "مرحبا", "日本語", "a" * 300, "x/y", "../x", "..", ".", "~", "~nobody/x", "/dev/null/x", "C:\\x", "a:b", "-", "--",
    "-1", "%s", "{x}", "$x$", "\\input{x}", "<b>", "&amp;", "'", '"', "`", "'; DROP TABLE runs; --", "NaN", "null", "0",
    "1e999", "True", "[", "[[x]]", "=", ",", "@", "glass-en", "a=b and (c<1)", "(" * 400, "not " * 400,
    "tiếng Việt", "text", "id",
]  # fmt: skip
NUMBERS = [0, 1, -1, 2, 7, 2**31, 2**63, -(2**63), 10**30, 10**400, 0.5, -0.0, 1e308, 1e-320, float("nan"), float("inf")]
_BYTES = [
    b"\0", b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xef\xbb\xbf", b"\n", b"\r", b'"', b"'", b",", b"{", b"}", b"[" * 2000,
    b"\\ud800", b"-1", b"9" * 5000, b"1e999", b"NaN", b"\xf0\x9f\x91", b"<", b"%", b"\x7f\xff\xff\xff\xff\xff\xff\xff",
    b"\xff" * 8,
]  # fmt: skip


def value(rng: random.Random) -> Any:
    """A value that JSON can hold and nobody expects."""
    kind = rng.randrange(8)
    if kind == 0:
        return rng.choice([None, True, False, [], {}])
    if kind == 1:
        return rng.choice(NUMBERS)
    if kind == 2:
        return [rng.choice(STRINGS) for _ in range(rng.randrange(1, 4))]
    if kind == 3:
        return {rng.choice(STRINGS): rng.choice([*STRINGS, *NUMBERS, None]) for _ in range(rng.randrange(1, 4))}
    if kind == 4:
        deep: Any = 0
        for _ in range(rng.choice([3, 300])):
            deep = [deep]
        return deep
    return rng.choice(STRINGS)


def changed(rng: random.Random, document: Any) -> Any:
    """A document of JSON with one of its values replaced, removed, renamed or doubled."""
    if isinstance(document, dict) and document and rng.random() < 0.9:
        name = rng.choice(list(document))
        rest = {key: one for key, one in document.items() if key != name}
        what = rng.random()
        if what < 0.15:
            return rest
        if what < 0.25:
            return {**rest, rng.choice(STRINGS): document[name]}
        return {**document, name: changed(rng, document[name])}
    if isinstance(document, list) and document and rng.random() < 0.8:
        place = rng.randrange(len(document))
        what = rng.random()
        if what < 0.2:
            return document[:place] + document[place + 1 :]
        if what < 0.3:
            return document[:place] + [document[place]] * 2 + document[place + 1 :]
        return [*document[:place], changed(rng, document[place]), *document[place + 1 :]]
    return value(rng)


def damaged(rng: random.Random, data: bytes) -> bytes:
    """Bytes, some of them changed, cut out, doubled or put in."""
    for _ in range(rng.choice([1, 1, 2, 5])):
        place, length = rng.randrange(len(data) + 1), rng.choice([1, 2, 8, 64, 1000])
        what = rng.randrange(6)
        if what == 0:
            data = data[:place] + bytes(rng.randrange(256) for _ in range(min(length, 16))) + data[place + min(length, 16) :]
        elif what == 1:
            data = data[:place] + data[place + length :]
        elif what == 2:
            data = data[:place] + data[place : place + length] * 2 + data[place + length :]
        elif what == 3:
            data = data[:place]
        elif what == 4 and place < len(data):
            data = data[:place] + bytes([data[place] ^ 1 << rng.randrange(8)]) + data[place + 1 :]
        else:
            data = data[:place] + rng.choice(_BYTES) + data[place:]
    return data


def spoiled(rng: random.Random, data: bytes) -> bytes:
    """A file's bytes with a change inside what it says, where it is JSON, else anywhere."""
    if rng.random() < 0.75:
        try:
            document = json.loads(data)
        except ValueError:
            pass
        else:
            for _ in range(rng.choice([1, 1, 2])):
                document = changed(rng, document)
            return json.dumps(document, ensure_ascii=rng.random() < 0.5).encode("utf-8", "surrogatepass")
    return damaged(rng, data)
