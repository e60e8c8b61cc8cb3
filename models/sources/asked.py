"""The preprocessing of networks that do not say theirs: a person is asked, nothing is guessed."""

from typing import TYPE_CHECKING

import torch

from models.errors import UserError
from models.preprocessing import Preprocessing
from models.sources.base import Told

if TYPE_CHECKING:
    from torch import Tensor

REQUIRED = ("--input-size", "--resize", "--mean", "--std")


def asked_preprocessing(
    name: str, told: Told, known: Preprocessing | None = None
) -> tuple[Preprocessing, str]:
    """The preprocessing that a person gives for the network `name`, and one phrase on where it comes from.
    `known`: what the file itself tells, to begin with. Raises UserError that names the options that are
    missing."""
    if isinstance(told, Preprocessing):
        return told, "as the run was made"
    given = told.given if told else []
    missing = [o for o in REQUIRED if o not in given and not (known and o == "--input-size")]
    if told is None or (missing and told.preprocess is None):
        raise UserError(
            f"{name} does not say how images are prepared for it: add {' '.join(missing)} (values for pixels "
            "from 0 to 1; --mean 0 --std 1 where they are not normalized), or --preprocess FILE.py:NAME."
        )
    base = known or Preprocessing(resize=None, mean=(0.0,) * 3, std=(1.0,) * 3)
    return told.apply(base), told.origin


def example_of(preprocessing: Preprocessing) -> "Tensor":
    """A black image (C, h, w), normalized."""
    black = torch.zeros(1, preprocessing.channels, *preprocessing.size, dtype=torch.uint8)
    return preprocessing.normalize(black)[0]
