"""What the measured figures say of each method, and which one to read."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from explain.analysis.statistics.significance import signed_rank
from explain.formatting import layer_label
from explain.methods import registry
from explain.quality.comparison import FEWEST, LEAST, LEVEL, Comparison, compare, same_way, without_rounding
from explain.quality.settings import OF_IMAGE, OTHER_IMAGE, RANDOM_NETWORK
from explain.quality.store import TrustStore
from models.counts import be, counted

SAME = 0.95
"""Mean rank correlation with a control from which on a method's maps are that control."""
FASTER = 2.0
"""From this factor on another method that may be as good, of other passes, is called the faster one."""
SHORT = {
    "center": "the center",
    "noise": "smooth noise",
    "edges": "edges",
    OTHER_IMAGE: "another image's map",
    RANDOM_NETWORK: "a random network's map",
}

MATCHES = {
    "center": "its maps are the center",
    "noise": "its maps are smooth noise",
    "edges": "its maps are edges",
    OTHER_IMAGE: "the same map for every image",
    RANDOM_NETWORK: "does not depend on the weights",
}
"""What a method is whose maps are those of a control; the first that applies."""


@dataclass(frozen=True)
class Figure:
    """A figure of one map, larger is better. `value`: from the rows of the store; `needs`: the curves."""

    title: str
    meaning: str
    value: Callable[[pd.DataFrame], pd.Series]
    needs: tuple[str, ...]


FIGURES = {
    "insertion_deletion": Figure(
        "insertion − deletion",
        "mean score while the strongest cells are inserted first, minus that while they are removed first",
        lambda rows: rows["insertion"] - rows["deletion"],
        ("insertion", "deletion"),
    ),
    "road": Figure(
        "ROAD",
        "half of: score without the weakest cells minus that without the strongest; filled from their "
        "surroundings",
        lambda rows: (rows["least_relevant_first"] - rows["most_relevant_first"]) / 2,
        ("most_relevant_first", "least_relevant_first"),
    ),
}
BELIEVED = "insertion_deletion"
"""The figure that decides: it orders methods as known effects do (docs/trust_results.md)."""


@dataclass(frozen=True)
class Verdict:
    """Of one method. `figures`: by the names of `FIGURES`; `alike`: mean rank correlation of its maps with
    those of each control; `agreement`: with those of the other methods, NaN where there is none; `seconds`
    that a map took."""

    method: str
    title: str
    figures: Mapping[str, Comparison]
    alike: Mapping[str, float]
    agreement: float
    seconds: float

    @property
    def decisive(self) -> Comparison:
        return self.figures[BELIEVED] if BELIEVED in self.figures else next(iter(self.figures.values()))

    @property
    def decided(self) -> bool:
        """Whether the figure that decides was measured."""
        return BELIEVED in self.figures

    @property
    def flat(self) -> bool:
        """Whether no map has an order of places: it is correlated with nothing."""
        return bool(self.alike) and all(np.isnan(value) for value in self.alike.values())

    @property
    def control(self) -> str:
        """The control that its maps are, or ''."""
        same = (name for name in MATCHES if self.alike.get(name, 0) >= SAME)
        return next(same, "")

    @property
    def passes(self) -> bool:
        """Whether its maps say more than every control, by the figure that decides."""
        return self.decided and self.decisive.outcome == "better" and not self.control and not self.flat

    @property
    def text(self) -> str:
        """The verdict in about six words."""
        found = self.decisive
        if self.flat:
            return "flat: no place is stronger than another"
        if self.control:
            return MATCHES[self.control]
        if found.outcome == "better":
            return f"beats its best control on {100 * found.wins:.0f} % of images"
        if found.outcome == "too few images":
            return f"{counted(found.images, 'image')} {be(found.images)} too few to say"
        return f"{'worse' if found.outcome == 'worse' else 'no better'} than {SHORT[found.best]}"


def by_rank(verdict: Verdict) -> tuple[bool, float]:
    """The key that sorts the best method to the front: those that pass before the others."""
    return not verdict.passes, -float(np.nan_to_num(verdict.decisive.mean, nan=-np.inf))


@dataclass(frozen=True, eq=False)
class Trust:
    """The verdicts of the methods of one layer, from the rows of a store."""

    layer: str
    rows: pd.DataFrame

    @classmethod
    def of(cls, store: TrustStore, methods: Sequence[str] = ()) -> "Trust":
        """Of `methods`, or of all that were measured, on the images that were measured with each of them."""
        rows = store.rows()
        own = rows.loc[rows["variant"] == "", "method"]
        return cls.among(store.settings.layer, rows, methods or list(dict.fromkeys(own)))

    @classmethod
    def among(cls, layer: str, rows: pd.DataFrame, methods: Sequence[str]) -> "Trust":
        """As `of`, of the rows of a store."""
        own = rows[rows["variant"] == ""]
        counts = own.loc[own["method"].isin([*methods]), "id"].value_counts()
        common = counts.index[counts == len(methods)]
        return cls(layer, rows[rows["id"].isin(common) & rows["method"].isin([*methods, ""])])

    @cached_property
    def images(self) -> int:
        return int(self.rows["id"].nunique())

    @property
    def figures(self) -> list[str]:
        """Those whose curves were measured."""
        return [name for name, figure in FIGURES.items() if {*figure.needs} <= {*self.rows.columns}]

    @cached_property
    def numbers(self) -> bool:
        """Whether the scores are numbers and no probabilities: then both kinds of scores are the same."""
        kinds = [name for name in self.rows.columns if f"{name}.logit" in self.rows.columns]
        pairs = [(self.rows[name].to_numpy(), self.rows[f"{name}.logit"].to_numpy()) for name in kinds]
        return bool(pairs) and all(np.array_equal(a, b, equal_nan=True) for a, b in pairs)

    @property
    def decides(self) -> str:
        """The name of the figure that decides."""
        return BELIEVED if BELIEVED in self.figures else self.figures[0]

    @cached_property
    def verdicts(self) -> list[Verdict]:
        """The best method first, those that pass before the others."""
        compared = {figure: self._compared(figure) for figure in self.figures}
        own = self.rows[self.rows["variant"] == ""]
        found = []
        for method in dict.fromkeys(own["method"]):
            mine = own[own["method"] == method]
            alike = {c: _likeness(mine[f"like.{c}"]) for c in SHORT if f"like.{c}" in mine}
            figures = {figure: by_method[method] for figure, by_method in compared.items()}
            extra = float(mine["agreement"].mean()), float(mine["seconds"].mean())
            found.append(Verdict(method, _title(method), figures, alike, *extra))
        return sorted(found, key=by_rank)

    def values(self, figure: str) -> pd.DataFrame:
        """One row an image, a column for each (method, variant); both in alphabetical order."""
        image, images = pd.factorize(self.rows["id"], sort=True)
        method, methods = pd.factorize(self.rows["method"], sort=True)
        variant, variants = pd.factorize(self.rows["variant"], sort=True)
        table = np.full((len(images), len(methods) * len(variants)), np.nan)
        table[image, method * len(variants) + variant] = FIGURES[figure].value(self.rows)
        names = pd.MultiIndex.from_product([methods, variants], names=["method", "variant"])
        return pd.DataFrame(table, pd.Index(images, name="id"), names)

    def _compared(self, figure: str) -> dict[str, Comparison]:
        table = self.values(figure)
        methods = [m for m, variant in table.columns if not variant]
        own = {m: table[m, ""].to_numpy() for m in methods}
        controls = {
            m: {
                v: table[pair].to_numpy()
                for v in SHORT
                if (pair := ("" if v in OF_IMAGE else m, v)) in table.columns and table[pair].notna().any()
            }
            for m in methods
        }
        return compare(own, controls, 0.0 if self.numbers else LEAST)

    @cached_property
    def recommended(self) -> Verdict | None:
        """The method to read: the best that passes; None where no method does."""
        return self.verdicts[0] if self.verdicts and self.verdicts[0].passes else None

    @property
    def as_good(self) -> list[Verdict]:
        """Others that pass and are not told apart from the recommended one: by Wilcoxon's test of the paired
        differences p is above `LEVEL`, or most images say the contrary of the mean."""
        if self.recommended is None:
            return []
        table, best = self.values(self.decides), self.recommended.method
        return [v for v in self.verdicts[1:] if v.passes and not _differ(table[[(best, ""), (v.method, "")]])]


def _likeness(correlations: pd.Series) -> float:
    """Mean over images; NaN where half of the maps have no order, so that they are like nothing."""
    known = correlations.notna().sum()
    return float(correlations.mean()) if 2 * known >= len(correlations) else float("nan")


def _differ(pair: pd.DataFrame) -> bool:
    """Whether the first of two methods is better, by their values (images, 2)."""
    values = pair.dropna().to_numpy()
    difference = without_rounding(values[:, 0] - values[:, 1], float(np.abs(values).max(initial=0.0)))
    return bool(len(difference)) and signed_rank(difference) <= LEVEL and same_way(difference)


def _title(method: str) -> str:
    """As the page calls it; methods from outside that are not registered now keep their name."""
    return registry.METHODS[method].title if method in registry.METHODS else method


NOTHING_SHOWN = (
    "Nothing shows that these maps say more than that control. Measure other methods (--methods), other "
    "layers (--layers all), or more images (--images)."
)


def recommendation(trust: Trust) -> str:
    """Which method to read, in one or two sentences."""
    if not trust.verdicts:
        return "Nothing was measured."
    best = trust.verdicts[0]
    where = f" at {layer_label(trust.layer)}" if trust.layer and _has_layer(best.method) else ""
    if best.decisive.outcome == "too few images":
        few = f"{counted(best.decisive.images, 'image')} {be(best.decisive.images)}"
        return f"{few} too few to say which method to read: at least {FEWEST} are needed."
    if not best.decided:
        measured, deciding = FIGURES[trust.decides].title, FIGURES[BELIEVED].title
        alone = f"{measured} alone says of {best.title}: {best.text}"
        return f"{alone}. {deciding}, which decides, was not measured."
    if trust.recommended is None:
        text = f"No method beats its controls{where}: {best.title} {_against(best)}"
        if best.decisive.negligible:
            return f"{text}, a difference too small to count. {NOTHING_SHOWN}"
        if best.decisive.difference > 0 and not best.control and not best.flat:
            return f"{text}, which may be chance (p {best.decisive.p:.3f}); measure more images to tell."
        return f"{text}. {NOTHING_SHOWN}"
    text = f"Read {best.title}{where}: it {best.text}, {_against(best)}."
    if equal := trust.as_good:
        cheapest = min([best, *equal], key=lambda v: v.seconds)
        text += f" {_listed([v.title for v in equal])} may be as good"
        text += f"; {cheapest.title} is faster." if _faster(cheapest, best) else "."
    return text


def _faster(one: Verdict, other: Verdict) -> bool:
    """Methods that make the same passes are equally fast, whatever one measurement of each says."""
    costs = [
        registry.METHODS[v.method].cost if v.method in registry.METHODS else v.method for v in (one, other)
    ]
    return costs[0] != costs[1] and FASTER * one.seconds < other.seconds


def _has_layer(method: str) -> bool:
    return method not in registry.METHODS or registry.METHODS[method].layered


def _against(verdict: Verdict) -> str:
    found = verdict.decisive
    return f"{found.mean:.3f} against {found.means[found.best]:.3f} of {SHORT[found.best]}"


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
