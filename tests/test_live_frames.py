"""Frames of a camera: the mean over time, one pass for probabilities and map, the face that is followed,
and streams."""

import math

import numpy as np
import pytest
import torch
from PIL import Image

from dashboard.session.live_streams import ENDED, GONE, MOST, LiveStreams
from explain.methods.frames import FrameExplainer
from explain.methods.live import open_session
from explain.methods.over_time import ExponentialMean
from explain.methods.request import MapRequest
from explain.network.hooks import logits
from models.classifier import Classifier
from models.errors import UserError
from models.faces.crop import FaceRequest, crop_face
from models.faces.tracking import EVERY, FaceTracker
from tests.test_faces import astronaut


def test_mean_is_that_of_a_plain_loop() -> None:
    """Each value holds for the time before it: the sum over all of them, each with its weight."""
    rng = np.random.default_rng(0)
    times = np.cumsum(rng.uniform(0.02, 0.6, 12))
    values, mean = rng.dirichlet(np.ones(4), 12), ExponentialMean(0.5)
    for k, at in enumerate(times):
        found = mean.add(values[k], float(at))
        expected = values[0] * math.exp(-(times[k] - times[0]) / 0.5)
        for j in range(1, k + 1):
            upto, since = math.exp(-(at - times[j]) / 0.5), math.exp(-(at - times[j - 1]) / 0.5)
            expected = expected + values[j] * (upto - since)
        np.testing.assert_allclose(found, expected, atol=1e-12)
        assert found.sum() == pytest.approx(1)


def test_mean_does_not_depend_on_the_rate_of_frames() -> None:
    """A step is shown to 1 - 1/e after the time constant, at 4 and at 40 frames per second."""
    for rate in (4, 40):
        mean = ExponentialMean(0.5)
        mean.add(np.array([0.0]), 0)
        shown = [float(mean.add(np.array([1.0]), (k + 1) / rate)[0]) for k in range(rate // 2)]
        assert shown[-1] == pytest.approx(1 - math.exp(-1)), rate
    mean.clear()
    assert mean.add(np.array([0.3]), 9.0) == [0.3]


@pytest.mark.parametrize("layer", ["", "features.4", "features.0,features.4"])
def test_a_frame_has_the_probabilities_and_the_map_of_a_photo(tiny: Classifier, layer: str) -> None:
    frame = Image.fromarray(np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8))
    session, found = (
        open_session(tiny, frame),
        FrameExplainer(tiny, "layer_cam", layer).explain(frame, lambda prob: prob),
    )
    expected = session.map(MapRequest("layer_cam", layer))
    np.testing.assert_allclose(found.prob, session.prob, atol=1e-5)
    assert (found.target, found.layer) == (session.pred, expected.layer)
    np.testing.assert_allclose(found.raw, expected.raw, atol=1e-5 * float(np.abs(expected.raw).max()))


def test_the_map_is_of_the_class_that_is_shown(tiny: Classifier) -> None:
    """What is shown is a mean, whose largest class may be another than this frame's."""
    frame = Image.new("RGB", (40, 40), "red")
    explainer = FrameExplainer(tiny, "layer_cam")
    least = int(open_session(tiny, frame).prob.argmin())
    found = explainer.explain(frame, lambda prob: np.eye(3)[least])
    expected = open_session(tiny, frame).map(MapRequest("layer_cam", target=least)).raw
    assert found.target == least
    np.testing.assert_allclose(found.raw, expected, atol=1e-5 * float(np.abs(expected).max()) + 1e-9)


def test_one_pass_a_frame(tiny: Classifier) -> None:
    explainer, passes = FrameExplainer(tiny, "layer_cam"), list[int]()
    for layer in (m for m in explainer._network.modules() if isinstance(m, torch.nn.Linear)):
        layer.register_forward_hook(lambda *_: passes.append(1))
    explainer.explain(Image.new("RGB", (40, 40)), lambda prob: prob)
    assert passes == [1]


def test_a_frame_without_finite_scores_is_an_error(tiny: Classifier) -> None:
    explainer = FrameExplainer(tiny, "layer_cam")
    with torch.no_grad():
        tiny.model.get_parameter("head.weight").fill_(float("nan"))
    assert logits(tiny.model, torch.zeros(1, 3, 32, 32)).isnan().all()
    with pytest.raises(UserError, match="not finite"):
        explainer.explain(Image.new("RGB", (40, 40)), lambda prob: prob)


@pytest.mark.slow
def test_the_face_is_followed_and_found_where_photos_have_it() -> None:
    """It moves by 12 pixels a frame; the box of photos is found with four times as many pixels."""
    photo, tracker = astronaut().convert("RGB"), FaceTracker(FaceRequest())
    for k in range(5):
        frame = photo.crop((40 + 12 * k, 10, 360 + 12 * k, 250))
        [best], region = crop_face(frame, FaceRequest()).boxes, tracker.crop(frame, float(k)).region
        assert region is not None
        left, top, right, bottom = region
        assert (left + right) / 2 == pytest.approx(best.center[0], abs=0.12 * best.side), k
        assert (top + bottom) / 2 == pytest.approx(best.center[1], abs=0.12 * best.side), k
        assert right - left == pytest.approx(best.side, rel=0.2), k


def test_a_box_is_used_again_and_lost_faces_are_said() -> None:
    photo, tracker = astronaut().convert("RGB").crop((40, 10, 360, 250)), FaceTracker(FaceRequest())
    empty = Image.new("RGB", photo.size, "grey")
    first = tracker.crop(photo, 0)
    assert first.region is not None
    assert tracker.crop(empty, EVERY / 2).region == first.region  # not looked for yet
    lost = tracker.crop(empty, EVERY)
    assert (lost.region, lost.used, lost.described) == (
        None,
        None,
        "No face found: the whole picture is used.",
    )
    assert (
        tracker.crop(photo, 1.01 * EVERY).region is not None
    )  # a frame without a face is followed by a search
    assert not any(isinstance(value, Image.Image) for value in vars(tracker).values())


def test_a_close_face_is_cropped_though_it_fills_the_frame() -> None:
    close = astronaut().convert("RGB").crop((120, 20, 330, 178)).resize((320, 240))
    region = FaceTracker(FaceRequest()).crop(close, 0).region
    assert region is not None
    assert region[2] - region[0] == region[3] - region[1] <= 240


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_frames_that_come_while_one_is_computed_are_dropped() -> None:
    streams = LiveStreams()
    key = streams.begin()
    with streams.frame(key) as first:
        assert first is not None
        with streams.frame(key) as second:
            assert second is None
    with streams.frame(key) as third:
        assert third is not None


def test_a_visitors_time_is_limited_and_the_owners_is_not() -> None:
    clock = Clock()
    of_visitor, of_owner = LiveStreams(60, clock=clock), LiveStreams(clock=clock)
    mine, owners = of_visitor.begin(), of_owner.begin()
    for clock.now in (0, 60):
        with of_visitor.frame(mine), of_owner.frame(owners):
            pass
    clock.now = 60.1
    with of_owner.frame(owners):
        pass
    with pytest.raises(UserError, match="Your 60 s are over: start again"), of_visitor.frame(mine):
        pass
    with pytest.raises(UserError, match=ENDED), of_visitor.frame(mine):
        pass
    assert (len(of_visitor), len(of_owner)) == (0, 1)


def test_streams_are_few_and_those_that_are_left_make_room() -> None:
    clock = Clock()
    streams = LiveStreams(clock=clock)
    keys = [streams.begin() for _ in range(MOST)]
    assert len(set(keys)) == MOST
    with pytest.raises(UserError, match=f"{MOST} people look live"):
        streams.begin()
    streams.stop(keys[0])
    streams.stop("unknown")
    keys[0] = streams.begin()
    clock.now = GONE
    with streams.frame(keys[0]):
        pass
    clock.now = GONE + 1
    streams.begin()
    assert len(streams) == 2  # the one that sends frames, and the new one
