"""What a newcomer types first in Python: it works, or one line says what is wanted."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from tables import make_scores

import tokenviz as tv
from tokenviz.base.errors import FigureError, ModelError, TextError
from tokenviz.figures.heatmap.files import save_heatmap
from tokenviz.figures.origin import provenance_of
from tokenviz.models.loading import LoadedModel
from tokenviz.scoring.positions import context_logprobs, position_values
from tokenviz.scoring.predictions import keep_predictions


def test_a_model_spec_is_a_model(project: Path, glass: LoadedModel) -> None:
    named, loaded = (tv.score(model, "Alice was very tired.") for model in ("glass-en", glass))
    assert named.to_json() == loaded.to_json()
    found = tv.divergences("glass-en", "glass-en,dtype=bfloat16", "Alice was very tired.")
    assert (found.model_a, found.model_b) == ("glass-en", "glass-en,dtype=bfloat16")


def test_one_string_is_one_model_and_one_text(project: Path) -> None:
    grid = tv.Grid("glass-en", "correlation")
    (run,) = grid.score()
    assert (run.model, run.text) == ("glass-en", "correlation")
    assert tv.Grid("glass-en", tv.literal("Alice.", name="alice")).score()[0].text == "alice"


def test_a_sample_is_found_by_its_name(project: Path) -> None:
    assert tv.read_text("correlation").passages == ((project / "experiments/texts/correlation.txt").read_text(),)


@pytest.mark.parametrize("read", ["score", "divergences", "contexts", "positions", "predictions"])
def test_a_string_that_names_a_text_is_not_scored_as_a_word(project: Path, glass: LoadedModel, read: str) -> None:
    (project / "mine.txt").write_text("A rose.")
    readers = {
        "score": lambda text: tv.score(glass, text),
        "divergences": lambda text: tv.divergences(glass, glass, text),
        "contexts": lambda text: context_logprobs(glass, text, [1]),
        "positions": lambda text: position_values(glass, text, lambda logits, ids: logits[:, 0]),
        "predictions": lambda text: keep_predictions(glass, text, project / "kept"),
    }
    for name, what in (("correlation", "a sample text"), ("mine.txt", "a file")):
        message = f"{name!r} is the name of {what}: give read_text({name!r}) for it, or literal({name!r}) for the word itself"
        with pytest.raises(TextError, match=f"^{re.escape(message)}$"):
            readers[read](name)
    assert "".join(tv.score(glass, tv.literal("correlation")).token) == "correlation"


def test_what_is_no_model_or_text_is_one_line(glass: LoadedModel) -> None:
    with pytest.raises(ModelError, match=r"^a int is no model: give what load_model returns, or a model spec such as 'gpt2'$"):
        tv.score(7, "Alice.")  # type: ignore[arg-type]  # the caller may have no type checker
    with pytest.raises(TextError, match=r"^a list is no text: give a string, or what read_text and literal return$"):
        tv.score(glass, ["Alice."])  # type: ignore[arg-type]  # as above


def test_a_heatmap_is_saved_as_it_is_shown_in_the_formats_of_the_endings(tmp_path: Path) -> None:
    heatmap = tv.text_heatmap(
        make_scores([["one", " two", " three"]]), measure="surprisal_bits", limits=(0, 8), colours="cividis"
    )
    names = ["a.b.svg", "a.b.tex", "a.b-document.tex", "a.b.ansi", "c.png"]
    paths = heatmap.save(*(tmp_path / name for name in names), width=3.0, title=False)
    assert paths == [tmp_path / name for name in names]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names)
    about = provenance_of(paths[0])
    assert [about[name] for name in ("measure", "colours", "limits", "width_inches", "title")] == [
        "surprisal_bits", "cividis", [0, 8], 3.0, False,
    ]  # fmt: skip
    assert "\\documentclass" in paths[2].read_text()
    assert "\\documentclass" not in paths[1].read_text()


@pytest.mark.parametrize("name", ["heatmap", "heatmap.jpg", "heatmap.PNG", ".png"])
def test_an_ending_without_a_format_is_refused_before_anything_is_written(tmp_path: Path, name: str) -> None:
    heatmap, path = tv.text_heatmap(make_scores([["one", " two"]])), tmp_path / name
    endings = ".png, .svg, .pdf, .html, .tex, -document.tex, .ansi"
    message = f"a heatmap cannot be saved as {str(path)!r}: give a file that ends in one of {endings}"
    with pytest.raises(FigureError, match=f"^{re.escape(message)}$"):
        heatmap.save(tmp_path / "first.png", path)
    with pytest.raises(FigureError, match=r"^no file is given: give one such as 'heatmap\.png'$"):
        heatmap.save()
    assert list(tmp_path.iterdir()) == []


def test_a_heatmap_that_is_made_takes_no_other_look(tmp_path: Path) -> None:
    heatmap = tv.text_heatmap(make_scores([["one", " two"]]))
    with pytest.raises(FigureError, match=r"^the heatmap has its measure, limits, colours and pieces already: give them to "):
        save_heatmap(heatmap, tmp_path / "a", measure="entropy")
    assert list(tmp_path.iterdir()) == []


def test_a_figure_without_a_title_has_that_of_its_file(tmp_path: Path) -> None:
    from PIL import Image

    a, b = (make_scores([["one", " two", " three", " four"]], model=name) for name in "ab")
    (path,) = tv.save_figure(tv.unity_scatter(tv.compare(a, b)), tmp_path / "scatter.png")
    with Image.open(path) as image:
        assert image.info["Title"] == "scatter"


WRONG: dict[str, tuple[Callable[[LoadedModel], object], str]] = {
    "half a token": (lambda model: tv.score(model, "A b", context=10.5), "context 10.5 is not possible: take a whole number"),
    "a stride in words": (lambda model: tv.score(model, "A b", stride="5"), "stride '5' is not possible: take a whole number"),
    "half an alternative": (lambda model: tv.score(model, "A b", top_k=2.5), "top-k 2.5 is not possible: take a whole number"),
    "a flag for a BOS": (
        lambda model: tv.score(model, "A b", bos=True),
        "bos True is not possible: take 'auto', 'always', 'never' or a token by its string",
    ),
    "a number for a text": (lambda _: tv.literal(5), "the given text is a int, not a string"),
    "a string for passages": (
        lambda _: tv.corpus("abc", name="x"),
        "the passages of 'x' are one string: give a list of strings, or that string to literal",
    ),
    "numbers for passages": (lambda _: tv.corpus([1], name="x"), "passage 0 of 'x' is a int, not a string"),
    "a string for continuations": (
        lambda _: tv.continuations("a", " b"), "the continuations are one string: give a list, [' b']"
    ),
    "a string for regions": (
        lambda _: tv.read_items("none.csv", regions="verb"), "the regions are one string: give a list of columns, ['verb']"
    ),
    "no scores": (
        lambda _: tv.text_heatmap(None), "a NoneType is not scores: give the scores of one model or more, or a comparison"
    ),
    "a string for scores": (
        lambda _: tv.text_heatmap("A b"), "a str is not scores: give the scores of one model or more, or a comparison"
    ),
    "no scores in a report": (
        lambda _: tv.save_report(None, "r.html"),
        "a NoneType is not scores: give the scores of one model or more, or a comparison",
    ),
    "words as pieces": (
        lambda model: tv.text_heatmap(tv.score(model, "A b"), by="word"), "by 'word' is not possible: take 'token' or 'segment'"
    ),
    **{
        f"limits {given}": (
            lambda model, given=given: tv.text_heatmap(tv.score(model, "A b"), limits=given),
            f"no limits {given!r}: give two numbers, the lower one first, such as -12,0; or text, shared, or a percentile "
            "below p50 such as p1 (from the 1st to the 99th)",
        )
        for given in (3, [1, 2, 3], ("a", "b"))
    },
}  # fmt: skip


@pytest.mark.parametrize(("call", "message"), WRONG.values(), ids=WRONG)
def test_a_value_of_another_kind_is_one_line(
    project: Path, glass: LoadedModel, call: Callable[[LoadedModel], object], message: str
) -> None:
    with pytest.raises(tv.TokenvizError, match=f"^{re.escape(message)}$"):
        call(glass)
    assert list(project.glob("*.html")) == []
