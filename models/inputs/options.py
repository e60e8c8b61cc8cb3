"""What a person says about a network's input, and the options that reproduce a preprocessing."""

from dataclasses import asdict, dataclass, fields, replace
from math import isfinite

from models.errors import UserError
from models.inputs.channels import COLORS, channels_of
from models.preprocessing import CROPS, LETTERBOX, Preprocessing, Resize

INTERPOLATIONS = ("nearest", "bilinear", "bicubic", "lanczos", "box", "hamming")
EXIF = ("apply", "ignore")
MOST_PIXELS = 4096  # a side
MOST_SCALE = 1000
HOW_TO_RESIZE = (
    "squash (the whole image), squash:256 (before the center crop), letterbox (the whole image, padded), or "
    "the length of the shorter side before the center crop, such as 256"
)
GREYS = ("grey", "grey-last")
KEPT_WITH_TRANSFORM = ("exif", "bits", "transform_input")
"""Fields about which a transform says nothing."""


@dataclass(frozen=True)
class PreprocessingOptions:
    """As typed; None where an option is not given. `preprocess`: a transform in a Python file, whose code is
    run by `resolved`: such options come from the command line or from Python alone, and no file holds them.
    `transform_input`: of torchvision's Inception v3 and GoogLeNet."""

    input_size: str | None = None
    resize: str | None = None
    crop: str | None = None
    fill: str | None = None
    interpolation: str | None = None
    scale: str | None = None
    mean: str | None = None
    std: str | None = None
    channels: str | None = None
    exif: str | None = None
    bits: str | None = None
    preprocess: str | None = None
    transform_input: bool | None = None

    @property
    def given(self) -> list[str]:
        """Names of the options that were given, as on the command line."""
        message = [f"--{f.name.replace('_', '-')}" for f in fields(self) if getattr(self, f.name) is not None]
        return [
            "--no-transform-input" if o == "--transform-input" and not self.transform_input else o
            for o in message
        ]

    @property
    def origin(self) -> str:
        """Where what is given comes from, one phrase."""
        if self.preprocess is None:
            return f"{', '.join(self.given)} given"
        others = [option for option in self.given if option != "--preprocess"]
        also = f"; {', '.join(others)} given" if others else ""
        from models.inputs.transform_file import how_compared

        return f"read from {self.preprocess}, and {how_compared(self.preprocess)}{also}"

    def resolved(self) -> "PreprocessingOptions":
        """The same as plain values: a transform in a Python file is read, and replaced by the options that
        reproduce it. Raises UserError for one that cannot be read, and for options that contradict it."""
        if self.preprocess is None:
            return self
        kept = {name: getattr(self, name) for name in KEPT_WITH_TRANSFORM}
        others = PreprocessingOptions(**{**asdict(self), **dict.fromkeys(kept), "preprocess": None}).given
        if others:
            raise UserError(
                f"--preprocess {self.preprocess} says all of {', '.join(others)}: leave it or them out."
            )
        from models.inputs.transform_file import preprocessing_in_file

        return replace(options_for(preprocessing_in_file(self.preprocess)), **kept)

    def apply(self, base: Preprocessing) -> Preprocessing:
        """`base`, changed by the options that are given. Raises UserError for a value that is not accepted,
        and for options that do not say what the network gets."""
        if self.preprocess is not None:
            return self.resolved().apply(base)
        size = _size(self.input_size) if self.input_size is not None else base.size
        resize = _resize_of(self, base, size)
        color = _one_of("--channels", self.channels or base.color, COLORS)
        scale = _scale(self.scale) if self.scale is not None else base.scale
        mean, std = _mean_and_std(self, base, color, scale)
        return replace(
            base,
            size=size,
            resize=resize,
            crop=_crop(self, base, size, resize),
            fill=_fill(self, base, resize, color),
            scale=scale,
            mean=mean,
            std=std,
            order="bgr" if color in ("bgr", "bgra") else "rgb",
            grey_last=color == "grey-last",
            interpolation=_one_of(
                "--interpolation", self.interpolation or base.interpolation, INTERPOLATIONS
            ),
            exif=_one_of("--exif", self.exif or base.exif, EXIF),
            bits=_bits(self.bits) if self.bits is not None else base.bits,
        )


NO_OPTIONS = PreprocessingOptions()


def options_for(p: Preprocessing) -> PreprocessingOptions:
    """The options that make any preprocessing into `p`."""
    resize = f"squash:{_sides(p.resize)}" if isinstance(p.resize, tuple) else str(p.resize or "squash")
    return PreprocessingOptions(
        input_size=_sides(p.size),
        resize=resize,
        crop=p.crop if isinstance(p.resize, int | tuple) else None,
        fill=_joined(p.fill) if p.resize == LETTERBOX else None,
        interpolation=p.interpolation,
        scale=_short(p.scale),
        mean=_joined(p.mean),
        std=_joined(p.std),
        channels=p.color,
        exif=p.exif,
        bits=str(p.bits),
    )


def words_for(
    p: Preprocessing,
    transform_input: bool | None = None,
    base: Preprocessing | None = None,
    always: bool = False,
) -> list[str]:
    """The options that make `base` (by default one without unusual settings) into `p`, for a command line;
    `always`: that make any preprocessing into it."""
    usual, options = Preprocessing(), options_for(p)
    words = []
    for name, field in _UNUSUAL.items():
        known = {getattr(usual, field), getattr(base or usual, field), getattr(p, field)}
        if len(known) == 1 and not always:
            options = replace(options, **{name: None})
    for f in fields(options):
        if isinstance(value := getattr(options, f.name), str):
            words += [f"--{f.name.replace('_', '-')}", value]
    return words + (
        ["--transform-input" if transform_input else "--no-transform-input"]
        if transform_input is not None
        else []
    )


_UNUSUAL = {
    "crop": "crop",
    "fill": "fill",
    "scale": "scale",
    "channels": "color",
    "exif": "exif",
    "bits": "bits",
}
"""Options that are left out where they change nothing -> field or property of `Preprocessing`."""


def _sides(size: tuple[int, int]) -> str:
    return str(size[0]) if size[0] == size[1] else f"{size[0]}x{size[1]}"


def _short(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(value)


def _joined(values: tuple[float, ...]) -> str:
    return ",".join(map(repr, values))


def _numbers(text: str) -> tuple[float, ...]:
    """'0.5,0.4' -> (0.5, 0.4); nothing for what is no list of numbers."""
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        return ()


def _pixels(text: str) -> tuple[int, int] | None:
    """'224' or '192x256' -> (height, width); None for what is no size."""
    sides = [part.strip() for part in text.lower().replace("×", "x").split("x")]
    if len(sides) > 2 or not all(side.isdecimal() and 0 < int(side) <= MOST_PIXELS for side in sides):
        return None
    return int(sides[0]), int(sides[-1])


def _size(text: str) -> tuple[int, int]:
    if (size := _pixels(text)) is None:
        raise UserError(
            f"--input-size {text}: give pixels from 1 to {MOST_PIXELS}, as 224, or height x width, as "
            "192x256."
        )
    return size


def _resize_of(options: PreprocessingOptions, base: Preprocessing, size: tuple[int, int]) -> Resize:
    if options.resize is not None:
        return _resize(options.resize, size)
    if size != base.size and base.resize not in (None, LETTERBOX):
        raise UserError(
            f"--input-size {options.input_size} does not say how an image gets that small: add --resize "
            f"{HOW_TO_RESIZE}."
        )
    return base.resize


def _resize(text: str, size: tuple[int, int]) -> Resize:
    kind, _, length = text.strip().lower().rpartition(":")
    if not kind and length == "squash":
        return None
    if not kind and length == LETTERBOX:
        return LETTERBOX
    scaled = _pixels(length)
    if scaled is None or kind not in ("", "shorter", "squash") or ("x" in length and kind != "squash"):
        raise UserError(f"--resize {text}: give {HOW_TO_RESIZE}.")
    if kind == "squash" and scaled == size:
        return None
    smaller = (
        any(a < b for a, b in zip(scaled, size, strict=True)) if kind == "squash" else scaled[0] < min(size)
    )
    if smaller:
        what = (
            f"an image of {scaled[0]} × {scaled[1]}" if kind == "squash" else f"a shorter side of {scaled[0]}"
        )
        raise UserError(
            f"--resize {text}: {what} is less than the input of {size[0]} × {size[1]}, the crop would have "
            "black borders: give at least the input's size."
        )
    return scaled if kind == "squash" else scaled[0]


def _crop(options: PreprocessingOptions, base: Preprocessing, size: tuple[int, int], resize: Resize) -> str:
    if not isinstance(resize, int | tuple):
        if options.crop is not None:
            whole = "letterboxed" if resize == LETTERBOX else "squashed"
            raise UserError(
                f"--crop {options.crop} is for --resize N, the length of the shorter side, and here the "
                f"whole image is {whole}: leave --crop out, or give --resize N."
            )
        return "center"
    crop = _one_of("--crop", options.crop or base.crop, CROPS)
    if crop == "none" and isinstance(resize, tuple):
        raise UserError(f"--crop none: --resize {options.resize} needs a crop: give --resize squash instead.")
    if crop == "none" and resize != min(size):
        raise UserError(
            f"--crop none: a shorter side of {resize} without a crop is no input of {size[0]} × {size[1]}: "
            f"give --resize {min(size)}, or another --input-size."
        )
    return crop


def _fill(options: PreprocessingOptions, base: Preprocessing, resize: Resize, color: str) -> tuple[int, ...]:
    if resize != LETTERBOX:
        if options.fill is not None:
            raise UserError(f"--fill {options.fill} is for --resize letterbox: leave it out, or add that.")
        return (0,)
    counts = {1, channels_of(color)}
    if options.fill is None:
        if len(base.fill) not in counts:
            raise UserError(
                f"--channels {color} does not say the {_PADDING[color]} of the padding: add --fill 0, or "
                "another."
            )
        return base.fill
    values = _numbers(options.fill)
    if len(values) not in counts or not all(v == int(v) and 0 <= v <= 255 for v in values if isfinite(v)):
        values = ()
    if not values or not all(map(isfinite, values)):
        raise UserError(
            f"--fill {options.fill}: give a grey from 0 (black) to 255, such as 114"
            + ("." if color in GREYS else f", or {_FILLS[color]}.")
        )
    whole = tuple(int(v) for v in values)
    return whole[:1] if len(set(whole)) == 1 else whole


_PADDING = dict.fromkeys(COLORS, "color") | dict.fromkeys(GREYS, "grey")
_FILLS = dict.fromkeys(COLORS, "red,green,blue") | {
    "rgba": "red,green,blue,alpha",
    "bgra": "red,green,blue,alpha",
    "grey-alpha": "grey,alpha",
}


def _scale(text: str) -> float:
    values = (1.0,) if text.strip().lower() == "none" else _numbers(text)
    if len(values) != 1 or not 1 <= values[0] <= MOST_SCALE:
        raise UserError(
            f"--scale {text}: give 255 (values from 0 to 1 before mean and std), or 1 or none (values from 0 "
            "to 255)."
        )
    return values[0]


def _mean_and_std(
    options: PreprocessingOptions, base: Preprocessing, color: str, scale: float
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """In the units of `scale` and the order of the channels, both of which those of `base` may not have."""
    channels, found = channels_of(color), []
    for option, text, known in (("--mean", options.mean, base.mean), ("--std", options.std, base.std)):
        if text is not None:
            found.append(_values(option, text, channels, scale))
            continue
        if scale != base.scale and set(known) != {0.0 if option == "--mean" else 1.0}:
            raise UserError(
                f"--scale {options.scale} changes the units of mean and std: add {option}, for values from 0 "
                f"to {255 / scale:g}."
            )
        if color != base.color and len(set(known)) > 1 and not {color, base.color} <= {*GREYS}:
            raise UserError(
                f"--channels {options.channels}: add {option} with {channels} "
                f"number{'s' if channels > 1 else ''}{_ORDER[color]}."
            )
        found.append(known if len(known) == channels else known[:1] * channels)
    if min(found[1]) <= 0:
        raise UserError(f"--std {options.std}: standard deviations are above 0.")
    return found[0], found[1]


_ORDER = {
    "rgb": " in the order red,green,blue",
    "bgr": " in the order blue,green,red",
    "grey": "",
    "grey-last": "",
    "rgba": " in the order red,green,blue,alpha",
    "bgra": " in the order blue,green,red,alpha",
    "grey-alpha": " in the order grey,alpha",
}
_OF_ALPHA = {"--mean": 0.0, "--std": 1.0}
"""Where the values of red, green and blue alone are given."""


def _values(option: str, text: str, channels: int, scale: float) -> tuple[float, ...]:
    values, white = _numbers(text), 255 / scale
    if channels == 4 and len(values) == 3:
        values = (*values, _OF_ALPHA[option])
    if len(values) not in (1, channels) or not all(-10 * white < v < 10 * white for v in values):
        example = f"{0.5 * white:g}"
        larger = (
            " (for values from 0 to 255 add --scale 1)" if white == 1 and max(values, default=0) > 1 else ""
        )
        raise UserError(
            f"{option} {text}: give {channels} number{'s' if channels > 1 else ''} for values from 0 to "
            f"{white:g}, as {','.join([example] * channels)}"
            f"{', or one for all' if channels > 1 else ''}{larger}."
        )
    return values * channels if len(values) == 1 else values


def _bits(text: str) -> int:
    if not (text.isdecimal() and (int(text) == 0 or 8 < int(text) <= 16)):
        raise UserError(f"--bits {text}: give 9 to 16 (where 4095 is white, 12), or 0: as the data shows.")
    return int(text)


def _one_of(option: str, message: str, allowed: tuple[str, ...]) -> str:
    if message.lower() not in allowed:
        raise UserError(f"{option} {message}: choose from {', '.join(allowed)}.")
    return message.lower()
