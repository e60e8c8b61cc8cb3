"""Vitrine's only entry: serve (default) · run · export · train · data · study · models.

Heavy packages are imported inside the commands, so that `--help` answers at once.
"""

import os
import shlex
import signal
import sys

if sys.version_info < (3, 11):
    sys.exit(f"Vitrine needs Python 3.11 or newer, this is {sys.version.split()[0]}: start it with a newer python3.")

try:
    import typer
except ModuleNotFoundError:
    sys.exit("Vitrine's packages are not installed here: run 'make run', or 'pip install -r requirements.txt' first.")

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from models.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable

    from explain.run import Progress

DEMO = Path(__file__).parent / "dashboard" / "demo"
CLASSES_HELP = "A file with lines 'data class, model class'; or 'sorted': outputs in the order of the sorted class names."
AUGMENT_HELP = "none, or strengths as in rotation=10,erase=0.25; names: flip, rotation, shift, zoom, light, contrast, erase."
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, no_args_is_help=False,
                  help="Why does an image classifier fail? Class by class, with maps of where it looked.")  # fmt: skip

Model = Annotated[str, typer.Option(help="A name from 'models', any torchvision classifier, timm:NAME, or a checkpoint's path.")]
Weights = Annotated[Path | None, typer.Option(help="A checkpoint file (.safetensors, .pth); without it official weights are fetched.")]
Data = Annotated[str, typer.Option(help="A folder with one subfolder a class, a .csv or .parquet table, toon_faces, torchvision:NAME.")]
Split = Annotated[str | None, typer.Option(help="train, validation or test, where the data has them.")]
ImageCol = Annotated[str | None, typer.Option(help="The table's column with image paths.")]
LabelCol = Annotated[str | None, typer.Option(help="The table's column with labels.")]
Device = Annotated[str, typer.Option(help="cpu, cuda, cuda:1, mps ...")]

data_app = typer.Typer(help="Look at data before it is trained on.")
app.add_typer(data_app, name="data")


@app.callback(invoke_without_command=True)
def default(context: typer.Context) -> None:
    """Without a command: open the dashboard on the embedded demo."""
    if context.invoked_subcommand is None:
        serve()


@app.command()
def serve(
    run: Annotated[Path, typer.Option(help="A run folder made by 'run'.")] = DEMO,
    weights: Weights = None,
    port: Annotated[int | None, typer.Option(help="Default: the first free one from 7860.")] = None,
    device: Device = "cpu",
    trainings: Annotated[Path, typer.Option(help="The folder of the Train tab.")] = Path("trainings"),
    open_browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the page by itself.")] = True,
) -> None:
    """Open the dashboard on a run."""
    from dashboard.app import serve as start

    start(run, weights, port, device, open_browser, trainings)


@app.command()
def run(
    model: Model, data: Data,
    out: Annotated[Path, typer.Option(help="The run folder: a new one, or one to go on with.")],
    weights: Weights = None,
    methods: Annotated[str, typer.Option(help="Names with commas between them.")] = "grad_cam,layer_cam",
    layer: Annotated[str | None, typer.Option(help="The layer to explain; by itself the last one with maps.")] = None,
    split: Split = None, image_col: ImageCol = None, label_col: LabelCol = None,
    classes: Annotated[Path | None, typer.Option(help=CLASSES_HELP)] = None,
    limit: Annotated[int | None, typer.Option(help="Use only so many images, evenly spread.")] = None,
    batch_size: Annotated[int, typer.Option(min=1)] = 32,
    precision: Annotated[str, typer.Option(help="fp32, or bf16 (about twice as fast on many CPUs).")] = "fp32",
    device: Device = "cpu",
) -> None:  # fmt: skip
    """Predictions and maps of every image of a labelled set, into a run folder. Started again, it goes on."""
    from explain.errors import in_words
    from explain.run import run as compute
    from explain.run_data import open_run
    from models.classes import read_mapping
    from models.data.open import open_data
    from models.registry import load, renamed

    source = open_data(data, split, image_col, label_col, limit)
    _say(f"{source.name}: {len(source)} images of {len(source.classes)} classes; {getattr(source, 'note', '')}".rstrip("; "))
    if len(source.classes) == 1:
        _say(f"Only one class ({source.classes[0]}): its errors are shown, but no comparison between classes.")
    classifier = load(model, weights, device=device)
    mapping = None
    if classes == Path("sorted"):
        classifier = renamed(classifier, tuple(sorted(source.classes)))
    elif classes:
        mapping = read_mapping(classes)
    try:
        compute(classifier, source, out, methods.replace(" ", "").split(","), layer, precision=precision, batch_size=batch_size,
                mapping=mapping, command=" ".join(["python", *sys.argv]), progress=_progress_bar())  # fmt: skip
    except KeyboardInterrupt:
        _say(f"\nStopped; what was done is kept in {out}: the same command goes on from there.")
        raise typer.Exit(130) from None
    _say("\n".join(in_words(open_run(out))))
    _say(f"next       python launch.py serve --run {out}")


@app.command()
def export(
    run: Annotated[Path, typer.Argument(help="A run folder made by 'run'.")],
    out: Annotated[Path, typer.Option(help="The folder to write.")],
    per_class: Annotated[int, typer.Option(help="So many misclassified and so many correct images of every class.")] = 2,
    method: Annotated[str | None, typer.Option(help="One of the run's methods; by itself the first.")] = None,
    sort: Annotated[str, typer.Option(help="most confident, least confident, highest loss, lowest loss.")] = "most confident",
) -> None:
    """Pictures to take away: one sheet with every class, the overlays one by one, and a table."""
    from explain.gallery import export as write
    from explain.run_data import open_run

    made = write(open_run(run), out, per_class, method, sort)
    _say(f"{made.images} images\nsheet      {made.sheet}\noverlays   {made.folder / 'overlays'}")


def _progress_bar() -> "Callable[[Progress], None]":
    """Images a second and the time left; a run that goes on counts from where it was."""
    from tqdm import tqdm

    bars: list[tqdm] = []

    def show(now: "Progress") -> None:
        if not bars:
            bars.append(tqdm(total=now.total, initial=now.before, unit="image", smoothing=0.1, dynamic_ncols=True))
        bars[0].update(now.done - bars[0].n)
        if now.failed:
            bars[0].set_postfix(unreadable=now.failed)
        if now.done == now.total:
            bars[0].close()

    return show


@app.command()
def train(
    out: Annotated[Path, typer.Option(help="The checkpoint to write (.safetensors); curves and answers go beside it.")],
    model: Annotated[str, typer.Option(help="An architecture, or for features and finetune a trained network.")] = "fer_vgg",
    data: Data = "toon_faces",
    recipe: Annotated[str, typer.Option(help="scratch; features: a new head on a frozen base; finetune: then its last blocks too.")] = "scratch",
    weights: Annotated[Path | None, typer.Option(help="The base's weights; without it official ones are fetched.")] = None,
    image_col: ImageCol = None, label_col: LabelCol = None,
    task: Annotated[str, typer.Option(help="classes; affect: valence and arousal, columns of a table.")] = "classes",
    head: Annotated[str, typer.Option(help="Of features and finetune: linear, or dense (two dense layers), on average pooling.")] = "linear",
    head_epochs: Annotated[int, typer.Option(help="Epochs of the new head alone.")] = 30,
    unfreeze: Annotated[int, typer.Option(help="finetune: how many of the base's last blocks learn too.")] = 2,
    fine_rate: Annotated[float, typer.Option(help="finetune: share of the learning rate once the base learns.")] = 0.1,
    epochs: int = 20, batch_size: int = 64,
    learning_rate: Annotated[float | None, typer.Option(help="The highest; by itself 0.002 for adamw, 0.02 for sgd.")] = None,
    optimiser: Annotated[str, typer.Option(help="adamw, or sgd (Nesterov).")] = "adamw",
    schedule: Annotated[str, typer.Option(help="cosine (with warm-up), or plateau.")] = "cosine",
    weight_decay: float = 1e-4, label_smoothing: float = 0.05,
    mixup: Annotated[float, typer.Option(help="Alpha of mixup; 0 is off.")] = 0.0,
    clip: Annotated[float, typer.Option(help="Largest norm of the gradient; 0 is off.")] = 0.0,
    patience: Annotated[int, typer.Option(help="Stop after so many epochs without a better one.")] = 6,
    augment: Annotated[str, typer.Option(help=AUGMENT_HELP)] = "default",
    balance: Annotated[str, typer.Option(help="none; weights: rare classes count more; sampler: every class is drawn as often.")] = "none",
    seed: int = 0,
    seeds: Annotated[str | None, typer.Option(help="Several trainings, as 0,1,2: mean and deviation are told.")] = None,
    limit: Annotated[int | None, typer.Option(help="Use only so many training images, evenly spread.")] = None,
    again: Annotated[bool, typer.Option("--again", help="Train anew where OUT is there already.")] = False,
) -> None:  # fmt: skip
    """Train or fine-tune a network; the best epoch on validation is kept, and tested once. Killed or stopped, it goes on when started again."""
    from models.data.parts import open_parts
    from models.training.augment import Augmentation
    from models.training.recipe import Recipe, seeds_in
    from models.training.seeds import file_of, train_seeds

    for number in (signal.SIGINT, signal.SIGTERM):  # a shell's background jobs ignore the first, unless told
        signal.signal(number, signal.default_int_handler)
    if out.suffix != ".safetensors":
        raise UserError(f"--out {out}: a checkpoint's name ends in .safetensors.")
    plan = Recipe(recipe, epochs, batch_size, learning_rate, optimiser, schedule, weight_decay, label_smoothing, mixup, clip, patience,
                  balance, seed, head, head_epochs, unfreeze, fine_rate, task, Augmentation.parse(augment))  # fmt: skip
    parts = open_parts(data, image_col, label_col, limit, task)
    tested = f"{len(parts.test)} to test" if parts.test else "no test part"
    note = f"; {parts.note}" if parts.note else ""
    _say(f"{parts.training.name}: {len(parts.training)} images to train, {len(parts.validation)} to choose, {tested}{note}")
    chosen = seeds_in(seeds) if seeds else [seed]
    command = shlex.join(["python", "launch.py", *sys.argv[1:]])
    if not train_seeds(model, str(weights) if weights else None, parts, out, plan, chosen, command, again, _say):
        _say("Stopped; the best epoch so far is kept, and the same command goes on.")
        raise typer.Exit(130)
    split = " --split test" if parts.test else ""
    made = file_of(out, chosen[0], chosen)
    _say(f"next       python launch.py run --model {made} --data {data}{split} --out runs/{made.stem}")


@app.command()
def study(
    name: Annotated[str, typer.Argument(help="fc-vs-conv, or scratch-vs-finetune.")],
    out: Annotated[Path, typer.Option(help="The folder to write.")],
    data: Data = "torchvision:CIFAR10",
    model: Annotated[str, typer.Option(help="scratch-vs-finetune: the backbone.")] = "resnet50",
    weights: Annotated[Path | None, typer.Option(help="Its weights; without it official ones are fetched.")] = None,
    epochs: int = 10, batch_size: int = 64, seed: int = 0,
    unfreeze: Annotated[int, typer.Option(help="How many of its last blocks learn.")] = 3,
    image_col: ImageCol = None, label_col: LabelCol = None,
    limit: Annotated[int | None, typer.Option(help="Use only so many training images, evenly spread.")] = None,
    again: Annotated[bool, typer.Option("--again", help="Train anew what is there already.")] = False,
) -> None:  # fmt: skip
    """Two trainings that differ in one thing: dense against convolutional layers, random weights against fine-tuned ones."""
    from models.data.parts import open_parts
    from models.training.recipe import Recipe
    from models.training.studies import checked, fc_vs_conv, scratch_vs_finetune
    from models.training.studies import study as compare

    checked(name)
    parts = open_parts(data, image_col, label_col, limit)
    plain = Recipe(epochs=epochs, batch_size=batch_size, patience=epochs, seed=seed)
    tuned = replace(plain, recipe="finetune", head_epochs=epochs, unfreeze=unfreeze)
    given = str(weights) if weights else None
    contestants = fc_vs_conv(plain) if name == "fc-vs-conv" else scratch_vs_finetune(model, given, plain, tuned)
    if compare(contestants, parts, out, shlex.join(["python", "launch.py", *sys.argv[1:]]), _say, again) is None:
        _say("Stopped; the same command goes on.")
        raise typer.Exit(130)
    _say(f"table      {out / 'study.md'}, {out / 'study.csv'}")


@app.command("models")
def list_models(
    checkpoints: Annotated[list[Path] | None, typer.Argument(help="Trained checkpoints to set side by side.")] = None,
    csv: Annotated[Path | None, typer.Option(help="Write the comparison there too.")] = None,
) -> None:
    """Networks to choose from; or, with checkpoints, what each costs and how good it is, side by side."""
    from models.registry import listed
    from models.training.compare import class_difference, in_words, side_by_side
    from models.training.trained import open_trained

    if not checkpoints:
        _say("\n".join(f"{name:22} {what}" for name, what in listed()))
        return
    trained = [open_trained(path) for path in checkpoints]
    table = side_by_side(trained)
    _say(in_words(table).T.to_string())
    if len(trained) > 1 and all(t.task == "classes" for t in trained):
        _say("\nrecall\n" + class_difference(trained).round(3).to_string())
    if csv:
        table.to_csv(csv)


@data_app.command("preview")
def data_preview(
    data: Annotated[str, typer.Argument(help="As --data of train.")],
    out: Annotated[Path, typer.Option(help="The picture to write.")] = Path("preview.png"),
    model: Annotated[str, typer.Option(help="Whose input size and crop to show.")] = "fer_vgg",
    augment: Annotated[str, typer.Option(help=AUGMENT_HELP)] = "default",
    balance: Annotated[str, typer.Option(help="As of train.")] = "none",
    image_col: ImageCol = None, label_col: LabelCol = None, seed: int = 0,
) -> None:  # fmt: skip
    """Three training images of every class before and after augmentation, and how many an epoch sees."""
    from models.data.parts import open_parts
    from models.registry import spec
    from models.training.augment import Augmentation
    from models.training.preview import in_words, preview, sheet

    parts, augmentation = open_parts(data, image_col, label_col), Augmentation.parse(augment)
    classes = preview(parts.training, spec(model).preprocessing, augmentation, seed=seed)
    for c in classes:
        _say(f"{c.count:8} {c.name}")
    out.parent.mkdir(parents=True, exist_ok=True)
    sheet(classes).save(out)
    _say(f"{in_words(parts.training, balance, augmentation)}\npicture    {out}")


def _say(text: str) -> None:
    typer.echo(text)


def main() -> None:
    """Run the command line: errors that a person can mend are one line and exit code 2."""
    try:
        app()
    except UserError as error:
        typer.echo(f"vitrine: {error}", err=True)
        sys.exit(2)
    except Exception as error:
        if os.environ.get("VITRINE_DEBUG"):
            raise
        typer.echo(f"vitrine: unexpected {type(error).__name__}: {str(error)[:200]} (set VITRINE_DEBUG=1 to see where).", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
