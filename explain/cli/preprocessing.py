"""The options of the command line for a network's input."""

import inspect
import re
from collections.abc import Callable
from functools import wraps
from typing import Annotated, Any

import typer

from models.inputs.options import HOW_TO_RESIZE, INTERPOLATIONS, PreprocessingOptions

HELP = {
    "input_size": "Pixels that the network takes: 224, or 192x256 for height x width (default: the model's).",
    "resize": f"How an image gets that size: {HOW_TO_RESIZE} (default: the model's).",
    "crop": "Crop after the shorter side is resized: center; center-floor (odd margins are rounded down, as "
    "in transformers); none: no crop; all images must already have --input-size (default: mostly "
    "center).",
    "fill": "Color of the padding of --resize letterbox: 0 to 255 for every channel, or red,green,blue, or "
    "red,green,blue,alpha (default: 0, black).",
    "interpolation": f"How images are resized: {', '.join(INTERPOLATIONS)} (default: the model's).",
    "scale": "What 8-bit pixels are divided by before mean and std: 255, or 1 or none for values from 0 to "
    "255 (default: the model's, mostly 255).",
    "mean": "Mean of each channel for values from 0 to 1, or in the units of --scale, with commas, or one "
    "number; of rgba three numbers leave alpha at mean 0 and std 1 (default: the model's).",
    "std": "Standard deviation of each channel, in the same units as --mean (default: the model's).",
    "channels": "Channels that the network takes: rgb, bgr (as OpenCV reads images), grey, grey-last "
    "(color images become grey after resize and crop), or with alpha rgba, bgra, grey-alpha (images without "
    "alpha are opaque); give mean and std in this channel order (default: the model's).",
    "exif": "Turn photos as their EXIF orientation says: apply, or ignore (default: apply).",
    "bits": "Bits that integer images of more than 8 bits use, 9 to 16; 0: as the data shows (default: 0).",
    "preprocess": "torchvision transform instead of the options above, as FILE.py:NAME; the file is run "
    "(default: none).",
}
"""Field of `PreprocessingOptions` -> help of its option, in the order of `--help`."""
TRANSFORM_INPUT = (
    "Inception v3 and GoogLeNet only: apply the input transform of torchvision's pretrained weights "
    "(default: as the weights)."
)


def takes_preprocessing(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command of the command line the options of `HELP`: its parameter `preprocessing` becomes one
    option for each field. The defaults of a command with a parameter `run` are the run's."""
    signature = inspect.signature(command, eval_str=True)
    options = _typer_options(of_run="run" in signature.parameters)
    names = [p.name for p in options]

    @wraps(command)
    def called(**given: Any) -> Any:
        return command(
            **{k: v for k, v in given.items() if k not in names},
            preprocessing=PreprocessingOptions(**{name: given.get(name) for name in names}),
        )

    kept = [
        p.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        for p in signature.parameters.values()
        if p.name != "preprocessing"
    ]
    called.__signature__ = signature.replace(parameters=[*kept, *options])  # type: ignore[attr-defined]
    called.__annotations__ = {p.name: p.annotation for p in (*kept, *options)} | {"return": None}
    del called.__wrapped__  # type: ignore[attr-defined] # Typer would read the annotations of what is wrapped
    return called


def _typer_options(of_run: bool) -> list[inspect.Parameter]:
    """One keyword parameter for each field, with its help."""

    def said(text: str) -> str:
        return re.sub(r"\(default: .*\)", "(default: the run's)", text) if of_run else text

    transform_input = typer.Option("--transform-input/--no-transform-input", help=said(TRANSFORM_INPUT))
    made = [(name, Annotated[str | None, typer.Option(help=said(text))]) for name, text in HELP.items()]
    return [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)
        for name, annotation in [*made, ("transform_input", Annotated[bool | None, transform_input])]
    ]
