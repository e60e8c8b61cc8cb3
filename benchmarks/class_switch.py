"""How long does the Errors tab take to show another class of a run of 50,000 images? Budget: 0.5 s.

    python benchmarks/class_switch.py [--images 50000]
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.timing import hardware
from dashboard.tabs.errors import pieces
from dashboard.view import first_view
from explain.run_data import open_run
from explain.run_folder import SAMPLES, part_files

DEMO = Path(__file__).parent.parent / "dashboard" / "demo"


def enlarge(target: Path, images: int) -> None:
    """The demo run, its parts repeated under new ids until it has so many images."""
    (target / SAMPLES).mkdir(parents=True)
    for name in ("request.json", "manifest.json"):
        (target / name).write_bytes((DEMO / name).read_bytes())
    parts = [pq.read_table(path) for path in part_files(DEMO)]
    written = number = 0
    while written < images:
        table = parts[number % len(parts)]
        ids = pa.array([f"{number}/{i}" for i in table["id"].to_pylist()])
        pq.write_table(table.set_column(0, "id", ids), target / SAMPLES / f"part-{number:05d}.parquet", compression="zstd")
        written, number = written + table.num_rows, number + 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=50_000)
    images = parser.parse_args().images
    with tempfile.TemporaryDirectory() as folder:
        enlarge(Path(folder, "run"), images)
        began = time.perf_counter()
        run = open_run(Path(folder, "run"))
        pieces(run, first_view(run))
        opened = time.perf_counter() - began
        times = []
        for i in (*range(8), *range(8)):
            began = time.perf_counter()
            pieces(run, first_view(run).apply("class", str(i), run))
            times.append(time.perf_counter() - began)
    print(f"{len(run.table):,} images; {hardware()}")
    print(f"  opened and first view {opened:.2f} s")
    first, again = times[:8], times[8:]
    print(f"  class switch: first visit median {np.median(first):.3f} s, worst {max(first):.3f} s; again {np.median(again):.3f} s (budget 0.5 s)")


if __name__ == "__main__":
    main()
