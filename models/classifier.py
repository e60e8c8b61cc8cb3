"""A loaded network with its preprocessing and the names of its classes."""

import itertools
from dataclasses import dataclass, field
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn

from models.domains import domain_of
from models.foreign.networks import access_of
from models.layers.access import Access
from models.outputs.kinds import recorded
from models.preprocessing import Preprocessing, stack

ONE_OUTPUT = (
    "{name} has one output, which is not read as two classes yet: make the Classifier with "
    "models.registry.load or vitrine.wrap."
)


@dataclass(frozen=True, eq=False)
class Classifier:
    """`model` is in eval mode; `weights`: where its parameters come from; `weights_hash`: their fingerprint;
    `preprocessing_from`: where `preprocessing` comes from, one phrase. `options`: command-line options that
    reproduce the preprocessing, where it differs from what `models.registry.load` finds; `renamed`: whether
    the classes differ from it. `source`: what `load` takes for the network, where that is not its `name`;
    `notes`: what was found out about it, a line each; `which`: the set of parameters that was read, of a file
    with several; `names_from`: where a person gave the names of the outputs (a file's name, `classes=`);
    `code`: a hash of the person's own code that builds it (`models.own_code.identity`), empty for networks
    without; `task`: one of `models.outputs.task.TASKS`, empty where nothing says so."""

    name: str
    model: nn.Module
    classes: tuple[str, ...]
    preprocessing: Preprocessing
    weights: str
    weights_hash: str
    default_layer: str | None = None
    wordnet_ids: tuple[str, ...] = ()
    metadata: dict[str, Any] = field(default_factory=dict)
    preprocessing_from: str = ""
    options: tuple[str, ...] = ()
    renamed: bool = False
    source: str = ""
    notes: tuple[str, ...] = ()
    which: str = ""
    names_from: str = ""
    code: str = ""
    task: str = ""

    @property
    def access(self) -> Access:
        """How much of the network can be reached."""
        return access_of(self.model)

    @property
    def domain(self) -> str:
        """One of `models.domains.DOMAINS`; empty where neither its file nor its name says one."""
        return domain_of(self.metadata, self.name if self.weights == "shipped" else "")

    @property
    def output_kind(self) -> str:
        """What a run has to name of how the outputs are read; empty where that is found out."""
        return recorded(self.model)

    @property
    def device(self) -> torch.device:
        return self._tensor.device

    @property
    def dtype(self) -> torch.dtype:
        return self._tensor.dtype

    @property
    def _tensor(self) -> Tensor:
        """One that the network computes with."""
        return next(itertools.chain(self.model.parameters(), self.model.buffers()))

    @property
    def transform_input(self) -> bool | None:
        """Whether the network rescales its own input, as torchvision's pretrained Inception v3 and GoogLeNet
        do; None for all others."""
        return getattr(self.model, "transform_input", None)

    @property
    def input_described(self) -> str:
        """One line: the preprocessing, and where it comes from."""
        inside = {
            None: "",
            True: ", rescaled inside the network (transform_input)",
            False: ", not rescaled inside the network",
        }
        source = f" ({self.preprocessing_from})" if self.preprocessing_from else ""
        return f"{self.preprocessing.described}{inside[self.transform_input]}{source}"

    @property
    def input_size(self) -> tuple[int, int]:
        return self.preprocessing.size

    @property
    def mean(self) -> tuple[float, ...]:
        return self.preprocessing.mean

    @property
    def std(self) -> tuple[float, ...]:
        return self.preprocessing.std

    @property
    def channels(self) -> int:
        return self.preprocessing.channels

    def batch(self, images: list[Image.Image]) -> Tensor:
        """Images -> normalized float32 input (N, C, h, w) on the model's device."""
        return self.preprocessing.normalize(
            stack([self.preprocessing.tensor(i) for i in images]), self.device
        )
