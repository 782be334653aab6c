"""Generated texts in many scripts, and what is known of them by other means than the package's."""

from hypothesis import strategies as st
from test_tokens import PIECES

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
