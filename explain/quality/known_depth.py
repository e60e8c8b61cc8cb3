"""What is known of the maps of a run over depth: the layers that its folder holds figures of. They are read
once, and again when the folder changes. No torch."""

import logging
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from cachetools import LRUCache

from explain.analysis.chance import inconclusive
from explain.methods.registry import METHODS
from explain.quality.comparison import FEWEST
from explain.quality.depth import Depth
from explain.quality.known import KEPT, Stamp, stamp_of
from explain.quality.layer_order import in_order
from explain.quality.sample import target_name
from explain.quality.store import TrustSettings, TrustStore, stores
from explain.quality.verdict import Trust
from explain.run.reader import RunData

_kept: LRUCache[tuple[Path, str, str], tuple[Stamp, Depth | None]] = LRUCache(KEPT)


def known_depth(run: RunData) -> Depth | None:
    """Of the layers that were measured with equal settings, the methods that were measured at all of them,
    from the input to the output; of several settings those with the most layers, then the newest. Layers of
    fewer than `FEWEST` images are left out. None where that leaves fewer than two."""
    stamp = stamp_of(run)
    if not stamp:
        return None
    key = run.folder, run.manifest.request.layer, target_name(run)
    before = _kept.get(key)
    if before is None or before[0] != stamp:
        before = _kept[key] = stamp, _read(run)
    return before[1]


def _read(run: RunData) -> Depth | None:
    groups, target = defaultdict[TrustSettings, list[TrustStore]](list), target_name(run)
    for store in stores(run.folder):
        if store.settings.layer and store.settings.target == target:
            groups[replace(store.settings, layer="")].append(store)
    for group in sorted(groups.values(), key=len, reverse=True):  # stable: of equals the newest first
        try:
            found = _of(run, group)
        except Exception as error:  # files of other versions, and damaged ones
            name = type(error).__name__
            logging.getLogger("vitrine").warning("the layers of %s are left out (%s)", run.folder, name)
            continue
        if found is not None:
            return found
    return None


def _of(run: RunData, group: Sequence[TrustStore]) -> Depth | None:
    by_layer = {store.settings.layer: store for store in group}
    methods = {layer: _methods(store) for layer, store in by_layer.items()}
    enough = [layer for layer, counts in methods.items() if max(counts.values(), default=0) >= FEWEST]
    shared = [m for m in methods[enough[0]] if all(m in methods[layer] for layer in enough)] if enough else []
    if len(enough) < 2 or not shared:
        return None
    found = [Trust.of(by_layer[layer], shared) for layer in in_order(run.folder, enough)]
    some = [trust for trust in found if trust.verdicts]
    depth = Depth.of(some, run.manifest.request.layer, bool(inconclusive(run)))
    return depth if len(depth.layers) > 1 else None


def _methods(store: TrustStore) -> dict[str, int]:
    """Methods that have a layer -> images that were measured with each."""
    rows = store.rows()
    counts = rows.loc[rows["variant"] == "", "method"].value_counts()
    return {
        str(method): int(count)
        for method, count in counts.items()
        if method not in METHODS or METHODS[str(method)].layered
    }
