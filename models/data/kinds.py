"""The kinds of data sources that come with Vitrine. A further one is one entry of `KINDS`, at its place in
the order. What reads each is imported when it is opened; no torch."""

from functools import lru_cache
from importlib import import_module
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from cachetools import LRUCache, cached
from PIL import Image

from models.data.kind import DataKind, DataRequest, Places, ReopenRequest
from models.data.reopen_file import reopen_file
from models.data.source import ImageSource
from models.errors import UserError

if TYPE_CHECKING:
    from models.data.drawn import DrawnFaces, Face

TOON_FACES, TOON_STUDIOS, TOON_ATTRIBUTES = "toon_faces", "toon_studios", "toon_attributes"
DRAWN = {TOON_FACES: "ToonFaces", TOON_STUDIOS: "ToonStudios", TOON_ATTRIBUTES: "ToonAttributes"}
"""Embedded set of drawn faces -> its class, in the package of its name."""
TORCHVISION = "torchvision"
KEPT = 32 * 2**20  # bytes of drawn pictures that were looked at last
MOVED, VISIBLE = "parts that the expression moves", "places in which the label can be seen"
"""Regions of drawn faces."""


def _open_affect(request: DataRequest) -> ImageSource:
    if not request.is_table:
        raise UserError(
            f"'{request.text}' is no table: valence and arousal come from a .csv or .parquet table with "
            "columns of these names."
        )
    from models.data.tables.affect_table import AffectTable

    return AffectTable(request.path, request.image_col, request.split)


def _drawn_faces(name: str) -> "type[DrawnFaces[Face]]":
    """The class of an embedded set of drawn faces."""
    found: type[DrawnFaces[Face]] = getattr(import_module(f"models.data.{name}"), DRAWN[name])
    return found


@lru_cache(maxsize=8)
def _drawn_split(name: str, split: str, seed: int) -> "DrawnFaces[Face]":
    return _drawn_faces(name)(split, seed=seed)


def _bytes_of(picture: Image.Image | None) -> int:
    return 3 * picture.width * picture.height if picture is not None else 1


def _face(request: ReopenRequest) -> "Face | None":
    """What is known about a face of such a set; None for ids of others."""
    kind, _, seed = request.root.partition(":")
    try:
        source = _drawn_split(kind, request.item_id.split("/")[0], int(seed))
        index = int(Path(request.item_id).stem)
        return source.face(index) if source.items[index].id == request.item_id else None
    except (ValueError, IndexError):
        return None


@cached(
    LRUCache[object, Image.Image | None](KEPT, getsizeof=_bytes_of),
    key=lambda request: (request.root, request.item_id),
    lock=Lock(),
)
def _reopen_drawn(request: ReopenRequest) -> Image.Image | None:
    face = _face(request)
    return None if face is None else face.image


def _drawn(name: str, region: str) -> DataKind:
    """A set of drawn faces, whose places are one region: the evidence for a label."""

    def places(request: ReopenRequest, label: str) -> Places:
        face = _face(request)
        evidence = None if face is None else face.evidence_of(label)
        return {} if evidence is None else {region: evidence}

    return DataKind(
        name,
        lambda r: r.text == name,
        lambda r: _drawn_faces(name)(r.split or "test", seed=r.seed),
        lambda root: root.startswith(f"{name}:"),
        _reopen_drawn,
        private=False,
        places=places,
    )


def _open_torchvision(request: DataRequest) -> ImageSource:
    from models.data.torchvision_sets import TorchvisionSource

    return TorchvisionSource(request.text.removeprefix(f"{TORCHVISION}:"), request.split)


def _is_shards(request: DataRequest) -> bool:
    from models.data.packed.shards import has_shards

    return has_shards(request.path)


def _open_shards(request: DataRequest) -> ImageSource:
    from models.data.packed.shards import ShardSource

    options = (request.image_col, request.label_col, request.split, request.known, request.labels_as)
    return ShardSource(request.path, *options)


def _is_parquet_images(request: DataRequest) -> bool:
    from models.data.packed.members import packed_files

    if not packed_files(request.path, ".parquet"):
        return False  # pyarrow is not imported for other data
    from models.data.packed.parquet_images import has_images

    return has_images(request.path, request.image_col)


def _open_parquet_images(request: DataRequest) -> ImageSource:
    from models.data.packed.parquet_images import ParquetImages

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
    from models.data.tables.table import TableSource

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
    _drawn(TOON_FACES, MOVED),
    _drawn(TOON_STUDIOS, MOVED),
    _drawn(TOON_ATTRIBUTES, VISIBLE),
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
