"""minicons: `IncrementalLMScorer.token_score`, on texts of like length, in the batch size that is fastest here."""

import torch
from minicons import scorer

from benchmarks.contenders import Job
from benchmarks.contenders.batching import Batched


class Contender(Batched):
    """minicons."""

    def __init__(self, job: Job) -> None:
        self.device = job.options.get("device", "cpu")
        dtype = getattr(torch, job.options.get("dtype", "float32"))
        self.scorer = scorer.IncrementalLMScorer(str(job.folder), device=self.device, dtype=dtype)
        self.tokenizer, self.vocabulary = self.scorer.tokenizer, self.scorer.model.config.vocab_size

    def score_batch(self, texts: list[str]) -> list[list[float]]:
        # What opens a text has no prediction; minicons writes 0.0 there.
        return [[logprob for _, logprob in row[1:]] for row in self.scorer.token_score(texts)]
