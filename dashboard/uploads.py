"""Photos that visitors upload: opened only from Gradio's own upload folder, small enough, known formats."""

from pathlib import Path

import gradio as gr
from gradio.utils import get_upload_folder
from PIL import Image

from models.data.images import UnreadableImage, open_image
from models.errors import UserError

MAX_PIXELS = 24_000_000


def photo_upload(label: str, elem_id: str) -> gr.Image:
    """An upload field that hands over the path alone: our own `open_upload` looks inside, and says what is wrong."""
    field = gr.Image(type="filepath", image_mode=None, sources=["upload", "webcam", "clipboard"], height=170, label=label, elem_id=elem_id,
                     buttons=[], webcam_options=gr.WebcamOptions(mirror=False))  # fmt: skip
    field.preprocess = lambda payload: payload.path if payload else None
    return field


def open_upload(path: str) -> Image.Image:
    """Upright RGB. Raises UserError for a file outside the upload folder, a broken one, or one that is too large."""
    file = Path(path).resolve()
    if not file.is_relative_to(Path(get_upload_folder()).resolve()):
        raise UserError("Only uploaded files are opened: choose a photo to upload.")
    try:
        return open_image(file, MAX_PIXELS)
    except UnreadableImage as error:
        raise UserError(f"This photo cannot be used ({error}): take a JPEG, PNG or WebP of at most 24 million pixels.") from error
