"""How far the maps of a run can be trusted, from Python, with a display for notebooks."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

import pandas as pd
from tqdm.auto import tqdm

from explain.export.trust import description_table, localization_table, trust_table
from explain.quality.curves import CurveSettings
from explain.quality.described.description import Description
from explain.quality.described.repeated import Repeated
from explain.quality.measure import Measurement
from explain.quality.over_depth.depth import Depth, advice
from explain.quality.over_depth.known_depth import depth_of_command
from explain.quality.plan import measurements, repeated
from explain.quality.remarks import (
    caution,
    concluded,
    described_by,
    explained,
    missing,
    tables_of_work,
    unread,
)
from explain.quality.verdict import Trust, Verdict, by_rank
from explain.run.model import as_in_run, network_of, require_same_reading
from explain.run.reader import RunData
from models.classifier import Classifier
from models.data.tables.boxes import read_boxes
from models.errors import UserError

SHOWN = ("method", "figure", "layer", "images", "mean", "best_control", "difference", "p", "wins", "verdict")
LOCALIZED = ("method", "region", *SHOWN[1:])
DESCRIBED = ("method", "figure", "fraction", "layer", "images", "mean")


@dataclass(frozen=True, eq=False)
class Trusted:
    """What was measured of a run's maps. `layers`: the verdicts at each layer, as the page has them: with the
    methods of the run that were measured before, and in several tables where methods were measured on other
    images; `notes`: what to know beside them, such as a network at chance, images that cannot be read, or a
    control that is missing; `descriptions`: of the maps of each of `layers`; `depth`: of several layers."""

    run: RunData
    layers: tuple[Trust, ...]
    notes: tuple[str, ...]
    descriptions: tuple[Description, ...] = ()
    depth: Depth | None = None

    @property
    def verdicts(self) -> list[Verdict]:
        """Of each method at the run's own layer, or at the first that was asked for; the best one first."""
        own = self.run.manifest.request.layer
        layer = own if any(t.layer == own for t in self.layers) else self.layers[0].layer
        return sorted((v for t in self.layers if t.layer == layer for v in t.verdicts), key=by_rank)

    @property
    def table(self) -> pd.DataFrame:
        """One row for each layer, method and figure: its mean, those of its controls (`control.NAME`), its
        difference to the best one with a 95 % interval (`low`, `high`), `p`, and `wins`, the fraction of the
        images in which the method is better."""
        return pd.concat([trust_table(trust) for trust in self.layers], ignore_index=True)

    @property
    def localization(self) -> pd.DataFrame:
        """Of where maps lie: one row for each layer, region, method and figure (pointing_game, energy,
        energy_per_area), as `table`, with the mean `area` of the region. Empty where no region is known."""
        return _joined([localization_table(d, t.layer) for d, t in self._described])

    @property
    def description(self) -> pd.DataFrame:
        """What describes maps and says nothing of their quality: one row for each layer, method and figure
        (entropy, gini; where measured efficient_mprt, smooth_mprt at each `fraction` of random layers,
        max_sensitivity), with its `mean` over `images`."""
        return _joined([description_table(d, t.layer) for d, t in self._described])

    @property
    def _described(self) -> list[tuple[Description, Trust]]:
        return list(zip(self.descriptions, self.layers, strict=False))

    @property
    def recommendation(self) -> str:
        """Which method to read, or that none beats its controls; of several layers, which one to use."""
        if self.depth is not None:
            return advice(self.depth)
        return " ".join(dict.fromkeys(concluded(self.run, trust) for trust in self.layers))

    def __repr__(self) -> str:
        return self.recommendation

    def _repr_html_(self) -> str:
        notes = "".join(f"<p>{escape(note)}</p>" for note in self.notes)
        shown = self.table[list(SHOWN)].to_html(index=False, float_format="%.3f", border=0)
        return (
            f"<div><p><b>{escape(self.recommendation)}</b></p>{notes}{shown}"
            f"<p>{escape(explained(self.run))}</p>{self._more_html()}</div>"
        )

    def _more_html(self) -> str:
        """The tables of where maps lie, and of what describes them."""
        found = {
            "Where the maps lie; this does not decide": (self.localization, LOCALIZED),
            "Description, which says nothing of quality": (self.description, DESCRIBED),
        }
        return "".join(
            f"<p>{title}</p>{table[list(shown)].to_html(index=False, float_format='%.3f', border=0)}"
            for title, (table, shown) in found.items()
            if len(table)
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
    boxes: str | Path | None = None,
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
        boxes=None if boxes is None else read_boxes(Path(boxes), [str(name) for name in run.table["id"]]),
    )
    again = repeated(works, _names(figures))
    shown = "{desc} {percentage:3.0f} %|{bar}| {remaining} left"
    jobs: list[Measurement | Repeated] = [*works, *again]
    with tqdm(total=100, desc="trust", bar_format=shown) as bar:
        for k, work in enumerate(jobs):
            for fraction in work.steps():
                bar.update(100 * (k + fraction) / len(jobs) - bar.n)
        bar.update(100 - bar.n)
    found = [(work, trust) for work in works for trust in tables_of_work(work)]
    lacking = [*unread(works), *missing(found[0][1], works[0], again)]
    described = tuple(described_by(work, again, trust) for work, trust in found)
    notes = tuple(filter(None, [caution(run), *lacking]))
    several = [work.store for work in works] if len(works) > 1 else []
    depth = depth_of_command(run, several, works[0].methods) if several else None
    return Trusted(run, tuple(trust for _, trust in found), notes, described, depth)


def _joined(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    some = [table for table in tables if len(table)]
    return pd.concat(some, ignore_index=True) if some else pd.DataFrame()


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
