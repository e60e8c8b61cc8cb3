"""Photos that visitors upload: opened only from Gradio's own upload folder, small enough, known formats."""

from pathlib import Path

from gradio.utils import get_upload_folder
from PIL import Image

from models.data.images import UnreadableImage, open_image
from models.errors import UserError

MAX_PIXELS = 24_000_000


def open_upload(path: str) -> Image.Image:
    """Upright RGB. Raises UserError for a file outside the upload folder, a broken one, or one that is too large."""
    file = Path(path).resolve()
    if not file.is_relative_to(Path(get_upload_folder()).resolve()):
        raise UserError("Only uploaded files are opened: choose a photo to upload.")
    try:
        return open_image(file, MAX_PIXELS)
    except UnreadableImage as error:
        raise UserError(f"This photo cannot be used ({error}): take a JPEG, PNG or WebP of at most 24 million pixels.") from error
