"""A small network and its images as a worker of a run opens them."""

import os
import signal
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from explain.run.engine import prepared
from models.classifier import Classifier
from models.data.folder import FolderSource
from models.data.source import ImageSource
from models.registry import load


class Fatal(FolderSource):
    """Images of which number `at` ends the process that reads it first, as the system does where memory is
    short."""

    flag = Path()
    at = 0

    def load(self, index: int) -> Image.Image:
        if index == self.at and not self.flag.exists():
            self.flag.write_text(str(os.getpid()))
            os.kill(os.getpid(), signal.SIGKILL)
        return super().load(index)


@dataclass(frozen=True)
class Opened:
    """See `explain.run.engines.Reopen`. `flag`: the file that `Fatal` writes; None for images that end
    nothing."""

    network: Path
    folder: Path
    flag: Path | None = None
    at: int = 0

    def both(self) -> tuple[Classifier, ImageSource]:
        source = FolderSource(self.folder)
        if self.flag:
            source = Fatal(self.folder)
            source.flag, source.at = self.flag, self.at
        return load(str(self.network)), source

    def __call__(self, device: str) -> tuple[Classifier, ImageSource, dict[str, int]]:
        return prepared(*self.both(), None, "")
