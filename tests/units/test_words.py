"""Words of writing: the golden ones were checked by eye; for all others it is said what must hold."""

from itertools import pairwise

import pytest
import regex
from hypothesis import given, settings
from hypothesis import strategies as st
from writing import TEXTS

from tokenviz.units.words import Punctuation, words_of

MODES: list[Punctuation] = ["attached", "apart"]


def cut(passage: str, punctuation: Punctuation) -> list[str]:
    ends = [0, *(word.end for word in words_of(passage, punctuation=punctuation))]
    return [passage[start:end] for start, end in pairwise(ends)]


def endings(passage: str, punctuation: Punctuation) -> list[str]:
    return [word.ending for word in words_of(passage, punctuation=punctuation)]


# Text, the words with punctuation attached, the words with punctuation apart; | stands between words.
GOLDEN = {
    "English": (
        "\"I can't,\" she said -- in 1999, twice.",
        "\"I| can't,\"| she| said| --| in| 1999,| twice.",
        "\"|I| can't|,|\"| she| said| -|-| in| 1999|,| twice|.",
    ),
    "curly quotes": ("“Don’t!” — ‘no’…", "“Don’t!”| —| ‘no’…", "“|Don’t|!|”| —| ‘|no|’|…"),
    "apostrophes": ("'Tis the dogs' o'clock", "'Tis| the| dogs'| o'clock", "'|Tis| the| dogs|'| o'clock"),
    "hyphens": ("a well-known e-mail", "a| well-known| e-mail", "a| well|-|known| e|-|mail"),
    "numbers": ("3.14 is 1,000 times 5% of $7", "3.14| is| 1,000| times| 5%| of| $7", "3.14| is| 1,000| times| 5|%| of| $|7"),
    "abbreviations": ("e.g. the U.S.A. (see p.5)", "e.g.| the| U.S.A.| (see| p.5)", "e.g|.| the| U.S.A|.| (|see| p|.|5|)"),
    "addresses": (
        "See https://example.com/a?b=1 or me@example.org.",
        "See| https://example.com/a?b=1| or| me@example.org.",
        "See| https|:|/|/|example.com|/|a|?|b|=|1| or| me|@|example.org|.",
    ),
    "Vietnamese": (
        "Tiếng Việt, “đẹp” lắm!",
        "Tiếng| Việt,| “đẹp”| lắm!",
        "Tiếng| Việt|,| “|đẹp|”| lắm|!",
    ),
    "Vietnamese in NFD": (
        "Tie\u0302\u0301ng Vie\u0323\u0302t.",
        "Tie\u0302\u0301ng| Vie\u0323\u0302t.",
        "Tie\u0302\u0301ng| Vie\u0323\u0302t|.",
    ),
    "German": ("Er heißt Groß-Gerau.", "Er| heißt| Groß-Gerau.", "Er| heißt| Groß|-|Gerau|."),
    "French": ("L’été, c'est « beau » !", "L’été,| c'est| «| beau| »| !", "L’été|,| c'est| «| beau| »| !"),
    "Russian": ("Он сказал: «Да».", "Он| сказал:| «Да».", "Он| сказал|:| «|Да|»|."),
    "Arabic": ("قال: «نعم»، ثم ذهب.", "قال:| «نعم»،| ثم| ذهب.", "قال|:| «|نعم|»|،| ثم| ذهب|."),
    "Hebrew": ('צה"ל אמר: כן.', 'צה"ל| אמר:| כן.', 'צה"ל| אמר|:| כן|.'),
    "Hindi": ("नमस्ते दुनिया।", "नमस्ते| दुनिया।", "नमस्ते| दुनिया|।"),
    "Korean": ("나는 학생이다.", "나는| 학생이다.", "나는| 학생이다|."),
    "Chinese": (
        "我爱《北京》，他也爱。2024年",
        "我|爱|《北京》，|他|也|爱。|2024|年",
        "我|爱|《|北京|》|，|他|也|爱|。|2024|年",
    ),
    "Chinese in long words": ("中华人民共和国成立了", "中华|人民|共和国|成立|了", "中华|人民|共和国|成立|了"),
    "Japanese": ("日本の首都は「東京」です。", "日本|の|首都|は|「東京」|です。", "日本|の|首都|は|「|東京|」|です|。"),
    "Japanese with Latin": ("iPhoneを買う。 OK？", "iPhone|を|買う。| OK？", "iPhone|を|買う|。| OK|？"),
    "Thai": ("ฉันรักภาษาไทย", "ฉัน|รัก|ภาษา|ไทย", "ฉัน|รัก|ภาษา|ไทย"),
    "Lao": ("ພາສາລາວ", "ພາສາ|ລາວ", "ພາສາ|ລາວ"),
    "Burmese": ("မြန်မာစာ", "မြန်မာ|စာ", "မြန်မာ|စာ"),
    "Tibetan": ("བོད་སྐད་ཡིན།", "བོད་|སྐད་|ཡིན།", "བོད|་|སྐད|་|ཡིན|།"),
    "code": (
        "def f(x):\n    return x**2  # ok\n",
        "def| f(x):|\n    return| x**2|  #| ok|\n",
        "def| f|(|x|)|:|\n    return| x|*|*|2|  #| ok|\n",
    ),
    "emoji": (
        "Hi👋🏽 👨‍👩‍👧‍👦👍 🇻🇳🇫🇷!",
        "Hi👋🏽| 👨‍👩‍👧‍👦👍| 🇻🇳🇫🇷!",
        "Hi|👋🏽| 👨‍👩‍👧‍👦|👍| 🇻🇳|🇫🇷|!",
    ),
    "emoji of two characters": ("❤️ 1️⃣ ok", "❤️| 1️⃣| ok", "❤️| 1️⃣| ok"),
    "whitespace": (
        "  a\r\n\tb\u00a0c  d\u3000e \n",
        "  a|\r\n\tb|\u00a0c|  d|\u3000e| \n",
        "  a|\r\n\tb|\u00a0c|  d|\u3000e| \n",
    ),
    "nothing but whitespace": (" \t\n", " \t\n", " \t\n"),
    "a soft hyphen": ("co\u00adop", "co\u00adop", "co\u00adop"),
    "a directional mark after a space": ("a \u200fאב \u200f5", "a| \u200fאב| \u200f5", "a| \u200f|אב| \u200f|5"),
    "an old Korean syllable": ("\uac00\ub86f\u11e3 水", "\uac00\ub86f\u11e3| 水", "\uac00\ub86f\u11e3| 水"),  # ICU cuts it
    "an accent on a space": ("a \u0301b  \u0301", "a| \u0301b|  \u0301", "a| \u0301|b|  \u0301"),
    "a number sign that joins a space": ("\u0600  \u200f", "\u0600 | \u200f", "\u0600 | \u200f"),
}  # fmt: skip


@pytest.mark.parametrize("name", GOLDEN)
def test_golden_words(name: str) -> None:
    text, attached, apart = GOLDEN[name]
    assert cut(text, "attached") == attached.split("|")
    assert cut(text, "apart") == apart.split("|")


def test_how_a_word_is_known_to_have_ended() -> None:
    assert endings("Yes, 5 猫。\n", "attached") == ["space", "space", "unknown", "anything"]
    assert endings("Yes, 5 猫。\n", "apart") == [
        "space or punctuation", "anything", "space or punctuation", "unknown", "anything", "anything",
    ]  # fmt: skip
    assert endings("(猫", "attached") == ["unknown"]
    assert endings("iPhoneを", "attached") == ["space", "unknown"]
    assert endings("❤️ — ok", "apart") == ["anything", "anything", "space or punctuation"]
    assert endings("❤️ — ok", "attached") == ["space", "space", "space"]


def test_an_empty_passage_has_no_words() -> None:
    assert [words_of("", punctuation=mode) for mode in MODES] == [[], []]


def test_a_passage_of_a_megabyte_is_cut_in_seconds() -> None:
    assert len(cut(" She said: 日本の首都は東京です。" * 25_000, "attached")) == 25_000 * 8


@pytest.mark.parametrize("mode", MODES)
@given(passage=TEXTS)
@settings(max_examples=300, deadline=None)
def test_words_tile_any_text_and_cut_no_grapheme_cluster(mode: Punctuation, passage: str) -> None:
    words = cut(passage, mode)
    assert "".join(words) == passage
    assert all(words)
    ends = {word.end for word in words_of(passage, punctuation=mode)}
    assert ends <= {match.end() for match in regex.finditer(r"\X", passage)}
    # Whitespace stands at the front of a word, and a word without anything else only at the end of the passage.
    for word in words:
        blank = [match.group().isspace() for match in regex.finditer(r"\X", word)]
        assert blank == sorted(blank, reverse=True)
        assert not blank[-1] or word is words[-1]


@given(passage=TEXTS)
@settings(max_examples=150, deadline=None)
def test_keeping_punctuation_apart_only_adds_ends(passage: str) -> None:
    attached, apart = ({word.end for word in words_of(passage, punctuation=mode)} for mode in MODES)
    assert attached <= apart


@given(st.text(st.sampled_from("abcé ß\t\n.,;'\"()-—…Жשم5🙂"), max_size=60))
@settings(max_examples=150, deadline=None)
def test_in_scripts_with_spaces_attached_words_are_what_stands_between_them(passage: str) -> None:
    words = [word.strip() for word in cut(passage, "attached")]
    assert [word for word in words if word] == passage.split()
