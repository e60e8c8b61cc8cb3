"""The image behind a subject: a row of the run, an upload, or an example."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from PIL import Image

from dashboard.examples import open_example
from dashboard.links import row_of
from dashboard.server.permissions import Access
from dashboard.server.uploads import Photos
from dashboard.session.types import Subject
from explain.analysis.ranking import overview
from explain.analysis.run_numbers import worst_row
from explain.run.images import original
from explain.run.number_run import NumbersRun
from explain.run.reader import RunData
from models.errors import UserError


@dataclass(frozen=True, eq=False)
class Subjects:
    """Images by subject. `access`: messages name folders of this machine to the owner alone."""

    run: RunData
    photos: Photos
    access: Access

    def picture(self, subject: Subject) -> Image.Image:
        """The image at full size. Raises UserError where it cannot be read."""
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
        where = f"at '{root}'" if owner else "here"
        return f"The image is not {where} any more: the maps of the run are shown; live maps need the image."

    def name(self, subject: Subject) -> str:
        """A file name that reveals nothing of the server."""
        if "row" in subject:
            return str(self.run.table.at[int(subject["row"]), "id"])
        return str(subject.get("example", "photo")).replace(" ", "_") + ".jpg"

    def title(self, subject: Subject) -> str:
        """The subject as a heading names it."""
        if "upload" in subject:
            return "your photo"
        return str(subject["example"]) if "example" in subject else self.name(subject)


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
