"""Toon faces: an embedded data set of drawn faces with eight expressions, and the truth about each of them.

No download: every face is drawn from parameters, the same for the same seed. What makes it useful for
explanations is that the places of the parts and the parts that the expression moved are known.
"""

from dataclasses import dataclass

import numpy as np
from PIL import Image

from models.data.source import ImageSource, Item
from models.data.toon_faces.action_units import CLASSES, ONE_SIDED, PARTS, Action, moved_parts, sample_action
from models.data.toon_faces.draw import FaceArtist
from models.data.toon_faces.identity import sample_identity, sample_scene
from models.data.toon_faces.pen import SIZE
from models.data.toon_faces.photograph import develop, paint_background, part_masks
from models.errors import UserError

SPLITS = {"train": (0, 8000), "validation": (1, 800), "test": (2, 800)}
"""Name -> (stream of random numbers, faces)."""


@dataclass(frozen=True, eq=False)
class ToonFace:
    """One drawn face and what is known about it.

    `masks` maps each of `PARTS` to a (128, 128) bool array; `moved` names the parts that the action units moved.
    """

    image: Image.Image
    expression: str
    action: Action
    masks: dict[str, np.ndarray]
    moved: tuple[str, ...]

    @property
    def evidence(self) -> np.ndarray:
        """Where an explanation of this expression should point, (128, 128) bool."""
        return np.any([self.masks[part] for part in self.moved or PARTS], axis=0)


def draw_face(expression: str, seed: tuple[int, ...]) -> ToonFace:
    """Draw one face. The same expression and seed give the same picture."""
    rng = np.random.default_rng([CLASSES.index(expression), *seed])
    who, scene, action = sample_identity(rng), sample_scene(rng), sample_action(expression, rng)
    side = int(rng.choice((-1, 1))) if expression in ONE_SIDED else 0
    artist = FaceArtist(who, action, side, scene, rng)
    paint_background(artist.pen, rng)
    artist.face()
    masks = part_masks(artist)
    return ToonFace(develop(artist, rng), expression, action, masks, moved_parts(expression))


class ToonFaces(ImageSource):
    """`size` faces of one split, the eight classes in turn."""

    def __init__(self, split: str = "test", size: int | None = None, seed: int = 0):
        if split not in SPLITS:
            raise UserError(f"toon_faces has no split '{split}'; it has {', '.join(SPLITS)}: choose one with --split.")
        self.split, self.seed = split, seed
        self.stream, default = SPLITS[split]
        self.size = size or default
        self.name, self.root, self.classes = f"toon_faces/{split}", f"toon_faces:{seed}", CLASSES
        labels = (CLASSES[i % len(CLASSES)] for i in range(self.size))
        self.items = [Item(f"{split}/{label}/{i:05d}.png", label) for i, label in enumerate(labels)]

    def face(self, index: int) -> ToonFace:
        return draw_face(CLASSES[index % len(CLASSES)], (self.seed, self.stream, index))

    def load(self, index: int) -> Image.Image:
        return self.face(index).image


__all__ = ["CLASSES", "PARTS", "SIZE", "SPLITS", "ToonFace", "ToonFaces", "draw_face"]
