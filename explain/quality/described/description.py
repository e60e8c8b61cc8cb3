"""What describes the maps of a run, from the stores in its folder: whether they lie in known regions, beside
controls, and how concentrated, stable and dependent on the weights they are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import pandas as pd

from explain.quality.comparison import Comparison, compare
from explain.quality.settings import OF_IMAGE, OTHER_IMAGE, RANDOM_NETWORK
from explain.quality.store import DescriptionStore, description_stores
from explain.quality.tables import images_of, together
from explain.quality.verdict import MATCHES, SHORT, Trust, Verdict
from explain.run.reader import RunData
from models.counts import be, counted

CONTROLS = (*OF_IMAGE, OTHER_IMAGE, RANDOM_NETWORK)
LOCALIZATION = {
    "pointing_game": (
        "pointing game",
        "fraction of the images in which the largest value lies in the region",
    ),
    "energy": ("energy inside", "fraction of the positive values that lies in the region"),
    "energy_per_area": (
        "energy / area",
        "energy inside divided by the area of the region; a constant map has 1",
    ),
}
"""Title and meaning of each figure; larger is more in the region."""
NOTHING = pd.DataFrame({"id": [], "method": [], "variant": []}, dtype=object)


@dataclass(frozen=True, eq=False)
class Described:
    """Of one method, means over images: `entropy` in nats of at most `entropy_most`, `gini`; where measured
    `efficient_mprt`, `similarity` (fraction of random layers -> rank correlation with the network's own map)
    and `max_sensitivity`; NaN and empty where not. `verdict`: of its maps, '' where that was not measured."""

    method: str
    title: str
    entropy: float
    entropy_most: float
    gini: float
    efficient_mprt: float
    similarity: Mapping[float, float]
    max_sensitivity: float
    verdict: str


@dataclass(frozen=True, eq=False)
class Region:
    """Maps beside controls in one region of `images` images, which covers the fraction `area` of an image on
    average. `figures`: name of `LOCALIZATION` -> method -> comparison with its best control."""

    name: str
    images: int
    area: float
    figures: Mapping[str, Mapping[str, Comparison]]


@dataclass(frozen=True, eq=False)
class Description:
    """`maps`, `mprt`, `stability`: rows of the stores; `verdicts` of the methods, the best first."""

    verdicts: Sequence[Verdict]
    maps: pd.DataFrame = field(default_factory=lambda: NOTHING)
    mprt: pd.DataFrame = field(default_factory=lambda: NOTHING)
    stability: pd.DataFrame = field(default_factory=lambda: NOTHING)

    @classmethod
    def of(cls, trust: Trust, stores: Sequence[DescriptionStore]) -> "Description":
        """Of the methods and images of `trust`; `stores`: one for each figure that was measured. Methods
        stand beside each other on the same images: one that lacks too many has no figure."""
        made, methods = cls(trust.verdicts), [v.method for v in trust.verdicts]
        for store in stores:
            rows = store.rows()
            known = rows["method"].isin(methods)
            if store.settings.figure == "maps":
                known &= rows["id"].isin(trust.rows["id"])
            made = replace(made, **{store.settings.figure: _shared(rows[known])})
        return made

    @classmethod
    def kept(cls, run: RunData, trust: Trust, target: str) -> "Description":
        """Of what the run's folder holds for the layer of `trust`, the newest of each figure."""
        found = dict[str, DescriptionStore]()
        for store in description_stores(run.folder):
            of = store.settings
            if (of.layer, of.target) == (trust.layer, target) and of.figure in ("maps", "mprt", "stability"):
                found.setdefault(of.figure, store)
        return cls.of(trust, list(found.values()))

    @cached_property
    def methods(self) -> list[Described]:
        """In the order of the verdicts; those of which nothing is known left out."""
        return [self._described(v) for v in self.verdicts if self._has(v.method)]

    def _has(self, method: str) -> bool:
        return any((rows["method"] == method).any() for rows in (self.maps, self.mprt, self.stability))

    def _described(self, verdict: Verdict) -> Described:
        own, mprt, stability = (
            rows[(rows["method"] == verdict.method) & (rows["variant"] == "")]
            for rows in (self.maps, self.mprt, self.stability)
        )
        places = _mean(own, "positions")
        similarity = {
            _mean(mprt, name): _mean(mprt, f"signed.{name.partition('.')[2]}")
            for name in mprt.columns
            if name.startswith("fraction.") and mprt[name].notna().any()
        }
        return Described(
            verdict.method,
            verdict.title,
            _mean(own, "entropy"),
            float(np.log(places)) if places > 0 else float("nan"),
            _mean(own, "gini"),
            _mean(mprt, "efficient"),
            dict(sorted(similarity.items())),
            _mean(stability, "max_sensitivity"),
            verdict.text,
        )

    @property
    def images(self) -> dict[str, int]:
        """How many images each kind of figure is of."""
        tables = {"maps": self.maps, "mprt": self.mprt, "stability": self.stability}
        return {name: int(rows["id"].nunique()) for name, rows in tables.items()}

    @cached_property
    def regions(self) -> list[Region]:
        """Those that are known of some images."""
        names = [c.partition(":")[2] for c in self.maps.columns if c.startswith("area:")]
        return [self._region(name) for name in names if self.maps[f"area:{name}"].notna().any()]

    def _region(self, name: str) -> Region:
        rows = self.maps[self.maps[f"area:{name}"].notna()]
        values = {
            "pointing_game": rows[f"pointing:{name}"],
            "energy": rows[f"energy:{name}"],
            "energy_per_area": rows[f"energy:{name}"] / rows[f"area:{name}"].where(lambda area: area > 0),
        }
        methods = [v.method for v in self.verdicts if (rows["method"] == v.method).any()]
        figures = {figure: _compared(rows.assign(value=v), methods) for figure, v in values.items()}
        area = rows.drop_duplicates("id")[f"area:{name}"].mean()
        return Region(name, int(rows["id"].nunique()), float(area), figures)


def _shared(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of the images that were measured with all methods that can stand in one table."""
    images = images_of(rows)
    if not images:
        return rows
    methods = next(together(images))
    common = set[str]().union(images[methods[0]]).intersection(*(images[m] for m in methods))
    return rows[rows["method"].isin(methods) & rows["id"].isin(common)]


def _mean(rows: pd.DataFrame, column: str) -> float:
    """NaN where there is no such column, or no value in it."""
    return float(rows[column].mean()) if column in rows else float("nan")


def _compared(rows: pd.DataFrame, methods: Sequence[str]) -> dict[str, Comparison]:
    table = rows.pivot_table(index="id", columns=["method", "variant"], values="value", dropna=False)
    own = {m: table[m, ""].to_numpy() for m in methods}
    controls = {
        m: {v: table[m, v].to_numpy() for v in CONTROLS if (m, v) in table and table[m, v].notna().any()}
        for m in methods
    }
    return compare(own, controls)


def localized_text(verdict: Verdict, found: Comparison) -> str:
    """What a figure says of where a method's maps lie, in about six words. Maps that are a control are called
    so, whatever their figure."""
    if verdict.control:
        return MATCHES[verdict.control]
    if found.outcome == "too few images":
        return f"{counted(found.images, 'image')} {be(found.images)} too few to say"
    word = {"better": "more than", "worse": "less than", "not better": "no more than"}[found.outcome]
    return f"{word} {SHORT[found.best]}"
