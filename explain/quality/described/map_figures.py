"""Figures of maps that need no pass of the network: how concentrated a map is, and where regions are known,
whether it lies there, beside the controls."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from explain.quality.controls import IMAGE_CONTROLS, OTHER_IMAGE, RANDOM_NETWORK
from explain.quality.described.complexity import entropy, gini
from explain.quality.described.localization import energy, pointing_game
from explain.quality.described.places import Regions
from explain.quality.store import DescriptionStore

ROUNDING = 1e-6
"""Values so close to the largest, relative to it, are as large: they differ by rounding."""


@dataclass(frozen=True, eq=False)
class CellMaps:
    """Of one image: maps of the methods (M, g, h) on the grid, and those of the network with random weights;
    `target`: the output that they explain; `spread` (M, 3): entropy, Gini index and number of positions of
    the maps at their own resolution."""

    own: Tensor
    random: Tensor | None
    target: int
    spread: Tensor = field(default_factory=lambda: torch.zeros(0, 3))


def spread_of(maps: Tensor) -> Tensor:
    """Entropy, Gini index and number of positions of raw maps (N, h, w): (N, 3) float64."""
    positions = torch.full((len(maps),), maps[0].numel() if len(maps) else 0, dtype=torch.float64)
    return torch.stack([entropy(maps).cpu(), gini(maps).cpu(), positions], 1)


def in_its_order(control: Tensor, like: Tensor) -> Tensor:
    """The values of `like` in the order of `control`, both (g, h): where the control is largest, the largest
    value. Equal values of the control get the mean of theirs. The energy of a map depends on its values, too;
    so both differ only in where the values lie. NaN for a control that is not finite."""
    if not bool(control.isfinite().all()):
        return torch.full_like(like, torch.nan)
    _, group = control.flatten().unique(return_inverse=True)
    order = group.argsort(stable=True)
    values = torch.empty(like.numel(), dtype=torch.float64)
    values[order] = like.double().flatten().sort().values
    sums = torch.zeros(int(group.max()) + 1, dtype=torch.float64).index_add_(0, group, values)
    return (sums / group.bincount())[group].view_as(like)


@dataclass(frozen=True, eq=False)
class MapFigures:
    """The figures of one image's maps, and the `store` that keeps them."""

    store: DescriptionStore
    regions: Regions

    def rows(
        self,
        row: int,
        name: str,
        methods: Sequence[str],
        maps: CellMaps,
        neighbor: CellMaps | None,
        controls: Tensor,
    ) -> list[dict[str, Any]]:
        """One a method and variant of the image of `row`, whose id is `name`; `controls`: its maps of
        `IMAGE_CONTROLS`; `neighbor`: of the other image."""
        grid = maps.own.shape[-2], maps.own.shape[-1]
        regions = self.regions.of(row, maps.target, grid)
        found = []
        for k, method in enumerate(methods):
            others = {
                OTHER_IMAGE: neighbor.own[k] if neighbor else None,
                RANDOM_NETWORK: None if maps.random is None else maps.random[k],
            }
            variants = {"": maps.own[k], **dict(zip(IMAGE_CONTROLS, controls.cpu(), strict=True))}
            variants |= {v: made for v, made in others.items() if made is not None}
            spread = dict(zip(("entropy", "gini", "positions"), maps.spread[k].tolist(), strict=True))
            columns = _lying(variants, regions)
            for j, variant in enumerate(variants):
                values = {c: float(v[j]) for c, v in columns.items()}
                nothing = dict.fromkeys(spread, float("nan"))
                own = nothing if variant else spread
                found.append({"id": name, "method": method, "variant": variant} | own | values)
        return found


def _lying(variants: Mapping[str, Tensor], regions: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """For each region the columns (V,) of pointing game, energy and area; the map of variant '' gives the
    others its values."""
    own = variants[""]
    maps = torch.stack([made.double() for made in variants.values()])
    valued = torch.stack([in_its_order(m, own) if v else own.double() for v, m in variants.items()])
    top = maps.amax((1, 2), keepdim=True)
    largest = torch.where(top - maps <= ROUNDING * top.abs(), top, maps)
    columns = dict[str, Tensor]()
    for name, region in regions.items():
        where = region.expand(len(maps), -1, -1)
        inside, area = energy(valued, where)
        columns |= {f"pointing:{name}": pointing_game(largest, where), f"energy:{name}": inside}
        columns[f"area:{name}"] = area
    return columns
