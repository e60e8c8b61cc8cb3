"""Which maps say more than their controls, and do any say more than those of one layer and one pass? The same
candidates on several networks, by the figures of `trust`.

    python benchmarks/better_maps.py OUT --network mobilenet_v2 --weights mobilenet_v2.safetensors
        --data imagenet_samples/val
    python benchmarks/better_maps.py OUT --network fer_vgg:toon_faces --data toon_faces
    python benchmarks/small_vit.py VIT && python benchmarks/better_maps.py OUT --vit VIT
        --data VIT/faces

OUT: a folder for the run and for what is measured; the same command resumes. `--only`: candidates, separated
by commas; `--list` names them all.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.map_candidates import candidates, images_for_baselines
from benchmarks.small_vit import CLASSES, PREPROCESSING, trained
from benchmarks.timing import hardware
from explain.methods.compute import compute_maps
from explain.methods.registry import METHODS, methods_for, methods_in_runs, register_method
from explain.methods.request import MapRequest
from explain.quality.format_text import number, p_text
from explain.quality.plan import measurements
from explain.quality.verdict import FIGURES, SHORT, Trust
from explain.run.engine import run
from explain.run.format import MANIFEST
from explain.run.reader import RunData, open_run
from explain.run.trusted_data import allow
from models.classifier import Classifier
from models.data.open import open_data
from models.data.source import ImageSource
from models.errors import UserError
from models.memory import reuse_memory
from models.registry import load
from models.sources.module import from_module

OF_REGISTRY = ("fullgrad", "shapley_cam", "recipro_cam")
"""Besides the methods of runs."""
TOGETHER = 6  # methods that are measured at once


def opened(given: argparse.Namespace) -> tuple[Classifier, ImageSource]:
    source = open_data(given.data, limit=given.of, split=given.split)
    if given.vit:
        return from_module(trained(given.vit), CLASSES, PREPROCESSING, "small_vit"), source
    return load(given.network, given.weights), source


def run_of(classifier: Classifier, source: ImageSource, folder: Path) -> RunData:
    if not (folder / MANIFEST).exists():
        run(classifier, source, folder, ["grad_cam"])
    found = open_run(folder)
    allow(found.manifest.data_root, found.table["id"])
    return found


def possible(classifier: Classifier, source: ImageSource, methods: Sequence[str]) -> list[str]:
    """Those that this network can be explained with."""
    x, found = classifier.batch([source.load(0)]), []
    for method in methods:
        try:
            compute_maps(classifier.model, x, MapRequest(method, "", 0))
            found.append(method)
        except UserError as error:
            print(f"without {method}: {error}")
    return found


def measured(
    classifier: Classifier, found: RunData, methods: Sequence[str], given: argparse.Namespace
) -> Trust:
    """Some methods after the others, which share the figures of the image's controls."""
    for start in range(0, len(methods), TOGETHER):
        some = methods[start : start + TOGETHER]
        (work,) = measurements(
            classifier,
            found,
            methods=some,
            images=given.images,
            figures=given.figures.split(","),
            precision=given.precision,
        )
        began = time.perf_counter()
        for fraction in work.steps():
            print(f"\r{', '.join(some)} {100 * fraction:.0f} %", end="", file=sys.stderr, flush=True)
        print(f"; {time.perf_counter() - began:.0f} s", file=sys.stderr, flush=True)
    return Trust.of(work.store, methods)


def table(trust: Trust) -> str:
    """Methods by the figure that decides, with controls in between."""
    lines = [
        "| map | "
        + " | ".join(FIGURES[name].title for name in trust.figures)
        + " | best control | difference "
        "| p | better on | ms per map |",
        "| --- |" + " --- |" * (len(trust.figures) + 5),
    ]
    rows = []
    for v in trust.verdicts:
        d = v.decisive
        low, high = d.interval
        cells = [METHODS[v.method].title, *(number(v.figures[name].mean) for name in trust.figures)]
        cells += [f"{number(d.means[d.best])} {SHORT[d.best]}"]
        cells += [f"{d.difference:+.3f} ({low:+.3f} to {high:+.3f})", p_text(d.p), f"{100 * d.wins:.0f} %"]
        rows.append((d.mean, [*cells, f"{1000 * v.seconds:.1f}"]))
    first = trust.verdicts[0]
    for control in ("center", "noise", "edges"):
        means = [first.figures[name].means[control] for name in trust.figures]
        blank = [""] * 5
        rows.append((first.decisive.means[control], [f"*{SHORT[control]}*", *map(number, means), *blank]))
    lines += ["| " + " | ".join(cells) + " |" for _, cells in sorted(rows, key=lambda row: -row[0])]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("--network", default="fer_vgg:toon_faces")
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--vit", type=Path, help="the folder that small_vit.py wrote")
    parser.add_argument("--data", default="toon_faces")
    parser.add_argument("--split")
    parser.add_argument("--of", type=int, default=400, help="images of the run")
    parser.add_argument("--images", type=int, default=60, help="images that are measured")
    parser.add_argument("--figures", default="insertion_deletion")
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--only", default="")
    parser.add_argument("--list", action="store_true")
    given = parser.parse_args()
    reuse_memory()
    classifier, source = opened(given)
    found = run_of(classifier, source, given.out)
    pool = images_for_baselines(classifier, source)
    made = candidates(pool)
    for name, function in made.items():
        register_method(name, function, name.replace("_", " "))
    built_in = [m for m in (*methods_in_runs(), *OF_REGISTRY) if m in methods_for(classifier.access)]
    names = given.only.split(",") if given.only else [*dict.fromkeys([*built_in, *made])]
    if given.list:
        print("\n".join(names))
        return
    names = possible(classifier, source, names)
    print(f"{classifier.name}, {source.name}, {given.images} images; {hardware()}")
    print(table(measured(classifier, found, names, given)))


if __name__ == "__main__":
    main()
