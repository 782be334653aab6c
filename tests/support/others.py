"""What lm-evaluation-harness and minicons give to sentences: run by tests/units/test_other_tools.py in the benchmarks'
environment.

`.venv-bench/bin/python tests/support/others.py FOLDER < SENTENCES` reads a JSON list of sentences and writes a JSON object of
numbers per sentence, in nats unless the name says bits. lm-eval: `loglikelihood` with an empty context and of the last word,
`loglikelihood_rolling`. minicons: `sequence_score` with and without a BOS, its mean, `conditional_score` of the last word,
`word_score_tokenized` and `token_score`.
"""

import json
import os
import sys

os.environ["HF_HUB_OFFLINE"] = "1"

import torch
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM
from minicons import scorer

if __name__ == "__main__":
    folder, sentences = sys.argv[1], json.load(sys.stdin)
    torch.set_num_threads(1)
    harness = HFLM(pretrained=folder, device="cpu", dtype="float32", batch_size=8)
    # As its task blimp asks: no context, the sentences as choices.
    asked = [Instance("loglikelihood", {}, ("", sentence), number) for number, sentence in enumerate(sentences)]
    found = {"lm_eval": [logprob for logprob, _ in harness.loglikelihood(asked, disable_tqdm=True)]}
    mini = scorer.IncrementalLMScorer(folder, "cpu")
    for name, bos in (("minicons", False), ("minicons_bos", True)):
        found[name] = [
            float(mini.sequence_score([sentence], reduction=lambda one: one.sum(0).item(), bos_token=bos)[0])
            for sentence in sentences
        ]
    found["minicons_mean"] = [mini.sequence_score([sentence])[0] for sentence in sentences]
    parts = [sentence.rsplit(" ", 1) for sentence in sentences]
    ends = [Instance("loglikelihood", {}, (start, f" {last}"), number) for number, (start, last) in enumerate(parts)]
    found["lm_eval_last"] = [logprob for logprob, _ in harness.loglikelihood(ends, disable_tqdm=True)]
    found["minicons_last"] = [
        mini.conditional_score([start], [last], reduction=lambda one: one.sum(0).item())[0] for start, last in parts
    ]
    whole = [Instance("loglikelihood_rolling", {}, (sentence,), number) for number, sentence in enumerate(sentences)]
    found["lm_eval_rolling"] = harness.loglikelihood_rolling(whole, disable_tqdm=True)
    found["minicons_words"] = [
        [value for _, value in mini.word_score_tokenized([sentence], str.split, bos_token=True)[0]] for sentence in sentences
    ]
    found["minicons_bits"] = [
        [value for _, value in mini.token_score([sentence], surprisal=True, base_two=True)[0]] for sentence in sentences
    ]
    json.dump(found, sys.stdout)
