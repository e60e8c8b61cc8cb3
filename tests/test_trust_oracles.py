"""The curves of maps against two libraries: ROAD of pytorch-grad-cam and of Quantus, pixel flipping and
region perturbation of Quantus."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from explain.quality.curves import CurveSettings, Scorer, curves_of

SIDE, CLASSES = 20, 3


def network(channels: int, classes: int = CLASSES) -> nn.Sequential:
    torch.manual_seed(3)
    return nn.Sequential(
        nn.Conv2d(channels, 6, 3, padding=1),
        nn.Tanh(),
        nn.MaxPool2d(2),
        nn.Conv2d(6, 8, 3),
        nn.Tanh(),
        nn.Flatten(),
        nn.Linear(512, classes),
    ).eval()


@pytest.fixture
def maps() -> Tensor:
    """Three maps at the pixels of the image, no two values equal."""
    order = torch.stack(
        [torch.randperm(SIDE**2, generator=torch.Generator().manual_seed(k)) for k in range(3)]
    )
    return (order.view(3, SIDE, SIDE) + 0.5) / SIDE**2


def image(channels: int) -> Tensor:
    return torch.randn(1, channels, SIDE, SIDE, generator=torch.Generator().manual_seed(5))


def test_road_is_that_of_pytorch_grad_cam(maps: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    from pytorch_grad_cam.metrics import road

    class WithoutNoise(road.NoisyLinearImputer):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__(noise=0)

    monkeypatch.setattr(road, "NoisyLinearImputer", WithoutNoise)
    model, x, label = network(3), image(3), 1
    targets = [lambda scores: scores.softmax(0)[label]] * len(maps)
    combined = road.ROADCombined(percentiles=[20, 40, 60, 80])
    expected = combined(x.expand(len(maps), -1, -1, -1), maps.numpy(), targets, model)
    kinds = ["most_relevant_first", "least_relevant_first"]
    found = curves_of(Scorer(model), x, label, maps, kinds, CurveSettings(cells=SIDE, noise=0))
    most, least = (found[kind].figure(found[kind].probabilities) for kind in kinds)
    assert float(np.ptp(expected)) > 0.01
    np.testing.assert_allclose((least - most) / 2, expected, atol=1e-3)


def test_road_of_cells_is_that_of_pytorch_grad_cam(maps: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cells of 5 x 5 pixels: imputed by another solver than single pixels."""
    from pytorch_grad_cam.metrics import road

    class WithoutNoise(road.NoisyLinearImputer):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__(noise=0)

    monkeypatch.setattr(road, "NoisyLinearImputer", WithoutNoise)
    model, x, label, cells = network(3), image(3), 1, maps[:, ::5, ::5]
    pixels = cells.repeat_interleave(5, 1).repeat_interleave(5, 2).numpy()
    targets = [lambda scores: scores.softmax(0)[label]] * len(maps)
    kinds = ["most_relevant_first", "least_relevant_first"]
    settings = CurveSettings(cells=4, noise=0, fractions=(0.25, 0.5, 0.75))
    expected = road.ROADCombined(percentiles=[25, 50, 75])(x.expand(3, -1, -1, -1), pixels, targets, model)
    found = curves_of(Scorer(model), x, label, cells, kinds, settings)
    most, least = (found[kind].figure(found[kind].probabilities) for kind in kinds)
    assert float(np.ptp(expected)) > 0.01
    np.testing.assert_allclose((least - most) / 2, expected, atol=1e-3)


def test_deletion_is_pixel_flipping_of_quantus(maps: Tensor) -> None:
    quantus: Any = pytest.importorskip("quantus")
    model, x, label, steps = network(1), image(1), 2, 10
    flipping = quantus.PixelFlipping(
        features_in_step=SIDE**2 // steps, perturb_baseline=0.0, normalise=False, disable_warnings=True
    )
    batch = np.repeat(x.numpy(), len(maps), 0)
    labels = np.full(len(maps), label)
    expected = flipping(model, batch, labels, maps[:, None].numpy(), device="cpu", softmax=True)
    settings = CurveSettings(cells=SIDE, steps=steps, baseline="mean")
    found = curves_of(Scorer(model), x, label, maps, ["deletion"], settings)["deletion"]
    np.testing.assert_allclose(found.probabilities[:, 1:], np.array(expected), atol=1e-5)


def test_deletion_is_region_perturbation_of_quantus(maps: Tensor) -> None:
    """It removes patches of 5 x 5 pixels one by one, and returns by how much the probability falls."""
    quantus: Any = pytest.importorskip("quantus")
    model, x, label = network(3), image(3), 2
    cells = maps[:, ::5, ::5]
    pixels = cells.repeat_interleave(5, 1).repeat_interleave(5, 2)[:, None].expand(-1, 3, -1, -1)
    regions = quantus.RegionPerturbation(
        patch_size=5, regions_evaluation=16, perturb_baseline=0.0, normalise=False, disable_warnings=True
    )
    batch, labels = np.repeat(x.numpy(), len(maps), 0), np.full(len(maps), label)
    fallen = regions(model, batch, labels, pixels.numpy(), device="cpu", softmax=True)
    settings = CurveSettings(cells=4, steps=16, baseline="mean")
    found = curves_of(Scorer(model), x, label, cells, ["deletion"], settings)["deletion"]
    np.testing.assert_allclose(
        found.probabilities[:, :1] - found.probabilities[:, 1:], np.array(fallen), atol=1e-5
    )


@pytest.mark.slow
@pytest.mark.parametrize("cells", [SIDE, 4])
def test_road_is_that_of_quantus(maps: Tensor, cells: int) -> None:
    """Its figure is the fraction of images that are still right. Gray images: with colors it ends with an
    IndexError. Two classes: an image is right if the probability of its class is above a half."""
    quantus: Any = pytest.importorskip("quantus")
    model, label, step = network(1, classes=2), 1, SIDE // cells
    own = maps[:, ::step, ::step]
    pixels = own.repeat_interleave(step, 1).repeat_interleave(step, 2)[:, None]
    fractions = (0.25, 0.5, 0.75)
    settings = CurveSettings(cells=cells, noise=0, fractions=fractions)
    found, expected = [], []
    for seed in range(8):
        x = torch.randn(1, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(seed))
        road = quantus.ROAD(noise=0, percentages=[25, 50, 75], normalise=False, disable_warnings=True)
        labels = np.full(len(maps), label)
        right = road(model, np.repeat(x.numpy(), len(maps), 0), labels, pixels.numpy(), device="cpu")
        expected.append([right[100 * fraction] for fraction in fractions])
        curve = curves_of(Scorer(model), x, label, own, ["most_relevant_first"], settings)
        found.append((curve["most_relevant_first"].probabilities > 0.5).float().mean(0).numpy())
    assert 0 < np.mean(expected) < 1
    np.testing.assert_allclose(found, expected, atol=1e-3)


def test_insertion_is_deletion_of_the_opposite_map_from_its_end(maps: Tensor) -> None:
    """What is inserted first is what the opposite map removes last: one curve is the other one, backwards."""
    model, x = network(3), image(3)
    settings = CurveSettings(cells=SIDE, steps=10)
    inserted = curves_of(Scorer(model), x, 0, maps, ["insertion"], settings)["insertion"]
    removed = curves_of(Scorer(model), x, 0, -maps, ["deletion"], settings)["deletion"]
    np.testing.assert_allclose(inserted.probabilities, removed.probabilities.flip(1), atol=1e-5)
    np.testing.assert_allclose(inserted.logits, removed.logits.flip(1), atol=1e-5)
