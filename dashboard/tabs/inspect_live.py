"""Live: the camera's frames before the network, in Inspect."""

import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from dashboard.components.clickable import clickable, script
from dashboard.components.inspect.live_view import (
    NO_FACE,
    NUMBERS,
    announced,
    bars,
    caption,
    live_view,
    not_live,
    over_frame,
)
from dashboard.components.inspect.map_cards import Card
from dashboard.components.inspect.subject import calibrated, photo_note
from dashboard.components.trust.trust_line import verdict_note
from dashboard.page import names_alone
from dashboard.server.frames import open_frame
from dashboard.session.context import VISIT, Context
from dashboard.session.live_streams import LiveStreams, Stream
from explain.formatting import visible_text
from explain.methods.registry import METHODS
from models.errors import UserError
from models.faces.crop import FaceCrop
from models.faces.tracking import FaceTracker
from models.layers.access import reaches

if TYPE_CHECKING:
    from explain.methods.frames import FrameExplainer, FrameMap
    from models.classifier import Classifier

METHOD = "layer_cam"
Answer = dict[str, Any]


class LivePanel:
    """The panel, where the network can be asked for maps of its layers, and what answers its script. Nothing
    of a frame is kept but a box and a mean of probabilities, for as long as the stream lasts."""

    def __init__(self, ctx: Context):
        self._ctx, limit = ctx, None if ctx.access.computes else VISIT
        self.streams = LiveStreams(limit, self._tracker if ctx.subjects.faces is not None else None)
        self._explainer: FrameExplainer | None = None
        if not ctx.access.explains or not reaches(ctx.run.manifest.access, "layers"):
            return
        if ctx.run.numbers:
            clickable(not_live(NUMBERS), "vt-camera")
            return
        view = live_view(photo_note(ctx.run), limit, ctx.run.all_labels)
        clickable(view, "vt-camera", script("live.js"), self._answers())

    def _tracker(self) -> FaceTracker:
        assert self._ctx.subjects.faces is not None
        return FaceTracker(self._ctx.subjects.faces)

    def _answers(self) -> list[Callable[[Any], Answer]]:
        """What the script may call. Each takes one JSON value and returns one; errors too are answers."""

        def live_begin(given: Any) -> Answer:
            return self._answered(self.begin, given)

        def live_frame(given: Any) -> Answer:
            return self._answered(self.frame, given)

        def live_stop(given: Any) -> Answer:
            return self._answered(self.stop, given)

        return [live_begin, live_frame, live_stop]

    def _answered(self, work: Callable[[Answer], Answer], given: Any) -> Answer:
        try:
            return work(given if isinstance(given, dict) else {})
        except UserError as error:
            text = str(error) if self._ctx.access.computes else names_alone(str(error))
        except Exception as error:
            logging.getLogger("vitrine").exception("in live")
            text = f"That did not work ({type(error).__name__}); the log has more."
        return {"error": visible_text(text)}

    def begin(self, given: Answer) -> Answer:
        """A new stream, and what is known of its maps. Raises UserError where there are enough."""
        return {"stream": self.streams.begin(), "verdict": str(verdict_note(self._ctx.run, METHOD))}

    def stop(self, given: Answer) -> Answer:
        self.streams.stop(str(given.get("stream")))
        return {}

    def frame(self, given: Answer) -> Answer:
        """What the page shows of a frame (`picture`: as `open_frame` takes it). Raises UserError where the
        stream has ended, and for a frame or a network that cannot be used."""
        with self.streams.frame(str(given.get("stream"))) as place:
            if place is None:
                return {"dropped": True}
            stream, now = place
            watch = Watch()
            frame = open_frame(given.get("picture"))
            watch.lap("open")
            face = None if stream.tracker is None else stream.tracker.crop(frame, now)
            watch.lap("face")
            if face is not None and face.region is None:
                stream.mean.clear()
                return {"top": NO_FACE, "over": "", "bars": "", "caption": NO_FACE, "ms": watch.laps}
            with self._ctx.classifier() as classifier:
                watch.lap("wait")
                found = self._explained(classifier, frame if face is None else face.of(frame), stream, now)
                watch.lap("network")
            return {**self._shown(classifier, frame.size, face, found), "ms": watch.lap("draw")}

    def _explained(
        self, classifier: "Classifier", picture: Image.Image, stream: Stream, now: float
    ) -> "FrameMap":
        """Call it while holding the network."""
        from explain.methods.frames import FrameExplainer

        if self._explainer is None or self._explainer.classifier is not classifier:
            self._explainer = FrameExplainer(classifier, METHOD, self._ctx.run.manifest.request.layer)
        return self._explainer.explain(picture, lambda prob: stream.mean.add(self._calibrated(prob), now))

    def _calibrated(self, prob: np.ndarray) -> np.ndarray:
        """As beside photos; of several labels each is as it is."""
        temperature = None if self._ctx.run.all_labels else self._ctx.temperature
        return prob if temperature is None else calibrated(prob, temperature)

    def _shown(
        self, classifier: "Classifier", size: tuple[int, int], face: FaceCrop | None, found: "FrameMap"
    ) -> Answer:
        region = None if face is None else face.region
        left, top, right, bottom = (0, 0, *size) if region is None else region
        inside = classifier.preprocessing.region((right - left, bottom - top))
        place = left + inside[0], top + inside[1], left + inside[2], top + inside[3]
        card = Card(METHOD, METHODS[METHOD].title, found.raw, found.layer)
        classes, labels = self._ctx.run.classes, self._ctx.run.all_labels
        name, prob = classes[found.target], float(self._calibrated(found.prob)[found.target])
        return {
            "top": visible_text(announced(classes, found.shown, labels)),
            "over": str(over_frame(card, place, region, size)),
            "bars": str(bars(classes, found.shown, labels)),
            "caption": str(caption(card, name, prob)),
        }


class Watch:
    """Milliseconds of the parts of a frame, by name."""

    def __init__(self) -> None:
        self.laps, self._last = dict[str, float](), time.perf_counter()

    def lap(self, name: str) -> dict[str, float]:
        now = time.perf_counter()
        self.laps[name], self._last = round(1000 * (now - self._last), 1), now
        return self.laps
