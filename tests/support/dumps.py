"""Answers of other engines, written from transformers' own logits as each engine writes them; nothing of tokenviz is used."""

from collections.abc import Sequence
from typing import Any

import torch

K = 3
Row = dict[str, Any]


class Engine:
    """A model that answers in every form.

    Attributes:
        network: A causal model of transformers.
        tokenizer: Its tokenizer.
        bos: Ids that it reads before every text.
    """

    def __init__(self, network: Any, tokenizer: Any, bos: Sequence[int] = ()) -> None:
        self.network, self.tokenizer, self.bos = network, tokenizer, list(bos)

    def read(self, text: str) -> tuple[list[int], torch.Tensor]:
        """Return the ids, and at each place the log-probs of the next token, (n, vocabulary)."""
        ids = [*self.bos, *self.tokenizer(text, add_special_tokens=False)["input_ids"]]
        with torch.no_grad():
            logits = self.network(torch.tensor([ids], device=self.network.device)).logits[0].double().cpu()
        return ids, logits.log_softmax(-1)

    def decode(self, number: int) -> str:
        return self.tokenizer.decode([number], clean_up_tokenization_spaces=False)

    def places(self, text: str) -> list[tuple[int, float | None, list[tuple[int, float]]]]:
        """Return each token with its log-prob and the K likeliest."""
        ids, logprobs = self.read(text)
        found: list[tuple[int, float | None, list[tuple[int, float]]]] = [(ids[0], None, [])]
        for number, before in zip(ids[1:], logprobs, strict=False):
            values, numbers = before.topk(K)
            found.append((number, float(before[number]), list(zip(numbers.tolist(), values.tolist(), strict=True))))
        return found

    def vllm(self, text: str) -> Row:
        """The token itself first, then the likeliest, each with its rank: vLLM 0.11."""
        ids, logprobs = self.read(text)
        entries: list[Row | None] = [None]
        for number, before in zip(ids[1:], logprobs, strict=False):
            ranks = {one: int((before > before[one]).sum()) + 1 for one in [number, *before.topk(K).indices.tolist()]}
            entries.append(
                {
                    str(one): {"logprob": float(before[one]), "rank": rank, "decoded_token": self.decode(one)}
                    for one, rank in ranks.items()
                }
            )
        return {"id": "cmpl-1", "prompt": text, "prompt_token_ids": ids, "prompt_logprobs": entries}

    def vllm_served(self, text: str) -> Row:
        """The same from vLLM's server, without the ids, next to the question."""
        choice = {"index": 0, "text": " and", "logprobs": None, "prompt_logprobs": self.vllm(text)["prompt_logprobs"]}
        return {"request": {"prompt": text}, "response": {"object": "text_completion", "choices": [choice]}}

    def sglang(self, text: str) -> Row:
        """`/generate` with return_logprob, logprob_start_len=0, top_logprobs_num and one token generated."""
        places = self.places(text)
        return {
            "text": " and",
            "meta_info": {
                "prompt_tokens": len(places),
                "completion_tokens": 1,
                "input_token_logprobs": [[value, number, None] for number, value, _ in places],
                "input_top_logprobs": [[[value, number, None] for number, value in top] or None for _, _, top in places],
                "output_token_logprobs": [[-0.5, places[-1][0], None]],
                "output_top_logprobs": [[[-0.5, places[-1][0], None]]],
            },
        }

    def openai(self, text: str) -> Row:
        """The completions API with echo; the token itself is added to the likeliest."""
        places = self.places(text)
        tops = []
        for number, value, top in places:
            named = {self.decode(one): logprob for one, logprob in top}
            tops.append(None if value is None else named | {self.decode(number): value})
        tokens = [self.decode(number) for number, _, _ in places]
        offsets = [sum(map(len, tokens[:place])) for place in range(len(tokens))]
        logprobs = {
            "tokens": tokens, "token_logprobs": [value for _, value, _ in places], "top_logprobs": tops, "text_offset": offsets,
        }  # fmt: skip
        return {
            "id": "cmpl-2", "object": "text_completion", "model": "m", "system_fingerprint": "v2",
            "choices": [{"index": 0, "text": text, "logprobs": logprobs, "finish_reason": "length"}],
            "usage": {"prompt_tokens": len(tokens), "completion_tokens": 0, "total_tokens": len(tokens)},
        }  # fmt: skip

    def contents(self, prompt: str, text: str) -> list[Row]:
        """Each generated token with its bytes and the likeliest."""
        n = len(self.bos) + len(self.tokenizer(prompt, add_special_tokens=False)["input_ids"])

        def named(number: int, value: float) -> Row:
            return {
                "id": number, "token": self.decode(number), "bytes": list(self.decode(number).encode()), "logprob": value,
            }  # fmt: skip

        return [
            named(number, value or 0.0) | {"top_logprobs": [named(*one) for one in top]}
            for number, value, top in self.places(prompt + text)[n:]
        ]

    def llama_cpp(self, prompt: str, text: str) -> Row:
        """`/completion` with n_probs."""
        n = len(self.bos) + len(self.tokenizer(prompt, add_special_tokens=False)["input_ids"])
        rows = self.contents(prompt, text)
        return {
            "content": text, "prompt": prompt, "tokens_evaluated": n, "tokens_predicted": len(rows), "tokens": [],
            "completion_probabilities": rows,
        }  # fmt: skip

    def chat(self, prompt: str, text: str) -> Row:
        """llama.cpp's `/v1/completions`, which writes log-probs as the chat API does."""
        choice = {"text": text, "index": 0, "logprobs": {"content": self.contents(prompt, text)}}
        return {"prompt": prompt, "response": {"choices": [choice], "system_fingerprint": "b6500-abc"}}

    def plain(self, text: str) -> Row:
        """Our own form, with ids and no alternatives."""
        places = self.places(text)
        return {
            "engine": "mine 1.0",
            "text": text,
            "ids": [number for number, _, _ in places],
            "logprobs": [value for _, value, _ in places],
        }

    def plain_strings(self, text: str) -> Row:
        """The same with strings."""
        row = self.plain(text)
        ids = row.pop("ids")
        return {**row, "tokens": [self.decode(number) for number in ids]}
