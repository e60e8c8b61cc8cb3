"""The review of labels in a real browser: by keyboard, by two reviewers, wide and on a phone, light and
dark."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from explain.analysis.findings import Findings
from explain.analysis.label_errors.review import Review
from explain.run.people.notes import read as notes_of
from explain.run.people.review import AGREE, OTHER, SKIP, UNSURE, read
from explain.run.reader import RunData, open_run
from tests.pages import Events, fits_wide_and_narrow, on_a_phone_in_the_dark, on_tab, open_tab, served

playwright = pytest.importorskip("playwright.sync_api")
pytestmark = [pytest.mark.browser, pytest.mark.slow]

CARD = "#vt-review-card"


@pytest.fixture
def server(review_run: RunData, tmp_path: Path) -> Iterator[str]:
    from dashboard.session.context import Context

    with served(Context(review_run, trainings=tmp_path / "trainings")) as url:
        yield url


def begin(page: "playwright.Page", name: str) -> None:
    page.fill(f"{CARD} [data-action=name]", name)
    page.keyboard.press("Tab")
    page.wait_for_selector(f"{CARD} .vt-question")


def press(page: "playwright.Page", key: str, number: int) -> None:
    """A key, and the image of that number that follows."""
    page.keyboard.press(key)
    page.wait_for_selector(f"{CARD} h2:has-text('Image {number} ')")


def label_of(page: "playwright.Page") -> str:
    return page.locator(f"{CARD} .vt-question b").inner_text()


@pytest.mark.parametrize("page", [(1280, False, "?tab=review")], indirect=True, ids=["by a link"])
def test_a_review_by_keyboard_and_a_second_reviewer(
    page: "playwright.Page", events: Events, tmp_path: Path
) -> None:
    run = open_run(tmp_path / "run")
    page.wait_for_selector("#vt-review-state :text('An estimate needs 40 answers more')")
    assert on_tab(page, "Review")
    begin(page, "ann")
    assert "the network predicts" not in page.locator(CARD).inner_text()  # hidden until answered
    page.locator(f"{CARD} .vt-review").focus()
    assert "is it right?" in str(page.locator(f"{CARD} .vt-review").get_attribute("aria-label"))
    first = label_of(page)
    other = str((run.classes.index(first) + 1) % 8 + 1)
    press(page, other, 2)
    assert f"label {first}, your answer {run.classes[int(other) - 1]}; the network predicts" in " ".join(
        page.locator(f"{CARD} .vt-last").inner_text().split()
    )
    assert page.evaluate("document.activeElement.classList.contains('vt-review')")  # the keys go on
    press(page, "a", 3)
    press(page, "u", 4)
    press(page, "s", 5)
    press(page, "z", 4)
    press(page, "s", 5)
    assert [one.kind for one in read(run.folder).values()] == [OTHER, AGREE, UNSURE, SKIP]
    image = next(iter(read(run.folder).values())).id
    assert notes_of(run.folder)[image].label == run.classes[int(other) - 1]
    page.focus(f"{CARD} [data-action=name]")
    page.keyboard.press("a")  # a letter of a name is no answer
    events.wait()
    assert len(read(run.folder)) == 4

    begin(page, "bob")
    page.wait_for_selector(f"{CARD} h2:has-text('Image 1 ')")
    page.click(f"{CARD} button:has-text('agree')")
    page.wait_for_selector(f"{CARD} h2:has-text('Image 2 ')")
    page.wait_for_selector("#vt-review-state :text('ann and bob give the same class to 0 of 1 image')")
    kinds = {(one.by, one.kind) for one in read(run.folder).values() if one.id == image}
    assert kinds == {("ann", OTHER), ("bob", AGREE)}
    assert image not in notes_of(run.folder)  # one against one
    assert fits_wide_and_narrow(page)


def test_forty_answers_on_a_phone_in_the_dark(
    page: "playwright.Page", events: Events, tmp_path: Path
) -> None:
    run = open_run(tmp_path / "run")
    review = Review(Findings(run))
    for _ in range(39):
        shown = review.next("ann")
        assert shown is not None
        review.answer("ann", shown.row, OTHER, run.classes[shown.row % 8])
    on_a_phone_in_the_dark(page)
    open_tab(page, "Review")
    begin(page, "ann")
    page.wait_for_selector("#vt-review-state :text('An estimate needs 1 answer more')")
    page.click(f"{CARD} button:has-text('agree')")
    page.wait_for_selector("#vt-review-state :text('of the labels are wrong')")
    assert fits_wide_and_narrow(page)
    for button in page.locator(f"{CARD} .vt-answer").all():
        box = button.bounding_box()
        assert box is not None
        assert box["height"] >= 24  # large enough for a finger
        assert button.inner_text().strip()
