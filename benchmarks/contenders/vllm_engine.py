"""vLLM: `LLM.generate` with `prompt_logprobs`, one token generated that nobody asks for, in batches of its own making.

Written by vLLM's documentation, for `python -m benchmarks.gpu`; it has not been run yet.
"""

import os

os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"  # the engine is in this process, and ends with it

from vllm import LLM, SamplingParams

from benchmarks.contenders import Job

_MEMORY = 0.5  # of the GPU's, for weights and keys and values


class Contender:
    """vLLM."""

    def __init__(self, job: Job) -> None:
        self.engine = LLM(model=str(job.folder), dtype=job.options["dtype"], gpu_memory_utilization=_MEMORY)
        self.tokenizer = self.engine.get_tokenizer()
        # 0: the prompt's own tokens, without alternatives.
        self.asked = SamplingParams(max_tokens=1, prompt_logprobs=0, detokenize=False)

    def warm_up(self, texts: list[str]) -> str:
        self.score(texts)
        return "batches of its own"

    def score(self, texts: list[str]) -> list[list[float]]:
        prompts = [{"prompt_token_ids": self.tokenizer(text).input_ids} for text in texts]
        rows = []
        for answer in self.engine.generate(prompts, self.asked, use_tqdm=False):
            # What opens a text has no prediction: None.
            scored = zip(answer.prompt_token_ids[1:], answer.prompt_logprobs[1:], strict=True)
            rows.append([found[token].logprob for token, found in scored])
        return rows

    def rest(self) -> None:
        pass
