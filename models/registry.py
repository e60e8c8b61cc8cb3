"""From a name or a file to a `Classifier`.

Names: `fer_vgg` and other networks of our own, `ARCHITECTURE:DATA` for a shipped checkpoint, any torchvision
classifier (`mobilenet_v2`, `resnet50` ...), any timm model as `timm:NAME`, or the path of a checkpoint that
Vitrine wrote.
"""

import hashlib
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from models import checkpoints
from models.architectures import ARCHITECTURES, SIDES
from models.class_names import must_differ
from models.classes import unnamed
from models.classifier import ONE_OUTPUT, Classifier
from models.errors import UserError
from models.heads import attach
from models.imagenet import imagenet_names, wordnet_ids
from models.preprocessing import UNIT, Preprocessing
from models.preprocessing_options import PreprocessingOptions, words_for
from models.program import program
from models.shipped import WEIGHTS, shipped

ALIASES = {"mobilenet_v1": "timm:mobilenetv1_100"}
FEATURED = ("mobilenet_v2", "resnet50", "vgg16", "alexnet", "mobilenet_v1")
AUXILIARY = {"googlenet": "aux", "inception_v3": "AuxLogits"}
"""torchvision's two networks with heads that only training uses, and with what the names of their parameters
begin."""
OFFLINE = "Its official weights could not be downloaded ({reason}): give a file with --weights FILE."


@dataclass(frozen=True)
class ModelSpec:
    """How to build a network for `outputs` classes (None: as published), for parameters of the names `keys`
    (None: for new ones), and how it wants its pictures. `owner`: whose preprocessing that is."""

    name: str
    build: Callable[..., nn.Module]
    preprocessing: Preprocessing
    pretrained: Callable[[], tuple[nn.Module, Preprocessing, str]] | None = None
    owner: str = "Vitrine's"


def names() -> list[str]:
    """Names to choose from first; every other torchvision classifier and `timm:NAME` works too."""
    return [*shipped(), *ARCHITECTURES, *FEATURED]


def listed() -> Iterator[tuple[str, str]]:
    """Every name to choose from, with a word about it."""
    for name, path in shipped().items():
        about = checkpoints.describe(path)
        yield (
            name,
            f"shipped; {len(about['classes'])} classes, test accuracy "
            f"{about['metrics']['test_accuracy']:.1%}",
        )
    for name in ARCHITECTURES:
        yield name, "architecture of our own; give --weights FILE, or train it"
    for name in FEATURED:
        yield name, f"{ALIASES.get(name, 'torchvision')}, ImageNet; weights are downloaded, or --weights FILE"
    yield "any other", "torchvision classifier by its name, and any timm model as timm:NAME"


def spec(name: str) -> ModelSpec:
    """The entry of a name. Raises UserError with near names."""
    name = ALIASES.get(name, name)
    if name in ARCHITECTURES:
        size = (SIDES[name],) * 2 if name in SIDES else UNIT.size
        return ModelSpec(
            name, lambda outputs, keys=None: ARCHITECTURES[name](outputs or 8), replace(UNIT, size=size)
        )
    return _timm_spec(name.removeprefix("timm:")) if name.startswith("timm:") else _torchvision_spec(name)


def _torchvision_spec(name: str) -> ModelSpec:
    import difflib

    from torchvision import models as zoo

    if name not in (known := zoo.list_models(module=zoo)):
        near = difflib.get_close_matches(name, dict.fromkeys([*known, *names()]), 3)
        hint = f"did you mean {' or '.join(near)}?" if near else f"see {program()} models"
        raise UserError(f"No model '{name}': {hint} (timm's are called timm:NAME).")
    entries = list(zoo.get_model_weights(name))

    def build(outputs: int | None, keys: Collection[str] | None = None) -> nn.Module:
        extra: dict[str, Any] = {}
        if (
            name in AUXILIARY
        ):  # as the pretrained ones rescale their input; with the extra heads where the file has them
            auxiliary = any(key.startswith(AUXILIARY[name]) for key in keys or ())
            extra = {"init_weights": False, "transform_input": True, "aux_logits": auxiliary}
        return zoo.get_model(name, weights=None, num_classes=outputs or 1000, **extra)

    def pretrained() -> tuple[nn.Module, Preprocessing, str]:
        entry = zoo.get_model_weights(name).DEFAULT
        return zoo.get_model(name, weights=entry), _from_torchvision(entry), f"torchvision {entry}"

    return ModelSpec(name, build, _from_torchvision(entries[0]), pretrained, "torchvision's")


def _from_torchvision(entry: Any) -> Preprocessing:
    t = entry.transforms()
    return Preprocessing(
        (t.crop_size[0],) * 2, t.resize_size[0], tuple(t.mean), tuple(t.std), t.interpolation.value
    )


def _timm_spec(name: str) -> ModelSpec:
    import difflib

    import timm
    from timm.data import resolve_data_config

    base = name.split(".")[0]
    if base not in (known := timm.list_models()):
        near = difflib.get_close_matches(base, known, 3)
        raise UserError(
            f"No timm model '{name}'{': did you mean ' + ' or '.join(near) + '?' if near else '.'}"
        )
    config = resolve_data_config(
        {}, pretrained_cfg=getattr(timm.get_pretrained_cfg(name, allow_unregistered=True), "__dict__", {})
    )
    size, square = tuple(config["input_size"][1:]), config.get("crop_mode") == "squash"
    resize = None if square else int(min(size) / config["crop_pct"])
    preprocessing = Preprocessing(
        size, resize, tuple(config["mean"]), tuple(config["std"]), config["interpolation"]
    )

    def build(outputs: int | None, keys: Collection[str] | None = None) -> nn.Module:
        return timm.create_model(name, num_classes=outputs or 1000)

    def pretrained() -> tuple[nn.Module, Preprocessing, str]:
        return timm.create_model(name, pretrained=True), preprocessing, f"timm {name}"

    return ModelSpec(f"timm:{name}", build, preprocessing, pretrained, "timm's")


def load(
    name: str,
    weights: str | Path | None = None,
    classes: tuple[str, ...] | None = None,
    device: str = "cpu",
    options: PreprocessingOptions | None = None,
) -> Classifier:
    """Load a network, ready to use: eval mode, channels_last, on the device.

    `weights`: a checkpoint file; without it the official weights are fetched. `classes` names the outputs of
    weights that do not name them. `options`: what a person says about the input. Raises UserError for unknown
    names, weights that do not fit or cannot be downloaded, options that do not fit, and networks of one
    output.
    """
    if weights is None and name in shipped():
        weights = shipped()[name]
    elif weights is None and Path(name).suffix in (".safetensors", ".pth", ".pt"):
        weights, name = name, ""
    classifier = _from_file(name, Path(weights), classes) if weights else _official(name)
    if classes and classifier.classes != classes:
        raise UserError(
            f"{classifier.name} names its {len(classifier.classes)} outputs itself: leave --class-names out."
        )
    if len(classifier.classes) == 1 and classifier.metadata.get("task") != "affect":
        raise UserError(ONE_OUTPUT.format(name=classifier.name))
    classifier = told(classifier, options) if options and options.given else classifier
    classifier.model.eval().to(_device(device)).to(memory_format=torch.channels_last)
    return classifier


def told(classifier: Classifier, options: PreprocessingOptions) -> Classifier:
    """The classifier with the input that a person describes. Raises UserError for what does not fit it."""
    if options.transform_input is not None:
        if classifier.transform_input is None:
            raise UserError(
                f"--transform-input is for torchvision's {' and '.join(AUXILIARY)}: {classifier.name} has "
                "nothing of the kind."
            )
        classifier.model.transform_input = options.transform_input  # type: ignore[assignment]
    text = [o for o in options.given if not o.endswith("transform-input")]
    if not text:
        return replace(
            classifier, options=tuple(words_for(classifier.preprocessing, classifier.transform_input))
        )
    changed = options.apply(classifier.preprocessing)
    rest = {"--input-size", "--resize", "--mean", "--std", "--interpolation"} - set(text)
    source = f"{', '.join(text)} given" + (f"; the rest {classifier.preprocessing_from}" if rest else "")
    must_take(classifier.model, changed, classifier.name)
    return replace(
        classifier,
        preprocessing=changed,
        preprocessing_from=source,
        options=tuple(words_for(changed, classifier.transform_input)),
    )


def must_take(model: nn.Module, preprocessing: Preprocessing, name: str) -> None:
    """Raises UserError where the network cannot take images of this size."""
    training = model.training
    try:
        with torch.inference_mode():
            model.eval()(torch.zeros(1, preprocessing.channels, *preprocessing.size))
    except (RuntimeError, AssertionError, ValueError) as error:
        height, width = preprocessing.size
        raise UserError(
            f"{name} does not take {height} × {width} pixels ({str(error).splitlines()[0][:100]}): give "
            "another --input-size."
        ) from error
    finally:
        model.train(training)


def _device(name: str) -> torch.device:
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise UserError(
            f"No device '{name}' here ({str(error).splitlines()[0][:80]}): use --device cpu."
        ) from error
    return device


def _official(name: str) -> Classifier:
    entry = spec(name)
    if entry.pretrained is None:
        made = [s for s in shipped() if s.startswith(f"{name}:")]
        raise UserError(
            f"{name} has no official weights: give --weights "
            f"FILE{' or --model ' + ' or '.join(made) if made else ''}."
        )
    try:
        model, preprocessing, origin = entry.pretrained()
    except Exception as error:  # the hubs raise everything from URLError to their own kinds
        reason = type(error).__name__
        raise UserError(f"{name}: {OFFLINE.format(reason=reason)}") from error
    outputs = int(model.state_dict()[checkpoints.head_key(model)].shape[0])
    named, ids = (imagenet_names(), wordnet_ids()) if outputs == 1000 else (unnamed(outputs), ())
    return Classifier(
        entry.name,
        model,
        named,
        preprocessing,
        origin,
        checkpoints.fingerprint(model),
        wordnet_ids=ids,
        preprocessing_from=f"from {origin}",
    )


def _from_file(name: str, path: Path, classes: tuple[str, ...] | None) -> Classifier:
    state, about = checkpoints.read(path)
    if about.get("task") == "gaze":
        raise UserError(
            f"'{path}' predicts where people look, and classifies nothing: use it as --gaze-model of 'gaze "
            "evaluate'."
        )
    if name in shipped():
        name = about["architecture"]
    if not (name := name or about.get("architecture", "")):
        raise UserError(f"'{path}' does not say its architecture: add --model NAME (see {program()} models).")
    if about.get("architecture") not in (None, ALIASES.get(name, name)):
        raise UserError(
            f"'{path}' holds a {about['architecture']}, not a {name}: use --model {about['architecture']}."
        )
    entry = spec(name)
    official = None if about or entry.owner != "torchvision's" else official_weights(entry.name, path)
    preprocessing, source = _preprocessing_of_file(entry, path, about, official)
    model, outputs = _built(entry, state, about.get("head"), preprocessing, len(about.get("classes", ())))
    checkpoints.fit(model, state, entry.name)
    if (
        name in AUXILIARY and about
    ):  # ours: fine-tuned from pretrained ones, or from random weights as torchvision builds them
        model.transform_input = about.get(
            "transform_input", about.get("training", {}).get("recipe") != "scratch"
        )
    outputs = outputs or 1000
    if classes and about.get("classes") and tuple(about["classes"]) != classes:
        raise UserError(
            f"'{path}' names its outputs itself ({', '.join(about['classes'][:4])} ...): leave "
            "--class-names out."
        )
    named = (
        tuple(about.get("classes", ()))
        or classes
        or (imagenet_names() if official and outputs == 1000 else unnamed(outputs))
    )
    if len(named) != outputs:
        raise UserError(
            f"{len(named)} class names for {outputs} outputs of '{path}': name every output once."
        )
    must_differ(named, f"'{path}'")
    shown = f"{entry.name}:{about['data']['name'].split('/')[0]}" if about.get("data") else entry.name
    ids = wordnet_ids() if named == imagenet_names() else ()
    origin = "shipped" if path.parent == WEIGHTS else str(path.resolve())
    return Classifier(
        shown,
        model,
        named,
        preprocessing,
        origin,
        checkpoints.fingerprint(model),
        about.get("default_layer"),
        ids,
        about,
        source,
    )


def _built(
    entry: ModelSpec,
    state: checkpoints.State,
    head: str | None,
    preprocessing: Preprocessing,
    outputs: int | None,
) -> tuple[nn.Module, int | None]:
    """The network that the parameters belong to, and how many outputs it has: as published, with as many
    outputs as the file's last layer, or with a `Head` of ours."""
    model = entry.build(None, state.keys())
    if head and outputs:
        attach(model, head, outputs, preprocessing.size, preprocessing.channels)
        return model, outputs
    last = state.get(checkpoints.head_key(model))
    outputs = int(last.shape[0]) if last is not None else None
    if outputs and outputs != model.state_dict()[checkpoints.head_key(model)].shape[0]:
        model = entry.build(outputs, state.keys())
    return model, outputs


def _preprocessing_of_file(
    entry: ModelSpec, path: Path, about: dict[str, Any], official: Any
) -> tuple[Preprocessing, str]:
    """What the file says of its input, or what can be assumed; and in words, where it comes from."""
    if raw := about.get("preprocessing"):
        return Preprocessing.from_dict(
            raw
        ), "shipped with the weights" if path.parent == WEIGHTS else f"from '{path.name}'"
    if official:
        return _from_torchvision(official), f"from torchvision {official}"
    return entry.preprocessing, f"assumed: {entry.owner} default for {entry.name.removeprefix('timm:')}"


def official_weights(name: str, path: Path) -> Any | None:
    """torchvision's own weights of the network `name` that the file is: called so, and with the checksum that
    its name tells; or None."""
    from torchvision.models import get_model_weights

    for weights in get_model_weights(name):
        called = weights.url.rsplit("/", 1)[-1]
        if path.name == called:
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            return weights if digest.startswith(Path(called).stem.rpartition("-")[2]) else None
    return None
