"""Clips that Chromium shows as its camera (`--use-file-for-fake-video-capture`)."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image

SIZE = (640, 480)


def write_y4m(frames: Iterable[Image.Image], path: Path, rate: int = 30) -> Path:
    """Uncompressed video in YUV4MPEG2, 4:2:0: a line about the clip, then for each frame a line and its three
    planes."""
    with path.open("wb") as file:
        for k, frame in enumerate(frames):
            if not k:
                file.write(f"YUV4MPEG2 W{frame.width} H{frame.height} F{rate}:1 Ip A1:1 C420\n".encode())
            bright, blue, red = frame.convert("YCbCr").split()
            half = (frame.width // 2, frame.height // 2)
            planes = (bright, blue.resize(half), red.resize(half))
            file.write(b"FRAME\n" + b"".join(np.asarray(plane).tobytes() for plane in planes))
    return path


def moving_face(count: int = 60) -> Iterator[Image.Image]:
    """A real face that moves and changes its size slowly, once around."""
    from skimage.data import astronaut

    photo = Image.fromarray(astronaut())
    for angle in np.linspace(0, 2 * np.pi, count, endpoint=False):
        width = 300 + 40 * np.cos(angle)
        left, top = 75 + 20 * np.sin(angle), 8 + 8 * np.sin(2 * angle)
        yield photo.resize(SIZE, box=(left, top, left + width, top + 0.75 * width))
