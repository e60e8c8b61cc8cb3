"""The 14 labels of a drawn face, how often each is there, which occur together, and where each can be seen.

Action units are those of the Facial Action Coding System (P. Ekman, W. V. Friesen, J. C. Hager, *Facial
Action Coding System: The Manual*, 2002), by their number and name.
"""

from dataclasses import dataclass

import numpy as np

PLACES = ("forehead", "brows", "eyes", "nose", "cheeks", "mouth", "jaw", "ears", "glasses", "hat")
"""Regions of a face, `masks` of the data: where a thing is, or would be in a face without it."""


@dataclass(frozen=True)
class Label:
    """`rate`: fraction of the faces that have it. Where `given` names an earlier label, `rate` is that of the
    faces without that one, and `rate_with` that of the faces that have it. `places`: those of `PLACES` that
    it changes. `unit`: number of the action unit, 0 for a thing."""

    name: str
    rate: float
    places: tuple[str, ...]
    unit: int = 0
    given: str = ""
    rate_with: float = 0.0


BEARD, GLASSES, EARRINGS, HAT = "beard", "glasses", "earrings", "hat"
_SMILE, _INNER_BROW = "AU12 lip corner puller", "AU1 inner brow raiser"

# A unit that another one cancels is never drawn together with it: a lip corner does not go up and down (12,
# 15), nor an inner brow (1, 4), and a dimple (14) does not show in a beard.
LABELS: tuple[Label, ...] = (
    Label(_SMILE, 0.4, ("mouth", "nose", "cheeks"), 12),
    Label("AU6 cheek raiser", 0.05, ("eyes", "cheeks"), 6, _SMILE, 0.5),
    Label(_INNER_BROW, 0.12, ("brows", "forehead"), 1),
    Label("AU2 outer brow raiser", 0.05, ("brows", "forehead"), 2, _INNER_BROW, 0.5),
    Label("AU4 brow lowerer", 0.17, ("brows",), 4, _INNER_BROW, 0.0),
    Label("AU5 upper lid raiser", 0.08, ("eyes",), 5),
    Label("AU9 nose wrinkler", 0.04, ("nose", "cheeks"), 9),
    Label("AU15 lip corner depressor", 0.12, ("mouth", "nose", "cheeks"), 15, _SMILE, 0.0),
    Label("AU26 jaw drop", 0.2, ("mouth", "jaw"), 26),
    Label(GLASSES, 0.25, ("glasses",)),
    Label(BEARD, 0.18, ("jaw",)),
    Label("AU14 dimpler", 0.06, ("mouth",), 14, BEARD, 0.0),
    Label(EARRINGS, 0.07, ("ears",)),
    Label(HAT, 0.025, ("hat",)),
)
CLASSES = tuple(label.name for label in LABELS)


def places_of(name: str) -> tuple[str, ...]:
    """The places in which a label can be seen."""
    return LABELS[CLASSES.index(name)].places


def prevalence() -> dict[str, float]:
    """Name -> fraction of all faces that have the label."""
    found: dict[str, float] = {}
    for label in LABELS:
        with_it = found.get(label.given, 0.0)
        found[label.name] = label.rate * (1 - with_it) + label.rate_with * with_it
    return found


def sample_labels(rng: np.random.Generator) -> frozenset[str]:
    """Draw the labels of one face: each on its own, but for the pairs that `Label.given` names."""
    there: set[str] = set()
    for label in LABELS:
        if rng.random() < (label.rate_with if label.given in there else label.rate):
            there.add(label.name)
    return frozenset(there)


def sample_strengths(rng: np.random.Generator) -> dict[int, tuple[float, float]]:
    """Action unit -> its intensity where it rests, and where it is there: too weak to be seen, and clearly
    visible."""
    units = [label.unit for label in LABELS if label.unit]
    return {unit: (float(rng.uniform(0, 0.08)), float(rng.uniform(0.6, 1.0))) for unit in units}
