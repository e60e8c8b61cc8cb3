"""Maximized pictures that were made before, by the network's weights and the settings: a unit is never
maximized twice."""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from explain.features.activation_maximization import Maximized, Settings, maximize
from models.atomic import atomic
from models.cache_folder import cache_folder
from models.classifier import Classifier

FORMAT = 1
"""Raised where the same settings give other pictures than before."""
LIMIT = 512 * 2**20
NOTES = ("answers", "began", "moved")


class VisualizationCache:
    """Of one network and one setting: a picture (PNG) a unit, with its answers in the PNG's text."""

    def __init__(self, classifier: Classifier, settings: Settings, folder: Path | None = None):
        message = repr((FORMAT, sorted(asdict(settings).items()), classifier.preprocessing))
        self._root = folder or cache_folder() / "maximized"
        self._folder, self._settings = (
            self._root / classifier.weights_hash / hashlib.sha256(message.encode()).hexdigest()[:16],
            settings,
        )

    def known(self, units: Sequence[int]) -> Maximized | None:
        """Those of the units that are there, in order; None where none is. A file that cannot be read is not
        there."""
        found = [(unit, kept) for unit in units if (kept := self._read(unit)) is not None]
        if not found:
            return None
        notes = [np.array([kept[1][k] for _, kept in found]) for k in range(len(NOTES))]
        steps = self._settings.steps
        return Maximized(
            tuple(unit for unit, _ in found),
            steps,
            steps,
            np.stack([kept[0] for _, kept in found]),
            notes[0],
            notes[1],
            notes[2] > 0,
        )

    def keep(self, made: Maximized) -> None:
        """Without a word where the disk does not let it: it will be made again."""
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
    """As `maximize`, with what the album holds; once all is made the album holds it too."""
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
    """Both, in the order of `units`."""
    both = [*made.units, *known.units]
    order = [both.index(unit) for unit in units]
    pictures, *notes = (
        np.concatenate([getattr(made, name), getattr(known, name)])[order] for name in ("pictures", *NOTES)
    )
    return replace(
        made, units=tuple(units), pictures=pictures, answers=notes[0], began=notes[1], moved=notes[2]
    )


def _sweep(root: Path) -> None:
    """The oldest pictures go where there are too many."""
    files = sorted(((path.stat(), path) for path in root.rglob("*.png")), key=lambda found: found[0].st_mtime)
    total = sum(stat.st_size for stat, _ in files)
    for stat, path in files:
        if total <= LIMIT:
            break
        path.unlink(missing_ok=True)
        total -= stat.st_size
