"""Runs of numbers that are made up: pictures and maps of the demo, with any true and predicted numbers."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from explain.run.map_stats import attention_statistics
from explain.run.outputs.number_run import NumbersRun
from explain.run.reader import RunData, open_run
from tests.conftest import TOON_RUN


@dataclass(frozen=True, eq=False)
class MadeUp(NumbersRun):
    """Rows beyond the demo's repeat its pictures; its maps are shifted, so that they have both signs."""

    demo: RunData | None = None

    def maps_of(self, method: str, output: int, rows: Sequence[int]) -> np.ndarray:
        assert self.demo is not None
        maps = self.demo.maps(method, "pred", [r % len(self.demo.table) for r in rows])
        return np.asarray(maps - maps.mean((1, 2), keepdims=True) * (output + 1))

    def statistic(self, method: str, name: str, output: int) -> np.ndarray:
        assert self.demo is not None
        found = attention_statistics(self.maps_of(method, output, range(len(self.demo.table))))[name]
        return found[np.arange(len(self.table)) % len(found)]

    def has_map(self, output: int, row: int) -> bool:
        return True

    def thumbnails(self, rows: Sequence[int]) -> list[bytes]:
        assert self.demo is not None
        return self.demo.thumbnails([r % len(self.demo.table) for r in rows])


def made_up(n: int = 200, outputs: tuple[str, ...] = ("age", "valence"), seed: int = 0) -> MadeUp:
    """Every other output from 0 to 90, the others from -1 to 1; predictions lie between the truth and its
    mean."""
    rng, demo = np.random.default_rng(seed), open_run(TOON_RUN)
    ranges = [((0.0, 90.0), (-1.0, 1.0))[k % 2] for k in range(len(outputs))]
    truth = np.stack([rng.uniform(low, high, n) for low, high in ranges], 1)
    scale = np.array([(high - low) / 10 for low, high in ranges])
    predicted = 0.7 * truth + 0.3 * truth.mean(0) + scale * rng.normal(size=truth.shape)
    table = demo.table.loc[np.arange(n) % len(demo.table), ["id", "error"]].reset_index(drop=True)
    table["id"] = [f"{k}/{name}" for k, name in enumerate(table["id"])]
    manifest = replace(demo.manifest, request=replace(demo.manifest.request, classes=outputs))
    return MadeUp(demo.folder, manifest, table, truth=truth, predicted=predicted, demo=demo)
