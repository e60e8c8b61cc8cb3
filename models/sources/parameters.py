"""A network filled with the parameters of a file: how many outputs it has, what they are called, and what the
network is fed."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import nn

from models import checkpoints
from models.classes.given_names import must_differ, must_name_all
from models.classes.imagenet import imagenet_names, wordnet_ids
from models.classes.names import unnamed
from models.classifier import Classifier
from models.counts import counted
from models.errors import UserError
from models.foreign import heads
from models.foreign.named_architecture import suggested
from models.foreign.parameter_sets import current
from models.inputs.channels import BY_COUNT, READ, has_alpha
from models.inputs.options import PreprocessingOptions
from models.layers.heads import attach
from models.outputs.one_logit import two_sided
from models.outputs.scores import as_told
from models.outputs.task_names import AFFECT, MULTI, REGRESSION
from models.preprocessing import Preprocessing
from models.shipped import WEIGHTS
from models.sources.asked import example_of
from models.sources.base import ModelSpec, Told

Official = tuple[Preprocessing, str] | None
"""Preprocessing and origin of a file of official weights; None for any other file."""


def read_classifier(path: Path) -> tuple[checkpoints.State, dict[str, Any]]:
    """Parameters and description (empty for a foreign file) of a checkpoint. Raises UserError for a file that
    cannot be read, or holds no classifier."""
    state, about = checkpoints.read(path)
    if about.get("task") == "gaze":
        raise UserError(
            f"'{path}' predicts where people look and is no classifier: use it as --gaze-model of 'gaze "
            "evaluate'."
        )
    return state, about


def from_file(spec: ModelSpec, path: Path, classes: tuple[str, ...] | None, told: Told = None) -> Classifier:
    """`filled` with what the file holds."""
    return filled(spec, path, *read_classifier(path), classes, told)


def filled(
    spec: ModelSpec,
    path: Path,
    state: checkpoints.State,
    about: dict[str, Any],
    classes: tuple[str, ...] | None,
    told: Told = None,
) -> Classifier:
    """The network of `spec` with the parameters of a checkpoint, ours or foreign. `told`: about its input.
    Raises UserError where the file holds another architecture, does not fit, takes other channels than images
    are known to be prepared for, or names its outputs otherwise than `classes`."""
    _check_architecture(about, spec, path)
    official = None if about or spec.identify is None else spec.identify(path)
    preprocessing, preprocessing_from = _preprocessing(spec, path, about, official)
    model, outputs, channels = _built(spec, state, about, preprocessing)
    _fit(model, spec, state, about)
    if not about:
        _note_other_architecture(spec.name)
        preprocessing, preprocessing_from = _for_channels(
            channels, preprocessing, preprocessing_from, told, path
        )
    task = _task(about) or current().task_by_loss(outputs)
    one = outputs == 1 and (current().task or task) != REGRESSION
    model, note = (two_sided if one else as_told)(model.eval(), example_of(preprocessing))
    names = _class_names(spec, path, about, classes, model, 2 if one else outputs or 1000, official)
    return Classifier(
        f"{spec.name}:{about['data']['name'].split('/')[0]}" if about.get("data") else spec.name,
        model,
        names,
        preprocessing,
        "shipped" if path.parent == WEIGHTS else str(path.resolve()),
        checkpoints.fingerprint(model),
        about.get("default_layer"),
        wordnet_ids() if len(names) == 1000 and names == imagenet_names() else (),
        about,
        preprocessing_from,
        notes=(note,) if note else (),
        code=spec.code(model) if spec.code else "",
        task=task,
    )


def _fit(model: nn.Module, spec: ModelSpec, state: checkpoints.State, about: dict[str, Any]) -> None:
    checkpoints.fit(model, state, spec.name, lambda: spec.nearest(state) if spec.nearest else "")
    if about and spec.adapt:
        spec.adapt(model, about)


def _task(about: dict[str, Any]) -> str:
    """The task that a checkpoint of ours names."""
    return {AFFECT: REGRESSION, REGRESSION: REGRESSION, MULTI: MULTI}.get(about.get("task", ""), "")


def _check_architecture(about: dict[str, Any], spec: ModelSpec, path: Path) -> None:
    """Raises UserError where a checkpoint of ours names another architecture."""
    if (named := about.get("architecture")) not in (None, spec.name):
        raise UserError(f"'{path}' holds a {named}, not a {spec.name}: use --model {named}.")


def _note_other_architecture(name: str) -> None:
    if named := suggested(name):
        current().note(
            f"the file names the architecture {named[0].removeprefix('timm:')}, and its parameters fit "
            f"{name} too: --model {named[0]} if that is the one"
        )


def _built(
    spec: ModelSpec,
    state: checkpoints.State,
    about: dict[str, Any],
    preprocessing: Preprocessing,
) -> tuple[nn.Module, int | None, int | None]:
    """The network that the parameters belong to, how many outputs it has: as published, with as many outputs
    as the file's last layer, or with a `Head` (`models.layers.heads`); and how many input channels, where the
    file has others than the network as published."""
    model = spec.build(None, state.keys())
    head, named = about.get("head"), len(about.get("classes", ()))
    if head and named:
        attach(model, head, named, preprocessing.size, preprocessing.channels)
        return model, named, None
    state = checkpoints.aligned(state, model.state_dict())
    channels = heads.follow_channels(model, state)
    if outputs := heads.follow_head(model, state):
        heads.require_forward(model, channels or preprocessing.channels, preprocessing.size, spec.name)
    else:
        last = state.get(checkpoints.head_key(model))
        outputs = int(last.shape[0]) if last is not None else None
        if outputs and outputs != model.state_dict()[checkpoints.head_key(model)].shape[0]:
            model = spec.build(outputs, state.keys())
            heads.follow_channels(model, state)
    if spec.auxiliary:
        heads.follow_auxiliary(model, state, spec.auxiliary)
    return model, outputs, channels


def _for_channels(
    channels: int | None, preprocessing: Preprocessing, origin: str, told: Told, path: Path
) -> tuple[Preprocessing, str]:
    """The preprocessing for as many channels as the first convolution of the file takes (None: as
    published). Raises UserError where mean and std of other channels than red, green and blue are not
    told."""
    if channels in (None, preprocessing.channels):
        return preprocessing, origin
    if channels not in BY_COUNT:
        raise UserError(
            f"'{path}' takes {counted(channels, 'channel')} (its first convolution), and {READ}: give "
            "weights of one of these."
        )
    given = told.given if isinstance(told, PreprocessingOptions) else []
    known = isinstance(told, Preprocessing) or {"--mean", "--std"} <= {*given} or "--preprocess" in given
    color = f"--channels {BY_COUNT[channels]} " if has_alpha(channels) and "--channels" not in given else ""
    if not known:
        also = f"{color.strip()}, " if color else ""
        raise UserError(
            f"'{path}' takes {channels} channel{'s' if channels > 1 else ''} (its first convolution), and "
            f"mean and std of its training are not known: add {also}--mean and --std, as {color}--mean 0.5 "
            "--std 0.5."
        )
    if color and isinstance(told, PreprocessingOptions) and "--preprocess" not in given:
        current().note(
            f"its first convolution takes {counted(channels, 'channel')}: images are read as "
            f"{BY_COUNT[channels]} ({color.strip()})"
        )
    return replace(preprocessing, mean=(0.0,) * channels, std=(1.0,) * channels), origin


def _class_names(
    spec: ModelSpec,
    path: Path,
    about: dict[str, Any],
    given: tuple[str, ...] | None,
    model: nn.Module,
    outputs: int,
    official: Official,
) -> tuple[str, ...]:
    """Of every output: as the file names them, as the user does, or as is known of the architecture."""
    stored = tuple(about.get("classes", ()))
    if given and stored and stored != given:
        raise UserError(
            f"'{path}' names its outputs itself ({', '.join(stored[:4])} ...): leave --class-names out."
        )
    known = imagenet_names() if official and outputs == 1000 else spec.classes
    names = stored or given or (known if len(known) == outputs else unnamed(outputs))
    must_name_all(names, model, outputs, f"'{path}'")
    must_differ(names, f"'{path}'")
    return names


def _preprocessing(
    spec: ModelSpec, path: Path, about: dict[str, Any], official: Official
) -> tuple[Preprocessing, str]:
    """What the file says of its input, or what can be assumed; and one phrase about its origin."""
    if raw := about.get("preprocessing"):
        origin = "shipped with the weights" if path.parent == WEIGHTS else f"from '{path.name}'"
        return Preprocessing.from_dict(raw), origin
    if official:
        return official[0], f"from {official[1]}"
    return spec.preprocessing, f"assumed: {spec.owner} default for {spec.name.removeprefix('timm:')}"
