"""The Inversion tab: its pieces, the decoders that come along, and the page in a real browser."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from dashboard.components.network.inversion_view import edits, over_depth, row_of_layers, under_way
from dashboard.session.context import Context
from dashboard.session.decoder_service import DecoderService
from explain.inversion.rebuild import Rebuilt
from explain.run.reader import open_run
from models.errors import UserError
from models.inversion.decoder import load_decoders
from models.inversion.shipped import FOLDER, decoders_of
from models.registry import load
from tests.markup import runs_nothing
from tests.pages import FITS, on_a_phone_in_the_dark, served

if TYPE_CHECKING:
    from playwright import sync_api as playwright

PICTURE = np.zeros((8, 8, 3), np.uint8)
NAMES = ("<b>cat</b>", "dog")


def rebuilt(layer: str, pred: int) -> Rebuilt:
    return Rebuilt(layer, PICTURE, 0.25, pred, 0.9)


def test_a_row_says_what_stays() -> None:
    html = row_of_layers(
        PICTURE, NAMES[0], [rebuilt("<i>deep</i>", 1), rebuilt("shallow", 0)], NAMES, "shallow", "T"
    )
    assert runs_nothing(html)
    assert html.index("deep") < html.index("shallow")
    assert 'predicted: <b class="vt-ok">&lt;b&gt;cat&lt;/b&gt;</b> .90<' in html
    assert 'predicted: <b class="vt-bad">dog</b> .90 (changed)<' in html
    assert html.count("vt-layer-tile vt-on") == 1
    assert "error .25" in html


def test_edits_and_optimizations() -> None:
    html = edits("<u>layer", {"as it is": rebuilt("a", 0), "drop <3>": rebuilt("a", 1)}, NAMES)
    assert runs_nothing(html)
    assert "drop &lt;3&gt;" in html
    html = under_way(PICTURE, "<u>layer", 20, 80, (0.5, 0.125), "stopped")
    assert runs_nothing(html)
    assert "step 20 of 80" in html
    assert "width:25.0%" in html
    assert ".12" in html


def test_depth_as_curve_and_table() -> None:
    measured = {
        "error": 0.3,
        "other": 1.0,
        "mean": 0.7,
        "mse": 0.1,
        "psnr": 20.0,
        "ssim": 0.5,
        "same": 0.75,
        "images": 10,
        "on": "d/test",
    }
    html = over_depth(
        [
            {"layer": "a", "metrics": {"measured": measured}},
            {"layer": "b", "metrics": {"measured": measured | {"error": 0.6}}},
            {"layer": "c"},
        ]
    )
    assert html.count("<polyline") == 4
    assert "75 %" in html
    assert html.index("0.300") < html.index("0.600")
    assert "not measured: c" in html
    assert "invert train" in over_depth([{"layer": "a"}])


def test_decoders_that_come_along() -> None:
    """Of the demo's network, eight megabytes at most in all; errors grow with depth, and lie below the mean
    picture's where the picture is still known: of its eight outputs, only the class is left."""
    network = load("fer_vgg:toon_faces")
    paths = decoders_of(network.weights_hash)
    assert len(paths) == 4
    assert sum(path.stat().st_size for path in FOLDER.glob("*.safetensors")) <= 8_000_000
    decoders = load_decoders(network)
    assert [d.layer for d in decoders] == ["features.13", "features.37", "hidden.2", "head"]
    measured = [d.about["metrics"]["measured"] for d in decoders]
    errors = [m["error"] for m in measured]
    assert errors == sorted(errors)
    assert all(m["error"] < m["other"] for m in measured)
    assert all(m["error"] < m["mean"] < m["other"] for m in measured[:3])
    assert not any(place in str(d.about) for d in decoders for place in ("/tmp", "/home", "/work", "/root"))


@pytest.mark.slow
def test_layers_are_edited(demo: Path) -> None:
    decoder_service = Context(open_run(demo)).decoder_service
    subject = {"example": "Grace Hopper"}
    assert [one.layer for one in decoder_service.every_layer(subject)] == decoder_service.layers[::-1]
    plain, dropped, random = decoder_service.edited(subject, "features.13", "0-31", "drop").values()
    assert not np.array_equal(plain.picture, dropped.picture)
    assert random.error > plain.error
    kept = decoder_service.edited(subject, "features.13", "0-31", "keep")
    assert np.array_equal(kept["as it is"].picture, kept["keep 0-31"].picture)  # all of them
    assert "keep happiness" in decoder_service.edited(subject, "head", "happiness", "keep")
    for layer, units, text in (
        ("features.99", "0", "No decoder for layer"),
        ("features.13", "99", "0 to 31"),
        ("features.13", "joy", "numbers"),
    ):
        with pytest.raises(UserError, match=text):
            decoder_service.edited(subject, layer, units, "drop")


def test_folders_without_decoders(demo: Path, tmp_path: Path) -> None:
    ctx = Context(open_run(demo))
    with pytest.raises(UserError, match="holds no decoders"):
        _ = DecoderService("", ctx.classifier, ctx.subjects.picture, tmp_path).about


@pytest.fixture(scope="module")
def server(demo: Path) -> Iterator[str]:
    with served(Context(open_run(demo))) as url:
        yield url


@pytest.mark.slow
@pytest.mark.browser
@pytest.mark.parametrize(
    "page", [(1280, False, "?tab=inversion&image=test/fear/00004.png")], indirect=True, ids=["link"]
)
def test_in_the_browser(page: "playwright.Page") -> None:
    """Wide and light, then on a phone and in the dark."""
    page.wait_for_selector("#vt-inversion h2:has-text('test/fear/00004.png')")
    page.wait_for_selector("#vt-tabs button[aria-selected=true]:has-text('Inversion')")
    steps = ((3, "0-15", "99", "flower"), (2, "0-7", "9999", "temple"))
    layers = list[str]()
    for tile, units, missing, example in steps:
        page.wait_for_selector("#vt-inversion .vt-layer-tile")
        assert page.locator("#vt-inversion .vt-layer-tile").count() == 4
        layers.append(str(page.locator("#vt-inversion .vt-layer-tile").nth(tile).get_attribute("data-value")))
        page.locator("#vt-inversion .vt-layer-tile").nth(tile).click()
        page.wait_for_selector(f"#vt-edited h2:has-text('{layers[-1]}')")
        page.fill("#vt-units input, #vt-units textarea", units)
        page.click("#vt-decode")
        page.wait_for_selector(f"#vt-edited :text('drop {units}')")
        page.fill("#vt-units input, #vt-units textarea", missing)
        page.click("#vt-decode")
        page.wait_for_selector(f"text=No unit {missing}")
        page.click(f"#vt-invert-examples [data-value='{example}']")
        page.wait_for_selector(f"#vt-inversion h2:has-text('{example}')")
        page.click("#vt-optimize")
        page.wait_for_selector("#vt-optimized :text('by optimization')")
        page.click("#vt-optimize-stop")
        page.wait_for_selector("#vt-optimized :text('cancelled')")
        page.wait_for_selector("#vt-optimize-stop", state="hidden")
        assert page.evaluate(FITS)
        on_a_phone_in_the_dark(page)
    assert layers[0] == "features.13"
    assert page.evaluate(FITS)
