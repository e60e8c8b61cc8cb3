"""How far maps can be trusted: curves against plain loops, controls, comparisons against SciPy, and methods
whose right verdict is known."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from skimage.filters import sobel
from torch import Tensor, nn
from torch.nn import functional as F

import vitrine
from explain.methods import registry
from explain.methods.baseline import baseline
from explain.quality import measure
from explain.quality.cells import as_pixels, on_cells, removal_ranks
from explain.quality.controls import OTHER_IMAGE, center, edges, image_controls, partners, with_values
from explain.quality.curves import CurveSettings, Scorer, curves_of
from explain.quality.measure import Measurement
from explain.quality.sample import stratified
from explain.quality.store import TrustSettings, TrustStore, stores
from explain.quality.verdict import Trust, recommendation
from explain.run.engine import run
from explain.run.reader import RunData, open_run
from models.checkpoints import fingerprint
from models.classifier import Classifier
from models.data.folder import FolderSource
from tests.conftest import TINY
from tests.spots import SIDE, SPOT, draw_spots


@pytest.fixture(autouse=True)
def registry_as_it_was() -> Iterator[None]:
    before = dict(registry.METHODS)
    yield
    registry.METHODS.clear()
    registry.METHODS.update(before)


# --- cells


def test_coarse_maps_are_enlarged_as_they_are_drawn_and_fine_ones_averaged() -> None:
    coarse, fine = torch.rand(2, 7, 7), torch.rand(2, 56, 28)
    large = F.interpolate(coarse[:, None], (14, 14), mode="bilinear", align_corners=False)[:, 0]
    torch.testing.assert_close(on_cells(coarse, (14, 14)), large)
    torch.testing.assert_close(on_cells(fine, (14, 14)), fine.view(2, 14, 4, 14, 2).mean((2, 4)))


@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 5))
def test_ranks_follow_the_values_and_are_each_used_once(g: int, h: int, seed: int) -> None:
    values = torch.randint(0, 3, (2, g, h), generator=torch.Generator().manual_seed(seed)).float()
    for one, ranks in zip(values, removal_ranks(values), strict=True):
        order = ranks.flatten().argsort()
        assert sorted(ranks.flatten().tolist()) == list(range(g * h))
        assert bool((one.flatten()[order].diff() <= 0).all())


def test_equal_values_are_removed_everywhere_alike() -> None:
    """The first half of a map of zeros is no corner of the image."""
    first = (removal_ranks(torch.zeros(1, 14, 14))[0] < 98).float()
    for half in (first[:7], first[7:], first[:, :7], first[:, 7:]):
        assert 0.35 < float(half.mean()) < 0.65


def test_pixels_are_those_of_their_cell() -> None:
    cells = torch.arange(6).view(1, 2, 3)
    expected = np.array([[[int(y * 2 / 5) * 3 + int(x * 3 / 7) for x in range(7)] for y in range(5)]])
    assert np.array_equal(as_pixels(cells, (5, 7)).numpy(), expected)


# --- curves


@pytest.fixture
def x() -> Tensor:
    return torch.randn(1, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1))


def by_hand(model: nn.Module, x: Tensor, ranks: Tensor, insert: bool, steps: int) -> list[float]:
    """Probabilities of class 1 by one loop over steps and one over cells."""
    base, scores = baseline(x, "blur"), []
    for step in range(steps + 1):
        image = (base if insert else x).clone()
        other = x if insert else base
        for rank in range(round(step / steps * ranks.numel())):
            row, column = (int(v) for v in (ranks == rank).nonzero()[0])
            h, w = SIDE // ranks.shape[0], SIDE // ranks.shape[1]
            where = (..., slice(row * h, (row + 1) * h), slice(column * w, (column + 1) * w))
            image[where] = other[where]
        with torch.no_grad():
            scores.append(float(model(image).softmax(1)[0, 1]))
    return scores


def test_insertion_and_deletion_are_those_of_a_plain_loop(tiny: Classifier, x: Tensor) -> None:
    maps, settings = torch.rand(3, 4, 4), CurveSettings(cells=4, steps=5)
    found = curves_of(Scorer(tiny.model, batch_size=7), x, 1, maps, ["insertion", "deletion"], settings)
    for kind, curve in found.items():
        assert curve.fractions == (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
        for ranks, scores in zip(removal_ranks(maps), curve.probabilities, strict=True):
            expected = by_hand(tiny.model, x, ranks, kind == "insertion", 5)
            np.testing.assert_allclose(scores, expected, atol=1e-6)
        areas = [np.trapezoid(scores, curve.fractions) for scores in curve.probabilities.numpy()]
        np.testing.assert_allclose(curve.figure(curve.probabilities), areas, atol=1e-6)
    logits = found["deletion"].logits[:, 0]
    with torch.no_grad():
        np.testing.assert_allclose(logits, tiny.model(x)[0, 1].expand(3), atol=1e-5)


def test_maps_that_are_not_finite_have_no_figure(tiny: Classifier, x: Tensor) -> None:
    maps = torch.rand(2, 4, 4)
    maps[1, 0, 0] = torch.nan
    curve = curves_of(Scorer(tiny.model), x, 0, maps, ["insertion"], CurveSettings(4, 3))["insertion"]
    assert curve.probabilities[0].isfinite().all()
    assert curve.probabilities[1].isnan().all()


# --- controls


def test_the_center_is_a_gaussian_of_a_quarter_of_the_side(x: Tensor) -> None:
    values = center(x[0], (14, 14), 0)
    assert float(values[6:8, 6:8].min()) == float(values.max())
    at = (np.arange(14) + 0.5) / 14 - 0.5
    expected = np.exp(-(at[:, None] ** 2 + at[None] ** 2) / (2 * 0.25**2))
    np.testing.assert_allclose(values, expected, atol=1e-6)


def test_edges_are_those_of_scikit_image(x: Tensor) -> None:
    gray = x[0].mean(0).numpy()
    expected = sobel(gray, mode="nearest").reshape(8, 4, 8, 4).mean((1, 3))
    found = edges(x[0], (8, 8), 0).numpy()
    np.testing.assert_allclose(found / found.mean(), expected / expected.mean(), rtol=1e-4)


def test_controls_of_an_image_are_always_the_same(x: Tensor) -> None:
    once, again = (image_controls(x[0], "a.png", (14, 14)) for _ in range(2))
    other = image_controls(x[0], "b.png", (14, 14))
    assert torch.equal(once, again)
    assert [torch.equal(a, b) for a, b in zip(once, other, strict=True)] == [True, False, True]


def test_values_of_another_map_in_the_own_order() -> None:
    control, like = torch.rand(5, 5), torch.randn(5, 5) ** 3
    made = with_values(control, like)
    assert torch.equal(made.flatten().sort().values, like.flatten().sort().values)
    assert torch.equal(made.flatten().argsort(), control.flatten().argsort())


def test_another_image_is_of_the_same_class_where_there_is_one() -> None:
    classes = [0, 1, 0, 2, 1, 0]
    found = partners(classes)
    assert all(k != other for k, other in enumerate(found))
    assert [classes[other] for other in found] == [0, 1, 0, 1, 1, 0]  # the only image of 2 takes the next


# --- a network whose right answer is known


class Spot(nn.Module):
    """Says 'spot' by the brightest of 16 windows and looks at nothing else."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 2, SPOT, SPOT)
        with torch.no_grad():
            self.conv.weight[:], self.conv.bias[:] = 4 / (3 * SPOT**2), 0.0
            self.conv.weight[0] *= -1

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x).flatten(2).amax(2)


def where_it_is(model: nn.Module, x: Tensor, target: Tensor) -> Tensor:
    """M = the class's score in each window."""
    with torch.no_grad():
        return model.conv(x)[range(len(x)), target]  # type: ignore[operator]


def random_map(model: nn.Module, x: Tensor, target: Tensor) -> Tensor:
    """M = noise, another one for each image."""
    seeds = (1e4 * x.flatten(1).sum(1)).long().tolist()
    return torch.stack([torch.rand(7, 7, generator=torch.Generator().manual_seed(abs(s))) for s in seeds])


def center_map(model: nn.Module, x: Tensor, target: Tensor) -> Tensor:
    """M = a spot in the middle."""
    at = torch.linspace(-1, 1, 14)
    return (2 - at[:, None] ** 2 - at[None] ** 2).expand(len(x), -1, -1)


@pytest.fixture(scope="module")
def spots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Gray noise with a bright window somewhere ('spot'), or without ('none')."""
    return draw_spots(tmp_path_factory.mktemp("spots"), 16)


@pytest.fixture
def spot_run(spots: Path, tmp_path: Path) -> tuple[Classifier, RunData]:
    model = Spot().eval()
    classifier = Classifier("spot", model, ("none", "spot"), TINY, "", fingerprint(model))
    vitrine.register_method("truth", where_it_is, title="Truth")
    vitrine.register_method("random_map", random_map, title="Random map")
    vitrine.register_method("center_map", center_map, title="Center map")
    run(classifier, FolderSource(spots), tmp_path / "run", ["truth"], layer="conv")
    return classifier, open_run(tmp_path / "run")


KINDS = ("insertion", "deletion")
SMUGGLED = ("truth", "random_map", "center_map")


def settings(**given: int) -> TrustSettings:
    return TrustSettings("conv", CurveSettings(**{"cells": 8, "steps": 8} | given), KINDS)


def measured(classifier: Classifier, opened: RunData, methods: tuple[str, ...] = SMUGGLED) -> Measurement:
    store = TrustStore.of(opened.folder, settings())
    return Measurement(classifier, opened, methods, stratified(opened, 32), store)


@pytest.mark.slow
def test_smuggled_maps_are_called_what_they_are(spot_run: tuple[Classifier, RunData]) -> None:
    work = measured(*spot_run)
    assert list(work.steps())[-1] == 1
    trust = Trust.of(work.store)
    truth, *others = trust.verdicts
    assert truth.title == "Truth"
    assert truth.passes
    assert truth.text.startswith("beats its best control on ")
    by_name = {v.method: v for v in others}
    assert not any(v.passes for v in others)
    assert by_name["center_map"].control == "center"
    assert by_name["center_map"].text == "its maps are the center"
    assert by_name["random_map"].text == "does not depend on the weights"
    assert by_name["random_map"].decisive.outcome in ("not better", "worse")
    assert recommendation(trust).startswith("Read Truth: it beats its best control on ")
    without = Trust(trust.layer, trust.rows[trust.rows["method"] != "truth"])
    assert recommendation(without).startswith("No method beats its controls: ")


@pytest.mark.slow
def test_the_control_of_another_image_has_another_picture(
    spot_run: tuple[Classifier, RunData], spots: Path, tmp_path: Path
) -> None:
    """Copies have the same map, which says nothing of what the map depends on."""
    classifier, _ = spot_run
    data = shutil.copytree(spots, tmp_path / "data")
    for folder, kept in (("none", 1), ("spot", 2)):
        files = sorted((data / folder).iterdir())
        for k, file in enumerate(files):
            shutil.copyfile(spots / folder / files[k % kept].name, file)
    run(classifier, FolderSource(data), tmp_path / "copies", ["truth"], layer="conv")
    opened = open_run(tmp_path / "copies")
    work = measured(classifier, opened, methods=("truth",))
    list(work.steps())
    rows = work.store.rows()
    label = rows["id"].str.split("/").str[0]
    others = rows["variant"] == OTHER_IMAGE
    assert set(label[others]) == {"spot"}  # of 'none' there is no other picture
    own, other = (
        rows[(label == "spot") & (rows["variant"] == v) & (rows["method"] == "truth")].set_index("id")
        for v in ("", OTHER_IMAGE)
    )
    assert (own["insertion"] - other["insertion"]).abs().max() > 1e-3


@pytest.mark.slow
def test_other_code_under_the_same_name_is_measured_anew(spot_run: tuple[Classifier, RunData]) -> None:
    work = measured(*spot_run, methods=("random_map",))
    list(work.steps())
    assert not list(measured(*spot_run, methods=("random_map",)).steps())
    before = work.store.rows()
    vitrine.unregister_method("random_map")
    vitrine.register_method("random_map", where_it_is, title="now the truth")
    assert set(work.store.rows()["method"]) == {""}  # figures of other code are not this method's
    list(measured(*spot_run, methods=("random_map",)).steps())
    vitrine.unregister_method("random_map")
    after = work.store.rows()  # where it is not registered, those of the last code
    assert set(after["method"]) == {"", "random_map"}
    own = [table[(table["method"] == "random_map") & (table["variant"] == "")] for table in (before, after)]
    assert len(own[0]) == len(own[1]) == 32
    assert own[1]["insertion"].mean() > own[0]["insertion"].mean()


@pytest.mark.slow
def test_what_is_stopped_goes_on_and_gives_the_same(spot_run: tuple[Classifier, RunData]) -> None:
    classifier, opened = spot_run
    work, written = measured(classifier, opened), list[int]()
    add = TrustStore.add
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(measure, "ROWS", 4)
        patch.setattr(TrustStore, "add", lambda store, rows: (written.append(len(rows)), add(store, rows)))
        steps = work.steps()
        while sum(written) < 60:
            next(steps)
        steps.close()
    before = work.store.rows()
    assert 4 <= before["id"].nunique() < 32
    list(measured(classifier, opened).steps())
    again = work.store.rows()
    assert again["id"].nunique() == 32
    assert len(before.merge(again)) == len(before)
    assert not list(measured(classifier, opened).steps())  # everything is known
    fresh = TrustStore(opened.folder / "fresh", settings())
    list(Measurement(classifier, opened, SMUGGLED, stratified(opened, 32), fresh).steps())
    key = ["id", "method", "variant"]
    one, two = (
        s.rows().drop(columns="seconds").sort_values(key).reset_index(drop=True) for s in (work.store, fresh)
    )
    pd.testing.assert_frame_equal(one, two, rtol=1e-5)


@pytest.mark.slow
def test_a_damaged_part_is_measured_again(spot_run: tuple[Classifier, RunData]) -> None:
    work = measured(*spot_run, methods=("truth",))
    list(work.steps())
    part = work.store.parts[0]
    part.write_bytes(part.read_bytes()[:-40])
    assert work.store.rows()["id"].nunique() < 32
    list(measured(*spot_run, methods=("truth",)).steps())
    assert work.store.rows()["id"].nunique() == 32
    assert [store.settings for store in stores(spot_run[1].folder)] == [settings()]


@pytest.mark.slow
def test_the_model_is_left_as_it_was(spot_run: tuple[Classifier, RunData]) -> None:
    classifier, opened = spot_run
    before = {name: value.clone() for name, value in classifier.model.state_dict().items()}
    list(measured(classifier, opened).steps())
    assert all(torch.equal(value, before[name]) for name, value in classifier.model.state_dict().items())
    assert not classifier.model.training


def test_errors_and_hits_of_every_class_take_turns(small_run: RunData) -> None:
    table = small_run.table
    groups = table.assign(right=table["label"] == table["pred"]).groupby(["label", "right"]).ngroup()
    count = groups.nunique()
    assert groups[stratified(small_run, count)].nunique() == count
    every = stratified(small_run, 100)
    assert sorted(every) == sorted(small_run.ok.index)
