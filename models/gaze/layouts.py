"""Sets with fixations in the folder layouts of their authors. MATLAB files are read by SciPy, which runs no
code in them."""

import json
from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from models.data.images import SUFFIXES, UnreadableImage, open_image
from models.errors import UserError
from models.gaze.gaze_set import GazeSet, Viewed, checked, size_of


def read_layout(root: Path) -> GazeSet:
    """Read a folder by the first of `LAYOUTS` that it has. Raises UserError where it has none."""
    for name, (marks, read) in LAYOUTS.items():
        if all((root / mark).is_dir() for mark in marks):
            images = sorted(read(root), key=lambda image: image.id)
            if not images:
                raise UserError(
                    f"'{root}' has the folders of {name}, but no image in them with fixations or a density "
                    "map."
                )
            return checked(GazeSet(root.resolve().name, str(root), tuple(images), f"layout of {name}"))
    known = "; ".join(f"{name} ({', '.join(marks)})" for name, (marks, _) in LAYOUTS.items())
    raise UserError(f"'{root}' has neither a table of fixations nor the folders of a known set: {known}.")


def salicon(root: Path) -> Iterable[Viewed]:
    """`images/PART/*.jpg`, `fixations/PART/*.mat` (one entry of `gaze` per person; M. Jiang et al. 2015) or
    `fixations_PART*.json`, `maps/PART/*.png`."""
    spoken = _salicon_json(root)
    for path in _pictures(root / "images"):
        part = path.relative_to(root / "images").with_suffix("")
        points = _salicon_mat(root / "fixations" / part.with_suffix(".mat")) or spoken.get(path.name)
        yield from _viewed(path, root / "images", points, root / "maps" / part)


def _salicon_mat(path: Path) -> "list[np.ndarray] | None":
    if not path.is_file():
        return None
    gaze = _matlab(path)["gaze"].ravel()
    return [np.asarray(person["fixations"], np.float32).reshape(-1, 2) - 1 for person in gaze]


def _salicon_json(root: Path) -> dict[str, list[np.ndarray]]:
    """COCO-like: fixations of an annotation are [row, column] from 1."""
    found: dict[str, list[np.ndarray]] = defaultdict(list)
    for file in sorted([*root.glob("fixations*.json"), *root.glob("annotations/fixations*.json")]):
        try:
            spoken = json.loads(file.read_text(encoding="utf-8"))
            names = {image["id"]: Path(image["file_name"]).name for image in spoken["images"]}
            for note in spoken["annotations"]:
                found[names[note["image_id"]]].append(
                    np.asarray(note["fixations"], np.float32).reshape(-1, 2)[:, ::-1] - 1
                )
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(
                f"'{file}' cannot be read as SALICON's annotations ({type(error).__name__})."
            ) from error
    return found


def mit1003(root: Path) -> Iterable[Viewed]:
    """`ALLSTIMULI/*.jpeg`, `ALLFIXATIONMAPS/*_fixPts.jpg` (a white point per fixation, of all people
    together) and `*_fixMap.jpg` (T. Judd et al. 2009)."""
    for path in _pictures(root / "ALLSTIMULI"):
        points = root / "ALLFIXATIONMAPS" / f"{path.stem}_fixPts.jpg"
        yield from _viewed(
            path, root / "ALLSTIMULI", _white_points(points), root / "ALLFIXATIONMAPS" / f"{path.stem}_fixMap"
        )


def cat2000(root: Path) -> Iterable[Viewed]:
    """`Stimuli/CATEGORY/*.jpg`, `FIXATIONLOCS/CATEGORY/*.mat` (`fixLocs`, a pixel is 1 where a fixation is),
    `FIXATIONMAPS` (A. Borji, L. Itti 2015)."""
    for path in _pictures(root / "Stimuli"):
        part = path.relative_to(root / "Stimuli").with_suffix("")
        file, points = root / "FIXATIONLOCS" / part.with_suffix(".mat"), None
        if file.is_file():
            rows, cols = np.nonzero(_matlab(file)["fixLocs"])
            points = [np.stack([cols, rows], 1).astype(np.float32)]
        yield from _viewed(path, root / "Stimuli", points, root / "FIXATIONMAPS" / part)


def pairs(root: Path) -> Iterable[Viewed]:
    """`images/...` and `maps/...` of the same names: densities only."""
    for path in _pictures(root / "images"):
        yield from _viewed(
            path, root / "images", None, root / "maps" / path.relative_to(root / "images").with_suffix("")
        )


LAYOUTS: dict[str, tuple[tuple[str, ...], Callable[[Path], Iterable[Viewed]]]] = {
    "MIT1003": (("ALLSTIMULI", "ALLFIXATIONMAPS"), mit1003),
    "CAT2000": (("Stimuli", "FIXATIONLOCS"), cat2000),
    "SALICON": (("images", "fixations"), salicon),
    "SALICON with annotations": (("images", "annotations"), salicon),
    "images with densities": (("images", "maps"), pairs),
}
"""Name -> (folders that must be there, reader). Of two that fit, the first."""


def _pictures(folder: Path) -> list[Path]:
    return sorted(
        p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES and "output" not in p.parent.name.lower()
    )


def _viewed(path: Path, base: Path, people: "list[np.ndarray] | None", stem: Path) -> Iterable[Viewed]:
    """The image with its fixations; none for an image that cannot be read, or has neither fixations nor a
    map. `people`: positions (n, 2) as x, y of each person; with a single entry the observer is unknown."""
    drawn = next(
        (f for suffix in (".png", ".jpg", ".jpeg") if (f := stem.parent / f"{stem.name}{suffix}").is_file()),
        None,
    )
    try:
        size = size_of(path)
    except UnreadableImage:
        return
    if people is None and drawn is None:
        return
    positions = np.concatenate(people).astype(np.float32) if people else np.zeros((0, 2), np.float32)
    who = np.full(len(positions), -1, np.int64)
    if people and len(people) > 1:
        who = np.repeat(np.arange(len(people)), [len(p) for p in people])
    yield Viewed(path.relative_to(base).as_posix(), path, size, positions[:, 0], positions[:, 1], who, drawn)


def _matlab(path: Path) -> dict[str, Any]:
    from scipy.io import loadmat

    try:
        found: dict[str, Any] = loadmat(path)
    except Exception as error:  # SciPy has many kinds; files of version 7.3 are HDF5
        raise UserError(
            f"'{path}' cannot be read as a MATLAB file ({str(error).splitlines()[0][:80]}): save it as "
            "version 7 or earlier."
        ) from error
    return found


def _white_points(path: Path) -> "list[np.ndarray] | None":
    """Centers of the white spots of an image: compression blurs a point over several pixels."""
    if not path.is_file():
        return None
    from scipy import ndimage

    bright = np.asarray(open_image(path).convert("L")) > 127
    spots, count = ndimage.label(bright)
    centers = np.array(ndimage.center_of_mass(bright, spots, range(1, count + 1)), np.float32).reshape(-1, 2)
    return [np.round(centers[:, ::-1])]
