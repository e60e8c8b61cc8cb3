"""`preprocessor_config.json` of Hugging Face's image processors as `Preprocessing`.

The meaning of the keys is that of `transformers`, where it depends on the class of the processor: a size that
is one number, and what is done where a key is missing. What changes the input and cannot be expressed is
refused by its key.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from models.errors import UserError
from models.preprocessing import PIXEL_SCALE, Preprocessing

RESAMPLE = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic", 4: "box", 5: "hamming"}
"""Pillow's numbers."""


@dataclass(frozen=True)
class _Defaults:
    """Of one class of processors. `square`: a size of one number is height and width, otherwise the shorter
    side; `resample`: None where versions of transformers differ; `crop_pct`: None where there is none."""

    square: bool = True
    resample: int | None = 2
    crop: bool = False
    normalize: bool = True
    flip: bool = False
    crop_pct: float | None = None


PROCESSORS = {
    "": None,
    "BeitImageProcessor": _Defaults(resample=3),
    "BitImageProcessor": _Defaults(False, 3, True),
    "CLIPImageProcessor": _Defaults(False, 3, True),
    "ConvNextImageProcessor": _Defaults(False, None, crop_pct=224 / 256),
    "DeiTImageProcessor": _Defaults(True, 3, True),
    "EfficientNetImageProcessor": _Defaults(resample=None),
    "LevitImageProcessor": _Defaults(False, 3, True),
    "MobileNetV1ImageProcessor": _Defaults(False, 2, True),
    "MobileNetV2ImageProcessor": _Defaults(False, 2, True),
    "MobileViTImageProcessor": _Defaults(False, None, True, normalize=False, flip=True),
    "PoolFormerImageProcessor": _Defaults(False, 3, True, crop_pct=0.9),
    "PvtImageProcessor": _Defaults(),
    "SiglipImageProcessor": _Defaults(False, 3),
    "ViTImageProcessor": _Defaults(),
}
"""What the classes of processors do that work in the order resize, crop, rescale, normalize; without a class
the keys say all."""
CROP = "center-floor"
WHOLE_FROM = 384
"""ConvNeXt squashes the whole image from this size on, and crops below it."""
KNOWN = {
    "do_resize",
    "size",
    "resample",
    "do_center_crop",
    "crop_size",
    "crop_pct",
    "do_rescale",
    "rescale_factor",
    "rescale_offset",
    "do_normalize",
    "image_mean",
    "image_std",
    "do_flip_channel_order",
    "do_convert_rgb",
}
SILENT = {
    "image_processor_type",
    "feature_extractor_type",
    "processor_class",
    "_processor_class",
    "_valid_processor_keys",
    "return_tensors",
    "data_format",
    "input_data_format",
    "default_to_square",
    "device",
    "disable_grouping",
    "use_fast",
    "num_channels",
    "transformers_version",
}
"""Keys that do not change the input of a classifier."""


def from_processor_config(config: Mapping[str, Any]) -> Preprocessing:
    """What an image processor with this configuration does. Raises UserError, which names the key, for what
    cannot be expressed so, and for what neither the keys nor the processor's class say."""
    kind = _kind(config)
    if kind not in PROCESSORS:
        raise _refused("image_processor_type", kind)
    known = PROCESSORS[kind]
    _must_be_known(config)
    fed = _sized(config, kind, known)
    mean, std = _mean_and_std(config, known)
    factor = (
        1.0 if config.get("do_rescale") is False else float(config.get("rescale_factor", 1 / PIXEL_SCALE))
    )
    if factor <= 0:
        raise _refused("rescale_factor", factor)
    if config.get("rescale_offset"):  # x · factor - 1
        mean = tuple(value + 1 for value in mean)
    flipped = config.get("do_flip_channel_order", known.flip if known else False)
    return replace(fed, mean=mean, std=std, scale=_whole(1 / factor), order="bgr" if flipped else "rgb")


def _kind(config: Mapping[str, Any]) -> str:
    """The class of the processor, in today's names: 'ViTFeatureExtractor' and 'ViTImageProcessorFast' are
    `ViTImageProcessor`."""
    name = str(config.get("image_processor_type") or config.get("feature_extractor_type") or "")
    for suffix in ("ImageProcessorFast", "ImageProcessorPil", "FeatureExtractor"):
        name = name.removesuffix(suffix) + "ImageProcessor" if name.endswith(suffix) else name
    return {"ConvNeXTImageProcessor": "ConvNextImageProcessor"}.get(name, name)


def _must_be_known(config: Mapping[str, Any]) -> None:
    """Raises UserError for keys that may change the input: null and false switch nothing on."""
    for key, value in config.items():
        if key in SILENT or (key not in KNOWN and value in (None, False)):
            continue
        if key not in KNOWN or (key == "do_convert_rgb" and value is False):
            raise _refused(key, value)


def _refused(key: str, value: Any) -> UserError:
    return UserError(
        f"preprocessor_config.json has {key} = {str(value)[:60]}, which cannot be expressed as Vitrine's "
        "preprocessing: give --input-size, --resize, --mean and --std."
    )


def _asked(key: str) -> UserError:
    return UserError(
        f"preprocessor_config.json does not say {key}, and its kind of processor is not known: give "
        "--input-size, --resize, --mean and --std."
    )


def _sized(config: Mapping[str, Any], kind: str, known: _Defaults | None) -> Preprocessing:
    """Size, resize, crop and interpolation."""
    if config.get("do_resize") is False:
        raise _refused("do_resize", False)
    number = config.get("resample", known.resample if known else None)
    if number is None:
        raise _asked("resample")
    if number not in RESAMPLE:
        raise _refused("resample", number)
    size = _size(config, known)
    fed = Preprocessing(interpolation=RESAMPLE[number])
    crop_pct = config.get("crop_pct", known.crop_pct if known else None)
    convnext = kind == "ConvNextImageProcessor"
    if crop_pct and not (known and known.crop_pct):
        raise _refused("crop_pct", crop_pct)
    if convnext or crop_pct:
        return replace(fed, **_by_crop_pct(config, convnext, size, float(crop_pct or 224 / 256)))
    if kind == "LevitImageProcessor" and isinstance(size, int):
        size = int(256 / 224 * size)
    crop = config.get("do_center_crop", known.crop if known else False)
    if not crop:
        if isinstance(size, int):
            return replace(fed, size=(size, size), resize=size, crop="none")
        return replace(fed, size=size, resize=None)
    wanted = _pair("crop_size", config.get("crop_size"))
    fed = replace(fed, size=wanted, resize=None)
    return fed if size == wanted else replace(fed, resize=size, crop=CROP)


def _by_crop_pct(
    config: Mapping[str, Any], convnext: bool, size: int | tuple[int, int], crop_pct: float
) -> dict[str, Any]:
    """ConvNeXt's and PoolFormer's `crop_pct`: the shorter side is resized to the size over it."""
    side = size if isinstance(size, int) else size[0] if size[0] == size[1] else 0
    if not side:
        raise _refused("size", config.get("size"))
    if convnext and side >= WHOLE_FROM:
        return {"size": (side, side), "resize": None}
    resize = int(side / crop_pct)
    if convnext:
        return {"size": (side, side), "resize": resize, "crop": CROP}
    if not config.get("do_center_crop", True):
        return {"size": (resize, resize), "resize": resize, "crop": "none"}
    return {"size": _pair("crop_size", config.get("crop_size")), "resize": resize, "crop": CROP}


def _size(config: Mapping[str, Any], known: _Defaults | None) -> int | tuple[int, int]:
    """Height and width, or the length of the shorter side."""
    size = config.get("size")
    if isinstance(size, int) and not isinstance(size, bool):
        square = config.get("default_to_square", known.square if known else None)
        if square is None:
            raise _asked("whether size is that of the shorter side")
        return (size, size) if square else size
    if isinstance(size, Mapping):
        given = {key: value for key, value in size.items() if value is not None}
        if given.keys() == {"shortest_edge"}:
            return int(given["shortest_edge"])
        if given.keys() == {"height", "width"}:
            return int(given["height"]), int(given["width"])
    raise _asked("size") if size is None else _refused("size", size)


def _pair(key: str, value: Any) -> tuple[int, int]:
    if isinstance(value, int) and not isinstance(value, bool):
        return value, value
    if isinstance(value, Mapping) and {k for k, v in value.items() if v is not None} == {"height", "width"}:
        return int(value["height"]), int(value["width"])
    raise _asked(key) if value is None else _refused(key, value)


def _mean_and_std(
    config: Mapping[str, Any], known: _Defaults | None
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    if not config.get("do_normalize", known.normalize if known else True):
        return (0.0,) * 3, (1.0,) * 3
    found = []
    for key in ("image_mean", "image_std"):
        values = config.get(key)
        if values is None:
            raise _asked(key)
        numbers = [float(v) for v in (values if isinstance(values, list | tuple) else [values] * 3)]
        counts = (3,) if config.get("do_convert_rgb") else (3, 4)  # four: RGBA
        if len(numbers) not in counts or (key == "image_std" and min(numbers) <= 0):
            raise _refused(key, values)
        found.append(tuple(numbers))
    return found[0], found[1]


def _whole(value: float) -> float:
    """1 / (1 / 255) is 255."""
    return float(round(value)) if abs(value - round(value)) < 1e-6 else value
