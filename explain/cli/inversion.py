"""The commands about inversion: invert train · measure · image. Typer calls them; heavy packages are imported
inside, so that `--help` answers at once."""

import sys
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from explain.cli.options import (
    Again,
    Columns,
    Data,
    LabeledData,
    Network,
    Options,
    OutFolder,
    Picture,
    Seed,
    TrainingLimit,
    from_commas,
    option_groups,
)
from explain.cli.output import progress_bar, say
from explain.formatting import counted
from models.errors import UserError
from models.extras import require_package
from models.inputs.options import NO_OPTIONS, PreprocessingOptions
from models.program import program, typed

if TYPE_CHECKING:
    import pandas as pd
    from torch import Tensor

    from explain.inversion.rebuild import Rebuilt
    from models.classifier import Classifier
    from models.data.parts import Parts
    from models.data.source import ImageSource
    from models.inversion.decoder import Decoder
    from models.inversion.recipe import InversionRecipe

invert = typer.Typer(
    help="Reconstruct images from a layer's output (feature inversion), to see which information it keeps.",
    no_args_is_help=True,
)

Decoders = Annotated[
    Path | None, typer.Option(help="Folder of 'invert train' (default: the included decoders).")
]
MEASURED = 500  # images after a training


@dataclass(frozen=True)
class DecoderOptions(Options):
    """How to train a decoder: fields as those of `models.inversion.recipe.InversionRecipe`."""

    epochs: Annotated[int, typer.Option(min=1, help="Number of epochs.")] = 20
    batch_size: Annotated[int, typer.Option(min=1, help="Images per step.")] = 64
    learning_rate: Annotated[
        float, typer.Option("--learning-rate", "--lr", help="Learning rate of the first epochs.")
    ] = 1e-3
    step: Annotated[int, typer.Option(help="Epochs after which the learning rate is divided by ten.")] = 5
    width: Annotated[float, typer.Option(help="Width of the decoder, relative to the published one.")] = 1.0
    depth: Annotated[
        int,
        typer.Option(help="Convolutions or dense layers of the decoder before its transposed convolutions."),
    ] = 3
    ups: Annotated[
        int,
        typer.Option(help="Number of transposed convolutions, each doubles the size; 0: automatic."),
    ] = 0
    seed: Seed = 0

    def to_recipe(self) -> "InversionRecipe":
        """Raises UserError for a value out of its limits."""
        from models.inversion.recipe import InversionRecipe

        return InversionRecipe(**asdict(self))


@invert.command()
@option_groups
def train(
    *,
    network: Network,
    data: Data,
    layers: Annotated[
        str,
        typer.Option(
            help="Layers to invert, separated by commas; 'layers' lists them. One decoder per layer."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder for the decoders, one file per layer.")],
    options: DecoderOptions,
    columns: Columns,
    limit: TrainingLimit = None,
    again: Again = False,
    preprocessing: PreprocessingOptions = NO_OPTIONS,
) -> None:
    """Train a decoder for each layer, and measure how well images are reconstructed."""
    require_package("lightning")
    from models.data.parts import open_parts
    from models.inversion.decoder import load_decoder

    recipe = options.to_recipe()
    parts = open_parts(data, columns.image_col, columns.label_col, limit, votes=columns.votes)
    say(f"{parts.training.name}: {counted(len(parts.training), 'image')}; {parts.note}".rstrip("; "))
    classifier = _answering(network, parts.training, preprocessing)
    files = {layer: out / f"{layer}.safetensors" for layer in from_commas(layers)}
    _train_decoders(classifier, parts, files, recipe, again)
    decoders = [load_decoder(file, classifier) for file in files.values()]
    judged = parts.test or parts.validation
    measures = _measured(classifier, decoders, judged, MEASURED)
    _keep_measures(decoders, measures, judged.name, classifier.task)
    say(f"next       {typed(['serve', '--decoders', str(out)])}")


def _answering(network: Network, source: "ImageSource", preprocessing: PreprocessingOptions) -> "Classifier":
    """The network for the task of the data. Raises UserError."""
    from models.outputs.task import as_asked, asked_task

    return as_asked(network.load(preprocessing, task=asked_task(source)), source)


def _train_decoders(
    classifier: "Classifier", parts: "Parts", files: dict[str, Path], recipe: "InversionRecipe", again: bool
) -> None:
    """Layer -> file of its decoder.

    Raises `typer.Exit` where a person stops it."""
    from explain.inversion.rebuild import layer_output
    from models.inversion.training import Inversion, read_parts

    sets = read_parts(classifier, parts) if files else None
    for layer, file in files.items():
        read = partial(layer_output, classifier, layer=layer)
        training = Inversion(classifier, layer, parts, file, recipe, typed(sys.argv[1:]), sets, read)
        if not training.fit(again):
            say(f"\nStopped. The best epoch so far is in {file}; run the same command to resume.")
            raise typer.Exit(130)
        say(f"decoder    {file}")


@invert.command()
@option_groups
def measure(
    *,
    network: Network,
    data: LabeledData,
    decoders: Decoders = None,
    columns: Columns,
    limit: Annotated[
        int, typer.Option(min=2, help="Maximum images, evenly spread over the data.")
    ] = MEASURED,
    preprocessing: PreprocessingOptions = NO_OPTIONS,
) -> None:
    """Measure how well images are reconstructed from each layer that has a decoder."""
    source = data.open(columns)
    classifier = _answering(network, source, preprocessing)
    _measured(classifier, _decoders(classifier, decoders), source, limit)


@dataclass(frozen=True)
class OptimizationOptions(Options):
    """Inversion without a decoder."""

    layer: Annotated[
        str,
        typer.Option(
            help="Layer to invert by optimization, without a decoder (default: none, decoders are used)."
        ),
    ] = ""
    steps: Annotated[int, typer.Option(help="Steps of the optimization.")] = 200
    restarts: Annotated[int, typer.Option(help="Number of starts; the best result is kept.")] = 2
    seed: Seed = 0


@invert.command()
@option_groups
def image(
    image: Picture,
    network: Network,
    out: OutFolder,
    optimization: OptimizationOptions,
    decoders: Decoders = None,
    preprocessing: PreprocessingOptions = NO_OPTIONS,
) -> None:
    """Reconstruct one image from each layer that has a decoder, or from one layer by optimization."""
    from explain.inversion.rebuild import described, enlarged, format_numbers, rebuild
    from explain.methods.single_image import must_be_there, read_picture
    from models.memory import reuse_memory
    from models.outputs.task import as_named

    must_be_there(image)
    classifier = as_named(network.load(preprocessing))
    reuse_memory()
    given = read_picture(image, classifier.preprocessing)
    x = classifier.batch([given])
    if note := enlarged(given.size, classifier.input_size):
        say(note)
    if optimization.layer:
        rebuilt = [_optimized(classifier, x, optimization)]
    else:
        rebuilt = [rebuild(classifier, x, decoder) for decoder in _decoders(classifier, decoders)]
    if rebuilt[0].numbers is not None:
        say(f"the image  {format_numbers(described(classifier, x, x, '', 1.0).numbers, classifier.classes)}")
    _write_images(rebuilt, classifier, out, image.stem)


def _optimized(classifier: "Classifier", x: "Tensor", options: OptimizationOptions) -> "Rebuilt":
    """The image after the last step. Raises `typer.Exit` where a person stops it before the first one."""
    from explain.inversion.optimize import Settings, optimize
    from explain.inversion.rebuild import described

    last, settings = None, Settings(options.layer, options.steps, options.restarts, seed=options.seed)
    try:
        with progress_bar(options.layer) as on_progress:
            for last in optimize(classifier, x, settings):
                on_progress(last.step / last.steps)
    except KeyboardInterrupt:
        say(f"\nStopped after step {last.step if last else 0} of {options.steps}.")
    if last is None:
        raise typer.Exit(130)
    made = described(classifier, x, last.picture, options.layer, float("nan"))  # no distance to others
    say(f"nearest    {min(last.distance):.3g} of the output's square")
    return made


def _write_images(rebuilt: "list[Rebuilt]", classifier: "Classifier", out: Path, stem: str) -> None:
    """STEM.LAYER.png for each.

    Raises UserError where the folder cannot be written."""
    from PIL import Image

    from explain.formatting import called_text
    from explain.inversion.rebuild import format_numbers

    try:
        out.mkdir(parents=True, exist_ok=True)
        for made in rebuilt:
            file = out / f"{stem}.{made.layer or 'output'}.png"
            Image.fromarray(made.picture).save(file)
            error = "" if made.error != made.error else f"error {made.error:.3f}, "
            answer = f"{classifier.classes[made.pred]} {100 * made.prob:.1f} %"
            if made.labels is not None:
                answer = called_text(classifier.classes, made.labels)
            elif made.numbers is not None:
                answer = format_numbers(made.numbers, classifier.classes)
            say(f"{made.layer:24} {error}{answer}  {file}")
    except OSError as error:
        raise UserError(
            f"'{out}' cannot be written ({error.strerror or error}): choose another --out."
        ) from error


def _decoders(classifier: "Classifier", folder: Path | None) -> "list[Decoder]":
    from models.inversion.decoder import load_decoders

    decoders = load_decoders(classifier, folder)
    if not decoders:
        raise UserError(
            f"No decoders are included for {classifier.name}: train some with {program()} invert train, and "
            "name their folder with --decoders."
        )
    return decoders


def _measured(
    classifier: "Classifier", decoders: "list[Decoder]", source: "ImageSource", limit: int
) -> "pd.DataFrame":
    from explain.inversion.measure import format_text
    from explain.inversion.measure import measure as compute

    with progress_bar("measure") as on_progress:
        for fraction, table in compute(classifier, decoders, source, limit):
            last = table
            on_progress(fraction)
    say("\n".join(format_text(last)))
    return last


def _keep_measures(decoders: "list[Decoder]", table: "pd.DataFrame", data: str, task: str) -> None:
    """Write what was measured of each decoder into its file, of a network of this task."""
    from models import checkpoints

    for decoder in decoders:
        row = table[table["layer"] == decoder.layer].iloc[0].to_dict()
        row = {k: v for k, v in row.items() if k != "same" or v == v}
        measured = {k: v for k, v in row.items() if k != "layer"} | {"on": data, "task": task}
        metrics = decoder.about.get("metrics", {}) | {"measured": measured}
        checkpoints.save(decoder.path, decoder.model, decoder.about | {"metrics": metrics}, half=True)
