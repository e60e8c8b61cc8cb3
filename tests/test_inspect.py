"""The Inspect tab's parts, and what lies behind them."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

import dashboard.session.image_sessions
from dashboard.components.inspect.map_cards import Card, heading, map_cards
from dashboard.components.inspect.subject import calibrated, facts
from dashboard.components.parameters import ParameterControls
from dashboard.session.cancellation import Cancellation
from dashboard.session.context import Context
from dashboard.session.image_sessions import ImageSessions
from dashboard.tabs.inspect import first_sight
from dashboard.tabs.inspect_maps import ANOTHER, live_maps
from dashboard.tabs.inspect_state import InspectView
from explain.methods.boxes import strongest_box
from explain.methods.live import MapRequest, open_session
from explain.methods.registry import METHODS
from explain.methods.reproduce import command_line, python_lines
from explain.methods.request import Smoothing
from explain.quality.one_map.map_scores import held_bytes, measured
from explain.run.reader import RunData, open_run
from models.classifier import Classifier
from models.data.images import open_image
from models.errors import Cancelled, UserError
from models.registry import load
from tests.command import launch
from tests.conftest import TINY
from tests.forked import done
from tests.steps import last

ROOT = Path(__file__).parent.parent
TOON_RUN = ROOT / "tests" / "toon_run"
TOON = "fer_vgg:toon_faces"


@pytest.fixture
def face(tmp_path: Path) -> Path:
    from models.data.toon_faces import draw_face

    draw_face("surprise", (0, 3)).image.save(tmp_path / "a face.png")
    return tmp_path / "a face.png"


def test_box_of_the_strongest_region() -> None:
    raw = np.zeros((4, 8))
    raw[1, 2], raw[2, 3], raw[0, 7] = (
        1.0,
        0.6,
        0.9,
    )  # two places that touch at a corner, and a third one apart
    assert strongest_box(raw, 0.5) == (2 / 8, 1 / 4, 4 / 8, 3 / 4)
    assert strongest_box(raw, 0.7) == (2 / 8, 1 / 4, 3 / 8, 2 / 4)
    assert strongest_box(-raw, 0.5) is None
    assert strongest_box(np.full((2, 2), np.nan), 0.5) is None


def test_cards_say_what_there_is(tmp_path: Path) -> None:
    seen = Image.new("RGB", (32, 32), "grey")
    good, zero, flat, broken = (
        np.linspace(-1, 3, 64).reshape(8, 8),
        np.zeros((8, 8)),
        np.ones((8, 8)),
        np.full((8, 8), np.nan),
    )
    cards = [
        Card(name, f"<{name}>", raw, "layer<4>", 0.05)
        for name, raw in (("b", zero), ("c", flat), ("d", broken))
    ]
    cards += [Card("a", "<a>", good, "layer<4>", 0.05, expected_sum=192.5)]
    cards += [Card("e", "dear", seconds=240), Card("f", "none", why="No layer <x>.")]
    page = map_cards(seen, cards, heading("Maps", ("fear", "<b>"), 0, 1, 0.5), True, 0.5, saved="a")
    for message in (
        "−1 to 3 · 50 ms",
        "layer&lt;4&gt;, 8×8",
        "no positive evidence",
        "flat: every position has the same value",
        "no finite number",
        "sums to 64 of 192",
        "about 4 min",
        "No layer &lt;x&gt;.",
        "and not &lt;b&gt;",
        'download="a.npy"',
    ):
        assert message in page
    assert "<b>" in page  # our own
    assert "<x>" not in page
    assert page.count("vt-box") == 2  # what is not positive has no box


def test_controls_follow_the_registry() -> None:
    import gradio as gr

    with gr.Blocks():
        controls = ParameterControls(METHODS.values())
    values = [p.default for m in METHODS.values() for p in m.parameters]
    assert len(controls.inputs) == len(values)
    assert all(given == () for given in controls.read(values).values())
    owners = [(m.name, p.name) for m in METHODS.values() for p in m.parameters]
    values[owners.index(("integrated_gradients", "steps"))] = 7
    assert controls.read(values)["integrated_gradients"] == (("steps", 7),)
    values[owners.index(("integrated_gradients", "steps"))] = None  # an emptied field
    with pytest.raises(UserError, match="steps is 'None'"):
        controls.read(values)
    assert [g.visible for g in controls.visible(["lime"])].count(True) == 1


def test_calibrated_probabilities() -> None:
    logits = np.array([2.0, 0.5, -1.0])
    prob = np.exp(logits) / np.exp(logits).sum()
    expected = np.exp(logits / 1.7) / np.exp(logits / 1.7).sum()
    np.testing.assert_allclose(calibrated(prob, 1.7), expected)
    run = open_run(TOON_RUN)
    assert "not calibrated" in facts(run, run.prob(0), 0)
    assert "temperature 1.70" in facts(run, run.prob(0), 0, 1.7)


def test_temperature_of_the_checkpoint(small_run: object, tmp_path: Path) -> None:
    assert Context(open_run(TOON_RUN)).temperature == pytest.approx(0.921, abs=1e-3)
    bare = tmp_path / "bare.safetensors"
    save_file({"x": torch.zeros(1)}, bare)
    assert Context(open_run(TOON_RUN), bare).temperature is None
    assert Context(
        open_run(TOON_RUN), ROOT / "models" / "weights" / "fer_vgg.ferplus.safetensors"
    ).temperature == pytest.approx(0.781, abs=1e-3)
    assert Context(open_run(TOON_RUN), tmp_path / "gone.safetensors").temperature is None


def test_maps_are_computed_once(tiny: Classifier) -> None:
    session = open_session(tiny, Image.new("RGB", (40, 40), "red"))
    request = MapRequest("grad_cam", "features", 1)
    assert not session.known(request)
    assert session.map(request) is session.map(request)
    assert session.known(request)
    assert session.map(MapRequest("grad_cam")).target == session.pred
    for layer in ("features.0", "features.1", "features.2", "features.3"):
        session.map(MapRequest("grad_cam", layer))
    assert len(session.passes.kept) == 5
    assert session.seconds(MapRequest("score_cam", "features")) > session.seconds(
        MapRequest("grad_cam", "features")
    )
    assert session.seconds(MapRequest("grad_cam", smoothing=Smoothing(True, 10))) == pytest.approx(
        20 * session.seconds(MapRequest("grad_cam"))
    )


def test_what_was_looked_at_last_is_kept(small_run: object, tmp_path: Path) -> None:
    """Up to a number of bytes, that of two sessions; what they compute counts, too."""
    ctx = Context(open_run(TOON_RUN))
    with ctx.classifier():
        each = ImageSessions(ctx.classifier, ctx.subjects.picture).at({"row": 0}).nbytes
        sessions = ImageSessions(ctx.classifier, ctx.subjects.picture, limit=2 * each + 1)
        first = sessions.at({"row": 0})
        second = sessions.at({"row": 1})
        assert sessions.at({"row": 0}) is first
        assert sessions.at({"row": 1}) is second
        third = sessions.at({"row": 2})
        assert sessions.known({"row": 0}) is None
        assert sessions.at({"row": 1}) is second
        third.map(MapRequest("grad_cam", "features.0"))  # a pass is kept: alone it is more than the limit
        assert third.nbytes > 2 * each + 1
        assert sessions.at({"row": 2}) is third
        assert len(sessions) == 1
        assert first.passes._fused is third.passes._fused


def test_of_small_sessions_a_number_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """However few bytes they have."""
    monkeypatch.setattr(dashboard.session.image_sessions, "MOST", 3)
    ctx = Context(open_run(TOON_RUN))
    with ctx.classifier():
        for row in range(5):
            ctx.sessions.at({"row": row})
    assert [ctx.sessions.known({"row": row}) is not None for row in range(5)] == [False] * 2 + [True] * 3


def test_only_the_last_sessions_are_weighed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dashboard.session.image_sessions, "AT_ONCE", 3)
    ctx, weighed = Context(open_run(TOON_RUN)), list[float]()
    sizes = dict.fromkeys(range(8), 10.0)

    def size(sessions: ImageSessions, session: object) -> float:
        weighed.append(float(str(session)))
        return sizes[int(str(session))]

    monkeypatch.setattr(ImageSessions, "_size", size)
    sessions = ImageSessions(ctx.classifier, ctx.subjects.picture, limit=100)
    for row in range(7):
        sessions.keep({"row": row}, row)  # type: ignore[arg-type]
    weighed.clear()
    sizes[6] = 65.0  # it grows after it was kept: the next one makes the room
    sessions.keep({"row": 7}, 7)  # type: ignore[arg-type]
    assert weighed == [5, 6, 7]
    assert [row for row in range(8) if sessions.known({"row": row}) is not None] == [4, 5, 6, 7]


def test_a_session_holds_what_it_counts(tiny: Classifier) -> None:
    """Pictures, the image as a tensor, probabilities, maps, the captured pass, and the network of a check."""
    photo = Image.new("RGB", (40, 40), "red")
    session, request = open_session(tiny, photo), MapRequest("grad_cam", "features", 1)
    before = session.image.width * session.image.height * 3 + session.x.nbytes + session.prob.nbytes
    assert session.nbytes == before
    result = session.map(request)
    captured = session.passes.captured(("features",))
    assert captured.nbytes >= 2 * captured.activation.nbytes
    assert session.nbytes == before + result.maps.nbytes + captured.nbytes
    assert held_bytes(session) == 0
    measured(session).random = tiny.model
    assert held_bytes(session) == sum(value.nbytes for value in tiny.model.state_dict().values())


def test_stops() -> None:
    cancellation = Cancellation()
    cancellation.stop("me")
    cancellation.raise_if_cancelled("somebody else")
    with pytest.raises(Cancelled):
        cancellation.raise_if_cancelled("me")
    cancellation.begin("me")
    cancellation.raise_if_cancelled("me")


def test_first_sight_needs_no_network() -> None:
    subject, about, panel, _, target = first_sight(Context(open_run(TOON_RUN)))
    assert subject["row"] >= 0
    assert "true class" in about
    assert panel.count("vt-map") >= 3
    assert target is not None


@pytest.mark.slow
def test_the_command_and_the_lines_make_the_same_maps(face: Path, tmp_path: Path) -> None:
    """What the page offers to copy, run as it stands."""
    requests = [
        MapRequest("grad_cam", "features.30,features.37", 3, 4, (), "max", Smoothing(True, 2)),
        MapRequest(
            "recipro_cam", "features.30,features.37", 3, 4, (("gaussian", False),), "max", Smoothing(True, 2)
        ),
    ]
    classifier = load(TOON)
    session = open_session(classifier, open_image(face))
    typed = command_line(str(face), TOON, "", classifier.classes, requests)
    assert typed.startswith("python launch.py explain")
    import shlex

    assert shlex.split(typed)[:2] == ["python", "launch.py"]
    launch(*shlex.split(typed)[2:-1], tmp_path / "maps")
    lines = python_lines(str(face), TOON, "", requests)
    copied = done("-c", lines)
    assert copied.returncode == 0, copied.stderr
    assert len(lines.strip().splitlines()) <= 15
    for request in requests:
        raw = session.map(request).raw
        np.testing.assert_allclose(
            np.load(tmp_path / "maps" / f"a face.{request.method}.npy"), raw, rtol=1e-4, atol=1e-6
        )
        assert f"{request.method} {raw.shape}" in copied.stdout


def test_how_a_network_is_named(tiny: Classifier, tmp_path: Path) -> None:
    """As `load` takes it: shipped and official by name, our own checkpoints by file, foreign ones by
    architecture and file."""
    ctx, own, foreign = (
        Context(open_run(TOON_RUN)),
        ROOT / "models" / "weights" / "fer_vgg.fer2013.safetensors",
        tmp_path / "x.pth",
    )
    torch.save(load(TOON).model.state_dict(), foreign)
    assert ctx.named(load(TOON)) == (TOON, "")
    assert ctx.named(replace(tiny, name="mobilenet_v2", weights="torchvision IMAGENET1K_V1")) == (
        "mobilenet_v2",
        "",
    )
    for weights, expected in ((own, (str(own), "")), (foreign, ("fer_vgg", str(foreign)))):
        assert ctx.named(replace(tiny, name="fer_vgg:mine", weights=str(weights))) == expected
        model, file = expected
        assert load(model, Path(file) if file else None).model is not None


@pytest.mark.slow
def test_one_method_that_breaks_leaves_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    import gradio as gr

    from dashboard.app import build
    from explain.methods import rerun

    monkeypatch.setattr(rerun, "cam", lambda case: 1 / 0)
    page = build(Context(open_run(TOON_RUN)))
    handler = next(
        f
        for f in page.fns.values()
        if f.fn is not None and f.fn.__name__ == "explain" and f.api_visibility == "private"
    )
    values = [c.value if not isinstance(c, gr.State) else {"row": 0} for c in handler.inputs]
    values[1 + 3] = ["grad_cam", "cam"]
    _, panel, *_ = last(handler.fn(gr.Request(session_hash="me"), *values))
    assert "That did not work (ZeroDivisionError)" in panel
    assert panel.count('class="vt-map"') == 1


@pytest.mark.slow
def test_another_picture_in_the_place_of_an_image_is_said(
    small_run: RunData, pictures: Path, tiny: Classifier
) -> None:
    """The maps of the run stay on the picture that they are of; those of now say that it is another one."""
    ctx, row = Context(small_run, network=tiny), 0
    subject, path = {"row": row}, pictures / str(small_run.table.at[row, "id"])
    before, view = ctx.seen(row), InspectView(subject=subject, methods=("grad_cam",))
    assert ANOTHER not in live_maps(ctx, view)[1]
    os.utime(path)  # a copy: the same picture
    assert ctx.seen(row).tobytes() == before.tobytes() == as_seen(path).tobytes()

    Image.open(pictures / str(small_run.table.at[1, "id"])).rotate(90).save(path)
    kept = small_run.thumbnail_image(row)
    assert ctx.seen(row).tobytes() == kept.tobytes() != as_seen(path).tobytes()
    ctx.sessions.forget(subject)
    shown = live_maps(ctx, view)
    assert ANOTHER in shown[1]
    assert ctx.sessions.known(subject).image.tobytes() == as_seen(path).tobytes()  # type: ignore[union-attr]


def as_seen(path: Path) -> Image.Image:
    return TINY.shown(open_image(path))
