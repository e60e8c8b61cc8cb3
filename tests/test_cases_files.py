"""The cases' networks in the files of other programs, picture by picture."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from explain.run.engine import run
from explain.run.model import network_of
from explain.run.reader import open_run
from models import registry
from models.classifier import Classifier
from models.data.open import open_data
from models.errors import UserError
from models.inputs.options import PreprocessingOptions
from tests.test_cases import FEW, case, folder, same, small_net

pytestmark = pytest.mark.data


@pytest.fixture
def usernet() -> Iterator[Callable[..., Classifier]]:
    """Loads a file for the network of usernet.py, which is registered under this name."""
    entry = case("usernet_state_dict_pth")
    told = small_net(entry)
    network = type(told.model)
    registry.register_model(
        "usernet", lambda outputs: network(outputs), entry["class_order"], told.preprocessing
    )
    yield lambda file, which="": registry.load("usernet", folder() / "usernet" / file, which=which)
    registry.unregister_model("usernet")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("usernet_state_dict_pth", "state_dict.pth"),
        ("usernet_state_dict_safetensors", "state_dict.safetensors"),
        ("usernet_lightning_ckpt", "lightning.ckpt"),
        ("usernet_epoch12_pth", "epoch12.pth"),
        ("usernet_model_best_pth_tar", "model_best.pth.tar"),
    ],
)
def test_a_network_in_the_files_of_others(
    name: str, file: str, usernet: Callable[..., Classifier], tmp_path: Path
) -> None:
    few = open_data(str(folder() / case(name)["data"]), limit=FEW)
    run(usernet(file), few, tmp_path / "run", ["grad_cam"])
    same(tmp_path / "run", name, images=FEW)


@pytest.mark.slow
def test_another_set_of_parameters_is_another_run(usernet: Callable[..., Classifier], tmp_path: Path) -> None:
    entry = case("usernet_model_best_pth_tar")
    source = open_data(str(folder() / entry["data"]))
    weak = usernet("model_best.pth.tar", "state_dict")
    run(weak, source, tmp_path / "run", ["grad_cam"])
    opened = open_run(tmp_path / "run")
    accuracy = (opened.ok["pred"] == opened.ok["label"]).mean()
    assert accuracy == pytest.approx(entry["naive_accuracy"], abs=2e-3)
    with pytest.raises(UserError, match=r"holds another run \(the weights"):
        run(usernet("model_best.pth.tar"), source, tmp_path / "run", ["grad_cam"])
    assert network_of(opened.manifest).weights_hash == weak.weights_hash


@pytest.mark.slow
@pytest.mark.parametrize("name", ["shufflenet_sequential_head", "shufflenet_gray_stem"])
def test_the_network_follows_the_file(name: str, tmp_path: Path) -> None:
    entry = case(name)
    p = entry["preprocessing"]
    options = PreprocessingOptions(
        input_size=str(p["size"][0]),
        resize="squash",
        mean=",".join(map(str, p["mean"])),
        std=",".join(map(str, p["std"])),
        channels="grey-last" if p["channels"] == "gray" else "rgb",
    )
    classifier = registry.load(
        "shufflenet_v2_x0_5",
        folder() / entry["files"][0],
        tuple(entry["class_order"]),
        options=options,
    )
    run(classifier, open_data(str(folder() / entry["data"]), limit=FEW), tmp_path / "run", ["grad_cam"])
    same(tmp_path / "run", name, images=FEW)
    assert network_of(open_run(tmp_path / "run").manifest).channels == len(p["mean"])


def test_a_pickled_network_is_refused(usernet: Callable[..., Classifier]) -> None:
    with pytest.raises(UserError, match=r"whole pickled network \(usernet.SmallNet\)"):
        usernet("module.pth")
