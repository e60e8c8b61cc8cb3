"""Checkpoints: Vitrine writes self-describing safetensors files; foreign files are read without
unpickling."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from models.errors import UserError
from models.files.atomic import atomic
from models.files.formats import foreign_format, is_safetensors
from models.foreign import parameter_sets
from models.foreign.checkpoints import read_torch, unwrap
from models.foreign.key_prefix import aligned
from models.foreign.named_architecture import hint as suggestion
from models.recipe_keys import with_current_recipe

SCHEMA = 1
_KEY = "vitrine"
State = parameter_sets.State


def save(path: Path, model: nn.Module, description: dict[str, Any], half: bool = False) -> None:
    """Write parameters and `description` (architecture, classes, preprocessing, training, data, metrics)
    atomically; missing folders are made.

    `half` stores matrices as float16 and keeps vectors (batch-norm statistics among them) as float32.
    """
    state = {
        name: (t.half() if half and t.is_floating_point() and t.ndim > 1 else t).detach().cpu().contiguous()
        for name, t in model.state_dict().items()
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic(path) as temporary:
        save_file(state, temporary, {_KEY: json.dumps({"schema": SCHEMA, **description})})
        temporary.chmod(0o644)  # safetensors writes for the owner only


def read(path: Path) -> tuple[State, dict[str, Any]]:
    """A checkpoint's tensors and description (empty for a foreign file). Raises UserError for a file that is
    missing, damaged, of another format, or holds pickled objects."""
    if not path.is_file():
        raise UserError(f"No checkpoint at '{path}': give the path of a .safetensors, .pth or .pt file.")
    try:
        if other := foreign_format(path):
            raise UserError(f"'{path}' is {other[0]}, not a checkpoint: {other[1]}.")
        return _read_safetensors(path) if is_safetensors(path) else (read_torch(path), {})
    except UserError:
        raise
    except (SafetensorError, json.JSONDecodeError, EOFError, RuntimeError, OSError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(
            f"'{path}' cannot be read as a checkpoint ({reason[:120]}): is the file complete?"
        ) from error


def describe(path: Path) -> dict[str, Any]:
    """The description only, without reading a tensor."""
    with safe_open(path, framework="pt") as file:
        return _about(file.metadata() or {})


def _about(metadata: dict[str, str]) -> dict[str, Any]:
    """Empty where another program wrote something else under the same key."""
    about = json.loads(metadata.get(_KEY, "{}"))
    return with_current_recipe(about, "training") if isinstance(about, dict) else {}


def _read_safetensors(path: Path) -> tuple[State, dict[str, Any]]:
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata() or {}
        state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    return (state if _KEY in metadata else unwrap(state)), _about(metadata)


def head_key(model: nn.Module) -> str:
    """The name of the weight of the last linear layer (or last convolution, where there is none)."""
    kinds: tuple[type[nn.Module], ...] = (nn.Linear, nn.Conv2d)
    for kind in kinds:
        names = [name for name, module in model.named_modules() if isinstance(module, kind)]
        if names:
            return f"{names[-1]}.weight"
    raise UserError(
        f"{type(model).__name__} has neither a linear layer nor a convolution: it is no image classifier."
    )


def fit(model: nn.Module, state: State, name: str, nearest: Callable[[], str] = lambda: "") -> None:
    """Load `state` into `model`, its names `aligned`. Raises UserError with the keys and shapes that do not
    fit, and with what `nearest` says of another architecture."""
    own = model.state_dict()
    state = aligned(state, own)
    problems = [
        f"{k}: file {tuple(state[k].shape)}, model {tuple(own[k].shape)}"
        for k in own
        if k in state and state[k].shape != own[k].shape
    ]
    missing = [k for k in own if k not in state and not k.endswith("num_batches_tracked")]
    extra = [k for k in state if k not in own]
    if problems or missing or extra:
        parts = [
            f"{len(keys)} {what} ({', '.join(keys[:2])}{', ...' if len(keys) > 2 else ''})"
            for what, keys in (("of another shape", problems), ("missing", missing), ("unknown", extra))
            if keys
        ]
        hint = suggestion(name, state) or nearest() or "Is --model the architecture they were trained with?"
        raise UserError(f"The weights do not fit {name}: {'; '.join(parts)}. {hint}")
    model.load_state_dict(state, strict=False)


def fingerprint(model: nn.Module) -> str:
    """A hash of all parameters and buffers, 16 hex digits: equal weights have equal hashes, wherever they
    come from."""
    digest = hashlib.sha256()
    for name, tensor in model.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()[:16]
