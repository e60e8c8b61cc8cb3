"""Frames that a page's camera sends: small JPEG pictures, opened in memory; nothing of them is written."""

import base64
import binascii
import io

from PIL import Image

from models.errors import UserError

BEFORE = "data:image/jpeg;base64,"
TEXT, SIDE = 400_000, 640
"""Most characters of a frame, and pixels of its longer side."""
WRONG = f"A frame is a JPEG picture of at most {SIDE} × {SIDE} pixels, as a data URL: reload the page."


def open_frame(text: object) -> Image.Image:
    """RGB, from a data URL. Raises UserError for anything else, and for a frame that is too large."""
    if not isinstance(text, str) or not text.startswith(BEFORE) or len(text) > TEXT:
        raise UserError(WRONG)
    try:
        content = base64.b64decode(text[len(BEFORE) :], validate=True)
        frame = Image.open(io.BytesIO(content), formats=("JPEG",))
        if max(frame.size) > SIDE:
            raise UserError(WRONG)
        return frame.convert("RGB")
    except (binascii.Error, OSError, SyntaxError, ValueError) as error:
        raise UserError(WRONG) from error
