"""Chats: the template applied once, the roles as spans, one BOS, and chats that no template takes refused in a line."""

import copy
import io
import json
import re
from dataclasses import replace
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from chat_templates import ASSISTANT, BOS, EOS, SYSTEM, TEMPLATES

import tokenviz as tv
from tokenviz.base.errors import TextError
from tokenviz.models.loading import LoadedModel
from tokenviz.models.tokens import bos_prefix, encode
from tokenviz.scoring.windows import pieces_of

TURNS = [
    {"role": "user", "content": "Hi, how are you?"},
    {"role": "assistant", "content": "Hello!"},
    {"role": "user", "content": "Xin chào các bạn"},
    {"role": "assistant", "content": "中文。\n"},
]
WITH_SYSTEM = [{"role": "system", "content": "Be brief."}, *TURNS]


def with_template(model: LoadedModel, template: str, *, own_bos: bool = False) -> LoadedModel:
    """The model, with a tokenizer that has a BOS, an EOS and this template."""
    tokenizer = copy.copy(with_ends(model.tokenizer, own_bos=own_bos))
    tokenizer.chat_template = template
    return replace(model, tokenizer=tokenizer)


@cache
def with_ends(tokenizer: Any, *, own_bos: bool) -> Any:
    """A copy of a tokenizer, with a BOS and an EOS; copying its vocabulary takes longer than most of these tests."""
    from tokenizers import processors

    tokenizer = copy.deepcopy(tokenizer)
    tokenizer.add_special_tokens({"bos_token": BOS, "eos_token": EOS})
    if own_bos:
        number = tokenizer.convert_tokens_to_ids(BOS)
        tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{BOS} $A", special_tokens=[(BOS, number)]
        )
    return tokenizer


def spans_of(text: tv.Text) -> list[tuple[str, str]]:
    return [(span.name, text.passages[0][span.start : span.end]) for span in text.spans[0]]


@pytest.mark.parametrize("family", TEMPLATES)
@pytest.mark.parametrize("system", [False, True])
def test_the_roles_of_every_family_are_found(gpt2: LoadedModel, family: str, *, system: bool) -> None:
    if system and not SYSTEM[family]:
        with pytest.raises(TextError, match=r"^chat 1: the chat template of '.*' refuses it: System role not supported$"):
            tv.chat_text(with_template(gpt2, TEMPLATES[family]), WITH_SYSTEM)
        return
    model, messages = with_template(gpt2, TEMPLATES[family]), WITH_SYSTEM if system else TURNS
    text = tv.chat_text(model, messages)
    assert text.passages[0] == model.tokenizer.apply_chat_template(messages, tokenize=False)
    expected = [
        *([("system", "Be brief.")] if system else []),
        ("user", "Hi, how are you?"), ("assistant", ASSISTANT[family][0]),
        ("user", "Xin chào các bạn"), ("assistant", ASSISTANT[family][1]),
    ]  # fmt: skip
    assert spans_of(text) == expected
    assert text.chat_template_sha256 == sha256(TEMPLATES[family].encode()).hexdigest()


@pytest.mark.parametrize("family", ["chatml", "llama3", "granite"])
def test_a_template_with_generation_marks_gives_the_same_spans(gpt2: LoadedModel, family: str) -> None:
    plain, end = TEMPLATES[family], {"chatml": "<|im_end|>", "llama3": "<|eot_id|>", "granite": "<|end_of_text|>"}[family]
    content = "m.content | trim" if family == "llama3" else "m.content"
    header = {
        "chatml": "'<|im_start|>' + m.role + '\\n'",
        "llama3": "'<|start_header_id|>' + m.role + '<|end_header_id|>\\n\\n'",
        "granite": "'<|start_of_role|>' + m.role + '<|end_of_role|>'",
    }[family]
    tail = "" if family == "llama3" else "{{ '\\n' }}"
    body = (
        f"{{{{ {header} }}}}{{% if m.role == 'assistant' %}}{{% generation %}}{{{{ {content} + '{end}' }}}}"
        f"{{% endgeneration %}}{{% else %}}{{{{ {content} + '{end}' }}}}{{% endif %}}{tail}"
    )
    start, stop = plain.index("{% for"), plain.index("{% endfor %}")
    marked = plain[:start] + "{% for m in messages %}" + body + plain[stop:]
    model = with_template(gpt2, marked)
    ours, theirs = tv.chat_text(model, TURNS), tv.chat_text(with_template(gpt2, plain), TURNS)
    assert ours.passages == theirs.passages
    assert ours.spans == theirs.spans
    # The mask of transformers, from the marks, covers the tokens that are in our spans.
    encoded = model.tokenizer.apply_chat_template(TURNS, tokenize=True, return_dict=True, return_assistant_tokens_mask=True)
    cut = encode(model.tokenizer, theirs.passages[0])
    own = [span for span in theirs.spans[0] if span.name == "assistant"]
    # GPT-2 has a token "><", which reaches over the end of a turn: of the mask it is in both, of ours in the later.
    touched = [
        any(span.start < end and start < span.end for span in own) for start, end in zip(cut.starts, cut.ends, strict=True)
    ]
    assert [bool(one) for one in encoded["assistant_masks"]] == touched


def test_a_template_without_marks_gives_spans_where_transformers_masks_nothing(gpt2: LoadedModel) -> None:
    model = with_template(gpt2, TEMPLATES["chatml"])
    assert [name for name, _ in spans_of(tv.chat_text(model, TURNS))] == ["user", "assistant"] * 2


def test_thoughts_that_a_template_leaves_out_are_in_no_span(gpt2: LoadedModel) -> None:
    thinking = copy.deepcopy(TURNS)
    for turn in thinking[1::2]:
        turn["content"] = f"<think>\nHm.\n</think>\n\n{turn['content']}"
    found = spans_of(tv.chat_text(with_template(gpt2, TEMPLATES["qwen3"]), thinking))
    assert found[1] == ("assistant", "Hello!<|im_end|>")
    assert found[3] == ("assistant", "<think>\nHm.\n</think>\n\n中文。\n<|im_end|>")


@pytest.mark.parametrize("family", ["llama3", "gemma", "mistral"])
@pytest.mark.parametrize("own_bos", [False, True])
@pytest.mark.parametrize("bos", ["auto", "always"])
def test_there_is_one_bos(gpt2: LoadedModel, monkeypatch: pytest.MonkeyPatch, family: str, bos: str, *, own_bos: bool) -> None:
    model = with_template(gpt2, TEMPLATES[family], own_bos=own_bos)
    number = model.tokenizer.convert_tokens_to_ids(BOS)
    text = tv.chat_text(model, TURNS)
    prefix = bos_prefix(model.tokenizer, bos, "m")
    [piece] = pieces_of([encode(model.tokenizer, text.passages[0])], prefix, context=256, stride=128)
    assert piece.ids.tolist().count(number) == 1
    assert piece.ids[0] == number


def test_spans_of_a_chat_are_summed(gpt2: LoadedModel) -> None:
    text = tv.chat_text(with_template(gpt2, TEMPLATES["chatml"]), TURNS)
    scores = tv.score(gpt2, text)
    table = tv.span_table(scores)
    assert table["span"].tolist() == ["", "user", "", "assistant", "", "user", "", "assistant", ""]
    assert table["logprob"].sum() == pytest.approx(np.nansum(scores.logprob), rel=1e-12)


def write(folder: Path, *rows: Any, form: str = "jsonl") -> Path:
    path = folder / f"chats.{form}"
    if form == "parquet":
        pd.DataFrame(list(rows)).to_parquet(path)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
def test_chats_are_read_from_files(gpt2: LoadedModel, tmp_path: Path, form: str) -> None:
    path = write(tmp_path, {"id": "a", "messages": TURNS[:2]}, {"id": "b", "messages": TURNS[2:]}, form=form)
    text = tv.chat_text(with_template(gpt2, TEMPLATES["chatml"]), path)
    assert (text.name, text.passage_ids) == ("chats", ("a", "b"))
    assert [[span.name for span in own] for own in text.spans] == [["user", "assistant"]] * 2


BAD_ROWS = [
    ({"messages": []}, "has nothing for messages: give a list of objects with role and content"),
    ({"messages": None}, "has nothing for messages: give a list of objects with role and content"),
    ({"messages": "Hi"}, "has a str for messages: give a list of objects with role and content"),
    ({"messages": [{"role": "user"}]}, "message 1 is not an object with role and content"),
    ({"messages": ["Hi"]}, "message 1 is not an object with role and content"),
    (
        {"messages": [*TURNS[:1], {"role": "assistent", "content": "x"}]},
        "message 2 has the role 'assistent': take system, developer, user, assistant, tool; did you mean 'assistant'?",
    ),
    ({"messages": [{"role": "user", "content": ""}]}, "message 1 has no content: give a string"),
    ({"messages": [{"role": "user", "content": None}]}, "message 1 has no content: give a string"),
    (
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "x"}]}]},
        "message 1 has a list for content: give a string; join its parts of type 'text'",
    ),
    (
        {"messages": [TURNS[0], {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "f"}}]}]},
        "message 2 has tool_calls: only the content of a message is scored; write the call into it",
    ),
    (
        {"messages": [TURNS[0], {"role": "assistant", "content": "x", "function_call": {"name": "f"}}]},
        "message 2 has function_call: only the content of a message is scored; write the call into it",
    ),
    ({"messages": TURNS[1:3]}, "the chat template of 'M' refuses it: Conversation roles must alternate user/assistant"),
    ({"messages": [{"role": "user", "content": "a\ud83d"}]}, "has a lone surrogate at character"),
    ({"messages": [{"role": "user", "content": "  "}]}, "message 1, of the role 'user', is not in what the template makes"),
]


@pytest.mark.parametrize(("row", "message"), BAD_ROWS)
def test_a_bad_chat_is_named_and_left_out_on_request(
    gpt2: LoadedModel, tmp_path: Path, row: Any, message: str, caplog: pytest.LogCaptureFixture
) -> None:
    model = with_template(gpt2, TEMPLATES["llama2"])
    path = write(tmp_path, {"messages": TURNS}, row, {"messages": TURNS[:2]})
    message = re.escape(message.replace("'M'", repr(model.label)))
    with pytest.raises(
        TextError, match=f"^line 2 of {re.escape(repr(str(path)))}:? {message}.*; --skip-bad leaves such rows out"
    ):
        tv.chat_text(model, path)
    text = tv.chat_text(model, path, skip_bad=True)
    assert len(text.passages) == 2
    assert "1 of 3 chats of chats are left out: line 2 of" in caplog.text


def test_a_line_that_is_not_json_is_a_bad_chat(gpt2: LoadedModel, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    model = with_template(gpt2, TEMPLATES["llama2"])
    path = write(tmp_path, {"messages": TURNS})
    path.write_text("{\n" + path.read_text(encoding="utf-8"), encoding="utf-8")
    with pytest.raises(TextError, match=r"^line 1 of .* is not JSON: .*; --skip-bad leaves such rows out$"):
        tv.chat_text(model, path)
    assert len(tv.chat_text(model, path, skip_bad=True).passages) == 1
    assert "1 of 2 chats of chats are left out: line 1 of" in caplog.text


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "x.csv",
            "messages\n",
            "cannot read .* as chats: a file ends in .jsonl, .jsonl.gz, .jsonl.zst or .parquet and has a column 'messages'",
        ),
        ("x.jsonl", '{"message": []}\n', "line 1 of .* has no column 'messages': it has 'message'; did you mean 'message'"),
        ("x.jsonl", "", "has no chat that can be scored"),
        ("x.jsonl", "[", "line 1 of .* is not JSON"),
        ("missing.jsonl", None, "cannot read .*: No such file or directory"),
    ],
)
def test_a_file_without_chats_is_refused(
    gpt2: LoadedModel, tmp_path: Path, name: str, content: str | None, message: str
) -> None:
    if content is not None:
        (tmp_path / name).write_text(content, encoding="utf-8")
    with pytest.raises(TextError, match=message):
        tv.chat_text(with_template(gpt2, TEMPLATES["chatml"]), tmp_path / name, skip_bad=True)


@pytest.mark.parametrize(
    "template", ["{{ 1 / 0 }}", "{{ messages[0].content + 1 }}", "{% if %}", "{{ messages[9].content.x }}"]
)
def test_a_template_that_raises_is_one_line_with_the_row(gpt2: LoadedModel, tmp_path: Path, template: str) -> None:
    model = with_template(gpt2, template)
    path = write(tmp_path, {"messages": TURNS})
    with pytest.raises(TextError, match=r"^line 1 of '.*': the chat template of '.*' refuses it: [^\n]+$"):
        tv.chat_text(model, path)


def test_a_template_that_leaves_a_message_out_is_refused(gpt2: LoadedModel) -> None:
    template = "{% for m in messages %}{% if m.role != 'system' %}{{ m.role + ': ' + m.content + '\n' }}{% endif %}{% endfor %}"
    message = r"^chat 1: message 1, of the role 'system', is not in what the template makes of the chat$"
    with pytest.raises(TextError, match=message):
        tv.chat_text(with_template(gpt2, template), WITH_SYSTEM)


def test_calls_that_are_none_are_nothing(gpt2: LoadedModel) -> None:
    none = [{**message, "tool_calls": calls} for message, calls in zip(TURNS, (None, [], None, []), strict=True)]
    model = with_template(gpt2, TEMPLATES["chatml"])
    assert tv.chat_text(model, none) == tv.chat_text(model, TURNS)


@pytest.mark.slow
def test_the_command_scores_a_chat(run: Any, gpt2: LoadedModel, gpt2_folder: Path, project: Path) -> None:
    import shutil

    shutil.copytree(gpt2_folder, project / "chatty")
    config = json.loads((project / "chatty" / "tokenizer_config.json").read_text(encoding="utf-8"))
    config["chat_template"] = TEMPLATES["chatml"]
    (project / "chatty" / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    write(project, {"messages": TURNS})
    code, out, _ = run("score", "-m", "chatty", "--chat", "chats.jsonl", "--by", "span", "--json")
    assert code == 0
    [entry] = json.loads(out)["texts"]
    assert entry["chat_template_sha256"] == sha256(TEMPLATES["chatml"].encode()).hexdigest()
    assert [row["span"] for row in entry["spans"]][1::2] == ["user", "assistant", "user", "assistant"]
    assert tv.chat_text("chatty", "chats.jsonl") == tv.chat_text(tv.load_model("chatty"), "chats.jsonl")  # the tokenizer alone

    write(project, {"messages": TURNS}, {"messages": []}, {"messages": TURNS[:2]})
    code, out, error = run("score", "-m", "chatty", "--chat", "chats.jsonl", "--by", "span", "--csv")
    assert (code, out, error.count("\n"), "line 2 of 'chats.jsonl' has nothing for messages" in error) == (1, "", 1, True)
    both = ("-m", "chatty", "-m", "glass-en", "--chat", "chats.jsonl", "--skip-bad")
    code, out, error = run("compare", *both, "--by", "span", "--csv")
    assert (code, "1 of 3 chats of chats are left out: line 2 of" in error) == (0, True)
    assert "the chats are written by the template of 'chatty', for all models" in error
    table = pd.read_csv(io.StringIO(out))
    assert table["span"].dropna().tolist() == ["user", "assistant"] * 3
    assert table["text_name"].unique().tolist() == ["chats"]
    code, out, _ = run("report", *both, "--to", "chats.html")
    assert (code, out) == (0, "chats.html\n")
    page = (project / "chats.html").read_text(encoding="utf-8")
    assert "chatty, glass-en on the chats of “chats”" in page
    assert '"name":"chat 2"' in page
    assert page.count('"marks":[{"name":"user"') == 2
    for command in ("compare", "report"):
        code, _, error = run(command, "-m", "chatty", "-m", "glass-en", "-t", "x", "--skip-bad")
        assert (code, "--skip-bad needs --spans or --chat" in re.sub(r"[\s│]+", " ", error)) == (2, True)
    code, _, error = run("report", "-m", "chatty", "--by", "item", "x.csv", "--chat")
    assert (code, "the table says what its parts are: leave out --chat" in re.sub(r"[\s│]+", " ", error)) == (2, True)
    code, _, error = run("score", "-m", "chatty", "--chat", "chats.jsonl", "--column", "x")
    assert (code, "chats are in the column messages: leave out --column" in re.sub(r"[\s│]+", " ", error)) == (2, True)
    code, _, error = run("score", "-m", "chatty", "--chat", "-t", "x")
    assert (code, "--chat takes .jsonl or .parquet files with messages" in re.sub(r"[\s│]+", " ", error)) == (2, True)
    code, _, error = run("score", "-m", "glass-en", "--chat", "chats.jsonl")
    assert (code, "'glass-en' has no chat template" in error) == (1, True)
