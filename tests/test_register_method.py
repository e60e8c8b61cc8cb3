"""Methods from outside of the package: registered, computed, kept, removed; wrong ones are refused in one
line."""

import doctest
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import vitrine
from explain.methods import registry
from explain.methods.compute import compute_maps
from explain.methods.live import open_session
from explain.methods.request import MapRequest, Smoothing
from explain.methods.spec import Parameter, described, table
from explain.run.engine import run
from explain.run.format import REQUEST, Manifest
from models.classifier import Classifier
from models.data.folder import FolderSource
from models.errors import UserError
from tests.test_capture import assert_as_found, mixed_modes, snapshot


def input_gradient(model: nn.Module, x: Tensor, target: Tensor, power: int = 1) -> Tensor:
    """M = Σ_c |∂y / ∂x|."""
    x.requires_grad_()
    model(x).gather(1, target[:, None]).sum().backward()
    assert x.grad is not None
    return x.grad.abs().sum(1) ** power


@pytest.fixture(autouse=True)
def registry_as_it_was() -> Iterator[None]:
    before = dict(registry.METHODS)
    yield
    registry.METHODS.clear()
    registry.METHODS.update(before)


@pytest.fixture
def x() -> Tensor:
    return torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def picture() -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 40, 3), dtype=np.uint8))


def test_registered_computed_and_removed(tiny: Classifier, picture: Image.Image, tmp_path: Path) -> None:
    parameter = Parameter("power", 1, "of the gradient", 1, 4)
    vitrine.register_method("my_map", input_gradient, title="My map", parameters=[parameter])
    explained = vitrine.explain(tiny, picture, ["my_map", "input_gradient"], 1)
    again = vitrine.explain(tiny, picture, ["my_map"], 1, power=2)
    assert explained.maps["my_map"].shape == (32, 32)
    np.testing.assert_allclose(again.maps["my_map"], explained.maps["my_map"] ** 2, rtol=1e-4)
    assert "My map for " in explained._repr_html_()
    assert (explained.save(tmp_path) / "my_map.npy").is_file()
    assert "My map" in described(registry.get("my_map"))
    assert "Σ_c" in table([registry.get("my_map")])
    with pytest.raises(UserError, match="power is '9'"):
        vitrine.explain(tiny, picture, ["my_map"], power=9)
    vitrine.unregister_method("my_map")
    with pytest.raises(UserError, match="No method 'my_map'"):
        vitrine.explain(tiny, picture, ["my_map"])
    with pytest.raises(UserError, match="No method 'my_map'"):
        vitrine.unregister_method("my_map")


def test_computed_once_until_it_is_another_function(tiny: Classifier, picture: Image.Image) -> None:
    calls = []

    def counted(model: nn.Module, x: Tensor, target: Tensor) -> Tensor:
        calls.append(target.tolist())
        return x.mean(1)

    vitrine.register_method("my_map", counted)
    session, request = open_session(tiny, picture), MapRequest("my_map", target=2)
    assert not session.known(request)
    assert session.map(request) is session.map(request)
    assert session.known(request)
    assert calls == [[2]]
    vitrine.unregister_method("my_map")
    vitrine.register_method("my_map", lambda model, x, target: x.mean(1) + 1)
    assert not session.known(request)
    assert session.map(request).raw.mean() == pytest.approx(float(session.x.mean()) + 1, abs=1e-5)
    assert session.seconds(request) > 0


def test_batches_smoothing_and_the_predicted_class(tiny: Classifier, x: Tensor) -> None:
    vitrine.register_method("my_map", input_gradient)
    ours = compute_maps(tiny.model, x, MapRequest("my_map"))
    theirs = compute_maps(tiny.model, x, MapRequest("input_gradient", parameters=(("channels", "sum"),)))
    with torch.no_grad():
        assert ours.targets == tuple(tiny.model(x).argmax(1).tolist())
    assert ours.layer == ""
    assert ours.maps.dtype == torch.float32
    assert not ours.maps.requires_grad
    assert ours.maps.shape == theirs.maps.shape == (3, 32, 32)
    flipped = compute_maps(tiny.model, x, MapRequest("my_map", target=1, smoothing=Smoothing(flip=True))).maps
    plain = compute_maps(tiny.model, x, MapRequest("my_map", target=1)).maps
    mirrored = compute_maps(tiny.model, x.flip(3), MapRequest("my_map", target=1)).maps
    torch.testing.assert_close(flipped, (plain + mirrored.flip(2)) / 2)
    with torch.inference_mode():  # as some callers are
        torch.testing.assert_close(compute_maps(tiny.model, x, MapRequest("my_map", target=1)).maps, plain)


def test_the_model_is_left_as_it_was(tiny: Classifier, x: Tensor) -> None:
    def careless(model: nn.Module, x: Tensor, target: Tensor) -> Tensor:
        assert not model.training
        model.train()
        model.features[0].register_forward_hook(lambda module, inputs, output: None)  # type: ignore[index,union-attr]
        next(model.parameters()).requires_grad_(True)
        model(x.add_(1)).sum().backward()
        torch.set_grad_enabled(False)
        if len(x) == 1:
            raise ZeroDivisionError
        return x.mean(1)

    vitrine.register_method("careless", careless)
    tiny.model(x).sum().backward()
    model = mixed_modes(tiny.model)
    running = {k: v.clone() for k, v in model.state_dict().items() if "running" in k}
    grads = [None if p.grad is None else p.grad.clone() for p in model.parameters()]
    before = snapshot(model, x)
    compute_maps(model, x, MapRequest("careless", target=0))
    with pytest.raises(ZeroDivisionError):
        compute_maps(model, x[:1], MapRequest("careless", target=0))
    assert_as_found(before, model, x)
    assert all(torch.equal(model.state_dict()[k], v) for k, v in running.items())
    assert all(p.grad is g or torch.equal(p.grad, g) for p, g in zip(model.parameters(), grads, strict=True))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (lambda model, x, target: x, r"returned \(1, 3, 32, 32\)"),
        (lambda model, x, target: x.mean(1)[0], r"returned \(32, 32\)"),
        (lambda model, x, target: torch.zeros(2, 4, 4), r"returned \(2, 4, 4\)"),
        (lambda model, x, target: x.mean(1).numpy(), "returned ndarray"),
        (lambda model, x, target: None, "returned NoneType"),
        (lambda model, x, target: torch.full((1, 2, 2), torch.nan), "not finite for image 1 of 1: "),
        (lambda model, x, target: torch.zeros(1, 2, 2, dtype=torch.complex64), "returned complex numbers"),
        (lambda model, x, target: torch.full((1, 2, 2), torch.inf), "not finite"),
        (lambda model, x, target: torch.zeros(1, 0, 4), "returned"),
    ],
)
def test_wrong_answers_are_refused(
    answer: object, message: str, tiny: Classifier, picture: Image.Image
) -> None:
    vitrine.register_method("my_map", answer, title="My map")  # type: ignore[arg-type]
    with pytest.raises(
        UserError, match=f"My map {message}|My map returned numbers that are {message}"
    ) as error:
        vitrine.explain(tiny, picture, ["my_map"])
    assert "\n" not in str(error.value)


def test_wrong_requests_and_names_are_refused(tiny: Classifier, x: Tensor) -> None:
    vitrine.register_method("my_map", input_gradient)
    with pytest.raises(UserError, match=r"twice.*unregister_method\('my_map'\)"):
        vitrine.register_method("my_map", input_gradient)
    with pytest.raises(UserError, match="twice"):
        vitrine.register_method("grad_cam", input_gradient)
    with pytest.raises(UserError, match="built in"):
        vitrine.unregister_method("grad_cam")
    for name in ("my map", "map.x", "", "a,b", "käse"):
        with pytest.raises(UserError, match="letters, digits and _"):
            vitrine.register_method(name, input_gradient)
    with pytest.raises(UserError, match="a function"):
        vitrine.register_method("other", "cam.grad_cam")  # type: ignore[arg-type]
    with pytest.raises(UserError, match="explains one class"):
        compute_maps(tiny.model, x, MapRequest("my_map", target=0, contrast_class=1))
    with pytest.raises(UserError, match="do not fit"):
        compute_maps(tiny.model, x, MapRequest("my_map", target=99))


@pytest.mark.slow
def test_runs_take_it(tiny: Classifier, pictures: Path, tmp_path: Path) -> None:
    vitrine.register_method("my_map", input_gradient, title="My map")
    run = vitrine.run(tiny, pictures, tmp_path / "run", ["my_map"], batch_size=4)
    row = int(run.table.index[0])
    stored = run.maps("my_map", "pred", [row])[0]
    image = Image.open(pictures / str(run.table.at[row, "id"]))
    expected = vitrine.explain(tiny, image, ["my_map"]).maps["my_map"]
    assert stored.shape == (32, 32)
    assert run.manifest.titles["my_map"] == "My map"
    np.testing.assert_allclose(stored, expected, rtol=2e-2, atol=1e-3 * expected.max())
    with pytest.raises(UserError, match=r"one size.*grad_cam 8 x 8, my_map 32 x 32"):
        vitrine.run(tiny, pictures, tmp_path / "other", ["grad_cam", "my_map"])
    vitrine.unregister_method("my_map")
    assert vitrine.open_run(tmp_path / "run").maps("my_map", "label", [row]).shape == (1, 32, 32)


@pytest.mark.slow
def test_the_page_lists_it(tiny: Classifier, pictures: Path, tmp_path: Path) -> None:
    from dashboard.app import build
    from dashboard.session.context import Context

    vitrine.register_method("my_map", input_gradient, title="My map")
    run = vitrine.run(tiny, pictures, tmp_path / "run", ["grad_cam"], limit=4)
    page = build(Context(run, network=tiny))
    choices = [c for block in page.blocks.values() for c in (getattr(block, "choices", None) or [])]
    assert ("My map", "my_map") in [tuple(c) for c in choices if isinstance(c, list | tuple)]


def test_the_example_of_the_documentation() -> None:
    finder = doctest.DocTestFinder()
    (example,) = [t for t in finder.find(registry.register_method, "register_method") if t.examples]
    assert doctest.DocTestRunner().run(example).failed == 0


def test_a_run_is_not_continued_by_other_code_of_a_method(
    tiny: Classifier, pictures: Path, tmp_path: Path
) -> None:
    def scaled(by: float) -> Callable[[nn.Module, Tensor, Tensor], Tensor]:
        return lambda model, x, target: by * input_gradient(model, x, target)

    def made() -> Manifest:
        return run(tiny, FolderSource(pictures), tmp_path / "run", ["my_map"])

    vitrine.register_method("my_map", scaled(1.0))
    first = made().request
    assert list(first.method_code) == ["my_map"]
    for by, refused in ((1.0, False), (2.0, True)):
        vitrine.unregister_method("my_map")
        vitrine.register_method("my_map", scaled(by))
        if refused:
            with pytest.raises(UserError, match=r"the code of methods \(my_map: [0-9a-f]{12}, now "):
                made()
        else:
            assert made().request.method_code == first.method_code
    request = json.loads((tmp_path / "run" / REQUEST).read_text())
    del request["method_code"]  # an earlier version did not keep it
    (tmp_path / "run" / REQUEST).write_text(json.dumps(request))
    made()
