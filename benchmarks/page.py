"""docs/benchmarks.md, written from measurements: one of each processor."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from benchmarks.anatomy import PRODUCTS
from benchmarks.costs import PAGE, Costs
from benchmarks.measuring import CaseOutcome
from benchmarks.report import Throughput, case_title, markdown_table, with_range
from tokenviz.models.describing import model_sentence

_HEAD = """# Benchmarks

How fast tokenviz scores, how much memory it takes and how exact it is, compared with a plain loop and other tools on the same
texts. This page is written by `make bench`.
"""

_HOW = """## How it was measured

- The **texts** are cut from `experiments/texts`: `mixed` is one document of about 1,000 tokens and 15 paragraphs and
  sentences, `sentences` is 104 single sentences, `long` is one text of about 2,000 tokens. A tokenizer's own BOS opens every
  text; where it has none, the first token has no prediction, and nobody is asked for one. A contender that scores any other
  number of tokens is not measured.
- Every **contender** has a process of its own. It loads the model, scores the texts to warm up, and then waits; the contenders
  take turns, one round each. Only one computes at a time; the others keep their memory and wait. What is timed
  goes from the strings to the log-probs, so it includes the tokenizer.
- tokenviz gives log-prob, rank, entropy and the ten likeliest alternatives of every token; the others give the log-prob,
  lm-eval the sum over each text. Where a tool leaves batches to its caller, texts of like length go together, and the fastest
  of 1, 4, 8 and 16 texts a batch is chosen beforehand (surprisal: 8), as far as their logits fit the memory. CTranslate2,
  OpenVINO and ONNX Runtime read models that were converted to float32 once, before anything was timed; the graph of the last
  two ends in the log-probs. Every tool uses all cores.

## What the columns mean

| column | meaning |
|---|---|
| × plain loop | tokens per second as a multiple of the plain loop's in the same round: median (least to greatest) |
| tokens/s | scored tokens over the seconds of the median round |
| share of peak | useful operations a second over the machine's peak in the contender's type; – where that was not measured |
| peak memory | the most the process had at once, loading the model included |
| beyond weights | the same without the weights in float32; negative where they are kept in a narrower type |
| largest, mean error | absolute difference from the plain loop in float64, over all tokens; for sums, over all texts |
| how | how the tool reads the texts |

The **plain loop** is what one writes without any tool: transformers (the version shown is its own) in float32, one text at a
time, log-softmax, gather.
**Useful operations** are two for each weight of a linear layer or the output head and each scored token, and four for each
product of causal attention. The **peak** is that of matrix products of the model's own shapes with 256 or 2,048 rows, by
torch's linear layer or by oneDNN with weights laid out for it, whichever is fastest, each at its best of several repetitions:
in bfloat16 for the contender that computes in bfloat16, in float32 for all others. It is measured in every round, and what a
contender reached in a round is compared with that round's; between the turns of a case that is taken apart it is measured too.

bfloat16 is a preview of a text, not a measurement: its error is shown next to it. This page is about processors;
`python -m benchmarks.gpu` measures a GPU.
"""


def stored(folder: Path) -> list[Throughput]:
    """The results that are kept in a folder, the latest first."""
    results = [Throughput.of_json(json.loads(path.read_text(encoding="utf-8"))) for path in sorted(folder.glob("*.json"))]
    return sorted(results, key=lambda result: result.date, reverse=True)


def store(result: Throughput, folder: Path) -> Path:
    """Keep a result in a folder, in place of an earlier one of the same processor.

    Returns:
        Its file.
    """
    name = re.sub(r"\((R|TM)\)", "", _name(result))
    slug = re.sub(r"\W+", "-", name.lower()).strip("-")
    path = folder / f"{slug}.json"
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result.to_json(), indent=1) + "\n", encoding="utf-8")
    return path


def benchmark_page(results: Sequence[Throughput]) -> str:
    """The page in Markdown.

    Args:
        results: One of each processor, in the page's order.
    """
    models = {label: description for result in results for label, description in result.models.items()}
    parts = [_HEAD, model_sentence(list(models), models) + "\n"]
    if len(results) > 1:
        parts.append(_side_by_side(results))
    for result in results:
        parts += [f"## {_name(result)}\n", f"{_where(result)}\n", *_sections(result)]
    return "\n".join([*parts, _HOW])


def _name(result: Throughput) -> str:
    return f"{result.machine['processor']}, {result.machine['cores']} cores"


def _where(result: Throughput) -> str:
    machine = result.machine
    said = f"tokenviz {machine['tokenviz']}, torch {machine['torch']}; {_rounds(result.rounds)}, {result.date}."
    return f"{said} {result.remark}".strip()


def _side_by_side(results: Sequence[Throughput]) -> str:
    """Speed as a multiple of the plain loop's on each processor: how much is gained depends on it."""
    found: dict[tuple[str, str], dict[int, str]] = {}
    for number, result in enumerate(results):
        for case in result.cases:
            for outcome in case.outcomes:
                name = re.sub(r" \d[\w.+]*(?=,|$)", "", outcome.label)
                row = found.setdefault((f"{case.model} on {case.text_set}", name), {})
                row[number] = "–" if outcome.failed else f"{outcome.ratio:.2f}"
    heads = [f"{_name(result)} (tokenviz {result.machine['tokenviz']})" for result in results]
    lines = [("texts", "contender", *heads), ("---", "---", *["--:"] * len(heads))]
    before = ""
    for (case_name, name), row in found.items():
        cells = (row.get(number, "") for number in range(len(results)))
        lines.append(("" if case_name == before else case_name, name, *cells))
        before = case_name
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return (
        "## Side by side\n\n"
        "Speed as a multiple of the plain loop's. Where PyTorch's own products are quick, less is gained over it.\n\n"
        f"{table}\n"
    )


def _sections(result: Throughput) -> list[str]:
    parts = [f"### {case_title(case)}\n\n{markdown_table(case)}\n" for case in result.cases]
    parts += [_limits_part(result)] if result.anatomies else []
    parts += [_costs_part(result.costs)] if result.costs is not None else []
    return parts


def _rounds(count: int) -> str:
    return f"{count} round{'s' * (count != 1)}"


def _limits_part(result: Throughput) -> str:
    of_case = {f"{case.model}:{case.text_set}": case for case in result.cases}
    names = [anatomy.case.replace(":", " on ") for anatomy in result.anatomies]
    times = [("share of the time (%)", *names)]
    for part in result.anatomies[0].seconds:
        shares = (100 * anatomy.seconds[part] / sum(anatomy.seconds.values()) for anatomy in result.anatomies)
        times.append((part, *(f"{share:.1f}" for share in shares)))
    rates = []
    for anatomy in result.anatomies:
        case, seconds = of_case[anatomy.case], anatomy.seconds[PRODUCTS]
        operations = 2 * case.workload.linear_weights * case.n_tokens
        peak = median(anatomy.peaks) if anatomy.peaks else case.peak_flops
        rates.append(f"{100 * operations / seconds / peak:.0f}" if seconds else "not laid out")
    times.append((f"{PRODUCTS}, as a share of the peak", *rates))
    memory = [("most memory so far (MB)", *names)]
    for stage in result.anatomies[0].peak_bytes:
        memory.append((stage, *(f"{anatomy.peak_bytes[stage] / 1e6:,.0f}" for anatomy in result.anatomies)))
    weights = (of_case[anatomy.case].workload.weights_bytes / 1e6 for anatomy in result.anatomies)
    memory.append(("of these, the weights in float32", *(f"{one:,.0f}" for one in weights)))
    peaks = {case.model: _peaks(case) for case in result.cases}
    return (
        "### Where tokenviz's own time and memory go\n\n"
        "Measured apart from the rounds, in a process that scores a case and nothing else. The rest of the time are norms, "
        f"activations, residuals, rotary positions, the tokenizer and the table. The machine's peak among the rounds: "
        f"{'; '.join(peaks.values())}.\n\n"
        f"{_table(times)}\n\n{_table(memory)}\n"
    )


def _peaks(case: CaseOutcome) -> str:
    rates = (f"{median(found) / 1e9:.0f} Gflop/s in {dtype}" for dtype, found in case.peaks.items())
    return f"{' and '.join(rates)} for products of {case.model}"


def _table(rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown, its first row the headings, its first column words and the others numbers."""
    lines = [rows[0], ("---", *["--:"] * (len(rows[0]) - 1)), *rows[1:]]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _costs_part(costs: Costs) -> str:
    parts = list(dict.fromkeys([*costs.first_cell, *costs.next_cell]))
    rows = [(part, *(f"{cell.get(part, 0.0):.2f}" for cell in (costs.first_cell, costs.next_cell))) for part in parts]
    rows.append(("together", *(f"{sum(cell.values()):.2f}" for cell in (costs.first_cell, costs.next_cell))))
    table = _table([("seconds", "first in a process", "another"), *rows])
    waits = [("whole processes", "seconds"), *((name, with_range(taken, 1)) for name, taken in _waits(costs).items())]
    return (
        f"### What a user waits for, with {costs.model}\n\n"
        f"The median of {_rounds(len(costs.command_seconds))}, and in brackets the least and the greatest.\n\n"
        f"{_table(waits)}\n\n"
        f"`tokenviz score` takes {costs.command_ratio:.2f} times as long as the import of torch and transformers; `score()` "
        f"alone, in a process that has scored before, takes {costs.score_seconds:.3f} s. The commands after it run in the "
        "project of the experiment below.\n\n"
        f"An experiment of {costs.grid_texts} texts of about 100 tokens and two models (the second is the first rounded "
        "once more, to Q4_0), with all runs, their pages and comparisons, and a summary, takes "
        f"{with_range(costs.grid_seconds, 0)} s as a whole process: {costs.grid_ratio:.2f} times as long as loading the "
        f"models and scoring the texts one by one and nothing else, which takes {with_range(costs.scoring_seconds, 0)} s.\n\n"
        "Where the seconds go in a grid of one model and one sentence, with its table, page and run, measured once; the first "
        "one also imports the libraries and makes the store:\n\n"
        f"{table}\n\n"
        "Scoring with entropy, rank and the ten likeliest alternatives of every token takes "
        f"{costs.statistics_ratio:.3f} times as long as reading the log-prob alone off whole rows of logits (the mixed texts, "
        "by the same kernel).\n"
    )


def _waits(costs: Costs) -> dict[str, tuple[float, ...]]:
    return {
        '`python -c "import torch, transformers"`': costs.import_seconds,
        "`tokenviz score -t SENTENCE`": costs.command_seconds,
        **{f"`{name}`{', to its first page' * (name == PAGE)}": taken for name, taken in costs.commands.items()},
    }
