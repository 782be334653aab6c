"""The HTML heatmap: the text in it is the text, nothing in it runs, and nothing is fetched."""

import re
import unicodedata
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tables import NAN, make_scores, passages_of
from writing import CHARACTERS, HARD

from tokenviz.data.scores import TokenScores
from tokenviz.figures.heatmap.definition import Source, text_heatmap
from tokenviz.figures.heatmap.html import heatmap_html
from tokenviz.figures.typeset.colours import contrast, to_hex

TOKENS = st.lists(st.text(CHARACTERS, max_size=8), min_size=1, max_size=8)


def page_of(source: Source, **settings) -> str:
    return heatmap_html(text_heatmap(source, **settings))


class Page(HTMLParser):
    """What a strict reader finds: the text of each passage, and the tags and attributes of the whole page."""

    def __init__(self, source: str) -> None:
        super().__init__(convert_charrefs=True)
        self.passages: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.depth = 0
        self.feed(source)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if self.depth and tag != "wbr":
            self.depth += 1
        elif dict(attrs).get("class") == "passage":
            self.depth = 1
            self.passages.append("")

    def handle_endtag(self, tag: str) -> None:
        self.depth = max(0, self.depth - 1)

    def handle_data(self, data: str) -> None:
        if self.depth:
            self.passages[-1] += data

    def spans(self) -> list[dict[str, str | None]]:
        """The spans of tokens."""
        return [attributes for tag, attributes in self.tags if tag == "span" and "title" in attributes]


@given(st.lists(TOKENS, min_size=1, max_size=3))
@example([HARD])
@example([["\n", "a"], ["\r\n"], ["\r", "\n"]])
@settings(deadline=None)
def test_the_text_of_a_passage_is_the_passage(passages: list[list[str]]) -> None:
    page = Page(page_of(make_scores(passages)))
    assert page.passages == ["".join(passage) for passage in passages]


@given(TOKENS)
@example(HARD)
@settings(deadline=None)
def test_no_token_brings_a_tag(tokens: list[str]) -> None:
    # Ours are the spans, one for each token or character of several, and the places where a line may end.
    heatmap = text_heatmap(make_scores([tokens]))
    plain = Page(page_of(make_scores([["x"] * len({piece.rows for piece in heatmap.panels[0].pieces})])))
    page = Page(page_of(make_scores([tokens])))
    allowed = ("wbr", "br")  # a line of the legend more where tokens share a character
    assert [tag for tag, _ in page.tags if tag not in allowed] == [tag for tag, _ in plain.tags if tag not in allowed]


@pytest.mark.parametrize("name", ["<script>alert(1)</script>", "a & b", "{{ 7 * 7 }}", '"quoted"', "日本語"])
def test_names_are_text(name: str) -> None:
    page = page_of(make_scores([["A", " b"]], name=name, model=name))
    plain = Page(page_of(make_scores([["A", " b"]])))
    assert [tag for tag, _ in Page(page).tags] == [tag for tag, _ in plain.tags]
    text = re.sub(r"\s+", " ", "".join(_all_text(page)))
    assert f"Log-prob of each token of “{name}”" in text
    assert f"{name}: 1 of 2 tokens scored" in text


def _all_text(source: str) -> list[str]:
    found: list[str] = []
    parser = HTMLParser(convert_charrefs=True)
    parser.handle_data = found.append  # type: ignore[method-assign]  # the parser calls it for every piece of text
    parser.feed(source)
    parser.close()
    return found


def test_a_nul_is_shown_by_its_picture() -> None:
    assert Page(page_of(make_scores([["a\0b"]]))).passages == ["a␀b"]


def test_a_carriage_return_is_written_as_a_reference() -> None:
    # Browsers read a bare one as a newline; Python's parser does not.
    page = page_of(make_scores([["a\r\n", "\r"]]))
    assert "\r" not in page
    assert Page(page).passages == ["a\r\n\r"]


def test_a_line_may_end_between_words_before_their_space_and_nowhere_else() -> None:
    page = page_of(make_scores([["An", " ab", "brev", " well-known", ",", " 水水", "。"]]))
    body = page[page.index('<div class="passage"') :]
    shown = re.sub(r"<(?!wbr)[^>]*>", "", body[: body.index("</div>")])
    assert shown == "An<wbr> abbrev<wbr> well-<wbr>known,<wbr> 水<wbr>水。"
    assert ".passage span { white-space: pre;" in page


def test_a_character_of_several_tokens_is_one_box_divided_in_their_colours() -> None:
    scores = make_scores([["A", " ti\u1ebf", "", "ng"]], [NAN, -1, -9, -2])
    heatmap = text_heatmap(scores)
    one, two = (to_hex(heatmap.scale.colour(value) or (1, 1, 1)) for value in (-1, -9))
    _, before, shared, after = Page(heatmap_html(heatmap)).spans()
    assert (shared["style"] or "").startswith(f"background:linear-gradient(to right,{one} 0% 50%,{two} 50% 100%);color:")
    assert "text-shadow" in (shared["style"] or "")  # on the dark and on the light part
    assert (shared["title"] or "").split("\n") == [
        "token 1 of 2 that share this: log-prob -1.0000 nats, rank 2, entropy 1.500 nats",
        "token 2 of 2 that share this: log-prob -9.0000 nats, rank 2, entropy 1.500 nats",
    ]
    assert "token 1" not in f"{before['title']}{after['title']}"


def test_every_panel_holds_the_whole_text() -> None:
    a = make_scores([["un", "believ", "able"], ["\r\n"]], tokenizer="a")
    b = make_scores([["unbe", "lievable"], ["\r", "\n"]], model="model-b", tokenizer="b")
    assert Page(page_of([a, b])).passages == ["unbelievable", "\r\n"] * 2


def test_text_is_readable_on_its_background() -> None:
    tokens = [f" w{i}" for i in range(60)]
    for span in Page(page_of(make_scores([tokens]))).spans()[1:]:
        found = re.fullmatch(r"background:#(\w\w)(\w\w)(\w\w);color:(black|white)", span["style"] or "")
        assert found is not None
        red, green, blue = (int(found[i], 16) / 255 for i in (1, 2, 3))
        ink = 0.0 if found[4] == "black" else 1.0
        assert contrast((red, green, blue), (ink, ink, ink)) >= 4.5


def test_unscored_tokens_have_a_class_of_their_own_and_no_colour() -> None:
    first, second = Page(page_of(make_scores([["A", " b"]]))).spans()
    assert first == {"class": "unscored", "title": "not scored"}
    assert "class" not in second


def test_pointing_at_a_token_shows_its_numbers() -> None:
    _, span = Page(page_of(make_scores([["A", " b"]], [NAN, -1.23456]))).spans()
    assert span["title"] == "log-prob -1.2346 nats, rank 2, entropy 1.500 nats"


def test_limits_and_the_look_of_the_unscored_are_explained() -> None:
    text = "".join(_all_text(page_of(make_scores([["A", " b", " c"]], [NAN, -1.5, -7]))))
    assert "−7.00" in text
    assert "−1.50" in text
    assert "not scored: no prediction, and no part in the scale" in text


def test_given_limits_are_taken() -> None:
    text = "".join(_all_text(page_of(make_scores([["A", " b"]]), limits=(-12, -0.25))))
    assert "−12.00" in text
    assert "−0.25" in text


def test_nothing_scored_has_no_number() -> None:
    page = page_of(make_scores([["A"]], [NAN]))
    assert "nan" not in page
    assert "0 of 1 tokens scored, mean – nats per token" in page


def test_the_page_stands_alone() -> None:
    page = page_of(make_scores([["A", " b"]]))
    assert not re.search(r"https?:|//|url\(|@import", page)
    for tag, attributes in Page(page).tags:
        assert tag not in ("script", "link", "img", "iframe", "object", "base")
        assert not {"src", "href", "action", "srcset"} & set(attributes)
        assert not any(name.startswith("on") for name in attributes)


def test_the_page_is_utf8_and_says_so() -> None:
    assert ("meta", {"charset": "utf-8"}) in Page(page_of(make_scores([["é"]]))).tags


def test_the_same_scores_give_the_same_page() -> None:
    assert page_of(make_scores([HARD])) == page_of(make_scores([HARD]))


@pytest.fixture(scope="module")
def hard_scores() -> TokenScores:
    passages = [["\n", *HARD, " " * 300, "x" * 500, " https://example.org/" + "a_b" * 100], ["\t" * 50, "end"], ["水" * 200]]
    name = "a-long-name-" * 20
    return make_scores(passages, name=name, model=f"/models/{name}")


@pytest.fixture
def opened(chromium, hard_scores: TokenScores, tmp_path: Path):
    """A real browser, as wide as a telephone, with the page of the hard scores in it."""
    path = tmp_path / "heatmap.html"
    path.write_text(page_of(hard_scores), encoding="utf-8", newline="")
    chromium.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": 400, "height": 800, "deviceScaleFactor": 1, "mobile": False}
    )
    chromium.get_log("performance")  # empties it
    chromium.get(path.as_uri())
    return chromium


@pytest.mark.browser
def test_a_browser_shows_the_exact_text(opened, hard_scores: TokenScores) -> None:
    found = opened.execute_script("return [...document.querySelectorAll('.passage')].map(e => e.textContent)")
    assert found == passages_of(hard_scores)


@pytest.mark.browser
def test_a_browser_shows_the_colours_of_the_scale(opened, hard_scores: TokenScores) -> None:
    found = opened.execute_script(
        "return [...document.querySelectorAll('.passage span')].map(e => getComputedStyle(e).backgroundColor)"
    )
    scale = text_heatmap(hard_scores).scale
    expected = [scale.colour(value) or (1, 1, 1) for value in hard_scores.logprob]
    assert found == [f"rgb({', '.join(str(round(255 * part)) for part in colour)})" for colour in expected]


@pytest.mark.browser
def test_a_browser_runs_nothing_and_fetches_nothing(opened) -> None:
    import json

    assert opened.execute_script("return document.scripts.length") == 0
    assert opened.execute_script("return document.images.length + performance.getEntriesByType('resource').length") == 0
    events = [json.loads(entry["message"])["message"] for entry in opened.get_log("performance")]
    requests = [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]
    assert len(requests) == 1
    assert requests[0].endswith("/heatmap.html")


@pytest.mark.browser
def test_nothing_is_wider_than_a_telephone(opened) -> None:
    assert opened.execute_script("return innerWidth") == 400
    assert opened.execute_script("return document.documentElement.scrollWidth") <= 400
    wide = opened.execute_script(
        "return [...document.querySelectorAll('body *')]"
        ".filter(e => e.getBoundingClientRect().right > 400).map(e => e.outerHTML)"
    )
    assert wide == []


@pytest.mark.browser
def test_a_browser_gives_room_to_every_space_and_line(opened) -> None:
    heights = opened.execute_script(
        "return [...document.querySelectorAll('.passage span')]"
        ".map(e => [e.textContent, e.getBoundingClientRect().width, e.getClientRects().length])"
    )
    [spaces] = [rest for text, *rest in heights if text == " " * 300]
    [double] = [rest for text, *rest in heights if text == "  two  spaces  "]
    assert spaces[1] > 2  # three hundred spaces take several lines
    assert double[0] > 0
    lines = opened.execute_script("return document.querySelector('.passage').getClientRects()[0].height")
    assert lines > 800


def pair() -> list[TokenScores]:
    tokens = [["A", " b", " c", " d"]]
    return [make_scores(tokens, [NAN, -1, -5, -2]), make_scores(tokens, [NAN, -4, -2, -2], model="model-b")]


def test_a_difference_below_zero_is_underlined() -> None:
    page = page_of(pair(), measure="difference")
    first, lower, higher, equal = Page(page).spans()
    assert [span.get("class") for span in (first, lower, higher, equal)] == ["unscored", "below", None, None]
    assert lower["title"] == "log-prob -1.0000 by model-a, -4.0000 by model-b: difference -3.0000 nats"
    assert ".passage .below { text-decoration: underline;" in page
    assert '<div class="sign"></div>' in page
    assert '<div class="sign"></div>' not in page_of(pair())


def test_ranks_have_a_swatch_for_each_bucket() -> None:
    heatmap = text_heatmap(pair()[0], measure="rank_bucket")
    page = heatmap_html(heatmap)
    swatches = re.findall(r'<span class="swatch" style="background:(#\w+)"></span>([^<]+)</span>', page)
    assert swatches == [(to_hex(heatmap.scale.colour(float(n))), name) for n, name in enumerate(heatmap.buckets)]
    assert 'class="bar"' not in page


def test_the_page_has_the_caption_and_what_made_it() -> None:
    heatmap = text_heatmap(pair())
    page = heatmap_html(heatmap, about='{"run": "01<2"}')
    assert heatmap.caption in "".join(_all_text(page))
    assert ("meta", {"name": "description", "content": '{"run": "01<2"}'}) in Page(page).tags
    assert "description" not in page_of(pair()).split("<title>")[0]


@pytest.mark.parametrize("sign", ["\u202e", "\u2067", "\u200f"])
def test_what_changes_the_direction_stays_in_its_token_and_is_told(sign: str) -> None:
    plain, marked = Page(page_of(make_scores([["A", f"b{sign}c"]]))).spans()
    assert plain["class"] == "unscored"
    assert marked["class"] == "directions"
    assert (marked["title"] or "").endswith(f"; holds U+{ord(sign):04X} {unicodedata.name(sign)}")


@pytest.mark.browser
def test_an_override_of_the_direction_does_not_turn_other_tokens_round(chromium, tmp_path: Path) -> None:
    path = tmp_path / "override.html"
    path.write_text(page_of(make_scores([["one", "\u202etwo", " three", " four"]])), encoding="utf-8", newline="")
    chromium.get(path.as_uri())
    lefts = chromium.execute_script(
        "return [...document.querySelectorAll('.passage span')].map(e => e.getBoundingClientRect().left)"
    )
    assert lefts == sorted(lefts)
