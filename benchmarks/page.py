"""docs/benchmarks.md, written from a measurement."""

from collections.abc import Sequence
from statistics import median

from benchmarks.anatomy import PRODUCTS
from benchmarks.costs import Costs
from benchmarks.report import Throughput, case_title, markdown_table
from tokenviz.models.describing import model_sentence
from tokenviz.models.loading import resolve

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
  take turns, one round each, {rounds} in all. Only one computes at a time; the others keep their memory and wait. What is timed
  goes from the strings to the log-probs, so it includes the tokenizer.
- tokenviz gives log-prob, rank, entropy and the ten likeliest alternatives of every token; the others give the log-prob,
  lm-eval the sum over each text. Where a tool leaves batches to its caller, texts of like length go together, and the fastest
  of 1, 4, 8 and 16 texts a batch is chosen beforehand (surprisal: 8), as far as their logits fit the memory. CTranslate2,
  OpenVINO and ONNX Runtime read models that were converted to float32 once, before anything was timed; the graph of the last
  two ends in the log-probs. Every tool uses all cores.

## What the columns mean

| column | meaning |
|---|---|
| × plain loop | tokens per second as a multiple of the plain loop's in the same round; the median of the rounds |
| tokens/s | scored tokens over the seconds of the median round |
| share of peak | useful operations a second over the machine's peak |
| peak memory | the most the process had at once, loading the model included |
| beyond weights | the same without the weights in float32; negative where they are kept in a narrower type |
| largest, mean error | absolute difference from the plain loop in float64, over all tokens; for sums, over all texts |
| how | how the tool reads the texts |

The **plain loop** is what one writes without any tool: transformers in float32, one text at a time, log-softmax, gather.
**Useful operations** are two for each weight of a linear layer or the output head and each scored token, and four for each
product of causal attention. The **peak** is that of float32 matrix products of the model's own shapes with 256 or
2,048 rows, by torch's linear layer or by oneDNN with weights laid out for it, whichever is fastest, each at its best of many
repetitions:
{peaks}.

bfloat16 is a preview of a text, not a measurement: its error is shown next to it.
"""


def benchmark_page(result: Throughput) -> str:
    """The page in Markdown."""
    machine = result.machine
    where = f"{machine['processor']}, {machine['cores']} cores, torch {machine['torch']}; {_rounds(result.rounds)}.\n"
    peaks = {case.model: f"{case.workload.peak_flops / 1e9:.0f} Gflop/s for {case.model}" for case in result.cases}
    tables = [f"## {case_title(case)}\n\n{markdown_table(case)}\n" for case in result.cases]
    limits = [_limits_part(result)] if result.anatomies else []
    costs = [_costs_part(result.costs)] if result.costs is not None else []
    return "\n".join(
        [
            _HEAD,
            where,
            _models_line(result),
            *tables,
            *limits,
            *costs,
            _HOW.format(rounds=_rounds(result.rounds), peaks=", ".join(peaks.values())),
        ]
    )


def _models_line(result: Throughput) -> str:
    """What the models are, in a line."""
    labels = list(dict.fromkeys(case.model for case in result.cases))
    return model_sentence(labels, {label: resolve(label).description for label in labels}) + "\n"


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
        rates.append(f"{100 * operations / seconds / case.workload.peak_flops:.0f}" if seconds else "not laid out")
    times.append((f"{PRODUCTS}, as a share of the peak", *rates))
    memory = [("most memory so far (MB)", *names)]
    for stage in result.anatomies[0].peak_bytes:
        memory.append((stage, *(f"{anatomy.peak_bytes[stage] / 1e6:,.0f}" for anatomy in result.anatomies)))
    weights = (of_case[anatomy.case].workload.weights_bytes / 1e6 for anatomy in result.anatomies)
    memory.append(("of these, the weights in float32", *(f"{one:,.0f}" for one in weights)))
    return (
        "## Where tokenviz's own time and memory go\n\n"
        "Measured apart from the rounds, in a process that scores a case and nothing else. The rest of the time are norms, "
        "activations, residuals, rotary positions, the tokenizer and the table.\n\n"
        f"{_table(times)}\n\n{_table(memory)}\n"
    )


def _table(rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown, its first row the headings, its first column words and the others numbers."""
    lines = [rows[0], ("---", *["--:"] * (len(rows[0]) - 1)), *rows[1:]]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _costs_part(costs: Costs) -> str:
    parts = list(dict.fromkeys([*costs.first_cell, *costs.next_cell]))
    rows = [(part, *(f"{cell.get(part, 0.0):.2f}" for cell in (costs.first_cell, costs.next_cell))) for part in parts]
    rows.append(("together", *(f"{sum(cell.values()):.2f}" for cell in (costs.first_cell, costs.next_cell))))
    table = _table([("seconds", "first in a process", "another"), *rows])
    return (
        f"## Short texts, by {costs.model}\n\n"
        "A grid of one model and one sentence, with its table, figures and run; the first one also imports the libraries and "
        "makes the store.\n\n"
        f"{table}\n\n"
        f"`score()` alone takes {costs.score_seconds:.3f} s. `tokenviz score` on the sentence, as a whole process, takes "
        f'{costs.command_ratio:.2f} times as long as `python -c "import torch, transformers"`.\n\n'
        "Entropy, rank and the ten likeliest alternatives of every token take "
        f"{100 * (costs.statistics_ratio - 1):.1f} % on top of the log-prob alone (the mixed texts, by the same kernel).\n\n"
        f"An experiment of {costs.grid_texts} texts of about 100 tokens and two models (the second is the first rounded "
        "once more, to Q4_0), with every table, figure and run, their comparisons and a summary, takes "
        f"{median(costs.grid_seconds):.0f} s as a whole process; loading the models and scoring the texts one by one, and "
        f"nothing else, takes {median(costs.scoring_seconds):.0f} s: {costs.grid_ratio:.2f} times as long.\n"
    )
