"""Errors and Compare in a real browser: from what to try to the images, their maps as numbers, notes, and
another run beside this one."""

import re
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from benchmarks.synthetic import Faults, synthetic_run
from explain.run.people.notes import read
from explain.run.reader import open_run
from tests.pages import (
    DRAWN,
    LATE_END,
    Events,
    fits_wide_and_narrow,
    on_a_phone_in_the_dark,
    open_tab,
    saved,
    served,
)

playwright = pytest.importorskip("playwright.sync_api")
pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs of the same images; the first has faults, and a method more."""
    root = tmp_path_factory.mktemp("runs")
    synthetic_run(
        root / "first",
        900,
        8,
        Faults(flipped=0.05, blurred=2, border=3, starved=4),
        methods=("layer_cam", "grad_cam"),
    )
    synthetic_run(root / "second", 900, 8, Faults(starved=4), apart=2.5, seed=0)
    return root


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[str]:
    from dashboard.session.context import Context

    with served(
        Context(open_run(folder / "first"), trainings=folder / "trainings", against=(folder / "second",))
    ) as url:
        yield url


def from_what_to_try_to_the_images(page: "playwright.Page") -> None:
    page.wait_for_selector(".vt-proposal:has-text('class 2 is blurred.')")
    for message in (
        "labels look wrong",
        "class 4 has too few training images",
        "class 3 may be recognized by its border",
    ):
        assert page.locator(".vt-proposal", has_text=message).count() == 1
    assert (
        "train --labels labels.csv" in page.locator(".vt-proposal", has_text="labels look wrong").inner_text()
    )
    page.click(".vt-proposal:has-text('labels look wrong') .vt-link")
    page.wait_for_selector("#vt-gallery h2:has-text('labels look wrong')")
    assert page.locator(".vt-proposal.vt-on").count() == 1
    page.select_option(".vt-lenses select", "border")
    page.wait_for_selector("#vt-gallery h2:has-text('errors at the border')")
    assert fits_wide_and_narrow(page)


def ways_of_looking(page: "playwright.Page") -> None:
    """Each way shows what it promises, and the next click starts from there."""
    page.click(".vt-lenses :text('Attention')")
    page.click("#vt-gallery th :text('entropy')")
    page.wait_for_selector("#vt-gallery label:has-text('entropy from')")
    page.fill("#vt-gallery [data-action=low]", "0.5")
    page.keyboard.press("Tab")
    page.wait_for_selector(
        "#vt-gallery button[data-value='where:entropy:0.5:']"
    )  # it shows those that are left
    page.click("#vt-gallery :text('show images')")
    page.wait_for_selector("#vt-gallery h2:has-text('entropy 0.5 to')")
    page.click(".vt-lenses :text('Mean maps')")
    page.wait_for_selector("#vt-gallery .vt-difference")
    page.click(".vt-lenses :text('Clusters')")
    page.select_option("#vt-gallery select[data-action=class]", "3")
    page.wait_for_selector("#vt-gallery h2:has-text('Clusters of class 3')")
    page.locator("#vt-gallery .vt-class-name").first.click()
    page.wait_for_selector("#vt-gallery h2:has-text('class 3, cluster 1')")
    page.click(".vt-lenses :text('Slices')")
    page.locator("#vt-gallery tr[role=button]").first.click()
    page.wait_for_selector("#vt-gallery h2 small:has-text('of the rest')")
    assert page.locator("#vt-gallery .vt-card").count() > 3
    assert fits_wide_and_narrow(page)


def the_matrix_by_keyboard_shares_and_order(page: "playwright.Page") -> None:
    page.select_option("#vt-confusion select[data-action=norm]", "row")
    whole = (
        "[...document.querySelectorAll('#vt-confusion tbody tr:first-child .vt-cell')].reduce((sum, "
        "cell) => sum + Number(cell.innerText), 0)"
    )
    page.wait_for_function(f"Math.abs({whole} - 100) <= 4")  # rounded per cents
    page.select_option("#vt-confusion select[data-action=order]", "support")
    page.wait_for_function(
        "document.querySelector('#vt-confusion tbody tr:last-child').innerText.includes('class 4')"
    )  # starved: the last one
    first = page.locator(".vt-cell").first
    first.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowLeft")
    assert page.evaluate("document.activeElement.dataset.value") == page.locator(
        "#vt-confusion tbody tr"
    ).nth(1).locator(".vt-cell").first.get_attribute("data-value")
    page.keyboard.press("Enter")
    page.wait_for_selector("#vt-gallery .vt-pairs .vt-card")


def quick_clicks_all_count(page: "playwright.Page") -> None:
    """The second comes before the first is answered."""
    for k in range(3):
        before = page.locator("#vt-gallery h2").first.inner_text()
        page.locator(".vt-lenses button[data-value=means]").click()
        cell = page.locator(".vt-cell.vt-miss:not(:text-is('0'))").nth(k)
        value = cell.get_attribute("data-value")
        cell.click()
        page.wait_for_selector(f"#vt-confusion .vt-on[data-value='{value}']")
        page.wait_for_function(
            """old => document.querySelector('#vt-gallery .vt-pairs .vt-card')
            && document.querySelector('#vt-gallery h2').innerText !== old""",
            arg=before,
        )  # not the pairs of the click before


def clicks_count_in_their_order(page: "playwright.Page", events: Events) -> None:
    """Also where the way of the first to the server is longer than that of the second."""
    sent: list[str] = []

    def slow_at_first(route: "playwright.Route") -> None:
        sent.append(route.request.url)
        if len(sent) == 1:
            page.wait_for_timeout(800)
        route.continue_()

    events.wait()  # what belongs to clicks before
    page.route("**/queue/join*", slow_at_first)
    page.locator(".vt-lenses button[data-value=means]").click()
    page.locator(".vt-cell.vt-miss:not(:text-is('0'))").first.click()
    page.wait_for_selector("#vt-confusion .vt-on")
    events.wait()
    assert len(sent) == 2
    page.wait_for_selector("#vt-gallery .vt-lenses button[data-value=images].vt-on")  # drawn a frame later
    page.wait_for_selector("#vt-gallery .vt-pairs .vt-card")
    page.evaluate(DRAWN)
    assert page.locator("#vt-gallery .vt-lenses button[data-value=images].vt-on").count() == 1
    page.unroute("**/queue/join*")


def a_click_on_what_is_drawn_anew_counts_once(page: "playwright.Page") -> None:
    """The trainings, say, are drawn every two seconds, also while a button is held down."""
    page.click(".vt-lenses button[data-value=means]")
    page.wait_for_selector("#vt-gallery .vt-lenses button[data-value=means].vt-on")
    page.locator(".vt-lenses button[data-value=notes]").scroll_into_view_if_needed()
    box = page.locator(".vt-lenses button[data-value=notes]").bounding_box()
    assert box is not None
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if "queue/join" in request.url else None)
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.evaluate(
        "document.querySelectorAll('.vt-lenses').forEach((bar) => bar.replaceWith(bar.cloneNode(true)))"
    )
    page.mouse.up()
    page.wait_for_selector("#vt-gallery .vt-lenses button[data-value=notes].vt-on")
    page.click(".vt-lenses button[data-value=means]")
    page.wait_for_selector("#vt-gallery .vt-lenses button[data-value=means].vt-on")
    assert len(asked) == 2


STATUSES = """async () => {
  const chunk = document.querySelector('link[href*="/statustracker-"]').href;
  const [Statuses] = Object.values(await import(chunk)).filter(found => found?.prototype?.resolve_args);
  const statuses = new Statuses();
  statuses.register(1, [2], [3, 4], 'full');
  statuses.update({fn_index: 1, status: 'complete', stream_state: 'closed'});
  return Object.keys(statuses.current).map(Number);
}"""  # of the components that have a status after an event


@pytest.mark.parametrize(
    "page", [(1280, False, "?group=slice:nothing&norm=x&low=a")], indirect=True, ids=["nonsense"]
)
def test_clicks_all_count_in_their_order(page: "playwright.Page", events: Events) -> None:
    """Also on the page that a link opened which names nothing, and where the browser hears late that a stream
    has ended."""
    page.wait_for_selector("#vt-gallery h2")
    page.evaluate(LATE_END)
    assert page.locator("#vt-gallery .vt-empty, #vt-gallery .vt-card").count() >= 1
    for step in (the_matrix_by_keyboard_shares_and_order, quick_clicks_all_count):
        step(page)
        page.click("#vt-gallery .vt-link:has-text('all classes')")
        page.wait_for_selector("#vt-gallery .vt-class")
    clicks_count_in_their_order(page, events)
    events.wait()
    a_click_on_what_is_drawn_anew_counts_once(page)
    assert page.evaluate(STATUSES) == [2], "inputs of an event, too: each is looked up at every further event"


@pytest.mark.parametrize(
    "page", [(1280, False, "?group=labels&lens=images&sort=lowest+loss")], indirect=True, ids=["a list"]
)
def test_notes_are_kept_filtered_and_handed_on(
    page: "playwright.Page", events: Events, folder: Path, tmp_path: Path
) -> None:
    page.wait_for_selector("#vt-gallery h2:has-text('probable label errors')")
    page.wait_for_selector(".vt-proposal:has-text('labels look wrong')")
    page.click(".vt-proposal:has-text('labels look wrong') .vt-link")
    page.wait_for_selector("#vt-gallery h2:has-text('labels look wrong')")
    name = str(page.locator("#vt-gallery .vt-card").first.get_attribute("title"))
    note = page.locator("#vt-gallery .vt-note").first
    note.locator("summary").click()
    note.locator("[data-action^=label]").fill("class 1")
    note.locator("[data-action^=tags]").fill("hat, <b>dark</b>")
    note.locator("textarea").focus()
    page.keyboard.type('a "quoted" word')
    page.keyboard.press("Tab")
    events.wait()  # three changes at once, and none is lost
    kept = read(folder / "first")[name]
    assert (kept.label, kept.tags, kept.text) == ("class 1", ("hat", "<b>dark</b>"), 'a "quoted" word')
    page.click(".vt-lenses :text('Notes')")
    with page.expect_download() as download:
        page.click("a[download='labels.csv']")
    table = pd.read_csv(saved(download.value, tmp_path))
    assert table[["image", "label"]].to_numpy().tolist() == [[name, "class 1"]]
    page.click(".vt-chip:has-text('hat')")
    page.wait_for_selector("#vt-gallery h2:has-text('tagged hat')")
    assert page.locator("#vt-gallery .vt-card").count() == 1

    note = page.locator(
        "#vt-gallery .vt-note"
    ).first  # what the classes do not have is refused in a line, and what was said stays
    note.locator("summary").click()
    note.locator("[data-action^=label]").fill("giraffe")
    page.keyboard.press("Tab")
    page.wait_for_selector("text=No class 'giraffe'")
    assert read(folder / "first")[name].label == "class 1"


def two_runs(page: "playwright.Page") -> None:
    open_tab(page, "Compare")
    page.wait_for_selector("#vt-metrics tr:has-text('accuracy')")
    page.wait_for_selector("#vt-metrics :text('McNemar')")
    page.wait_for_selector("#vt-flips .vt-card")
    assert page.locator("#vt-flips .vt-card").first.locator(".vt-tile").count() == 2
    page.click("#vt-flips [data-value=drift]")
    page.wait_for_selector("#vt-flips h2:has-text('maps differ most')")
    page.locator("#vt-changes tr[role=button]").first.click()
    page.wait_for_selector("#vt-changes tr.vt-on")
    page.wait_for_selector("#vt-flips h2 small:has-text('of class')")
    assert fits_wide_and_narrow(page)
    page.locator("#vt-flips .vt-card").first.click()
    page.wait_for_selector("#vt-facts:has-text('true class')")


def test_from_what_to_try_to_another_run(page: "playwright.Page") -> None:
    """Wide and light; from images to ways of looking once more on a phone and in the dark."""
    for again in (False, True):
        if again:
            on_a_phone_in_the_dark(page)
        from_what_to_try_to_the_images(page)
        page.click("#vt-gallery .vt-link:has-text('all classes')")
        page.wait_for_selector("#vt-gallery .vt-class")
        if not again:
            ways_of_looking(page)
            page.click("#vt-gallery .vt-link:has-text('all classes')")
            page.wait_for_selector("#vt-gallery .vt-class")
    two_runs(page)


def test_the_threshold_by_keyboard(browser: "playwright.Browser", tmp_path: Path) -> None:
    """The slider reports once when the keys rest; figures and lists follow, and its link leads back."""
    from dashboard.session.context import Context

    synthetic_run(tmp_path / "run", 200, 2, apart=1.2)
    opened = open_run(tmp_path / "run")
    with served(Context(opened, trainings=tmp_path / "trainings")) as url:
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.goto(url)
        slider = page.locator("#vt-threshold input[type=range]")
        slider.focus()
        for _ in range(3):
            page.keyboard.press("PageUp")
        threshold = float(slider.input_value())
        assert threshold > 0.6
        shown = f"#vt-gallery [data-link*='threshold={threshold:g}']"  # and not that of the keys before
        link = str(page.wait_for_selector(shown).get_attribute("data-link"))
        assert slider.evaluate("node => node === document.activeElement")
        accuracy = f"{100 * opened.at(threshold).evaluation.accuracy:.1f}"
        assert accuracy in page.locator("#vt-numbers").inner_text()
        page.click("#vt-threshold button:has-text('misses')")
        page.wait_for_selector("#vt-gallery h2:has-text('misses')")
        open_tab(page, "Export")
        command = page.locator("#vt-export-typed textarea")
        playwright.expect(command).to_have_value(re.compile(f"--select misses.* --threshold {threshold}"))
        page.goto(url + link)
        page.wait_for_function(
            "t => document.querySelector('#vt-threshold input')?.value === t", arg=str(threshold)
        )
        page.close()
