"""Faces of an uploaded photo: the Inspect tab, the other tabs, endpoints, and what is kept."""

import io
import re
from functools import cache
from pathlib import Path
from typing import Any

import gradio as gr
import pytest
from gradio.utils import get_upload_folder

from dashboard.endpoints import Endpoints
from dashboard.server.permissions import Access
from dashboard.session.context import Context
from dashboard.tabs.inspect import InspectTab
from dashboard.tabs.inspect_state import InspectView
from explain.methods.live import open_session
from explain.run.reader import RunData
from models.classifier import Classifier
from models.errors import UserError
from models.faces import lbp
from models.faces.crop import FaceRequest, crop_face
from tests.steps import last
from tests.test_faces import cascade, montage

ME = gr.Request(session_hash="me")


@cache
def _photo() -> bytes:
    """A montage of two faces as a PNG file."""
    montage().save(file := io.BytesIO(), "PNG")
    return file.getvalue()


class Page:
    """The handlers of the Inspect tab, called as the page does."""

    def __init__(self, ctx: Context):
        self.ctx = ctx
        with gr.Blocks():
            self.tab = InspectTab(ctx)
        self.values = [c.value for c in self.tab._form.inputs]

    def upload(self) -> dict[str, Any]:
        """The subject of a montage of two faces."""
        folder = Path(get_upload_folder())
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "photo.png").write_bytes(_photo())
        return self.tab._picker.uploaded(ME, str(folder / "photo.png"))

    def click(self, subject: dict[str, Any], value: str) -> list[Any]:
        event = gr.SelectData(None, {"index": "faces", "value": value})
        shown: list[Any] = last(self.tab.choose_face(ME, event, subject, *self.values))
        return shown


@pytest.fixture(autouse=True)
def searched_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lbp, "_cascade", cascade)


@pytest.fixture
def page(small_run: RunData, tiny: Classifier) -> Page:
    return Page(Context(small_run, network=tiny, faces="auto"))


def prob_of(page: Page, subject: dict[str, Any]) -> list[float]:
    with page.ctx.classifier():
        return page.ctx.sessions.at(subject).prob.tolist()


@pytest.mark.slow
def test_the_largest_face_is_used_and_said(page: Page, tiny: Classifier) -> None:
    subject = page.upload()
    _, facts, cards, target, command, photo, *_ = page.tab.from_outside(subject, *page.values)
    crop = crop_face(page.ctx.photos.open(subject["upload"]), FaceRequest())
    assert prob_of(page, subject) == open_session(tiny, crop.of(montage())).prob.tolist()
    assert target == max(range(3), key=prob_of(page, subject).__getitem__)
    assert crop.described in photo
    assert photo.count('data-action="faces"') == 3  # two faces, and the whole picture
    assert photo.count('aria-pressed="true"') == 1
    assert len(re.findall('class="vt-place" style="left:6[45]', photo)) == 2  # methods
    assert "faces=&#39;auto&#39;" in command
    assert cards.count("vt-badge") >= 2
    assert 'data-action="target"' in facts


@pytest.mark.slow
def test_a_click_uses_another_face_or_the_whole_photo(page: Page, tiny: Classifier) -> None:
    subject = page.upload()
    second, _, _, _, command, photo, _, contrast = page.click(subject, "2")
    assert second == {**subject, "faces": "2"}
    crop = crop_face(montage(), FaceRequest("2"))
    assert prob_of(page, second) == open_session(tiny, crop.of(montage())).prob.tolist()
    assert "2 faces found; number 2 is used" in photo
    assert "faces=&#39;2&#39;" in command
    assert contrast == -1
    whole, _, _, _, command, photo, *_ = page.click(second, "off")
    assert prob_of(page, whole) == open_session(tiny, montage()).prob.tolist()
    assert "2 faces found; the whole picture is used." in photo
    assert "use the largest face" in photo
    assert "vt-place" not in photo
    assert "faces=&#39;off&#39;" in command


@pytest.mark.slow
@pytest.mark.parametrize("value", ["3", "0", "<b>", "auto; off", "99999"])
def test_a_click_on_no_face_changes_nothing(page: Page, value: str) -> None:
    subject = page.upload()
    if value == "3":
        with pytest.raises(gr.Error, match="2 faces found in this picture"):
            page.click(subject, value)
    else:
        assert all(update == gr.skip() for update in page.click(subject, value))


def test_rows_of_the_run_are_used_whole(page: Page) -> None:
    assert page.ctx.subjects.face({"row": 0}) is None
    made = last(page.tab.explain(ME, {"row": 0}, *page.values))
    assert made[4] == ""
    assert "faces" not in made[3]
    assert page.tab.from_run({"row": 0})[-1] == ""
    view = InspectView({"row": 0})
    assert view.apply("faces", "2", ("a",)) == view


def test_the_view_keeps_the_choice_and_forgets_the_class() -> None:
    view = InspectView({"upload": "k"}, target=2, contrast_class=1).apply("faces", "2", ("a", "b", "c"))
    assert (view.subject, view.target, view.contrast_class) == ({"upload": "k", "faces": "2"}, None, None)


@pytest.mark.slow
def test_files_of_a_map_on_the_photo(page: Page) -> None:
    subject = page.upload()
    event = gr.SelectData(None, {"index": "save", "value": "grad_cam"})
    photo = page.tab.compute(ME, event, lambda *a, **k: None, subject, *page.values)[4]
    assert 'download="grad_cam.photo.png"' in photo
    assert 'download="grad_cam.faces.json"' in photo


@pytest.mark.slow
def test_all_tabs_get_the_same_part_of_a_photo(page: Page) -> None:
    subject = page.upload()
    region = crop_face(montage(), FaceRequest()).region
    assert page.ctx.subjects.picture(subject).tobytes() == montage().crop(region).tobytes()
    assert page.ctx.subjects.title(subject) == "your photo (face 1 of 2)"
    assert page.ctx.subjects.title({**subject, "faces": "off"}) == "your photo"


@pytest.mark.slow
def test_nothing_of_a_photo_is_kept(page: Page) -> None:
    """Neither its boxes nor the sessions of any of its faces."""
    subject = page.upload()
    page.click(subject, "2")
    page.tab.from_outside(subject, *page.values)
    assert len(page.ctx.sessions._kept) == 2
    assert len(page.ctx.subjects._boxes) == 1
    page.ctx.forget("me")
    assert len(page.ctx.sessions._kept) == len(page.ctx.subjects._boxes) == 0
    with pytest.raises(UserError, match="upload it again"):
        page.ctx.subjects.face(subject)


@pytest.mark.slow
def test_networks_of_other_things_get_the_whole_photo(small_run: RunData, tiny: Classifier) -> None:
    ctx = Context(small_run, network=tiny)
    assert (ctx.domain, ctx.subjects.faces) == ("", None)
    page = Page(ctx)
    subject = page.upload()
    made = page.tab.from_outside(subject, *page.values)
    assert made[5] == ""
    assert "faces" not in made[4]
    assert prob_of(page, subject) == open_session(tiny, montage()).prob.tolist()


def test_what_serve_says_of_faces(small_run: RunData, tiny: Classifier, tmp_path: Path) -> None:
    assert Context(small_run, network=tiny, faces="off").subjects.faces is None
    assert Context(small_run, network=tiny, faces="auto", access=Access.READER).subjects.faces is None
    visitor = Context(small_run, network=tiny, faces="auto", access=Access.VISITOR)
    assert visitor.subjects.faces == FaceRequest()
    with pytest.raises(UserError, match="the page takes auto or off"):
        Context(small_run, network=tiny, faces="2")
    with pytest.raises(UserError, match="download"):
        Context(small_run, network=tiny, faces="auto", face_detector=str(tmp_path / "none.onnx"))


@pytest.mark.slow
def test_programs_get_the_same(page: Page) -> None:
    endpoints = Endpoints(page.ctx)
    photo = Path(get_upload_folder()) / "photo.png"
    answers = {}
    for which in ("", "2", "off"):
        page.upload()
        answers[which] = last(endpoints.predict(ME, str(photo), which))
    assert [a["faces"]["used"] for a in answers.values()] == [1, 2, None]
    subject = page.upload()
    best = max(prob_of(page, {**subject, "faces": "2"}))
    assert answers["2"]["classes"][0]["probability"] == best
    made, _ = last(endpoints.explain(ME, str(photo), faces="2"))
    assert made["faces"]["crop"] == answers["2"]["faces"]["crop"]
    with pytest.raises(gr.Error, match="give auto, off, or the number of a face"):
        last(endpoints.predict(ME, str(photo), "all"))
