"""What every kind of model implements, and what a network is built from."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor, nn

from models.classifier import Classifier
from models.errors import UserError
from models.inputs.options import PreprocessingOptions
from models.preprocessing import Preprocessing


class Build(Protocol):
    """Builds a network with new parameters. `outputs`: how many classes, None as published; `keys`: names of
    the parameters that will be loaded into it, None where they stay new."""

    def __call__(self, outputs: int | None, keys: Collection[str] | None = None) -> nn.Module: ...


Pretrained = tuple[nn.Module, Preprocessing, str]
"""A network with its official weights, its preprocessing, and where the weights come from."""


Told = PreprocessingOptions | Preprocessing | None
"""What a person says about the input, or what a run recorded."""


@dataclass(frozen=True)
class ModelSpec:
    """An architecture that can be built with new weights, for training or for the weights of a file.

    `owner`: whose default `preprocessing` is. `pretrained`: the network with official weights; None where
    there are none. `classes`: names of its outputs, empty where they are not known. `identify`: the
    preprocessing and the origin of a file that holds official weights, None for any other file. `adapt`:
    changes a network that was built for a checkpoint of Vitrine, by the checkpoint's description.
    `asks_input`: whether a person must say how images are prepared: `preprocessing` is no more than a start.
    `nearest`: from parameters that do not fit to one sentence about another architecture that they fit, or to
    empty text. `auxiliary`: the prefix of heads that only training uses. `code`: the hash of a
    person's own code that builds the network (`models.own_code.identity`).
    """

    name: str
    build: Build
    preprocessing: Preprocessing
    pretrained: Callable[[], Pretrained] | None = None
    owner: str = "Vitrine's"
    classes: tuple[str, ...] = ()
    identify: Callable[[Path], tuple[Preprocessing, str] | None] | None = None
    adapt: Callable[[nn.Module, dict[str, Any]], None] | None = None
    asks_input: bool = False
    nearest: Callable[[dict[str, Tensor]], str] | None = None
    auxiliary: str = ""
    code: Callable[[nn.Module], str] | None = None


class ModelSource(ABC):
    """One kind of model. A further kind is one subclass in a file of its own, and one entry in
    `models.registry.SOURCES`. `asks_input`: its networks do not say how images are prepared for them, so that
    `load` needs what a person says."""

    asks_input = False

    @abstractmethod
    def recognizes(self, name: str) -> bool:
        """Whether the text after `--model` names a model of this kind. It may look at a file of this name,
        and must not load it."""

    @abstractmethod
    def load(
        self, name: str, weights: Path | None, classes: tuple[str, ...] | None, told: Told = None
    ) -> Classifier:
        """The network on the CPU, in any mode. `weights`: a checkpoint file, None for the model's own;
        `classes`: names for outputs that have none; `told`: for kinds that `asks_input`. Raises UserError."""

    def spec(self, name: str) -> ModelSpec:
        """The architecture, for networks with new weights. Raises UserError where the kind has none."""
        raise UserError(f"'{name}' cannot be built with new weights: give the name of an architecture.")

    def listed(self) -> Iterator[tuple[str, str]]:
        """(name, one line about it) of the models to choose from."""
        return iter(())

    def names(self) -> Iterable[str]:
        """Every name that is known, for suggestions."""
        return [name for name, _ in self.listed()]
