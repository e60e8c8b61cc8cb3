"""Measures of maps against Quantus, Captum, SciPy and scikit-image, or plain loops; and what they do with
maps that cannot be measured."""

import math
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from captum.metrics import sensitivity_max
from scipy import stats
from skimage.metrics import structural_similarity
from torch import Tensor, nn

from explain.network.hooks import capture
from explain.quality.described.agreement import agreement, mean_agreement
from explain.quality.described.complexity import entropy, gini
from explain.quality.described.mprt import discrete_entropy, efficient_mprt, smooth_mprt
from explain.quality.described.randomized import randomized, randomized_from_the_top
from explain.quality.described.stability import max_sensitivity, perturbations
from explain.quality.flags import flags
from explain.quality.similarity import is_flat, ranks, spearman, ssim
from models.classifier import Classifier
from models.errors import UserError

NAN, CLASSES = float("nan"), torch.tensor([0, 1, 2, 1, 0, 2, 2, 1])


def random_maps(n: int = 8, h: int = 12, w: int = 10, seed: int = 0) -> Tensor:
    return torch.randn(n, h, w, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def x() -> Tensor:
    return torch.randn(8, 3, 32, 32, generator=torch.Generator().manual_seed(1))


def grad_cams(model: nn.Module, x: Tensor, classes: Tensor = CLASSES) -> Tensor:
    captured = capture(model, x, "features.4")
    weights = captured.gradient(classes).mean((2, 3), keepdim=True)
    return (weights * captured.activation).sum(1)


def close(ours: Tensor, theirs: Any, tolerance: float = 1e-6) -> None:
    np.testing.assert_allclose(ours.numpy(), np.asarray(theirs, np.float64), atol=tolerance, rtol=0)


# similarity of two maps


@pytest.mark.parametrize("ties", [False, True])
def test_rank_correlation(ties: bool) -> None:
    a, b = random_maps(), random_maps(seed=1) + random_maps()
    if ties:
        a, b = a.relu(), b.round()
    close(ranks(a.flatten(1)), stats.rankdata(a.flatten(1).numpy(), axis=1), 0)
    close(spearman(a, b), [stats.spearmanr(p.flatten(), q.flatten())[0] for p, q in zip(a, b, strict=True)])
    magnitudes = [stats.spearmanr(p.abs().flatten(), q.abs().flatten())[0] for p, q in zip(a, b, strict=True)]
    close(spearman(a, b, absolute=True), magnitudes)


@pytest.mark.parametrize("shape", [(12, 10), (7, 7), (4, 9), (3, 3)])
def test_structural_similarity(shape: tuple[int, int]) -> None:
    """scikit-image on maps that are divided by the root of their mean square, as in Quantus; the window fits
    into small maps."""
    a = random_maps(4, *shape).double()
    b = 3e-12 * (a + random_maps(4, *shape, seed=1))  # another scale, as maps of random weights have

    def expected(p: np.ndarray, q: np.ndarray) -> float:
        p, q = (m / np.sqrt((m**2).mean()) for m in (p, q))
        both, side = np.concatenate([p, q]), min(7, *p.shape)
        window = side if side % 2 else side - 1
        return float(structural_similarity(p, q, win_size=window, data_range=both.max() - both.min()))

    close(ssim(a, b), [expected(p.numpy(), q.numpy()) for p, q in zip(a, b, strict=True)])
    close(ssim(a, a), np.ones(4))
    assert ssim(a[:, :2], b[:, :2]).isnan().all()


@pytest.mark.parametrize("measure", [spearman, ssim])
def test_similarity_of_what_cannot_be_compared_is_nan(measure: Any) -> None:
    good = random_maps(1, 8, 8)
    broken = good.clone()
    broken[0, 0, 0] = NAN
    infinite = good.clone()
    infinite[0, 0, 0] = math.inf
    rounding = 5 + 1e-6 * random_maps(1, 8, 8, seed=2)
    for bad in (torch.zeros(1, 8, 8), torch.full((1, 8, 8), 3.0), broken, infinite, rounding):
        assert measure(good, bad).isnan().all()
        assert measure(bad, good).isnan().all()
    assert measure(good, 1e-20 * good).item() == pytest.approx(1)


def test_flat_maps() -> None:
    maps = torch.stack([torch.zeros(3, 3), torch.ones(3, 3), torch.eye(3), 1 + 1e-4 * torch.eye(3)])
    assert is_flat(maps).tolist() == [True, True, False, False]
    assert is_flat(torch.tensor([[[1e-30, 2e-30]], [[NAN, 1]], [[math.inf, 1]]])).tolist() == [False] * 3


# random weights


def test_discrete_entropy() -> None:
    maps = random_maps().double()
    expected = [stats.entropy(np.histogram(m.numpy(), 100)[0]) for m in maps]
    close(discrete_entropy(maps), expected)
    close(discrete_entropy(1e-25 * maps), expected, 1e-2)  # values at the edge of a bin may be rounded
    edges = torch.arange(101.0).reshape(1, 1, 101) / 100
    close(discrete_entropy(edges.double()), [stats.entropy(np.histogram(edges.double().numpy(), 100)[0])])
    assert discrete_entropy(torch.stack([torch.zeros(3, 3), torch.full((3, 3), NAN)])).isnan().all()


def quantus_explains(model: nn.Module, inputs: Any, targets: Any, **_: Any) -> np.ndarray:
    """Our maps in the form that Quantus takes: (N, 1, H, W) at the size of the image, each value repeated."""
    maps = grad_cams(model, torch.as_tensor(inputs, dtype=torch.float32), torch.as_tensor(targets))
    return maps.double().numpy().repeat(4, 1).repeat(4, 2)[:, None]


@pytest.fixture
def quantus(monkeypatch: pytest.MonkeyPatch, x: Tensor) -> Any:
    """Quantus with the random networks that we draw."""
    package = pytest.importorskip("quantus")
    from quantus.helpers.model.pytorch_model import PyTorchModel

    def layers(self: Any, order: str = "", seed: int = 0) -> Iterator[tuple[str, nn.Module]]:
        yield from ((layer, net) for _, layer, net in randomized_from_the_top(self.model, x, 2, seed))

    monkeypatch.setattr(PyTorchModel, "get_random_layer_generator", layers)
    monkeypatch.setattr(PyTorchModel, "random_layer_generator_length", 2)
    monkeypatch.setattr(package, "explain", quantus_explains)  # smooth MPRT calls it, whatever it is given
    return package


def test_efficient_mprt_is_that_of_quantus(quantus: Any, tiny: Classifier, x: Tensor) -> None:
    metric = quantus.EfficientMPRT(seed=3, disable_warnings=True)
    theirs = metric(
        model=tiny.model,
        x_batch=x.numpy(),
        y_batch=CLASSES.numpy(),
        explain_func=quantus_explains,
        channel_first=True,
    )
    close(efficient_mprt(grad_cams, tiny.model, x, seed=3), theirs, 1e-3)
    full = randomized(tiny.model, 3, x)
    own, other = (discrete_entropy(grad_cams(m, x)) for m in (tiny.model, full))
    close(efficient_mprt(grad_cams, tiny.model, x, seed=3), (other - own) / own)


@pytest.mark.parametrize("absolute", [True, False])
def test_smooth_mprt_is_that_of_quantus(quantus: Any, tiny: Classifier, x: Tensor, absolute: bool) -> None:
    """Without noisy copies, which it draws otherwise."""
    metric = quantus.SmoothMPRT(nr_samples=1, seed=3, abs=absolute, disable_warnings=True)
    theirs = metric(
        model=tiny.model,
        x_batch=x.numpy(),
        y_batch=CLASSES.numpy(),
        explain_func=quantus_explains,
        channel_first=True,
    )
    ours = smooth_mprt(grad_cams, tiny.model, x, steps=2, samples=1, seed=3)
    assert list(theirs) == ["original", *ours.layers]
    for step, layer in enumerate(ours.layers):
        close((ours.absolute if absolute else ours.signed)[step], theirs[layer], 1e-3)


def test_smooth_mprt_step_by_step(tiny: Classifier, x: Tensor) -> None:
    """A plain loop over networks, images and noisy copies."""
    done: list[float] = []
    ours = smooth_mprt(grad_cams, tiny.model, x, steps=2, samples=3, noise=0.2, seed=5, on_step=done.append)
    assert ours.fractions == (0.5, 1)
    assert done == pytest.approx([1 / 3, 2 / 3, 1])
    generator = torch.Generator().manual_seed(5)
    draws = [torch.zeros(3, 32, 32), *(torch.randn(3, 32, 32, generator=generator) for _ in range(2))]

    def mean_map(model: nn.Module, i: int) -> np.ndarray:
        size = 0.2 * (x[i].max() - x[i].min())
        maps = [grad_cams(model, (x[i] + size * draw)[None], CLASSES[i : i + 1])[0] for draw in draws]
        return torch.stack(maps).mean(0).double().numpy()

    networks = [step.network for step in randomized_from_the_top(tiny.model, x, 2, 5)]
    for i in range(len(x)):
        own = mean_map(tiny.model, i)
        for step, network in enumerate(networks):
            other = mean_map(network, i)
            a, b = (m / np.sqrt((m**2).mean()) for m in (own, other))
            span = max(a.max(), b.max()) - min(a.min(), b.min())
            assert ours.signed[step, i] == pytest.approx(stats.spearmanr(own.ravel(), other.ravel())[0])
            absolute = stats.spearmanr(np.abs(own).ravel(), np.abs(other).ravel())[0]
            assert ours.absolute[step, i] == pytest.approx(absolute)
            assert ours.ssim[step, i] == pytest.approx(structural_similarity(a, b, data_range=span), abs=1e-4)


def test_with_the_same_reference_a_batch_gives_what_its_images_give(tiny: Classifier, x: Tensor) -> None:
    batch = smooth_mprt(grad_cams, tiny.model, x, steps=2, samples=2, reference=x)
    efficient = efficient_mprt(grad_cams, tiny.model, x, reference=x)
    for i in (0, 5):

        def alone(model: nn.Module, image: Tensor, i: int = i) -> Tensor:
            return grad_cams(model, image, CLASSES[i : i + 1])

        one = smooth_mprt(alone, tiny.model, x[i : i + 1], steps=2, samples=2, reference=x)
        for name in ("signed", "absolute", "ssim"):
            close(getattr(one, name)[:, 0], getattr(batch, name)[:, i], 1e-3)
        close(efficient_mprt(alone, tiny.model, x[i : i + 1], reference=x), efficient[i : i + 1], 1e-2)


def test_a_map_of_the_image_alone_does_not_pass_and_one_of_the_weights_does(
    tiny: Classifier, x: Tensor
) -> None:
    image = smooth_mprt(lambda model, x: x.mean(1), tiny.model, x, steps=2, samples=2)
    for values in (image.signed, image.absolute, image.ssim):
        close(values, np.ones((2, 8)))
    close(efficient_mprt(lambda model, x: x.mean(1), tiny.model, x), np.zeros(8))

    def of_weights(model: nn.Module, x: Tensor) -> Tensor:
        torch.manual_seed(int(1e6 * float(model.head.weight.detach().abs().sum())))  # type: ignore[union-attr,operator]
        return torch.randn(1, 16, 16).expand(len(x), -1, -1)

    weights = smooth_mprt(of_weights, tiny.model, x, steps=2, samples=1)
    assert weights.signed.abs().max() < 0.25
    assert weights.ssim.max() < 0.25


def test_mprt_of_a_network_that_cannot_be_copied(tiny: Classifier, x: Tensor) -> None:
    tiny.model.lock = threading.Lock()  # type: ignore[assignment]
    for measure in (smooth_mprt, efficient_mprt):
        with pytest.raises(UserError, match=r"^TinyNet cannot be copied"):
            measure(grad_cams, tiny.model, x)


# stability


@pytest.mark.parametrize("radius", [0.02, 0.3])
def test_max_sensitivity_is_that_of_captum(tiny: Classifier, x: Tensor, radius: float) -> None:
    noise = perturbations(x, radius, 10, 4)
    assert noise.abs().max() <= radius
    assert noise.abs().max() > 0.99 * radius

    def explain(images: Any, target: Tensor) -> Any:
        with torch.enable_grad():  # Captum measures without
            if isinstance(images, tuple):
                return (explain(images[0], target),)
            return grad_cams(tiny.model, images, target)

    theirs = sensitivity_max(
        explain,
        x,
        perturb_func=lambda images: images + noise.repeat(len(x), 1, 1, 1),
        n_perturb_samples=10,
        target=CLASSES,
    )
    calls: list[int] = []

    def maps(images: Tensor, classes: Tensor) -> Tensor:
        calls.append(len(images))
        return grad_cams(tiny.model, images, classes)

    close(max_sensitivity(maps, x, CLASSES, radius=radius, seed=4), theirs, 1e-4)
    assert calls == [11] * 8


def test_sensitivity_of_known_maps(x: Tensor) -> None:
    """A map that ignores the image never changes; one that is the image changes as the image does; of zeros
    nothing can be said."""
    close(max_sensitivity(lambda x, _: torch.ones(len(x), 5, 5), x, CLASSES), np.zeros(8))
    noise = perturbations(x, 0.02, 10, 0)[:, 0].flatten(1).norm(dim=1).max()
    close(max_sensitivity(lambda x, _: x[:, 0], x, CLASSES), noise / x[:, 0].flatten(1).norm(dim=1), 1e-5)
    assert max_sensitivity(lambda x, _: torch.zeros(len(x), 5, 5), x, CLASSES).isnan().all()
    assert max_sensitivity(lambda x, _: x[:, 0] * NAN, x, CLASSES).isnan().all()
    tiny_values = max_sensitivity(lambda x, _: 1e-30 * x[:, 0], x, CLASSES)
    close(tiny_values, max_sensitivity(lambda x, _: x[:, 0], x, CLASSES), 1e-5)


# complexity


def test_complexity_is_that_of_quantus() -> None:
    quantus = pytest.importorskip("quantus")
    maps = random_maps(8, 16, 16)
    given = {"model": None, "x_batch": np.zeros((8, 1, 16, 16)), "y_batch": np.zeros(8, int)}
    for ours, metric in ((entropy, quantus.Complexity), (gini, quantus.Sparseness)):
        theirs = metric(abs=True, normalise=False, disable_warnings=True)(
            **given, a_batch=maps[:, None].double().numpy()
        )
        close(ours(maps), theirs, 1e-5)


def test_complexity_of_known_maps() -> None:
    one = torch.zeros(1, 4, 5)
    one[0, 1, 2] = -3
    even = torch.full((1, 4, 5), -1e-30)
    close(entropy(torch.cat([one, even])), [0, math.log(20)])
    close(gini(torch.cat([one, even])), [1 - 1 / 20, 0])
    broken = torch.stack([torch.zeros(4, 5), torch.full((4, 5), NAN), torch.full((4, 5), math.inf)])
    assert entropy(broken).isnan().all()
    assert gini(broken).isnan().all()


# agreement of methods


def test_agreement_of_methods() -> None:
    """Every pair by SciPy, on the coarsest grid."""
    fine, coarse, other = random_maps(3, 8, 8), random_maps(3, 4, 4, seed=1), random_maps(3, 4, 2, seed=2)
    ours = agreement([fine, coarse, other])
    assert ours.shape == (3, 3, 3)
    for i in range(3):
        maps = [m[i] for m in (fine, coarse, other)]
        grids = [m.reshape(4, m.shape[0] // 4, 2, m.shape[1] // 2).mean((1, 3)) for m in maps]
        for a in range(3):
            for b in range(3):
                expected = stats.spearmanr(grids[a].flatten(), grids[b].flatten())[0]
                assert float(ours[i, a, b]) == pytest.approx(expected)
    close(mean_agreement(ours), [(m[0, 1] + m[0, 2] + m[1, 2]) / 3 for m in ours.numpy()])


def test_agreement_with_a_constant_map_is_nan() -> None:
    a, b = random_maps(2, 5, 5), random_maps(2, 5, 5, seed=1)
    b[0] = 4
    found = agreement([a, b, -a])
    assert found[0, 1].isnan().all()
    assert found[0, :, 1].isnan().all()
    close(found[:, 0, 2], [-1, -1])
    close(mean_agreement(found)[:1], [-1])
    close(agreement([a, -a], absolute=True)[:, 0, 1], [1, 1])
    assert mean_agreement(agreement([torch.ones(2, 5, 5)] * 2)).isnan().all()


# flags


def names(raw: Tensor, probability: float | None = None) -> list[str]:
    found = flags(raw, probability)
    assert all(flag.reason and "\n" not in flag.reason for flag in found)
    return [flag.name for flag in found]


def test_flags() -> None:
    good, corner, frame = random_maps(1, 7, 7)[0], torch.zeros(7, 7), torch.ones(7, 7)
    corner[3, 3], frame[1:-1, 1:-1] = 2, 0
    broken = good.clone()
    broken[0, 0] = NAN
    assert names(good) == []
    assert names(good, 0.99) == []
    assert names(broken) == ["not finite"]
    assert names(torch.full((7, 7), -math.inf)) == ["not finite"]
    assert names(torch.zeros(7, 7)) == ["flat"]
    assert names(5 + 1e-7 * good) == ["flat"]
    assert names(torch.ones(1, 1)) == ["flat"]
    assert names(-good.abs() - 1) == ["all negative"]
    assert names(corner) == ["one cell"]
    assert names(frame) == ["border"]
    assert names(1e-30 * good) == []
    assert names(good, 0.9999999) == ["saturated"]
    assert names(torch.zeros(7, 7), 1.0) == ["flat", "saturated"]
    assert names(good, NAN) == []
    (flag,) = flags(broken)
    assert flag.reason == "1 of 49 values are NaN or infinite."
