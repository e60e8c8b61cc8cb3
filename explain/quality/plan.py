"""What is to be measured of a run: which methods, at which layers, on which images."""

from collections.abc import Sequence

from explain.analysis.chance import no_answers
from explain.methods.compute import method_for
from explain.network.hooks import find_layer
from explain.network.stages import STAGES, stage_layers
from explain.quality.curves import CurveSettings
from explain.quality.described.map_figures import MapFigures
from explain.quality.described.places import Regions
from explain.quality.described.repeated import REPEATED, Repeated
from explain.quality.measure import Measurement
from explain.quality.over_depth.layer_order import keep_order, kept_order
from explain.quality.over_depth.layers import in_network_order, layers_over_depth
from explain.quality.sample import stratified, target_name
from explain.quality.settings import REPEATED_IMAGES
from explain.quality.store import (
    DescriptionSettings,
    DescriptionStore,
    TrustSettings,
    TrustStore,
    measured_images,
)
from explain.quality.verdict import FIGURES
from explain.run.answer import noise
from explain.run.reader import RunData
from models.classifier import Classifier
from models.data.tables.boxes import Boxes
from models.errors import UserError

ALL = "all"
USUAL = CurveSettings()
BASELINES, PRECISIONS = ("blur", "mean"), ("fp32", "bf16")


def require_known(figures: Sequence[str], baseline: str, precision: str) -> None:
    """Raises UserError for unknown ones."""
    for name, given, allowed in (
        ("baseline", [baseline], BASELINES),
        ("precision", [precision], PRECISIONS),
        ("figures", figures, (*FIGURES, *REPEATED)),
    ):
        if not given or not {*given} <= {*allowed}:
            raise UserError(f"{name} '{','.join(given)}': choose from {', '.join(allowed)}.")


def measurements(
    classifier: Classifier,
    run: RunData,
    *,
    methods: Sequence[str] = (),
    layers: Sequence[str] = (),
    images: int = 200,
    figures: Sequence[str] = tuple(FIGURES),
    curves: CurveSettings = USUAL,
    precision: str = "fp32",
    boxes: Boxes | None = None,
) -> list[Measurement]:
    """One for each layer. `methods`: default those of the run; `layers`: default that of the run, 'all' for
    the outputs of blocks, and the order of several is kept in the folder; `figures`: all of `FIGURES` where
    none of them is named; `boxes`: in which maps should lie, instead of the regions that the data knows.
    Raises UserError for what is unknown, and for a run without answers."""
    require_known(figures, curves.baseline, precision)
    if not len(run.ok):
        raise UserError(no_answers(run))
    chosen = _methods(classifier, methods or run.manifest.request.methods, layers)
    deciding = [name for name in FIGURES if name in figures] or list(FIGURES)
    kinds = tuple(kind for name in deciding for kind in FIGURES[name].needs)
    target = target_name(run)
    rows = stratified(run, images, measured_images(run.folder, target))
    regions = Regions(run, classifier, boxes)
    names = _layers(classifier, run, layers)
    if len(names) > 1:
        keep_order(run.folder, in_network_order(classifier, dict.fromkeys([*kept_order(run.folder), *names])))
    settings = [TrustSettings(layer, curves, kinds, precision, target) for layer in names]
    return [
        Measurement(
            classifier, run, chosen, rows, TrustStore.of(run.folder, one), beside=beside(run, one, regions)
        )
        for one in settings
    ]


def beside(run: RunData, settings: TrustSettings, regions: Regions) -> MapFigures:
    """The figures of the same maps that need no passes."""
    of = DescriptionSettings(
        settings.layer,
        "maps",
        settings.precision,
        settings.target,
        cells=settings.curves.cells,
        regions=regions.key,
    )
    return MapFigures(DescriptionStore.of(run.folder, of), regions)


def repeated(works: Sequence[Measurement], figures: Sequence[str]) -> list[Repeated]:
    """The figures of `REPEATED` that are named, of the methods of `works`, on at most `REPEATED_IMAGES`
    images, chosen in the same way. Raises UserError where `works` are of several layers."""
    named = [name for name in REPEATED if name in figures]
    if not named:
        return []
    if len(works) > 1:
        raise UserError(
            f"figures '{','.join(named)}': these are measured at one layer; name one, or leave layers out."
        )
    work, of = works[0], works[0].store.settings
    rows = stratified(work.run, min(len(work.rows), REPEATED_IMAGES))
    return [
        Repeated(
            work.classifier,
            work.run,
            work.methods,
            rows,
            DescriptionStore.of(
                work.run.folder,
                DescriptionSettings(of.layer, name, of.precision, of.target, seed=of.curves.seed),
            ),
        )
        for name in named
    ]


def _methods(classifier: Classifier, named: Sequence[str], layers: Sequence[str]) -> list[str]:
    """At layers that are named only those that have one. Raises UserError for unknown methods, and where none
    is left."""
    methods = [method_for(classifier.model, name) for name in dict.fromkeys(named)]
    layered = [m.name for m in methods if m.layered]
    if not layers:
        return [m.name for m in methods]
    if not layered:
        titles = ", ".join(m.title for m in methods)
        take = "takes" if len(methods) == 1 else "take"
        raise UserError(f"layers '{','.join(layers)}': {titles} {take} no layer; name none.")
    return layered


def _layers(classifier: Classifier, run: RunData, named: Sequence[str]) -> list[str]:
    """Raises UserError for a layer that there is not."""
    own = run.manifest.request.layer
    if ALL in named and {*named} != {ALL}:
        raise UserError(
            f"layers '{','.join(named)}': '{ALL}' stands alone; {STAGES} and the run's layer are among its "
            f"layers. Name '{ALL}', or others without it."
        )
    if ALL in named:
        return list(dict.fromkeys([*layers_over_depth(classifier, own), _names(classifier, STAGES)]))
    for layer in named:
        if layer not in (STAGES, own):
            find_layer(classifier.model, layer)
    return list(dict.fromkeys(_names(classifier, layer) for layer in named)) or [own]


def with_own(run: RunData, layers: Sequence[str]) -> list[str]:
    """`layers`, and before the stages alone the run's own layer, with which they are compared."""
    own = run.manifest.request.layer
    return [own, STAGES] if {*layers} == {STAGES} and own else list(layers)


def _names(classifier: Classifier, layer: str) -> str:
    if layer != STAGES:
        return layer
    return ",".join(stage_layers(classifier.model, noise(classifier), classifier.default_layer or ""))
