"""Figures that compute the map of an image many times, of few images: whether it changes while the network's
weights become random (`mprt`), and under noise that is too small to see (`stability`)."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from explain.methods.compute import compute_maps
from explain.methods.request import MapRequest
from explain.quality.described.mprt import efficient_mprt, smooth_mprt
from explain.quality.described.stability import max_sensitivity
from explain.quality.images import image_batches
from explain.quality.sample import targets
from explain.quality.store import DescriptionSettings, DescriptionStore
from explain.run.reader import RunData
from models.classifier import Classifier
from models.errors import UserError

CHUNK = 4  # images between two writes
Maps = Callable[[nn.Module, Tensor, Sequence[int]], Tensor]
"""(network, images (N, C, H, W), N classes) -> maps (N, h, w)."""
Columns = Mapping[str, Tensor]


@dataclass(eq=False)
class Repeated:
    """One of `REPEATED` for `methods` on `rows` of a run; what the store holds is not measured again.
    `missing`: why there is nothing, where the network cannot be copied or has no weights to draw anew."""

    classifier: Classifier
    run: RunData
    methods: Sequence[str]
    rows: Sequence[int]
    store: DescriptionStore
    missing: str = field(default="")

    def steps(self) -> Iterator[float]:
        """Do it, step by step: yields the fraction that is done. What is measured is kept after each method
        of a few images, also where it is stopped."""
        pending = self.pending
        if not pending:
            return
        images = {row: x for batch in image_batches(self.classifier, self.run, self.rows) for row, x in batch}
        if not images:
            return
        reference = torch.cat(list(images.values()))
        for done, (rows, method) in enumerate(pending, 1):
            readable = [row for row in rows if row in images]
            if readable:
                try:
                    self._measure(method, readable, torch.cat([images[r] for r in readable]), reference)
                except UserError as error:
                    self.missing = str(error)
                    return
            yield done / len(pending)

    def _measure(self, method: str, rows: Sequence[int], x: Tensor, reference: Tensor) -> None:
        settings = self.store.settings

        def maps(network: nn.Module, images: Tensor, classes: Sequence[int]) -> Tensor:
            request = MapRequest(method, settings.layer, tuple(classes))
            return compute_maps(network, images, request, precision=settings.precision).maps

        figure = REPEATED[settings.figure]
        columns = figure(maps, self.classifier.model, x, targets(self.run, rows), reference, settings)
        self.store.add(
            [
                {"id": self._name(row), "method": method, "variant": ""}
                | {name: float(values[k]) for name, values in columns.items()}
                for k, row in enumerate(rows)
            ]
        )

    @cached_property
    def pending(self) -> list[tuple[list[int], str]]:
        """Rows and methods that are measured at once, where one of them is not known."""
        table = self.store.rows()
        known = set(zip(table["id"], table["method"], strict=True))
        chunks = [list(self.rows[k : k + CHUNK]) for k in range(0, len(self.rows), CHUNK)]
        return [
            (rows, method)
            for rows in chunks
            for method in self.methods
            if any((self._name(row), method) not in known for row in rows)
        ]

    @property
    def maps(self) -> int:
        """How many maps what is pending needs."""
        return maps_of(self.store.settings) * sum(len(rows) for rows, _ in self.pending)

    def _name(self, row: int) -> str:
        return str(self.run.table.at[row, "id"])


def maps_of(settings: DescriptionSettings) -> int:
    """How many maps a method makes of one image."""
    if settings.figure == "stability":
        return 1 + settings.samples
    return 2 + (settings.steps + 1) * settings.samples


def _mprt(
    maps: Maps, model: nn.Module, x: Tensor, target: Sequence[int], reference: Tensor, s: DescriptionSettings
) -> Columns:
    def of_target(network: nn.Module, images: Tensor) -> Tensor:
        return maps(network, images, target)

    given: dict[str, Any] = {"seed": s.seed, "reference": reference}
    simpler = efficient_mprt(of_target, model, x, bins=s.bins, **given)
    alike = smooth_mprt(of_target, model, x, steps=s.steps, samples=s.samples, noise=s.noise, **given)
    columns = {"efficient": simpler}
    for k, fraction in enumerate(alike.fractions):
        columns[f"fraction.{k}"] = torch.full((len(x),), fraction, dtype=torch.float64)
        columns |= {f"signed.{k}": alike.signed[k], f"absolute.{k}": alike.absolute[k]}
        columns[f"ssim.{k}"] = alike.ssim[k]
    return columns


def _stability(
    maps: Maps, model: nn.Module, x: Tensor, target: Sequence[int], reference: Tensor, s: DescriptionSettings
) -> Columns:
    change = max_sensitivity(
        lambda images, classes: maps(model, images, classes.tolist()),
        x,
        torch.tensor(target),
        radius=s.radius,
        samples=s.samples,
        seed=s.seed,
    )
    return {"max_sensitivity": change}


REPEATED: dict[
    str,
    Callable[[Maps, nn.Module, Tensor, Sequence[int], Tensor, DescriptionSettings], Columns],
] = {"mprt": _mprt, "stability": _stability}
