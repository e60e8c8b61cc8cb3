"""The page of a run of numbers in a real browser: a click on an image, a rectangle and a lasso drawn with the
pointer, a bin, fields by keyboard, links; and axe-core's rules on what is new."""

from collections.abc import Iterator

import numpy as np
import pytest

from explain.analysis.numbers.proposals import number_findings
from explain.analysis.numbers.run_numbers import plane_of
from tests.number_runs import MadeUp, made_up
from tests.pages import FITS, Events, served

playwright = pytest.importorskip("playwright.sync_api")
axe = pytest.importorskip("axe_playwright_python.sync_playwright")
pytestmark = [pytest.mark.browser, pytest.mark.slow]
RULES = {"resultTypes": ["violations"], "rules": {"target-size": {"enabled": True}}}


@pytest.fixture(scope="module")
def run() -> MadeUp:
    return made_up(300)


@pytest.fixture(scope="module")
def server(run: MadeUp) -> Iterator[str]:
    from dashboard.session.context import Context

    with served(Context(run)) as url:
        yield url


class Plane:
    """The drawing in the page: places are true and predicted numbers."""

    def __init__(self, page: "playwright.Page", run: MadeUp):
        self.page, self.axis = page, plane_of(run, 0).axis
        page.locator(".vt-scatter").scroll_into_view_if_needed()
        box = page.locator(".vt-scatter .vt-plane").bounding_box()
        assert box is not None
        self.box = box

    def at(self, true: float, predicted: float) -> tuple[float, float]:
        across, up = self.axis.place(np.array([true, predicted])).tolist()
        return self.box["x"] + across * self.box["width"], self.box["y"] + (1 - up) * self.box["height"]

    def drag(self, *places: tuple[float, float]) -> None:
        self.page.mouse.move(*self.at(*places[0]))
        self.page.mouse.down()
        for place in places[1:]:
            self.page.mouse.move(*self.at(*place), steps=4)
        self.page.mouse.up()


def shown(page: "playwright.Page") -> list[int]:
    """The rows of the cards."""
    cards = page.locator("#vt-gallery .vt-item .vt-card").all()
    return [int(card.get_attribute("data-value") or -1) for card in cards]


def heading(page: "playwright.Page") -> str:
    return str(page.locator("#vt-gallery h2").inner_text())


def what_to_try_opens_its_images(page: "playwright.Page", events: Events, run: MadeUp) -> None:
    found = number_findings(run, 0)
    show = page.locator("#vt-what [data-value='proposal:0']")
    show.wait_for()
    assert found.ready
    show.click()
    page.wait_for_selector("#vt-gallery h2:has-text('Large numbers are predicted too small')")
    page.wait_for_selector("#vt-what .vt-proposal.vt-on")
    events.wait()
    rows = found.proposals[0].rows.tolist()
    assert shown(page) == rows[: len(shown(page))]
    page.click("#vt-gallery [data-value=suspicious]")
    page.wait_for_selector("#vt-gallery h2:has-text('Suspicious true numbers')")
    events.wait()
    assert axe.Axe().run(page, options=RULES).response["violations"] == []


@pytest.mark.parametrize("page", [(1280, False, "")], indirect=True, ids=["wide light"])
def test_images_are_chosen_by_what_to_try_and_on_the_plane(page: "playwright.Page", run: MadeUp) -> None:
    events = Events(page)
    page.wait_for_selector("#vt-gallery .vt-three .vt-card")
    what_to_try_opens_its_images(page, events, run)
    truth, predicted = run.truth[:, 0], run.predicted[:, 0]
    worst = int((predicted - truth).argmax())
    plane = Plane(page, run)
    page.mouse.click(*plane.at(truth[worst], predicted[worst]))
    page.wait_for_selector("#vt-gallery h2:has-text('Around true')")
    assert shown(page)[0] == worst
    events.wait()
    plane = Plane(page, run)
    plane.drag((20.0, 30.0), (60.0, 55.0))
    page.wait_for_selector("#vt-gallery h2:has-text('True ')")
    events.wait()
    sides = [float(page.input_value(f"[data-action={side}]")) for side in ("left", "right", "bottom", "top")]
    assert sides == pytest.approx([20, 60, 30, 55], abs=1)
    left, right, bottom, top = sides
    inside = (truth >= left) & (truth < right) & (predicted >= bottom) & (predicted < top)
    assert f"{inside.sum()} images" in heading(page)
    assert set(shown(page)) <= set(np.flatnonzero(inside).tolist())
    page.click("[data-action=tool][data-value=lasso]")
    events.wait()
    plane = Plane(page, run)
    plane.drag((10.0, 20.0), (60.0, 25.0), (50.0, 70.0), (20.0, 60.0))
    page.wait_for_selector("#vt-gallery h2:has-text('Inside the lasso')")
    events.wait()
    found = axe.Axe().run(page, options=RULES).response["violations"]
    assert found == []
    page.locator(".vt-bin:not(:disabled)").nth(2).click()
    page.wait_for_selector("#vt-gallery h2:has-text('True ')")
    page.click("[data-action=output][data-value='1']")
    page.wait_for_selector(".vt-scatter .vt-axis:has-text('true valence')")
    page.wait_for_selector("#vt-gallery .vt-three")
    events.wait()


@pytest.mark.parametrize("page", [(390, True, "?output=age&group=box:20,60,,")], indirect=True)
def test_a_link_and_the_keyboard_alone(page: "playwright.Page", run: MadeUp) -> None:
    """On a phone, dark."""
    events = Events(page)
    page.wait_for_selector("#vt-gallery h2:has-text('True 20 to 60')")
    page.focus("#vt-plane [data-action=bottom]")
    page.keyboard.type("70")
    page.keyboard.press("Tab")
    page.wait_for_selector("#vt-gallery h2:has-text('True 20 to 60, predicted 70 or more')")
    events.wait()
    assert page.evaluate(FITS)
    found = axe.Axe().run(page, options=RULES).response["violations"]
    assert found == []
    page.locator(".vt-bin:not(:disabled)").first.focus()
    page.keyboard.press("Enter")
    page.wait_for_selector("#vt-gallery h2:not(:has-text('predicted 70'))")
    page.locator("#vt-gallery .vt-card").first.focus()
    page.keyboard.press("Enter")
    page.wait_for_selector("#vt-facts .vt-output")
    events.wait()
