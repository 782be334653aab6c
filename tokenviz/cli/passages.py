"""`tokenviz score FILE --by passage`: adds one model's numbers to a table of texts, one row per text."""

from pathlib import Path
from typing import TYPE_CHECKING

from tokenviz.cli.outputs import print_csv, print_json

if TYPE_CHECKING:
    from tokenviz.scores import BosMode


def score_passages(
    model: str,
    file: str,
    column: str,
    *,
    bos: "BosMode",
    context: int | None,
    stride: int | None,
    skip_bad: bool,
    as_json: bool,
    parquet: Path | None,
) -> None:
    """Score the texts of a table and print it with the numbers, as CSV unless another output is chosen."""
    from tokenviz.cli.items import plain_rows
    from tokenviz.models.loading import load_model
    from tokenviz.progress import shown
    from tokenviz.scoring.scorer import score
    from tokenviz.tables import write_parquet
    from tokenviz.units.items import read_passages
    from tokenviz.units.tidy import check_request, tidy_table

    with shown():
        texts = read_passages(file, column=column, skip_bad=skip_bad)
        check_request(texts, by="item", previous=0)
        scores = score(load_model(model), texts.text, bos=bos, context=context, stride=stride)
        table = tidy_table(texts, scores, by="item", previous=0)
    if parquet is not None:
        write_parquet(table, parquet)
    elif as_json:
        print_json({"texts": texts.text.name, "by": "passage", "rows": plain_rows(table), "skipped": list(texts.skipped)})
    else:
        print_csv([table])
