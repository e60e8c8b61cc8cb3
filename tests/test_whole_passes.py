"""FullGrad, ShapleyCAM, and what comes from pytorch-grad-cam: sums that theory gives, finite differences, and
methods that must agree."""

import pytest
import pytorch_grad_cam as reference
import torch
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch import nn

from explain.methods.fullgrad import full_gradients
from explain.methods.inputs import MethodInputs
from explain.network.hooks import capture
from explain.network.target import Target
from models.classifier import Classifier
from models.errors import UserError
from tests.maps import maps_for

LAYER = "features"


@pytest.fixture
def x() -> torch.Tensor:
    return torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(3))


def case(tiny: Classifier, x: torch.Tensor, *classes: int) -> MethodInputs:
    return MethodInputs(tiny.model, x, (LAYER,), Target(torch.tensor(classes)))


class Biased(nn.Module):
    """Convolutions, batch norms, a dense layer: all with biases, so that FullGrad has something to find."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(2)
        self.one, self.norm, self.two = (
            nn.Conv2d(3, 5, 3, padding=1),
            nn.BatchNorm2d(5),
            nn.Conv2d(5, 6, 3, 2, bias=False),
        )
        self.flat, self.hidden, self.head = nn.BatchNorm1d(6), nn.Linear(6, 7), nn.Linear(7, 4)
        for norm in (self.norm, self.flat):
            (
                nn.init.normal_(norm.bias),
                nn.init.normal_(norm.running_mean),
                nn.init.uniform_(norm.running_var, 0.5, 2),
                nn.init.normal_(norm.weight),
            )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = nn.functional.relu(self.two(nn.functional.relu_(self.norm(self.one(x)))))
        return self.head(nn.functional.relu(self.hidden(self.flat(y.amax((2, 3))))))


def test_full_gradients_sum_to_the_score(x: torch.Tensor) -> None:
    model = Biased().eval()
    target = Target(torch.tensor([1, 3]))
    image, fractions = full_gradients(model, x, target)
    assert len(fractions) == 5  # of six layers, one has no bias
    total = image.flatten(1).sum(1) + sum(fraction.flatten(1).sum(1) for fraction in fractions)
    with torch.no_grad():
        torch.testing.assert_close(total, target.score(model(x)), rtol=1e-4, atol=1e-4)


def test_fullgrad_by_the_paper_s_steps(x: torch.Tensor) -> None:
    model = Biased().eval()
    image, fractions = full_gradients(model, x, Target(torch.tensor([1, 3])))
    ours = maps_for(MethodInputs(model, x, (), Target(torch.tensor([1, 3]))), "fullgrad").maps
    for n in range(2):
        expected = torch.zeros(32, 32)
        for fraction in [image, *(s for s in fractions if s.ndim == 4)]:
            magnitude = fraction[n].abs()
            scaled = (magnitude - magnitude.min()) / (magnitude.max() - magnitude.min() + 1e-6)
            expected += nn.functional.interpolate(
                scaled[None], (32, 32), mode="bilinear", align_corners=True
            )[0].sum(0)
        torch.testing.assert_close(ours[n], expected, rtol=1e-4, atol=1e-5)


def test_shapley_cam_by_finite_differences(tiny: Classifier, x: torch.Tensor) -> None:
    """H A = d/dt G at A (1 + t): zero behind pooling and a linear layer, not zero in front of a nonlinear
    one."""
    torch.testing.assert_close(
        maps_for(case(tiny, x, 0, 1), "shapley_cam").maps,
        maps_for(case(tiny, x, 0, 1), "grad_cam").maps,
        rtol=1e-4,
        atol=1e-6,
    )
    tiny.model.head = nn.Sequential(tiny.model.head, nn.Softplus(), nn.Linear(3, 3)).requires_grad_(False)  # type: ignore[arg-type]
    activation = capture(tiny.model, x, LAYER).activation
    classes = torch.tensor([0, 1])

    def gradient(a: torch.Tensor) -> torch.Tensor:
        a = a.detach().requires_grad_()
        score = tiny.model.head(a.mean((2, 3))).gather(1, classes[:, None]).sum()  # type: ignore[operator]
        return torch.autograd.grad(score, a)[0]

    step = 1e-2
    hessian = (gradient(activation * (1 + step)) - gradient(activation * (1 - step))) / (2 * step)
    weights = (gradient(activation) - 0.5 * hessian).mean((2, 3))
    expected = torch.einsum("nc,nchw->nhw", weights, activation)
    ours = maps_for(case(tiny, x, 0, 1), "shapley_cam").maps
    torch.testing.assert_close(ours, expected, rtol=1e-2, atol=1e-6)
    peer = reference.ShapleyCAM(tiny.model, [tiny.model.get_submodule(LAYER)])
    theirs = peer(
        x.clone(), [ClassifierOutputTarget(0), ClassifierOutputTarget(1)]
    )  # scaled to [0, 1], and enlarged
    scaled = nn.functional.interpolate(ours.relu()[:, None], (32, 32), mode="bilinear")[:, 0].flatten(1)
    assert all(
        torch.corrcoef(torch.stack([a, torch.from_numpy(b).flatten()]))[0, 1] > 0.99
        for a, b in zip(scaled, theirs, strict=True)
    )


class Attention(nn.Module):
    """Its fast kernel has no second derivative."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.maps, self.head = nn.Conv2d(3, 16, 8, 8), nn.Linear(16, 3)

    def behind(self, maps: torch.Tensor) -> torch.Tensor:
        tokens = maps.flatten(2).transpose(1, 2).contiguous()[:, None]
        return self.head(nn.functional.scaled_dot_product_attention(tokens, tokens, tokens)[:, 0].mean(1))  # type: ignore[no-any-return]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.behind(self.maps(x))


def test_shapley_cam_before_attention(x: torch.Tensor) -> None:
    model, classes = Attention().eval(), torch.tensor([0, 1])
    activation = capture(model, x, "maps").activation

    def gradient(a: torch.Tensor) -> torch.Tensor:
        a = a.detach().requires_grad_()
        return torch.autograd.grad(model.behind(a).gather(1, classes[:, None]).sum(), a)[0]

    step = 1e-2
    hessian = (gradient(activation * (1 + step)) - gradient(activation * (1 - step))) / (2 * step)
    assert hessian.abs().max() > 0.01 * gradient(activation).abs().max()
    expected = torch.einsum("nc,nchw->nhw", (gradient(activation) - 0.5 * hessian).mean((2, 3)), activation)
    torch.testing.assert_close(
        maps_for(MethodInputs(model, x, ("maps",), Target(classes)), "shapley_cam").maps,
        expected,
        rtol=1e-2,
        atol=1e-5,
    )


def test_finer_cam_is_grad_cam_of_a_weighted_difference(tiny: Classifier, x: torch.Tensor) -> None:
    """The weights follow the probabilities; with one other class it is Grad-CAM for the difference of the
    two."""
    answers = capture(tiny.model, x, LAYER).logits
    nearest = []
    for row, plus in zip(answers, (0, 1), strict=True):
        rest = [k for k in range(3) if k != plus]
        nearest.append(min(rest, key=lambda k: abs(float(row[k] - row[plus]))))
    ours = maps_for(case(tiny, x, 0, 1), "finer_cam", {"others": 1}).maps
    difference = maps_for(
        MethodInputs(tiny.model, x, (LAYER,), Target(torch.tensor([0, 1]), torch.tensor(nearest))), "grad_cam"
    ).maps
    torch.testing.assert_close(ours, difference, rtol=1e-3, atol=1e-6)


def test_kpca_cam_with_a_linear_kernel_is_eigen_cam(tiny: Classifier, x: torch.Tensor) -> None:
    linear, eigen = (
        maps_for(case(tiny, x, 0, 1), name, given).maps
        for name, given in (("kpca_cam", {"kernel": "linear"}), ("eigen_cam", {}))
    )
    torch.testing.assert_close(linear, eigen, rtol=1e-3, atol=1e-4)


def test_the_caller_s_gradients_survive_the_adapter(tiny: Classifier, x: torch.Tensor) -> None:
    tiny.model(x).sum().backward()
    kept = [None if p.grad is None else p.grad.clone() for p in tiny.model.parameters()]
    for name in ("concepts", "finer_cam", "kpca_cam"):
        maps_for(case(tiny, x, 0, 1), name)
    assert all(torch.equal(p.grad, k) for p, k in zip(tiny.model.parameters(), kept, strict=True))  # type: ignore[arg-type]


def test_concepts_of_activations_that_are_made_of_two(tiny: Classifier, x: torch.Tensor) -> None:
    """Two patterns in channels of their own, one stronger: each is found, the stronger first."""
    left, right = torch.zeros(8, 8), torch.zeros(8, 8)
    left[:, :3], right[5:, 4:] = 3.0, 1.0
    activation = torch.cat([left.expand(6, 8, 8), right.expand(6, 8, 8)])[None]
    tiny.model.features = Given(activation)
    for which, expected in ((1, left), (2, right)):
        found = maps_for(case(tiny, x[:1], 0), "concepts", {"count": 2, "which": which}).maps[0]
        torch.testing.assert_close(found / found.max(), expected / expected.max(), rtol=0, atol=2e-2)
    with pytest.raises(UserError, match="there are 2 concepts"):
        maps_for(case(tiny, x[:1], 0), "concepts", {"count": 2, "which": 3})


class Given(nn.Module):
    """Puts out what it was given."""

    def __init__(self, activation: torch.Tensor):
        super().__init__()
        self.activation = activation

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.activation.clone()
