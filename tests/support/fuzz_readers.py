"""Everything that reads what others wrote, with valid inputs to begin from: fuzzing.py damages them."""

import io
import json
import random
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import click
import pyarrow as pa
import pyarrow.parquet as pq
import typer
from arithmetic import BIGRAM_WEIGHTS, SPACED_TOKENS, SPACED_WEIGHTS, make_bigram_folder
from hostile import NUMBERS, STRINGS, changed, spoiled
from kept_runs import keep_pair
from run_records import filled, make_record
from tables import long_pair, make_scores, with_first_choices
from tiny_gguf import write_gguf

import tokenviz as tv
from tokenviz.cli.app import app, main
from tokenviz.data.scores import TokenScores
from tokenviz.figures.heatmap.files import save_heatmap
from tokenviz.figures.origin import provenance_lines, provenance_of
from tokenviz.models.loading import LoadedModel, resolve
from tokenviz.paper.checking import check
from tokenviz.paper.manifest import Entry, Manifest, Order
from tokenviz.tracking.staged_runs import damaged, pack, write_checksums
from tokenviz.tracking.store import open_store
from tokenviz.tracking.transfer import import_runs
from tokenviz.tracking.where import parse_where

Files = dict[str, bytes]


class Unclear(Exception):
    """A command that ended otherwise than with 0, or with 1 or 2 and words that say why."""


@dataclass(frozen=True)
class Reader:
    """Something that reads files, or words.

    Attributes:
        seeds: Valid inputs, files by name; given a folder to make them in.
        read: Reads the folder that holds a damaged one.
        spoil: How one is damaged; by default one file of it.
    """

    seeds: Callable[[Path], list[Files]]
    read: Callable[[Path, random.Random], object]
    spoil: Callable[[random.Random, Files], Files] | None = None


def files_of(folder: Path) -> Files:
    """All files of a folder."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def spoil_one(rng: random.Random, files: Files) -> Files:
    """One of some files damaged."""
    name = rng.choice(list(files))
    return {**files, name: spoiled(rng, files[name])}


def _only(folder: Path) -> Path:
    return next(path for path in folder.iterdir())


# ---- texts ---------------------------------------------------------------------------------------------------------

AWKWARD = "\ufeffA\r\nb\tc  de\u0301 日本 👩🏽‍🚀\u2028 end"


def _plain(folder: Path) -> list[Files]:
    return [{"a.txt": AWKWARD.encode()}, {"a.md": b"# x\n\n*y*"}, {"in/a.txt": b"x", "in/b.md": AWKWARD.encode()}]


def _tables(folder: Path) -> list[Files]:
    rows = [{"text": AWKWARD, "id": "a", "n": 1}, {"text": "x\ny", "id": "b", "n": None}]
    columns = [
        pa.array(["x", "y"]), pa.array(["x", None]), pa.array([1, 2]), pa.array([b"x", b"\xff"]), pa.array([["x"], []]),
        pa.array([2**60, -(2**60)], pa.timestamp("us")), pa.array([0, 2**40], pa.date64()),
        pa.array(["x", "y"]).dictionary_encode(), pa.array([None, None]), pa.array([{"a": 1}, None]),
        pa.array([1.5, float("nan")]), pa.array(["x", "y"], pa.large_string()),
    ]  # fmt: skip
    seeds = [
        {"a.jsonl": b"\n".join(json.dumps(row).encode() for row in rows)},
        {"a.csv": '\ufefftext,id\n"a, ""b""\r\n",1\nx,2\n'.encode()},
    ]
    for column in columns:
        for table in ({"text": pa.array(["x", "y"]), "id": column}, {"text": column}):
            file = io.BytesIO()
            pq.write_table(pa.table(table), file)
            seeds.append({"a.parquet": file.getvalue()})
    return seeds


# ---- models --------------------------------------------------------------------------------------------------------


def _gguf(folder: Path) -> list[Files]:
    return [{"m.gguf": write_gguf(folder / "m.gguf").read_bytes()}]


def _folders(folder: Path) -> list[Files]:
    made = [
        make_bigram_folder(folder / "a", BIGRAM_WEIGHTS, bos=True),
        make_bigram_folder(folder / "b", SPACED_WEIGHTS, tokens=SPACED_TOKENS, pattern=" ?[ab]|[.]|\\s"),
    ]
    return [files_of(one) for one in made]


def _score(path: Path) -> object:
    return tv.score(tv.load_model(str(path)), "abcd", top_k=1)


# ---- what was kept -------------------------------------------------------------------------------------------------


def _token_tables(folder: Path) -> list[Files]:
    tables = [make_scores([["a", " b", "c"], ["d", ""]]), with_first_choices(make_scores([["a", "b"]]), [-1, 1])]
    for number, table in enumerate(tables):
        table.save(folder / f"{number}.parquet")
    return [{"t.parquet": path.read_bytes()} for path in sorted(folder.iterdir())]


def _spoil_table(rng: random.Random, files: Files) -> Files:
    """What the table says of itself, or one of its columns."""
    if rng.random() < 0.3:
        return spoil_one(rng, files)
    table = pq.read_table(io.BytesIO(files["t.parquet"]))
    footer = pq.read_metadata(io.BytesIO(files["t.parquet"])).metadata
    about = {key: said for key, said in footer.items() if key.startswith(b"tokenviz")}
    name = rng.choice(table.column_names)
    place, what = table.column_names.index(name), rng.randrange(5)
    try:
        if what == 0:
            table = table.drop_columns([name])
        elif what == 1:
            table = table.set_column(place, name, pa.array([rng.choice(STRINGS[:5]) for _ in range(len(table))]))
        elif what == 2:
            table = table.set_column(place, name, pa.array([rng.choice([-1, 0, 3, 2**40, None]) for _ in range(len(table))]))
        else:
            key = rng.choice(sorted(about))
            about[key] = json.dumps(changed(rng, json.loads(about[key]))).encode()
    except (pa.ArrowException, ValueError):
        return spoil_one(rng, files)
    file = io.BytesIO()
    pq.write_table(table.replace_schema_metadata(about), file)
    return {"t.parquet": file.getvalue()}


def _read_table(folder: Path, rng: random.Random) -> object:
    scores = TokenScores.load(folder / "t.parquet")
    return scores.summary(), scores.to_frame(), scores.to_json(), repr(scores)


_KEPT_TEXT = "abcdabcdd"


def _slim_tables(folder: Path) -> list[Files]:
    make_bigram_folder(Path("model"), BIGRAM_WEIGHTS)
    tv.score(_small(), _KEPT_TEXT, top_k=1).save(folder / "t.parquet", slim=True)
    return [files_of(folder)]


def _read_slim(folder: Path, rng: random.Random) -> object:
    return tv.import_scores(folder / "t.parquet", "model", text=tv.literal(_KEPT_TEXT)).scores.to_json()


def _predictions(folder: Path) -> list[Files]:
    make_bigram_folder(Path("model"), BIGRAM_WEIGHTS)
    tv.keep_predictions(_small(), _KEPT_TEXT, folder / "kept")
    return [files_of(folder / "kept")]


def _diverge(folder: Path, rng: random.Random) -> object:
    kept = tv.KeptPredictions.load(folder)
    return tv.divergences(kept, _small(), _KEPT_TEXT, top_k=2)


@cache
def _small() -> LoadedModel:
    return tv.load_model("model")


def _manifests(folder: Path) -> list[Files]:
    keep_pair(*long_pair(40))
    entry = Entry(
        "0" * 64, ("0" * 32,), {"figure": "heatmap", "format": "pdf", "stem": "figures/a", "caption": "c", "key": "k"}
    )
    manifest = Manifest(
        Order(experiment="trial", where="text=text", width="acl"), {"0" * 32: {"kind": "score"}}, {"figures/a.pdf": entry}
    )
    return [{"manifest.json": manifest.to_text().encode(), "figures/a.pdf": b"%PDF"}]


def _staged_runs(folder: Path) -> list[Files]:
    pack(folder / "p", filled(make_record(figures=False, refers={"run_a": "g"}, dataset=_DATASET)))
    return [{f"p/{name}": data for name, data in files_of(folder / "p").items()}]


_DATASET = {"name": "t", "digest": "0" * 64, "source_type": "text", "source": "{}", "profile": "{}"}


def _lists(folder: Path) -> list[Files]:
    (folder / "in").mkdir()
    (folder / "in" / "ä b.txt").write_text("x")
    (folder / "c.txt").write_text("y")
    write_checksums(folder)
    return [files_of(folder)]


def _figures(folder: Path) -> list[Files]:
    about = {"experiment": "trial", "fingerprint": "0" * 64, "runs": ["a"], "commits": ["c"], "commands": ["x"], "again": "x"}
    scores = make_scores([["a", " <b>", "%c"]])
    paths = save_heatmap(scores, folder / "h", formats=["png", "svg", "pdf", "html", "tex"], about=about)
    own = [{path.name: path.read_bytes()} for path in paths]
    spec = {"model": "m", "versions": {"torch": "2"}}
    line = {**about, "figure": "heatmap", "models": ["m"], "text": "t", "limits": [0, 1], "spec": spec, "specs": [spec]}
    return [*own, {"line.json": json.dumps(line).encode()}]


def _spoil_figure(rng: random.Random, files: Files) -> Files:
    """A file, or the line in it that says what made it."""
    spoilt = spoil_one(rng, files)
    return {"h.tex": b"% A table. " + spoilt["line.json"] + b"\n"} if "line.json" in spoilt else spoilt


# ---- words ---------------------------------------------------------------------------------------------------------


def _nothing(folder: Path) -> list[Files]:
    return [{}]


def _no_change(rng: random.Random, files: Files) -> Files:
    return files


def _where(folder: Path, rng: random.Random) -> object:
    parts = ["text", "=", "!=", "~", "<", ">=", "r", "0.9", " ", "(", ")", "and", "or", "not", "'a b'", '"', *STRINGS]
    line = " ".join(rng.choice(parts) for _ in range(rng.randrange(1, 9)))
    (folder / "line").write_bytes(line.encode("utf-8", "surrogatepass"))
    found = parse_where(line)
    return found.fields(), found.holds({"text": "x", "pearson_r": 0.5, "model": "m", "n": None})


def _spec(folder: Path, rng: random.Random) -> object:
    parts = ["gpt2", "owner/model", "@", ",", "=", "dtype=", "float32", "quantize=q4_0", "device=cuda", ".gguf", *STRINGS]
    spec = "".join(rng.choice(parts) for _ in range(rng.randrange(1, 5))).replace("glass-en", "glass")
    (folder / "line").write_bytes(spec.encode("utf-8", "surrogatepass"))
    return resolve(tv.ModelSpec.parse(spec))


# ---- the command line ----------------------------------------------------------------------------------------------

_MODELS = ["glass-en", "glass-en,dtype=bfloat16", "small", "nothing-there"]
_WORDS = [
    "text.txt",
    "rows.csv",
    "deep.jsonl",
    "trial",
    "template",
    "score",
    "text=text",
    "r<0.9",
    "word",
    "html,png",
    "acl",
    "out",
]


def _project(folder: Path) -> list[Files]:
    """A project with a few runs, in the working directory."""
    (Path("experiments") / "texts").mkdir(parents=True)
    template = Path(__file__).resolve().parents[2] / "experiments" / "_template.py"
    Path("experiments", "template.py").write_bytes(template.read_bytes())
    Path("experiments", "texts", "correlation.txt").write_text("Alice was beginning.")
    Path("text.txt").write_text("abcd")
    Path("rows.csv").write_text("text\nab\ncd\n")
    Path("deep.jsonl").write_text("[" * 5000)
    make_bigram_folder(Path("small"), BIGRAM_WEIGHTS)
    keep_pair(*long_pair(40))
    return [{}]


def _commands(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command but those that serve, fetch from a network, or look at the machine."""
    if path in [("ui",), ("models", "pull"), ("doctor",)]:
        return
    if isinstance(command, click.Group):
        context = click.Context(command)
        if path != ("run",):
            yield path, command
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            if found is not None:
                yield from _commands(found, (*path, name))
    else:
        yield path, command


def _word(rng: random.Random, parameter: click.Parameter) -> str:
    """A value for an option or argument, by its type more often than not."""
    if rng.random() < 0.3:
        # The system hands over no NUL, and bytes that are no text as halves of characters.
        return rng.choice(STRINGS).replace("\0", "").replace("\ud800", "\udc80")
    if parameter.name in ("model", "models"):
        return rng.choice(_MODELS)
    if isinstance(parameter.type, click.Choice):
        return str(rng.choice(list(parameter.type.choices)))
    if isinstance(parameter.type, click.types.IntParamType | click.types.FloatParamType):
        return str(rng.choice([*NUMBERS[:9], 3, 16, 64, 0.5, "nan", "inf"]))
    return rng.choice([*_WORDS, *(path.name for path in Path("mlruns", "artifacts").glob("*/*")), "0" * 8])


def _arguments(rng: random.Random) -> list[str]:
    path, command = rng.choice(list(_commands(typer.main.get_command(app))))
    words = []
    for parameter in command.params:
        if parameter.name == "help" or rng.random() > (0.95 if parameter.required else 0.25):
            continue
        name = [max(parameter.opts, key=len)] if isinstance(parameter, click.Option) else []
        count = 2 if parameter.nargs == 2 else 1
        times = rng.choice([1, 1, 2]) if parameter.nargs == -1 or getattr(parameter, "multiple", False) else 1
        for _ in range(times):
            words += name if getattr(parameter, "is_flag", False) else [*name, *(_word(rng, parameter) for _ in range(count))]
    if path[:1] == ("run",):  # else it would fetch and run the largest models
        words = ["--models", rng.choice(_MODELS), "--texts", rng.choice(["text.txt", *STRINGS]).replace("\0", ""), *words]
    if rng.random() < 0.1:
        words.insert(rng.randrange(len(words) + 1), rng.choice(STRINGS).replace("\0", "").replace("\ud800", "\udc80"))
    return [*path, *words]


def _command(folder: Path, rng: random.Random) -> object:
    arguments = _arguments(rng)
    (folder / "line").write_text(json.dumps(arguments))
    streams = sys.argv, sys.stdin, sys.stdout, sys.stderr
    out, err = io.TextIOWrapper(io.BytesIO(), "utf-8"), io.TextIOWrapper(io.BytesIO(), "utf-8", "backslashreplace")
    sys.argv = ["tokenviz", *arguments]
    sys.stdin, sys.stdout, sys.stderr = io.TextIOWrapper(io.BytesIO(b"a text\xff"[: rng.choice([6, 7])])), out, err
    try:
        main()
    except SystemExit as end:
        code = end.code or 0
    finally:
        sys.argv, sys.stdin, sys.stdout, sys.stderr = streams
    out.seek(0)
    err.seek(0)
    said, printed = err.read(), out.read()
    errors = [line for line in said.splitlines() if line.startswith("error: ")]
    # Some commands end with 1 to say that something is not as it should be, and print what.
    if (
        code == 0
        or (code == 1 and (len(errors) == 1 or (not errors and (printed or said))))
        or (code == 2 and "Usage:" in said)
    ):
        return code
    raise Unclear(f"exit code {code} of {arguments}: {said[-300:]}")


READERS = {
    "text files": Reader(_plain, lambda folder, rng: tv.read_text(_only(folder))),
    "tables of texts": Reader(_tables, lambda folder, rng: tv.read_text(_only(folder))),
    "GGUF files": Reader(_gguf, lambda folder, rng: _score(folder / "m.gguf")),
    "model folders": Reader(_folders, lambda folder, rng: _score(folder)),
    "token tables": Reader(_token_tables, _read_table, _spoil_table),
    "slim tables": Reader(_slim_tables, _read_slim, _spoil_table),
    "kept predictions": Reader(_predictions, _diverge),
    "manifests": Reader(_manifests, lambda folder, rng: check("trial", folder)),
    "parcels": Reader(_staged_runs, lambda folder, rng: import_runs(open_store(), folder)),
    "lists of files": Reader(_lists, lambda folder, rng: damaged(folder, {})),
    "figures' metadata": Reader(_figures, lambda folder, rng: provenance_lines(provenance_of(_only(folder))), _spoil_figure),
    "--where": Reader(_nothing, _where, _no_change),
    "model specs": Reader(_nothing, _spec, _no_change),
    "command line": Reader(_project, _command, _no_change),
}
