"""Where a map is strongest, as a rectangle."""

import numpy as np

Box = tuple[float, float, float, float]


def strongest_box(raw: np.ndarray, threshold: float = 0.5) -> Box | None:
    """Left, top, right, bottom of the connected region that holds the maximum of a map (h, w), as fractions
    of its sides.

    The region is where the map is at least `threshold` times its maximum (eight neighbors). None where
    nothing is positive.
    """
    from scipy.ndimage import label

    values = np.nan_to_num(raw, nan=0, posinf=0, neginf=0)
    peak = values.max()
    if peak <= 0:
        return None
    regions, _ = label(values >= threshold * peak, np.ones((3, 3)))
    rows, columns = np.nonzero(regions == regions[np.unravel_index(values.argmax(), values.shape)])
    h, w = values.shape
    return (
        float(columns.min() / w),
        float(rows.min() / h),
        float((columns.max() + 1) / w),
        float((rows.max() + 1) / h),
    )
