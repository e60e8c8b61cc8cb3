"""The commands about networks and their training: train · study · models · data preview. Typer calls them;
heavy packages are imported inside, so that `--help` answers at once."""

import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from models.errors import UserError
from models.preprocessing_options import NO_OPTIONS, PreprocessingOptions, takes_preprocessing
from models.program import program, typed

AUGMENT_HELP = (
    "none, or strengths as in rotation=10,erase=0.25; names: flip, rotation, shift, zoom, "
    "light, contrast, erase, blur, grey."
)

Model = Annotated[
    str,
    typer.Option(help="A name from 'models', any torchvision classifier, timm:NAME, or a checkpoint's path."),
]
Weights = Annotated[
    Path | None,
    typer.Option(help="A checkpoint file (.safetensors, .pth); without it official weights are fetched."),
]
Data = Annotated[
    str,
    typer.Option(
        help="A folder with one subfolder a class, a .csv or .parquet table, toon_faces, torchvision:NAME."
    ),
]
Split = Annotated[str | None, typer.Option(help="train, validation or test, where the data has them.")]
ImageCol = Annotated[str | None, typer.Option(help="The table's column with image paths.")]
LabelCol = Annotated[str | None, typer.Option(help="The table's column with labels.")]
ClassNames = Annotated[
    str | None,
    typer.Option(help="Names for outputs that have none: a file with one name a line, or imagenet."),
]
Device = Annotated[str, typer.Option(help="cpu, cuda, cuda:1, mps ...")]
Labels = Annotated[
    Path | None,
    typer.Option(help="Corrected labels: a table with columns image, label and data, as 'notes' writes it."),
]
BalanceBy = Annotated[
    str,
    typer.Option(
        help="With --balance sampler, a column of the data: each of its values is drawn as often too."
    ),
]


@takes_preprocessing
def train(
    out: Annotated[
        Path, typer.Option(help="The checkpoint to write (.safetensors); curves and answers go beside it.")
    ],
    model: Annotated[
        str, typer.Option(help="An architecture, or for features and finetune a trained network.")
    ] = "fer_vgg",
    data: Data = "toon_faces",
    recipe: Annotated[
        str,
        typer.Option(
            help="scratch; features: a new head on a frozen base; finetune: then its last blocks too."
        ),
    ] = "scratch",
    weights: Annotated[
        Path | None, typer.Option(help="The base's weights; without it official ones are fetched.")
    ] = None,
    image_col: ImageCol = None,
    label_col: LabelCol = None,
    task: Annotated[
        str, typer.Option(help="classes; affect: valence and arousal, columns of a table.")
    ] = "classes",
    head: Annotated[
        str,
        typer.Option(
            help="Of features and finetune: linear, or dense (two dense layers), on average pooling."
        ),
    ] = "linear",
    head_epochs: Annotated[int, typer.Option(help="Epochs of the new head alone.")] = 30,
    unfreeze: Annotated[
        int, typer.Option(help="finetune: how many of the base's last blocks learn too.")
    ] = 2,
    fine_rate: Annotated[
        float, typer.Option(help="finetune: share of the learning rate once the base learns.")
    ] = 0.1,
    epochs: int = 20,
    batch_size: int = 64,
    learning_rate: Annotated[
        float | None, typer.Option(help="The highest; by itself 0.002 for adamw, 0.02 for sgd.")
    ] = None,
    optimizer: Annotated[str, typer.Option("--optimizer", help="adamw, or sgd (Nesterov).")] = "adamw",
    optimiser: Annotated[str | None, typer.Option("--optimiser", hidden=True)] = None,  # its name before
    schedule: Annotated[str, typer.Option(help="cosine (with warm-up), or plateau.")] = "cosine",
    weight_decay: float = 1e-4,
    label_smoothing: float = 0.05,
    mixup: Annotated[float, typer.Option(help="Alpha of mixup; 0 is off.")] = 0.0,
    clip: Annotated[float, typer.Option(help="Largest norm of the gradient; 0 is off.")] = 0.0,
    patience: Annotated[int, typer.Option(help="Stop after so many epochs without a better one.")] = 6,
    augment: Annotated[str, typer.Option(help=AUGMENT_HELP)] = "default",
    balance: Annotated[
        str,
        typer.Option(help="none; weights: rare classes count more; sampler: every class is drawn as often."),
    ] = "none",
    balance_by: BalanceBy = "",
    labels: Labels = None,
    seed: int = 0,
    seeds: Annotated[
        str | None, typer.Option(help="Several trainings, as 0,1,2: mean and deviation are told.")
    ] = None,
    limit: Annotated[
        int | None, typer.Option(help="Use only so many training images, evenly spread.")
    ] = None,
    again: Annotated[bool, typer.Option("--again", help="Train anew where OUT is there already.")] = False,
    preprocessing: PreprocessingOptions = NO_OPTIONS,
) -> None:
    """Train or fine-tune a network; the best epoch on validation is kept, and tested once. Killed or stopped,
    it goes on when started again."""
    from models.data.corrections import Corrected
    from models.data.parts import open_parts
    from models.training.augment import Augmentation
    from models.training.recipe import Recipe, seeds_in
    from models.training.seeds import file_of, train_seeds

    for number in (signal.SIGINT, signal.SIGTERM):  # a shell's background jobs ignore the first, unless told
        signal.signal(number, signal.default_int_handler)
    if out.suffix != ".safetensors":
        raise UserError(f"--out {out}: a checkpoint's name ends in .safetensors.")
    plan = Recipe(
        recipe,
        epochs,
        batch_size,
        learning_rate,
        optimiser or optimizer,
        schedule,
        weight_decay,
        label_smoothing,
        mixup,
        clip,
        patience,
        balance,
        seed,
        head,
        head_epochs,
        unfreeze,
        fine_rate,
        task,
        Augmentation.parse(augment),
        balance_by,
    )
    parts = open_parts(data, image_col, label_col, limit, task, labels)
    tested = f"{len(parts.test)} to test" if parts.test else "no test part"
    note = f"; {parts.note}" if parts.note else ""
    say(
        f"{parts.training.name}: {len(parts.training)} images to train, {len(parts.validation)} to choose, "
        f"{tested}{note}"
    )
    chosen = seeds_in(seeds) if seeds else [seed]
    command = typed(sys.argv[1:])
    if not train_seeds(
        model, str(weights) if weights else None, parts, out, plan, chosen, command, again, say, preprocessing
    ):
        say("Stopped; the best epoch so far is kept, and the same command goes on.")
        raise typer.Exit(130)
    split = " --split test" if parts.test else ""
    right = f" --labels {labels}" if isinstance(parts.test, Corrected) and parts.test.differs else ""
    made = file_of(out, chosen[0], chosen)
    say(f"next       {program()} run --model {made} --data {data}{split}{right} --out runs/{made.stem}")


def study(
    name: Annotated[str, typer.Argument(help="fc-vs-conv, or scratch-vs-finetune.")],
    out: Annotated[Path, typer.Option(help="The folder to write.")],
    data: Data = "torchvision:CIFAR10",
    model: Annotated[str, typer.Option(help="scratch-vs-finetune: the backbone.")] = "resnet50",
    weights: Annotated[
        Path | None, typer.Option(help="Its weights; without it official ones are fetched.")
    ] = None,
    epochs: int = 10,
    batch_size: int = 64,
    seed: int = 0,
    unfreeze: Annotated[int, typer.Option(help="How many of its last blocks learn.")] = 3,
    image_col: ImageCol = None,
    label_col: LabelCol = None,
    labels: Labels = None,
    limit: Annotated[
        int | None, typer.Option(help="Use only so many training images, evenly spread.")
    ] = None,
    again: Annotated[bool, typer.Option("--again", help="Train anew what is there already.")] = False,
) -> None:
    """Two trainings that differ in one thing: dense against convolutional layers, random weights against
    fine-tuned ones."""
    from models.data.parts import open_parts
    from models.training.recipe import Recipe
    from models.training.studies import checked, fc_vs_conv, scratch_vs_finetune
    from models.training.studies import study as compare

    checked(name)
    parts = open_parts(data, image_col, label_col, limit, labels=labels)
    plain = Recipe(epochs=epochs, batch_size=batch_size, patience=epochs, seed=seed)
    tuned = replace(plain, recipe="finetune", head_epochs=epochs, unfreeze=unfreeze)
    given = str(weights) if weights else None
    arms = fc_vs_conv(plain) if name == "fc-vs-conv" else scratch_vs_finetune(model, given, plain, tuned)
    if compare(arms, parts, out, typed(sys.argv[1:]), say, again) is None:
        say("Stopped; the same command goes on.")
        raise typer.Exit(130)
    say(f"table      {out / 'study.md'}, {out / 'study.csv'}")


def list_models(
    checkpoints: Annotated[
        list[Path] | None, typer.Argument(help="Trained checkpoints to set side by side.")
    ] = None,
    csv: Annotated[Path | None, typer.Option(help="Write the comparison there too.")] = None,
) -> None:
    """Networks to choose from; or, with checkpoints, what each costs and how good it is, side by side."""
    from models.csv_files import write_csv
    from models.registry import listed
    from models.training.compare import class_difference, format_text, side_by_side
    from models.training.trained import open_trained

    if not checkpoints:
        say("\n".join(f"{name:22} {what}" for name, what in listed()))
        return
    trained = [open_trained(path) for path in checkpoints]
    table = side_by_side(trained)
    say(format_text(table).T.to_string())
    if len(trained) > 1 and all(t.task == "classes" for t in trained):
        say("\nrecall\n" + class_difference(trained).round(3).to_string())
    if csv:
        write_csv(table, csv, index=True)


def data_preview(
    data: Annotated[str, typer.Argument(help="As --data of train.")],
    out: Annotated[Path, typer.Option(help="The picture to write.")] = Path("preview.png"),
    model: Annotated[str, typer.Option(help="Whose input size and crop to show.")] = "fer_vgg",
    augment: Annotated[str, typer.Option(help=AUGMENT_HELP)] = "default",
    balance: Annotated[str, typer.Option(help="As of train.")] = "none",
    balance_by: BalanceBy = "",
    image_col: ImageCol = None,
    label_col: LabelCol = None,
    labels: Labels = None,
    seed: int = 0,
) -> None:
    """Three training images of every class before and after augmentation, and how many an epoch sees."""
    from models.data.hints import near_classes
    from models.data.parts import open_parts
    from models.registry import spec
    from models.training.augment import Augmentation
    from models.training.preview import format_text, preview, sheet
    from models.training.recipe import Recipe

    recipe = Recipe(balance=balance, balance_by=balance_by, augmentation=Augmentation.parse(augment))
    parts = open_parts(data, image_col, label_col, labels=labels)
    seen = format_text(parts.training, recipe)
    classes = preview(parts.training, spec(model).preprocessing, recipe.augmentation, seed=seed)
    for c in classes:
        say(f"{c.count:8} {c.name}")
    out.parent.mkdir(parents=True, exist_ok=True)
    sheet(classes).save(out)
    for note in filter(
        None, (parts.note, near_classes(*filter(None, (parts.training, parts.validation, parts.test))))
    ):
        say(note)
    say(f"{seen}\npicture    {out}")


def say(text: str) -> None:
    typer.echo(text)
