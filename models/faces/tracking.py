"""One face of a camera's frames, followed from frame to frame."""

from dataclasses import dataclass

from PIL import Image

from models.faces import lbp
from models.faces.boxes import FaceBox, large_enough, largest_first, overlap
from models.faces.crop import FaceCrop, FaceRequest, square
from models.faces.detectors import DEFAULT, opened

WORKING = 240
"""Longer side in pixels of the frame that is searched for a face."""
AROUND, NEAR = 2.2, 144
"""A face that is known is looked for in a window of so many times its side, made so many pixels wide: then it
is as large as the smallest face that the detector finds surely."""
EVERY = 0.3
"""Seconds for which a box is used before the face is looked for again."""


@dataclass
class FaceTracker:
    """The largest face of the first frame that has one; then the face that overlaps its last box most. It
    keeps a box, and no picture. `request`: the detector and the margin; which face it names does not
    count."""

    request: FaceRequest
    _box: FaceBox | None = None
    _found: float = 0.0

    def crop(self, frame: Image.Image, at: float) -> FaceCrop:
        """Where the face is in a frame of the time `at`, in seconds; without a box where there is none. The
        crop is that of photos (`models.faces.crop`), but no frame counts as a crop already. Raises UserError
        where the detector cannot be used."""
        if self._box is None or at - self._found >= EVERY:
            self._box, self._found = self._look(frame), at
        if self._box is None:
            return FaceCrop(self.request, frame.size)
        region = square(frame.size, self._box, self.request.used_margin)
        return FaceCrop(self.request, frame.size, (self._box,), 0, region)

    def _look(self, frame: Image.Image) -> FaceBox | None:
        if self._box is not None and (near := self._near(frame, self._box)) is not None:
            return near
        return next(iter(largest_first(self._find(frame, WORKING))), None)

    def _near(self, frame: Image.Image, last: FaceBox) -> FaceBox | None:
        """The face in a window around the last box."""
        across, down = last.center
        half = AROUND * last.side / 2
        left, top = max(0, round(across - half)), max(0, round(down - half))
        right, bottom = min(frame.width, round(across + half)), min(frame.height, round(down + half))
        if right - left < 2 or bottom - top < 2:
            return None
        part = frame.crop((left, top, right, bottom))
        found = [
            FaceBox(box.left + left, box.top + top, *box[2:])
            for box in self._find(part, round(NEAR * max(part.size) / (2 * half)))
        ]
        best = max(found, key=lambda box: overlap(box, last), default=None)
        return best if best is not None and overlap(best, last) > 0 else None

    def _find(self, picture: Image.Image, working: int) -> list[FaceBox]:
        """Detectors other than the default one have a working size of their own."""
        if self.request.detector == DEFAULT:
            return large_enough(lbp.find(picture, working))
        return large_enough(opened(self.request.detector)(picture))
