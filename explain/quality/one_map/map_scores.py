"""The score that a map explains, of changed images; and what is kept of an image session's maps."""

from collections.abc import Callable
from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

from torch import Tensor, nn

from explain.methods.compute import MapResult
from explain.methods.live import ImageSession
from explain.methods.request import Classes
from explain.quality.cells import Grid, grid_of
from explain.quality.curves import CurveSettings, Images, Scorer
from explain.quality.one_map.kept import Badge, Quantity
from explain.quality.one_map.map_check import MapCheck
from explain.quality.one_map.other_image import OtherImages
from explain.quality.stepwise import Steps
from models.outputs.one_by_one import takes_one_image
from models.outputs.probabilities import probabilities
from models.outputs.regression import is_regression

SETTINGS = CurveSettings()
BATCH = 32
CHECKED = 16
"""Images at once in a check: between two batches it can be cancelled."""


@dataclass(eq=False)
class Measured:
    """Of one image session. `shared`: scores (S, K) of the image, its baseline and the controls; `badges` and
    `checks`: of its maps, for as long as it keeps them, by the other images that they were made with;
    `random`: the network with random weights."""

    shared: Tensor | None = None
    badges: "WeakKeyDictionary[MapResult, Badge]" = field(default_factory=WeakKeyDictionary)
    checks: "WeakKeyDictionary[MapResult, dict[OtherImages, MapCheck]]" = field(
        default_factory=WeakKeyDictionary
    )
    random: nn.Module | None = None


_MEASURED: "WeakKeyDictionary[ImageSession, Measured]" = WeakKeyDictionary()


def measured(session: ImageSession) -> Measured:
    """What is known of the session's maps; it is dropped with the session."""
    return _MEASURED.setdefault(session, Measured())


def held_bytes(session: ImageSession) -> int:
    """The memory of the network with random weights that a session keeps."""
    known = _MEASURED.get(session)
    random = None if known is None else known.random
    return 0 if random is None else sum(value.nbytes for value in random.state_dict().values())


@dataclass(frozen=True, eq=False)
class MapScorer(Scorer):
    """As `Scorer`, of what a map explains (`Quantity`). `on_images`: called with the number of images before
    they go through the network; it may raise `Cancelled`."""

    contrast_class: int | None = None
    on_images: Callable[[int], None] = lambda count: None

    def score_steps(self, make: Images, count: int, target: int) -> Steps[tuple[Tensor, Tensor]]:
        def watched(start: int, end: int) -> Tensor:
            self.on_images(end - start)
            return make(start, end)

        answers, contrast = (yield from self.answer_steps(watched, count)), self.contrast_class
        logits = answers[:, target] - (0 if contrast is None else answers[:, contrast])
        return logits.cpu(), explained(self.model, answers, target, contrast)


def explained(model: nn.Module, answers: Tensor, target: int, contrast_class: int | None) -> Tensor:
    """Scores (N, K) of the network -> those of the `Quantity` (N,) float64, on the CPU."""
    p = probabilities(model, answers.cpu().double())
    if contrast_class is None:
        return p[:, target]
    other = p[:, contrast_class]
    return p[:, target] - other if is_regression(model) else p[:, target] / (p[:, target] + other)


def scorer_of(
    session: ImageSession, result: MapResult, on_images: Callable[[int], None] = lambda count: None
) -> MapScorer:
    model = session.passes.fused(())
    batch = 1 if takes_one_image(model) else CHECKED
    return MapScorer(model, batch_size=batch, contrast_class=contrast_of(result), on_images=on_images)


def quantity_of(session: ImageSession, result: MapResult) -> Quantity:
    classes, contrast = session.classifier.classes, contrast_of(result)
    return Quantity(classes[result.target], "" if contrast is None else classes[contrast], session.numbers)


def contrast_of(result: MapResult) -> int | None:
    """The contrast class of the first image."""
    given: Classes = result.request.contrast_class
    return given[0] if isinstance(given, tuple) else given


def cells_of(session: ImageSession) -> Grid:
    return grid_of(session.x, SETTINGS.cells)
