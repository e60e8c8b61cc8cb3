"""CAM formulas: equal to pytorch-grad-cam's raw maps on real architectures, and to what is known by hand on
toys."""

import numpy as np
import pytest
import pytorch_grad_cam as reference
import torch

from explain.methods import cam
from explain.network.hooks import capture
from explain.network.target_layers import default_layer
from models.classifier import Classifier
from tests.maps import maps_of_pass
from tests.reference import PEERS, raw_references


@pytest.mark.slow
@pytest.mark.parametrize("network", ["mobilenet_v2", "resnet50"])
@pytest.mark.usefixtures("random_weights")
def test_equal_to_pytorch_grad_cam(network: str, request: pytest.FixtureRequest) -> None:
    """To 1e-4 relative, for predicted and other classes; on trained weights where they are at hand."""
    from models.registry import load, spec

    torch.manual_seed(0)
    try:
        model = (
            load(network, request.getfixturevalue("mobilenet_weights")).model
            if network == "mobilenet_v2"
            else spec(network).build(None)
        )
    except pytest.skip.Exception:
        model = spec(network).build(None)
    model.eval()
    x = torch.randn(2, 3, 96, 96)
    name = default_layer(model, x)
    captured = capture(model, x, name)
    for target in (captured.logits.argmax(1), torch.tensor([7, 999])):
        ours = maps_of_pass(captured, PEERS, target)
        peers = raw_references(PEERS, model, model.get_submodule(name), x, target.tolist())
        for method, theirs in peers.items():
            mine = ours[method].numpy()
            if method.startswith("eigen"):  # a principal component has no sign
                theirs = theirs * np.sign((theirs * mine).sum((1, 2), keepdims=True))
            scale = np.abs(theirs).max((1, 2), keepdims=True)
            assert (np.abs(mine - theirs) / scale).max() < 1e-4, method


def test_known_by_hand_on_pooling_and_linear(tiny: Classifier) -> None:
    """With global average pooling and one linear layer, CAM = Z·Grad-CAM = HiResCAM·Z... all the same up to
    the constant Z."""
    x, target = torch.randn(5, 3, 32, 32), torch.tensor([0, 1, 2, 0, 1])
    captured = capture(tiny.model, x, "features")
    weights = tiny.model.head.weight[target].detach()  # type: ignore[union-attr,index]
    expected = torch.einsum("nc,nchw->nhw", weights, captured.activation) / 64
    maps = maps_of_pass(captured, ["grad_cam", "hires_cam", "xgrad_cam"], target)
    for made in maps.values():
        torch.testing.assert_close(made, expected, rtol=1e-4, atol=1e-6)
    # HiResCAM's sum is the logit without its bias: the method's completeness
    logit = captured.logits.gather(1, target[:, None])[:, 0] - tiny.model.head.bias[target]  # type: ignore[union-attr,index]
    torch.testing.assert_close(maps["hires_cam"].sum((1, 2)), logit, rtol=1e-4, atol=1e-5)


def test_layer_cam_by_a_plain_loop() -> None:
    a, g = torch.rand(2, 3, 4, 5), torch.randn(2, 3, 4, 5)
    maps = cam.layer_cam(a, g)
    for n in range(2):
        for i in range(4):
            for j in range(5):
                expected = sum(max(float(g[n, c, i, j]), 0) * float(a[n, c, i, j]) for c in range(3))
                assert maps[n, i, j] == pytest.approx(expected, rel=1e-5)


def test_grad_cam_pp_weights_of_one_positive_place() -> None:
    """One channel whose gradient is g at one place: alpha = g² / (2g² + g³ΣA), weight = alpha·g."""
    a, g = torch.full((1, 1, 2, 2), 0.5), torch.zeros(1, 1, 2, 2)
    g[0, 0, 0, 1] = 3.0
    weight = 9 / (2 * 9 + 27 * 2.0 + 1e-6) * 3
    torch.testing.assert_close(cam.grad_cam_pp(a, g), torch.full((1, 2, 2), weight * 0.5))


def test_fem_by_a_plain_loop_and_as_pytorch_grad_cam_has_it() -> None:
    a = torch.rand(2, 3, 6, 6) ** 3
    authors, theirs = cam.fem(a, sigmas=1.0), cam.fem(a, sigmas=1.0, weight="share")
    numpy = a.numpy()
    for n in range(2):
        expected, other = np.zeros((6, 6)), np.zeros((6, 6))
        for c in range(3):
            strong = numpy[n, c] > numpy[n, c].mean() + numpy[n, c].std()
            expected += numpy[n, c].mean() * strong
            other += strong.mean() * numpy[n, c]
        np.testing.assert_allclose(authors[n], expected, rtol=1e-5)
        np.testing.assert_allclose(theirs[n], other, rtol=1e-5)
    peer = reference.FEM(torch.nn.Conv2d(1, 1, 1), [], k=1)
    np.testing.assert_allclose(theirs, peer.get_cam_image(None, None, None, numpy, None, False), rtol=1e-5)


def test_eigen_cam_finds_the_one_direction() -> None:
    """Activations of rank one: the map is their spatial pattern, centered."""
    pattern, channels = torch.randn(1, 1, 6, 6), torch.rand(1, 9, 1, 1)
    found = cam.eigen_cam(pattern * channels)
    expected = (pattern - pattern.mean())[:, 0] * channels.norm()
    expected = expected * torch.sign(expected.flatten()[expected.abs().argmax()])
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
