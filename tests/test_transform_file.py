"""`--preprocess FILE.py:NAME`: a torchvision transform in a person's own file."""

import json
from pathlib import Path

import pytest
import torch
from torchvision import models as zoo

from models.errors import UserError
from models.inputs.options import PreprocessingOptions
from models.inputs.transform_file import preprocessing_in_file
from models.preprocessing import Preprocessing
from tests.command import launch, one_line

CODE = """
import torch
from torchvision import transforms as T
from torchvision.transforms import v2
from sizes import SIDE

old = T.Compose([T.Resize((SIDE, SIDE)), T.ToTensor(), T.Normalize([0.5] * 3, [0.25] * 3)])
new = v2.Compose([v2.Resize(40), v2.CenterCrop(SIDE), v2.ToImage(), v2.ToDtype(torch.float32, scale=True)])
whole = T.Compose([T.Resize((40, 48)), T.CenterCrop(SIDE), T.ToTensor()])
bytes_ = v2.Compose([v2.Resize((SIDE, SIDE)), v2.PILToTensor(), v2.ToDtype(torch.float32),
                     v2.Normalize([120.0] * 3, [60.0] * 3)])
tensors = T.Compose([T.ToTensor(), T.Resize((SIDE, SIDE))])
augmented = T.Compose([T.RandomResizedCrop(SIDE), T.ToTensor()])
lambda_ = T.Compose([T.Resize((SIDE, SIDE)), T.Lambda(lambda image: image), T.ToTensor()])
limited = T.Compose([T.Resize(SIDE, max_size=64), T.CenterCrop(SIDE), T.ToTensor()])

class Blurred:
    def __call__(self, image):
        return image

mine = T.Compose([Blurred(), T.ToTensor()])

def build():
    return old

def alone(image):
    return image

def broken():
    raise RuntimeError("no luck")
"""


@pytest.fixture
def file(tmp_path: Path) -> str:
    (tmp_path / "sizes.py").write_text("SIDE = 32\n")
    (tmp_path / "prep.py").write_text(CODE)
    return str(tmp_path / "prep.py")


HALF = Preprocessing((32, 32), None, (0.5,) * 3, (0.25,) * 3)
UNIT = ((0.0,) * 3, (1.0,) * 3)


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("old", HALF),
        ("build", HALF),
        ("new", Preprocessing((32, 32), 40, *UNIT)),
        ("whole", Preprocessing((32, 32), (40, 48), *UNIT)),
        ("bytes_", Preprocessing((32, 32), None, (120.0,) * 3, (60.0,) * 3, scale=1)),
    ],
)
def test_what_is_read(file: str, name: str, wanted: Preprocessing) -> None:
    assert preprocessing_in_file(f"{file}:{name}") == wanted
    options = PreprocessingOptions(preprocess=f"{file}:{name}", exif="ignore")
    assert options.apply(Preprocessing(bits=12)).described == (
        f"{wanted.described}, EXIF orientation ignored, integers of 12 bits"
    )
    assert options.resolved().preprocess is None
    assert options.resolved().apply(Preprocessing(order="bgr", scale=1)).as_dict() == {
        **wanted.as_dict(),
        "exif": "ignore",
    }


def test_a_resize_of_tensors_is_part_of_the_origin(file: str) -> None:
    options = PreprocessingOptions(preprocess=f"{file}:tensors")
    options.apply(Preprocessing())
    assert options.origin == (
        f"read from {file}:tensors, and resized by Pillow; the transform resizes tensors: up to 1 of 255 "
        "levels apart"
    )


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("augmented", "The transform RandomResizedCrop cannot be expressed"),
        ("lambda_", "The transform Lambda cannot be expressed"),
        ("limited", "Resize with max_size cannot be expressed"),
        ("mine", "The transform Blurred cannot be expressed"),
        ("alone", r"alone\(image\) is code of its own"),
        ("broken", r"raised RuntimeError: no luck \(prep.py, line \d+\)"),
        ("nothing", "has no 'nothing'"),
        ("no-name", "give FILE.py:NAME"),
        ("SIDE", "int cannot be expressed"),
    ],
)
def test_what_cannot_be_read_is_one_line(file: str, name: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as error:
        preprocessing_in_file(f"{file}:{name}")
    assert "\n" not in str(error.value)


def test_missing_files_and_contradicting_options(file: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"No file '.*gone.py'"):
        preprocessing_in_file(f"{tmp_path / 'gone.py'}:x")
    with pytest.raises(UserError, match="says all of --resize, --mean: leave it or them out"):
        PreprocessingOptions(preprocess=f"{file}:old", resize="squash", mean="0.5").apply(Preprocessing())


@pytest.mark.slow
def test_a_run_keeps_the_values_and_not_the_code(file: str, pictures: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    torch.save(zoo.shufflenet_v2_x0_5(num_classes=3).state_dict(), tmp_path / "mine.pth")
    network = ["--model", "shufflenet_v2_x0_5", "--weights", tmp_path / "mine.pth"]
    out = tmp_path / "run"
    words = [
        "run",
        *network,
        "--data",
        pictures,
        "--classes",
        "sorted",
        "--methods",
        "grad_cam",
        "--out",
        out,
    ]
    text = launch(*words, "--preprocess", f"{file}:old")
    assert text.splitlines()[0] == (
        "input      32 × 32 RGB, whole image squashed (bilinear), mean 0.5, std 0.25 "
        f"(read from {file}:old, and compared with it)"
    )
    request = (out / "request.json").read_text()
    assert json.loads(request)["preprocessing"]["size"] == [32, 32]
    assert "prep.py" not in request
    launch(*words, "--input-size=32", "--resize=squash", "--mean=0.5", "--std=0.25")  # the same run
    Path(file).write_text(CODE.replace("[0.25] * 3", "[0.5] * 3"))
    assert "the preprocessing (std: " in one_line(*words, "--preprocess", f"{file}:old")
    explain = ["explain", pictures / "red" / "0.png", *network, "--out", tmp_path / "maps"]
    assert "RandomResizedCrop" in one_line(*explain, "--preprocess", f"{file}:augmented")
