"""The kinds of data sources that come with Vitrine. What reads each is imported when it is opened; no
torch."""

import os
from pathlib import Path

from PIL import Image

from models.data.images import UnreadableImage, open_image
from models.data.kind import DataKind, DataRequest, ReopenRequest
from models.data.source import ImageSource
from models.errors import UserError

TOON_FACES, TORCHVISION = "toon_faces", "torchvision"


def _open_affect(request: DataRequest) -> ImageSource:
    if not request.is_table:
        raise UserError(
            f"'{request.text}' is no table: valence and arousal come from a .csv or .parquet table with "
            "columns of these names."
        )
    from models.data.affect_table import AffectTable

    return AffectTable(request.path, request.image_col, request.split)


def _open_toon_faces(request: DataRequest) -> ImageSource:
    from models.data.toon_faces import ToonFaces

    return ToonFaces(request.split or "test", seed=request.seed)


def _reopen_toon_face(request: ReopenRequest) -> Image.Image | None:
    from models.data.toon_faces import ToonFaces

    try:
        split, _, name = request.item_id.split("/")
        return ToonFaces(split, seed=int(request.root.split(":")[1])).load(int(Path(name).stem))
    except (ValueError, KeyError, IndexError):  # ids of others
        return None


def _open_torchvision(request: DataRequest) -> ImageSource:
    from models.data.torchvision_sets import TorchvisionSource

    return TorchvisionSource(request.text.removeprefix(f"{TORCHVISION}:"), request.split)


def _open_table(request: DataRequest) -> ImageSource:
    from models.data.table import TableSource

    return TableSource(request.path, request.image_col, request.label_col, request.split, request.known)


def _open_folder(request: DataRequest) -> ImageSource:
    if request.path.is_file():
        raise UserError(
            f"'{request.text}' is a file: give a folder with one subfolder a class, or a .csv or .parquet "
            "table."
        )
    from models.data.folder import FolderSource

    return FolderSource(request.path, request.split)


def reopen_file(request: ReopenRequest) -> Image.Image | None:
    """The file of this id below the root; None where it is gone, is no picture, or may not be followed."""
    try:
        path = (
            Path(request.root, request.item_id) if request.trusted else below(request.root, request.item_id)
        )
        return open_image(path, exif=request.exif, bits=request.bits) if path is not None else None
    except UnreadableImage:
        return None


def below(root: str, item_id: str) -> Path | None:
    """The file of this id; None where it, or a link on the way, leads out of the root."""
    if not item_id or "\0" in item_id or os.path.isabs(item_id):
        return None
    inside = os.path.normpath(os.path.join(root, item_id))
    if os.path.commonpath([os.path.normpath(root), inside]) != os.path.normpath(root):
        return None
    return Path(inside) if Path(inside).resolve().is_relative_to(Path(root).resolve()) else None


AFFECT_TABLE = DataKind(
    "valence and arousal", lambda r: r.task == "affect", _open_affect, lambda root: False, reopen_file
)
DRAWN = DataKind(
    TOON_FACES,
    lambda r: r.text == TOON_FACES,
    _open_toon_faces,
    lambda root: root.startswith(f"{TOON_FACES}:"),
    _reopen_toon_face,
    private=False,
)
TORCHVISION_SET = DataKind(
    TORCHVISION,
    lambda r: r.text.startswith(f"{TORCHVISION}:"),
    _open_torchvision,
    lambda root: root.startswith(f"{TORCHVISION}:"),
    lambda request: None,  # in one archive: no picture of its own
    private=False,
)
TABLE = DataKind("table", lambda r: r.is_table, _open_table, lambda root: False, reopen_file)
FOLDER = DataKind("folder", lambda r: True, _open_folder, lambda root: True, reopen_file)
