"""What is known of the maps of a run over depth: the layers that its folder holds figures of. They are read
once, and again when the folder changes. No torch."""

import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from cachetools import LRUCache

from explain.analysis.chance import in_few_words
from explain.methods.registry import METHODS
from explain.quality.comparison import FEWEST
from explain.quality.known import KEPT, Stamp, known_of_own, stamp_of
from explain.quality.over_depth.depth import Depth
from explain.quality.over_depth.layer_order import in_order
from explain.quality.sample import target_name
from explain.quality.store import TrustSettings, TrustStore, stores
from explain.quality.tables import Images, images_of
from explain.quality.verdict import BELIEVED, Trust
from explain.run.reader import RunData

_kept: LRUCache[tuple[Path, str, str], tuple[Stamp, Depth | None]] = LRUCache(KEPT)


def known_depth(run: RunData) -> Depth | None:
    """Of the layers that were measured with equal settings, from the input to the output; of several settings
    those of the figure that decides, then those of the verdicts on the run's maps (`known`), then those with
    the run's own layer, then with the most layers, then the newest. None where that leaves fewer than two
    layers."""
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
    shown = known_of_own(run)
    found = list[tuple[tuple[bool, bool, bool, int], Depth]]()
    for settings, group in groups.items():
        try:
            depth = depth_among(run, group)
        except Exception as error:  # files of other versions, and damaged ones
            name = type(error).__name__
            logging.getLogger("vitrine").warning("the layers of %s are left out (%s)", run.folder, name)
            continue
        if depth is not None:
            other = shown is None or replace(shown.settings, layer="") != settings
            found.append((_weakness(depth, other), depth))
    return min(found, key=lambda pair: pair[0])[1] if found else None  # stable: of equals the newest


def _weakness(depth: Depth, other: bool) -> tuple[bool, bool, bool, int]:
    """Why it is not the one to show, the worst reason first."""
    without_own = all(trust.layer != depth.own for trust in depth.layers)
    return depth.figure != BELIEVED, other, without_own, -len(depth.layers)


def depth_of_command(run: RunData, measured: Sequence[TrustStore], methods: Sequence[str]) -> Depth:
    """Of `methods` at the layers that a command measured with equal settings, and at the run's own layer, if
    that was measured before."""
    group, own = {store.settings.layer: store for store in measured}, run.manifest.request.layer
    if own and own not in group:
        group[own] = TrustStore.of(run.folder, replace(measured[0].settings, layer=own))
    found = depth_among(run, list(group.values()), methods, fewest=1)
    return found or Depth([], own, in_few_words(run))


def depth_among(
    run: RunData, group: Sequence[TrustStore], methods: Sequence[str] = (), fewest: int = FEWEST
) -> Depth | None:
    """Of stores of equal settings, one a layer; `methods`: those that count, all of them by default. Methods,
    layers and images are chosen so that all are compared on the same: of the methods that a layer has, those
    that most layers have, and of these the layers with the most images together, the run's own among them. A
    layer that was measured on few images, or with another method, takes nothing from the others. None where
    fewer than two layers have `fewest` images."""
    own, rows = run.manifest.request.layer, {store.settings.layer: store.rows() for store in group}
    images = {layer: _layered(images_of(table), methods, fewest) for layer, table in rows.items()}
    sets = {frozenset(of) for of in images.values() if of}
    sets |= {shared for a in sets for b in sets if (shared := a & b)}
    found = list[tuple[int, list[str], frozenset[str]]]()
    for some in sorted(sets, key=lambda names: (-len(names), sorted(names))):
        common = {
            layer: frozenset.intersection(*(of[m] for m in some))
            for layer, of in images.items()
            if some <= {*of}
        }
        size, layers = _layers(common, own, fewest)
        if len(layers) > 1:
            found.append((size, layers, some))
    if not found:
        return None
    _, layers, some = max(found, key=lambda one: (own in one[1], one[0]))
    made = [Trust.among(layer, rows[layer], sorted(some)) for layer in in_order(run.folder, layers)]
    depth = Depth.of(made, own, in_few_words(run))
    return depth if len(depth.layers) > 1 else None


def _layered(images: Images, methods: Sequence[str], fewest: int) -> dict[str, frozenset[str]]:
    """Of the methods that have a layer and at least `fewest` images."""
    return {
        method: frozenset(ids)
        for method, ids in images.items()
        if (not methods or method in methods)
        and (method not in METHODS or METHODS[method].layered)
        and len(ids) >= fewest
    }


def _layers(images: Mapping[str, frozenset[str]], own: str, fewest: int) -> tuple[int, list[str]]:
    """The layers, and the number of images that they share times their own, which is the largest possible;
    from the one with the most images on, after the run's own."""
    chosen, common, best = list[str](), frozenset[str](), (0, list[str]())
    for layer in sorted(images, key=lambda name: (name != own, -len(images[name]))):
        common = common & images[layer] if chosen else images[layer]
        chosen.append(layer)
        if len(chosen) > 1 and len(common) >= fewest:
            best = max(best, (len(chosen) * len(common), list(chosen)), key=lambda pair: pair[0])
    return best
