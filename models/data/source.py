"""What every labelled set of images looks like to the rest of Vitrine."""

import hashlib
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from models.errors import UserError

if TYPE_CHECKING:
    import pandas as pd


class NoSuchPart(UserError):
    """The data has parts (train, validation, test), but not this one."""


class NoParts(NoSuchPart):
    """The data has no parts at all: they can be held out of it."""


@dataclass(frozen=True)
class Item:
    """One labelled image: its path below the data root (or row name), and the name of its class."""

    id: str
    label: str


class ImageSource(ABC):
    """A labelled set of images: `items` in a fixed order, and `load(index)` for the picture."""

    name: str
    root: str
    classes: tuple[str, ...]
    items: list[Item]
    regions: tuple[str, ...] = ()  # names of what `masks` draws; none where the data does not say where things are

    @abstractmethod
    def load(self, index: int) -> Image.Image:
        """The picture, upright RGB. Raises `UnreadableImage` with the reason."""

    @property
    def metadata(self) -> "pd.DataFrame | None":
        """What else the data says of its images, one row an item in the order of `items`; None where it says nothing."""
        return None

    def masks(self, index: int) -> np.ndarray:
        """Where each of `regions` lies in the picture: (R, height, width) bool; nothing where there are none."""
        return np.zeros((0, 0, 0), bool)

    def __len__(self) -> int:
        return len(self.items)

    def fingerprint(self) -> str:
        """A hash of every id and label: tells a resumed run that the data is still the same."""
        digest = hashlib.sha256()
        for item in self.items:
            digest.update(f"{item.id}\0{item.label}\n".encode())
        return digest.hexdigest()[:16]


class Subset(ImageSource):
    """Images `kept` (n,) of another source, in that order, with everything that it says of them; who derives from it sets `items`."""

    def __init__(self, source: ImageSource, kept: np.ndarray, name: str | None = None):
        self.source, self.kept = source, kept
        self.name, self.root, self.classes, self.regions = name or source.name, source.root, source.classes, source.regions

    def load(self, index: int) -> Image.Image:
        return self.source.load(int(self.kept[index]))

    def masks(self, index: int) -> np.ndarray:
        return self.source.masks(int(self.kept[index]))

    @property
    def metadata(self) -> "pd.DataFrame | None":
        whole = self.source.metadata
        return None if whole is None else whole.iloc[self.kept].reset_index(drop=True)


class Chosen(Subset):
    """Some images of another source, in its order, under a name of their own."""

    def __init__(self, source: ImageSource, kept: np.ndarray, name: str | None = None):
        super().__init__(source, kept, name)
        self.items = [source.items[i] for i in kept]
