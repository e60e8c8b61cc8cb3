"""Checkpoints of other programs: read without unpickling, and out of what they wrap parameters in."""

import pickle
import re
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from models.errors import UserError
from models.foreign.named_architecture import texts_in
from models.foreign.named_loss import task_by_loss
from models.foreign.parameter_sets import CALLBACKS, State, choose, current, differ

_NO_PARAMETERS = re.compile(
    r"optim|sched|scaler|criterion|loss|rng|random|hyper|callback|loops|param_groups|metric|history|args$|"
    r"config|_extra_state|datamodule",
    re.IGNORECASE,
)
"""Names of entries that are not searched for parameters."""
_NO_AVERAGE = re.compile(r"optim|sched|scaler|rng|loops", re.IGNORECASE)
"""Names of entries of callbacks that are not searched for averages."""
_AVERAGES = re.compile(r"ema|swa|averag|shadow", re.IGNORECASE)
_DEEPEST = 4
_SAVE = "torch.save(model.state_dict(), 'weights.pth')"


class Ignored:
    """Stands for an object beside the parameters, whose content is not read."""

    def __new__(cls, *_: Any) -> "Ignored":
        return super().__new__(cls)

    def __setstate__(self, _: Any) -> None:
        pass


class Settings(Ignored):
    """Stands for a namespace of options, of which only texts are kept."""

    texts: dict[str, str]

    def __setstate__(self, state: Any) -> None:
        pairs = state.items() if isinstance(state, dict) else ()
        self.texts = {k: v for k, v in pairs if isinstance(k, str) and isinstance(v, str)}


def _ignored(*_: Any) -> Ignored:
    return Ignored()


def _plain_dict(*_: Any) -> dict[Any, Any]:
    return {}


def _allowed() -> list[Any]:
    """Globals that may stand in a checkpoint, each as a stand-in of this file: nothing of theirs is called,
    and none of their values is needed."""
    numpy = [
        *(
            f"numpy.{core}.multiarray.{name}"
            for core in ("core", "_core")
            for name in ("scalar", "_reconstruct")
        ),
        *("numpy.dtype", "numpy.ndarray"),
    ]
    paths = [f"pathlib.{kind}{name}" for kind in ("", "Pure") for name in ("PosixPath", "WindowsPath")]
    paths += [f"pathlib._local.{name}" for name in ("PosixPath", "WindowsPath")]
    plain = [f"builtins.{name}" for name in ("list", "dict", "int", "float", "str", "slice")]
    fastai = (Ignored, "fastcore.foundation.L")  # its list, beside the parameters in learn.save
    ignored = [
        (Settings, "argparse.Namespace"),
        fastai,
        *((_ignored, name) for name in [*numpy, *paths, *plain]),
    ]
    return [*ignored, (_plain_dict, "collections.defaultdict")]


def read_torch(path: Path) -> State:
    """The parameters in a file of `torch.save`. Raises UserError for one that holds other objects than
    tensors and plain containers; and what `torch.load` raises for a damaged one."""
    try:
        # of an open file: of a path torch would go by the suffix
        with torch.serialization.safe_globals(_allowed()), path.open("rb") as file:
            raw = torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise UserError(_refused(path)) from error
    return unwrap(raw, path)


def _refused(path: Path) -> str:
    """One line about a file with Python objects: what they are, and what to do in the user's own code."""
    try:
        found = torch.serialization.get_unsafe_globals_in_checkpoint(path)
    except Exception:  # of a file that torch cannot read this way; it is refused all the same
        found = []
    allowed = {name for _, name in _allowed()}
    names = sorted(name for name in found if name not in allowed)
    own = [name for name in names if not name.startswith(("torch.", "collections.", "builtins.", "numpy."))]
    shown = f" ({', '.join(name[:60] for name in (own or names)[:3])})" if names else ""
    if any(name.startswith("fastai.") for name in names):
        return (
            f"'{path}' is a learner that fastai exported{shown}, and Vitrine does not unpickle: in your own "
            "code, torch.save(learn.model.state_dict(), 'weights.pth')."
        )
    if any(name.startswith("torch.nn.modules.") for name in names):
        return (
            f"'{path}' holds a whole pickled network{shown}, and Vitrine does not unpickle: in your own "
            f"code, load it and write {_SAVE}."
        )
    return (
        f"'{path}' holds Python objects besides tensors{shown}, and Vitrine does not unpickle: in your own "
        f"code, {_SAVE}."
    )


def unwrap(raw: Any, path: Path | str = "checkpoint") -> State:
    """The parameters in what a file holds, with the keys that they have there. Raises UserError where there
    are none, or several sets of which none can be chosen (`models.foreign.parameter_sets.choose`)."""
    if not isinstance(raw, dict):
        raise UserError(f"'{path}' holds a {type(raw).__name__}, not a state_dict: save model.state_dict().")
    current().named, current().of_loss = texts_in(raw), task_by_loss(raw)
    sets = dict(_sets(raw))
    if sets:
        sets |= _averages(raw)
    if not sets:
        found = ", ".join(str(key)[:40] for key in list(raw)[:5]) or "nothing"
        raise UserError(
            f"'{path}' holds no parameters: found {found}, looked for state_dict, model_state_dict, model, "
            "and any dict of tensors."
        )
    if "" in sets and len(sets) > 1:  # a tensor such as a confusion matrix, beside the parameters
        del sets[""]
    several = len(sets) > 1 and differ(sets)
    name = choose(list(sets), f"'{path}'", _known_average(raw)) if several else next(iter(sets))
    if name and not current().taken and name.rpartition(".")[2] not in _SAID_BY_NAME:
        current().note(f"parameters {name}: the file's only dict of tensors")
    return sets[name]


_SAID_BY_NAME = ("state_dict", "model_state_dict", "model", "net", "network", "weights", "model_state")


def _known_average(raw: dict[Any, Any]) -> tuple[str, str] | None:
    """The set that holds the average, and the program, of a file whose program writes it as `state_dict` and
    the parameters of the last step beside it."""
    meta = raw.get("meta")
    if "ema_state_dict" in raw and isinstance(meta, dict) and "mmengine_version" in meta:
        return "state_dict", "MMEngine"
    if "current_model_state" in raw and "averaging_state" in raw:
        return "state_dict", "Lightning"
    return None


def _averages(raw: dict[Any, Any]) -> dict[str, State]:
    """The sets in the states of Lightning's callbacks that are averages by their names. What holds tensors
    without names is noted."""
    states, found = raw.get(CALLBACKS), dict[str, State]()
    for key, state in states.items() if isinstance(states, dict) else ():
        if not isinstance(state, dict):
            continue
        name = f"{CALLBACKS}.{str(key).partition('{')[0]}"  # behind it stand arguments
        for inner, tensors in _sets(state, name, 1, _NO_AVERAGE):
            if _AVERAGES.search(inner):
                found.setdefault(inner, tensors)
        for entry, value in state.items():
            listed = isinstance(value, list | tuple) and any(isinstance(v, Tensor) for v in value)
            if listed and _AVERAGES.search(f"{name}.{entry}"):
                current().note(f"{name}.{entry}, {len(value)} tensors without names, is not read")
    return found


def _sets(
    raw: dict[Any, Any], name: str = "", depth: int = 0, but: re.Pattern[str] = _NO_PARAMETERS
) -> list[tuple[str, State]]:
    """(dotted name, parameters) of every dict of tensors, one of which is a matrix or a kernel. `but`: names
    of entries that are not searched."""
    found: list[tuple[str, State]] = []
    tensors = {str(key): value for key, value in raw.items() if isinstance(value, Tensor)}
    if any(tensor.ndim >= 2 for tensor in tensors.values()) and all(isinstance(key, str) for key in raw):
        found.append((name, tensors))
    for key, value in raw.items():
        inside = isinstance(key, str) and isinstance(value, dict) and not but.search(key)
        if inside and depth < _DEEPEST:
            found += _sets(value, f"{name}.{key}" if name else key, depth + 1, but)
    return found
