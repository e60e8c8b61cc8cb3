"""The imputation of ROAD against those of pytorch-grad-cam and Quantus, and against the equations."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pytorch_grad_cam.metrics.road import NoisyLinearImputer
from torch import Tensor
from torch.nn import functional as F

from explain.quality.road import imputation
from explain.quality.road.imputation import impute
from models.errors import UserError

CLOSE = 1e-3  # in standard deviations of the image


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def images(height: int, width: int) -> dict[str, Tensor]:
    """(3, H, W) each."""
    noise = torch.randn(3, height, width, generator=seeded())
    coarse = torch.randn(1, 3, height // 12 + 2, width // 12 + 2, generator=seeded(1))
    smooth = F.interpolate(coarse, (height, width), mode="bicubic")[0]
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    checkers = ((rows // 8 + columns // 8) % 2).float().expand(3, -1, -1)
    ramp = torch.stack([rows / height, columns / width, (rows + columns) / (height + width)])
    return {"smooth": smooth, "photo-like": smooth + 0.2 * noise, "checkers": checkers, "ramp": 100 + ramp}


def masks(height: int, width: int) -> dict[str, Tensor]:
    """Kept pixels (H, W)."""
    made: dict[str, Tensor] = {}
    for percent in (5, 20, 50, 80, 95):
        generator = seeded(percent)
        made[f"pixels {percent}"] = torch.rand(height, width, generator=generator) < percent / 100
        cells = torch.rand(height // 16 + 1, width // 16 + 1, generator=generator) < percent / 100
        made[f"cells {percent}"] = cells.repeat_interleave(16, 0).repeat_interleave(16, 1)[:height, :width]
    for percent in (10, 50, 90):
        values = torch.randn(1, 1, 5, 5, generator=seeded(percent))
        bumps = F.interpolate(values, (height, width), mode="bilinear")
        made[f"map {percent}"] = bumps[0, 0] < bumps.quantile(percent / 100)
    empty = torch.zeros(height, width, dtype=torch.bool)
    for name, where in {
        "left half": (slice(None), slice(width // 2)),
        "upper half": (slice(height // 2 + 1), slice(None)),
        "one pixel": (height // 3, width // 2),
        "a corner": (0, 0),
        "two pixels": (5, slice(5, 7)),
        "columns": (slice(None), slice(None, None, 9)),
    }.items():
        made[name] = empty.clone()
        made[name][where] = True
    made["frame"] = F.pad(empty[2:, 2:], (1, 1, 1, 1), value=True)
    return {name: mask for name, mask in made.items() if mask.any() and not mask.all()}


def serpentine(height: int, width: int) -> Tensor:
    """A removed path one pixel wide between kept walls, through the whole image."""
    keep = torch.zeros(height, width, dtype=torch.bool)
    keep[1::2] = True
    keep[1::4, -1] = keep[3::4, 0] = False
    return keep


def off(x: Tensor, keep: Tensor, expected: Tensor) -> float:
    """The largest difference between the imputed image (C, H, W) and what is expected, in `CLOSE`."""
    return float((impute(x[None], keep[None], noise=0)[0] - expected).abs().max() / x.std() / CLOSE)


@pytest.mark.slow
@pytest.mark.parametrize("size", [(40, 40), (33, 50)], ids=str)
def test_is_that_of_pytorch_grad_cam(size: tuple[int, int]) -> None:
    pictures = torch.cat(list(images(*size).values()))
    for name, keep in masks(*size).items():
        expected = NoisyLinearImputer(noise=0)(pictures, keep.float())
        for (kind, x), wanted in zip(images(*size).items(), expected.split(3), strict=True):
            assert off(x, keep, wanted) < 1, (name, kind)


@pytest.mark.slow
@pytest.mark.parametrize("size", [(97, 131), (224, 224)], ids=str)
def test_is_that_of_pytorch_grad_cam_for_larger_images(size: tuple[int, int]) -> None:
    x = images(*size)["photo-like"]
    for name in ("pixels 50", "cells 80", "map 90"):
        keep = masks(*size)[name]
        assert off(x, keep, NoisyLinearImputer(noise=0)(x, keep.float())) < 1, name


@pytest.mark.slow
def test_is_that_of_quantus() -> None:
    pytest.importorskip("quantus")
    from quantus.functions.perturb_func import noisy_linear_imputation

    x = images(48, 40)["photo-like"]
    for name, keep in masks(48, 40).items():
        expected = noisy_linear_imputation(x.numpy(), np.flatnonzero(~keep.numpy()), noise=0)
        assert off(x, keep, torch.from_numpy(expected)) < 1, name


def plainly(x: Tensor, keep: Tensor) -> Tensor:
    """The exact solution (C, H, W) in float64, from equations written down pixel by pixel."""
    _, height, width = x.shape
    matrix = torch.eye(height * width, dtype=torch.float64)
    for row in range(height):
        for column in range(width):
            if keep[row, column]:
                continue
            weights = {
                (row + i, column + j): 1 / 6 if i * j == 0 else 1 / 12
                for i in (-1, 0, 1)
                for j in (-1, 0, 1)
                if (i, j) != (0, 0) and 0 <= row + i < height and 0 <= column + j < width
            }
            for (i, j), weight in weights.items():
                matrix[row * width + column, i * width + j] -= weight / sum(weights.values())
    return torch.linalg.solve(matrix, (x * keep).double().flatten(1).T).T.view(x.shape)


@pytest.mark.slow
@given(st.integers(1, 13), st.integers(1, 13), st.integers(1, 4), st.floats(0.02, 0.98), st.integers(0, 99))
def test_solves_the_equations_at_any_small_size(
    height: int, width: int, channels: int, kept: float, seed: int
) -> None:
    x = torch.randn(channels, height, width, generator=seeded(seed))
    keep = torch.rand(height, width, generator=seeded(seed + 1)) < kept
    keep[seed % height, seed % width] = True
    found = impute(x[None], keep[None], noise=0)[0]
    assert found.dtype == torch.float32
    assert float((found - plainly(x, keep)).abs().max()) <= CLOSE * max(1.0, float(x.std(correction=0)))


@pytest.mark.parametrize("size", [(63, 40), (1, 200), (200, 1), (2, 33)], ids=str)
def test_long_narrow_paths_are_solved_too(size: tuple[int, int]) -> None:
    x = images(*size)["smooth"]
    keep = serpentine(*size)
    keep[0, 0] = keep[-1, -1] = True
    assert off(x, keep, NoisyLinearImputer(noise=0)(x, keep.float())) < 1


def mixed_batch() -> tuple[Tensor, Tensor]:
    kept = torch.stack(list(masks(48, 40).values()))
    return images(48, 40)["photo-like"].expand(len(kept), -1, -1, -1), kept


def test_kept_pixels_are_unchanged_and_removed_ones_have_no_influence() -> None:
    x, keep = mixed_batch()
    found = impute(x, keep)
    everywhere = keep[:, None].expand_as(x)
    assert torch.equal(found[everywhere], x[everywhere])
    for value in (1e9, torch.nan, torch.inf):
        assert torch.equal(impute(x.masked_fill(~everywhere, value), keep), found)


def test_a_batch_is_the_loop_over_its_images(monkeypatch: pytest.MonkeyPatch) -> None:
    x, keep = mixed_batch()
    one_by_one = torch.cat([impute(x[i : i + 1], keep[i : i + 1], noise=0) for i in range(len(x))])
    for values in (1, 5 * x[0].numel(), 1 << 26):  # one image at a time, five, all
        monkeypatch.setattr(imputation, "CACHED", values)
        torch.testing.assert_close(impute(x, keep, noise=0), one_by_one, rtol=0, atol=1e-5)


def test_noise_follows_the_seed_and_lies_on_imputed_pixels_only() -> None:
    x, keep = images(97, 131)["smooth"][None], masks(97, 131)["pixels 50"][None]
    first, again, other = (impute(x, keep, noise=0.3, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    added = (first - impute(x, keep, noise=0))[(~keep)[:, None].expand_as(x)]
    assert abs(float(added.mean())) < 0.01
    assert abs(float(added.std()) - 0.3) < 0.01
    assert not torch.equal(first, other)
    state = torch.random.get_rng_state()
    impute(x, keep)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_all_and_no_pixels_kept() -> None:
    x = torch.stack([images(33, 70)["photo-like"]] * 3)
    keep = torch.stack([torch.ones(33, 70), torch.zeros(33, 70), masks(33, 70)["left half"]]).bool()
    found = impute(x, keep, noise=0)
    assert torch.equal(found[0], x[0])
    torch.testing.assert_close(found[1], x[1].mean((1, 2), keepdim=True).expand_as(x[1]))
    assert torch.equal(found[2], impute(x[2:], keep[2:], noise=0)[0])
    assert torch.equal(impute(x, torch.ones_like(keep), noise=1), x)
    assert torch.equal(impute(x[:1], keep[:1]), x[:1])
    assert impute(x[:0], keep[:0]).shape == (0, 3, 33, 70)


def test_a_constant_image_and_one_kept_pixel_are_exact() -> None:
    keep = masks(48, 48)["map 50"][None]
    constant = torch.full((1, 3, 48, 48), 0.3)
    torch.testing.assert_close(impute(constant, keep, noise=0), constant)
    x, one = images(48, 48)["smooth"][None], masks(48, 48)["one pixel"][None]
    expected = x[..., one[0]].view(1, 3, 1, 1).expand_as(x)
    torch.testing.assert_close(impute(x, one, noise=0), expected)


def test_what_is_not_finite_stays_in_its_image() -> None:
    x, keep = (values[:3].clone() for values in mixed_batch())
    clean = impute(x, keep, noise=0)
    x[1, 0][keep[1]] = torch.nan
    found = impute(x, keep, noise=0)
    assert torch.equal(found[[0, 2]], clean[[0, 2]])
    assert found[1, 0].isnan().all()


def test_layout_and_gradients_of_the_input_do_not_matter() -> None:
    x, keep = mixed_batch()
    found = impute(x.contiguous(memory_format=torch.channels_last).requires_grad_(), keep)
    torch.testing.assert_close(found, impute(x, keep), rtol=0, atol=1e-5)
    assert not found.requires_grad


def test_wrong_shapes_and_types_are_one_line() -> None:
    x, keep = mixed_batch()
    wrong = (x.double(), keep), (x[0], keep), (x, keep[:1]), (x, keep.float()), (x, keep[:, None])
    for images_, mask in wrong:
        with pytest.raises(UserError) as error:
            impute(images_, mask)
        assert "\n" not in str(error.value)
