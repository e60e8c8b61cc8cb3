"""torchvision's transforms read as preprocessing, and compared with what they do."""

from typing import Any

import pytest
import torch
from torchvision import models as zoo
from torchvision import transforms as v1
from torchvision.transforms import v2

from models.errors import UserError
from models.preprocessing import Preprocessing
from models.transforms import read_transform

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
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


@pytest.mark.parametrize(
    ("transform", "told"),
    [
        (v1.Compose([v1.Resize(256), v1.ToTensor()]), "fixes no size"),
        (v1.Compose([v1.RandomHorizontalFlip(), v1.Resize((8, 8)), v1.ToTensor()]), "RandomHorizontalFlip"),
        (v1.Compose([v1.Grayscale(3), v1.Resize((8, 8)), v1.ToTensor()]), "Grayscale"),
        (v1.Compose([v1.Resize((8, 8)), Negative()]), "differs from"),
        (v1.Compose([v1.CenterCrop(100), v1.Resize((64, 64)), v1.ToTensor()]), "differs from"),
        (v1.Compose([v1.Resize((8, 8))]), "fails"),
        (lambda image: image, "cannot be expressed"),
        (None, "cannot be expressed"),
    ],
)
def test_what_is_not_understood_is_refused(transform: Any, told: str) -> None:
    with pytest.raises(UserError, match=told):
        read_transform(transform)
