"""Time of every click in the Errors tab, and memory of the server, for 50,000 images of 1,000 classes; of two
classes (`--classes 2`) also at other thresholds.
Clusters that are computed in the background are timed apart, and drawing them counts as a click.
Budgets: opened in 2 s, clicks 0.1 s in the median and 0.3 s in 95 %, 1.5 GB.

    python benchmarks/clicks.py [--images 50000] [--classes 1000] [--run FOLDER]

The run is synthetic, with planted faults (`synthetic`), or given. Findings are computed once and kept; both
are timed, in seconds and in seconds of the processor, which other programs change less.
"""

import argparse
import contextlib
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import numpy as np

from benchmarks.synthetic import Faults, synthetic_run
from dashboard.components.errors.cluster_view import missing_clusters
from dashboard.tabs.errors import changed, lens, pieces
from dashboard.tabs.errors_state import LENSES, View, first_view
from explain.analysis.findings import Findings, analyze
from explain.analysis.groups import lists_of
from explain.analysis.ranking import SORTS
from explain.run.reader import open_run
from models.errors import UserError


def clicks(findings: Findings) -> list[tuple[str, str]]:
    """(action, value) of a session: every view, list and order, a dozen classes and confusions, pages and
    searches; no notes."""
    run = findings.run
    rng = np.random.default_rng(0)
    classes = [str(i) for i in rng.choice(run.present, min(12, len(run.present)), replace=False)]
    wrong = run.ok[~run.ok["correct"]].sample(12, random_state=0)
    cells = [f"{i},{j}" for i, j in wrong[["label", "pred"]].itertuples(index=False)]
    made = [("class", c) for c in classes] + [("cell", c) for c in cells] + [("overview", "")]
    made += [("lens", lens) for lens in LENSES] + [("by", "entropy"), ("low", "0.5"), ("page", "3")]
    made += [
        pair
        for c in classes[:6]
        for lens in ("means", "attention", "clusters", "images")
        for pair in (("class", c), ("lens", lens))
    ]
    made += [pair for name in lists_of(run) for pair in (("group", name), ("page", "5"))] + [
        ("sort", sort) for sort in SORTS
    ]
    made += [("group", f"proposal:{i}") for i in range(len(findings.proposals))]
    if run.binary:
        views = [("overview", ""), ("class", "1"), ("group", "misses"), *(("lens", lens) for lens in LENSES)]
        made += [pair for k, view in enumerate(views, 1) for pair in (view, ("threshold", str(k / 12)))]
    made += [("group", f"slice:{s.name}") for s in findings.slices(findings.method)[:4]]
    return [
        *made,
        ("find", "class 7"),
        ("find", ""),
        ("overview", ""),
        ("page", "40"),
        ("order", "confused"),
        ("norm", "row"),
        ("target", "label"),
    ]


def memory() -> float:
    """The largest resident size of this process so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


class Stopwatch:
    """Wall and CPU seconds since the last call."""

    def __init__(self) -> None:
        self._at = self._now()

    def _now(self) -> tuple[float, float]:
        return time.perf_counter(), time.process_time()

    def lap(self) -> tuple[float, float]:
        before, self._at = self._at, self._now()
        return self._at[0] - before[0], self._at[1] - before[1]


def session(folder: Path) -> None:
    watch = Stopwatch()
    findings = Findings(open_run(folder))
    print(f"  opened {_seconds(watch)}, {memory():.0f} MB")
    pieces(findings, first_view(findings.run), findings.ready)
    print(f"  first view {_seconds(watch)}, {memory():.0f} MB")
    list(analyze(findings))
    print(f"  findings {_seconds(watch)}, {memory():.0f} MB")
    view = first_view(findings.run)
    print(f"  {len(findings.run.table):,} images, {len(findings.run.classes):,} classes")
    times = []
    for name, value in clicks(findings):
        watch.lap()
        before, view = view, view.apply(name, value, findings.run)
        size = sum(len(piece) for piece in changed(findings, before, view) if isinstance(piece, str))
        times.append((*watch.lap(), f"{name} {value}", size))
        times += _clusters(findings, view, watch, f"{name} {value}")
    for kind, seconds in (("wall", [t[0] for t in times]), ("CPU", [t[1] for t in times])):
        median, most = np.quantile(seconds, [0.5, 0.95])
        print(
            f"  {len(times)} clicks, {kind}: median {median:.3f} s, 95 % {most:.3f} s, "
            f"worst {max(seconds):.3f} s"
        )
    times.sort(key=lambda t: -t[1])
    print(
        "  slowest (CPU): "
        + "; ".join(f"{what} {t:.2f} s, {size / 1024:.0f} kB" for _, t, what, size in times[:8])
    )
    print(f"  memory {memory():.0f} MB")


def _clusters(
    findings: Findings, view: View, watch: Stopwatch, click: str
) -> list[tuple[float, float, str, int]]:
    """The event that draws the clusters which a click has begun to compute, as a click; nothing after
    others."""
    if not (missing := missing_clusters(findings, view)):
        return []
    with contextlib.suppress(UserError):  # too few maps
        findings.clusters(*missing)
    print(f"  clusters after {click}, in the background: {_seconds(watch)}")
    size = len(lens(findings, view, editable=True))
    return [(*watch.lap(), f"clusters after {click}", size)]


def _seconds(watch: Stopwatch) -> str:
    wall, cpu = watch.lap()
    return f"{wall:.2f} s (CPU {cpu:.2f} s)"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=50_000)
    parser.add_argument("--classes", type=int, default=1000)
    parser.add_argument("--run", type=Path)
    parser.add_argument("--session", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.session:
        session(asked.run)
        return
    from benchmarks.timing import hardware  # torch comes with it: not into the session's memory

    print(hardware())
    with tempfile.TemporaryDirectory() as folder:
        if not asked.run:
            faults = Faults(flipped=0.02, blurred=3, border=5, starved=7, pair=(11, 12))
            apart = 4.0
            if asked.classes == 2:
                faults, apart = Faults(flipped=0.02), 1.2
            synthetic_run(
                Path(folder, "run"),
                asked.images,
                asked.classes,
                faults,
                apart=apart,
                methods=("layer_cam", "grad_cam"),
            )
        command = [sys.executable, __file__, "--session", "--run", str(asked.run or Path(folder, "run"))]
        for _ in range(2):  # the second finds what the first worked out
            subprocess.run(command, check=True)  # a process of its own: making the run must not count


if __name__ == "__main__":
    main()
