"""Data sets of image files: their paths, how they are opened, and how a changed file is detected."""

from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from PIL import Image

from models.data.images import UnreadableImage, about_image, has_alpha, open_image
from models.data.source import ImageSource

LOOKED_AT = 256
"""Files, evenly spread, whose bit depth and orientation are read before a run."""


def file_stamp(path: Path) -> str:
    """Size and modification time of a file; empty where it is missing."""
    try:
        found = path.stat()
    except OSError:
        return ""
    return f"{found.st_size}-{found.st_mtime_ns}"


@dataclass(frozen=True)
class FileFacts:
    """Of the `files` that were read: `bits` that integer images of more than 8 bits use (0: there are none),
    how many are `turned` by their EXIF orientation, and how many hold `floats`."""

    files: int
    bits: int
    turned: int
    floats: int


class FileSource(ImageSource):
    """Items whose id is a path below `base`."""

    base: Path

    def path(self, index: int) -> Path:
        return self.base / self.items[index].id

    def file(self, index: int) -> Path | bytes:
        """The image's file, or its bytes. Raises `UnreadableImage` where the bytes cannot be read."""
        return self.path(index)

    def load(self, index: int) -> Image.Image:
        return open_image(
            self.file(index), exif=self.exif, bits=self.bits, white=self.white, alpha=self.alpha
        )

    def stamp(self, index: int) -> str:
        return file_stamp(self.path(index))

    def _sample(self) -> list[int]:
        """Some items, evenly spread."""
        chosen = np.linspace(0, len(self.items) - 1, min(LOOKED_AT, len(self.items)))
        return [int(i) for i in np.unique(chosen.astype(int))]

    @cached_property
    def facts(self) -> FileFacts:
        found = [self._about(i) for i in self._sample()]
        bits, turned, floats = zip(*found, strict=True) if found else ((), (), ())
        return FileFacts(len(found), max(bits, default=0), sum(turned), sum(floats))

    def _about(self, index: int) -> tuple[int, bool, bool]:
        try:
            return about_image(self.file(index))
        except UnreadableImage:
            return 0, False, False

    def _opaque(self) -> int:
        """How many of the files looked at have no alpha."""
        found = 0
        for index in self._sample():
            with suppress(UnreadableImage):
                found += not has_alpha(self.file(index))
        return found

    @property
    def bits(self) -> int:  # type: ignore[override]
        return (self.network_bits or self.facts.bits) if self.facts.bits else 0

    @property
    def has_floats(self) -> bool:
        return self.facts.floats > 0

    @property
    def reading(self) -> list[str]:
        facts, text = self.facts, []
        if facts.bits:
            why = "as the network was trained" if self.network_bits else "as they show; --bits says otherwise"
            text.append(
                f"integer pictures of more than 8 bits use {self.bits} bits ({why}): {2**self.bits - 1:,} "
                "is white"
            )
        if facts.floats:
            text.append(
                f"{facts.floats} of {facts.files} files looked at hold floats, of which {self.white:g} is "
                "white (by --scale)"
            )
        if self.alpha and (opaque := self._opaque()):
            count = "none" if opaque == facts.files else str(facts.files - opaque)
            text.append(
                f"{count} of {facts.files} files looked at {'have' if count not in ('none', '1') else 'has'} "
                "alpha; the others are opaque (alpha 255)"
            )
        if facts.turned:
            some = f"{facts.turned} of {facts.files} files looked at"
            text.append(
                f"{some} have an EXIF rotation, which is applied (--exif ignore for a network trained "
                "without it)"
                if self.exif == "apply"
                else f"{some} have an EXIF rotation, which is ignored"
            )
        return text
