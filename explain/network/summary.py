"""A network as a table: every layer in the order in which it runs, with output, parameters, cost and
receptive field."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from explain.network.hooks import watch
from explain.network.receptive_field import Field, ReceptiveFields
from explain.text_table import columns
from models.foreign.networks import require_layers


@dataclass(frozen=True)
class Layer:
    """`shape`: of its output for one image; `parameters`: its own; `macs`: multiply-adds of its weights and
    biases at all spatial positions; `zeros`: the fraction of zeros in its output for this image; `field`: its
    receptive field, None where it is not known. `shape` is empty where the layer did not run. Of a layer that
    `runs` several times, output and field are the last."""

    name: str
    alias: str
    kind: str
    shape: tuple[int, ...]
    parameters: int
    macs: int
    zeros: float | None
    field: Field | None
    runs: int = 1

    @property
    def is_passthrough(self) -> bool:
        """Whether it returns its input unchanged, outside of training."""
        return self.kind in ("Identity", "DropPath") or "Dropout" in self.kind

    @property
    def spatial(self) -> bool:
        return len(self.shape) == 3 and min(self.shape[1:]) > 1


def format_text(table: Sequence[Layer], zeros: bool) -> str:
    """The table for a terminal, without passthrough layers."""
    rows = [
        (
            "layer",
            "name",
            "kind",
            "output",
            "parameters",
            "multiply-adds",
            "receptive field",
            "zeros" if zeros else "",
        )
    ]
    for layer in table:
        if layer.is_passthrough:
            continue
        shape = "×".join(map(str, layer.shape)) or "did not run"
        fraction = f"{100 * layer.zeros:.0f} %" if zeros and layer.zeros is not None else ""
        numbers = format_count(layer.parameters), format_count(layer.macs), format_field(layer.field)
        rows.append((layer.name or "(network)", layer.alias, layer.kind, shape, *numbers, fraction))
    parameters, macs = sum(x.parameters for x in table), sum(x.macs for x in table)
    rows.append(("sum", "", "", "", format_count(parameters), format_count(macs), "", ""))
    return columns(rows, right=(4, 5, 7))


def format_field(field: Field | None) -> str:
    """'59 px, stride 16'; '3×5 px, stride 2×1' where rows and columns differ."""
    if field is None:
        return "not known"
    if field.size is None:
        return "the whole image"
    size, stride = (
        "×".join(f"{float(v):g}" for v in (pair if pair[0] != pair[1] else pair[:1]))
        for pair in (field.size, field.stride)
    )
    return f"{size} px, stride {stride}"


def format_count(value: int) -> str:
    """'3,747,448', or '' for 0."""
    return f"{value:,}" if value else ""


@dataclass
class _Record:
    shape: tuple[int, ...] = ()
    macs: int = 0
    zeros: float | None = None
    field: Field | None = None
    runs: int = 0


HOLDERS = (nn.ParameterDict, nn.ParameterList)


def layers(model: nn.Module, x: Tensor) -> list[Layer]:
    """Every layer in the order in which they begin, for an image `x` (1, C, H, W); those that did not run at
    the end. One forward pass.

    A layer is a module without children, or with weights of its own. The sum of parameters is the network's;
    shared weights count once. Receptive fields need every operation to be followed; where that fails, the
    rest of the table is complete.
    """
    require_layers(model, "The table of layers")
    own = {module: name for name, module in model.named_modules() if _is_layer(module)}
    image = x[:1].clone()
    try:
        with ReceptiveFields(image) as fields:
            records = _watched(model, image, own, fields)
    except Exception:  # an error of the network itself is raised again now
        records = _watched(model, image, own, None)
    names, known, table = aliases(list(records)), set[nn.Parameter](), list[Layer]()
    for module in [*records, *(m for m in own if m not in records)]:
        record, fresh = records.get(module, _Record()), set(_own_parameters(module)) - known
        known |= fresh
        table.append(
            Layer(
                own[module],
                names.get(module, ""),
                type(module).__name__,
                record.shape,
                sum(p.numel() for p in fresh),
                record.macs,
                record.zeros,
                record.field,
                record.runs,
            )
        )
    return table


def _is_layer(module: nn.Module) -> bool:
    if isinstance(module, HOLDERS):
        return False
    inner = [child for child in module.children() if not isinstance(child, HOLDERS)]
    return not inner or next(_own_parameters(module), None) is not None


def _own_parameters(module: nn.Module) -> Iterator[nn.Parameter]:
    """Those of the module itself, also in lists and dicts of parameters, which never run."""
    yield from module.parameters(recurse=False)
    for child in module.children():
        if isinstance(child, HOLDERS):
            yield from child.parameters()


def missing_information(table: Sequence[Layer]) -> str:
    """What is missing in the table of this network, as a sentence; '' where nothing is."""
    if not any(layer.shape for layer in table):
        return "No layer ran: a compiled or scripted network hides its layers, load the plain one."
    if not any(layer.field for layer in table):
        return (
            "The operations of this network cannot be followed, only its layers: receptive "
            "fields are not known."
        )
    return ""


def _watched(
    model: nn.Module, image: Tensor, own: dict[nn.Module, str], fields: ReceptiveFields | None
) -> dict[nn.Module, _Record]:
    records = dict[nn.Module, _Record]()

    def begins(module: nn.Module, _: Any) -> None:
        records.setdefault(module, _Record())

    watch(model, image, own, begins, lambda module, output: _record(records[module], module, output, fields))
    return records


def _record(record: _Record, module: nn.Module, output: Any, fields: ReceptiveFields | None) -> None:
    record.runs += 1
    output = output[0] if isinstance(output, list | tuple) and output else output
    if not isinstance(output, Tensor):
        return
    record.shape, record.field = tuple(output.shape[1:]), fields.of(output) if fields else None
    record.zeros = float((output == 0).float().mean()) if output.numel() else None
    record.macs += _macs(module, output)


def _macs(module: nn.Module, output: Tensor) -> int:
    """Of weights and biases, once for each position of a convolution or token of a linear layer."""
    count = (
        0
        if module._modules
        else sum(
            p.numel() for name, p in module.named_parameters(recurse=False) if name in ("weight", "bias")
        )
    )
    if isinstance(module, _ConvNd):
        return count * output[0, 0].numel()
    if isinstance(module, nn.Linear):
        return count * (output.numel() // output.shape[-1] // output.shape[0])
    return count


def aliases(modules: Sequence[nn.Module]) -> dict[nn.Module, str]:
    """Short names by kind and order: conv1, conv1_bn, conv1_relu, conv_dw_1 (depthwise), conv_pw_1
    (pointwise), dense1 ... The last layer with weights is 'preds'. Of MobileNet V1 they are the names that
    Keras gave them."""
    made, counts, last = dict[nn.Module, str](), Counter[str](), ""
    separable = any(_depthwise(m) for m in modules)
    weighted = [m for m in modules if isinstance(m, nn.Linear | _ConvNd)]
    for module in modules:
        if module in weighted:
            stem = _stem(module, separable)
            counts[stem] += 1
            made[module] = last = "preds" if module is weighted[-1] else f"{stem}{counts[stem]}"
        elif last and (end := _ending(module)):
            counts[name := f"{last}_{end}"] += 1
            made[module] = name if counts[name] == 1 else f"{name}{counts[name]}"
    return made


def _stem(module: nn.Module, separable: bool) -> str:
    if isinstance(module, nn.Linear):
        return "dense"
    if separable and _depthwise(module):
        return "conv_dw_"
    if separable and isinstance(module, nn.Conv2d) and module.kernel_size == (1, 1):
        return "conv_pw_"
    return "conv"


def _depthwise(module: nn.Module) -> bool:
    return isinstance(module, nn.Conv2d) and module.groups == module.in_channels > 1


def _ending(module: nn.Module) -> str:
    kind = type(module).__name__
    if "Norm" in kind:
        return "ln" if "Layer" in kind else "bn" if "Batch" in kind else "norm"
    if any(
        word in kind for word in ("ReLU", "GELU", "SiLU", "Hardswish", "Sigmoid", "Tanh", "Mish", "Softmax")
    ):
        return kind.rstrip("6").lower() if "ReLU" in kind else kind.lower()
    return "pool" if "Pool" in kind else "dropout" if "Drop" in kind else ""
