"""Maps in known regions: against Quantus and plain loops; ties, constant maps and what cannot be measured."""

import numpy as np
import pytest
import torch
from torch import Tensor

from explain.quality.described.localization import box_regions, energy, pointing_game
from explain.quality.grids import resized
from explain.run.regions import reduced
from tests.test_quality_measures import NAN, close, random_maps


def masks(n: int = 8, h: int = 12, w: int = 10) -> Tensor:
    return torch.rand(n, h, w, generator=torch.Generator().manual_seed(3)) > 0.6


def test_localization_is_that_of_quantus() -> None:
    quantus = pytest.importorskip("quantus")
    maps, regions = random_maps(8, 12, 12), masks(8, 12, 12)
    given = {
        "model": None,
        "x_batch": np.zeros((8, 1, 12, 12)),
        "y_batch": np.zeros(8, int),
        "s_batch": regions[:, None].numpy(),
    }
    pointing = quantus.PointingGame(abs=False, normalise=False, disable_warnings=True)
    close(pointing_game(maps, regions), pointing(**given, a_batch=maps[:, None].numpy()))
    mass = quantus.RelevanceMassAccuracy(abs=False, normalise=False, disable_warnings=True)
    close(energy(maps, regions).inside, mass(**given, a_batch=maps.relu()[:, None].numpy()))


def test_ties_and_constant_maps_score_the_area() -> None:
    regions = masks()
    area = regions.double().mean((1, 2))
    constant = torch.full((8, 12, 10), 2.0)
    close(pointing_game(constant, regions), area)
    close(energy(constant, regions).inside, area)
    close(energy(constant, regions).area, area)
    close(pointing_game(constant[:, :3, :3], regions), area)  # a map of another resolution
    close(energy(constant[:, :3, :3], regions).inside, area)
    three, region = torch.tensor([[[5.0, 5, 1, 5]]]), torch.tensor([[[True, False, True, True]]])
    close(pointing_game(three, region), [2 / 3])


def test_a_coarse_map_counts_by_areas() -> None:
    """A plain loop over the pixels under each position."""
    maps, regions = random_maps(8, 4, 3), masks()
    inside, hits = np.zeros(8), np.zeros(8)
    for i in range(8):
        large = np.repeat(np.repeat(maps[i].numpy(), 30, 0), 40, 1)  # 120 x 120 holds both grids
        mask = np.repeat(np.repeat(regions[i].numpy(), 10, 0), 12, 1)
        positive = np.maximum(large, 0)
        inside[i], hits[i] = positive[mask].sum() / positive.sum(), mask[large == large.max()].mean()
    close(energy(maps, regions).inside, inside)
    close(pointing_game(maps, regions), hits)
    close(resized(regions, (7, 7)), reduced(regions.numpy().astype(float), (7, 7)))
    close(resized(maps, (9, 11)), reduced(maps.double().numpy(), (9, 11)))


def test_boxes() -> None:
    boxes = torch.tensor([[0, 0, 0.5, 1], [0.3, 0.1, 0.4, 0.9], [0.5, 0.5, 0.5, 0.5]])
    regions = box_regions(boxes, (7, 5))
    close(regions.mean((1, 2)), [0.5, 0.08, 0], 1e-6)
    close(regions[0, 0], [1, 1, 0.5, 0, 0])
    maps = random_maps(3, 7, 5).abs()
    found = energy(maps, regions)
    close(found.inside[:1], (maps[0] * torch.tensor([1, 1, 0.5, 0, 0])).sum() / maps[0].sum())
    assert found.inside[2].isnan()  # an empty box
    assert pointing_game(maps, regions)[2].isnan()


def test_localization_of_what_cannot_be_measured() -> None:
    maps = random_maps(3)
    maps[0, 0, 0], maps[1] = NAN, -1
    regions = masks(3)
    assert pointing_game(maps, regions).isnan().tolist() == [True, False, False]
    assert energy(maps, regions).inside.isnan().tolist() == [True, True, False]
