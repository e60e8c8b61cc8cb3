"""The commands that train classifiers: train · study. Typer calls them; heavy packages are imported inside,
so that `--help` answers at once."""

import sys
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from explain.cli.options import (
    Again,
    AugmentStrengths,
    Balance,
    BalanceBy,
    Data,
    LabeledColumns,
    Options,
    OutFolder,
    Seed,
    TrainingLimit,
    Weights,
    Which,
    option_groups,
)
from explain.cli.output import say
from explain.formatting import counted
from models.errors import UserError
from models.extras import require_package
from models.inputs.options import NO_OPTIONS, PreprocessingOptions
from models.interrupts import listen
from models.outputs.task import SINGLE
from models.own_code.trusted import absolute, names_code, trust
from models.program import typed

if TYPE_CHECKING:
    from models.data.parts import Parts
    from models.training.recipe import Recipe

BatchSize = Annotated[int, typer.Option(help="Images per step.")]
Checkpoint = Annotated[
    Path,
    typer.Option(help="Checkpoint to write (.safetensors); curves and predictions are written beside it."),
]
TrainedModel = Annotated[
    str,
    typer.Option(
        help="Architecture to train; for features and finetune: the network whose layers are the base."
    ),
]
Seeds = Annotated[
    str | None,
    typer.Option(
        help="Seeds of several trainings, such as 0,1,2: mean and standard deviation are printed "
        "(default: one training, with --seed)."
    ),
]
STOPPED = "Stopped. The best epoch so far is kept; run the same command to resume."


@dataclass(frozen=True)
class RecipeOptions(Options):
    """How to train: fields as those of `models.training.recipe.Recipe`."""

    recipe: Annotated[
        str,
        typer.Option(
            help="scratch: train all layers from random weights; features: train a new head on a frozen "
            "base; finetune: features, then also the last blocks of the base."
        ),
    ] = "scratch"
    task: Annotated[
        str,
        typer.Option(
            help="What is predicted: single-label (one class per image), multi-label (any number of "
            "labels), regression (numbers), or affect (columns valence and arousal of a table, in -1 to 1) "
            "(default: found by the labels of the data)."
        ),
    ] = ""
    epochs: Annotated[int, typer.Option(help="Maximum number of epochs.")] = 20
    batch_size: BatchSize = 64
    learning_rate: Annotated[
        float | None,
        typer.Option(
            "--learning-rate",
            "--lr",
            help="Highest learning rate (default: 0.002 for adamw, 0.02 for sgd).",
        ),
    ] = None
    optimizer: Annotated[
        str,
        typer.Option("--optimizer", "--optimiser", help="Optimizer: adamw, or sgd (Nesterov momentum)."),
    ] = "adamw"
    schedule: Annotated[
        str,
        typer.Option(
            help="Learning rate schedule: cosine (with warm-up), or plateau (halved when the validation loss "
            "stops falling)."
        ),
    ] = "cosine"
    weight_decay: Annotated[float, typer.Option(help="Weight decay.")] = 1e-4
    label_smoothing: Annotated[
        float | None,
        typer.Option(
            help="Label smoothing, from 0 to below 1 (default: 0.05; 0 with several labels per image)."
        ),
    ] = None
    mixup: Annotated[float, typer.Option(help="Alpha of mixup; 0: off.")] = 0.0
    clip: Annotated[float, typer.Option(help="Maximum norm of the gradient; 0: no clipping.")] = 0.0
    patience: Annotated[
        int, typer.Option(help="Stop after this number of epochs without a better validation result.")
    ] = 6
    head: Annotated[
        str,
        typer.Option(
            help="New head for features and finetune, after average pooling: linear, or dense (two layers)."
        ),
    ] = "linear"
    head_epochs: Annotated[
        int, typer.Option(help="For features and finetune: epochs that train the new head alone.")
    ] = 30
    unfreeze: Annotated[
        int, typer.Option(help="For finetune: number of the base's last blocks that are trained.")
    ] = 2
    fine_rate: Annotated[
        float,
        typer.Option(help="For finetune: factor on the learning rate while blocks of the base are trained."),
    ] = 0.1
    augment: AugmentStrengths = "default"
    balance: Balance = "none"
    balance_by: BalanceBy = ""
    loss: Annotated[
        str,
        typer.Option(
            help="With several labels per image: bce (binary cross-entropy) or focal (default: bce); of "
            "numbers: mse, huber, or ccc (1 - concordance correlation) (default: mse)."
        ),
    ] = ""
    pos_weight: Annotated[
        str,
        typer.Option(
            help="With several labels per image, factor on the loss of positives: balanced (negatives for "
            "each positive, at most 10), none, or a number."
        ),
    ] = "balanced"
    focal_gamma: Annotated[float, typer.Option(help="With --loss focal: exponent of the focal loss.")] = 2.0
    domain: Annotated[
        str,
        typer.Option(
            help="What the images show: faces, if they are cropped to faces; photos of people are then "
            "cropped for the network (default: as the base of features and finetune says, else nothing)."
        ),
    ] = ""
    seed: Seed = 0

    def to_recipe(self) -> "Recipe":
        """Raises UserError for a value out of its limits."""
        from models.training.augment import Augmentation
        from models.training.recipe import Recipe

        values = asdict(self) | {"task": "classes" if self.task == SINGLE else self.task}
        augmentation = Augmentation.parse(values.pop("augment"))
        return Recipe(**values, augmentation=augmentation)


@option_groups
def train(
    *,
    out: Checkpoint,
    model: TrainedModel = "fer_vgg",
    weights: Weights = None,
    which: Which = "",
    data: Data = "toon_faces",
    columns: LabeledColumns,
    limit: TrainingLimit = None,
    recipe: RecipeOptions,
    seeds: Seeds = None,
    again: Again = False,
    preprocessing: PreprocessingOptions = NO_OPTIONS,
) -> None:
    """Train or fine-tune a classifier.

    The epoch that is best on validation data is kept and tested once. A training that was stopped is resumed
    by the same command."""
    require_package("lightning")  # said at once, not after the imports of seconds
    from models.registry import spec
    from models.training.recipe import seeds_in
    from models.training.seeds import file_of, train_seeds

    listen()
    if out.suffix != ".safetensors":
        raise UserError(f"--out {out}: a checkpoint's name ends in .safetensors.")
    plan = recipe.to_recipe()
    if names_code(model):
        trust(absolute(model))
    spec(model)  # before anything is read or written
    parts = columns.open_parts(data, limit, plan.task)
    _say_parts(parts)
    numbers = seeds_in(seeds) if seeds else [plan.seed]
    base, command = str(weights) if weights else None, typed(sys.argv[1:])
    if not train_seeds(model, base, parts, out, plan, numbers, command, again, say, preprocessing, which):
        say(STOPPED)
        raise typer.Exit(130)
    _say_next(file_of(out, numbers[0], numbers), data, parts, columns)


def _say_parts(parts: "Parts") -> None:
    tested = f"{len(parts.test)} to test" if parts.test else "no test part"
    note = f"; {parts.note}" if parts.note else ""
    say(
        f"{parts.training.name}: {counted(len(parts.training), 'image')} to train, {len(parts.validation)} "
        f"to choose, {tested}{note}"
    )


def _say_next(checkpoint: Path, data: str, parts: "Parts", columns: LabeledColumns) -> None:
    from models.data.corrections import Corrected

    words = ["run", "--model", str(checkpoint), "--data", data]
    named = ("image_col", "label_col", "label_columns", "other_columns")
    for option, column in ((f"--{name.replace('_', '-')}", getattr(columns, name)) for name in named):
        words += [option, column] if column else []
    words += ["--split", "test"] if parts.test else []
    if isinstance(parts.test, Corrected) and parts.test.differs:
        words += ["--labels", str(columns.labels)]
    say(f"next       {typed([*words, '--out', f'runs/{checkpoint.stem}'])}")


@option_groups
def study(
    *,
    name: Annotated[str, typer.Argument(help="Study: fc-vs-conv, or scratch-vs-finetune.")],
    out: OutFolder,
    data: Data = "torchvision:CIFAR10",
    model: Annotated[str, typer.Option(help="For scratch-vs-finetune: the network.")] = "resnet50",
    weights: Weights = None,
    which: Which = "",
    epochs: Annotated[int, typer.Option(help="Number of epochs.")] = 10,
    batch_size: BatchSize = 64,
    seed: Seed = 0,
    unfreeze: Annotated[
        int,
        typer.Option(help="For scratch-vs-finetune: number of the network's last blocks that are trained."),
    ] = 3,
    columns: LabeledColumns,
    limit: TrainingLimit = None,
    again: Again = False,
    preprocessing: PreprocessingOptions = NO_OPTIONS,
) -> None:
    """Compare two trainings that differ in one thing: dense or convolutional layers (fc-vs-conv), random or
    pretrained weights (scratch-vs-finetune)."""
    require_package("lightning")
    from models.training.recipe import Recipe
    from models.training.studies import checked, fc_vs_conv, scratch_vs_finetune
    from models.training.studies import study as compare

    checked(name)
    parts = columns.open_parts(data, limit)
    plain = Recipe(epochs=epochs, batch_size=batch_size, patience=epochs, seed=seed)
    tuned = replace(plain, recipe="finetune", head_epochs=epochs, unfreeze=unfreeze)
    base = str(weights) if weights else None
    if name == "fc-vs-conv":
        arms = fc_vs_conv(plain)
    else:
        arms = scratch_vs_finetune(model, base, plain, tuned, which)
    if compare(arms, parts, out, typed(sys.argv[1:]), say, again, preprocessing) is None:
        say("Stopped. Run the same command to resume.")
        raise typer.Exit(130)
    say(f"table      {out / 'study.md'}, {out / 'study.csv'}")
