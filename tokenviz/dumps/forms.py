"""The forms in which engines write log-probs, each read into the same plain rows; no tokenizer is needed yet.

| form | told by | where it is described |
|---|---|---|
| vLLM | `prompt_logprobs` | vllm/logprobs.py, entrypoints/openai/completion/protocol.py |
| SGLang | `input_token_logprobs`, in `meta_info` | srt/managers/tokenizer_manager.py |
| llama.cpp | `completion_probabilities` | tools/server/README.md |
| OpenAI, completions | `choices` with `token_logprobs` | the legacy completions API; vLLM, SGLang and others write it as well |
| OpenAI, content | `choices` with `logprobs.content` | the chat completions API; llama.cpp writes it for both |
| plain | `logprobs` with `ids` or `tokens` | docs/studies.md |

Rows may be wrapped as in batch files: the answer in `response` and its `body`, the request in `request`. Changes of the engines
over time, and their values for a missing number, are noted where they are read.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tokenviz.base.errors import TextError

Json = Mapping[str, Any]

_ROUNDING = 1e-6  # a log-softmax in float32 may exceed 0 by this much
_MASKED = -9000.0  # vLLM writes -9999.0, and llama.cpp the least float32, for a probability of 0


@dataclass(frozen=True)
class Alternative:
    """A token that an engine lists for a position.

    Attributes:
        token_id: Its id; None where the form has only strings.
        token: The engine's string for it; None where there is none.
        content: Its bytes; None where the engine does not write them.
        logprob: Log-prob, in nats.
        rank: Its rank; None where the engine does not write it.
    """

    token_id: int | None
    token: str | None
    content: bytes | None
    logprob: float
    rank: int | None = None


@dataclass(frozen=True)
class DumpedToken:
    """A token of the text in an engine's dump.

    Attributes:
        token_id: Its id; None where the form has only strings.
        token: The engine's string for it; None where there is none.
        content: Its bytes; None where the engine does not write them.
        logprob: Log-prob, in nats; None where the engine gives none.
        rank: Its rank; None where the engine does not write it.
        top: The likeliest tokens at its place, perhaps with itself among them; empty for none.
        left_out: Whether the dump omits the token: llama.cpp omits tokens that only begin a character.
    """

    token_id: int | None
    token: str | None
    content: bytes | None
    logprob: float | None
    rank: int | None = None
    top: tuple[Alternative, ...] = ()
    left_out: bool = False


@dataclass(frozen=True)
class Dumped:
    """One passage in an engine's dump.

    Attributes:
        engine: Name and version of the engine, as far as the row has them.
        tokens: The tokens that the row lists.
        text: The text of the tokens; None where the row does not have it.
        before: The text that the engine read before the first of the tokens, without log-probs.
        n_before: Number of tokens that it read there, start tokens included; None where the row does not have it.
        n_prompt: Number of the tokens that the engine was given; the rest was generated. None where it is not known.
        prompt: The text of the tokens that it was given; None where the row does not have it.
        ids: Ids of all tokens, where the row lists them separately from the log-probs; else empty.
        unscored: The beginning of the text that may have no log-probs.
        id: The row's name for the passage.
    """

    engine: str
    tokens: tuple[DumpedToken, ...]
    text: str | None
    before: str = ""
    n_before: int | None = None
    n_prompt: int | None = None
    prompt: str | None = None
    ids: tuple[int, ...] = ()
    unscored: str = ""
    id: str | None = None


def passages_of(row: object) -> Iterator[Dumped]:
    """Yield the passages of one row of a dump: one, or as many as the answer has choices.

    Raises:
        TextError: The row has no known form, or violates its form; the message does not name the row.
    """
    if not isinstance(row, Mapping):
        raise TextError("is no JSON object")
    answer, prompt = _unwrapped(row)
    read = next((read for told, read in _FORMS if told(answer)), None)
    if read is None:
        raise TextError(
            "has log-probs in no known form: there is no prompt_logprobs (vLLM), input_token_logprobs (SGLang), "
            "completion_probabilities (llama.cpp), choices with logprobs (OpenAI), or logprobs with ids or tokens"
        )
    name = next((row[key] for key in ("custom_id", "id") if isinstance(row.get(key), str | int)), None)
    batch = "custom_id" in row or answer is not row or read is _plain  # any other id is the engine's id of the request
    for one in read(answer, prompt):
        if not one.tokens:
            raise TextError("lists no token")
        yield replace(one, id=str(name)) if name is not None and batch else one


def _unwrapped(row: Json) -> tuple[Json, str | None]:
    """Return the engine's answer inside a row, and the prompt where the row has it."""
    answer: Json = row
    for key in ("response", "body"):
        if isinstance(answer.get(key), Mapping):
            answer = answer[key]
    asked = [row, answer]
    for outer in (row, row.get("request")):
        if isinstance(outer, Mapping):
            asked += [outer, *(outer[key] for key in ("request", "body") if isinstance(outer.get(key), Mapping))]
    prompt = next((one["prompt"] for one in asked if isinstance(one.get("prompt"), str)), None)
    return answer, prompt


def _vllm(answer: Json, prompt: str | None) -> Iterator[Dumped]:
    for one in _with(answer, "prompt_logprobs"):
        rows = _list(one, "prompt_logprobs")
        ids = one.get("prompt_token_ids") or answer.get("prompt_token_ids")
        if ids is not None:
            _same_length(ids, rows, "prompt_token_ids", "prompt_logprobs")
        tokens = []
        for place, entry in enumerate(rows):
            token_id = None if ids is None else _whole(ids[place], "prompt_token_ids", place)
            tokens.append(_vllm_token(entry, token_id, place))
        if ids is not None:
            _refuse_shifted_keys(tokens)
        text = answer.get("text") if one is answer and prompt is None else prompt  # the text of a choice is what was generated
        yield Dumped(_engine(answer, "vLLM"), tuple(tokens), text if isinstance(text, str) else None)


def _vllm_token(entry: object, token_id: int | None, place: int) -> DumpedToken:
    if entry is None:
        return DumpedToken(token_id, None, None, None)
    if not isinstance(entry, Mapping):
        raise TextError(f"has a {type(entry).__name__} at token {place} of prompt_logprobs: null or an object is expected")
    found = []
    for key, value in entry.items():
        said = value if isinstance(value, Mapping) else {"logprob": value}
        if not str(key).isdecimal():
            raise TextError(f"names a token {key!r} at token {place} of prompt_logprobs: token ids are expected")
        number = int(key)
        logprob = _logprob(said.get("logprob"), f"token {place}", of_alternative=number != token_id)
        if logprob is not None:
            found.append(Alternative(number, _string(said.get("decoded_token")), None, logprob, _count(said.get("rank"))))
    # Without ids it is not known yet which of these is the token itself: `dumps.matching` finds out.
    own = next((one for one in found if one.token_id == token_id), None)
    if own is None:
        return DumpedToken(token_id, None, None, None, None, tuple(found))
    return DumpedToken(token_id, own.token, None, own.logprob, own.rank, tuple(found))


def _refuse_shifted_keys(tokens: Sequence[DumpedToken]) -> None:
    """Refuse entries that do not hold the token of their place."""
    lacking = [place for place, one in enumerate(tokens) if one.top and one.logprob is None]
    if not lacking:
        return
    for step, words in ((1, "after"), (-1, "before")):
        pairs = [(one, tokens[i + step]) for i, one in enumerate(tokens) if one.top and 0 <= i + step < len(tokens)]
        held = [any(other.token_id == alternative.token_id for alternative in one.top) for one, other in pairs]
        if len(lacking) > 1 and held and sum(held) == len(held):
            raise TextError(f"is shifted by one: each entry of prompt_logprobs holds the token {words} its own place")
    place = lacking[0]
    raise TextError(f"has no value for token {place}, id {tokens[place].token_id}, in the entry of its place")


def _sglang(answer: Json, prompt: str | None) -> Iterator[Dumped]:
    meta = answer["meta_info"] if isinstance(answer.get("meta_info"), Mapping) else answer
    tokens = _sglang_tokens(meta, "input")
    n_prompt = len(tokens)
    there = meta.get("prompt_tokens")
    n_before = 0
    if isinstance(there, int) and not isinstance(there, bool) and there != n_prompt:
        n_before = there - n_prompt
        if n_before < 0 or prompt is None:
            raise TextError(
                f"has log-probs of {n_prompt} tokens of a prompt of {there}: ask SGLang for all with logprob_start_len=0, or "
                "add the prompt to the row"
            )
    if isinstance(meta.get("output_token_logprobs"), list):
        tokens += _sglang_tokens(meta, "output")
    text = prompt if len(tokens) == n_prompt else None
    engine = _engine(answer, "SGLang")
    if n_before:  # tokens after the beginning of a prompt: the rest of it is found by its ids
        yield Dumped(engine, tuple(tokens), None, before=prompt or "", n_before=there, n_prompt=n_prompt)
        return
    yield Dumped(engine, tuple(tokens), text, n_prompt=n_prompt, prompt=prompt)


def _sglang_tokens(meta: Json, side: str) -> list[DumpedToken]:
    rows, tops = _list(meta, f"{side}_token_logprobs"), meta.get(f"{side}_top_logprobs")
    if tops:
        _same_length(rows, tops, f"{side}_token_logprobs", f"{side}_top_logprobs")
    found = []
    for place, row in enumerate(rows):
        logprob, token_id, token = _triple(row, f"{side}_token_logprobs", place)
        top = []
        for one in (tops[place] if tops else None) or ():
            value, number, string = _triple(one, f"{side}_top_logprobs", place)
            if (known := _logprob(value, f"token {place}", of_alternative=True)) is not None:
                top.append(Alternative(number, string, None, known))
        found.append(DumpedToken(token_id, token, None, _logprob(logprob, f"token {place}"), None, tuple(top)))
    return found


def _triple(row: object, name: str, place: int) -> tuple[object, int, str | None]:
    if not isinstance(row, Sequence) or isinstance(row, str) or len(row) not in (2, 3):
        raise TextError(f"has no pair of log-prob and id at token {place} of {name}")
    token = row[2] if len(row) == 3 else None
    return row[0], _whole(row[1], name, place), token if isinstance(token, str) else None


def _llama_cpp(answer: Json, prompt: str | None) -> Iterator[Dumped]:
    rows = _list(answer, "completion_probabilities")
    if not all(isinstance(row, Mapping) for row in rows):
        raise TextError("has an entry of completion_probabilities that is no object")
    if any("probs" in row for row in rows):
        raise TextError(
            "is of a llama.cpp before December 2024, which gives probabilities after sampling and no log-probs: use a newer one"
        )
    _refuse_sampled(rows)
    if prompt is None:
        raise TextError("has no prompt, and its log-probs are of what was generated after one: add the prompt to the row")
    read = answer.get("tokens_evaluated")
    content = answer.get("content") if isinstance(answer.get("content"), str) else None
    tokens = _contents(rows)
    ids = tuple(_whole(one, "tokens", place) for place, one in enumerate(answer.get("tokens") or ()))
    yield Dumped(_engine(answer, "llama.cpp"), tokens, content, before=prompt, n_before=_count(read), n_prompt=0, ids=ids)


def _refuse_sampled(rows: Sequence[Json]) -> None:
    if any("prob" in row or "top_probs" in row for row in rows):
        raise TextError(
            "has probabilities after sampling (top-k, top-p, temperature), which are not the model's: ask llama.cpp without "
            "post_sampling_probs"
        )


def _openai(answer: Json, prompt: str | None) -> Iterator[Dumped]:
    choices = [one for one in answer["choices"] if isinstance(one, Mapping) and isinstance(one.get("logprobs"), Mapping)]
    usage = answer.get("usage") if isinstance(answer.get("usage"), Mapping) else {}
    assert isinstance(usage, Mapping)
    for choice in choices:
        logprobs = choice["logprobs"]
        if isinstance(logprobs.get("content"), list):
            yield _of_content(answer, choice, usage, prompt)
        else:
            yield _of_completion(answer, choice, usage, prompt, alone=len(choices) == 1)


def _of_content(answer: Json, choice: Json, usage: Json, prompt: str | None) -> Dumped:
    rows = choice["logprobs"]["content"]
    if not all(isinstance(row, Mapping) for row in rows):
        raise TextError("has an entry of logprobs.content that is no object")
    _refuse_sampled(rows)
    if prompt is None:
        raise TextError("has no prompt, and its log-probs are of what was generated after one: add the prompt to the row")
    message = choice.get("message")
    text = choice.get("text") if message is None else message.get("content") if isinstance(message, Mapping) else None
    # llama.cpp writes its build as the system fingerprint, and an id for each token, which others do not.
    engine = _engine(answer, "llama.cpp" if rows and "id" in rows[0] else "an OpenAI-compatible server")
    read = _count(usage.get("prompt_tokens"))
    return Dumped(engine, _contents(rows), text if isinstance(text, str) else None, before=prompt, n_before=read, n_prompt=0)


def _contents(rows: Sequence[Json]) -> tuple[DumpedToken, ...]:
    """Read tokens in the chat API's form: a string, bytes, a log-prob, and likewise for the likeliest."""
    found = []
    for place, row in enumerate(rows):
        top = []
        for one in row.get("top_logprobs") or ():
            if not isinstance(one, Mapping):
                raise TextError(f"has an alternative at token {place} that is no object")
            value = _logprob(one.get("logprob"), f"token {place}", of_alternative=True)
            if value is not None:
                top.append(
                    Alternative(_count(one.get("id")), _string(one.get("token")), _bytes(one.get("bytes"), place), value)
                )
        value = _logprob(row.get("logprob"), f"token {place}")
        own = (_count(row.get("id")), _string(row.get("token")), _bytes(row.get("bytes"), place))
        found.append(DumpedToken(*own, value, None, tuple(top)))
    return tuple(found)


def _of_completion(answer: Json, choice: Json, usage: Json, prompt: str | None, *, alone: bool) -> Dumped:
    logprobs = choice["logprobs"]
    text = choice.get("text") if isinstance(choice.get("text"), str) else None
    tokens = _strings(logprobs, "token_logprobs")
    offsets = logprobs.get("text_offset")
    if offsets:
        _same_length(logprobs["tokens"], offsets, "tokens", "text_offset")
    engine = _engine(answer, "an OpenAI-compatible server")
    generated = _count(usage.get("completion_tokens")) if alone else None
    echoed = prompt is None or text is None or text.startswith(prompt)
    if generated == len(tokens) or not echoed:
        if prompt is None:
            raise TextError("has no prompt, and its log-probs are of what was generated after one: add it, or ask with echo")
        return Dumped(engine, tokens, text, before=prompt, n_before=_count(usage.get("prompt_tokens")), n_prompt=0)
    n_prompt = None if generated is None or generated > len(tokens) else len(tokens) - generated
    return Dumped(engine, tokens, text, n_prompt=n_prompt, prompt=prompt)


def _strings(logprobs: Json, name: str) -> tuple[DumpedToken, ...]:
    """Read tokens in the completions API's form: parallel lists of strings, log-probs and objects of the likeliest."""
    strings, values, tops = _list(logprobs, "tokens"), _list(logprobs, name), logprobs.get("top_logprobs")
    _same_length(strings, values, "tokens", name)
    if tops:
        _same_length(strings, tops, "tokens", "top_logprobs")
    found = []
    for place, (token, value) in enumerate(zip(strings, values, strict=True)):
        if not isinstance(token, str):
            raise TextError(f"has a {type(token).__name__} in the place of token {place}: a string is expected")
        top = _named((tops[place] if tops else None) or {}, place)
        found.append(DumpedToken(None, token, None, _logprob(value, f"token {place}"), None, top))
    return tuple(found)


def _named(entry: object, place: int) -> tuple[Alternative, ...]:
    """Read an object of alternatives by their strings, or by their ids in the plain form."""
    if not isinstance(entry, Mapping):
        raise TextError(f"has a {type(entry).__name__} at token {place} of top_logprobs: null or an object is expected")
    known = {key: _logprob(value, f"token {place}", of_alternative=True) for key, value in entry.items()}
    return tuple(Alternative(None, str(key), None, value) for key, value in known.items() if value is not None)


def _plain(answer: Json, prompt: str | None) -> Iterator[Dumped]:
    ids, strings = answer.get("ids"), answer.get("tokens")
    values, tops, text = _list(answer, "logprobs"), answer.get("top_logprobs"), answer.get("text")
    name = "tokens" if ids is None else "ids"
    given = _list(answer, name)
    _same_length(given, values, name, "logprobs")
    for other, listed in (("tokens", strings), ("top_logprobs", tops)):
        if listed is not None:
            _same_length(given, listed, name, other)
    if text is not None and not isinstance(text, str):
        raise TextError(f"has a {type(text).__name__} in 'text': a string is expected")
    unscored = prompt or ""
    if text is not None and not text.startswith(unscored):
        raise TextError("has a text that does not begin with its prompt")
    tokens = []
    for place, value in enumerate(values):
        token_id = None if ids is None else _whole(ids[place], "ids", place)
        token = _string(strings[place]) if strings is not None else None
        top = _named((tops[place] if tops else None) or {}, place)
        if ids is not None:  # alternatives are named as the tokens are
            top = tuple(
                replace(one, token_id=int(one.token), token=None) if one.token and one.token.isdecimal() else one for one in top
            )
        tokens.append(DumpedToken(token_id, token, None, _logprob(value, f"token {place}"), None, top))
    engine = answer.get("engine")
    yield Dumped(engine if isinstance(engine, str) else "an engine that is not named", tuple(tokens), text, unscored=unscored)


_FORMS: tuple[tuple[Callable[[Json], bool], Callable[[Json, str | None], Iterator[Dumped]]], ...] = (
    (lambda answer: bool(_with(answer, "prompt_logprobs")), _vllm),
    (lambda answer: "input_token_logprobs" in answer or "input_token_logprobs" in (answer.get("meta_info") or {}), _sglang),
    (lambda answer: "completion_probabilities" in answer, _llama_cpp),
    (lambda answer: any(isinstance(one.get("logprobs"), Mapping) for one in _choices(answer)), _openai),
    (lambda answer: "logprobs" in answer and ("ids" in answer or "tokens" in answer), _plain),
)


def _choices(answer: Json) -> list[Json]:
    choices = answer.get("choices")
    return [one for one in choices if isinstance(one, Mapping)] if isinstance(choices, list) else []


def _with(answer: Json, key: str) -> list[Json]:
    """Return the answer itself, or those of its choices, that have a list under a key."""
    return [one for one in (answer, *_choices(answer)) if one.get(key) is not None]


def _engine(answer: Json, name: str) -> str:
    """Return an engine's name with its version, which llama.cpp and newer vLLM write as the system fingerprint."""
    said = answer.get("engine")
    if isinstance(said, str) and said:
        return said
    version = answer.get("system_fingerprint")
    return f"{name} {version}" if isinstance(version, str) and version else name


def _list(row: Json, key: str) -> list[Any]:
    found = row.get(key)
    if not isinstance(found, list):
        what = "nothing" if found is None else f"a {type(found).__name__}"
        raise TextError(f"has {what} in {key!r}: a list is expected")
    return found


def _same_length(one: object, other: object, name: str, other_name: str) -> None:
    for listed, of in ((one, name), (other, other_name)):
        if not isinstance(listed, list):
            raise TextError(f"has a {type(listed).__name__} in {of!r}: a list is expected")
    assert isinstance(one, list)
    assert isinstance(other, list)
    if len(one) != len(other):
        hint = ""
        if len(one) - len(other) == 1:
            hint = ": log-probs of the tokens after the first alone have null put before them"
        raise TextError(f"has {len(one)} {name} and {len(other)} {other_name}{hint}")


def _logprob(value: object, where: str, *, of_alternative: bool = False) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TextError(f"has {value!r} as the log-prob of {where}: a number or null is expected")
    number = float(value)
    if math.isnan(number):
        raise TextError(f"has NaN as the log-prob of {where}")
    if number > _ROUNDING:
        raise TextError(f"has {number:g} as the log-prob of {where}: a log-prob is not above 0")
    if number < _MASKED:
        if of_alternative:
            return None
        raise TextError(f"has {number:g} as the log-prob of {where}: engines write that for a token that was masked out")
    return min(number, 0.0)


def _whole(value: object, name: str, place: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise TextError(f"has {value!r} at token {place} of {name}: a token id is expected")
    return value


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _string(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _bytes(value: object, place: int) -> bytes | None:
    if value is None:
        return None
    if not isinstance(value, list) or not all(type(one) is int and 0 <= one < 256 for one in value):
        raise TextError(f"has {value!r} as the bytes of token {place}: a list of numbers from 0 to 255 is expected")
    return bytes(value)
