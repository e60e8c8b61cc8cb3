"""Passes that maps of the same images share: made once, bounded by bytes."""

import pytest
import torch
from PIL import Image
from torch import Tensor

from explain.methods import inputs, live
from explain.methods.compute import compute_maps
from explain.methods.inputs import MethodInputs, Passes
from explain.methods.live import open_session
from explain.methods.request import MapRequest
from explain.network.graph_size import saved_bytes
from explain.network.hooks import capture
from explain.network.target import Target
from models.classifier import Classifier
from models.registry import spec


@pytest.fixture
def x() -> Tensor:
    return torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", ["mobilenet_v2", "timm:resnet18"])
def test_bytes_of_a_graph_are_those_that_autograd_saves(name: str) -> None:
    model, storages = spec(name).build(None).eval(), dict[int, int]()
    parameters = {p.untyped_storage().data_ptr() for p in model.parameters()}

    def pack(tensor: Tensor) -> Tensor:
        storages[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    x = torch.randn(1, 3, 64, 64)
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        output = model(x)
    expected = sum(size for pointer, size in storages.items() if pointer not in parameters)
    assert saved_bytes(model(x)) == pytest.approx(expected, rel=0.02)
    assert output.requires_grad
    assert saved_bytes(torch.zeros(1)) == 0


def test_a_pass_at_an_early_layer_is_larger(tiny: Classifier, x: Tensor) -> None:
    early, late = (capture(tiny.model, x, layer) for layer in ("features.0", "features"))
    assert early.nbytes > late.nbytes > late.activation.nbytes


def test_old_passes_are_dropped_beyond_the_limit(tiny: Classifier, x: Tensor) -> None:
    layers = [("features.0",), ("features.1",), ("features.3",), ("features",)]
    sizes = [capture(tiny.model, x, layer).nbytes for layer in layers]
    passes = Passes(tiny.model, x, limit=sum(sizes) - 1)
    made = [passes.captured(layer) for layer in layers]
    assert passes.captured(layers[-1]) is made[-1]
    assert len(passes.kept) == 3
    assert passes.captured(layers[0]) is not made[0]
    alone = Passes(tiny.model, x, limit=1)  # one is kept, however large
    assert alone.captured(layers[0]) is alone.captured(layers[0])
    assert len(alone.kept) == 1


def test_methods_share_passes_gradients_and_the_fused_network(
    tiny: Classifier, x: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls, fused = [], []
    monkeypatch.setattr(inputs, "capture", lambda *args: calls.append(args[2]) or capture(*args))
    monkeypatch.setattr(inputs, "fused_copy", lambda model, *_: fused.append(1) or model)
    passes = Passes(tiny.model, x)
    for method in ("grad_cam", "layer_cam", "grad_cam_pp", "eigen_cam"):
        for target in (0, 1):
            compute_maps(tiny.model, x, MapRequest(method, "features", target), passes=passes)
    assert calls == [("features",)]
    for _ in range(2):
        compute_maps(
            tiny.model, x, MapRequest("lime", target=0, parameters=(("samples", 10),)), passes=passes
        )
    assert fused == [1]
    captured, target = passes.captured(("features",)), Target(torch.tensor([0, 1]))
    assert captured.gradients(target) is captured.gradients(Target(torch.tensor([0, 1])))
    assert captured.gradients(Target(torch.tensor([1, 1]))) is not captured.gradients(target)
    difference = Target(torch.tensor([0, 1]), torch.tensor([1, 0]))
    assert not torch.equal(captured.gradients(difference)[0], captured.gradients(target)[0])


def test_passes_of_other_images_are_refused(tiny: Classifier, x: Tensor) -> None:
    with pytest.raises(ValueError, match="other images"):
        compute_maps(tiny.model, x.clone(), MapRequest("grad_cam"), passes=Passes(tiny.model, x))
    part = MethodInputs(tiny.model, x, ("features",), Target(torch.tensor([0, 1]))).row(1)
    assert torch.equal(part.captured.logits, capture(tiny.model, x[1:], "features").logits)


def test_maps_of_a_picture_are_bounded(tiny: Classifier, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "MAP_BYTES", 2 * 8 * 8 * 4)
    session = open_session(tiny, Image.new("RGB", (40, 40), "red"))
    requests = [MapRequest("grad_cam", target=target) for target in range(3)]
    for request in requests:
        session.map(request)
    assert [session.known(request) for request in requests] == [False, True, True]
    session.map(requests[1])
    session.map(requests[0])
    assert [session.known(request) for request in requests] == [True, True, False]
    large = session.map(MapRequest("input_gradient"))  # larger than the limit: it alone is kept
    assert session.map(MapRequest("input_gradient")) is large


def test_the_batch_is_its_images(tiny: Classifier, x: Tensor) -> None:
    """A class for each image, one for all, or the predicted ones."""
    predicted = compute_maps(tiny.model, x, MapRequest("hires_cam"))
    named = compute_maps(tiny.model, x, MapRequest("hires_cam", target=predicted.targets))
    assert torch.equal(predicted.maps, named.maps)
    one = compute_maps(tiny.model, x, MapRequest("hires_cam", target=1, contrast_class=2))
    each = compute_maps(tiny.model, x, MapRequest("hires_cam", target=(1, 1), contrast_class=(2, 2)))
    assert torch.equal(one.maps, each.maps)
    assert one.targets == (1, 1)
    assert one.layer == "features"
    assert (one.raw.shape, one.target, one.expected_sum) == ((8, 8), 1, None)
