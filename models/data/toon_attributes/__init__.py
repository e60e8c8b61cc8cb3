"""Toon attributes: an embedded data set of drawn faces with 14 labels, any number of them in one face, and
with ground truth on where each can be seen.

Ten labels are action units (happiness is AU6 and AU12), four are things that a person has. They are as rare
and as common as the findings of a chest X-ray: from 2.5 % to 40 % of the faces. No download: every face is
drawn from random numbers, the same for the same seed, and each is a person of its own.
"""

from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from models.data.drawn import DrawnFaces
from models.data.source import Item
from models.data.toon_attributes.artist import AttributeArtist
from models.data.toon_attributes.labels import (
    BEARD,
    CLASSES,
    EARRINGS,
    GLASSES,
    HAT,
    LABELS,
    PLACES,
    places_of,
    prevalence,
    sample_labels,
    sample_strengths,
)
from models.data.toon_faces import described
from models.data.toon_faces.draw import brow_color
from models.data.toon_faces.identity import HAIR, Color, Identity, Scene, sample_identity, sample_scene
from models.data.toon_faces.photograph import develop, paint_background, part_masks

if TYPE_CHECKING:
    import pandas as pd

NAME = "toon_attributes"
SPLITS = {"train": (0, 6000), "validation": (1, 1000), "test": (2, 1000)}
"""Name -> (stream of random numbers, faces)."""
STREAM = 14  # of all faces of this data, so that none is one of the toon faces
STYLES = {"bald": "long", "side": "short"}
"""Hair that hides a brow, or leaves one of the skin's color, and what is drawn instead."""
CONTRAST = (
    90  # least difference of the colors of hair and brows from that of skin, summed over three channels
)


@dataclass(frozen=True, eq=False)
class DrawnFace:
    """One drawn face. `masks` maps each of `PLACES` to a (128, 128) bool array."""

    image: Image.Image
    labels: frozenset[str]
    masks: dict[str, np.ndarray]

    def evidence(self, label: str) -> np.ndarray:
        """Where an explanation of this label should point, (128, 128) bool."""
        return np.any([self.masks[place] for place in places_of(label)], axis=0)

    def evidence_of(self, label: str) -> np.ndarray | None:
        """As `evidence`; None for a label that the face lacks."""
        return self.evidence(label) if label in self.labels else None


@dataclass(frozen=True, eq=False)
class Cast:
    """What is known of a face before it is drawn, and the generator for the rest."""

    labels: frozenset[str]
    who: Identity
    scene: Scene
    rng: np.random.Generator


def cast(seed: tuple[int, ...]) -> Cast:
    """The labels, the person and the scene of one face. Nothing hides a part of it, and its hair differs from
    its skin, so that every label can be seen."""
    rng = np.random.default_rng([STREAM, *seed])
    labels, who, scene = sample_labels(rng), sample_identity(rng), sample_scene(rng)
    style, hair = STYLES.get(who.hair_style, who.hair_style), _visible_hair(who)
    return Cast(labels, replace(who, hair_style=style, hair=hair), replace(scene, occluder=None), rng)


def _visible_hair(who: Identity) -> Color:
    """Its own color, or the next of `HAIR` that differs from the skin."""

    def differs(hair: Color) -> bool:
        colors = (hair, brow_color(hair))
        return min(sum(abs(a - b) for a, b in zip(c, who.skin, strict=True)) for c in colors) > CONTRAST

    start = HAIR.index(who.hair)
    return next(filter(differs, (*HAIR[start:], *HAIR[:start])))


@lru_cache(maxsize=64)
def draw_face(seed: tuple[int, ...], labels: frozenset[str] | None = None) -> DrawnFace:
    """Draw one face. The same seed gives the same image; `labels`: others than its own, of the same person
    and scene. The last faces are cached, as masks are often needed next."""
    made = cast(seed)
    there = made.labels if labels is None else labels
    strengths, rng = sample_strengths(made.rng), made.rng
    action = {x.unit: strengths[x.unit][x.name in there] for x in LABELS if x.unit}
    who = replace(
        made.who,
        glasses=(str(rng.choice(("round", "square"))), "none")[GLASSES not in there],
        beard=(float(rng.uniform(0.7, 1.0)), 0.0)[BEARD not in there],
    )
    artist = AttributeArtist(who, action, made.scene, rng, EARRINGS in there, HAT in there)
    paint_background(artist.pen, rng)
    artist.face()
    masks = part_masks(artist, PLACES)
    return DrawnFace(develop(artist, rng), there, masks)


@lru_cache(maxsize=8)
def _labels_of_split(seed: int, stream: int, size: int) -> tuple[frozenset[str], ...]:
    """The labels of each face, which a page asks for at every change of a form."""
    return tuple(sample_labels(np.random.default_rng([STREAM, seed, stream, i])) for i in range(size))


class ToonAttributes(DrawnFaces[DrawnFace]):
    """Faces with any number of the labels."""

    kind, splits, classes, regions = NAME, SPLITS, CLASSES, PLACES
    multi_label = True

    def listed(self, size: int) -> list[Item]:
        labels = enumerate(_labels_of_split(self.seed, self.stream, size))
        return [Item.of_set(f"{self.split}/{i:05d}.png", names, CLASSES) for i, names in labels]

    def face(self, index: int) -> DrawnFace:
        return draw_face(self.numbers(index))

    @cached_property
    def metadata(self) -> "pd.DataFrame":
        """Attributes of every face that are no labels, without drawing it."""
        import pandas as pd

        people = (cast(self.numbers(i)) for i in range(len(self.items)))
        table = pd.DataFrame([described(made.who, made.scene) for made in people])
        return table.drop(columns=["beard", "glasses", "covered"])


__all__ = [
    "CLASSES",
    "NAME",
    "PLACES",
    "SPLITS",
    "DrawnFace",
    "ToonAttributes",
    "draw_face",
    "places_of",
    "prevalence",
]
