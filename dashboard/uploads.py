"""Photos that visitors upload: opened only from Gradio's own upload folder, small enough, known formats."""

from pathlib import Path
from typing import Any

import gradio as gr
from gradio.utils import get_upload_folder
from PIL import Image

from models.data.images import UnreadableImage, open_image
from models.errors import UserError

MAX_PIXELS = 24_000_000


class PhotoUpload(gr.Image):
    """An upload field that hands over the path alone: our own `open_upload` looks inside, and says what is wrong."""

    def __init__(self, **kwargs: Any):
        super().__init__(type="filepath", image_mode=None, sources=["upload", "clipboard"], **kwargs)

    def preprocess(self, payload: Any) -> str | None:
        return payload.path if payload else None

    def get_block_name(self) -> str:
        return "image"  # the browser knows it by the name of its base


def open_upload(path: str) -> Image.Image:
    """Upright RGB. Raises UserError for a file outside the upload folder, a broken one, or one that is too large."""
    file = Path(path).resolve()
    if not file.is_relative_to(Path(get_upload_folder()).resolve()):
        raise UserError("Only uploaded files are opened: choose a photo to upload.")
    try:
        return open_image(file, MAX_PIXELS)
    except UnreadableImage as error:
        raise UserError(f"This photo cannot be used ({error}): take a JPEG, PNG or WebP of at most 24 million pixels.") from error
