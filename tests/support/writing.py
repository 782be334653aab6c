"""Texts in many scripts, with what is hard to cut, to draw or to escape in them."""

from hypothesis import strategies as st

ALICE = "Alice was beginning to get very tired of sitting by her sister on the bank."

# Pieces that tokenizers cut, change or drop: line ends, marks, emoji of several code points, rare scripts, special tokens.
PIECES = [
    "The goal", " of", "  ", "\t", "\r\n", "\n\n", "\r", " ", "\u00a0", "e\u0301", "\u0301", "a\u0323\u0302", "ắ", "Việt Nam",
    "🐈", "🐈‍⬛", "👩‍👩‍👧‍👦", "🇻🇳", "👍🏽", "\u200d", "\ufe0f", "次の", "猫", "שלום", "مرحبا", "नमस्ते", "ᚠᛇ", "𝔘𝔫𝔦",
    "ﬁ", "\ufeff", "def f(x):\n    return x", "!", "$$", "<script>", "<|endoftext|>", "<bos>", "<unk>", "<s>", "\x1b[31m",
    "\u2028", "\ufffd",
]  # fmt: skip

PIECE_TEXTS = st.one_of(
    st.lists(st.sampled_from(PIECES), min_size=1, max_size=12).map("".join),
    st.text(min_size=1, max_size=40, alphabet=st.characters(codec="utf-8")),
)

# Words of scripts with and without spaces, runs of punctuation, and what stands between words.
MORE = [
    "the", " mat", " matron", "don't", " “Well,”", "'tis", "well-known", "U.S.A.", "3.14", "1,000", "foo_bar(x):", "...", ").",
    "https://example.com/a?b=c", "tiếng", "tie\u0302\u0301ng", " Việt", "日本の首都は東京です。", "「猫」", "ﾃｽﾄ", "的", "，",
    "中华人民共和国", "ภาษาไทย", "ភាសាខ្មែរ", "မြန်မာစာ", "བོད་སྐད་", "한국어", " 문장입니다.", "ქართული", "Ελληνικά", "русский",
    " मानक", 'צה"ל', "العربية", "\u200f", "\u200b", "\u00ad", " \u0301", "❤️", "☀️", "1️⃣", "🏴󠁧󠁢󠁥󠁮󠁧󠁿", "—", "--", "…", "\u3000",
    "\u2009", "\x85", "\v", "x²", "½", "_", "\ub86f\u11e3", "\u0600",
]  # fmt: skip

TEXTS = st.one_of(
    st.lists(st.sampled_from([*PIECES, *MORE, " ", " ", "\n"]), min_size=1, max_size=16).map("".join),
    st.text(min_size=1, max_size=40, alphabet=st.characters(codec="utf-8")),
)

# Every character but NUL, which HTML cannot hold, and surrogates, which are no characters.
CHARACTERS = st.one_of(
    st.sampled_from("ab \t\n\r<>&\"'#;x-/!]éệ水🙂\u200d\u202e\u0301\x1b\xa0\ufeff\u2028"),
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"),
)

# Tokens that a page could take for its own: tags, entities, templates, addresses, commands of a terminal.
HARD = [
    "\n\nA", "\r\n\r", "  two  spaces  ", "\ttab", "<script>alert(1)</script>", "&amp;", "&#13;", '"quoted" \'single\'',
    "</div>", "<!-- -->", "]]>", "{{ 7 * 7 }}", "{% raw %}", "</span><b>", "<img src=x onerror=alert(1)>", "سلام",
    "tiê\u0301ng", "👨‍👩‍👧", "\x1b[31m", "http://example.org/x", "javascript:alert(1)",
]  # fmt: skip
