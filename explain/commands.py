"""The commands about explanations: run · export · explain · methods · layers · filters · survey. Typer calls them; heavy packages are
imported inside, so that `--help` answers at once."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from tqdm import tqdm

from models.commands import Data, Device, ImageCol, LabelCol, Model, Split, Weights, say
from models.errors import UserError

if TYPE_CHECKING:
    from explain.run import Progress

CLASSES_HELP = "A file with lines 'data class, model class'; or 'sorted': outputs in the order of the sorted class names."
SELECT_HELP = "errors, correct, class:NAME, pair:TRUE>CALLED, tag:NAME, labels, duplicates, border, notes ...; by itself some of every class."
BlurEyes = Annotated[bool, typer.Option("--blur-eyes", help="Cover the eyes of aligned faces.")]


def run(
    model: Model, data: Data,
    out: Annotated[Path, typer.Option(help="The run folder: a new one, or one to go on with.")],
    weights: Weights = None,
    methods: Annotated[str, typer.Option(help="Names with commas between them.")] = "grad_cam,layer_cam",
    layer: Annotated[str | None, typer.Option(help="The layer to explain; by itself the last one with maps.")] = None,
    split: Split = None, image_col: ImageCol = None, label_col: LabelCol = None,
    classes: Annotated[Path | None, typer.Option(help=CLASSES_HELP)] = None,
    limit: Annotated[int | None, typer.Option(help="Use only so many images, evenly spread.")] = None,
    labels: Annotated[Path | None, typer.Option(help="Corrected labels: a table with columns image, label and data, as 'notes' writes it.")] = None,
    batch_size: Annotated[int, typer.Option(min=1)] = 32,
    precision: Annotated[str, typer.Option(help="fp32, or bf16 (about twice as fast on many CPUs).")] = "fp32",
    device: Device = "cpu",
) -> None:  # fmt: skip
    """Predictions and maps of every image of a labelled set, into a run folder. Started again, it goes on."""
    from explain.analysis.findings import Findings, analyse
    from explain.analysis.in_words import proposals_in_words
    from explain.errors import in_words
    from explain.run import run as compute
    from explain.run_data import open_run
    from models.classes import read_mapping
    from models.data.corrections import corrected, read_corrections
    from models.data.open import open_data
    from models.registry import load, renamed

    source = open_data(data, split, image_col, label_col, limit)
    if labels:
        source = corrected(source, read_corrections(labels))
    say(f"{source.name}: {len(source)} images of {len(source.classes)} classes; {getattr(source, 'note', '')}".rstrip("; "))
    if len(source.classes) == 1:
        say(f"Only one class ({source.classes[0]}): its errors are shown, but no comparison between classes.")
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
        say(f"\nStopped; what was done is kept in {out}: the same command goes on from there.")
        raise typer.Exit(130) from None
    opened = open_run(out)
    findings = Findings(opened)
    with share_bar("analyse") as tell:
        for share in analyse(findings):
            tell(share)
    say("\n".join([*in_words(opened), *proposals_in_words(findings)]))
    say(f"next       python launch.py serve --run {out}")


def export(
    run: Annotated[Path, typer.Argument(help="A run folder made by 'run'.")],
    out: Annotated[Path, typer.Option(help="The folder to write, or a file that ends in .zip.")],
    per_class: Annotated[int | None, typer.Option(help="So many wrong and so many right images of a class; two, or all of --select.")] = None,
    select: Annotated[str, typer.Option(help=SELECT_HELP)] = "",
    methods: Annotated[str, typer.Option(help="Of the run's, with commas; by itself the first.")] = "",
    sort: Annotated[str, typer.Option(help="most confident, least confident, highest loss, lowest loss, least margin.")] = "most confident",
    originals: Annotated[bool, typer.Option(help="Also the pictures at full size, where they can be read.")] = True,
    maps: Annotated[bool, typer.Option(help="Also the maps as numbers (.npy).")] = True,
    blur_eyes: BlurEyes = False,
) -> None:  # fmt: skip
    """Pictures to take away: originals, overlays, raw maps, one sheet with every class, a page that opens without a server, and tables."""
    from explain.analysis.findings import Findings
    from explain.export.gallery import INDEX, Export, Wishes
    from explain.run_data import open_run

    named = tuple(name.strip() for name in methods.split(",") if name.strip())
    made = Export(Findings(open_run(run)), out, Wishes(select, per_class, named, sort, originals, maps, blur_eyes))
    with share_bar("export") as tell:
        for share in made.steps():
            tell(share)
    say(f"{made.images} images, {made.selection.said}\n{'archive' if out.suffix.lower() == '.zip' else 'page   '}    "
        f"{out if out.suffix.lower() == '.zip' else out / INDEX}")  # fmt: skip


def report(
    run: Annotated[Path, typer.Argument(help="A run folder made by 'run'.")],
    out: Annotated[Path, typer.Option(help="The HTML file to write.")] = Path("report.html"),
    method: Annotated[str | None, typer.Option(help="One of the run's methods; by itself the first.")] = None,
    per_class: Annotated[int, typer.Option(help="So many wrong and so many right images of every class, at most ten.")] = 2,
    blur_eyes: BlurEyes = False,
) -> None:
    """What the run found, as one file to hand on: it needs no server and no network."""
    from explain.analysis.findings import Findings
    from explain.report import report as make
    from explain.report import write_report
    from explain.run_data import open_run

    text = make(Findings(open_run(run)), method, per_class, blur_eyes)
    write_report(text, out)
    say(f"report     {out}, {len(text.encode()) / 1e6:.1f} MB")


def explain(
    image: Annotated[Path, typer.Argument(help="A picture.")],
    model: Model,
    out: Annotated[Path, typer.Option(help="The folder to write.")],
    weights: Weights = None,
    methods: Annotated[str, typer.Option(help="Names with commas between them, of those that 'methods' lists.")] = "grad_cam,layer_cam",
    layer: Annotated[str | None, typer.Option(help="The layer to explain, or several with commas; by itself the last one with maps.")] = None,
    target: Annotated[str | None, typer.Option(help="A class by name or number; by itself the prediction.")] = None,
    minus: Annotated[str | None, typer.Option(help="Explain by how much the target exceeds this class.")] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", help="A parameter: steps=20, or integrated_gradients.steps=20; can be repeated.")] = None,
    fuse: Annotated[str, typer.Option(help="Several layers: mean, or max.")] = "mean",
    flip: Annotated[bool, typer.Option(help="Average with the mirror image's map.")] = False,
    noise: Annotated[int, typer.Option(help="Average over so many noisy copies.")] = 0,
    device: Device = "cpu",
) -> None:
    """Maps of one picture by any method: as raw numbers (.npy), as a picture, and laid over the photo."""
    from explain.case import Smoothing
    from explain.live import Question, look
    from explain.single import class_number, read_picture, settings_for, write
    from models.registry import load

    names = [name.strip() for name in methods.split(",") if name.strip()]
    given = settings_for(names, set_ or [])
    classifier = load(model, weights, device=device)
    plus, less = (class_number(classifier.classes, said) for said in (target, minus))
    sight = look(classifier, read_picture(image))
    for index in (-sight.prob).argsort(kind="stable")[:5].tolist():
        say(f"{sight.prob[index]:7.1%}  {classifier.classes[index]}")
    refused: dict[str, list[str]] = {}
    try:
        for name in names:
            with share_bar(name) as tell:
                try:
                    made = sight.map(Question(name, layer or "", plus, less, tuple(given[name].items()), fuse, Smoothing(flip, noise)), tell)
                except UserError as error:  # the other methods may fit
                    refused.setdefault(str(error), []).append(name)
                    continue
            files = write(sight, made, out / image.stem)
            say(f"{name:22} {made.raw.min():.4g} to {made.raw.max():.4g}, {made.seconds:.2f} s, {files[-1]}")
            if made.change is not None:
                say(f"{'':22} sums to {made.raw.sum():.4g}; the score exceeds the baseline's by {made.change:.4g}")
    except KeyboardInterrupt:
        say(f"\nStopped; the maps that were made lie in {out}.")
        raise typer.Exit(130) from None
    if refused:
        raise UserError(" ".join(f"{', '.join(those)}: {why}" for why, those in refused.items()))


def methods(markdown: Annotated[bool, typer.Option("--markdown", help="As the table of docs/methods.md.")] = False) -> None:
    """Every explanation method, its parameters, and what it costs."""
    from explain.method import described, table
    from explain.methods import METHODS

    say(table(METHODS.values()) if markdown else "\n".join(described(m) for m in METHODS.values()))


def layers(
    model: Model,
    image: Annotated[Path | None, typer.Argument(help="A picture: its share of zeros stands beside each layer.")] = None,
    weights: Weights = None,
    device: Device = "cpu",
) -> None:
    """A network as a table: every layer with its output, parameters, multiply-adds and receptive field."""
    import torch

    from explain.layers import gaps, in_words
    from explain.layers import layers as table
    from explain.single import read_picture
    from models.registry import load

    classifier = load(model, weights, device=device)
    shown = classifier.batch([read_picture(image)]) if image else torch.rand(1, classifier.channels, *classifier.input_size, device=classifier.device)
    found = table(classifier.model, shown)
    say("\n".join(filter(None, [in_words(found, zeros=image is not None), gaps(found)])))


def filters(
    model: Model,
    out: Annotated[Path, typer.Option(help="The folder to write.")],
    layer: Annotated[str, typer.Option(help="The layer whose filters are maximised; without it, classes.")] = "",
    units: Annotated[str, typer.Option(help="Numbers and ranges, or names of classes: 0-15, 3,7,20-25, zebra.")] = "0-15",
    place: Annotated[str, typer.Option(help="everywhere (a filter), or centre (its neuron there).")] = "everywhere",
    steps: Annotated[int, typer.Option(help="Steps along the gradient.")] = 128,
    seed: Annotated[int, typer.Option(help="Of the noise that it begins with.")] = 0,
    weights: Weights = None,
    device: Device = "cpu",
) -> None:
    """What filters or classes want to see: pictures made by following the gradient from noise, and the filters' weights."""
    from explain.album import maximised
    from explain.maximise import Settings
    from explain.wishes import units_in, write
    from models.memory import reuse_memory
    from models.registry import load

    classifier = load(model, weights, device=device)
    reuse_memory()
    settings = Settings(layer, place, steps=steps, seed=seed)
    made = None
    try:
        with share_bar(layer or "classes") as tell:
            for made in maximised(classifier, units_in(units, () if layer else classifier.classes), settings):
                tell(made.step / made.steps)
    except KeyboardInterrupt:
        say(f"\nStopped after step {made.step if made else 0} of {steps}.")
    if made is None:
        raise typer.Exit(130)
    say("\n".join(write(classifier, made, settings, out)))
    if made.step < made.steps:
        raise typer.Exit(130)


def survey(
    run: Annotated[Path, typer.Argument(help="A run folder made by 'run'.")],
    weights: Weights = None,
    limit: Annotated[int, typer.Option(min=1, help="So many images at most, evenly spread.")] = 2000,
    device: Device = "cpu",
) -> None:
    """One pass over a run's images: each channel's strongest images, and the curves over depth. Kept in the run's folder for Layers."""
    from explain.run_data import open_run
    from explain.run_network import network_of
    from explain.survey import in_words
    from explain.survey import survey as look_at
    from models.memory import reuse_memory

    opened = open_run(run)
    reuse_memory()
    try:
        with share_bar("survey") as tell:
            for share in look_at(network_of(opened.manifest, weights, device), opened, limit):
                tell(share)
    except KeyboardInterrupt:
        say("\nStopped; nothing was written.")
        raise typer.Exit(130) from None
    say(in_words(opened))


@contextmanager
def share_bar(name: str) -> Iterator[Callable[[float], None]]:
    """A bar for what tells the share that is done; quick methods leave no trace."""
    with tqdm(total=100, desc=name, bar_format="{desc} {percentage:3.0f} %|{bar:40}| {remaining} left", delay=1, leave=False) as bar:

        def tell(share: float) -> None:
            bar.update(100 * share - bar.n)

        yield tell


def _progress_bar() -> Callable[["Progress"], None]:
    """Images a second and the time left; a run that goes on counts from where it was."""
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
