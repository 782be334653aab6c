"""What one writes without any tool: transformers, one text at a time, log-softmax, gather. In float64: the reference."""

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from benchmarks.contenders import Job
from benchmarks.contenders.batching import opening


class Contender:
    """The plain loop."""

    def __init__(self, job: Job) -> None:
        dtype = getattr(torch, job.options.get("dtype", "float32"))
        self.tokenizer = AutoTokenizer.from_pretrained(job.folder)
        self.network = AutoModelForCausalLM.from_pretrained(job.folder, dtype=dtype).eval()

    def warm_up(self, texts: list[str]) -> str:
        self.score(opening(texts))  # cosines of a process's first pass may be of 12 bits: tokenviz/models/runtime.py
        return "one text at a time"

    @torch.inference_mode()
    def score(self, texts: list[str]) -> list[list[float]]:
        rows = []
        for text in texts:
            ids = self.tokenizer(text, return_tensors="pt").input_ids  # (1, position)
            logits = self.network(ids, use_cache=False).logits[0, :-1]  # (position, vocab)
            logprobs = logits.log_softmax(-1).gather(-1, ids[0, 1:, None])
            rows.append(logprobs[:, 0].tolist())
        return rows

    def rest(self) -> None:
        pass
