"""How the box of the face detector lies in the pictures of FER2013, from which the margin of crops follows;
how often it finds a face where there is one and where there is none; and how long it takes.

    python benchmarks/face_framing.py FER_FOLDER [OTHER_FOLDER] [--images 1000]

FER_FOLDER: pictures of FER2013, 48 × 48 (below it, any folders). Each is extended by 10 repeated pixels on
every side, so that a box may be larger than the picture. OTHER_FOLDER: photos, of which those with a face
are listed, to be looked at.
"""

import argparse
import random
import sys
import time
from pathlib import Path

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent.parent))

from models.data.images import SUFFIXES, open_image
from models.faces import lbp
from models.faces.crop import FILLS
from models.faces.detectors import DETECTORS

EXTENDED = 10
SMALL = 160  # pixels that are searched: enough for a face that fills the picture


def pictures(folder: Path, most: int) -> list[Path]:
    files = sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES)
    return random.Random(0).sample(files, min(most, len(files)))


def framing(folder: Path, most: int) -> None:
    files, boxes = pictures(folder, most), []
    for file in files:
        pixels = np.asarray(open_image(file).convert("L"))
        side = max(pixels.shape)
        found = lbp.find(Image.fromarray(np.pad(pixels, EXTENDED, mode="edge")), SMALL)
        if found:
            best = max(found, key=lambda b: b.score)
            boxes.append([(best.left - EXTENDED) / side, (best.top - EXTENDED) / side, best.side / side])
    values = np.array(boxes)
    print(f"{len(files)} pictures, a face found in {len(boxes)} ({len(boxes) / len(files):.1%})")
    print("fraction of the picture's side      5 %   25 %    50 %   75 %   95 %")
    for name, column in zip(("left of the box", "top of the box", "side of the box"), values.T, strict=True):
        print(f"{name:30} {'  '.join(f'{v:6.3f}' for v in np.percentile(column, (5, 25, 50, 75, 95)))}")
    fills = np.mean(values[:, 2] * (1 + 2 * DETECTORS[0].margin) >= FILLS)
    print(f"pictures that are used whole: {fills:.1%}")
    print(f"margin that gives the picture: {(1 / np.median(values[:, 2]) - 1) / 2:.4f} of the box's side")


def others(folder: Path, most: int) -> None:
    files, with_face = pictures(folder, most), []
    for file in files:
        if found := lbp.find(open_image(file)):
            with_face.append(f"{file.relative_to(folder)} {[round(b.score) for b in found]}")
    print(f"{len(files)} photos, a face found in {len(with_face)}:", *with_face, sep="\n  ")


def pace() -> None:
    from skimage.data import astronaut

    large = Image.new("RGB", (4000, 3000), "grey")
    large.paste(Image.fromarray(astronaut()).resize((3000, 3000)))
    lbp.find(large)
    times = []
    for _ in range(5):
        began = time.process_time()
        found = lbp.find(large)
        times.append(time.process_time() - began)
    seconds = float(np.median(times))
    print(f"a photo of 4000 × 3000 pixels, {len(found)} found: {seconds:.2f} s of one core (median of 5)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("fer", type=Path)
    parser.add_argument("others", type=Path, nargs="?")
    parser.add_argument("--images", type=int, default=1000)
    given = parser.parse_args()
    framing(given.fer, given.images)
    if given.others:
        others(given.others, given.images)
    pace()


if __name__ == "__main__":
    main()
