"""What every labelled set of images looks like to the rest of Vitrine."""

import hashlib
from abc import ABC, abstractmethod
from dataclasses import dataclass

from PIL import Image


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
