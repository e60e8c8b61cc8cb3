"""The interface of every labeled set of images."""

import copy
import hashlib
import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Self

import numpy as np
from PIL import Image

from models.errors import UserError
from models.outputs.task_names import MULTI, REGRESSION, SINGLE

if TYPE_CHECKING:
    import pandas as pd

    from models.preprocessing import Preprocessing


def joined(*notes: str) -> str:
    """Notes in one line, without the empty ones."""
    return "; ".join(filter(None, notes))


class NoSuchPart(UserError):
    """The data has splits (train, validation, test), but not this one."""


class NoParts(NoSuchPart):
    """The data has no splits at all: they can be held out of it."""


@dataclass(frozen=True)
class Item:
    """One labeled image: its path below the data root (or row name), and the name of its class. `labels`: of
    an image with any number of labels, all of them, in the order of the classes; `label` is then one text of
    them all (`label_set`), empty for none. `numbers`: of an image with numbers, those of the outputs that the
    source names; `label` is then one text of them. `votes`: fractions of people's votes for each class, where
    the data has them; `label` has most of them."""

    id: str
    label: str
    labels: tuple[str, ...] | None = None
    numbers: tuple[float, ...] | None = None
    votes: tuple[float, ...] | None = None

    @classmethod
    def of_set(cls, id: str, labels: Iterable[str], classes: Sequence[str]) -> Self:
        """An image with any number of labels out of `classes`."""
        given = set(labels)
        ordered = tuple(name for name in classes if name in given)
        return cls(id, label_set(ordered), ordered)

    @classmethod
    def of_numbers(cls, id: str, numbers: Iterable[float]) -> Self:
        """An image with a number for each output."""
        given = tuple(float(number) for number in numbers)
        return cls(id, ", ".join(f"{number:.10g}" for number in given), None, given)


def has_numbers(item: Item, count: int) -> bool:
    """Whether it has so many numbers, all finite."""
    return item.numbers is not None and len(item.numbers) == count and all(map(math.isfinite, item.numbers))


def label_set(labels: Iterable[str]) -> str:
    """One text of several labels: 'cat | dog'."""
    return " | ".join(labels)


def labels_per_image(items: Sequence[Item]) -> str:
    """'1.8 labels per image on average; 12 images have none of the labels'."""
    sizes = [len(item.labels or ()) for item in items]
    mean, none = sum(sizes) / max(1, len(sizes)), sizes.count(0)
    have = f"; {none:,} {'image has' if none == 1 else 'images have'} none of the labels" if none else ""
    return f"{mean:{'.1f' if mean >= 0.1 else '.2g'}} labels per image on average{have}"


def must_have_classes(source: "ImageSource", command: str) -> None:
    """Raises UserError for images with numbers, where the command takes one class, or labels, of each."""
    if source.regression:
        raise UserError(
            f"{command} takes data with one label per image, or several, as it compares accuracy or mAP; "
            f"{source.name} has numbers ({', '.join(source.classes[:6])}): name the column of classes with "
            "--label-col, or compare trainings for numbers with 'train' and 'models'."
        )


class ImageSource(ABC):
    """A labeled set of images: `items` in a fixed order, and `load(index)` for the picture."""

    name: str
    root: str
    classes: tuple[str, ...]
    items: list[Item]
    regions: tuple[
        str, ...
    ] = ()  # names of what `masks` draws; none where the data does not say where things are
    merged: Mapping[str, str] = MappingProxyType({})  # rare spelling of a class -> its common one
    multi_label: bool = False  # whether images have any number of labels: `Item.labels` of each is given
    regression: bool = False  # whether images have numbers: `Item.numbers`, of outputs called as in `classes`
    has_votes: bool = False  # whether some images have `Item.votes`
    both_readings: str = ""  # of classes whose names can be read as sets of labels
    note: str = ""  # what was guessed, merged, skipped or left out when it was opened
    exif: str = "apply"  # whether pictures are turned as their EXIF orientation says, or "ignore"
    network_bits: int = 0  # by the network; 0: as the pictures show
    white: float = 1.0  # the largest value of images of floats
    alpha: bool = False  # whether pictures are RGBA, for a network that takes their alpha, or RGB
    bits: int = 0  # that integer pictures of more than 8 bits use; 0 where there are none

    @abstractmethod
    def load(self, index: int) -> Image.Image:
        """The picture, upright RGB; RGBA where `alpha` is set. Raises `UnreadableImage` with the reason."""

    def prepare(self, indices: Sequence[int]) -> None:  # noqa: B027
        """These images are loaded next: they begin to be read, where that takes waiting for a server."""

    @property
    def metadata(self) -> "pd.DataFrame | None":
        """Further columns of the data, one row per item in the order of `items`; None where there are
        none."""
        return None

    def masks(self, index: int) -> np.ndarray:
        """Where each of `regions` lies in the picture: (R, height, width) bool; nothing where there are
        none."""
        return np.zeros((0, 0, 0), bool)

    @property
    def task(self) -> str:
        """One of `models.outputs.task.TASKS`: what the labels ask of a network."""
        return REGRESSION if self.regression else MULTI if self.multi_label else SINGLE

    def __len__(self) -> int:
        return len(self.items)

    def stamp(self, index: int) -> str:
        """Size and modification time of the image's file; empty where the image cannot change, or is
        missing."""
        return ""

    @property
    def reading(self) -> list[str]:
        """Lines on how images are read, where this is unusual."""
        return []

    @property
    def has_floats(self) -> bool:
        """Whether some pictures hold floats, of which `white` is the largest value."""
        return False

    @property
    def empty(self) -> tuple[str, ...]:
        """Classes without an image."""
        if self.regression:
            return ()
        found = {name for item in self.items for name in item.labels or (item.label,)}
        return tuple(sorted(set(self.classes) - found))

    def read_for(self, preprocessing: "Preprocessing") -> "ImageSource":
        """The same images, with the EXIF orientation, bit depth and alpha that a network was trained
        with."""
        other = copy.copy(self)
        other.exif, other.network_bits = preprocessing.exif, preprocessing.bits
        other.white, other.alpha = preprocessing.white, preprocessing.alpha
        return other

    def fingerprint(self) -> str:
        """A hash of every id, label, numbers and votes, by which a resumed run detects other data."""
        digest = hashlib.sha256()
        for item in self.items:
            said = item.label if item.numbers is None else item.numbers
            voted = "" if item.votes is None else f"\0{item.votes}"
            digest.update(f"{item.id}\0{said}{voted}\n".encode())
        return digest.hexdigest()[:16]

    def contents(self) -> str:
        """A hash of every image's stamp: changes when a picture is replaced."""
        digest = hashlib.sha256()
        for index in range(len(self.items)):
            digest.update(f"{self.stamp(index)}\n".encode())
        return digest.hexdigest()[:16]


class DerivedSource(ImageSource):
    """Images `kept` (n,) of another source, in that order, with its metadata. Subclasses set `items`."""

    def __init__(self, source: ImageSource, kept: np.ndarray, name: str | None = None):
        self.source, self.kept = source, kept
        self.name, self.root, self.classes, self.regions = (
            name or source.name,
            source.root,
            source.classes,
            source.regions,
        )
        self.note, self.merged, self.exif = source.note, source.merged, source.exif
        self.multi_label, self.regression = source.multi_label, source.regression
        self.has_votes = source.has_votes
        self.both_readings = source.both_readings

    def recounted(self) -> str:
        """The note of the other source, with the counts of labels of its own images."""
        if not self.multi_label:
            return self.source.note
        return self.source.note.replace(labels_per_image(self.source.items), labels_per_image(self.items))

    def load(self, index: int) -> Image.Image:
        return self.source.load(int(self.kept[index]))

    def prepare(self, indices: Sequence[int]) -> None:
        self.source.prepare([int(self.kept[index]) for index in indices])

    def masks(self, index: int) -> np.ndarray:
        return self.source.masks(int(self.kept[index]))

    def stamp(self, index: int) -> str:
        return self.source.stamp(int(self.kept[index]))

    @property
    def reading(self) -> list[str]:
        return self.source.reading

    @property
    def has_floats(self) -> bool:
        return self.source.has_floats

    def read_for(self, preprocessing: "Preprocessing") -> ImageSource:
        other = copy.copy(self)
        other.source, other.exif = self.source.read_for(preprocessing), preprocessing.exif
        return other

    @property
    def bits(self) -> int:  # type: ignore[override]
        return self.source.bits

    @property
    def metadata(self) -> "pd.DataFrame | None":
        whole = self.source.metadata
        return None if whole is None else whole.iloc[self.kept].reset_index(drop=True)


class Subset(DerivedSource):
    """Some images of another source, in its order, under a name of their own."""

    def __init__(self, source: ImageSource, kept: np.ndarray, name: str | None = None):
        super().__init__(source, kept, name)
        self.items = [source.items[i] for i in kept]
        self.note = self.recounted()
