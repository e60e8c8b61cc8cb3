"""Training examples of gaze models: images, or a frozen network's features of them, with their targets. They
are computed once and stored in temporary files, so that a large set needs disk and not memory."""

import math
import shutil
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import TypeVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import Dataset, TensorDataset
from tqdm import tqdm

from models.architectures.gaze_readout import Backbone
from models.data.images import UnreadableImage, open_image
from models.errors import UserError
from models.gaze.density import distribution, resized
from models.gaze.gaze_set import Viewed
from models.gaze.model import GazeModel
from models.gaze.recipe import GazeRecipe
from models.gaze.targets import targets
from models.preprocessing import Preprocessing, stack

AT_ONCE = 8  # pictures before a network
T = TypeVar("T")


class Mirrored(Dataset[tuple[Tensor, ...]]):
    """Every image and target of a set, flipped horizontally."""

    def __init__(self, data: TensorDataset):
        self.data = data

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> tuple[Tensor, ...]:
        return tuple(x.flip(-1) for x in self.data[index])


def looked_at(
    images: Sequence[Viewed], recipe: GazeRecipe, preprocessing: Preprocessing, sigma: float, folder: Path
) -> TensorDataset:
    """(uint8 pixels, counts, blurred) of every image."""

    def batch(part: Sequence[Viewed]) -> tuple[Tensor, ...]:
        return pixels([image.path for image in part], preprocessing), *targets(part, recipe.grid, sigma)

    return TensorDataset(*kept(map(batch, _parts(images, "reading images")), len(images), folder))


def taught(
    paths: Sequence[Path], teacher: GazeModel, recipe: GazeRecipe, preprocessing: Preprocessing, folder: Path
) -> TensorDataset:
    """(uint8 pixels, and twice a trained model's prediction, as density) of every image."""

    def batch(part: Sequence[Path]) -> tuple[Tensor, ...]:
        maps = teacher.maps([_opened(path) for path in part])
        answers = torch.from_numpy(np.stack([distribution(resized(values, recipe.grid)) for values in maps]))
        return pixels(part, preprocessing), answers, answers

    return TensorDataset(*kept(map(batch, _parts(paths, f"asking {teacher.name}")), len(paths), folder))


def features(
    network: nn.Module,
    images: Sequence[Viewed],
    recipe: GazeRecipe,
    preprocessing: Preprocessing,
    sigma: float,
    folder: Path,
    flip: bool = False,
) -> TensorDataset:
    """(float16 features (C, h, w) of every layer at its own resolution, counts, blurred) of every image, or
    of its mirror image."""

    def batch(part: Sequence[Viewed]) -> tuple[Tensor, ...]:
        inputs, known = (
            pixels([image.path for image in part], preprocessing),
            targets(part, recipe.grid, sigma),
        )
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
            found = network(preprocessing.normalize(inputs.flip(3) if flip else inputs))
        return *(found[name].half() for name in recipe.layers), *(x.flip(2) if flip else x for x in known)

    return TensorDataset(
        *kept(map(batch, _parts(images, "mirrored features" if flip else "features")), len(images), folder)
    )


def standardize(backbone: Backbone, data: Sequence[TensorDataset]) -> None:
    """Set the mean and standard deviation of every channel over the training features."""
    for k, (mean, std) in enumerate(zip(backbone.mean, backbone.std, strict=True)):
        n, total, squares = 0, torch.zeros(len(mean)), torch.zeros(len(mean))
        for part in (part.float() for one in data for part in one.tensors[k].split(64)):
            n += part.numel() // len(mean)
            total += part.sum((0, 2, 3))
            squares += part.square().sum((0, 2, 3))
        mean.data.copy_(total / n)
        std.data.copy_((squares / n - (total / n).square()).clamp_min(1e-6).sqrt())


def pixels(paths: Sequence[Path], preprocessing: Preprocessing) -> Tensor:
    """uint8 (N, 3, h, w). Raises UserError for an image that cannot be read."""
    return stack([preprocessing.tensor(_opened(path)) for path in paths])


def kept(batches: Iterable[tuple[Tensor, ...]], count: int, folder: Path) -> list[Tensor]:
    """The batches of `count` items joined: one tensor (count, ...) for each of their parts, in files below
    `folder`. Raises UserError where the disk has no room for them."""
    made: list[Tensor] = []
    at = 0
    for batch in batches:
        made = made or _in_files(batch, count, folder)
        for whole, part in zip(made, batch, strict=True):
            whole[at : at + len(part)] = part
        at += len(batch[0])
    return made


def _in_files(batch: tuple[Tensor, ...], count: int, folder: Path) -> list[Tensor]:
    needed, free = sum(x[0].nbytes for x in batch) * count, shutil.disk_usage(folder).free
    if needed > free:
        raise UserError(
            f"{count:,} images take {needed / 1e9:.1f} GB of disk at '{folder}' while they are trained on, "
            f"{free / 1e9:.1f} GB are free: choose another --out, fewer --layers, or fewer images."
        )
    made = []
    for x in batch:
        with NamedTemporaryFile(
            dir=folder, prefix=".examples-"
        ) as file:  # without a name it lives as long as the tensor, whatever ends the process
            flat = torch.from_file(file.name, shared=True, size=math.prod(x.shape[1:]) * count, dtype=x.dtype)
            made.append(flat.view(count, *x.shape[1:]))
    return made


def _parts(items: Sequence[T], what: str) -> Iterator[Sequence[T]]:
    for at in tqdm(range(0, len(items), AT_ONCE), desc=what, unit="batch", leave=False):
        yield items[at : at + AT_ONCE]


def _opened(path: Path) -> Image.Image:
    try:
        return open_image(path)
    except UnreadableImage as error:
        raise UserError(f"'{path}' {error}: remove it from the set.") from error
