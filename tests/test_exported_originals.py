"""An export reads the original of an image once: for the picture that the network got, and for the file at
full size."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from explain.analysis.findings import Findings
from explain.export.gallery import export
from explain.run import images
from explain.run.images import network_view, pictures_of
from explain.run.reader import RunData


def test_an_original_is_read_once(
    small_run: RunData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, original = Counter[int](), images.original
    monkeypatch.setattr(images, "original", lambda run, row: (read.update([row]), original(run, row))[1])
    made = export(Findings(small_run), tmp_path / "out")
    assert made.images == len(read) > 4
    assert set(read.values()) == {1}
    assert len([*(tmp_path / "out" / "originals").rglob("*.png")]) == made.images


def test_both_pictures_are_those_of_the_file(small_run: RunData, pictures: Path) -> None:
    """By Pillow alone; of a file that holds another picture now, the thumbnail and nothing."""
    row = int(small_run.ok.index[0])
    path = pictures / small_run.table.at[row, "id"]
    view, whole = pictures_of(small_run, row)
    assert whole is not None
    with Image.open(path) as file:
        np.testing.assert_array_equal(whole, file.convert("RGB"))
        resized = file.convert("RGB").resize((32, 32), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(view, resized)
    np.testing.assert_array_equal(view, network_view(small_run, row))
    Image.effect_mandelbrot((48, 40), (-2, -2, 1, 2), 50).convert("RGB").save(path)
    view, whole = pictures_of(small_run, row)
    assert whole is None
    np.testing.assert_array_equal(view, small_run.thumbnail_image(row))
