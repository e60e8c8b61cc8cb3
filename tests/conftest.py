"""What many tests share: small networks, small folders of pictures, a small run, and the way to real data."""

import gc
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

if sys.version_info < (3, 11):
    sys.exit(
        f"Vitrine needs Python 3.11 or newer, this is {sys.version.split()[0]}: start pytest with a newer "
        "python3."
    )

if "PYTEST_XDIST_WORKER" in os.environ:  # one thread for each of the processes, and for what they start
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(name, "1")

os.environ.setdefault("MALLOC_ARENA_MAX", "2")  # of processes to come: servers in threads keep less memory

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import HealthCheck, settings
from PIL import Image
from torch import nn

from benchmarks.synthetic import Faults, synthetic_run
from explain.features.top_activations import ABOUT, DEPTH, STRONGEST
from explain.run.engine import run
from explain.run.format import MANIFEST, Manifest
from explain.run.reader import RunData, open_run
from explain.run.trusted_data import allow
from models import memory
from models.checkpoints import fingerprint
from models.classifier import Classifier
from models.data.folder import FolderSource
from models.measures import cost
from models.preprocessing import Preprocessing
from models.training.progress import Progress
from tests.chromium import FLAGS, executable
from tests.drawn import drawn_once as drawn_once  # a fixture
from tests.forked import Forked
from tests.one_process import pytest_xdist_make_scheduler as pytest_xdist_make_scheduler
from tests.weights import quick_weights, two_layers

settings.register_profile(
    "vitrine",
    derandomize=True,
    database=None,
    deadline=None,
    max_examples=50,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("vitrine")
WORKERS, EACH = 4, 4e9  # bytes of memory of a process with torch, gradio and a Chromium
TOON_RUN = Path(__file__).parent / "toon_run"
WAIT = 60_000
SAVED = 1_700_000_000  # seconds since 1970
COLORS = {"red": (220, 40, 40), "green": (40, 200, 60), "blue": (40, 60, 220)}
TINY = Preprocessing(size=(32, 32), resize=None, mean=(0.5,) * 3, std=(0.5,) * 3)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """What `-n auto` is: a process for every core of this machine, and one for while the others wait for a
    browser or a server; as many as the memory holds."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    known = hasattr(os, "sysconf")
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if known else 2 * EACH
    return max(1, min(cores + 1, WORKERS, int(total / EACH)))


@pytest.hookimpl(tryfirst=True)
def pytest_collection() -> None:
    """Imports make a million objects that stay: looking for garbage among them is a tenth of the time."""
    gc.disable()
    memory.reuse_memory()  # as commands do


def pytest_collectstart() -> None:
    """Before any test imports Gradio, which `dashboard` makes faster to import. Not in the process that
    starts the others: they would take its folder of uploads for theirs."""
    import dashboard  # noqa: F401


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.set_threshold(20_000, 10, 5)
    gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that open a browser first, then those with slow tests: what is left at the end is short, and all
    processes end together."""
    marked = {m: {i.path for i in items if i.get_closest_marker(m)} for m in ("browser", "slow")}
    items.sort(key=lambda item: tuple(item.path not in paths for paths in marked.values()))


class TinyNet(nn.Module):
    """Two convolutions, in-place ReLU, global average pooling, linear: CAMs of it are known by hand."""

    def __init__(self, classes: int = 3):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 8, 3, 2, 1),
            nn.BatchNorm2d(8),
            nn.ReLU(inplace=True),
            nn.Conv2d(8, 12, 3, 2, 1),
            nn.ReLU(inplace=True),
        )
        self.dropout = nn.Dropout(0.5)
        self.head = nn.Linear(12, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.dropout(self.features(x).mean((2, 3))))


def _tiny() -> Classifier:
    torch.manual_seed(0)
    model = TinyNet().eval()
    return Classifier("tiny", model, tuple(COLORS), TINY, "", fingerprint(model))


@cache
def _noisy_pictures() -> dict[str, list[bytes]]:
    """Class -> PNG files of six pictures."""
    rng, files = np.random.default_rng(0), dict[str, list[bytes]]()
    for name, color in COLORS.items():
        files[name] = []
        for _ in range(6):
            noisy = np.clip(np.array(color) + rng.normal(0, 60, (40, 48, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(noisy).save(file := io.BytesIO(), "PNG")
            files[name].append(file.getvalue())
    return files


def _save_pictures(root: Path) -> Path:
    """With one time of all files, which a run keeps of each."""
    for name, files in _noisy_pictures().items():
        (root / name).mkdir(parents=True)
        for number, file in enumerate(files):
            (root / name / f"{number}.png").write_bytes(file)
            os.utime(root / name / f"{number}.png", (SAVED, SAVED))
    return root


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Three classes of six noisy pictures."""
    return _save_pictures(tmp_path / "pictures")


@pytest.fixture
def tiny() -> Classifier:
    return _tiny()


@pytest.fixture(scope="session")
def first_run(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    """Of `tiny` on `pictures`, in `run` beside them. Each test gets a copy."""
    root = _save_pictures(tmp_path_factory.mktemp("first") / "pictures")
    return run(
        _tiny(), FolderSource(root), root.parent / "run", ["grad_cam", "layer_cam"], batch_size=5, part_rows=7
    )


@pytest.fixture
def small_run(first_run: Manifest, pictures: Path, tmp_path: Path) -> RunData:
    folder, made = tmp_path / "run", Path(first_run.data_root)
    shutil.copytree(made.parent / "run", folder, copy_function=shutil.copyfile)
    text = (folder / MANIFEST).read_text(encoding="utf-8")
    (folder / MANIFEST).write_text(text.replace(str(made), str(pictures)), encoding="utf-8")
    found = open_run(folder)
    allow(str(pictures), found.table["id"])
    return found


@pytest.fixture(scope="session")
def mislabeled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A synthetic run, a tenth of whose labels are wrong."""
    folder = tmp_path_factory.mktemp("mislabeled") / "run"
    synthetic_run(folder, 400, 8, Faults(flipped=0.1))
    return folder


@pytest.fixture
def review_run(mislabeled: Path, tmp_path: Path) -> RunData:
    """A copy of it, to be written to."""
    return open_run(Path(shutil.copytree(mislabeled, tmp_path / "run")))


@pytest.fixture
def narrow_salnet(monkeypatch: pytest.MonkeyPatch) -> None:
    """`salnet-half` with an eighth of its channels: all of its layers, maps and losses, in a fraction of the
    time."""
    monkeypatch.setattr("models.gaze.model.HALF", (6, 16, 32, 32, 32, 16, 8, 2, 1))


@pytest.fixture
def random_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """Large networks get theirs in a tenth of the time, and vision transformers have two layers: for tests of
    networks as they are built."""
    quick_weights(monkeypatch), two_layers(monkeypatch)


@pytest.fixture(scope="module")
def trainings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of the live dashboard's Train tab; what a failed test left running ends."""
    folder = tmp_path_factory.mktemp("trainings")
    yield folder
    for path in folder.glob("*.progress.json"):
        progress = Progress.read(path.with_name(path.name.replace(".progress.json", ".safetensors")))
        if progress is not None and progress.alive:
            os.kill(progress.pid, signal.SIGKILL)


@pytest.fixture
def forks(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the dashboard starts as `launch.py` is a fork, which needs no imports."""
    monkeypatch.setattr(subprocess, "Popen", Forked)


@pytest.fixture
def charts_not_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pictures of a training's charts take more time than a small training."""
    monkeypatch.setattr("models.training.measure.save_charts", lambda charts, folder: None)


@pytest.fixture(scope="session", autouse=True)
def freed_memory_is_given_back() -> Iterator[None]:
    """Commands and trainings keep it until their process ends, which is that of all tests here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(memory, "_of_glibc", lambda name: None)
        yield


@pytest.fixture(scope="session", autouse=True)
def seeds_of_devices_that_are_not_there() -> Iterator[None]:
    """For each of them, every `torch.manual_seed` else keeps the seed and a text of the whole call stack."""
    with pytest.MonkeyPatch.context() as patch:
        for device in (torch.cuda, torch.xpu, torch.mtia):
            if not device.is_available():
                patch.setattr(device, "manual_seed_all", lambda seed: None)
        yield


@pytest.fixture(scope="session", autouse=True)
def kept_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where maximized pictures are kept during tests."""
    folder = tmp_path_factory.mktemp("cache")
    os.environ["VITRINE_CACHE"] = str(folder)
    return folder


@pytest.fixture(scope="session", autouse=True)
def short_measurement() -> None:
    """Images per second are counted for a moment: no test looks at the figure itself."""
    cost.SECONDS = 0.05


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo's run without its survey, to be written to."""
    folder = tmp_path_factory.mktemp("run") / "demo"
    shutil.copytree(TOON_RUN, folder)
    for name in (STRONGEST, DEPTH, ABOUT):
        (folder / name).unlink(missing_ok=True)
    return folder


@pytest.fixture(scope="module")
def server(trainings: Path, demo: Path) -> Iterator[str]:
    """The dashboard on a copy of its demo, live: its address."""
    from dashboard.session.context import Context
    from tests.pages import served

    with served(Context(open_run(demo), trainings=trainings)) as url:
        yield url


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One Chromium for all tests of this process: the address that `browser` connects to."""
    pytest.importorskip("playwright")
    config = tmp_path_factory.mktemp("chromium") / "server.json"
    config.write_text(
        json.dumps({"executablePath": executable(), "args": FLAGS, "headless": True, "host": "127.0.0.1"})
    )
    command = [sys.executable, "-m", "playwright", "launch-server", "--browser", "chromium", "--config"]
    process = subprocess.Popen([*command, config], stdout=subprocess.PIPE, text=True, start_new_session=True)
    assert process.stdout is not None
    yield process.stdout.readline().strip()
    os.killpg(process.pid, signal.SIGTERM)  # with Node and Chromium, which it started
    process.wait(15)


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Any]:
    """That Chromium, for one module: Playwright's loop must not run beside tests that run loops of their
    own."""
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as p:
        browser = p.chromium.connect(chromium)
        yield browser
        browser.close()


@pytest.fixture
def arrived() -> list[Any]:
    """The events of a `page`, from before it is opened on."""
    return []


@pytest.fixture
def events(page: Any, arrived: list[Any]) -> Any:
    """The events of `page` that the server has not finished, those of its arrival among them."""
    return arrived[0]


@pytest.fixture
def page(server: str, browser: Any, request: pytest.FixtureRequest, arrived: list[Any]) -> Iterator[Any]:
    """A page that fails the test on any console error, page error, or request to another host."""
    from tests.pages import RESTS, Events

    width, dark, query = getattr(request, "param", (1280, False, ""))
    wrong: list[str] = []
    context = browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme="dark" if dark else "light"
    )
    context.add_init_script(RESTS)
    page = context.new_page()
    page.set_default_timeout(WAIT)
    arrived.append(Events(page))
    page.on("console", lambda m: wrong.append(f"{m.text} {m.location}") if m.type == "error" else None)
    page.on("pageerror", lambda e: wrong.append(str(e)))
    page.on(
        "request", lambda r: None if r.url.startswith((server, "data:", "blob:")) else wrong.append(r.url)
    )
    page.goto(server + query, wait_until="domcontentloaded")
    page.wait_for_selector(
        ".vt-card, #vt-gallery .vt-empty", state="attached"
    )  # a link may have opened another tab, or an empty list, by now
    yield page
    context.close()
    assert not wrong


@pytest.fixture(scope="session")
def imagenet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of 200 ImageNet photos named by WordNet id."""
    target = tmp_path_factory.mktemp("imagenet")
    with zipfile.ZipFile(_real("VITRINE_DATA", "imagenet_samples.zip")) as archive:
        archive.extractall(target)
    return target / "imagenet_samples"


@pytest.fixture(scope="session")
def mobilenet_weights() -> Path:
    return _real("VITRINE_WEIGHTS", "mobilenet_v2.safetensors")


@pytest.fixture(scope="session")
def mobilenet_v1_weights() -> Path:
    return _real("VITRINE_WEIGHTS", "mobilenetv1_100.safetensors")


@pytest.fixture(scope="session")
def ferplus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Table of FER2013's faces as they were published, with the original labels and the votes of FER+; of the
    images only those of the part `test`."""
    target = tmp_path_factory.mktemp("ferplus")
    with tarfile.open(_real("VITRINE_DATA", "ferplus.tar.xz")) as archive:
        wanted = (m for m in archive if "/test/" in m.name or m.name.endswith(".csv"))
        archive.extractall(target, wanted, filter="data")
    table = target / "ferplus" / "labels.csv"
    rows = pd.read_csv(table)
    rows[rows["split"] == "test"].to_csv(table, index=False)
    return table


def _real(variable: str, name: str) -> Path:
    folder = os.environ.get(variable)
    if not folder:
        pytest.skip(f"{variable} is not set: it names the folder that holds {name}")
    path = Path(folder) / name
    if not path.exists():
        pytest.skip(f"{path} is not there")
    return path
