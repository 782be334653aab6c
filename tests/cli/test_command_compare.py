"""`tokenviz compare` as a user meets it."""

import csv
import io
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from arithmetic import BIGRAM_WEIGHTS, make_bigram_folder
from conftest import Run
from tables import NUMBERS
from writing import ALICE

import tokenviz as tv
from tokenviz.comparing.distances import closer, summarise_divergences
from tokenviz.models.loading import LoadedModel, load_model

PAIR = ("compare", "--model", "glass-en", "--model", "glass-en,dtype=bfloat16")


def test_json_holds_the_comparison_of_the_library(run: Run, glass: LoadedModel) -> None:
    code, out, err = run(*PAIR, "--text", ALICE, "--json")
    assert (code, err) == (0, "")
    document = json.loads(out)
    assert list(document) == ["model_a", "model_b", "comparisons", "together", "no_divergences"]
    assert (document["model_a"]["model"], document["model_b"]["dtype"]) == ("glass-en", "bfloat16")
    assert document["together"] is None
    other = load_model("glass-en,dtype=bfloat16")
    comparison = tv.compare(tv.score(glass, ALICE, top_k=1), tv.score(other, ALICE, top_k=1))
    [entry] = document["comparisons"]
    assert entry["statistics"] == json.loads(json.dumps(comparison.statistics_json()))
    assert list(entry["statistics"]) == NUMBERS
    assert entry["statistics"]["share_same_first"]["value"] > 0.5
    assert (entry["by"], entry["n_units"], entry["n"]) == ("token", len(comparison.units), len(comparison.units) - 1)
    assert len(entry["largest_differences"]) == 10
    sizes = [abs(row["difference"]) for row in entry["largest_differences"]]
    assert sizes == sorted(sizes, reverse=True)


def test_json_holds_the_divergences_of_the_library_however_they_are_measured(run: Run, glass: LoadedModel) -> None:
    found = {}
    for how in ("memory", "disk", "none"):
        code, out, err = run(*PAIR, "--text", ALICE, "--text", ALICE * 2, "--divergences", how, "--json")
        assert (code, err) == (0, "")
        found[how] = json.loads(out)
    other = load_model("glass-en,dtype=bfloat16")
    expected = summarise_divergences(tv.divergences(glass, other, ALICE)).to_json()
    for how in ("memory", "disk"):
        first, _ = found[how]["comparisons"]
        assert list(first["divergences"]) == list(expected)
        for name, about in expected.items():
            for key in ("value", "low", "high"):
                assert first["divergences"][name][key] == pytest.approx(about[key], rel=1e-3, abs=1e-7), name
        assert found[how]["together"]["divergences"]["mean_kl_ab"]["n"] == found[how]["together"]["n"]
        assert found[how]["no_divergences"] == ""
    assert [one["divergences"] for one in (*found["none"]["comparisons"], found["none"]["together"])] == [None] * 3
    assert found["none"]["no_divergences"] == "they were not asked for"


def test_two_vocabularies_have_no_divergences_and_the_tables_say_why(run: Run, project: Path) -> None:
    make_bigram_folder(project / "letters", BIGRAM_WEIGHTS)
    for how in ("memory", "disk"):
        code, out, _ = run("compare", "-m", "letters", "-m", "glass-en", "-t", "abcdabcddcba", "--divergences", how)
        assert code == 0
        words = " ".join(out.split())
        assert re.search("no divergences: .*divergence token by token; tokenviz.compare compares the two over segments$", words)
    assert "KL divergence" not in out


def test_words_are_compared_as_the_library_does(run: Run, glass: LoadedModel) -> None:
    other = load_model("glass-en,dtype=bfloat16")
    a, b = tv.score(glass, ALICE, top_k=1), tv.score(other, ALICE, top_k=1)
    for punctuation in ("attached", "apart"):
        _, out, _ = run(*PAIR, "--text", ALICE, "--by", "word", "--punctuation", punctuation, "--json")
        [entry] = json.loads(out)["comparisons"]
        comparison = tv.compare(a, b, by="word", punctuation=punctuation)
        assert (entry["by"], entry["n_units"]) == ("word", len(comparison.units))
        assert entry["statistics"]["pearson_r"]["value"] == comparison.pearson_r.value
    _, out, _ = run(*PAIR, "--text", ALICE, "--by", "word", "--csv")
    assert "".join(row["text"] for row in csv.DictReader(io.StringIO(out))) == ALICE


def test_tables_show_the_divergences(run: Run) -> None:
    _, out, _ = run(*PAIR, "--text", ALICE, "--differences", "0")
    number = r"\d\.\d{3,6}"
    assert "divergences between the predictions over the whole vocabulary" in out
    assert re.search(rf"mean KL divergence of b from a +│ +{number} │ +{number}, {number} │ +\d+ │ nats", out)


def test_several_texts_are_compared_one_by_one_and_together(run: Run, project: Path) -> None:
    texts = [word for line in ("One fine day.", "Two cats sat.", ALICE) for word in ("--text", line)]
    _, out, _ = run(*PAIR, *texts, "--json", "--differences", "0")
    document = json.loads(out)
    assert [entry["largest_differences"] for entry in document["comparisons"]] == [[], [], []]
    assert document["together"]["texts"] == [entry["text"] for entry in document["comparisons"]]
    assert document["together"]["n"] == sum(entry["n"] for entry in document["comparisons"])
    assert list(document["together"]["statistics"]) == NUMBERS


def test_a_corpus_of_passages_has_whole_passages_resampled(run: Run, project: Path) -> None:
    rows = [
        f"{number},Alice was {word} of it."
        for number, word in enumerate(["tired", "fond", "sure", "glad", "afraid", "sick", "proud"])
    ]
    (project / "rows.csv").write_text("\n".join(["id,body", *rows]))
    _, out, _ = run(*PAIR, "rows.csv", "--column", "body", "--resamples", "300", "--seed", "5", "--json")
    r = json.loads(out)["comparisons"][0]["statistics"]["pearson_r"]
    assert (r["resampled"], r["block_length"], r["resamples"], r["seed"]) == ("passages", None, 300, 5)


def test_two_tokenizers_are_compared_over_segments(run: Run, project: Path) -> None:
    make_bigram_folder(project / "letters", BIGRAM_WEIGHTS)
    _, out, _ = run("compare", "-m", "letters", "-m", "glass-en", "-t", "abcdabcddcba", "--json")
    [entry] = json.loads(out)["comparisons"]
    assert entry["by"] == "segment"
    reason = "first choices are of tokens, and these models are compared over segments"
    first = entry["statistics"]["share_same_first"]
    assert (first["value"], first["low"], first["n"], first["reason"]) == (None, None, 0, reason)


def test_tables_over_segments_have_no_ranks_and_say_why_first_choices_are_not_known(run: Run, project: Path) -> None:
    make_bigram_folder(project / "letters", BIGRAM_WEIGHTS)
    code, out, _ = run("compare", "-m", "letters", "-m", "glass-en", "-t", "abcdabcddcba", "--differences", "1")
    assert code == 0
    assert "b − a" in out
    assert "rank" not in out
    assert re.search(r"share of equal first choices +│ +– │ +– │ +0 │ share", out)
    assert "share of equal first choices: first choices are of tokens, and these models are compared over segments" in out


def test_tables_show_values_intervals_units_and_where_they_come_from(run: Run) -> None:
    code, out, err = run(*PAIR, "--text", ALICE, "--differences", "3")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    words = "glassllm, 0.85 M parameters trained on Lewis Carroll, weights from float16"
    assert lines[:2] == [f"a: glass-en ({words})", f"b: glass-en,dtype=bfloat16 ({words}, in bfloat16)"]
    number = r"−?\d\.\d{3,6}"
    assert re.search(rf"Pearson's r +│ +{number} │ +{number}, {number} │ +\d+ │ coefficient", out)
    assert re.search(rf"mean difference b − a +│ +{number} │ +{number}, {number} │ +\d+ │ bits", out)
    assert re.search(
        r"95 % intervals from 2,000 resamples of \d+ blocks of \d tokens \(seed 0\); Fisher's is for independent", out
    )
    table = out[out.index("where a and b lie furthest apart") :]
    assert len(re.findall(r"^│", table, re.M)) == 3
    assert "\x1b" not in out


def test_tables_of_several_texts_end_with_all_together(run: Run) -> None:
    _, out, _ = run(*PAIR, "--text", ALICE, "--text", "Alice was.")
    assert "all 2 texts together: " in out
    assert re.search(r"no interval: \d units are scored by both, and an interval needs at least 10", out)


def test_what_is_not_determined_is_a_dash_with_its_reason(run: Run) -> None:
    code, out, _ = run(*PAIR, "--text", "a")
    assert code == 0
    assert re.search(r"Pearson's r +│ +– │ +– │ +0 │ coefficient", out)
    assert "Pearson's r, Spearman's ρ, Kendall's τ-b, Lin's concordance: 0 positions are scored by both" in out
    assert "furthest apart" not in out


def test_signs_of_the_text_do_not_reach_the_terminal(run: Run) -> None:
    _, out, _ = run(*PAIR, "--text", "Alice\n\tsaid \x1b[31mred [bold]one[/bold] and was gone.", "--differences", "40")
    assert "\x1b" not in out
    assert "␊" in out
    assert "␛" in out
    assert "said ␛[31mred [bold]one" in out


def test_csv_has_a_row_a_unit_of_every_text(run: Run) -> None:
    code, out, _ = run(*PAIR, "--text", ALICE, "--text", "Two\r\ncats.", "--csv")
    assert code == 0
    rows = list(csv.DictReader(io.StringIO(out, newline="")))
    texts = dict.fromkeys(row["text_name"] for row in rows)
    joined = ["".join(row["text"] for row in rows if row["text_name"] == name) for name in texts]
    assert joined == [ALICE, "Two\r\ncats."]
    assert rows[0]["logprob_a"] == rows[0]["difference"] == ""
    assert float(rows[1]["difference"]) == pytest.approx(float(rows[1]["logprob_b"]) - float(rows[1]["logprob_a"]), abs=1e-12)


def test_windows_and_bos_are_taken_from_the_options(run: Run, glass: LoadedModel) -> None:
    _, out, _ = run(*PAIR, "-t", ALICE, "--context", "8", "--stride", "2", "--bos", "never", "--csv")
    logprobs = [float(row["logprob_a"]) for row in list(csv.DictReader(io.StringIO(out)))[1:]]
    np.testing.assert_array_equal(logprobs, tv.score(glass, ALICE, context=8, stride=2, bos="never").logprob[1:])


def test_no_resamples_leave_the_values(run: Run) -> None:
    _, out, _ = run(*PAIR, "-t", ALICE, "--resamples", "0", "--json")
    r = json.loads(out)["comparisons"][0]["statistics"]["pearson_r"]
    assert r["value"] > 0.9
    assert (r["low"], r["reason"]) == (None, "no interval: no resamples were asked for")


@pytest.mark.slow
def test_nothing_but_json_reaches_stdout_of_a_real_process(project: Path) -> None:
    command = [sys.executable, "-m", "tokenviz", *PAIR, "-", "--json"]
    done = subprocess.run(command, input=ALICE.encode(), capture_output=True, check=True)
    assert json.loads(done.stdout)["comparisons"][0]["text"] == "stdin"
    assert done.stderr == b""
    assert not (project / "mlruns").exists()


def test_a_missing_second_model_is_found_out_before_the_first_is_scored(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tokenviz.scoring.scorer.score", lambda *_, **__: pytest.fail("it was scored"))
    code, _, err = run("compare", "-m", "glass-en", "-m", "./nowhere", "-t", ALICE)
    assert code == 1
    assert "no model at './nowhere'" in err


def test_three_models_are_compared_in_pairs_and_the_closer_one_is_asked_for(run: Run) -> None:
    models = ("glass-en", "glass-en,dtype=bfloat16", "glass-en,dtype=float16")
    text = "Alice was beginning to get very tired of sitting by her sister on the bank, and of having nothing to do."
    given = [*(part for name in models for part in ("-m", name)), "-t", text]
    found = json.loads(run("compare", *given, "--json")[1])
    scores = [tv.score(tv.load_model(name), tv.literal(text), top_k=1) for name in models]
    assert found["pairs"].keys() == {"ab", "ac", "bc"}
    for names, (i, j) in {"ab": (0, 1), "ac": (0, 2), "bc": (1, 2)}.items():
        expected = tv.compare(scores[i], scores[j]).statistics_json()
        assert found["pairs"][names]["statistics"] == json.loads(json.dumps(expected))
    first = found["closer"][0]
    assert first["question"] == "a with b, less a with c"
    summary = closer(*scores).summary
    assert first["statistics"] == json.loads(json.dumps(summary.to_json()))
    r = [found["pairs"][names]["statistics"]["pearson_r"]["value"] for names in ("ab", "ac")]
    assert first["statistics"]["pearson_r_difference"]["value"] == pytest.approx(r[0] - r[1], abs=1e-12)
    shown = run("compare", *given)[1]
    assert "which of two is closer to the third" in shown
    assert "These are 21 intervals, each of 95 % by itself" in " ".join(shown.split())
    adjusted = run("compare", *given, "--simultaneous")[1]
    assert "98.33 %" in adjusted
    assert "These are" not in adjusted
