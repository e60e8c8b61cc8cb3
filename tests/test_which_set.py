"""`--which`: where a checkpoint holds several sets of parameters, every command and Python read the same one,
say so, and can be told to read another."""

import shlex
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import vitrine
from dashboard.session.context import Context
from dashboard.tabs.inspect_maps import live_maps
from dashboard.tabs.inspect_state import InspectView
from explain.methods.live import open_session
from explain.methods.reproduce import command_line, python_lines
from explain.methods.request import MapRequest
from explain.run.model import network_of
from explain.run.reader import open_run
from models import checkpoints, registry
from models.data.parts import open_parts
from models.errors import UserError
from models.gaze.recipe import gaze_recipe
from models.gaze.training import GazeTraining
from models.training.network import build
from models.training.recipe import Recipe
from models.training.studies import scratch_vs_finetune
from models.training.train import Training
from tests.command import launch, one_line
from tests.conftest import TINY, TinyNet

TRANSFERRED = Recipe(recipe="features", head_epochs=1)


def net(seed: int) -> TinyNet:
    torch.manual_seed(seed)
    return TinyNet().eval()


@pytest.fixture
def file(tmp_path: Path) -> Iterator[Path]:
    """The last step (seed 1) and the average (seed 2) of one training, as timm writes them."""
    registry.register_model("two", TinyNet, ["blue", "green", "red"], TINY)
    both = {"state_dict": net(1).state_dict(), "state_dict_ema": net(2).state_dict()}
    torch.save(both, tmp_path / "best.pth.tar")
    yield tmp_path / "best.pth.tar"
    registry.unregister_model("two")


def test_from_python(file: Path) -> None:
    x = torch.randn(2, 3, 32, 32)
    for which, seed in (("", 2), ("state_dict", 1), ("state_dict_ema", 2)):
        for preprocess in (None, replace(TINY, order="bgr")):
            loaded = vitrine.load("two", file, preprocess=preprocess, which=which)
            torch.testing.assert_close(loaded.model(x), net(seed)(x))
    with pytest.raises(UserError, match="holds state_dict, state_dict_ema; give one of these"):
        vitrine.load("two", file, which="model")


def test_a_training_begins_with_the_chosen_set(file: Path) -> None:
    made = {which: build("two", str(file), 3, TRANSFERRED, None, which) for which in ("", "state_dict")}
    assert f", state_dict_ema ({checkpoints.fingerprint(net(2))})" in made[""].base
    assert f", state_dict ({checkpoints.fingerprint(net(1))})" in made["state_dict"].base
    assert "--which state_dict" in made[""].notes[0]
    torch.testing.assert_close(
        made["state_dict"].model.state_dict()["features.0.weight"], net(1).features[0].weight
    )
    with pytest.raises(UserError, match="--which state_dict: the recipe scratch begins with random weights"):
        build("two", str(file), 3, Recipe(), None, "state_dict")
    arms = scratch_vs_finetune("two", str(file), Recipe(), TRANSFERRED, "state_dict")
    assert [(arm.weights, arm.which) for arm in arms] == [(None, ""), (str(file), "state_dict")]


@pytest.mark.slow
def test_train_says_which_and_resumes_only_with_it(file: Path, pictures: Path, tmp_path: Path) -> None:
    words = ["train", "--model", "two", "--weights", file, "--data", pictures, "--recipe", "features"]
    words += ["--head-epochs", 1, "--batch-size", 4, "--out", tmp_path / "out.safetensors"]
    printed = launch(*words)
    assert "network    parameters state_dict_ema (the average over the training, as timm" in printed
    about = checkpoints.describe(tmp_path / "out.safetensors")
    assert "state_dict_ema" in str(about)
    recipe = Recipe(recipe="features", head_epochs=1, batch_size=4)
    parts, out = open_parts(str(pictures)), tmp_path / "out.safetensors"
    same, other = (Training("two", str(file), parts, out, recipe, which=w) for w in ("", "state_dict"))
    assert same.finished() is not None
    assert other.finished() is None
    assert other._differences(same.progress.plan) == ["which  (now state_dict)"]
    older = {k: v for k, v in same.progress.plan.items() if k != "which"}
    assert same._differences(older) == []


def test_gaze_train_hands_it_on(file: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "looks").mkdir()
    for n in range(12):
        Image.new("RGB", (64, 48), (20 * n, 90, 90)).save(tmp_path / "looks" / f"{n}.png")
    rows = [f"{n}.png,{10 + n},{20 + k}" for n in range(12) for k in range(4)]
    (tmp_path / "looks" / "looks.csv").write_text("\n".join(["image,x,y", *rows]))
    read: list[str] = []

    def loaded(name: str, weights: Any, **given: Any) -> Any:
        made = registry.load(name, weights, **given)
        read.append(made.weights_hash)
        raise UserError("far enough")

    monkeypatch.setattr("models.gaze.training.load", loaded)
    words = ["gaze", "train", "--data", tmp_path / "looks" / "looks.csv", "--backbone", "two", "--layers"]
    words += ["features.4", "--weights", file, "--out"]
    for out, more in (("a", []), ("b", ["--which", "state_dict"])):
        one_line(*words, tmp_path / f"{out}.safetensors", *more)
    assert read == [checkpoints.fingerprint(net(seed)) for seed in (2, 1)]
    small = ["--which", "state_dict", "--model", "gaze_small"]
    assert "is for the backbone of gaze_readout" in one_line(*words, tmp_path / "c.safetensors", *small)


def test_a_gaze_training_with_another_set_is_another(tmp_path: Path) -> None:
    from models.gaze.fixations import open_gaze

    for n in range(12):
        Image.new("RGB", (64, 48), (20 * n, 90, 90)).save(tmp_path / f"{n}.png")
    (tmp_path / "a.csv").write_text("image,x,y\n" + "".join(f"{n}.png,9,9\n" for n in range(12)))
    people, recipe = (
        open_gaze(str(tmp_path / "a.csv"), 0, None, None, None, None),
        gaze_recipe("gaze_readout"),
    )
    first, second = (
        GazeTraining(people, tmp_path / "g", recipe, 24, "w", which=w) for w in ("", "state_dict")
    )
    assert second._differences(first.progress.plan) == ["which  (now state_dict)"]
    older = {k: v for k, v in first.progress.plan.items() if k not in ("which", "weights")}
    assert second._differences(older) == []


@pytest.mark.slow
def test_inspect_offers_the_command_with_it(file: Path, pictures: Path, tmp_path: Path) -> None:
    """A command and lines that are run as they stand: the maps are those of the set of the run."""
    words = ["run", "--model", "two", "--weights", file, "--data", pictures, "--force"]
    launch(*words, "--which", "state_dict", "--methods", "grad_cam", "--out", tmp_path / "run")
    ctx = Context(open_run(tmp_path / "run"))
    shown = live_maps(ctx, InspectView({"row": 0}, methods=("grad_cam",)))[-1]
    assert shown.striptags().count("--which state_dict ") == 1
    assert "which=&#39;state_dict&#39;" in shown
    with ctx.classifier() as classifier:
        pass
    requests, picture = [MapRequest("grad_cam", "features.4", 1)], next(pictures.glob("red/*.png"))
    named = ("two", str(file), classifier.classes, requests)
    typed = command_line(str(picture), *named, which=classifier.which)
    launch(*shlex.split(typed)[2:-1], tmp_path / "maps")
    made = open_session(registry.load("two", file, which="state_dict"), Image.open(picture)).map(requests[0])
    np.testing.assert_allclose(
        np.load(tmp_path / "maps" / f"{picture.stem}.grad_cam.npy"), made.raw, rtol=1e-4, atol=1e-6
    )
    space: dict[str, Any] = {}
    exec(python_lines(str(picture), "two", str(file), requests, (), "state_dict"), space)
    np.testing.assert_allclose(space["result"].raw, made.raw, rtol=1e-4, atol=1e-6)


def test_a_run_of_one_set_is_opened_with_a_file_of_that_set_alone(
    file: Path, pictures: Path, tmp_path: Path
) -> None:
    words = ["run", "--model", "two", "--weights", file, "--data", pictures, "--force"]
    launch(*words, "--methods", "grad_cam", "--out", tmp_path / "run")
    manifest = open_run(tmp_path / "run").manifest
    for seed in (2, 1):
        torch.save(net(seed).state_dict(), tmp_path / f"{seed}.pth")
    assert manifest.which == "state_dict_ema"
    assert network_of(manifest, tmp_path / "2.pth").weights_hash == manifest.request.weights_hash
    with pytest.raises(UserError, match="holds other weights than the run was made with"):
        network_of(manifest, tmp_path / "1.pth")
    told = ["explain", next(pictures.glob("red/*.png")), "--model", "two", "--weights", tmp_path / "2.pth"]
    assert "leave --which out" in one_line(*told, "--which", "state_dict_ema", "--out", tmp_path / "maps")
