"""What a network returns: logits, probabilities or percent, found out or said (`--outputs`). The reference is
a plain loop of PyTorch, one image after the other."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import vitrine
from explain.methods.reproduce import command_line, python_lines
from explain.methods.request import MapRequest
from explain.run.format import REQUEST
from explain.run.model import network_of
from explain.run.reader import open_run
from models import registry
from models.architectures.classifiers import ARCHITECTURES
from models.errors import UserError
from models.foreign.parameter_sets import reading
from models.inputs.options import PreprocessingOptions
from models.outputs.probabilities import probabilities
from models.outputs.scores import PERCENT, PROBABILITIES
from models.outputs.task import MULTI, SINGLE, with_task
from models.preprocessing import Preprocessing
from models.sources.module import from_module
from tests.command import launch, one_line

FED = Preprocessing((24, 24), None, (0.0,) * 3, (1.0,) * 3)
TOLD = PreprocessingOptions(input_size="24", resize="squash", mean="0", std="1")
WORDS = ("--input-size", 24, "--resize", "squash", "--mean", "0", "--std", "1")
CODE = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, outputs, end):
        super().__init__()
        torch.manual_seed(3)
        self.features = nn.Sequential(nn.Conv2d(3, 6, 3, 2), nn.ReLU())
        self.head, self.end = nn.Linear(6, outputs), end

    def forward(self, x):
        return self.end(9 * self.head(self.features(x).mean((2, 3))))

def logits(): return Net(3, nn.Identity())
def probabilities(): return Net(3, nn.Softmax(1))
def percent(): return Net(3, lambda z: 100 * z.softmax(1))
def sigmoids(): return Net(3, nn.Sigmoid())
def percents(): return Net(3, lambda z: 100 * z.sigmoid())
def one_logit(): return Net(1, nn.Identity())
def one_probability(): return Net(1, nn.Sigmoid())
def one_percent(): return Net(1, lambda z: 100 * z.sigmoid())
"""
NAMES = {1: ("no", "yes"), 3: ("blue", "green", "red")}
SPACE: dict[str, Any] = {}
exec(CODE, SPACE)


def made(name: str) -> Any:
    return SPACE[name]().eval()


@pytest.fixture
def code(tmp_path: Path) -> Path:
    path = tmp_path / "kinds_net.py"
    path.write_text(CODE)
    return path


def noise(count: int = 4) -> Tensor:
    return torch.rand(count, 3, 24, 24, generator=torch.Generator().manual_seed(1))


def pixels(image: Path) -> Tensor:
    values = np.asarray(Image.open(image).convert("RGB").resize((24, 24), 2), np.float32) / 255
    return torch.tensor(values).permute(2, 0, 1)


def logits_of(name: str, x: Tensor) -> Tensor:
    """In double precision, one image after the other."""
    net = SPACE["one_logit" if name.startswith("one") else "logits"]().eval().double()
    with torch.no_grad():
        return torch.cat([net(image[None].double()) for image in x])


def by_hand(name: str, x: Tensor) -> Tensor:
    z = logits_of(name, x)
    if z.shape[1] > 1:
        return z.softmax(1)
    return torch.cat([1 - z.sigmoid(), z.sigmoid()], 1)


def wrapped(name: str, outputs: str = "") -> Any:
    return vitrine.wrap(made(name), NAMES[made(name).head.out_features], FED, outputs=outputs)


def answers(network: Any, x: Tensor) -> Tensor:
    with torch.no_grad():
        found: Tensor = probabilities(network.model, network.model(x)).double()
    return found


@pytest.mark.parametrize(
    ("name", "outputs"),
    [
        ("logits", ""),
        ("logits", "logits"),
        ("probabilities", ""),
        ("probabilities", "probabilities"),
        ("percent", ""),
        ("percent", "percent"),
        ("one_logit", ""),
        ("one_logit", "logits"),
        ("one_probability", ""),
        ("one_probability", "probabilities"),
        ("one_percent", "percent"),
    ],
)
def test_probabilities_are_those_of_the_plain_network(name: str, outputs: str) -> None:
    x = noise()
    assert by_hand(name, x).std() > 0.02
    torch.testing.assert_close(answers(wrapped(name, outputs), x), by_hand(name, x), rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", ["logits", "probabilities", "percent", "sigmoids", "one_probability"])
def test_what_is_said_to_be_logits_is_logits(name: str) -> None:
    """Whatever it looks like: the softmax, or of one output the sigmoid, of what the network returns."""
    x, network = noise(), wrapped(name, "logits")
    with torch.no_grad():
        z = torch.cat([made(name)(image[None]).double() for image in x])
    expected = z.softmax(1) if z.shape[1] > 1 else torch.cat([1 - z.sigmoid(), z.sigmoid()], 1)
    torch.testing.assert_close(answers(network, x), expected, rtol=0, atol=1e-6)
    looks = {"probabilities": "look like probabilities", "percent": "look like percent"}
    assert looks.get(name, "") in " ".join(network.notes)


def test_of_several_labels_an_image_logits_are_as_said_too() -> None:
    """Outputs between 0 and 1 are probabilities of their classes, unless they are said to be logits."""
    x = noise()
    for outputs in ("", "logits"):
        network = with_task(wrapped("sigmoids", outputs), MULTI)
        with torch.no_grad():
            p = torch.cat([made("sigmoids")(image[None]).double() for image in x])
        expected = p.sigmoid() if outputs else p
        torch.testing.assert_close(answers(network, x), expected, rtol=0, atol=1e-6)
        assert network.output_kind == outputs
    with pytest.raises(UserError, match="sum to 1, so its classes exclude each other"):
        with_task(wrapped("percent"), MULTI)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "kind"), [("sigmoids", "probabilities"), ("percents", "percent")])
def test_of_several_labels_probabilities_are_those_of_each(
    name: str, kind: str, code: Path, pictures: Path, tmp_path: Path
) -> None:
    """The outputs themselves, which do not sum to 1; their logits are the scores."""
    x = noise()
    p = logits_of("logits", x).sigmoid()
    words = (*("--model", f"{code}:{name}"), *WORDS, "--outputs", kind)
    networks = [
        vitrine.wrap(made(name), NAMES[3], FED, outputs=kind, task=MULTI),
        vitrine.load(f"{code}:{name}", preprocess=FED, outputs=kind, task=MULTI),
    ]
    for network in networks:
        torch.testing.assert_close(answers(network, x), p, rtol=0, atol=1e-6)
        with torch.no_grad():
            torch.testing.assert_close(network.model(x).double(), p.logit(), rtol=1e-4, atol=1e-4)
        assert "as was said" in network.notes[-1]
        assert network.output_kind == ("" if kind == "probabilities" else kind)  # found by itself, or not
    table = tmp_path / "sets.csv"
    images = sorted(str(path) for path in pictures.rglob("*.png"))
    sets = ("red|blue", "green", "red", "blue|green", "red|green|blue")
    rows = [f"{image},{sets[k % 5]}" for k, image in enumerate(images)]
    table.write_text("\n".join(["image,labels", *rows]))
    (tmp_path / "names.txt").write_text("blue\ngreen\nred")
    words += ("--class-names", tmp_path / "names.txt", "--force")
    launch("run", *words, "--data", table, "--out", tmp_path / "run")
    opened = open_run(tmp_path / "run")
    x = torch.stack([pixels(Path(opened.manifest.data_root) / i) for i in opened.table["id"]])
    np.testing.assert_allclose(opened.label_sets.prob, logits_of("logits", x).sigmoid(), atol=1e-5)
    network_of(opened.manifest)
    layers = launch("layers", "--model", tmp_path / "run" / "model.json")
    assert "features.0" in layers


def test_what_is_impossible_of_several_labels_is_refused() -> None:
    for name, kind, message in (
        ("logits", "probabilities", r"lie between -[\d.]+ and [\d.]+, not between 0 and 1"),
        ("percents", "probabilities", r"lie between [\d.e-]+ and [\d.]+, not between 0 and 1"),
        ("sigmoids", "percent", "lie between 0 and 1: leave --outputs .* or give probabilities"),
        ("probabilities", "probabilities", "sum to 1, so its classes exclude each other"),
    ):
        with pytest.raises(UserError, match=message):
            vitrine.wrap(made(name), NAMES[3], FED, outputs=kind, task=MULTI)
    with reading(outputs="probabilities", task="multi-label"):
        network = from_module(made("sigmoids"), NAMES[3], FED, "n")
    with pytest.raises(UserError, match="each is that of a label of its own"):
        with_task(network, SINGLE)


def test_what_was_found_is_said() -> None:
    assert wrapped("logits").notes == ()
    assert wrapped("probabilities").notes == (PROBABILITIES,)
    assert wrapped("percent").notes == (PERCENT,)
    assert "as behind a sigmoid" in wrapped("sigmoids").notes[0]
    with pytest.raises(UserError, match="lies between 0 and 100 for every test image: say with --outputs"):
        wrapped("one_percent")
    assert wrapped("one_percent", "logits").output_kind == "logits"  # so that its runs open again
    assert "a probability in percent, as was said" in wrapped("one_percent", "percent").notes[0]
    assert "percent" not in wrapped("one_logit").notes[0] + wrapped("one_probability").notes[0]


@pytest.mark.parametrize(
    ("name", "outputs", "message"),
    [
        ("logits", "probabilities", r"those of a test image hold -\d.*or give logits"),
        ("logits", "percent", r"those of a test image hold -\d"),
        ("sigmoids", "probabilities", r"sum to [\d.]+, not to 1: leave --outputs"),
        ("sigmoids", "percent", r"sum to [\d.]+, not to 100"),
        ("probabilities", "percent", "sum to 1, not to 100: .*or give probabilities"),
        ("percent", "probabilities", "sum to 100, not to 1: .*or give percent"),
        ("one_logit", "probabilities", r"test images lie between -[\d.]+ and -?[\d.]+, not between 0 and 1"),
        ("one_logit", "percent", r"test images lie between -[\d.]+ and -?[\d.]+, not between 0 and 100"),
        ("one_percent", "probabilities", r"lie between [\d.e-]+ and [\d.]+, not between 0 and 1"),
        ("logits", "softmax", "No kind of outputs 'softmax': choose from logits, probabilities, percent"),
    ],
)
def test_a_contradiction_is_one_line(name: str, outputs: str, message: str, code: Path) -> None:
    for load in (
        lambda: wrapped(name, outputs),
        lambda: registry.load(f"{code}:{name}", options=TOLD, outputs=outputs),
        lambda: vitrine.load(f"{code}:{name}", preprocess=FED, outputs=outputs),
    ):
        with pytest.raises(UserError, match=message) as refused:
            load()
        assert "\n" not in str(refused.value)


def test_a_network_of_a_known_architecture_returns_logits(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = ARCHITECTURES["small_conv"](3).eval()
    torch.save(network.state_dict(), tmp_path / "w.pth")
    x = torch.rand(2, 3, 32, 32)
    loaded = registry.load("small_conv", tmp_path / "w.pth", outputs="logits")
    torch.testing.assert_close(loaded.model(x), network(x))
    for kind in ("probabilities", "percent"):
        with pytest.raises(UserError, match=f"said to be {kind}"):
            registry.load("small_conv", tmp_path / "w.pth", outputs=kind)


@pytest.mark.slow
def test_another_kind_is_another_run(code: Path, pictures: Path, tmp_path: Path) -> None:
    """A run, the same again, and another; `model.json`, the live network and the commands name the kind."""
    out, model = tmp_path / "run", ("--model", f"{code}:percent")
    run = ("run", *model, "--data", pictures, *WORDS, "--classes", "sorted", "--methods", "grad_cam")
    run += ("--force", "--out", out)
    said = launch(*run)
    assert PERCENT in said
    opened = open_run(out)
    images = [Image.open(pictures / i).convert("RGB").resize((24, 24), 2) for i in opened.table["id"]]
    x = torch.tensor(np.stack([np.asarray(i, np.float32) / 255 for i in images])).permute(0, 3, 1, 2)
    found = np.stack([opened.prob(k) for k in range(len(images))])
    np.testing.assert_allclose(found, by_hand("percent", x).numpy(), atol=1e-6)
    assert opened.manifest.request.output_kind == "percent"
    launch(*run, "--outputs", "percent")
    line = one_line(*run, "--outputs", "logits")
    assert "holds another run (what the network returns, --outputs (percent, now logits))" in line
    launch(*run, "--outputs", "logits", "--restart")
    again = open_run(out)
    assert again.manifest.request.output_kind == "logits"
    found = np.stack([again.prob(k) for k in range(len(images))])
    expected = (100 * by_hand("percent", x)).softmax(1).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-4)
    for network in (network_of(again.manifest), registry.load(str(out / "model.json"))):
        assert network.output_kind == "logits"
        torch.testing.assert_close(answers(network, x).numpy(), expected, rtol=0, atol=1e-4)
    assert registry.load(str(out / "model.json"), outputs="percent").output_kind == "percent"
    network = network_of(again.manifest)
    words = (network.options, network.which, network.output_kind)
    request = [MapRequest("grad_cam")]
    assert "--outputs logits" in command_line("a.png", "m", "", (), request, *words)
    assert "outputs='logits'" in python_lines("a.png", "m", "", request, *words)


@pytest.mark.slow
def test_runs_of_earlier_versions(code: Path, pictures: Path, tmp_path: Path) -> None:
    """They do not name a kind. One of percent was computed with other probabilities; all others go on."""
    for name, same in (("probabilities", True), ("logits", True), ("percent", False)):
        out = tmp_path / name
        run = ("run", "--model", f"{code}:{name}", "--data", pictures, *WORDS, "--classes", "sorted")
        run += ("--methods", "grad_cam", "--force", "--out", out)
        launch(*run)
        raw = json.loads((out / REQUEST).read_text())
        assert raw.pop("output_kind") == ("" if same else "percent")
        (out / REQUEST).write_text(json.dumps(raw))
        if same:
            launch(*run)
            network_of(open_run(out).manifest)
        else:
            assert "--outputs (none, now percent)" in one_line(*run)
            with pytest.raises(UserError, match="read otherwise"):
                network_of(open_run(out).manifest)


def test_every_command_that_loads_a_network(code: Path, pictures: Path, tmp_path: Path) -> None:
    image = next(pictures.rglob("*.png"))
    words = ("--model", f"{code}:sigmoids", *WORDS, "--outputs", "probabilities")
    message = "sum to "
    assert message in one_line("explain", image, *words, "--out", tmp_path / "maps")
    assert message in one_line("layers", *words)
    assert message in one_line("filters", *words, "--out", tmp_path / "filters")
    assert message in one_line("check", *words, "--data", pictures)
    shown = launch(
        *("explain", image, "--model", f"{code}:one_percent", *WORDS, "--outputs", "percent"),
        *("--methods", "grad_cam", "--out", tmp_path / "maps"),
    )
    p = float(by_hand("one_percent", pixels(image)[None])[0].max())
    assert f"{100 * p:.1f} %" in shown


class Alone(nn.Module):
    """`flatten` fails for a batch, `first` answers the first image only."""

    def __init__(self, how: str, training: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.features = nn.Sequential(nn.Conv2d(3, 6, 3, 2), nn.BatchNorm2d(6), nn.ReLU())
        self.head, self.how, self.kept = nn.Linear(6, 3), how, training

    def train(self, mode: bool = True) -> "Alone":
        return super().train(mode or self.kept)

    def forward(self, x: Tensor) -> Tensor:
        maps = self.features(x[:1] if self.how == "first" else x)
        pooled = maps.mean((2, 3))
        return self.head(pooled.view(1, 6) if self.how == "flatten" else pooled)


def alone(how: str) -> nn.Module:
    torch.manual_seed(0)
    return Alone(how).eval()


@pytest.mark.slow
@pytest.mark.parametrize("how", ["flatten", "first"])
def test_a_network_of_one_image_gets_one_after_the_other(how: str, pictures: Path, tmp_path: Path) -> None:
    """Scores and maps, live and of a run, against the same layers that take batches."""
    network, plain, x = vitrine.wrap(Alone(how), NAMES[3], FED), alone("plain"), noise(5)
    assert "one after the other, which is slow" in network.notes[0]
    with torch.no_grad():
        torch.testing.assert_close(network.model(x), plain(x))
    reference = vitrine.wrap(plain, NAMES[3], FED)
    assert reference.notes == ()
    picture = Image.open(next(pictures.rglob("*.png")))
    methods = ["grad_cam", "ablation_cam", "score_cam", "occlusion", "input_gradient"]
    one, other = (vitrine.explain(net, picture, methods) for net in (network, reference))
    for method in methods:
        np.testing.assert_allclose(one.maps[method], other.maps[method], rtol=1e-4, atol=1e-6, err_msg=method)
    runs = [
        vitrine.run(net, pictures, tmp_path / str(k), ["grad_cam"], force=True)
        for k, net in enumerate((network, reference))
    ]
    a, b = (run.table.sort_values("id").reset_index() for run in runs)
    np.testing.assert_allclose(np.stack(a["confidence"]), np.stack(b["confidence"]), atol=1e-6)
    assert a["pred"].tolist() == b["pred"].tolist()


@pytest.mark.parametrize("how", ["flatten", "first", "plain"])
def test_training_mode_is_refused_as_before(how: str) -> None:
    """Batch norm with the statistics of its images: also where one image alone is answered."""
    with pytest.raises(UserError, match="it computes as in training"):
        vitrine.wrap(Alone(how, training=True), NAMES[3], FED)


@pytest.mark.filterwarnings("ignore")
def test_a_trace_of_one_image(tmp_path: Path) -> None:
    """Its size of the batch is a constant of the graph."""
    traced = torch.jit.trace(Alone("flatten").eval(), torch.zeros(1, 3, 24, 24))
    traced.save(str(tmp_path / "one.pt"))
    network = registry.load(str(tmp_path / "one.pt"), options=TOLD)
    assert "one after the other" in network.notes[0]
    with torch.no_grad():
        torch.testing.assert_close(network.model(noise()), alone("plain")(noise()))
