"""The images of a run as the network sees them, read ahead of it by threads."""

import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
from PIL import Image
from torch import Tensor

from explain.render import jpeg_bytes
from explain.run.image_stats import facts
from models.classifier import Classifier
from models.data.remote.errors import Unreachable
from models.data.source import ImageSource
from models.preprocessing import as_tensor

THUMBNAIL = 128
READERS = max(1, (os.cpu_count() or 2) // 2)  # threads that decode; the other cores are the network's


@dataclass(frozen=True, eq=False)
class Loaded:
    """One image as the network sees it, or the reason why there is none. `masks` (R, H, W) in [0, 1] lie on
    `pixels`; `stamp`: of its file, taken before it was read."""

    index: int
    stamp: str = ""
    pixels: Tensor | None = None
    thumbnail: bytes | None = None
    facts: dict[str, float | int] = field(default_factory=dict)
    masks: np.ndarray | None = None
    error: str | None = None


def load_image(source: ImageSource, index: int, classifier: Classifier) -> Loaded:
    """Decode, crop and make the thumbnail: of what the network sees, so that maps lie on it exactly. Raises
    `Unreachable` where the images' server does not answer."""
    stamp = source.stamp(index)
    try:
        picture = source.load(index)
        view = classifier.preprocessing.view(picture)
        masks = (
            [classifier.preprocessing.view_mask(Image.fromarray(mask)) for mask in source.masks(index)]
            if source.regions
            else []
        )
    except Unreachable:  # it says nothing about this image
        raise
    except Exception as error:  # an image that breaks a decoder must not end a run of a million
        return Loaded(
            index, stamp, error=str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        )
    fractions = (
        np.stack([np.asarray(mask.convert("L"), np.float32) / 255 for mask in masks]) if masks else None
    )
    return Loaded(
        index,
        stamp,
        as_tensor(view),
        jpeg_bytes(view, THUMBNAIL),
        facts(view, picture.size),
        fractions,
    )


def load_batches(
    source: ImageSource, indices: Sequence[int], classifier: Classifier, size: int
) -> Iterator[list[Loaded]]:
    """Batches of `size` loaded images in order, as `load_each`."""
    batches = (indices[at : at + size] for at in range(0, len(indices), size))
    return load_each(source, batches, classifier)


def load_each(
    source: ImageSource, batches: Iterable[Sequence[int]], classifier: Classifier, readers: int = READERS
) -> Iterator[list[Loaded]]:
    """The images of batches of indices, read two batches ahead by so many threads; memory does not grow with
    the data. Raises `Unreachable` where the images' server does not answer any more."""
    with ThreadPoolExecutor(readers) as pool:
        waiting: deque[list[Future[Loaded]]] = deque()
        rest = iter(batches)
        try:
            while True:
                while len(waiting) < 3 and (batch := next(rest, None)) is not None:
                    source.prepare(batch)
                    waiting.append([pool.submit(load_image, source, index, classifier) for index in batch])
                if not waiting:
                    break
                yield [loaded.result() for loaded in waiting.popleft()]
        finally:
            pool.shutdown(cancel_futures=True)
