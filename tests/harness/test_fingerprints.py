"""Fingerprints, pinned: a new version finds the runs of an old one, so that no refactoring may move them by accident.

A fingerprint is the sha256 of what moves a run's numbers, in canonical JSON. What is pinned here was made with the versions in
`VERSIONS`, whatever the code's own are by now: a version that is raised on purpose moves fingerprints on purpose, and leaves
this file as it is. Anything else that moves one has every finished run computed again.
"""

import sys
from dataclasses import replace
from pathlib import Path

import pytest
from arithmetic import make_two_models
from kills import draw_in_no_time

import tokenviz as tv
from tokenviz.harness.measures import DIVERGENCES, context_effect
from tokenviz.harness.session import ExperimentContext, running
from tokenviz.models import loading
from tokenviz.models.loading import ResolvedModel
from tokenviz.models.spec import ModelSpec
from tokenviz.tracking.runs import fingerprint_of

VERSIONS = {"SCORING_VERSION": 3, "FORMAT_VERSION": "3", "COMPARISON_VERSION": 2}

# Of two models with the identities "sha256:first" and "sha256:second" on the text "abcdabcd".
PINNED = {
    "score": "8d05e2c39d02532b237cac6ee14643c7bc9e6fe6a73cf3bde35fef0f3e774782",
    "score of the second model": "1b9478d720e80d313dbadfdb3e105d516bfb8a6cd02a238a479ab6964d8ff833",
    "comparison": "cf2fd779a6ca658601b8c0fe61c7c412e9061870f2c934da7b94b89f622f2a53",
    "comparison by word": "1cabcb15bbd85e8dc24d9d18929094ee259a20dbabc7dc4428e998e9bccc9845",
    "comparison with divergences": "de9a4e898f0bd1fbae052a2c3801ce932aad2c0725b8f8bad337fd14bbe60328",
    "measure": "9dc9b3f4031730d4afa88508eadaac641754d1bb84a94c8622d12172b270b516",
    "summary": "7fcc794c397d707f100646091c7ec0acfeaf19da16ac3241e1056533c3a21ef6",
    "grid": "e25312df59ef",
}


@pytest.fixture
def found(project: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The fingerprint of a run of each kind, and the grid's id."""
    draw_in_no_time(monkeypatch)
    resolve = loading.resolve

    def with_a_word_for_identity(spec: ModelSpec) -> ResolvedModel:
        return replace(resolve(spec), identity=f"sha256:{spec.name}")  # files would differ with the libraries' versions

    assert tv.Grid  # which loads the rest of the harness
    harness = [module for name, module in sys.modules.items() if name.startswith("tokenviz.harness.")]
    for name, value in {**VERSIONS, "resolve": with_a_word_for_identity}.items():
        homes = [module for module in harness if hasattr(module, name)]
        assert homes
        for module in homes:
            monkeypatch.setattr(module, name, value)
    make_two_models(project)
    with running(ExperimentContext("trial", "What it asks.", {"models": ["first", "second"], "top_k": 2})):
        grid = tv.Grid(["first", "second"], [tv.literal("abcdabcd")], top_k=2)
        first, second = grid.score()
        grid.compare()
        grid.compare(by="word", punctuation="apart")
        grid.compare(measures=[replace(DIVERGENCES, version=2)])
        grid.measure(replace(context_effect([1, 2]), version=1))
        result = grid.summarise("Found.")
        summary = grid.runs.client.get_run(result.summary_run_id).data.tags["tokenviz.fingerprint"]
    default, by_word, with_divergences = result.comparisons
    runs = [first, second, default, by_word, with_divergences, result.measures[0]]
    return dict(zip(PINNED, [*(run.fingerprint for run in runs), summary, result.grid], strict=True))


def test_fingerprints_are_what_they_were(found: dict[str, str]) -> None:
    assert found == PINNED


def test_a_fingerprint_is_the_hash_of_canonical_json() -> None:
    parts = {"b": 1, "a": [None, 2.5], "c": "é", "d": (1, 2)}
    # printf '{"a": [null, 2.5], "b": 1, "c": "é", "d": [1, 2]}' | sha256sum
    assert fingerprint_of(parts) == "571ce0ce4129985ed0747f377805d2d17ce29e7c4328b5f849e8960331ec0216"
