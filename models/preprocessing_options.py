"""Options of the command line for a network's input, and the options that reproduce a preprocessing."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from functools import wraps
from typing import Annotated, Any

import typer

from models.errors import UserError
from models.preprocessing import Preprocessing

INTERPOLATIONS = ("nearest", "bilinear", "bicubic", "lanczos", "box", "hamming")
EXIF = ("apply", "ignore")
MOST_PIXELS = 4096  # a side
_RESIZE = "squash (the whole image), or the length of the shorter side before the center crop, such as 256"


@dataclass(frozen=True)
class PreprocessingOptions:
    """As typed; None where an option is not given. `transform_input`: of torchvision's Inception v3 and
    GoogLeNet."""

    input_size: str | None = None
    resize: str | None = None
    mean: str | None = None
    std: str | None = None
    interpolation: str | None = None
    exif: str | None = None
    bits: str | None = None
    transform_input: bool | None = None

    @property
    def given(self) -> list[str]:
        """Names of the options that were given, as on the command line."""
        message = [f"--{f.name.replace('_', '-')}" for f in fields(self) if getattr(self, f.name) is not None]
        return [
            "--no-transform-input" if o == "--transform-input" and not self.transform_input else o
            for o in message
        ]

    def apply(self, base: Preprocessing) -> Preprocessing:
        """`base`, changed by the options that are given. Raises UserError for a value that is not accepted,
        and for a size without the way to reach it."""
        size = _size(self.input_size) if self.input_size is not None else base.size
        if self.resize is not None:
            resize = _resize(self.resize, size)
        elif self.input_size is not None and size != base.size and base.resize is not None:
            raise UserError(
                f"--input-size {self.input_size} does not say how an image gets that small: add --resize "
                f"{_RESIZE}."
            )
        else:
            resize = base.resize
        mean = _values("--mean", self.mean, base.channels) if self.mean is not None else base.mean
        std = _values("--std", self.std, base.channels) if self.std is not None else base.std
        if min(std) <= 0:
            raise UserError(f"--std {self.std}: standard deviations are above 0, for values from 0 to 1.")
        interpolation = _one_of("--interpolation", self.interpolation or base.interpolation, INTERPOLATIONS)
        bits = _bits(self.bits) if self.bits is not None else base.bits
        return replace(
            base,
            size=size,
            resize=resize,
            mean=mean,
            std=std,
            interpolation=interpolation,
            exif=_one_of("--exif", self.exif or base.exif, EXIF),
            bits=bits,
        )


NO_OPTIONS = PreprocessingOptions()


def words_for(p: Preprocessing, transform_input: bool | None = None) -> list[str]:
    """The options that reproduce `p`, for a command line."""
    size = str(p.size[0]) if p.size[0] == p.size[1] else f"{p.size[0]}x{p.size[1]}"
    words = [
        "--input-size",
        size,
        "--resize",
        "squash" if p.resize is None else str(p.resize),
        "--mean",
        ",".join(repr(v) for v in p.mean),
        "--std",
        ",".join(repr(v) for v in p.std),
        "--interpolation",
        p.interpolation,
    ]
    words += [
        *(["--exif", p.exif] if p.exif != "apply" else []),
        *(["--bits", str(p.bits)] if p.bits else []),
    ]
    return words + (
        ["--transform-input" if transform_input else "--no-transform-input"]
        if transform_input is not None
        else []
    )


HELP = {
    "input_size": "Pixels that the network takes: 224, or 192x256 for height x width (default: the model's).",
    "resize": f"{_RESIZE} (default: the model's).",
    "mean": "Mean of each channel for values from 0 to 1, with commas, or one number (default: the model's).",
    "std": "Standard deviation of each channel, likewise (default: the model's).",
    "interpolation": f"How images are resized: {', '.join(INTERPOLATIONS)} (default: the model's).",
    "bits": "Bits that integer images of more than 8 bits use, 9 to 16 (default: as the data shows).",
    "exif": "Turn photos as their EXIF orientation says: apply, or ignore (default: apply).",
}
"""Field of `PreprocessingOptions` -> help of its option, in the order of `--help`."""


def takes_preprocessing(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command of the command line the options of this file: its parameter `preprocessing` becomes one
    option for each field."""
    options = _typer_options()
    names = [p.name for p in options]

    @wraps(command)
    def called(**given: Any) -> Any:
        return command(
            **{k: v for k, v in given.items() if k not in names},
            preprocessing=PreprocessingOptions(**{name: given.get(name) for name in names}),
        )

    signature = inspect.signature(command, eval_str=True)
    kept = [
        p.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        for p in signature.parameters.values()
        if p.name != "preprocessing"
    ]
    called.__signature__ = signature.replace(parameters=[*kept, *options])  # type: ignore[attr-defined]
    called.__annotations__ = {p.name: p.annotation for p in (*kept, *options)} | {"return": None}
    del called.__wrapped__  # type: ignore[attr-defined] # Typer would read the annotations of what is wrapped
    return called


def _typer_options() -> list[inspect.Parameter]:
    """One keyword parameter for each field, with its help."""
    transform_input = typer.Option(
        "--transform-input/--no-transform-input",
        help="Inception v3 and GoogLeNet: as torchvision's pretrained ones, or not (default: as those).",
    )
    made = [(name, Annotated[str | None, typer.Option(help=text)]) for name, text in HELP.items()]
    return [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)
        for name, annotation in [*made, ("transform_input", Annotated[bool | None, transform_input])]
    ]


def _size(text: str) -> tuple[int, int]:
    sides = [part.strip() for part in text.lower().replace("×", "x").split("x")]
    if len(sides) > 2 or not all(side.isdecimal() and 0 < int(side) <= MOST_PIXELS for side in sides):
        raise UserError(
            f"--input-size {text}: give pixels from 1 to {MOST_PIXELS}, as 224, or height x width, as "
            "192x256."
        )
    return int(sides[0]), int(sides[-1])


def _resize(text: str, size: tuple[int, int]) -> int | None:
    message = text.strip().lower().removeprefix("shorter:")
    if message == "squash":
        return None
    if not (message.isdecimal() and 0 < int(message) <= MOST_PIXELS):
        raise UserError(f"--resize {text}: give {_RESIZE}.")
    if int(message) < min(size):
        raise UserError(
            f"--resize {text}: a shorter side of {message} is less than the input of {size[0]} × {size[1]}, "
            "the crop would have "
            "black borders: give at least the input's size."
        )
    return int(message)


def _values(option: str, text: str, channels: int) -> tuple[float, ...]:
    try:
        values = tuple(float(part) for part in text.split(","))
    except ValueError:
        values = ()
    if len(values) not in (1, channels) or not all(-10 < v < 10 for v in values):
        raise UserError(
            f"{option} {text}: give {channels} numbers for values from 0 to 1, as "
            f"{','.join(['0.5'] * channels)}, or one for all."
        )
    return values * channels if len(values) == 1 else values


def _bits(text: str) -> int:
    if not (text.isdecimal() and 8 < int(text) <= 16):
        raise UserError(f"--bits {text}: give 9 to 16; where 4095 is white, 12.")
    return int(text)


def _one_of(option: str, message: str, allowed: tuple[str, ...]) -> str:
    if message.lower() not in allowed:
        raise UserError(f"{option} {message}: choose from {', '.join(allowed)}.")
    return message.lower()
