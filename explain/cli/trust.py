"""The command trust: how far the maps of a run can be trusted. Typer calls it; heavy packages are imported
inside, so that `--help` answers at once."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from explain.cli.data_question import ask_for_data
from explain.cli.options import (
    AllowData,
    Device,
    Options,
    Run,
    RunWeights,
    Seed,
    from_commas,
    option_groups,
)
from explain.cli.output import progress_bar, say
from explain.cli.threshold import Label
from models.errors import UserError

if TYPE_CHECKING:
    from explain.quality.measure import Measurement
    from explain.quality.verdict import Trust
    from explain.run.reader import RunData
    from models.classifier import Classifier


@dataclass(frozen=True)
class TrustOptions(Options):
    """What is measured, and how finely."""

    methods: Annotated[
        str, typer.Option(help="Methods, separated by commas (default: those of the run).")
    ] = ""
    images: Annotated[
        int, typer.Option(min=10, help="Maximum images: correct and wrong ones of every class in turn.")
    ] = 200
    layers: Annotated[
        str,
        typer.Option(
            help="Layers, separated by commas, or all: the output of every block (default: the run's layer)."
        ),
    ] = ""
    figures: Annotated[str, typer.Option(help="Figures, separated by commas: insertion_deletion, road.")] = (
        "insertion_deletion,road"
    )
    cells: Annotated[
        int, typer.Option(min=2, help="Cells on a side of the grid whose cells are removed.")
    ] = 14
    steps: Annotated[int, typer.Option(min=2, help="Steps of insertion and deletion.")] = 10
    baseline: Annotated[
        str, typer.Option(help="What stands in removed cells: blur (the blurred image) or mean (one color).")
    ] = "blur"
    precision: Annotated[str, typer.Option(help="Precision: fp32 or bf16.")] = "fp32"
    seed: Seed = 0

    def measurement(self, classifier: "Classifier", run: "RunData", layer: str) -> "Measurement":
        """Of a run, at a layer. Raises UserError for unknown methods, figures, baselines and precisions."""
        from explain.methods.compute import method_for
        from explain.quality.curves import CurveSettings
        from explain.quality.measure import Measurement
        from explain.quality.sample import stratified
        from explain.quality.store import TrustSettings, TrustStore
        from explain.quality.verdict import FIGURES

        methods = from_commas(self.methods) or list(run.manifest.request.methods)
        for method in methods:
            method_for(classifier.model, method)
        for value, allowed in ((self.baseline, ("blur", "mean")), (self.precision, ("fp32", "bf16"))):
            if value not in allowed:
                raise UserError(f"'{value}' is not known here: choose from {', '.join(allowed)}.")
        figures = from_commas(self.figures)
        if not figures or not {*figures} <= {*FIGURES}:
            raise UserError(f"No figure '{self.figures}': choose from {', '.join(FIGURES)}.")
        kinds = tuple(kind for name in FIGURES if name in figures for kind in FIGURES[name].needs)
        curves = CurveSettings(self.cells, self.steps, self.baseline, seed=self.seed)
        settings = TrustSettings(layer, curves, kinds, self.precision)
        store = TrustStore.of(run.folder, settings)
        return Measurement(classifier, run, methods, stratified(run, self.images), store)


@option_groups
def trust(
    run: Run,
    options: TrustOptions,
    weights: RunWeights = None,
    device: Device = "cpu",
    label: Label = "",
    allow_data: AllowData = False,
) -> None:
    """Measure how far the maps of a run can be trusted: each method against controls, such as a spot in the
    center of the image. The last line says which method to read.

    The results are kept in the run folder for the dashboard. The same command resumes."""
    from explain.quality.format_text import format_layers, format_trust
    from explain.quality.verdict import Trust
    from explain.run.model import network_of
    from explain.run.reader import open_run
    from models.memory import reuse_memory

    opened = open_run(run, label)
    ask_for_data(opened, allow_data)
    reuse_memory()
    classifier = network_of(opened.manifest, weights, device)
    layers = _layers(classifier, opened, options)
    found = list["Trust"]()
    try:
        with progress_bar("trust") as on_progress:
            for k, layer in enumerate(layers):
                for fraction in (work := options.measurement(classifier, opened, layer)).steps():
                    on_progress((k + fraction) / len(layers))
                found.append(Trust.of(work.store, work.methods))
    except KeyboardInterrupt:
        say(f"\nStopped. Results so far are in {run}; run the same command to resume.")
        raise typer.Exit(130) from None
    say(format_trust(found[0]) if len(found) == 1 else format_layers(found))


def _layers(classifier: "Classifier", run: "RunData", options: TrustOptions) -> list[str]:
    """Raises UserError for a layer that there is not."""
    from explain.network.hooks import find_layer
    from explain.quality.layers import layers_over_depth

    own = run.manifest.request.layer
    if options.layers == "all":
        return layers_over_depth(classifier, own)
    named = from_commas(options.layers)
    for layer in named:
        find_layer(classifier.model, layer)
    return named or [own]
