"""Images of a run as its network gets them."""

from collections.abc import Iterator, Sequence

from torch import Tensor

from explain.run.loading import load_batches
from explain.run.reader import RunData
from explain.run.run_images import RunImages
from models.classifier import Classifier
from models.one_by_one import takes_one_image

AT_ONCE = 16


def image_batches(
    classifier: Classifier, run: RunData, rows: Sequence[int]
) -> Iterator[list[tuple[int, Tensor]]]:
    """Batches of rows and images (1, C, H, W), those left out that cannot be read."""
    source, size = RunImages(run, rows), 1 if takes_one_image(classifier.model) else AT_ONCE
    normalize, device = classifier.preprocessing.normalize, classifier.device
    for batch in load_batches(source, range(len(source)), classifier, size):
        pixels = [(good.index, good.pixels[None]) for good in batch if good.pixels is not None]
        if pixels:
            yield [(source.rows[index], normalize(image, device)) for index, image in pixels]
