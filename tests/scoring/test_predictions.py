"""Predictions kept on disk: what is measured against them is what is measured against the model."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from architectures import bent_copy
from arithmetic import BIGRAM_WEIGHTS, make_bigram_folder
from reference import exact
from safetensors.torch import load_file, save_file
from tables import DIVERGENCES
from writing import ALICE

import tokenviz as tv
from tokenviz.base.errors import ComparisonError, DiskError, ScoringError
from tokenviz.data.texts import corpus, literal
from tokenviz.models.loading import LoadedModel
from tokenviz.scoring import predictions
from tokenviz.scoring.kernel import Kernel
from tokenviz.scoring.memory import Budget
from tokenviz.scoring.predictions import KeptPredictions, keep_predictions


@pytest.fixture(scope="module")
def bent(glass: LoadedModel, tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    return bent_copy(glass, tmp_path_factory.mktemp("bent") / "glass")


def test_kept_logits_are_those_of_a_float64_loop(glass: LoadedModel, tmp_path: Path) -> None:
    kept = keep_predictions(glass, ALICE, tmp_path / "kept")
    logits = np.asarray(kept.logits, np.float64)
    logprobs = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
    expected = exact(glass.resolved.folder, kept.token_ids.tolist()).logprobs
    np.testing.assert_allclose(logprobs[kept.places[1:]], expected[1:], rtol=0, atol=1e-5)
    assert kept.places[0] == -1  # without a BOS nothing is predicted of the first token
    assert kept.logits.dtype == np.float32


@pytest.mark.parametrize("how", [{}, {"context": 12, "stride": 5}], ids=str)
def test_divergences_from_kept_predictions_are_those_from_the_model(
    glass: LoadedModel, bent: LoadedModel, tmp_path: Path, how: dict[str, int]
) -> None:
    text = corpus([ALICE * 3, "sister", ALICE, "sister sat"], name="alice")
    both = tv.divergences(glass, bent, text, **how)
    keep_predictions(glass, text, tmp_path / "kept", **how)
    found = tv.divergences(KeptPredictions.load(tmp_path / "kept"), bent, text, top_k=10)
    assert (found.model_a, found.model_b) == (both.model_a, both.model_b)
    assert np.nanmean(found.values.kl_ab) > 0.1
    for name in DIVERGENCES:
        np.testing.assert_allclose(getattr(found.values, name), getattr(both.values, name), rtol=1e-3, atol=1e-7)


def test_no_divergence_is_negative_and_a_model_has_none_from_its_own(glass: LoadedModel, tmp_path: Path) -> None:
    kept = keep_predictions(glass, ALICE * 5, tmp_path / "kept")
    found = tv.divergences(kept, glass, ALICE * 5).values
    for name in ("kl_ab", "kl_ba", "js"):
        values = getattr(found, name)[1:]
        assert (values >= 0).all()
        assert values.max() < 1e-9  # 16 bits would leave 1e-6 and more
    assert found.same_first[1:].all()


def test_a_small_budget_writes_the_same(glass: LoadedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = corpus([ALICE * 5, "sister", ALICE], name="alice")
    whole = keep_predictions(glass, text, tmp_path / "whole")
    monkeypatch.setattr(Kernel.of(glass), "budget", Budget(tokens=16, logits=7 * glass.vocabulary))
    narrow = keep_predictions(glass, text, tmp_path / "narrow")
    np.testing.assert_array_equal(narrow.places, whole.places)
    np.testing.assert_allclose(narrow.logits, whole.logits, rtol=0, atol=1e-4)


def refused(message: str, error: type, call: object) -> None:
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        call()


def test_what_was_kept_otherwise_is_refused(glass: LoadedModel, bent: LoadedModel, bigram: LoadedModel, tmp_path: Path) -> None:
    kept = keep_predictions(glass, ALICE, tmp_path / "kept", context=12, stride=5)
    refused(
        "the predictions of 'glass-en' were kept of another text than 'Alice': keep those of this one",
        ComparisonError,
        lambda: tv.divergences(kept, bent, literal("Alice", name="Alice")),
    )
    refused(
        "the predictions of 'glass-en' were kept with context 12 and stride 5, and context 20 and stride 5 are asked for: "
        "leave both out, or keep the predictions again",
        ComparisonError,
        lambda: tv.divergences(kept, bent, ALICE, context=20),
    )
    refused(
        f"'glass-en', whose predictions were kept, and {bigram.label!r} have two vocabularies: there is no divergence token by "
        "token; tokenviz.compare compares the two over segments",
        ComparisonError,
        lambda: tv.divergences(kept, bigram, ALICE),
    )


def test_a_disk_without_room_is_refused(glass: LoadedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(predictions.shutil, "disk_usage", lambda _: usage._replace(free=1000))
    n = len(tv.score(glass, ALICE)) - 1
    refused(
        f"the predictions take {n * 1024 * 4 / 1e9:.1f} GB, and 0.0 GB are free at {str(tmp_path)!r}: take a shorter text, or "
        "keep both models in memory",
        DiskError,
        lambda: keep_predictions(glass, ALICE, tmp_path / "kept"),
    )
    assert list(tmp_path.iterdir()) == []


def test_logits_that_are_not_finite_leave_nothing(bigram: LoadedModel, tmp_path: Path) -> None:
    weights = load_file(make_bigram_folder(tmp_path / "broken", BIGRAM_WEIGHTS) / "model.safetensors")
    weights["model.layers.0.mlp.gate_proj.weight"][0, 2] = 3e38  # overflows after a "c" and nowhere else
    save_file(weights, tmp_path / "broken" / "model.safetensors", metadata={"format": "pt"})
    broken = tv.load_model(str(tmp_path / "broken"))
    refused(
        f"{broken.label!r} on 'letters', passage 1: its logits are NaN or infinite; nothing was kept. Try dtype=float32, or "
        "check the weights",
        ScoringError,
        lambda: keep_predictions(broken, corpus(["abab", "abca"], name="letters"), tmp_path / "kept"),
    )
    assert [path.name for path in tmp_path.iterdir()] == ["broken"]


@pytest.mark.parametrize(
    "harm", ["nothing there", "no logits", "torn", "header torn", "empty", "other rows", "no number", "no context"]
)
def test_a_folder_without_predictions_is_refused(glass: LoadedModel, tmp_path: Path, harm: str) -> None:
    folder = tmp_path / "kept"
    if harm != "nothing there":
        keep_predictions(glass, ALICE, folder)
        logits, about = folder / "logits.npy", json.loads((folder / "about.json").read_text())
        if harm == "no logits":
            logits.unlink()
        elif harm == "header torn":
            logits.write_bytes(logits.read_bytes().replace(b"}", b" ", 1))
        elif harm == "empty":
            logits.write_bytes(b"")
        elif harm == "other rows":
            (folder / "about.json").write_text(json.dumps(about | {"places": about["places"][::-1]}))
            np.save(logits, np.load(logits)[1:])
        elif harm == "no context":
            (folder / "about.json").write_text(json.dumps(about | {"context": [1]}))
        elif harm == "no number":
            (folder / "about.json").write_text(json.dumps(about | {"places": [1e999]}))
        else:
            (folder / "about.json").write_text(json.dumps({"model": "glass-en"}))
    with pytest.raises(ComparisonError, match=f"^{re.escape(repr(str(folder)))} holds no kept predictions .*keep_predictions$"):
        KeptPredictions.load(folder)
