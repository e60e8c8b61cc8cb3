"""torchvision's data sets by name, with their download: CIFAR10, Imagenette, OxfordIIITPet, FER2013 ..."""

import inspect
from typing import Any

from PIL import Image

from models.data.source import ImageSource, Item, NoSuchPart
from models.errors import UserError
from models.files.cache_folder import cache_folder

WORDS = {
    "train": ("train", "trainval"),
    "validation": ("val", "valid", "validation"),
    "test": ("test", "val"),
}
FER2013_CLASSES = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")


class TorchvisionSource(ImageSource):
    """`split`: 'test' (default), 'train' or 'validation', or the data set's own name of a split. Raises
    UserError for an unknown set, and one that cannot be downloaded."""

    def __init__(self, name: str, split: str | None = None):
        self.data, found = _open(name, split or "test")
        self.name, self.root = f"{name}/{found}", f"torchvision:{name}:{found}"
        names = FER2013_CLASSES if name == "FER2013" else getattr(self.data, "classes", None)
        labels = _labels(self.data)
        if labels is None:
            raise UserError(
                f"torchvision:{name} has no single class label for each image: it is no classification set."
            )
        wide = len(str(len(labels)))
        self.classes = tuple(
            c if isinstance(c, str) else c[0] for c in names or [f"class {i}" for i in range(max(labels) + 1)]
        )
        self.items = [Item(f"{i:0{wide}d}", self.classes[label]) for i, label in enumerate(labels)]

    def load(self, index: int) -> Image.Image:
        image: Image.Image = self.data[index][0]
        return image.convert("RGBA" if self.alpha else "RGB")


def _labels(data: Any) -> list[int] | None:
    for attribute in ("targets", "_labels", "labels"):
        if (found := getattr(data, attribute, None)) is not None and len(found) == len(data):
            return [int(label) for label in found]
    label = data[0][1] if len(data) else None
    return [int(data[i][1]) for i in range(len(data))] if isinstance(label, int) else None


def _open(name: str, split: str) -> tuple[Any, str]:
    """The data set, and its own name of the split."""
    from torchvision import datasets

    kind = getattr(datasets, name, None)
    if not (inspect.isclass(kind) and issubclass(kind, datasets.VisionDataset)):
        raise UserError(
            f"torchvision has no data set '{name}': names are written as in its documentation, as CIFAR10 "
            "or Imagenette."
        )
    takes = inspect.signature(kind).parameters
    options: dict[str, Any] = {"download": True} if "download" in takes else {}
    if "split" in takes:
        return _first(name, [(word, {**options, "split": word}) for word in WORDS.get(split, (split,))])
    if "train" in takes:
        if split not in ("train", "test"):
            raise NoSuchPart(f"torchvision:{name} has no split '{split}': it has train and test.")
        options["train"] = split == "train"
    return _first(name, [(split if "train" in takes else "all", options)])


def _first(name: str, tries: list[tuple[str, dict[str, Any]]]) -> tuple[Any, str]:
    from torchvision import datasets

    reason = ""
    for word, options in tries:
        try:
            return getattr(datasets, name)(str(cache_folder() / name), **options), word
        except ValueError as error:  # this set has no split of that name
            reason = str(error)
        except Exception as error:  # URLError, RuntimeError("not found or corrupted"), ...
            raise UserError(
                f"torchvision:{name} could not be fetched "
                f"({str(error).splitlines()[0][:120] or type(error).__name__}): "
                f"put its files below '{cache_folder() / name}', or use a folder or a table."
            ) from error
    raise NoSuchPart(f"torchvision:{name}: {reason.splitlines()[0][:160]} Choose with --split.")
