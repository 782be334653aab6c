"""The report without a browser: what its data hold, that texts stay texts, how large it is, and how it is written."""

import base64
import hashlib
import json
import math
import pickle
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Run
from hypothesis import example, given, settings
from hypothesis import strategies as st
from reports import Page, long_tables, passages_in, three, with_alternatives
from tables import NAN, make_scores
from writing import ALICE, CHARACTERS, HARD

import tokenviz as tv
from tokenviz.base.errors import DiskError
from tokenviz.comparing.alignment import Units
from tokenviz.figures.heatmap.definition import pair_heatmap, text_heatmap
from tokenviz.figures.heatmap.measures import MEASURES, common_rows
from tokenviz.figures.report.data import report_data
from tokenviz.figures.report.page import report_html, save_report
from tokenviz.figures.typeset.colours import COLOUR_MAPS
from tokenviz.stats.estimate import rounded

ANY_TEXT = st.one_of(CHARACTERS, st.just("\0"))
PASSAGES = st.lists(st.lists(st.text(ANY_TEXT, max_size=8), min_size=1, max_size=8), min_size=1, max_size=3)


@given(PASSAGES)
@example([HARD])
@example([["</script>", "<!--", "<script>"], ["\u2028", "\0", "\r\n"]])
@settings(deadline=None)
def test_a_text_is_carried_exactly_and_brings_no_tag(passages: list[list[str]]) -> None:
    page = Page(report_html(make_scores(passages)))
    expected = ["".join(passage) for passage in passages]
    assert [passages_in(page.data["tokens"][0]), passages_in(page.data["units"])] == [expected, expected]
    plain = Page(report_html(make_scores([["x"] * len(passage) for passage in passages])))
    assert [tag for tag, _ in page.tags] == [tag for tag, _ in plain.tags]


@pytest.mark.parametrize(
    "name", ["</script><script>alert(1)</script>", "a & b", "{{ 7 * 7 }}", "\"quoted\" 'single'", "日本語"]
)
def test_names_are_text(name: str) -> None:
    page = Page(report_html(make_scores([["A", " b"]], name=name, model=name)))
    assert (page.data["text"], page.data["models"][0]["name"]) == (name, name)
    assert page.raw["title"] == f"{name} on “{name}”"
    assert [tag for tag, _ in page.tags] == [tag for tag, _ in Page(report_html(make_scores([["A", " b"]]))).tags]


def test_tokens_have_their_numbers_and_alternatives() -> None:
    tables = three()
    data = report_data(tables)
    for table, own in zip(tables, data["tokens"], strict=True):
        assert own["text"] == list(table.token)
        for i in range(len(table)):
            alternatives = [data["alternatives"][number] for number in own["top"][3 * i : 3 * i + 3]]
            logprobs = own["top_logprob"][3 * i : 3 * i + 3]
            if not table.scored[i]:
                assert (own["logprob"][i], own["rank"][i], own["entropy"][i], own["read"][i]) == (None, None, None, -1)
                assert logprobs == [None] * 3
                continue
            assert own["logprob"][i] == pytest.approx(table.logprob[i], abs=5e-5)
            assert own["rank"][i] == table.rank[i]
            assert own["entropy"][i] == pytest.approx(table.entropy[i], abs=5e-4)
            assert alternatives == list(table.top_tokens[i])
            assert logprobs == pytest.approx(table.top_logprobs[i].tolist(), abs=5e-5)
            assert own["read"][i] == 1


def test_models_meet_in_the_units_that_all_have() -> None:
    tables = three()
    data = report_data(tables)
    units = data["units"]
    assert data["unit"] == "segment"
    assert units["text"] == ["The", " cat", " sat", ".\n", "tiếng", " Việt", " 水"]
    assert units["n_tokens"] == [[1, 1, 1, 2, 1, 1, 1]] * 2 + [[1, 2, 1, 1, 2, 2, 1]]
    assert units["first"] == [[0, 1, 2, 3, 5, 6, 7]] * 2 + [[0, 1, 3, 4, 5, 7, 9]]
    assert units["logprob"][0] == [None, -1.25, -2.5, -6.5, None, -4.0, -0.13]
    assert units["logprob"][2] == [-3.0, -3.0, -0.5, -0.5, -7.5, -2.5, -2.0]
    assert report_data(tables[:2])["unit"] == "token"


def test_every_measure_is_that_of_the_heatmap() -> None:
    tables = three()
    data = report_data(tables)
    assert [measure["name"] for measure in data["measures"]] == list(MEASURES)
    for measure in data["measures"]:
        if measure["of_pair"]:
            continue
        heatmap, [view] = text_heatmap(tables, measure=measure["name"]), measure["views"]
        legend, colours = heatmap.legend, COLOUR_MAPS[view["colours"]].shades
        assert (view["axis"], view["ticks"], view["lines"]) == (legend.axis, legend.ticks, legend.lines)
        assert (view["unscored"], view["caption"]) == (legend.unscored, heatmap.caption)
        for shown, panel in zip(view["panels"], heatmap.panels, strict=True):
            assert (shown["name"], shown["remark"]) == (panel.name, panel.remark)
            drawn = [None if shade is None else colours[shade] for shade in shown["shades"]]
            assert drawn == [heatmap.scale.colour(value) for value in panel.values]


def test_differences_are_those_of_every_pair_on_the_units_that_all_have() -> None:
    tables = three()
    data, rows = report_data(tables), common_rows(tables)
    [measure] = [measure for measure in data["measures"] if measure["of_pair"]]
    assert [pair["models"] for pair in data["pairs"]] == [(0, 1), (0, 2), (1, 2)]
    for pair, view in zip(data["pairs"], measure["views"], strict=True):
        a, b = pair["models"]
        units = rows.pair(a, b)
        assert isinstance(units, Units)
        heatmap = pair_heatmap(units, MEASURES["difference"], models=("ab"[a], "xbc"[b]), text_name="text")
        [panel] = view["panels"]
        differences = rows.logprobs[b] - rows.logprobs[a]
        colours = COLOUR_MAPS[view["colours"]].shades
        drawn = [None if shade is None else colours[shade] for shade in panel["shades"]]
        assert drawn == [heatmap.scale.colour(value) for value in differences]
        assert panel["below"] == np.flatnonzero(differences < 0).tolist()
        assert view["caption"] == heatmap.caption


def test_a_pair_says_how_alike_it_is() -> None:
    a, b = three()[:2]
    x, y = a.logprob[a.scored], b.logprob[b.scored]
    words = report_data([a, b])["pairs"][0]["words"]
    found = re.fullmatch(r"r = (−?[\d.]+), ρ = (−?[\d.]+), n = 6 tokens scored by both", words)
    assert found is not None
    assert float(found[1].replace("−", "-")) == pytest.approx(np.corrcoef(x, y)[0, 1], abs=5e-4)


def test_one_model_has_no_pair_and_no_difference() -> None:
    data = report_data([make_scores([["A", " b"]])])
    assert data["pairs"] == []
    assert [measure["name"] for measure in data["measures"]] == [name for name in MEASURES if name != "difference"]


def test_what_no_model_scored_is_missing_and_not_zero() -> None:
    page = Page(report_html([make_scores([["A"]], [NAN]), make_scores([["A"]], [NAN], model="model-b")]))
    assert page.data["units"]["logprob"] == [[None], [None]]
    assert page.data["pairs"][0]["words"] == "r = –, ρ = –, n = 0 tokens scored by both"
    assert page.data["measures"][0]["views"][0]["panels"][0]["shades"] == [None]


def test_settings_say_where_the_numbers_come_from() -> None:
    scores = make_scores([["A", " b"]])
    scores = replace(scores, spec=replace(scores.spec, bos_ids=(1, 2), versions={"torch": "2.6", "tokenviz": "0.1"}))
    [model] = report_data([scores])["models"]
    assert model["settings"]["bos ids"] == "1, 2"
    assert model["settings"]["versions"] == "torch 2.6, tokenviz 0.1"
    assert (model["settings"]["quantize"], model["settings"]["context"]) == ("none", "128")
    assert model["settings"]["text"] == scores.text_sha256


def test_no_more_than_ten_alternatives_are_carried() -> None:
    scores = with_alternatives(make_scores([["A", " b"]]), k=40)
    data = report_data([scores])
    assert data["tokens"][0]["k"] == 10
    assert len(data["tokens"][0]["top"]) == 20
    assert "".join(data["alternatives"]) == "".join(dict.fromkeys(["", *scores.top_tokens[1][:10]]))


def test_shades_are_the_colours_of_the_map() -> None:
    for name in ("viridis", "rdbu"):
        shades = COLOUR_MAPS[name].shades
        assert [COLOUR_MAPS[name].at((i + 0.5) / len(shades)) for i in range(len(shades))] == shades
        assert len(set(shades)) > 200


def test_the_policy_of_the_page_allows_its_own_script_and_style_and_nothing_else() -> None:
    page = Page(report_html(three()))
    own = {
        name: f"'sha256-{base64.b64encode(hashlib.sha256(page.raw[name].encode()).digest()).decode()}'"
        for name in ("style", "script")
    }
    assert page.meta(**{"http-equiv": "Content-Security-Policy"}) == (
        f"default-src 'none'; style-src {own['style']}; script-src {own['script']}; base-uri 'none'; form-action 'none'"
    )


def test_the_page_stands_alone() -> None:
    source = report_html(three())
    page = Page(source)
    for tag, attributes in page.tags:
        assert tag not in ("link", "img", "iframe", "object", "base")
        assert not {"src", "href", "action", "srcset", "style"} & set(attributes)
        assert not any(name.startswith("on") for name in attributes)
    assert not re.search(r"https?:(?!//www\.w3\.org/2000/svg)|url\(|@import|@font-face", source)
    script = page.raw["script"]
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval|Function\(|Storage|cookie|fetch|import", script
    )


def test_what_made_it_and_what_it_shows_are_in_the_metadata() -> None:
    a, b = three()[:2]
    about = json.loads(Page(report_html([a, b], about={"run": "01<2"})).meta(name="description"))
    assert about == {"run": "01<2", "figure": "report", "models": ["a", "b"], "text": "text", "text_sha256": a.text_sha256}


def test_five_thousand_tokens_by_three_models_stay_below_five_megabytes(tmp_path: Path) -> None:
    path = save_report(long_tables(), tmp_path / "report.html")
    assert 1_000_000 < path.stat().st_size < 5_000_000


PROGRAM = """
import sys
sys.path[:0] = [sys.argv[2], sys.argv[2] + "/../support", sys.argv[2] + "/.."]
from reports import three
from tokenviz.figures.report.page import save_report
save_report(three(), sys.argv[1], about={"run": "1"})
"""


@pytest.mark.slow
def test_the_same_scores_give_the_same_bytes_in_another_process(tmp_path: Path) -> None:
    here = save_report(three(), tmp_path / "here.html", about={"run": "1"})
    there = tmp_path / "there.html"
    subprocess.run([sys.executable, "-c", PROGRAM, str(there), str(Path(__file__).parent)], check=True)
    assert here.read_bytes() == there.read_bytes()


def test_a_comparison_or_one_table_is_a_source_as_well() -> None:
    a, b, c = three()
    assert report_html(tv.compare(a, b, resamples=0)) == report_html([a, b])
    assert report_html(tv.compare(a, c, resamples=0)) == report_html([a, c])
    assert report_html(tv.compare(a, b, by="word", resamples=0)) == report_html([a, b])
    assert report_html(a) == report_html([a])


def test_a_correlation_has_its_decimals_without_the_interval_of_the_comparison() -> None:
    a, b, _ = long_tables(1000)
    b = replace(b, logprob=a.logprob * (1 + 0.001 * (b.logprob - np.nanmean(b.logprob))))
    compared = tv.compare(a, b, resamples=100)
    assert len(rounded(compared.pearson_r)) > len("0.999")
    assert report_html(compared) == report_html([a, b])


DRAWING = """
import pickle, sys
from pathlib import Path
from tokenviz.harness.kinds.comparison import draw_comparison
draw_comparison(pickle.loads(Path("comparison").read_bytes()), {}, "text", (), Path("figures"))
print(*(name for name in ("scipy", "torch", "mlflow") if name in sys.modules))
"""


@pytest.mark.slow
def test_a_process_that_only_draws_a_comparison_imports_neither_scipy_nor_torch_nor_mlflow(tmp_path: Path) -> None:
    (tmp_path / "comparison").write_bytes(pickle.dumps(tv.compare(*three()[:2], resamples=0)))
    (tmp_path / "figures").mkdir()
    done = subprocess.run([sys.executable, "-c", DRAWING], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == "\n"
    assert (tmp_path / "figures" / "report.html").is_file()


def test_the_file_appears_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "report.html"
    path.mkdir()
    with pytest.raises(DiskError, match=rf"^cannot write '{path}', which is a folder: name a file$"):
        save_report(three(), path)
    monkeypatch.setattr("tokenviz.base.disk.check_place", lambda _: None)  # the folder came after it was looked for
    with pytest.raises(DiskError, match=rf"^cannot write the report '{path}': Is a directory$"):
        save_report(three(), path)
    assert list(tmp_path.iterdir()) == [path]


def test_the_command_writes_what_the_library_writes(run: Run, glass: Any, project: Path) -> None:
    pair = ("--model", "glass-en", "--model", "glass-en,dtype=bfloat16")
    code, out, err = run("report", *pair, "--text", ALICE, "--to", "alice.html", "--top-k", "4")
    assert (code, out, err) == (0, "alice.html\n", "")
    tables = [tv.score(tv.load_model(model), ALICE, top_k=4) for model in ("glass-en", "glass-en,dtype=bfloat16")]
    assert (project / "alice.html").read_text(encoding="utf-8") == report_html(tables)
    data = Page((project / "alice.html").read_text(encoding="utf-8")).data
    assert data["tokens"][0]["k"] == 4
    first = math.exp(data["tokens"][0]["top_logprob"][4])
    assert 0 < first < 1
