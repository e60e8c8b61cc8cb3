"""What Inspect says of one map: its line, its flags, and the check on its button."""

import re
from collections.abc import Callable
from html import unescape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr
import numpy as np
import pytest
import torch
from PIL import Image

from dashboard.components.inspect.badge_view import badge_lines, check_view
from dashboard.components.inspect.map_cards import Card, heading, map_cards
from dashboard.server.permissions import Access
from dashboard.session.context import Context
from dashboard.session.types import Subject
from dashboard.tabs.inspect import InspectTab, show_row
from explain.quality import curves
from explain.quality.flags import flags
from explain.quality.one_map import check
from explain.quality.one_map.kept import Badge, Kept, Quantity
from explain.quality.one_map.map_check import OWN, RANDOM, MapCheck
from explain.quality.one_map.other_image import NOT_OF_RUN
from explain.run.reader import RunData
from models.classifier import Classifier
from tests.pages import FITS, Events
from tests.steps import last

if TYPE_CHECKING:
    from playwright import sync_api as playwright

NAME = "<img src=x>"
BORDER = np.ones((7, 7))
BORDER[1:-1, 1:-1] = 0
ONE = np.zeros((7, 7))
ONE[3, 3] = 1
FLAGGED = {
    "flat": np.zeros((7, 7)),
    "not finite": np.full((7, 7), np.nan),
    "all negative": -np.random.default_rng(0).random((7, 7)) - 0.1,
    "one cell": ONE,
    "border": BORDER,
    "saturated": np.random.default_rng(0).normal(size=(7, 7)),
}
KEPT = Kept(Quantity(NAME), 0.9, 0.549, 0.522, 0.108, 0.05)


def made_check(quantity: Quantity) -> MapCheck:
    lines = {name: np.array([0.0, height, 1]) for name, height in ((OWN, 0.8), ("center", 0.5), (RANDOM, 0))}
    areas = {name: (float(line.mean()), 0.1) for name, line in lines.items()}
    return MapCheck(quantity, (0.0, 0.5, 1.0), lines, lines, areas, 0.2)


def card_of(badge: Badge, raw: np.ndarray, made: MapCheck | None = None, saved: str | None = "") -> str:
    card = Card("grad_cam", NAME, raw, "layer", badge=badge, check=made)
    title = heading("Maps", (NAME,), 0, None, 0.5)
    return map_cards(Image.new("RGB", (32, 32)), [card], title, False, 0, saved)


@pytest.mark.parametrize("name", FLAGGED)
def test_every_flag_is_on_the_card_with_its_reason(name: str) -> None:
    raw = FLAGGED[name]
    badge = Badge(flags(raw, 0.9999999 if name == "saturated" else 0.5))
    card = card_of(badge, raw)
    (flag,) = badge.flags
    assert f"<b>{name}</b> {flag.reason}" in unescape(card)
    assert ("Check this map" in card) == (name not in ("flat", "not finite"))
    assert "Check this map" not in card_of(badge, raw, saved=None)  # for those who may not use the network


def test_names_are_text_wherever_they_stand() -> None:
    page = card_of(Badge((), KEPT), np.eye(7), made_check(Quantity(NAME, "<i>")))
    assert "<img src=x>" not in page
    assert "<i>" not in page.replace("<i></i>", "")
    plain = unescape(page).replace("\u00a0", " ")
    assert "top 10 % of the map keep 61 % of the probability (center 58 %, noise 12 %)" in plain
    assert f"the probability of {NAME} against <i>" in plain


def test_the_chart_has_a_title_a_description_and_a_text() -> None:
    page = check_view(made_check(Quantity("fear")), "Grad-CAM")
    assert page.count("<title>") == page.count("<desc>") == page.count('role="img"') == 2
    assert page.count('class="vt-trace vt-of-map"') == 3  # two charts and the legend
    text = unescape(re.findall(r'aria-label="(Insertion[^"]*)"', page)[0]).replace("\u00a0", " ")
    assert "this map from 0 % to 100 %; at 50 % of the cells this map 80 %, the center 50 %" in text
    assert 'points="0,100.00 500,20.00 1000,0.00"' in page
    assert "One image does not tell" in page
    assert "<code>python launch.py trust RUN</code>" in page
    numbers = check_view(made_check(Quantity("age", numbers=True)), "Grad-CAM")
    assert "age, this map from 0 to 1;" in numbers
    assert badge_lines(None, "grad_cam", "Grad-CAM", True) == ""


def test_maps_of_the_run_have_flags_without_the_network(small_run: RunData) -> None:
    """Also for those who may not use it, without the button."""
    for access, offered in ((Access.OWNER, 2), (Access.READER, 0)):
        panel = show_row(Context(small_run, access=access), 0)[2]
        assert panel.count("vt-badge") == 2
        assert panel.count(">Check this map<") == offered
        assert "top 10" not in panel


ME = gr.Request(session_hash="me")


class Clicks:
    """The handler of the Inspect tab, called as the page does."""

    def __init__(self, ctx: Context, methods: list[str]):
        with gr.Blocks():
            self.tab = InspectTab(ctx)
        self.values = [c.value for c in self.tab._form.inputs]
        self.values[list(self.tab._form.controls).index("methods")] = methods

    def click(
        self,
        action: str,
        method: str,
        progress: Callable[..., None] = lambda fraction, desc: None,
        subject: Subject | None = None,
    ) -> str:
        event = gr.SelectData(None, {"index": action, "value": method})
        return str(self.tab.compute(ME, event, progress, subject or {"row": 0}, *self.values)[1])


def test_a_check_is_made_on_its_button_once(
    small_run: RunData, tiny: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    ctx, images, asked = Context(small_run, network=tiny), list[int](), curves.logits

    def counted(model: Any, x: torch.Tensor, precision: str = "fp32") -> torch.Tensor:
        images.append(len(x))
        return asked(model, x, precision)

    monkeypatch.setattr(curves, "logits", counted)
    clicks, told = Clicks(ctx, ["grad_cam", "layer_cam"]), list[tuple[float, str]]()
    panel = str(last(clicks.tab.explain(ME, {"row": 0}, *clicks.values))[1])
    assert panel.count(" of the map keep ") == 2
    assert "vt-map-check" not in panel
    assert sum(images) == 8  # image, baseline, center, three of noise, two maps
    panel = clicks.click("check", "grad_cam", lambda fraction, desc: told.append((fraction, desc)))
    assert panel.count('<section class="vt-map-check"') == 1
    assert {desc for _, desc in told} == {"Check of Grad-CAM"}
    assert re.search(r"</svg> another image&#39;s map</th><td>0\.\d\d</td>", panel)
    assert "The other image is green/0.png, predicted as blue." in panel  # as which the map explains this one
    assert panel.index("The network is at chance in this run: ") < panel.index('class="vt-verdict"')
    count = sum(images)
    for action, method in (("check", "grad_cam"), ("save", "layer_cam"), ("check", "nonsense")):
        assert clicks.click(action, method).count('<section class="vt-map-check"') == 1
    assert sum(images) == count
    assert clicks.tab.show_cancel(gr.SelectData(None, {"index": "check", "value": ""})).visible


def test_a_photo_that_is_uploaded_is_not_compared_with_another_image(
    small_run: RunData, tiny: Classifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    (path := tmp_path / "up" / "photo.png").parent.mkdir()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 40, 3), np.uint8)).save(path)
    clicks = Clicks(ctx := Context(small_run, network=tiny), ["grad_cam"])
    panel = clicks.click("check", "grad_cam", subject={"upload": ctx.photos.keep("me", str(path))})
    assert NOT_OF_RUN in panel
    assert "another image&#39;s map</th>" not in panel
    assert "The network is at chance in this run: " in panel


def test_a_check_that_is_cancelled_leaves_the_maps(small_run: RunData, tiny: Classifier) -> None:
    ctx = Context(small_run, network=tiny)
    clicks, told = Clicks(ctx, ["grad_cam"]), list[float]()

    def on_progress(fraction: float, desc: str) -> None:
        told.append(fraction)
        if fraction > 0.5:
            clicks.tab.stop(gr.Request(session_hash="me"))

    panel = clicks.click("check", "grad_cam", on_progress)
    assert "Check this map" in panel
    assert "vt-map-check" not in panel
    assert max(told) < 0.9
    assert "vt-map-check" in clicks.click("check", "grad_cam")


def test_a_check_that_fails_is_one_line(
    small_run: RunData, tiny: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(check, "curves_of", lambda *given: 1 / 0)
    clicks = Clicks(Context(small_run, network=tiny), ["grad_cam"])
    with pytest.raises(gr.Error, match="That did not work"):
        clicks.click("check", "grad_cam")


def test_figures_that_fail_leave_maps_and_flags(
    small_run: RunData, tiny: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("explain.quality.one_map.badge.baseline", lambda *given: 1 / 0)
    clicks = Clicks(Context(small_run, network=tiny), ["grad_cam"])
    panel = str(last(clicks.tab.explain(ME, {"row": 0}, *clicks.values))[1])
    assert 'class="vt-map"' in panel
    assert "vt-badge" in panel
    assert "top 10" not in panel


@pytest.mark.slow
@pytest.mark.parametrize("page", [(390, True, "?image=test/fear/00012.png")], indirect=True)
def test_a_map_is_checked_on_a_phone(page: "playwright.Page", events: Events) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    events.wait()  # the arrival draws the maps of the run, then live ones, which would replace the check
    page.locator("#vt-live button:has-text('Check this map')").first.click()
    page.wait_for_selector("#vt-live .vt-map-check svg")
    events.wait()
    badges = page.locator("#vt-live .vt-badge").all_inner_texts()
    assert sum("of the probability" in text for text in badges) >= 3, badges
    assert page.evaluate(FITS)
    own, other = (
        page.locator(f".vt-map-check .vt-plot .vt-of-{name}").first.evaluate(
            "node => getComputedStyle(node).stroke"
        )
        for name in ("map", "center")
    )
    assert own != other
    assert "another image's map" in page.locator(".vt-map-check .vt-areas").inner_text()
    assert "predicted as surprise." in page.locator(".vt-map-check .vt-verdict").inner_text()
    rules = {"resultTypes": ["violations"], "rules": {"target-size": {"enabled": True}}}
    assert axe.Axe().run(page, context="#vt-live", options=rules).response["violations"] == []
