"""What results show of themselves, in a terminal and in a notebook: short, true, and nothing in it runs."""

import io
import re
from dataclasses import replace
from html.parser import HTMLParser
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image
from tables import NAN, long_pair, make_scores

import tokenviz as tv
from tokenviz.base import display
from tokenviz.comparing.comparison import pool
from tokenviz.data.texts import corpus
from tokenviz.figures.heatmap.drawing import heatmap_pages
from tokenviz.figures.plots.curves import along_text
from tokenviz.figures.typeset.saving import Picture
from tokenviz.harness.results import GridResult
from tokenviz.models.loading import LoadedModel

HOSTILE = [
    "<script>alert(1)</script>", "</div></table></style>", '" onmouseover="x', "&amp;", "<img src=x onerror=alert(1)>",
    "\x1b[31m", "\0", "\u202e", "{{ 7 * 7 }}", "`$\\alpha$", "\n", "\r",
]  # fmt: skip
TAGS = {"div", "b", "table", "thead", "tbody", "tr", "th", "td", "code"}
HEATMAP_TAGS = {"style", "figure", "section", "h2", "div", "span", "br", "wbr", "figcaption"}


class Fragment(HTMLParser):
    """What a strict reader finds in a fragment: its tags, their attributes, its words, and the cells of its tables."""

    def __init__(self, source: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.words = ""
        self.rows: list[list[str]] = []
        self.open: list[str] = []
        self.feed(source)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        if tag not in ("br", "wbr"):  # which have no end
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" in self.open:
            return
        self.words += data
        if self.rows and {"td", "th"} & set(self.open):
            self.rows[-1][-1] += data


def shown(result: object) -> Fragment:
    found = Fragment(result._repr_html_())
    assert found.tags <= TAGS
    assert found.attributes <= {"style", "dir"}
    return found


def test_a_table_of_tokens_shows_its_numbers_and_what_is_missing() -> None:
    scores = make_scores([["A", " <cat>", "\n"]], [NAN, -np.log(2), -2.0], name="t<b>", model="m&m")
    found = shown(scores)
    assert found.rows == [
        ["position", "token", "log-prob (nats)", "rank", "entropy (nats)"],
        ["0", "'A'", "–", "–", "–"],
        ["1", "' <cat>'", "−0.693", "2", "1.500"],
        ["2", "'\\n'", "−2.000", "2", "1.500"],
    ]
    # exp((ln 2 + 2) / 2) and (1 + 2 / ln 2) bits over seven bytes.
    assert found.words.startswith(
        "Tokens of “t<b>” by m&m2 of 3 tokens scored, mean log-prob −1.347 nats, perplexity per token 3.84, bits per byte 0.555"
    )


def test_passages_and_alternatives_have_columns_where_there_are_some() -> None:
    scores = make_scores([["a", "b"], ["c"]])
    top = {
        "top_ids": np.array([[-1] * 4, [1, 2, 3, 4], [-1] * 4]),
        "top_logprobs": np.array([[NAN] * 4, np.log([0.5, 0.25, 0.12, 0.1]).tolist(), [NAN] * 4]),
        "top_tokens": (("",) * 4, (" x", "<y>", "z", "w"), ("",) * 4),
    }
    found = shown(replace(scores, spec=replace(scores.spec, top_k=4), **top))
    assert [(row[0], row[1], row[-1]) for row in found.rows] == [
        ("passage", "position", "likeliest"),
        ("0", "0", "–"),
        ("0", "1", "' x' 50 %, '<y>' 25 %, 'z' 12 %"),
        ("1", "0", "–"),
    ]


def test_nothing_scored_is_shown_as_missing() -> None:
    scores = make_scores([["a"]])
    assert "0 of 1 tokens scored, mean log-prob – nats, perplexity per token –, bits per byte –" in shown(scores).words
    assert repr(scores).endswith("1 tokens, 0 scored, mean log-prob – nats, perplexity per token –)")


def test_long_results_are_cut_with_a_count() -> None:
    scores = make_scores([["a"] + [" b"] * 1234])
    found = shown(scores)
    assert len(found.rows) == 21
    assert found.words.endswith("… 1,215 more tokens: to_frame() has them all")
    assert len(shown(tv.words(scores)).rows) == 21
    assert shown(tv.words(scores)).words.count("… 1,215 more words: to_frame() has them all") == 1
    name = "n" * 500
    assert "n" * 80 + "… (420 more characters)" in shown(make_scores([["a" * 500]], name=name)).words
    assert "'" + "a" * 80 + "'… (420 more characters)" in shown(make_scores([["a" * 500]])).words


def test_texts_show_their_beginning() -> None:
    text = corpus(["<p>\r\n  one", "x" * 1500, *map(str, range(10))], name="many")
    assert shown(text).words == (
        f"Text “many”, 12 passages, 1,520 characters, sha256 {text.sha256[:12]}…<p>␍\n  one{'x' * 1000}… (500 more characters)"
        "012… 7 more passages"
    )
    assert repr(text) == "Text('many': 12 passages, 1,520 characters, '<p>\\r\\n  one')"
    assert repr(tv.literal("ab" * 100, name="ab")) == f"Text('ab': 200 characters, '{'ab' * 30}'… (140 more characters))"


def test_comparisons_show_every_number_with_its_interval() -> None:
    comparison = tv.compare(*long_pair(60))
    found = shown(comparison)
    r = comparison.pearson_r
    assert found.rows[1] == [
        "Pearson's r",
        f"{r.value:.3f}",
        f"{r.low:.3f} to {r.high:.3f}",
        "15 blocks of 4 tokens",
        "coefficient",
        "59",
    ]
    numbers = [
        one.definition for name, one in comparison.estimates().items() if not name.endswith("_bits") and "fisher" not in name
    ]
    assert [row[0] for row in found.rows[1 : len(numbers) + 1]] == numbers
    assert found.words.startswith("a: a, b: b, on “text”: 59 of 60 tokens scored by both")
    assert "95 % intervals from 2,000 resamples of 15 blocks of 4 tokens" in found.words
    assert [row[1] for row in found.rows[len(numbers) + 2 :]] == [
        repr(unit) for unit in comparison.largest_differences(5)["text"]
    ]
    assert repr(comparison) == (
        f"Comparison('a' and 'b' on 'text': 59 of 60 tokens, Pearson's r {r.value:.3f} ({r.low:.3f} to {r.high:.3f}), "
        f"concordance {comparison.concordance.value:.3f}, mean difference {comparison.mean_difference.value:.3f} nats)"
    )


def test_comparisons_say_why_a_number_is_missing() -> None:
    a, b = make_scores([["a", " b", " c"]], model="a"), make_scores([["a", " b", " c"]], model="b")
    found = shown(tv.compare(a, b))
    assert "not determined: Pearson's r, " in found.words
    assert (
        "not determined: share of equal first choices (no first choices were kept: score with a top_k of at least 1)"
        in found.words
    )


def test_several_comparisons_together() -> None:
    both = pool([tv.compare(*long_pair(40, name=name, seed=seed)) for name, seed in (("x", 1), ("y", 2))])
    assert shown(both).words.startswith("a: a, b: b, on 2 texts: 78 tokens scored by both")
    assert repr(both).startswith("PooledComparison('a' and 'b' on 2 texts: 78 of 80 tokens, Pearson's r 0.")


def test_summaries_and_words(glass: LoadedModel) -> None:
    scores = tv.score(glass, "Alice was beginning to get very tired.")
    found = shown(tv.information(scores))
    assert [row[0] for row in found.rows] == ["", "bits per byte", "bits per character", "mean log-prob of a token"]
    assert re.fullmatch(
        r"Summary\(bits_per_byte \d\.\d+, bits_per_character \d\.\d+, mean_logprob −\d\.\d+\)", repr(tv.information(scores))
    )
    words = tv.words(scores)
    assert [row[0] for row in shown(words).rows[1:]] == [repr(word) for word in words.word]
    assert shown(words).rows[1][2:] == ["–", "–"]
    assert repr(words) == f"WordScores({scores.text_name!r} by 'glass-en': 7 words, 6 scored, 6 corrected)"
    assert repr(glass) == "LoadedModel('glass-en' on cpu: reads 128 tokens at once, predicts over 1,024)"
    found = tv.divergences(glass, glass, "Alice")
    assert repr(found) == f"Divergences('glass-en' and 'glass-en' on {found.text_name!r}: 1 tokens, 0 measured)"


def test_what_an_experiment_leaves_is_a_table_of_pairs() -> None:
    comparison = tv.compare(*long_pair(60))
    metrics = {"n": 59.0, "pearson_r": comparison.pearson_r.value, "pearson_r_low": 0.5, "pearson_r_high": 0.99}
    run = SimpleNamespace(
        a=SimpleNamespace(model="<a>", text="t"), b=SimpleNamespace(model="b"), by="token", metrics=metrics,
        estimate=lambda name: getattr(comparison, name),
    )  # fmt: skip
    result = GridResult(
        experiment="trial", experiment_id="1", grid="grid", web_address="", scores=[{}], comparisons=[run],
        summary_run_id="abc", waiting=0,
    )  # fmt: skip
    found = shown(result)
    assert found.rows[1][:5] == ["<a>", "b", "t", "tokens", "59"]
    assert found.words.endswith("summary run abc")
    assert repr(result) == "GridResult('trial': 1 scores, 1 comparisons)"
    assert repr(replace(result, waiting=2)) == "GridResult('trial': 1 scores, 1 comparisons, 2 waiting for the server)"


@given(
    st.lists(
        st.sampled_from(HOSTILE) | st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=9),
        min_size=1,
        max_size=8,
    )
)
@example(HOSTILE)
@settings(deadline=None)
def test_nothing_of_a_text_or_a_name_becomes_markup(tokens: list[str]) -> None:
    name = "".join(tokens)
    a, b = (make_scores([tokens], model=name, name=name) for _ in "ab")
    comparison = tv.compare(a, b, resamples=0)
    for result in (a, comparison, pool([comparison], resamples=0), tv.words(a), tv.literal(name, name=name)):
        found = shown(result)
        assert not set("\0\r\x1b\u202e") & set(found.words + repr(result))
        assert "\n" not in repr(result)
    found = Fragment(tv.text_heatmap(a)._repr_html_())
    assert found.tags <= HEATMAP_TAGS
    assert found.attributes <= {"class", "style", "title", "dir"}
    assert [row[1] for row in shown(a).rows[1:]] == [display.quoted(token, 80) for token in tokens]


def test_heatmaps_show_the_text_and_count_what_they_leave_out() -> None:
    heatmap = tv.text_heatmap([make_scores([["a"] + [" b"] * 2500], model=model) for model in ("x", "y")])
    found = Fragment(heatmap._repr_html_())
    assert found.words.count(" b" * 1999) == 2
    assert found.words.count("… 501 more tokens") == 2
    assert "x: 2500 of 2501 tokens scored" in found.words
    assert heatmap._repr_png_() is None  # drawing all of it would take long
    assert repr(heatmap) == "TextHeatmap(log-prob (nats) of each token of 'text' by 'x' and 'y', −1250.50 to −1.00)"


def test_heatmaps_beside_each_other_keep_their_own_colours() -> None:
    scores = make_scores([["a", " b", " c"]])
    for colours in ("viridis", "cividis"):
        page = tv.text_heatmap(scores, colours=colours)._repr_html_()
        style = page[: page.index("</style>")]
        assert all(selector.startswith((".tokenviz-heatmap", "<style>")) for selector in re.findall(r"^(.*?) {", style, re.M))
        assert "gradient" not in style


def test_figures_show_themselves_without_pyplot() -> None:
    a, b = long_pair(40)
    for figure in (tv.unity_scatter(tv.compare(a, b)), along_text([a, b]), *heatmap_pages(tv.text_heatmap(a))):
        data, size = figure._repr_png_()
        picture = Image.open(io.BytesIO(data))
        assert picture.width == pytest.approx(2 * size["width"], abs=1)
        assert picture.height == pytest.approx(2 * size["height"], abs=1)
        assert np.asarray(picture.convert("L")).std() > 5  # something is drawn
        assert len(data) < 200_000
    scatter = repr(tv.unity_scatter(tv.compare(a, b)))
    assert re.fullmatch(r"Picture\([\d.]+ by [\d.]+ inches: text r = .* n = \d+ tokens\)", scatter)
    assert repr(Picture(figsize=(4.6, 5.14))) == "Picture(4.6 by 5.1 inches: without a title)"
    data, size = tv.text_heatmap(a)._repr_png_()
    assert size["width"] == 672
