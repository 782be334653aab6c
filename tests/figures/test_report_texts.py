"""The report of several texts without a browser: what its list and each of its texts hold, and what is refused."""

import json
import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from arithmetic import BIGRAM_WEIGHTS, make_bigram_folder
from conftest import Run
from kept_runs import run_grid
from reports import PAIRS, Page, pairs_of, passages_in, three, two_texts, with_alternatives
from tables import make_scores

import tokenviz as tv
from tokenviz.base.errors import FigureError
from tokenviz.base.progress import collecting
from tokenviz.data.scores import TokenScores
from tokenviz.data.spans import Span
from tokenviz.figures.heatmap.measures import common_rows
from tokenviz.figures.report import page
from tokenviz.figures.report.data import report_data
from tokenviz.figures.report.page import save_texts_report, texts_report_html
from tokenviz.figures.report.texts import list_data, most_telling, pair_entries, passage_entries, text_entries
from tokenviz.figures.typeset.colours import span_colours
from tokenviz.harness.kinds import writing
from tokenviz.harness.session import ExperimentContext, running
from tokenviz.models.loading import LoadedModel
from tokenviz.tracking.entities import without_missing
from tokenviz.tracking.store import open_store
from tokenviz.units.pairs import pair_table, read_pairs


def head(source: str) -> dict[str, Any]:
    """What the list of the page knows."""
    [found] = re.findall(r'<script type="application/json" id="data">(.*?)</script>', source, re.DOTALL)
    return json.loads(found)


def listed(source: str) -> list[dict[str, Any]]:
    return head(source)["texts"]


def texts_of(source: str) -> list[dict[str, Any]]:
    """What the page knows of each text, in the order given."""
    found = re.findall(r'<script type="application/json" id="text-(\d+)">(.*?)</script>', source, re.DOTALL)
    assert [int(number) for number, _ in found] == list(range(len(found)))
    return [json.loads(content) for _, content in found]


def test_each_text_is_shown_as_a_report_of_it_alone_shows_it() -> None:
    tables = [with_alternatives(table, seed=seed) for seed, table in enumerate(two_texts())]
    source = texts_report_html(text_entries(tables), title="two")
    [first, second] = texts_of(source)
    assert first == json.loads(json.dumps(report_data([tables[0], tables[1]])))
    assert second == json.loads(json.dumps(report_data([tables[3], tables[2]])))  # models in the order of the first text


def test_the_list_has_what_each_text_is_sorted_by() -> None:
    source = texts_report_html(text_entries(two_texts()), title="two")
    page = Page(source)
    assert page.raw["title"] == "two"
    english, vietnamese = listed(source)
    assert (english["name"], english["start"], english["n"]) == ("english", "A b c", 2)
    assert english["difference"] == [0.75]  # of 1 and 0.5
    assert english["bits"] == pytest.approx([4 / math.log(2) / 4, 5.5 / math.log(2) / 4], abs=1e-4)
    assert (vietnamese["name"], vietnamese["start"]) == ("tiếng Việt", "Mèo ngủ 水")
    assert vietnamese["difference"] == [3.0]
    assert head(source)["unit"] == "token"
    about = json.loads(page.meta(name="description"))
    assert about == {"figure": "report", "models": ["a", "b"], "n_texts": 2}


def test_of_three_models_every_pair_has_its_difference_over_what_all_cut_alike() -> None:
    [entry] = passage_entries(three())[:1]
    [found] = list_data([entry])["texts"]
    # " cat", " sat" and ".\n" are scored by all; a and b put the last at -6.5 and -1.25.
    expected = [np.mean([3, 0, 5.25]), np.mean([1.75, 2, 6]), np.mean([1.25, 2, 0.75])]
    assert found["difference"] == pytest.approx(expected, abs=5e-5)
    assert found["n"] == 3


def test_passages_are_texts_of_their_own() -> None:
    tables = three()
    entries = passage_entries(tables, ["one", "hai"])
    assert [entry.name for entry in entries] == ["one", "hai"]
    second = report_data(entries[1].tables)
    assert second["text"] == "hai"
    assert passages_in(second["tokens"][2]) == ["tiếng Việt 水"]
    assert second["tokens"][0]["logprob"] == [None, -4.0, -0.13]
    # As if it had been read alone.
    assert entries[1].tables[0].text_sha256 == tv.literal("tiếng Việt 水").sha256
    assert [entry.name for entry in passage_entries(tables)] == ["passage 1", "passage 2"]


def test_a_passage_without_a_token_is_left_out() -> None:
    table = make_scores([["A", " b"], [], ["C"]])
    assert [entry.name for entry in passage_entries([table], ["x", "empty", "y"])] == ["x", "y"]


def test_minimal_pairs_have_both_sentences_with_their_sums_and_the_decision(glass: LoadedModel, tmp_path: Path) -> None:
    pairs, scores = pairs_of(glass, tmp_path)
    table = pair_table(pairs, scores)
    entries = pair_entries([scores], [table], pairs.groups)
    source = texts_report_html(entries, title="pairs", limits="shared")
    texts = texts_of(source)
    assert [entry["name"] for entry in listed(source)] == ["pair 1, number", "pair 2, number", "pair 3, same"]
    assert [entry["start"] for entry in listed(source)] == list(pairs.text.passages[::2])
    margins = [margin for entry in listed(source) for margin in entry["margin"]]
    assert margins == pytest.approx((table["logprob_good"] - table["logprob_bad"]).tolist(), abs=1e-4)
    words = {1.0: "good wins", 0.0: "bad wins", 0.5: "the same sentence"}
    assert [entry["won"] for entry in listed(source)] == [[words[correct]] for correct in table["correct_sum"]]
    for number, (row, text) in enumerate(zip(table.itertuples(), texts, strict=True)):
        assert passages_in(text["tokens"][0]) == list(pairs.text.passages[2 * number : 2 * number + 2])
        good, bad = text["sides"]
        assert (good["name"], bad["name"]) == ("good", "bad")
        assert [good["sums"], bad["sums"]] == [
            [pytest.approx(row.logprob_good, abs=1e-4)],
            [pytest.approx(row.logprob_bad, abs=1e-4)],
        ]
        assert good["words"][0].startswith(f"in {row.n_scored_good} tokens")
        assert ("wins by sum" in good["words"][0]) == (row.correct_sum == 1)
        assert ("wins by sum" in bad["words"][0]) == (row.correct_sum == 0)


def test_shared_limits_are_those_of_all_texts() -> None:
    entries = text_entries(two_texts())
    own = [text["measures"][0]["views"][0]["ticks"] for text in texts_of(texts_report_html(entries, title="x"))]
    assert own == [["−3.50", "−1.00"], ["−9.00", "−1.00"]]
    together = texts_of(texts_report_html(entries, title="x", limits="shared"))
    assert [text["measures"][0]["views"][0]["ticks"] for text in together] == [["−9.00", "−1.00"]] * 2
    [difference] = {tuple(text["measures"][-1]["views"][0]["ticks"]) for text in together}
    assert difference == ("−8.00", "0", "8.00")


@pytest.mark.parametrize("name", ["</script><script>alert(1)</script>", "a & b", "<b>", "日本語"])
def test_names_and_beginnings_are_text(name: str) -> None:
    tables = [make_scores([[name, " b"]], name=name), make_scores([["x"]], name="other")]
    source = texts_report_html(text_entries(tables), title=name)
    page = Page(source)
    plain = Page(texts_report_html(text_entries([make_scores([["y", " b"]]), make_scores([["x"]])]), title="x"))
    assert listed(source)[0]["name"] == name
    assert page.raw["title"] == name
    assert [tag for tag, _ in page.tags] == [tag for tag, _ in plain.tags]


def test_what_no_browser_opens_quickly_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(page, "MOST_BYTES", 10_000)
    path = tmp_path / "report.html"
    message = (
        "a report of 2 texts by 2 models would hold more than 0 MB: give fewer texts or models, or keep fewer alternatives "
        "(--top-k 3)"
    )
    with pytest.raises(FigureError, match=f"^{re.escape(message)}$"):
        save_texts_report(text_entries(two_texts()), path, title="x")
    assert not path.exists()


def test_the_command_refuses_what_is_too_large_before_the_work(run: Run, project: Path) -> None:
    for number in range(2):
        (project / f"{number}.txt").write_text(f"{number} word" * 2_000_000, encoding="utf-8")
    code, _, said = run("report", "-m", "glass-en", "0.txt", "1.txt")
    assert code == 1
    assert "a report of 2 texts by 1 model would hold more than 64 MB: give fewer texts or models" in said
    assert not (project / "report.html").exists()


def test_the_command_makes_reports_of_texts_folders_items_and_pairs(run: Run, project: Path) -> None:
    (project / "folder").mkdir()
    (project / "folder" / "a.txt").write_text("Alice was tired.", encoding="utf-8")
    (project / "folder" / "b.txt").write_text("Mèo ngủ trên ghế.", encoding="utf-8")
    (project / "pairs.csv").write_text(PAIRS, encoding="utf-8")
    (project / "items.csv").write_text("item,condition,text\n1,plain,Alice was tired.\n1,hard,猫在睡觉。\n", encoding="utf-8")
    cases = {
        ("folder",): ["a.txt", "b.txt"],
        ("folder/a.txt", "folder/b.txt"): ["a", "b"],
        ("--by", "passage", "folder", "-t", "A b"): ["folder: a.txt", "folder: b.txt", None],
        ("--by", "pair", "pairs.csv"): ["pair 1, number", "pair 2, number", "pair 3, same"],
        ("--by", "item", "items.csv"): ["1/plain", "1/hard"],
    }
    for arguments, names in cases.items():
        code, out, said = run("report", "-m", "glass-en", *arguments)
        assert (code, out) == (0, "report.html\n"), said
        found = [entry["name"] for entry in listed((project / "report.html").read_text(encoding="utf-8"))]
        assert [name for name, expected in zip(found, names, strict=True) if expected] == [name for name in names if name]


def report_of(run_id: str) -> str:
    """The report among a run's figures; empty where there is none."""
    store = open_store()
    if "figures/report.html" not in {found.path for found in store.client.list_artifacts(run_id, "figures")}:
        return ""
    return Path(store.client.download_artifacts(run_id, "figures/report.html")).read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_summary_of_several_texts_has_a_report_of_them(project: Path) -> None:
    for name, weights in (("first", BIGRAM_WEIGHTS), ("second", BIGRAM_WEIGHTS[::-1].copy())):
        make_bigram_folder(project / name, weights)
    result = run_grid(["first", "second"], texts=["abcd", "dcba"], top_k=4)
    source = report_of(result.summary_run_id)
    assert [entry["name"] for entry in listed(source)] == [tv.literal(text).name for text in ("abcd", "dcba")]
    assert [text["tokens"][0]["k"] for text in texts_of(source)] == [3, 3]  # of the four that the runs keep
    compared = {run.a.text: run for run in result.comparisons}
    for entry in listed(source):
        units = compared[entry["name"]].comparison.units
        expected = np.nanmean(np.abs(units.logprob_b - units.logprob_a))
        assert entry["difference"] == [pytest.approx(expected, abs=5e-5)]
    note = open_store().client.get_run(result.summary_run_id).data.tags["mlflow.note.content"]
    assert re.search(r"\*\*\[report\]\([^)]*artifacts/figures/report\.html", note)
    alone = run_grid(["first", "second"], texts=["abcd"])
    assert report_of(alone.summary_run_id) == ""


def test_the_summary_of_minimal_pairs_has_a_report_of_them_by_all_models(project: Path) -> None:
    (project / "pairs.csv").write_text("good,bad,group\nabcd,abdd,x\nabc,acb,y\n", encoding="utf-8")
    for name, weights in (("first", BIGRAM_WEIGHTS), ("second", BIGRAM_WEIGHTS[::-1].copy())):
        make_bigram_folder(project / name, weights)
    pairs = read_pairs(project / "pairs.csv")
    with running(ExperimentContext("trial")):
        grid = tv.Grid(["first", "second"], [pairs.text], top_k=2)
        grid.score()
        runs = grid.decide(pairs)
        result = grid.summarise("Found.")
    entries = listed(report_of(result.summary_run_id))
    assert [entry["name"] for entry in entries] == ["pair 1, x", "pair 2, y"]
    for number, entry in enumerate(entries):
        rows = [run.table.iloc[number] for run in runs]
        assert entry["margin"] == pytest.approx([row["logprob_good"] - row["logprob_bad"] for row in rows], abs=1e-4)
    for model, run in enumerate(runs):  # each run has that of its model
        own = listed(report_of(run.run_id))
        assert [one["margin"] for one in own] == [[entry["margin"][model]] for entry in entries]


def test_of_too_many_pairs_those_of_the_least_margin_are_kept(glass: LoadedModel, tmp_path: Path) -> None:
    pairs, scores = pairs_of(glass, tmp_path)
    table = pair_table(pairs, scores)
    entries = pair_entries([scores], [table], pairs.groups)
    margins = table["logprob_good"] - table["logprob_bad"]
    assert most_telling(entries, 3) == entries
    [kept] = most_telling(entries, 1)
    assert kept.name.startswith(f"pair {margins.argmin() + 1},")
    [kept] = most_telling(text_entries(two_texts()), 1)
    assert kept.name == "tiếng Việt"


def test_a_run_says_which_of_its_pairs_the_report_has_or_why_there_is_none(
    glass: LoadedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pairs, scores = pairs_of(glass, tmp_path)
    given = ([scores], [pair_table(pairs, scores)], pairs.groups, tmp_path, {})
    monkeypatch.setattr(writing, "_MOST_ENTRIES", 2)
    assert writing.report_pairs(*given) == "report.html"
    source = (tmp_path / "report.html").read_text(encoding="utf-8")
    title = "glass-en on the minimal pairs of “pairs”: 2 of 3 pairs, those of the least margin by a model"
    assert (Page(source).raw["title"], len(listed(source))) == (title, 2)
    monkeypatch.setattr(writing, "_MOST_BYTES", 1000)
    with collecting() as said:
        assert writing.report_pairs(*given) == ""
    assert said == [
        "the run has no report: a report of 2 texts by 1 model would hold more than 0 MB: give fewer texts or models, or keep "
        "fewer alternatives (--top-k 3)"
    ]


def spanned() -> list[TokenScores]:
    """Two models of two tokenizers on a text of three passages, of which the first and the last have spans."""
    spans = ((Span("user", 0, 2), Span("assistant", 2, 6)), (), (Span("user", 1, 4),))
    a = make_scores([["ab", "cd", "ef"], ["x"], ["gh", "ij"]], model="a", tokenizer="a")
    b = make_scores([["a", "bc", "def"], ["x"], ["g", "hi", "j"]], model="b", tokenizer="b")
    return [replace(table, spans=spans) for table in (a, b)]


def test_the_page_knows_the_spans_of_a_text() -> None:
    tables = spanned()
    shown = report_data(tables)
    names = ["user", "assistant"]
    assert shown["marks"] == [{"name": name, "colour": colour} for name, colour in span_colours(names).items()]
    for table, own in zip(tables, shown["tokens"], strict=True):
        assert [names[number] if number >= 0 else "" for number in own["span"]] == table.span_names
    assert [own["labels"] for own in shown["tokens"]] == [
        [(1, "assistant"), (4, "user")],
        [(1, "assistant"), (5, "user")],
    ]
    assert (shown["units"]["text"], shown["units"]["span"]) == (["abcdef", "x", "ghij"], [1, -1, 0])
    assert shown["units"]["labels"] == [(0, "assistant"), (2, "user")]
    difference = next(one for one in shown["measures"] if one["name"] == "difference")
    assert "Lines above the text mark its spans: “assistant” and “user”." in difference["views"][0]["caption"]
    assert "marks" not in report_data([replace(table, spans=()) for table in tables])


def test_a_passage_keeps_its_own_spans() -> None:
    first, second, third = passage_entries(spanned())
    assert [entry.tables[0].spans for entry in (first, second, third)] == [
        ((Span("user", 0, 2), Span("assistant", 2, 6)),), ((),), ((Span("user", 1, 4),),),
    ]  # fmt: skip
    assert third.tables[1].span_names == ["", "user", "user"]


def test_the_page_of_a_text_says_where_the_gap_lies() -> None:
    a, b, c = three()
    found = report_data([a, b, c])["gaps"]
    assert [len(one["kinds"]) > 1 for one in found] == [True] * 3
    for one, pair in zip(found, ((a, b), (a, c), (b, c)), strict=True):
        *kinds, whole = one["kinds"]
        assert whole["kind"] == "all"
        assert sum(row["sum_bits"] for row in kinds) == pytest.approx(whole["sum_bits"], abs=1e-3)
        compared = tv.compare(*pair, by="segment", resamples=0)
        if c in pair:
            assert whole["sum_bits"] == pytest.approx(compared.estimates()["mean_difference_bits"].value * compared.n, abs=1e-3)
        passages = one["passages"]
        assert sum(row["sum_bits"] for row in passages) == pytest.approx(whole["sum_bits"], abs=1e-3)
        assert [row["passage"] for row in passages] in ([0, 1], [1, 0])
        rows = common_rows([a, b, c])
        for row in passages:  # the link leads to the first unit of the passage
            assert rows.passage[row["unit"]] == row["passage"]
            assert rows.spans.start[row["unit"]] == 0
    assert "gaps" not in report_data([a])


def test_the_gap_is_in_the_page_of_each_text_and_of_no_minimal_pair(glass: LoadedModel, tmp_path: Path) -> None:
    found = [data["gaps"] for data in texts_of(texts_report_html(text_entries(two_texts()), title="two"))]
    sums = [(one["kinds"][-1]["kind"], one["kinds"][-1]["sum_bits"]) for [one] in found]
    assert sums == [("all", round(-1.5 / math.log(2), 4)), ("all", round(-7 / math.log(2), 4))]
    pairs, own = pairs_of(glass, tmp_path)
    tables = [own, replace(own, spec=replace(own.spec, model="b"))]
    entries = pair_entries(tables, [pair_table(pairs, table) for table in tables], pairs.groups)
    shown = texts_of(texts_report_html(entries, title="pairs"))
    assert [(len(data["pairs"]), "gaps" in data) for data in shown] == [(1, False)] * 3


def test_reports_name_items_and_pairs_by_their_ids(glass: LoadedModel, tmp_path: Path) -> None:
    items = tv.read_items("garden_paths")
    scores = [tv.score(glass, items.text)]
    assert writing.report_items(scores, items.text.passage_ids, tmp_path, {}) == "report.html"
    names = [entry["name"] for entry in listed((tmp_path / "report.html").read_text(encoding="utf-8"))]
    assert names == list(items.text.passage_ids)
    pairs, own = pairs_of(glass, tmp_path)
    table = pair_table(pairs, own)
    for column in ("item", "id", "pairID"):
        entries = pair_entries([own], [table.assign(**{column: ["x7", "x8", "x9"]})], pairs.groups)
        assert [entry.name for entry in entries] == ["pair x7, number", "pair x8, number", "pair x9, same"]


def test_a_description_does_not_link_a_report_that_was_left_out(tmp_path: Path) -> None:
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "accuracy.png").touch()
    note = (
        "**[Figure](artifacts/figures/accuracy.png)**, **[report](artifacts/figures/report.html)**  \nThe "
        "[passages](artifacts/figures/report.html) and ![it](artifacts/figures/x.png), "
        "[other](runs/0123/artifacts/figures/report.html)"
    )
    assert without_missing(note, tmp_path) == (
        "**[Figure](artifacts/figures/accuracy.png)**  \nThe passages and ![it](artifacts/figures/x.png), "
        "[other](runs/0123/artifacts/figures/report.html)"
    )
    (tmp_path / "figures" / "report.html").touch()
    assert without_missing(note, tmp_path) == note


def test_a_report_of_pairs_or_items_leaves_bad_rows_out_on_request(run: Run, project: Path) -> None:
    (project / "p.csv").write_text("good,bad\nA cat.,A cats.\n,x\n", encoding="utf-8")
    (project / "i.csv").write_text("item,text\n1,A cat.\n,x\n", encoding="utf-8")
    for by, file, column in (("pair", "p.csv", "good"), ("item", "i.csv", "item")):
        command = ("report", "-m", "glass-en", "--by", by, file, "--to", f"{by}.html")
        code, _, error = run(*command)
        assert (code, error) == (
            1, f"error: row 2 of '{file}' has nothing in column '{column}'; --skip-bad leaves such rows out\n"
        )  # fmt: skip
        assert not (project / f"{by}.html").exists()
        code, out, error = run(*command, "--skip-bad")
        assert (code, out) == (0, f"{by}.html\n")
        assert f"1 of 2 {by}s of {file} are left out: row 2 of '{file}' has nothing in column '{column}'" in error
