"""The commands about human gaze: gaze train · evaluate · predict. Typer calls them; heavy packages are
imported inside, so that `--help` answers at once."""

import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from explain.cli.options import (
    WEIGHTS_HELP,
    Again,
    Device,
    Options,
    OutFolder,
    OutputKind,
    Picture,
    Weights,
    Which,
    from_commas,
    option_groups,
)
from explain.cli.output import progress_bar, say
from explain.formatting import counted
from models.errors import UserError
from models.extras import require_package
from models.inputs.options import NO_OPTIONS, PreprocessingOptions
from models.program import typed

if TYPE_CHECKING:
    from explain.gaze.evaluate import Evaluation
    from explain.gaze.sources import Source
    from explain.gaze.truths import Truths
    from models.gaze.gaze_set import GazeSet
    from models.gaze.recipe import GazeRecipe

gaze = typer.Typer(help="Predict where people look, and compare networks with it.", no_args_is_help=True)


Teacher = Annotated[
    Path | None,
    typer.Option(
        help="Checkpoint of 'gaze train' whose predictions are the training targets (default: none, the "
        "targets are people's fixations)."
    ),
]
Photos = Annotated[
    Path | None,
    typer.Option(
        help="Folder of photos whose predictions by the teacher are training targets, too (default: none)."
    ),
]


@dataclass(frozen=True)
class Fixations(Options):
    """Where people looked, and how wide a fixation is."""

    data: Annotated[
        str,
        typer.Option(
            help="Fixations: a table image,x,y[,subject] with its images, or a folder of SALICON, MIT1003 or "
            "CAT2000."
        ),
    ]
    origin: Annotated[int, typer.Option(help="Number of the first pixel in a table: 0 or 1.")] = 0
    image_col: Annotated[
        str | None, typer.Option(help="Column with the images (default: found by its name).")
    ] = None
    x_col: Annotated[str | None, typer.Option(help="Column with x (default: found by its name).")] = None
    y_col: Annotated[str | None, typer.Option(help="Column with y (default: found by its name).")] = None
    subject_col: Annotated[
        str | None, typer.Option(help="Column with the people (default: found by its name).")
    ] = None
    sigma: Annotated[
        float | None,
        typer.Option(
            help="Standard deviation of the blur of fixations, in pixels of the image (default: 24)."
        ),
    ] = None
    sigma_degrees: Annotated[
        float | None,
        typer.Option(
            help="The same in degrees of visual angle, with --pixels-per-degree (default: --sigma counts)."
        ),
    ] = None
    pixels_per_degree: Annotated[
        float | None,
        typer.Option(help="Pixels per degree of visual angle, for --sigma-degrees (default: none)."),
    ] = None

    @property
    def blur(self) -> float:
        """Standard deviation in pixels. Raises UserError where both or a half of them are given."""
        from models.gaze.density import sigma_in_pixels

        return sigma_in_pixels(self.sigma, self.sigma_degrees, self.pixels_per_degree)

    def open(self) -> "GazeSet":
        """Opens the fixations, and prints how many there are."""
        from models.gaze.fixations import open_gaze

        opened = open_gaze(self.data, self.origin, self.image_col, self.x_col, self.y_col, self.subject_col)
        counts = f"{counted(len(opened.images), 'image')}, {counted(opened.fixations, 'fixation')}"
        say(f"{opened.name}: {counts}; {opened.note}".rstrip("; "))
        return opened


@dataclass(frozen=True)
class GazeRecipeOptions(Options):
    """How to train: fields as those of `models.gaze.recipe.GazeRecipe`."""

    model: Annotated[
        str,
        typer.Option(
            help="Gaze model: gaze_readout (on features of a frozen backbone), gaze_small, salnet-half, or "
            "salnet."
        ),
    ] = "gaze_readout"
    backbone: Annotated[
        str | None,
        typer.Option(help="For gaze_readout: a network that 'models' lists (default: mobilenet_v2)."),
    ] = None
    layers: Annotated[
        str | None,
        typer.Option(help="Layers of the backbone, separated by commas (default: those known for it)."),
    ] = None
    loss: Annotated[
        str | None, typer.Option(help="Loss: nll, kl, mse, bce, or nss (default: the model's).")
    ] = None
    epochs: Annotated[int | None, typer.Option(help="Number of epochs (default: the model's).")] = None
    batch_size: Annotated[int | None, typer.Option(help="Images per step (default: the model's).")] = None
    learning_rate: Annotated[
        float | None,
        typer.Option("--learning-rate", "--lr", help="Learning rate (default: the model's)."),
    ] = None
    flips: Annotated[
        bool | None, typer.Option(help="Train on mirrored images, too (default: the model's).")
    ] = None
    seed: Annotated[int | None, typer.Option(help="Seed of the random numbers (default: 0).")] = None

    def to_recipe(self) -> "GazeRecipe":
        """Raises UserError for a value that is not allowed."""
        from models.gaze.recipe import gaze_recipe

        values = asdict(self)
        layers = tuple(name.strip() for name in self.layers.split(",")) if self.layers else None
        return gaze_recipe(values.pop("model"), **(values | {"layers": layers}))


@gaze.command()
@option_groups
def train(
    fixations: Fixations,
    out: Annotated[Path, typer.Option(help="Checkpoint to write (.safetensors).")],
    options: GazeRecipeOptions,
    weights: Annotated[
        Path | None, typer.Option(help=f"For gaze_readout: {WEIGHTS_HELP[0].lower()}{WEIGHTS_HELP[1:]}")
    ] = None,
    which: Which = "",
    teacher: Teacher = None,
    photos: Photos = None,
    again: Again = False,
) -> None:
    """Train a network that predicts where people look, and evaluate it with baselines on every fifth
    image."""
    require_package("lightning")
    from models.gaze.model import load_gaze
    from models.gaze.training import GazeTraining

    blur = fixations.blur
    people = fixations.open()
    training = GazeTraining(
        people,
        out,
        options.to_recipe(),
        blur,
        str(weights) if weights else None,
        typed(sys.argv[1:]),
        load_gaze(teacher) if teacher else None,
        _images_in(photos) if photos else [],
        which,
        say,
    )
    if not training.fit(again):
        say(f"\nStopped. The best epoch so far is in {out}; run the same command to resume.")
        raise typer.Exit(130)
    _evaluate_trained(out, people, blur, options.model)
    words = ["gaze", "evaluate", "--data", str(fixations.data)]
    words += ["--origin", str(fixations.origin)] if fixations.origin else []
    words += ["--gaze-model", str(out), "--model", "mobilenet_v2", "--out", "gaze/first"]
    say(f"checkpoint {out}\nnext       {typed(words)}")


def _evaluate_trained(checkpoint: Path, people: "GazeSet", blur: float, model: str) -> None:
    """Evaluate a trained model on the test images, print the table and keep it in the checkpoint."""
    from explain.gaze.sources import predictions
    from models.gaze.model import load_gaze
    from models.gaze.training import save_metrics

    maps = load_gaze(checkpoint).maps
    truths, sources = _with_baselines(people, "test", blur, [predictions("model", model, maps)])
    evaluation = _evaluated(truths, sources, "tuebingen")
    table = evaluation.means.to_dict("records")
    about = {"part": truths.judged.name, "images": len(truths.judged.images), "table": table}
    save_metrics(checkpoint, {"gaze": about})
    _say_table(evaluation)


@dataclass(frozen=True)
class Predictors(Options):
    """What is evaluated: models of gaze, and maps of a classifier."""

    gaze_model: Annotated[
        list[Path] | None,
        typer.Option(help="Checkpoint of 'gaze train'. Repeat for several (default: none)."),
    ] = None
    model: Annotated[
        str | None,
        typer.Option(
            help="Classifier, named as for 'run', whose maps are compared with people's gaze (default: none)."
        ),
    ] = None
    weights: Weights = None
    which: Which = ""
    outputs: OutputKind = ""
    methods: Annotated[
        str, typer.Option(help="Methods that make the classifier's maps, separated by commas.")
    ] = "grad_cam,layer_cam,eigen_cam,input_gradient"
    layer: Annotated[
        str | None,
        typer.Option(help="Layer to explain, or all-stages (default: the last one whose output is a map)."),
    ] = None
    target: Annotated[
        str | None,
        typer.Option(
            help="Of a network that answers with numbers: the output whose maps are compared, by name or "
            "number (default: the first)."
        ),
    ] = None
    device: Device = "cpu"

    def sources(self, preprocessing: PreprocessingOptions) -> "tuple[list[Source], dict[str, str]]":
        """What predicts people, and what is kept of the classifier."""
        from explain.gaze.network import NetworkMaps
        from explain.gaze.sources import predictions
        from explain.methods.single_image import class_number
        from models.gaze.model import load_gaze
        from models.outputs.regression import is_regression
        from models.outputs.task import as_named
        from models.registry import load

        several = len(self.gaze_model or []) > 1
        sources = []
        for number, path in enumerate(self.gaze_model or [], 1):
            trained = load_gaze(path, self.device)
            sources.append(predictions(f"gaze {number}" if several else "gaze", trained.name, trained.maps))
        if not self.model:
            return sources, {}
        given = (self.model, self.weights, None, self.device, preprocessing, self.which, self.outputs)
        classifier = as_named(load(*given))
        for note in classifier.notes:
            say(f"network    {note}")
        if self.target and not is_regression(classifier.model):
            raise UserError("--target is for networks that answer with numbers: leave it out.")
        output = class_number(classifier.classes, self.target, "output")
        maps = NetworkMaps(classifier, from_commas(self.methods), self.layer, output or 0)
        return [*sources, *maps.sources()], maps.about


@gaze.command()
@option_groups
def evaluate(
    fixations: Fixations,
    predictors: Predictors,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the evaluation, for 'serve --gaze' (default: none).")
    ] = None,
    part: Annotated[
        str, typer.Option(help="Images to evaluate on: train, validation, test (every fifth image), or all.")
    ] = "test",
    variant: Annotated[
        str,
        typer.Option(help="Definition of the metrics: tuebingen (pysaliency), or mit (Bylinskii et al.)."),
    ] = "tuebingen",
    markdown: Annotated[bool, typer.Option("--markdown", help="Print the table as Markdown.")] = False,
    preprocessing: PreprocessingOptions = NO_OPTIONS,
) -> None:
    """Evaluate models of gaze and the maps of a classifier on people's fixations, with baselines and human
    observers (inter-observer agreement) for comparison."""
    from explain.gaze.folder import write
    from explain.gaze.format_text import markdown as as_markdown

    blur = fixations.blur
    people = fixations.open()
    predicted, network = predictors.sources(preprocessing)
    truths, sources = _with_baselines(people, part, blur, predicted)
    evaluation = _evaluated(truths, sources, variant)
    say(as_markdown(evaluation.means)) if markdown else _say_table(evaluation)
    if out:
        about: dict[str, object] = {"data": people.name, "part": part, "note": people.note}
        about |= {"command": typed(sys.argv[1:])} | network
        write(out, evaluation, truths, about)
        say(f"folder     {out}\nnext       {typed(['serve', '--gaze', str(out)])}")


@gaze.command()
def predict(
    image: Picture,
    out: OutFolder,
    gaze_model: Annotated[
        Path | None, typer.Option(help="Checkpoint of 'gaze train' (default: the included model).")
    ] = None,
    device: Device = "cpu",
) -> None:
    """Predict where people look in an image: the map as numbers (.npy), and as an overlay on the image."""
    import numpy as np

    from explain.methods.single_image import read_picture
    from explain.render import normalize, overlay
    from models.gaze.model import load_gaze
    from models.gaze.shipped import shipped_gaze

    picture = read_picture(image)
    values = load_gaze(gaze_model or shipped_gaze(), device).maps([picture])[0]
    try:
        out.mkdir(parents=True, exist_ok=True)
        np.save(out / f"{image.stem}.gaze.npy", values)
        overlay(picture, normalize(values)).save(out / f"{image.stem}.gaze.png")
    except OSError as error:
        raise UserError(
            f"'{out}' cannot be written ({error.strerror or error}): choose another --out."
        ) from error
    say(f"image      {out / f'{image.stem}.gaze.png'}")


def _images_in(folder: Path) -> list[Path]:
    from models.data.images import SUFFIXES

    images = sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES)
    if not images:
        raise UserError(f"'{folder}' holds no images: name a folder of photos with --photos.")
    return images


def _with_baselines(
    people: "GazeSet", part: str, sigma: float, predicted: "list[Source]"
) -> "tuple[Truths, list[Source]]":
    """The fixations of a part, and what is evaluated on them: predictions, baselines and people."""
    from explain.gaze.sources import baselines
    from explain.gaze.truths import Truths

    truths = Truths(people.part(part), people, sigma)
    return truths, [*predicted, *baselines(truths)]


def _evaluated(truths: "Truths", sources: "list[Source]", variant: str) -> "Evaluation":
    from explain.gaze.evaluate import evaluate as compute

    with progress_bar("gaze") as on_progress:
        for fraction, evaluation in compute(truths, sources, variant):
            last = evaluation
            on_progress(fraction)
    return last


def _say_table(evaluation: "Evaluation") -> None:
    from explain.gaze.format_text import table_lines

    say("\n".join(table_lines(evaluation.means)))
