"""Read torchvision's transforms as `Preprocessing`. The result is compared with the transform itself
(`models.inputs.transform_check`), and refused where they differ."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from PIL import Image

from models.inputs.transform_check import UnreadableTransform, compared
from models.preprocessing import PIXEL_SCALE, Preprocessing, require_readable

UNDERSTOOD = ("Resize", "CenterCrop", "Normalize", "Grayscale(1)")
"""Steps that are read, beside those of `PASSED`."""
TO_TENSOR = ("ToTensor", "PILToTensor", "ToImage", "ToImageTensor", "MaybeToTensor")
"""Steps after which a resize is one of tensors, not of images."""


def read_transform(transform: Any) -> Preprocessing:
    """As `read_and_compared`, without the phrase."""
    return read_and_compared(transform)[0]


def read_and_compared(transform: Any) -> tuple[Preprocessing, str]:
    """The `Preprocessing` that does the same as a torchvision transform (version 1 or 2, or a preset of its
    weights), and one phrase on how near their outputs are. Raises UserError for one that cannot be expressed
    so, or whose output differs."""
    made, steps = _preset(transform), list(_flat(transform))
    tensors = made is None and _resizes_tensors(steps)
    made = made or _steps(steps)
    require_readable(made)
    return made, compared(made, transform, tensors)


def _preset(transform: Any) -> Preprocessing | None:
    """`torchvision.transforms._presets.ImageClassification`, as of `weights.transforms()`."""
    if not all(
        hasattr(transform, name) for name in ("crop_size", "resize_size", "mean", "std", "interpolation")
    ):
        return None
    return Preprocessing(
        (int(transform.crop_size[0]),) * 2,
        int(transform.resize_size[0]),
        tuple(transform.mean),
        tuple(transform.std),
        transform.interpolation.value,
    )


def _flat(transform: Any) -> Iterable[Any]:
    steps = getattr(transform, "transforms", None)
    return [inner for step in steps for inner in _flat(step)] if steps is not None else [transform]


PASSED = (
    "ToTensor",
    "PILToTensor",
    "ToImage",
    "ToPureTensor",
    "ToDtype",
    "ConvertImageDtype",
    "ConvertDtype",
    "ConvertImage",
    "ToImageTensor",
    "MaybeToTensor",
    "RGB",
    "Identity",
)
"""Steps that change how pixels are stored and, of RGB images, at most their scale."""
DIVIDING = ("ToTensor", "ConvertImageDtype", "ConvertDtype", "MaybeToTensor")


def _steps(steps: Iterable[Any]) -> Preprocessing:
    made, sized = Preprocessing((0, 0), None, (0.0,) * 3, (1.0,) * 3, scale=1.0), False
    listed = list(steps)
    _require_one_resize(listed)
    for number, step in enumerate(listed, 1):
        name = type(step).__name__
        if name == "Resize":
            made, sized = _resized(made, step), sized or not _is_one(step.size)
        elif name == "CenterCrop":
            made, sized = _cropped(made, step), True
        elif name == "Normalize":
            made = _normalized(made, step)
        elif name == "Grayscale" and step.num_output_channels == 1:
            last = made.size != (0, 0) or made.resize is not None
            made = replace(made, mean=made.mean[:1], std=made.std[:1], grey_last=last)
        elif name not in PASSED:
            raise UnreadableTransform(
                f"The transform {_named(step)} cannot be expressed as Vitrine's preprocessing"
                f"{_place(number, len(listed))}"
            )
        if name in DIVIDING or (name == "ToDtype" and step.scale):
            made = replace(made, scale=PIXEL_SCALE)
    if not sized:
        raise UnreadableTransform("This transform fixes no size (a center crop, or Resize((height, width)))")
    return made


def _resizes_tensors(steps: list[Any]) -> bool:
    names = [type(step).__name__ for step in steps]
    first = next((k for k, name in enumerate(names) if name in TO_TENSOR), len(names))
    return "Resize" in names[first:]


def _require_one_resize(steps: list[Any]) -> None:
    """Raises UnreadableTransform for more of them: each one blurs what the next one gets."""
    numbers = [str(k) for k, step in enumerate(steps, 1) if type(step).__name__ == "Resize"]
    if len(numbers) > 1:
        count = "two" if len(numbers) == 2 else str(len(numbers))
        raise UnreadableTransform(
            f"This transform has {count} resizes (steps {' and '.join(numbers)}), and Vitrine's "
            "preprocessing has one"
        )
    if numbers and _resizes_tensors(steps) and _interpolation(steps[int(numbers[0]) - 1]) == "nearest-exact":
        raise UnreadableTransform(
            "Resize with interpolation nearest-exact on tensors cannot be expressed as Vitrine's "
            "preprocessing (resize the image before it becomes a tensor)"
        )


def _interpolation(step: Any) -> str:
    """'bilinear': torchvision's value, or the name of Pillow's number."""
    found = getattr(step.interpolation, "value", step.interpolation)
    return Image.Resampling(found).name.lower() if isinstance(found, int) else str(found)


def _normalized(made: Preprocessing, step: Any) -> Preprocessing:
    """One value holds for all channels of the image, as in torchvision."""
    mean, std = tuple(map(float, step.mean)), tuple(map(float, step.std))
    channels = max(len(mean), len(std), made.channels if len(mean) == len(std) == 1 else 1)
    return replace(made, mean=_for_all(mean, channels), std=_for_all(std, channels))


def _for_all(values: tuple[float, ...], channels: int) -> tuple[float, ...]:
    return values * channels if len(values) == 1 else values


def _place(number: int, count: int) -> str:
    return f" (step {number} of {count})" if count > 1 else ""


def _named(step: Any) -> str:
    """'RandomHorizontalFlip', or the name of a function."""
    return str(getattr(step, "__qualname__", None) or type(step).__name__)


def _is_one(size: Any) -> bool:
    return isinstance(size, int) or len(size) == 1


def _resized(made: Preprocessing, step: Any) -> Preprocessing:
    if getattr(step, "max_size", None) is not None:
        raise UnreadableTransform("Resize with max_size cannot be expressed as Vitrine's preprocessing")
    kind, size = _interpolation(step), step.size
    if kind == "nearest-exact":  # of images it is Pillow's nearest
        kind = "nearest"
    if kind.upper() not in Image.Resampling.__members__:
        raise UnreadableTransform(
            f"Resize with interpolation {kind} cannot be expressed as Vitrine's preprocessing: choose from "
            f"{', '.join(name.lower() for name in Image.Resampling.__members__)}"
        )
    if _is_one(size):
        return replace(made, resize=int(size if isinstance(size, int) else size[0]), interpolation=kind)
    return replace(made, size=(int(size[0]), int(size[1])), resize=None, interpolation=kind)


def _cropped(made: Preprocessing, step: Any) -> Preprocessing:
    """A crop after the shorter side, or the whole image (`made.size`), was resized."""
    size = (step.size,) * 2 if isinstance(step.size, int) else tuple(step.size)
    cropped = int(size[0]), int(size[-1])
    if made.resize is None and made.size not in ((0, 0), cropped):
        return replace(made, size=cropped, resize=made.size)
    return replace(made, size=cropped)
