"""The command line: what a person types, and what they get back when it does not fit."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from models import checkpoints
from models.architectures.classifiers import ARCHITECTURES
from models.architectures.small import small_conv
from tests.command import launch, one_line
from tests.conftest import TOON_RUN
from tests.forked import Forked, forked
from tests.ports import free_port

ROOT = Path(__file__).parent.parent
TOON = ["run", "--model", "fer_vgg:toon_faces"]


@pytest.mark.slow
@pytest.mark.usefixtures("drawn_once")
def test_run_says_what_it_found_and_goes_on(tmp_path: Path) -> None:
    words = (*TOON, "--data", "toon_faces", "--limit", 16, "--out", tmp_path / "run")
    message = launch(*words)
    for word in ("accuracy", "macro-F1", "worst", "images/s", "serve --run"):
        assert word in message
    assert "accuracy" in launch(*words)


@pytest.mark.slow
def test_a_strangers_folder(tmp_path: Path) -> None:
    """Upper-case names, synonyms, one class short of pictures, one broken file, one rotated phone picture."""
    from models.data.toon_faces import draw_face

    for i, (name, expression) in enumerate((("Happy", "happiness"), ("SAD", "sadness"), ("angry", "anger"))):
        (tmp_path / "mine" / name).mkdir(parents=True)
        for k in range(2):
            draw_face(expression, (9, i, k)).image.resize((300, 200)).save(
                tmp_path / "mine" / name / f"bild {k} ä.JPG"
            )
    (tmp_path / "mine" / "SAD" / "broken.jpg").write_text("x")
    message = launch(
        *TOON, "--data", tmp_path / "mine", "--out", tmp_path / "run", "--methods", "grad_cam, eigen_cam"
    )
    assert "6 images" in message
    assert "; the first is SAD/broken.jpg" in message


@pytest.mark.slow
def test_what_does_not_fit_is_one_line_and_code_two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before a sample of the images is predicted, which takes seconds."""
    monkeypatch.setattr("explain.cli.run.stop_where_wrong", None)
    (tmp_path / "dogs" / "dog").mkdir(parents=True)
    Image.new("RGB", (9, 9)).save(tmp_path / "dogs" / "dog" / "a.png")
    torch.save(ARCHITECTURES["fer_vgg"](8).state_dict(), tmp_path / "w.pth")
    out = ["--out", tmp_path / "run"]
    assert "No folder" in one_line(*TOON, "--data", tmp_path / "nowhere", *out)
    assert "no class for dog" in one_line(*TOON, "--data", tmp_path / "dogs", *out)
    assert "No model 'resnet5'" in one_line("run", "--model", "resnet5", "--data", "toon_faces", *out)
    assert "No method" in one_line(*TOON, "--data", "toon_faces", "--methods", "magic", *out)
    assert "No precision" in one_line(*TOON, "--data", "toon_faces", "--precision", "fp15", *out)
    assert "do not fit resnet50" in one_line(
        "run", "--model", "resnet50", "--weights", tmp_path / "w.pth", "--data", "toon_faces", *out
    )
    assert "is no run folder" in one_line("serve", "--run", tmp_path)
    assert "ends in .safetensors" in one_line("train", "--out", tmp_path / "x.pth")
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_one_class_only(tmp_path: Path) -> None:
    """A run shows it and says so; training refuses."""
    from models.data.toon_faces import draw_face

    for split in ("train", "val"):
        (tmp_path / "one" / split / "fear").mkdir(parents=True)
        for place in range(2):
            draw_face("fear", (0, place)).image.save(tmp_path / "one" / split / "fear" / f"{place}.png")
    message = launch(*TOON, "--data", tmp_path / "one", "--split", "val", "--out", tmp_path / "run")
    assert "Only one class (fear)" in message
    assert "one class only (fear)" in one_line(
        "train", "--data", tmp_path / "one", "--out", tmp_path / "x.safetensors"
    )


def test_models_lists_what_is_shipped() -> None:
    message = launch("models")
    for name in (
        "fer_vgg:toon_faces",
        "mobilenet_v2",
        "resnet50",
        "vgg16",
        "alexnet",
        "mobilenet_v1",
        "timm:NAME",
    ):
        assert name in message


@pytest.mark.slow
def test_port_in_use() -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert "is in use" in one_line("serve", "--port", taken.getsockname()[1], "--no-browser")


@pytest.mark.slow
def test_serve_answers_and_ends_without_leftovers(tmp_path: Path) -> None:
    import urllib.request

    port = free_port()
    environment = {k: v for k, v in os.environ.items() if k != "GRADIO_TEMP_DIR"} | {"TMPDIR": str(tmp_path)}
    process = forked(
        *("serve", "--no-browser", "--port", port),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
    )
    assert process.stdout is not None
    assert f"http://127.0.0.1:{port}" in process.stdout.readline()
    assert "Vitrine" in urllib.request.urlopen(f"http://127.0.0.1:{port}/").read().decode()
    assert list(tmp_path.glob("vitrine-*"))
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 0
    assert not errors
    assert not list(tmp_path.glob("vitrine-*"))


def test_old_python_gets_a_clear_message() -> None:
    """The check comes before anything that an older Python could not read."""
    code = (
        "import sys; sys.version_info = (3, 10, 1); sys.version = '3.10.1 old'; import runpy; "
        "runpy.run_path('launch.py')"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    assert (
        done.stderr.strip()
        == "Vitrine needs Python 3.11 or newer, this is 3.10.1: start it with a newer python3."
    )


@pytest.fixture
def colors(tmp_path: Path) -> Path:
    """Red and blue pictures, in three parts."""
    rng = np.random.default_rng(0)
    for split, n in (("train", 64), ("val", 8), ("test", 8)):
        for name, channel in (("red", 0), ("blue", 2)):
            (tmp_path / "set" / split / name).mkdir(parents=True)
            for i in range(n):
                pixels = rng.integers(0, 120, (32, 32, 3), dtype=np.uint8)
                pixels[..., channel] += 120
                Image.fromarray(pixels).save(tmp_path / "set" / split / name / f"{i}.png")
    return tmp_path / "set"


def epochs(out: Path) -> int:
    """How many are in the curves."""
    return (
        max(0, len(out.with_suffix(".csv").read_text().splitlines()) - 1)
        if out.with_suffix(".csv").exists()
        else 0
    )


@pytest.mark.slow
def test_training_that_is_stopped_or_killed_goes_on(pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "stopped.safetensors"
    words = (
        *("train", "--model", "small_conv", "--data", pictures, "--out", out),
        *("--epochs", 2000, "--patience", 2000),
    )
    before = 0
    command = [sys.executable, str(ROOT / "launch.py"), *map(str, words)]
    for number, code in ((signal.SIGINT, 130), (signal.SIGKILL, -9), (signal.SIGTERM, 130)):
        process = Forked(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        while epochs(out) < before + 2:
            assert process.poll() is None
            time.sleep(0.1)
        process.send_signal(number)
        message, errors = process.communicate(timeout=120)
        assert process.returncode == code, errors
        assert "Traceback" not in errors
        assert number == signal.SIGKILL or "run the same command to resume" in message
        assert epochs(out) >= before + 2  # nothing is lost, and it counts on
        before = epochs(out)
    assert "--again to train anew" in one_line("train", "--data", pictures, "--epochs", 3, "--out", out)


@pytest.mark.slow
def test_training_learns_and_is_reported(colors: Path, tmp_path: Path) -> None:
    """Two colors are learnt in a few epochs: checkpoint, curves, test accuracy, the run of it, and its
    export."""
    out = tmp_path / "colors.safetensors"
    message = launch(
        *("train", "--model", "tiny_conv", "--data", colors, "--out", out),
        *("--epochs", 4, "--patience", 4, "--batch-size", 16),
    )
    assert "128 images to train, 16 to choose, 16 to test" in message
    assert "accuracy 100.0 % (80.6 % to 100.0 %)" in message
    curves = out.with_suffix(".csv").read_text().splitlines()
    assert curves[0].startswith("step,epoch,")
    assert len(curves) == 5
    assert len(list(out.with_suffix(".charts").glob("*.png"))) > 4
    message = launch("run", "--model", out, "--data", colors, "--out", tmp_path / "run")
    assert "accuracy   100.0 %" in message
    message = launch("export", tmp_path / "run", "--out", tmp_path / "export")
    assert "4 images" in message
    assert (tmp_path / "export" / "sheet.png").exists()
    assert "accuracy" in launch("models", out)


@pytest.mark.slow
@pytest.mark.usefixtures("charts_not_drawn")
def test_several_seeds(colors: Path, tmp_path: Path) -> None:
    """A new head on a network, three times: each its own checkpoint, mean and sample deviation told
    and kept."""
    out = tmp_path / "seeds.safetensors"
    checkpoints.save(tmp_path / "base.safetensors", small_conv(3), {"architecture": "small_conv"})
    words = (
        *("train", "--model", "small_conv", "--weights", tmp_path / "base.safetensors"),
        *("--recipe", "features", "--head-epochs", 3, "--data", colors, "--out", out, "--seeds"),
    )
    assert "run --model" in (message := launch(*words, "0,1"))
    assert f"seeds.seed0.safetensors --data {colors}" in message
    made = (tmp_path / "seeds.seed1.safetensors").stat().st_mtime_ns
    assert "over 3 seeds" in launch(*words, "0,1,2")
    assert (tmp_path / "seeds.seed1.safetensors").stat().st_mtime_ns == made  # not trained twice
    table = pd.read_csv(tmp_path / "seeds.seeds.csv", index_col="seed")
    found = table.loc[["0", "1", "2"], "test accuracy"]
    assert float(table.loc["mean", "test accuracy"]) == pytest.approx(found.mean())
    assert float(table.loc["sd", "test accuracy"]) == pytest.approx(found.std())
    assert len(list(tmp_path.glob("seeds.seed*.safetensors"))) == 3


def test_preview_of_data(colors: Path, tmp_path: Path) -> None:
    message = launch("data", "preview", colors, "--out", tmp_path / "p.png", "--balance", "sampler")
    assert "64 red" in message
    assert "One epoch draws 128 images, 81 of them distinct" in message
    assert (tmp_path / "p.png").exists()


def test_valence_and_arousal_are_no_classes(tmp_path: Path) -> None:
    from models import checkpoints
    from models.architectures.fer_vgg import fer_vgg

    out = tmp_path / "affect.safetensors"
    checkpoints.save(
        out, fer_vgg(2), {"architecture": "fer_vgg", "task": "affect", "classes": ["valence", "arousal"]}
    )
    assert "answers with numbers, as its file says, and the data has one label per image" in one_line(
        "run", "--model", out, "--data", "toon_faces", "--out", tmp_path / "run"
    )


@pytest.fixture
def face(tmp_path: Path) -> Path:
    from models.data.toon_faces import draw_face

    draw_face("surprise", (0, 3)).image.save(tmp_path / "a face.png")
    return tmp_path / "a face.png"


@pytest.mark.slow
def test_explain_one_picture(face: Path, tmp_path: Path) -> None:
    message = launch(
        "explain",
        face,
        *TOON[1:],
        "--methods",
        "grad_cam,recipro_cam,integrated_gradients",
        "--target",
        "Surprised",
        "--minus",
        "fear",
        "--set",
        "steps=5",
        "--set",
        "recipro_cam.gaussian=no",
        "--out",
        tmp_path / "maps",
    )
    assert len(message.splitlines()) == 1 + 5 + 3 * 3 + 1  # of each map what its top 10 % keep, in two lines
    assert message.startswith(
        "input    128 × 128 RGB, whole image squashed (bilinear), mean 0, std 1 (shipped with the weights)"
    )
    assert "sums to" in message.splitlines()[-3]
    made = sorted(p.name for p in (tmp_path / "maps").iterdir())
    assert made == sorted(
        f"a face.{m}{end}"
        for m in ("grad_cam", "recipro_cam", "integrated_gradients")
        for end in (".npy", ".map.png", ".png")
    )
    raw = np.load(tmp_path / "maps" / "a face.grad_cam.npy")
    assert (raw.dtype, raw.shape) == (np.float32, (8, 8))
    assert np.load(tmp_path / "maps" / "a face.integrated_gradients.npy").shape == (128, 128)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--target", "hapiness"], "near are happiness"),
        (["--target", "9"], "a number from 0 to 7"),
        (["--methods", "gradcam"], "did you mean grad_cam?"),
        (["--set", "steps=5"], "no parameters of these methods"),
        (["--methods", "lime", "--set", "samples=x"], "samples is 'x'"),
        (["--layer", "nowhere"], "No layer 'nowhere'"),
        (["--target", "fear", "--minus", "fear"], "choose two classes"),
        (["--noise", "-1"], "0 to 1000"),
        (["--methods", ","], "names no method"),
        (["--set", "nothing=1"], "no method chosen has this parameter"),
        (["--device", ""], "The value of --device is empty"),
    ],
)
def test_explain_says_what_is_wrong(words: list[str], message: str, face: Path, tmp_path: Path) -> None:
    assert message in one_line("explain", face, *TOON[1:], "--out", tmp_path / "maps", *words)
    assert not (tmp_path / "maps").exists()


@pytest.mark.slow
def test_explain_says_for_which_class(face: Path, tmp_path: Path) -> None:
    text = launch("explain", face, *TOON[1:], "--out", tmp_path, "--target", "scared", "--minus", "neutral")
    assert "for fear against neutral:" in text


@pytest.mark.parametrize("words", [("report", TOON_RUN, "--out", ""), ("run", "--data="), ("analyze", "")])
def test_empty_values_are_no_paths(words: tuple[object, ...]) -> None:
    assert "is empty: give a value, or leave it out" in one_line(*words)


def test_a_run_is_not_compared_with_itself() -> None:
    assert "given twice" in one_line("compare", TOON_RUN, TOON_RUN)


@pytest.mark.slow
def test_one_method_that_does_not_fit_leaves_the_others(face: Path, tmp_path: Path) -> None:
    message = one_line("explain", face, *TOON[1:], "--methods", "cam,grad_cam", "--out", tmp_path / "maps")
    assert "cam: CAM needs global average pooling" in message
    assert (tmp_path / "maps" / "a face.grad_cam.png").exists()


def test_methods_are_listed() -> None:
    message = launch("methods")
    assert "integrated_gradients" in message
    assert "steps=50" in message


def test_layers_are_listed(face: Path) -> None:
    message = launch("layers", face, "--model", "fer_vgg:toon_faces").splitlines()
    assert message[0].split()[:3] == ["layer", "name", "kind"]
    assert any("conv10_relu" in line and "preds" not in line for line in message)
    assert message[-1].startswith("sum")
    assert "not known" not in "".join(message)


@pytest.mark.slow
def test_filters_from_the_command_line(tmp_path: Path) -> None:
    message = launch("filters", *TOON[1:], "--units", "fear,0-1", "--steps", 3, "--out", tmp_path / "out")
    first = [line.split()[0] for line in message.splitlines()]
    assert first == ["fear", "neutral", "happiness", "sheet", "table"]
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        "0000.png",
        "0001.png",
        "0004.png",
        "sheet.png",
        "units.csv",
    ]
    assert "it has 0 to 15" in one_line(
        "filters", *TOON[1:], "--layer", "features.0", "--units", 16, "--out", tmp_path / "other"
    )
    assert not (tmp_path / "other").exists()


@pytest.mark.slow
def test_a_survey_from_the_command_line(demo: Path, tmp_path: Path) -> None:
    message = launch("survey", demo, "--limit", 8).splitlines()
    assert len(message) == 14
    assert message[0].split()[:2] == ["layer", "name"]
    assert (demo / "strongest.parquet").is_file()
    assert "is no run folder" in one_line("survey", tmp_path)
