"""The Filters tab's parts, the charts of Layers, and long work in turns."""

import threading
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
import pytest
import torch
from torch import nn

from dashboard.components.controls import pager, pages_of
from dashboard.components.network.depth_view import charts_of, depth_panel
from dashboard.components.network.filter_view import feature_panel, filter_alone, kernel_panel
from dashboard.components.sheet import Cell, bars, sheet
from dashboard.error_boundary import error_boundary
from dashboard.session.cancellation import in_turns
from dashboard.session.context import Context
from dashboard.tabs.filters import STEPS, Pieces
from dashboard.tabs.filters_state import UNITS, FiltersView, UnitRequest
from explain import render
from explain.features.activation_maximization import Maximized, Settings, maximize
from explain.features.depth import Step
from explain.features.kernels import kernels
from explain.network.summary import format_text, layers, missing_information
from explain.run.reader import open_run
from models.classifier import Classifier
from models.errors import Cancelled, UserError
from tests.conftest import TINY, TOON_RUN

VIEW = FiltersView()
HOW = (UNITS[0], 16, 0, STEPS[0], 0, [])


@pytest.fixture(scope="module")
def pieces() -> Pieces:
    return Pieces(Context(open_run(TOON_RUN)))


def made(units: tuple[int, ...] = (0, 2), step: int = 4) -> Maximized:
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 255, (len(units), 20, 20, 3), dtype=np.uint8)
    return Maximized(
        units, step, 4, pictures, np.array([3.0, 0.5]), np.array([0.1, 0.5]), np.array([True, False])
    )


def test_first_sight_is_the_first_layer_and_nothing_is_maximized(
    pieces: Pieces, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("VITRINE_CACHE", str(tmp_path))
    table, panel, weights, alone = pieces.of(VIEW, HOW)
    assert table.count('data-action="layer"') == 13
    assert "Click Maximize" in panel
    assert weights.count('data-action="unit"') == 16
    assert "conv1, filter 0" in alone
    assert not any(tmp_path.iterdir())


def test_what_was_maximized_is_there_the_next_time(
    pieces: Pieces, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from explain.features.visualization_cache import maximized

    monkeypatch.setenv("VITRINE_CACHE", str(tmp_path))
    with pieces.ctx.classifier() as classifier:
        *_, _ = maximized(classifier, [0, 1], Settings("features.3", steps=1, seed=5))
    assert len(list(tmp_path.rglob("*.png"))) == 2
    _, panel, _, alone = pieces.of(replace(VIEW, layer="features.3", unit=1), (UNITS[0], 16, 0, 1, 5, []))
    assert panel.count('data-action="maximized"') == 2
    assert "feature visualization of conv2, filter 1" in alone


@pytest.mark.parametrize(
    ("how", "units", "settings"),
    [
        ((UNITS[0], 16, 4, 64, 1, []), tuple(range(4, 16)), Settings("features.0", steps=64, seed=1)),
        ((UNITS[1], 16, 99, 64, 0, []), (15,), Settings("features.0", "center", steps=64)),
        ((UNITS[2], 16, 0, 64, 0, []), tuple(range(8)), Settings(steps=64)),
        ((UNITS[2], 16, 0, 64, 0, [5, 2]), (5, 2), Settings(steps=64)),
    ],
)
def test_what_the_form_asks_for(
    pieces: Pieces, how: tuple[Any, ...], units: tuple[int, ...], settings: Settings
) -> None:
    wanted = UnitRequest(pieces.ctx.run.classes, *pieces.layers()[0], *how)
    assert wanted.units == units
    assert wanted.settings == settings
    if how[0] == UNITS[2]:
        assert wanted.names[0] == pieces.ctx.run.classes[units[0]]


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("layer", "features.3", {"layer": "features.3", "page": 0, "unit": 0, "class_index": None}),
        ("sort", "norm", {"sort": "norm", "page": 0}),
        ("sort", "x", {}),
        ("page", "2", {"page": 2}),
        ("unit", "9", {"unit": 9, "class_index": None}),
        ("unit", "-1", {}),
        ("other", "1", {}),
        ("maximized", "3", {"unit": 3}),
    ],
)
def test_clicks(name: str, value: str, expected: dict[str, object]) -> None:
    view = replace(VIEW, page=3, unit=4, class_index=1)
    assert view.apply(name, value) == replace(view, **expected)  # type: ignore[arg-type]


def test_a_class_is_enlarged(pieces: Pieces) -> None:
    from explain.features.visualization_cache import maximized

    how = (UNITS[2], 16, 0, 2, 9, [3])
    with pieces.ctx.classifier() as classifier:
        *_, _ = maximized(classifier, [3], Settings(steps=2, seed=9))
    view = replace(VIEW, unit=5).apply("maximized", "3", of_classes=True)
    assert view == replace(VIEW, unit=5, class_index=3)
    name = pieces.ctx.run.classes[3]
    assert f"feature visualization of {name}" in pieces.of(view, how)[3]
    assert "conv1, filter 5" in pieces.of(view, (UNITS[0], 16, 0, 2, 9, []))[3]


def test_wishes() -> None:
    done = feature_panel(made(), "<b>t</b>", ["0", "<two>"], 2)
    assert done.count('data-action="maximized"') == 2
    assert "&lt;two&gt;" in done
    assert "0.1 for noise, 3 for this" in done
    assert "no input activates this unit" in done
    assert "vt-bar" not in done
    going = feature_panel(made(step=1), "t", ["0", "2"], None, "Step 1 of 4")
    assert "width:25%" in going
    assert "Step 1 of 4" in going


def test_weights_of_every_kind(tiny: Classifier) -> None:
    tiny.model.features[3].weight.data[4] = 0  # type: ignore[index,operator,union-attr]
    strips = kernel_panel(kernels(tiny.model, "features.3"), asdict(VIEW), "conv2")
    assert strips.count('data-action="unit"') == 12
    assert "vt-strips" in strips
    assert "1 dead" in strips
    assert "4 dead" in strips
    colors = kernel_panel(kernels(tiny.model, "features.0"), asdict(replace(VIEW, sort="norm")), "<c>")
    assert "vt-strips" not in colors
    assert "&lt;c&gt;" in colors
    one = filter_alone(kernels(tiny.model, "features.3"), 4, "conv2, filter 4", None, "")
    assert "dead: its weights are close to zero" in one
    assert "norm 0 (12th of 12)" in one
    assert one.count("<figure>") == 8
    dense = filter_alone(kernels(tiny.model, "head"), 1, "preds, filter 1", made(), "")
    assert "Weights by input channel" in dense
    assert "vt-values" in dense
    wide = kernel_panel(
        kernels(nn.Sequential(nn.Linear(5000, 70)), "0"), asdict(replace(VIEW, page=9)), "wide"
    )
    assert wide.count('data-action="unit"') == 6


def test_sheets() -> None:
    cells = [Cell(i, f"<{i}>", "said") for i in range(5)]
    drawn = sheet("url", 4, cells, "unit", (2, 3))
    assert drawn.count("<button") == 5
    assert "&lt;4&gt;" in drawn
    assert "--vt-rows:2" in drawn
    assert pages_of(130, 64, 7) == (2, 3)
    assert pages_of(0, 64, 0) == (0, 1)
    assert pager(0, 1) == ""
    assert pager(1, 3).count("<button") == 2
    assert bars([0.0, 0.0]).count("<rect") == 2
    assert 'height="100.00"' in bars([-2.0, 0.0])


def test_kernels_as_pictures_keep_their_signs() -> None:
    import base64
    import io

    from PIL import Image

    weights = np.zeros((2, 3, 2, 2), np.float32)
    weights[0, 0, 0, 0], weights[0, 2, 1, 1] = 4, -4
    picture = np.asarray(
        Image.open(io.BytesIO(base64.b64decode(render.kernels_png(weights, 2).split(",")[1]))).convert("RGB")
    )
    assert picture.shape == (2, 4, 3)
    assert picture[0, 0].tolist() == [255, 128, 128]
    assert picture[1, 1].tolist() == [128, 128, 0]
    assert (picture[:, 2:] == 128).all()
    signed = np.asarray(render.signed_pixels(np.array([[[1.0, -1.0, 0.0]]])))
    assert signed[0, :, 0].tolist() == [255, 0, 128]
    assert (np.asarray(render.signed_pixels(np.zeros((3, 2, 2)))) == 128).all()


def steps(*zeros: float) -> list[Step]:
    return [
        Step(f"l{i}", f"<a{i}>", zero, 0.5, float("nan"), 0.7, 0.0, 0.3, 0.1) for i, zero in enumerate(zeros)
    ]


def test_curves() -> None:
    image, run = steps(0.1, 0.2, 0.9), steps(0.3, 0.4)
    zeros, classes, far, near = charts_of(image, run, 32)
    assert [line[1][:2] for line in zeros.lines] == [[0.1, 0.2], [0.3, 0.4]]
    assert np.isnan(zeros.lines[1][1][2])
    assert classes.lines[0][1][:2] == [0.3, 0.3]
    assert (far.title, near.title) == ("Shifted by 32 pixels", "Shifted by 1 pixel")
    panel = depth_panel(image, run, 32, "l1", {"images": 1200, "pooled": 9, "moved": 4}, "")
    assert panel.count("<figure") == 4
    assert panel.count('data-value="l1"') == 4
    assert "&lt;a0&gt;" in panel
    assert "1,200 images" in panel
    alone = depth_panel(image, None, 32, "", None, "")
    assert 'data-action="survey"' in alone
    assert "computed with the pass over the run" in alone
    assert "away from the border" in alone
    assert 'data-action="stop"' in depth_panel(image, None, 32, "", None, "3 %")


def test_work_in_turns_leaves_the_network_to_others_between_its_steps() -> None:
    ctx, taken = Context(open_run(TOON_RUN)), list[str]()

    def work() -> Iterator[int]:
        try:
            for k in range(3):
                taken.append("work")
                yield k
        finally:
            taken.append("closed")

    def other() -> None:
        with ctx.classifier():
            taken.append("other")

    for _ in in_turns(work(), ctx.classifier, lambda: ctx.cancellation.raise_if_cancelled("me")):
        thread = threading.Thread(target=other)
        thread.start()
        thread.join(20)
    assert taken == ["work", "other"] * 3 + ["closed"]
    taken.clear()
    turns = in_turns(work(), ctx.classifier, lambda: ctx.cancellation.raise_if_cancelled("me"))
    next(turns)
    ctx.cancellation.stop("me")
    with pytest.raises(Cancelled):
        next(turns)
    assert taken == ["work", "closed"]


def test_handlers_that_yield_say_what_went_wrong_in_one_line() -> None:
    @error_boundary
    def steps() -> Iterator[int]:
        yield 1
        raise UserError("no such thing: choose another.")

    @error_boundary
    def broken() -> Iterator[int]:
        yield from [1 // 0]

    found = steps()
    assert next(found) == 1  # type: ignore[call-overload]
    with pytest.raises(gr.Error, match="no such thing: choose another"):
        next(found)  # type: ignore[call-overload]
    with pytest.raises(gr.Error, match="ZeroDivisionError"):
        list(broken())


def test_a_network_without_filters() -> None:
    ctx = Context(open_run(TOON_RUN))
    with ctx.classifier() as classifier:
        ctx._classifier = replace(
            classifier, model=nn.Sequential(nn.BatchNorm2d(3), nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
        )
    with pytest.raises(UserError, match="no convolution and no dense layer"):
        Pieces(ctx).layers()


def test_a_network_that_cannot_be_followed_still_has_a_table(
    monkeypatch: pytest.MonkeyPatch, tiny: Classifier
) -> None:
    def refuse(*_: object) -> None:
        raise RuntimeError("no dispatch here")

    monkeypatch.setattr("explain.network.receptive_field.ReceptiveFields.__torch_dispatch__", refuse)
    table = layers(tiny.model, torch.rand(1, 3, 32, 32))
    assert [layer.shape for layer in table if layer.name == "features.4"] == [(12, 8, 8)]
    assert all(layer.field is None for layer in table)
    assert "receptive fields are not known" in missing_information(table)
    assert "not known" in format_text(table, zeros=True)


@pytest.mark.filterwarnings("ignore:.*torch.jit.*:FutureWarning")
def test_a_scripted_network_hides_its_layers() -> None:
    plain = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
    hidden = torch.jit.trace(plain, torch.rand(1, 3, 16, 16))
    assert "hides its layers" in missing_information(layers(hidden, torch.rand(1, 3, 16, 16)))
    assert missing_information(layers(plain, torch.rand(1, 3, 16, 16))) == ""


@pytest.mark.slow
def test_a_thousand_layers() -> None:
    convolutions = [nn.Conv2d(3 if k == 0 else 2, 2, 3, 1, 1) for k in range(1000)]
    deep = nn.Sequential(*convolutions, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 2)).eval()
    table = layers(deep, torch.rand(1, 3, 16, 16))
    assert len(table) == 1003
    field = table[999].field
    assert field is not None
    assert field.size == (2001, 2001)
    *_, done = maximize(Classifier("deep", deep, ("a", "b"), TINY, "", "x"), [1], Settings("999", steps=2))
    assert done.step == 2
