"""The benchmark: its texts, its processes, its arithmetic and what it reports. Speed itself is not tested."""

import json
import math
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from matplotlib.figure import Figure

from benchmarks import gpu
from benchmarks.anatomy import Anatomy
from benchmarks.contenders.batching import Batched, fastest_size
from benchmarks.costs import PAGE, Costs
from benchmarks.lineup import LINEUP, NOT_INSTALLED, OURS, PLAIN, ROOT, Entry
from benchmarks.machine import Workload
from benchmarks.measuring import CaseOutcome, Outcome, errors_of, measure
from benchmarks.page import benchmark_page, store, stored
from benchmarks.processes import ContenderFailed
from benchmarks.recording import Kept, keep, open_runs, record
from benchmarks.report import Throughput, case_rows, figure, markdown_table, to_frame
from benchmarks.samples import TEXT_SETS, Case, parse_case
from benchmarks.scaling import (
    Overhead,
    Pace,
    Scaling,
    _planned,
    _run_workers,
    measure_overhead,
    measure_paces,
    random_words,
)
from tokenviz.base.errors import ExperimentError
from tokenviz.models.loading import LoadedModel, resolve
from tokenviz.models.spec import ModelSpec
from tokenviz.tracking.finding import fetch

WORKLOAD = Workload(weights_bytes=400_000_000, linear_weights=100, attention=((2, None), (2, 3)), shapes=((10, 10, 1),))

DIGESTS = {"mixed": "d6f8c6bf2a70", "sentences": "73ad9dd9f172", "long": "a97c4400f9be"}


def outcome(name: str, seconds: tuple[float, ...], **more: Any) -> Outcome:
    """A contender's made-up result beside a plain loop that takes two seconds."""
    ratios = tuple(2.0 / second for second in seconds)
    return Outcome(name, f"{name} 1.0", more.pop("gives", "tokens"), seconds=seconds, ratios=ratios, **more)


@pytest.fixture
def made_up() -> Throughput:
    outcomes = (
        outcome("tokenviz", (1.0, 0.5, 1.0), peak_bytes=900_000_000, error_largest=3e-5, error_mean=4e-6, how="one corpus"),
        outcome("plain-loop", (2.0, 2.0, 2.0), peak_bytes=1_000_000_000, error_largest=2e-5, error_mean=5e-6, how="one text"),
        outcome(
            "lm-eval", (4.0, 4.0, 4.0), gives="sums", peak_bytes=1, error_largest=1e-3, error_mean=1e-4, how="batches of 4"
        ),
        Outcome("minicons", "minicons", "tokens", failed="ValueError: a | b"),
    )
    case = CaseOutcome("smollm2-135m", "mixed", (4, 6), WORKLOAD, outcomes, peaks={"float32": (2e3, 2e3, 2e3)})
    cell = {"load": 1.0, "score": 0.1, "rest": 0.9}
    costs = Costs(
        "smollm2-135m", 0.1, (2.0, 2.0), (2.06, 2.1), cell, {"load": 0.5, "score": 0.1},
        (6.0, 5.0, 8.0), (4.0, 4.0, 4.0), 50, (9.0, 8.0), (3.0, 4.0),
        {"tokenviz runs": (1.0, 3.0, 2.0), PAGE: (9.0, 8.0, 9.5)},
    )  # fmt: skip
    anatomy = Anatomy(
        "smollm2-135m:mixed",
        {"products with weights": 1.5, "attention": 0.25, "statistics": 0.15, "rest": 0.1},
        {"torch imported": 200_000_000, "texts scored": 900_000_000},
        (2e3, 1e3, 2e3),
    )
    machine = {"processor": "A(R) Processor", "cores": 2, "torch": "2.13.0", "tokenviz": "1.0"}
    models = {"smollm2-135m": "SmolLM2-135M"}
    return Throughput(machine, "2026-01-31", models, 3, (case,), (anatomy,), costs)


def test_the_text_sets_have_the_stated_sizes(gpt2: LoadedModel) -> None:
    sizes = {name: [len(gpt2.tokenizer(text).input_ids) for text in texts()] for name, texts in TEXT_SETS.items()}
    # Another model's tokenizer makes some more or fewer of them.
    assert len(sizes["mixed"]) == 16
    assert 1650 < sum(sizes["mixed"]) < 2000
    assert 900 < max(sizes["mixed"]) < 1150
    assert len(sizes["sentences"]) == 104
    assert len(sizes["long"]) == 1
    assert 1850 < sizes["long"][0] < 2200
    # A text of one token has nothing to score where there is no BOS.
    assert min(map(min, sizes.values())) >= 2


def test_the_text_sets_are_always_the_same() -> None:
    from hashlib import sha256

    digests = {name: sha256(json.dumps(texts()).encode()).hexdigest()[:12] for name, texts in TEXT_SETS.items()}
    assert digests == DIGESTS


def test_sentences_are_whole() -> None:
    for sentence in TEXT_SETS["sentences"]():
        assert sentence == sentence.strip()
        assert sentence.rstrip("\"'”’)")[-1] in ".!?"


@pytest.mark.parametrize("case", ["smollm2-135m", "smollm2-135m:short", ":", "smollm2-135m:"])
def test_a_case_is_a_model_and_a_set(case: str) -> None:
    with pytest.raises(ExperimentError) as error:
        parse_case(case)
    assert str(error.value) == f"{case!r} is no case: give MODEL:SET with one of the sets mixed, sentences, long"


def test_a_case_has_no_options() -> None:
    with pytest.raises(ExperimentError) as error:
        parse_case("smollm2-135m,dtype=bfloat16:mixed")
    assert str(error.value) == (
        "the model of 'smollm2-135m,dtype=bfloat16:mixed' has options, which other tools do not know: give the model alone"
    )


@pytest.mark.slow
def test_contenders_take_turns_and_failures_are_reported(tmp_path: Path, glass: LoadedModel) -> None:
    texts = ("Alice was beginning to get very tired.", "Oh dear!", "The Queen of Hearts, she made some tarts, all on a day.")
    broken = Entry("broken", "broken", "nothing_of_that_name", "nothing", peer=False)
    missing = Entry("missing", "missing", "minicons_scorer", "minicons", peer=False)
    entries = [OURS, PLAIN, broken, missing]
    found = measure(Case("glass-en", "three", texts), glass.resolved.folder, WORKLOAD, entries, rounds=2, work=tmp_path)
    ours, plain, no_module, no_package = found.outcomes
    assert found.lengths == tuple(len(glass.tokenizer(text).input_ids) - 1 for text in texts)
    for one in (ours, plain):
        assert not one.failed
        assert len(one.seconds) == len(one.ratios) == 2
        assert one.peak_bytes > 50_000_000
        # Rounding in float32: an addition of logits of about 20 errs by 1e-6, and dozens of them follow each other.
        assert 0 < one.error_mean <= one.error_largest < 1e-4
    assert plain.ratios == (1.0, 1.0)
    assert list(found.peaks) == ["float32"]
    assert len(found.peaks["float32"]) == 2
    assert min(found.peaks["float32"]) > 1e8
    assert ours.ratios == tuple(a / b for a, b in zip(plain.seconds, ours.seconds, strict=True))
    assert no_module.failed == "ModuleNotFoundError: No module named 'benchmarks.contenders.nothing_of_that_name'"
    assert no_package.failed == "ModuleNotFoundError: No module named 'minicons'"
    assert [row[-1] for row in case_rows(found)][2:] == [f"could not run: {one.failed}" for one in (no_module, no_package)]


@pytest.mark.bench
def test_other_tools_convert_a_model_once(tmp_path: Path, glass: LoadedModel) -> None:
    entry = next(entry for entry in LINEUP if entry.name == "onnxruntime")
    kept = []
    for text in ("Oh dear!", "Alice was beginning to get very tired."):
        case = Case("glass-en", "one", (text,))
        found = measure(case, glass.resolved.folder, WORKLOAD, [entry], rounds=1, work=tmp_path / "converted")
        assert not found.outcomes[0].failed
        assert found.outcomes[0].error_largest < 1e-4
        (folder,) = (tmp_path / "converted").iterdir()
        kept.append((folder.name, folder.stat().st_ctime_ns))
    assert kept[0] == kept[1]


def test_a_missing_environment_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import benchmarks.lineup
    import benchmarks.measuring

    monkeypatch.setattr(benchmarks.lineup, "PEERS_PYTHON", tmp_path / "python")
    monkeypatch.setattr(benchmarks.measuring, "_reference", lambda case, folder: [[-1.0]])
    stand_in = Entry(PLAIN.name, PLAIN.label, "stand_in", "torch")
    monkeypatch.setattr(benchmarks.measuring, "PLAIN", stand_in)
    with pytest.raises(ExperimentError) as error:
        measure(Case("glass-en", "one", ("a",)), tmp_path, WORKLOAD, LINEUP[3:4], rounds=1, work=tmp_path)
    assert str(error.value) == f"glass-en:one: the plain loop could not run: {NOT_INSTALLED}"


def test_errors_are_absolute_over_tokens_or_sums() -> None:
    reference = [[-1.0, -2.0], [-3.0]]
    assert errors_of([[-1.5, -2.0], [-2.0]], reference, gives="tokens") == (1.0, 0.5)
    assert errors_of([-4.0, -3.0], reference, gives="sums") == (1.0, 0.5)


def test_other_tokens_than_the_reference_are_refused() -> None:
    with pytest.raises(ContenderFailed) as error:
        errors_of([[-1.0], [-1.0, -1.0]], [[-1.0], [-1.0]], gives="tokens")
    assert str(error.value) == "gave 2 log-probs for text 1, which has 1 scored tokens"
    with pytest.raises(ContenderFailed) as error:
        errors_of([[math.nan]], [[-1.0]], gives="tokens")
    assert str(error.value) == "gave log-probs that are not finite"


def test_useful_operations_by_hand() -> None:
    # Two texts of 4 and 2 tokens. Layers of width 2: one sees 1+2+3+4 and 1+2 positions, the other 1+2+3+3 and 1+2.
    assert WORKLOAD.useful_flops([4, 2]) == 2 * 100 * 6 + 4 * 2 * (10 + 3 + 9 + 3)


def test_numbers_of_a_case(made_up: Throughput) -> None:
    (case,) = made_up.cases
    ours, plain, _, failed = case.outcomes
    assert (ours.ratio, plain.ratio) == (2.0, 1.0)
    assert case.tokens_per_second(ours) == 10.0
    assert case.share_of_peak(plain) == WORKLOAD.useful_flops((4, 6)) / 2.0 / 2e3
    assert case.memory_beyond_weights(ours) == 500_000_000
    assert math.isnan(failed.ratio)
    assert math.isnan(case.memory_beyond_weights(failed))
    metrics = made_up.metrics()
    assert metrics["smollm2-135m.mixed.tokenviz.ratio"] == 2.0
    assert metrics["smollm2-135m.mixed.tokenviz.ratio_greatest"] == 4.0
    assert metrics["cell_ratio"] == pytest.approx(6.0)
    assert metrics["command_ratio"] == 1.5


def test_tables_say_the_same(made_up: Throughput) -> None:
    table = markdown_table(made_up.cases[0])
    assert "| tokenviz 1.0 | 2.00 (2.00 to 4.00) | 10 | 122% | 900 | 500 | 3.0e-05 | 4.0e-06 | one corpus |" in table
    assert "| lm-eval 1.0 | 0.50 | 2 | 30% | 0 | −400 | 1.0e-03 a text | 1.0e-04 a text | batches of 4 |" in table
    assert "| minicons | – | – | – | – | – | – | – | could not run: ValueError: a \\| b |" in table
    frame = to_frame(made_up)
    assert list(frame["ratio"])[:3] == [2.0, 1.0, 0.5]
    assert list(frame["could_not_run"]) == ["", "", "", "ValueError: a | b"]
    listed = json.loads(json.dumps(made_up.to_json(), allow_nan=False))
    assert [one["ratio"] for one in listed["cases"][0]["contenders"]] == [2.0, 1.0, 0.5, None]
    assert made_up.to_table().row_count == 4


def test_the_page_has_every_part(made_up: Throughput) -> None:
    page = benchmark_page([made_up])
    assert "## A(R) Processor, 2 cores\n\ntokenviz 1.0, torch 2.13.0; 3 rounds, 2026-01-31." in page
    assert "### smollm2-135m on mixed (2 texts, 10 tokens)" in page
    assert "Side by side" not in page
    assert "| `tokenviz runs` | 2.0 (1.0 to 3.0) |\n| `tokenviz ui`, to its first page | 9.0 (8.0 to 9.5) |" in page
    assert "| load | 1.00 | 0.50 |" in page
    assert "| together | 2.00 | 0.60 |" in page
    assert "1.50 times as long" in page
    assert "| products with weights | 75.0 |" in page
    assert "| products with weights, as a share of the peak | 67 |" in page  # 100 weights x 10 tokens x 2 in 1.5 s, of 2e3
    assert "| texts scored | 900 |\n| of these, the weights in float32 | 400 |" in page
    assert "{" not in page


def test_results_of_several_processors_are_one_page(made_up: Throughput, tmp_path: Path) -> None:
    other = replace(
        made_up, machine={**made_up.machine, "processor": "Another"}, date="2026-02-01", costs=None, remark="In haste."
    )
    files = [store(result, tmp_path / "results") for result in (made_up, other, made_up)]
    assert [path.name for path in files] == ["a-processor-2-cores.json", "another-2-cores.json", "a-processor-2-cores.json"]
    results = stored(tmp_path / "results")
    assert [result.to_json() for result in results] == [other.to_json(), made_up.to_json()]  # the latest first
    page = benchmark_page(results)
    assert "| texts | contender | Another, 2 cores (tokenviz 1.0) | A(R) Processor, 2 cores (tokenviz 1.0) |" in page
    assert "| smollm2-135m on mixed | tokenviz | 2.00 | 2.00 |\n|  | plain-loop | 1.00 | 1.00 |" in page
    assert "|  | minicons | – | – |" in page
    assert "## Another, 2 cores\n\ntokenviz 1.0, torch 2.13.0; 3 rounds, 2026-02-01. In haste.\n" in page
    assert page.count("### smollm2-135m on mixed (2 texts, 10 tokens)") == 2


def test_the_page_in_the_documentation_is_that_of_the_results_that_are_kept() -> None:
    results = stored(ROOT / "benchmarks" / "results")
    assert (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8") == benchmark_page(results)


def test_the_page_survives_a_model_whose_weights_were_not_laid_out(made_up: Throughput) -> None:
    whole = [replace(one, seconds={**one.seconds, "products with weights": 0.0}) for one in made_up.anatomies]
    page = benchmark_page([replace(made_up, anatomies=tuple(whole))])
    assert "| products with weights, as a share of the peak | not laid out |" in page


def test_bars_are_the_ratios_and_a_failure_is_said(made_up: Throughput) -> None:
    drawn = figure(made_up)
    assert isinstance(drawn, Figure)
    (axes,) = drawn.axes
    assert [bar.get_width() for bar in axes.patches] == [2.0, 1.0, 0.5]
    assert [label.get_text() for label in axes.get_yticklabels()] == [
        "tokenviz 1.0",
        "plain-loop 1.0",
        "lm-eval 1.0",
        "minicons",
    ]
    assert [text.get_text() for text in axes.texts] == ["2.00", "1.00", "0.50", "could not run"]
    # In a grey copy our own bars are told apart by lightness.
    own, other = (sum(axes.patches[i].get_facecolor()[:3]) for i in (0, 1))
    assert other - own > 1
    drawn.draw_without_rendering()


def test_a_measurement_is_a_run_with_its_files(project: Path, made_up: Throughput) -> None:
    runs = open_runs()
    kept, again = record(made_up, runs, 1.0), record(made_up, runs, 2.0)
    assert kept.run_id != again.run_id
    run = runs.client.get_run(kept.run_id)
    assert run.info.status == "FINISHED"
    assert run.data.metrics["smollm2-135m.mixed.lm-eval.error_largest"] == 1e-3
    assert "smollm2-135m.mixed.minicons.ratio" not in run.data.metrics
    assert run.data.params["processor"] == "A(R) Processor"
    for name in ("tables/throughput.csv", "tables/throughput.md", "tables/throughput.json", "figures/throughput.png"):
        assert fetch(runs.store, kept.run_id, name, project).stat().st_size > 100
    assert kept.link.endswith(f"/#/experiments/{runs.experiment_id}/runs/{kept.run_id}")


def test_rows_come_back_in_the_order_of_the_texts() -> None:
    class Lengths(Batched):
        def __init__(self) -> None:
            self.tokenizer = lambda text: type("Encoded", (), {"input_ids": list(text)})
            self.vocabulary = 10
            self.seen: list[list[str]] = []

        def score_batch(self, texts: list[str]) -> list[list[float]]:
            self.seen.append(texts)
            return [[float(len(text))] for text in texts]

    contender = Lengths()
    texts = ["aa", "a", "aaaaa", "aaa"]
    assert contender.warm_up(texts) in ("one text at a time", "batches of 4, by length")
    assert contender.score(texts) == [[2.0], [1.0], [5.0], [3.0]]
    assert ["aaaaa", "aaa", "aa", "a"] in contender.seen


def test_the_fastest_batch_size_is_taken() -> None:
    from time import sleep

    tried = []

    def run(size: int) -> None:
        tried.append(size)
        sleep({1: 0.03, 4: 0.005, 8: 0.03, 16: 0.0}[size])

    assert fastest_size(run, (1, 4, 8, 16), 16) == 4
    assert tried == [1, 4, 8]  # 8 is so much slower that 16 is not tried
    assert fastest_size(run, (8,), 4 - 3) == 1  # what does not fit the memory is not tried


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"rounds": 0}, "0 rounds measure nothing: give at least 1"),
        ({"contenders": ["nobody"]}, f"no contender 'nobody': there are {', '.join(entry.name for entry in LINEUP)}"),
    ],
)
def test_what_cannot_be_measured_is_refused(arguments: dict[str, Any], message: str) -> None:
    from experiments.throughput import throughput

    with pytest.raises(ExperimentError) as error:
        throughput(**arguments)
    assert str(error.value) == message


def test_tools_are_started_with_the_settings_of_their_libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    from experiments.throughput import throughput

    settings = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "10000", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ExperimentError, match="'nothing' is no case"):
        throughput(cases=["nothing"])
    assert not settings.keys() & os.environ.keys()


def test_without_a_gpu_there_is_nothing_to_measure_on_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["benchmarks.gpu"])
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit) as ended:
        gpu.main()
    assert ended.value.code == "error: torch finds no GPU on this machine; make bench measures its processor"


@pytest.mark.slow
def test_three_ways_to_score_on_a_device_agree_and_a_tool_that_is_missing_has_a_row(tmp_path: Path) -> None:
    texts = ["Alice was tired.", "The cat, and Dinah.", "Alice was beginning to get very tired."]
    missing = replace(gpu.GPU_LINEUP[0], interpreter=tmp_path / "python")
    case = gpu.measure("glass-en", "float32", "cpu", {"three": texts}, [missing])["three"]
    plain, padded, ours, minicons = case.rows
    assert [row.label for row in case.rows] == ["plain loop", "padded batches", "tokenviz", "minicons"]
    assert sum(case.lengths) > 20
    assert min(plain.seconds, padded.seconds, ours.seconds) > 0
    assert 0 < ours.difference < 1e-4
    assert padded.difference < 1e-4
    assert case.table_rows()[0][2] == "1.00"
    assert minicons.failed == NOT_INSTALLED
    assert case.table_rows()[3][1] == f"could not run: {NOT_INSTALLED}"
    with pytest.raises(ExperimentError) as error:
        gpu.measure("glass-en", "float32", "cpu", {"long": TEXT_SETS["long"]()}, [])
    assert str(error.value) == (
        "glass-en,dtype=float32,device=cpu reads 128 tokens at once, a text of the set long has 3,516: give a model that "
        "reads more"
    )


@pytest.mark.bench
def test_other_tools_give_the_plain_loops_logprobs_on_a_device() -> None:
    """On the processor, by the same code. vLLM is not in their environment."""
    texts = ["The keys to the cabinet are on the table.", "It rained.", "A short text of a few words."]
    for dtype, close in (("float32", 1e-4), ("bfloat16", 2.0)):
        case = gpu.measure("smollm2-135m", dtype, "cpu", {"three": texts})["three"]
        *own, minicons, lm_eval, vllm = case.rows
        assert max(row.difference for row in (*own, minicons, lm_eval)) < close
        assert min(minicons.seconds, lm_eval.seconds) > 0
        assert vllm.failed == "ModuleNotFoundError: No module named 'vllm'"


@pytest.mark.slow
def test_costs_of_a_short_text_for_real() -> None:
    from benchmarks.costs import measure_costs

    costs = measure_costs("smollm2-135m", rounds=1, texts=2)
    parts = {
        "load",
        "weights laid out and checked",
        "score",
        "tables",
        "figures",
        "logging",
        "texts, model files, store",
        "rest",
    }
    assert set(costs.next_cell) == parts
    assert costs.grid_ratio > 1
    assert min(costs.next_cell.values()) > -1e-3
    assert costs.score_seconds > 0
    assert costs.command_ratio > 0
    names = [
        "tokenviz --help",
        "tokenviz doctor --quick",
        "tokenviz runs",
        "tokenviz runs show RUN",
        "tokenviz pull EXPERIMENT --to paper",
        PAGE,
    ]
    assert list(costs.commands) == names
    assert all(seconds > 0 for (seconds,) in costs.commands.values())
    assert 0.8 < costs.statistics_ratio < 2  # as far as a busy machine can tell


@pytest.mark.slow
def test_a_case_taken_apart_for_real() -> None:
    from benchmarks.anatomy import take_apart

    found = take_apart(Case("glass-en", "sentences", ()), WORKLOAD)
    assert found.case == "glass-en:sentences"
    assert min(found.seconds.values()) > 0
    peaks = list(found.peak_bytes.values())
    assert peaks == sorted(peaks)
    assert peaks[0] > 50_000_000


@pytest.mark.slow
def test_the_workload_of_a_model_for_real() -> None:
    from benchmarks.machine import workload

    found = workload(resolve(ModelSpec.parse("glass-en")).folder)
    hidden, inner, half, vocabulary = 128, 341, 64, 1024
    layer = 2 * hidden * hidden + 2 * hidden * half + 3 * hidden * inner
    assert found.linear_weights == 4 * layer + hidden * vocabulary
    assert found.attention == ((hidden, None),) * 4
    assert found.weights_bytes == 4 * (found.linear_weights + 9 * hidden)  # and the norms
    assert sum(outputs * inputs * count for outputs, inputs, count in found.shapes) == found.linear_weights


# ---- what a ledger costs -------------------------------------------------------------------------------------------


@pytest.fixture
def scaling() -> Scaling:
    overhead = Overhead(3000, 6, plain=(1.0, 2.0, 4.0), ledger=(1.02, 2.02, 4.0), joined=(0.1, 0.3, 0.2))
    paces = (
        Pace(1, 0.0, (9000.0, 10_000.0, 10_100.0)), Pace(2, 0.0, (19_000.0, 18_000.0, 18_100.0)),
        Pace(2, 200.0, (390.0, 400.0, 401.0)), Pace(16, 200.0, (3100.0, 3120.0, 3200.0)),
    )  # fmt: skip
    return Scaling({"processor": "a processor", "cores": 2, "torch": "2.13.0"}, "glass-en", overhead, paces)


def test_the_overhead_is_the_median_of_ratios_and_multiples_are_per_worker(scaling: Scaling) -> None:
    assert scaling.overhead.share == pytest.approx(0.01)
    assert [scaling.multiple(pace) for pace in scaling.paces] == pytest.approx([1.0, 1.81, 2.0, 15.6])
    frame = scaling.frame()
    assert list(frame["workers"]) == [1, 2, 2, 16]
    assert list(frame["tokens_per_second"]) == [10_000.0, 18_100.0, 400.0, 3120.0]
    assert frame["share_of_linear"][3] == pytest.approx(0.975)
    assert frame["limit_per_worker"].isna().tolist() == [True, True, False, False]
    metrics = scaling.metrics()
    assert metrics["16_workers_throttled.multiple"] == pytest.approx(15.6)
    assert metrics["joined_seconds"] == 0.2
    listed = json.loads(json.dumps(scaling.to_json(), allow_nan=False))
    assert listed["overhead"]["share"] == pytest.approx(0.01)
    assert scaling.to_table().row_count == 4


def test_the_page_of_a_ledgers_costs_says_what_was_found(scaling: Scaling) -> None:
    page = scaling.page()
    assert "**One worker's ledger costs +1.0%** of the processor time of plain scoring (median of 3 rounds of 1,000" in page
    assert "+0.0% to +2.0%" in page
    assert "| 200 tokens/s each | 16 | 3,120 | 15.60 | 97.5% |" in page
    assert "| none | 2 | 18,100 | 1.81 | 90.5% |" in page
    assert scaling.guide() == ["The ledger of one worker costs +1.0% of the processor time of plain scoring"]


def test_tokens_per_second_are_drawn_next_to_a_straight_line(scaling: Scaling) -> None:
    (axes,) = scaling.figure().axes
    straight, free, straight_too, slow = (line.get_xydata().tolist() for line in axes.lines)
    assert free == [[1, 10_000], [2, 18_100]]
    assert straight == [[1, 10_000], [2, 20_000]]
    assert slow == [[2, 400], [16, 3120]]
    assert straight_too == [[2, 400], [16, 3200]]
    assert [text.get_text() for text in axes.texts] == ["× 1.8", "× 15.6"]


def test_a_measurement_of_a_ledger_is_a_run_with_its_files(project: Path, scaling: Scaling) -> None:
    runs = open_runs()
    kept = Kept(
        "scaling", "a ledger", scaling.machine, scaling.metrics(), scaling.frame(), scaling.page(), scaling.to_json(),
        scaling.figure(),
    )  # fmt: skip
    run_id, link = keep(kept, runs, 1.0)
    run = runs.client.get_run(run_id)
    assert run.data.metrics["overhead"] == pytest.approx(0.01)
    assert run.data.tags["mlflow.note.content"] == scaling.page()
    for name in ("tables/scaling.csv", "tables/scaling.md", "tables/scaling.json", "figures/scaling.png"):
        assert fetch(runs.store, run_id, name, project).stat().st_size > 100
    assert link.endswith(f"/#/experiments/{runs.experiment_id}/runs/{run_id}")


def test_random_words_are_passages_that_all_differ() -> None:
    text = random_words(5000, passage=300, seed=1)
    assert sum(map(len, text.passages)) >= 5000
    assert all(len(passage) + passage.count(" ") >= 300 for passage in text.passages)
    assert len(set(text.passages)) == len(text.passages) > 10
    assert text.passages == random_words(5000, passage=300, seed=1).passages
    assert not set(text.passages) & set(random_words(5000, passage=300, seed=2).passages)


def test_a_measurement_of_nothing_is_refused() -> None:
    from experiments.scaling import scaling

    with pytest.raises(ExperimentError) as error:
        scaling(throttled=[1, 0])
    assert str(error.value) == "nothing can be measured with a number below 1: give tokens, rounds and workers from 1 on"


@pytest.mark.slow
def test_what_a_ledger_costs_for_real() -> None:
    overhead = measure_overhead("glass-en", tokens=4000, rounds=2)
    assert overhead.tokens > 2000
    assert overhead.shards == 2
    assert min(*overhead.plain, *overhead.ledger, *overhead.joined) > 0
    one, two = measure_paces("glass-en", [1, 2], limit=800.0, seconds=3.0, rounds=1)
    assert (one.workers, two.workers) == (1, 2)
    assert 0 < one.rate <= 1.05 * 800  # a worker sleeps after each shard, never less than it is to
    assert one.rate < two.rate


@pytest.mark.slow
def test_a_worker_that_fails_before_it_begins_is_one_line(tmp_path: Path) -> None:
    ledger, _ = _planned("glass-en", random_words(300, passage=300, seed=0), tmp_path / "ledger", 300)
    with pytest.raises(ExperimentError) as error:
        _run_workers(ledger, str(tmp_path / "nowhere"), 1, 0.0)
    assert str(error.value).startswith("a worker failed: tokenviz.base.errors.ModelError: ")
