"""ONNX Runtime: the network exported once by `torch.onnx.export`, run in float32."""

import onnxruntime
import torch
from transformers import AutoConfig, AutoTokenizer

from benchmarks.contenders import Job
from benchmarks.contenders.batching import Batched
from benchmarks.contenders.graph import TokenLogProbs, example, padded


def prepare(job: Job) -> None:
    any_shape = {0: torch.export.Dim("batch", min=1, max=4096), 1: torch.export.Dim("position", min=2, max=32768)}
    torch.onnx.export(
        TokenLogProbs(job.folder),
        (example(),),
        str(job.work / "graph.onnx"),
        input_names=["ids"],
        output_names=["logprobs"],
        dynamo=True,
        dynamic_shapes=(any_shape,),
        verbose=False,
    )


class Contender(Batched):
    """ONNX Runtime."""

    def __init__(self, job: Job) -> None:
        self.tokenizer = AutoTokenizer.from_pretrained(job.folder)
        self.vocabulary = AutoConfig.from_pretrained(job.folder).vocab_size
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = job.threads
        options.enable_cpu_mem_arena = False  # it would keep the logits of the largest batch
        self.session = onnxruntime.InferenceSession(str(job.work / "graph.onnx"), options, ["CPUExecutionProvider"])

    def score_batch(self, texts: list[str]) -> list[list[float]]:
        rows = self.tokenizer(texts).input_ids
        (logprobs,) = self.session.run(None, {"ids": padded(rows)})
        return [logprobs[i, : len(row) - 1].tolist() for i, row in enumerate(rows)]
