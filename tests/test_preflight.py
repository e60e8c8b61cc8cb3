"""Is it the network that one thinks it is? Wrong readings with a known right one, and networks at chance."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.stats import binomtest
from torch import Tensor, nn

from explain.analysis.verdict import format_text, wrong
from explain.run.preflight.check import Preflight, preflight
from explain.run.preflight.sample import spread_over_classes
from models.classifier import Classifier
from models.data.folder import FolderSource
from models.preprocessing import Preprocessing
from models.sources.module import from_module
from tests.command import launch, one_line

CLASSES = ("blue", "green", "red")
RGB = {"red": (210, 40, 50), "green": (60, 190, 50), "blue": (30, 60, 210)}
UNIT = Preprocessing((16, 16), None, (0.0,) * 3, (1.0,) * 3)


class ByColor(nn.Module):
    """The class is the strongest color. `order`: which plane belongs to which output; `level`: the sum of the
    planes that it was made for, far from which it answers at random."""

    def __init__(self, order: tuple[int, ...] = (2, 1, 0), level: float | None = None):
        super().__init__()
        self.order, self.level = order, level
        self.gain = nn.Parameter(torch.tensor(20.0))

    def forward(self, x: Tensor) -> Tensor:
        color = x.mean((2, 3))
        scores = self.gain * color[:, list(self.order)]
        if self.level is None:
            return scores
        near = ((color.sum(1) - self.level).abs() < 0.08 * abs(self.level))[:, None]
        noise = torch.stack([(1e4 * color[:, 0] + k * 2.1).sin() for k in range(3)], 1)
        return torch.where(near, scores, noise)


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is found out must not depend on how busy the machine is."""
    monkeypatch.setattr("explain.run.preflight.check.SECONDS", 600.0)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    rng, root = np.random.default_rng(0), tmp_path / "data"
    for name, color in RGB.items():
        (root / name).mkdir(parents=True)
        for k in range(24):
            noisy = np.clip(np.array(color) + rng.normal(0, 25, (20, 30, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(noisy).save(root / name / f"{k}.png")
    return root


def looked(model: nn.Module, data: Path, fed: Preprocessing = UNIT) -> Preflight:
    classifier = from_module(model.eval(), CLASSES, fed, "net")
    source = FolderSource(data)
    return preflight(classifier, source, [CLASSES.index(c) for c in source.classes])


def test_a_right_network_is_left_alone(data: Path) -> None:
    found = looked(ByColor(), data)
    assert found.evaluation.accuracy == 1
    assert found.better is None
    assert wrong(found, 0.99) == ""
    assert found.images == 72
    names = {trial.name for trial in found.tried}
    assert {"colors as BGR", "cropped"} <= names
    assert "not normalized" not in names  # that is how it is read


@pytest.mark.parametrize(
    ("model", "fed", "words"),
    [
        (ByColor((0, 1, 2)), UNIT, "--channels bgr"),
        (ByColor(level=-0.64), UNIT, "--mean 0.5 --std 0.5"),
        (ByColor(level=300.0), UNIT, "--scale 1 --mean 0 --std 1"),
        (
            ByColor(level=1.18),
            Preprocessing((16, 16), None, (0.5,) * 3, (0.5,) * 3),
            "--mean 0 --std 1",
        ),
        (ByColor((1, 0, 2)), UNIT, "--classes FILE"),
    ],
    ids=["bgr", "half", "bytes", "unit", "order"],
)
def test_the_right_reading_is_found(data: Path, model: nn.Module, fed: Preprocessing, words: str) -> None:
    found = looked(model, data, fed)
    assert found.better is not None
    assert found.better.accuracy == 1
    assert words in wrong(found, None)
    now = found.used.right[: len(found.better.right)]
    won = int((found.better.right & ~now).sum())
    expected = binomtest(won, won, alternative="greater").pvalue * found.comparisons  # none is lost
    assert found.comparisons >= 2 * len(found.tried)  # two looks
    assert found.better.p == pytest.approx(expected)


class ByBorder(nn.Module):
    """The color of the outermost columns, which a center crop cuts off."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(20.0))

    def forward(self, x: Tensor) -> Tensor:
        return self.gain * x[:, [2, 1, 0], :, :2].mean((2, 3))


def test_squashed_against_cropped(tmp_path: Path) -> None:
    rng, root = np.random.default_rng(1), tmp_path / "border"
    for name, color in RGB.items():
        (root / name).mkdir(parents=True)
        for k in range(20):
            image = rng.integers(0, 255, (24, 48, 3), dtype=np.uint8)
            image[:, :6] = color
            Image.fromarray(image).save(root / name / f"{k}.png")
    found = looked(ByBorder(), root, Preprocessing((16, 16), 18, (0.0,) * 3, (1.0,) * 3))
    assert found.better is not None
    assert found.better.words == ("--resize", "squash")


class ByTop(nn.Module):
    """Whether the upper half is the lighter one, the left one, or neither."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(20.0))

    def forward(self, x: Tensor) -> Tensor:
        up = x[:, :, :8].mean((1, 2, 3)) - x[:, :, 8:].mean((1, 2, 3))
        left = x[:, :, :, :8].mean((1, 2, 3)) - x[:, :, :, 8:].mean((1, 2, 3))
        return self.gain * torch.stack([up, left, -up], 1)


def test_exif(tmp_path: Path) -> None:
    """Pictures that are stored as they should be seen, and whose EXIF says otherwise."""
    root, exif = tmp_path / "exif", Image.Exif()
    exif[0x0112] = 6
    for k, name in enumerate(CLASSES):
        (root / name).mkdir(parents=True)
        for n in range(20):
            image = np.zeros((24, 24, 3), np.uint8)
            half = [image[:12], image[:, :12], image[12:]][k]
            half[:] = 120 + 5 * n
            Image.fromarray(image).save(root / name / f"{n}.jpg", exif=exif, quality=95)
    found = looked(ByTop(), root)
    assert found.better is not None
    assert found.better.words == ("--exif", "ignore")


def test_chance_and_expectation(data: Path) -> None:
    constant = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 3))
    nn.init.zeros_(constant[2].weight)
    found = looked(constant, data)
    assert found.better is None
    assert "not clearly above the 33.3 % that guessing reaches" in wrong(found, None)
    assert "33.3 % of 72 images are right, 90.0 % are expected" in wrong(found, 0.9)
    assert any("verdict" in line for line in format_text(found, None))


def test_a_permutation_of_an_even_number_of_classes(tmp_path: Path) -> None:
    """Both halves of the sample have every class, so that each is judged with what was seen."""
    names, rng = ("a", "b", "c", "d"), np.random.default_rng(2)
    for k, name in enumerate(names):
        (tmp_path / name).mkdir()
        for n in range(20):
            image = np.full((16, 16, 3), 20 + 60 * k, np.uint8) + rng.integers(
                0, 9, (16, 16, 3), dtype=np.uint8
            )
            Image.fromarray(image).save(tmp_path / name / f"{n}.png")

    class ByLevel(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gain = nn.Parameter(torch.tensor(50.0))

        def forward(self, x: Tensor) -> Tensor:
            level, order = x.mean((1, 2, 3))[:, None], torch.tensor([2, 3, 1, 0])
            return -self.gain * (level - (24 + 60 * order) / 255).square()

    classifier = from_module(ByLevel().eval(), names, UNIT, "net")
    found = preflight(classifier, FolderSource(tmp_path), [0, 1, 2, 3])
    assert found.better is not None
    assert found.better.words == ("--classes", "FILE")
    assert found.better.accuracy == 1


def test_permutations_of_random_answers_are_not_believed(data: Path) -> None:
    """The best permutation of 72 answers at random would look far better than chance."""
    found = looked(ByColor(level=1e6), data)
    assert found.better is None or "--classes" not in found.better.words


def test_answers_that_are_no_numbers_are_not_counted(data: Path) -> None:
    """NaN has a largest output too, and it is none."""

    class Sometimes(ByColor):
        def forward(self, x: Tensor) -> Tensor:
            scores = super().forward(x)
            return torch.where((scores.argmax(1) == 0)[:, None], torch.nan, scores)

    found = looked(Sometimes(), data)
    assert (found.images, found.unread) == (48, 24)
    assert found.evaluation.accuracy == 1


def test_a_sample_takes_turns(data: Path) -> None:
    (data / "red" / "0.png").unlink()
    source = FolderSource(data)
    rows = spread_over_classes(source, 12)
    labels = [source.items[row].label for row in rows]
    assert labels[:3] == labels[3:6]
    assert len(set(rows)) == 12
    assert len(spread_over_classes(source, 1000)) == 71


def test_the_model_is_left_as_it_was_and_broken_images_are_counted(data: Path) -> None:
    (data / "red" / "3.png").write_bytes(b"no image")
    model = ByColor()
    classifier = Classifier("net", model.train(), CLASSES, UNIT, "", "")
    source = FolderSource(data)
    found = preflight(classifier, source, [CLASSES.index(c) for c in source.classes])
    assert model.training
    assert found.unread == 1
    assert found.images == 71


NET = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.mix = nn.Conv2d(3, 3, 1, bias=False)
        with torch.no_grad():
            self.mix.weight.copy_(20 * torch.eye(3)[{order}][:, :, None, None])

    def forward(self, x):
        return self.mix(x).mean((2, 3))
"""
WORDS = ("--input-size", 16, "--resize", "squash", "--mean", 0, "--std", 1)


@pytest.fixture
def net(tmp_path: Path) -> Callable[[str], str]:
    def named(order: str) -> str:
        (tmp_path / f"net{order}.py").write_text(NET.replace("{order}", str([int(c) for c in order])))
        return f"{tmp_path / f'net{order}.py'}:Net"

    return named


@pytest.mark.slow
def test_the_command(data: Path, net: Callable[[str], str]) -> None:
    text = launch("check", "--model", net("210"), "--data", data, *WORDS, "--expect", 0.95)
    assert "order of the classes: 'sorted', with which 100 % of 72 images are right" in text
    assert "verdict    no other reading is better beyond doubt" in text
    done = launch("check", "--model", net("012"), "--data", data, *WORDS, "--classes", "sorted", code=1)
    assert "Traceback" not in done


@pytest.mark.slow
def test_a_run_stops_where_another_reading_is_better(
    data: Path, net: Callable[[str], str], tmp_path: Path
) -> None:
    words = ("run", "--model", net("012"), "--data", data, *WORDS, "--classes", "sorted")
    out = ("--out", tmp_path / "run")
    assert "with --channels bgr (colors as BGR), 33 % without" in one_line(*words, *out)
    assert not (tmp_path / "run").exists()
    assert "sample     33.3 % of 72 images are right" in launch(*words, *out, "--force")
    again = launch(*words, "--channels", "bgr", "--out", tmp_path / "other")
    assert "sample     100.0 % of 72 images are right" in again
    assert "sample" not in launch(
        *words, "--channels", "bgr", "--out", tmp_path / "other"
    )  # looked at before


def test_an_order_that_images_do_not_show_is_asked_for(
    data: Path, net: Callable[[str], str], tmp_path: Path
) -> None:
    words = ("run", "--model", net("120"), "--data", data, *WORDS, "--out", tmp_path / "run")
    assert "do not name their 3 outputs" in one_line(*words)
