"""The kinds of data sources that come with Vitrine. A further one is one entry of `KINDS`, at its place in
the order. What reads each is imported when it is opened; no torch."""

from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from models.data.kind import DataKind, DataRequest, Places, ReopenRequest
from models.data.reopen_file import reopen_file
from models.data.source import ImageSource
from models.errors import UserError

if TYPE_CHECKING:
    from models.data.toon_attributes import DrawnFace
    from models.data.toon_faces import ToonFace

TOON_FACES, TOON_STUDIOS, TOON_ATTRIBUTES = "toon_faces", "toon_studios", "toon_attributes"
TORCHVISION = "torchvision"
MOVED, VISIBLE = "parts that the expression moves", "places in which the label can be seen"
"""Regions of drawn faces."""


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


def _open_toon_studios(request: DataRequest) -> ImageSource:
    from models.data.toon_studios import ToonStudios

    return ToonStudios(request.split or "test", seed=request.seed)


def _reopen_toon_face(request: ReopenRequest) -> Image.Image | None:
    face = _toon_face(request)
    return None if face is None else face.image


def _toon_face(request: ReopenRequest) -> "ToonFace | None":
    """A face of `toon_faces` or `toon_studios`."""
    from models.data.toon_faces import ToonFaces
    from models.data.toon_studios import ToonStudios

    kind, _, seed = request.root.partition(":")
    try:
        split, _, name = request.item_id.split("/")
        source = (ToonStudios if kind == TOON_STUDIOS else ToonFaces)(split, seed=int(seed))
        return source.face(int(Path(name).stem))
    except (ValueError, KeyError, IndexError):  # ids of others
        return None


def _places_of_toon_face(request: ReopenRequest, label: str) -> Places:
    """All parts of a neutral face, which moves none. Nothing for another expression than the drawn one: where
    a wrong answer should look is not known."""
    face = _toon_face(request)
    return {MOVED: face.evidence} if face is not None and face.expression == label else {}


def _open_toon_attributes(request: DataRequest) -> ImageSource:
    from models.data.toon_attributes import ToonAttributes

    return ToonAttributes(request.split or "test", seed=request.seed)


def _reopen_toon_attributes(request: ReopenRequest) -> Image.Image | None:
    face = _drawn_face(request)
    return None if face is None else face.image


def _drawn_face(request: ReopenRequest) -> "DrawnFace | None":
    from models.data.toon_attributes import ToonAttributes

    try:
        split, _, name = request.item_id.partition("/")
        index = int(Path(name).stem)
        return ToonAttributes(split, index + 1, seed=int(request.root.split(":")[1])).face(index)
    except (ValueError, KeyError, IndexError):  # ids of others
        return None


def _places_of_label(request: ReopenRequest, label: str) -> Places:
    """Nothing for a label that the face lacks."""
    face = _drawn_face(request)
    return {VISIBLE: face.evidence(label)} if face is not None and label in face.labels else {}


def _open_torchvision(request: DataRequest) -> ImageSource:
    from models.data.torchvision_sets import TorchvisionSource

    return TorchvisionSource(request.text.removeprefix(f"{TORCHVISION}:"), request.split)


def _is_shards(request: DataRequest) -> bool:
    from models.data.shards import has_shards

    return has_shards(request.path)


def _open_shards(request: DataRequest) -> ImageSource:
    from models.data.shards import ShardSource

    options = (request.image_col, request.label_col, request.split, request.known, request.labels_as)
    return ShardSource(request.path, *options)


def _is_parquet_images(request: DataRequest) -> bool:
    from models.data.packed import packed_files

    if not packed_files(request.path, ".parquet"):
        return False  # pyarrow is not imported for other data
    from models.data.parquet_images import has_images

    return has_images(request.path, request.image_col)


def _open_parquet_images(request: DataRequest) -> ImageSource:
    from models.data.parquet_images import ParquetImages

    options = (request.image_col, request.label_col, request.split, request.known, request.labels_as)
    return ParquetImages(request.path, *options)


def _is_annotated_folder(request: DataRequest) -> bool:
    from models.data.annotated_folder import has_labels

    return has_labels(request.path, request.label_col or bool(request.votes))


def _open_annotated_folder(request: DataRequest) -> ImageSource:
    from models.data.annotated_folder import AnnotatedFolder

    options = (request.image_col, request.label_col, request.split, request.known, request.labels_as)
    return AnnotatedFolder(request.path, *options, request.votes)


def _open_table(request: DataRequest) -> ImageSource:
    from models.data.table import TableSource

    options = (request.image_col, request.label_col, request.split, request.known, request.labels_as)
    return TableSource(request.path, *options, request.votes)


def _open_folder(request: DataRequest) -> ImageSource:
    if request.path.is_file():
        raise UserError(
            f"'{request.text}' is a file: give a folder with one subfolder a class, or a .csv, .jsonl, .txt, "
            ".parquet or .tar file."
        )
    from models.data.folder import FolderSource

    return FolderSource(request.path, request.split)


OF_A_TASK: tuple[DataKind, ...] = (
    DataKind(
        "valence and arousal", lambda r: r.task == "affect", _open_affect, lambda root: False, reopen_file
    ),
)
"""Kinds that a task chooses, whatever the text: they are asked before all others."""

KINDS: tuple[DataKind, ...] = (
    DataKind(
        TOON_FACES,
        lambda r: r.text == TOON_FACES,
        _open_toon_faces,
        lambda root: root.startswith(f"{TOON_FACES}:"),
        _reopen_toon_face,
        private=False,
        places=_places_of_toon_face,
    ),
    DataKind(
        TOON_STUDIOS,
        lambda r: r.text == TOON_STUDIOS,
        _open_toon_studios,
        lambda root: root.startswith(f"{TOON_STUDIOS}:"),
        _reopen_toon_face,
        private=False,
        places=_places_of_toon_face,
    ),
    DataKind(
        TOON_ATTRIBUTES,
        lambda r: r.text == TOON_ATTRIBUTES,
        _open_toon_attributes,
        lambda root: root.startswith(f"{TOON_ATTRIBUTES}:"),
        _reopen_toon_attributes,
        private=False,
        places=_places_of_label,
    ),
    DataKind(
        TORCHVISION,
        lambda r: r.text.startswith(f"{TORCHVISION}:"),
        _open_torchvision,
        lambda root: root.startswith(f"{TORCHVISION}:"),
        lambda request: None,  # in one archive: no picture of its own
        private=False,
    ),
    DataKind("shards", _is_shards, _open_shards, lambda root: False, reopen_file),
    DataKind("parquet", _is_parquet_images, _open_parquet_images, lambda root: False, reopen_file),
    DataKind("metadata", _is_annotated_folder, _open_annotated_folder, lambda root: False, reopen_file),
    DataKind("table", lambda r: r.is_table, _open_table, lambda root: False, reopen_file),
    DataKind("folder", lambda r: True, _open_folder, lambda root: True, reopen_file),
)
"""In the order in which they are asked; the last, a folder, recognizes everything."""
