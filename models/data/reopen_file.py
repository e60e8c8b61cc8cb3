"""Images that are read again by their ids: from files below the root of the data, and from within shards and
Parquet tables there. No torch."""

import os
from pathlib import Path

from PIL import Image

from models.data.images import open_image
from models.data.kind import ReopenRequest
from models.data.remote.location import Location, is_url, located
from models.data.remote.path import RemotePath
from models.data.remote.read_ahead import image_bytes
from models.errors import UserError


def reopen_file(request: ReopenRequest) -> Image.Image | None:
    """The image of this id below the root; None where it is gone, is no image, or may not be followed."""
    try:
        file = _file(request)
        if file is None:
            return None
        return open_image(
            file, exif=request.exif, bits=request.bits, white=request.white, alpha=request.alpha
        )
    except UserError:
        return None


def _file(request: ReopenRequest) -> Path | bytes | None:
    from models.data.packed.members import within

    if (parts := within(request.item_id)) and (archive := _allowed(request, parts[0])) and archive.is_file():
        return _member(archive, parts[1])
    file = _allowed(request, request.item_id)
    return image_bytes(file) if isinstance(file, RemotePath) else file


def _allowed(request: ReopenRequest, name: str) -> Location | None:
    if is_url(request.root):
        return _at_url(request, name)
    return Path(request.root, name) if request.trusted else below(request.root, name)


def _at_url(request: ReopenRequest, name: str) -> RemotePath | None:
    """The file of this id; None where it leads out of the root, and may not. It never leads to another
    bucket, or host. Raises UserError for a root that cannot be used."""
    root = located(request.root)
    if not isinstance(root, RemotePath) or "\0" in name:
        return None  # file://, which no run of ours has
    inside = root / name
    return inside if request.trusted or (inside.is_relative_to(root) and inside != root) else None


def _member(archive: Location, name: str) -> bytes | None:
    """The bytes of an image within a larger file; its name is looked up there, and is never a path."""
    if archive.suffix.lower() == ".tar":
        from models.data.packed.shards import member_bytes

        return member_bytes(archive, name)
    from models.data.packed.parquet_images import row_bytes

    return row_bytes(archive, name)


def below(root: str, item_id: str) -> Path | None:
    """The file of this id; None where it, or a link on the way, leads out of the root."""
    if not item_id or "\0" in item_id or os.path.isabs(item_id):
        return None
    inside = os.path.normpath(os.path.join(root, item_id))
    if os.path.commonpath([os.path.normpath(root), inside]) != os.path.normpath(root):
        return None
    return Path(inside) if Path(inside).resolve().is_relative_to(Path(root).resolve()) else None
