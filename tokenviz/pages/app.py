"""The app that `tokenviz ui` serves: a page for each grid, and MLflow's own pages.

`create_app` is an app for MLflow (`mlflow server --app-name tokenviz`), as its basic-auth is; `tokenviz ui` starts it. All
addresses are relative, so that any port, proxy and path prefix works:

    /                          where nothing of MLflow's is asked for: the newest grid
    /grids/                    the newest grid
    /grids/GRID/               its overview
    /grids/GRID/runs/RUN/FILE  a figure

Pages and figures come from the store, where others may have written them. Each is served as a document without an origin, which
can neither read nor change MLflow's data.
"""

import json
import os
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from tokenviz.base.errors import DamagedError, StoreError
from tokenviz.figures.report.overview import overview_html
from tokenviz.pages.grids import NoGridError, figures_of, grid_named, grids_of, overview_of
from tokenviz.tracking.embedded import identity_of
from tokenviz.tracking.entities import columns_offered
from tokenviz.tracking.finding import fetch
from tokenviz.tracking.store import Store, open_embedded_for_reading, store_errors

if TYPE_CHECKING:
    from flask import Flask, Response

RECENT = 12  # grids that a page lists
_NO_ORIGIN = "sandbox allow-scripts allow-popups allow-popups-to-escape-sandbox allow-downloads allow-modals"
_RUN, _FILE = re.compile(r"[0-9a-f]{32}"), re.compile(r"[^/\\]+\.(html|png|svg|pdf)")
_TYPES = {"html": "text/html; charset=utf-8", "png": "image/png", "svg": "image/svg+xml", "pdf": "application/pdf"}

# Settings that MLflow's pages store in the browser, unless the user has chosen others: the page mode is for machine learning,
# the assistant and the advice for first steps (to serve to everybody) stay closed, and nothing is reported.
_CHOICES = {
    "mlflow.workflowType_v1": "machine_learning",
    "mlflow.assistant.fab.autoOpenedOnFirstLoad_v1": True,
    "mlflow.home.getting-started.collapsed_v1": True,
    "mlflow.telemetry.info.alert.dismissed_v1": True,
    "mlflow.settings.telemetry.enabled_v1": False,
}
# An experiment cannot say which columns its list of runs has at first: without a choice kept in the browser no number is among
# them (MLflow 3.17). So an experiment's own columns are put there, under the name that MLflow's pages use.
_COLUMNS = 'MLflowLocalStorage-1.1-ExperimentPage-["%s"]-ReactComponentState'
# No setting hides the button of MLflow's assistant, which is for servers of other kinds: its parts all have this attribute.
_HIDDEN = "<style>[data-assistant-ui] { display: none !important }</style>"
# The path of MLflow's pages follows the #, which no server sees, so a script in the page redirects.
_FIRST = """<script>
for (const [name, value] of Object.entries(%s)) try {
  if (localStorage.getItem(name) === null) localStorage.setItem(name, JSON.stringify(value));
} catch {}
const home = () => { if (["", "#", "#/"].includes(location.hash)) location.replace("grids/"); };
home();
addEventListener("hashchange", home);
</script>"""


def create_app() -> Any:
    """Return MLflow's app on the embedded store, with the pages of grids added; `mlflow server` calls this."""
    from mlflow.server import app
    from mlflow.server.fastapi_app import create_fastapi_app
    from mlflow.server.handlers import STATIC_PREFIX_ENV_VAR

    index = Path(str(app.static_folder)) / "index.html"
    store = cache(open_embedded_for_reading)
    app.view_functions["serve"] = lambda: _first_page(index, store)
    add_pages(app, os.environ.get(STATIC_PREFIX_ENV_VAR, "").rstrip("/"), store, pages="../../")
    return create_fastapi_app(app)


def create_pages(store: Store) -> "Flask":
    """Return an app with only the pages of grids, for a server that has MLflow's own pages.

    It answers only to names of this machine, as MLflow's does, so that scripts of other sites cannot reach it by another name.
    """
    from flask import Flask, redirect

    app = Flask("tokenviz", static_folder=None)
    app.config["TRUSTED_HOSTS"] = ["localhost", "127.0.0.1", "[::1]"]
    app.add_url_rule("/", "tokenviz_first", lambda: redirect("grids/"))
    add_pages(app, "", lambda: store, pages=f"{store.web_address.rstrip('/')}/")
    return app


def add_pages(app: "Flask", prefix: str, store: Callable[[], Store], *, pages: str) -> None:
    """Add the pages of grids to a Flask app.

    Args:
        app: The app.
        prefix: Prefix of the pages' paths.
        store: Opens the store.
        pages: Address of MLflow's pages, relative to a grid's page.
    """
    from flask import redirect

    def answered(page: Callable[..., "Response"]) -> Callable[..., "Response"]:
        def view(**names: str) -> "Response":
            try:
                return page(**names)
            except (DamagedError, NoGridError) as error:
                return _said(str(error), 404)
            except StoreError as error:
                return _said(str(error), 503)

        return view

    def newest() -> "Response":
        found = grids_of(store(), most=1)
        if not found:
            return _said("No grid yet: run an experiment, such as make experiment, and load this page again.", 200)
        return redirect(f"{found[0].grid}/")  # type: ignore[return-value]  # a relative address, as in all links of these pages

    def overview(grid: str) -> "Response":
        entry = grid_named(store(), grid)
        others = [(f"../{one.grid}/", one.name) for one in grids_of(store(), most=RECENT) if one.grid != grid]
        whole = sorted(name for name in figures_of(store(), entry.summary) if _FILE.fullmatch(name)) if entry.summary else []
        files = [(f"runs/{entry.summary}/{quote(name)}", name) for name in whole]
        page = overview_html(overview_of(store(), entry), "folder", pages=pages, grids=others, files=files)
        return _document(page.encode(), "html")

    def figure(grid: str, run: str, file: str) -> "Response":
        found = _FILE.fullmatch(file)
        if not found or not _RUN.fullmatch(run):
            return _said(f"There is no figure {file!r}.", 404)
        with TemporaryDirectory(prefix="tokenviz-") as folder:
            return _document(fetch(store(), run, f"figures/{file}", Path(folder)).read_bytes(), found[1])

    app.add_url_rule(f"{prefix}/grids/", "tokenviz_newest", answered(newest))
    app.add_url_rule(f"{prefix}/grids/identity", "tokenviz_identity", lambda: identity_of(str(store().folder or store().name)))
    app.add_url_rule(f"{prefix}/grids/<grid>/", "tokenviz_overview", answered(overview))
    app.add_url_rule(f"{prefix}/grids/<grid>/runs/<run>/<file>", "tokenviz_figure", answered(figure))


def _first_page(index: Path, store: Callable[[], Store]) -> "Response":
    from flask import Response

    page = index.read_text(encoding="utf-8")
    try:
        columns = _columns(store())
    except StoreError:
        columns = {}  # MLflow's own page says what is wrong with the store
    choices = json.dumps(_CHOICES | columns).replace("<", r"\u003c")  # views are others' words: none ends the script
    return Response(page.replace("<head>", f"<head>{_HIDDEN}{_FIRST % choices}", 1), headers={"Cache-Control": "no-cache"})


def _columns(store: Store) -> dict[str, object]:
    with store_errors(store):
        experiments = store.client.search_experiments()
    found = {_COLUMNS % one.experiment_id: columns_offered(one.tags) for one in experiments}
    return {name: columns for name, columns in found.items() if columns}


def _document(content: bytes, ending: str) -> "Response":
    from flask import Response

    headers = {"Content-Security-Policy": _NO_ORIGIN, "Cache-Control": "no-cache"} if ending in ("html", "svg") else {}
    return Response(content, content_type=_TYPES[ending], headers=headers)


def _said(words: str, status: int) -> "Response":
    from flask import Response

    return Response(f"{words}\n", status, content_type="text/plain; charset=utf-8")
