"""Do two engines give the same tokens the same log-probs?"""

from tokenviz import BosMode, Grid, GridResult, experiment, import_scores, read_text
from tokenviz.comparing import engine_differences

READING = """
Another engine's log-probs, from a file, next to those that the same model has here. **mean_absolute_difference** is what to
look at, in nats per token: two engines that run one model differ by rounding, so that r is near 1 for any of them.
`largest_difference` is that of b minus a at one token, `largest_at`.

What the engine does not say is missing and not computed: entropies, ranks beyond the alternatives that it names, and what may
follow a token. Tokens that it does not score (a prompt, say) take no part.
"""


@experiment
def engines(
    dump: str = "llama_cpp",
    models: list[str] = ["smollm2-135m"],
    source: str | None = None,
    text: str | None = None,
    bos: BosMode = "auto",
    generated: bool = False,
    skip_bad: bool = False,
) -> GridResult:
    """Import log-probs of another engine, score the same texts here, and compare the two token by token.

    Args:
        dump: A .jsonl or .json file of vLLM, SGLang, llama.cpp, an OpenAI-compatible server, or in the plain form; or the name
            of a sample in experiments/dumps.
        models: Model specs; may be repeated. The first one's tokenizer is the engine's.
        source: The engine's name and version; by default what the file says.
        text: A sample's name or a file with the passages that the rows are of; by default the rows say it themselves.
        bos: What stood before each text: what the tokenizer puts there by itself, always its BOS, or never anything.
        generated: Take tokens that were generated after a prompt with log-probs as part of the text.
        skip_bad: Leave bad rows out and list them.
    """
    given = read_text(text) if text else None
    imported = import_scores(
        dump, models[0], engine=source, text=given, bos=bos, generated=generated, skip_bad=skip_bad
    )  # fmt: skip
    grid = Grid(models, [], bos=bos, imported=[imported])
    grid.score()
    comparisons = [run.comparison for run in grid.compare(reference=models[0])]
    return grid.summarise(READING, tables={"engines": engine_differences(comparisons)})
