"""Networks whose forward does more than compute: it changes its input, cuts gradients, loops over images."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from explain.methods.compute import compute_maps
from explain.methods.request import MapRequest
from explain.run.reader import open_run
from models.errors import UserError
from models.inputs.options import PreprocessingOptions
from models.outputs.scores import scores_path
from models.preprocessing import Preprocessing
from models.registry import load
from models.sources.module import from_module
from tests.command import launch, one_line

CODE = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 6, 3, 2), nn.ReLU())
        self.head = nn.Linear(6, 3)

    def forward(self, x):
        return self.head(self.features(x).mean((2, 3)))

class Cut(Net):
    @torch.no_grad()
    def forward(self, x):
        return super().forward(x)

class Changing(Net):
    def forward(self, x):
        return super().forward(x.sub_(0.5).div_(0.5))

class Erasing(Net):
    def forward(self, x):
        made = super().forward(x)
        x.zero_()
        return made

class Looping(Net):
    def forward(self, x):
        return torch.cat([super(Looping, self).forward(one[None]) for one in x])

def made(kind):
    torch.manual_seed(0)
    return kind()

def plain(): return made(Net)
def cut(): return made(Cut)
def changing(): return made(Changing)
def erasing(): return made(Erasing)
def looping(): return made(Looping)
def compiled(): return torch.compile(made(Net), backend="eager")
def scripted(): return torch.jit.trace(made(Net).eval(), torch.zeros(1, 3, 24, 24))
"""
TOLD = PreprocessingOptions(input_size="24", resize="squash", mean="0", std="1")
WORDS = ("--input-size", 24, "--resize", "squash", "--mean", "0", "--std", "1", "--classes", "sorted")
FED = Preprocessing((24, 24), None, (0.0,) * 3, (1.0,) * 3)


@pytest.fixture
def code(tmp_path: Path) -> Path:
    path = tmp_path / "odd_net.py"
    path.write_text(CODE)
    return path


def by_hand(x: torch.Tensor) -> torch.Tensor:
    torch.manual_seed(0)
    features, head = nn.Sequential(nn.Conv2d(3, 6, 3, 2), nn.ReLU()), nn.Linear(6, 3)
    with torch.no_grad():
        return head(features(x).mean((2, 3)))


def noise(count: int = 2) -> torch.Tensor:
    return torch.rand(count, 3, 24, 24, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("factory", ["cut", "changing", "erasing", "looping", "compiled"])
def test_scores_and_occlusion_are_those_of_the_plain_network(code: Path, factory: str) -> None:
    network, x = load(f"{code}:{factory}", options=TOLD), noise()
    kept = x.clone()
    expected = by_hand((x - 0.5) / 0.5 if factory == "changing" else x)
    with torch.no_grad():
        torch.testing.assert_close(network.model(x), expected)
    torch.testing.assert_close(x, kept)
    maps = compute_maps(network.model, x, MapRequest("occlusion", target=1)).maps
    alone = [compute_maps(network.model, one[None], MapRequest("occlusion", target=1)).maps for one in x]
    torch.testing.assert_close(maps, torch.cat(alone))
    assert maps.abs().max() > 0
    assert ("it changes its input in place" in " ".join(network.notes)) == (
        factory in ("changing", "erasing")
    )


def test_what_prevents_gradients_is_said_in_one_line(code: Path) -> None:
    for factory, method, reason in (
        ("cut", "input_gradient", "the network cuts gradients. Remove torch.no_grad"),
        ("cut", "integrated_gradients", "the network cuts gradients. Remove torch.no_grad"),
        ("cut", "fullgrad", "the network cuts gradients. Remove torch.no_grad"),
        ("erasing", "input_gradient", "changes a tensor in place that its gradient needs"),
        (
            "looping",
            "grad_cam",
            r"outputs \(1, 6, 11, 11\) for 2 images: the network runs on one image after",
        ),
        ("looping", "fullgrad", "for 2 images: the network runs on one image after the other"),
    ):
        network = load(f"{code}:{factory}", options=TOLD)
        with pytest.raises(UserError, match=reason) as caught:
            compute_maps(network.model, noise(), MapRequest(method, target=1))
        assert "\n" not in str(caught.value)
    changing, plain = (load(f"{code}:{name}", options=TOLD).model for name in ("changing", "plain"))
    found = compute_maps(changing, noise(), MapRequest("grad_cam", "features", 1)).maps
    torch.testing.assert_close(
        found, compute_maps(plain, (noise() - 0.5) / 0.5, MapRequest("grad_cam", "features", 1)).maps
    )


@pytest.mark.slow
def test_a_loop_over_images_on_the_command_line(code: Path, pictures: Path, tmp_path: Path) -> None:
    model, words = ("--model", f"{code}:looping"), WORDS[:-2]
    image = next(pictures.rglob("*.png"))
    launch("explain", image, *model, *words, "--methods", "occlusion", "--out", tmp_path / "maps")
    run = ("run", *model, "--data", pictures, *WORDS, "--methods", "grad_cam", "--out")
    assert "(--batch-size 1)" in one_line(*run, tmp_path / "a")
    launch(*run, tmp_path / "b", "--batch-size", 1)
    opened = open_run(tmp_path / "b")
    images = [Image.open(pictures / i).convert("RGB").resize((24, 24), 2) for i in opened.table["id"]]
    x = torch.tensor(np.stack([np.asarray(i, np.float32) / 255 for i in images])).permute(0, 3, 1, 2)
    made = np.stack([opened.prob(k) for k in range(len(images))])
    np.testing.assert_allclose(made, by_hand(x).softmax(1).numpy(), atol=1e-5)


def test_compiled_and_scripted_networks(code: Path) -> None:
    assert type(load(f"{code}:compiled", options=TOLD).model).__name__ == "Net"
    with pytest.raises(UserError, match=r"torch.jit.save\(network, 'net.pt'\)"):
        load(f"{code}:scripted", options=TOLD)
    net = nn.Sequential(
        nn.Conv2d(3, 6, 3, 2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 3)
    )
    assert from_module(torch.compile(net, backend="eager"), "abc", FED, "net").model is net
    with pytest.raises(UserError, match="is a ScriptModule"):
        from_module(torch.jit.trace(net, torch.zeros(1, 3, 24, 24)), "abc", FED, "net")


def test_a_container_in_front_of_a_matrix_is_never_skipped() -> None:
    z = torch.zeros(2, 3)
    assert scores_path([[z]]) == (0, 0)
    assert scores_path([[z], None]) == (0, 0)
    assert scores_path((z, [z, z])) == (0,)
    assert scores_path([{"logits": z}, z]) == (0, "logits")
    assert scores_path((None, z)) == (1,)
    for output in ([[z], z], [[z], [z]], ([z, z], z)):
        with pytest.raises(UserError, match=r"call the scores 'logits', or return them alone"):
            scores_path(output)
    with pytest.raises(UserError, match=r"a list of 0 list, 1 \(2, 3\)"):
        scores_path([[z], z])
