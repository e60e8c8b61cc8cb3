"""How far the maps of a run can be trusted, from Python, with a display for notebooks."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import pandas as pd
from tqdm.auto import tqdm

from explain.export.trust import trust_table
from explain.quality.curves import CurveSettings
from explain.quality.depth import Depth, advice
from explain.quality.plan import measurements
from explain.quality.remarks import caution, explained, missing_control, unread
from explain.quality.verdict import Trust, Verdict, recommendation
from explain.run.model import as_in_run, network_of, require_same_reading
from explain.run.reader import RunData
from models.classifier import Classifier
from models.errors import UserError

SHOWN = ("method", "figure", "layer", "images", "mean", "best_control", "difference", "p", "wins", "verdict")


@dataclass(frozen=True, eq=False)
class Trusted:
    """What was measured of a run's maps. `layers`: the verdicts at each layer; `notes`: what to know beside
    them, such as a network at chance, images that cannot be read, or a control that is missing."""

    run: RunData
    layers: tuple[Trust, ...]
    notes: tuple[str, ...]

    @property
    def verdicts(self) -> list[Verdict]:
        """Of each method at the run's own layer, or at the first that was asked for; the best one first."""
        own = self.run.manifest.request.layer
        return next((t for t in self.layers if t.layer == own), self.layers[0]).verdicts

    @property
    def table(self) -> pd.DataFrame:
        """One row for each layer, method and figure: its mean, those of its controls (`control.NAME`), its
        difference to the best one with a 95 % interval (`low`, `high`), `p`, and `wins`, the fraction of the
        images in which the method is better."""
        return pd.concat([trust_table(trust) for trust in self.layers], ignore_index=True)

    @property
    def recommendation(self) -> str:
        """Which method to read, or that none beats its controls; of several layers, which one to use."""
        if len(self.layers) == 1:
            return recommendation(self.layers[0])
        return advice(Depth.of(self.layers, self.run.manifest.request.layer))

    def __repr__(self) -> str:
        return self.recommendation

    def _repr_html_(self) -> str:
        notes = "".join(f"<p>{escape(note)}</p>" for note in self.notes)
        shown = self.table[list(SHOWN)].to_html(index=False, float_format="%.3f", border=0)
        return (
            f"<div><p><b>{escape(self.recommendation)}</b></p>{notes}{shown}"
            f"<p>{escape(explained(self.run))}</p></div>"
        )


def trusted(
    run: RunData,
    net: Classifier | None,
    methods: str | Sequence[str],
    images: int,
    layers: str | Sequence[str],
    figures: str | Sequence[str],
    curves: CurveSettings,
    device: str,
) -> Trusted:
    """See `vitrine.trust`."""
    if images < 1:
        raise UserError(f"images is {images}: at least 1, and 10 for a verdict.")
    works = measurements(
        _network(run, net, device),
        run,
        methods=_names(methods),
        layers=_names(layers),
        images=images,
        figures=_names(figures),
        curves=curves,
    )
    shown = "{desc} {percentage:3.0f} %|{bar}| {remaining} left"
    with tqdm(total=100, desc="trust", bar_format=shown) as bar:
        for k, work in enumerate(works):
            for fraction in work.steps():
                bar.update(100 * (k + fraction) / len(works) - bar.n)
        bar.update(100 - bar.n)
    found = [Trust.of(work.store, work.methods) for work in works]
    missing = [*unread(works), *missing_control(found[0], works[0])]
    return Trusted(run, tuple(found), tuple(filter(None, [caution(run), *missing])))


def _network(run: RunData, net: Classifier | None, device: str) -> Classifier:
    """The network of the run. Raises UserError where another one is given, or none that can be loaded."""
    if net is None:
        return network_of(run.manifest, None, device)
    if net.weights_hash != run.manifest.request.weights_hash:
        raise UserError("This network has other weights than the run was made with: pass the run's own.")
    require_same_reading(net, run.manifest)
    return as_in_run(net, run.manifest)


def _names(given: str | Sequence[str]) -> list[str]:
    names = given.split(",") if isinstance(given, str) else given
    return [name.strip() for name in names if name.strip()]
