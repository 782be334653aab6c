"""Chats: lists of messages, rendered to one string by the model's own template, with the roles as spans.

The template is applied once, in the sandbox of transformers (Jinja), and its output is scored literally: a BOS that it writes
is not doubled. The assistant's part is found by rendering more and fewer messages. The template's own marks ({% generation %})
are not used: most templates have none, and then a mask made from them silently covers nothing, or everything.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any, Protocol

from tokenviz.base.disk import samples_folder
from tokenviz.base.errors import ModelError, TextError, did_you_mean, listed
from tokenviz.base.progress import warn
from tokenviz.data.rows import rows_of
from tokenviz.data.sources import Source, source_at
from tokenviz.data.spans import Span
from tokenviz.data.texts import Text, corpus
from tokenviz.models.loading import load_tokenizer
from tokenviz.models.spec import ModelSpec

ROLES = ("system", "developer", "user", "assistant", "tool")

Message = Mapping[str, Any]
_COLUMN = "messages"
_CALLS = ("tool_calls", "function_call")
_MARK = "\ue000\ue001"  # private-use characters, which no message contains by chance


class Writer(Protocol):
    """A model, or only its tokenizer, whose template writes chats.

    Attributes:
        label: The model's label, for messages.
        tokenizer: The tokenizer, with its chat template.
    """

    @property
    def label(self) -> str: ...
    @property
    def tokenizer(self) -> Any: ...


@dataclass(frozen=True, eq=False)
class _Tokenizer:
    """A `Writer` without its model."""

    label: str
    tokenizer: Any


def chat_text(
    model: Writer | str, source: str | Path | Sequence[Message] | Sequence[Sequence[Message]], *, name: str | None = None,
    skip_bad: bool = False,
) -> Text:  # fmt: skip
    """Render chats with a model's template: one passage per chat, with spans named by the roles.

    Args:
        model: A model from `load_model`, or a model spec, of which only the tokenizer is read. Its template writes the chats.
        source: A JSONL or Parquet file with a column `messages`: lists of objects with `role` and `content`; an optional column
            `id` names the chats. Or the name of a sample in experiments/chats; or one chat, or several, as such lists.
        name: Name of the text; by default the file's, or "chat".
        skip_bad: Leave bad rows out and list them; by default one bad row refuses the file.

    Returns:
        The text. The span of an assistant's message is what the model itself would write: from the end of the prompt for its
        turn to the end of the turn, with the token that ends the turn and without the whitespace after that. Other spans are
        the messages' contents. What the template writes around them is in no span. `chat_template_sha256` is the SHA-256 of the
        template.

    Raises:
        ModelError: The model has no chat template.
        TextError: The file cannot be read; a row has no messages, or one without a role, whose content is no string, or with
            calls of tools; the template refuses a chat, or leaves one of its messages out.

    Example:
        >>> model = tv.load_model("smollm2-135m")
        >>> text = tv.chat_text(model, [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello!"}])
        >>> [(span.name, text.passages[0][span.start : span.end]) for span in text.spans[0]]
        [('user', 'Hi'), ('assistant', 'Hello!<|im_end|>')]
    """
    if isinstance(model, str):
        spec = ModelSpec.parse(model)
        model = _Tokenizer(spec.label, load_tokenizer(spec))
    if not hasattr(model, "tokenizer"):
        raise ModelError(f"a {type(model).__name__} is no model: give what load_model returns, or a model spec such as 'gpt2'")
    template = chat_template(model)
    chats, name = _chats(source, name)
    passages: list[str] = []
    spans: list[list[Span]] = []
    ids: list[str] = []
    skipped: list[str] = []
    for where, messages, own_id in chats:
        try:
            passage, found = render(model, _checked(messages, where), where)
            passage.encode("utf-8")
        except UnicodeEncodeError as error:
            skipped.append(f"{where} has a lone surrogate at character {error.start} of its text: it is no Unicode text")
        except TextError as error:
            skipped.append(str(error))
        else:
            passages.append(passage)
            spans.append(found)
            ids += [own_id] if own_id is not None else []
            continue
        if not skip_bad:
            raise TextError(f"{skipped[0]}{'; --skip-bad leaves such rows out' if isinstance(source, str | Path) else ''}")
    if not passages:
        why = f": {skipped[0]}" if skipped else ""
        raise TextError(f"{str(source)[:80]!r} has no chat that can be scored{why}")
    if skipped:
        warn(f"{len(skipped)} of {len(skipped) + len(passages)} chats of {name} are left out: {'; '.join(skipped[:20])}")
    text = corpus(passages, name=name, passage_ids=ids if len(ids) == len(passages) else None).with_spans(spans)
    return replace(text, chat_template_sha256=sha256(template.encode()).hexdigest())


def chat_template(model: Writer) -> str:
    """Return a model's chat template.

    Raises:
        ModelError: The model has no chat template.
    """
    if model.tokenizer.chat_template is None:
        raise ModelError(
            f"{model.label!r} has no chat template: take a model that was trained on chats, or give the text as it stands, "
            "without --chat"
        )
    return str(model.tokenizer.get_chat_template())


def render(model: Writer, messages: Sequence[Message], where: str) -> tuple[str, list[Span]]:
    """Render one chat, and return the string and the span of each message.

    Raises:
        TextError: The template refuses the chat, or leaves a message out.
    """
    whole = _rendered(model, messages, where)
    spans: list[Span] = []
    for number, message in enumerate(messages):
        role, found = str(message["role"]), _content(model, messages, number, whole)
        if found is None:
            raise TextError(
                f"{where}: message {number + 1}, of the role {role!r}, is not in what the template makes of the chat"
            )
        start, end = found
        if role == "assistant":
            invited = _prefix(model, messages[:number], whole)
            start = start if invited is None else min(start, invited)
            end += _common(_tail(model, messages[:number]), whole[end:], model)
        if spans and start < spans[-1].end:
            raise TextError(
                f"{where}: the template mixes message {number} and message {number + 1}, so that they have no spans"
            )
        spans.append(Span(role, start, end))
    return whole, spans


def _content(model: Writer, messages: Sequence[Message], number: int, whole: str) -> tuple[int, int] | None:
    """Return the range of a message's content: what changes when the content is replaced. None where it cannot be found."""
    others = [*messages[:number], {**messages[number], "content": _MARK}, *messages[number + 1 :]]
    try:
        before, mark, after = _rendered(model, others, "").partition(_MARK)
    except TextError:  # a template that looks into the content
        return None
    end = len(whole) - len(after)
    return (len(before), end) if mark and whole.startswith(before) and whole.endswith(after) and end > len(before) else None


def _tail(model: Writer, before: Sequence[Message]) -> str:
    """Return what ends an assistant's turn: what a template writes after it whether or not the user goes on."""
    turn, next_turn = {"role": "assistant", "content": _MARK}, {"role": "user", "content": "x"}
    try:
        last = _rendered(model, [*before, turn], "").partition(_MARK)[2]
        inner = _rendered(model, [*before, turn, next_turn], "").partition(_MARK)[2]
    except TextError:
        return ""
    return last[: _common(last, inner, model)].rstrip()


def _common(one: str, other: str, model: Writer) -> int:
    """Return the length of two strings' common beginning; it does not end within a special token of the first."""
    count = next(
        (place for place, pair in enumerate(zip(one, other, strict=False)) if len(set(pair)) > 1), min(len(one), len(other))
    )
    for token in model.tokenizer.all_special_tokens:
        place = one.find(token)
        while 0 <= place < count:
            if place + len(token) > count:
                count = place
            place = one.find(token, place + 1)
    return count


def _prefix(model: Writer, messages: Sequence[Message], whole: str) -> int | None:
    """Return the length of a chat up to where the assistant's turn begins; None where that is no beginning of the whole.

    Some templates open the assistant's thoughts in a prompt, and leave the thoughts out of past turns.
    """
    try:
        begun = _rendered(model, messages, "", add_generation_prompt=True)
    except TextError:
        return None
    return len(begun) if whole.startswith(begun) else None


def _rendered(model: Writer, messages: Sequence[Message], where: str, **options: bool) -> str:
    from jinja2 import TemplateError

    try:
        return str(model.tokenizer.apply_chat_template([dict(one) for one in messages], tokenize=False, **options))
    # Templates are programs: what they raise on purpose is a TemplateError; a type that they do not expect raises another.
    except (TemplateError, TypeError, ValueError, KeyError, IndexError, AttributeError, ArithmeticError) as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise TextError(f"{where}: the chat template of {model.label!r} refuses it: {reason}") from error


_Chats = Iterator[tuple[str, Any, str | None]]


def _chats(source: Any, name: str | None) -> tuple[_Chats, str]:
    """Return each chat as its place, its messages and its id; and the name of the text."""
    if not isinstance(source, str | os.PathLike):
        several = [source] if source and isinstance(source[0], Mapping) else list(source)
        return ((f"chat {number + 1}", one, None) for number, one in enumerate(several)), name or "chat"
    given = os.fspath(source)
    file, sample = source_at(given), samples_folder("chats") / f"{Path(given).name}.jsonl"
    if not file.suffix and file.files is None and not Path(file.path).exists() and sample.is_file():
        file = source_at(sample)
    if file.suffix not in (".jsonl", ".parquet") or (file.suffix == ".parquet" and file.packing):
        raise TextError(
            f"cannot read {str(file)!r} as chats: a file ends in .jsonl, .jsonl.gz, .jsonl.zst or .parquet and has a column "
            f"{_COLUMN!r}"
        )
    return _of_file(file), name or file.stem


def _of_file(file: Source) -> _Chats:
    try:
        bad: dict[int, str] = {}
        for where, row in rows_of(file, _COLUMN, bad=bad):
            if bad:
                yield where, TextError(bad.popitem()[1]), None
                continue
            if _COLUMN not in row:
                there = listed([repr(one[:40]) for one in row], 10) or "none"
                problem = f"{where} has no column {_COLUMN!r}: it has {there}{did_you_mean(_COLUMN, row)}"
                yield where, TextError(problem), None
                continue
            yield where, row[_COLUMN], None if row.get("id") is None else str(row["id"])
    except OSError as error:
        if isinstance(error, TextError):
            raise
        raise TextError(f"cannot read {str(file)!r}: {error.strerror or error}") from error


def _checked(messages: Any, where: str) -> list[Message]:
    if isinstance(messages, TextError):  # a row that could not be read
        raise messages
    if not isinstance(messages, list | tuple) or not messages:
        kind = "nothing" if messages is None or messages in ([], ()) else f"a {type(messages).__name__}"
        raise TextError(f"{where} has {kind} for messages: give a list of objects with role and content")
    for number, message in enumerate(messages, 1):
        if not isinstance(message, Mapping) or not {"role", "content"} <= message.keys():
            raise TextError(f"{where}: message {number} is not an object with role and content")
        if message["role"] not in ROLES:
            raise TextError(
                f"{where}: message {number} has the role {message['role']!r}: take {', '.join(ROLES)}"
                f"{did_you_mean(str(message['role']), ROLES)}"
            )
        # Many templates ignore calls. Others write them after the content, where no span would cover them.
        if calls := [name for name in _CALLS if message.get(name) not in (None, [], (), {}, "")]:
            raise TextError(
                f"{where}: message {number} has {calls[0]}: only the content of a message is scored; write the call into it"
            )
        if not isinstance(message["content"], str) or not message["content"]:
            kind = "no content" if not message["content"] else f"a {type(message['content']).__name__} for content"
            parts = "; join its parts of type 'text'" if isinstance(message["content"], list | tuple | Mapping) else ""
            raise TextError(f"{where}: message {number} has {kind}: give a string{parts if message['content'] else ''}")
    return list(messages)
