"""The image behind a subject: a row of the run, an upload, or an example."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from threading import RLock
from typing import Any

from cachetools import LRUCache
from PIL import Image

from dashboard.examples import open_example
from dashboard.links import row_of
from dashboard.server.permissions import Access
from dashboard.server.uploads import Photos
from dashboard.session.types import Subject
from explain.analysis.numbers.run_numbers import worst_row
from explain.analysis.ranking import overview
from explain.run.images import original
from explain.run.outputs.number_run import NumbersRun
from explain.run.reader import RunData
from models.data.remote.location import is_url
from models.errors import UserError
from models.faces.boxes import FaceBox
from models.faces.crop import FaceCrop, FaceRequest, chosen
from models.faces.detectors import find_faces

REMEMBERED = 32  # photos whose boxes are kept


@dataclass(frozen=True, eq=False)
class Subjects:
    """Images by subject. `access`: messages name folders of this machine to the owner alone. `faces`: which
    face of photos from outside of the run is used, where the subject does not say it; None: faces are not
    looked for."""

    run: RunData
    photos: Photos
    access: Access
    faces: FaceRequest | None = None
    _boxes: "LRUCache[tuple[str, str], tuple[FaceBox, ...]]" = field(
        default_factory=lambda: LRUCache(REMEMBERED)
    )
    _lock: Any = field(default_factory=RLock)

    def picture(self, subject: Subject) -> Image.Image:
        """What the network gets of the image. Raises UserError where it cannot be read, or has no such
        face."""
        face, photo = self.face(subject), self.photo(subject)
        return photo if face is None else face.of(photo)

    def face(self, subject: Subject) -> FaceCrop | None:
        """Which part of the image is used; None for rows of the run, and where faces are not looked for.
        Raises UserError where the image cannot be read, or has no such face."""
        if self.faces is None or "row" in subject:
            return None
        request = replace(self.faces, which=str(subject.get("faces", self.faces.which)))
        photo = self.photo(subject)
        [key] = [(kind, str(subject[kind])) for kind in ("upload", "example") if kind in subject]
        with self._lock:
            if key not in self._boxes:
                self._boxes[key] = find_faces(photo, request.detector)
            return chosen(photo.size, self._boxes[key], request)

    def forget(self, upload: str) -> None:
        """What is known of an upload."""
        with self._lock:
            self._boxes.pop(("upload", upload), None)

    def photo(self, subject: Subject) -> Image.Image:
        """The whole image at full size. Raises UserError where it cannot be read."""
        if "upload" in subject:
            return self.photos.open(subject["upload"])
        if "example" in subject:
            return open_example(subject["example"])
        image = original(self.run, int(subject["row"]))
        if image is None:
            raise UserError(self._missing())
        return image

    def _missing(self) -> str:
        root, owner = self.run.manifest.data_root, self.access.computes
        if owner and not self.run.may_read_data:
            return (
                f"This run was not made here: its images in '{root}' are read only after serve --allow-data."
            )
        if owner and is_url(root):
            return (
                f"The image cannot be read at '{root}' (it is gone, or the server does not answer): the maps "
                "of the run are shown; live maps need the image."
            )
        where = f"at '{root}'" if owner else "here"
        return f"The image is not {where} any more: the maps of the run are shown; live maps need the image."

    def name(self, subject: Subject) -> str:
        """A file name that reveals nothing of the server."""
        if "row" in subject:
            return str(self.run.table.at[int(subject["row"]), "id"])
        return str(subject.get("example", "photo")).replace(" ", "_") + ".jpg"

    def title(self, subject: Subject) -> str:
        """The subject as a heading names it."""
        if "row" in subject:
            return self.name(subject)
        name, face = "your photo" if "upload" in subject else str(subject["example"]), self.face(subject)
        if face is None or face.used is None or face.region is None:
            return name
        return f"{name} (face {face.used + 1} of {len(face.boxes)})"


def first_row(run: RunData, asked: int = -1) -> int | None:
    """The row that is shown before anything is clicked: the most confident error of the worst class; of
    several labels per image, of the label number `asked`; of numbers, the largest error."""
    if isinstance(run, NumbersRun):
        return worst_row(run)
    if run.label_sets is not None:
        run = run.label_sets.label(run.label_sets.most_errors if asked < 0 else asked)
    rows = [int(r) for sample in overview(run, each=1) for r in (*sample.wrong, *sample.right)]
    return rows[0] if rows else None


def of_row(opened: Mapping[str, Any] | None) -> Subject | None:
    """The row that was clicked last (`Context.opened`)."""
    return {"row": int(opened["row"])} if opened else None


def of_link(run: RunData, parameters: Mapping[str, str]) -> Subject | None:
    """The image that a link names; None where the run has no such readable image."""
    row = row_of(run, parameters)
    return None if row is None else {"row": row}
