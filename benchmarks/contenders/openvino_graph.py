"""OpenVINO: the network converted once by `openvino.convert_model`, compiled for float32."""

import openvino
from transformers import AutoConfig, AutoTokenizer

from benchmarks.contenders import Job
from benchmarks.contenders.batching import Batched
from benchmarks.contenders.graph import TokenLogProbs, example, padded


def prepare(job: Job) -> None:
    any_shape = openvino.PartialShape([-1, -1])
    graph = openvino.convert_model(TokenLogProbs(job.folder), example_input=example(), input=[any_shape])
    openvino.save_model(graph, str(job.work / "graph.xml"), compress_to_fp16=False)


class Contender(Batched):
    """OpenVINO."""

    def __init__(self, job: Job) -> None:
        self.tokenizer = AutoTokenizer.from_pretrained(job.folder)
        self.vocabulary = AutoConfig.from_pretrained(job.folder).vocab_size
        settings = {
            "INFERENCE_PRECISION_HINT": "f32",
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": job.threads,
        }
        self.graph = openvino.Core().compile_model(str(job.work / "graph.xml"), "CPU", settings)

    def score_batch(self, texts: list[str]) -> list[list[float]]:
        rows = self.tokenizer(texts).input_ids
        logprobs = self.graph([padded(rows)])[0]
        return [logprobs[i, : len(row) - 1].tolist() for i, row in enumerate(rows)]

    def rest(self) -> None:
        self.graph.release_memory()  # it would keep the logits of the largest batch
