"""Configurations of Hugging Face's image processors and of timm, compared with what these libraries do."""

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from timm.data import create_transform, resolve_data_config

from models.errors import UserError
from models.inputs.processor_config import from_processor_config
from models.preprocessing import Preprocessing
from models.sources.timm_models import preprocessing_of

MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
NUMBERS = {"image_mean": MEAN, "image_std": STD}
SHORT = {"shortest_edge": 64}
PLAIN = {"resample": 2, "do_normalize": True, **NUMBERS}


def smooth(width: int, height: int) -> Image.Image:
    """Colors that change slowly, so that libraries that resize a little differently agree."""
    small = np.random.default_rng(0).integers(0, 256, (height // 20, width // 20, 3), dtype=np.uint8)
    return Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)


def agree(fed: Preprocessing, theirs: torch.Tensor, image: Image.Image) -> None:
    ours = fed.normalize(fed.tensor(image)[None])[0]
    assert ours.shape == theirs.shape
    apart = (ours - theirs).abs() * torch.tensor(fed.std)[:, None, None] / fed.white
    assert apart.mean() < 0.01
    assert apart.max() < 0.1


CONFIGS: list[tuple[str, dict[str, Any]]] = [
    ("ViTImageProcessor", {"size": {"height": 64, "width": 48}, **PLAIN}),
    ("ViTImageProcessor", {"size": 64, "do_rescale": False, **PLAIN, "image_mean": [120.0] * 3}),
    ("CLIPImageProcessor", {"size": SHORT, "crop_size": 64, "do_center_crop": True, **PLAIN}),
    ("CLIPImageProcessor", {"size": 80, "crop_size": {"height": 64, "width": 48}, **NUMBERS}),
    ("DeiTImageProcessor", {"size": {"height": 80, "width": 80}, "crop_size": 64, **PLAIN}),
    ("ConvNextImageProcessor", {"size": SHORT, "crop_pct": 0.8, **PLAIN}),
    ("ConvNextImageProcessor", {"size": {"shortest_edge": 384}, "crop_pct": 0.8, **PLAIN}),
    ("LevitImageProcessor", {"size": SHORT, "crop_size": 64, "do_center_crop": True, **PLAIN}),
    ("PoolFormerImageProcessor", {"size": SHORT, "crop_size": 64, "crop_pct": 0.9, **PLAIN}),
    ("BitImageProcessor", {"size": {"shortest_edge": 80}, "crop_size": 64, **PLAIN, "resample": 3}),
    ("MobileViTImageProcessor", {"size": {"shortest_edge": 80}, "crop_size": 64, "resample": 2}),
    ("MobileNetV2ImageProcessor", {"size": {"shortest_edge": 80}, "crop_size": 64, **PLAIN}),
    (
        "EfficientNetImageProcessor",
        {
            "size": {"height": 64, "width": 64},
            "rescale_factor": 1 / 127.5,
            "rescale_offset": True,
            "include_top": False,
            **PLAIN,
        },
    ),
]


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "config"), CONFIGS)
@pytest.mark.parametrize("shape", [(200, 160), (140, 220)])
def test_processors_of_transformers(kind: str, config: dict[str, Any], shape: tuple[int, int]) -> None:
    transformers = pytest.importorskip("transformers")
    image = smooth(*shape)
    theirs = getattr(transformers, kind)(**config)(image, return_tensors="pt")["pixel_values"][0]
    agree(from_processor_config({"image_processor_type": kind, **config}), theirs, image)


@pytest.mark.parametrize("kind", ["ViTImageProcessor", "CLIPImageProcessor", "ConvNextImageProcessor"])
def test_what_transformers_writes_is_read(kind: str) -> None:
    """A file of today's version, with all its keys."""
    transformers = pytest.importorskip("transformers")
    processor = getattr(transformers, kind)()
    image = smooth(300, 260)
    theirs = processor(image, return_tensors="pt")["pixel_values"][0]
    agree(from_processor_config(processor.to_dict()), theirs, image)


def test_an_early_file_of_a_feature_extractor() -> None:
    early = {
        "do_normalize": True,
        "do_resize": True,
        "feature_extractor_type": "ViTFeatureExtractor",
        "image_mean": [0.5] * 3,
        "image_std": [0.5] * 3,
        "resample": 2,
        "size": 224,
    }
    assert from_processor_config(early) == Preprocessing(resize=None, mean=(0.5,) * 3, std=(0.5,) * 3)
    unnormalized = early | {"do_normalize": False, "do_flip_channel_order": True, "rescale_factor": 1.0}
    assert from_processor_config(unnormalized) == Preprocessing(
        resize=None, mean=(0.0,) * 3, std=(1.0,) * 3, scale=1, order="bgr"
    )
    uncropped = early | {"size": {"shortest_edge": 96}}
    assert from_processor_config(uncropped).described.startswith("96 × 96 RGB, shorter side 96, no crop")


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"do_pad": True}, "do_pad = True"),
        ({"do_convert_rgb": False}, "do_convert_rgb = False"),
        ({"do_reduce_labels": True}, "do_reduce_labels = True"),
        ({"do_resize": False}, "do_resize = False"),
        ({"resample": 9}, "resample = 9"),
        ({"size": {"longest_edge": 64}}, "size = {'longest_edge': 64}"),
        ({"size_divisor": 32}, "size_divisor = 32"),
        ({"image_std": [0, 0, 0]}, r"image_std = \[0, 0, 0\]"),
        ({"include_top": True}, "include_top = True"),
        ({"crop_pct": 0.9}, "crop_pct = 0.9"),
        ({"image_processor_type": "PerceiverImageProcessor"}, "image_processor_type = Perceiver"),
        ({"do_center_crop": True}, "does not say crop_size"),
        ({"image_mean": None}, "does not say image_mean"),
        ({"size": None}, "does not say size"),
    ],
)
def test_what_changes_the_input_otherwise_is_refused_by_its_key(change: dict[str, Any], key: str) -> None:
    known = {"image_processor_type": "ViTImageProcessor", "size": 64, **PLAIN}
    from_processor_config(known | {"do_pad": False, "do_reduce_labels": None, "do_convert_rgb": None})
    with pytest.raises(UserError, match=key) as error:
        from_processor_config(known | change)
    assert "--input-size" in str(error.value)


# -- timm ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "config",
    [
        {"crop_pct": 0.875, "crop_mode": "center"},
        {"crop_pct": 0.95, "crop_mode": "center"},
        {"crop_pct": 0.9, "crop_mode": "squash"},
        {"crop_pct": 1.0, "crop_mode": "squash", "input_size": (3, 96, 72)},
        {"crop_pct": 1.0, "crop_mode": "border"},
        {"crop_pct": 1.0, "crop_mode": "border", "mean": (0.5,) * 3, "std": (0.5,) * 3},
    ],
)
@pytest.mark.parametrize("shape", [(200, 160), (141, 223)])
def test_timms_ways_to_crop(config: dict[str, Any], shape: tuple[int, int]) -> None:
    full = {"input_size": (3, 89, 89), "interpolation": "bicubic", "mean": tuple(MEAN), "std": tuple(STD)}
    data = resolve_data_config({}, pretrained_cfg=full | config)
    image = smooth(*shape)
    fed = preprocessing_of(data)
    theirs = create_transform(**data)(image)
    torch.testing.assert_close(fed.normalize(fed.tensor(image)[None])[0], theirs, rtol=1e-4, atol=1e-4)


def test_timms_borders_that_are_cropped_are_refused() -> None:
    config = {"input_size": (3, 64, 64), "mean": MEAN, "std": STD, "interpolation": "bicubic"}
    with pytest.raises(UserError, match=r"crop_mode border with crop_pct 0.9 at 64 × 64 cannot"):
        preprocessing_of(config | {"crop_pct": 0.9, "crop_mode": "border"})
