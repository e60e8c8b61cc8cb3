"""Photos that visitors upload: opened once, only from Gradio's own upload folder, and kept in memory; and
files that visitors download."""

import hashlib
import math
import os
import re
import secrets
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.utils import get_upload_folder
from gradio_client.utils import is_http_url_like
from PIL import Image

from dashboard.server.upload_dir import forget_later
from models.data.images import UnreadableImage, open_image
from models.errors import UserError
from models.files.atomic import atomic

MAX_PIXELS = 24_000_000
KEPT_PIXELS = 2_000_000  # more than any network looks at
KEPT, EACH = 32, 2  # photos in memory, and of one visitor


def photo_upload(label: str, elem_id: str) -> gr.Image:
    """An upload field that passes on the path; `open_upload` opens the file and reports errors."""
    field = gr.Image(
        type="filepath",
        image_mode=None,
        sources=["upload", "webcam", "clipboard"],
        height=170,
        label=label,
        elem_id=elem_id,
        buttons=[],
        webcam_options=gr.WebcamOptions(mirror=False),
    )
    field.preprocess = lambda payload: payload.path if payload else None
    return field


def only_uploads(value: Any) -> None:
    """Raises gr.Error where a payload, whatever its form, names anything but a file of the upload folder.
    Nothing is fetched either."""
    if isinstance(value, dict):
        if isinstance(path := value.get("path"), str) and path and not _uploaded(path):
            raise gr.Error("Only uploaded files are opened: choose a photo to upload.", print_exception=False)
        for inner in value.values():
            only_uploads(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            only_uploads(inner)


def _uploaded(path: str) -> bool:
    return not is_http_url_like(path) and Path(path).resolve().is_relative_to(
        Path(get_upload_folder()).resolve()
    )


def open_upload(
    path: str, exif: str = "apply", bits: int = 0, white: float = 1.0, alpha: bool = False
) -> Image.Image:
    """RGB, or with `alpha` RGBA, without metadata, turned as EXIF says unless that is to be ignored
    (`models.preprocessing`); the file is gone soon. Raises UserError for a file outside the upload folder, a
    broken one, or one that is too large."""
    if not _uploaded(path):
        raise UserError("Only uploaded files are opened: choose a photo to upload.")
    file = Path(path).resolve()
    try:
        return open_image(file, MAX_PIXELS, exif, bits, white, alpha)
    except UnreadableImage as error:
        raise UserError(
            f"This photo cannot be used ({error}): take a JPEG, PNG or WebP of at most 24 million pixels."
        ) from error
    finally:
        forget_later(file)


def handed_out(name: str) -> Path:
    """The path of a file to download, in the folder that is swept."""
    os.makedirs(get_upload_folder(), exist_ok=True)
    return Path(tempfile.mkdtemp(dir=get_upload_folder())) / name


def keep_upload(path: str, folder: Path, suffixes: Sequence[str]) -> Path:
    """A copy of an uploaded file in `folder`, which lasts; uploads are removed soon. Its name begins with
    the hash of its contents. Nothing of it is interpreted. Raises UserError for a file outside the upload
    folder, and for another type than `suffixes`."""
    if not _uploaded(path) or not (file := Path(path).resolve()).is_file():
        raise UserError("Only uploaded files are opened: choose a file to upload.")
    if file.suffix.lower() not in suffixes:
        raise UserError(f"'{file.suffix[:20]}' is not accepted here: {', '.join(suffixes)}.")
    content = file.read_bytes()
    forget_later(file)
    stem = re.sub(r"[^\w.-]", "_", file.stem, flags=re.ASCII)[:60]
    kept = folder / f"{hashlib.sha256(content).hexdigest()[:12]}-{stem}{file.suffix.lower()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with atomic(kept) as temporary:
            temporary.write_bytes(content)
    except OSError as error:
        raise UserError(f"The file cannot be kept in {folder}: {error.strerror or error}.") from error
    return kept


class Photos:
    """The last uploads, in memory, each under a key that only its visitor's page has. `exif`, `bits`,
    `white`, `alpha`: as of `open_upload`."""

    def __init__(self, exif: str = "apply", bits: int = 0, white: float = 1.0, alpha: bool = False) -> None:
        self._read_as = exif, bits, white, alpha
        self._kept, self._lock = OrderedDict[str, tuple[str, Image.Image]](), threading.Lock()

    def keep(self, who: str, path: str) -> str:
        """The key. Raises UserError as `open_upload` does."""
        picture, key = _small(open_upload(path, *self._read_as)), secrets.token_urlsafe(12)
        with self._lock:
            self._kept[key] = (who, picture)
            mine = [k for k, (owner, _) in self._kept.items() if owner == who]
            for old in mine[:-EACH] or list(self._kept)[: max(0, len(self._kept) - KEPT)]:
                del self._kept[old]
        return key

    def open(self, key: str) -> Image.Image:
        """Raises UserError where it is gone."""
        with self._lock:
            if key not in self._kept:
                raise UserError("Photos are not kept for long: upload it again.")
            return self._kept[key][1]

    def forget(self, who: str) -> list[str]:
        """Those of a visitor who left; their keys."""
        with self._lock:
            keys = [k for k, (owner, _) in self._kept.items() if owner == who]
            for key in keys:
                del self._kept[key]
        return keys


def _small(picture: Image.Image) -> Image.Image:
    """Reduced to `KEPT_PIXELS`, where it is larger."""
    ratio = math.sqrt(KEPT_PIXELS / (picture.width * picture.height))
    if ratio >= 1:
        return picture
    return picture.resize(
        (max(1, round(picture.width * ratio)), max(1, round(picture.height * ratio))),
        Image.Resampling.LANCZOS,
    )
