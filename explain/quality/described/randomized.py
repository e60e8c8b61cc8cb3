"""Copies of a network with new random weights: a map that is the same for them does not depend on what the
network has learned (Adebayo et al. 2018, arXiv:1810.03292)."""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from copy import deepcopy
from itertools import count
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from explain.network.hooks import logits, watch
from explain.network.model_state import as_found
from models.errors import UserError
from models.foreign.networks import require_access

IMAGES = 16
"""Of so many images batch norms get their statistics."""
INSTEAD = "use the measures that need no random weights, such as insertion and deletion"


class RandomizedStep(NamedTuple):
    """`fraction` of the layers with weights that are random in `network`, counted from the output; `layer`:
    the one of them that runs first, '' for parameters of the network itself, such as a class token."""

    fraction: float
    layer: str
    network: nn.Module


def randomized(model: nn.Module, seed: int = 0, x: Tensor | None = None) -> nn.Module:
    """A copy of `model` whose weights are drawn anew. The model is left as it was, also after an error; the
    same seed gives the same weights, and the global random state is not used up.

    Every layer is initialized as PyTorch does it, by its `reset_parameters` (as in Quantus); parameters of
    layers without one are permuted, which keeps their mean and deviation, and single numbers stay. Batch
    norms get weight 1 and bias 0. `x` (N, C, H, W): images whose statistics the batch norms get, as at the
    start of a training; without them mean 0 and variance 1, and the signal fades in deep networks (about
    1e-10 of a logit behind MobileNetV2).

    Raises UserError for a network that cannot be copied, and for one whose answers to `x` do not depend on
    its parameters.
    """
    return _with_random(model, layers_with_weights(model), seed, x)


def randomized_from_the_top(
    model: nn.Module, x: Tensor, steps: int = 5, seed: int = 0
) -> Iterator[RandomizedStep]:
    """Copies of `model` in which ever more layers are random, from the output to the input (cascading
    randomization), in `steps` groups of equally many layers, or one for each layer where there are fewer.

    `x` (N, C, H, W): images for the statistics of batch norms; the first gives the order of the layers. A
    layer has the same weights in each copy that it is random in; the last copy is `randomized(model, seed,
    x)`. Every copy is a network of its own. Raises UserError as `randomized` does.
    """
    require_access(model, "modules", "A network with random weights", INSTEAD)
    if steps < 1:
        raise UserError(f"{steps} steps: give 1 or more.")
    order = forward_order(model, x)[::-1]
    groups = min(steps, len(order)) or 1
    for group in range(1, groups + 1):
        done = order[: -(-len(order) * group // groups)]
        network = _with_random(model, done, seed, x)
        yield RandomizedStep(len(done) / len(order), done[-1], network)


def layers_with_weights(model: nn.Module) -> list[str]:
    """Names of the modules with parameters or statistics of their own, as they are registered."""
    return [name for name, module in model.named_modules() if _own(module) or isinstance(module, _BatchNorm)]


def forward_order(model: nn.Module, x: Tensor) -> list[str]:
    """`layers_with_weights` in the order in which they begin in a pass of the first image of `x`.

    Of a layer that runs several times, the last run counts. A layer that is never called, as the projection
    within PyTorch's attention, follows the layer that is registered before it.
    """
    names = layers_with_weights(model)
    modules = [model.get_submodule(name) for name in names]
    began, clock = dict[nn.Module, int](), count()
    watch(
        model,
        x[:1].clone(),
        modules,
        lambda module, given: began.update({module: next(clock)}),
        lambda module, output: None,
    )
    places, last = list[int](), -1
    for module in modules:
        last = began.get(module, last)
        places.append(last)
    return [name for _, name in sorted(zip(places, names, strict=True), key=lambda pair: pair[0])]


def _with_random(model: nn.Module, names: Collection[str], seed: int, x: Tensor | None) -> nn.Module:
    """A copy in which the weights of the layers `names` are random."""
    require_access(model, "modules", "A network with random weights", INSTEAD)
    with torch.inference_mode(False), torch.no_grad(), _own_random_state(model):
        copy = _copy(model)
        every = layers_with_weights(copy)
        for number, name in enumerate(every):
            if name in names:
                torch.manual_seed((seed << 20) + number)
                _draw(copy.get_submodule(name))
        if x is not None:
            _set_statistics(copy, [copy.get_submodule(name) for name in names], x[:IMAGES])
    if x is not None and len(names) == len(every):
        _require_other_answers(model, copy, x)
    return copy


def _copy(model: nn.Module) -> nn.Module:
    """Raises UserError where there is none, or one that shares parameters with the model."""
    made = [  # weights that old kinds of weight norm compute before each pass
        value
        for module in model.modules()
        for value in vars(module).values()
        if isinstance(value, Tensor) and not value.is_leaf
    ]
    name = type(model).__name__
    try:
        copy = deepcopy(model, {id(tensor): tensor.detach().clone() for tensor in made})
    except Exception as error:  # of any network
        reason = (str(error) or type(error).__name__).splitlines()[0].rstrip(".")
        raise UserError(f"{name} cannot be copied ({reason}): {INSTEAD}.") from error
    kept = {p.data_ptr() for p in model.parameters() if p.numel()}
    if any(p.data_ptr() in kept for p in copy.parameters() if p.numel()):
        raise UserError(f"A copy of {name} shares its parameters: {INSTEAD}.")
    if next(copy.parameters(), None) is None:
        raise UserError(f"{name} has no parameters that can be drawn anew: {INSTEAD}.")
    return copy


def _draw(module: nn.Module) -> None:
    """New values for the parameters of a module itself, and for the statistics of a batch norm."""
    before = {name: p.detach().clone() for name, p in _own(module).items()}
    reset = getattr(module, "reset_parameters", None)
    if callable(reset) and not any(child is not module and _own(child) for child in module.modules()):
        with suppress(Exception):  # one of a kind of its own, that needs arguments
            reset()
    for name, p in _own(module).items():
        old = before[name]
        if torch.equal(old, p) or (p.ndim > 1 and bool((p == p.flatten()[0]).all())):
            p.copy_(old.flatten()[torch.randperm(p.numel()).to(p.device)].view_as(p))


def _own(module: nn.Module) -> dict[str, nn.Parameter]:
    return {
        name: p
        for name, p in module.named_parameters(recurse=False)
        if p.numel() and (p.is_floating_point() or p.is_complex())
    }


def _set_statistics(copy: nn.Module, drawn: Sequence[nn.Module], x: Tensor) -> None:
    """Batch norms among `drawn` get mean and variance of their input for images `x`, in the order of the
    pass. Where that fails, as with one value per channel, they keep mean 0 and variance 1."""
    norms = [m for m in drawn if isinstance(m, _BatchNorm) and m.running_mean is not None]
    momenta = [norm.momentum for norm in norms]
    try:
        with as_found(copy):
            for norm in norms:
                norm.training, norm.momentum = True, 1.0
            if norms:
                copy(x.clone())
    except Exception:  # one value per channel, or a batch norm that is not for this device
        for norm in norms:
            norm.reset_running_stats()
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum


def _require_other_answers(model: nn.Module, copy: nn.Module, x: Tensor) -> None:
    """A forward may call a network that is not its own: its copy then answers as before."""
    if torch.equal(logits(model, x[:IMAGES]), logits(copy, x[:IMAGES])):
        raise UserError(
            f"The answers of {type(model).__name__} do not depend on its parameters, so none of them can be "
            f"drawn anew: {INSTEAD}."
        )


@contextmanager
def _own_random_state(model: nn.Module) -> Iterator[None]:
    """The random state of CPU and devices is afterwards what it was."""
    devices: dict[str, set[Any]] = {}
    for p in model.parameters():
        if p.device.type not in ("cpu", "meta"):
            devices.setdefault(p.device.type, set()).add(p.device.index or 0)
    kind = next(iter(devices), "cuda")
    with torch.random.fork_rng(sorted(devices.get(kind, ())), device_type=kind):
        yield
