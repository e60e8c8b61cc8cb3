"""What is said of one map on one image: figures against plain loops, flags, and nothing computed twice."""

import math
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.transforms.functional import gaussian_blur

import vitrine
from explain.methods.baseline import baseline
from explain.methods.compute import MapResult
from explain.methods.live import ImageSession, MapRequest, open_session
from explain.network.hooks import capture
from explain.quality import curves
from explain.quality.cells import on_cells
from explain.quality.controls import (
    IMAGE_CONTROLS,
    OTHER_IMAGE,
    RANDOM_NETWORK,
    center,
    edges,
    smooth_noise,
)
from explain.quality.curves import CurveSettings, Scorer, curves_of
from explain.quality.described.randomized import randomized
from explain.quality.flags import flags
from explain.quality.one_map import check
from explain.quality.one_map.badge import SHARED, badges
from explain.quality.one_map.check import check_map, known_check
from explain.quality.one_map.kept import Kept, Quantity
from explain.quality.one_map.map_check import NAMES, OWN, RANDOM, MapCheck
from explain.quality.similarity import spearman
from explain.quality.verdict import SHORT
from models.classifier import Classifier
from models.errors import Cancelled, UserError
from models.foreign.networks import ForeignNetwork
from tests.conftest import TINY, TinyNet
from tests.test_python import TRANSFORM, network

CELLS, TENTH = 14, 20
PHOTO = Image.fromarray(np.random.default_rng(3).integers(0, 255, (40, 40, 3), dtype=np.uint8))


@pytest.fixture
def session(tiny: Classifier) -> ImageSession:
    with torch.no_grad():
        tiny.model.head.weight.mul_(20)  # type: ignore[operator, union-attr]
    return open_session(tiny, PHOTO)


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of all batches that figures of maps are made of."""
    sizes, asked = list[int](), curves.logits

    def counted(model: nn.Module, x: Tensor, precision: str = "fp32") -> Tensor:
        sizes.append(len(x))
        return asked(model, x, precision)

    monkeypatch.setattr(curves, "logits", counted)
    return sizes


def of(session: ImageSession, raw: Tensor, target: int = 1, contrast: int | None = None) -> MapResult:
    """A result with a map of our own."""
    return MapResult(raw[None], MapRequest("grad_cam", "", target, contrast), "", (target,), 0.0)


# --- the score that the top tenth of a map keeps


@pytest.mark.parametrize("shape", [(32, 32), (30, 17), (3, 5), (2, 2)])
def test_the_blur_is_that_of_torchvision(shape: tuple[int, int]) -> None:
    x, sigma = torch.randn(2, 3, *shape), max(shape) / 10
    size = 2 * min(int(2 * sigma), min(shape) // 2 - 1) + 1
    torch.testing.assert_close(baseline(x, "blur"), gaussian_blur(x, [size, size], [sigma, sigma]))


@pytest.mark.parametrize("method", ["grad_cam", "input_x_gradient"])
def test_the_score_that_is_kept_is_that_of_a_plain_loop(session: ImageSession, method: str) -> None:
    """Also of maps at the input's resolution."""
    result = session.map(MapRequest(method, "features" if method == "grad_cam" else "", 2))
    raw, x, base = torch.from_numpy(result.raw), session.x, baseline(session.x, "blur")
    finest = max(CELLS, len(raw))
    large = F.interpolate(raw[None, None], (finest, finest), mode="bilinear", align_corners=False)[0, 0]
    values = F.adaptive_avg_pool2d(large[None], CELLS)[0]
    strongest = values.flatten().argsort(descending=True)[:TENTH].tolist()
    image = base.clone()
    for row in range(32):
        for column in range(32):
            if (row * CELLS // 32) * CELLS + column * CELLS // 32 in strongest:
                image[..., row, column] = x[..., row, column]
    with torch.no_grad():
        own, whole, blurred = (float(session.classifier.model(i).softmax(1)[0, 2]) for i in (image, x, base))
    [badge] = badges(session, [result])
    assert badge.kept is not None
    assert (badge.kept.own, badge.kept.whole, badge.kept.blurred) == pytest.approx(
        (own, whole, blurred), 1e-4
    )
    assert badge.kept.fraction == pytest.approx(own / whole, 1e-4)


def test_controls_keep_what_the_first_point_of_their_curves_says(session: ImageSession) -> None:
    [badge] = badges(session, [session.map(MapRequest("grad_cam", "features", 1))])
    maps = [center(session.x[0], (CELLS, CELLS), 0)]
    maps += [smooth_noise(session.x[0], (CELLS, CELLS), seed) for seed in range(3)]
    insertion = curves_of(
        Scorer(session.classifier.model), session.x, 1, torch.stack(maps), ["insertion"], CurveSettings()
    )["insertion"]
    middle, *noise = insertion.probabilities[:, 1].tolist()
    assert badge.kept is not None
    assert (badge.kept.center, badge.kept.noise) == pytest.approx((middle, np.mean(noise)), 1e-4)


TASKS: dict[str, tuple[int, str, Callable[[Tensor], Tensor]]] = {
    "one logit": (1, "", lambda z: torch.cat([-z, z], 1).sigmoid()),
    "two classes": (2, "", lambda z: z.softmax(1)),
    "several labels": (3, "multi-label", lambda z: z.sigmoid()),
    "numbers": (3, "regression", lambda z: z),
}


@pytest.mark.parametrize("task", TASKS)
def test_every_task_is_measured_by_what_its_outputs_are(task: str) -> None:
    outputs, name, scores = TASKS[task]
    names = ["a", "b", "c"][: max(outputs, 2)]
    model = network(outputs)
    net = vitrine.wrap(model, names, TRANSFORM, task=name, outputs="" if name == "regression" else "logits")
    session = open_session(net, PHOTO)
    found = badges(session, [session.map(MapRequest("grad_cam", target=t)) for t in range(len(names))])
    with torch.no_grad():
        whole, blurred = scores(model(torch.cat([session.x, baseline(session.x, "blur")])))
    for target, badge in enumerate(found):
        assert badge.kept is not None
        assert badge.kept.whole == pytest.approx(float(whole[target]), 1e-4)
        assert badge.kept.blurred == pytest.approx(float(blurred[target]), 1e-4)
        assert math.isnan(badge.kept.fraction) == (name == "regression")
        assert ("whole image" in badge.kept.text) >= (name == "regression")
    made = check_map(session, session.map(MapRequest("grad_cam", target=1)))
    assert made.deletion[OWN][0] == pytest.approx(float(whole[1]), 1e-4)
    assert made.insertion[OWN][0] == pytest.approx(float(blurred[1]), 1e-4)


def test_against_a_contrast_class_it_is_the_sigmoid_of_the_difference(session: ImageSession) -> None:
    result = session.map(MapRequest("grad_cam", "features", 1, 2))
    [badge] = badges(session, [result])
    with torch.no_grad():
        z = session.classifier.model(session.x)[0]
    assert badge.kept is not None
    assert badge.kept.whole == pytest.approx(float((z[1] - z[2]).sigmoid()), 1e-4)
    assert "of the probability of green against blue (" in badge.kept.text
    made = check_map(session, result)
    assert made.deletion[OWN][0] == pytest.approx(badge.kept.whole, 1e-5)
    assert made.quantity.name == "the probability of green against blue"


def test_of_two_numbers_it_is_their_difference() -> None:
    net = vitrine.wrap(model := network(2), ["age", "height"], TRANSFORM, task="regression")
    session = open_session(net, PHOTO)
    [badge] = badges(session, [session.map(MapRequest("grad_cam", target=0, contrast_class=1))])
    with torch.no_grad():
        z = model(session.x)[0]
    assert badge.kept is not None
    assert badge.kept.whole == pytest.approx(float(z[0] - z[1]), abs=1e-5)
    assert "age minus height is " in badge.kept.text


def test_small_probabilities_are_given_as_they_are() -> None:
    kept = Kept(Quantity("fear"), 0.9, 0.549, 0.522, 0.108, 0.05)
    spaced = kept.text.replace("\u00a0", " ")
    assert spaced == "top 10 % of the map keep 61 % of the probability (center 58 %, noise 12 %)"
    tiny = Kept(Quantity("fear"), 0.002, 0.006, 0.004, 0.001, 0.1)
    spaced = tiny.text.replace("\u00a0", " ")
    assert spaced.startswith(
        "top tenth of the map alone: the probability is 0.6 % (whole image 0.2 %, center"
    )
    assert "blurred everywhere 10 %" in tiny.details.replace("\u00a0", " ")
    values = {1.0: "100", 0.9961: "100", 0.0996: "10", 0.0994: "9.9", 0.0: "0", 3e-5: "under 0.01"}
    for score, text in values.items():
        assert Quantity("fear").value(score) == f"{text}\u00a0%"
    assert [Quantity("age", numbers=True).value(v) for v in (-0.25, math.nan)] == ["−0.25", "–"]


# --- flags


MAPS: dict[str, Tensor] = {
    "flat": torch.zeros(7, 7),
    "not finite": torch.full((7, 7), math.nan),
    "all negative": -torch.rand(7, 7) - 0.1,
    "one cell": torch.eye(7)[3][:, None] * torch.eye(7)[3],
    "border": torch.ones(7, 7) - F.pad(torch.ones(5, 5), (1, 1, 1, 1)),
}


@pytest.mark.parametrize("name", MAPS)
def test_flags_are_said_and_maps_without_order_have_no_figures(session: ImageSession, name: str) -> None:
    [badge] = badges(session, [of(session, MAPS[name])])
    assert [flag.name for flag in badge.flags] == [name]
    assert (badge.kept is None) == (name in ("flat", "not finite")) == (not badge.ordered)
    if not badge.ordered:
        with pytest.raises(UserError, match="nothing to check"):
            check_map(session, of(session, MAPS[name]))


def test_a_map_that_is_flat_on_the_cells_has_no_figures(session: ImageSession) -> None:
    fine = (torch.arange(28)[:, None] + torch.arange(28)[None]) % 2
    [badge] = badges(session, [of(session, fine.float())])
    assert badge.kept is None
    assert [flag.name for flag in badge.flags] == ["flat"]
    assert "14 × 14 cells" in badge.flags[0].reason


def test_a_certain_prediction_is_flagged_and_a_number_never() -> None:
    assert [flag.name for flag in flags(torch.randn(7, 7), 0.9999999)] == ["saturated"]
    (flag,) = flags(-np.ones((3, 3)) - np.eye(3), numbers=True)
    assert "makes the number larger" in flag.reason


# --- the check


def test_curves_of_the_check_are_those_of_a_trust_run(session: ImageSession) -> None:
    result = session.map(MapRequest("grad_cam", "features", 1))
    done = list[float]()
    made = check_map(session, result, done.append)
    grid, x = (CELLS, CELLS), session.x[0]
    random = randomized(session.classifier.model, x=session.x)
    captured = capture(random, session.x, "features")
    of_random = (captured.gradient(torch.tensor([1])).mean((2, 3), keepdim=True) * captured.activation).sum(1)
    maps = [torch.from_numpy(result.raw)[None], center(x, grid, 0)[None], edges(x, grid, 0)[None], of_random]
    maps += [smooth_noise(x, grid, seed)[None] for seed in range(3)]
    every = torch.cat([on_cells(m, grid) for m in maps])
    expected = curves_of(
        Scorer(session.classifier.model), session.x, 1, every, ["insertion", "deletion"], CurveSettings()
    )
    for kind, found in (("insertion", made.insertion), ("deletion", made.deletion)):
        scores = expected[kind].probabilities.numpy()
        reference = [*scores[:4], scores[4:].mean(0)]
        for name, curve in zip((OWN, "center", "edges", RANDOM, "noise"), reference, strict=True):
            np.testing.assert_allclose(found[name], curve, atol=1e-5)
            area = np.trapezoid(curve, made.fractions)
            assert made.areas[name][kind == "deletion"] == pytest.approx(area, abs=1e-5)
    assert made.like_random == pytest.approx(float(spearman(every[0], every[3])), abs=1e-6)
    assert done == sorted(done)
    assert 0 <= done[0] <= done[-1] <= 1


def checked(own: float, random: float, like: float = 0.1, numbers: bool = False) -> MapCheck:
    """Areas of insertion; deletion is zero."""
    areas = {OWN: (own, 0.0), "center": (0.4, 0.0), RANDOM: (random, 0.0)}
    lines = {name: np.array([0, 1.0]) for name in areas}
    quantity = Quantity("<b>fear</b>", numbers=numbers)
    return MapCheck(quantity, (0.0, 1.0), lines, lines, areas, like)


def test_what_a_check_says_in_words() -> None:
    assert checked(0.5, 0.3).sentence == (
        "Better than all its controls on this image, the best of them the center: insertion − deletion is "
        "0.50, against 0.40."
    )
    assert checked(0.4049, 0.3).sentence.startswith("No better than the center on this image")
    assert checked(0.4, 0.4051).sentence.startswith("Worse than a random network's map on this image")
    assert checked(0.402, 0.3).sentence.startswith("No better than the center on this image")
    assert checked(0.4, 0.45).sentence.startswith("Worse than a random network's map on this image")
    assert checked(0.4, 0.45, like=0.97).dependence.startswith("The map does not depend on what the network")
    assert "gives another map (rank correlation −0.20;" in checked(0.4, 0.45, like=-0.2).dependence
    assert {*NAMES} == {OWN, *IMAGE_CONTROLS, OTHER_IMAGE, RANDOM_NETWORK}
    assert [*NAMES][1:] == [*SHORT]


class ScoresOnly(ForeignNetwork):
    """A network of which only the scores can be had."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.register_buffer("tensor", torch.zeros(1))
        self.inner = [TinyNet().eval()]

    def forward(self, x: Tensor) -> Tensor:
        return self.inner[0](x)


def test_of_scores_alone_there_is_no_random_network_and_that_is_said() -> None:
    net = Classifier("scores", ScoresOnly(), ("a", "b", "c"), TINY, "", "")
    session = open_session(net, PHOTO)
    result = session.map(MapRequest("occlusion", target=0))
    [badge] = badges(session, [result])
    assert badge.kept is not None
    made = check_map(session, result)
    assert {*made.areas} == {OWN, *IMAGE_CONTROLS}
    assert math.isnan(made.like_random)
    assert made.dependence.startswith("Not compared with a network with random weights. ")
    assert "neither gradients nor layers" in made.dependence


# --- what is not computed twice, and what is left behind


def test_known_maps_cost_nothing(session: ImageSession, passes: list[int]) -> None:
    results = [session.map(MapRequest(m, "features", 1)) for m in ("grad_cam", "layer_cam")]
    first = badges(session, results)
    assert passes == [SHARED + 2]  # one batch
    assert badges(session, results) == first
    assert passes == [SHARED + 2]
    other = session.map(MapRequest("grad_cam", "features", 0))
    badges(session, [*results, other])  # another class: the controls are known
    assert passes == [SHARED + 2, 1]
    made = check_map(session, results[0])
    assert sum(passes[2:]) == 2 + 7 * 18
    assert check_map(session, results[0]) is made
    assert known_check(session, results[1]) is None
    assert len(passes) == len(passes[:2]) + 1 + 2 * math.ceil(7 * 9 / 16)


def test_where_it_would_take_long_only_flags_are_said(session: ImageSession, passes: list[int]) -> None:
    result = session.map(MapRequest("grad_cam", "features", 1))
    assert badges(session, [result], seconds=0)[0].kept is None
    assert passes == []
    assert badges(session, [result])[0].kept is not None
    assert badges(session, [result], seconds=0)[0].kept is not None


def test_the_random_network_is_made_once_and_kept_if_it_is_small(
    session: ImageSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = list[Tensor]()
    monkeypatch.setattr(check, "randomized", lambda model, x: (made.append(x), randomized(model, x=x))[1])
    for target in range(2):
        check_map(session, session.map(MapRequest("grad_cam", "features", target)))
    assert len(made) == 1
    other = open_session(session.classifier, PHOTO)
    monkeypatch.setattr(check, "RANDOM_BYTES", 0)
    for target in range(2):
        check_map(other, other.map(MapRequest("grad_cam", "features", target)))
    assert len(made) == 3


@pytest.fixture
def left_as_found(session: ImageSession) -> Iterator[None]:
    model = session.classifier.model
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state, x = torch.get_rng_state(), session.x.clone()
    yield
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert torch.equal(state, torch.get_rng_state())
    assert torch.equal(session.x, x)
    assert not model.training
    assert all(p.grad is None and p.requires_grad for p in model.parameters())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


@pytest.mark.usefixtures("left_as_found")
def test_the_model_is_left_as_it_was(session: ImageSession) -> None:
    result = session.map(MapRequest("grad_cam", "features", 1))
    badges(session, [result])
    for stop in (0.0, 0.5):

        def on_progress(fraction: float, stop: float = stop) -> None:
            if fraction >= stop:
                raise Cancelled

        with pytest.raises(Cancelled):
            check_map(session, result, on_progress)
        assert known_check(session, result) is None
    check_map(session, result)


@pytest.mark.slow
def test_figures_are_dropped_with_their_session(tiny: Classifier) -> None:
    import gc

    from explain.quality.one_map.map_scores import _MEASURED

    gc.collect()
    before, session = len(_MEASURED), open_session(tiny, PHOTO)
    check_map(session, session.map(MapRequest("grad_cam", "features", 1)))
    assert len(_MEASURED) == before + 1
    del session
    gc.collect()
    assert len(_MEASURED) == before
