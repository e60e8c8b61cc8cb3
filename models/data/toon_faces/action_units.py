"""What an expression is: the action units it moves, how strongly, and which parts of the face they belong to.

The recipes follow the prototypes of the Facial Action Coding System: P. Ekman, W. V. Friesen, J. C. Hager,
*Facial Action Coding System: The Manual*, 2002 (EMFACS table of emotions).
"""

import numpy as np

EXPRESSIONS: dict[str, tuple[int, ...]] = {
    "neutral": (),
    "happiness": (6, 12),
    "sadness": (1, 4, 15),
    "surprise": (1, 2, 5, 26),
    "fear": (1, 2, 4, 5, 20, 26),
    "disgust": (9, 15, 16),
    "anger": (4, 5, 7, 23),
    "contempt": (12, 14),
}
CLASSES = tuple(EXPRESSIONS)

PARTS = ("brows", "eyes", "nose", "mouth")
_PART_OF_UNIT = {1: "brows", 2: "brows", 4: "brows", 5: "eyes", 6: "eyes", 7: "eyes", 9: "nose"}
UNITS = (1, 2, 4, 5, 6, 7, 9, 12, 14, 15, 16, 20, 23, 26)

ONE_SIDED = {"contempt"}

Action = dict[int, float]
"""Action unit -> intensity in [0, 1.2]; units that rest are absent or small."""


def part_of(unit: int) -> str:
    """The part of the face that an action unit moves."""
    return _PART_OF_UNIT.get(unit, "mouth")


def moved_parts(expression: str) -> tuple[str, ...]:
    """The parts that the expression's action units move, in the order of `PARTS`."""
    moved = {part_of(unit) for unit in EXPRESSIONS[expression]}
    return tuple(part for part in PARTS if part in moved)


def sample_action(expression: str, rng: np.random.Generator) -> Action:
    """Draw intensities: one strength for the whole expression, a little spread for each unit.

    Weak expressions are drawn on purpose: they are what makes fear and surprise, disgust and anger,
    contempt and neutral honestly confusable.
    """
    strength = rng.uniform(0.08, 0.85)
    rest = {unit: float(rng.exponential(0.05)) for unit in UNITS}
    moved = {unit: float(strength * rng.uniform(0.7, 1.15)) for unit in EXPRESSIONS[expression]}
    return rest | {unit: rest[unit] + moved[unit] for unit in moved}
