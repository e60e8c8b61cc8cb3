"""One picture from the command line: what was typed, read; what was made, written."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from explain.methods.compute import MapResult
from explain.methods.live import ImageSession
from explain.methods.registry import get
from explain.render import colored, normalize, overlay, overlay_on_photo
from models.classes.index import class_index
from models.data.images import PNG, UnreadableImage, open_image
from models.errors import UserError
from models.files.atomic import output_file
from models.preprocessing import Preprocessing


def must_be_there(path: Path) -> None:
    """Raises UserError where there is no such file: to be asked before a network is loaded."""
    if not path.is_file():
        raise UserError(f"No image file '{path}': check the path.")


def read_picture(path: Path, fed: Preprocessing | None = None) -> Image.Image:
    """As a network that is `fed` so was trained on pictures. Raises UserError for what is no picture."""
    must_be_there(path)
    try:
        if fed is None:
            return open_image(path)
        return open_image(path, exif=fed.exif, bits=fed.bits, white=fed.white, alpha=fed.alpha)
    except UnreadableImage as error:
        raise UserError(f"'{path}' cannot be used: {error}.") from error


def class_number(classes: tuple[str, ...], text: str | None, what: str = "class") -> int | None:
    """As `models.classes.index.class_index`; None where no class is named."""
    return None if text is None else class_index(text, classes, what)


def settings_for(methods: Iterable[str], text: list[str]) -> dict[str, dict[str, Any]]:
    """'steps=20' for every method that has it, 'lime.samples=100' for one. Raises UserError for what nobody
    takes."""
    given: dict[str, dict[str, Any]] = {name: {} for name in methods}
    for word in text:
        path, is_there, value = word.partition("=")
        owner, _, name = path.rpartition(".")
        takers = [m for m in given if owner in ("", m) and any(p.name == name for p in get(m).parameters)]
        if not is_there or not takers:
            known = [f"{m}.{p.name}" for m in given for p in get(m).parameters]
            problem = "no method chosen has this parameter" if is_there else "give name=value"
            raise UserError(
                f"--set {word}: {problem}; there are {', '.join(known) or 'no parameters of these methods'}."
            )
        for m in takers:
            given[m][name] = value
    for m, values in given.items():
        get(m).settings(values)
    return given


def write(session: ImageSession, made: MapResult, stem: Path) -> list[Path]:
    """STEM.METHOD.npy (raw float32), .map.png (colored, the map's own resolution), .png (over the picture as
    the network sees it); of a face of a photo also .photo.png (over the photo), before the last.

    Raises UserError where it cannot be written.
    """
    ends = (".npy", ".map.png", ".photo.png", ".png")
    files = [stem.with_name(f"{stem.name}.{made.request.method}{end}") for end in ends]
    if session.place is None:
        del files[2]
    scaled = normalize(made.raw)
    try:
        stem.parent.mkdir(parents=True, exist_ok=True)
        np.save(files[0], made.raw)
        colored(scaled).save(files[1])
        if session.photo is not None and session.place is not None:
            overlay_on_photo(session.photo, scaled, session.place).save(files[2], **PNG)
        overlay(session.image, scaled).save(files[-1], **PNG)
    except OSError as error:
        raise UserError(
            f"'{stem.parent}' cannot be written ({error.strerror or error}): free space, or choose another "
            "--out."
        ) from error
    return files


def write_faces(session: ImageSession, stem: Path) -> Path | None:
    """STEM.faces.json: the faces that were found, and which part of the photo was used; None where none were
    looked for. Raises UserError where it cannot be written."""
    if session.face is None:
        return None
    path = stem.with_name(f"{stem.name}.faces.json")
    with output_file(path, "free space, or choose another --out") as temporary:
        temporary.write_text(json.dumps(session.face.as_dict(), indent=1, ensure_ascii=False) + "\n")
    return path
