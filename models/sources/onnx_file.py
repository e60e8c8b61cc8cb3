"""ONNX files: scores alone, by ONNX Runtime (an optional package). Name, layout and size of the input are
read from the file."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from models.classifier import Classifier
from models.counts import counted
from models.errors import UserError
from models.extras import require_package
from models.foreign.networks import ForeignNetwork
from models.inputs.channels import BY_COUNT, READ
from models.layers.access import Access
from models.outputs.scores import NAMES
from models.preprocessing import Preprocessing
from models.sources.base import ModelSource, Told
from models.sources.foreign_file import classifier_of
from models.sources.torchscript import digest

_EXTERNAL = re.compile(r"external (data|initializer)", re.IGNORECASE)
"""In what ONNX Runtime says of a file whose parameters lie in another one."""
_QUOTED = re.compile(r'"([^"]+)"')


class OnnxNetwork(ForeignNetwork):
    """A session of ONNX Runtime. A file that was exported for one batch size gets batches of that size."""

    access: Access = "scores"
    what = "ONNX file"

    def __init__(self, session: Any):
        super().__init__()
        self.session = session
        entry = session.get_inputs()[0]
        shape = list(entry.shape)
        if len(shape) != 4:
            raise UserError(f"The ONNX file takes {shape}: images (N, channels, height, width) are needed.")
        self.name = str(entry.name)
        self.last = shape[1] not in BY_COUNT and shape[3] in BY_COUNT
        channels = shape[3 if self.last else 1]
        if isinstance(channels, int) and channels not in BY_COUNT:
            raise UserError(f"The ONNX file takes {counted(channels, 'channel')}, and {READ}.")
        self.channels = channels if isinstance(channels, int) else 3
        self.batch = shape[0] if isinstance(shape[0], int) else 0
        self.dtype = _floats(str(entry.type))
        sides = shape[1:3] if self.last else shape[2:4]
        self.size = (sides[0], sides[1]) if all(isinstance(s, int) for s in sides) else None
        self.register_buffer("place", torch.zeros(0))
        self.scores = _scores(session)

    def forward(self, x: Tensor) -> Tensor:
        images = x.detach().cpu().numpy()
        images = np.ascontiguousarray(images.transpose(0, 2, 3, 1) if self.last else images, self.dtype)
        parts = [images]
        if self.batch and len(images) != self.batch:
            short = -len(images) % self.batch
            padded = np.concatenate([images, np.repeat(images[-1:], short, axis=0)]) if short else images
            parts = np.split(padded, len(padded) // self.batch)
        scores = np.concatenate([self._run(part) for part in parts])[: len(images)]
        return torch.from_numpy(scores.astype(np.float32)).to(x.device)

    def _run(self, images: np.ndarray) -> np.ndarray:
        (scores,) = self.session.run([self.scores], {self.name: images})
        return np.asarray(scores).reshape(len(images), -1)

    def __deepcopy__(self, memo: Any) -> "OnnxNetwork":
        return self


def _floats(kind: str) -> Any:
    """The NumPy type of an input, 'tensor(float)' ... Raises UserError where it takes no floats."""
    known = {"tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(double)": np.float64}
    if kind not in known:
        raise UserError(
            f"The ONNX file takes {kind}, and images are given as normalized floats: export the network "
            "without the conversion from whole numbers, with an input of float32."
        )
    return known[kind]


def _scores(session: Any) -> str:
    """The output that holds the scores: by its name, or the only one (N, classes). Raises UserError where
    several may be meant."""
    outputs = {str(o.name): list(o.shape) for o in session.get_outputs() if "float" in o.type}
    named = [name for name in NAMES if name in outputs]
    rows = [name for name, shape in outputs.items() if len(shape) == 2]
    if not named and len({str(outputs[name][1]) for name in rows}) > 1:
        shapes = ", ".join(f"{name} {outputs[name]}" for name in rows[:5])
        raise UserError(f"The ONNX file has several outputs ({shapes}): call the scores '{NAMES[0]}'.")
    found = named or rows or list(outputs)
    if not found:
        raise UserError("The ONNX file has no output of floats: export the scores, before argmax.")
    return found[0]


class OnnxFile(ModelSource):
    """The path of an .onnx file."""

    asks_input = True

    def recognizes(self, name: str) -> bool:
        return Path(name).suffix.lower() == ".onnx"

    def load(
        self, name: str, weights: Path | None, classes: tuple[str, ...] | None, told: Told = None
    ) -> Classifier:
        path = Path(name).expanduser()
        if not path.is_file():
            raise UserError(f"No file '{name}': give the path of an .onnx file.")
        network = OnnxNetwork(_session(path))
        zeros, ones = (0.0,) * network.channels, (1.0,) * network.channels
        known = Preprocessing(network.size or (224, 224), None, zeros, ones)
        return classifier_of(
            network, name, weights, classes, told, known if network.size else None, digest(path)
        )


def _session(path: Path) -> Any:
    require_package("onnxruntime")
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = torch.get_num_threads()
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # of its own kinds, which are no subclasses of anything but Exception
        raise UserError(_refused(path, (str(error).splitlines() or [""])[0])) from error


def _refused(path: Path, reason: str) -> str:
    """One line about a file that ONNX Runtime does not load."""
    if not _EXTERNAL.search(reason.replace(str(path.parent), "")):
        short = reason.replace(str(path), "it")[:120]
        return f"'{path}' cannot be read as ONNX ({short}): is the file complete?"
    named = _QUOTED.search(reason)
    other = f"'{Path(named[1]).name}'" if named else f"another file, mostly '{path.name}.data'"
    return (
        f"'{path}' keeps its parameters in {other}, which is missing or not complete: put it where the "
        "export wrote it, beside this file, or export the network into one file (external_data=False)."
    )
