"""The commands about networks: methods · layers · filters · top-activations. Typer calls them; heavy packages
are imported inside, so that `--help` answers at once."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from explain.cli.data_question import ask_for_data
from explain.cli.options import (
    AllowData,
    ClassNames,
    Device,
    Network,
    Options,
    OutFolder,
    Run,
    RunWeights,
    Seed,
    option_groups,
)
from explain.cli.output import progress_bar, say
from models.inputs.options import NO_OPTIONS, PreprocessingOptions

if TYPE_CHECKING:
    from explain.features.activation_maximization import Maximized, Settings


def methods(
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Print the table of docs/methods.md instead.")
    ] = False,
) -> None:
    """List the explanation methods, with their parameters and what they cost."""
    from explain.methods.registry import METHODS
    from explain.methods.spec import described, table

    say(table(METHODS.values()) if markdown else "\n".join(described(m) for m in METHODS.values()))


@option_groups
def layers(
    network: Network,
    image: Annotated[
        Path | None,
        typer.Argument(
            help="Image file for which the fraction of zeros in each layer's output is added (default: none)."
        ),
    ] = None,
    preprocessing: PreprocessingOptions = NO_OPTIONS,
) -> None:
    """Print a network as a table: each layer with its output, parameters, multiply-adds and receptive
    field."""
    import torch

    from explain.methods.single_image import must_be_there, read_picture
    from explain.network.summary import format_text, missing_information
    from explain.network.summary import layers as table

    if image:
        must_be_there(image)
    classifier = network.load(preprocessing)
    if image:
        x = classifier.batch([read_picture(image, classifier.preprocessing)])
    else:
        x = torch.rand(1, classifier.channels, *classifier.input_size, device=classifier.device)
    rows = table(classifier.model, x)
    say("\n".join(filter(None, [format_text(rows, zeros=image is not None), missing_information(rows)])))


@dataclass(frozen=True)
class MaximizationOptions(Options):
    """What is maximized, and how."""

    layer: Annotated[
        str, typer.Option(help="Layer whose units are maximized (default: none, classes are maximized).")
    ] = ""
    units: Annotated[
        str,
        typer.Option(
            help="Units: numbers and ranges such as 3,7,20-25; without --layer also names of classes."
        ),
    ] = "0-15"
    place: Annotated[
        str,
        typer.Option(help="everywhere: the whole channel; or center: the neuron at the center."),
    ] = "everywhere"
    steps: Annotated[int, typer.Option(help="Steps of gradient ascent.")] = 128
    seed: Seed = 0

    def settings(self) -> "Settings":
        from explain.features.activation_maximization import Settings

        return Settings(self.layer, self.place, steps=self.steps, seed=self.seed)


@option_groups
def filters(
    network: Network,
    out: OutFolder,
    options: MaximizationOptions,
    class_names: ClassNames = None,
    preprocessing: PreprocessingOptions = NO_OPTIONS,
) -> None:
    """Visualize the features of units or classes: images optimized from noise by gradient ascent, and the
    weights of the filters."""
    from explain.features.units import units_in, write
    from explain.features.visualization_cache import maximized
    from models.memory import reuse_memory
    from models.outputs.task import as_named

    classifier = as_named(network.load(preprocessing, class_names))
    reuse_memory()
    settings = options.settings()
    units = units_in(options.units, () if options.layer else classifier.classes)
    made = _last_step(maximized(classifier, units, settings), options)
    if made is None:
        raise typer.Exit(130)
    say("\n".join(write(classifier, made, settings, out)))
    if made.step < made.steps:
        raise typer.Exit(130)


def _last_step(results: "Iterator[Maximized]", options: MaximizationOptions) -> "Maximized | None":
    """The last result, or the one before a person stopped it; None where there is none yet."""
    made = None
    try:
        with progress_bar(options.layer or "classes") as on_progress:
            for made in results:
                on_progress(made.step / made.steps)
    except KeyboardInterrupt:
        say(f"\nStopped after step {made.step if made else 0} of {options.steps}.")
    return made


@option_groups
def top_activations(
    run: Run,
    weights: RunWeights = None,
    limit: Annotated[int, typer.Option(min=1, help="Maximum images, evenly spread over the run.")] = 2000,
    device: Device = "cpu",
    allow_data: AllowData = False,
    preprocessing: PreprocessingOptions = NO_OPTIONS,
) -> None:
    """Find the images of a run that activate each channel most, and compute the curves over depth.

    The results are kept in the run folder for the Layers tab. Images are prepared as for the run; options
    that say otherwise are refused."""
    from explain.features.top_activations import format_text
    from explain.features.top_activations import top_activations as compute
    from explain.run.model import network_of, require_same_input
    from explain.run.reader import open_run
    from models.memory import reuse_memory

    opened = open_run(run)
    if opened.numbers:
        opened.require_one_class("The list of top activations")
    ask_for_data(opened, allow_data)
    reuse_memory()
    classifier = network_of(opened.manifest, weights, device)
    require_same_input(classifier, preprocessing)
    try:
        with progress_bar("top activations") as on_progress:
            for fraction in compute(classifier, opened, limit):
                on_progress(fraction)
    except KeyboardInterrupt:
        say("\nStopped. Nothing was written.")
        raise typer.Exit(130) from None
    say(format_text(opened))
