"""The photos of a folder, each cropped to its largest face, in a folder of its own."""

import json
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TextIO

from models.counts import be, counted
from models.data.folder import HIDDEN, LINK, hidden_note, images_below, links_note
from models.data.images import PNG, UnreadableImage, open_image
from models.data.remote.location import stamp_of
from models.data.skipped import FACES_LIST, not_read
from models.data.source import joined
from models.errors import UserError
from models.faces.crop import FaceCrop, FaceRequest, crop_face
from models.faces.detectors import opened
from models.files.atomic import output_file
from models.interrupts import raise_if_interrupted

LIST = FACES_LIST
"""The request in the first line, then a line for each photo: size and time of its file (`stamp`), what was
found in it, and what was used."""
REMEDY = "free space, or choose another --out"


@dataclass(eq=False)
class FolderCrops:
    """`folder`: photos, below it any folders, which are kept; `out`: where crops are written, PNG of the same
    names; `whole`: whether photos without a face are written as they are, or left out. `note`: which files of
    the folder are not read, as for the data of a run.

    Raises UserError where there is no such folder or no photo in it, where `out` lies in it or it in `out`,
    and where `out` holds crops of another folder or request.
    """

    folder: Path
    out: Path
    request: FaceRequest
    whole: bool = False
    note: str = field(default="", init=False)
    _lines: dict[str, dict[str, Any]] = field(default_factory=dict)
    _outdated: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        if not self.folder.is_dir():
            raise UserError(f"No folder '{self.folder}': give a folder of photos.")
        here, there = self.folder.resolve(), self.out.resolve()
        if here.is_relative_to(there) or there.is_relative_to(here):
            raise UserError(
                f"One of '{self.folder}' and --out '{self.out}' lies in the other: choose a folder outside "
                "of it; nothing is written into the source."
            )
        opened(self.request.detector)
        skipped: Counter[str] = Counter()
        photos = images_below(self.folder, skipped)
        links, hidden = (skipped.pop(kind, 0) for kind in (LINK, HIDDEN))
        unread = not_read(skipped)
        self.note = joined(links_note(links), hidden_note(hidden), unread)
        if not photos:
            reason = f" {unread}." if unread else ""
            raise UserError(
                f"No images in '{self.folder}': give a folder of JPEG, PNG or other images.{reason}"
            )
        self._crops = _names([path.relative_to(self.folder) for path in photos if isinstance(path, Path)])
        self._resume()

    @property
    def _plan(self) -> dict[str, Any]:
        margin = {"margin": self.request.used_margin, "whole": self.whole}
        return {"folder": str(self.folder.resolve()), **asdict(self.request), **margin}

    def _resume(self) -> None:
        """Read what an earlier call has finished. A photo whose line was cut off is cropped again, and so is
        one that is another file now."""
        if self.out.is_file() or (self.out.is_dir() and not _is_ours(self.out)):
            raise UserError(f"'{self.out}' is not empty: choose another --out.")
        file = self.out / LIST
        if not file.is_file():
            return
        first, *rest = [_parsed(line) for line in file.read_text(encoding="utf-8").splitlines()] or [{}]
        if first != self._plan:
            raise UserError(
                f"'{self.out}' holds crops of another folder, or made with other options: choose another "
                "--out, or remove it."
            )
        lines = {line["photo"]: line for line in rest if isinstance(line.get("photo"), str)}
        self._lines = {photo: line for photo, line in lines.items() if self._is_current(line)}
        self._outdated = [line for photo, line in lines.items() if photo not in self._lines]

    def _is_current(self, line: dict[str, Any]) -> bool:
        """Whether a line is about the file that its photo is now, and its crop has the name that it gets now:
        names follow from all photos. Lines of earlier versions do not say which file they are about."""
        stamp, name = stamp_of(self.folder / line["photo"]), self._crops.get(line["photo"])
        return bool(stamp) and line.get("stamp") == stamp and (name is None or line.get("file", name) == name)

    def _remove_outdated(self) -> int:
        """Remove crops of photos that are gone or changed, which this command wrote by its list; how many are
        of photos that are gone. It comes before the list is written again: nothing else names these files."""
        used, gone = {line.get("file") for line in self._lines.values()}, 0
        for line in self._outdated:
            name = line.get("file")
            path = self.out / str(name)
            if not name or name in used or not _is_file_below(path, self.out):
                continue
            _remove(path, self.out)
            gone += not os.path.exists(self.folder / line["photo"])
        self._outdated = []
        return gone

    def steps(self, on_progress: Callable[[float], None] = lambda fraction: None) -> Iterator[str]:
        """Crop all photos that are not done yet; yields one line for each problem. Raises UserError where
        `out` cannot be written."""
        if gone := self._remove_outdated():
            photos = "a photo" if gone == 1 else "photos"
            yield f"{counted(gone, 'crop')} of {photos} that {be(gone)} gone: removed"
        with self._list() as file:
            for number, (photo, crop) in enumerate(self._crops.items(), 1):
                raise_if_interrupted()
                if photo not in self._lines:
                    line = self._cropped(photo, crop)
                    print(json.dumps(line, ensure_ascii=False), file=file, flush=True)
                    self._lines[photo] = line
                    if line["problem"]:
                        yield f"{photo}: {line['problem']}"
                on_progress(number / len(self._crops))

    @contextmanager
    def _list(self) -> Iterator[TextIO]:
        """The list of what was done, to be continued: whole lines only."""
        path, lines = self.out / LIST, [self._plan, *self._lines.values()]
        with output_file(path, REMEDY) as temporary:
            temporary.write_text(
                "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), "utf-8"
            )
        with path.open("a", encoding="utf-8") as file:
            yield file

    def _cropped(self, photo: str, crop: str) -> dict[str, Any]:
        """Write one crop; the line of the list."""
        line = {"photo": photo, "stamp": stamp_of(self.folder / photo)}  # before it is read: it may change
        try:
            image = open_image(self.folder / photo)
            found = crop_face(image, self.request)
        except UnreadableImage as error:
            return {**line, "problem": f"unreadable: {error}", "crop": ""}
        if not found.boxes and not self.whole:
            return {**line, "problem": "no face found: left out", **found.as_dict()}
        path = self.out / crop
        with output_file(path, REMEDY) as temporary:
            found.of(image).save(temporary, **PNG)
        return {**line, "problem": _problem(found), "file": crop, **found.as_dict()}

    @property
    def counts(self) -> str:
        """'5 photos: 3 cropped, 1 written whole, 1 without a face, 1 with several faces, 0 unreadable'."""
        lines = [line for photo, line in self._lines.items() if photo in self._crops]
        read = [line for line in lines if "boxes" in line]
        cropped = sum(line["crop"] is not None and "file" in line for line in read)
        return (
            f"{counted(len(lines), 'photo')} of {len(self._crops):,}: {cropped:,} cropped, "
            f"{sum('file' in line for line in read) - cropped:,} written whole, "
            f"{sum(not line['boxes'] for line in read):,} without a face, "
            f"{sum(len(line['boxes']) > 1 for line in read):,} with several faces, "
            f"{len(lines) - len(read):,} unreadable"
        )


def _problem(found: FaceCrop) -> str:
    if not found.boxes:
        return "no face found: written whole"
    if len(found.boxes) > 1:
        return f"{counted(len(found.boxes), 'face')} found: the largest is used"
    return ""


def _names(photos: Sequence[Path]) -> dict[str, str]:
    """Photo -> its crop: NAME.png; NAME.jpg.png where NAME is there with several suffixes, and for all where
    that would name two of them alike."""
    stems = Counter(path.with_suffix("") for path in photos)
    short = [path if stems[path.with_suffix("")] > 1 else path.with_suffix("") for path in photos]
    named = short if len(set(short)) == len(short) else photos
    return {path.as_posix(): f"{name.as_posix()}.png" for path, name in zip(photos, named, strict=True)}


def _is_file_below(path: Path, folder: Path) -> bool:
    """Also where links are followed: the list is a file that anything may have been written into."""
    return path.is_file() and path.resolve().is_relative_to(folder.resolve())


def _remove(path: Path, out: Path) -> None:
    """Remove a crop, and folders that it leaves empty, which would be classes without an image."""
    try:
        path.unlink()
    except OSError as error:
        raise UserError(f"'{path}' cannot be removed ({error.strerror or error}): {REMEDY}.") from error
    with suppress(OSError):  # a folder that is not empty
        for folder in path.parents:
            if folder == out:
                break
            folder.rmdir()


def _is_ours(folder: Path) -> bool:
    return (folder / LIST).is_file() or not any(folder.iterdir())


def _parsed(line: str) -> dict[str, Any]:
    """Empty for a line that was cut off."""
    try:
        found: Any = json.loads(line)
    except json.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}
