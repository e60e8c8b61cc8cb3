"""Toon faces: an embedded data set of drawn faces with eight expressions, with ground truth for each face.

No download: every face is drawn from parameters, the same for the same seed. It is useful for explanations
because the positions of the parts, and the parts that the expression moves, are known.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from models.data.drawn import DrawnFaces
from models.data.source import Item
from models.data.toon_faces.action_units import CLASSES, ONE_SIDED, PARTS, Action, moved_parts, sample_action
from models.data.toon_faces.draw import FaceArtist
from models.data.toon_faces.identity import SKIN, Identity, Scene, sample_identity, sample_scene
from models.data.toon_faces.pen import SIZE
from models.data.toon_faces.photograph import develop, paint_background, part_masks

if TYPE_CHECKING:
    import pandas as pd

SPLITS = {"train": (0, 8000), "validation": (1, 800), "test": (2, 800)}
"""Name -> (stream of random numbers, faces)."""


@dataclass(frozen=True, eq=False)
class ToonFace:
    """One drawn face and what is known about it.

    `masks` maps each of `PARTS` to a (128, 128) bool array; `moved` names the parts that the action units
    moved.
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

    def evidence_of(self, expression: str) -> np.ndarray | None:
        """All parts of a neutral face, which moves none. None for another expression than the drawn one:
        where a wrong answer should look is not known."""
        return self.evidence if expression == self.expression else None


def cast(expression: str, seed: tuple[int, ...]) -> tuple[Identity, Scene, np.random.Generator]:
    """The person and the scene, which are drawn first from the random numbers of a face; and the generator
    for the rest."""
    rng = np.random.default_rng([CLASSES.index(expression), *seed])
    return sample_identity(rng), sample_scene(rng), rng


@lru_cache(maxsize=64)
def draw_face(expression: str, seed: tuple[int, ...]) -> ToonFace:
    """Draw one face. The same expression and seed give the same image; the last ones are cached, as masks are
    often needed next."""
    return painted(expression, seed)


def painted(
    expression: str, seed: tuple[int, ...], over: Callable[[Image.Image], None] | None = None
) -> ToonFace:
    """`draw_face`, not cached. `over` draws on the picture of the face (`OVERSAMPLE` times `SIZE` pixels),
    before light, blur and noise."""
    who, scene, rng = cast(expression, seed)
    action = sample_action(expression, rng)
    side = int(rng.choice((-1, 1))) if expression in ONE_SIDED else 0
    artist = FaceArtist(who, action, side, scene, rng)
    paint_background(artist.pen, rng)
    artist.face()
    if over is not None:
        over(artist.pen.picture)
    masks = part_masks(artist)
    return ToonFace(develop(artist, rng), expression, action, masks, moved_parts(expression))


class ToonFaces(DrawnFaces[ToonFace]):
    """Faces of the eight classes in turn."""

    kind, splits, classes, regions = "toon_faces", SPLITS, CLASSES, PARTS

    def listed(self, size: int) -> list[Item]:
        labels = (CLASSES[i % len(CLASSES)] for i in range(size))
        return [Item(f"{self.split}/{label}/{i:05d}.png", label) for i, label in enumerate(labels)]

    def face(self, index: int) -> ToonFace:
        return draw_face(self.items[index].label, self.numbers(index))

    @cached_property
    def metadata(self) -> "pd.DataFrame":
        """Attributes of every face (`described`), without drawing it."""
        return self.attributes()

    def attributes(self) -> "pd.DataFrame":
        """A row for each face."""
        import pandas as pd

        people = (cast(item.label, self.numbers(i)) for i, item in enumerate(self.items))
        return pd.DataFrame([described(who, scene) for who, scene, _ in people])


def described(who: Identity, scene: Scene) -> dict[str, str | float]:
    """Attributes of a face besides its expression. `turned`, `tilted`: radians; `exposure`: a
    factor; `blur`: sigma in pixels; `noise`: deviation in grey values."""
    return {
        "skin": ("light", "medium", "dark")[SKIN.index(who.skin) * 3 // len(SKIN)],
        "hair": who.hair_style,
        "beard": "yes" if who.beard else "no",
        "glasses": who.glasses,
        "covered": "yes" if scene.occluder else "no",
        "background": scene.background_kind,
        "turned": abs(scene.yaw),
        "tilted": abs(scene.roll),
        "exposure": scene.exposure,
        "blur": scene.blur,
        "noise": scene.noise,
    }


__all__ = ["CLASSES", "PARTS", "SIZE", "SPLITS", "ToonFace", "ToonFaces", "draw_face"]
