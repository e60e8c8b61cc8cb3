"""Studies: two networks under the same conditions, one table."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from models import checkpoints
from models.architectures.classifiers import ARCHITECTURES
from models.data.parts import open_parts
from models.errors import UserError
from models.registry import load, spec
from models.training import studies
from models.training.progress import Progress, predictions_file
from models.training.recipe import Recipe
from models.training.studies import StudyArm, _seconds, checked, fc_vs_conv, scratch_vs_finetune, study
from models.training.train import Training

BASE = "tiny_conv:toon_studios"
pytestmark = pytest.mark.usefixtures("charts_not_drawn")
QUICK = Recipe(epochs=3, batch_size=6, patience=3)


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VITRINE_CACHE", str(tmp_path / "cache"))


def backbones(weights: str | None = None, unfreeze: int = 2) -> list[StudyArm]:
    return scratch_vs_finetune(
        BASE, weights, QUICK, replace(QUICK, recipe="finetune", head_epochs=3, unfreeze=unfreeze)
    )


def never(*_: object) -> None:
    raise AssertionError("trained again")


def same_as_metadata(table: pd.DataFrame, files: list[Path], part: str = "test") -> None:
    """Every number of the table is that of the checkpoint; loss and seconds are counted anew here."""
    for (_, row), file in zip(table.iterrows(), files, strict=True):
        about, curves = checkpoints.describe(file), pd.read_csv(file.with_suffix(".csv"))
        measured, cost = about["metrics"][part], about["metrics"]["cost"]
        assert row["model"] == about["architecture"]
        assert row["recipe"] == about["training"]["recipe"]
        assert (row["part"], row["images"], row["accuracy"]) == (
            part,
            measured["images"],
            pytest.approx(measured["accuracy"]),
        )
        assert [row["from"], row["to"]] == pytest.approx(measured["interval"])
        assert (row["parameters"], row["MACs"]) == (cost["parameters"], cost["macs"])
        assert row["head epochs"] == (curves["step"] == "head").sum()
        assert row["epochs"] == (curves["step"] != "head").sum()
        answers = pd.read_parquet(predictions_file(file)).query("part == @part")
        loss = torch.nn.functional.cross_entropy(
            torch.tensor(np.stack(answers["answer"].to_list())), torch.tensor(answers["truth"].to_numpy())
        )
        assert row["loss"] == pytest.approx(float(loss), abs=1e-5)
        assert 0 <= row["seconds per epoch"] <= curves["seconds"].iloc[-1]


# -- the pair ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("outputs", [2, 10, 100])
def test_the_two_small_networks_have_as_many_parameters(outputs: int) -> None:
    dense, conv = (spec(name).build(outputs).eval() for name in ("small_dense", "small_conv"))
    counts = [sum(p.numel() for p in model.parameters()) for model in (dense, conv)]
    assert abs(counts[0] - counts[1]) / counts[1] < 0.03
    x = torch.rand(3, 3, 32, 32).to(memory_format=torch.channels_last)
    assert dense(x).shape == conv(x).shape == (3, outputs)
    assert not any(isinstance(m, torch.nn.Conv2d) for m in dense.modules())
    torch.testing.assert_close(dense(x), dense(x.contiguous()))  # however pixels lie in memory


def test_sizes_are_an_architectures_own(tmp_path: Path) -> None:
    assert {name: spec(name).preprocessing.size for name in ARCHITECTURES} == {
        "fer_vgg": (128, 128),
        "fer_alexnet": (128, 128),
        "fer_mobilenet": (128, 128),
        "small_conv": (32, 32),
        "small_dense": (32, 32),
        "tiny_conv": (64, 64),
    }
    for name in ("small_dense", "small_conv"):
        model = spec(name).build(5).eval()
        checkpoints.save(
            tmp_path / f"{name}.safetensors", model, {"architecture": name}
        )  # no preprocessing: that of its name
        again = load("", tmp_path / f"{name}.safetensors")
        assert (again.input_size, len(again.classes)) == ((32, 32), 5)
        x = torch.rand(1, 3, 32, 32)
        torch.testing.assert_close(again.model(x), model(x))


# -- small pieces ------------------------------------------------------------------------------------


def test_seconds_leave_out_the_reading_of_images() -> None:
    assert _seconds(np.array([9.0, 11.0, 14.0, 16.0]), 4) == 2.0
    assert _seconds(np.array([1.0, 1.1, 9.0, 12.0, 15.0]), 3) == 3.0  # after two epochs of a head
    assert _seconds(np.array([9.0]), 1) == 9.0
    assert _seconds(np.array([1.0, 9.0]), 1) == 8.0


def test_what_cannot_be_had_is_told_before_the_first_training(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Training, "fit", never)
    parts = open_parts(str(pictures))
    with pytest.raises(UserError, match="No checkpoint at"):
        study(backbones(weights=str(tmp_path / "none.safetensors")), parts, tmp_path / "study")
    with pytest.raises(UserError, match="has 4 blocks"):
        study(backbones(unfreeze=13), parts, tmp_path / "study")
    assert not (tmp_path / "study").exists()
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="is a file"):
        study(fc_vs_conv(QUICK), parts, tmp_path / "file")
    with pytest.raises(UserError, match="No study 'conv': choose from fc-vs-conv, scratch-vs-finetune"):
        checked("conv")
    assert checked("fc-vs-conv") == "fc-vs-conv"


# -- end to end --------------------------------------------------------------------------------------


@pytest.mark.slow
def test_fc_vs_conv(pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out, parts, text = tmp_path / "study", open_parts(str(pictures)), []
    table = study(fc_vs_conv(QUICK), parts, out, "the command", text.append)
    assert table is not None
    files = [out / "small_dense.safetensors", out / "small_conv.safetensors"]
    same_as_metadata(pd.read_csv(out / "study.csv"), files)
    pd.testing.assert_frame_equal(table, pd.read_csv(out / "study.csv"))
    assert list(table["epochs"]) == [3, 3]
    assert [checkpoints.describe(file)["command"] for file in files] == ["the command"] * 2
    assert "small_dense | scratch" in text[-1]
    assert text[-1].strip() in (out / "study.md").read_text()
    assert "of 3 test images" in (out / "study.md").read_text()
    with monkeypatch.context() as patched:
        patched.setattr(Training, "fit", never)
        before = [file.read_bytes() for file in files]
        pd.testing.assert_frame_equal(table, study(fc_vs_conv(QUICK), parts, out))
        assert before == [file.read_bytes() for file in files]
    longer = replace(QUICK, epochs=5, patience=5)
    with pytest.raises(UserError, match="is finished"):  # other options are no reason to overwrite
        study(fc_vs_conv(longer), parts, out)
    anew = study(fc_vs_conv(longer), parts, out, again=True)
    assert anew is not None
    assert list(anew["epochs"]) == [5, 5]


@pytest.mark.slow
def test_scratch_vs_finetune_stopped_and_gone_on_with(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, parts, real = tmp_path / "study", open_parts(str(pictures)), Training.fit
    monkeypatch.setattr(
        Training, "fit", lambda self, again=False: self.recipe.recipe == "scratch" and real(self, again)
    )
    assert study(backbones(), parts, out) is None
    assert not (out / "study.csv").exists()
    trained: list[str] = []
    monkeypatch.setattr(
        Training, "fit", lambda self, again=False: trained.append(self.out.stem) or real(self, again)
    )
    table = study(backbones(), parts, out)
    assert trained == ["finetune"]
    assert table is not None
    same_as_metadata(
        pd.read_csv(out / "study.csv"), [out / "scratch.safetensors", out / "finetune.safetensors"]
    )
    assert list(table["model"]) == ["tiny_conv", "tiny_conv"]
    assert list(table["recipe"]) == ["scratch", "finetune"]
    assert list(table["head epochs"]) == [0, 3]
    assert list(table["epochs"]) == [3, 3]
    assert "| 3 + 3 " in (out / "study.md").read_text()
    assert "Epochs a + b" in (out / "study.md").read_text()
    monkeypatch.setattr(Training, "fit", never)
    monkeypatch.setattr(studies, "build", never)  # what is done needs no weights
    pd.testing.assert_frame_equal(table, study(backbones(), parts, out))
    progress = Progress.read(out / "finetune.safetensors")
    assert progress is not None
    assert progress.state == "finished"


@pytest.mark.slow
def test_without_a_test_part_validation_is_told(pictures: Path, tmp_path: Path) -> None:
    out, data = tmp_path / "study", tmp_path / "parts"
    for file in list(pictures.glob("*/*.png")):
        target = data / ("val" if file.stem in "01" else "train") / file.parent.name / file.name
        target.parent.mkdir(parents=True, exist_ok=True)
        file.rename(target)
    assert study(fc_vs_conv(replace(QUICK, epochs=1)), open_parts(str(data)), out) is not None
    same_as_metadata(
        pd.read_csv(out / "study.csv"),
        [out / "small_dense.safetensors", out / "small_conv.safetensors"],
        "validation",
    )
    assert "of 6 validation images" in (out / "study.md").read_text()
    assert "has no test part" in (out / "study.md").read_text()
