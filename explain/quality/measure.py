"""One pass over a sample of a run: the figures of each method's maps, and of their controls."""

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from explain.methods.compute import compute_maps
from explain.methods.inputs import Passes
from explain.methods.registered import NotFinite
from explain.methods.registry import get
from explain.methods.request import MapRequest
from explain.network.fused import fused_copy
from explain.network.hooks import layers_in, logits
from explain.quality.cells import grid_of, on_cells
from explain.quality.controls import IMAGE_CONTROLS, OTHER_IMAGE, RANDOM_NETWORK, image_controls, partners
from explain.quality.curves import Scorer, curve_steps
from explain.quality.described.agreement import agreement
from explain.quality.described.map_figures import CellMaps, MapFigures, spread_of
from explain.quality.described.randomized import randomized
from explain.quality.images import AT_ONCE, image_batches, same_picture
from explain.quality.sample import targets
from explain.quality.stepwise import Steps, at
from explain.quality.store import RowStore, TrustStore
from explain.run.answer import noise
from explain.run.images import how_to_read
from explain.run.reader import RunData
from models.classifier import Classifier
from models.errors import UserError
from models.layers.access import reaches
from models.outputs.one_by_one import takes_one_image

ROWS = 16  # images between two writes
Rows = list[dict[str, Any]]


@dataclass(eq=False)
class Measurement:
    """Measures `methods` on `rows` of a run; what the store holds is not measured again. `seconds` that a map
    of each method takes by itself, in the first batch; `images` that are mapped; `unread`: those of `rows`
    that cannot be read; `no_random`: why there is no network with random weights, if there is none. `beside`:
    figures of the same maps that need no further passes."""

    classifier: Classifier
    run: RunData
    methods: Sequence[str]
    rows: Sequence[int]
    store: TrustStore
    seconds: dict[str, float] = field(default_factory=dict)
    images: int = 0
    unread: int = 0
    no_random: str = ""
    beside: MapFigures | None = None

    def steps(self) -> Iterator[float]:
        """Do it, step by step: yields the fraction that is done, after each batch of passes and after the
        maps that a method makes of a batch of images. What is measured is kept after every few images, also
        where it is stopped. Raises UserError where no image can be read, and at once where the folder cannot
        be written."""
        pending = self.pending
        if not pending:
            return
        self.store.begin()
        model = self._fused()
        yield 0.0
        random = self._random()
        yield 0.0
        maps = dict[int, CellMaps]()
        wanted = list(dict.fromkeys(row for one in pending for row in (one, self._neighbors[one])))
        for batch in self._batches(wanted):
            fraction = 0.1 * min(1.0, self.images / len(wanted))
            maps |= yield from at(fraction, self._maps(model, random, batch))
        self.unread = sum(row not in maps for row in pending)
        if not maps and not self.store.parts:
            raise UserError(
                f"None of the {len(self.rows):,} images can be read where the run found them, in "
                f"'{self.run.manifest.data_root}': {how_to_read(self.run)}"
            )
        readable = [row for row in pending if row in maps]
        yield from self._measured(Scorer(model, self.store.settings.precision, self._at_once), readable, maps)

    def _measured(self, scorer: Scorer, rows: Sequence[int], maps: dict[int, CellMaps]) -> Iterator[float]:
        done, found, beside = 0, Rows(), Rows()
        try:
            for batch in self._batches(rows):
                for row, x in batch:
                    near = self._near(row, maps)
                    if row in self._without_curves:
                        work = self._figures(scorer, row, x, maps[row], near)
                        found += yield from at(0.1 + 0.9 * done / len(rows), work)
                    beside += self._beside(row, x, maps[row], near)
                    done += 1
                    if done % ROWS == 0:
                        self._keep(found, beside)
                    yield 0.1 + 0.9 * done / len(rows)
        finally:
            self._keep(found, beside)

    def _keep(self, found: Rows, beside: Rows) -> None:
        """Write what is measured, and forget it."""
        if found:
            self.store.add(found)
        if beside and self.beside is not None:
            self.beside.store.add(beside)
        found.clear()
        beside.clear()

    def _near(self, row: int, maps: dict[int, CellMaps]) -> CellMaps | None:
        """The maps of another image; where that cannot be read, or has the same picture, of the next one.
        None where no other image of the class can be, and of a sample of one image."""
        seen, other = {row}, self._neighbors[row]
        while other not in seen and (other not in maps or same_picture(self.run, row, other)):
            seen.add(other)
            other = self._neighbors[other]
        return None if other in seen else maps[other]

    @property
    def targets(self) -> list[int]:
        return targets(self.run, self.rows)

    @cached_property
    def _neighbors(self) -> dict[int, int]:
        """The row whose map is the control of a row."""
        return dict(zip(self.rows, (self.rows[k] for k in partners(self.targets)), strict=True))

    @cached_property
    def pending(self) -> list[int]:
        """The rows of which a method has not been measured."""
        lacking = self._without_curves | ({*self._lacking(self.beside.store)} if self.beside else set())
        return [row for row in self.rows if row in lacking]

    @cached_property
    def _without_curves(self) -> set[int]:
        return {*self._lacking(self.store)}

    def _lacking(self, store: RowStore) -> list[int]:
        """The rows of which the store lacks a method."""
        rows = store.rows()
        own = rows[rows["variant"] == ""]
        known = Counter(own.loc[own["method"].isin(self.methods), "id"])
        return [row for row in self.rows if known[self._name(row)] < len(self.methods)]

    def _name(self, row: int) -> str:
        return str(self.run.table.at[row, "id"])

    @property
    def passes(self) -> int:
        """Forward passes of one image through the network that the curves of what is pending need, at most;
        those that make the maps come on top."""
        settings = self.store.settings
        variants = 3 if reaches(self.classifier.access, "modules") else 2
        maps = variants * len(self.methods) + len(IMAGE_CONTROLS)
        return len(self._without_curves) * (maps * settings.curves.passes(settings.kinds) + 2)

    @property
    def _at_once(self) -> int:
        return 1 if takes_one_image(self.classifier.model) else 32

    def _fused(self) -> nn.Module:
        """The network with its layers fused; as it is for a method from outside, which may look for them."""
        settings, model = self.store.settings, self.classifier.model
        if any(get(method).from_outside for method in self.methods):
            return model
        return fused_copy(model, noise(self.classifier), layers_in(settings.layer), settings.precision)

    def _random(self) -> nn.Module | None:
        """The network with random weights, with the statistics of the first images; None where there can be
        none, which is then a control less and is told in `no_random`."""
        if not reaches(self.classifier.access, "modules"):
            self.no_random = "the weights in its file cannot be drawn anew"
            return None
        first = [image for batch in self._batches(self.rows[:AT_ONCE]) for _, image in batch]
        if not first:
            return None
        try:
            return randomized(self.classifier.model, x=torch.cat(first))
        except UserError as error:
            self.no_random = str(error)
            return None

    def why_no_random(self) -> str:
        """Why there is no network with random weights, also where nothing was left to measure; '' where there
        is one."""
        self._random()
        return self.no_random

    def _batches(self, rows: Sequence[int]) -> Iterator[list[tuple[int, Tensor]]]:
        return image_batches(self.classifier, self.run, rows)

    def _maps(
        self, model: nn.Module, random: nn.Module | None, batch: Sequence[tuple[int, Tensor]]
    ) -> Steps[dict[int, CellMaps]]:
        x = torch.cat([image for _, image in batch])
        target = tuple(targets(self.run, [row for row, _ in batch]))
        own, spread = yield from self._on_cells(model, x, target, timed=not self.seconds)
        other = None
        if random is not None:
            other, _ = yield from self._on_cells(random, x, target)
        self.images += len(batch)
        return {
            row: CellMaps(own[:, k], None if other is None else other[:, k], target[k], spread[:, k])
            for k, (row, _) in enumerate(batch)
        }

    def _on_cells(
        self, model: nn.Module, x: Tensor, target: tuple[int, ...], timed: bool = False
    ) -> Steps[tuple[Tensor, Tensor]]:
        """(M, N, g, h), and `spread_of` them (M, N, 3), method by method. `timed`: methods share no pass, so
        that each takes the time that it takes alone."""
        settings, found, spread = self.store.settings, [], []
        passes = Passes(model, x, settings.precision)
        if timed:
            logits(model, x, settings.precision)  # the first pass is slow
            yield
        for method in self.methods:
            began = time.perf_counter()
            own = Passes(model, x, settings.precision) if timed else passes
            made = self._made(own, MapRequest(method, settings.layer, target))
            found.append(on_cells(made, grid_of(x, settings.curves.cells)))
            spread.append(spread_of(made))
            if timed:
                self.seconds[method] = (time.perf_counter() - began) / len(x)
            yield
        return torch.stack(found), torch.stack(spread)

    def _made(self, passes: Passes, request: MapRequest) -> Tensor:
        """Maps (N, h, w). Those of a method from outside that are not finite have no figures."""
        try:
            return compute_maps(passes.model, passes.x, request, passes=passes).maps
        except NotFinite as error:
            return error.maps

    def _beside(self, row: int, x: Tensor, maps: CellMaps, neighbor: CellMaps | None) -> Rows:
        """The rows of one image that need no passes."""
        if self.beside is None:
            return []
        name, grid = self._name(row), grid_of(x, self.store.settings.curves.cells)
        return self.beside.rows(row, name, self.methods, maps, neighbor, image_controls(x[0], name, grid))

    def _figures(
        self, scorer: Scorer, row: int, x: Tensor, maps: CellMaps, neighbor: CellMaps | None
    ) -> Steps[Rows]:
        """The rows of one image, batch by batch."""
        settings, name = self.store.settings, self._name(row)
        variants = {
            "": maps.own,
            OTHER_IMAGE: neighbor.own if neighbor else None,
            RANDOM_NETWORK: maps.random,
        }
        labels = [(m, v) for v, made in variants.items() if made is not None for m in self.methods]
        labels += [("", control) for control in IMAGE_CONTROLS]
        controls = image_controls(x[0], name, grid_of(x, settings.curves.cells))
        every = torch.cat([made for made in (*variants.values(), controls) if made is not None])
        found = yield from curve_steps(scorer, x, maps.target, every, settings.kinds, settings.curves)
        columns = {kind: curve.figure(curve.probabilities) for kind, curve in found.items()}
        columns |= {f"{kind}.logit": curve.figure(curve.logits) for kind, curve in found.items()}
        rows = [
            {"id": name, "method": m, "variant": v} | {c: float(values[k]) for c, values in columns.items()}
            for k, (m, v) in enumerate(labels)
        ]
        alike = agreement(list(every[:, None]))[0]
        return [one | self._of_own(labels, alike, k) for k, one in enumerate(rows)]

    def _of_own(self, labels: list[tuple[str, str]], alike: Tensor, k: int) -> dict[str, float]:
        """Of a method's own map: rank correlations with each control, their mean with the other methods, and
        the seconds that it took."""
        method, variant = labels[k]
        if variant:
            return {}
        controls = {v: j for j, (m, v) in enumerate(labels) if v and m in ("", method)}
        others = [j for j, (m, v) in enumerate(labels) if not v and m != method]
        mean = float(alike[k, others].mean()) if others else float("nan")
        of_controls = {f"like.{v}": float(alike[k, j]) for v, j in controls.items()}
        return of_controls | {"agreement": mean, "seconds": self.seconds[method]}
