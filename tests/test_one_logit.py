"""Networks of one output that say yes or no: as two classes, whose scores are the logit's negative and the
logit."""

from pathlib import Path

import numpy as np
import pytest
import torch
from captum.attr import IntegratedGradients, Saliency
from PIL import Image
from pytorch_grad_cam import GradCAM, HiResCAM, LayerCAM
from pytorch_grad_cam.utils.model_targets import BinaryClassifierOutputTarget
from torch import nn

import vitrine
from explain.methods.compute import compute_maps
from explain.methods.live import open_session
from explain.methods.registry import METHODS
from explain.methods.request import MapRequest
from explain.run.engine import run
from explain.run.reader import open_run
from models import registry
from models.architectures.classifiers import ARCHITECTURES
from models.classifier import Classifier
from models.data.folder import FolderSource
from models.errors import UserError
from models.outputs.one_logit import gives_probability, is_one_logit
from models.outputs.probabilities import log_loss, probabilities
from models.preprocessing import Preprocessing
from tests.maps import ATTENTION

FED = Preprocessing((32, 32), None, (0.5,) * 3, (0.5,) * 3)
CLASSES = ("blue", "red")


class OneLogit(nn.Module):
    """Large logits, so that a softmax over two would be far from the sigmoid."""

    def __init__(self, end: nn.Module | None = None) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.features = nn.Sequential(nn.Conv2d(3, 6, 3, 2), nn.ReLU(), nn.Conv2d(6, 8, 3, 2), nn.ReLU())
        self.head, self.end = nn.Linear(8, 1), end or nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.end(3 * self.head(self.features(x).mean((2, 3))))


def one(end: nn.Module | None = None) -> Classifier:
    return vitrine.wrap(OneLogit(end), CLASSES, FED)


@pytest.fixture
def colors(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for name, channel in (("red", 0), ("blue", 2)):
        (tmp_path / "data" / name).mkdir(parents=True)
        for i in range(5):
            pixels = rng.integers(0, 120, (32, 32, 3), dtype=np.uint8)
            pixels[..., channel] += 120
            Image.fromarray(pixels).save(tmp_path / "data" / name / f"{i}.png")
    return tmp_path / "data"


@pytest.mark.parametrize("end", [None, nn.Sigmoid()], ids=["logit", "sigmoid"])
def test_a_run_has_the_sigmoid(end: nn.Module | None, colors: Path, tmp_path: Path) -> None:
    """Probabilities, predictions and losses of every image, against a plain loop."""
    network, source = one(end), FolderSource(colors)
    assert ("probability" if end else "logit") in network.notes[0]
    run(network, source, tmp_path / "run", ["grad_cam"])
    opened, plain = open_run(tmp_path / "run"), OneLogit().eval()
    for row, item in opened.ok.iterrows():
        pixels = np.asarray(Image.open(colors / item["id"]).convert("RGB"), np.float32)
        x = torch.from_numpy((pixels / 255 - 0.5) / 0.5).permute(2, 0, 1)[None]
        with torch.inference_mode():
            z = plain(x)[0, 0]
        p = float(z.sigmoid())
        np.testing.assert_allclose(opened.prob(int(str(row))), [1 - p, p], atol=2e-6)
        assert item["pred"] == int(p > 0.5)
        assert item["label"] == CLASSES.index(item["id"].split("/")[0])
        assert item["loss"] == pytest.approx(-np.log(p if item["label"] else 1 - p), abs=1e-4)


@pytest.mark.parametrize("target", [0, 1])
def test_maps_are_those_of_the_logit_and_of_its_negative(target: int) -> None:
    """Against pytorch-grad-cam's target for one output, and Captum on the network as it was given."""
    network, plain = one(), OneLogit().eval()
    x = torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    for method, kind in (("grad_cam", GradCAM), ("hires_cam", HiResCAM), ("layer_cam", LayerCAM)):
        ours = compute_maps(network.model, x, MapRequest(method, "features.3", target)).maps[0]
        with kind(model=plain, target_layers=[plain.features[3]]) as peer:
            theirs = peer(x.clone(), [BinaryClassifierOutputTarget(target)])[0]
        shown = nn.functional.interpolate(ours.clamp(min=0)[None, None], (32, 32), mode="bilinear")[0, 0]
        low, high = shown.min(), shown.max()
        assert float(high) > 0, method
        np.testing.assert_allclose((shown - low) / (high - low + 1e-7), theirs, atol=0.02, err_msg=method)
    sign = 2 * target - 1

    def signed(image: torch.Tensor) -> torch.Tensor:
        return sign * plain(image)[:, 0]

    def ours_of(method: str, **given: object) -> torch.Tensor:
        return compute_maps(
            network.model, x, MapRequest(method, "", target, parameters=tuple(given.items()))
        ).maps[0]

    gradient = Saliency(signed).attribute(x, abs=False)
    torch.testing.assert_close(ours_of("input_gradient"), gradient.abs().amax(1)[0], rtol=1e-4, atol=1e-6)
    expected = IntegratedGradients(signed).attribute(x, n_steps=16, method="gausslegendre").sum(1)[0]
    found = compute_maps(
        network.model, x, MapRequest("integrated_gradients", "", target, parameters=(("steps", 16),))
    )
    torch.testing.assert_close(found.maps[0].sum(), expected.sum(), rtol=0.05, atol=1e-3)
    assert found.expected_sum == pytest.approx(
        float((signed(x) - signed(torch.zeros_like(x))).detach()), abs=1e-4
    )


@pytest.mark.slow
def test_every_method_of_both_sides() -> None:
    """A finite map, or one line of reason; opposite values where the map is linear in the gradient."""
    network, refused = one(), set()
    x = torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(2))
    few = {"samples": 20, "steps": 4, "count": 4}
    for name, method in METHODS.items():
        given = tuple((p.name, few[p.name]) for p in method.parameters if p.name in few)
        requests = [MapRequest(name, "features.3" * method.layered, k, None, given) for k in (0, 1)]
        try:
            negative, positive = (compute_maps(network.model, x, r).maps for r in requests)
        except UserError:
            refused.add(name)
            continue
        assert negative.isfinite().all(), name
        assert positive.isfinite().all(), name
        if name in ("grad_cam", "hires_cam", "input_x_gradient", "integrated_gradients"):
            torch.testing.assert_close(negative, -positive)
            assert positive.abs().sum() > 0
        if name in ("recipro_cam", "occlusion", "rise"):
            assert not torch.equal(negative, positive), name
    assert refused <= {"cam", "lrp"} | ATTENTION


def test_probability_and_loss_of_scores() -> None:
    model = one().model
    z = torch.linspace(-30, 30, 13)
    scores = torch.stack([-z, z], 1)
    torch.testing.assert_close(probabilities(model, scores)[:, 1], z.sigmoid())
    expected = nn.functional.binary_cross_entropy_with_logits(z, torch.ones(13), reduction="none")
    torch.testing.assert_close(log_loss(model, scores, torch.ones(13, dtype=torch.long)), expected)
    two = nn.Linear(3, 2)
    torch.testing.assert_close(probabilities(two, scores), scores.softmax(1))
    assert is_one_logit(model)
    assert not is_one_logit(two)


def test_a_live_picture_has_the_sigmoid() -> None:
    session = open_session(one(), Image.new("RGB", (32, 32), (250, 20, 10)))
    with torch.inference_mode():
        z = OneLogit().eval()(session.x)[0, 0]
    assert session.prob[1] == pytest.approx(float(z.sigmoid()), abs=1e-6)


def test_what_is_given_stays_as_it_was() -> None:
    model = OneLogit()
    made = vitrine.wrap(model, CLASSES, FED)
    assert model(torch.zeros(2, 3, 32, 32)).shape == (2, 1)
    assert type(model) is OneLogit
    assert made.model.head is model.head


def test_a_dead_output_is_a_logit() -> None:
    """It is 0 for every image: no sigmoid gives that, and none is assumed."""
    model = OneLogit().eval()
    nn.init.zeros_(model.head.weight), nn.init.zeros_(model.head.bias)
    assert not gives_probability(model, torch.zeros(3, 32, 32))


def test_one_output_of_a_known_architecture(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = ARCHITECTURES["small_conv"](1)
    torch.save(network.state_dict(), tmp_path / "one.pth")
    loaded = registry.load("small_conv", tmp_path / "one.pth", CLASSES)
    assert loaded.classes == CLASSES
    assert registry.load("small_conv", tmp_path / "one.pth").classes == ("class 0", "class 1")
    x = torch.rand(2, 3, 32, 32)
    with torch.inference_mode():
        z = network.eval()(x)[:, 0]
        torch.testing.assert_close(loaded.model(x), torch.stack([-z, z], 1))
    with pytest.raises(UserError, match="give two, of the negative class first"):
        registry.load("small_conv", tmp_path / "one.pth", ("red",))
