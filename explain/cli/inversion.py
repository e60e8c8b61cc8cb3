"""The commands about inversion: invert train · measure · image. Typer calls them; heavy packages are imported
inside, so that `--help` answers at once."""

import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from explain.cli.models import Data, Device, ImageCol, LabelCol, Model, Split, Weights, say
from models.errors import UserError
from models.preprocessing_options import NO_OPTIONS, PreprocessingOptions, takes_preprocessing
from models.program import program, typed

if TYPE_CHECKING:
    import pandas as pd

    from models.classifier import Classifier
    from models.data.source import ImageSource
    from models.inversion.decoder import Decoder

invert = typer.Typer(
    help="What a layer still knows: rebuild the picture from its output.", no_args_is_help=True
)

Decoders = Annotated[
    Path | None, typer.Option(help="A folder of 'invert train'; by itself the decoders that come along.")
]


@invert.command()
@takes_preprocessing
def train(
    model: Model,
    data: Data,
    layers: Annotated[
        str, typer.Option(help="Whose output is decoded, with commas; see 'layers'. One decoder each.")
    ],
    out: Annotated[Path, typer.Option(help="The folder for the decoders, one file a layer.")],
    weights: Weights = None,
    image_col: ImageCol = None,
    label_col: LabelCol = None,
    limit: Annotated[int | None, typer.Option(help="Train on so many images, evenly spread.")] = None,
    epochs: Annotated[int, typer.Option(min=1)] = 20,
    batch_size: Annotated[int, typer.Option(min=1)] = 64,
    learning_rate: Annotated[float, typer.Option("--learning-rate", "--lr")] = 1e-3,
    step: Annotated[int, typer.Option(help="Divide the rate by ten every so many epochs.")] = 5,
    width: Annotated[float, typer.Option(help="Of the decoder: 1 as published.")] = 1.0,
    depth: Annotated[
        int, typer.Option(help="Its convolutions or dense layers before the up-convolutions.")
    ] = 3,
    ups: Annotated[
        int,
        typer.Option(
            help="Its up-convolutions, each of which doubles the sides; 0: as many as the layer's output "
            "asks for."
        ),
    ] = 0,
    seed: int = 0,
    again: Annotated[bool, typer.Option("--again", help="Train anew where there is one already.")] = False,
    device: Device = "cpu",
    preprocessing: PreprocessingOptions = NO_OPTIONS,
) -> None:
    """Train decoders for layers of a network on images, and measure how much each layer still knows."""
    from explain.inversion.rebuild import layer_output
    from models.data.parts import open_parts
    from models.inversion.decoder import load_decoder
    from models.inversion.recipe import InversionRecipe
    from models.inversion.training import Inversion, read_parts
    from models.registry import load

    recipe = InversionRecipe(
        epochs, batch_size, learning_rate, step=step, width=width, seed=seed, depth=depth, ups=ups
    )
    parts = open_parts(data, image_col, label_col, limit)
    say(f"{parts.training.name}: {len(parts.training)} images; {parts.note}".rstrip("; "))
    classifier, sets = load(model, weights, device=device, options=preprocessing), None
    named = [name.strip() for name in layers.split(",") if name.strip()]
    for layer in named:
        file = out / f"{layer}.safetensors"
        sets = sets or read_parts(classifier, parts)
        read = partial(layer_output, classifier, layer=layer)
        training = Inversion(classifier, layer, parts, file, recipe, typed(sys.argv[1:]), sets, read)
        if not training.fit(again):
            say(f"\nStopped; the best epoch so far is in {file}: the same command goes on.")
            raise typer.Exit(130)
        say(f"decoder    {file}")
    decoders = [load_decoder(out / f"{layer}.safetensors", classifier) for layer in named]
    found = _measured(classifier, decoders, parts.test or parts.validation, 500)
    _remember(decoders, found, (parts.test or parts.validation).name)
    say(f"next       {program()} serve --decoders {out}")


@invert.command()
@takes_preprocessing
def measure(
    model: Model,
    data: Data,
    decoders: Decoders = None,
    weights: Weights = None,
    split: Split = None,
    image_col: ImageCol = None,
    label_col: LabelCol = None,
    limit: Annotated[int, typer.Option(min=2, help="So many images at most, evenly spread.")] = 500,
    device: Device = "cpu",
    preprocessing: PreprocessingOptions = NO_OPTIONS,
) -> None:
    """How much of a picture every layer still knows, on any images."""
    from models.data.open import open_data
    from models.registry import load

    classifier = load(model, weights, device=device, options=preprocessing)
    _measured(
        classifier, _decoders(classifier, decoders), open_data(data, split, image_col, label_col), limit
    )


@invert.command()
@takes_preprocessing
def image(
    picture: Annotated[Path, typer.Argument(help="A picture.")],
    model: Model,
    out: Annotated[Path, typer.Option(help="The folder to write.")],
    decoders: Decoders = None,
    weights: Weights = None,
    layer: Annotated[
        str, typer.Option(help="By optimization instead, from this layer: no decoder is needed.")
    ] = "",
    steps: Annotated[int, typer.Option(help="Of the optimization.")] = 200,
    restarts: Annotated[int, typer.Option(help="Beginnings, of which the nearest is kept.")] = 2,
    seed: int = 0,
    device: Device = "cpu",
    preprocessing: PreprocessingOptions = NO_OPTIONS,
) -> None:
    """One picture, rebuilt from every layer that has a decoder, or from one layer by optimization."""
    from PIL import Image

    from explain.cli.commands import progress_bar
    from explain.inversion.optimize import Settings, optimize
    from explain.inversion.rebuild import described, enlarged, rebuild
    from explain.methods.single_image import must_be_there, read_picture
    from models.memory import reuse_memory
    from models.registry import load

    must_be_there(picture)
    classifier = load(model, weights, device=device, options=preprocessing)
    reuse_memory()
    seen = read_picture(picture, classifier.preprocessing)
    x, made = classifier.batch([seen]), []
    if note := enlarged(seen.size, classifier.input_size):
        say(note)
    if layer:
        last = None
        try:
            with progress_bar(layer) as on_progress:
                for last in optimize(classifier, x, Settings(layer, steps, restarts, seed=seed)):
                    on_progress(last.step / last.steps)
        except KeyboardInterrupt:
            say(f"\nStopped after step {last.step if last else 0} of {steps}.")
        if last is None:
            raise typer.Exit(130)
        made = [
            described(classifier, x, last.picture, layer, float("nan"))
        ]  # one picture has no distance to others
        say(f"nearest    {min(last.distance):.3g} of the output's square")
    else:
        made = [rebuild(classifier, x, decoder) for decoder in _decoders(classifier, decoders)]
    try:
        out.mkdir(parents=True, exist_ok=True)
        for found in made:
            file = out / f"{picture.stem}.{found.layer or 'output'}.png"
            Image.fromarray(found.picture).save(file)
            error = "" if layer else f"error {found.error:.3f}, "
            say(f"{found.layer:24} {error}{classifier.classes[found.pred]} {found.prob:.1%}  {file}")
    except OSError as error:
        raise UserError(
            f"'{out}' cannot be written ({error.strerror or error}): choose another --out."
        ) from error


def _decoders(classifier: "Classifier", folder: Path | None) -> "list[Decoder]":
    from models.inversion.decoder import load_decoders

    found = load_decoders(classifier, folder)
    if not found:
        raise UserError(
            f"No decoders come along for {classifier.name}: train some with {program()} invert train, "
            "and name their folder with "
            "--decoders."
        )
    return found


def _measured(
    classifier: "Classifier", decoders: "list[Decoder]", source: "ImageSource", limit: int
) -> "pd.DataFrame":
    from explain.cli.commands import progress_bar
    from explain.inversion.measure import format_text
    from explain.inversion.measure import measure as work_out

    with progress_bar("measure") as on_progress:
        for fraction, table in work_out(classifier, decoders, source, limit):
            found = table
            on_progress(fraction)
    say("\n".join(format_text(found)))
    return found


def _remember(decoders: "list[Decoder]", found: "pd.DataFrame", name: str) -> None:
    """Write what was measured of each decoder into its file."""
    from models import checkpoints

    for decoder in decoders:
        row = found[found["layer"] == decoder.layer].iloc[0].to_dict()
        metrics = decoder.about.get("metrics", {}) | {
            "measured": {k: v for k, v in row.items() if k != "layer"} | {"on": name}
        }
        checkpoints.save(decoder.path, decoder.model, decoder.about | {"metrics": metrics}, half=True)
