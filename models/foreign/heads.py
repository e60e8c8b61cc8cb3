"""A network that follows the parameters of a file: its head, its input channels and its auxiliary heads."""

from collections import OrderedDict

import torch
from torch import Tensor, nn

from models.checkpoints import head_key
from models.errors import UserError
from models.foreign.parameter_sets import State, current

Layer = dict[str, Tensor]
_CODE = "give the code that builds the network, --model net.py:build"


def follow_head(model: nn.Module, state: State) -> int | None:
    """Replace the head by the one of the file, where the file has another in its place: a linear layer,
    behind layers without parameters or a batch norm. `state`: `aligned` with the model. Returns its number of
    outputs; None where the head is the model's own. Raises UserError where the file does not say what the
    head computes."""
    place = _replaced(model, state)
    if place is None:
        return None
    prefix = f"{place}."
    layers: dict[str, Layer] = {}
    for key, tensor in state.items():
        if key.startswith(prefix):
            name, _, parameter = key.removeprefix(prefix).rpartition(".")
            layers.setdefault(name, {})[parameter] = tensor
    head = _head(place, layers)
    model.set_submodule(place, head.train(model.training))
    return int([m for m in head.modules() if isinstance(m, nn.Linear)][-1].out_features)


def _replaced(model: nn.Module, state: State) -> str | None:
    """The innermost module around the last linear layer whose parameters alone differ from the file's."""
    own = {key for key in model.state_dict() if not key.endswith("num_batches_tracked")}
    keys = {key for key in state if not key.endswith("num_batches_tracked")}
    place = head_key(model).removesuffix(".weight")
    while place and own != keys:
        outside = [{k for k in names if not k.startswith(f"{place}.")} for names in (own, keys)]
        inside = any(k.startswith(f"{place}.") for k in keys)
        if outside[0] == outside[1] and inside:
            replaceable = isinstance(model.get_submodule(place), nn.Linear | nn.Sequential)
            return place if replaceable else None
        place = place.rpartition(".")[0]
    return None


def _head(place: str, layers: dict[str, Layer]) -> nn.Module:
    kinds = {name: _kind(layer) for name, layer in layers.items()}
    names = list(layers)
    if kinds == {"": "linear"}:
        return _linear(layers[""])
    if list(kinds.values()) == ["linear"] and "." not in names[0]:
        name = names[0]
        current().note(
            f"head {place}: a linear layer, {place}.{name}; layers without parameters beside it are taken "
            "for dropout"
        )
        before = [(str(i), nn.Identity()) for i in range(int(name))] if name.isdecimal() else []
        return nn.Sequential(OrderedDict([*before, (name, _linear(layers[name]))]))
    adjacent = all(n.isdecimal() for n in names) and [int(n) for n in names] == [0, 1]
    if list(kinds.values()) == ["norm", "linear"] and adjacent:
        norm = nn.BatchNorm1d(len(layers[names[0]]["running_mean"]), affine="weight" in layers[names[0]])
        current().note(f"head {place}: batch norm (eps {norm.eps:g} assumed) and a linear layer")
        return nn.Sequential(norm, _linear(layers[names[1]]))
    shown = ", ".join(
        f"{place}.{n} {tuple(t['weight'].shape) if 'weight' in t else ''}" for n, t in layers.items()
    )
    raise UserError(
        f"The head of these weights, {place}, has {len(layers)} layers with parameters ({shown[:160]}), and "
        f"they do not say what lies between them: {_CODE}."
    )


def _kind(layer: Layer) -> str:
    if set(layer) <= {"weight", "bias"} and "weight" in layer and layer["weight"].ndim == 2:
        return "linear"
    return "norm" if "running_mean" in layer and "running_var" in layer else "other"


def _linear(layer: Layer) -> nn.Linear:
    rows, columns = layer["weight"].shape
    return nn.Linear(columns, rows, bias="bias" in layer)


def require_forward(model: nn.Module, channels: int, size: tuple[int, int], name: str) -> None:
    """Raises UserError where a head of the file does not fit what the network gives it."""
    training = model.training
    try:
        with torch.inference_mode():
            answer = model.eval()(torch.zeros(1, channels, *size))
        fits = isinstance(answer, Tensor) and answer.ndim == 2
        reason = "" if fits else "the output is no row of scores"
    except (RuntimeError, ValueError, TypeError, AttributeError) as error:
        reason = str(error).splitlines()[0][:100]
    finally:
        model.train(training)
    if reason:
        raise UserError(f"The head of these weights does not fit {name} ({reason}): {_CODE}.")


def follow_channels(model: nn.Module, state: State) -> int | None:
    """Give the first convolution the input channels that the file's has. Returns their number, or None where
    it is the model's own."""
    first = next(((n, m) for n, m in model.named_modules() if isinstance(m, nn.Conv2d)), None)
    if first is None or first[1].groups != 1 or f"{first[0]}.weight" not in state:
        return None
    name, convolution = first
    kernel, own = state[f"{name}.weight"], convolution.weight
    channels = int(kernel.shape[1]) if kernel.ndim == 4 else own.shape[1]
    if channels == own.shape[1] or (kernel.shape[0], *kernel.shape[2:]) != (own.shape[0], *own.shape[2:]):
        return None
    convolution.in_channels = channels
    convolution.weight = nn.Parameter(own.new_empty(kernel.shape))
    if hasattr(model, "transform_input"):
        model.transform_input = False  # type: ignore[assignment] # rescales red, green and blue
    return channels


def follow_auxiliary(model: nn.Module, state: State, prefix: str) -> None:
    """Give heads that only training uses as many outputs as the file's have: often they are left as they
    were."""
    for name, module in list(model.named_modules()):
        rows = state.get(f"{name}.weight")
        if not (name.startswith(prefix) and isinstance(module, nn.Linear)):
            continue
        if rows is not None and rows.shape[1:] == (module.in_features,) and len(rows) != module.out_features:
            model.set_submodule(name, nn.Linear(module.in_features, len(rows), module.bias is not None))
