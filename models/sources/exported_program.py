"""Files of `torch.export` (.pt2), unflattened into modules, so that hooks work."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import UnflattenedModule

from models.classifier import Classifier
from models.errors import UserError
from models.foreign.networks import ForeignNetwork
from models.layers.access import Access
from models.sources.base import ModelSource, Told
from models.sources.exported_check import safe_copy
from models.sources.foreign_file import classifier_of
from models.sources.torchscript import entries

TRAINING = {"torch.ops.aten.batch_norm.default": "training", "torch.ops.aten.dropout.default": "train"}
"""Operators that compute otherwise while training, and the argument that says so."""


class ExportedNetwork(ForeignNetwork, UnflattenedModule):
    """What `torch.export.unflatten` gives."""

    access: Access = "layers"
    what = "exported program"


class FixedBatch(ForeignNetwork):
    """A network that was exported for `size` images at a time: it runs several times for a batch, so its
    layers are not to be had."""

    access: Access = "gradients"

    def __init__(self, network: nn.Module, size: int):
        super().__init__()
        self.network, self.size = network, size
        self.what = f"file, exported for {size} image{'s' if size > 1 else ''} at a time,"

    def forward(self, x: Tensor) -> Tensor:
        short = -len(x) % self.size
        padded = torch.cat([x, x[-1:].expand(short, -1, -1, -1)]) if short else x
        return torch.cat([self.network(part) for part in padded.split(self.size)])[: len(x)]


class ExportedProgramFile(ModelSource):
    """A path: .pt2, or an archive that holds `models/model.json`."""

    asks_input = True

    def recognizes(self, name: str) -> bool:
        path = Path(name)
        return path.suffix.lower() == ".pt2" or any(e.endswith("/models/model.json") for e in entries(path))

    def load(
        self, name: str, weights: Path | None, classes: tuple[str, ...] | None, told: Told = None
    ) -> Classifier:
        path = Path(name).expanduser()
        if not path.is_file():
            raise UserError(f"No file '{name}': give the path of a .pt2 file.")
        copy, program = safe_copy(path)
        _require_inference(program, path)
        network = _module(copy, path)
        size = _batch(program)
        return classifier_of(FixedBatch(network, size) if size else network, name, weights, classes, told)


def _module(copy: Any, path: Path) -> nn.Module:
    try:
        program = torch.export.load(copy)
        return _with_kinds(torch.export.unflatten(program), program)
    except Exception as error:  # of another version of PyTorch, or damaged
        reason = (str(error).splitlines() or [""])[0][:120]
        raise UserError(
            f"'{path}' cannot be read as an exported program ({type(error).__name__}: {reason}): export it "
            f"with this PyTorch ({torch.__version__})."
        ) from error


def _with_kinds(network: nn.Module, program: Any) -> nn.Module:
    """The modules are called what they were before the export: Conv2d, Linear ... Layers are chosen by
    that."""
    kinds = {
        path: str(kind).rpartition(".")[2]
        for node in program.graph.nodes
        for path, kind in (node.meta.get("nn_module_stack") or {}).values()
    }
    network.__class__ = ExportedNetwork
    for path, module in network.named_modules():
        name = kinds.get(path.replace("L['self'].", ""), "")
        if path and name.isidentifier():
            module.__class__ = type(name, (type(module),), {})
    return network


def _require_inference(program: dict[str, Any], path: Path) -> None:
    """Raises UserError for a network that was exported while training."""
    for node in program["graph_module"]["graph"]["nodes"]:
        switch = TRAINING.get(node["target"])
        if switch and any(i["name"] == switch and i["arg"].get("as_bool") for i in node["inputs"]):
            raise UserError(
                f"'{path}' was exported in training mode: call model.eval() before torch.export.export."
            )


def _batch(program: dict[str, Any]) -> int:
    """How many images the network takes at a time; 0 where any number."""
    graph = program["graph_module"]["graph"]
    names = [
        i["user_input"]["arg"]["as_tensor"]["name"]
        for i in program["graph_module"]["signature"]["input_specs"]
        if "user_input" in i
    ]
    first = graph["tensor_values"][names[0]]["sizes"][0] if names else {}
    return int(first.get("as_int", 0))
