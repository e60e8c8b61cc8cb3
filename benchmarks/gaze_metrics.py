"""Time of all gaze metrics for 140 images of 800 × 600, and of plain versions of the two slowest ones.
Budget: 10 s.

    python benchmarks/gaze_metrics.py [--images 140] [--people 15]

Fixations and maps are random, as many as in OSIE. Plain versions: the ROC area by scikit-learn over all
pixels, the density by SciPy's Gaussian filter.
"""

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import numpy as np
from scipy.ndimage import gaussian_filter
from sklearn.metrics import roc_auc_score

from benchmarks.timing import hardware
from explain.gaze.metrics import VARIANTS, Map, roc_area, scores
from explain.gaze.truths import Truths
from models.gaze.density import density
from models.gaze.gaze_set import GazeSet, Viewed

SIZE, SIGMA, EACH = (600, 800), 24.0, 9.4  # OSIE's, and its fixations of a person


def drawn(images: int, people: int) -> GazeSet:
    rng, n = np.random.default_rng(0), round(people * EACH)
    made = []
    for k in range(images):
        x, y = (
            np.clip(rng.normal(side / 2, side / 5, n), 0, side - 1).astype(np.float32) for side in SIZE[::-1]
        )
        made.append(Viewed(f"{k:04d}", Path(), SIZE, x, y, np.arange(n) % people))
    return GazeSet("drawn", "", tuple(made))


def pairs(
    image: Viewed, whole: np.ndarray, counts: np.ndarray
) -> list[tuple[Callable[[], object], Callable[[], object]]]:
    """(Vitrine's function, plain version) of each metric that is timed."""
    return [
        (
            lambda: roc_area(whole[image.rows, image.cols], np.sort(whole, axis=None)),
            lambda: roc_auc_score(
                np.r_[np.ones(len(image.x)), np.zeros(whole.size)],
                np.r_[whole[image.rows, image.cols], whole.ravel()],
            ),
        ),
        (
            lambda: density(image.rows, image.cols, SIZE, SIGMA),
            lambda: gaussian_filter(counts, SIGMA, mode="constant"),
        ),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=140)
    parser.add_argument("--people", type=int, default=15)
    asked = parser.parse_args()
    print(hardware())
    looked = drawn(asked.images, asked.people)
    truths, maps = (
        Truths(looked, looked, SIGMA),
        np.random.default_rng(1).random((asked.images, 60, 80), np.float32),
    )
    truths.of(looked.images[0])
    for variant in VARIANTS:
        began = time.perf_counter()
        for image, values in zip(looked.images, maps, strict=True):
            scores(values, truths.of(image), variant)
        print(
            f"{asked.images} images, all metrics, {variant}: {time.perf_counter() - began:.2f} s (budget "
            "10 s for 140)"
        )
    few = min(10, asked.images)
    ours, plainly = [0.0, 0.0], [0.0, 0.0]
    for image, values in zip(looked.images[:few], maps, strict=False):
        whole = Map(values, SIZE).values
        counts = np.zeros(SIZE)
        np.add.at(counts, (image.rows, image.cols), 1)
        for k, (quick, plain) in enumerate(pairs(image, whole, counts)):
            for times, work in ((ours, quick), (plainly, plain)):
                began = time.perf_counter()
                work()
                times[k] += time.perf_counter() - began
    for name, mine, theirs in zip(("ROC area", "density"), ours, plainly, strict=True):
        print(
            f"{name}: {1000 * mine / few:.1f} ms, plainly {1000 * theirs / few:.1f} ms: {theirs / mine:.1f} x"
        )


if __name__ == "__main__":
    main()
