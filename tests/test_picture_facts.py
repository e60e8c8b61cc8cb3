"""Facts of pictures against SciPy, scikit-image and by hand; regions and the reduction of maps by plain
loops."""

import numpy as np
import pytest
from PIL import Image, ImageFilter
from scipy import ndimage

from explain.analysis.duplicates import _candidates
from explain.run.image_stats import colorfulness, facts, perceptual_hash, sharpness
from explain.run.map_stats import BORDER, attention_statistics
from explain.run.regions import FACE_BANDS, are_expressions, covered, face_bands, reduced


def _noise(seed: int, size: tuple[int, int] = (64, 48)) -> Image.Image:
    smooth = ndimage.gaussian_filter(np.random.default_rng(seed).normal(0, 1, (*size[::-1], 3)), (2, 2, 0))
    return Image.fromarray(np.clip(128 + 400 * smooth, 0, 255).astype(np.uint8))


def test_brightness_contrast_size() -> None:
    image = _noise(0)
    luma = np.asarray(image.convert("L"), float)
    found = facts(image, (640, 480))
    assert found["brightness"] == pytest.approx(luma.mean() / 255, rel=1e-5)
    assert found["contrast"] == pytest.approx(luma.std() / 255, rel=1e-4)
    assert (found["width"], found["height"]) == (640, 480)


def test_sharpness_is_the_laplacians_variance() -> None:
    luma = np.asarray(_noise(1).convert("L"), np.float32)
    expected = ndimage.laplace(luma.astype(float))[1:-1, 1:-1].var() / luma.astype(float).var()
    assert sharpness(luma) == pytest.approx(expected, rel=1e-4)
    assert sharpness(0.3 * luma + 20) == pytest.approx(expected, rel=1e-3)  # light and contrast do not matter
    blurred = np.asarray(_noise(1).filter(ImageFilter.GaussianBlur(2)).convert("L"), np.float32)
    assert sharpness(blurred) < 0.5 * expected
    assert sharpness(np.full((9, 9), 7.0)) == sharpness(np.ones((2, 9))) == 0


def test_colorfulness_by_hand() -> None:
    assert colorfulness(Image.new("RGB", (8, 8), (90, 90, 90))) == 0
    assert colorfulness(_noise(2).convert("L")) == 0
    # half red, half green: rg is 255 or -255, yb always 127.5
    half = np.zeros((4, 4, 3), np.uint8)
    half[:2, :, 0], half[2:, :, 1] = 255, 255
    assert colorfulness(Image.fromarray(half)) == pytest.approx(255 + 0.3 * 127.5)


def test_hash_survives_what_duplicates_go_through() -> None:
    image = _noise(3, (128, 128))
    copies = (
        image.resize((80, 80)),
        image.filter(ImageFilter.GaussianBlur(0.7)),
        Image.fromarray((np.asarray(image) * 0.9).astype(np.uint8)),
    )
    apart = [int(perceptual_hash(image) ^ perceptual_hash(copy)).bit_count() for copy in copies]
    assert max(apart) <= 4
    others = [
        int(perceptual_hash(image) ^ perceptual_hash(_noise(seed, (128, 128)))).bit_count()
        for seed in range(10, 30)
    ]
    assert min(others) > 12


def test_candidates_by_a_plain_loop() -> None:
    rng = np.random.default_rng(4)
    hashes = rng.integers(0, 2**63, 200, np.uint64)
    for a, b, bits in ((3, 50, (0, 17, 40)), (7, 8, ()), (100, 199, (63, 62)), (20, 21, (0, 16, 32, 48))):
        hashes[b] = hashes[a]
        for bit in bits:
            hashes[b] ^= np.uint64(1) << np.uint64(bit)
    plain = [
        (i, j) for i in range(200) for j in range(i + 1, 200) if int(hashes[i] ^ hashes[j]).bit_count() <= 3
    ]
    assert plain == [(3, 50), (7, 8), (100, 199)]
    assert [tuple(pair) for pair in _candidates(hashes, np.arange(200)).tolist()] == plain


# -- regions -------------------------------------------------------------------------------------


def test_covered_cells() -> None:
    np.testing.assert_allclose(covered(4, 0.25, 0.625), [0, 1, 0.5, 0])
    np.testing.assert_allclose(covered(7, 0, 1), 1)


def test_reduced_by_a_plain_loop() -> None:
    maps = np.random.default_rng(5).random((3, 12, 8))
    np.testing.assert_allclose(reduced(maps, (4, 4)), maps.reshape(3, 4, 3, 4, 2).mean((2, 4)))
    fine = maps.repeat(7, 1).repeat(7, 2)  # every cell of 7 × 7 is then whole cells
    np.testing.assert_allclose(reduced(maps, (7, 7)), fine.reshape(3, 7, 12, 7, 8).mean((2, 4)))
    assert reduced(maps, (5, 3)).mean() == pytest.approx(maps.mean())


def test_mass_in_regions() -> None:
    bands = face_bands((100, 100))
    even = attention_statistics(np.ones((1, 100, 100)), dict(zip(FACE_BANDS, bands, strict=True)))
    for name, (top, bottom) in FACE_BANDS.items():
        assert even[f"in_{name}"][0] == pytest.approx((bottom - top) * 0.76, abs=1e-6)
    spot = np.zeros((2, 100, 100))
    spot[0, 75, 50] = spot[1, 40, 40] = 3
    found = attention_statistics(spot, dict(zip(FACE_BANDS, bands, strict=True)))
    assert found["in_mouth"].tolist() == [1, 0]
    assert found["in_eyes"].tolist() == [0, 1]
    own = attention_statistics(
        spot, {"here": np.stack([np.eye(100), np.eye(100)])}
    )  # a mask of every picture's own
    assert own["in_here"].tolist() == [0, 1]
    assert np.isnan(attention_statistics(-np.ones((1, 8, 8)), {"here": np.ones((8, 8))})["in_here"][0])
    assert 0 < BORDER < 0.5


def test_faces_are_known_by_their_classes() -> None:
    assert are_expressions(("happy", "sad", "Angry", "fear", "surprise", "disgust", "neutral"))
    assert not are_expressions(("cat", "dog", "happy", "sad", "fear", "anger"))
    assert not are_expressions(("happy", "sad"))
