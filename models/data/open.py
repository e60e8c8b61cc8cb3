"""From what a person writes after --data to a labeled set of images."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from models.data.folder import SPLITS
from models.data.holdout import held_out
from models.data.source import ImageSource, NoParts, Subset
from models.errors import UserError


def open_data(
    spec: str,
    split: str | None = None,
    image_col: str | None = None,
    label_col: str | None = None,
    limit: int | None = None,
    seed: int = 0,
    task: str = "classes",
    known: Sequence[str] = (),
) -> ImageSource:
    """A folder, a .csv or .parquet table, `toon_faces`, or `torchvision:NAME`; `limit` keeps that many,
    evenly spread.

    With `task` affect, a table with columns valence and arousal. Where the data has no parts of its own,
    `split` train, validation and test are held out of it, the same every time. `known`: classes of a network,
    whose spellings a table keeps apart. Raises UserError that says what was found instead.
    """
    try:
        source = _open(spec, split, image_col, label_col, seed, task, known)
    except NoParts:
        if split is None or split.lower() not in SPLITS:
            raise
        source = held_out(_open(spec, None, image_col, label_col, seed, task, known), SPLITS[split.lower()])
    return source if limit is None or limit >= len(source) else thinned(source, limit)


def thinned(source: ImageSource, size: int) -> ImageSource:
    """`size` images of a source, evenly spread over its order."""
    if size < 1:
        raise UserError(f"--limit {size}: at least one image is needed.")
    return Subset(source, np.unique(np.linspace(0, len(source) - 1, size).round().astype(int)))


def _open(
    spec: str,
    split: str | None,
    image_col: str | None,
    label_col: str | None,
    seed: int,
    task: str,
    known: Sequence[str],
) -> ImageSource:
    path = Path(spec).expanduser()
    table = path.suffix.lower() in (".csv", ".tsv", ".parquet") and path.is_file()
    if task == "affect":
        if not table:
            raise UserError(
                f"'{spec}' is no table: valence and arousal come from a .csv or .parquet table with "
                "columns of these names."
            )
        from models.data.affect_table import AffectTable

        return AffectTable(path, image_col, split)
    if spec == "toon_faces":
        from models.data.toon_faces import ToonFaces

        return ToonFaces(split or "test", seed=seed)
    if spec.startswith("torchvision:"):
        from models.data.torchvision_sets import TorchvisionSource

        return TorchvisionSource(spec.removeprefix("torchvision:"), split)
    if table:
        from models.data.table import TableSource

        return TableSource(path, image_col, label_col, split, known)
    if path.is_file():
        raise UserError(
            f"'{spec}' is a file: give a folder with one subfolder a class, or a .csv or .parquet table."
        )
    from models.data.folder import FolderSource

    return FolderSource(path, split)
