"""The Gaze tab: its pieces and what clicks do; and in a real browser, on a folder that was evaluated and on
photos that nobody looked at."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from dashboard.components.network.gaze_view import (
    disagreement,
    fixations,
    from_folder,
    gaze_table,
    scored,
    verdict,
)
from dashboard.session.context import Context
from dashboard.session.gaze_service import GazeService, _in_common
from dashboard.tabs.gaze import numbers, pieces
from dashboard.tabs.gaze_state import GazeView, first_view
from explain.gaze.evaluate import evaluate
from explain.gaze.folder import GazeRun, open_gaze_run, write
from explain.gaze.metrics import METRICS
from explain.gaze.sources import Source, baselines, predictions
from explain.gaze.truths import Truths
from explain.run.reader import RunData, open_run
from models.errors import UserError
from models.gaze.density import center_gaussian, density
from models.gaze.gaze_set import Viewed
from models.gaze.model import load_gaze
from models.gaze.shipped import shipped_gaze
from tests.markup import runs_nothing
from tests.measured import SAME, above_chance, keep
from tests.pages import FITS, on_a_phone_in_the_dark, served

if TYPE_CHECKING:
    from playwright import sync_api as playwright

NAME = '<img src=x onerror="document.title=1">.png'


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty pictures, one with a name that wants to be more; a network that looks at the left edge of half
    of them."""
    return write_gaze_folder(tmp_path_factory.mktemp("looked"))


def write_gaze_folder(root: Path) -> Path:
    from PIL import Image

    from models.gaze.gaze_set import GazeSet

    rng, images = np.random.default_rng(0), []
    for k in range(20):
        path = root / f"{k}.png"
        Image.fromarray(rng.integers(0, 255, (45, 60, 3), np.uint8)).save(path)
        at = rng.uniform([15, 10], [50, 35])
        places = np.clip(rng.normal(at, 2, (12, 2)), 0, [59, 44]).astype(np.float32)
        images.append(
            Viewed(
                NAME if k == 3 else f"{k:02d}.png",
                path,
                (45, 60),
                places[:, 0],
                places[:, 1],
                np.arange(12) % 3,
            )
        )
    looked = GazeSet("looked", str(root), tuple(images))

    def maps(chosen: list[Viewed]) -> Iterator[tuple[np.ndarray, None]]:
        for k, image in enumerate(chosen):
            yield density(image.rows, image.cols if k % 2 else image.cols * 0, image.size, 6.0), None

    truths = Truths(looked, looked, 3.0)
    sources = [
        predictions("gaze", "a <b>model", lambda pictures: np.stack([np.eye(6, 8) for _ in pictures])),
        Source("grad_cam", "Grad-CAM", "network", maps, keep=True),
        Source("shuffled", "elsewhere", "control", lambda chosen: reversed(list(maps(chosen)))),
    ]
    *_, (_, made) = evaluate(truths, [*sources, *baselines(truths)])
    write(
        root / "gaze",
        made,
        truths,
        {"data": "looked", "part": "test", "note": "", "network": "a <script>net"},
    )
    return root / "gaze"


@pytest.fixture(scope="module")
def found(folder: Path) -> GazeRun:
    return open_gaze_run(folder)


@pytest.fixture(scope="module")
def other(demo: Path) -> RunData:
    """A run of another network than the folder's."""
    return open_run(demo)


def test_it_opens_where_the_network_and_people_disagree_most(found: GazeRun) -> None:
    view = first_view(found)
    assert (view.source, view.row) == ("grad_cam", int(found.worst("grad_cam", "nss")[0]))
    assert first_view(None) == GazeView()
    html = from_folder(found, view.row, view.source)
    assert html.count("vt-tile") == 4  # the picture, people, the network, the model
    assert html.index("where people looked") < html.index("Grad-CAM") < html.index("a &lt;b&gt;model")
    assert html.count("<circle") == 24  # on the picture, and on the first map
    assert "12 fixations of 3 people" in html


def test_cards_are_sorted_and_paged(found: GazeRun) -> None:
    html = disagreement(found, first_view(found))
    assert html.count('data-action="row"') == 12
    assert "1 / 2" in html
    rows = [int(part.split('"')[0]) for part in html.split('data-action="row" data-value="')[1:]]
    assert rows == found.worst("grad_cam", "nss")[:12].tolist()
    last = disagreement(found, GazeView("grad_cam", page=9))
    assert last.count('data-action="row"') == 8
    by_divergence = disagreement(found, GazeView("grad_cam", "kl"))
    assert (
        f'data-value="{found.worst("grad_cam", "kl")[0]}"'
        in by_divergence.split("vt-pairs")[1].split("vt-card")[1]
    )


def test_clicks(found: GazeRun) -> None:
    view = GazeView("grad_cam", page=1, row=2)
    assert view.apply("source", "gaze", found) == GazeView("gaze", page=0, row=2)
    assert view.apply("metric", "kl", found) == GazeView("grad_cam", "kl", 0, 2)
    assert view.apply("row", "7", found).row == 7
    assert view.apply("page", "0", found).page == 0
    for name, value in (
        ("source", "people"),
        ("metric", "beauty"),
        ("row", "99"),
        ("row", "-1"),
        ("page", "x"),
        ("nonsense", "1"),
    ):
        assert view.apply(name, value, found) == view


def test_every_name_is_escaped(found: GazeRun, other: RunData) -> None:
    row = int(found.images.index[found.images["id"] == NAME][0])
    view = replace(first_view(found), row=row)
    for html in (
        from_folder(found, row),
        disagreement(found, view),
        gaze_table(found.summary, "T", "n", verdict(found, other)),
    ):
        assert runs_nothing(html)
    assert "&lt;script&gt;net" in verdict(found, other)


def test_the_table_and_the_verdict(found: GazeRun, other: RunData) -> None:
    html = gaze_table(found.summary, "T", "n")
    assert html.count("<tr") == len(found.manifest["sources"]) + 1
    assert html.index(">leave-one-out observers<") < html.index(">chance<")
    text = verdict(found, other)
    nss = found.summary.set_index("source")["nss"]
    assert f"<b>{nss['grad_cam']:.2f}</b>" in text
    assert "looks where people look more than its maps of other images do" in text
    swapped = {"grad_cam": "shuffled", "shuffled": "grad_cam"}
    elsewhere = replace(found, scores=found.scores.assign(source=found.scores["source"].replace(swapped)))
    assert "looks where people look no more than its maps of other images do" in verdict(elsewhere, other)
    without = replace(
        found,
        manifest=found.manifest
        | {"sources": [s for s in found.manifest["sources"] if s["kind"] != "network"]},
    )
    assert verdict(without, other) == ""


@pytest.mark.slow
def test_the_verdict_says_how_far_its_maps_can_be_trusted(found: GazeRun, small_run: RunData) -> None:
    """Where they are those of the run: of its weights, at its layer."""
    run, request = above_chance(small_run), small_run.manifest.request
    same = {"weights_hash": request.weights_hash, "layer": request.layer}
    of_run = replace(found, manifest=found.manifest | same)
    unknown = "Maps: Grad-CAM: not measured."
    assert verdict(of_run, run).endswith(unknown)
    keep(run, {"grad_cam": SAME})
    said = "Maps: Grad-CAM: no better than the center: do not conclude from where these maps are strong."
    assert verdict(of_run, run).endswith(said)
    for name in same:
        assert verdict(replace(found, manifest=of_run.manifest | {name: "x"}), run).endswith(unknown)
    assert verdict(found, run).endswith(unknown)  # of an earlier version, which says neither


def test_numbers_below_a_map() -> None:
    assert scored({}) == "not scored"
    assert (
        scored({**dict.fromkeys(METRICS, float("nan")), "why": "the map is <flat>"})
        == "the map is &lt;flat&gt;"
    )
    assert scored(dict.fromkeys(METRICS, 0.5)) == "AUC-Judd 0.50 · NSS 0.50 · CC 0.50"


def test_fixations_are_drawn_in_the_pictures_coordinates() -> None:
    html = fixations([10.0], [20.0], (45, 60))
    assert 'viewBox="0 0 60 45"' in html
    assert 'cx="10" cy="20"' in html


def test_what_a_map_has_in_common_with_a_prediction() -> None:
    even = center_gaussian((12, 16))
    assert _in_common(even, even) == {"cc": pytest.approx(1, abs=1e-5), "sim": pytest.approx(1, abs=1e-5)}
    assert _in_common(np.ones((3, 4)), even) == {
        "cc": pytest.approx(np.nan, nan_ok=True),
        "sim": pytest.approx(np.nan, nan_ok=True),
    }


def test_without_a_folder(demo: Path) -> None:
    """What the shipped model's own file says of it, and how to get a folder."""
    gaze_service = Context(open_run(demo)).gaze_service
    assert "gaze evaluate" in pieces(gaze_service, GazeView())[1]
    html = numbers(gaze_service, open_run(demo))
    for title in ("chance", "center Gaussian", "single observer", "leave-one-out observers"):
        assert f">{title}<" in html  # the shipped file has the titles of an earlier version
    assert "random numbers" not in html
    ctx = Context(open_run(demo))
    assert GazeService(ctx.run, ctx.classifier, checkpoint=Path("nowhere.safetensors")).about == {}
    with pytest.raises(UserError, match="gaze evaluate"):
        _ = GazeService(ctx.run, ctx.classifier, demo).run


def test_the_shipped_model_predicts_more_than_the_middle() -> None:
    """On the photo that comes with matplotlib: more on the face than on as large a part of the flag."""
    from dashboard.examples import open_example

    model = load_gaze(shipped_gaze())
    measured = {row["title"]: row for row in model.about["metrics"]["gaze"]["table"]}
    ours = measured[model.about["architecture"]]
    assert ours["nss"] > 2 * measured["centre Gaussian"]["nss"]
    assert ours["auc"] > 0.85
    assert shipped_gaze().stat().st_size < 2_000_000
    assert not any(place in str(model.about) for place in ("/tmp", "/home", "/work", "/root"))
    values = model.maps([open_example("Grace Hopper")])[0]
    h, w = values.shape
    face, flag = (
        values[int(0.25 * h) : int(0.5 * h), int(0.35 * w) : int(0.65 * w)],
        values[int(0.25 * h) : int(0.5 * h), : int(0.3 * w)],
    )
    assert face.sum() > 2 * flag.sum()


@pytest.fixture(scope="module")
def server(demo: Path, folder: Path) -> Iterator[str]:
    with served(Context(open_run(demo), gaze=folder)) as url:
        yield url


@pytest.mark.slow
@pytest.mark.browser
@pytest.mark.parametrize("page", [(1280, False, "?tab=gaze&image=07.png")], indirect=True, ids=["link"])
def test_in_the_browser(page: "playwright.Page", found: GazeRun) -> None:
    """Wide and light, then on a phone and in the dark."""
    page.wait_for_selector("#vt-gaze h2:has-text('07.png')")
    page.wait_for_selector("#vt-tabs button[aria-selected=true]:has-text('Gaze')")
    page.wait_for_selector("#vt-gaze .vt-dots")
    assert page.locator("#vt-standing tbody tr").count() == len(found.manifest["sources"])
    for metric, example in (("kl", "temple"), ("nss", "flower")):
        page.select_option("#vt-disagreement select[data-action=metric]", metric)
        page.wait_for_selector(f"#vt-disagreement h2:has-text('worst {metric.upper()}')")
        page.locator("#vt-disagreement .vt-card").nth(2).click()
        name = str(found.images.at[found.worst("grad_cam", metric)[2], "id"])
        page.wait_for_function(
            "name => document.querySelector('#vt-gaze h2').innerText.startsWith(name)", arg=name
        )
        page.click("#vt-disagreement [aria-label='next page']")
        page.wait_for_selector("#vt-disagreement :text('2 / 2')")
        page.click(f"#vt-gaze-examples [data-value='{example}']")
        page.wait_for_selector(f"#vt-gaze h2:has-text('{example}')")
        page.wait_for_selector("#vt-gaze :text('predicted gaze')")
        assert page.evaluate(FITS)
        on_a_phone_in_the_dark(page)
    assert page.evaluate(FITS)
    assert page.title() == "Vitrine"
