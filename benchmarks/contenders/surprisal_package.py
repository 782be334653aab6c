"""surprisal: `surprise` on batches of eight texts of like length, of fewer where the logits of eight do not fit the memory."""

from surprisal.model import CausalHuggingFaceModel

from benchmarks.contenders import Job
from benchmarks.contenders.batching import Batched


class Contender(Batched):
    """surprisal."""

    sizes = (8,)

    def __init__(self, job: Job) -> None:
        self.model = CausalHuggingFaceModel(str(job.folder))
        self.tokenizer, self.vocabulary = self.model.tokenizer, self.model.model.config.vocab_size

    def score_batch(self, texts: list[str]) -> list[list[float]]:
        rows = []
        for scored in self.model.surprise(texts, use_bos_token=False):
            length = sum(scored._tokens.attention_mask)  # its rows are padded
            rows.append([-float(value) for value in scored.surprisals[1:length]])  # what opens a text is NaN
        return rows
