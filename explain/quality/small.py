"""A small measurement of a run's maps: what the page makes by itself, in the background."""

from explain.methods.compute import method_for
from explain.quality.described.places import Regions
from explain.quality.measure import Measurement
from explain.quality.plan import beside
from explain.quality.sample import stratified, target_name
from explain.quality.settings import CurveSettings
from explain.quality.store import TrustSettings, TrustStore, measured_images
from explain.run.reader import RunData
from models.classifier import Classifier
from models.errors import UserError

IMAGES, CELLS, STEPS, KINDS = 60, 14, 10, ("insertion", "deletion")


def small_measurement(classifier: Classifier, run: RunData) -> Measurement:
    """Of all methods of the run that can be computed here, at its layer: insertion and deletion alone, on 14
    × 14 cells in 10 steps, of 60 images. Raises UserError where no method can be computed."""
    methods, refused = list[str](), ""
    for method in run.manifest.request.methods:
        try:
            method_for(classifier.model, method)
            methods.append(method)
        except UserError as error:  # a method from outside that is not registered here
            refused = str(error)
    if not methods:
        raise UserError(refused)
    settings = TrustSettings(
        run.manifest.request.layer, CurveSettings(CELLS, STEPS), KINDS, target=target_name(run)
    )
    rows = stratified(run, IMAGES, measured_images(run.folder, target_name(run)))
    store, maps = TrustStore.of(run.folder, settings), beside(run, settings, Regions(run, classifier))
    return Measurement(classifier, run, methods, rows, store, beside=maps)
