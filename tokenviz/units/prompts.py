"""Prompts and continuations: the log-prob of a continuation, given the prompt before it.

Prompt and continuation are one string, which is tokenized and scored as a whole. The continuation's log-prob given the prompt
is the sum over its tokens; a token that crosses the border belongs to the continuation, and is counted.
"""

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tokenviz.base.characters import is_inside
from tokenviz.base.errors import TextError, check_kind, is_of, listed
from tokenviz.base.progress import warn
from tokenviz.data.scores import TokenScores
from tokenviz.data.texts import Text, corpus
from tokenviz.stats.intervals import PLAIN, WILSON
from tokenviz.stats.resampling import SEED
from tokenviz.stats.summaries import Ratio, Summary, summarise
from tokenviz.units.items import Bad, bad_row, check_columns, check_own_columns, read_table
from tokenviz.units.sums import RULES, sum_units

PROMPTS_VERSION = 1  # raise it when the same scores and prompts would give other numbers

NUMBERS = (
    "n_tokens_prompt", "n_tokens", "n_scored", "crossings", "n_bytes", "logprob", "mean_logprob", "logprob_per_byte",
    "surprisal_bits", "rank_first", "rank_worst", "all_first", *(f"best_by_{rule}" for rule in RULES),
)  # fmt: skip
PROMPT, CONTINUATION = "prompt", "continuation"  # names of the spans, and of the columns
_TAKEN = {"model", "passage", "prompt_number", *NUMBERS}


@dataclass(frozen=True, eq=False)
class Prompts:
    """Prompts with their continuations.

    Attributes:
        text: One passage per continuation, which follows its prompt; its spans are `prompt` and `continuation`.
        table: One row per continuation, with every column of the file.
        borders: For each passage, the end of the prompt and start of the continuation, in characters.
        sha256: SHA-256 of the passages, the borders and every cell.
        skipped: One line for each row that was left out, with the reason.
    """

    text: Text
    table: pd.DataFrame
    borders: tuple[int, ...]
    sha256: str
    skipped: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.borders)

    def __repr__(self) -> str:
        count = len(set(self._prompts()))
        return f"Prompts({self.text.name!r}: {len(self)} continuations of {count} prompt{'s' * (count != 1)})"

    def _prompts(self) -> list[str]:
        return [passage[:border] for passage, border in zip(self.text.passages, self.borders, strict=True)]


def continuations(prompt: str, given: Sequence[str], *, name: str = "prompt") -> Prompts:
    """Make a prompt with its continuations.

    Args:
        prompt: The text before the continuations, taken literally, with its spaces.
        given: Continuations, each with the space that it begins with.
        name: The text's name; by default "prompt".

    Returns:
        The prompt's continuations, to be scored as `text` and read with `prompt_table`.

    Raises:
        TextError: The prompt or a continuation is empty, or not Unicode text.

    Example:
        >>> made = tv.continuations("Alice was very", [" tired.", " late."])
        >>> made
        Prompts('prompt': 2 continuations of 1 prompt)
        >>> table = tv.prompt_table(made, tv.score(tv.load_model("glass-en"), made.text))
        >>> table[["continuation", "n_tokens", "logprob", "best_by_sum"]].round(1)
          continuation  n_tokens  logprob  best_by_sum
        0       tired.         3    -13.1        False
        1        late.         3    -10.9         True
    """
    if is_of(given, str):
        raise TextError(f"the continuations are one string: give a list, [{given!r}]")
    check_kind(given, Sequence, TextError, "a list of continuations: give their strings in one")
    cells = [_checked(PROMPT, prompt), *(_checked(CONTINUATION, one) for one in given)]
    if not given:
        raise TextError("a prompt was given without a continuation: give at least one")
    for cell in cells:
        if isinstance(cell, Bad):
            raise TextError(cell.words)
    table = pd.DataFrame({PROMPT: [prompt] * len(given), CONTINUATION: list(given)})
    _note_inside([(prompt, one) for one in given], range(len(given)), name, "number")
    return _made(table, [(prompt, one) for one in given], name, ())


def read_prompts(
    path: str | Path, *, prompt: str = PROMPT, continuation: str = CONTINUATION, skip_bad: bool = False
) -> Prompts:
    """Read a table of prompts and continuations.

    Args:
        path: A CSV, TSV, JSONL or Parquet file; or the name of a sample in experiments/items. Rows of the same prompt are its
            continuations; in JSONL and Parquet a cell may hold a list of them.
        prompt: The column of the prompts.
        continuation: The column of the continuations.
        skip_bad: Whether to leave bad rows out and list them; by default one bad row refuses the table.

    Returns:
        The prompts, one row per continuation.

    Raises:
        TextError: The file cannot be read; a column is missing or has a name that the results need; a prompt or a continuation
            is missing, empty or not Unicode text.

    Example:
        >>> from pathlib import Path
        >>> rows = "prompt,continuation,kind\\nAlice was very, tired.,a\\nAlice was very, late.,b\\n"
        >>> Path("prompts.csv").write_text(rows)
        74
        >>> tv.read_prompts("prompts.csv")
        Prompts('prompts': 2 continuations of 1 prompt)
    """
    source, table = read_table(path, [prompt, continuation], skip_bad=skip_bad)
    options = {
        prompt: "prompt (of score: --prompt-column) names the one with the prompts",
        continuation: "continuation (of score: --continuation-column) names the one with the continuations",
    }
    check_columns(table, [prompt, continuation], str(source), options)
    if prompt == continuation:
        raise TextError(f"prompts and continuations cannot both stand in the column {prompt!r}")
    taken = _TAKEN | {PROMPT, CONTINUATION} - {prompt, continuation}
    check_own_columns(table, taken, str(source))
    rows: list[int] = []
    pairs: list[tuple[str, str]] = []
    skipped: list[str] = []
    for row in range(len(table)):
        where = f"row {row + 1} of {str(source)!r}"
        columns = (prompt, continuation)
        whole = bad_row(table, row, source, checked=columns)
        found = [whole] if whole else list(_pairs_of(table[prompt].iat[row], table[continuation].iat[row], columns, where))
        bad = [one.words for one in found if isinstance(one, Bad)]
        if bad and not skip_bad:
            raise TextError(f"{bad[0]}; --skip-bad leaves such rows out")
        if bad:
            skipped.append(bad[0])
            continue
        rows += [row] * len(found)
        pairs += [one for one in found if not isinstance(one, Bad)]
    if not pairs:
        raise TextError(f"{str(source)!r} has no continuation that can be scored")
    if skipped:
        warn(f"{len(skipped)} of {len(table)} rows of {source.name} are left out: {'; '.join(skipped[:20])}")
    _note_inside(pairs, rows, source.name, "row")
    own = table.iloc[rows].reset_index(drop=True).infer_objects()
    own[continuation] = [one for _, one in pairs]
    own.attrs.clear()  # they would be written into Parquet files
    return _made(own, pairs, source.stem, tuple(skipped))


def _pairs_of(prompt: Any, given: Any, columns: tuple[str, str], where: str) -> Iterator[tuple[str, str] | Bad]:
    before = _checked(columns[0], prompt, where)
    if isinstance(before, Bad):
        yield before
        return
    several = list(given) if isinstance(given, list | tuple | np.ndarray) else [given]
    if not several:
        yield Bad(f"{where} has an empty list in column {columns[1]!r}: give at least one continuation")
    for one in several:
        after = _checked(columns[1], one, where)
        yield after if isinstance(after, Bad) else (before, after)


def _checked(column: str, value: Any, where: str = "") -> str | Bad:
    """Return a string with at least one character; whitespace counts. Without a place in a table it was given by hand."""
    if not isinstance(value, str):
        missing = value is None or value is pd.NA or value != value
        found = "nothing" if missing else f"a {type(value).__name__}"
        return Bad(f"{where} has {found} in column {column!r}" if where else f"the {column} is {found}, not a string")
    if not value:
        empty = f"{where} has nothing in column {column!r}" if where else f"the {column} is empty"
        return Bad(f"{empty}: give at least one character")
    lone = next((place for place, sign in enumerate(value) if "\ud800" <= sign <= "\udfff"), None)
    if lone is None:
        return value
    ends = "ends inside a character" if lone == len(value) - 1 else "begins inside a character" if not lone else "is no Unicode"
    begins = f"{where}: the {column}" if where else f"the {column}"
    return Bad(f"{begins} {ends} (a lone surrogate at character {lone}): cut texts between characters")


def _note_inside(pairs: Sequence[tuple[str, str]], rows: Sequence[int], name: str, noun: str) -> None:
    """Print a warning with the continuations that begin inside a character, of which their numbers are a part."""
    inside = [row + 1 for row, (before, after) in zip(rows, pairs, strict=True) if is_inside(before + after, len(before))]
    if inside:
        found = list(dict.fromkeys(map(str, inside)))
        warn(
            f"{len(inside)} of {len(pairs)} continuations of {name} begin inside a character, as between a letter and its "
            f"mark; their numbers are of the rest of it, given its beginning: {noun}{'s' * (len(found) > 1)} "
            f"{listed(found, 12)}"
        )


def _made(table: pd.DataFrame, pairs: Sequence[tuple[str, str]], name: str, skipped: tuple[str, ...]) -> Prompts:
    passages, borders = [before + after for before, after in pairs], tuple(len(before) for before, _ in pairs)
    text = corpus(passages, name=name).with_spans(
        [[(PROMPT, 0, border), (CONTINUATION, border, len(passage))] for passage, border in zip(passages, borders, strict=True)]
    )
    content = json.dumps([passages, borders, table.astype(str).to_csv(index=False)], ensure_ascii=False)
    return Prompts(text, table, borders, sha256(content.encode("utf-8", "surrogatepass")).hexdigest(), skipped)


def prompt_table(prompts: Prompts, scores: TokenScores) -> pd.DataFrame:
    """Return the log-prob of every continuation, given its prompt.

    Columns, after all columns of the prompts' own table:

    - `model`; `passage` and `prompt_number` (from 0; continuations of one prompt have one number); `prompt` and `continuation`,
      if the own columns have other names.
    - `n_tokens_prompt`; for the continuation `n_tokens`, `n_scored`, `crossings` (1 where its first token begins in the prompt)
      and `n_bytes` (UTF-8, of its own characters).
    - `logprob`, the sum in nats; `mean_logprob` per token; `logprob_per_byte`; `surprisal_bits`. NaN where a token has no
      prediction: without a BOS this is so where the prompt is within the first token.
    - `rank_first` and `rank_worst`, the rank of its first token and the greatest rank; `all_first`, whether every token is the
      model's first choice.
    - `best_by_sum`, `best_by_per_token`, `best_by_per_byte`: whether no other continuation of the prompt has a greater value;
      missing where there is no other.

    Args:
        prompts: The prompts.
        scores: Scores of their text by one model.

    Returns:
        One row per continuation.

    Raises:
        TextError: The scores are of another text.

    Example:
        >>> prompts = tv.read_prompts("prompts.csv")  # of the example of `read_prompts`
        >>> table = tv.prompt_table(prompts, tv.score(tv.load_model("glass-en"), prompts.text))
        >>> table[["kind", "logprob", "mean_logprob", "rank_first"]].round(1)
          kind  logprob  mean_logprob  rank_first
        0    a    -13.1          -4.4          25
        1    b    -10.9          -3.6          12

    References:
        lm-evaluation-harness (`_encode_pair`) cuts the same string into tokens and gives the continuation those after as many
        as the prompt alone has; minicons (`conditional_score`) the same, with the mean as the default. docs/studies.md says
        where that differs.
    """
    check_kind(prompts, Prompts, TextError, "prompts: give what read_prompts returns, then scores of their text")
    check_kind(scores, TokenScores, TextError, "scores: give what score returns")
    if scores.text_sha256 != prompts.text.sha256:
        raise TextError(f"the scores are of {scores.text_name!r}, which is not the text of the prompts {prompts.text.name!r}")
    return conditional(prompts.table, prompts.text.passages, prompts.borders, scores)


def summarise_prompts(table: pd.DataFrame, *, resamples: int | None = None, seed: int = SEED) -> Summary:
    """Summarise the continuations of a table of `prompt_table`, with intervals from resampled prompts.

    Continuations of one prompt are alike, so that whole prompts are drawn. Fewer than three prompts, or ten continuations with
    a number, give no interval.

    Args:
        table: The table of one model. Continuations without a number are left out.
        resamples: Number of resamples; by default 2,000, 0 for no intervals.
        seed: Seed of the random numbers.

    Returns:
        `mean_logprob_per_continuation`, `mean_logprob_per_token` (nats), `bits_per_byte_of_continuations`, `share_all_first`.

    Raises:
        ComparisonError: `resamples` or `seed` is not possible.
    """
    known = table["logprob"].notna().to_numpy(bool)
    columns = ("logprob", "n_tokens", "surprisal_bits", "n_bytes")
    logprob, n_tokens, bits, n_bytes = (table[name].to_numpy(float) for name in columns)
    ranked = np.asarray(table["all_first"].notna(), float)
    first = np.asarray(table["all_first"].fillna(False), float)
    numbers = {
        "mean_logprob_per_continuation": Ratio("mean log-prob of a continuation", "nats", PLAIN, logprob, np.ones(len(table))),
        "mean_logprob_per_token": Ratio("mean log-prob of a continuation's token", "nats", PLAIN, logprob, n_tokens),
        "bits_per_byte_of_continuations": Ratio("bits per byte of continuations", "bits", PLAIN, bits, n_bytes),
        "share_all_first": Ratio("share of continuations that are first choices throughout", "share", WILSON, first, ranked),
    }
    prompts = [table["prompt_number"].to_numpy(np.int64)]
    return summarise(numbers, scored=known, passages=prompts, resamples=resamples, seed=seed, of_prompts=True)


def conditional(own: pd.DataFrame, passages: Sequence[str], borders: Sequence[int], scores: TokenScores) -> pd.DataFrame:
    """Return the table of `prompt_table` from its parts.

    Args:
        own: The prompts' own table.
        passages: The passages of their text.
        borders: The end of each prompt, in characters.
        scores: Scores of the text by one model.
    """
    ends = [[border, len(passage)] for border, passage in zip(borders, passages, strict=True)]
    sums = sum_units(scores, passages, ends)
    after = slice(1, None, 2)
    complete = sums.complete[after]
    logprob = np.where(complete, sums.logprob[after], np.nan)
    befores = [passage[:border] for passage, border in zip(passages, borders, strict=True)]
    afters = [passage[border:] for passage, border in zip(passages, borders, strict=True)]
    numbers = {before: number for number, before in enumerate(dict.fromkeys(befores))}
    prompt_number = np.array([numbers[before] for before in befores], np.int64)
    first_rows = np.append(sums.first_row[after], len(scores))
    stops = np.append(sums.first_row[2::2], len(scores))
    worst = np.array([_worst(scores.rank[a:b]) for a, b in zip(first_rows, stops, strict=False)])
    n_tokens = sums.n_tokens[after]
    n_bytes = np.array([len(one.encode()) for one in afters], np.int64)
    with np.errstate(invalid="ignore", divide="ignore"):
        by_rule = {"sum": logprob, "per_token": logprob / n_tokens, "per_byte": logprob / n_bytes}
    columns: dict[str, Any] = {"model": scores.spec.model, "passage": np.arange(len(borders)), "prompt_number": prompt_number}
    columns |= {name: values for name, values in ((PROMPT, befores), (CONTINUATION, afters)) if name not in own}
    columns |= {
        "n_tokens_prompt": sums.n_tokens[::2],
        "n_tokens": n_tokens,
        "n_scored": sums.n_scored[after],
        "crossings": sums.crossings[after],
        "n_bytes": n_bytes,
        "logprob": logprob,
        "mean_logprob": by_rule["per_token"],
        "logprob_per_byte": by_rule["per_byte"],
        "surprisal_bits": -logprob / math.log(2) + 0.0,  # 0 bits, not -0
        "rank_first": _whole(np.where(complete, sums.rank[after], np.nan)),
        "rank_worst": _whole(np.where(complete, worst, np.nan)),
        "all_first": pd.Series(worst == 1).where(complete & ~np.isnan(worst)).astype("boolean").array,
    }
    columns |= {f"best_by_{rule}": _best(values, prompt_number) for rule, values in by_rule.items()}
    return own.assign(**columns)


def _worst(ranks: NDArray[np.float64]) -> float:
    return float(ranks.max()) if len(ranks) else math.nan  # NaN where one is not known, as in imported scores


def _whole(values: NDArray[np.float64]) -> Any:
    return pd.array(values, dtype="Float64").astype("Int64")


def _best(values: NDArray[np.float64], prompt_number: NDArray[np.int64]) -> Any:
    """Return whether each value is the greatest of its prompt; missing where there is no value, or no other continuation."""
    frame = pd.DataFrame({"value": values, "prompt": prompt_number})
    groups = frame.groupby("prompt")["value"]
    best, others = groups.transform("max"), groups.transform("count")
    known = frame["value"].notna() & (others > 1)
    return (frame["value"] == best).where(known).astype("boolean").array
