"""Statistics of an image, from which slices are made, and a hash that finds its near duplicates."""

import numpy as np
from PIL import Image

FACTS = ("brightness", "contrast", "sharpness", "colour", "width", "height")
HASH = "hash"
_LOW, _SMALL = 8, 32


def facts(view: Image.Image, size: tuple[int, int]) -> dict[str, float | int]:
    """Of `view`, the image as the network gets it, and `size`, the (width, height) of the file.

    brightness, contrast: mean and standard deviation of the luma, in [0, 1]. sharpness: how much of the
    contrast lies between neighbors, the variance of the luma's Laplacian (J. L. Pech-Pacheco et al., *Diatom
    autofocusing in brightfield microscopy*, ICPR 2000) over that of the luma, so that dark or flat pictures
    do not pass for blurred ones. colour: colorfulness of D. Hasler and S. Süsstrunk, *Measuring
    colorfulness in natural images*, 2003; 0 where every pixel is grey.
    """
    luma = np.asarray(view.convert("L"), np.float32)
    return {
        "brightness": float(luma.mean()) / 255,
        "contrast": float(luma.std()) / 255,
        "sharpness": sharpness(luma),
        "colour": colorfulness(view),
        "width": size[0],
        "height": size[1],
        HASH: perceptual_hash(view),
    }


def sharpness(luma: np.ndarray) -> float:
    """`luma` (h, w) on any scale; 0 for plain pictures and those of less than three pixels a side."""
    variance = float(luma.var())
    if min(luma.shape) < 3 or variance == 0:
        return 0.0
    laplacian = luma[:-2, 1:-1] + luma[2:, 1:-1] + luma[1:-1, :-2] + luma[1:-1, 2:] - 4 * luma[1:-1, 1:-1]
    return float(laplacian.var()) / variance


def colorfulness(view: Image.Image) -> float:
    if view.mode == "L":
        return 0.0
    r, g, b = (np.asarray(channel, np.float32) for channel in view.convert("RGB").split())
    rg, yb = r - g, (r + g) / 2 - b
    return float(np.hypot(rg.std(), yb.std()) + 0.3 * np.hypot(rg.mean(), yb.mean()))


def perceptual_hash(view: Image.Image) -> int:
    """64 bits: which of the lowest 8 × 8 frequencies of the 32 × 32 luma exceed their median (pHash; C.
    Zauner, *Implementation and Benchmarking of Perceptual Image Hash Functions*, 2010). Near duplicates
    differ in few bits."""
    from scipy.fft import dctn

    small = np.asarray(view.convert("L").resize((_SMALL, _SMALL), Image.Resampling.LANCZOS), np.float32)
    low = dctn(small)[:_LOW, :_LOW].ravel()
    return int.from_bytes(np.packbits(low > np.median(low)).tobytes(), "big")
