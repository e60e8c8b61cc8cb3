"""torchvision's transforms read as preprocessing, and compared with what they do."""

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import models as zoo
from torchvision import transforms as v1
from torchvision.transforms import v2

from models.errors import UserError
from models.inputs.transforms import read_and_compared, read_transform
from models.preprocessing import Preprocessing

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
EXACT = v1.InterpolationMode.NEAREST_EXACT
AS_TENSOR = [v2.ToImage(), v2.ToDtype(torch.float32, scale=True)]


@pytest.mark.parametrize(
    ("transform", "wanted"),
    [
        (
            v1.Compose([v1.Resize(256), v1.CenterCrop(224), v1.ToTensor(), v1.Normalize(MEAN, STD)]),
            Preprocessing(),
        ),
        (
            v1.Compose([v1.Resize((64, 48)), v1.ToTensor()]),
            Preprocessing((64, 48), None, (0.0,) * 3, (1.0,) * 3),
        ),
        (
            v1.Compose([v1.Resize(40, v1.InterpolationMode.BICUBIC), v1.CenterCrop((32, 30)), v1.ToTensor()]),
            Preprocessing((32, 30), 40, (0.0,) * 3, (1.0,) * 3, "bicubic"),
        ),
        (
            v1.Compose([v1.Grayscale(1), v1.Resize((48, 48)), v1.ToTensor(), v1.Normalize((0.5,), (0.25,))]),
            Preprocessing((48, 48), None, (0.5,), (0.25,)),
        ),
        (
            v2.Compose([v2.Resize(256), v2.CenterCrop(224), *AS_TENSOR, v2.Normalize(MEAN, STD)]),
            Preprocessing(),
        ),
        (
            v2.Compose([*AS_TENSOR, v2.Resize((64, 64), antialias=True)]),
            Preprocessing((64, 64), None, (0.0,) * 3, (1.0,) * 3),
        ),
        (
            v1.Compose([v1.Resize((32, 32), EXACT), v1.ToTensor(), v1.Normalize([0.5], [0.25])]),
            Preprocessing((32, 32), None, (0.5,) * 3, (0.25,) * 3, "nearest"),
        ),
        (zoo.MobileNet_V2_Weights.IMAGENET1K_V1.transforms(), Preprocessing()),
        (
            v1.Compose(
                [v1.Compose([v1.Resize(256), v1.CenterCrop(224)]), v1.ToTensor(), v1.Normalize(MEAN, STD)]
            ),
            Preprocessing(),
        ),
    ],
)
def test_what_is_understood(transform: Any, wanted: Preprocessing) -> None:
    assert read_transform(transform) == wanted


class Negative:
    """Looks like ToTensor, and is not."""

    def __call__(self, image: Any) -> torch.Tensor:
        return 1 - v1.ToTensor()(image)


Negative.__name__ = "ToTensor"


class Slightly:
    """Two gray levels off."""

    def __call__(self, image: Any) -> torch.Tensor:
        return v1.ToTensor()(image) + 2 / 255


Slightly.__name__ = "ToTensor"


class Offset(v1.Normalize):
    def __call__(self, x: Any) -> torch.Tensor:
        return x + 2 / 255


Offset.__name__ = "Normalize"


@pytest.mark.parametrize(
    ("transform", "told"),
    [
        (v1.Compose([v1.Resize(256), v1.ToTensor()]), "fixes no size"),
        (v1.Compose([v1.RandomHorizontalFlip(), v1.Resize((8, 8)), v1.ToTensor()]), "RandomHorizontalFlip"),
        (v1.Compose([v1.Grayscale(3), v1.Resize((8, 8)), v1.ToTensor()]), "Grayscale"),
        (v1.Compose([v1.Resize((8, 8)), Negative()]), "differs from"),
        (v1.Compose([v1.CenterCrop(100), v1.Resize((64, 64)), v1.ToTensor()]), "differs from"),
        (v1.Compose([v1.Resize((8, 8))]), "fails"),
        (v1.Compose([v1.Resize(64), v1.Resize((32, 32)), v1.ToTensor()]), "two resizes .steps 1 and 2."),
        (v1.Compose([v1.ToTensor(), v1.Resize((32, 32), EXACT)]), "nearest-exact on tensors"),
        (
            v1.Compose([v1.ToTensor(), v1.Resize((32, 32), antialias=False)]),
            "of 255 levels apart, more than 8",
        ),
        (v1.Compose([v1.ToTensor(), v1.Resize((32, 32)), v1.Lambda(lambda x: x * 2 - 1)]), "Lambda"),
        (v1.Compose([v1.Resize((8, 8)), Slightly()]), "differs from"),
        (v1.Compose([v1.ToTensor(), v1.Resize((8, 8)), Offset((0.0,), (1.0,))]), "differs from"),
        (lambda image: image, "cannot be expressed"),
        (None, "cannot be expressed"),
    ],
)
def test_what_is_not_understood_is_refused(transform: Any, told: str) -> None:
    with pytest.raises(UserError, match=told):
        read_transform(transform)


def levels_apart(first: Any, second: Any) -> float:
    """The largest difference for noise, by a plain loop."""
    pixels = np.random.default_rng(3).integers(0, 256, (5, 150, 90, 3), dtype=np.uint8)
    return max(float((first(i) - second(i)).abs().max()) * 255 for i in map(Image.fromarray, pixels))


@pytest.mark.parametrize(
    "steps",
    [
        [v1.ToTensor(), v1.Resize((32, 32))],
        [v1.PILToTensor(), v1.ConvertImageDtype(torch.float32), v1.Resize((32, 32))],
        [v2.ToImage(), v2.Resize((32, 32)), v2.ToDtype(torch.float32, scale=True)],
    ],
)
def test_a_resize_of_tensors_is_said(steps: list[Any]) -> None:
    transform = v2.Compose(steps)
    made, how = read_and_compared(v2.Compose([*steps, v2.Normalize(MEAN, STD)]))
    assert made == Preprocessing((32, 32), None, MEAN, STD)
    assert how == "resized by Pillow; the transform resizes tensors: up to 1 of 255 levels apart"
    assert 0.4 < levels_apart(transform, v1.Compose([v1.Resize((32, 32)), v1.ToTensor()])) < 1.01
    images = v1.Compose([v1.Resize((32, 32)), v1.ToTensor(), v1.Normalize(MEAN, STD)])
    assert read_and_compared(images) == (made, "compared with it")
