"""The commands about gaze: gaze train · evaluate · predict. Typer calls them; heavy packages are imported
inside, so that `--help` answers at once."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from explain.cli.models import Device, Weights, say
from models.errors import UserError
from models.preprocessing_options import NO_OPTIONS, PreprocessingOptions, takes_preprocessing
from models.program import program, typed

if TYPE_CHECKING:
    from explain.gaze.evaluate import Evaluation
    from explain.gaze.sources import Source
    from explain.gaze.truths import Truths
    from models.gaze.gaze_set import GazeSet

gaze = typer.Typer(help="Where people look: predict it, and compare networks with it.", no_args_is_help=True)

Fixations = Annotated[
    str,
    typer.Option(
        "--data",
        help="A table image,x,y[,subject] with its images, or a folder of SALICON, MIT1003 or CAT2000.",
    ),
]
Origin = Annotated[int, typer.Option(help="The number of a table's first pixel: 0 or 1.")]
ImageColumn = Annotated[str | None, typer.Option("--image-col")]
XColumn = Annotated[str | None, typer.Option("--x-col")]
YColumn = Annotated[str | None, typer.Option("--y-col")]
SubjectColumn = Annotated[str | None, typer.Option("--subject-col")]
Sigma = Annotated[
    float | None, typer.Option(help="Blur of the fixations in pixels of the image; by itself 24.")
]
Degrees = Annotated[
    float | None,
    typer.Option("--sigma-degrees", help="Or in degrees of visual angle, with --pixels-per-degree."),
]
PerDegree = Annotated[float | None, typer.Option("--pixels-per-degree")]
Variant = Annotated[
    str, typer.Option(help="How metrics are counted: tuebingen (pysaliency), or mit (Bylinskii et al.).")
]


@gaze.command()
def train(
    data: Fixations,
    out: Annotated[Path, typer.Option(help="The checkpoint to write (.safetensors).")],
    model: Annotated[
        str,
        typer.Option(
            help="gaze_readout (features of a frozen backbone), gaze_small, salnet-half, or salnet."
        ),
    ] = "gaze_readout",
    backbone: Annotated[
        str | None, typer.Option(help="Of a readout: any network that 'models' lists.")
    ] = None,
    weights: Weights = None,
    layers: Annotated[str | None, typer.Option(help="Of the backbone, with commas.")] = None,
    origin: Origin = 0,
    image_col: ImageColumn = None,
    x_col: XColumn = None,
    y_col: YColumn = None,
    subject_col: SubjectColumn = None,
    sigma: Sigma = None,
    sigma_degrees: Degrees = None,
    pixels_per_degree: PerDegree = None,
    loss: Annotated[str | None, typer.Option(help="nll, kl, mse, bce, or nss.")] = None,
    epochs: int | None = None,
    batch_size: int | None = None,
    learning_rate: Annotated[float | None, typer.Option("--learning-rate", "--lr")] = None,
    flips: Annotated[bool | None, typer.Option(help="Every picture also mirrored.")] = None,
    seed: int | None = None,
    teacher: Annotated[
        Path | None, typer.Option(help="A trained model whose answers are learned instead of people's.")
    ] = None,
    photos: Annotated[
        Path | None, typer.Option(help="A folder of photos that the teacher is asked about, too.")
    ] = None,
    again: Annotated[bool, typer.Option("--again", help="Train anew where there is one already.")] = False,
) -> None:
    """Train a network that predicts where people look, and measure it beside its baselines on every fifth
    image."""
    from explain.gaze.sources import predictions
    from models.gaze.density import sigma_in_pixels
    from models.gaze.model import load_gaze
    from models.gaze.recipe import gaze_recipe
    from models.gaze.training import GazeTraining, save_metrics

    blur = sigma_in_pixels(sigma, sigma_degrees, pixels_per_degree)
    found = _opened(data, origin, image_col, x_col, y_col, subject_col)
    named = tuple(name.strip() for name in layers.split(",")) if layers else None
    recipe = gaze_recipe(
        model,
        backbone=backbone,
        layers=named,
        loss=loss,
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        flips=flips,
        seed=seed,
    )
    training = GazeTraining(
        found,
        out,
        recipe,
        blur,
        str(weights) if weights else None,
        typed(sys.argv[1:]),
        load_gaze(teacher) if teacher else None,
        _pictures(photos) if photos else [],
    )
    if not training.fit(again):
        say(f"\nStopped; the best epoch so far is in {out}: the same command goes on.")
        raise typer.Exit(130)
    trained = load_gaze(out)
    truths, sources = _beside(found, "test", blur, [predictions("model", recipe.model, trained.maps)])
    made = _evaluated(truths, sources, "tuebingen")
    save_metrics(
        out,
        {
            "gaze": {
                "part": truths.judged.name,
                "images": len(truths.judged.images),
                "table": made.means.to_dict("records"),
            }
        },
    )
    _say_table(made)
    say(
        f"checkpoint {out}\nnext       {program()} gaze evaluate --data "
        f"{data}{f' --origin {origin}' if origin else ''} --gaze-model {out} "
        "--model mobilenet_v2 --out gaze/first"
    )


@gaze.command()
@takes_preprocessing
def evaluate(
    data: Fixations,
    out: Annotated[Path | None, typer.Option(help="A folder to keep it in, for 'serve --gaze'.")] = None,
    gaze_model: Annotated[
        list[Path] | None, typer.Option(help="A checkpoint of 'gaze train'; can be repeated.")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(help="A classifier, by the names of 'models': does it look where people look?"),
    ] = None,
    weights: Weights = None,
    methods: Annotated[
        str, typer.Option(help="Maps of the classifier, with commas.")
    ] = "grad_cam,layer_cam,eigen_cam,input_gradient",
    layer: Annotated[
        str | None, typer.Option(help="The layer to explain; by itself the last one with maps.")
    ] = None,
    part: Annotated[str, typer.Option(help="train, validation, test (every fifth image), or all.")] = "test",
    origin: Origin = 0,
    image_col: ImageColumn = None,
    x_col: XColumn = None,
    y_col: YColumn = None,
    subject_col: SubjectColumn = None,
    sigma: Sigma = None,
    sigma_degrees: Degrees = None,
    pixels_per_degree: PerDegree = None,
    variant: Variant = "tuebingen",
    markdown: Annotated[bool, typer.Option("--markdown", help="As a table for a document.")] = False,
    device: Device = "cpu",
    preprocessing: PreprocessingOptions = NO_OPTIONS,
) -> None:
    """Predictions of gaze, and the maps of a classifier, against people's fixations, beside baselines and
    people themselves."""
    from explain.gaze.folder import write
    from explain.gaze.format_text import markdown as as_markdown
    from explain.gaze.network import NetworkMaps
    from explain.gaze.sources import predictions
    from models.gaze.density import sigma_in_pixels
    from models.gaze.model import load_gaze
    from models.registry import load

    blur = sigma_in_pixels(sigma, sigma_degrees, pixels_per_degree)
    found = _opened(data, origin, image_col, x_col, y_col, subject_col)
    asked: list[Source] = []
    for path in gaze_model or []:
        trained = load_gaze(path, device)
        asked.append(
            predictions(
                f"gaze {len(asked) + 1}" if len(gaze_model or []) > 1 else "gaze", trained.name, trained.maps
            )
        )
    about: dict[str, object] = {
        "data": found.name,
        "part": part,
        "note": found.note,
        "command": typed(sys.argv[1:]),
    }
    if model:
        classifier = load(model, weights, device=device, options=preprocessing)
        asked += NetworkMaps(
            classifier, [m.strip() for m in methods.split(",") if m.strip()], layer
        ).sources()
        about["network"] = classifier.name
    truths, sources = _beside(found, part, blur, asked)
    made = _evaluated(truths, sources, variant)
    say(as_markdown(made.means)) if markdown else _say_table(made)
    if out:
        write(out, made, truths, about)
        say(f"folder     {out}\nnext       {program()} serve --gaze {out}")


@gaze.command()
def predict(
    image: Annotated[Path, typer.Argument(help="A picture.")],
    out: Annotated[Path, typer.Option(help="The folder to write.")],
    gaze_model: Annotated[
        Path | None, typer.Option(help="A checkpoint of 'gaze train'; by itself the one that comes along.")
    ] = None,
    device: Device = "cpu",
) -> None:
    """Where people would look: as numbers (.npy), and laid over the photo."""
    import numpy as np

    from explain.methods.single_image import read_picture
    from explain.render import normalize, overlay
    from models.gaze.model import load_gaze
    from models.gaze.shipped import shipped_gaze

    picture = read_picture(image)
    path = gaze_model or shipped_gaze()
    values = load_gaze(path, device).maps([picture])[0]
    try:
        out.mkdir(parents=True, exist_ok=True)
        np.save(out / f"{image.stem}.gaze.npy", values)
        overlay(picture, normalize(values)).save(out / f"{image.stem}.gaze.png")
    except OSError as error:
        raise UserError(
            f"'{out}' cannot be written ({error.strerror or error}): choose another --out."
        ) from error
    say(f"picture    {out / f'{image.stem}.gaze.png'}")


def _pictures(folder: Path) -> list[Path]:
    from models.data.images import SUFFIXES

    found = sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES)
    if not found:
        raise UserError(f"'{folder}' holds no pictures: name a folder of photos with --photos.")
    return found


def _opened(data: str, origin: int, *columns: str | None) -> "GazeSet":
    from models.gaze.fixations import open_gaze

    found = open_gaze(data, origin, *columns)
    say(f"{found.name}: {len(found.images)} images, {found.fixations:,} fixations; {found.note}".rstrip("; "))
    return found


def _beside(
    found: "GazeSet", part: str, sigma: float, asked: "list[Source]"
) -> "tuple[Truths, list[Source]]":
    """What is judged, and what was asked for beside baselines and people."""
    from explain.gaze.sources import baselines
    from explain.gaze.truths import Truths

    truths = Truths(found.part(part), found, sigma)
    return truths, [*asked, *baselines(truths)]


def _evaluated(truths: "Truths", sources: "list[Source]", variant: str) -> "Evaluation":
    from explain.cli.commands import progress_bar
    from explain.gaze.evaluate import evaluate as work_out

    with progress_bar("gaze") as on_progress:
        for fraction, found in work_out(truths, sources, variant):
            made = found
            on_progress(fraction)
    return made


def _say_table(made: "Evaluation") -> None:
    from explain.gaze.format_text import table_lines

    say("\n".join(table_lines(made.means)))
