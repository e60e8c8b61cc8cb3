"""The options of the preprocessing for `study` and `top-activations`."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from explain.run.reader import open_run
from models import checkpoints, registry
from models.data.parts import open_parts
from models.inputs.options import PreprocessingOptions
from models.preprocessing import Preprocessing
from models.training.recipe import Recipe
from models.training.studies import fc_vs_conv, study
from tests.command import launch, one_line
from tests.conftest import TINY, TinyNet

TOLD = ["--resize", "letterbox", "--fill", "114", "--channels", "bgr", "--mean", "0.4", "--std", "0.2"]


@pytest.fixture
def told_run(pictures: Path, tmp_path: Path) -> Iterator[Path]:
    import torch

    torch.manual_seed(0)
    model = TinyNet().eval()
    registry.register_model("told", lambda: model, ["blue", "green", "red"], TINY)
    words = ["run", "--model", "told", "--data", pictures, "--methods", "grad_cam", "--force"]
    launch(*words, *TOLD, "--out", tmp_path / "run")
    yield tmp_path / "run"
    registry.unregister_model("told")


@pytest.mark.slow
def test_top_activations_are_those_of_the_runs_input(told_run: Path) -> None:
    fed = open_run(told_run).manifest.request.preprocessing
    assert (fed["resize"], fed["order"]) == ("letterbox", "bgr")
    refused = one_line("top-activations", told_run, "--resize", "squash", "--mean", "0.3", "--exif", "ignore")
    assert "--resize, --mean, --exif: the run was made with 32 × 32 BGR, whole image letterboxed" in refused
    assert "leave the options out, or make a run with them first" in refused
    assert not list(told_run.glob("strongest*"))
    launch("top-activations", told_run, *TOLD, "--limit", 6)
    assert list(told_run.glob("strongest*"))


def test_a_study_hands_them_to_every_arm(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[Any] = []

    def stopped(*arguments: Any) -> bool:
        given.append(arguments)
        return False

    monkeypatch.setattr("models.training.studies.train_seeds", stopped)
    words = ["study", "fc-vs-conv", "--data", pictures, "--out", tmp_path / "study"]
    launch(*words, *TOLD, code=130)
    expected = Preprocessing((32, 32), "letterbox", (0.4,) * 3, (0.2,) * 3, order="bgr", fill=(114,))
    assert given[0][-2].apply(Preprocessing((32, 32), None, (0.0,) * 3, (1.0,) * 3)) == expected
    assert "small_dense does not take 40 × 40 pixels" in one_line(*words, "--input-size", 40)
    assert len(given) == 1


@pytest.mark.slow
def test_a_study_feeds_its_networks_so(pictures: Path, tmp_path: Path) -> None:
    options = PreprocessingOptions(resize="letterbox", channels="bgr", exif="ignore")
    arms = fc_vs_conv(Recipe(epochs=1, batch_size=4, patience=1))[1:]
    assert (
        study(arms, open_parts(str(pictures)), tmp_path, "", lambda text: None, options=options) is not None
    )
    fed = Preprocessing.from_dict(checkpoints.describe(tmp_path / "small_conv.safetensors")["preprocessing"])
    assert (fed.resize, fed.order, fed.exif) == ("letterbox", "bgr", "ignore")
