"""Whatever a user does wrong is answered in one line that says what is wanted, and leaves nothing behind.

Each row is what is done and the whole of what is said. Messages that need more than that to come about stand with their
subject, such as those of a store that is torn.
"""

import inspect
import io
import json
import math
import re
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from conftest import Run
from folders import WEIGHTS, add_pickle, cut_short, edit_json, edit_weights, quantised, split
from hub import point_to
from matplotlib.figure import Figure
from messages import Files, Row, calls, commands, says
from PIL import Image
from tables import make_scores
from tiny_gguf import write_gguf

import tokenviz as tv
from tokenviz.base.errors import (
    ComparisonError,
    DiskError,
    ExperimentError,
    FigureError,
    ModelError,
    PaperError,
    ScoringError,
    StoreError,
    TextError,
)  # fmt: skip
from tokenviz.comparing.alignment import align
from tokenviz.comparing.comparison import pool
from tokenviz.data.spans import Span
from tokenviz.data.texts import corpus, literal, read_text
from tokenviz.figures import along_text, correlation_overview, entropy_calibration, gap_bars
from tokenviz.figures.heatmap.definition import TextHeatmap, shared_limits
from tokenviz.figures.heatmap.drawing import heatmap_pages
from tokenviz.figures.heatmap.files import FORMATS, save_heatmap
from tokenviz.figures.heatmap.measures import run_limits
from tokenviz.figures.named import Look, formats_of
from tokenviz.figures.origin import provenance_of
from tokenviz.figures.plots.matrix import model_matrix
from tokenviz.figures.report.page import texts_report_html
from tokenviz.figures.report.texts import text_entries
from tokenviz.figures.typeset.colours import colour_map
from tokenviz.figures.typeset.saving import WIDTHS, inches, points, save_figure, save_pages
from tokenviz.harness.measures import position_measure
from tokenviz.models.family import read_chapters
from tokenviz.models.loading import LoadedModel
from tokenviz.models.spec import ModelSpec, checkpoints_of, step_of
from tokenviz.models.tokens import require_fast
from tokenviz.paper.checking import check
from tokenviz.paper.manifest import Order
from tokenviz.paper.naming import macro_prefix
from tokenviz.paper.pulling import pull, redraw
from tokenviz.scoring.positions import context_logprobs, position_values
from tokenviz.scoring.predictions import keep_predictions
from tokenviz.scoring.scorer import score_to_file
from tokenviz.scoring.windows import check_windowing
from tokenviz.stats.differences import sign_flip_test
from tokenviz.stats.estimate import Estimate
from tokenviz.stats.resampling import check_resampling
from tokenviz.tracking.store import Store, open_store
from tokenviz.tracking.where import parse_where
from tokenviz.units.tidy import tidy_table
from tokenviz.units.words import words_of

EMPTY = "is empty: give at least one character to score"
BINARY = "has NUL bytes: it looks like a binary file, not a text"
NO_UNICODE = "it is no Unicode text"
COLUMN = "--column names the one with the text"
NO_TEXT = "give a file, a folder, '-' for standard input"
ITSELF = "where it is the text itself, give it with -t"
SAMPLES = "; the sample texts are correlation, passage_en"
SENTENCE = "A rose is a rose is a rose, and nothing but a rose, all the year round."
KINDS = (
    "a file ends in .txt, .md, .jsonl or .csv, with .gz or .zst after it where it is compressed, or in .parquet, or is a "
    "folder "
    "of them"
)


def parquet(table: pa.Table) -> bytes:
    file = io.BytesIO()
    pq.write_table(table, file)
    return file.getvalue()


def read(name: str, content: bytes, said: str) -> tuple[Callable[[], object], str, dict[str, bytes]]:
    """The row of a text that is read from a file; in the message, PATH is its name."""
    return lambda: read_text(name), said.replace("PATH", name), {name: content}


def picture() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (2, 2)).save(file, "png")
    return file.getvalue()


def tabulated(glass: LoadedModel, text: str = "", **how: Any) -> pd.DataFrame:
    items = tv.read_items("study.csv")
    return tidy_table(items, tv.score(glass, literal("A", name=text) if text else items.text), **how)


def doubt(logits: Any, ids: Any) -> Any:
    return logits[:, 0]


def damaged_manifests() -> Iterator[str]:
    """Manifests of which one entry is of another kind than it should be."""
    for place, changes in {
        ("order",): [{"where": 1}, {"experiment": None}],
        (): [{"runs": "x"}],
        ("files",): [
            {name: {"sha256": "0", "runs": ["r"], "made": {}}} for name in ("a\0b", "a" * 300, "../notes.txt", "/etc/hostname")
        ],
        ("files", "numbers.tex"): [{"runs": []}, {"runs": [1]}, {"made": {"stem": "x"}}, {"made": "x"}, {"sha256": 1}],
    }.items():
        for change in changes:
            entry = {"sha256": "0", "runs": ["r"], "made": {}}
            content: dict[str, Any] = {"format": 1, "order": asdict(order()), "runs": {}, "files": {"numbers.tex": entry}}
            reduce(dict.__getitem__, place, content).update(change)
            yield json.dumps(content)


TEXTS = [
    *calls(
        "texts", TextError,
        (lambda: literal(""), f"the given text {EMPTY}"),
        (lambda: literal("", name="x"), f"the text 'x' {EMPTY}"),
        (lambda: literal("ab\ud800"), f"the given text has a lone surrogate at character 2: {NO_UNICODE}"),
        (lambda: literal("ab", name="a\udcff"), rf"the name 'a\udcff' has a lone surrogate at character 1: {NO_UNICODE}"),
        (lambda: corpus(["a"], name="c", passage_ids=["\udcff.txt"]),
         rf"the name '\udcff.txt' has a lone surrogate at character 0: {NO_UNICODE}"),
        (lambda: corpus(["a", "\udfff"], name="c"), f"passage 1 of 'c' has a lone surrogate at character 0: {NO_UNICODE}"),
        (lambda: corpus(["a", "b"], name="c", passage_ids=["1"]), "1 passage ids were given for 2 passages of 'c'"),
        (lambda empty_input: read_text("-"), f"standard input {EMPTY}"),
        (lambda: read_text("nothing", samples=Path("none")), f"no text at 'nothing': {NO_TEXT}; {ITSELF}"),
        (lambda: read_text("nothing"), f"no text at 'nothing': {NO_TEXT}{SAMPLES}; {ITSELF}"),
        (lambda: read_text("nothing", samples=Path("own")),
         f"no text at 'nothing': {NO_TEXT}; the sample texts are a, b; {ITSELF}", {"own/b.txt": "b", "own/a.md": "a",
         "own/README.md": "c"}),
        (lambda: read_text("missing.txt", samples=Path("none")), f"no text at 'missing.txt': {NO_TEXT}"),  # no sentence ends so
        (lambda: read_text(SENTENCE, samples=Path("none")), f"no text at '{SENTENCE[:60]}...': {NO_TEXT}; {ITSELF}"),
        (lambda: read_text("~nobody-here/a.txt", samples=Path("none")), f"no text at '~nobody-here/a.txt': {NO_TEXT}"),
        (lambda: read_text("A sentence that is longer than any name of a file may be. " * 10),
         f"'A sentence that is longer than any name '... cannot be a file (File name too long): {ITSELF}"),
        (lambda: read_text("~\0"), rf"'~\x00'... cannot be a file (embedded null byte): {ITSELF}"),
        (lambda: read_text("empty"), "the folder 'empty' has no .txt or .md file", {"empty/a.png": b""}),
    ),
    *calls(
        "texts in files", TextError,
        read("empty.txt", b"", f"PATH {EMPTY}"),
        read("binary.txt", b"ab\0cd", f"PATH {BINARY}"),
        *(read(f"a{suffix}", data, f"PATH {BINARY}")
          for suffix in (".txt", ".csv", ".jsonl")
          for data in (b"\x7fELF\0\0\0\0", b"\0", b"a\0", b"\0" * 5000, b"ab" * 3000 + b"\0")),
        *(read(f"a{suffix}", "id,text\r\n1,Ein Käse für “alle” ohne Löcher.\r\n".encode(encoding),
               f"PATH is {name}, not UTF-8: convert it first, for instance with 'iconv -f {name} -t UTF-8'")
          for suffix in (".txt", ".csv", ".jsonl")
          for encoding in ("utf-16", "utf-16-le", "utf-16-be", "utf-32")
          for name in [encoding[:6].upper()]),
        read("latin.txt", "naïve".encode("latin-1"), "PATH is not UTF-8: byte 2 is 0xef; convert it first"),
        *(read(name, b"%PDF", f"cannot read 'PATH' as a text: {KINDS}") for name in ("paper.pdf", "table.parquet.gz", "a.zip")),
    ),
    *calls(
        "texts in tables", TextError,
        read("t.jsonl", b'{"text": "a"}\n{"text": null}\n',
             "line 2 of 'PATH' has nothing in column 'text': a passage is a string"),
        read("t.jsonl", b'{"text": "a"}\n{"text": 3}\n', "line 2 of 'PATH' has int in column 'text': a passage is a string"),
        read("t.jsonl", b'{"text": "a"}\n{"text": ["a"]}\n',
             "line 2 of 'PATH' has list in column 'text': a passage is a string"),
        read("t.jsonl", b"\n", "'PATH' is empty: it has no row"),
        read("t.csv", b"text\n", "'PATH' is empty: it has no row"),
        read("t.jsonl", b'{"text": ""}\n{"text": ""}\n',
             "the text 't' is empty: none of its 2 passages has a character to score"),
        read("t.jsonl", b'{"id": 1, "text": "a"}\n{"text": "b"}\n', "'PATH' names only 1 of its 2 passages in column 'id'"),
        read("t.jsonl", b'{"text": "a"}\n{"text": b}\n', "line 2 of 'PATH' is not JSON: Expecting value at column 10"),
        read("t.jsonl", b'["a"]\n', "line 1 of 'PATH' is not a JSON object with a column for the text"),
        read("t.jsonl", b'{"text": "\\ud800"}\n', f"line 1 of 'PATH' has a lone surrogate at character 0: {NO_UNICODE}"),
        read("t.jsonl", b'{"text": "a"}\n{"text": "b", "id": 1, "text": "c"}\n',
             "line 2 of 'PATH' has two keys 'text': which one is meant?"),
        read("t.csv", b"id,text\n1,a\n2,b,c\n", "row 2 of 'PATH' has more cells than the header has columns"),
        read("t.csv", b'text\na\n"b"c\n', """'PATH' is not CSV after row 1: ',' expected after '"'"""),
        read("t.csv", b"text,text\na,b\n", "'PATH' has two columns 'text': which one is meant?"),
        read("t.csv", b"id,text\nx,a\nx,b\n", "the passage id 'x' of 't' is given twice: an id names one passage"),
        read("t.jsonl", b"[" * 3000, "line 1 of 'PATH' cannot be read: maximum recursion depth exceeded…"),
        read("t.jsonl", b"9" * 5000, "line 1 of 'PATH' cannot be read: Exceeds the limit (4300 digits)…"),
        *(read(f"t{suffix}", content, f"{where} of 'PATH' has no column 'text': it has 'id', '{name}'; {COLUMN}{end}")
          for name, end in [("body", ""), *((near, f"; did you mean {near!r}?") for near in ("Text", " text", "TEXT", "texts"))]
          for suffix, where, content in [
              (".jsonl", "line 1", f'{{"id": "1", "{name}": "x"}}\n'.encode()), (".csv", "row 1", f"id,{name}\n1,x\n".encode()),
              (".parquet", "row 0", parquet(pa.table({"id": ["1"], name: ["x"]}))),
          ]),
        read("t.parquet", b"PAR1 and no more", "'PATH' is not a Parquet file: …"),
        *(read("t.parquet", parquet(pa.table({"text": ["a"], name: pa.array([2**40], pa.timestamp("s"))})),
               "'PATH' has a value that cannot be read: …") for name in ("text", "id")),
        read("t.parquet", parquet(pa.Table.from_arrays([pa.array(["a"]), pa.array(["b"])], names=["text", "text"])),
             "'PATH' has two columns 'text': which one is meant?"),
    ),
]  # fmt: skip

KNOWN = "(smollm2-135m, gemma3-270m, glass-en, family-small, family-large)"
MODELS_ARE = (
    f"give a catalogue name {KNOWN}, a folder with safetensors, a .gguf file, or a hub id such as 'gpt2' or 'owner/model'"
)
ALLOWED = "dtype=float64|float32|bfloat16|float16; quantize=q8_0|q5_1|q5_0|q4_1|q4_0; device=auto|cpu|cuda|mps"
NO_BOS = "bos 'always': the tokenizer of 'glass-en' has no BOS token; use 'auto' or 'never', or name a token of its vocabulary"
NO_SUCH_TOKEN = "has no such token; use 'auto', 'always', 'never' or the string of a token of its vocabulary"

MODELS = [
    *calls(
        "model specs", ModelError,
        *((lambda spec=spec: ModelSpec.parse(spec), said) for spec, said in (
            ("", "the model spec '' names no model: write NAME[@REVISION][,OPTION=VALUE]..."),
            (",dtype=float32", "the model spec ',dtype=float32' names no model: write NAME[@REVISION][,OPTION=VALUE]..."),
            ("m\udcff", r"the model spec 'm\udcff' holds what is no Unicode text: rename the folder or file"),
            ("~\0", r"the model spec '~\x00' holds what is no Unicode text: rename the folder or file"),
            ("m,colour=red", f"unknown option 'colour=red' in the model spec 'm,colour=red': {ALLOWED}"),
            ("m,n", f"unknown option 'n' in the model spec 'm,n': {ALLOWED}; several models are given one by one"),
            ("m,dtype", f"unknown option 'dtype' in the model spec 'm,dtype': {ALLOWED}"),
            ("m,", f"unknown option '' in the model spec 'm,': {ALLOWED}"),
            ("m,dtype=int8", "dtype 'int8' in the model spec 'm,dtype=int8' is none of float64, float32, bfloat16, float16"),
            ("m,quantize=q4_k", "quantize 'q4_k' in the model spec 'm,quantize=q4_k' is none of q8_0, q5_1, q5_0, q4_1, q4_0"),
            ("m,device=tpu", "device 'tpu' in the model spec 'm,device=tpu' is none of auto, cpu, cuda, mps"),
            ("m,device=cpu,device=cpu", "device is given twice in the model spec 'm,device=cpu,device=cpu'"),
        )),
        *((lambda name=name: step_of(name),
           f"no training step can be read in {name!r}: a checkpoint is called 'step1000', 'checkpoint-500' or '1000'")
          for name in ("main", "step", "step1000k", "v2", "final", "footstep3", "step٣", "²", "")),
        (lambda: step_of("step1-checkpoint-2"),
         "more than one training step is named in 'step1-checkpoint-2': a checkpoint is called 'step1000', 'checkpoint-500' "
         "or '1000'"),
        *((lambda model=model, revisions=revisions: checkpoints_of(model, revisions), said) for model, revisions, said in (
            ("owner/model", ["step1", "1"], "the step 1 is given twice for 'owner/model', as 'step1' and as '1'"),
            ("owner/model", ["step1", "main"],
             "no training step can be read in 'main': a checkpoint is called 'step1000', 'checkpoint-500' or '1000'"),
            ("owner/model", ["step1"], "'owner/model' has 1 checkpoint: a course of training has at least 2"),
            ("owner/model", [], "'owner/model' is no folder of checkpoints: name its revisions, such as step1000,step2000"),
            ("owner/model@step1", [],
             "'owner/model@step1' is one revision: give the model without it, and the revisions by themselves"),
            ("glass-en", [], "'glass-en' is no folder of checkpoints: name its revisions, such as step1000,step2000"),
        )),
    ),
    *calls(
        "models", ModelError,
        (lambda: tv.score(7, "Alice."), "a int is no model: give what load_model returns, or a model spec such as 'gpt2'"),
        (lambda: tv.load_model("./nothing/here"), f"no model at './nothing/here': {MODELS_ARE}"),
        (lambda: tv.load_model("~nobody-here/model"), f"no model at '~nobody-here/model': {MODELS_ARE}"),
        *((lambda name=name: tv.load_model(name), f"no model {name!r} on the hub: {MODELS_ARE}") for name in ("-1", "a--b",
         "x" * 120)),
        (lambda: tv.load_model("glass-en,quantize=q4_0"),
         "quantize=q4_0: the rows of model.layers.0.mlp.down_proj have 341 weights, not a multiple of 32"),
        (lambda: tv.load_model("model.gguf"),
         "'model.gguf' is not a GGUF file: it does not begin with 'GGUF'", {"model.gguf": b"PK\3\4 else"}),
        (lambda: tv.load_model("model.gguf"),
         "'model.gguf' is not a GGUF file: it does not begin with 'GGUF'", {"model.gguf": b""}),
        (lambda: require_fast(object(), "m"),
         "the tokenizer of 'm' (object) reports no character offsets; save it as a fast tokenizer (a tokenizer.json) next to "
         "the weights"),
        *((lambda source=source: read_chapters(source),
           "the source holds no Bible as pythonbible's packages have it: a text and where its verses begin")
          for source in ("", "x = 1", "f(1, 2, 3)", "f(1, g(), {})", "f(1, 'text', [1])")),
    ),
    *commands(
        "models", "score -t x -m", 1,
        ("''", "the model spec '' names no model: write NAME[@REVISION][,OPTION=VALUE]..."),
        ("glass-en,dtype=float8",
         "dtype 'float8' in the model spec 'glass-en,dtype=float8' is none of float64, float32, bfloat16, float16"),
        ("glass-en,speed=fast", f"unknown option 'speed=fast' in the model spec 'glass-en,speed=fast': {ALLOWED}"),
        ("x" * 300, f"no model at {'x' * 40!r}... (File name too long): {MODELS_ARE}"),
        ("glass-en@main", "'glass-en' is a catalogue model, which has no revisions: leave out @main"),
        ("./nowhere", f"no model at './nowhere': {MODELS_ARE}"),
        ("folder", "the folder 'folder' holds no model: it has no config.json", {"folder/a.txt": ""}),
        ("broken.gguf", "'broken.gguf' is not a GGUF file: it does not begin with 'GGUF'", {"broken.gguf": "nothing"}),
    ),
    *commands(
        "models", "models", 1,
        ("pull gpt2",
         "'gpt2' is not in the catalogue: it has smollm2-135m, gemma3-270m, glass-en, family-small, family-large; other "
         "models are used by hub id or path"),
        ("make family-smal",
         "'family-smal' is none of the models that are made here, family-small and family-large; tokenviz models pull "
         "fetches others; did you mean 'family-small' or 'family-large'?"),
        ("make family-small --to mine",
         "'mine/family-small' is there already: take another folder, or remove it first", {"mine/family-small/a": ""}),
        ("make family-small --seed 3",
         "--seed and --steps make other models than those of the catalogue: give a folder for them, --to FOLDER"),
    ),
]  # fmt: skip

THERE = "is there already: remove it, or choose another name"

SCORES = [
    *calls(
        "scores", ScoringError,
        (lambda bigram: tv.score(bigram, "ab", top_k=-1),
         "top-k -1 is not possible: take the number of alternatives to keep, 0 for none"),
        (lambda glass: tv.score(glass, "ab", bos="always"), NO_BOS),
        (lambda glass: tv.score(glass, "ab", context=1),
         "context 1 is not possible: take at least 2 tokens, the predicted one included"),
        (lambda glass: tv.score(glass, "ab", context=129),
         "context 129 is not possible: this model takes 2 to 128 tokens, the predicted one included"),
        (lambda glass: tv.score(glass, "ab", context=10, stride=10), "stride 10 is not possible with context 10: take 1 to 9"),
        (lambda glass: tv.score(glass, "ab", stride=128),
         "stride 128 is not possible with context 128: take 1 to 127, so that every token "
         "has a token or a BOS before it in its window"),
        (lambda glass: tv.score(glass, "A b", context=10.5), "context 10.5 is not possible: take a whole number"),
        (lambda glass: tv.score(glass, "A b", stride="5"), "stride '5' is not possible: take a whole number"),
        (lambda glass: tv.score(glass, "A b", top_k=2.5), "top-k 2.5 is not possible: take a whole number"),
        (lambda glass: tv.score(glass, "A b", bos=True),
         "bos True is not possible: take 'auto', 'always', 'never' or a token by its string"),
        *((lambda given=(context, n_prefix): check_windowing(context=given[0], stride=None, limit=128, n_prefix=given[1]),
           f"context {context} is not possible: this model takes {smallest} to 128 tokens, the predicted one included")
          for context, n_prefix, smallest in ((1, 0, 2), (0, 0, 2), (-3, 1, 2), (129, 0, 2), (129, 1, 2), (3, 2, 4))),
        *((lambda given=(stride, n_prefix): check_windowing(context=10, stride=given[0], limit=128, n_prefix=given[1]),
           f"stride {stride} is not possible with context 10: take 1 to {largest}, so that every token has a token or a BOS "
           f"before it in "
           "its window")
          for stride, n_prefix, largest in ((0, 0, 9), (10, 0, 9), (-1, 1, 9), (10, 1, 9), (9, 2, 8))),
        *((lambda glass, seen=seen: context_logprobs(glass, "Alice was beginning.", seen),
           f"{given} tokens before the predicted one are not possible: give numbers from 1 to 127 for this model, each "
           f"greater than the one before")
          for seen, given in (([], "nothing"), ([0, 1], "0, 1"), ([2, 1], "2, 1"), ([1, 1], "1, 1"), ([1, 128], "1, 128"),
                              ([-1], "-1"))),
        (lambda bigram: tv.watch(bigram, "abc", []),
         "[] is no list of candidates: give at least one string, such as [' Yes', ' No']"),
        (lambda bigram: tv.watch(bigram, "abc", " Yes"),
         "' Yes' is no list of candidates: give at least one string, such as [' Yes', ' No']"),
        (lambda bigram: tv.watch(bigram, "abc", ["a", ""]),
         "a candidate is empty: give at least one character, with the space that it begins with"),
        (lambda bigram: tv.watch(bigram, "abc", ["a", "b", "a"]), "the candidate 'a' is given twice"),
        (lambda bigram: tv.watch(bigram, "abc", ["a"], at="start"),
         "candidates at 'start' are not possible: take 'every' or 'end'"),
        (lambda bigram: tv.watch(bigram, "abc", ["abcabcab"], context=8),
         "a candidate has 8 tokens, which leave no room in a context of 8"),
        (lambda glass: tv.watch(glass, "abc", ["中"]), "the tokenizer of 'glass-en' has no tokens for the candidate '中'"),
        (lambda glass: keep_predictions(glass, literal("a", name="one"), Path("kept")),
         "no token of 'one' has a prediction by 'glass-en': there is nothing to keep"),
        (lambda: replace(make_scores([["a", "b"]]), token=("x",)),
         "the columns of one table differ in length: {'passage': 2, 'position': 2, 'token_id': 2, 'token': 1, …}"),
        (lambda: tv.TokenScores.load(Path("t.parquet")), "'t.parquet' is not a token table: …"),
        (lambda: tv.TokenScores.load(Path("t.parquet")),
         "'t.parquet' is not a token table: …", {"t.parquet": "not a table at all"}),
        (lambda: tv.TokenScores.load(Path("t.parquet")),
         "'t.parquet' is a Parquet file, but not a token table written by tokenviz",
         {"t.parquet": parquet(pa.table({"token": ["a"]}))}),
    ),
    *calls(
        "scores", TextError,
        (lambda glass: tv.score(glass, ["Alice."]), "a list is no text: give a string, or what read_text and literal return"),
        *((lambda glass, reader=reader, name=name: reader(glass, name),
           f"{name!r} is the name of {what}: give read_text({name!r}) for it, or literal({name!r}) for the word itself",
           {"mine.txt": "A rose."})
          for reader in (
              tv.score, lambda glass, text: tv.divergences(glass, glass, text),
              lambda glass, text: context_logprobs(glass, text, [1]),
              lambda glass, text: position_values(glass, text, lambda logits, ids: logits[:, 0]),
              lambda glass, text: keep_predictions(glass, text, Path("kept")),
          )
          for name, what in (("correlation", "a sample text"), ("mine.txt", "a file"))),
        (lambda glass: tv.span_table(tv.score(glass, tv.literal("abc", name="x"))),
         "'x' has no spans: give it some with with_spans, or name the column that holds them (--spans)"),
    ),
    *calls(
        "scores", DiskError,
        (lambda: make_scores([["a"]]).save(Path("missing/t.parquet")), "cannot write 'missing/t.parquet': …"),
        (lambda bigram: score_to_file(bigram, tv.literal("abcd"), Path("t.parquet")),
         "'t.parquet' is there already: remove it, or choose another name", {"t.parquet": "something else"}),
        (lambda bigram: score_to_file(bigram, tv.literal("abcd"), Path("missing/t.parquet")),
         "cannot write 'missing/t.parquet': there is no folder 'missing'"),
        (lambda glass: keep_predictions(glass, "Alice was", Path("experiments")),
         "'experiments' is there already: give a folder that is not, for the predictions to be kept in"),
        (lambda glass: keep_predictions(glass, "Alice was", Path("no/kept")),
         "'no' is no folder: make it first, and the predictions are kept in a new one in it"),
    ),
    *commands(
        "tokenviz score", "score -m glass-en", 1,
        ("-t ''", f"the given text {EMPTY}"),
        ("missing.txt", f"no text at 'missing.txt': {NO_TEXT}{SAMPLES}"),
        ("binary.txt", f"binary.txt {BINARY}", {"binary.txt": b"\x7fELF\0\0"}),
        ("latin1.txt", "latin1.txt is not UTF-8: byte 3 is 0xe9; convert it first", {"latin1.txt": "café".encode("latin-1")}),
        ("empty.txt", f"empty.txt {EMPTY}", {"empty.txt": ""}),
        ("picture.png", f"cannot read 'picture.png' as a text: {KINDS}", {"picture.png": b"\x89PNG"}),
        ("rows.csv", f"row 1 of 'rows.csv' has no column 'text': it has 'a', 'b'; {COLUMN}", {"rows.csv": "a,b\n1,2\n"}),
        ("-t x --context 1", "context 1 is not possible: take at least 2 tokens, the predicted one included"),
        ("-t x --context -5", "context -5 is not possible: take at least 2 tokens, the predicted one included"),
        ("-t x --context 129", "context 129 is not possible: this model takes 2 to 128 tokens, the predicted one included"),
        ("-t x --context 8 --stride 9", "stride 9 is not possible with context 8: take 1 to 7"),
        ("-t x --stride 0", "stride 0 is not possible: take at least 1 token"),
        ("-t x --top-k 1025 --json", "top-k 1025 is not possible: 'glass-en' has a vocabulary of 1,024"),
        ("-t x --bos always", NO_BOS),
        ("-t x --bos maybe", f"bos 'maybe': the tokenizer of 'glass-en' {NO_SUCH_TOKEN}; its special tokens are '<unk>'"),
        ("-t x --parquet missing/t.parquet", "cannot write 'missing/t.parquet': there is no folder 'missing'"),
        ("-t x --parquet .", "cannot write '.', which is a folder: name a file"),
        (f"'{'A sentence, and --text forgotten. ' * 10}'",
         f"'A sentence, and --text forgotten. A sent'... cannot be a file (File name too long): {ITSELF}"),
        ("-t x --measure perplexity",
         "no measure 'perplexity': there are logprob, surprisal_bits, probability, rank_bucket, entropy"),
    ),
    *commands(
        "tokenviz score", "score -m glass-en", 2,
        ("", "give at least one file, --text STRING, or - for standard input"),
        ("-t x --top-k 0", "Invalid value for '--top-k': Input should be greater than or equal to 1"),
        ("-t x --json --csv", "choose one of --json, --csv and --parquet"),
        ("-t x --json --parquet t.parquet", "choose one of --json, --csv and --parquet"),
        ("-t x --top-k 3", "--top-k needs --json, --csv or --parquet: the coloured text has no room for alternatives"),
        ("-t x --by word", "--by word needs --json or --csv"),
        ("-t x --by word --parquet t.parquet", "--by word needs --json or --csv"),
        ("-t x --by word --json --top-k 2", "--top-k needs --by token: alternatives are of tokens"),
        ("-t x --csv --punctuation apart", "--punctuation apart needs --by word: tokens are what they are"),
        ("-t x --by syllable --json",
         "Invalid value for '--by': Value error, 'syllable' is not one of 'token', 'word', 'span', 'passage', 'continuation'."),
        ("-t x --slim", "--slim needs --parquet: it is about the file"),
        ("-t x -t y --parquet t.parquet", "--parquet takes one text, and 2 were given: one file holds one table"),
        ("-t x --column y", "columns are of tables, and none is given: leave out --column"),
        ("-t x --spans y", "columns are of tables, and none is given: leave out --spans"),
        ("a.txt --column y", "columns are of tables, and none is given: leave out --column", {"a.txt": "a"}),
        ("-t x --measure difference", "--measure difference is of two models: one model's are the others"),
        ("-t x --measure entropy --json",
         "--measure is for the coloured text: leave out --json, --csv and --parquet, which hold all values"),
        ("--prompt a", "--prompt and --continuation belong together: give both"),
        ("--continuation a", "--prompt and --continuation belong together: give both"),
        ("--by continuation", "--by continuation needs tables of prompts, or --prompt and --continuation"),
        ("t.csv --prompt a --continuation b", "give tables of prompts, or --prompt with --continuation, not both"),
        ("-t x --prompt a --continuation b",
         "--text is a text of its own: give --prompt and --continuation, or a table of both"),
        ("--prompt a --continuation b --by word --csv", "--prompt and --continuation are scored by continuation, not by word"),
        *((f"t.csv --by continuation {line}", f"continuations have a table of their own: leave out {line.split()[0]}")
          for line in ("--top-k 3 --json", "--watch Yes", "--watch-at end", "--chat", "--column x", "--measure entropy",
          "--limits text",
                       "--spans x", "--parquet x.parquet")),
        *((f"--prompt a --continuation b {line}", f"--prompt and --continuation are no table: leave out {line.split()[0]}")
          for line in ("--prompt-column x", "--continuation-column x", "--skip-bad")),
        *((f"t.csv {option} x", f"columns of prompts and continuations are read with --by continuation: leave out {option}")
          for option in ("--prompt-column", "--continuation-column")),
        ("t.csv --by continuation --punctuation apart", "--punctuation apart needs --by word: tokens are what they are"),
        ("-t x --skip-bad",
         "--skip-bad needs --by passage or continuation, --spans or --chat: rows of other tables are refused"),
        *((f"{table} --by passage", "--by passage takes one .csv, .tsv, .jsonl or .parquet table, whose rows are the passages")
          for table in ("-t x", "a.csv a.csv")),
        *((f"a.csv --by passage {line}", f"--by passage adds a model's numbers to a table: leave out {line.split()[0]}")
          for line in ("--top-k 3 --json", "--measure entropy", "--limits text", "--spans x", "--watch x", "--watch-at end",
          "--chat")),
        files={"a.csv": "text\nx\n"},
    ),
    *commands(
        "what is missing is told before the work", "", 1,
        *((f"{line} -m nope/ --parquet missing/t.parquet", "cannot write 'missing/t.parquet': there is no folder 'missing'")
          for line in ("score -t x", "score rows.csv --by passage", "import-scores rows.jsonl")),
        ("report -m glass-en -t x --to r.txt", "a report is an HTML page, and 'r.txt' does not end in .html: name it so"),
        ("report -m glass-en -t x --to missing/r.html", "cannot write 'missing/r.html': there is no folder 'missing'"),
    ),
    *commands(
        "a file that is there stays", "", 1,
        *((f"{line} -m nope/ --parquet t.parquet", f"'t.parquet' {THERE}", {"t.parquet": "mine"})
          for line in ("score -t x", "score rows.csv --by passage", "import-scores rows.jsonl", "items rows.csv")),
        ("report -m glass-en -t x --to r.html",
         "'r.html' is there already, and is no report: remove it, or choose another name with --to", {"r.html": "<p>mine</p>"}),
    ),
    *commands(
        "a file that is there stays", "runs fetch", 1,
        ("RUN0 figures/heatmap.html --to mine.html",
         "'mine.html' is there already, and is another file: remove it, or choose another name", {"mine.html": "mine"}),
        given=("runs",),
    ),
]  # fmt: skip

NAN = math.nan
PLOTS = "heatmap, segments, difference, scatter, along_text, gaps, calibration"
MEASURES = "logprob, surprisal_bits, probability, rank_bucket, entropy"
NO_SCORES = "is not scores: give the scores of one model or more, or a comparison"
NOTHING = "there is nothing to show: give the scores of at least one model"
ONE_TEXT = "one figure shows one text: give scores of the same text"
NO_LIMITS = (
    "give two numbers, the lower one first, such as -12,0; or text, shared, or a percentile below p50 such as p1 (from the 1st "
    "to the 99th)"
)
TWO = "what compare returns, for two models' scores"
ENDINGS = "give a file that ends in one of .png, .svg, .pdf, .html, .tex, -document.tex, .ansi"
NOT_OURS = (
    "says nothing of where it comes from: tokenviz did not write it, or another program rewrote it and left that out; give a "
    "PNG, SVG, PDF, HTML or LaTeX file of tokenviz"
)


def table(model: str = "model-a", text: str = "A b c d", **about: str) -> tv.TokenScores:
    return make_scores([[text[0], *(text[place : place + 2] for place in range(1, len(text), 2))]], model=model, **about)


def heatmap() -> TextHeatmap:
    return tv.text_heatmap(table())


FIGURES = [
    *calls(
        "one thing for another", TextError,
        (lambda: tv.span_table("abc"), "a str is not scores: give what score returns"),
        *((lambda table=table: table(make_scores([["A", " b"]]), None),
           f"a TokenScores is not {what}: give what {source} returns, then scores of their text")
          for table, what, source in (
              (tv.tidy_table, "the items of a study", "read_items"), (tv.pair_table, "minimal pairs", "read_pairs"),
              (tv.prompt_table, "prompts", "read_prompts"),
          )),
        (lambda: tv.prompt_table(tv.continuations("A", [" b"]), " b"), "a str is not scores: give what score returns"),
        (lambda: tv.read_reading_times("times.csv"),
         "a str is not the items of a study: give what read_items returns, then the table of times"),
        (lambda: tv.continuations("a", 5), "a int is not a list of continuations: give their strings in one"),
        (lambda: tv.corpus(5, name="x"), "a int is not the passages of 'x': give a list of strings"),
    ),
    *calls(
        "one thing for another", ComparisonError,
        (lambda: tv.words("abc"), "a str is not scores: give what score returns"),
        *((lambda given=given: tv.information(given), f"a {kind} is not scores: give what score returns, or a list of such")
          for given, kind in ((["abc"], "str"), (tv.literal("abc"), "Text"))),
    ),
    *calls(
        "one thing for another", FigureError,
        (lambda: tv.text_heatmap(make_scores([["A", " b"]]), measure=5),
         "a int is not a measure: give the name of one, such as 'entropy', or your own TokenMeasure"),
        *((lambda draw=draw: draw(make_scores([["A", " b"]])),
           f"a TokenScores is not a comparison: give {what}")
          for draw, what in (
              (tv.unity_scatter, TWO), (gap_bars, TWO), (correlation_overview, "a list of what compare returns"),
          )),
        (lambda: along_text("abc"), f"a str {NO_SCORES}"),
        (lambda: entropy_calibration("abc"), "a str is not scores: give what score returns, or a list of such"),
    ),
    *calls(
        "one thing for another", ModelError,
        (lambda: tv.chat_text(5, []), "a int is no model: give what load_model returns, or a model spec such as 'gpt2'"),
    ),
    *calls(
        "what a heatmap shows", FigureError,
        *((lambda written=written: tv.text_heatmap(table(), limits=written), f"no limits {written!r}: {NO_LIMITS}")
          for written in ("", "auto", "-12", "-12 0", "-12,0,3", "p50", "p99", "p100", "p5,p5", "p9,p2", "1p", "nan,0", "Text",
          "p-1", 3,
                          [1, 2, 3], ("a", "b"))),
        (lambda: tv.text_heatmap(table(), limits="shared"),
         "shared limits are of several texts, and this figure shows one: give those that shared_limits finds for all of them, "
         "or two "
         "numbers; 'tokenviz pull' and 'tokenviz score' share them among their texts"),
        (lambda: run_limits("shared"),
         "limits cannot be shared among runs, each of which is drawn before the next is scored: give two numbers, or take "
         "'tokenviz pull EXPERIMENT --limits shared --to FOLDER'"),
        *((lambda how=(measure, limits): tv.text_heatmap([table(), table("b")], measure=how[0], limits=how[1]), said)
          for measure, limits, said in (
              ("logprob", (0.0, -12.0), "limits 0 to -12 are the wrong way round: give the lower one first"),
              ("logprob", (-3.0, -3.0), "limits -3 to -3 hold no range: give the lower one first"),
              ("logprob", (NAN, 0.0), "limits nan to 0 are not possible: give two numbers, the lower one first"),
              ("logprob", (-math.inf, 0.0), "limits -inf to 0 are not possible: give two numbers, the lower one first"),
              ("difference", (-3.0, 5.0),
               "limits -3 to 5 do not have 0 in the middle, as those of a difference in log-prob must: give -5 and 5"),
              ("rank_bucket", (1.0, 5.0),
               "the measure 'rank_bucket' has fixed classes (1, 2–10, 11–100, 101–1000, above 1000) and takes no limits"),
          )),
        *((lambda take=take, count=count: take([table(), table("b"), table("c")][:count], measure="perplexity"),
           f"no measure 'perplexity': there are {MEASURES}{', difference' * (count == 2)}")
          for take in (tv.text_heatmap, lambda source, *, measure: shared_limits([source, source], measure=measure))
          for count in (1, 2, 3)),
        *((lambda take=take: take(table(), measure="perplexity"), f"no measure 'perplexity': there are {MEASURES}")
          for take in (tv.text_heatmap, lambda source, *, measure: shared_limits([source, source], measure=measure))),
        (lambda: tv.text_heatmap(table(), measure="difference"),
         "the measure 'difference' is of two models, and 1 table was given: give a comparison, or two tables of one text"),
        (lambda: tv.text_heatmap([table()] * 3, measure="difference"),
         "the measure 'difference' is of two models, and 3 tables were given: give a comparison, or two tables of one text"),
        (lambda: tv.text_heatmap([]), NOTHING),
        (lambda: tv.text_heatmap(None), f"a NoneType {NO_SCORES}"),
        (lambda: tv.text_heatmap("A b"), f"a str {NO_SCORES}"),
        (lambda: tv.text_heatmap(table(), by="word"), "by 'word' is not possible: take 'token' or 'segment'"),
        (lambda: tv.text_heatmap([table(tokenizer="1"), table("b", "A b c d", tokenizer="2")], by="segment", measure="entropy"),
         "the measure 'entropy' of a segment is not the sum of its tokens': take one of logprob, surprisal_bits"),
        (lambda: colour_map("jet", diverging=False),
         "no colour map 'jet': there are viridis, cividis, magma, greys, rdbu, brbg"),
        (lambda: tv.text_heatmap(table(), colours="jet"),
         "no colour map 'jet': there are viridis, cividis, magma, greys, rdbu, brbg"),
        (lambda: colour_map("rdbu", diverging=False),
         "the colour map 'rdbu' does not fit: values of one direction need a sequential map, "
         "viridis or cividis or magma or greys"),
        (lambda: colour_map("greys", diverging=True),
         "the colour map 'greys' does not fit: values on both sides of zero need a diverging map, rdbu or brbg"),
        (lambda: model_matrix({}, title="r"), "a matrix needs at least one pair of models: compare some first"),
        (lambda: model_matrix({("a", "b"): Estimate(0.9, 100)}, title="r", colours="rdbu"),
         "the colour map 'rdbu' does not fit: values of one direction need a sequential map, viridis or cividis or magma or "
         "greys"),
    ),
    *calls(
        "how a figure is saved", FigureError,
        *((lambda width=width: inches(width),
         f"no width {width!r}: give inches, a length such as 3.3in, 8.4cm, 84mm or 240pt, or one of "
           f"{', '.join(WIDTHS)}") for width in ("wide", "acl-column", "3.3 inches", "-3in", "1e1in", "", "in")),
        *((lambda width=width: inches(width), f"a width of {width!r} is not possible: take 1.5 to 40 inches")
          for width in (0.0, -3.0, 1.0, 1000.0, NAN, math.inf, "1cm", "1000cm")),
        *((lambda size=size: points(size), f"a font size of {size:g} points is not possible: take 4 to 48")
          for size in (0.0, 3.9, 49.0, NAN, math.inf)),
        *((lambda how=how: save_heatmap(table(), Path("x"), **({"formats": FORMATS} | how)), said) for how, said in (
            ({"formats": ["gif"]}, "no format 'gif': there are png, svg, pdf, html, tex, tex-document, ansi"),
            ({"measure": "nonsense"}, f"no measure 'nonsense': there are {MEASURES}"),
            ({"limits": (0, -1)}, "limits 0 to -1 are the wrong way round: give the lower one first"),
            ({"colours": "jet"}, "no colour map 'jet': there are viridis, cividis, magma, greys, rdbu, brbg"),
            ({"width": "wide"},
             "no width 'wide': give inches, a length such as 3.3in, 8.4cm, 84mm or 240pt, or one of acl, acl-text, neurips, "
             "iclr, colm, icml, icml-text, aistats, aistats-text, aaai, aaai-text, cvpr, cvpr-text, acm, acm-text, ieee, "
             "ieee-text, lncs, jmlr, tmlr, nature, nature-text, pnas, pnas-text, elsevier, elsevier-text"),
            ({"font_size": 0.0}, "a font size of 0 points is not possible: take 4 to 48"),
        )),
        *((lambda name=name: heatmap().save("first.png", name), f"a heatmap cannot be saved as {name!r}: {ENDINGS}")
          for name in ("heatmap", "heatmap.jpg", "heatmap.PNG", ".png")),
        (lambda: heatmap().save(), "no file is given: give one such as 'heatmap.png'"),
        (lambda: save_heatmap(heatmap(), Path("a"), measure="entropy"),
         "the heatmap has its measure, limits, colours and pieces already: give them to text_heatmap"),
        (lambda: save_figure(Figure((2, 2))), "no file is given: give one such as 'figure.png'"),
        (lambda: save_figure(Figure((2, 2)), "a.png", "a.jpg"),
         "a figure cannot be saved as 'a.jpg': give a file that ends in one of .png, .svg, .pdf"),
        (lambda: formats_of("plot"), f"no figure 'plot': there are {PLOTS}"),
        (lambda: tv.save_report(None, "r.html"), f"a NoneType {NO_SCORES}"),
        (lambda: tv.save_report([], "r.html"), NOTHING),
        (lambda: tv.save_report([table()], "r.pdf"), "a report is an HTML page, and 'r.pdf' does not end in .html: name it so"),
        (lambda: texts_report_html([], title="x"), "there is nothing to show: give the scores of at least one text"),
        (lambda: text_entries([table("a", name="x"), table("b", name="x"), table("a", name="x")]),
         "'x' was read twice by 'a': a report shows a text once"),
        (lambda: text_entries([table("a", name="x"), table("b", name="x"), table("b", "z", name="y")]),
         "a report of several texts shows the same models on each: 'y' was read by b, and all by a, b"),
        *((lambda limits=limits, width=width: Order(experiment="trial", **{limits: width}), said) for limits, width, said in (
            ("width", "wide",
             "no width 'wide': give inches, a length such as 3.3in, 8.4cm, 84mm or 240pt, or one of acl, acl-text, neurips, "
             "iclr, colm, icml, icml-text, aistats, aistats-text, aaai, aaai-text, cvpr, cvpr-text, acm, acm-text, ieee, "
             "ieee-text, lncs, jmlr, tmlr, nature, nature-text, pnas, pnas-text, elsevier, elsevier-text"),
            ("colours", "jet", "no colour map 'jet': there are viridis, cividis, magma, greys, rdbu, brbg"),
        )),
    ),
    *calls(
        "how a figure is saved", ComparisonError,
        *((lambda take=take: take([table(text="one"), table(text="two")]), ONE_TEXT) for take in (
            tv.text_heatmap, lambda both: save_heatmap(both, Path("x")), lambda both: tv.save_report(both, "r.html"))),
    ),
    *calls(
        "how a figure is saved", DiskError,
        (lambda: save_heatmap(table(), Path("missing/x")), "cannot write the figure 'missing/x': No such file or directory"),
        (lambda: save_heatmap(table(), Path("file/x")), "cannot write the figure 'file/x': Not a directory", {"file": ""}),
        *((lambda form=form: save_pages(heatmap_pages(heatmap()), Path("missing/x"), formats=[form], title="", description=""),
           "cannot write the figure 'missing/x': No such file or directory") for form in ("png", "svg", "pdf")),
        (lambda: save_pages(heatmap_pages(heatmap()), Path("file/x"), title="", description=""),
         "cannot write the figure 'file/x': Not a directory", {"file": ""}),
        (lambda: tv.save_report([table()], "missing/r.html"), "cannot write 'missing/r.html': there is no folder 'missing'"),
        (lambda: provenance_of(Path("missing.pdf")), "cannot read 'missing.pdf': No such file or directory"),
        (lambda: provenance_of(Path("experiments")), "cannot read 'experiments': Is a directory"),
    ),
    *calls(
        "where a file comes from", PaperError,
        *((lambda name=name: provenance_of(Path(name)), f"{name!r} {NOT_OURS}", {name: content}) for name, content in {
            "page.html": b"<!doctype html><meta name=description content='a page'><p>",
            "meta.html": b"<!doctype html><meta name=description content='[1, 2]'><p>",
            "drawing.svg": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
            "broken.svg": b"<svg",
            "broken.png": b"\x89PNG\r\n\x1a\n and no more",
            "picture.png": picture(),
            "paper.pdf": b"%PDF-1.4\n1 0 obj << /Subject (A paper) >> endobj",
            "paper.tex": b"% {\"a\": comment}\n\\documentclass{article}",
            "other.tex": b"% {\"a\": 1}\n",
            "wrong.tex": b'% {"experiment": "x", "runs": [1]}\n',
            "wrong_settings.tex": b'% {"experiment": "x", "spec": {"versions": 3, "model": "m"}}\n',
            "deep.tex": b"% {\"a\": " + b"[" * 3000 + b"}\n",
            "noise.bin": bytes(range(256)) * 20,
            "empty": b"",
        }.items()),
    ),
    *commands("where a file comes from", "trace", 1, ("notes.txt", f"'notes.txt' {NOT_OURS}", {"notes.txt": "hello"})),
    *commands(
        "tokenviz report", "report -m glass-en", 2,
        ("", "give at least one file, --text STRING, or - for standard input"),
        ("--by pair pairs.csv pairs.csv", "--by pair takes one table, and nothing else"),
        ("--by item -t A", "--by item takes one table, and nothing else"),
        ("-t 'A b' -t 'A b'", "the text 'text-a760b0e1' is given twice: give it once"),
        ("-m glass-en -t 'A b'", "the model 'glass-en' is given twice: give it once"),
        ("--by pair pairs.csv --column x", "with --by pair the table says what its parts are: leave out --column"),
        files={"pairs.csv": "good,bad\nA cat.,A cats.\n"},
    ),
]  # fmt: skip

NOT_TEXT_OF = "the scores are of 'x', which is not the text of the"
SKIP = "; --skip-bad leaves such rows out"
RESULTS_NEED = "has a name that the results need: call it something else"


def of_table(read_table: Callable[..., object], content: str, said: str, **options: Any) -> tuple[Any, ...]:
    return lambda: read_table("t.csv", **options), said.replace("PATH", "t.csv"), {"t.csv": content}


STUDIES = [
    *calls(
        "items", TextError,
        of_table(tv.read_items, "item,text\n1,\n", f"row 1 of 'PATH' has nothing in column 'text'{SKIP}"),
        of_table(tv.read_items, "item,text,region_a,region_b\n1,x y,y,x\n",
                 f"row 1 of 'PATH': the region 'b' ('x') is not in its text after the regions before it{SKIP}"),
        of_table(tv.read_items, "item,sentence\n1,a\n",
                 "'PATH' has no column 'text', none that begins with 'region_' and none 'word': "
                 "name the columns of the text, the regions or the words; it has 'item', 'sentence'"),
        of_table(tv.read_items, "item,text\n1,a\n",
                 "'PATH' has no column 'txt': it has 'item', 'text'; did you mean 'text'?", text="txt"),
        of_table(tv.read_items, "item,text\n1,a\n", "the region 'a' is named twice", regions=["a", "a"]),
        of_table(tv.read_items, "item,text\n1,a\n",
                 "regions and words were both named: a table has its units in columns or in rows, not both", regions=["a"],
                 words="b"),
        of_table(tv.read_items, "item,text\n1,a\n",
                 "a text and words were both named: with one word per row, the words are the text", text="text", words="b"),
        of_table(tv.read_items, "item,text\n", "'PATH' is empty: it has no row"),
        of_table(tv.read_items, "item,text,text\n1,a,b\n", "'PATH' has two columns 'text': which one is meant?"),
        (lambda: tv.read_items("none.csv", regions="verb"), "the regions are one string: give a list of columns, ['verb']"),
        *((lambda glass, options=options: tabulated(glass, **options), said, {"study.csv": f"{header}\n1,The cat,2\n"})
          for header, options, said in (
              ("item,text,logprob", {}, f"the column 'logprob' of 'study' {RESULTS_NEED}"),
              ("item,text,rt", {"by": "region"},
               "'study' has no regions: name their columns, or take rows by item, word or token"),
              ("item,text,rt", {"by": "line"}, "rows by 'line' are not possible: take item, region, word, token"),
              ("item,text,rt", {"previous": 4}, "the numbers of 4 units before are not possible: take 0 to 3"),
              ("item,text,rt", {"frequency": "xx"}, "wordfreq has no frequencies of 'xx': it has ar, …"),
              ("item,text,rt", {"text": "x"}, f"{NOT_TEXT_OF} items 'study'"),
          )),
    ),
    *calls(
        "pairs", TextError,
        of_table(tv.read_pairs, "good,bad\nA cat.,\n", f"row 1 of 'PATH' has nothing in column 'bad'{SKIP}"),
        of_table(tv.read_pairs, "good,wrong\nA cat.,b\n",
                 "'PATH' has no column 'bad' or 'sentence_bad': it has 'good', 'wrong'; --bad names the one with these "
                 "sentences"),
        of_table(tv.read_pairs, "good,bad\na,b\n", "'PATH' has no column 'worse': it has 'good', 'bad'", bad="worse"),
        of_table(tv.read_pairs, "good,bad\na,b\n", "'PATH' has no column 'kind': it has 'good', 'bad'", group="kind"),
        of_table(tv.read_pairs, "good,bad\n", "'PATH' is empty: it has no row"),
        of_table(tv.read_pairs, "good,bad,model\na,b,c\n", f"the column 'model' of 'PATH' {RESULTS_NEED}"),
        (lambda glass: tv.pair_table(tv.read_pairs("t.csv"), tv.score(glass, literal("A", name="x"))),
         f"{NOT_TEXT_OF} pairs 't'",
         {"t.csv": "good,bad\na,b\n"}),
        (lambda: tv.read_pairs("t.jsonl", skip_bad=True),
         "'t.jsonl' has no row that can be read: line 1 of 't.jsonl' is not JSON: …",
         {"t.jsonl": "{\n[\n"}),
    ),
    *calls(
        "prompts", TextError,
        of_table(tv.read_prompts, "prompt,continuation\nab,\n",
                 f"row 1 of 'PATH' has nothing in column 'continuation': give at least one character{SKIP}"),
        of_table(tv.read_prompts, "prompt,continuation\nab,c\n,c\n",
                 f"row 2 of 'PATH' has nothing in column 'prompt': give at least one character{SKIP}"),
        of_table(tv.read_prompts, "prompt,answer\nab,c\n",
                 "'PATH' has no column 'continuation': it has 'prompt', 'answer'; continuation (of score: "
                 "--continuation-column) names the one with the continuations"),
        of_table(tv.read_prompts, "prompts,continuation\nab,c\n",
                 "'PATH' has no column 'prompt': it has 'prompts', 'continuation'; prompt (of score: --prompt-column) names "
                 "the one with the prompts; did you mean 'prompts'?"),
        of_table(tv.read_prompts, "prompt,continuation\nab,c\n",
                 "prompts and continuations cannot both stand in the column 'prompt'",
                 continuation="prompt"),
        of_table(tv.read_prompts, "prompt,continuation,logprob\nab,c,1\n", f"the column 'logprob' of 'PATH' {RESULTS_NEED}"),
        of_table(tv.read_prompts, "prompt,continuation,q\nab,c,1\n",
                 f"the column 'prompt' of 'PATH' {RESULTS_NEED}", prompt="q"),
        of_table(tv.read_prompts, "prompt,continuation\n", "'PATH' is empty: it has no row"),
        (lambda: tv.read_prompts("t.jsonl", skip_bad=True), "'t.jsonl' has no continuation that can be scored",
         {"t.jsonl": '{"prompt": "", "continuation": "c"}\n'}),
        *((lambda prompt=prompt, after=after: tv.continuations(prompt, after), said) for prompt, after, said in (
            ("", ["a"], "the prompt is empty: give at least one character"),
            ("a", [""], "the continuation is empty: give at least one character"),
            ("a", [None], "the continuation is nothing, not a string"),
            ("a", ["b", 5], "the continuation is a int, not a string"),
            ("a", [], "a prompt was given without a continuation: give at least one"),
            ("a\ud83d", ["b"],
             "the prompt ends inside a character (a lone surrogate at character 1): cut texts between characters"),
            ("a", " b", "the continuations are one string: give a list, [' b']"),
        )),
        (lambda bigram: tv.prompt_table(tv.continuations("a", ["b"]), tv.score(bigram, literal("ba", name="x"))),
         f"{NOT_TEXT_OF} prompts 'prompt'"),
    ),
    *calls(
        "spans", TextError,
        *((lambda spans=spans: literal("abcde", name="x").with_spans([spans]), f"passage 0 of 'x' {said}") for spans, said in (
            ([("a", 0, 3), ("b", 2, 4)],
             "has the span 'b' from 2, which overlaps 'a', which ends at 3: every character is in one span at most"),
            ([("a", 2, 2)],
             "has the span 'a' from 2 to 2, and 5 characters: a span begins at 0 or later, ends within the passage (one past "
             "its last character) and is not empty"),
            ([("a", 3, 6)],
             "has the span 'a' from 3 to 6, and 5 characters: a span begins at 0 or later, ends within the passage (one past "
             "its last character) and is not empty"),
            ([("a", -1, 2)],
             "has the span 'a' from -1 to 2, and 5 characters: a span begins at 0 or later, ends within the passage (one past "
             "its last character) and is not empty"),
            ([("  ", 0, 2)], "has a span 0 to 2 without a name"),
            ([("a", 0.0, 2)], "has \"('a', 0.0, 2)\" for a span: give name, start and end, such as ['verb', 4, 9]"),
            ([("a", True, 2)], "has \"('a', True, 2)\" for a span: give name, start and end, such as ['verb', 4, 9]"),
            ([{"name": "a", "begin": 0, "end": 2}],
             "has \"{'name': 'a', 'begin': 0, 'end': 2}\" for a span: give name, start and end, such as ['verb', 4, 9]"),
            (["abc"], "has 'abc' for a span: give name, start and end, such as ['verb', 4, 9]"),
        )),
        (lambda: literal("abc", name="x").with_spans([[], []]), "spans of 2 passages were given, and 'x' has 1"),
        (lambda: read_text("x.txt", spans="spans"),
         "spans stand in a column of a table, and 'x.txt' is none: give a .jsonl, .csv, .parquet file"),
        *((lambda name=name: read_text(name, spans="part"),
           f"{where} of {name!r} has no column 'part': it has 'id', 'text', 'parts'; --spans names the one; did you mean "
           f"'parts'?",
           {name: content})
          for name, where, content in (
              ("t.csv", "row 1", b"id,text,parts\n1,x,\n"), ("t.jsonl", "line 1", b'{"id": "1", "text": "x", "parts": []}\n'),
              ("t.parquet", "row 0", parquet(pa.table({"id": ["1"], "text": ["x"], "parts": ["[]"]}))),
          )),
        *((lambda: read_text("t.csv", spans="spans"),
         f"row 1 of 't.csv' has {said}{SKIP}", {"t.csv": f'text,spans\nabc,"{cell}"\n'})
          for cell, said in (
              ("[[1, 2", "'[[1, 2' for spans, which is not JSON: …"),
              ("7", "'7' for spans: give a list, such as [['verb', 4, 9]]"),
              ('[[""a"", 0, 9]]',
               "the span 'a' from 0 to 9, and 3 characters: a span begins at 0 or later, ends within the passage (one past "
               "its last character) and is not empty"),
          )),
    ),
    *calls(
        "chats", ModelError,
        (lambda glass: tv.chat_text(glass, [{"role": "user", "content": "Hi"}]),
         "'glass-en' has no chat template: take a model that was trained on chats, or give the text as it stands, without "
         "--chat"),
    ),
    *commands(
        "tokenviz items", "items study.csv -m glass-en", 1,
        ("--item câu", "'study.csv' has no column 'câu': it has 'item', 'text'; --item names the one with the items"),
        files={"study.csv": "item,text\n1,The cat\n"},
    ),
    *commands(
        "tokenviz items", "items study.csv -m glass-en", 2,
        ("-m glass-en,dtype=float32", "the model 'glass-en' is given twice: give it once"),
        ("--by item --previous 2", "rows by item have no units before them: leave out --previous"),
        ("--text text --join ,", "--join stands between regions or words, and --text is a whole text: leave out --join"),
        ("--json --parquet t.parquet", "choose one of --json and --parquet"),
        files={"study.csv": "item,text\n1,The cat\n"},
    ),
]  # fmt: skip

DIFFERENT = (
    "'model-a' and 'model-b' cut 'sample' into different tokens, which cannot be compared one by one: take 'segment' or 'word'"
)
UNITS = "take 'token', 'segment', 'word' or 'span'"
PUNCTUATION = "punctuation 'gone' is not possible: take 'attached' or 'apart'"
TWO_TEXTS = "the scores are of two texts, 'x' and 'y': score one text with both models"
GIVE_SCORES = "is not scores: give scores, or models with the text that they read, compare(a, b, text=...)"
RESAMPLES = "resamples are not possible: take at least 100, or 0 for no intervals"
SEED = "is not possible: take a whole number from 0"
LEVEL = "is not possible: take a number between 0 and 1, such as 0.95"
TEN = "A b c d e f g h i j k l m"

COMPARISONS = [
    *calls(
        "comparisons", ComparisonError,
        (lambda: align(make_scores([["T", "he"]], tokenizer="a", name="sample"),
                       make_scores([["Th", "e"]], tokenizer="b", name="sample", model="model-b"), by="token"), DIFFERENT),
        (lambda: align(table(), table(), by="letter"), f"by 'letter' is not possible: {UNITS}"),
        *((lambda take=take: take(table(text="one", name="x"), table(text="two", name="y")), TWO_TEXTS) for take in (align,
         tv.compare)),
        (lambda: tv.words(table(), punctuation="gone"), PUNCTUATION),
        (lambda: words_of("a", punctuation="gone"), PUNCTUATION),
        *((lambda how=how: tv.compare("nope/", "nope/", text="Alice.", **how), said) for how, said in (
            ({"by": "letter"}, f"by 'letter' is not possible: {UNITS}"),
            ({"punctuation": "gone"}, PUNCTUATION),
            ({"resamples": 7}, f"7 {RESAMPLES}"),
            ({"resamples": 200.5}, "200.5 resamples are not possible: take a whole number"),
            ({"seed": "a"}, f"seed 'a' {SEED}"),
            ({"level": "0.9"}, f"level '0.9' {LEVEL}"),
            ({"seed": -1}, f"seed -1 {SEED}"),
            ({"level": 95}, f"level 95 {LEVEL}"),
        )),
        (lambda: tv.compare(table(), "glass-en"), f"'glass-en' {GIVE_SCORES}"),
        (lambda glass: tv.compare(glass, "glass-en"), f"a LoadedModel {GIVE_SCORES}"),
        (lambda: tv.compare(table(), table().to_frame()), f"a DataFrame {GIVE_SCORES}"),
        (lambda: tv.compare(table(), table(), text="Alice."),
         "a and b are scores, which have their text: leave out text, or give models"),
        (lambda: tv.compare(table(text=TEN), table("b", TEN), resamples=5), f"5 {RESAMPLES}"),
        (lambda: tv.compare(table(text=TEN), table("b", TEN), level=95), f"level 95 {LEVEL}"),
        (lambda: pool([tv.compare(table(text=TEN), table("b", TEN))], seed=-1), f"seed -1 {SEED}"),
        (lambda: pool([]), "no comparisons were given: there is nothing to take together"),
        (lambda: pool([tv.compare(table("a"), table("b")), tv.compare(table("b"), table("a"))]),
         "'a' and 'b' cannot be taken together with 'b' and 'a': take comparisons of the same two models"),
        (lambda: pool([tv.compare(table(), table("b")), tv.compare(table(), table("b", tokenizer="other"))]),
         "'text' is compared over tokens and 'text' over segments: take comparisons over the same units together"),
        (lambda: tv.compare(table(name="x"), table(name="x"), by="span"),
         "'x' has no spans to compare over: give it some with with_spans, or name the column that holds them (--spans)"),
        (lambda: tv.compare(table(name="x"), replace(table(name="x"), spans=((Span("x", 0, 1),),)), by="span"),
         "the scores of 'x' by 'model-a' and by 'model-a' have different spans: score one text with both models"),
        *((lambda resamples=resamples: check_resampling(resamples, 0), f"{resamples} {RESAMPLES}") for resamples in (99, -1)),
        *((lambda given=given: check_resampling(given, -1), f"seed -1 {SEED}") for given in (100, None)),
        *((lambda level=level: check_resampling(None, 0, level), f"level {level:g} {LEVEL}") for level in (-1, 0, 1, 95, NAN)),
        (lambda: sign_flip_test(np.array([1.0, 2.0]), flips=0), "0 flips are not possible: take at least 1"),
        (lambda: sign_flip_test(np.array([1.0, 2.0]), seed=-1), f"seed -1 {SEED}"),
    ),
    *commands(
        "tokenviz compare", "compare", 2,
        ("-m glass-en -t x", "--model takes two models, a and b, or three, and 1 was given"),
        ("-m x -m y -m z -m w -t x", "--model takes two models, a and b, or three, and 4 were given"),
        ("-m x -m y -m z -t x --csv", "--csv takes two models: its rows are the aligned log-probs of a and b"),
        ("-m x -m y -t x --simultaneous", "--simultaneous takes three models: of two, every number is asked for once"),
        ("-t x", "Missing option '--model' / '-m'."),
        ("-m glass-en -m glass-en,dtype=bfloat16", "give at least one file, --text STRING, or - for standard input"),
        *((f"-m x -m y -t x {line}", said) for line, said in (
            ("--json --csv", "choose one of --json and --csv"),
            ("--seed -1", "Invalid value for '--seed': Input should be greater than or equal to 0"),
            ("--differences -1", "Invalid value for '--differences': Input should be greater than or equal to 0"),
            ("--punctuation apart", "--punctuation apart needs --by word: tokens and segments are cut without regard to it"),
            ("--by line", "Invalid value for '--by': Value error, 'line' is not one of 'token', 'segment', 'word', 'span'."),
            *((f"--csv {option}", f"--csv prints the aligned log-probs alone: leave out {option.split()[0]}")
              for option in ("--divergences disk", "--resamples 500", "--seed 1", "--differences 3")),
            *((f"-m z {option}", f"of three models the numbers of every pair are printed: leave out {option.split()[0]}")
              for option in ("--divergences disk", "--differences 3")),
            ("-t y -t x", "the text 'text-2d711642' is given twice: give it once"),
        )),
    ),
    *commands(
        "tokenviz compare", "compare -m glass-en", 1,
        ("-m glass-en,dtype=bfloat16 -t x --resamples 7", f"7 {RESAMPLES}"),
        ("-m glass-en,dtype=bfloat16 missing.txt", f"no text at 'missing.txt': {NO_TEXT}{SAMPLES}"),
        ("-m ./nowhere -t x", f"no model at './nowhere': {MODELS_ARE}"),
        ("-m glass-en,dtype=bfloat16 -t x --bos always", NO_BOS),
    ),
]  # fmt: skip

NO_STORE_RUN = "'tokenviz runs' lists what there is"
NO_EXPERIMENT = "no experiment 'trial': experiments/ has none here, and a file elsewhere is run by its path, which ends in .py"
DEFINES_NONE = "defines 0 experiments: decorate one function with @experiment"
NO_MANIFEST = (
    "'paper/manifest.json' is not a manifest that tokenviz pull wrote, or was edited: give another folder, or delete it"
)


def order(**changes: Any) -> Order:
    return Order(**{"experiment": "trial", "figures": ("heatmap", "scatter"), **changes})


EXPERIMENTS = [
    *calls(
        "grids", ExperimentError,
        *((lambda models=models, texts=texts: tv.Grid(models, texts), said) for models, texts, said in (
            ([], ["x"], "a grid needs at least one model and one text"),
            (["first"], [], "a grid needs at least one model and one text"),
            (["first", "first"], ["correlation"],
             "the model 'first' is given twice: every model of a grid has a name of its own"),
            (["first"], ["correlation", "correlation"],
             "the text 'correlation' is given twice: every text of a grid has a name of its own"),
        )),
        (lambda store: tv.Grid(["glass-en"], ["correlation"]).compare(),
         "there is nothing to compare yet: call score() before compare()"),
        *((lambda store, own=own, name=name: tv.Grid(["glass-en"], [literal("ab")]).summarise("",
         **{own: {name: pd.DataFrame({"a": [1]})}}),
           f"no file can be named {name!r}: give tables and figures names of words, without / \\ # ? %")
          for name in ("a/b", "50 %", "#1", "why?", "", " a", "a" * 200) for own in ("tables", "figures")),
        (lambda store: tv.Grid(["glass-en"], [literal("Alice")]).tabulate(tv.read_items("study.csv")),
         "'study' is none of the grid's texts: give it the text of the items, pairs or prompts",
         {"study.csv": "item,text\n1,The cat\n"}),
        (lambda store: tv.Grid(["glass-en"], [literal("x")]).continue_prompts(tv.continuations("a", ["b"])),
         "'prompt' is none of the grid's texts: give it the text of the items, pairs or prompts"),
        *((lambda name=name: position_measure(name, doubt),
           f"a measure cannot be called '{name}': take letters, digits and _, and none of …")
          for name in ("logprob", "two words", "score", "token")),
        (lambda: position_measure("doubt", eval("lambda logits, ids: ids * 0.0")),
         "the source of the measure 'doubt' cannot be read, and runs could not say what they hold: define the function with "
         "def, in a "
         "file or a notebook"),
    ),
    *calls(
        "grids", ScoringError,
        *((lambda how=how: tv.Grid(["nowhere-at-all"], ["correlation"], **how), said) for how, said in (
            ({"context": 1}, "context 1 is not possible: take at least 2 tokens, the predicted one included"),
            ({"stride": 0}, "stride 0 is not possible: take at least 1 token"),
            ({"context": 4, "stride": 4}, "stride 4 is not possible with context 4: take 1 to 3"),
            ({"top_k": -1}, "top-k -1 is not possible: take the number of alternatives to keep, 0 for none"),
        )),
    ),
    *calls(
        "grids", TextError,
        (lambda: tv.Grid(["nowhere-at-all"], ["nowhere"]), f"no text at 'nowhere': {NO_TEXT}{SAMPLES}; {ITSELF}"),
        (lambda: literal(5), "the given text is a int, not a string"),
        (lambda: corpus("abc", name="x"),
         "the passages of 'x' are one string: give a list of strings, or that string to literal"),
        (lambda: corpus([1], name="x"), "passage 0 of 'x' is a int, not a string"),
    ),
    *calls(
        "grids", FigureError,
        (lambda: tv.Grid(["glass-en"], ["correlation"], formats=["gif"]),
         "no format 'gif' for the figures of runs: give some of png, svg, pdf; what its page shows is always drawn"),
    ),
    *commands(
        "experiments", "run", 1,
        ("trial", f"experiments/trial.py {DEFINES_NONE}", {"experiments/trial.py": "x = 1\n"}),
        ("trial", NO_EXPERIMENT),
        ("trial", "experiments/trial.py, line 1: not Python: invalid syntax", {"experiments/trial.py": "def (:"}),
        *((name, f"{shown}, line 2: {said}", {"experiments/trial.py": f"from tokenviz import Grid\n{mistake}"})
          for name, shown in (("trial", "experiments/trial.py"), ["PROJECT/experiments/trial.py"] * 2)
          for mistake, said in (
              ("from tokenviz import Gird", "ImportError: cannot import name 'Gird' from 'tokenviz' …"),
              ("import nothing_of_that_name", "ModuleNotFoundError: No module named 'nothing_of_that_name'"),
              ("Grid.nonsense", "AttributeError: type object 'Grid' has no attribute 'nonsense'"),
              ("raise OSError", "OSError"),
              ("int('a\\nb')", "ValueError: invalid literal for int() with base 10: 'a\\nb'"),
          )),
        *(("trial", f"experiments/helper.py, {said}",
           {"experiments/trial.py": "from experiments.helper import x\n", "experiments/helper.py": helper})
          for helper, said in (("\nx = 1 / 0\n", "line 2: ZeroDivisionError: division by zero"),
                               ("\n\nx = (\n", "line 3: not Python: '(' was never closed"))),
        ("nowhere/study.py",
         "no file 'nowhere/study.py': give the name of an experiment, or the path of a file that holds one"),
        ("beside.py", f"beside.py {DEFINES_NONE}", {"beside.py": "ANSWER = 'Forty-two.'\n"}),
        ("beside.py", "beside.py, line 2: SystemExit: 3", {"beside.py": "import sys\nsys.exit(3)\n"}),
        ("beside.py", "beside.py cannot be imported: not Python: source code string cannot contain null bytes",
         {"beside.py": b"\xff\xfex\0"}),
    ),
    *calls("the store", StoreError, *(
        (lambda monkeypatch, uri=uri: (monkeypatch.setenv("MLFLOW_TRACKING_URI", uri), open_store()),
         f"MLFLOW_TRACKING_URI is {uri!r}: give the http:// or https:// address of an MLflow server, or unset it to use the "
         "embedded store in mlruns/")
        for uri in ("nonsense", "sqlite:///other.db", "file:///x", "foo://bar", "postgresql://h/d"))),
    *calls("the store", StoreError, *(
        (lambda line=line: parse_where(line),
         f"cannot read --where {line!r} from … on: write conditions such as \"model=gpt2 and r<0.9 or text~viet\", with = != "
         f"< <= > >= ~ and, or, not, parentheses")
        for line in ("r", "r<", "r<1 and", "(r<1", "r<1 text=2", "=3", "and=3", "r<1)", "r <1 or or r>2", "text='x"))),
    *commands(
        "the store", "", 1,
        ("runs", "there is no store in 'PROJECT/mlruns' yet: run an experiment, or go to the project that has one"),
    ),
    *commands(
        "the store", "runs import", 1,
        ("nothing", "no exported runs in 'nothing': give a folder that 'tokenviz runs export' has filled"),
        given=("store",),
    ),
]  # fmt: skip

RUNS = [
    *calls(
        "runs", StoreError,
        (lambda runs: tv.load_scores("nobody"),
         "no run has the id or the name 'nobody': 'tokenviz runs' and tv.load_runs() list what there is"),
        (lambda runs: tv.load_scores(7),
         "a int names no run: give the id of one, its name, or one row of load_runs, such as runs.iloc[0]"),
        (lambda runs: tv.load_scores(pd.DataFrame({"run_id": ["a"]})),
         "a DataFrame names no run: give the id of one, its name, or one row of load_runs, such as runs.iloc[0]"),
        (lambda runs: tv.load_scores("ffffffff"), f"no run 'ffffffff' in the store 'mlruns': {NO_STORE_RUN}"),
        (lambda runs: tv.load_scores(runs[2]), "run RUN2 ('a name') is of kind 'comparison': load_comparison reads it"),
        (lambda runs: tv.load_comparison(runs[0]), "run RUN0 ('a name') is of kind 'score': load_scores reads it"),
        (lambda runs: tv.load_scores("a name"), "3 runs have the name 'a name': give the id of one: …, …, …"),
        (lambda runs: tv.load_runs("third"), "no experiment 'third' in the store: it has trial"),
        (lambda runs: tv.load_runs("trail"), "no experiment 'trail' in the store: it has trial; did you mean 'trial'?"),
        (lambda runs: tv.load_tokens(where="model=nobody"), "no score run is meant: tokenviz runs lists what there is"),
        *((lambda runs, where=where: tv.load_runs(where=where), said) for where, said in (
            ("kind=scores",
             "--where asks for kind=scores, and no run has that kind: there are comparison, score, summary; did you mean "
             "'score'?"),
            ("not (status!=FINSHED)",
             "--where asks for status!=FINSHED, and no run has that status: there are FAILED, FINISHED, KILLED, RUNNING; did "
             "you mean 'FINISHED' or 'FAILED'?"),
            ("n_scored=many",
             "--where asks for n_scored=many, and n_scored is a number in every run that has one: give a number"),
            ("text=x and pearson_r<nan",
             "--where asks for pearson_r<nan, and pearson_r is a number in every run that has one: give a number"),
            ("text<5", "--where asks for text<5, and text is no number: ask with =, != or ~ (contains)"),
            ("started>yesterday",
             "--where asks for started>yesterday, and that is no time: write it as 2026-01-31 or 2026-01-31T18:00"),
            ("text=nothing and peason_r<1", "no run has a field 'peason_r': there are model, …"),
        )),
        (lambda runs: redraw("0" * 32), f"no run '{'0' * 32}' in the store 'mlruns': {NO_STORE_RUN}"),
        *((lambda runs, name=name: redraw(name),
           f"{name!r} names no run: give at least four digits of an id, as 'tokenviz runs' lists them")
          for name in ("no run", "' or '1'='1", "", "%")),
    ),
    *commands(
        "runs", "", 1,
        ("pull tral --to paper", "no experiment 'tral' in the store: it has trial; did you mean 'trial'?"),
        ("redraw RUN0 --limits 0,-12", "limits 0 to -12 are the wrong way round: give the lower one first"),
        (f"runs show {'0' * 32}", f"no run '{'0' * 32}' in the store 'mlruns': {NO_STORE_RUN}"),
        ("runs tidy --experiment triall --yes", "no experiment 'triall' in the store: it has trial; did you mean 'trial'?"),
        given=("runs",),
    ),
    *calls(
        "figures of runs", FigureError,
        *((lambda runs, which=which, how=how: redraw(runs[which], **how), said) for which, how, said in (
            (0, {"figure": "heat"}, f"no figure 'heat': there are {PLOTS}"),
            (2, {"figure": "scatter", "formats": ["tex"]}, "the figure 'scatter' has no format 'tex': it has png, svg, pdf"),
            (0, {"look": Look(measure="loss")}, f"no measure 'loss': there are {MEASURES}"),
            (0, {"look": Look(limits=(3, -3))}, "limits 3 to -3 are the wrong way round: give the lower one first"),
            (0, {"figure": "scatter"},
             "the figure 'scatter' is of two models, and one model's scores were given: take a comparison, or one "
             "of heatmap, along_text, calibration"),
            (2, {"figure": "scatter", "look": Look(measure="entropy")},
             "the figure 'scatter' takes no measure: only heatmap, segments, difference do"),
            (2, {"figure": "difference", "look": Look(measure="entropy")},
             "the figure 'difference' shows the difference, not 'entropy': take the figure 'heatmap' for it"),
        )),
        *((lambda runs, changes=changes: pull(order(**changes), Path("paper")), said) for changes, said in (
            ({"figures": ("heat",)}, f"no figure 'heat': there are {PLOTS}"),
            ({"font_size": 99}, "a font size of 99 points is not possible: take 4 to 48"),
            ({"measure": "loss"}, f"no measure 'loss': there are {MEASURES}, difference"),
        )),
    ),
    *calls(
        "papers", StoreError,
        *((lambda runs, changes=changes: pull(order(**changes), Path("paper")), said) for changes, said in (
            ({"experiment": "trail"}, "no experiment 'trail' in the store: it has trial; did you mean 'trial'?"),
            ({"experiment": "zzz"}, "no experiment 'zzz' in the store: it has trial"),
            ({"where": "peason_r<1"}, "no run has a field 'peason_r': there are model, …"),
        )),
    ),
    *calls(
        "papers", PaperError,
        *((lambda runs, changes=changes: pull(order(**changes), Path("paper")), said) for changes, said in (
            ({"formats": ("ansi",)}, "no format 'ansi' for a paper: there are png, svg, pdf, html, tex, tex-document"),
            ({"where": "model=nobody"},
             "experiment 'trial' has no finished run that 'model=nobody' means: run it, or change --where"),
            ({"where": "kind=score", "figures": ("scatter",)},
             "no run that is meant has a figure scatter as pdf: take another"),
            ({"figures": ("scatter",), "formats": ("tex",)}, "no run that is meant has a figure scatter as tex: take another"),
        )),
        *((lambda runs: pull(order(), Path("paper")), NO_MANIFEST, {"paper/manifest.json": content}) for content in (
            "{", "[]", "{}", "[" * 3000, '{"format": 1}',
            '{"format": 1, "order": {}, "runs": {}, "files": {}}', *damaged_manifests())),
        (lambda runs: pull(order(), Path("paper")), "'paper/manifest.json' has format 99; this version reads 1 and 2",
         {"paper/manifest.json": '{"format": 99}'}),
        (lambda: check("trial", Path("paper")),
         "'paper' has no manifest.json: nothing was pulled there; leave out --check to pull"),
        *((lambda prefix=prefix: macro_prefix(prefix),
         f"macros cannot begin with {prefix!r}: give up to 20 letters from A to Z, such as tv")
          for prefix in ("", "t1", "tv-", "a b", "tv\\x", "é", "x" * 21)),
    ),
    *calls(
        "papers", DiskError,
        (lambda runs: pull(order(), Path("file/paper")), "cannot write the folder 'file/paper': Not a directory", {"file": ""}),
        (lambda runs: redraw(runs[0], folder=Path("file")), "cannot write the folder 'file': File exists", {"file": ""}),
    ),
]  # fmt: skip


def model(
    said: str, edit: Callable[..., object], spec: str = "model"
) -> tuple[Callable[[], object], str, Callable[..., object]]:
    """The row of a folder in which something was changed, or of another file, which is called by `spec`."""
    return lambda: tv.load_model(spec), said, edit


UNLOADABLE = "cannot load 'model': …"
LEADS_OUT = "which leads out of the folder; a model's files must be in its folder"
PICKLE = (
    "a pickle, which can run any code when it is read: it is refused. Convert it to safetensors where you trust it, or choose "
    "another revision"
)
TOKENIZERS = "tokenizer.json, tokenizer.model, vocab.json, vocab.txt, spiece.model, sentencepiece.bpe.model"
INDEX = "model.safetensors.index.json"
UNUSED = "that its config.json does not use"
OTHER = "without them the numbers would be another model's"
GGUF = "the GGUF file 'model.gguf'"
NUMBERS = 6 * (6 + 6 + 7 * 6) + 3 * 6  # embedding, head, seven matrices of the layer, three norms
_PARTS = [{"SpecialToken": {"id": "x", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}]
UNDEFINED = {"type": "TemplateProcessing", "single": _PARTS, "pair": _PARTS, "special_tokens": {}}

BROKEN_MODELS = [
    *calls(
        "broken models", ModelError,
        model("'model' is a folder, which has no revisions: leave out @step1000", lambda folder: folder, "model@step1000"),
        model("the folder 'model' holds no model: it has no config.json", lambda folder: (folder / "config.json").unlink()),
        model("the folder 'model' holds no weights: it has no .safetensors file", lambda folder: (folder / WEIGHTS).unlink()),
        model(f"the folder 'model' has no tokenizer: one of {TOKENIZERS} is needed",
        lambda folder: (folder / "tokenizer.json").unlink()),
        *(model(f"{spec!r} has its weights in {name}, {PICKLE}", lambda folder, name=name: (add_pickle(folder, name),
         (folder / WEIGHTS).unlink()), spec)
          for name in ("pytorch_model.bin", "model.pt", "weights.pth", "model.ckpt", "model.pkl") for spec in ("model",
          f"model/{name}")),
        model("'model' lacks 1 of its weights, model.layers.0.mlp.up_proj.weight among them: they would be random numbers",
              lambda folder: edit_weights(folder, lambda weights: weights.pop("model.layers.0.mlp.up_proj.weight"))),
        model("cannot load 'model': …mismatch…",
              lambda folder: edit_weights(folder, lambda weights: weights.update({"model.norm.weight": torch.ones(7)}))),
        *(model(UNLOADABLE, lambda folder, keep=keep: cut_short(folder / WEIGHTS, keep)) for keep in (0, 5, 100, 700)),
        model(UNLOADABLE, lambda folder: edit_json(folder / "config.json", model_type="oddity", architectures=["Oddity"])),
        *(model(UNLOADABLE, lambda folder, name=name, content=content: (folder / name).write_text(content))
          for name in ("config.json", "tokenizer.json", "tokenizer_config.json") for content in ("{", "[]", '{"model": 3}')
          if (name, content) != ("tokenizer_config.json", '{"model": 3}')),  # an unknown setting
        *(model(UNLOADABLE, lambda folder, name=name, changes=changes: edit_json(folder / name, **changes)) for name,
         changes in (
            ("config.json", {"tie_word_embeddings": []}),
            ("config.json", {"num_attention_heads": 2**31}),
            ("tokenizer_config.json", {"model_max_length": []}),
            ("tokenizer.json", {"pre_tokenizer": {"type": "Nonsense"}}),  # which tokenizers refuse with a bare Exception
            ("tokenizer.json", {"post_processor": UNDEFINED}),  # on which they panic
        )),
        *(model(f"cannot load 'model': its config.json has {name} {json.dumps(value)[:60]}, which must be a whole number from "
         f"1 on",
                lambda folder, changes={name: value}: edit_json(folder / "config.json", **changes))
          for name in ("num_hidden_layers", "hidden_size", "num_attention_heads", "num_key_value_heads", "intermediate_size",
          "vocab_size",
                       "max_position_embeddings")
          for value in (-1, 0, 1.5, True, "2", [-1], {}, 10**400)),
        *(model(f"'model' is refused: its {name} names '../x', {LEADS_OUT}",
                lambda folder, name=name, changes=changes: edit_json(folder / name, **changes)) for name, changes in (
            ("config.json", {"transformers_weights": "../x"}),
            ("config.json", {"configuration_files": ["../x"]}),
            ("tokenizer_config.json", {"fast_tokenizer_files": ["../x"]}),
        )),
        model(f"'model' is not complete: {INDEX} names 1 of 2 files that are not there, b.safetensors among them; fetch them",
              lambda folder: (split(folder, "a.safetensors", "b.safetensors") / "b.safetensors").unlink()),
        *(model(f"'model' has an index of weights that is damaged: {INDEX} has no {what}",
                lambda folder, content=content: (split(folder, "a.safetensors", "b.safetensors") / INDEX).write_text(content))
          for content, what in (
              ("{", "weight_map of names and files"),
              ('{"weight_map": {"a": 3}, "metadata": {}}', "weight_map of names and files"),
              ('{"weight_map": {"a": "a.safetensors"}}', "metadata"),
          )),
        model(f"'model' has 1 weights {UNUSED} (odd.weight): {OTHER}; give the config that belongs to the weights",
              lambda folder: edit_weights(folder, lambda weights: weights.update({"odd.weight": torch.ones(2, 16)}))),
        model(f"'model' has 2 weights {UNUSED} (a.lora_A.default.weight, a.lora_B.default.weight): {OTHER}; they are of an "
        f"adapter that was "
              "not merged: merge it into its model",
              lambda folder: edit_weights(folder, lambda weights: weights.update(
                  {f"a.lora_{letter}.default.weight": torch.ones(2, 2) for letter in "AB"}))),
        model("the weights of 'model' are quantised by a method that transformers does not know (own_bits): take them in "
        "another form, or "
              "remove quantization_config from config.json if they are not quantised", lambda folder: quantised(folder,
              quant_method="own_bits")),
        model("the weights of 'model,quantize=q8_0' are quantised already (torchao), and quantize=q8_0 cannot round them "
        "again: take the "
        "model before that",
              lambda folder: quantised(folder, quant_method="torchao"), "model,quantize=q8_0"),
    ),
    *calls(
        "a model hub", ModelError,
        model("'owner/tiny' holds an adapter: fetch it into a folder and give that, for it to be merged into its model",
              lambda hub: setattr(hub, "extra", {"adapter_config.json": b"{}"}), "owner/tiny"),
        (lambda hub: tv.load_model("owner/gone"), f"no model 'owner/gone' on the hub: {MODELS_ARE}"),
        (lambda hub: tv.load_model("owner/tiny@never"), "'owner/tiny' has no revision 'never' on the hub"),
        (lambda hub: tv.load_model("owner/locked"),
         "'owner/locked' asks for its licence to be accepted on the hub first, and for a login"),
        (lambda hub: tv.load_model("owner/broken"),
         f"no model hub can be reached for 'owner/broken', and it is not on disk: {MODELS_ARE}"),
        model(f"no model hub can be reached for 'owner/tiny', and it is not on disk: {MODELS_ARE}",
              lambda hub, monkeypatch: point_to(monkeypatch, "http://127.0.0.1:9"), "owner/tiny"),  # where nothing listens
        model(f"no model hub can be reached for 'owner/tiny', and it is not on disk: {MODELS_ARE}",
              lambda hub, monkeypatch: monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True), "owner/tiny"),
    ),
    *calls(
        "GGUF files", ModelError,
        *(model(said, lambda cache, project, how=how: write_gguf(project / "model.gguf", **how),
         "model.gguf") for said, how in (
            (f"{GGUF} is cut short: its tensors end at byte 0, the file at 736; fetch it again", {"tensors": False}),
            *((f"{GGUF} lacks weights: it holds {NUMBERS - lost} numbers, and its model has {NUMBERS}; the others would be "
             f"random. Where "
               "it is one of several parts, join them first", {"without": name})
              for name, lost in (("blk.0.ffn_up.weight", 36), ("output_norm.weight", 6), ("token_embd.weight", 36))),
            *((f"{GGUF} scales its positions ({lost}), and transformers leaves that out: the numbers would be another "
             f"model's. Take the "
               "model's safetensors instead", how) for lost, how in (
                  ("rope_freqs.weight", {"more": {"rope_freqs.weight": np.array([1, 2, 8], np.float32)}}),
                  ("rope_factors_long.weight", {"more": {"rope_factors_long.weight": np.ones(3, np.float32)}}),
                  ("llama.rope.scaling.type linear", {"says": {"llama.rope.scaling.type": "linear",
                   "llama.rope.scaling.factor": 4}}),
              )),
            ("transformers cannot read the GGUF file 'model.gguf': …oddity…", {"architecture": "oddity"}),
        )),
        model(f"{GGUF} is cut short or damaged: …; fetch it again",
              lambda cache, project: cut_short(write_gguf(project / "model.gguf"), -200), "model.gguf"),
    ),
    *calls(
        "adapters", ModelError,
        *(model("'model' holds an adapter whose adapter_config.json is damaged: …",
                lambda folder, content=content: (folder / "adapter_config.json").write_text(content)) for content in ("{",
                "[]")),
    ),
]  # fmt: skip


ROWS: list[Row] = [*TEXTS, *MODELS, *BROKEN_MODELS, *SCORES, *FIGURES, *STUDIES, *COMPARISONS, *EXPERIMENTS, *RUNS]


@pytest.fixture
def store(project: Path) -> Store:
    return open_store()


@pytest.fixture
def empty_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"")))


@pytest.mark.parametrize("row", ROWS, ids=[f"{row.subject}: {row.said[:50]}" for row in ROWS])
def test_one_line_is_said_and_nothing_is_left(
    row: Row, request: pytest.FixtureRequest, project: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {name: request.getfixturevalue(name) for name in (*row.given, *needs(row.do), *needs(row.files))}
    shown = row.said.replace("PROJECT", str(project))
    for number, run_id in enumerate(given.get("runs", ())):
        shown = shown.replace(f"RUN{number}", run_id)
    if callable(row.files):
        row.files(*(given[name] for name in needs(row.files)))
    else:
        write(project, row.files)
    before = left_in(project)
    if callable(row.do):
        assert isinstance(row.how, type)
        with pytest.raises(row.how) as error:
            row.do(*(given[name] for name in needs(row.do)))
        message = str(error.value)
    else:
        monkeypatch.setenv("COLUMNS", "1000")
        first = given.get("runs", [""])[0]
        code, out, err = run(*(word.replace("PROJECT", str(project)).replace("RUN0", first) for word in row.do))
        assert (code, out) == (row.how, "")
        message = err.partition("error: " if code == 1 else "Error: ")[2].removesuffix("\n").removeprefix("Invalid value: ")
        assert code == 2 or err == f"error: {message}\n"
    assert says(shown, message), f"said is {message!r}, not {shown!r}"
    assert left_in(project) == before


def needs(call: object) -> list[str]:
    """The fixtures that are a call's arguments."""
    parameters = inspect.signature(call).parameters if callable(call) else {}
    return [name for name, one in parameters.items() if one.default is one.empty]


def write(project: Path, files: Files) -> None:
    for name, content in files.items():
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_bytes(content if isinstance(content, bytes) else content.encode())


def left_in(project: Path) -> dict[str, tuple[int, int]]:
    """The files of a project, but for locks and for what its store writes to be read."""
    paths = [path for path in project.rglob("*") if path.is_file() and path.name not in (".lock", "store.txt")]
    there = {path.relative_to(project).as_posix(): (path.stat().st_size, path.stat().st_mtime_ns) for path in paths}
    there |= {path.relative_to(project).as_posix(): (0, 0) for path in project.rglob("*") if path.is_dir()}
    return {
        name: state
        for name, state in there.items()
        if not re.fullmatch(r"mlruns/mlflow\.db.*|cache(/models)?(/.*\.lock)?|hub(/.*)?", name)
    }
