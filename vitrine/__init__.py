"""Vitrine from Python and notebooks.

    import vitrine
    net = vitrine.wrap(model, classes=names, preprocess=transform)
    vitrine.explain(net, "photo.jpg", methods=["grad_cam", "layer_cam"])
    run = vitrine.run(net, "photos/", out="runs/first")
    vitrine.dashboard(run, net)
    vitrine.trust(run, net)
    vitrine.register_method("my_map", lambda model, x, target: ..., title="My map")

Everything heavy is imported when it is called.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image
    from torch import nn

    from explain.methods.registry import register_method, unregister_method
    from explain.run.reader import RunData
    from models.classifier import Classifier
    from models.data.kind import DataRequest
    from models.data.registry import unregister_data_source
    from models.data.source import ImageSource
    from models.preprocessing import Preprocessing
    from models.registry import unregister_model
    from vitrine.explained import Explained
    from vitrine.page import Dashboard
    from vitrine.trusted import Trusted

__all__ = [
    "dashboard",
    "explain",
    "load",
    "open_run",
    "register_data_source",
    "register_method",
    "register_model",
    "run",
    "trust",
    "unregister_data_source",
    "unregister_method",
    "unregister_model",
    "wrap",
]

_REGISTRIES = {
    "register_method": "explain.methods.registry",
    "unregister_data_source": "models.data.registry",
    "unregister_method": "explain.methods.registry",
    "unregister_model": "models.registry",
}


def wrap(
    model: "nn.Module",
    classes: Sequence[str],
    preprocess: "Preprocessing | Any",
    name: str = "network",
    outputs: str = "",
    task: str = "",
    domain: str = "",
) -> "Classifier":
    """Return a `Classifier` for your own module, with the names of its outputs and its preprocessing.

    `preprocess`: a torchvision transform, or `models.preprocessing.Preprocessing`. The module itself is used,
    in eval mode from here on. `outputs`: what it returns, "logits", "probabilities" or "percent" (default:
    found out with two images, see `.notes`). `task`: "multi-label" where an image has any number of labels
    and each output decides for itself, "regression" where each output is a number, called as in `classes`
    (default: one class per image). `domain`: "faces" for a network about faces, which then gets photos
    cropped to a face, as `train --domain faces` (default: photos are used whole). Raises UserError if an
    image cannot pass through it, if the number of outputs differs from the number of names, if the outputs
    are not what is said, for a transform that is not deterministic, and for another task or domain.
    """
    from models.domains import require_domain
    from models.foreign.parameter_sets import reading
    from models.outputs.task import as_named, require_task
    from models.sources.module import from_module

    about = {"domain": domain} if require_domain(domain) else {}
    with reading(outputs=outputs, task=require_task(task)):
        made = replace(from_module(model, classes, preprocess, name), names_from="classes=")
    return as_named(replace(made, task=task, metadata=about))


def register_model(
    name: str,
    build: "Callable[..., nn.Module]",
    classes: Sequence[str],
    preprocess: "Preprocessing | Any",
    description: str = "",
) -> None:
    """Add a network of your own under a name, for this process: `load(name)` finds it, and a run made with it
    is opened with live maps.

    `build`: `() -> nn.Module`, with the weights that it is to have, or `(outputs) -> nn.Module` for a given
    number of classes. `classes`: names of its outputs. `preprocess`: a torchvision transform, or
    `models.preprocessing.Preprocessing`. Raises UserError for a name that is taken.
    """
    from models.registry import register_model as register

    register(name, build, classes, preprocess, description)


def register_data_source(
    name: str,
    open: "Callable[[DataRequest], ImageSource]",
    recognizes: "Callable[[str], bool] | None" = None,
    reopen: "Callable[[str, str], Image.Image | None] | None" = None,
    private: bool = True,
    masks: "Callable[[str, str], Mapping[str, np.ndarray]] | None" = None,
) -> None:
    """Add a kind of labeled images of your own, for this process: `run(net, "NAME:...", out)` opens it.

    `open`: from a request (`.text` as it was written, `.split`, `.seed` ...) to a
    `models.data.source.ImageSource`, whose `root` begins with `NAME:`. `recognizes`: whether a text is of
    this kind; without it, `NAME` and what begins with `NAME:`. `reopen`: from the root and the id of an image
    to its picture, for a run that is opened later; None where it is gone. `private`: the pictures are read
    from this machine, so that a run that others made shows them only where its user allows it. `masks`: from
    the root and the id to the regions of the image by name, (height, width) bool each, in which maps should
    lie (`trust`). Raises UserError for a name that is taken.
    """
    from models.data.registry import register_data_source as register

    register(name, open, recognizes, reopen, private, masks)


def load(
    name: str,
    weights: str | Path | None = None,
    classes: Sequence[str] | None = None,
    device: str = "cpu",
    preprocess: "Preprocessing | Any" = None,
    which: str = "",
    outputs: str = "",
    task: str = "",
) -> "Classifier":
    """Return a network by name, as `--model` of the command line: a name that `models` lists, a torchvision
    classifier, `timm:NAME`, `hf:FOLDER` (Hugging Face), `net.py:build` (a function of your own code, which is
    run), or a file: a checkpoint that Vitrine wrote (.safetensors), Keras (.keras), torch.export (.pt2),
    TorchScript (.pt) or ONNX (.onnx).

    `weights`: a checkpoint file; default: official weights, downloaded. `classes`: names of outputs that the
    file does not name. `preprocess`: a torchvision transform, or `models.preprocessing.Preprocessing`
    (default: that of the weights). `which`: parameters to read of a checkpoint with several sets, such as
    "state_dict" or "state_dict_ema" (default: the averaged set, EMA). `outputs`, `task`: as of `wrap`
    (default of the task: as the file says). Raises UserError for unknown names, and for weights that do not
    fit or cannot be downloaded.
    """
    from models.inputs.options import options_for
    from models.outputs.task import as_named, require_task
    from models.registry import load as find
    from models.sources.module import read_preprocess

    names = tuple(classes) if classes else None
    given = "classes=" if names else ""
    told = (which, outputs, require_task(task))
    if preprocess is None:
        found = find(name, weights, names, device, None, *told)
        return as_named(replace(found, names_from=given, task=task or found.task))
    fed, origin = read_preprocess(preprocess)
    found = find(name, weights, names, device, options_for(fed), *told)
    found = replace(found, preprocessing_from=origin, names_from=given, task=task or found.task)
    return as_named(found)


def explain(
    net: "Classifier",
    image: "str | Path | Image.Image",
    methods: str | Sequence[str] = (),
    target: str | int | None = None,
    layer: str = "",
    check: bool = False,
    faces: str | int = "",
    face_detector: str = "lbp",
    **parameters: Any,
) -> "Explained":
    """Return maps of one image by one or more methods, as float32 arrays (h, w) at the layer's resolution,
    with flags and the fraction of the score that the top 10 % of each map keep (`.badges`).

    `methods`: default LayerCAM over the stages of the network; of a network without layers, input × gradient
    or occlusion. `target`: a class by name or index (default: the predicted class). `layer`: a layer by name,
    several with commas, or "all-stages" (default of named methods: the last one whose output is a map).
    `check`: measure insertion and deletion of each map beside controls, too (`.checks`; about 130 forward
    passes for a map). `faces`: the face of the image that the network gets: "auto" (the largest), "off" (the
    whole image), or a number, counted from the largest (default: "auto" for networks about faces, "off" for
    others; `.face` says what was found); `face_detector`: "lbp", or the file of YuNet. `parameters`:
    parameters of the methods that have them. Raises UserError for unknown methods, classes, layers and
    parameters, for a face that is not there, and for unreadable images.
    """
    from vitrine.explained import explained

    return explained(net, image, methods, target, layer, parameters, check, str(faces), face_detector)


def run(
    net: "Classifier",
    data: "str | Path | ImageSource",
    out: str | Path,
    methods: str | Sequence[str] = (),
    split: str | None = None,
    limit: int | None = None,
    restart: bool = False,
    batch_size: int = 32,
    force: bool = False,
    task: str = "",
    image_col: str | None = None,
    label_col: str | None = None,
    label_columns: str | Sequence[str] = (),
    other_columns: str | Sequence[str] = (),
    labels: str | Path | None = None,
    classes: str | Path | None = None,
) -> "RunData":
    """Compute predictions and maps of every image of a labeled set, write them to the run folder `out`, and
    return it. The same call resumes an interrupted run. `out` may be a URL, such as s3://bucket/runs/first.

    `data`: a folder with one subfolder per class, a table, or the name of a data set. `.table` of the result
    is a DataFrame with one row per image. `methods`: default as on the command line: LayerCAM over the
    stages of the network; of a network without layers, input × gradient or occlusion. `limit`: use only so
    many images, evenly spread. `force`: run although more images of a sample are right when they are read in
    another way. `task`: single-label, multi-label or regression (default: as the data and the network's file
    show). `image_col`, `label_col`: columns of a table (default: found by their names and values);
    `label_columns`, `other_columns`: columns of people's votes for each class, and for none. `labels`: a file
    of corrected labels. `classes`: which output each class of the data is: a CSV file, "sorted", "numbers" or
    "numbers-from-1" (default: matched by name). All as the options of `run`. Raises UserError for that, if
    `out` contains another run (`restart` replaces it), and for data that does not fit the network.
    """
    from explain.run.run_folder import run_folder
    from vitrine.running import Reading, ran

    reading = Reading(split, limit, task, image_col, label_col, label_columns, other_columns, labels, classes)
    return ran(net, data, run_folder(out), reading, methods, restart, batch_size, force)


def open_run(folder: str | Path, label: str = "") -> "RunData":
    """Return the run in a run folder, or at its URL. Of several labels per image: all of them, or the run of
    two classes of one `label`. Of numbers: `.truth` and `.predicted` (images, outputs); `label` is then the
    output that is shown first. Raises UserError if the folder contains none, and for a label or an output
    that it lacks."""
    from explain.run.reader import open_run as opened
    from explain.run.run_folder import run_folder

    return opened(run_folder(folder), label)


def trust(
    run: "RunData | str | Path",
    net: "Classifier | None" = None,
    methods: str | Sequence[str] = (),
    images: int = 200,
    layers: str | Sequence[str] = (),
    figures: str | Sequence[str] = ("insertion_deletion", "road"),
    cells: int = 14,
    steps: int = 10,
    baseline: str = "blur",
    seed: int = 0,
    device: str = "cpu",
    boxes: str | Path | None = None,
) -> "Trusted":
    """Measure how far the maps of a run can be trusted: each method against controls, such as a spot in the
    center of the image. `.table` of the result is a DataFrame with one row per method and figure,
    `.recommendation` says which method to read; a notebook shows both.

    What is measured is kept in the run folder; the same call resumes. `net`: the network of the run, for a
    wrapped module. `methods`: default those of the run. `images`: at most so many, correct and wrong ones of
    every class in turn. `layers`: default that of the run; "all" for the outputs of all blocks. `cells` on a
    side of the grid whose cells are removed, in `steps`; `baseline`: what stands in removed cells, "blur" or
    "mean". `figures`: also "mprt" and "stability", which make maps many times, of at most 16 images. `boxes`:
    a table of boxes in which maps should lie, as `--boxes` of the command line. `.localization` and
    `.description` of the result are DataFrames of where maps lie and of what describes them; neither decides
    what to read. Raises UserError for unknown methods, layers and figures, for another network than the
    run's, and where no image can be read.
    """
    from explain.quality.curves import CurveSettings
    from vitrine.trusted import trusted

    opened = open_run(run) if isinstance(run, str | Path) else run
    curves = CurveSettings(cells, steps, baseline, seed=seed)
    return trusted(opened, net, methods, images, layers, figures, curves, device, boxes)


def dashboard(
    run: "RunData | str | Path", net: "Classifier | None" = None, port: int | None = None
) -> "Dashboard":
    """Start the dashboard on a run, reachable from this machine only, and return it; it does not block.

    The result has `.url` and `.close()`, and displays the page in a notebook. `net`: the network of the run,
    for live maps of a wrapped module. `port`: default: the first free one from 7860. Raises UserError for
    another network than the run's.
    """
    from vitrine.page import opened

    return opened(open_run(run) if isinstance(run, str | Path) else run, net, port)


def __getattr__(name: str) -> Any:
    if name in _REGISTRIES:
        return getattr(import_module(_REGISTRIES[name]), name)
    raise AttributeError(f"module 'vitrine' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
