"""Drawn faces for tests of commands: each takes some 15 ms to draw."""

from typing import Any

import pytest
from PIL import Image

from models.data.drawn import DrawnFaces

FACES = dict[tuple[str, str], Image.Image]()  # root and id -> 48 KiB


@pytest.fixture
def drawn_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Faces that several commands or tests ask for are drawn once."""
    draw = DrawnFaces.load

    def load(source: DrawnFaces[Any], index: int) -> Image.Image:
        key = source.root, source.items[index].id
        if key not in FACES:
            FACES[key] = draw(source, index)
        return FACES[key].copy()

    monkeypatch.setattr(DrawnFaces, "load", load)
