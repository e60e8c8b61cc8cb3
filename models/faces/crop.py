"""Which part of a photo a network about faces gets: the request, and the crop."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from models.counts import counted
from models.domains import FACES
from models.errors import UserError
from models.faces.boxes import FaceBox
from models.faces.detectors import DEFAULT, detector, find_faces

AUTO, OFF = "auto", "off"
FILLS = 0.75
"""A face whose crop is at least this fraction of the picture's longer side fills the picture: that is a crop
already. Of the pictures of FER2013 in which a face is found, 96 % are (docs/faces.md)."""
MOST_MARGIN = 2.0
Region = tuple[int, int, int, int]
"""Left, top, right and bottom, in whole pixels."""


@dataclass(frozen=True)
class FaceRequest:
    """Which face of a photo is used: `which` is auto (the largest), off (the whole picture), or the number of
    a face, counted from the largest: 1, 2, ... `detector`: as after `--face-detector`; `margin`: on each
    side, as a fraction of the side of the box, None: as is usual for the detector.

    Raises UserError for values that are not accepted.
    """

    which: str = AUTO
    detector: str = DEFAULT
    margin: float | None = None

    def __post_init__(self) -> None:
        if not is_choice(self.which):
            raise UserError(
                f"--faces '{self.which[:40]}': give auto, off, or the number of a face: 1, 2, ..."
            )
        detector(self.detector)
        if self.margin is not None and not 0 <= self.margin <= MOST_MARGIN:
            raise UserError(
                f"--face-margin {self.margin}: give a fraction of the side of the face's box, 0 to "
                f"{MOST_MARGIN:g}."
            )

    @property
    def used_margin(self) -> float:
        return detector(self.detector).margin if self.margin is None else self.margin


def is_choice(text: str) -> bool:
    """Whether this is auto, off, or the number of a face."""
    return text in (AUTO, OFF) or (text.isdecimal() and len(text) < 4 and int(text) > 0)


def face_request(
    which: str, domain: str, detector: str = DEFAULT, margin: float | None = None
) -> FaceRequest | None:
    """What a person says about faces, as a request: `which` is empty where nothing is said, then auto for
    networks about faces; None where faces are not looked for. `domain`: of the network. Raises UserError for
    values that are not accepted, and for a detector or margin that nothing uses."""
    if which or domain == FACES:
        return FaceRequest(which or AUTO, detector, margin)
    if detector != DEFAULT or margin is not None:
        raise UserError(
            "A face detector and a margin are for networks about faces, and this network does not say that "
            "it is one: add --faces auto."
        )
    return None


@dataclass(frozen=True)
class FaceCrop:
    """What a request finds in a picture of `size` (width, height). `boxes`: faces, the largest first; `used`:
    the index of the one that is used, None where there is none; `region`: the crop, None: the whole
    picture."""

    request: FaceRequest
    size: tuple[int, int]
    boxes: tuple[FaceBox, ...] = ()
    used: int | None = None
    region: Region | None = None

    @property
    def described(self) -> str:
        """One or two sentences: what was found, and what is used."""
        if self.request.which == OFF and self.boxes:
            return f"{counted(len(self.boxes), 'face')} found; the whole picture is used."
        if self.request.which == OFF:
            return "Faces are not looked for: the whole picture is used."
        if self.used is None:
            return "No face found: the whole picture is used."
        found = f"{counted(len(self.boxes), 'face')} found"
        if self.region is None:
            return f"{found}; it fills the picture, so the whole picture is used."
        number = "it" if len(self.boxes) == 1 else f"number {self.used + 1}"
        which = "the largest" if self.used == 0 and len(self.boxes) > 1 else number
        left, top, right, bottom = self.region
        return (
            f"{found}; {which} is used, with {100 * self.request.used_margin:.3g} % margin: {right - left} × "
            f"{bottom - top} pixels from ({left}, {top})."
        )

    def of(self, image: Image.Image) -> Image.Image:
        """The part of this picture that is used."""
        return image if self.region is None else image.crop(self.region)

    def as_dict(self) -> dict[str, Any]:
        """For files and answers of programs; of a detector's file the name alone."""
        return {
            "faces": self.request.which,
            "detector": Path(self.request.detector).name,
            "margin": self.request.used_margin,
            "picture": list(self.size),
            "boxes": [[round(value, 1) for value in box] for box in self.boxes],
            "used": None if self.used is None else self.used + 1,
            "crop": None if self.region is None else list(self.region),
            "description": self.described,
        }


def crop_face(image: Image.Image, request: FaceRequest) -> FaceCrop:
    """Find the faces of an upright picture and choose one. Raises UserError for the number of a face that is
    not there, and where the detector cannot be used."""
    boxes = () if request.which == OFF else find_faces(image, request.detector)
    return chosen(image.size, boxes, request)


def chosen(size: tuple[int, int], boxes: Sequence[FaceBox], request: FaceRequest) -> FaceCrop:
    """The crop of a picture of `size` whose faces are known, the largest first. Raises UserError for a number
    beyond them."""
    if request.which == OFF or (request.which == AUTO and not boxes):
        return FaceCrop(request, size, tuple(boxes))
    used = 0 if request.which == AUTO else int(request.which) - 1
    if used >= len(boxes):
        found = counted(len(boxes), "face") if boxes else "no face"
        raise UserError(
            f"--faces {request.which}: {found} found in this picture; give --faces auto, off"
            + (f", or a number up to {len(boxes)}." if boxes else ".")
        )
    region = square(size, boxes[used], request.used_margin)
    fills = len(boxes) == 1 and region[2] - region[0] >= FILLS * max(size)
    return FaceCrop(request, size, tuple(boxes), used, None if fills else region)


def square(size: tuple[int, int], box: FaceBox, margin: float) -> Region:
    """The square around a box with a margin on each side, moved into the picture where it leaves it; it is no
    larger than the picture's shorter side, so no pixel is made up."""
    side = max(1, min(*size, round(box.side * (1 + 2 * margin))))
    left, top = (
        min(max(0, round(middle - side / 2)), whole - side)
        for middle, whole in zip(box.center, size, strict=True)
    )
    return left, top, left + side, top + side
