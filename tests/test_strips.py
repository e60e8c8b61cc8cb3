"""Pictures of extreme shape: no intermediate grows beyond bounds, and what is seen of them stays the same."""

import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import models.preprocessing as module
from models.data.images import UnreadableImage, open_image
from models.preprocessing import Preprocessing

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize("method", ["bilinear", "bicubic", "lanczos", "hamming"])
@pytest.mark.parametrize("size", [(97, 640), (640, 97), (300, 200), (33, 500), (7, 90)])
def test_cropped_first_is_the_same_picture(
    method: str, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    image = Image.fromarray(rng.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8))
    square, wide, grey = (224, 224), (96, 160), (64, 64)
    for fed in (
        Preprocessing(square, 256, interpolation=method),
        Preprocessing(wide, 100, interpolation=method),
        Preprocessing(grey, 64, (0.5,), (0.5,), method),
    ):
        whole = np.asarray(fed.view(image), int)
        with monkeypatch.context() as patch:
            patch.setattr(module, "LARGE", 0)
            cropped = np.asarray(fed.view(image), int)
        assert whole.shape == cropped.shape
        assert np.abs(whole - cropped).max() <= 2
        assert np.abs(whole - cropped).mean() < 0.2


SIZES = [(46_000, 3), (3, 46_000), (300_000, 3), (10_000, 1), (1, 9_999), (9_000, 9_000)]
RESIZES = [256, None]
SEEN = """
import resource, sys
from pathlib import Path

from explain.render import jpeg_bytes
from models.data.images import UnreadableImage, open_image
from models.preprocessing import Preprocessing

resource.setrlimit(resource.RLIMIT_AS, (2 * 1024**3,) * 2)
for resize in (256, None):
    for path in map(Path, sys.argv[1:]):
        try:
            seen = Preprocessing(resize=resize).view(open_image(path))
            assert seen.size == (224, 224) and jpeg_bytes(seen, 128)
            print(path.stem, resize, "seen", flush=True)
        except UnreadableImage as error:
            print(path.stem, resize, "refused", error, flush=True)
"""
"""What a process whose memory is limited does with each picture; it ends at what it does not expect."""


@pytest.fixture(scope="module")
def seen_or_refused(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[str], str]:
    """The lines of that process, and its errors."""
    folder = tmp_path_factory.mktemp("strips")
    paths = [folder / f"{width}x{height}.png" for width, height in SIZES]
    for size, path in zip(SIZES, paths, strict=True):
        Image.new("1", size).save(path)
    done = subprocess.run(
        [sys.executable, "-c", SEEN, *map(str, paths)], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    return done.stdout.splitlines(), done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("resize", RESIZES)
def test_memory_stays_bounded(
    size: tuple[int, int], resize: int | None, seen_or_refused: tuple[list[str], str]
) -> None:
    """In a process of its own, whose memory is limited: refused in words, or seen."""
    lines, errors = seen_or_refused
    begin = f"{size[0]}x{size[1]} {resize} "
    (line,) = [line.removeprefix(begin) for line in lines if line.startswith(begin)] or [errors]
    assert line == "seen" or line.startswith("refused "), line
    assert (line == "seen") == (max(size) <= 100 * min(size) or max(size) <= 10_000)


def test_long_strips_are_refused_by_their_header(tmp_path: Path) -> None:
    Image.new("1", (46_000, 3)).save(tmp_path / "strip.png")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(
        UnreadableImage,
        match=r"46000 × 3 pixels: above 10,000 pixels a side may be at most 100 times the other",
    ):
        open_image(tmp_path / "strip.png")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # kB
    Image.new("1", (20_000, 300)).save(tmp_path / "panorama.png")
    assert open_image(tmp_path / "panorama.png").size == (20_000, 300)


def test_pipes_and_devices_are_no_pictures(tmp_path: Path) -> None:
    """They would be read for ever."""
    import os

    from models.data.folder import FolderSource

    (tmp_path / "d" / "a").mkdir(parents=True)
    Image.new("RGB", (8, 8)).save(tmp_path / "d" / "a" / "x.png")
    for name in ("pipe.png", "pipe"):
        os.mkfifo(tmp_path / "d" / "a" / name)
    (tmp_path / "d" / "a" / "zero.png").symlink_to("/dev/zero")
    source = FolderSource(tmp_path / "d")
    assert [item.id for item in source.items] == ["a/pipe.png", "a/x.png", "a/zero.png"]
    assert source.facts.files == 3
    for index in (0, 2):
        with pytest.raises(UnreadableImage, match="no regular file"):
            source.load(index)
