"""The command `explain`: maps of one image by any method. Typer calls it; heavy packages are imported inside,
so that `--help` answers at once."""

from dataclasses import dataclass, replace
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING, Annotated, Any

import typer

from explain.cli.faces import FaceOptions
from explain.cli.options import (
    ClassNames,
    Layer,
    Network,
    Options,
    OutFolder,
    Picture,
    Task,
    from_commas,
    option_groups,
)
from explain.cli.output import progress_bar, say
from explain.network.stages import STAGES
from models.errors import UserError
from models.inputs.options import NO_OPTIONS, PreprocessingOptions
from models.layers.access import Access

if TYPE_CHECKING:
    from explain.methods.compute import MapResult
    from explain.methods.live import ImageSession, MapRequest
    from models.classifier import Classifier

FEW, MANY = 5, 20  # classes, and numbers, that are printed
WIDTH = 87  # of what is said below the line of a map


@dataclass(frozen=True)
class MapOptions(Options):
    """Which maps to make."""

    methods: Annotated[
        str,
        typer.Option(
            help="Methods, separated by commas; 'methods' lists them (default: layer_cam; of networks "
            "without layers input_x_gradient or occlusion)."
        ),
    ] = ""
    layer: Layer = None
    target: Annotated[
        str | None,
        typer.Option(
            help="Target class or output, by name or number (default: the predicted class; of numbers, the "
            "first output)."
        ),
    ] = None
    contrast_class: Annotated[
        str | None,
        typer.Option(
            "--contrast-class",
            "--minus",
            help="Contrast class: explain the target's score minus this class's score (default: none).",
        ),
    ] = None
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help="Parameter of a method: steps=20 for every method that has it, or "
            "integrated_gradients.steps=20. Repeat for several (default: each method's defaults).",
        ),
    ] = None
    fuse: Annotated[str, typer.Option(help="How maps of several layers are combined: mean or max.")] = "mean"
    flip: Annotated[bool, typer.Option(help="Average with the map of the mirrored image.")] = False
    noise: Annotated[int, typer.Option(help="Number of noisy copies to average over; 0: none.")] = 0
    check: Annotated[
        bool,
        typer.Option(
            "--check",
            help="Check each map on this image: insertion and deletion beside controls, and the rank "
            "correlation with the map of a network with random weights. It takes about 130 forward passes "
            "and a second map for each.",
        ),
    ] = False

    def settings(self, access: Access = "modules") -> dict[str, dict[str, Any]]:
        """Method -> its parameters; `access`: how much of the network can be reached. Raises UserError for a
        method or a parameter that does not exist."""
        from explain.methods.registry import defaults
        from explain.methods.single_image import settings_for

        methods = from_commas(self.methods) if self.methods else defaults(access)[0]
        if not methods:
            raise UserError(f"--methods '{self.methods}' names no method: 'methods' lists them.")
        return settings_for(methods, self.set_ or [])

    def requests(
        self, classes: tuple[str, ...], settings: dict[str, dict[str, Any]], what: str = "class"
    ) -> "list[MapRequest]":
        """One for each method. Raises UserError for a class, or output of numbers (`what`), that the network
        does not have."""
        from explain.methods.live import MapRequest
        from explain.methods.request import Smoothing
        from explain.methods.single_image import class_number

        names = self.target, self.contrast_class
        target, contrast = (class_number(classes, name, what) for name in names)
        smoothing = Smoothing(self.flip, self.noise)
        layer = self.layer or ("" if self.methods else STAGES)
        return [
            MapRequest(method, layer, target, contrast, tuple(given.items()), self.fuse, smoothing)
            for method, given in settings.items()
        ]


@option_groups
def explain(
    image: Picture,
    network: Network,
    out: OutFolder,
    maps: MapOptions,
    faces: FaceOptions,
    class_names: ClassNames = None,
    task: Task = "",
    preprocessing: PreprocessingOptions = NO_OPTIONS,
) -> None:
    """Explain one image.

    Each method writes its map as numbers (.npy), as an image, and as an overlay on the image. The lines below
    say how much of the probability the part of the image keeps that the map points to, beside controls, and
    what is wrong with the map on its face, if anything."""
    from explain.methods.single_image import must_be_there, write_faces
    from explain.quality.one_map.map_check import ONE_IMAGE
    from models.outputs.regression import is_regression
    from models.outputs.task import as_named, require_task

    must_be_there(image)
    maps.settings()  # before the network is loaded
    loaded = network.load(preprocessing, class_names, require_task(task))
    classifier = as_named(replace(loaded, task=task or loaded.task))
    what = "output" if is_regression(classifier.model) else "class"
    requests = maps.requests(classifier.classes, maps.settings(classifier.access), what)
    session = _opened(classifier, image, faces)
    try:
        write_faces(session, out / image.stem)
        refused = _write_maps(session, requests, out / image.stem, maps.check)
        if maps.check:
            say(ONE_IMAGE)
    except KeyboardInterrupt:
        say(f"\nStopped. The maps made so far are in {out}.")
        raise typer.Exit(130) from None
    if refused:
        raise UserError(" ".join(f"{', '.join(names)}: {why}" for why, names in refused.items()))


def _opened(classifier: "Classifier", image: Path, faces: FaceOptions) -> "ImageSession":
    """The image as the network gets it, and what it is predicted as."""
    from explain.methods.live import open_session
    from explain.methods.single_image import read_picture
    from models.data.images import LEVELS, about_image, camera_bits, has_alpha

    say(f"input    {classifier.input_described}")
    for note in classifier.notes:
        say(f"network  {note}")
    facts = about_image(image)
    if facts.bits and not classifier.preprocessing.bits:
        bits = camera_bits(facts.bits)
        say(
            f"bits     the largest value needs {facts.bits} bits: read as {bits} bits, so {2**bits - 1:,} is "
            "white; --bits says otherwise"
        )
    if facts.rounded:
        say(f"levels   the picture holds more than 8 bits a channel: rounded to {LEVELS} levels")
    if classifier.preprocessing.alpha and not has_alpha(image):
        say("alpha    the image has none: it is opaque (alpha 255)")
    request = faces.request(classifier.domain)
    session = open_session(classifier, read_picture(image, classifier.preprocessing), request)
    if session.face is not None:
        say(f"faces    {session.face.described}")
    if session.numbers:
        for index, name in enumerate(classifier.classes[:MANY]):
            say(f"{name} {session.answer(index)}")
        return session
    for index in (-session.prob).argsort(kind="stable")[:FEW].tolist():
        say(f"{100 * session.prob[index]:6.1f} %  {classifier.classes[index]}")
    return session


def _write_maps(
    session: "ImageSession", requests: "list[MapRequest]", stem: Path, check: bool
) -> dict[str, list[str]]:
    """Why some methods made no map: message -> methods; the others do not depend on them."""
    from explain.methods.single_image import write

    refused, classes = dict[str, list[str]](), session.classifier.classes
    for request in requests:
        try:
            with progress_bar(request.method) as on_progress:
                made = session.map(request, on_progress)
        except UserError as error:
            refused.setdefault(str(error), []).append(request.method)
            continue
        files = write(session, made, stem)
        low, high = made.raw.min(), made.raw.max()
        explained = classes[made.target]
        if isinstance(request.contrast_class, int):
            explained += f" against {classes[request.contrast_class]}"
        say(
            f"{request.method:22} for {explained}: {low:.4g} to {high:.4g}, {made.seconds:.2f} s, {files[-1]}"
        )
        if "," in made.layer:
            say(f"{'':22} {request.fuse} of the layers {made.layer.replace(',', ', ')}")
        if made.expected_sum is not None:
            say(
                f"{'':22} sums to {made.raw.sum():.4g}; the score exceeds the baseline's by "
                f"{made.expected_sum:.4g}"
            )
        _say_figures(session, made, check)
    return refused


def _say_figures(session: "ImageSession", made: "MapResult", check: bool) -> None:
    """What is said of a map, below its line; the maps of other methods do not depend on it."""
    try:
        lines = _figures(session, made, check)
    except UserError as error:
        lines = [f"not measured: {error}"]
    for line in lines:
        for part in wrap(line, WIDTH):
            say(f"{'':22} {part}")


def _figures(session: "ImageSession", made: "MapResult", check: bool) -> list[str]:
    from explain.quality.one_map.badge import badges
    from explain.quality.one_map.check import check_map

    [badge] = badges(session, [made])
    if not (check and badge.ordered):
        return badge.lines
    with progress_bar(f"check of {made.request.method}") as on_progress:
        return badge.lines + check_map(session, made, on_progress).lines
