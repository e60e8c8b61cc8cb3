"""One picture on the command line: options are read, maps are written."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from explain.methods.compute import MapResult
from explain.methods.live import ImageSession
from explain.methods.registry import get
from explain.render import colored, normalize, overlay
from models.classes import find_class, near_names
from models.data.images import UnreadableImage, open_image
from models.errors import UserError
from models.preprocessing import Preprocessing


def must_be_there(path: Path) -> None:
    """Raises UserError where there is no such file; called before a network is loaded."""
    if not path.is_file():
        raise UserError(f"There is no picture '{path}': name a file.")


def read_picture(path: Path, preprocessing: Preprocessing | None = None) -> Image.Image:
    """An image file, with the EXIF rotation and bit depth of `preprocessing`. Raises UserError for a file
    that is no picture."""
    must_be_there(path)
    try:
        return (
            open_image(path, exif=preprocessing.exif, bits=preprocessing.bits)
            if preprocessing
            else open_image(path)
        )
    except UnreadableImage as error:
        raise UserError(f"'{path}' cannot be used: {error}.") from error


def class_number(classes: tuple[str, ...], text: str | None) -> int | None:
    """'fear' or '4' -> its number; where classes are called by numbers, these are names. Raises UserError
    with similar names."""
    if text is None:
        return None
    if (number := find_class(text, classes)) is not None:
        return number
    numbered = any(name.isdecimal() for name in classes)
    if text.isdecimal() and int(text) < len(classes) and not numbered:
        return int(text)
    shown = near_names(text, classes, cutoff=0.4) or list(classes[:8])
    numbers = "" if numbered else f"; a number from 0 to {len(classes) - 1} is taken too"
    raise UserError(f"No class '{text[:60]}': near are {', '.join(shown)}{numbers}.")


def settings_for(methods: Iterable[str], text: list[str]) -> dict[str, dict[str, Any]]:
    """'steps=20' for every method that has it, 'lime.samples=100' for one. Raises UserError for a parameter
    that no method has."""
    given: dict[str, dict[str, Any]] = {name: {} for name in methods}
    for word in text:
        path, is_there, value = word.partition("=")
        owner, _, name = path.rpartition(".")
        takers = [m for m in given if owner in ("", m) and any(p.name == name for p in get(m).parameters)]
        if not is_there or not takers:
            known = [f"{m}.{p.name}" for m in given for p in get(m).parameters]
            raise UserError(
                f"--set {word}: give name=value; there are "
                f"{', '.join(known) or 'no parameters of these methods'}."
            )
        for m in takers:
            given[m][name] = value
    for m, values in given.items():
        get(m).settings(values)
    return given


def write(session: ImageSession, made: MapResult, stem: Path) -> list[Path]:
    """STEM.METHOD.npy (raw float32), .map.png (colored, the map's own resolution), .png (laid over the
    session's image).

    Raises UserError where it cannot be written.
    """
    files = [
        stem.with_name(f"{stem.name}.{made.request.method}{end}") for end in (".npy", ".map.png", ".png")
    ]
    scaled = normalize(made.raw)
    try:
        stem.parent.mkdir(parents=True, exist_ok=True)
        np.save(files[0], made.raw)
        colored(scaled).save(files[1])
        overlay(session.image, scaled).save(files[2])
    except OSError as error:
        raise UserError(
            f"'{stem.parent}' cannot be written ({error.strerror or error}): free space, or choose another "
            "--out."
        ) from error
    return files
