"""The detectors of faces, by the text after `--face-detector`. A further one is one entry in `DETECTORS`."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from PIL import Image

from models.errors import UserError
from models.faces import lbp, yunet
from models.faces.boxes import FaceBox, large_enough, largest_first

Find = Callable[[Image.Image], list[FaceBox]]
"""From an upright picture to its faces, in pixels of the picture."""
DEFAULT = "lbp"


@dataclass(frozen=True)
class Detector:
    """`recognizes`: whether a text names it; `open`: from this text to what finds faces, or a UserError;
    `margin`: what is added on each side of its boxes, as a fraction of their side, to frame a face as the
    pictures of FER2013 are framed (docs/faces.md has the measurement)."""

    name: str
    description: str
    recognizes: Callable[[str], bool]
    open: Callable[[str], Find]
    margin: float


DETECTORS = (
    Detector(
        "lbp",
        "scikit-image's cascade of local binary patterns, frontal faces",
        lambda text: text == "lbp",
        lambda text: lbp.find,
        0.012,
    ),
    Detector(
        "FILE.onnx",
        "OpenCV's YuNet (face_detection_yunet_2023mar.onnx), run by onnxruntime",
        lambda text: text.lower().endswith(".onnx"),
        lambda text: yunet.opened(Path(text)),
        0.0,
    ),
)


def detector(text: str) -> Detector:
    """Raises UserError where no entry recognizes the text."""
    for entry in DETECTORS:
        if entry.recognizes(text):
            return entry
    raise UserError(f"No face detector '{text}': choose from {', '.join(entry.name for entry in DETECTORS)}.")


@lru_cache(4)
def opened(text: str) -> Find:
    """Raises UserError for a detector that there is not, or that cannot be used here."""
    return detector(text).open(text)


def find_faces(image: Image.Image, text: str = DEFAULT) -> tuple[FaceBox, ...]:
    """Faces of an upright picture, the largest first, in its pixels; none below `SMALLEST_FACE`. Raises
    UserError for a detector that there is not, or that cannot be opened."""
    return largest_first(large_enough(opened(text)(image)))
