"""Options about faces in photos. Heavy packages are imported inside, so that `--help` answers at once."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from explain.cli.options import Options

if TYPE_CHECKING:
    from models.faces.crop import FaceRequest

FaceDetector = Annotated[
    str,
    typer.Option(
        help="Detector of faces: lbp (scikit-image's cascade), or the path of YuNet's file, "
        "face_detection_yunet_2023mar.onnx."
    ),
]
FaceMargin = Annotated[
    float | None,
    typer.Option(
        help="Margin on each side of a face's box, as a fraction of the side of the box (default: 0.012 with "
        "lbp, 0 with YuNet)."
    ),
]


@dataclass(frozen=True)
class FaceOptions(Options):
    """Which face of a photo the network gets."""

    faces: Annotated[
        str,
        typer.Option(
            help="Face of a photo that the network gets: auto (the largest), off (the whole picture), or a "
            "number, counted from the largest: 1, 2, ... (default: auto for networks about faces, off for "
            "others)."
        ),
    ] = ""
    face_detector: FaceDetector = "lbp"
    face_margin: FaceMargin = None

    def request(self, domain: str) -> "FaceRequest | None":
        """As `models.faces.crop.face_request`; `domain`: of the network."""
        from models.faces.crop import face_request

        return face_request(self.faces, domain, self.face_detector, self.face_margin)
