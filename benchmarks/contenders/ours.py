"""tokenviz as a user calls it: one corpus, full statistics (log-prob, rank, entropy, ten alternatives)."""

import tokenviz as tv
from benchmarks.contenders import Job
from tokenviz.data.texts import corpus


class Contender:
    """tokenviz."""

    def __init__(self, job: Job) -> None:
        options = "".join(f",{name}={value}" for name, value in job.options.items())
        self.model = tv.load_model(job.model + options)

    def warm_up(self, texts: list[str]) -> str:
        return "one corpus, rank, entropy and top 10 included"

    def score(self, texts: list[str]) -> list[list[float]]:
        scores = tv.score(self.model, corpus(texts, name="texts"), top_k=10)
        scored = scores.scored
        return [scores.logprob[scored & (scores.passage == number)].tolist() for number in range(len(texts))]

    def rest(self) -> None:
        pass
