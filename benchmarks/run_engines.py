"""Seconds, seconds of the processor, bytes and memory of a run by the engine `local`; and seconds of one by
two workers of Ray, of which one is killed in the middle with --kill: the parts of both runs are compared byte
for byte. With --local the engine `local` alone.

python benchmarks/run_engines.py [--images 10000] [--model tiny_conv:toon_studios] [--workers 2] [--kill]
    [--local]
"""

import argparse
import os
import resource
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import numpy as np
from PIL import Image

from benchmarks.timing import hardware
from explain.cli.matching import Reopen, open_both
from explain.cli.options import DataOfTask, LabeledColumns, Network
from explain.run.engine import Progress, run
from explain.run.engines import Workers, schedule
from explain.run.format import part_files
from explain.run.preflight.matched import matched_to
from models.inputs.options import NO_OPTIONS
from models.memory import reuse_memory
from models.registry import load


def write_pictures(folder: Path, count: int, classes: tuple[str, ...]) -> None:
    """PNG files of noise, 64 × 64, in one folder per class."""
    rng = np.random.default_rng(0)
    for name in classes:
        (folder / name).mkdir(parents=True)
    for i in range(count):
        pixels = rng.integers(0, 255, (64, 64, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / classes[i % len(classes)] / f"{i:06d}.png")


def worker_processes() -> list[int]:
    """Process ids of the workers of the Ray that this process has started (Linux)."""
    parent, names = {}, {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            parent[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            names[int(entry.name)] = (entry / "cmdline").read_text()
        except OSError:  # it has ended
            continue
    return [
        pid
        for pid, name in names.items()
        if name.startswith("ray::MapWorker") and parent.get(parent[pid]) == os.getpid()
    ]


def killer(count: int) -> Callable[[Progress], None]:
    """Kills one worker when half of `count` images are done."""
    killed: list[int] = []

    def look(now: Progress) -> None:
        if not killed and now.done * 2 >= count and (found := worker_processes()):
            killed.append(found[0])
            os.kill(found[0], signal.SIGKILL)
            print(f"killed a worker at image {now.done:,}", flush=True)

    return look


def peak_memory() -> int:
    """Bytes of this process so far (Linux)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def size_of(folder: Path) -> int:
    """Bytes of the parts."""
    return sum(file.stat().st_size for file in folder.rglob("part-*.parquet"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--model", default="tiny_conv:toon_studios")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--kill", action="store_true")
    parser.add_argument("--local", action="store_true")
    chosen = parser.parse_args()
    reuse_memory()
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder, "data")
        write_pictures(data, chosen.images, load(chosen.model).classes)
        given = (Network(chosen.model), DataOfTask(str(data)), LabeledColumns())
        reopen = Reopen(*given, None, None, NO_OPTIONS, None)
        matched = matched_to(*open_both(*given, None, NO_OPTIONS), None)
        engines = {"local": Workers()} | ({} if chosen.local else {"ray": Workers(count=chosen.workers)})
        for name, workers in engines.items():
            began, used, before = time.perf_counter(), time.process_time(), peak_memory()
            made = run(
                matched.classifier,
                matched.source,
                Path(folder, name),
                ["grad_cam"],
                schedule=schedule(name, workers, reopen),
                progress=killer(chosen.images) if name == "ray" and chosen.kill else None,
            )
            print(f"{name}: {time.perf_counter() - began:.1f} s, {made.counts}", flush=True)
            if name == "local":
                used, stored = time.process_time() - used, size_of(Path(folder, name))
                print(f"{used:.1f} s of the processor, {1000 * used / chosen.images:.2f} ms per image")
                print(f"{stored:,} bytes, {stored / chosen.images:,.0f} per image")
                print(
                    f"{peak_memory() / 1e6:,.0f} MB of memory at most, {before / 1e6:,.0f} MB before",
                    flush=True,
                )
        parts = [[p.read_bytes() for p in part_files(Path(folder, name))] for name in engines]
    if not chosen.local:
        print(f"{len(parts[0])} parts, equal byte for byte: {parts[0] == parts[1]}")
    print(hardware())


if __name__ == "__main__":
    main()
