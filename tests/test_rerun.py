"""Maps that run the network again: against pytorch-grad-cam, plain loops, and what is known by hand."""

import numpy as np
import pytest
import pytorch_grad_cam as reference
import torch
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget, FinerWeightedTarget
from torch import nn

from explain.methods.cam import eigen_cam, grad_cam
from explain.methods.compute import fuse_maps, variations
from explain.methods.inputs import MethodInputs
from explain.methods.request import Smoothing
from explain.methods.rerun import GAUSSIAN, logits_with
from explain.network.hooks import capture
from explain.network.target import Target
from explain.network.target_layers import default_layer
from models.classifier import Classifier
from models.errors import UserError
from tests.maps import maps_for

LAYER = "features"


@pytest.fixture
def x() -> torch.Tensor:
    return torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(3))


def case(tiny: Classifier, x: torch.Tensor, *classes: int, layer: str = LAYER) -> MethodInputs:
    return MethodInputs(tiny.model, x, (layer,), Target(torch.tensor(classes)))


def theirs(kind: type, model: nn.Module, layer: str, x: torch.Tensor, classes: list[int]) -> np.ndarray:
    """pytorch-grad-cam's weighted sum, before its min-max."""
    peer = kind(model=model, target_layers=[model.get_submodule(layer)])
    activations = capture(model, x, layer).activation.numpy()
    targets = [ClassifierOutputTarget(c) for c in classes]
    return peer.get_cam_image(x, model.get_submodule(layer), targets, activations, None, False)


@pytest.mark.parametrize(
    ("name", "kind"), [("ablation_cam", reference.AblationCAM), ("score_cam", reference.ScoreCAM)]
)
def test_equal_to_pytorch_grad_cam(name: str, kind: type, tiny: Classifier, x: torch.Tensor) -> None:
    ours = maps_for(case(tiny, x, 0, 2), name).maps.numpy()
    other = theirs(kind, tiny.model, LAYER, x, [0, 2])
    if (
        name == "ablation_cam"
    ):  # theirs divides by the score with its sign, which turns the map of a negative score around
        other = other * np.sign(capture(tiny.model, x, LAYER).logits[[0, 1], [0, 2]].numpy())[:, None, None]
    np.testing.assert_allclose(ours, other, rtol=1e-3, atol=1e-5 * np.abs(other).max())


@pytest.mark.slow
def test_on_a_real_network() -> None:
    """MobileNetV2: the tail alone gives what the whole network gives, in the middle of it too, where branches
    join."""
    from models.registry import spec

    torch.manual_seed(0)
    model = spec("mobilenet_v2").build(None).eval()
    x = torch.randn(1, 3, 96, 96)
    for layer in ("features", "features.9.conv.1"):
        one = MethodInputs(model, x, (layer,), Target(torch.tensor([3])))
        ours = maps_for(one, "ablation_cam", {"top": 6}).maps[0]
        activation, expected = one.captured.activation[0], torch.zeros(0)
        y = one.captured.logits[0, 3]
        expected = torch.zeros(activation.shape[1:])
        for channel in activation.mean((1, 2)).topk(6).indices.tolist():

            def without(_: object, __: object, output: torch.Tensor, channel: int = channel) -> torch.Tensor:
                output = output.clone()
                output[:, channel] = 0
                return output

            hook = model.get_submodule(layer).register_forward_hook(without)
            with torch.no_grad():
                expected += (y - model(x)[0, 3]) / y.abs() * activation[channel]
            hook.remove()
        torch.testing.assert_close(ours, expected, rtol=1e-3, atol=1e-5 * float(expected.abs().max()))


def test_a_layer_that_one_image_cannot_join(x: torch.Tensor) -> None:
    """Concatenation of branches: the whole network runs for each version."""

    class Branches(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.left, self.right, self.head = (
                nn.Conv2d(3, 4, 3, padding=1),
                nn.Conv2d(3, 5, 3, padding=1),
                nn.Linear(9, 3),
            )

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(torch.cat([self.left(x), self.right(x)], 1).mean((2, 3)))

    model = Branches()
    answers = logits_with(model, x[:1], "right", lambda a: torch.cat([a, 0 * a, 2 * a]))
    with torch.no_grad():
        left, right = model.left(x[:1]), model.right(x[:1])
        expected = torch.cat([model.head(torch.cat([left, k * right], 1).mean((2, 3))) for k in (1, 0, 2)])
    torch.testing.assert_close(answers, expected)


@pytest.mark.parametrize("gaussian", [False, True])
def test_recipro_cam_by_a_plain_loop(gaussian: bool, tiny: Classifier, x: torch.Tensor) -> None:
    ours = maps_for(case(tiny, x, 1, 2), "recipro_cam", {"gaussian": gaussian}).maps
    activation = capture(tiny.model, x, LAYER).activation
    for n, cls in enumerate((1, 2)):
        for i in range(8):
            for j in range(8):
                alone = torch.zeros_like(activation[n])
                for di in (-1, 0, 1):
                    for dj in (-1, 0, 1):
                        if 0 <= i + di < 8 and 0 <= j + dj < 8:
                            weight = GAUSSIAN[di + 1][dj + 1] if gaussian else float(di == dj == 0)
                            alone[:, i + di, j + dj] = weight * activation[n, :, i + di, j + dj]
                with torch.no_grad():
                    expected = tiny.model.head(alone.mean((1, 2))).softmax(0)[cls]  # type: ignore[operator]
                assert ours[n, i, j] == pytest.approx(float(expected), rel=1e-4)


def test_cam_is_the_weights_of_the_last_layer(tiny: Classifier, x: torch.Tensor) -> None:
    maps = maps_for(case(tiny, x, 0, 2), "cam").maps
    weights = tiny.model.head.weight[[0, 2]].detach()  # type: ignore[union-attr,index]
    expected = torch.einsum("nc,nchw->nhw", weights, capture(tiny.model, x, LAYER).activation)
    torch.testing.assert_close(maps, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("behind", [nn.Flatten(), nn.Sequential(nn.AdaptiveMaxPool2d(1), nn.Flatten())])
def test_cam_of_other_networks_is_refused(behind: nn.Module, x: torch.Tensor) -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), nn.ReLU(), behind, nn.LazyLinear(3))
    model(x)
    with pytest.raises(UserError, match="use HiResCAM"):
        maps_for(MethodInputs(model, x, ("1",), Target(torch.tensor([0, 1]))), "cam")


def test_top_channels_alone(tiny: Classifier, x: torch.Tensor) -> None:
    """All channels, and as many as there are, are the same; fewer leave the others out."""
    for name in ("ablation_cam", "score_cam"):
        everything, as_many = (
            maps_for(case(tiny, x, 0, 0), name).maps,
            maps_for(case(tiny, x, 0, 0), name, {"top": 12}).maps,
        )
        assert torch.equal(everything, as_many)
        assert not torch.allclose(everything, maps_for(case(tiny, x, 0, 0), name, {"top": 2}).maps)


def test_difference_of_two_classes(tiny: Classifier, x: torch.Tensor) -> None:
    """Grad-CAM is linear in the score: the map of a difference is the difference of the maps."""
    one, other = (
        maps_for(case(tiny, x, 0, 1), "grad_cam").maps,
        maps_for(case(tiny, x, 2, 2), "grad_cam").maps,
    )
    both = maps_for(
        MethodInputs(tiny.model, x, (LAYER,), Target(torch.tensor([0, 1]), torch.tensor([2, 2]))), "grad_cam"
    ).maps
    torch.testing.assert_close(both, one - other, rtol=1e-4, atol=1e-6)
    with pytest.raises(UserError, match="two classes"):
        maps_for(
            MethodInputs(tiny.model, x, (LAYER,), Target(torch.tensor([0, 1]), torch.tensor([2, 1]))),
            "grad_cam",
        )


def test_layers_are_fused_at_the_finest(tiny: Classifier, x: torch.Tensor) -> None:
    several = MethodInputs(tiny.model, x, ("features.0", "features"), Target(torch.tensor([0, 1])))
    early, late = (maps_for(case(tiny, x, 0, 1, layer=name), "hires_cam").maps for name in several.layers)
    assert (early.shape[1:], late.shape[1:]) == ((16, 16), (8, 8))
    expected = [m / m.abs().amax((1, 2), keepdim=True) for m in (early, late)]
    expected[1] = nn.functional.interpolate(expected[1][:, None], (16, 16), mode="bilinear")[:, 0]
    for how, combined in (("mean", (expected[0] + expected[1]) / 2), ("max", torch.maximum(*expected))):
        torch.testing.assert_close(
            maps_for(several, "hires_cam", fuse=how).maps, combined, rtol=1e-4, atol=1e-5
        )
    with pytest.raises(UserError, match="mean, max"):
        fuse_maps([early, late], "median")


def test_smoothing(tiny: Classifier, x: torch.Tensor) -> None:
    asked = case(tiny, x, 0, 1)
    plain, mirrored = (
        maps_for(asked, "layer_cam").maps,
        maps_for(case(tiny, x.flip(3), 0, 1), "layer_cam").maps,
    )
    torch.testing.assert_close(
        maps_for(asked, "layer_cam", smoothing=Smoothing(flip=True)).maps, (plain + mirrored.flip(2)) / 2
    )
    noisy = Smoothing(samples=3, spread=0.2, seed=5)
    copies = [image for image, _ in variations(x, noisy)]
    assert len(copies) == 3
    reach = 0.2 * (x.amax((1, 2, 3)) - x.amin((1, 2, 3)))
    spread = torch.stack([image - x for image in copies]).std((0, 2, 3, 4))
    torch.testing.assert_close(spread, reach, rtol=0.05, atol=0)
    each = [maps_for(case(tiny, image, 0, 1), "layer_cam").maps for image in copies]
    torch.testing.assert_close(maps_for(asked, "layer_cam", smoothing=noisy).maps, torch.stack(each).mean(0))
    with pytest.raises(UserError, match="0 to 1000"):
        Smoothing(samples=-1)


def test_memory_that_ends_makes_batches_smaller(tiny: Classifier, x: torch.Tensor) -> None:
    expected, sizes, forward = (
        maps_for(case(tiny, x, 0, 1), "score_cam").maps,
        [],
        tiny.model.features.forward,
    )  # type: ignore[union-attr]

    def little(images: torch.Tensor) -> torch.Tensor:
        sizes.append(len(images))
        if len(images) > 3:
            raise RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory")
        return forward(images)  # type: ignore[no-any-return]

    tail = maps_for(case(tiny, x, 0, 1), "ablation_cam").maps
    tiny.model.features.forward = little  # type: ignore[method-assign,assignment,union-attr]
    torch.testing.assert_close(maps_for(case(tiny, x, 0, 1), "score_cam").maps, expected)
    assert max(sizes) == 12  # was tried, and did not end it
    dropped, rest = [], tiny.model.dropout.forward  # type: ignore[union-attr]

    def little_behind(means: torch.Tensor) -> torch.Tensor:
        dropped.append(len(means))
        if len(means) > 2:
            raise torch.OutOfMemoryError
        return rest(means)  # type: ignore[no-any-return, operator]

    tiny.model.dropout.forward = little_behind  # type: ignore[method-assign,assignment,union-attr]
    torch.testing.assert_close(maps_for(case(tiny, x, 0, 1), "ablation_cam").maps, tail)
    assert max(dropped) == 3  # a quarter of the channels was tried
    assert 2 not in dropped[dropped.index(3) :]  # half of three is one
    tiny.model.dropout.forward = lambda _: (_ for _ in ()).throw(torch.OutOfMemoryError())  # type: ignore[method-assign,assignment,union-attr]
    with pytest.raises(UserError, match="even for one image"):
        maps_for(case(tiny, x[:1], 0), "score_cam")


def test_finer_cam_is_grad_cam_of_pytorch_grad_cam_s_target(tiny: Classifier, x: torch.Tensor) -> None:
    """Also where every other class is so improbable that its probability is zero in float32."""
    captured = capture(tiny.model, x, LAYER)
    near = [sorted({0, 1, 2} - {plus}) for plus in (0, 2)]
    targets = [FinerWeightedTarget(plus, others, 0.7) for plus, others in zip((0, 2), near, strict=True)]
    expected = [captured.gradients_of_score(lambda s, n=n: targets[n](s[n]))[0][n] for n in range(2)]
    maps = [grad_cam(captured.activation[n : n + 1], g[None])[0] for n, g in enumerate(expected)]
    ours = maps_for(case(tiny, x, 0, 2), "finer_cam", {"others": 2, "alpha": 0.7}).maps
    torch.testing.assert_close(ours, torch.stack(maps), rtol=1e-4, atol=1e-7)
    tiny.model.head.bias.data[0] += 1e3  # type: ignore[union-attr]
    assert maps_for(case(tiny, x[:1], 0), "finer_cam").maps.abs().sum() > 0


def test_components_of_large_maps(tiny: Classifier, x: torch.Tensor) -> None:
    """Eigen-CAM of few channels and of many: channels of zeros change nothing. KPCA-CAM has no such way."""
    few = torch.randn(2, 5, 6, 7)
    many = torch.cat([few, torch.zeros(2, 40, 6, 7)], 1)
    torch.testing.assert_close(eigen_cam(few), eigen_cam(many), rtol=1e-3, atol=1e-4)
    assert eigen_cam(torch.randn(1, 3, 224, 224)).isfinite().all()
    large = MethodInputs(tiny.model, x.new_zeros(1, 3, 256, 256), ("features.0",), Target(torch.tensor([0])))
    with pytest.raises(UserError, match="has 128 x 128 positions, and KPCA-CAM supports 112 x 112: choose"):
        maps_for(large, "kpca_cam")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "kind", "layer"),
    [
        ("vit_b_16", (14, 14), "ln_1"),
        ("swin_t", (7, 7), None),
        ("timm:vit_tiny_patch16_224", (14, 14), "norm1"),
        ("timm:swin_tiny_patch4_window7_224", (7, 7), None),
        ("timm:deit3_small_patch16_224", (14, 14), None),
        ("timm:vit_small_patch14_reg4_dinov2", (8, 8), None),  # at 112: at its 518 it takes ten times as long
        ("timm:convnext_atto", (7, 7), None),
        ("timm:efficientnet_b0", (7, 7), None),
    ],
)
@pytest.mark.usefixtures("random_weights")
def test_transformers_and_others(name: str, kind: tuple[int, int], layer: str | None) -> None:
    """The layer is found, tokens become maps by themselves, and the map depends on the class."""
    import timm

    from models.registry import spec

    torch.manual_seed(0)
    entry = spec(name)
    if name.endswith("dinov2"):
        assert entry.preprocessing.size == (518, 518)
        model = timm.create_model(name.removeprefix("timm:"), num_classes=5, img_size=112).eval()
    else:
        model = entry.build(None).eval()
    x = torch.randn(1, 3, *((112, 112) if name.endswith("dinov2") else entry.preprocessing.size))
    chosen = default_layer(model, x)
    assert layer is None or layer in chosen
    one = MethodInputs(model, x, (chosen,), Target(torch.tensor([1])))
    maps = maps_for(one, "layer_cam").maps
    assert maps.shape == (1, *kind)
    if name == "vit_b_16":
        return  # untrained, its last layer is zero, and so is every gradient
    assert maps.abs().sum() > 0
    other = MethodInputs(model, x, (chosen,), Target(torch.tensor([3])))
    assert not torch.allclose(maps, maps_for(other, "layer_cam").maps)
