"""The task that a checkpoint of Lightning names by its loss: found, said, and refused where the data
contradicts it."""

from pathlib import Path

import pytest
import torch
from torch import nn

from models import registry
from models.foreign.named_loss import task_by_loss
from tests.command import one_line, run_command
from tests.conftest import TINY, TinyNet

LIGHTNING = {"pytorch-lightning_version": "2.5.0", "epoch": 3}
CODE = "from tests.conftest import TinyNet\ndef build(num_classes): return TinyNet(num_classes)\n"


def checkpoint(folder: Path, outputs: int, hyper: object = None, **tensors: torch.Tensor) -> tuple[str, Path]:
    """Code that builds a network of so many outputs, and a file of Lightning with its parameters."""
    torch.manual_seed(outputs)
    state = {f"model.{key}": value for key, value in TinyNet(outputs).state_dict().items()}
    path, code = folder / "last.ckpt", folder / "net.py"
    torch.save({**LIGHTNING, "state_dict": state | tensors, "hyper_parameters": hyper or {}}, path)
    code.write_text(CODE)
    return f"{code}:build", path


@pytest.mark.parametrize(
    ("text", "task"),
    [
        ("torch.nn.BCEWithLogitsLoss", "multi-label"),
        ("binary_cross_entropy", "multi-label"),
        ("MSELoss", "regression"),
        ("smooth_l1", "regression"),
        ("CrossEntropyLoss", "single-label"),
        ("contrastive", ""),
        ("", ""),
    ],
)
@pytest.mark.parametrize("name", ["loss", "criterion"])
def test_losses_by_their_names(name: str, text: str, task: str) -> None:
    found, words = task_by_loss(LIGHTNING | {"hyper_parameters": {"lr": 0.1, name: text}})
    assert (found, words) == (task, f"{name}: {text}" if task else "")
    assert task_by_loss({"hyper_parameters": {name: text}}) == ("", ""), "a file of another program"


def test_a_weight_of_positives_is_one_of_labels() -> None:
    for weight, task in ((torch.ones(4), "multi-label"), (torch.ones(1), "")):
        assert task_by_loss(LIGHTNING | {"state_dict": {"criterion.pos_weight": weight}})[0] == task
    assert task_by_loss(LIGHTNING | {"state_dict": {"criterion.weight": torch.ones(4)}}) == ("", "")


def test_a_network_has_the_task_of_its_loss(tmp_path: Path) -> None:
    model, path = checkpoint(tmp_path, 4, **{"loss_fn.pos_weight": torch.ones(4)})
    loaded = registry.load(model, path, options=TINY)
    assert loaded.task == "multi-label"
    assert any("loss (loss_fn.pos_weight), which is of the task multi-label" in note for note in loaded.notes)


def test_one_output_is_a_number_or_two_classes(tmp_path: Path) -> None:
    for loss, task, outputs in (("mse", "regression", 1), ("bce", "", 2)):
        model, path = checkpoint(tmp_path, 1, {"loss": loss})
        loaded = registry.load(model, path, options=TINY)
        x = torch.rand(2, 3, 32, 32)
        assert (loaded.task, loaded.model(x).shape[1]) == (task, outputs)
        if task:
            torch.testing.assert_close(loaded.model(x), _plain(path)(x))


def _plain(path: Path) -> nn.Module:
    network = TinyNet(1).eval()
    state = torch.load(path, weights_only=True)["state_dict"]
    network.load_state_dict({key.removeprefix("model."): value for key, value in state.items()})
    return network


def test_data_of_another_task_is_refused(pictures: Path, tmp_path: Path) -> None:
    model, path = checkpoint(tmp_path, 3, {"criterion": "MSELoss"})
    words = ["check", "--model", model, "--weights", path, "--data", pictures, "--input-size", "32"]
    words += ["--resize", "squash", "--mean", "0.5", "--std", "0.5"]
    line = one_line(*words)
    assert "answers with numbers, as its file says, and the data has one label per image" in line
    assert line.endswith("read it with --task single-label.")  # names of folders are no numbers
    told = run_command(*words, "--task", "single-label", "--classes", "sorted").stdout  # its verdict apart
    assert "loss (criterion: MSELoss), which is of the task regression" in told
