"""Readings that differ in several ways at once, and in what few images do not show."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.stats import binomtest
from torch import Tensor, nn

import explain.run.preflight.check as looked_for
from explain.analysis.verdict import format_text, wrong
from explain.run.preflight.check import DOUBT, READ, Preflight, Trial, preflight
from explain.run.preflight.readings import combined, extended, pairs, possible, single_readings
from models.data.folder import FolderSource
from models.data.images import UnreadableImage
from models.inputs.options import PreprocessingOptions
from models.measures.evaluation import evaluate
from models.preprocessing import Preprocessing
from models.sources.module import from_module
from tests.command import launch, one_line
from tests.test_preflight import CLASSES, UNIT, ByColor, data, looked, patience

__all__ = ["data", "patience"]  # fixtures

BASES = [
    Preprocessing(),
    Preprocessing(order="bgr", scale=1.0, mean=(104.0, 117.0, 124.0), std=(1.0,) * 3),
    Preprocessing((64, 64), "letterbox", fill=(114,)),
    Preprocessing((64, 64), 64, (0.5,), (0.5,), crop="none", exif="ignore"),
    Preprocessing((16, 16), None, (0.5, 0.5, 0.5, 0.0), (0.5, 0.5, 0.5, 1.0)),
    UNIT,
]


def options(words: tuple[str, ...]) -> PreprocessingOptions:
    named = (word[2:].replace("-", "_") for word in words[::2])
    return PreprocessingOptions(**dict(zip(named, words[1::2], strict=True)))  # type: ignore[arg-type]


@pytest.mark.parametrize("base", BASES)
def test_the_options_that_are_named_make_the_reading(base: Preprocessing) -> None:
    singles = single_readings(base)
    found = [*singles, *pairs(base, singles)]
    found += [more for reading in found for more in extended(base, reading, singles)]
    assert all(reading.preprocessing != base for reading in singles)
    assert max(len(reading.changes) for reading in found) == 3
    for reading in found:
        assert options(reading.words).apply(base) == reading.preprocessing, reading.name


def test_all_that_may_be_tried_is_counted() -> None:
    singles = single_readings(UNIT)
    every = {reading.changes for reading in singles}
    for _ in range(4):
        every |= {
            more.changes
            for changes in every
            for more in extended(UNIT, combined(UNIT, dict(changes)), singles)
        }
    assert possible(singles) == len(every)
    assert {reading.changes for reading in pairs(UNIT, singles)} <= every


CAFFE = "--channels bgr --scale 1 --mean 103.939,116.779,123.68 --std 1"


class Leveled(ByColor):
    """Answers only where the sum of the planes is within 10 of `level`, otherwise at random."""

    def forward(self, x: Tensor) -> Tensor:
        noise = torch.stack([(1e4 * x.mean((1, 2, 3)) + k * 2.1).sin() for k in range(3)], 1)
        near = (x.mean((2, 3)).sum(1) - (self.level or 0)).abs() < 10
        return torch.where(near[:, None], x.mean((2, 3))[:, list(self.order)], noise)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "words"),
    [
        (Leveled((0, 1, 2), 303.0), "--channels bgr --scale 1 --mean 0 --std 1"),
        (Leveled((0, 1, 2), 303.0 - 344.4), CAFFE),
        (ByColor((0, 1, 2), -0.64), "--channels bgr --mean 0.5 --std 0.5"),
    ],
    ids=["bgr bytes", "caffe", "bgr half"],
)
def test_two_changes_together(data: Path, model: nn.Module, words: str) -> None:
    """Each alone is at chance: only both together make the images right."""
    found = looked(model, data)
    assert found.evaluation.accuracy < 0.6
    assert found.better is not None
    assert found.better.accuracy > 0.98
    assert f"right with {words} (colors as BGR, " in wrong(found, None)
    for trial in found.tried:
        if trial.changes < found.better.changes:
            assert trial.accuracy < 0.6


class Tones(nn.Module):
    """Red, blue, white, grey or black, in the order blue, green, red, of pixels from 0 to 255; white
    otherwise."""

    def __init__(self) -> None:
        super().__init__()
        of = [[40, 40, 210], [210, 40, 40], [240] * 3, [120] * 3, [10] * 3]
        self.tones = nn.Parameter(torch.tensor(of).float())

    def forward(self, x: Tensor) -> Tensor:
        near = -(x.mean((2, 3))[:, None] - self.tones).square().sum(2)
        white = 9 * torch.eye(5)[2].expand(len(x), 5)
        return torch.where((x.amax((1, 2, 3)) > 5)[:, None], near, white)


def test_a_change_is_added_to_one_that_helps(tmp_path: Path) -> None:
    """Pixels from 0 to 255 alone make three classes of five right, and BGR alone none."""
    tones = {"red": (210, 40, 40), "blue": (40, 40, 210), "white": (240,) * 3, "grey": (120,) * 3}
    names = (*tones, "black")
    for name, color in (tones | {"black": (10, 10, 10)}).items():
        (tmp_path / name).mkdir()
        for k in range(16):
            Image.new("RGB", (20, 16), tuple(value + k % 8 for value in color)).save(
                tmp_path / name / f"{k}.png"
            )
    source = FolderSource(tmp_path)
    classifier = from_module(Tones().eval(), names, UNIT, "net")
    found = preflight(classifier, source, [names.index(c) for c in source.classes])
    assert found.evaluation.accuracy == 0.2
    alone = next(trial for trial in found.tried if trial.name == "pixels from 0 to 255")
    assert found.is_sure(alone)
    assert alone.accuracy == pytest.approx(0.6, abs=0.02)
    assert found.better is not None
    assert found.better.words == ("--channels", "bgr", "--scale", "1", "--mean", "0", "--std", "1")
    assert found.better.accuracy == 1
    fed = options(found.better.words).apply(UNIT)
    again = preflight(
        replace(classifier, preprocessing=fed), source, [names.index(c) for c in source.classes]
    )
    assert again.evaluation.accuracy == 1
    assert again.better is None


def test_a_further_change_that_may_help_is_said() -> None:
    def trial(right: int, p: float, *changes: str) -> Trial:
        return Trial(", ".join(changes), changes, np.arange(200) < right, p, frozenset(changes))

    label = np.arange(200) % 2
    e = evaluate(label, label ^ (np.arange(200) >= 60), np.ones(200), 2)
    now, bgr, half = trial(60, 1), trial(164, 1e-9, "bgr"), trial(182, 0.02, "bgr", "half")
    other = trial(190, 0.9, "other")
    told = wrong(Preflight(e, ("a", "b"), now, (other, half, bgr), 0, 1), None)
    assert told == (
        "82 % of the first 200 images are right with bgr (bgr), 30 % without (p < 0.0001): add it. Perhaps "
        "with bgr half, 91 % of them: that is not beyond doubt."
    )
    assert "Perhaps" not in wrong(
        Preflight(e, ("a", "b"), now, (bgr, trial(166, 0.4, "bgr", "x")), 0, 1), None
    )


def test_a_change_that_adds_nothing_is_not_named(data: Path) -> None:
    """A network that does not look at colors, made for pixels from 0 to 255."""

    class Brightest(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gain = nn.Parameter(torch.ones(1))

        def forward(self, x: Tensor) -> Tensor:
            right = self.gain * x.mean((2, 3))[:, [2, 1, 0]].abs()
            even = torch.stack([right.amax(1) * 0 + k for k in (2.0, 1.0, 0.0)], 1)
            return torch.where((x.amax((1, 2, 3)) > 5)[:, None], right, even)

    found = looked(Brightest(), data)
    assert found.better is not None
    assert found.better.name == "pixels from 0 to 255"
    assert found.better.words == ("--scale", "1", "--mean", "0", "--std", "1")


class FirstPlane(nn.Module):
    """Dark or light, by the first plane alone."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(9.0))

    def forward(self, x: Tensor) -> Tensor:
        level = self.gain * (x[:, :1].mean((2, 3)) - 0.5)
        return torch.cat([-level, level], 1)


@pytest.fixture(scope="module")
def levels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Blue is right in every picture, red in four of five."""
    root = tmp_path_factory.mktemp("levels")
    for name, level in (("dark", 40), ("light", 210)):
        (root / name).mkdir()
        for k in range(150):
            red = 250 - level if k % 5 == 4 else level
            Image.new("RGB", (8, 8), (red, 100 + k % 50, level)).save(root / name / f"{k:03}.png")
    return root


def of_levels(root: Path, model: nn.Module | None = None) -> Preflight:
    fed = Preprocessing((8, 8), None, (0.0,) * 3, (1.0,) * 3)
    classifier = from_module((model or FirstPlane()).eval(), ("dark", "light"), fed, "net")
    return preflight(classifier, FolderSource(root), [0, 1])


def test_more_images_decide_what_few_leave_open(levels: Path) -> None:
    found = of_levels(levels)
    assert 0.78 < found.evaluation.accuracy < 0.82
    assert found.better is not None
    assert found.better.words == ("--channels", "bgr")
    assert len(found.better.right) == len(found.used.right) == 256
    won = (found.better.right & ~found.used.right)[:READ].sum()
    assert binomtest(int(won), int(won), alternative="greater").pvalue * found.comparisons > DOUBT
    assert "100 % of the first 256 images are right with --channels bgr" in wrong(found, None)
    assert "79 % without" in wrong(found, None)
    assert all(len(t.right) <= READ for t in found.tried if not t.changes & found.better.changes)


@pytest.mark.slow
def test_changes_of_which_none_alone_is_beyond_doubt(tmp_path: Path) -> None:
    """Red of the middle, as it is read now, is right in four of five pictures; blue of it, or red of the
    left, in seven of eight; blue of the left in all."""

    class Left(FirstPlane):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x[..., :2])

    for name, level in (("dark", 40), ("light", 210)):
        (tmp_path / name).mkdir()
        for k in range(100):
            image = np.full((8, 16, 3), 100 + k, np.uint8)
            image[:, 4:, 0] = 250 - level if k % 10 in (1, 6) else level
            image[:, 4:, 2] = 250 - level if k % 8 == 3 else level
            image[:, :4, 0] = 250 - level if k % 8 == 5 else level
            image[:, :4, 2] = level
            Image.fromarray(image).save(tmp_path / name / f"{k:03}.png")
    fed = Preprocessing((8, 8), 8, (0.0,) * 3, (1.0,) * 3)
    classifier = from_module(Left().eval(), ("dark", "light"), fed, "net")
    found = preflight(classifier, FolderSource(tmp_path), [0, 1])
    assert found.evaluation.accuracy == pytest.approx(0.8)
    assert found.better is not None
    assert found.better.words == ("--channels", "bgr", "--resize", "squash")
    assert found.better.accuracy == 1
    alone = [t for t in found.tried if t.changes < found.better.changes]
    assert len(alone) == 2
    assert not any(map(found.is_sure, alone))


def test_more_images_are_read_within_the_time(levels: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock stands still until all other readings have seen the first images."""
    begun = looked_for._Search._read_on

    def late(search: looked_for._Search, trial: looked_for.Trial) -> None:
        search._clock._seconds = 1e-9
        begun(search, trial)

    monkeypatch.setattr(looked_for._Search, "_read_on", late)
    found = of_levels(levels)
    assert found.better is None
    assert max(len(trial.right) for trial in found.tried) == READ


def test_what_there_is_no_time_for_is_counted(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(looked_for, "SECONDS", 1e-9)
    monkeypatch.setattr(looked_for, "FRACTION", 0.0)
    found = looked(ByColor(), data)
    assert found.images == READ
    assert found.untried == len(single_readings(UNIT))
    text = format_text(found, None)
    assert f"read as    {found.untried} other ways were not tried: the time is over" in text
    assert text[-1] == "verdict    no other reading that was tried is better beyond doubt"


def test_the_time_grows_with_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(looked_for, "SECONDS", 10.0)
    monkeypatch.setattr("explain.run.preflight.check.time.monotonic", lambda: now)
    few, many, given = (looked_for._Clock(n, s) for n, s in ((100, None), (100_000, None), (100_000, 2.0)))
    now = 101.6
    for clock in (few, many, given):
        clock.learn(16)  # 0.1 s each
    assert few.used == pytest.approx(0.16)
    assert many.used == pytest.approx(1.6 / 500)
    assert given.used == pytest.approx(0.8)


def test_answers_that_are_no_numbers_are_wrong_in_any_reading(data: Path) -> None:
    class Overflows(ByColor):
        def forward(self, x: Tensor) -> Tensor:
            return torch.where((x.amax((1, 2, 3)) > 5)[:, None], torch.nan, super().forward(x))

    tried = {trial.name: trial.accuracy for trial in looked(Overflows((0, 0, 0)), data).tried}
    assert tried["pixels from 0 to 255"] == 0


@pytest.mark.slow
def test_floats_are_read_as_the_option_will_read_them(tmp_path: Path) -> None:
    """With --scale 1, 255 is the white of floats: those from 0 to 1 are nearly black then."""
    for name, k in (("red", 0), ("green", 1), ("blue", 2)):
        (tmp_path / name).mkdir()
        for n in range(12):
            values = np.full((16, 16, 3), 0.2, np.float32)
            values[..., k] = 0.75 + 0.01 * n
            np.save(tmp_path / name / f"{n}.npy", values)
    source = FolderSource(tmp_path)
    assert source.has_floats

    class Bytes(ByColor):
        def forward(self, x: Tensor) -> Tensor:
            return torch.where((x.amax((1, 2, 3)) > 5)[:, None], super().forward(x), 9 * torch.eye(3)[:1])

    classifier = from_module(Bytes().eval(), CLASSES, UNIT, "net")
    outputs = [CLASSES.index(c) for c in source.classes]
    found = preflight(classifier, source, outputs)
    raw = next(trial for trial in found.tried if trial.name == "pixels from 0 to 255")
    fed = options(raw.words).apply(UNIT)
    really = preflight(replace(classifier, preprocessing=fed), source, outputs)
    assert raw.right.tolist() == really.used.right[: len(raw.right)].tolist()


def test_a_file_that_is_gone_meanwhile_ends_nothing(levels: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(*_: object) -> None:
        raise UnreadableImage("file not found")

    monkeypatch.setattr("explain.run.preflight.sample.Sample._load", gone)
    found = of_levels(levels)
    assert found.evaluation.accuracy == pytest.approx(0.8, abs=0.02)
    assert "squashed" not in {trial.name for trial in found.tried}


NET = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.mix = nn.Conv2d(3, 3, 1, bias=False)
        with torch.no_grad():
            self.mix.weight.copy_(torch.eye(3)[:, :, None, None])

    def forward(self, x):
        scores = self.mix(x).mean((2, 3))
        return torch.where((x.amax((1, 2, 3)) > 5)[:, None], scores, scores.sin() * 0)
"""


@pytest.mark.slow
@pytest.mark.usefixtures("patience")
def test_a_run_names_all_options_at_once(data: Path, tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(NET)
    words = ("run", "--model", f"{tmp_path / 'net.py'}:Net", "--data", data, "--classes", "sorted")
    words += ("--input-size", 16, "--resize", "squash", "--mean", 0, "--std", 1)  # type: ignore[assignment]
    told = one_line(*words, "--out", tmp_path / "run")
    assert "100 % of the first 64 images are right with --channels bgr --scale 1 --mean 0 --std 1 (" in told
    shown = launch(*words, "--channels", "bgr", "--scale", "1", "--out", tmp_path / "run")
    assert "sample     100.0 % of 72 images are right" in shown


def test_class_orders_are_compared_on_the_same_images(levels: Path) -> None:
    """Outputs exchanged: the best permutation is found, and judged on as many images as other readings."""

    class Exchanged(FirstPlane):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x).flip(1)

    found = of_levels(levels, Exchanged())
    assert found.better is not None
    assert found.better.words[0] in ("--classes", "--channels")
    named: Callable[[str], bool] = lambda name: any(name in trial.name for trial in found.tried)  # noqa: E731
    assert named("outputs in another order")
    assert named("colors as BGR")
