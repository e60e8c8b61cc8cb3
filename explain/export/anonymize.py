"""Cover the eyes of faces in exported images."""

from PIL import Image, ImageDraw

from explain.run.reader import RunData
from explain.run.regions import EYES_COVERED, HIDDEN, are_expressions
from models.errors import UserError
from models.preprocessing import Preprocessing

COVER = (24, 26, 28)


def eye_band(run: RunData) -> tuple[float, float]:
    """Top and bottom of the eyes, as fractions of the height of the network's input. Raises UserError
    where images are not aligned faces."""
    request = run.manifest.request
    if not request.regions and not are_expressions(request.classes):
        raise UserError(
            f"--blur-eyes is for aligned faces, and {request.data} is not known to hold any: leave it out."
        )
    return EYES_COVERED.get(request.data.split("/")[0], HIDDEN)


def without_eyes(picture: Image.Image, run: RunData, whole: bool = False) -> Image.Image:
    """RGB with an opaque bar over the eyes. `whole`: the image is an original, of which the network takes
    `Preprocessing.region`."""
    low, high = eye_band(run)
    covered, size = picture.convert("RGB"), picture.size
    top, bottom = low * size[1], high * size[1]
    if whole and (raw := run.manifest.preprocessing):
        _, above, _, below = Preprocessing.from_dict(raw).region(size)
        top, bottom = above + low * (below - above), above + high * (below - above)
    ImageDraw.Draw(covered).rectangle((0, int(top), size[0], round(bottom)), COVER)
    return covered
