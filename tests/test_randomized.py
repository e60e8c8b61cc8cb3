"""Networks with random weights: the network itself stays, every layer of the copy changes."""

import threading
from collections.abc import Callable

import pytest
import torch
import torchvision
from torch import Tensor, nn

import explain.quality.described.randomized as made_random
from explain.quality.described.randomized import (
    forward_order,
    layers_with_weights,
    randomized,
    randomized_from_the_top,
)
from models.errors import UserError
from models.foreign.networks import ForeignNetwork
from tests.conftest import TinyNet
from tests.test_capture import assert_as_found, snapshot


def images(n: int = 4, side: int = 32) -> Tensor:
    return torch.randn(n, 3, side, side, generator=torch.Generator().manual_seed(1))


def trained(model: nn.Module) -> nn.Module:
    """No parameter and no statistic has the value that an initialization gives."""
    torch.manual_seed(7)
    for module in model.modules():
        for p in module.parameters(recurse=False):
            p.data.add_(0.1 * torch.randn_like(p))
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean), nn.init.uniform_(module.running_var, 0.5, 2)
    return model.eval()


class Tokens(nn.Module):
    """Parameters of the network itself, one of a single number, attention, and a layer that never runs."""

    def __init__(self) -> None:
        super().__init__()
        self.token, self.scale = nn.Parameter(torch.randn(1, 1, 8)), nn.Parameter(torch.tensor(3.0))
        self.patches = nn.Conv2d(3, 8, 8, 8)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.norm, self.head, self.unused = nn.LayerNorm(8), nn.Linear(8, 3), nn.Linear(2, 2)

    def forward(self, x: Tensor) -> Tensor:
        y = self.patches(x).flatten(2).transpose(1, 2)
        y = torch.cat([self.token.expand(len(y), -1, -1), y], 1)
        y = y + self.attention(y, y, y, need_weights=False)[0]
        return self.scale * self.head(self.norm(y)[:, 0])


class Backwards(nn.Module):
    """Registers its layers in the reverse of the order in which they run, and runs one twice."""

    def __init__(self) -> None:
        super().__init__()
        self.head, self.twice, self.stem = nn.Linear(6, 3), nn.Conv2d(6, 6, 1), nn.Conv2d(3, 6, 3, 2)
        self.middle = nn.Conv2d(6, 6, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.twice(self.middle(self.twice(self.stem(x)).relu())).mean((2, 3)))


def normed() -> nn.Module:
    """Weights that are computed from others before each pass, the old way and the new one."""
    old = nn.utils.weight_norm(nn.Conv2d(3, 6, 3, 2))
    new = nn.utils.parametrizations.weight_norm(nn.Conv2d(6, 6, 1))
    return nn.Sequential(old, nn.ReLU(), new, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 3))


class Needy(nn.Linear):
    """Its `reset_parameters` is not PyTorch's."""

    def reset_parameters(self, scale: float = 0) -> None:  # a constant, as in adapters
        nn.init.constant_(self.weight, scale), nn.init.zeros_(self.bias)


def needy() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 6, 3, 2), nn.AdaptiveAvgPool2d(1), nn.Flatten(), Needy(6, 3))


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "tiny": TinyNet,
    "tokens": Tokens,
    "backwards": Backwards,
    "weight norm": normed,
    "own reset": needy,
    "mobilenet": lambda: torchvision.models.mobilenet_v2(num_classes=3, width_mult=0.1),
    "vit": lambda: torchvision.models.VisionTransformer(32, 8, 2, 2, 12, 24, num_classes=3),
}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*weight_norm.*:FutureWarning")
@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("given", [True, False])
def test_every_weight_is_drawn_anew_and_the_network_stays(name: str, given: bool) -> None:
    model, x = trained(NETWORKS[name]()), images()
    model(x).sum().backward()  # leaves tensors that are no leaves, and gradients
    model.zero_grad()
    model.train()
    before, state = snapshot(model, x), torch.get_rng_state()
    copy = randomized(model, 3, x if given else None)
    assert_as_found(before, model, x)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(m.training for m in copy.modules())
    own = dict(model.named_parameters())
    for key, p in copy.named_parameters():
        assert p.shape == own[key].shape
        assert p.data_ptr() != own[key].data_ptr()
        assert p.requires_grad == own[key].requires_grad
        assert p.numel() == 1 or not torch.equal(p, own[key]), key
        assert p.ndim < 2 or p.numel() == 1 or float(p.detach().std()) > 0, key
    with torch.no_grad():
        assert not torch.allclose(copy.eval()(x), model.eval()(x))
    assert copy(x).isfinite().all()


@pytest.mark.parametrize("name", ["tiny", "vit"])
def test_the_seed_gives_the_weights(name: str) -> None:
    model, x = trained(NETWORKS[name]()), images()
    states = [randomized(model, seed, x).state_dict() for seed in (0, 0, 1)]
    torch.randn(5)
    assert all(torch.equal(a, b) for a, b in zip(states[0].values(), states[1].values(), strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(states[0].values(), states[2].values(), strict=True))


def test_layers_are_initialized_as_pytorch_does_it_and_others_permuted() -> None:
    model = trained(Tokens())
    copy = randomized(model)
    bound = 1 / (3 * 64) ** 0.5  # of a convolution's uniform weights
    assert 0.9 * bound < float(copy.patches.weight.detach().abs().max()) <= bound  # type: ignore[union-attr,operator]
    assert torch.equal(copy.norm.weight, torch.ones(8))  # type: ignore[arg-type,union-attr]
    for name in ("token", "attention.in_proj_weight"):
        mine, theirs = (m.get_parameter(name).detach().flatten().sort().values for m in (copy, model))
        assert torch.equal(mine, theirs)
    assert torch.equal(copy.scale, model.scale)  # type: ignore[arg-type]


def test_batch_norms_get_the_statistics_of_the_images() -> None:
    """Each in its turn, as a plain pass in training mode gives them; without images they are reset."""
    model, x = trained(TinyNet()), images(8)
    copy = randomized(model, 0, x)
    conv, norm = copy.features[0], copy.features[1]  # type: ignore[index]
    with torch.no_grad():
        y = conv(x)
    torch.testing.assert_close(norm.running_mean, y.mean((0, 2, 3)))
    torch.testing.assert_close(norm.running_var, y.var((0, 2, 3)))
    assert norm.momentum == 0.1
    plain = randomized(model).features[1]  # type: ignore[index]
    assert torch.equal(plain.running_mean, torch.zeros(8))
    assert torch.equal(plain.running_var, torch.ones(8))


def test_the_signal_of_a_deep_network_stays() -> None:
    model, x = trained(NETWORKS["mobilenet"]()), images(4, 64)
    with torch.no_grad():
        spread = [float(m.eval()(x).std(0).mean()) for m in (randomized(model, 0, x), randomized(model))]
    assert spread[0] > 1e-3
    assert spread[1] < 1e-6


def test_one_value_per_channel_has_no_statistics() -> None:
    model = trained(
        nn.Sequential(nn.Conv2d(3, 6, 3), nn.AdaptiveAvgPool2d(1), nn.BatchNorm2d(6), nn.Flatten())
    )
    copy = randomized(model, 0, images(1))
    assert torch.equal(copy[2].running_var, torch.ones(6))  # type: ignore[index]
    assert not copy[2].training  # type: ignore[index]


def test_layers_in_the_order_of_the_pass() -> None:
    assert forward_order(Backwards(), images()) == ["stem", "middle", "twice", "head"]
    assert forward_order(Tokens(), images()) == [
        "",
        "patches",
        "attention",
        "attention.out_proj",
        "norm",
        "head",
        "unused",
    ]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["tiny", "tokens", "backwards", "mobilenet"])
def test_cascade_from_the_output(name: str) -> None:
    """In every step the layers that are random are the last ones of the pass, and their weights stay; the
    last step is the network with random weights."""
    model, x = trained(NETWORKS[name]()), images()
    before, own = snapshot(model, x), model.state_dict()
    order, made = forward_order(model, x), list(randomized_from_the_top(model, x, 3, seed=2))
    assert_as_found(before, model, x)
    assert len(made) == 3
    assert made[-1].fraction == 1
    weights = [m.network.state_dict() for m in made]
    for step, (fraction, layer, network) in enumerate(made):
        changed = {
            layer_name
            for layer_name, part in network.named_modules()
            for key, p in part.named_parameters(recurse=False)
            if not torch.equal(p, own[f"{layer_name}.{key}".lstrip(".")])
        }
        count = round(fraction * len(order))
        assert changed == set(order[-count:])
        assert layer == order[-count]
        if step:
            kept = {
                k for k in own if weights[step - 1][k].ndim and not torch.equal(weights[step - 1][k], own[k])
            }
            same = [k for k in kept if k.endswith(("weight", "bias"))]
            assert same
            assert all(torch.equal(weights[step][k], weights[step - 1][k]) for k in same)
    full = randomized(model, 2, x).state_dict()
    assert all(torch.equal(a, b) for a, b in zip(full.values(), weights[-1].values(), strict=True))


def test_not_more_steps_than_layers() -> None:
    model = trained(TinyNet())
    assert [s.fraction for s in randomized_from_the_top(model, images(), 50)] == [0.25, 0.5, 0.75, 1]
    with pytest.raises(UserError, match="0 steps"):
        next(randomized_from_the_top(model, images(), 0))


class Locked(TinyNet):
    def __init__(self) -> None:
        super().__init__()
        self.lock = threading.Lock()


class Itself(TinyNet):
    def __deepcopy__(self, memo: object) -> "Itself":
        return self


class Scores(ForeignNetwork):
    what = "ONNX file"


class Elsewhere(nn.Module):
    """Its own layer is not the one that its forward calls."""

    def __init__(self) -> None:
        super().__init__()
        inner = TinyNet().eval()
        self.own, self.call = nn.Linear(2, 2), lambda x: inner(x)

    def forward(self, x: Tensor) -> Tensor:
        return self.call(x)


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (Locked(), r"^Locked cannot be copied \(cannot pickle .*lock"),
        (Itself(), "^A copy of Itself shares its parameters"),
        (Scores(), "this ONNX file gives neither gradients nor layers"),
        (Elsewhere(), "^The answers of Elsewhere do not depend on its parameters"),
        (nn.Sequential(nn.ReLU()), "^Sequential has no parameters"),
    ],
    ids=["lock", "itself", "foreign", "elsewhere", "none"],
)
def test_what_cannot_be_randomized_is_said_in_one_line(model: nn.Module, reason: str) -> None:
    x = images()
    before = snapshot(model, x)
    with pytest.raises(UserError, match=reason) as caught:
        randomized(model, 0, x)
    assert "\n" not in str(caught.value)
    assert "insertion and deletion" in str(caught.value)
    assert_as_found(before, model, x)


def test_a_failure_leaves_the_network_and_the_random_state(monkeypatch: pytest.MonkeyPatch) -> None:
    model, x = trained(TinyNet()), images()
    before, state = snapshot(model, x), torch.get_rng_state()

    def fail(*_: object) -> None:
        raise RuntimeError("no")

    monkeypatch.setattr(made_random, "_set_statistics", fail)
    with pytest.raises(RuntimeError):
        randomized(model, 0, x)
    assert_as_found(before, model, x)
    assert torch.equal(torch.get_rng_state(), state)


def test_within_inference_mode_gradients_still_pass_through_the_copy() -> None:
    with torch.inference_mode():
        copy = randomized(trained(TinyNet()), 0, images())
    x = images().requires_grad_()
    copy(x).sum().backward()
    assert x.grad is not None
    assert x.grad.abs().sum() > 0


def test_every_layer_with_weights_counts() -> None:
    assert layers_with_weights(TinyNet()) == ["features.0", "features.1", "features.3", "head"]
    assert layers_with_weights(nn.Sequential(nn.BatchNorm2d(3, affine=False))) == ["0"]
