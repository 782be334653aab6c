"""CTranslate2: `Generator.score_batch` in float32, on weights that its own converter wrote once."""

import ctranslate2
from ctranslate2.converters import TransformersConverter
from transformers import AutoTokenizer

from benchmarks.contenders import Job
from benchmarks.contenders.batching import SIZES, described, fastest_size, opening


def prepare(job: Job) -> None:
    TransformersConverter(str(job.folder)).convert(str(job.work / "converted"))


class Contender:
    """CTranslate2."""

    def __init__(self, job: Job) -> None:
        self.tokenizer = AutoTokenizer.from_pretrained(job.folder)
        self.generator = ctranslate2.Generator(
            str(job.work / "converted"), device="cpu", compute_type="float32", inter_threads=1, intra_threads=job.threads
        )

    def warm_up(self, texts: list[str]) -> str:
        # Its logits are never all in memory, so memory sets no limit.
        self._run(opening(texts), 1)
        self.size = fastest_size(lambda size: self._run(texts, size), SIZES["cpu"], len(texts))
        return described(self.size)

    def score(self, texts: list[str]) -> list[list[float]]:
        return self._run(texts, self.size)

    def _run(self, texts: list[str], size: int) -> list[list[float]]:
        tokens = [self.tokenizer.convert_ids_to_tokens(self.tokenizer(text).input_ids) for text in texts]
        # It sorts by length itself. Without the 0 it cuts texts at 1,024 tokens.
        results = self.generator.score_batch(tokens, max_batch_size=size, max_input_length=0)
        return [result.log_probs for result in results]

    def rest(self) -> None:
        pass
