"""Every method on networks that nobody here chose: a finite map, or one line that says why there is none."""

import pytest
import torch
from torch import nn

from explain.methods.inputs import MethodInputs
from explain.methods.registry import METHODS, get, method_in_runs, methods_in_runs
from explain.network.target import Target
from explain.network.target_layers import default_layer
from models.errors import UserError
from tests.maps import ATTENTION, maps_for


class EndsInConvolution(nn.Sequential):
    """As SqueezeNet: one map a class, averaged; answers are (N, K, 1, 1)."""

    def __init__(self) -> None:
        super().__init__(
            nn.Conv2d(3, 6, 3, 2, 1),
            nn.ReLU(inplace=True),
            nn.Conv2d(6, 4, 1),
            nn.ReLU(inplace=True),
            nn.AdaptiveAvgPool2d(1),
        )


class OneChannel(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(
            nn.Conv2d(1, 6, 3, 2, 1),
            nn.BatchNorm2d(6),
            nn.ReLU6(inplace=True),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(6, 4),
        )


class Branching(nn.Module):
    """Concatenation, addition, a gate, dropout, GELU and layer norm."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.left, self.right = (
            nn.Conv2d(3, 6, 3, 2, 1),
            nn.Conv2d(6, 6, 3, 1, 1),
            nn.Conv2d(6, 4, 3, 1, 1),
        )
        self.act, self.drop, self.norm, self.head = (
            nn.SiLU(inplace=True),
            nn.Dropout(0.5, inplace=True),
            nn.LayerNorm(10),
            nn.Linear(10, 4),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.act(self.stem(x))
        y = torch.cat([y + self.left(y), self.right(y) * self.right(y).sigmoid()], 1)
        return self.head(self.norm(nn.functional.gelu(self.drop(y)).mean((2, 3))))


class SmallTransformer(nn.Module):
    """A class token before 36 tokens of places; the class token alone is read."""

    def __init__(self) -> None:
        super().__init__()
        self.patches, self.token = nn.Conv2d(3, 8, 4, 4), nn.Parameter(torch.randn(1, 1, 8))
        self.norm, self.attention, self.head = (
            nn.LayerNorm(8),
            nn.MultiheadAttention(8, 2, batch_first=True),
            nn.Linear(8, 4),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = torch.cat([self.token.expand(len(x), -1, -1), self.patches(x).flatten(2).transpose(1, 2)], 1)
        z = self.norm(y)
        return self.head((y + self.attention(z, z, z)[0])[:, 0])


NETWORKS = {
    "ends in a convolution": EndsInConvolution,
    "one channel": OneChannel,
    "branches": Branching,
    "transformer": SmallTransformer,
}
REFUSED = {  # and nothing else may be
    "ends in a convolution": ATTENTION,
    "one channel": {"lrp"} | ATTENTION,
    "branches": {"cam", "lrp", "guided_backprop", "deconvolution", "guided_grad_cam"} | ATTENTION,
    "transformer": {"cam", "lrp", "guided_backprop", "deconvolution", "guided_grad_cam"},
}


def attempt(case: MethodInputs, name: str, given: dict[str, int]) -> torch.Tensor | str:
    try:
        return maps_for(case, name, given).maps
    except UserError as error:
        return str(error)


@pytest.mark.slow
@pytest.mark.parametrize("network", NETWORKS)
def test_every_method(network: str) -> None:
    torch.manual_seed(1)
    model = NETWORKS[network]().eval()
    x = torch.randn(2, 1 if network == "one channel" else 3, 24, 24)
    layer = default_layer(model, x)
    refused = set()
    for name, method in METHODS.items():
        given = {
            p.name: {"samples": 20, "steps": 8}[p.name]
            for p in method.parameters
            if p.name in ("samples", "steps")
        }
        maps = attempt(MethodInputs(model, x, (layer,), Target(torch.tensor([1, 3]))), name, given)
        if isinstance(maps, str):
            refused.add(name)
            assert "\n" not in maps
            continue
        assert maps.ndim == 3
        assert len(maps) == 2
        assert maps.isfinite().all(), name
        if not method.coarse:
            assert maps.shape == (2, 24, 24)
    assert refused == REFUSED[network]


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("gradcam", "grad_cam?"),
        ("Grad-CAM++", "grad_cam_pp?"),
        ("grad_cma", "grad_cam "),
        ("ocllusion", "occlusion?"),
        ("scorecam", "score_cam?"),
        ("Input Gradient", "input_gradient?"),
    ],
)
def test_a_method_s_name_that_is_nearly_right(typed: str, meant: str) -> None:
    with pytest.raises(UserError) as wrong:
        get(typed)
    assert f"No method '{typed}': did you mean {meant}" in str(wrong.value)
    assert len(str(wrong.value)) < 150


def test_a_run_is_told_what_a_run_takes() -> None:
    with pytest.raises(UserError) as wrong:
        method_in_runs("gradcam")
    names = ", ".join(methods_in_runs())
    assert str(wrong.value) == f"No method 'gradcam': did you mean grad_cam? A run takes {names}."
    with pytest.raises(
        UserError, match=r"^No method 'magic': A run takes grad_cam, .*attention_relevance\.$"
    ):
        method_in_runs("magic")
    with pytest.raises(UserError, match="Score-CAM runs the network many times for one image: a run takes"):
        method_in_runs("score_cam")
    with pytest.raises(UserError, match=r"^No method 'magic': 'python launch.py methods' lists all\.$"):
        get("magic")
