"""Activation maximization: the canvas against NumPy, the ascent against cases whose optimum is known, and
what is kept of it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from explain.features.activation_maximization import COLORS, Canvas, Maximized, Settings, _Ascent, maximize
from explain.features.units import units_in, write
from explain.features.visualization_cache import VisualizationCache, maximized
from models.checkpoints import fingerprint
from models.classifier import Classifier
from models.errors import UserError
from models.preprocessing import Preprocessing
from tests.test_capture import assert_as_found, snapshot

SHORT = Settings("features.3", steps=6)


@pytest.fixture
def x() -> torch.Tensor:
    return torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))


def last(classifier: Classifier, units: list[int], settings: Settings) -> Maximized:
    *_, made = maximize(classifier, units, settings)
    return made


def of(model: nn.Module, channels: int = 3, side: int = 32) -> Classifier:
    preprocessing = Preprocessing((side, side), None, (0.0,) * channels, (1.0,) * channels)
    return Classifier("one", model.eval(), ("a", "b"), preprocessing, "", fingerprint(model))


@pytest.mark.parametrize(("channels", "size"), [(3, (24, 32)), (1, (16, 16)), (3, (15, 17))])
def test_canvas_is_the_inverse_fourier_transform(channels: int, size: tuple[int, int]) -> None:
    canvas = Canvas([4, 7], channels, size, 0, torch.device("cpu"))
    spectrum = canvas.spectrum.numpy()
    plain = np.zeros((2, channels, *size))
    for n in range(2):
        for c in range(channels):
            scaled = np.zeros((size[0], size[1] // 2 + 1), complex)
            for v in range(size[0]):
                for u in range(size[1] // 2 + 1):
                    frequency = np.hypot(min(v, size[0] - v) / size[0], u / size[1])
                    scaled[v, u] = complex(*spectrum[n, c, v, u]) / max(frequency, 1 / max(size))
            plain[n, c] = np.fft.irfft2(scaled, s=size) * np.sqrt(size[0] * size[1]) / 4
    if channels == 3:
        colors = COLORS.numpy() / np.linalg.norm(COLORS.numpy(), axis=0).max()
        plain = np.stack([sum(colors[d, c] * plain[:, c] for c in range(3)) for d in range(3)], 1)
    np.testing.assert_allclose(canvas.pictures(canvas.spectrum).numpy(), 1 / (1 + np.exp(-plain)), atol=1e-5)


@pytest.mark.slow
def test_a_color_detector_gets_its_color() -> None:
    """A 1 × 1 convolution for red, and one for its opposite: the optimum is (1, 0, 0), and (0, 1, 1)."""
    conv = nn.Conv2d(3, 2, 1, bias=False)
    conv.weight.data = torch.tensor([[1.0, -1, -1], [-1, 1, 1]])[:, :, None, None]
    network = of(nn.Sequential(conv, nn.AdaptiveAvgPool2d(1), nn.Flatten()))
    made = last(network, [0, 1], Settings("0", steps=100, rate=0.1))
    assert made.answers == pytest.approx([1, 2], abs=0.1)
    red, cyan = made.pictures.reshape(2, -1, 3).astype(float).mean(1) / 255
    assert red[0] - red[1:].max() > 0.1
    assert cyan[1:].min() - cyan[0] > 0.1
    there = (
        last(network, [0, 1], Settings("0", "center", steps=100, rate=0.1, shift=0)).pictures[:, 16, 16] / 255
    )
    np.testing.assert_allclose(there, [(1, 0, 0), (0, 1, 1)], atol=0.1)


@pytest.mark.slow
def test_a_neuron_gets_its_kernel_where_it_stands() -> None:
    """Of a linear neuron the best picture in [0, 1] is white where its weights are positive and black where
    they are not."""
    torch.manual_seed(0)
    kernel = nn.functional.interpolate(torch.randn(1, 1, 3, 3), 9, mode="nearest")
    conv = nn.Conv2d(1, 1, 9, bias=False, padding=4)
    conv.weight.data = kernel
    still = Settings("0", "center", steps=150, rate=0.1, turn=0, zoom=0, shift=0)
    made = last(of(nn.Sequential(conv), 1), [0], still)
    there = made.pictures[0, 12:21, 12:21, 0] / 255
    np.testing.assert_allclose(there, (kernel[0, 0] > 0).float(), atol=0.1)
    assert made.answers[0] == pytest.approx(float(kernel.clamp(min=0).sum()), rel=0.05)


@pytest.mark.slow
def test_a_filter_for_edges_gets_edges_not_plain_color() -> None:
    conv = nn.Conv2d(1, 1, (1, 2), bias=True)
    conv.weight.data, conv.bias.data = torch.tensor([[[[-1.0, 1.02]]]]), torch.tensor([0.5])  # type: ignore[union-attr]
    made = last(of(nn.Sequential(conv), 1), [0], Settings("0", steps=100))
    assert np.abs(np.diff(made.pictures[0, :, :, 0].astype(float), axis=1)).mean() > 60
    assert made.answers[0] > 1.4  # plain white gives 0.52


def test_each_picture_depends_on_itself_alone(tiny: Classifier) -> None:
    both, alone = last(tiny, [2, 5], SHORT), last(tiny, [5], SHORT)
    assert np.abs(both.pictures[1].astype(int) - alone.pictures[0]).max() <= 2
    assert both.answers[1] == pytest.approx(alone.answers[0], rel=0.02)
    assert np.array_equal(last(tiny, [2, 5], SHORT).pictures, both.pictures)
    assert not np.array_equal(last(tiny, [2, 5], replace(SHORT, seed=1)).pictures, both.pictures)


def test_parts_of_a_batch_give_the_gradient_of_the_whole(tiny: Classifier) -> None:
    ascent = _Ascent(tiny, (0, 3, 4, 9), SHORT)
    moves = ascent._moves()
    whole, answers = ascent._gradient(4, moves)
    part, same = ascent._gradient(3, moves)
    torch.testing.assert_close(whole, part, rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose(answers, same, rtol=1e-3, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [
        SHORT,
        Settings("features.4", "center", steps=6),
        Settings("features.1", steps=6),
        Settings("head", steps=6),
        Settings(steps=6),
        Settings("dropout", steps=6),
    ],
    ids=lambda s: s.layer or "classes",
)
def test_more_than_noise_gives_and_the_model_as_found(
    tiny: Classifier, x: torch.Tensor, settings: Settings
) -> None:
    before = snapshot(tiny.model, x)
    made = last(tiny, [0, 1, 2], replace(settings, steps=40))
    assert_as_found(before, tiny.model, x)
    assert (made.answers > made.began)[made.moved].all()
    assert made.moved.any()
    half = maximize(tiny, [0, 1], settings)
    assert next(half).step == 0
    assert next(half).step == 1
    half.close()
    assert_as_found(before, tiny.model, x)
    with pytest.raises(UserError, match="No unit 99 in"):
        last(tiny, [99], settings)
    assert_as_found(before, tiny.model, x)


def test_answers_are_what_the_layer_puts_out_at_its_strongest_place(tiny: Classifier) -> None:
    made = last(tiny, [0, 1, 2], SHORT)
    x = tiny.batch([Image.fromarray(picture) for picture in made.pictures])
    with torch.no_grad():
        expected = tiny.model.features[:4](x).amax((2, 3))[range(3), range(3)]  # type: ignore[index,operator]
    np.testing.assert_allclose(made.answers, expected.numpy(), atol=0.05)


def test_a_unit_whose_relu_noise_leaves_shut(tiny: Classifier) -> None:
    """Grey gives nothing, and no gradient; louder noise opens it."""
    conv = nn.Conv2d(3, 1, 1)
    conv.weight.data[:], conv.bias.data[:] = torch.tensor([1.0, -1, 0])[:, None, None], -0.3  # type: ignore[index]
    made = last(
        of(nn.Sequential(nn.Sequential(conv, nn.ReLU()), nn.Conv2d(1, 2, 1))), [0], Settings("0", steps=60)
    )
    assert made.began.tolist() == [0]
    assert made.moved.all()
    assert made.answers[0] > 0.5


def test_a_dead_filter_is_told(tiny: Classifier) -> None:
    tiny.model.features[3].weight.data[1] = 0  # type: ignore[index,operator,union-attr]
    made = last(tiny, [0, 1], SHORT)
    assert made.moved.tolist() == [True, False]
    assert made.answers[1] == pytest.approx(made.began[1])
    assert np.ptp(made.pictures[1]) < 40  # the noise it began with


def test_a_relu_that_runs_twice_is_the_last(tiny: Classifier) -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.two, self.relu = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 9, 3), nn.ReLU()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.relu(self.two(self.relu(self.one(x)))).mean((2, 3))  # type: ignore[no-any-return]

    torch.manual_seed(0)
    made = last(of(Twice()), [8], Settings("relu", steps=20))  # the first time it has 4 channels
    assert made.answers[0] > made.began[0]


def test_a_layer_that_does_not_look_at_the_picture() -> None:
    class Aside(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.aside, self.fixed = nn.Conv2d(3, 4, 3), nn.Linear(2, 4), nn.Identity()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return (
                self.conv(x).mean((2, 3))
                + self.aside(torch.ones(len(x), 2))
                + self.fixed(torch.ones(len(x), 4))
            )  # type: ignore[no-any-return]

    for layer in ("aside", "fixed"):
        assert not last(of(Aside()), [0, 1], Settings(layer, steps=8)).moved.any()


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"place": "corner"}, "No place 'corner': choose from everywhere, center"),
        ({"steps": 0}, "0 steps: use 1 to 4096"),
    ],
)
def test_settings_that_do_not_fit(given: dict[str, object], text: str) -> None:
    with pytest.raises(UserError, match=text):
        Settings(**given)  # type: ignore[arg-type]


def test_album(tiny: Classifier, tmp_path: Path) -> None:
    *_, made = maximized(tiny, [1, 4], SHORT, tmp_path)
    assert VisualizationCache(tiny, replace(SHORT, seed=3), tmp_path).known([1]) is None
    assert VisualizationCache(replace(tiny, weights_hash="other"), SHORT, tmp_path).known([1]) is None
    (again,) = maximized(tiny, [1, 4], SHORT, tmp_path)  # at once
    assert np.array_equal(again.pictures, made.pictures)
    np.testing.assert_allclose(again.answers, made.answers)
    assert again.moved.all()
    *_, more = maximized(tiny, [4, 2, 1], SHORT, tmp_path)
    assert more.units == (4, 2, 1)
    assert np.array_equal(more.pictures[[2, 0]], made.pictures)
    next(tmp_path.rglob("4.png")).write_bytes(b"broken")
    kept = VisualizationCache(tiny, SHORT, tmp_path).known([1, 2, 4])
    assert kept is not None
    assert kept.units == (1, 2)


def test_stopped_half_way_nothing_is_kept(tiny: Classifier, tmp_path: Path) -> None:
    work = maximized(tiny, [1], SHORT, tmp_path)
    next(work), next(work)
    work.close()  # type: ignore[attr-defined]
    assert not list(tmp_path.rglob("*"))


@pytest.mark.slow
def test_the_album_has_a_limit(tiny: Classifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("explain.features.visualization_cache.LIMIT", 9000)
    for unit in range(6):
        *_, _ = maximized(tiny, [unit], SHORT, tmp_path)
    files = list(tmp_path.rglob("*.png"))
    assert 0 < sum(file.stat().st_size for file in files) <= 9000
    assert len(files) < 6


def test_an_album_that_cannot_be_written(tiny: Classifier, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    *_, made = maximized(tiny, [0], SHORT, tmp_path / "file")
    assert made.step == made.steps


def test_units_in_words() -> None:
    assert units_in("0-3, 7,2") == [0, 1, 2, 3, 7]
    assert units_in("Fear,0", ("anger", "fear")) == [1, 0]
    for wrong, text in (
        ("3-1", "give numbers"),
        ("x", "give numbers"),
        ("", "0 units"),
        ("0-9999", "1 to 256 are allowed"),
    ):
        with pytest.raises(UserError, match=text):
            units_in(wrong)
    with pytest.raises(UserError, match="No class 'joy'"):
        units_in("joy", ("anger", "fear"))


def test_files(tiny: Classifier, tmp_path: Path) -> None:
    text = write(tiny, last(tiny, [0, 5], SHORT), SHORT, tmp_path / "out")
    assert Image.open(tmp_path / "out" / "sheet.png").size == (64, 32)
    assert Image.open(tmp_path / "out" / "0005.png").size == (32, 32)
    table = (tmp_path / "out" / "units.csv").read_text().splitlines()
    assert (
        table[0]
        == "unit,name,answer_to_noise,answer_to_picture,reached_by_gradient,norm,dead,most_similar,cosine"
    )
    assert len(table) == 3
    assert "for its picture" in text[0]
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        write(tiny, last(tiny, [0], SHORT), SHORT, tmp_path / "file" / "out")


@pytest.mark.slow
def test_another_network_recognizes_maximized_classes(
    mobilenet_weights: Path, mobilenet_v1_weights: Path, tmp_path: Path
) -> None:
    """Three classes of MobileNetV2 before MobileNetV1: by chance 0.015 of them would be among its first
    five."""
    from explain.network.hooks import logits
    from models.registry import load

    first, second = load("mobilenet_v2", mobilenet_weights), load("mobilenet_v1", mobilenet_v1_weights)
    first = replace(first, preprocessing=replace(first.preprocessing, size=(128, 128), resize=146))
    classes = [207, 292, 980]
    made = last(first, classes, Settings(steps=40))
    text = logits(second.model, second.batch([Image.fromarray(picture) for picture in made.pictures]))
    rank = (text > text[range(3), classes][:, None]).sum(1)
    assert int((rank < 5).sum()) >= 2, rank
    noise = last(first, classes, Settings(steps=1))
    control = logits(second.model, second.batch([Image.fromarray(picture) for picture in noise.pictures]))
    assert int(((control > control[range(3), classes][:, None]).sum(1) < 5).sum()) == 0
