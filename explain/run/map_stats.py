"""Where a map's positive mass lies, in a few numbers. NumPy only."""

import numpy as np

from explain.run.regions import covered

BORDER = 0.125  # width of the frame that counts as border, as a fraction of the side
UNIFORM_BORDER_MASS = 1 - (1 - 2 * BORDER) ** 2  # what a map without any preference has: the control
STATISTICS = ("entropy", "border_mass", "center_x", "center_y", "spread")


def mass_in(region: str) -> str:
    """The name of the statistic: the fraction of a map's mass that lies in a region."""
    return f"in_{region}"


def attention_statistics(
    maps: np.ndarray, regions: dict[str, np.ndarray] | None = None
) -> dict[str, np.ndarray]:
    """`maps` (N, h, w) raw -> `STATISTICS` and one more for each of `regions`, (N,) float32; NaN where a map
    has no positive value. `regions`: name -> the fraction of each position that lies in it, (h, w) or (N, h,
    w).

    entropy: of the positive mass, in [0, 1], 1 = spread evenly. border_mass: fraction in the outer eighth on
    each side (0.4375 for an even map). center_x, center_y: center of mass in [0, 1]. spread: root mean square
    distance from it, in sides of the picture.
    """
    h, w = maps.shape[1:]
    mass = np.nan_to_num(np.maximum(maps.astype(np.float64), 0), posinf=0)
    total = mass.sum((1, 2), keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        p = np.where(total > 0, mass / total, np.nan)
        entropy = -np.where(p > 0, p * np.log(np.where(p > 0, p, 1)), 0 * p).sum((1, 2)) / np.log(h * w)
    x, y = (np.arange(w) + 0.5) / w, (np.arange(h) + 0.5) / h
    center_x, center_y = p.sum(1) @ x, p.sum(2) @ y
    square = (
        p
        * ((x[None, None] - center_x[:, None, None]) ** 2 + (y[None, :, None] - center_y[:, None, None]) ** 2)
    ).sum((1, 2))
    border = 1 - (p * _inside((h, w))).sum((1, 2))
    values = dict(zip(STATISTICS, (entropy, border, center_x, center_y, np.sqrt(square)), strict=True))
    values |= {mass_in(name): (p * fraction).sum((1, 2)) for name, fraction in (regions or {}).items()}
    return {name: v.astype(np.float32) for name, v in values.items()}


def _inside(shape: tuple[int, int]) -> np.ndarray:
    """For each position, the fraction of it that lies within the frame."""
    down, across = (covered(n, BORDER, 1 - BORDER) for n in shape)
    return np.asarray(down[:, None] * across[None])
