"""Toon faces drawn again without one thing: the same person, scene and random numbers, so that the pictures
differ in its place alone. The change of a network's score is then the true effect of that thing (R. Hesse et
al., *FunnyBirds*, ICCV 2023, arXiv:2308.06248)."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from PIL import Image

from models.data.toon_faces import cast
from models.data.toon_faces.action_units import EXPRESSIONS, ONE_SIDED, PARTS, sample_action
from models.data.toon_faces.draw import FaceArtist
from models.data.toon_faces.photograph import develop, paint_background

STEPS_OF = {
    "brows": ("brow", "frown_lines"),
    "eyes": ("eye",),
    "nose": ("nose",),
    "mouth": ("mouth",),
    "hair": ("hair_back", "hair_front"),
    "beard": ("beard",),
    "glasses": ("glasses",),
}
"""Thing -> the steps of drawing that make it."""
PLAIN = (128, 128, 128)
"""What stands for the background where it is removed."""

Seed = tuple[int, ...]


class PartialArtist(FaceArtist):
    """Draws a face without the `missing` thing, one of `STEPS_OF` or ''."""

    def __init__(self, *face: Any, missing: str = ""):
        super().__init__(*face)
        for step in STEPS_OF.get(missing, ()):
            setattr(self, step, lambda *_: None)


def redrawn(expression: str, seed: Seed, without: str = "") -> Image.Image:
    """The face of `draw_face(expression, seed)` without one thing: an action unit ('AU12': it rests
    entirely), one of `STEPS_OF` (not drawn), 'occluder', or 'background' (plain gray)."""
    who, scene, rng = cast(expression, seed)
    action = sample_action(expression, rng)
    side = int(rng.choice((-1, 1))) if expression in ONE_SIDED else 0
    if without.startswith("AU"):
        action = {**action, int(without[2:]): 0.0}
    elif without == "occluder":
        scene = replace(scene, occluder=None)
    artist = PartialArtist(who, action, side, scene, rng, missing=without)
    paint_background(artist.pen, rng)
    if without == "background":
        artist.pen.picture.paste(PLAIN, (0, 0, *artist.pen.picture.size))
    artist.face()
    return develop(artist, rng)


def removable(expression: str, seed: Seed) -> dict[str, tuple[str, ...]]:
    """What can be removed of a face, in two groups that share its other things: 'parts', each as a whole,
    and 'units', the action units of its expression; none where it has none."""
    who, scene, _ = cast(expression, seed)
    there = {
        "hair": who.hair_style != "bald",
        "beard": bool(who.beard),
        "glasses": who.glasses != "none",
        "occluder": scene.occluder is not None,
        "background": True,
    }
    things = tuple(name for name, present in there.items() if present)
    units = tuple(f"AU{unit}" for unit in EXPRESSIONS[expression])
    return {"parts": (*PARTS, *things), "units": (*units, *things) if units else ()}


@dataclass(frozen=True, eq=False)
class Removed:
    """A face without `name`: its picture, and the pixels that differ, (128, 128) bool."""

    name: str
    image: Image.Image
    place: np.ndarray


def without_each(expression: str, seed: Seed) -> Iterator[Removed]:
    """The face without each thing that can be removed, where that changes a pixel."""
    whole = np.asarray(redrawn(expression, seed))
    groups = removable(expression, seed)
    for name in dict.fromkeys([*groups["parts"], *groups["units"]]):
        image = redrawn(expression, seed, name)
        place = (np.asarray(image) != whole).any(2)
        if place.any():
            yield Removed(name, image, place)
