"""The commands about explanations: export · explain · methods · layers · filters · survey. Typer calls them;
heavy packages are imported inside, so that `--help` answers at once."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from tqdm import tqdm

from explain.cli.data_question import AllowData, ask_for_data
from explain.cli.models import ClassNames, Device, Model, Weights, say
from models.errors import UserError
from models.preprocessing_options import NO_OPTIONS, PreprocessingOptions, takes_preprocessing

SELECT_HELP = (
    "errors, correct, class:NAME, pair:TRUE>PREDICTED, tag:NAME, labels, duplicates, border, notes "
    "...; by itself some of every class."
)
BlurEyes = Annotated[bool, typer.Option("--blur-eyes", help="Cover the eyes of aligned faces.")]


def export(
    run: Annotated[Path, typer.Argument(help="A run folder made by 'run'.")],
    out: Annotated[Path, typer.Option(help="The folder to write, or a file that ends in .zip.")],
    per_class: Annotated[
        int | None,
        typer.Option(help="Maximum wrong and correct images per class (default: 2, or all of --select)."),
    ] = None,
    select: Annotated[str, typer.Option(help=SELECT_HELP)] = "",
    methods: Annotated[str, typer.Option(help="Of the run's, with commas; by itself the first.")] = "",
    sort: Annotated[
        str, typer.Option(help="most confident, least confident, highest loss, lowest loss, least margin.")
    ] = "most confident",
    originals: Annotated[
        bool, typer.Option(help="Also the pictures at full size, where they can be read.")
    ] = True,
    maps: Annotated[bool, typer.Option(help="Also the maps as numbers (.npy).")] = True,
    blur_eyes: BlurEyes = False,
    allow_data: AllowData = False,
) -> None:
    """Pictures to take away: originals, overlays, raw maps, one sheet with every class, a page that opens
    without a server, and tables."""
    from explain.analysis.findings import Findings
    from explain.export.gallery import INDEX, Export, ExportOptions
    from explain.run.reader import open_run

    named = tuple(name.strip() for name in methods.split(",") if name.strip())
    opened = open_run(run)
    ask_for_data(opened, allow_data)
    made = Export(
        Findings(opened), out, ExportOptions(select, per_class, named, sort, originals, maps, blur_eyes)
    )
    with progress_bar("export") as on_progress:
        for fraction in made.steps():
            on_progress(fraction)
    if made.run.unfinished:
        say(made.run.unfinished)
    say(
        f"{made.images} images, "
        f"{made.selection.description}\n{'archive' if out.suffix.lower() == '.zip' else 'page   '}    "
        f"{out if out.suffix.lower() == '.zip' else out / INDEX}"
    )


def report(
    run: Annotated[Path, typer.Argument(help="A run folder made by 'run'.")],
    out: Annotated[Path, typer.Option(help="The HTML file to write.")] = Path("report.html"),
    method: Annotated[str | None, typer.Option(help="One of the run's methods; by itself the first.")] = None,
    per_class: Annotated[
        int, typer.Option(help="Maximum wrong and correct images per class, 1 to 10 (default: 2).")
    ] = 2,
    blur_eyes: BlurEyes = False,
) -> None:
    """What the run found, as one file to hand on: it needs no server and no network."""
    from explain.analysis.findings import Findings
    from explain.export.report import report as make
    from explain.export.report import write_report
    from explain.run.reader import open_run

    text = make(Findings(open_run(run)), method, per_class, blur_eyes)
    write_report(text, out)
    say(f"report     {out}, {len(text.encode()) / 1e6:.1f} MB")


@takes_preprocessing
def explain(
    image: Annotated[Path, typer.Argument(help="A picture.")],
    model: Model,
    out: Annotated[Path, typer.Option(help="The folder to write.")],
    weights: Weights = None,
    methods: Annotated[
        str, typer.Option(help="Names with commas between them, of those that 'methods' lists.")
    ] = "grad_cam,layer_cam",
    layer: Annotated[
        str | None,
        typer.Option(help="The layer to explain, or several with commas; by itself the last one with maps."),
    ] = None,
    target: Annotated[
        str | None, typer.Option(help="A class by name or number; by itself the prediction.")
    ] = None,
    contrast_class: Annotated[
        str | None,
        typer.Option(
            "--contrast-class", "--minus", help="Explain by how much the target exceeds this class."
        ),
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set", help="A parameter: steps=20, or integrated_gradients.steps=20; can be repeated."
        ),
    ] = None,
    fuse: Annotated[str, typer.Option(help="Several layers: mean, or max.")] = "mean",
    flip: Annotated[bool, typer.Option(help="Average with the mirror image's map.")] = False,
    noise: Annotated[int, typer.Option(help="Average over so many noisy copies.")] = 0,
    device: Device = "cpu",
    class_names: ClassNames = None,
    preprocessing: PreprocessingOptions = NO_OPTIONS,
) -> None:
    """Maps of one picture by any method: as raw numbers (.npy), as a picture, and laid over the photo."""
    from explain.methods.compute import Smoothing
    from explain.methods.live import MapRequest, open_session
    from explain.methods.single_image import class_number, must_be_there, read_picture, settings_for, write
    from models.class_names import read_names
    from models.data.images import about_image
    from models.registry import load

    must_be_there(image)
    names = [name.strip() for name in methods.split(",") if name.strip()]
    given = settings_for(names, set_ or [])
    classifier = load(model, weights, read_names(class_names) if class_names else None, device, preprocessing)
    plus, less = (class_number(classifier.classes, description) for description in (target, contrast_class))
    say(f"input    {classifier.input_described}")
    if (bits := about_image(image)[0]) and not classifier.preprocessing.bits:
        say(
            f"bits     its largest value has {bits} bits: {2**bits - 1:,} is taken for white; if its data "
            "use more, say --bits"
        )
    session = open_session(classifier, read_picture(image, classifier.preprocessing))
    for index in (-session.prob).argsort(kind="stable")[:5].tolist():
        say(f"{session.prob[index]:7.1%}  {classifier.classes[index]}")
    refused: dict[str, list[str]] = {}
    try:
        for name in names:
            with progress_bar(name) as on_progress:
                try:
                    made = session.map(
                        MapRequest(
                            name,
                            layer or "",
                            plus,
                            less,
                            tuple(given[name].items()),
                            fuse,
                            Smoothing(flip, noise),
                        ),
                        on_progress,
                    )
                except UserError as error:  # the other methods may fit
                    refused.setdefault(str(error), []).append(name)
                    continue
            files = write(session, made, out / image.stem)
            say(f"{name:22} {made.raw.min():.4g} to {made.raw.max():.4g}, {made.seconds:.2f} s, {files[-1]}")
            if made.expected_sum is not None:
                say(
                    f"{'':22} sums to {made.raw.sum():.4g}; the score exceeds the baseline's by "
                    f"{made.expected_sum:.4g}"
                )
    except KeyboardInterrupt:
        say(f"\nStopped; the maps that were made lie in {out}.")
        raise typer.Exit(130) from None
    if refused:
        raise UserError(" ".join(f"{', '.join(those)}: {why}" for why, those in refused.items()))


def methods(
    markdown: Annotated[bool, typer.Option("--markdown", help="As the table of docs/methods.md.")] = False,
) -> None:
    """Every explanation method, its parameters, and what it costs."""
    from explain.methods.registry import METHODS
    from explain.methods.spec import described, table

    say(table(METHODS.values()) if markdown else "\n".join(described(m) for m in METHODS.values()))


@takes_preprocessing
def layers(
    model: Model,
    image: Annotated[
        Path | None, typer.Argument(help="A picture: its share of zeros stands beside each layer.")
    ] = None,
    weights: Weights = None,
    device: Device = "cpu",
    preprocessing: PreprocessingOptions = NO_OPTIONS,
) -> None:
    """A network as a table: every layer with its output, parameters, multiply-adds and receptive field."""
    import torch

    from explain.methods.single_image import must_be_there, read_picture
    from explain.network.summary import format_text, gaps
    from explain.network.summary import layers as table
    from models.registry import load

    if image:
        must_be_there(image)
    classifier = load(model, weights, device=device, options=preprocessing)
    noise = torch.rand(1, classifier.channels, *classifier.input_size, device=classifier.device)
    shown = classifier.batch([read_picture(image, classifier.preprocessing)]) if image else noise
    found = table(classifier.model, shown)
    say("\n".join(filter(None, [format_text(found, zeros=image is not None), gaps(found)])))


@takes_preprocessing
def filters(
    model: Model,
    out: Annotated[Path, typer.Option(help="The folder to write.")],
    layer: Annotated[
        str, typer.Option(help="The layer whose filters are maximized; without it, classes.")
    ] = "",
    units: Annotated[
        str, typer.Option(help="Numbers and ranges, or names of classes: 0-15, 3,7,20-25, zebra.")
    ] = "0-15",
    place: Annotated[
        str, typer.Option(help="everywhere (a filter), or center (its neuron there).")
    ] = "everywhere",
    steps: Annotated[int, typer.Option(help="Steps along the gradient.")] = 128,
    seed: Annotated[int, typer.Option(help="Of the noise that it begins with.")] = 0,
    weights: Weights = None,
    device: Device = "cpu",
    class_names: ClassNames = None,
    preprocessing: PreprocessingOptions = NO_OPTIONS,
) -> None:
    """Feature visualization of filters or classes: images optimized from noise by gradient ascent, and the
    filters' weights."""
    from explain.features.activation_maximization import Settings
    from explain.features.units import units_in, write
    from explain.features.visualization_cache import maximized
    from models.class_names import read_names
    from models.memory import reuse_memory
    from models.registry import load

    classifier = load(model, weights, read_names(class_names) if class_names else None, device, preprocessing)
    reuse_memory()
    settings = Settings(layer, place, steps=steps, seed=seed)
    made = None
    try:
        with progress_bar(layer or "classes") as on_progress:
            for made in maximized(classifier, units_in(units, () if layer else classifier.classes), settings):
                on_progress(made.step / made.steps)
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
    allow_data: AllowData = False,
) -> None:
    """One pass over a run's images: each channel's strongest images, and the curves over depth. Kept in the
    run's folder for Layers."""
    from explain.features.top_activations import format_text
    from explain.features.top_activations import survey as look_at
    from explain.run.model import network_of
    from explain.run.reader import open_run
    from models.memory import reuse_memory

    opened = open_run(run)
    ask_for_data(opened, allow_data)
    reuse_memory()
    try:
        with progress_bar("survey") as on_progress:
            for fraction in look_at(network_of(opened.manifest, weights, device), opened, limit):
                on_progress(fraction)
    except KeyboardInterrupt:
        say("\nStopped; nothing was written.")
        raise typer.Exit(130) from None
    say(format_text(opened))


@contextmanager
def progress_bar(name: str) -> Iterator[Callable[[float], None]]:
    """A bar for what tells the share that is done; quick methods leave no trace."""
    with tqdm(
        total=100,
        desc=name,
        bar_format="{desc} {percentage:3.0f} %|{bar:40}| {remaining} left",
        delay=1,
        leave=False,
    ) as bar:

        def on_progress(fraction: float) -> None:
            bar.update(100 * fraction - bar.n)

        yield on_progress
