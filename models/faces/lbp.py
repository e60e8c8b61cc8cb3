"""The detector that needs no file: scikit-image's cascade of local binary patterns for frontal faces.

P. Viola, M. Jones, *Rapid object detection using a boosted cascade of simple features*, CVPR 2001; S. Liao et
al., *Learning multi-scale block local binary patterns for face recognition*, ICB 2007. Windows that the
cascade accepts are grouped here, not by scikit-image, whose groups depend on the order of its threads and may
overlap.
"""

from functools import lru_cache
from typing import Any

import numpy as np
from PIL import Image

from models.faces.boxes import FaceBox, grouped, without_overlaps

WORKING = 640
"""Longer side in pixels of the picture that is searched."""
SMALLEST = 40
"""Side of the smallest face in it: 6 % of the longer side."""
FACTOR = 1.1  # from one size of windows to the next
SAME = 0.4  # windows of one face overlap by more
APART = 0.2  # boxes of two faces overlap by no more
ENOUGH = 10
"""Windows that a face needs; measured in docs/faces.md."""


@lru_cache(1)
def _cascade() -> Any:
    from skimage.data import lbp_frontal_face_cascade_filename
    from skimage.feature import Cascade

    return Cascade(lbp_frontal_face_cascade_filename())


def find(image: Image.Image, working: int = WORKING, enough: int = ENOUGH) -> list[FaceBox]:
    """Frontal faces in a picture of any size, in its pixels; `score`: the number of windows."""
    scale = working / max(image.size)
    size = tuple(max(1, round(side * scale)) for side in image.size)
    small = image.convert("L").resize((size[0], size[1]), Image.Resampling.BILINEAR, reducing_gap=3.0)
    if min(small.size) < SMALLEST:
        return []
    found = _cascade().detect_multi_scale(
        np.asarray(small),
        scale_factor=FACTOR,
        step_ratio=1,
        min_size=(SMALLEST, SMALLEST),
        max_size=(min(small.size),) * 2,
        min_neighbor_number=1,  # this and the next: every window by itself
        intersection_score_threshold=2,
    )
    windows = [(w["c"] / scale, w["r"] / scale, w["width"] / scale, w["height"] / scale) for w in found]
    sure = [box for box in grouped(windows, SAME) if box.score >= enough]
    return without_overlaps(sure, APART)
