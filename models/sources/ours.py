"""Networks of Vitrine's own (`fer_vgg` ...), and the checkpoints that come with it (`fer_vgg:toon_faces`
...)."""

from collections.abc import Collection, Iterator
from dataclasses import replace
from pathlib import Path

from torch import nn

from models import checkpoints
from models.architectures.classifiers import ARCHITECTURES
from models.classifier import Classifier
from models.preprocessing import UNIT
from models.shipped import shipped
from models.sources.architecture import ArchitectureSource
from models.sources.base import ModelSpec, Told
from models.sources.parameters import from_file
from models.sources.unfilled import unfilled

OUTPUTS = 8  # of a network that is built for no data: the eight expressions


class OwnArchitectures(ArchitectureSource):
    """The names in `models.architectures.classifiers.ARCHITECTURES`. They have no official weights."""

    def recognizes(self, name: str) -> bool:
        return name in ARCHITECTURES

    def listed(self) -> Iterator[tuple[str, str]]:
        for name in ARCHITECTURES:
            yield name, "architecture of Vitrine; give --weights FILE, or train it"

    def spec(self, name: str) -> ModelSpec:
        def build(outputs: int | None, keys: Collection[str] | None = None) -> nn.Module:
            with unfilled(keys):
                return ARCHITECTURES[name](outputs or OUTPUTS)

        return ModelSpec(name, build, replace(UNIT, size=(ARCHITECTURES[name].side,) * 2))


class ShippedCheckpoints(OwnArchitectures):
    """`ARCHITECTURE:DATA`: an architecture of Vitrine with trained weights."""

    def recognizes(self, name: str) -> bool:
        return name in shipped()

    def listed(self) -> Iterator[tuple[str, str]]:
        for name, path in shipped().items():
            about = checkpoints.describe(path)
            accuracy = about["metrics"]["test_accuracy"]
            yield name, f"shipped; {len(about['classes'])} classes, test accuracy {100 * accuracy:.1f} %"

    def spec(self, name: str) -> ModelSpec:
        return super().spec(name.split(":")[0])

    def load(
        self, name: str, weights: Path | None, classes: tuple[str, ...] | None, told: Told = None
    ) -> Classifier:
        made = from_file(self.spec(name), weights or shipped()[name], classes, told)
        return made if weights else replace(made, name=name)  # several may be trained on the same data
