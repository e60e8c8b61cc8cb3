"""Maps that are compared with people's fixations: baselines and controls, models of gaze, and maps of a
classifier. Each is a `Source`."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from PIL import Image

from explain.gaze.truths import Truths, one_against_the_rest
from models.gaze.density import center_gaussian, density
from models.gaze.gaze_set import Viewed

EARLIER_TITLES = {
    "random numbers": "chance",
    "centre Gaussian": "center Gaussian",
    "where people look in other images": "mean fixation map of other images",
    "one person, for the others": "single observer",
    "all but one, for that one": "leave-one-out observers",
}
"""Titles in folders and checkpoints of earlier versions -> titles today."""
Answer = tuple[np.ndarray, Viewed | None]
"""A raw map (h, w) of any size; and the fixations that it is compared with, or None for all of the
image's."""


@dataclass(frozen=True, eq=False)
class Source:
    """`kind`: model (predicts gaze), network (maps of a classifier), baseline, people, or control (random).
    `answers(images)` yields one answer an image, in their order; None where there is none."""

    name: str
    title: str
    kind: str
    answers: Callable[[list[Viewed]], Iterable[Answer | None]]
    keep: bool = False
    """Whether its maps are kept for display."""


def baselines(truths: Truths, seed: int = 0) -> list[Source]:
    """Random numbers; a Gaussian at the center; the mean fixation map of other images; a single observer, as
    prediction of the others; all observers but one, as prediction of that one: no model can be expected to do
    better."""

    def drawn(image: Viewed, salt: int) -> np.random.Generator:
        return np.random.default_rng([seed, salt, sum(image.id.encode())])

    def blurred(chosen: Viewed) -> np.ndarray:
        return density(chosen.rows, chosen.cols, chosen.size, truths.sigma)

    def random(images: list[Viewed]) -> Iterator[Answer]:
        yield from ((drawn(i, 0).random(i.size, np.float32), None) for i in images)

    def person(images: list[Viewed], which: int) -> Iterator[Answer | None]:
        for image in images:
            split = one_against_the_rest(image, drawn(image, 1))
            yield (
                None
                if split is None or not len(split[which].x)
                else (blurred(split[which]), split[1 - which])
            )

    return [
        Source("random", "chance", "control", random),
        Source(
            "centre",
            "center Gaussian",
            "baseline",
            lambda images: ((center_gaussian(i.size), None) for i in images),
        ),
        Source(
            "prior",
            "mean fixation map of other images",
            "baseline",
            lambda images: ((truths.prior(i), None) for i in images),
        ),
        Source("person", "single observer", "people", lambda images: person(images, 0)),
        Source("people", "leave-one-out observers", "people", lambda images: person(images, 1)),
    ]


def predictions(name: str, title: str, maps: Callable[[list[Image.Image]], np.ndarray]) -> Source:
    """A model of gaze: pictures in, raw maps (N, h, w) out."""

    def answers(images: list[Viewed]) -> Iterator[Answer]:
        yield from ((values, None) for values in maps([i.load() for i in images]))

    return Source(name, title, "model", answers, keep=True)
