"""Faithfulness over depth: the verdicts of several layers of one run, and whether another layer than the
run's own is the better one to read."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from explain.analysis.chance import FEW_IMAGES
from explain.analysis.statistics.significance import holm, signed_rank
from explain.formatting import layer_label
from explain.quality.comparison import FEWEST, LEVEL, same_way, without_rounding
from explain.quality.verdict import BELIEVED, FIGURES, Trust, Verdict

DIGITS = 3
"""Of values as they are printed: what is 0.000 there has no bar."""


@dataclass(frozen=True, eq=False)
class LayerBar:
    """The best method of one layer. `fraction`: its value, as it is printed, of the largest of all layers; 0
    where it is not positive. `own`: whether it is the layer of the run."""

    layer: str
    best: Verdict
    fraction: float
    own: bool

    @property
    def name(self) -> str:
        return f"{layer_label(self.layer)}{' (run)' * self.own}"


@dataclass(frozen=True, eq=False)
class Depth:
    """What was measured at several layers on the same images, those of which nothing was measured left out;
    `own`: the layer of the run; `at_chance`: why nothing is concluded from the run (`in_few_words`), so that
    no layer is the best."""

    layers: Sequence[Trust]
    own: str
    at_chance: str = ""

    @classmethod
    def of(cls, found: Sequence[Trust], own: str, at_chance: str = "") -> "Depth":
        some = [trust for trust in found if trust.images]
        common = set[str]().union(*(t.rows["id"] for t in some)).intersection(*(t.rows["id"] for t in some))
        shared = [Trust(t.layer, t.rows[t.rows["id"].isin(common)]) for t in some if common]
        return cls(shared, own, at_chance)

    @property
    def images(self) -> int:
        return max((trust.images for trust in self.layers), default=0)

    @property
    def figure(self) -> str:
        """The name of the figure that decides."""
        return self.layers[0].decides

    @property
    def title(self) -> str:
        """What the bars show."""
        what = "of the best method of each layer" if not self.method else f"of {self.method} at each layer"
        return f"{FIGURES[self.figure].title} {what}"

    @property
    def method(self) -> str:
        """The title of the only method that was measured; '' of several."""
        titles = {v.title for trust in self.layers for v in trust.verdicts}
        return titles.pop() if len(titles) == 1 else ""

    @property
    def bars(self) -> list[LayerBar]:
        """One for each layer."""
        best = [trust.verdicts[0] for trust in self.layers]
        values = np.nan_to_num([v.decisive.mean for v in best]).round(DIGITS).clip(min=0)
        most = max(values, default=0.0) or 1.0
        return [
            LayerBar(t.layer, v, float(value / most), t.layer == self.own)
            for t, v, value in zip(self.layers, best, values, strict=True)
        ]

    @cached_property
    def best(self) -> Trust | None:
        """The layer whose best method has the largest value among those that pass, also after p is multiplied
        by the number of layers (Bonferroni's correction: the best of many is looked for); None where none
        does, and of a network at chance."""
        if self.at_chance:
            return None
        passing = [
            t for t in self.layers if t.recommended and t.recommended.decisive.p * len(self.layers) < LEVEL
        ]
        return max(passing, key=lambda t: (t.verdicts[0].decisive.mean, t.layer == self.own), default=None)

    @cached_property
    def p_of_own(self) -> dict[str, float]:
        """For each other layer p of the paired differences between its best method and that of the run's own
        layer, over the images that both have (F. Wilcoxon, 1945), adjusted over the layers (S. Holm, 1979);
        empty where the own layer was not measured."""
        found = self._differences
        adjusted = holm(np.array([signed_rank(d) if len(d) >= FEWEST else np.nan for d in found.values()]))
        return {layer: float(p) for layer, p in zip(found, adjusted, strict=True)}

    @cached_property
    def _differences(self) -> dict[str, np.ndarray]:
        """Of the best methods of each other layer and of the run's own, on the images of both."""
        own = next((t for t in self.layers if t.layer == self.own), None)
        others = [t for t in self.layers if t.layer != self.own and own is not None]
        return {t.layer: _paired(own, t, self.figure) for t in others if own is not None}

    def contrary(self, layer: str) -> bool:
        """Whether most images say the contrary of the means of this layer and the run's own."""
        return not same_way(self._differences[layer])

    @property
    def advised(self) -> Trust | None:
        """The layer to use instead of the run's own: the best one, where the own has no method that passes or
        is significantly worse; None where the own is as good, or no layer passes."""
        own = next((t for t in self.layers if t.layer == self.own), None)
        if self.best is None or self.best.layer == self.own:
            return None
        if own is None or own.recommended is None:
            return self.best
        layer = self.best.layer
        return self.best if self.p_of_own[layer] < LEVEL and not self.contrary(layer) else None


def _paired(own: Trust, other: Trust, figure: str) -> np.ndarray:
    """Differences of the best methods, other minus own, on the images of both."""
    mine, theirs = (t.values(figure)[t.verdicts[0].method, ""] for t in (own, other))
    most = float(np.nanmax([mine.abs().max(), theirs.abs().max(), 0.0]))
    return without_rounding(np.asarray((theirs - mine).dropna()), most)


def not_recommended(what: str, reason: str) -> str:
    """That no method, or no layer, is recommended from a run of which nothing is concluded."""
    said = f"No {what} is recommended: {reason}"
    return f"{said}." if reason == FEW_IMAGES else f"{said}, and its maps have nothing to explain."


def advice(depth: Depth) -> str:
    """Which layer to use for the next run, and why, in one or two sentences."""
    if not depth.layers:
        return "Nothing was measured."
    if depth.at_chance:
        return not_recommended("layer", depth.at_chance)
    if depth.figure != BELIEVED:
        measured, deciding = FIGURES[depth.figure].title, FIGURES[BELIEVED].title
        return f"No layer is recommended: {deciding}, which decides, was not measured, but {measured} alone."
    if depth.advised is None:
        if depth.best is None and any(trust.recommended for trust in depth.layers):
            return (
                f"Of the best of {len(depth.layers)} layers, p must be below {LEVEL} / {len(depth.layers)}: "
                "no layer is told apart from its controls yet. Measure more images."
            )
        if depth.best is None:
            return "No method beats its controls at any of these layers."
        if depth.best.layer == depth.own:
            return f"No layer is better than the run's own, {layer_label(depth.own)}."
        return (
            f"The run's own layer, {layer_label(depth.own)}, may be as good as "
            f"{layer_label(depth.best.layer)} ({_difference(depth, depth.best, own_first=True)})."
        )
    best = depth.advised.verdicts[0]
    text = f"Use --layer {depth.advised.layer} for the next run: {best.title} there {best.text}"
    own = next((t for t in depth.layers if t.layer == depth.own), None)
    if own is None:
        return f"{text}."
    its = own.verdicts[0]
    said = "" if own.recommended else f"; at {layer_label(depth.own)}, {its.title}: {its.text}"
    return f"{text}{said} ({_difference(depth, depth.advised)})."


def _difference(depth: Depth, layer: Trust, own_first: bool = False) -> str:
    """The figures of a layer and of the run's own."""
    own = next(t for t in depth.layers if t.layer == depth.own)
    means = [t.verdicts[0].decisive.mean for t in ((own, layer) if own_first else (layer, own))]
    p = depth.p_of_own[layer.layer]
    told = "too few images" if np.isnan(p) else f"p {'< 0.001' if p < 0.001 else f'= {p:.3f}'}"
    told += ", most images the other way" if p < LEVEL and depth.contrary(layer.layer) else ""
    return f"{FIGURES[depth.figure].title} {means[0]:.3f} against {means[1]:.3f}, {told}"
