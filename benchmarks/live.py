"""Frames per second of Live, end to end in Chromium: a clip of a real face as its camera, the page served as
`launch.py serve` serves it, in a process of its own.

    python benchmarks/live.py [--model fer_vgg:fer2013] [--seconds 20] [--threads 0] [--layer ""]

Prints the frames that were drawn per second, and the median milliseconds of the parts of a frame: `open`
(decoding), `face` (detector; 0 while a box is used again), `wait` (for the network), `network` (one pass for
probabilities and map, and the map), `draw` (markup), and the rest: the browser's camera, canvas and JPEG, the
request and the answer. Then the CPU time of a frame, of the server and of the browser, which a busy machine
changes less. Goal: 8 frames per second on two cores.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from tests.chromium import FLAGS
from tests.clip import moving_face, write_y4m
from tests.ports import free_port

PARTS = ("open", "face", "wait", "network", "draw")
TICKS = os.sysconf("SC_CLK_TCK")
Noted = list[tuple[float, dict[str, float]]]
NOTED = """() => {
  const view = document.querySelector('[data-live=view]');
  window.noted = [];
  new MutationObserver(() => window.noted.push([performance.now(), JSON.parse(view.dataset.ms)]))
    .observe(view, {attributes: true, attributeFilter: ['data-ms']});
}"""


def run_of(model: str, layer: str, folder: Path) -> Path:
    """A run of a few frames: Live needs the network and the layer that it names."""
    from models.registry import load

    name = load(model).classes[0]
    (folder / "data" / name).mkdir(parents=True)
    for k, frame in enumerate(moving_face(4)):
        frame.resize((320, 240)).save(folder / "data" / name / f"{k}.png")
    words = ["run", "--model", model, "--data", str(folder / "data"), "--out", str(folder / "run")]
    words += ["--methods", "layer_cam", *(["--layer", layer] if layer else [])]
    subprocess.run([sys.executable, "launch.py", *words], cwd=ROOT, check=True, capture_output=True)
    return folder / "run"


def cpu_of(process: int) -> float:
    """CPU seconds of a process and of all that it started, as far as they run; Linux alone tells."""
    total, parents = dict[int, float](), dict[int, int]()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            fields = stat.read_text().rpartition(")")[2].split()
            number = int(stat.parent.name)
            parents[number], total[number] = int(fields[1]), (int(fields[11]) + int(fields[12])) / TICKS
    below = {process}
    while more := {n for n, parent in parents.items() if parent in below} - below:
        below |= more
    return sum(total.get(n, 0) for n in below)


def measured(url: str, clip: Path, seconds: float, server: int) -> tuple[Noted, float, float]:
    """Of each frame that was drawn: when, in milliseconds, and its parts; CPU seconds of the server and of
    the browser meanwhile."""
    from playwright.sync_api import sync_playwright

    browser_path = os.environ.get("CHROMIUM") or shutil.which("chromium-headless-shell") or "chromium"
    with sync_playwright() as p:
        flags = [*FLAGS, f"--use-file-for-fake-video-capture={clip}"]
        page = p.chromium.launch(executable_path=shutil.which(browser_path), args=flags).new_page()
        page.goto(url, wait_until="domcontentloaded")
        page.click("#vt-tabs button[role=tab]:has-text('Inspect')")
        page.click(".vt-camera summary")
        page.click("text=Start the camera")
        page.wait_for_selector(".vt-camera .vt-map", timeout=120_000)
        page.wait_for_timeout(3000)
        page.evaluate(NOTED)
        of_server, of_all = cpu_of(server), cpu_of(os.getpid())
        page.wait_for_timeout(1000 * seconds)
        noted: Noted = page.evaluate("window.noted")
        of_server, of_all = cpu_of(server) - of_server, cpu_of(os.getpid()) - of_all
        return noted, of_server, of_all - of_server


def table(noted: Noted) -> str:
    at = np.array([when for when, _ in noted])
    between = np.diff(at)
    parts = {name: np.array([ms.get(name, 0.0) for _, ms in noted[1:]]) for name in PARTS}
    rest = between - np.sum([*parts.values()], axis=0)
    lines = [
        f"{1000 / between.mean():.1f} frames/s drawn ({len(at)} frames); interval: median "
        f"{np.median(between):.0f} ms, 95 % {np.quantile(between, 0.95):.0f} ms"
    ]
    for name, values in {**parts, "rest": rest}.items():
        lines.append(f"{name:8} median {np.median(values):6.1f} ms, mean {values.mean():6.1f} ms")
    return "\n".join(lines)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="fer_vgg:fer2013")
    parser.add_argument("--layer", default="")
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--threads", type=int, default=0, help="of torch (default: 0, as it is served)")
    return parser.parse_args()


def main() -> None:
    given, port = arguments(), free_port()
    environment = dict(os.environ, **({"OMP_NUM_THREADS": str(given.threads)} if given.threads else {}))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        clip = write_y4m(moving_face(), folder / "face.y4m")
        run = run_of(given.model, given.layer, folder)
        words = [sys.executable, "launch.py", "serve", "--run", str(run), "--no-browser", "--port", str(port)]
        server = subprocess.Popen(
            words, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        try:
            assert server.stdout is not None
            server.stdout.readline()
            time.sleep(5)  # the network is loaded
            noted, *cpu = measured(f"http://127.0.0.1:{port}/", clip, given.seconds, server.pid)
        finally:
            server.terminate()
            try:
                server.wait(20)
            except subprocess.TimeoutExpired:
                server.kill()
    load = os.getloadavg()[0]
    print(
        f"{given.model} {given.layer}, {os.cpu_count()} cores, OMP_NUM_THREADS "
        f"{environment.get('OMP_NUM_THREADS', 'not set')}, load {load:.1f}"
    )
    print(table(noted))
    for name, seconds in zip(("server", "browser"), cpu, strict=True):
        print(f"CPU time of the {name}: {1000 * seconds / len(noted):.0f} ms a frame")


if __name__ == "__main__":
    main()
