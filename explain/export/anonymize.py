"""What must not be seen of people whose pictures are handed on."""

from PIL import Image, ImageDraw

from explain.run.reader import RunData
from explain.run.regions import EYES_COVERED, HIDDEN, are_expressions
from models.errors import UserError
from models.preprocessing import Preprocessing

COVER = (24, 26, 28)


def eye_band(run: RunData) -> tuple[float, float]:
    """Top and bottom of the eyes, as shares of the height of what the network saw. Raises UserError where
    pictures are no aligned faces."""
    request = run.manifest.request
    if not request.regions and not are_expressions(request.classes):
        raise UserError(
            f"--blur-eyes is for aligned faces, and {request.data} is not known to hold any: leave it out."
        )
    return EYES_COVERED.get(request.data.split("/")[0], HIDDEN)


def without_eyes(picture: Image.Image, run: RunData, whole: bool = False) -> Image.Image:
    """RGB with a bar over the eyes, of which nothing is left. `whole`: the picture is an original, of which
    the network saw its center."""
    low, high = eye_band(run)
    covered, size = picture.convert("RGB"), picture.size
    top, bottom = low * size[1], high * size[1]
    if whole and (raw := run.manifest.preprocessing) and (resize := Preprocessing.from_dict(raw).resize):
        seen = (
            Preprocessing.from_dict(raw).size[0] * min(size) / resize
        )  # height of the center crop in pixels of the original
        above = (size[1] - seen) / 2
        top, bottom = above + low * seen, above + high * seen
    ImageDraw.Draw(covered).rectangle((0, int(top), size[0], round(bottom)), COVER)
    return covered
