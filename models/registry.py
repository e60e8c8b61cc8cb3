"""From a name or a file to a `Classifier`.

Names: `fer_vgg` and other networks of our own, `ARCHITECTURE:DATA` for a shipped checkpoint, any torchvision classifier
(`mobilenet_v2`, `resnet50` ...), any timm model as `timm:NAME`, or the path of a checkpoint that Vitrine wrote.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from models import checkpoints
from models.architectures import ARCHITECTURES, SIDES
from models.classifier import Classifier
from models.errors import UserError
from models.heads import attach
from models.preprocessing import UNIT, Preprocessing
from models.shipped import WEIGHTS, shipped

ALIASES = {"mobilenet_v1": "timm:mobilenetv1_100"}
FEATURED = ("mobilenet_v2", "resnet50", "vgg16", "alexnet", "mobilenet_v1")
OFFLINE = "Its official weights could not be downloaded ({reason}): give a file with --weights FILE."


@dataclass(frozen=True)
class ModelSpec:
    """How to build a network for `outputs` classes (None: as published), and how it wants its pictures."""

    name: str
    build: Callable[[int | None], nn.Module]
    preprocessing: Preprocessing
    pretrained: Callable[[], tuple[nn.Module, Preprocessing, str]] | None = None


def names() -> list[str]:
    """Names to choose from first; every other torchvision classifier and `timm:NAME` works too."""
    return [*shipped(), *ARCHITECTURES, *FEATURED]


def listed() -> Iterator[tuple[str, str]]:
    """Every name to choose from, with a word about it."""
    for name, path in shipped().items():
        about = checkpoints.describe(path)
        yield name, f"shipped; {len(about['classes'])} classes, test accuracy {about['metrics']['test_accuracy']:.1%}"
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
        return ModelSpec(name, lambda outputs: ARCHITECTURES[name](outputs or 8), replace(UNIT, size=size))
    return _timm_spec(name.removeprefix("timm:")) if name.startswith("timm:") else _torchvision_spec(name)


def _torchvision_spec(name: str) -> ModelSpec:
    import difflib

    from torchvision import models as zoo

    if name not in (known := zoo.list_models(module=zoo)):
        near = difflib.get_close_matches(name, [*known, *names()], 3)
        hint = f"did you mean {' or '.join(near)}?" if near else "see python launch.py models"
        raise UserError(f"No model '{name}': {hint} (timm's are called timm:NAME).")
    entries = list(zoo.get_model_weights(name))

    def build(outputs: int | None) -> nn.Module:
        # Inception and GoogLeNet answer with extra heads and untrained noise unless told
        extra: dict[str, Any] = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
        return zoo.get_model(name, weights=None, num_classes=outputs or 1000, **extra)

    def pretrained() -> tuple[nn.Module, Preprocessing, str]:
        entry = zoo.get_model_weights(name).DEFAULT
        return zoo.get_model(name, weights=entry), _from_torchvision(entry), f"torchvision {entry}"

    return ModelSpec(name, build, _from_torchvision(entries[0]), pretrained)


def _from_torchvision(entry: Any) -> Preprocessing:
    t = entry.transforms()
    return Preprocessing((t.crop_size[0],) * 2, t.resize_size[0], tuple(t.mean), tuple(t.std), t.interpolation.value)


def _timm_spec(name: str) -> ModelSpec:
    import difflib

    import timm
    from timm.data import resolve_data_config

    base = name.split(".")[0]
    if base not in (known := timm.list_models()):
        near = difflib.get_close_matches(base, known, 3)
        raise UserError(f"No timm model '{name}'{': did you mean ' + ' or '.join(near) + '?' if near else '.'}")
    config = resolve_data_config({}, pretrained_cfg=getattr(timm.get_pretrained_cfg(name, allow_unregistered=True), "__dict__", {}))
    size, square = tuple(config["input_size"][1:]), config.get("crop_mode") == "squash"
    resize = None if square else int(min(size) / config["crop_pct"])
    preprocessing = Preprocessing(size, resize, tuple(config["mean"]), tuple(config["std"]), config["interpolation"])

    def build(outputs: int | None) -> nn.Module:
        return timm.create_model(name, num_classes=outputs or 1000)

    def pretrained() -> tuple[nn.Module, Preprocessing, str]:
        return timm.create_model(name, pretrained=True), preprocessing, f"timm {name}"

    return ModelSpec(f"timm:{name}", build, preprocessing, pretrained)


def load(name: str, weights: str | Path | None = None, classes: tuple[str, ...] | None = None, device: str = "cpu") -> Classifier:
    """Load a network, ready to use: eval mode, channels_last, on the device.

    `weights`: a checkpoint file; without it the official weights are fetched. `classes` names the outputs of weights
    that do not name them. Raises UserError for unknown names, weights that do not fit or cannot be downloaded.
    """
    if weights is None and name in shipped():
        weights = shipped()[name]
    elif weights is None and Path(name).suffix in (".safetensors", ".pth", ".pt"):
        weights, name = name, ""
    classifier = _from_file(name, Path(weights), classes) if weights else _official(name)
    classifier.model.eval().to(_device(device)).to(memory_format=torch.channels_last)
    return classifier


def _device(name: str) -> torch.device:
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise UserError(f"No device '{name}' here ({str(error).splitlines()[0][:80]}): use --device cpu.") from error
    return device


def _official(name: str) -> Classifier:
    entry = spec(name)
    if entry.pretrained is None:
        made = [s for s in shipped() if s.startswith(f"{name}:")]
        raise UserError(f"{name} has no official weights: give --weights FILE{' or --model ' + ' or '.join(made) if made else ''}.")
    try:
        model, preprocessing, origin = entry.pretrained()
    except Exception as error:  # the hubs raise everything from URLError to their own kinds
        reason = type(error).__name__
        raise UserError(f"{name}: {OFFLINE.format(reason=reason)}") from error
    named = _output_names(int(model.state_dict()[checkpoints.head_key(model)].shape[0]))
    ids = wordnet_ids() if len(named) == 1000 else ()
    return Classifier(entry.name, model, named, preprocessing, origin, checkpoints.fingerprint(model), wordnet_ids=ids)


def _from_file(name: str, path: Path, classes: tuple[str, ...] | None) -> Classifier:
    state, about = checkpoints.read(path)
    if about.get("task") == "gaze":
        raise UserError(f"'{path}' predicts where people look, and classifies nothing: use it as --gaze-model of 'gaze evaluate'.")
    if name in shipped():
        name = about["architecture"]
    if not (name := name or about.get("architecture", "")):
        raise UserError(f"'{path}' does not say its architecture: add --model NAME (see python launch.py models).")
    if about.get("architecture") not in (None, ALIASES.get(name, name)):
        raise UserError(f"'{path}' holds a {about['architecture']}, not a {name}: use --model {about['architecture']}.")
    entry = spec(name)
    raw = about.get("preprocessing")
    preprocessing = Preprocessing.from_dict(raw) if raw else _preprocessing_of_file(entry, path)
    model, outputs = _built(entry, state, about.get("head"), preprocessing, len(about.get("classes", ())))
    checkpoints.fit(model, state, entry.name)
    named = tuple(about.get("classes", ())) or classes or _output_names(outputs or 1000)
    if outputs and len(named) != outputs:
        raise UserError(f"{len(named)} class names for {outputs} outputs of '{path}': name every output once.")
    shown = f"{entry.name}:{about['data']['name'].split('/')[0]}" if about.get("data") else entry.name
    ids = wordnet_ids() if named == imagenet_names() else ()
    origin = "shipped" if path.parent == WEIGHTS else str(path.resolve())
    return Classifier(shown, model, named, preprocessing, origin, checkpoints.fingerprint(model),
                      about.get("default_layer"), ids, about)  # fmt: skip


def _built(entry: ModelSpec, state: checkpoints.State, head: str | None, preprocessing: Preprocessing,
           outputs: int | None) -> tuple[nn.Module, int | None]:  # fmt: skip
    """The network that the parameters belong to, and how many outputs it has: as published, with as many outputs as the file's
    last layer, or with a `Head` of ours."""
    model = entry.build(None)
    if head and outputs:
        attach(model, head, outputs, preprocessing.size, preprocessing.channels)
        return model, outputs
    last = state.get(checkpoints.head_key(model))
    outputs = int(last.shape[0]) if last is not None else None
    if outputs and outputs != model.state_dict()[checkpoints.head_key(model)].shape[0]:
        model = entry.build(outputs)
    return model, outputs


def _preprocessing_of_file(entry: ModelSpec, path: Path) -> Preprocessing:
    """torchvision's newer weights want another resize than the first ones: its file names tell which these are."""
    if ":" in entry.name or entry.name in ARCHITECTURES:
        return entry.preprocessing
    from torchvision.models import get_model_weights

    for weights in get_model_weights(entry.name):
        if weights.url.rsplit("/", 1)[-1].split(".")[0] == path.name.split(".")[0]:
            return _from_torchvision(weights)
    return entry.preprocessing


def _output_names(outputs: int) -> tuple[str, ...]:
    return imagenet_names() if outputs == 1000 else tuple(f"class {i}" for i in range(outputs))


def wordnet_ids() -> tuple[str, ...]:
    """The 1000 WordNet ids of ImageNet-1k in the order of the outputs."""
    from timm.data import ImageNetInfo

    return tuple(ImageNetInfo().label_names())


def imagenet_names() -> tuple[str, ...]:
    """The 1000 names of ImageNet-1k; the few that two classes share carry their WordNet id."""
    from torchvision.models import MobileNet_V2_Weights

    plain = MobileNet_V2_Weights.IMAGENET1K_V1.meta["categories"]
    return tuple(n if plain.count(n) == 1 else f"{n} ({w})" for n, w in zip(plain, wordnet_ids(), strict=True))


def renamed(classifier: Classifier, classes: tuple[str, ...]) -> Classifier:
    """The same network with other names for its outputs."""
    return replace(classifier, classes=classes)
