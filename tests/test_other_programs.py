"""Checkpoints as MMPretrain, fastai, Lightning and timm write them: made here, with tiny networks, in the
form that each program gives its files. Predictions are those of the network that was saved."""

import argparse
import sys
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from models import registry
from models.errors import UserError
from models.preprocessing import Preprocessing
from tests.test_foreign_checkpoints import Small, net, under

X = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
FED = Preprocessing((16, 16), None, (0.5,) * 3, (0.5,) * 3)


@pytest.fixture(autouse=True)
def small() -> Iterator[None]:
    registry.register_model("small", Small, ["a", "b", "c"], FED)
    yield
    registry.unregister_model("small")


def same(path: Path, model: nn.Module, **given: Any) -> Any:
    loaded = registry.load("small", path, **given)
    with torch.no_grad():
        torch.testing.assert_close(loaded.model(X), model(X))
    return loaded


# -- MMPretrain --------------------------------------------------------------------------------------


def mmpretrain(model: Small) -> OrderedDict[str, Tensor]:
    """`ImageClassifier`: backbone, neck and head, of which the head has its linear layer as `fc`."""
    state = model.state_dict()
    backbone = {k: v for k, v in state.items() if not k.startswith("fc.")}
    return OrderedDict(
        **under("backbone.", backbone), **under("head.", {k: v for k, v in state.items() if "fc." in k})
    )


META = {"mmengine_version": "0.10.4", "dataset_meta": {"classes": ["a", "b", "c"]}, "cfg": "model = dict()"}


def test_mmpretrain(tmp_path: Path) -> None:
    path = tmp_path / "epoch_9.pth"
    torch.save({"meta": META, "state_dict": mmpretrain(net(1))}, path)
    assert not same(path, net(1)).notes
    five = Small(5).eval()
    registry.register_model("of_any", lambda outputs: Small(outputs), ["a", "b", "c"], FED)
    torch.save({"meta": META, "state_dict": mmpretrain(five)}, path)
    loaded = registry.load("of_any", path, tuple("abcde"))
    registry.unregister_model("of_any")
    torch.testing.assert_close(loaded.model(X), five(X))


def test_a_neck_with_parameters_is_not_forgotten(tmp_path: Path) -> None:
    state = mmpretrain(net(1)) | {"neck.fc.weight": torch.zeros(6, 6)}
    torch.save({"meta": META, "state_dict": state}, tmp_path / "neck.pth")
    with pytest.raises(UserError, match=r"1 unknown \(neck.fc.weight\)"):
        registry.load("small", tmp_path / "neck.pth")


def test_mmengine_keeps_the_average_as_state_dict(tmp_path: Path) -> None:
    """Its EMAHook swaps them: `ema_state_dict` holds the parameters of the last step."""
    last = under("module.", mmpretrain(net(1))) | {"steps": torch.tensor(7)}
    whole = {"meta": META, "state_dict": mmpretrain(net(2)), "ema_state_dict": last}
    torch.save(whole, tmp_path / "epoch_9.pth")
    loaded = same(tmp_path / "epoch_9.pth", net(2))
    assert (loaded.which, len(loaded.notes)) == ("state_dict", 1)
    assert "state_dict (the average over the training, as MMEngine writes it)" in loaded.notes[0]
    same(tmp_path / "epoch_9.pth", net(1), which="ema_state_dict")
    torch.save({k: v for k, v in whole.items() if k != "meta"}, tmp_path / "other.pth")
    same(tmp_path / "other.pth", net(1))  # of any other program it is what its name says


# -- fastai ------------------------------------------------------------------------------------------


@pytest.fixture
def fastai(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], type]:
    """Makes a class of a module that is not installed, as pickles name it."""

    def made(module: str, name: str) -> type:
        parent = ""
        for part in module.split("."):
            parent = f"{parent}.{part}".lstrip(".")
            if parent not in sys.modules:
                monkeypatch.setitem(sys.modules, parent, ModuleType(parent))
        kind = type(name, (), {"__module__": module})
        monkeypatch.setattr(sys.modules[module], name, kind, raising=False)
        return kind

    return made


def test_learn_save(fastai: Callable[[str, str], type], tmp_path: Path) -> None:
    """`{"model": …, "opt": {"state": […], "hypers": L}}`: hyperparameters in fastcore's list."""
    hypers = fastai("fastcore.foundation", "L")()
    hypers.items = [{"lr": 1e-3, "wd": 0.01}]  # type: ignore[attr-defined]
    moments = [{"grad_avg": torch.ones(6, 3, 3, 3), "step": 3}, {"grad_avg": torch.ones(3, 6), "step": 3}]
    opt = {"state": moments, "hypers": hypers}
    torch.save({"model": net(1).state_dict(), "opt": opt}, tmp_path / "stage-1.pth")
    assert not same(tmp_path / "stage-1.pth", net(1)).notes
    torch.save(net(1).state_dict(), tmp_path / "stage-2.pth")  # with_opt=False
    same(tmp_path / "stage-2.pth", net(1))


def test_learn_export(fastai: Callable[[str, str], type], tmp_path: Path) -> None:
    learner = fastai("fastai.learner", "Learner")()
    learner.model = net(1)  # type: ignore[attr-defined]
    file = tmp_path / "export.pkl"
    torch.save(learner, file)
    for given in (("small", file), (str(file),)):
        with pytest.raises(UserError, match=r"a learner that fastai exported \(.*does not unpickle: in") as e:
            registry.load(*given)
        assert "\n" not in str(e.value)
        assert "torch.save(learn.model.state_dict(), 'weights.pth')" in str(e.value)


def test_vision_learner_has_names_of_its_own(tmp_path: Path) -> None:
    body, head = nn.Sequential(nn.Conv2d(3, 4, 3)), nn.Sequential(nn.Flatten(), nn.Linear(4, 3))
    torch.save({"model": nn.Sequential(body, head).state_dict(), "opt": {}}, tmp_path / "v.pth")
    with pytest.raises(UserError, match="as fastai's vision_learner builds them: give the code that builds"):
        registry.load("small", tmp_path / "v.pth")


# -- Lightning ---------------------------------------------------------------------------------------


def lightning(**more: Any) -> dict[str, Any]:
    return {
        "epoch": 3,
        "global_step": 12,
        "pytorch-lightning_version": "2.5.0",
        "state_dict": under("model.", net(1).state_dict()),
        "loops": {"fit_loop": {"state_dict": {}}},
        "optimizer_states": [{"state": {0: {"exp_avg": torch.ones(3, 6)}}}],
        "hparams_name": "kwargs",
    } | more


CALLBACK = "EMACallback{'decay': 0.999}"
SETS: dict[str, dict[str, Any]] = {
    "callbacks.EMACallback.ema_state_dict": {
        "callbacks": {CALLBACK: {"ema_state_dict": under("model.", net(2).state_dict()), "decay": 0.999}}
    },
    "callbacks.WeightEMA.shadow": {"callbacks": {"WeightEMA": {"shadow": net(2).state_dict()}}},
    "state_dict_ema": {"state_dict_ema": under("model.", net(2).state_dict())},
    "ema_state_dict": {"ema_state_dict": net(2).state_dict(), "callbacks": {CALLBACK: {"decay": 0.999}}},
}


@pytest.mark.parametrize("name", SETS)
def test_the_average_of_a_callback_is_taken_and_said(name: str, tmp_path: Path) -> None:
    path = tmp_path / "last.ckpt"
    torch.save(lightning(**SETS[name]), path)
    loaded = same(path, net(2))
    assert loaded.which == name
    assert f"parameters {name} (the average over the training" in loaded.notes[0]
    assert "also holds state_dict: --which state_dict" in loaded.notes[0]
    same(path, net(1), which="state_dict")
    same(path, net(2), which=name.rpartition(".")[2])


def test_swa_of_lightning_is_not_the_first_choice(tmp_path: Path) -> None:
    """Until a training ends its average has no batch norm statistics; then `state_dict` is the average."""
    swa = {"n_averaged": 3, "average_model_state": under("model.", net(2).state_dict())}
    torch.save(lightning(callbacks={"StochasticWeightAveraging": swa}), tmp_path / "swa.ckpt")
    loaded = same(tmp_path / "swa.ckpt", net(1))
    assert "also holds callbacks.StochasticWeightAveraging.average_model_state" in loaded.notes[0]
    same(tmp_path / "swa.ckpt", net(2), which="average_model_state")


def test_weight_averaging_of_lightning(tmp_path: Path) -> None:
    """Its callback writes the average as `state_dict` (`WeightAveraging.on_save_checkpoint`)."""
    more = {"current_model_state": under("model.", net(2).state_dict())}
    torch.save(lightning(**more, averaging_state={"n_averaged": torch.tensor(3)}), tmp_path / "w.ckpt")
    loaded = same(tmp_path / "w.ckpt", net(1))
    assert "state_dict (the average over the training, as Lightning writes it)" in loaded.notes[0]
    same(tmp_path / "w.ckpt", net(2), which="current_model_state")


def test_averages_without_names_are_said(tmp_path: Path) -> None:
    listed = {"EMA": {"ema_weights": [torch.ones(6, 3, 3, 3), torch.ones(6)], "cur_step": 3}}
    torch.save(lightning(callbacks=listed), tmp_path / "nemo.ckpt")
    notes = same(tmp_path / "nemo.ckpt", net(1)).notes
    assert notes == ("callbacks.EMA.ema_weights, 2 tensors without names, is not read",)


def test_other_callbacks_are_not_read(tmp_path: Path) -> None:
    kept = {"ModelCheckpoint": {"best": {"scores": torch.ones(2, 2)}}, "Early": {"wait": 0}, "x": None}
    torch.save(lightning(callbacks=kept), tmp_path / "plain.ckpt")
    assert not same(tmp_path / "plain.ckpt", net(1)).notes


# -- the architecture that a file names --------------------------------------------------------------

NAMED: dict[str, tuple[dict[str, Any], str]] = {
    "torchvision's example": ({"arch": "alexnet"}, "--model alexnet"),
    "timm": ({"arch": "vit_tiny_patch16_224", "version": 2}, "--model timm:vit_tiny_patch16_224"),
    "both": ({"arch": "ResNet18"}, "--model resnet18 or --model timm:resnet18"),
    "namespace": ({"args": argparse.Namespace(model="convit_tiny", lr=1)}, "--model timm:convit_tiny"),
    "Lightning": ({"hyper_parameters": {"lr": 1, "model_name": "resnest14d.gluon_in1k"}}, "timm:resnest14d"),
    "hub": ({"config": {"backbone": "hf-hub:timm/convit_tiny.fb_in1k"}}, "--model timm:convit_tiny"),
}


@pytest.mark.parametrize("kind", NAMED)
def test_the_named_architecture_is_suggested(kind: str, tmp_path: Path) -> None:
    beside, expected = NAMED[kind]
    path = tmp_path / "net.pth"
    torch.save(beside | {"state_dict": net(1).state_dict()}, path)
    for name, weights, text in (("mobilenet_v2", path, "use "), (str(path), None, "give ")):
        with pytest.raises(UserError) as refused:
            registry.load(name, weights)
        assert expected in str(refused.value)
        assert text in str(refused.value)
        assert "\n" not in str(refused.value)


@pytest.mark.slow
@pytest.mark.parametrize("beside", [{}, {"arch": "my_net"}, {"arch": 3}, {"args": {"model": "x" * 200}}])
def test_nothing_is_suggested_that_is_not_known(beside: dict[str, Any], tmp_path: Path) -> None:
    torch.save(beside | {"state_dict": net(1).state_dict()}, tmp_path / "net.pth")
    with pytest.raises(UserError, match="does not say its architecture: add --model NAME"):
        registry.load(str(tmp_path / "net.pth"))
    with pytest.raises(UserError, match="Is --model the architecture they were trained with"):
        registry.load("alexnet", tmp_path / "net.pth")


def test_a_name_that_fits_as_well_is_a_note(tmp_path: Path) -> None:
    """The parameters alone do not tell them apart: their strides and paddings may differ."""
    state = net(1).state_dict()
    torch.save({"state_dict": state, "arch": "resnet18"}, tmp_path / "net.pth")
    notes = same(tmp_path / "net.pth", net(1)).notes
    assert notes[0].startswith("the file names the architecture resnet18, and its parameters fit small too")
    torch.save({"state_dict": state, "arch": "resnet18", "model": "Small"}, tmp_path / "net.pth")
    assert not same(tmp_path / "net.pth", net(1)).notes
