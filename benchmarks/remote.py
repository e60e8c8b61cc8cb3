"""Data at a URL: requests and seconds to open and read images from a server that answers after a while.

    python benchmarks/remote.py [--images 400] [--side 64] [--latency 0.03]

The server is fsspec's `memory://` with a wait before every answer. `one by one`: the same images, each when
it is asked for, without preprocessing.
"""

import argparse
import io
import resource
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import fsspec
import numpy as np
from PIL import Image

from explain.run.loading import load_batches
from models.classifier import Classifier
from models.data.open import open_data
from models.data.remote.files import RemoteFiles
from models.registry import load
from tests.remote import FORMS, write_forms


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=400)
    parser.add_argument("--side", type=int, default=64)
    parser.add_argument("--latency", type=float, default=0.03)
    given = parser.parse_args()
    with TemporaryDirectory() as made:
        root = write_forms(_pictures(Path(made, "pictures"), given.images, given.side), Path(made, "data"))
        system = fsspec.filesystem("memory")
        for file in (f for f in root.rglob("*") if f.is_file()):
            system.pipe_file(f"/data/{file.relative_to(root).as_posix()}", file.read_bytes())
        classifier = load("tiny_conv:toon_studios")
        requests = _slow(given.latency)
        print(
            f"{given.images} images of {given.side} × {given.side}, {given.latency * 1000:.0f} ms a request"
        )
        print(f"{'':9}{'open':>16}{'read':>16}{'one by one':>12}{'local':>9}")
        for form, where in FORMS.items():
            _measure(form, f"memory://data/{where}", str(root / where), classifier, requests)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"peak memory of this process {peak:,.0f} MB")


def _measure(form: str, url: str, path: str, classifier: Classifier, requests: list[str]) -> None:
    requests.clear()
    source, opened = _timed(lambda: open_data(url).read_for(classifier.preprocessing))
    asked = len(requests)
    requests.clear()
    everything = range(len(source))
    _, read = _timed(lambda: [len(b) for b in load_batches(source, everything, classifier, 16)])
    loaded = len(requests)
    again = open_data(url)
    _, alone = _timed(lambda: [again.load(i) for i in everything])
    local = open_data(path)
    _, here = _timed(lambda: [len(b) for b in load_batches(local, everything, classifier, 16)])
    print(f"{form:9}{asked:>4} in {opened:6.2f} s {loaded:>5} in {read:6.2f} s{alone:>10.2f} s{here:>7.2f} s")


def _timed(work: Callable[[], Any]) -> tuple[Any, float]:
    began = time.perf_counter()
    return work(), time.perf_counter() - began


def _slow(seconds: float) -> list[str]:
    """Every request waits; returns the list of the URLs that are asked for."""
    requests, real, lock = list[str](), RemoteFiles._do, threading.Lock()

    def ask(files: RemoteFiles, url: str, what: Any) -> Any:
        with lock:
            requests.append(url)
        time.sleep(seconds)
        return real(files, url, what)

    RemoteFiles._do = ask  # type: ignore[method-assign]
    return requests


def _pictures(folder: Path, count: int, side: int) -> Path:
    """Noise: JPEG and PNG do not make it smaller."""
    rng = np.random.default_rng(0)
    for i in range(count):
        path = folder / f"{('anger', 'fear')[i % 2]}" / f"{i:05}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        buffer = io.BytesIO()
        Image.fromarray(rng.integers(0, 256, (side, side, 3), np.uint8)).save(buffer, "PNG")
        path.write_bytes(buffer.getvalue())
    return folder


if __name__ == "__main__":
    main()
