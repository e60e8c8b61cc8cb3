"""The command trust, as a person uses it: what it prints, keeps, refuses and resumes; and the layer that it
advises."""

import os
import re
import shlex
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torch.nn import functional as F

import vitrine
from explain.analysis.chance import AT_CHANCE
from explain.methods.baseline import baseline
from explain.quality import measure
from explain.quality.controls import IMAGE_CONTROLS
from explain.quality.curves import CurveSettings
from explain.quality.format_text import BAR, number
from explain.quality.measure import Measurement
from explain.quality.next_run import command_at
from explain.quality.over_depth.depth import not_recommended
from explain.quality.remarks import caution
from explain.quality.sample import stratified, target_name
from explain.quality.store import TrustSettings, TrustStore, stores
from explain.quality.verdict import Trust
from explain.run.format import read_manifest
from explain.run.reader import open_run
from models.registry import unregister_model
from tests.command import launch, one_line, run_command
from tests.conftest import TINY, TinyNet
from tests.spots import SIDE, draw_spots
from tests.test_trust import Spot

NAMES = ("none", "spot")
FAST = ("--cells", 8, "--steps", 8)
FEW = ("--cells", 8, "--steps", 4)
CURVES = (*FAST, "--figures", "insertion_deletion")
"""Without ROAD, which takes most of the time, where figures are not the subject."""


def layered() -> nn.Module:
    torch.manual_seed(0)
    return TinyNet(2).eval()


def constant() -> nn.Module:
    model = Spot()
    nn.init.zeros_(model.conv.weight)
    return model.eval()


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "spot": lambda: Spot().eval(),
    "layered": layered,
    "constant": constant,
}


@pytest.fixture(scope="module", autouse=True)
def networks() -> Iterator[None]:
    for name, build in NETWORKS.items():
        vitrine.register_model(name, build, NAMES, TINY)
    yield
    for name in NETWORKS:
        unregister_model(name)


@pytest.fixture(scope="module")
def spots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Gray noise with a bright window somewhere, or without."""
    return draw_spots(tmp_path_factory.mktemp("spots"), 12, NAMES)


def made(model: str, data: Path, out: Path, *options: object) -> Path:
    methods = () if "--methods" in options else ("--methods", "grad_cam,layer_cam")
    launch("run", "--model", model, "--data", data, "--out", out, "--force", *methods, *options)
    return out


@pytest.fixture(scope="module")
def spot_run(spots: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made("spot", spots, tmp_path_factory.mktemp("run") / "spot", "--layer", "conv")


@pytest.fixture
def fresh(spot_run: Path, tmp_path: Path) -> Path:
    """That run, of which nothing is measured."""
    shutil.copytree(spot_run, tmp_path / "run", ignore=shutil.ignore_patterns("trust"))
    return tmp_path / "run"


def by_hand(path: Path, cells: int, steps: int) -> float:
    """Insertion minus deletion of Grad-CAM of one image: pixels, map, order and curves in plain loops. The
    class's score is the largest of 16 windows, so Grad-CAM at the convolution is that channel / 16."""
    pixels = np.asarray(Image.open(path).convert("RGB"), np.float32) / 255
    x, model = torch.from_numpy((pixels - 0.5) / 0.5).permute(2, 0, 1)[None], Spot()
    with torch.no_grad():
        target = int(model(x).argmax())
        values = F.interpolate(model.conv(x)[:, target : target + 1], (cells, cells), mode="bilinear")[0, 0]
        order, side, areas = values.flatten().argsort(descending=True).tolist(), SIDE // cells, []
        for start, other in ((baseline(x, "blur"), x), (x, baseline(x, "blur"))):
            scores = []
            for step in range(steps + 1):
                image = start.clone()
                for cell in order[: round(step / steps * len(order))]:
                    row, column = side * (cell // cells), side * (cell % cells)
                    where = (..., slice(row, row + side), slice(column, column + side))
                    image[where] = other[where]
                scores.append(float(model(image).softmax(1)[0, target]))
            areas.append(np.trapezoid(scores, dx=1 / steps))
    return float(areas[0] - areas[1])


@pytest.mark.slow
def test_figures_are_those_of_a_plain_loop(spot_run: Path, spots: Path) -> None:
    printed = launch("trust", spot_run, *FAST, "--figures", "insertion_deletion")
    line = re.findall(r"^Grad-CAM +(-?[\d.]+) .* of images$", printed, re.M)[0]
    expected = np.mean([by_hand(path, 8, 8) for path in sorted(spots.glob("*/*.png"))])
    assert float(line) == pytest.approx(expected, abs=2e-3)
    assert "ROAD" not in printed


@pytest.mark.slow
def test_tables_are_readable_and_end_with_the_method_to_read(fresh: Path) -> None:
    printed = launch("trust", fresh, *FAST)
    lines = printed.splitlines()
    assert max(map(len, lines)) <= 110
    assert lines[0].startswith("Measuring 24 images, 2 methods: ")
    passes = 24 * (9 * (7 + 7 + 4 + 4) + 2)
    assert f"{passes:,} passes of one image" in lines[0]
    assert "24 images, layer conv, maps of the predicted class (score: its probability)" in lines
    for heading in ("insertion − deletion: ", "ROAD: ", "controls of ", "rank correlation of ", "method "):
        assert any(line.startswith(heading) for line in lines)
    assert lines[-1].startswith(
        ("Read Grad-CAM at conv: it beats its best control on ", "No method beats")
    ) or any(line.startswith("Read Grad-CAM at conv") for line in lines[-2:])
    again = launch("trust", fresh, *FAST)
    assert printed.endswith(again)
    assert "Measuring" not in again


@pytest.mark.slow
def test_what_is_stopped_is_kept_and_resumed(fresh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    figures, done = Measurement._figures, list[int]()

    def stopping(self: Measurement, *given: object) -> object:
        if len(done) == 5:
            raise KeyboardInterrupt
        done.append(1)
        return figures(self, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(measure, "ROWS", 2)
    with monkeypatch.context() as patch:
        patch.setattr(Measurement, "_figures", stopping)
        stopped = run_command("trust", fresh, *FEW, "--images", 12)
    assert stopped.returncode == 130
    assert f"Stopped. Results so far are in {fresh}; run the same command to resume." in stopped.stdout
    assert "Traceback" not in stopped.stderr
    [store] = stores(fresh)
    assert store.rows()["id"].nunique() == 5
    resumed = launch("trust", fresh, *FEW, "--images", 12)
    assert "5 images were measured before" in " ".join(resumed.split())
    shutil.rmtree(fresh / "trust")
    whole = launch("trust", fresh, *FEW, "--images", 12)
    assert without_times(resumed) == without_times(whole)


def without_times(printed: str) -> str:
    """The tables, without the milliseconds and what is concluded from them."""
    tables = printed.partition("12 images, layer")[2].partition("Read ")[0]
    return re.sub(r"^(\S+) +[\d.]+  ", r"\1 ", tables, flags=re.M)


@pytest.mark.slow
def test_images_that_are_gone_are_counted(fresh: Path, spots: Path, tmp_path: Path) -> None:
    data = shutil.copytree(spots, tmp_path / "data")
    out = made("spot", data, tmp_path / "gone", "--layer", "conv")
    for i in range(2):
        (data / "spot" / f"{i}.png").unlink()
    printed = launch("trust", out, *CURVES)
    left_out = "could not be read, or are not the pictures of the run any more: left out."
    assert f"2 of 24 images {left_out}" in printed
    assert "22 images, layer conv" in printed
    shutil.rmtree(data)
    assert "22 images, layer conv" in launch("trust", out, *CURVES)  # what is known stays
    shutil.rmtree(out / "trust")
    assert "None of the 24 images can be read" in one_line("trust", out, *CURVES)


@pytest.mark.slow
def test_pictures_in_the_place_of_others_are_left_out(spots: Path, tmp_path: Path) -> None:
    """A copy with another time is the same picture; another picture under the same name is not."""
    data = shutil.copytree(spots, tmp_path / "data")
    out = made("spot", data, tmp_path / "run", "--layer", "conv")
    shutil.copyfile(data / "none" / "0.png", data / "spot" / "0.png")
    os.utime(data / "spot" / "1.png", (0, 0))
    printed = launch("trust", out, *CURVES)
    assert "1 of 24 images could not be read, or are not the pictures of the run any more" in printed
    assert "23 images, layer conv" in printed


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--methods", "nope"], "No method 'nope'"),
        (["--figures", "nope"], "choose from insertion_deletion, road"),
        (["--figures", ","], "choose from insertion_deletion, road"),
        (["--baseline", "black"], "choose from blur, mean"),
        (["--precision", "fp8"], "choose from fp32, bf16"),
        (["--layers", "conv9"], "No layer 'conv9'"),
        (
            ["--layers", "all,all-stages"],
            "layers 'all,all-stages': 'all' stands alone; all-stages and the run",
        ),
        (["--layers", "conv,all"], "Name 'all', or others without it."),
        (["--layers", "all", "--methods", "saliency"], "takes no layer; name none"),
        (["--label", "spot"], "leave --label out"),
    ],
)
def test_what_cannot_be_measured_is_one_line(options: list[str], said: str, spot_run: Path) -> None:
    if "saliency" in options:
        options = [*options[:-1], "integrated_gradients"]
    assert said in one_line("trust", spot_run, *options)


@pytest.mark.slow
def test_a_network_at_chance_is_said_first(spots: Path, tmp_path: Path) -> None:
    out = made("constant", spots, tmp_path / "run", "--layer", "conv")
    printed = launch("trust", out, *CURVES, "--images", 10)
    assert printed.startswith("At chance: ")
    assert "explain nothing about the classes." in printed.partition("Measuring")[0]
    assert printed.rstrip().endswith(not_recommended("method", AT_CHANCE))


@pytest.mark.slow
def test_a_network_whose_weights_are_out_of_reach_lacks_a_control(spots: Path, tmp_path: Path) -> None:
    torch.jit.trace(Spot().eval(), torch.zeros(1, 3, SIDE, SIDE)).save(tmp_path / "net.pt")  # type: ignore[no-untyped-call]
    (tmp_path / "names.txt").write_text("\n".join(NAMES))
    fed = ["--input-size", SIDE, "--resize", "squash", "--mean", "0.5,0.5,0.5", "--std", "0.5,0.5,0.5"]
    named = ["--class-names", tmp_path / "names.txt", "--methods", "input_x_gradient"]
    out = made(tmp_path / "net.pt", spots, tmp_path / "run", *fed, *named)  # type: ignore[arg-type]
    for _ in range(2):  # also where everything is known
        printed = launch("trust", out, *CURVES, "--images", 10)
        assert "Control missing: the map of a network with random weights (the weights in its file" in printed
        assert "random network" not in printed


@pytest.mark.slow
def test_a_restarted_run_is_measured_anew(fresh: Path, spots: Path) -> None:
    launch("trust", fresh, *CURVES, "--images", 10)
    assert stores(fresh)
    made("spot", spots, fresh, "--layer", "conv", "--limit", 20, "--restart")
    assert not stores(fresh)


@pytest.mark.slow
def test_labels_are_measured_apart(pictures: Path, tmp_path: Path) -> None:
    """The figures of one label are never those of another one, which has the same images and methods."""
    files = sorted(pictures.glob("*/*.png"))
    rows = [f"{f.relative_to(pictures)},{f.parent.name}{'|blue' * (k % 2)}" for k, f in enumerate(files)]
    (pictures / "labels.csv").write_text("\n".join(["image,labels", *rows]))
    net = vitrine.wrap(TinyNet().eval(), ("red", "green", "blue"), TINY, task="multi-label")
    vitrine.run(net, pictures / "labels.csv", tmp_path / "run", methods=["grad_cam"], force=True)
    found = {}
    for label in ("red", "blue", ""):
        opened = open_run(tmp_path / "run", label)
        settings = TrustSettings(
            "", CurveSettings(4, 3), ("insertion", "deletion"), target=target_name(opened)
        )
        layered = TrustSettings(opened.manifest.request.layer, *list(vars(settings).values())[1:])
        work = Measurement(
            net, opened, ["grad_cam"], stratified(opened, 18), TrustStore.of(opened.folder, layered)
        )
        list(work.steps())
        found[label] = Trust.of(work.store).values("insertion_deletion")["grad_cam", ""]
    assert len(stores(tmp_path / "run")) == 3
    assert not np.allclose(found["red"], found["blue"])
    with torch.no_grad():
        for label, values in found.items():
            assert len(values) == 18, label


# --- layers


@pytest.mark.slow
def test_every_layer_is_a_row_with_a_bar(spots: Path, tmp_path: Path) -> None:
    out = made("layered", spots, tmp_path / "run", "--layer", "features.4")
    printed = launch(
        "trust", out, *FAST, "--figures", "insertion_deletion", "--layers", "all", "--images", 10
    )
    assert printed.count(" (run) ") == 1
    rows = re.findall(r"^(features[\w.]*)(?: \(run\))? +(█*[▏▎▍▌▋▊▉]?) +(-?\d\.\d+)", printed, re.M)
    assert len(rows) > 1
    values = np.array([float(value) for *_, value in rows])
    bars = [len(bar) for _, bar, _ in rows]
    assert all(bar == 0 for bar, value in zip(bars, values, strict=True) if value <= 0)
    assert max(bars) == (BAR if max(values) > 0 else 0)
    assert max(map(len, printed.splitlines())) <= 110


@pytest.mark.slow
def test_the_stages_stand_beside_the_runs_own_layer(spots: Path, tmp_path: Path) -> None:
    out = made("layered", spots, tmp_path / "run", "--layer", "features.0")
    command = ("trust", out, *FAST, "--layers", "all-stages", "--images", 10, "--methods", "layer_cam")
    printed = launch(*command, "--figures", "insertion_deletion,stability")  # of the stages alone
    found = {store.settings.layer: Trust.of(store) for store in stores(out)}
    stages = next(layer for layer in found if layer != "features.0")
    tables, _, bars = printed.partition("insertion − deletion of LayerCAM at each layer, 10 images")
    assert f"10 images, layer {stages}, maps of the predicted class" in tables
    assert "max-sensitivity of 10 images" in tables
    rows = re.findall(r"^(features[\w.]*(?: \(run\))?) .*? (-?\d\.\d{3})  -?\d", bars, re.M)
    values = {layer: trust.verdicts[0].decisive.mean for layer, trust in found.items()}
    expected = [("features.0 (run)", "features.0"), (stages, stages)]
    assert rows == [(name, number(values[layer])) for name, layer in expected]
    assert "often says more" not in printed  # what it advises is done
    assert "Measuring" not in launch(*command, "--figures", "insertion_deletion")


def test_the_command_of_the_next_run_can_be_typed(spot_run: Path) -> None:
    manifest = read_manifest(spot_run)
    words = shlex.split(command_at(manifest, "a.b"))
    assert words[:3] == ["python", "launch.py", "run"]
    assert words.count("--layer") == 1
    assert words[words.index("--layer") + 1] == "a.b"
    assert words[words.index("--out") + 1] == f"{spot_run}-a.b"
    assert command_at(type(manifest)(**vars(manifest) | {"command": "vitrine.run(...)"}), "a") == "--layer a"


def test_numbers_and_their_caution() -> None:
    from tests.number_runs import made_up

    opened = made_up(60)
    assert target_name(opened) == "age"
    assert target_name(opened.output(1)) == "valence"
    assert caution(opened) == ""
    assert {*IMAGE_CONTROLS} == {"center", "noise", "edges"}
