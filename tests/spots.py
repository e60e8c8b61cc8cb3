"""Pictures with one bright window, the only thing that the tests' networks look at."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

SIDE, SPOT = 32, 8


def draw_spots(root: Path, each: int, names: Sequence[str] = ("none", "spot")) -> Path:
    """Gray noise: `each` pictures in a folder of each name, with a bright window somewhere where it is
    'spot'."""
    rng = np.random.default_rng(0)
    for name in names:
        (root / name).mkdir()
        for i in range(each):
            pixels = rng.normal(90, 12, (SIDE, SIDE, 3))
            if name == "spot":
                row, column = (SPOT * int(v) for v in rng.integers(0, SIDE // SPOT, 2))
                pixels[row : row + SPOT, column : column + SPOT] += 120
            Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(root / name / f"{i}.png")
    return root
