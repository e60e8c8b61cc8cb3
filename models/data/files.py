"""Data sets of image files: their paths, how they are opened, and how a changed file is detected."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from PIL import Image

from models.counts import counted
from models.data.images import (
    LEVELS,
    File,
    ImageFacts,
    UnreadableImage,
    about_image,
    camera_bits,
    has_alpha,
    open_image,
)
from models.data.remote.location import Location, each, stamp_of
from models.data.remote.read_ahead import ReadAhead, image_bytes
from models.data.source import ImageSource

LOOKED_AT = 256
"""Files, evenly spread, whose bit depth and orientation are read before a run."""


@dataclass(frozen=True)
class FileFacts:
    """Of the `files` that were read: `bits` that integer images of more than 8 bits use (0: there are none),
    how many are `turned` by their EXIF orientation, hold `floats`, and are `rounded` to 8 bits a channel."""

    files: int
    bits: int
    turned: int
    floats: int
    rounded: int


class FileSource(ImageSource):
    """Items whose id is a path below `base`."""

    base: Location

    def path(self, index: int) -> Location:
        return self.base / self.items[index].id

    def file(self, index: int) -> File:
        """The image's file, or its bytes. Raises `UnreadableImage` where the bytes cannot be read."""
        path = self.path(index)
        return path if isinstance(path, Path) else self._ahead.take(index, self._read)

    def header(self, index: int) -> File:
        """What is enough to read the header of the image. Raises `UnreadableImage`, as `file`."""
        return self.path(index)

    def prepare(self, indices: Sequence[int]) -> None:
        if not isinstance(self.base, Path):
            self._ahead.begin(indices, self._read)

    @cached_property
    def _ahead(self) -> ReadAhead:
        return ReadAhead()

    def _read(self, index: int) -> bytes:
        """The bytes of an image at a URL. Raises `UnreadableImage`, or `Unreachable`."""
        path = self.path(index)
        assert not isinstance(path, Path)
        return image_bytes(path)

    def load(self, index: int) -> Image.Image:
        return open_image(
            self.file(index), exif=self.exif, bits=self.bits, white=self.white, alpha=self.alpha
        )

    def stamp(self, index: int) -> str:
        return stamp_of(self.path(index))

    def _sample(self) -> list[int]:
        """Some items, evenly spread."""
        chosen = np.linspace(0, len(self.items) - 1, min(LOOKED_AT, len(self.items)))
        return [int(i) for i in np.unique(chosen.astype(int))]

    @cached_property
    def facts(self) -> FileFacts:
        found = each(self._about, self._sample(), self.base)
        return FileFacts(
            len(found),
            max((each.bits for each in found), default=0),
            sum(each.turned for each in found),
            sum(each.floats for each in found),
            sum(each.rounded for each in found),
        )

    def _about(self, index: int) -> ImageFacts:
        try:
            return about_image(self.header(index))
        except UnreadableImage:
            return ImageFacts()

    def _opaque(self) -> int:
        """How many of the files looked at have no alpha."""

        def is_opaque(index: int) -> bool:
            with suppress(UnreadableImage):
                return not has_alpha(self.header(index))
            return False

        return sum(each(is_opaque, self._sample(), self.base))

    @property
    def bits(self) -> int:  # type: ignore[override]
        return (self.network_bits or camera_bits(self.facts.bits)) if self.facts.bits else 0

    @property
    def has_floats(self) -> bool:
        return self.facts.floats > 0

    @property
    def reading(self) -> list[str]:
        facts, text = self.facts, []
        if facts.bits:
            text.append(
                f"integer pictures of more than 8 bits use {self.bits} bits ({self._why_bits()}): "
                f"{2**self.bits - 1:,} is white"
            )
        if facts.floats:
            text.append(
                f"{facts.floats} of {counted(facts.files, 'file')} looked at hold floats, of which "
                f"{self.white:g} is white (by --scale)"
            )
        if facts.rounded:
            hold = "holds" if facts.rounded == 1 else "hold"
            text.append(
                f"{facts.rounded} of {counted(facts.files, 'file')} looked at {hold} more than 8 bits a "
                f"channel: rounded to {LEVELS} levels"
            )
        if self.alpha and (opaque := self._opaque()):
            count = "none" if opaque == facts.files else str(facts.files - opaque)
            text.append(
                f"{count} of {counted(facts.files, 'file')} looked at "
                f"{'have' if count not in ('none', '1') else 'has'} alpha; the others are opaque (alpha 255)"
            )
        if facts.turned:
            some = f"{facts.turned} of {counted(facts.files, 'file')} looked at"
            text.append(
                f"{some} have an EXIF rotation, which is applied (--exif ignore for a network trained "
                "without it)"
                if self.exif == "apply"
                else f"{some} have an EXIF rotation, which is ignored"
            )
        return text

    def _why_bits(self) -> str:
        if self.network_bits:
            return "as the network was trained"
        if (used := self.facts.bits) == self.bits:
            return "as they show; --bits says otherwise"
        return (
            f"the largest value needs {used}, cameras and scanners use 10, 12, 14 or 16; --bits says "
            "otherwise"
        )
