"""Verdicts over depth where several layers were measured: what is known of them, their order, the bars of the
page and of the report, and the layer that is offered for live maps."""

import json
import re
from collections.abc import Callable
from html import unescape
from types import SimpleNamespace
from typing import Any

import gradio as gr
import numpy as np
import pytest

from dashboard.components.trust.trust_line import trust_line
from dashboard.server.permissions import Access
from dashboard.session.context import Context
from dashboard.tabs.errors import ErrorsTab
from dashboard.tabs.inspect import BEST, InspectTab
from explain.analysis.findings import Findings
from explain.export.report import report
from explain.network.stages import STAGES
from explain.quality.next_run import command_at
from explain.quality.over_depth.depth import advice
from explain.quality.over_depth.known_depth import known_depth
from explain.quality.over_depth.layer_order import FILE, in_order, keep_order
from explain.quality.plan import measurements
from explain.run.reader import RunData
from models.classifier import Classifier
from tests.markup import runs_nothing
from tests.measured import BETTER, CENTER, SAME, above_chance, keep

BOTH = ("grad_cam", "layer_cam")
OTHER = "features.0"


def measured(run: RunData, **kinds: str) -> None:
    """`kinds`: of both methods at features.N, by the name fN, and at the run's own layer, by the name own."""
    for name, kind in kinds.items():
        layer = None if name == "own" else name.replace("f", "features.")
        keep(run, dict.fromkeys(BOTH, kind), layer=layer)


@pytest.fixture
def small_run(small_run: RunData) -> RunData:
    """Above chance, so that what is measured counts."""
    return above_chance(small_run)


@pytest.fixture
def own(small_run: RunData) -> str:
    layer = small_run.manifest.request.layer
    assert layer == "features"  # its last layer is features.4
    return layer


# --- what is known


@pytest.mark.slow
def test_one_layer_has_no_depth(small_run: RunData, own: str) -> None:
    assert known_depth(small_run) is None
    measured(small_run, own=SAME)
    assert known_depth(small_run) is None
    keep(small_run, {"grad_cam": BETTER}, layer=OTHER, steps=4)  # other settings are not compared
    assert known_depth(small_run) is None
    keep(small_run, {"grad_cam": BETTER}, layer=OTHER, images=9)  # too few to say
    assert known_depth(small_run) is None


@pytest.mark.slow
def test_layers_of_equal_settings_are_compared(small_run: RunData, own: str) -> None:
    measured(small_run, own=SAME, f0=BETTER)
    depth = known_depth(small_run)
    assert depth is not None
    assert [trust.layer for trust in depth.layers] == [OTHER, own]
    assert depth.images == 12
    assert depth.best is depth.advised is depth.layers[0]
    assert known_depth(small_run) is depth  # read once
    measured(small_run, f3=CENTER)
    after = known_depth(small_run)
    assert after is not None
    assert len(after.layers) == 3


@pytest.mark.slow
def test_methods_that_were_measured_everywhere_are_compared(small_run: RunData, own: str) -> None:
    keep(small_run, {"grad_cam": SAME, "layer_cam": BETTER})
    keep(small_run, {"grad_cam": SAME}, layer=OTHER)
    depth = known_depth(small_run)
    assert depth is not None
    assert [[v.method for v in trust.verdicts] for trust in depth.layers] == [["grad_cam"]] * 2
    assert depth.best is None


def test_damaged_layers_are_as_none(small_run: RunData, own: str) -> None:
    store = keep(small_run, dict.fromkeys(BOTH, BETTER), layer=OTHER)
    measured(small_run, own=SAME)
    for part in store.parts:
        part.write_bytes(part.read_bytes()[:-30])
    assert known_depth(small_run) is None


# --- their order


def test_without_a_kept_order_numbers_are_in_order(small_run: RunData) -> None:
    names = ["features", "features.10,features.11", "features.10", "features.2", "conv", "features.2.1"]
    ordered = ["conv", "features.2.1", "features.2", "features.10", "features.10,features.11", "features"]
    assert in_order(small_run.folder, names) == ordered


@pytest.mark.parametrize("text", ["", "[]", '{"layers": 3}', '{"layers": ["b"]}'])
def test_an_order_that_cannot_be_read_is_as_none(small_run: RunData, text: str) -> None:
    keep_order(small_run.folder, ["b", "a"])
    assert in_order(small_run.folder, ["a", "b"]) == ["b", "a"]
    (small_run.folder / "trust" / FILE).write_text(text)
    assert in_order(small_run.folder, ["b", "a"]) == ["a", "b"]


def test_the_order_is_the_networks(small_run: RunData, tiny: Classifier) -> None:
    """Whatever order the layers are named in; several commands add up."""
    measurements(tiny, small_run, images=12)
    assert not (small_run.folder / "trust" / FILE).exists()  # of one layer there is none
    measurements(tiny, small_run, layers=("features.4", "features.0"), images=12)
    measurements(tiny, small_run, layers=("features", STAGES), images=12)
    measurements(tiny, small_run, layers=("features", "features.3"), images=12)
    kept = json.loads((small_run.folder / "trust" / FILE).read_text())["layers"]
    single = [name for name in kept if "," not in name]
    assert [name for name in single if name != "features"] == ["features.0", "features.3", "features.4"]
    assert single.index("features") >= 2  # it ends with its last layer
    assert len(kept) == len(set(kept))


# --- the page


def bars(html: str) -> list[tuple[str, float, float]]:
    """Layer, width of the bar in percent and value of each row."""
    name, bar = (
        r"<td>(?:<bdi>)?([^<]*)(?:</bdi>)?</td>",
        r'<span class="(?:vt-)?bar"><i style="width:(\d+)%">',
    )
    rows = re.findall(f"{name}<td>{bar}(.*?)</tr>", html)
    return [(name, float(width), float(re.findall(r"-?\d\.\d+", rest)[0])) for name, width, rest in rows]


@pytest.mark.slow
def test_the_line_has_a_bar_for_each_layer(small_run: RunData, own: str) -> None:
    assert "vt-over-depth" not in trust_line(small_run, "grad_cam", "button")
    measured(small_run, f0=BETTER, f3=SAME, own=SAME)
    html = trust_line(small_run, "grad_cam", "button", live=True)
    mean = float(np.mean([0.6 + 0.001 * i for i in range(12)]))
    expected = [("features.0", 100.0, mean), ("features.3", 100 * 0.4 / mean, 0.4)]
    expected.append((f"{own} (run)", *expected[1][1:]))
    for found, (name, width, value) in zip(bars(html), expected, strict=True):
        assert found[0] == name
        assert found[1] == pytest.approx(width, abs=0.5)
        assert found[2] == pytest.approx(value, abs=5e-4)
    depth = known_depth(small_run)
    assert depth is not None
    assert advice(depth) in unescape(html)
    assert "3 layers on 12 images, best at features.0" in html
    assert 'data-action="layer" data-value="features.0"' in html
    assert command_at(small_run.manifest, "features.0") in unescape(html)


@pytest.mark.slow
def test_whoever_cannot_use_it_gets_no_offer(small_run: RunData, own: str) -> None:
    measured(small_run, f0=BETTER, own=SAME)
    visitor = trust_line(small_run, "grad_cam", "", live=True)
    assert 'data-action="layer"' in visitor
    assert "--layer features.0 " in visitor  # the advice
    assert "vt-command" not in visitor  # it names folders
    assert 'data-action="layer"' not in trust_line(small_run, "grad_cam", "command", live=False)


@pytest.mark.slow
def test_no_layer_is_offered_where_the_own_is_as_good(small_run: RunData, own: str) -> None:
    measured(small_run, f0=BETTER, own=BETTER)
    html = trust_line(small_run, "grad_cam", "button", live=True)
    assert "2 layers on 12 images, best at features" in html
    assert 'data-action="layer"' not in html
    assert "vt-next-layer" not in html


# --- a click


@pytest.fixture
def made(small_run: RunData, tiny: Classifier) -> Callable[..., Context]:
    measured(small_run, f0=BETTER, own=SAME)
    return lambda access=Access.OWNER: Context(small_run, access=access, network=tiny)


@pytest.mark.slow
@pytest.mark.parametrize("access", [Access.OWNER, Access.VISITOR])
def test_a_click_opens_inspect_at_the_layer(made: Callable[..., Context], access: Access) -> None:
    ctx = made(access)
    with gr.Blocks():
        errors, inspect = ErrorsTab(ctx), InspectTab(ctx)
    assert 'data-value="features.0"' in errors._trust.drawn("grad_cam")
    event: Any = SimpleNamespace(index="layer", value=OTHER)
    chosen, tabs = errors._trust.use_layer(event)
    assert tabs.selected == "inspect"
    errors._trust.act({"method": "grad_cam"}, event)  # the line itself stays
    found = inspect.use_layer(chosen)
    assert found.value == [OTHER]
    texts = {name: text for text, name in found.choices}
    assert [name for name, text in texts.items() if text.endswith(BEST)] == [OTHER]
    assert [name for _, name in inspect.choices().choices] == list(texts)
    for index, value in (("layer", "features.1"), ("layer", "<b>"), ("measure", OTHER)):
        event = SimpleNamespace(index=index, value=value)
        assert all(one == gr.skip() for one in errors._trust.use_layer(event))
    assert inspect.use_layer({"layer": "features"}).value == ["features"]  # a block
    assert inspect.use_layer({"layer": "features.0,features.3"}).value == ["features.0", "features.3"]
    with pytest.raises(gr.Error, match="No layer 'nowhere'"):
        inspect.use_layer({"layer": "nowhere"})


# --- the report


@pytest.mark.slow
def test_the_report_has_the_bars(small_run: RunData, own: str) -> None:
    assert 'class="bar"' not in report(Findings(small_run))
    measured(small_run, f0=BETTER, f3=SAME)
    text = report(Findings(small_run))  # the own layer was not measured
    assert "was not measured" in text
    assert [name for name, *_ in bars(text)] == ["features.0", "features.3"]
    measured(small_run, own=SAME)
    text = report(Findings(small_run))
    assert [(name, width) for name, width, _ in bars(text)] == [
        ("features.0", 100),
        ("features.3", 66),
        (f"{own} (run)", 66),
    ]  # 0.4 of 0.6055
    depth = known_depth(small_run)
    assert depth is not None
    assert advice(depth) in unescape(text)
    assert command_at(small_run.manifest, "features.0") in unescape(text)
    runs_nothing(text)
