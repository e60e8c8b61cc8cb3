"""Which methods stand beside each other in one table, and on which images: the same for the page, reports,
exports, the command and Python. No torch."""

from collections.abc import Iterator, Mapping, Sequence, Set

import pandas as pd

from explain.quality.comparison import FEWEST
from explain.quality.store import TrustStore
from explain.quality.verdict import Trust
from models.counts import counted

ENOUGH = 60
"""Images of a table that need not be more: as many as the page measures."""
Images = Mapping[str, Set[str]]
"""Method -> the ids of the images that were measured with it."""


def tables(store: TrustStore, own: Sequence[str]) -> list[Trust]:
    """Every method that was measured, in one table each; a table is of the images that were measured with all
    of its methods. First those of the run (`own`), together where that leaves at least half of the images of
    the one with the most, or `ENOUGH`, and enough for a verdict. Other methods join a table of which they
    have all images; the rest have tables of their own, so that what is measured besides never takes images
    from the run's."""
    rows = store.rows()
    images = images_of(rows)
    groups = list(together({m: images[m] for m in own if m in images}))
    others = {m: ids for m, ids in images.items() if m not in own}
    made = []
    for methods in groups:
        common = set[str]().union(images[methods[0]]).intersection(*(images[m] for m in methods))
        joining = [m for m, ids in others.items() if common <= ids]
        others = {m: ids for m, ids in others.items() if m not in joining}
        made.append([*methods, *joining])
    found = [Trust.among(store.settings.layer, rows, methods) for methods in (*made, *together(others))]
    return [trust for trust in found if trust.verdicts]


def images_of(rows: pd.DataFrame) -> Images:
    """Of the methods' own maps."""
    mine = rows[rows["variant"] == ""]
    return {str(method): {*ids} for method, ids in mine.groupby("method", sort=False)["id"]}


def of_methods(found: Sequence[Trust], methods: Sequence[str]) -> list[Trust]:
    """The tables that have one of `methods`."""
    return [trust for trust in found if any(v.method in methods for v in trust.verdicts)]


def size_text(trust: Trust, alone: bool = True) -> str:
    """Of how many images a table is; where it is not `alone`, also of which methods."""
    images = counted(trust.images, "image")
    return images if alone else f"{images} ({', '.join(v.title for v in trust.verdicts)})"


def together(images: Images) -> Iterator[list[str]]:
    """Groups of methods, the one with the most images first."""
    left = sorted(images, key=lambda method: -len(images[method]))
    while left:
        common = images[left[0]]
        least, group, rest = _least(len(common)), [left[0]], list[str]()
        for method in left[1:]:
            both = common & images[method]
            if len(both) >= least:
                group.append(method)
                common = both
            else:
                rest.append(method)
        yield group
        left = rest


def _least(images: int) -> float:
    """How many images must be left of those of the method with the most, so that others stand beside it: at
    least half, or `ENOUGH`, and never fewer than a verdict needs."""
    return images / 2 if images < FEWEST else min(max(images / 2, FEWEST), ENOUGH)
