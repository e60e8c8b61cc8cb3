"""TorchScript files (`torch.jit.save`): the graph of a network without its Python code. `torch.jit.load` does
not unpickle. Hooks do not run inside, so gradients of the image are to be had, and layers are not."""

import hashlib
import warnings
import zipfile
from pathlib import Path

import torch
from torch import Tensor, nn

from models.classifier import Classifier
from models.errors import UserError
from models.foreign.networks import ForeignNetwork
from models.layers.access import Access
from models.sources.base import ModelSource, Told
from models.sources.foreign_file import classifier_of


class ScriptedNetwork(ForeignNetwork):
    """`network`: what `torch.jit.load` returns."""

    access: Access = "gradients"
    what = "TorchScript file"

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.network(x)
        return scores


class TorchScriptFile(ModelSource):
    """A path. The archive holds `code/` beside its tensors."""

    asks_input = True

    def recognizes(self, name: str) -> bool:
        return is_torchscript(Path(name))

    def load(
        self, name: str, weights: Path | None, classes: tuple[str, ...] | None, told: Told = None
    ) -> Classifier:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", FutureWarning)  # deprecated in favor of torch.export
                network = torch.jit.load(name, map_location="cpu")
        except (RuntimeError, ValueError) as error:
            raise UserError(f"'{name}' cannot be read as TorchScript: is the file complete?") from error
        return classifier_of(ScriptedNetwork(network.eval()), name, weights, classes, told)


def is_torchscript(path: Path) -> bool:
    return any("/code/" in entry for entry in entries(path)) and any(
        entry.endswith("/constants.pkl") for entry in entries(path)
    )


def entries(path: Path) -> list[str]:
    """Names within a zip archive; none for any other file."""
    if not path.is_file() or not zipfile.is_zipfile(path):
        return []
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.namelist()
    except (OSError, zipfile.BadZipFile):
        return []


def digest(path: Path) -> str:
    """16 hex digits of the file's contents."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]
