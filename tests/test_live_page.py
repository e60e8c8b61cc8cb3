"""Live in Inspect: its answers over HTTP, and the page with a clip as its camera."""

import base64
import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import numpy as np
import pytest
import torch
from PIL import Image

from dashboard.components.inspect import live_view
from dashboard.server.frames import SIDE, WRONG
from dashboard.server.permissions import Access
from dashboard.session.context import Context
from explain.analysis.findings import analyze
from explain.methods.live import open_session
from explain.methods.request import MapRequest
from explain.render import map_png, normalize
from explain.run.engine import run
from explain.run.reader import RunData, open_run
from models.classifier import Classifier
from models.domains import FACES
from tests.chromium import FLAGS, executable
from tests.clip import moving_face, write_y4m
from tests.conftest import WAIT
from tests.pages import PHONE, fits_wide_and_narrow, open_tab, served
from tests.raw import Visitor
from tests.test_label_sets import NAMES, Patches, answering

if TYPE_CHECKING:
    from playwright import sync_api as playwright


PIXELS = "[...document.querySelector('.vt-camera canvas').getContext('2d').getImageData(0, 0, 64, 64).data]"
NO_CAMERA = "navigator.mediaDevices.getUserMedia = async () => {{ throw new DOMException('', '{}') }}"


class Live(Visitor):
    """One opened page, which calls what the script of Live calls."""

    def call(self, name: str, **given: Any) -> httpx.Response:
        body = {
            "data": given,
            "fn_name": name,
            "component_id": self.piece("vt-camera"),
            "session_hash": self.session,
        }
        return self.client.post("/gradio_api/component_server/", json=body)

    def answer(self, name: str, **given: Any) -> dict[str, Any]:
        found: dict[str, Any] = self.call(name, **given).raise_for_status().json()
        return found


def data_url(frame: Image.Image, kind: str = "JPEG") -> str:
    buffer = io.BytesIO()
    frame.save(buffer, kind)
    return f"data:image/{kind.lower()};base64," + base64.b64encode(buffer.getvalue()).decode()


def as_sent(frame: Image.Image) -> Image.Image:
    """What the server opens."""
    return Image.open(io.BytesIO(base64.b64decode(data_url(frame).partition(",")[2])))


def noise(side: int = 64) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 255, (side, side, 3), np.uint8))


def everything_below(*folders: Path) -> set[Path]:
    return {path for folder in folders for path in folder.rglob("*")}


@pytest.fixture
def about_faces(tiny: Classifier) -> Classifier:
    return replace(tiny, metadata={"domain": FACES})


@pytest.mark.slow
def test_a_frame_is_answered_with_the_map_of_a_photo(small_run: RunData, tiny: Classifier) -> None:
    """Of the whole frame, for a network about anything; the class that is shown is the mean's."""
    frame = noise()
    with served(Context(small_run, network=tiny)) as url:
        visitor = Live(url)
        stream = visitor.answer("live_begin")["stream"]
        found = visitor.answer("live_frame", stream=stream, picture=data_url(frame))
    session = open_session(tiny, as_sent(frame))
    raw = session.map(MapRequest("layer_cam", small_run.manifest.request.layer)).raw
    expected = map_png(normalize(raw), max(1, 160 // max(raw.shape)))
    assert found["top"] == small_run.classes[session.pred]
    for name, prob in zip(small_run.classes, session.prob, strict=True):
        assert f"<em>{name} {prob:.2f}</em>".replace(" 0.", " .") in found["bars"]
    assert shown_pixels(found["over"]) == pytest.approx(pixels_of(expected), abs=1)
    assert "left:0.000%;top:0.000%;width:100.000%;height:100.000%" in found["over"]
    assert set(found["ms"]) == {"open", "face", "wait", "network", "draw"}


@pytest.mark.slow
def test_of_several_labels_each_has_a_probability_of_its_own(tmp_path: Path) -> None:
    """Sigmoids by plain PyTorch; all labels from 0.5 are called, and the map is that of the most probable."""
    (tmp_path / "patches").mkdir()
    source, net, frame = Patches(tmp_path / "patches", 8), answering(), noise()
    run(net, source, tmp_path / "run", ["layer_cam"], batch_size=8)
    made = open_run(tmp_path / "run")
    with served(Context(made, network=net)) as url:
        visitor = Live(url)
        assert "they need not sum to 1" in str(visitor.config)
        begun = visitor.answer("live_begin")
        found = visitor.answer("live_frame", stream=begun["stream"], picture=data_url(frame))
    with torch.inference_mode():
        prob = net.model(net.batch([as_sent(frame)])).sigmoid()[0].numpy()
    assert prob.sum() > 1.2  # no distribution
    for name, p in zip(NAMES, prob, strict=True):
        assert f"<em>{name} {p:.2f}</em>".replace(" 0.", " .") in found["bars"]
        assert (name in found["top"]) == (p >= 0.5)
    best = int(prob.argmax())
    assert f"LayerCAM for <b>{NAMES[best]}</b>, {100 * prob[best]:.0f}" in found["caption"]
    session = open_session(net, as_sent(frame))
    raw = session.map(MapRequest("layer_cam", made.manifest.request.layer, best)).raw
    assert shown_pixels(found["over"]) == pytest.approx(
        pixels_of(map_png(normalize(raw), max(1, 160 // max(raw.shape)))), abs=1
    )
    assert "LayerCAM: the network is at chance" in begun["verdict"]


def test_labels_that_are_called_are_all_shown() -> None:
    names, prob = [f"label {k}" for k in range(14)], np.linspace(0.95, 0.3, 14)
    called = int((prob >= 0.5).sum())
    assert called > live_view.TOP
    assert str(live_view.bars(names, prob, True)).count("vt-prob") == called
    assert str(live_view.bars(names, prob)).count("vt-prob") == live_view.TOP
    assert live_view.announced(names, prob, True).count("label") == called
    assert live_view.announced(names, prob) == "label 0"
    assert live_view.announced(names, prob / 3, True) == live_view.NONE_CALLED


def shown_pixels(over: str) -> np.ndarray:
    return pixels_of(over.split('src="')[1].split('"')[0])


def pixels_of(url: str) -> np.ndarray:
    picture = Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2])))
    return np.asarray(picture.convert("L"), int)


@pytest.mark.slow
def test_faces_are_cropped_and_their_absence_is_said(small_run: RunData, about_faces: Classifier) -> None:
    [face, *_] = moving_face(1)
    with served(Context(small_run, network=about_faces)) as url:
        visitor = Live(url)
        stream = visitor.answer("live_begin")["stream"]
        empty = visitor.answer("live_frame", stream=stream, picture=data_url(Image.new("RGB", (320, 240))))
        found = visitor.answer("live_frame", stream=stream, picture=data_url(face.resize((320, 240))))
    assert (empty["top"], empty["bars"], empty["over"]) == (live_view.NO_FACE, "", "")
    assert found["top"] in small_run.classes
    assert "vt-crop" in found["over"]
    assert "left:0.000%" not in found["over"]


@pytest.mark.parametrize(
    "picture",
    [
        None,
        "/etc/passwd",
        {"path": "/etc/passwd"},
        "data:image/jpeg;base64,@@@",
        "data:image/jpeg;base64," + base64.b64encode(b"no picture").decode(),
        data_url(noise(), "PNG"),
        data_url(noise(), "PNG").replace("image/png", "image/jpeg"),
        data_url(Image.new("RGB", (SIDE + 1, 8))),
        data_url(noise(8)) + "A" * 400_000,
        data_url(noise())[:-4000],
    ],
)
def test_what_is_no_frame_is_refused_in_one_line(small_run: RunData, tiny: Classifier, picture: Any) -> None:
    from dashboard.tabs.inspect_live import LivePanel

    with served_panel(Context(small_run, network=tiny)) as panel:
        assert isinstance(panel, LivePanel)
        begin, frame, stop = panel._answers()
        stream = begin({})["stream"]
        assert frame({"stream": stream, "picture": picture}) == {"error": WRONG}
        assert "ended" in frame({"stream": "other", "picture": picture})["error"]
        assert "ended" in frame("nothing")["error"]
        stop({"stream": stream})
        assert len(panel.streams) == 0


def served_panel(ctx: Context) -> Any:
    """The panel, in a page that is not served."""
    from contextlib import contextmanager

    import gradio as gr

    from dashboard.tabs.inspect_live import LivePanel

    @contextmanager
    def built() -> Iterator[LivePanel]:
        with gr.Blocks():
            yield LivePanel(ctx)

    return built()


@pytest.mark.slow
def test_nothing_of_a_frame_is_kept(
    small_run: RunData, about_faces: Classifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No file in the folders of uploads, of temporary files and of the run; nothing in the caches of images;
    of a stream a box and a mean."""
    from dashboard.tabs import inspect_live

    panels: list[inspect_live.LivePanel] = []
    made = inspect_live.LivePanel.__init__

    def noted(panel: inspect_live.LivePanel, ctx: Context) -> None:
        panels.append(panel)
        made(panel, ctx)

    monkeypatch.setattr(inspect_live.LivePanel, "__init__", noted)
    ctx = Context(small_run, network=about_faces, access=Access.VISITOR)
    with served(ctx) as url:
        visitor = Live(url)
        stream = visitor.answer("live_begin")["stream"]
        before = everything_below(*watched(tmp_path))
        for frame in moving_face(4):
            answer = visitor.answer("live_frame", stream=stream, picture=data_url(frame.resize((320, 240))))
            assert answer["bars"]
        assert everything_below(*watched(tmp_path)) == before
        assert (len(ctx.photos._kept), len(ctx.sessions._kept), len(ctx.subjects._boxes)) == (0, 0, 0)
        [kept] = panels[0].streams._open.values()
        assert kept.tracker is not None
        held = [*vars(kept).values(), *vars(kept.tracker).values(), *vars(kept.mean).values()]
        assert not any(isinstance(value, Image.Image | bytes | str) for value in held)
        assert max(np.size(value) for value in held) <= max(len(small_run.classes), 5)
        visitor.answer("live_stop", stream=stream)
        assert len(panels[0].streams) == 0


def watched(tmp_path: Path) -> list[Path]:
    import tempfile

    from gradio.utils import get_upload_folder

    uploads = Path(get_upload_folder())
    temporary = Path(tempfile.gettempdir())
    return [uploads, tmp_path, *(p for p in temporary.glob("gradio*") if p.is_dir())]


@pytest.mark.slow
def test_readers_and_numbers_have_no_camera(small_run: RunData, tiny: Classifier) -> None:
    with served(Context(small_run, network=tiny, access=Access.READER)) as url:
        visitor = Visitor(url)
        assert not [c for c in visitor.config["components"] if c["props"].get("elem_id") == "vt-camera"]
    assert "Start the camera" not in live_view.not_live(live_view.NUMBERS)


@pytest.mark.slow
def test_files_and_other_functions_are_refused(small_run: RunData, tiny: Classifier) -> None:
    with served(Context(small_run, network=tiny)) as url:
        visitor = Live(url)
        form = {"fn_name": "live_frame", "component_id": "1", "session_hash": visitor.session}
        answer = visitor.client.post(
            "/gradio_api/component_server/", data=form, files={"file": ("a.jpg", b"1")}
        )
        assert (answer.status_code, answer.text) == (415, "Send JSON.")
        assert visitor.call("postprocess").status_code == 404
        assert visitor.call("_answers").status_code == 404
        foreign = visitor.client.post(
            "/gradio_api/component_server/", json={}, headers={"origin": "https://elsewhere.example"}
        )
        assert foreign.status_code == 403


# -- in Chromium --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def camera(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A Chromium whose camera shows a face that moves."""
    api = pytest.importorskip("playwright.sync_api")
    clip = write_y4m(moving_face(), tmp_path_factory.mktemp("clip") / "face.y4m")
    flags = [*FLAGS, f"--use-file-for-fake-video-capture={clip}"]
    with api.sync_playwright() as p:
        browser = p.chromium.launch(executable_path=executable(), args=flags)
        yield browser
        browser.close()


def opened(camera: Any, url: str, script: str = "", width: int = 1280) -> "playwright.Page":
    page: playwright.Page = camera.new_context(viewport={"width": width, "height": 900}).new_page()
    page.set_default_timeout(WAIT)
    page.add_init_script(script)
    page.goto(url, wait_until="domcontentloaded")
    open_tab(page, "Inspect")
    page.click(".vt-camera summary")
    return page


@pytest.mark.slow
@pytest.mark.browser
def test_a_visitor_looks_live_and_stops(
    camera: Any, small_run: RunData, about_faces: Classifier, tmp_path: Path
) -> None:
    ctx = Context(small_run, network=about_faces, access=Access.VISITOR)
    list(analyze(ctx.findings))  # otherwise the page writes them meanwhile
    with served(ctx) as url:
        page = opened(camera, url)
        wrong: list[str] = []
        page.on("console", lambda m: wrong.append(m.text) if m.type == "error" else None)
        page.on("pageerror", lambda e: wrong.append(str(e)))
        assert "It stops after 60 s" in page.inner_text(".vt-camera")
        before = everything_below(*watched(tmp_path))
        page.click("text=Start the camera")
        page.wait_for_function("+document.querySelector('[data-live=view]').dataset.frames >= 5")
        page.wait_for_selector(".vt-camera .vt-map")
        assert page.locator(".vt-camera .vt-prob").count() == len(small_run.classes)
        assert page.locator(".vt-camera .vt-crop").count() == 1
        assert "layer_cam" in page.inner_text(".vt-maps-note").lower().replace("layercam", "layer_cam")
        assert page.inner_text("[data-live=top]") in small_run.classes
        assert len(set(page.evaluate(PIXELS))) > 20  # a picture
        assert fits_wide_and_narrow(page)
        assert everything_below(*watched(tmp_path)) == before
        page.click("text=Stop")
        said = page.inner_text("[data-live=said]")
        frames = page.evaluate("document.querySelector('[data-live=view]').dataset.frames")
        page.wait_for_timeout(500)
        assert said == "Stopped."
        assert page.evaluate("document.querySelector('[data-live=view]').dataset.frames") == frames
        assert page.locator("[data-live=view]").is_hidden()
        assert page.evaluate("document.activeElement.textContent") == "Start the camera"
        assert not wrong
        page.context.close()


@pytest.mark.slow
@pytest.mark.browser
@pytest.mark.parametrize(
    ("name", "script"),
    [
        ("refused", NO_CAMERA.format("NotAllowedError")),
        ("none", NO_CAMERA.format("NotFoundError")),
        ("insecure", "Object.defineProperty(window, 'isSecureContext', {value: false})"),
    ],
)
def test_without_a_camera_stills_are_offered(
    camera: Any, small_run: RunData, tiny: Classifier, name: str, script: str
) -> None:
    with served(Context(small_run, network=tiny)) as url:
        page = opened(camera, url, script, PHONE)
        if name != "insecure":
            page.click("text=Start the camera")
        page.wait_for_function(
            f"document.querySelector('[data-live=said]').textContent === {live_view.TEXTS[name]!r}"
        )
        assert page.locator("[data-live=start]").is_enabled() == (name != "insecure")
        assert page.locator("[data-live=stop]").is_hidden()
        assert page.locator("#vt-upload").is_visible()
        page.context.close()
