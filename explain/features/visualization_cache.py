"""A cache of maximized pictures on disk, by the network's weights and the settings."""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from explain.features.activation_maximization import Maximized, Settings, maximize
from models.classifier import Classifier
from models.files.atomic import atomic
from models.files.cache_folder import cache_folder
from models.foreign.networks import require_layers
from models.outputs.multi_label import is_multi_label

FORMAT = 1
"""Increased when the same settings give other pictures than before."""
LIMIT = 512 * 2**20
NOTES = ("answers", "began", "moved")


class VisualizationCache:
    """For one network and one setting: a picture (PNG) per unit, with its activations in the PNG's text."""

    def __init__(self, classifier: Classifier, settings: Settings, folder: Path | None = None):
        of_labels = ("labels",) if is_multi_label(classifier.model) else ()  # other outputs, the same weights
        message = repr((FORMAT, sorted(asdict(settings).items()), classifier.preprocessing, *of_labels))
        self._root = folder or cache_folder() / "maximized"
        self._folder, self._settings = (
            self._root / classifier.weights_hash / hashlib.sha256(message.encode()).hexdigest()[:16],
            settings,
        )

    def known(self, units: Sequence[int]) -> Maximized | None:
        """The cached ones of the units, in order; None where there is none. A file that cannot be read counts
        as absent."""
        cached = [(unit, kept) for unit in units if (kept := self._read(unit)) is not None]
        if not cached:
            return None
        notes = [np.array([kept[1][k] for _, kept in cached]) for k in range(len(NOTES))]
        steps = self._settings.steps
        return Maximized(
            tuple(unit for unit, _ in cached),
            steps,
            steps,
            np.stack([kept[0] for _, kept in cached]),
            notes[0],
            notes[1],
            notes[2] > 0,
        )

    def keep(self, made: Maximized) -> None:
        """Write to disk; errors are ignored, because the pictures can be made again."""
        with suppress(OSError):
            self._folder.mkdir(parents=True, exist_ok=True)
            for k, unit in enumerate(made.units):
                text = PngInfo()
                for note in NOTES:
                    text.add_text(note, repr(float(getattr(made, note)[k])))
                with atomic(self._folder / f"{unit}.png", shared=True) as temporary:
                    Image.fromarray(made.pictures[k]).save(temporary, "PNG", pnginfo=text)
            _sweep(self._root)

    def _read(self, unit: int) -> tuple[np.ndarray, list[float]] | None:
        try:
            with Image.open(self._folder / f"{unit}.png") as image:
                return np.asarray(image.convert("RGB")), [float(image.info[note]) for note in NOTES]
        except (OSError, KeyError, ValueError):
            return None


def maximized(
    classifier: Classifier, units: Sequence[int], settings: Settings, folder: Path | None = None
) -> Iterator[Maximized]:
    """As `maximize`; cached units are read, and new ones are written at the end."""
    require_layers(classifier.model, "Activation maximization")
    cache = VisualizationCache(classifier, settings, folder)
    known = cache.known(units)
    missing = [unit for unit in units if known is None or unit not in known.units]
    if known and not missing:
        yield known
        return
    for made in maximize(classifier, missing, settings):
        if made.step == made.steps:
            cache.keep(made)
        yield joined(made, known, units) if known else made


def joined(made: Maximized, known: Maximized, units: Sequence[int]) -> Maximized:
    """New and cached pictures in the order of `units`."""
    both = [*made.units, *known.units]
    order = [both.index(unit) for unit in units]
    pictures, *notes = (
        np.concatenate([getattr(made, name), getattr(known, name)])[order] for name in ("pictures", *NOTES)
    )
    return replace(
        made, units=tuple(units), pictures=pictures, answers=notes[0], began=notes[1], moved=notes[2]
    )


def _sweep(root: Path) -> None:
    """Delete the oldest pictures beyond `LIMIT` bytes."""
    files = sorted(((path.stat(), path) for path in root.rglob("*.png")), key=lambda pair: pair[0].st_mtime)
    total = sum(stat.st_size for stat, _ in files)
    for stat, path in files:
        if total <= LIMIT:
            break
        path.unlink(missing_ok=True)
        total -= stat.st_size
