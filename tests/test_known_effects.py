"""Benchmarks with known answers: faces drawn again without one thing, how well maps follow its true effect,
and the mark of a planted shortcut."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import ndimage, stats
from torch import nn

from benchmarks.known_effects import Bench, Effects, follows, known_scores, masses, measured
from benchmarks.known_tables import (
    FIGURES,
    against_controls,
    between,
    figure_table,
    outcome_table,
    paired,
    rank_correlation,
    ranking_table,
    wide,
)
from benchmarks.planted_shortcut import (
    COLOR,
    CORNERS,
    MARKED,
    SIDE,
    Hits,
    compared,
    marked,
    regions,
    training_corners,
)
from benchmarks.redrawn_faces import redrawn, removable, without_each
from explain.quality.controls import IMAGE_CONTROLS, OTHER_IMAGE, RANDOM_NETWORK
from models.data.toon_faces import CLASSES, PARTS, ToonFaces, cast, draw_face
from models.errors import UserError
from models.preprocessing import Preprocessing
from vitrine import wrap

SEED = (0, 2, 11)


# --- drawing


@pytest.mark.parametrize("expression", ["surprise", "contempt", "neutral"])
def test_a_face_is_drawn_again_as_it_was(expression: str) -> None:
    face = draw_face(expression, SEED)
    np.testing.assert_array_equal(np.asarray(redrawn(expression, SEED)), np.asarray(face.image))


@pytest.mark.parametrize("index", [1, 6])
def test_without_a_part_the_face_differs_only_in_the_place_of_that_part(index: int) -> None:
    faces = ToonFaces("test")
    expression = faces.items[index].label
    masks = draw_face(expression, (0, 2, index)).masks
    removed = {one.name: one for one in without_each(expression, (0, 2, index))}
    for part in PARTS:
        place = removed[part].place
        assert (place & masks[part]).sum() > 0.3 * place.sum()
        near = masks[part] | (masks["mouth"] & (part == "nose"))  # a furrow leads from nose to mouth
        near = ndimage.binary_dilation(near, iterations=14)  # folds, frown lines and blur
        assert not (place & ~near).any(), part
    assert not (removed["mouth"].place & (masks["eyes"] | masks["brows"])).any()
    assert not (removed["brows"].place & masks["mouth"]).any()


def test_an_action_unit_at_rest_changes_its_part() -> None:
    masks = draw_face("surprise", (0, 2, 3)).masks
    removed = {one.name: one for one in without_each("surprise", (0, 2, 3))}
    units = ("AU2", "brows", "mouth"), ("AU5", "eyes", "mouth"), ("AU26", "mouth", "brows")
    for unit, part, other in units:
        place = removed[unit].place
        assert (place & masks[part]).any()
        assert not (place & masks[other]).any()


def test_what_a_person_does_not_have_cannot_be_removed() -> None:
    for index, expression in enumerate(CLASSES * 3):
        seed = (0, 2, index)
        who, scene, _ = cast(expression, seed)
        groups = removable(expression, seed)
        assert ("glasses" in groups["parts"]) == (who.glasses != "none")
        assert ("hair" in groups["parts"]) == (who.hair_style != "bald")
        assert ("occluder" in groups["parts"]) == (scene.occluder is not None)
        assert bool(groups["units"]) == (expression != "neutral")
    assert groups["units"][:2] == ("AU12", "AU14")


# --- effects


class Linear(nn.Module):
    """Logits are sums of weights times pixels."""

    def __init__(self, side: int):
        super().__init__()
        generator = torch.Generator().manual_seed(1)
        self.conv = nn.Conv2d(3, 3, 1, bias=False)
        self.head = nn.Linear(3 * side * side, 8, bias=False)
        with torch.no_grad():
            self.conv.weight.copy_(torch.eye(3)[:, :, None, None])
            self.head.weight.copy_(torch.randn(8, 3 * side * side, generator=generator) * 0.01)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.conv(x).flatten(1))


def hand_made() -> tuple[torch.Tensor, torch.Tensor, Effects]:
    """An image, the weights of a linear score, and the effects of blacking out nine equal squares."""
    x, weights = torch.rand(12, 12) + 0.1, torch.randn(12, 12)
    places, changes = torch.zeros(9, 12, 12, dtype=torch.bool), []
    for k, place in enumerate(places):
        row, column = 4 * (k // 3), 4 * (k % 3)
        place[row : row + 4, column : column + 4] = True
        changes.append(float((weights * x).sum() - (weights * torch.where(place, 0, x)).sum()))
    return x, weights, Effects(places, torch.tensor(changes), {"parts": list(range(9)), "units": [0, 1, 2]})


def test_weights_times_input_follow_the_effects_of_a_linear_network_and_random_maps_do_not() -> None:
    torch.manual_seed(0)
    x, weights, known = hand_made()
    scores = known_scores(torch.stack([weights * x, -weights * x, torch.ones(12, 12)]), known)
    assert list(scores) == ["parts", "parts.positive", "parts.sum"]  # three things are too few to rank
    assert scores["parts"].tolist() == pytest.approx([1, -1, 0])
    assert scores["parts.sum"].tolist() == pytest.approx([1, -1, 0])
    random = known_scores(torch.rand(500, 12, 12), known)["parts"]
    assert abs(float(random.mean())) < 4 * float(random.std()) / 500**0.5 < 0.1


def test_masses_are_means_over_the_place_and_correlations_those_of_scipy() -> None:
    torch.manual_seed(0)
    places, maps = torch.rand(5, 16, 16) > 0.7, torch.randn(3, 16, 16)
    mass, changes = masses(maps, places), torch.randn(5)
    for m, own in zip(maps, mass, strict=True):
        assert own.tolist() == pytest.approx([float(m[place].mean()) for place in places], rel=1e-5)
    expected = [float(stats.spearmanr(own, changes)[0]) for own in mass]
    assert follows(mass, changes).tolist() == pytest.approx(expected)


def bench_of(side: int, count: int) -> Bench:
    plain = Preprocessing((side, side), None, mean=(0, 0, 0), std=(1, 1, 1))
    classifier = wrap(Linear(side), CLASSES, plain, outputs="logits")
    return Bench.of(classifier, ["grad_cam", "input_x_gradient"], ToonFaces("test", count))


@pytest.mark.slow
def test_effects_are_those_of_a_plain_loop() -> None:
    bench = bench_of(128, 4)
    known, whole = bench.effects(3), np.asarray(bench.faces.load(3), np.float64) / 255
    weights = bench.classifier.model.head.weight.detach().double().numpy()
    target = int((weights @ whole.transpose(2, 0, 1).ravel()).argmax())
    assert bench.targets[3] == target
    removed = list(without_each("surprise", (0, 2, 3)))
    for place, change, one in zip(known.places, known.changes, removed, strict=True):
        np.testing.assert_array_equal(place.numpy(), one.place)
        difference = (whole - np.asarray(one.image, np.float64) / 255) * one.place[..., None]
        expected = float(weights[target] @ difference.transpose(2, 0, 1).ravel())
        assert float(change) == pytest.approx(expected, abs=1e-4)
    assert [removed[k].name for k in known.groups["units"]][-4:] == ["AU1", "AU2", "AU5", "AU26"]


def test_a_network_that_gets_a_part_of_the_face_is_refused() -> None:
    classifier = wrap(Linear(32), CLASSES, Preprocessing((32, 32)), outputs="logits")
    with pytest.raises(UserError, match="takes the whole image"):
        Bench.of(classifier, ["grad_cam"], ToonFaces("test", 2))


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    path = tmp_path_factory.mktemp("known") / "rows.parquet"
    first = measured(bench_of(32, 3), 2, path)
    again = measured(replace(bench_of(32, 3), methods=["fem"]), 2, path)  # all faces are known
    pd.testing.assert_frame_equal(first, again)
    return first


@pytest.mark.slow
def test_every_map_and_control_has_one_row(rows: pd.DataFrame) -> None:
    variants = ["", OTHER_IMAGE, RANDOM_NETWORK]
    labels = [(m, v) for m in ("grad_cam", "input_x_gradient") for v in variants]
    labels += [("", control) for control in IMAGE_CONTROLS]
    found = rows.groupby("id")[["method", "variant"]].apply(lambda t: {*map(tuple, t.to_numpy())})
    assert [*found] == [{*labels}] * 3
    assert rows["parts"].between(-1, 1).all()
    own = rows[rows["variant"] == ""]
    assert own["smooth_mprt"].notna().sum() == own["max_sensitivity"].notna().sum() == 4
    assert own[["insertion", "deletion.logit", "agreement", "gini"]].notna().all().all()


@pytest.mark.slow
def test_tables_name_every_method_control_and_figure(rows: pd.DataFrame) -> None:
    text = ranking_table(rows, "parts")
    for name in ("Grad-CAM", "Input × gradient", "*the center*", "*edges*", "another image's map"):
        assert text.count(f"| {name} ") == 1 or text.count(f"| *{name}* ") == 1
    text = figure_table(rows, "parts", "removed: parts")
    assert all(f"| {name} |" in text for name in FIGURES)
    assert "| same as the known answer | 2 of 2 |" in outcome_table(rows, "parts")


# --- tables


def made_up(images: int = 40) -> pd.DataFrame:
    """Known answers of two methods and the controls; the figure orders all maps but noise as they do."""
    rng, rows = np.random.default_rng(0), []
    levels = {("a", ""): 0.6, ("b", ""): 0.2, ("", "center"): 0.4, ("", "edges"): 0.0, ("", "noise"): -0.2}
    for k in range(images):
        for (method, variant), level in levels.items():
            known = level + rng.normal(0, 0.1)
            figures = {"insertion": known, "deletion": -known if variant != "noise" else 9.0}
            rows.append({"id": k, "method": method, "variant": variant, "parts": known} | figures)
    return pd.DataFrame(rows)


def test_a_method_is_compared_with_the_best_control() -> None:
    found = against_controls(wide(made_up(), made_up()["parts"]), list(IMAGE_CONTROLS))
    assert {name: (c.outcome, c.best) for name, c in found.items()} == {
        "a": ("better", "center"),
        "b": ("worse", "center"),
    }


def test_a_figure_that_ranks_as_the_known_answers_has_the_correlation_1() -> None:
    known, figure = paired(made_up(), "parts", "insertion − deletion", controls=False)
    np.testing.assert_allclose(figure, 2 * known)
    assert between(known, figure)[0] == 1
    assert rank_correlation(known, figure).tolist() == [1] * 40
    assert between(known, -figure)[0] == -1


def test_rank_correlations_are_those_of_scipy() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 5, (6, 9)), rng.normal(size=(6, 9))
    expected = [stats.spearmanr(x, y)[0] for x, y in zip(a, b, strict=True)]
    np.testing.assert_allclose(rank_correlation(a, b), expected)
    assert np.isnan(rank_correlation(np.ones(4), np.arange(4)))


# --- the planted shortcut


def test_the_mark_is_where_it_is_said() -> None:
    plain = torch.zeros(5, 3, SIDE, SIDE)
    corners = [-1, 0, 1, 2, 3]
    images, places = marked(plain, corners), regions(corners[1:])
    assert torch.equal(images[0], plain[0])
    for image, place, (low, right) in zip(images[1:], places, CORNERS, strict=True):
        assert not (image.amax(0)[~place] > 0).any()
        rows, columns = torch.where(image[0] > 0)
        assert (len(rows), len(columns.unique())) == (144, 12)
        assert (rows.min() > SIDE / 2, columns.min() > SIDE / 2) == (low, right)
        assert image[:, rows[0], columns[0]].tolist() == pytest.approx([c / 255 for c in COLOR])
        assert place.sum() == 256


def test_the_shortcut_is_on_one_class_and_the_mended_data_have_it_on_all() -> None:
    labels = torch.arange(4000) % 4
    planted, mended = (np.array(training_corners(labels, one)) >= 0 for one in (False, True))
    of_class = labels.numpy() == MARKED
    assert 0.87 < planted[of_class].mean() < 0.93
    assert not planted[~of_class].any()
    assert all(0.87 < mended[labels.numpy() == c].mean() < 0.93 for c in range(4))


def test_hits_and_their_comparison() -> None:
    places = regions([0, 3] * 10)
    exact, nothing = Hits.of(places.float(), places), Hits.of(-places.float(), places)
    assert exact.energy.tolist() == exact.pointing.tolist() == [1] * 20
    assert nothing.energy.tolist() == [0] * 20
    constant = Hits.of(torch.ones(20, 8, 8), places)
    assert constant.energy.tolist() == pytest.approx([1 / 16] * 20)
    others = dict.fromkeys([("m", OTHER_IMAGE), ("m", RANDOM_NETWORK)], constant)
    others |= {("", control): constant for control in IMAGE_CONTROLS}
    assert compared({("m", ""): exact, **others})["m"].outcome == "better"
