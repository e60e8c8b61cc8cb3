"""What to try next, as a sentence with its numbers, the images behind it, and the option of `train` that
tries it."""

from dataclasses import dataclass, replace

import numpy as np


@dataclass(frozen=True, eq=False)
class Side:
    """Some images behind a proposal, that are shown beside others: `note` says what the network makes of
    them."""

    title: str
    note: str
    rows: np.ndarray


@dataclass(frozen=True, eq=False)
class Proposal:
    """`kind` names the check; `title` the finding, `text` the numbers behind it. `advice` says why `option`
    of `train` could help; `rows` are the images, the most telling first. `errors`: how many wrong
    answers it is about. `label`: of several labels per image, the number of the one that it is about.
    `on_maps`: whether it rests on maps. `sides`: images that are compared, shown side by side in place of
    `rows`."""

    kind: str
    title: str
    text: str
    advice: str
    option: str
    rows: np.ndarray
    errors: int
    label: int = -1
    on_maps: bool = False
    sides: tuple[Side, ...] = ()


def of_labels(proposal: Proposal) -> Proposal:
    """The proposal for a run of several labels per image: without an option that their training refuses."""
    return replace(proposal, option="") if "--balance-by" in proposal.option else proposal
