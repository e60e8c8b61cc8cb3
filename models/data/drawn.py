"""What the embedded sets of drawn faces share. No download: every face is drawn from random numbers, the same
for the same seed."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Generic, Protocol, TypeVar

import numpy as np
from PIL import Image

from models.data.source import ImageSource, Item
from models.errors import UserError


class Face(Protocol):
    """A drawn face: its picture, and where each region of it is. Masks are (128, 128) bool."""

    @property
    def image(self) -> Image.Image: ...

    @property
    def masks(self) -> Mapping[str, np.ndarray]: ...

    def evidence_of(self, label: str, /) -> np.ndarray | None:
        """Where an explanation of a class or label should point; None where this is not known."""


F = TypeVar("F", bound=Face)


class DrawnFaces(ImageSource, Generic[F]):
    """`size` faces of one split (default: all of it). A subclass names its `kind`, its `splits` (name ->
    stream of random numbers, faces), its `classes` and its `regions`. Raises UserError for a split that it
    lacks."""

    kind: str
    splits: Mapping[str, tuple[int, int]]

    def __init__(self, split: str = "test", size: int | None = None, seed: int = 0):
        if split not in self.splits:
            raise UserError(
                f"{self.kind} has no split '{split}'; it has {', '.join(self.splits)}: choose one with "
                "--split."
            )
        self.split, self.seed = split, seed
        self.stream, default = self.splits[split]
        self.name, self.root = f"{self.kind}/{split}", f"{self.kind}:{seed}"
        self.items = self.listed(size or default)

    @abstractmethod
    def listed(self, size: int) -> list[Item]:
        """The first items of the split, whose ids end in `NUMBER.png`."""

    @abstractmethod
    def face(self, index: int) -> F:
        """One face, with what is known about it."""

    def numbers(self, index: int) -> tuple[int, ...]:
        """What the random numbers of a face begin with."""
        return self.seed, self.stream, index

    def load(self, index: int) -> Image.Image:
        return self.face(index).image

    def masks(self, index: int) -> np.ndarray:
        face = self.face(index)
        return np.stack([face.masks[region] for region in self.regions])
