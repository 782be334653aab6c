"""lm-evaluation-harness: sums of log-probs a text, by the method that `loglikelihood` and its rolling form both end in.

That method takes ids: `loglikelihood_rolling` would put an EOS before a text where the tokenizer has no BOS, and so
score one token more than the others do.
"""

from lm_eval.models.huggingface import HFLM

from benchmarks.contenders import Job
from benchmarks.contenders.batching import SIZES, described, fastest_size, largest_size, opening


class Contender:
    """lm-evaluation-harness."""

    def __init__(self, job: Job) -> None:
        self.device = job.options.get("device", "cpu")
        dtype = job.options.get("dtype", "float32")
        self.model = HFLM(pretrained=str(job.folder), backend="causal", device=self.device, dtype=dtype, batch_size=1)

    def warm_up(self, texts: list[str]) -> str:
        longest = max(len(self.model.tokenizer(text).input_ids) for text in texts)
        largest = largest_size(len(texts), longest, self.model.model.config.vocab_size, self.device)
        self._run(opening(texts), 1)
        self.size = fastest_size(lambda size: self._run(texts, size), SIZES[self.device], largest)
        return described(self.size)

    def score(self, texts: list[str]) -> list[float]:
        return self._run(texts, self.size)

    def _run(self, texts: list[str], size: int) -> list[float]:
        self.model.batch_size_per_gpu = size
        ids = [self.model.tokenizer(text).input_ids for text in texts]
        requests = [(("", ""), row[:1], row[1:]) for row in ids]  # the opening id is context, the rest is scored
        return [logprob for logprob, _ in self.model._loglikelihood_tokens(requests, disable_tqdm=True)]

    def rest(self) -> None:
        pass
