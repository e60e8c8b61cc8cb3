"""Time of every click in the Errors tab, and memory, of a run of several labels per image: 50,000
images and 14 labels. Budget: 0.3 s per click, once the findings of a label are there.

    python benchmarks/label_clicks.py [--images 50000] [--labels 14]

The run is synthetic. Each label is asked for twice: the first time reads its columns. Findings are computed
in the background of the page, and are timed apart.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import numpy as np
import pyarrow as pa

from benchmarks.clicks import memory
from benchmarks.synthetic import blobs, facts_of, thumbnails
from dashboard.session.context import Context
from dashboard.tabs.errors import changed, pieces
from dashboard.tabs.errors_state import LENSES, first_view
from explain.analysis.findings import analyze
from explain.run.format import (
    LABEL_SETS,
    OF_CLASS,
    Manifest,
    Request,
    begin,
    finish,
    map_column,
    map_schema,
    pack_maps,
    rows_to_table,
    table_of,
)
from explain.run.map_stats import attention_statistics
from explain.run.outputs.label_rows import mapped_classes
from explain.run.part_writer import PartWriter
from explain.run.reader import open_run
from models.outputs.task import MULTI

METHOD, SHAPE, PART_ROWS = "layer_cam", (7, 7), 512


def synthetic_label_run(folder: Path, images: int, labels: int, seed: int = 0) -> None:
    """Write it: about two labels per image, each answered by a noisy logit."""
    rng, names = np.random.default_rng(seed), tuple(f"label {k}" for k in range(labels))
    request = Request(
        "synthetic",
        "0" * 16,
        "synthetic",
        f"{seed:016d}",
        names,
        (METHOD,),
        "layer",
        SHAPE,
        "fp32",
        schema=LABEL_SETS,
        task=MULTI,
    )
    begin(folder, request)
    writer = PartWriter(folder, request, PART_ROWS)
    for start in range(0, images, PART_ROWS):
        writer.add(*_part(rng, min(PART_ROWS, images - start), start, request))
    writer.flush()
    finish(folder, Manifest(request, "complete", {"ok": images, "failed": 0}, titles={METHOD: "LayerCAM"}))


def _part(rng: np.random.Generator, n: int, start: int, request: Request) -> tuple[pa.Table, pa.Table]:
    k = len(request.classes)
    truth = rng.random((n, k)) < 2 / k
    logit = np.where(truth, 1.5, -2.5) + rng.standard_normal((n, k)) * 1.5
    prob = 1 / (1 + np.exp(-logit))
    ids = [f"{start + i:06d}.png" for i in range(n)]
    columns = {
        "id": ids,
        "labels": [np.flatnonzero(row).tolist() for row in truth],
        "logit": logit.astype(np.float32).tolist(),
        "prob": prob.astype(np.float32).tolist(),
        "loss": np.logaddexp(0, np.where(truth, -logit, logit)).mean(1),
        "thumbnail": thumbnails(rng, n),
    }
    pairs = [(i, c) for i, classes in enumerate(mapped_classes(prob, truth)) for c in classes]
    maps, name = blobs(rng, len(pairs), SHAPE, np.zeros(len(pairs), bool)), map_column(METHOD, OF_CLASS)
    values, scale = pack_maps(maps)
    of_maps = {"id": [ids[i] for i, _ in pairs], "class": [c for _, c in pairs], name: values}
    of_maps |= {f"{name}.scale": scale}
    of_maps |= {f"{name}.{s}": v for s, v in attention_statistics(maps, {}).items()}
    return rows_to_table(columns | facts_of(rng, n), request), table_of(of_maps, map_schema(request))


def session(folder: Path) -> None:
    began = time.perf_counter()
    ctx = Context(open_run(folder))
    print(f"  opened {time.perf_counter() - began:.2f} s")
    view = first_view(ctx.findings.run, ctx.asked)
    began = time.perf_counter()
    pieces(ctx.findings, view)
    print(f"  first view {time.perf_counter() - began:.2f} s")
    labels = range(len(ctx.run.classes))
    began = time.perf_counter()
    for k in (0, 1):
        list(analyze(ctx.findings_of(k)))
    print(f"  findings of a label {(time.perf_counter() - began) / 2:.1f} s")
    first = [("asked", str(k)) for k in labels]
    again = [("asked", str(k)) for k in (0, 1)] * 3
    looks = [*(("lens", lens) for lens in LENSES if lens != "notes"), ("lens", "images"), ("group", "misses")]
    looks += [("threshold", str(t)) for t in (0.2, 0.4, 0.6, 0.8)] + [("pairs", "together")]
    looks += [("instead", "0,1"), ("together", "1,0"), ("sort", "highest loss"), ("page", "3")]
    presets = [("thresholds", "best-f1"), ("thresholds", "sensitivity-90"), ("thresholds", "0.5")]
    for title, clicks in (("labels, first", first), ("labels, again", again), ("others", [*looks, *presets])):
        times = []
        for action, value in clicks:
            began, before = time.perf_counter(), view
            view = view.apply(action, value, ctx.findings_of(view.asked).run)
            changed(ctx.findings_of(view.asked), before, view)
            times.append((time.perf_counter() - began, f"{action} {value}"))
        seconds = np.array([t for t, _ in times])
        worst = "; ".join(f"{what} {t:.2f} s" for t, what in sorted(times, reverse=True)[:4])
        print(f"  {title}: median {np.median(seconds):.3f} s, worst {seconds.max():.3f} s ({worst})")
    print(f"  memory {memory():.0f} MB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=50_000)
    parser.add_argument("--labels", type=int, default=14)
    asked = parser.parse_args()
    print(f"{asked.images:,} images, {asked.labels} labels")
    with tempfile.TemporaryDirectory() as folder:
        synthetic_label_run(Path(folder) / "run", asked.images, asked.labels)
        session(Path(folder) / "run")


if __name__ == "__main__":
    main()
