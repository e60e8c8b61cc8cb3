"""Layers at which maps are compared over depth."""

from collections.abc import Iterable

import numpy as np

from explain.features.depth import block_outputs
from explain.network.hooks import capture, layers_in
from explain.network.summary import layers
from explain.run.answer import noise
from models.classifier import Classifier
from models.errors import UserError

MOST = 8


def layers_over_depth(classifier: Classifier, last: str, most: int = MOST) -> list[str]:
    """At most `most` outputs of blocks that are maps and that a gradient reaches, evenly spread from the
    first to the last one, and `last`, the run's own; in the order in which the network runs them. Raises
    UserError where there is none."""
    table = layers(classifier.model, noise(classifier))
    blocks = block_outputs(table)
    names = [b.name for b in blocks if b.spatial and min(b.shape[1:]) > 1]
    spread = np.linspace(0, len(names) - 1, min(most, len(names))).astype(int) if names else np.zeros(0, int)
    chosen = [names[k] for k in np.unique(spread) if _reached(classifier, names[k])]
    order = {row.name: k for k, row in enumerate(table)}
    found = dict.fromkeys([*chosen, *([last] if last else [])])
    return sorted(found, key=lambda name: order.get(name, len(order)))


def _reached(classifier: Classifier, layer: str) -> bool:
    example = noise(classifier)
    try:
        found = capture(classifier.model, example, layer)
        return bool(found.gradient(found.logits.argmax(1)).any())
    except UserError:
        return False


def in_network_order(classifier: Classifier, names: Iterable[str]) -> list[str]:
    """Layers, blocks, and several of them with commas, in the order in which the network is through with
    them; unknown ones at the end."""
    rows = [row.name for row in layers(classifier.model, noise(classifier))]

    def end(name: str) -> int:
        of_it = (k for k, row in enumerate(rows) if row == name or row.startswith(f"{name}."))
        return max(of_it, default=len(rows))

    return sorted(names, key=lambda name: (max(map(end, layers_in(name)), default=0), len(layers_in(name))))
