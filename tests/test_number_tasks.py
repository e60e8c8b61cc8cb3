"""Networks that answer numbers, data that asks for them, and the commands on runs of numbers."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import vitrine
from explain.analysis.numbers.measures import scores_of
from explain.run.engine import run
from models.classifier import Classifier
from models.data.folder import FolderSource
from models.data.source import Item
from models.errors import UserError
from models.outputs.matching import match_outputs
from models.outputs.one_logit import is_one_logit, two_sided
from models.outputs.regression import answering_numbers, is_regression
from models.outputs.scores import giving_scores
from models.outputs.task import MULTI, REGRESSION, SINGLE, as_asked, with_task
from tests.conftest import TINY, TinyNet
from tests.number_source import OUTPUTS, Tinted, answering, inputs, opened


@pytest.fixture
def tinted(tmp_path: Path) -> Tinted:
    return Tinted(tmp_path / "tinted")


@pytest.fixture
def net(tinted: Tinted) -> Classifier:
    return answering(tinted)


class Behind(nn.Module):
    """A network behind an activation."""

    def __init__(self, inner: nn.Module, activation: nn.Module):
        super().__init__()
        self.inner, self.activation = inner, activation

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.activation(self.inner(x))
        return found


@pytest.mark.parametrize("outputs", [1, 3])
@pytest.mark.parametrize("activation", [nn.Identity(), nn.Sigmoid(), nn.Softmax(1), nn.ReLU6()])
def test_numbers_are_the_networks_own(outputs: int, activation: nn.Module) -> None:
    """Whatever they look like, and however they were read before."""
    torch.manual_seed(0)
    inner = TinyNet(outputs)
    nn.init.constant_(inner.head.bias, 3)
    own = Behind(inner, activation).eval()
    x, example = torch.rand(4, 3, 32, 32), torch.zeros(3, 32, 32)
    read = [own]
    if outputs == 1 and isinstance(activation, nn.ReLU6):
        with pytest.raises(UserError, match=r"percentage.*with --task regression it is a number"):
            giving_scores(own, example)
    else:
        read.append(giving_scores(own, example)[0])
    for before in read:
        model = answering_numbers(before, example)
        with torch.inference_mode():
            torch.testing.assert_close(model(x), own(x), rtol=0, atol=0)
        assert is_regression(model)
        assert not is_regression(own)
        assert type(own) is Behind
    assert giving_scores(own, example, REGRESSION) == (own, "")


def test_one_output_of_two_classes_is_read_as_a_number(tinted: Tinted) -> None:
    torch.manual_seed(0)
    own = TinyNet(1).eval()
    two, note = two_sided(own, torch.zeros(3, 32, 32))
    net = Classifier("n", two, ("class 0", "class 1"), TINY, "", "", notes=(note,))
    made = with_task(net, REGRESSION)
    assert (made.classes, made.notes) == (("output 0",), ("its one output is read as a number",))
    assert not is_one_logit(made.model)
    with pytest.raises(UserError, match="has one output, and two names"):
        with_task(replace(net, classes=("no", "yes")), REGRESSION)
    with pytest.raises(UserError, match="was opened for numbers: open it again"):
        with_task(made, SINGLE)
    with pytest.raises(UserError, match="was opened for numbers: open it again"):
        with_task(made, MULTI)


def test_a_wrapped_network_of_one_output() -> None:
    torch.manual_seed(0)
    own = Behind(TinyNet(1), nn.ReLU6()).eval()
    net = vitrine.wrap(own, ["age"], TINY, task="regression")
    assert (net.task, net.classes) == (REGRESSION, ("age",))
    x = torch.rand(2, 3, 32, 32)
    with torch.inference_mode():
        torch.testing.assert_close(net.model(x), own(x))
    with pytest.raises(UserError, match=r"1 class name for the one output .*or one, with --task regr"):
        vitrine.wrap(TinyNet(1), ["age"], TINY)
    with pytest.raises(UserError, match="are numbers, not probabilities: leave --outputs out"):
        vitrine.wrap(TinyNet(1), ["age"], TINY, outputs="probabilities", task="regression")
    with pytest.raises(UserError, match="No task 'numbers': choose from single-label, multi-label, reg"):
        vitrine.wrap(TinyNet(1), ["age"], TINY, task="numbers")


def test_what_contradicts_itself_is_refused(
    tinted: Tinted, pictures: Path, net: Classifier, tmp_path: Path
) -> None:
    plain = Classifier("n", TinyNet(3).eval(), OUTPUTS, TINY, "", "")
    assert as_asked(plain, tinted).task == REGRESSION
    either = "read it with --task single-label or --task regression"
    with pytest.raises(UserError, match=f"with one class, .* the data has numbers for each image: {either}"):
        as_asked(replace(plain, task=SINGLE), tinted)
    with pytest.raises(UserError, match="answers with numbers, as its file says, and the data has one label"):
        as_asked(replace(plain, task=REGRESSION), FolderSource(pictures))
    with pytest.raises(UserError, match="answers with numbers, and the data has one label per image"):
        run(net, FolderSource(pictures), tmp_path / "run", ["grad_cam"])
    four = with_task(Classifier("n", TinyNet(4).eval(), (*OUTPUTS, "x"), TINY, "", ""), REGRESSION)
    with pytest.raises(
        UserError, match=r"has 4 outputs .*the data has 3 numbers .*as classes with --task single"
    ):
        run(four, tinted, tmp_path / "run", ["grad_cam"])


def test_only_what_can_work_is_advised(tinted: Tinted, pictures: Path) -> None:
    torch.manual_seed(0)
    two, _ = two_sided(TinyNet(1).eval(), torch.zeros(3, 32, 32))
    one = Classifier("n", two, ("class 0", "class 1"), TINY, "", "", task=REGRESSION)
    classes = FolderSource(pictures)
    assert len(classes.classes) > 2  # neither two classes nor numbers
    with pytest.raises(UserError, match="one label per image: give data or a network of one task"):
        as_asked(one, classes)
    with pytest.raises(UserError) as refused:
        with_task(replace(one, task=""), MULTI)
    assert "need an output for each" in str(refused.value)
    assert "--task" not in str(refused.value)
    with pytest.raises(UserError) as refused:
        match_outputs(("a", "b", "c"), ("age",), "n")
    assert "n has 1 output (age), and the data has 3 numbers for each image (a, b, c)" in str(refused.value)
    assert "name one of these columns with --label-col" in str(refused.value)
    assert "--task" not in str(refused.value)


def test_columns_are_matched_to_outputs() -> None:
    data = ("blue", "Light", "red")
    found = match_outputs(data, ("red", "blue", "light"), "n")
    assert found.outputs == (1, 2, 0)
    assert found.notes == ["Light → light (spelling)"]
    by_order = match_outputs(data, ("class 0", "class 1", "class 2"), "n")
    assert by_order.outputs == (0, 1, 2)
    assert "in the order of the columns: blue → output 0, Light → output 1" in by_order.notes[0]
    assert match_outputs(("target",), ("age",), "n").notes == ["target → age"]
    assert match_outputs(("ink",), ("class 0",), "n").notes == ["ink → the one output"]
    with pytest.raises(UserError, match="No output of n is called 'weight': the data has weight, "):
        match_outputs(("weight",), ("age",), "n")
    assert match_outputs(("weight",), ("age",), "n", {"weight": 0}).outputs == (0,)
    with pytest.raises(UserError, match="No output"):
        match_outputs(("a", "b"), ("a", "b"), "n", {"a": 1})


def test_the_order_of_the_columns_is_another_run(tinted: Tinted, tmp_path: Path) -> None:
    """Columns in another order belong to the outputs of their names."""
    tinted.classes = ("light", "red", "blue")
    tinted.items = [
        Item.of_numbers(item.id, (item.numbers[2], *item.numbers[:2]))
        for item in tinted.items
        if item.numbers
    ]
    net = answering(Tinted(tmp_path / "again"))
    found = opened(net, tinted, tmp_path / "run")
    assert found.outputs == OUTPUTS
    assert found.manifest.request.outputs == {"light": 2, "red": 0, "blue": 1}
    order = [list(found.table["id"]).index(item.id) for item in tinted.items]
    np.testing.assert_array_equal(found.truth[order], tinted.truth[:, [1, 2, 0]])
    assert (scores_of(found).values["r2"] > 0).all()


@pytest.mark.parametrize("last", [lambda z: z.squeeze(1), lambda z: z.squeeze(), lambda z: (z, z + 1)[0]])
def test_one_number_behind_a_squeeze(last: Any, tinted: Tinted, tmp_path: Path) -> None:
    """As networks of one number often end: (N,) for N images, and for one image no dimension at all."""

    class Squeezed(TinyNet):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            found: torch.Tensor = last(super().forward(x))
            return found

    torch.manual_seed(0)
    own = Squeezed(1).eval()
    net = vitrine.wrap(own, ["red"], TINY, task="regression")
    tinted.classes = ("red",)
    tinted.items = [Item.of_numbers(item.id, item.numbers[:1]) for item in tinted.items if item.numbers]
    found = opened(net, tinted, tmp_path / "run")
    with torch.inference_mode():
        expected = own(inputs(tinted)).reshape(-1)
    order = [list(found.table["id"]).index(item.id) for item in tinted.items]
    np.testing.assert_allclose(found.predicted[order, 0], expected, atol=1e-4)
    assert np.isfinite(found.maps_of("grad_cam", 0, range(24))).all()
