"""torchvision's classifiers by their names."""

import hashlib
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Any

from torch import nn

from models.foreign.parameter_sets import State
from models.preprocessing import Preprocessing
from models.sources.architecture import ArchitectureSource
from models.sources.base import ModelSpec, Pretrained
from models.sources.nearest import nearest
from models.sources.unfilled import unfilled

FEATURED = ("mobilenet_v2", "resnet50", "vgg16", "alexnet")
AUXILIARY = {"googlenet": "aux", "inception_v3": "AuxLogits"}
"""The two networks with heads that only training uses, and the prefix of those heads' parameters."""


class TorchvisionModels(ArchitectureSource):
    """`resnet50`, `mobilenet_v2` ...: every classifier that torchvision lists."""

    def recognizes(self, name: str) -> bool:
        return name in self.names()

    def names(self) -> Iterable[str]:
        from torchvision import models as zoo

        return list(zoo.list_models(module=zoo))

    def listed(self) -> Iterator[tuple[str, str]]:
        for name in FEATURED:
            yield name, "torchvision, ImageNet; weights are downloaded, or --weights FILE"

    def spec(self, name: str) -> ModelSpec:
        from torchvision import models as zoo

        def pretrained() -> Pretrained:
            entry = zoo.get_model_weights(name).DEFAULT
            return (
                zoo.get_model(name, weights=entry),
                preprocessing_of(entry),
                f"torchvision {entry}",
            )

        def build(outputs: int | None, keys: Collection[str] | None = None) -> nn.Module:
            return _built(name, outputs, keys)

        def identify(path: Path) -> tuple[Preprocessing, str] | None:
            entry = official_weights(name, path)
            return (preprocessing_of(entry), f"torchvision {entry}") if entry else None

        first = next(iter(zoo.get_model_weights(name)))
        return ModelSpec(
            name,
            build,
            preprocessing_of(first),
            pretrained,
            "torchvision's",
            identify=identify,
            adapt=_rescale_as_trained if name in AUXILIARY else None,
            nearest=lambda state: _nearest(name, state),
            auxiliary=AUXILIARY.get(name, ""),
        )


def preprocessing_of(entry: Any) -> Preprocessing:
    """What torchvision's weights are fed, from their transforms."""
    t = entry.transforms()
    return Preprocessing(
        (t.crop_size[0],) * 2, t.resize_size[0], tuple(t.mean), tuple(t.std), t.interpolation.value
    )


def official_weights(name: str, path: Path) -> Any | None:
    """The entry of torchvision's weights of the network `name` that the file holds: by its name, and by the
    checksum that the name contains; None for any other file."""
    from torchvision.models import get_model_weights

    for weights in get_model_weights(name):
        file_name = weights.url.rsplit("/", 1)[-1]
        if path.name == file_name:
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            return weights if digest.startswith(Path(file_name).stem.rpartition("-")[2]) else None
    return None


def _built(name: str, outputs: int | None, keys: Collection[str] | None) -> nn.Module:
    from torchvision import models as zoo

    options: dict[str, Any] = {}
    if name in AUXILIARY:  # rescales its input as the pretrained ones; extra heads where the file has them
        auxiliary = any(f".{AUXILIARY[name]}" in f".{key}" for key in keys or ())
        options = {"init_weights": False, "transform_input": True, "aux_logits": auxiliary}
    with unfilled(keys):
        return zoo.get_model(name, weights=None, num_classes=outputs or 1000, **options)


def _nearest(name: str, state: State) -> str:
    """Families share a file of torchvision."""
    from torchvision import models as zoo

    def module_of(other: str) -> str:
        return str(zoo.get_model_builder(other).__module__)

    family = [other for other in zoo.list_models(module=zoo) if module_of(other) == module_of(name)]
    return nearest(name, family, lambda other: _built(other, None, state.keys()), state)


def _rescale_as_trained(model: nn.Module, about: dict[str, Any]) -> None:
    """Whether the network rescales its own input: as in its training, which began with pretrained weights, or
    with random ones as torchvision builds them."""
    fine_tuned = about.get("training", {}).get("recipe") != "scratch"
    model.transform_input = about.get("transform_input", fine_tuned)
