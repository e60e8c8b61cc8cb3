"""The page measures maps of runs of numbers and of several labels per image as those of classes."""

import asyncio
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest

from dashboard.session.context import Context
from dashboard.tabs.errors import ErrorsTab
from dashboard.tabs.numbers import NumbersTab
from dashboard.tabs.numbers_state import first_view
from explain.quality import small
from explain.quality.known import known, methods_by_verdict
from explain.run.engine import run
from explain.run.reader import open_run
from tests import number_source, test_label_sets


@pytest.fixture(autouse=True)
def coarse(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(small, "STEPS", 3)
    monkeypatch.setattr(small, "IMAGES", 12)


def measured(tab: Any) -> str:
    """The line, after a click on Measure."""
    tab._trust.act({"method": "grad_cam"}, SimpleNamespace(index="measure", value=""))
    while tab._ctx.measuring.running:
        time.sleep(0.02)
    line, clock, _ = tab._trust.follow({"method": "grad_cam"})
    assert not clock.active
    return str(line)


@pytest.mark.slow
def test_numbers(tmp_path: Path) -> None:
    source = number_source.Tinted(tmp_path / "data", 24)
    net = number_source.answering(source)
    run(net, source, tmp_path / "run", ["grad_cam", "layer_cam"], batch_size=8)
    opened = open_run(tmp_path / "run")
    with gr.Blocks():
        tab = NumbersTab(Context(opened, network=net))
    assert "Not measured yet" in tab._trust.drawn("grad_cam")
    line = measured(tab)
    found = known(opened)
    assert found is not None
    assert found.images == 12
    assert found.by_method["grad_cam"].text in line
    view = dict(first_view(tab._run).__dict__)
    redrawn = "".join(map(str, tab.redraw(view)))
    assert redrawn.index(f'value="{methods_by_verdict(opened)[0]}"') > 0
    chosen: Any = SimpleNamespace(index="method", value="layer_cam")
    *_, line, _, _ = tab.act(view | {"method": "grad_cam"}, chosen)
    assert found.by_method["layer_cam"].text in line
    request: Any = SimpleNamespace(query_params={})

    async def arrive() -> set[int]:
        return {len(values) async for values in tab.arrive(request)}  # type: ignore[attr-defined]

    assert asyncio.run(arrive()) == {len(tab._areas) + 4}


@pytest.mark.slow
def test_several_labels(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    source, net = test_label_sets.Patches(tmp_path / "data"), test_label_sets.answering()
    run(net, source, tmp_path / "run", ["grad_cam"], batch_size=5)
    opened = open_run(tmp_path / "run")
    with gr.Blocks():
        tab = ErrorsTab(Context(opened, network=net))
    line = measured(tab)
    found = known(opened)
    assert found is not None
    assert found.by_method["grad_cam"].text in line
    assert len(tab.redraw(dict(tab._first.__dict__))) == len(tab._areas)
