"""Keras files (.keras, .h5), by Keras 3 on its PyTorch backend (an optional package). They are loaded in safe
mode, which runs no code of the file. Images are channels last, and so are the layers' outputs."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from models.classifier import Classifier
from models.errors import UserError
from models.extras import require_package
from models.foreign.networks import ForeignNetwork
from models.inputs.channels import BY_COUNT
from models.layers.access import Access
from models.preprocessing import Preprocessing
from models.sources.base import ModelSource, Told
from models.sources.foreign_file import classifier_of
from models.sources.keras_layers import own_layers

SUFFIXES = (".keras", ".h5", ".hdf5")
HDF5 = b"\x89HDF\r\n\x1a\n"
"""How such files begin, as .h5 files of Keras."""
RESCALE = ("Rescaling", "Normalization")
"""Layers that prepare the pixels inside the network."""


class KerasNetwork(ForeignNetwork):
    """A Keras model for images (N, C, H, W); its layers are the modules of this one, under their names."""

    access: Access = "layers"
    what = "Keras file"
    network: Any
    channels_last = True
    """Of the layers' outputs (`models.layers.layout`)."""

    def __init__(self, network: Any):
        super().__init__()
        object.__setattr__(self, "network", network)  # no module of this one: its layers are
        for layer in filter(_runs, network.layers):
            self.add_module(layer.name.replace(".", "_"), _with_layers(layer))

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.network(x.permute(0, 2, 3, 1), training=False)
        return scores


class KerasFile(ModelSource):
    """A path."""

    asks_input = True

    def recognizes(self, name: str) -> bool:
        return Path(name).suffix.lower() in SUFFIXES

    def load(
        self, name: str, weights: Path | None, classes: tuple[str, ...] | None, told: Told = None
    ) -> Classifier:
        path = Path(name).expanduser()
        if not path.is_file():
            raise UserError(f"No file '{name}': give the path of a .keras or .h5 file.")
        network = _loaded(path)
        known = _known(network, path)
        made = classifier_of(KerasNetwork(network), name, weights, classes, told, known)
        inside = [layer.name for layer in network.layers if type(layer).__name__ in RESCALE]
        note = f"{inside[0]} prepares the pixels inside the network" if inside else ""
        return replace(made, notes=(*made.notes, *([note] if note else [])))


def _loaded(path: Path) -> Any:
    require_package("keras")
    os.environ.setdefault("KERAS_BACKEND", "torch")
    import keras

    if keras.backend.backend() != "torch":
        raise UserError(
            f"Keras runs on {keras.backend.backend()} here: set the environment variable KERAS_BACKEND=torch."
        )
    if not _is_whole(path):
        raise UserError(
            f"'{path}' holds parameters alone, without the network: in your own code, save the whole model "
            "with model.save('net.keras'), and give that."
        )
    try:
        return keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # everything from OSError to its own kinds
        if own := own_layers(path):
            raise UserError(
                f"'{path}' has layers with code of its own, which is not run: {', '.join(own[:3])}. Replace "
                "them by Keras layers, or give the network as ONNX: model.export('net.onnx', format='onnx')."
            ) from error
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:160]
        raise UserError(f"'{path}' cannot be read by Keras ({reason}): is the file complete?") from error


def _is_whole(path: Path) -> bool:
    """Whether a file has a network beside its parameters; True for one that is no HDF5."""
    with path.open("rb") as opened:
        if opened.read(len(HDF5)) != HDF5:
            return True
    require_package("h5py")
    import h5py

    with h5py.File(path) as file:
        return "model_config" in file.attrs


def _known(network: Any, path: Path) -> Preprocessing | None:
    """The size and channels of the input, where the file fixes them."""
    shape = getattr(network, "input_shape", None)
    if not isinstance(shape, tuple) or len(shape) != 4 or shape[3] not in BY_COUNT:
        raise UserError(
            f"'{path}' takes {shape}: one batch of images (N, height, width, 1 to 4 channels) is needed."
        )
    if None in shape[1:3]:
        return None
    zeros, ones = (0.0,) * shape[3], (1.0,) * shape[3]
    return Preprocessing((int(shape[1]), int(shape[2])), None, zeros, ones)


def _runs(layer: Any) -> bool:
    """Whether it is a layer that computes something: the place of the input is none."""
    return type(layer).__name__ != "InputLayer"


def _with_layers(layer: Any) -> nn.Module:
    """The layer; the layers within it are modules of it too, so that they can be found."""
    module: nn.Module = layer
    for inner in filter(_runs, getattr(layer, "layers", ())):
        nn.Module.add_module(module, inner.name.replace(".", "_"), _with_layers(inner))
    return module
