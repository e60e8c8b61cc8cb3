"""Gaze for the page: the gaze model, loaded once, and one image compared between it and the run's network."""

import threading
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from dashboard.session.types import HoldClassifier
from explain.formatting import percent
from explain.gaze.folder import GazeRun, open_gaze_run
from explain.run.reader import RunData
from models.errors import UserError
from models.gaze.shipped import shipped_gaze
from models.inputs.channels import as_rgb
from models.training.trained import Trained, described, open_trained

if TYPE_CHECKING:
    from models.gaze.model import GazeModel


@dataclass(frozen=True, eq=False)
class GazeComparison:
    """One image: `density` (h, w) that the gaze model predicts; the map `cam` (h, w) of the network for its
    predicted class, a label, or an output of numbers, `called`, with its probability or number `prob`
    (`answer`: as text); `alike`: metrics of the map against the
    density; `center`: the same for a Gaussian in the center."""

    picture: Image.Image
    density: np.ndarray
    cam: np.ndarray | None
    title: str
    called: str
    prob: float
    answer: str
    alike: dict[str, float]
    center: dict[str, float]


class GazeService:
    """`classifier`: holds the network of `results`; `folder`: a gaze folder; `checkpoint`: a gaze model
    (default: the one that is shipped); `device`: of that model."""

    def __init__(
        self,
        results: RunData,
        classifier: HoldClassifier,
        folder: Path | None = None,
        checkpoint: Path | None = None,
        device: str = "cpu",
    ):
        self._results, self._classifier, self._device = results, classifier, device
        self._folder, self._checkpoint = folder, checkpoint
        self._lock = threading.Lock()
        self._model: GazeModel | None = None

    @cached_property
    def run(self) -> GazeRun | None:
        """Raises UserError where the folder is no gaze folder."""
        return open_gaze_run(self._folder) if self._folder else None

    @cached_property
    def checkpoint(self) -> Path | None:
        try:
            return self._checkpoint or shipped_gaze()
        except UserError:
            return None

    @cached_property
    def about(self) -> dict[str, Any]:
        """The metadata of the gaze model; empty without one. No torch."""
        return described(self.checkpoint) if self.checkpoint else {}

    @cached_property
    def trained(self) -> Trained | None:
        return open_trained(self.checkpoint) if self.about and self.checkpoint else None

    def model(self) -> "GazeModel":
        """Raises UserError where there is none."""
        from models.gaze.model import load_gaze

        with self._lock:
            if self._model is None:
                self._model = load_gaze(self.checkpoint or shipped_gaze(), self._device)
            return self._model

    def at(self, picture: Image.Image, label: int | None = None) -> GazeComparison:
        """Compare the predicted gaze with the network's map at the run's layer for the predicted class, or
        for a label, or for an output of numbers (default: the first); the network gets the whole image,
        squeezed, as the gaze model does. Raises UserError where either model is missing."""
        from explain.gaze.network import positive, whole_picture
        from explain.methods.live import MapRequest, open_session
        from models.gaze.density import center_gaussian

        shown = as_rgb(picture)
        density = self.model().maps([shown])[0]
        request = self._results.manifest.request
        method = request.methods[0]
        with self._classifier() as classifier:
            session = open_session(whole_picture(classifier), picture)
            target = session.pred if label is None else label
            cam = positive(session.map(MapRequest(method, request.layer, target)).raw)
        return GazeComparison(
            shown,
            density,
            cam,
            self._results.title(method),
            classifier.classes[target],
            float(session.prob[target]),
            session.answer(target) if session.numbers else percent(float(session.prob[target])),
            _in_common(cam, density),
            _in_common(center_gaussian(density.shape), density),
        )  # type: ignore[arg-type]


def _in_common(values: np.ndarray, density: np.ndarray) -> dict[str, float]:
    """Correlation and intersection of a map with the predicted density."""
    from explain.gaze.metrics import Truth, scores
    from models.gaze.density import distribution

    none = np.zeros(0, np.int64)
    metrics = scores(values, Truth(none, none, distribution(density)))
    return {name: metrics[name] for name in ("cc", "sim")}
