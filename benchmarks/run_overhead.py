"""Time of a run with maps for two targets, divided by the same loop with `model(x)` alone. Budget: 1.15.

python benchmarks/run_overhead.py [--model mobilenet_v2] [--images 256]
"""

import argparse
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).parent.parent))

import torch

from benchmarks.timing import hardware, take_turns
from explain.run.engine import run
from explain.run.loading import READERS
from models.checkpoints import fingerprint
from models.classes.imagenet import imagenet_names
from models.classifier import Classifier
from models.data.folder import FolderSource
from models.data.toon_faces import ToonFaces
from models.memory import reuse_memory
from models.preprocessing import stack
from models.registry import spec

BUDGET = 1.15


def write_pictures(folder: Path, count: int, classes: tuple[str, ...]) -> None:
    """JPEGs of the size of ImageNet photos, in folders named like classes of the model."""
    faces = ToonFaces("test", count)
    for i in range(count):
        place = folder / classes[i % 8]
        place.mkdir(parents=True, exist_ok=True)
        faces.load(i).resize((500, 375)).save(place / f"{i}.jpg", quality=90)


def bare_loop(classifier: Classifier, source: FolderSource, batch_size: int) -> None:
    """Read, crop and classify with the same threads and batches; nothing is kept."""
    with ThreadPoolExecutor(READERS) as pool, torch.inference_mode():
        tensors = pool.map(lambda i: classifier.preprocessing.tensor(source.load(i)), range(len(source)))
        batch: list[torch.Tensor] = []
        for i, tensor in enumerate(tensors):
            batch.append(tensor)
            if len(batch) == batch_size or i == len(source) - 1:
                classifier.model(classifier.preprocessing.normalize(stack(batch)))
                batch = []


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="mobilenet_v2")
    parser.add_argument("--images", type=int, default=256)
    parser.add_argument("--methods", default="grad_cam,layer_cam")
    parser.add_argument("--layer", help="default: the last one; all-stages is that of run")
    chosen = parser.parse_args()
    entry = spec(chosen.model)
    model = entry.build(1000).eval().to(memory_format=torch.channels_last)
    names = imagenet_names()
    classifier = Classifier(entry.name, model, names, entry.preprocessing, "", fingerprint(model))
    reuse_memory()  # as the command does
    with tempfile.TemporaryDirectory() as folder:
        write_pictures(Path(folder, "data"), chosen.images, names)
        source, number = FolderSource(Path(folder, "data")), iter(range(10**6))
        seconds = take_turns(
            {
                "model(x) alone": lambda: bare_loop(classifier, source, 32),
                f"run with {chosen.methods}": lambda: run(
                    classifier,
                    source,
                    Path(folder, f"run{next(number)}"),
                    chosen.methods.split(","),
                    chosen.layer,
                ),
            },
            rounds=9,
        )
    print(f"{chosen.model}, {chosen.images} JPEGs of 500×375, batch 32; {hardware()}")
    for name, times in seconds.items():
        print(f"  {name:32} {median(times):7.2f} s  {chosen.images / median(times):7.1f} images/s")
    bare, whole = seconds.values()
    ratios = sorted(w / b for w, b in zip(whole, bare, strict=True))
    print(
        f"  ratio, round by round: median {median(ratios):.3f}, from {ratios[0]:.3f} to {ratios[-1]:.3f} "
        f"(budget {BUDGET})"
    )


if __name__ == "__main__":
    main()
