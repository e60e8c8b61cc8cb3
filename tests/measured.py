"""Runs whose maps were measured, with figures that are made up: what is said of them is known."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from explain.quality.sample import target_name
from explain.quality.settings import OF_IMAGE, OTHER_IMAGE, RANDOM_NETWORK, CurveSettings
from explain.quality.store import TrustSettings, TrustStore
from explain.run.reader import RunData, open_run

BETTER, SAME, CENTER = "better", "same", "center"
"""Better than the center in every image; now better and now worse; and the center itself."""
OF_CENTER = 0.4  # insertion − deletion of the center: the best control


def above_chance(run: RunData, wrong: int = 6) -> RunData:
    """The run with other answers, in its folder: right ones but for every `wrong`-th image."""
    classes = len(run.classes)
    for part in run.parts:
        table = pq.read_table(part)
        label = table["label"].to_numpy().astype(int)
        pred = np.where(np.arange(len(label)) % wrong == wrong - 1, (label + 1) % classes, label)
        prob = np.where(np.eye(classes, dtype=bool)[pred], 0.8, 0.2 / (classes - 1)).astype(np.float32)
        made = {"pred": pred, "prob": prob.tolist(), "loss": -np.log(prob[np.arange(len(label)), label])}
        for name, values in made.items():
            field = table.schema.field(name)
            at = table.schema.get_field_index(name)
            table = table.set_column(at, field, pa.array(values, field.type))
        pq.write_table(table, part)
    return open_run(run.folder)


def keep(
    run: RunData, methods: Mapping[str, str], images: int = 12, layer: str | None = None, **settings: Any
) -> TrustStore:
    """Rows of the first `images` of a run, as if `methods` (name -> one of the kinds) had been measured, in
    two parts; `settings`: of `CurveSettings`."""
    layer = run.manifest.request.layer if layer is None else layer
    target = target_name(run)
    kept = TrustSettings(layer, CurveSettings(**settings), ("insertion", "deletion"), target=target)
    store = TrustStore.of(run.folder, kept)
    rows = list[dict[str, Any]]()
    for i, name in enumerate(run.table["id"].astype(str)[:images]):
        for method, kind in methods.items():
            value = {BETTER: 0.6 + 0.001 * i, SAME: 0.4 + 0.05 * (-1) ** i, CENTER: 0.4}[kind]
            alike = {f"like.{c}": 0.99 if (kind, c) == (CENTER, "center") else 0.1 for c in OF_IMAGE}
            own: dict[str, Any] = _row(name, method, "", value) | alike | {"agreement": 0.5, "seconds": 0.01}
            rows += [own, *(_row(name, method, v, 0.2) for v in (OTHER_IMAGE, RANDOM_NETWORK))]
        rows += [_row(name, "", c, OF_CENTER if c == "center" else 0.1 + 0.001 * i) for c in OF_IMAGE]
    half = len(rows) // images * (images // 2)
    store.add(rows[:half])
    store.add(rows[half:])
    return store


def _row(name: str, method: str, variant: str, value: float) -> dict[str, Any]:
    return {"id": name, "method": method, "variant": variant, "insertion": value, "deletion": 0.0}
