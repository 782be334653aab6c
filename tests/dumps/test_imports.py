"""Log-probs from elsewhere: every form gives the table that scoring gives, and what is planted wrong is refused in a line."""

import gzip
import json
from collections.abc import Callable, Iterator
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pyarrow as pa
import pytest
from conftest import Run
from dumps import Engine, K, Row
from kills import draw_in_no_time
from tables import assert_same_bits

import tokenviz as tv
from tokenviz.base.errors import StoreError, TextError
from tokenviz.base.progress import collecting
from tokenviz.comparing.distances import engine_differences
from tokenviz.dumps.importing import Imported, import_scores
from tokenviz.figures.heatmap.files import save_heatmap
from tokenviz.harness.rebuilding import rerun
from tokenviz.harness.session import ExperimentContext, running
from tokenviz.models.loading import LoadedModel, load_tokenizer
from tokenviz.tracking.store import open_store

TEXTS = ("The cat sat on the mat.", "Thủ đô của Việt Nam là Hà Nội.", "北京是中国的首都。👋")
WHOLE = ("vllm", "vllm_served", "sglang", "openai", "plain", "plain_strings")
STARTED = ("llama_cpp", "chat")


@pytest.fixture(scope="module")
def engine(gpt2: LoadedModel) -> Engine:
    return Engine(gpt2.network, gpt2.tokenizer)


@pytest.fixture(autouse=True, scope="module")
def _tokenizers_are_read_once() -> Iterator[None]:
    """Reading a vocabulary of 50,000 takes a second, and a hundred imports read the same."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tokenviz.dumps.importing.load_tokenizer", cache(load_tokenizer))
        yield


@pytest.fixture
def dump(tmp_path: Path, gpt2_folder: Path) -> Callable[..., Imported]:
    """Write rows to a file and import it."""

    def write(*rows: object, model: str = str(gpt2_folder), name: str = "dump.jsonl", **options: Any) -> Imported:
        path = tmp_path / name
        path.write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows), encoding="utf-8")
        return import_scores(path, model, **options)

    return write


@pytest.mark.parametrize("form", WHOLE)
def test_each_form_gives_the_table_that_scoring_gives(
    form: str, engine: Engine, gpt2: LoadedModel, dump: Callable[..., Imported]
) -> None:
    imported = dump(*(getattr(engine, form)(text) for text in TEXTS))
    assert imported.text.passages == TEXTS
    own = tv.score(gpt2, imported.text, top_k=K)
    found = imported.scores
    for name in ("passage", "position", "token_id", "start", "end", "first_character", "n_bytes", "unknown", "opens"):
        np.testing.assert_array_equal(getattr(found, name), getattr(own, name), err_msg=name)
    assert found.token == own.token
    np.testing.assert_allclose(found.logprob, own.logprob, atol=1e-4)
    assert np.isnan(found.entropy).all()
    assert np.isnan(found.space_logprob).all()
    known = ~np.isnan(found.rank)
    np.testing.assert_array_equal(found.rank[known], own.rank[known])
    if form.startswith("vllm"):
        assert known[own.scored].all()  # it says every rank
    elif form.startswith("plain"):
        assert not known.any()
        assert np.isnan(found.summary().share_rank_1)
    else:
        assert not (known & ~(own.rank <= K)).any()
    if form in ("vllm", "vllm_served", "sglang"):
        np.testing.assert_array_equal(found.top_ids, own.top_ids)
        np.testing.assert_allclose(found.top_logprobs, own.top_logprobs, atol=1e-4)
        assert found.summary().share_rank_1 == own.summary().share_rank_1
    compared = tv.compare(own, found)
    assert compared.unit == "token"
    assert compared.pearson_r.value > 0.999999


@pytest.mark.parametrize("form", STARTED)
def test_generated_tokens_are_scored_after_an_unscored_prompt(
    form: str, engine: Engine, gpt2: LoadedModel, dump: Callable[..., Imported]
) -> None:
    parts = [("The cat sat", " on the mat."), ("Việt Nam", " is a country.")]
    imported = dump(*(getattr(engine, form)(*part) for part in parts))
    assert imported.text.passages == tuple("".join(part) for part in parts)
    own = tv.score(gpt2, imported.text, top_k=K)
    generated = imported.scores.start >= np.array([len(prompt) for prompt, _ in parts])[imported.scores.passage]
    np.testing.assert_array_equal(imported.scores.scored, generated)
    np.testing.assert_allclose(imported.scores.logprob[generated], own.logprob[generated], atol=1e-4)
    assert imported.scores.spec.source == f"imported: llama.cpp{' b6500-abc' if form == 'chat' else ''}"


def test_what_llama_cpp_leaves_out_is_missing(engine: Engine, gpt2: LoadedModel, dump: Callable[..., Imported]) -> None:
    """It lists no token that ends inside a character; the token that ends it is listed with the bytes of all."""
    prompt, text = "The", " 👋 cat"
    row, ids = engine.llama_cpp(prompt, text), gpt2.tokenizer(text)["input_ids"]
    wave = [place for place, one in enumerate(row["completion_probabilities"]) if "\ufffd" in one["token"]]
    assert len(wave) > 1
    last = row["completion_probabilities"][wave[-1]]
    last |= {"token": " 👋", "bytes": list(" 👋".encode())}
    for one in row["completion_probabilities"]:
        one["top_logprobs"] = []
    row["completion_probabilities"] = [
        one for place, one in enumerate(row["completion_probabilities"]) if place not in wave[:-1]
    ]
    for tokens in ([], ids):
        imported = dump({**row, "tokens": tokens})
        assert imported.text.passages == (prompt + text,)
        missing = [1 + place for place in wave[:-1]]
        assert np.flatnonzero(~imported.scores.scored).tolist() == [0, *missing]
    unfinished = {**row, "content": " \ufffd", "tokens": ids[: wave[-1]], "completion_probabilities": []}
    with pytest.raises(TextError, match=r"lists no token"):
        dump(unfinished)


def test_a_start_token_is_taken_off_and_recorded(bigram_bos: LoadedModel, dump: Callable[..., Imported]) -> None:
    with_bos = Engine(bigram_bos.network, bigram_bos.tokenizer, bos=[3])
    folder = str(bigram_bos.resolved.folder)
    own = tv.score(bigram_bos, tv.literal("abcab"))
    for form in WHOLE:
        imported = dump(getattr(with_bos, form)("abcab"), model=folder)
        assert imported.text.passages == ("abcab",)
        assert imported.scores.spec.bos_ids == (3,)
        np.testing.assert_allclose(imported.scores.logprob, own.logprob, atol=1e-5)
    without = Engine(bigram_bos.network, bigram_bos.tokenizer)
    for form in WHOLE:
        with pytest.raises(TextError, match=r"line 1 of '.*' does not begin with d, which the tokenizer of '.*' puts before"):
            dump(getattr(without, form)("abcab"), model=folder)
        assert dump(getattr(without, form)("abcab"), model=folder, bos="never").scores.spec.bos_ids == ()
        with pytest.raises(
            TextError, match=r"begins with d, which the tokenizer of '.*' does not put before a text with bos 'never'"
        ):
            dump(getattr(with_bos, form)("abcab"), model=folder, bos="never")
    row = with_bos.llama_cpp("ab", "cab")
    assert row["tokens_evaluated"] == 3
    assert dump(row, model=folder).scores.scored.tolist() == [False, False, True, True, True]
    with pytest.raises(TextError, match=r"does not begin with d"):
        dump({**row, "tokens_evaluated": 2}, model=folder)
    with pytest.raises(TextError, match=r"read 7 tokens before those it generated, and the prompt has 3 by the tokenizer"):
        dump({**row, "tokens_evaluated": 7}, model=folder)


def change(form: str, edit: Callable[[Row], object]) -> Callable[[Engine], Row]:
    def made(engine: Engine) -> Row:
        row = deepcopy(
            getattr(engine, form)(TEXTS[0]) if form in WHOLE else getattr(engine, form)("The cat sat", " on the mat.")
        )
        edit(row)
        return row

    return made


def completion(row: Row) -> Row:
    return row["choices"][0]["logprobs"]


def rolled(values: list[Any], by: int) -> list[Any]:
    return [*values[by:], *values[:by]]


def shift_strings(row: Row) -> None:
    completion(row)["token_logprobs"] = [None, *completion(row)["token_logprobs"][2:], -1.0]


def shift_vllm(row: Row) -> None:
    entries = row["prompt_logprobs"]
    row["prompt_logprobs"] = [None, *entries[2:], entries[1]]


def set_value(value: object, place: int = 2) -> Callable[[Row], None]:
    return lambda row: row["logprobs"].__setitem__(place, value)


# ruff: noqa: E501  one mistake per line, with what is said of it
MISTAKES = {
    "fewer log-probs": ("plain", lambda row: row["logprobs"].pop(), "has 7 ids and 6 logprobs: log-probs of the tokens after the"),
    "more log-probs": ("plain", lambda row: row["logprobs"].append(-1.0), "has 7 ids and 8 logprobs"),
    "NaN": ("plain", set_value(float("nan")), "has NaN as the log-prob of token 2"),
    "above 0": ("plain", set_value(0.7), "has 0.7 as the log-prob of token 2: a log-prob is not above 0"),
    "a string": ("plain", set_value("-1"), "has '-1' as the log-prob of token 2: a number or null is expected"),
    "true": ("plain", set_value(True), "has True as the log-prob of token 2"),
    "masked": ("plain", set_value(-9999.0), "has -9999 as the log-prob of token 2: engines write that for a token that was masked"),
    "infinite": ("plain", set_value(float("-inf")), "has -inf as the log-prob of token 2: engines write that"),
    "0.0 first": ("plain", set_value(0.0, 0), "has 0.0 for its first token, before which nothing stands"),
    "a value first": ("plain", set_value(-2.0, 0), "has a log-prob (-2) for its first token, before which nothing stands"),
    "a gap": ("plain", set_value(None, 3), "has no log-prob for token 3"),
    "two missing": ("plain", set_value(None, 1), "has no log-prob for token 1: it is shifted by one"),
    "nothing": ("plain", lambda row: row.update(logprobs=[None] * 7), "has no log-prob at all"),
    "labels at t + 1": (
        "plain", lambda row: row.update(logprobs=rolled(row["logprobs"], 1)),
        "is shifted by one: the last token has no log-prob and the first has one",
    ),
    "an id too many": ("plain", lambda row: row["ids"].__setitem__(2, 60000), "has token id 60000 at token 2, and the tokenizer of"),
    "a negative id": ("plain", lambda row: row["ids"].__setitem__(2, -1), "has -1 at token 2 of ids: a token id is expected"),
    "another id": ("plain", lambda row: row["ids"].__setitem__(2, 11), "has ids that do not give back its text: at token 2 it has"),
    "another text": ("plain", lambda row: row.update(text="The cat sat on a mat."), "has ids that do not give back its text"),
    "no such token": ("plain_strings", lambda row: row["tokens"].__setitem__(2, " zzqqzz"), "has ' zzqqzz' as token 2"),
    "vLLM, shifted": ("vllm", shift_vllm, "is shifted by one: each entry of prompt_logprobs holds the token after its own place"),
    "vLLM, shifted back": (
        "vllm", lambda row: row.update(prompt_logprobs=[None, None, *row["prompt_logprobs"][1:-1]]),
        "is shifted by one: each entry of prompt_logprobs holds the token before its own place",
    ),
    "vLLM, fewer ids": ("vllm", lambda row: row["prompt_token_ids"].pop(), "has 6 prompt_token_ids and 7 prompt_logprobs"),
    "vLLM, no null": ("vllm", lambda row: row["prompt_logprobs"].pop(0), "has 7 prompt_token_ids and 6 prompt_logprobs"),
    "vLLM, decoded otherwise": (
        "vllm", lambda row: row["prompt_logprobs"][1][str(row["prompt_token_ids"][1])].update(decoded_token=" dog"),
        "writes token 1, id 3797, as ' dog', and in the tokenizer of",
    ),
    "SGLang, a part": (
        "sglang", lambda row: row["meta_info"].update(prompt_tokens=12),
        "has log-probs of 7 tokens of a prompt of 12: ask SGLang for all with logprob_start_len=0",
    ),
    "SGLang, tops": (
        "sglang", lambda row: row["meta_info"]["input_top_logprobs"].pop(), "has 7 input_token_logprobs and 6 input_top_logprobs",
    ),
    "SGLang, 0.0 first": (
        "sglang", lambda row: row["meta_info"]["input_token_logprobs"].__setitem__(0, [0.0, 464, None]), "has 0.0 for its first token",
    ),
    "OpenAI, shifted": ("openai", shift_strings, "is shifted by one: its log-probs are those that the alternatives give"),
    "OpenAI, lengths": ("openai", lambda row: completion(row)["token_logprobs"].pop(), "has 7 tokens and 6 token_logprobs"),
    "OpenAI, offsets": ("openai", lambda row: completion(row)["text_offset"].pop(), "has 7 tokens and 6 text_offset"),
    "OpenAI, two values": (
        "openai", lambda row: completion(row)["token_logprobs"].__setitem__(3, -0.25), "has two values for token 3, ' on': -0.25, and",
    ),
    "OpenAI, likelier and not listed": (
        "openai", lambda row: completion(row)["top_logprobs"].__setitem__(3, {" the": -20.0, " a": -30.0}),
        "for token 3, ' on', which is likelier than some of the alternatives and is not among them",
    ),
    "llama.cpp, sampled": (
        "llama_cpp", lambda row: row["completion_probabilities"][0].update(prob=0.5),
        "has probabilities after sampling (top-k, top-p, temperature), which are not the model's",
    ),
    "llama.cpp, old": (
        "llama_cpp", lambda row: row.update(completion_probabilities=[{"content": " on", "probs": [{"tok_str": " on", "prob": 1}]}]),
        "is of a llama.cpp before December 2024",
    ),
    "llama.cpp, no prompt": ("llama_cpp", lambda row: row.pop("prompt"), "has no prompt, and its log-probs are of what was generated"),
    "llama.cpp, bytes": (
        "llama_cpp", lambda row: row["completion_probabilities"][0].update(bytes=[300]), "has [300] as the bytes of token 0",
    ),
    "no form": ("plain", lambda row: row.pop("logprobs"), "has log-probs in no known form: there is no prompt_logprobs (vLLM)"),
    "no token": ("plain", lambda row: row.update(ids=[], logprobs=[]), "lists no token"),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_planted_mistake_is_refused_with_its_row(
    mistake: str, engine: Engine, gpt2: LoadedModel, dump: Callable[..., Imported]
) -> None:
    form, edit, message = MISTAKES[mistake]
    bad = change(form, edit)(engine)
    whole = [getattr(engine, form)(text) if form in WHOLE else engine.llama_cpp("The", text) for text in (" cat.", " dog.")]
    with pytest.raises(TextError) as caught:
        dump(whole[0], bad, whole[1])
    said = str(caught.value)
    assert said.startswith("line 2 of '")
    assert said.split("' ", 1)[1].startswith(message) or message in said
    assert said.endswith("; --skip-bad leaves such rows out")
    assert "\n" not in said
    imported = dump(whole[0], bad, whole[1], skip_bad=True)
    assert imported.text.passages == ((" cat.", " dog.") if form in WHOLE else ("The cat.", "The dog."))
    assert len(imported.skipped) == 1
    assert imported.skipped[0] == said.removesuffix("; --skip-bad leaves such rows out")


def test_a_line_that_is_no_json_is_a_bad_row(engine: Engine, dump: Callable[..., Imported]) -> None:
    row = engine.plain(TEXTS[0])
    cut = json.dumps(row)[:-20]
    with pytest.raises(TextError, match=r"^line 2 of '.*' is not JSON: .* at column \d+; --skip-bad"):
        dump(row, cut)
    assert len(dump(row, cut, skip_bad=True).text.passages) == 1
    with pytest.raises(TextError, match=r"has no row that can be imported: line 1 of '.*' is not JSON"):
        dump(cut, skip_bad=True)
    with pytest.raises(TextError, match=r"^line 1 of '.*' is no JSON object"):
        dump("7")


def test_files_are_refused_in_a_line(tmp_path: Path, dump: Callable[..., Imported]) -> None:
    for name, content, message in (
        (
            "a.csv",
            b"x",
            r"cannot read '.*' as a dump: a file ends in \.jsonl, \.ndjson, \.json, with \.gz or \.zst after it where it is "
            r"compressed, or in \.parquet where it is a token table$",
        ),
        ("a.jsonl.gz", b"{}", r"'.*' is not gzip, as its name says: it begins with b'{}'$"),
        (
            "b.jsonl.gz",
            gzip.compress(b"{}" * 99)[:-9],
            r"'.*' ends too early: its end was cut off, as by a download that stopped$",
        ),
        ("a.jsonl", b" \n", r"'.*' is empty: it has no row$"),
        ("b.jsonl", b"\xff\xfea\0", r"UTF-16"),
        ("a.json", b"{", r"^'.*' is not JSON: "),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(TextError, match=message):
            import_scores(tmp_path / name, "glass-en")
    with pytest.raises(TextError, match=r"cannot read '.*': No such file"):
        import_scores(tmp_path / "none.jsonl", "glass-en")
    with pytest.raises(TextError, match=r"no dump at 'llama': give a file, or a sample: llama_cpp; did you mean 'llama_cpp'\?"):
        import_scores("llama", "glass-en")


def test_a_dump_may_be_compressed_and_at_an_address(tmp_path: Path, bigram: LoadedModel) -> None:
    rows = [{"engine": "mine 1", "text": text, "tokens": list(text), "logprobs": [None, -1.5, -0.5]} for text in ("abc", "dab")]
    lines, document = ("\n".join(map(json.dumps, rows))).encode(), json.dumps(rows).encode()
    files = fsspec.filesystem("memory")
    contents = {"d.jsonl": lines, "d.jsonl.gz": gzip.compress(lines), "d.json": document, "d.json.gz": gzip.compress(document)}
    contents["d.ndjson.zst"] = pa.compress(lines, "zstd", asbytes=True)
    found = []
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
        files.pipe_file(f"/dumps/{name}", content)
        found += [import_scores(tmp_path / name, bigram.label), import_scores(f"memory://dumps/{name}", bigram.label)]
    for one in found:
        assert_same_bits(one.scores, found[0].scores)
        assert one.text == found[0].text
    # Runs of the same dump are found by this hash.
    assert found[0].scores.spec.identity == "imported: sha256:729ee3ef924b44b42e2d455b90c063759dee30ec94cb6612019c51b87a20948f"
    with pytest.raises(
        TextError, match=r"^'memory://dumps/d\.parquet' is a token table at an address: copy it to this disk, and "
    ):
        import_scores("memory://dumps/d.parquet", bigram.label, text=found[0].text)
    files.rm("/dumps", recursive=True)


def test_one_file_is_of_one_engine(engine: Engine, dump: Callable[..., Imported]) -> None:
    rows = [engine.plain(TEXTS[0]), {**engine.plain(TEXTS[1]), "engine": "other 2"}]
    with pytest.raises(
        TextError, match=r"^line 2 of '.*' is of other 2, and rows before it are of mine 1\.0: one file, one engine"
    ):
        dump(*rows)
    assert dump(*rows, engine="both 3").scores.spec.source == "imported: both 3"


def test_answers_in_lists_and_choices_are_passages(engine: Engine, dump: Callable[..., Imported]) -> None:
    first, second = (engine.openai(text) for text in TEXTS[:2])
    both = {"choices": [*first["choices"], *second["choices"]]}
    assert dump(both).text.passages == TEXTS[:2]
    completion({"choices": both["choices"][1:]})["token_logprobs"][2] = 3.0
    with pytest.raises(TextError, match=r"has 3 as the log-prob of token 2"):
        dump(both)
    assert dump([engine.sglang(text) for text in TEXTS]).text.passages == TEXTS
    assert dump(json.dumps([engine.vllm(text) for text in TEXTS]), name="dump.json").text.passages == TEXTS


def test_passages_keep_the_names_of_a_batch(engine: Engine, dump: Callable[..., Imported]) -> None:
    rows = [
        {"custom_id": f"q{place}", "response": {"status_code": 200, "body": engine.openai(text)}}
        for place, text in enumerate(TEXTS)
    ]
    assert dump(*rows).text.passage_ids == ("q0", "q1", "q2")
    assert dump(*(engine.vllm(text) for text in TEXTS)).text.passage_ids == ()  # an id of each request names no passage


def test_rows_are_held_against_a_text_that_is_given(engine: Engine, gpt2: LoadedModel, dump: Callable[..., Imported]) -> None:
    text = tv.read_text(corpus_of(dump, TEXTS))
    longer = [engine.openai(f"{one} And so on.") for one in TEXTS]
    imported = dump(*longer, text=text)
    assert imported.text is text
    own = tv.score(gpt2, text)
    np.testing.assert_allclose(imported.scores.logprob, own.logprob, atol=1e-4)
    with pytest.raises(
        TextError, match=r"^line 2 of '.*' is of another text than the passage 'Thủ đô .*': at token \d+ it has"
    ):
        dump(*(engine.vllm(TEXTS[place]) for place in (0, 2, 1)), text=text)
    with pytest.raises(TextError, match=r"^'.*' has 2 passages, and 'texts' has 3$"):
        dump(*longer[:2], text=text)
    with pytest.raises(TextError, match=r"^line 4 of '.*' comes after the last of the 3 passages of 'texts'$"):
        dump(*longer, longer[0], text=text)
    kept = dump(longer[0], "no JSON", longer[2], text=text, skip_bad=True).scores
    assert kept.text_sha256 == text.sha256
    assert not kept.scored[kept.passage == 1].any()
    assert tv.compare(own, kept).n == kept.scored.sum() > 0


def corpus_of(dump: object, passages: tuple[str, ...]) -> Path:
    path = Path("texts.jsonl").resolve()
    path.write_text("\n".join(json.dumps({"text": one}) for one in passages))
    return path


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_generated_tokens_belong_to_the_text_on_request(engine: Engine, dump: Callable[..., Imported]) -> None:
    row = engine.openai("The cat sat on the mat. And")
    row["usage"] = {"prompt_tokens": 7, "completion_tokens": 1}
    assert dump(row).text.passages == ("The cat sat on the mat.",)
    assert dump({**row, "prompt": "The cat sat on the mat."}).text.passages == ("The cat sat on the mat.",)
    assert dump(row, generated=True).text.passages == ("The cat sat on the mat. And",)
    sglang = engine.sglang(TEXTS[0])
    assert dump(sglang).text.passages == TEXTS[:1]
    assert dump(sglang, generated=True).text.passages == (f"{TEXTS[0]}.",)


def test_other_cuts_of_a_text_are_taken_and_compared_over_segments(
    gpt2: LoadedModel, dump: Callable[..., Imported], engine: Engine
) -> None:
    ids = [gpt2.tokenizer.convert_tokens_to_ids(one) for one in ("The", "Ġc", "at", "Ġsat")]
    imported = dump({"text": "The cat sat", "ids": ids, "logprobs": [None, -1.0, -2.0, -0.5]})
    assert imported.scores.token == ("The", " c", "at", " sat")
    compared = tv.compare(imported.scores, tv.score(gpt2, imported.text))
    assert compared.unit == "segment"
    assert compared.units.logprob_a[1] == -3.0


def test_strings_of_bytes_and_of_ids_are_read(engine: Engine, gpt2: LoadedModel, dump: Callable[..., Imported]) -> None:
    text = "Hi 👋"
    row = engine.openai(text)
    completion(row)["top_logprobs"] = None
    ids = gpt2.tokenizer(text)["input_ids"]
    pieces = gpt2.tokenizer.convert_ids_to_tokens(ids)
    from transformers.convert_slow_tokenizer import bytes_to_unicode  # transformers' own table

    letters = {letter: byte for byte, letter in bytes_to_unicode().items()}
    escaped = ["bytes:" + "".join(f"\\x{letters[sign]:02x}" for sign in piece) for piece in pieces]
    for strings in ([f"token_id:{one}" for one in ids], escaped):
        completion(row)["tokens"] = strings
        imported = dump(row)
        assert imported.text.passages == (text,)
        assert imported.scores.token_id.tolist() == ids
    nameless = engine.plain_strings(text)
    del nameless["text"]
    with pytest.raises(
        TextError, match=r"has '.*\ufffd' as token 1, and in the tokenizer of '.*' that is bytes that are no char"
    ):
        dump(nameless)


def test_ranks_of_an_older_vllm_are_no_ranks(engine: Engine, dump: Callable[..., Imported]) -> None:
    row = engine.vllm(TEXTS[0])
    for entry in row["prompt_logprobs"][1:]:
        for one in entry.values():
            one["rank"] = min(one["rank"], K + 1)
    found = dump(row).scores
    own = engine.vllm(TEXTS[0])["prompt_logprobs"]
    ranks = [own[place][str(number)]["rank"] for place, number in enumerate(found.token_id) if place]
    assert [None if np.isnan(rank) else rank for rank in found.rank[1:]] == [rank if rank <= K else None for rank in ranks]
    assert max(ranks) > K + 1


@pytest.mark.slow
def test_imports_are_score_runs_that_everything_works_on(
    project: Path, monkeypatch: pytest.MonkeyPatch, engine: Engine, gpt2_folder: Path, run: Run
) -> None:
    draw_in_no_time(monkeypatch)
    path = project / "rollouts.jsonl"
    path.write_text("\n".join(json.dumps(engine.vllm(text)) for text in TEXTS))

    def compared(**options: Any) -> tv.GridResult:
        imported = import_scores(path, str(gpt2_folder), engine="vLLM 0.11.0", name="rollout", **options)
        with running(ExperimentContext("trial")):
            grid = tv.Grid([str(gpt2_folder)], [], top_k=3, imported=[imported])
            grid.score()
            grid.compare()
            return grid.summarise("Found.")

    first, again = compared(), compared()
    own, rollout = first.scores
    assert (own.model, rollout.model) == (str(gpt2_folder), "rollout")
    assert [run.reused for run in again.scores] == [True, True]
    assert len({run.fingerprint for run in first.scores}) == 2
    (comparison,) = first.comparisons
    assert comparison.metrics["pearson_r"] > 0.999999
    table = engine_differences([comparison.comparison])
    units = comparison.comparison.units
    assert table["mean_absolute_difference"].item() == pytest.approx(np.nanmean(abs(units.logprob_b - units.logprob_a)))
    runs = tv.load_runs(where="kind=score and model=rollout")
    assert runs["source"].item() == "imported: vLLM 0.11.0"
    assert "mean_entropy" not in runs or np.isnan(runs["mean_entropy"].item())
    assert "scoring_seconds" not in runs or np.isnan(runs["scoring_seconds"].item())
    with collecting() as notices:
        read = tv.load_scores(runs.iloc[0])
    assert notices == []  # no word of the scoring version, which an import has none of
    np.testing.assert_array_equal(read.logprob, rollout.scores.logprob)
    with pytest.raises(StoreError, match=r"holds log-probs that another engine computed \(imported: vLLM 0\.11\.0\): nothing"):
        rerun(rollout.run_id, open_store())
    (made,) = rerun(comparison.run_id, open_store())
    assert made.agrees(1e-6)
    row = json.loads(path.read_text().splitlines()[0])
    row["prompt_logprobs"][2][str(row["prompt_token_ids"][2])]["logprob"] -= 1e-4
    path.write_text("\n".join([json.dumps(row), *path.read_text().splitlines()[1:]]))
    assert [run.reused for run in compared().scores] == [True, False]
    code, out, err = run("import-scores", str(path), "--model", str(gpt2_folder), "--track", "kept", "--json")
    assert code == 0, err
    assert json.loads(out)["model"]["source"] == "imported: vLLM"
    assert "kept as run" in err
    assert len(tv.load_runs("kept")) == 1


def test_only_a_tokenizer_is_needed(engine: Engine, gpt2: LoadedModel, dump: Callable[..., Imported], tmp_path: Path) -> None:
    gpt2.tokenizer.save_pretrained(tmp_path / "tokenizer")
    assert dump(engine.plain(TEXTS[0]), model=str(tmp_path / "tokenizer")).text.passages == TEXTS[:1]


def test_a_figure_of_what_an_import_lacks_is_refused_or_drawn_without_it(engine: Engine, dump: Callable[..., Imported]) -> None:
    scores = dump(engine.plain(TEXTS[0])).scores
    save_heatmap(scores, Path("heatmap"), formats=["html"])
    tv.save_report([scores], Path("report.html"))
    assert "rank nan" not in Path("heatmap.html").read_text()
    assert "nan" not in Path("heatmap.html").read_text().lower().replace("banana", "")
    words = tv.words(scores)
    assert np.isnan(words.corrected_logprob).all()
    assert "another engine's" in words.uncorrected


@pytest.mark.slow
def test_log_probs_of_a_real_engine_are_nearly_ours() -> None:
    """llama.cpp (xllamacpp 2026.10.11549) on the GGUF file of smollm2-135m; its activations are quantised."""
    imported = import_scores("llama_cpp", "smollm2-135m")
    assert imported.scores.spec.source == "imported: llama.cpp in xllamacpp 2026.10.11549"
    found = engine_differences([tv.compare(tv.score("smollm2-135m", imported.text, top_k=1), imported.scores)])
    assert found["n"].item() == 67
    assert found["pearson_r"].item() == pytest.approx(0.998, abs=0.001)
    assert found["mean_absolute_difference"].item() == pytest.approx(0.064, abs=0.005)
