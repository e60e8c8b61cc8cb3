"""What every labelled set of images looks like to the rest of Vitrine."""

import hashlib
from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
from PIL import Image

from models.errors import UserError


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

    @abstractmethod
    def load(self, index: int) -> Image.Image:
        """The picture, upright RGB. Raises `UnreadableImage` with the reason."""

    def __len__(self) -> int:
        return len(self.items)

    def fingerprint(self) -> str:
        """A hash of every id and label: tells a resumed run that the data is still the same."""
        digest = hashlib.sha256()
        for item in self.items:
            digest.update(f"{item.id}\0{item.label}\n".encode())
        return digest.hexdigest()[:16]


class Chosen(ImageSource):
    """Some images of another source, in its order, under a name of their own."""

    def __init__(self, source: ImageSource, kept: np.ndarray, name: str | None = None):
        self.source, self.kept = source, kept
        self.name, self.root, self.classes = name or source.name, source.root, source.classes
        self.items: list[Item] = [source.items[i] for i in kept]

    def load(self, index: int) -> Image.Image:
        return self.source.load(int(self.kept[index]))
