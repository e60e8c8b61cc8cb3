"""What every kind of data source implements. No torch."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from PIL import Image

from models.data.remote.location import Location, located
from models.data.source import ImageSource
from models.data.tables.votes import VoteColumns

TABLES = (".csv", ".tsv", ".parquet", ".jsonl", ".ndjson", ".txt", ".lst")


@dataclass(frozen=True)
class DataRequest:
    """What a person writes after `--data` (`text`), and the options beside it. `split`: train, validation,
    test, or a name of the data's own; `task`: classes or affect; `known`: classes of a network, whose
    spellings stay apart; `labels_as`: one of `models.outputs.task.TASKS`, or as the data shows (empty);
    `votes`: columns of votes, in place of one of labels."""

    text: str
    split: str | None = None
    image_col: str | None = None
    label_col: str | None = None
    seed: int = 0
    task: str = "classes"
    known: tuple[str, ...] = ()
    labels_as: str = ""
    votes: VoteColumns | None = None

    @cached_property
    def path(self) -> Location:
        """Raises UserError for a URL that cannot be used (`models.data.remote.location.located`)."""
        return located(self.text)

    @property
    def is_table(self) -> bool:
        return self.path.suffix.lower() in TABLES and self.path.is_file()


@dataclass(frozen=True)
class ReopenRequest:
    """One picture of a run: the `root` of its data, the id of its item, and how the run read it. `trusted`:
    whether the id, or a link on the way, may lead out of a folder."""

    root: str
    item_id: str
    exif: str = "apply"
    bits: int = 0
    trusted: bool = True
    white: float = 1.0
    alpha: bool = False


Places = Mapping[str, np.ndarray]
"""Name of a region -> where it is in a picture: (height, width) bool."""


def no_places(request: ReopenRequest, label: str) -> Places:
    """Of data that does not say where things are."""
    return {}


@dataclass(frozen=True)
class DataKind:
    """One kind of data source. `open` raises UserError, `NoParts` where the data has no splits at all, and
    `NoSuchPart` where it lacks this one. `reopen` answers None where the picture is not there any more.
    `recognizes_root`: whether a run's data root belongs to this kind. `private`: pictures are read from files
    of this machine, so that runs of others need permission to show them. `places`: the regions of a picture
    in which an explanation of a class, or label, should lie; none where this is not known."""

    name: str
    recognizes: Callable[[DataRequest], bool]
    open: Callable[[DataRequest], ImageSource]
    recognizes_root: Callable[[str], bool]
    reopen: Callable[[ReopenRequest], Image.Image | None]
    private: bool = True
    places: Callable[[ReopenRequest, str], Places] = no_places
