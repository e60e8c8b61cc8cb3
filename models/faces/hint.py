"""A warning about images of a network about faces that are photos, and no crops of faces."""

from models.counts import counted
from models.data.images import UnreadableImage
from models.data.source import ImageSource
from models.domains import FACES
from models.faces.crop import FaceRequest, crop_face

LOOKED_AT = 6  # images, evenly spread
SMALLEST = 96  # pixels of the shorter side: smaller images are crops


def not_cropped(source: ImageSource, domain: str) -> str:
    """One line where the network is about faces, and in half or more of a few images a face fills only a part
    of the picture; otherwise empty. Runs use images as they are."""
    if domain != FACES:
        return ""
    step = max(1, len(source.items) // LOOKED_AT)
    looked = [_is_photo(source, k) for k in range(0, len(source.items), step)[:LOOKED_AT]]
    if not looked or 2 * sum(looked) < len(looked):
        return ""
    return (
        f"the network is about faces, and in {sum(looked)} of {counted(len(looked), 'image')} looked at, a "
        "face fills only a part of the picture: images are used whole; data crop-faces crops them"
    )


def _is_photo(source: ImageSource, index: int) -> bool:
    """Whether a face is found that does not fill the picture; unreadable images are none."""
    try:
        image = source.load(index).convert("RGB")
    except UnreadableImage:
        return False
    return min(image.size) >= SMALLEST and crop_face(image, FaceRequest()).region is not None
