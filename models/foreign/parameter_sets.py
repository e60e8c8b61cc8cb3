"""Which set of parameters of a checkpoint is read, where it holds several (`--which`), what a person says of
the network's outputs (`--outputs`), and what is found meanwhile.

Every kind of model reads files in `models.checkpoints`, and outputs in `models.outputs.scores`; a choice
reaches them through `reading`, and what is to be told comes back there.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from shlex import quote

from torch import Tensor

from models.errors import UserError
from models.outputs.kinds import require_known
from models.outputs.task_names import MULTI, REGRESSION

State = dict[str, Tensor]
USUAL = ("state_dict", "model_state_dict", "model", "net", "network", "weights", "model_state", "params")
"""Names of the one set that is meant, where others lie beside it."""
CALLBACKS = "callbacks"
"""The entry of Lightning's checkpoints with the states of callbacks."""
_AVERAGED = re.compile(r"(^|[_.\-])(ema|swa|averaged?|avg)([_.\-]|$)", re.IGNORECASE)


@dataclass
class Reading:
    """`which`: the set that a person names, or empty text; `outputs`: what the outputs are, as a person says
    (`models.outputs.kinds`), or empty text; `taken`: the set that was read, empty where the
    file has one; `notes`: what a person should know, a line each; `named`: texts of the file that may name
    its architecture, the likeliest first; `task`: one of `models.outputs.task.TASKS`, as a person or the data
    says, or empty text; `of_loss`: the task and the words by which the file names it
    (`models.foreign.named_loss`)."""

    which: str = ""
    taken: str = ""
    notes: list[str] = field(default_factory=list)
    named: tuple[str, ...] = ()
    outputs: str = ""
    task: str = ""
    of_loss: tuple[str, str] = ("", "")

    @property
    def of_labels(self) -> bool:
        """Whether each output is that of a label of its own, so that probabilities need not sum to 1."""
        return self.task == MULTI

    def task_by_loss(self, outputs: int | None) -> str:
        """The task that the file names by its loss, for a network of so many outputs, which is noted; empty
        where it names none. With one output, losses of classes are those of two classes."""
        task, words = self.of_loss
        if not task or (outputs == 1 and task != REGRESSION):
            return ""
        self.note(f"its file names the loss ({words}), which is of the task {task}")
        return task

    def note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)


_current: ContextVar[Reading | None] = ContextVar("reading", default=None)


@contextmanager
def reading(which: str = "", outputs: str = "", task: str = "") -> Iterator[Reading]:
    """Checkpoints that are read inside give their set `which`, and their notes; outputs of networks are what
    `outputs` says, and answer the `task`. Raises UserError for an unknown kind of outputs, and for one beside
    the task regression."""
    require_known(outputs)
    if task == REGRESSION and outputs:
        raise UserError(f"Outputs of the task {REGRESSION} are numbers, not {outputs}: leave --outputs out.")
    made = Reading(which, outputs=outputs, task=task or current().task)
    token = _current.set(made)
    try:
        yield made
    finally:
        _current.reset(token)


def current() -> Reading:
    return _current.get() or Reading()


def is_averaged(name: str) -> bool:
    """Whether a set holds averages of the parameters over the training (EMA, SWA), by its name. Callbacks of
    Lightning are searched for averages alone; that of its SWA has no batch norm statistics of its own until
    the training ends, so it is never the first choice."""
    if name.startswith(f"{CALLBACKS}."):
        return "StochasticWeightAveraging" not in name
    return bool(_AVERAGED.search(name))


def choose(names: Sequence[str], where: str, average: tuple[str, str] | None = None) -> str:
    """The set to read of several: the one that a person names; else the average, as timm's evaluation takes
    it; else the one with a usual name. `average`: the set that holds it, and the program that writes it so,
    where names alone would mislead. The choice is noted. Raises UserError where a name is not among them, or
    none can be chosen."""
    now = current()
    if now.which:
        found = [name for name in names if now.which in (name, name.rpartition(".")[2])]
        if len(found) != 1:
            raise UserError(f"--which {now.which}: {where} holds {', '.join(names[:8])}; give one of these.")
        now.taken = found[0]
        return found[0]
    averaged = [name for name in names if is_averaged(name)]
    plain = [name for name in USUAL if name in names]
    if average:
        name, why = average[0], f"the average over the training, as {average[1]} writes it"
    elif len(averaged) == 1:
        name, why = averaged[0], "the average over the training, as timm evaluates it"
    elif plain and not averaged:
        name, why = plain[0], "by its name"
    else:
        choices = " or ".join(f"--which {quote(each)}" for each in names[:8])
        raise UserError(f"{where} holds {len(names)} sets of parameters: add {choices}.")
    others = [other for other in names if other != name]
    now.taken = name
    now.note(
        f"parameters {name} ({why}); the file also holds {', '.join(others[:4])}: --which {quote(others[0])}"
    )
    return name


def differ(sets: Mapping[str, State]) -> bool:
    """Whether the sets hold other values, not the same ones several times."""
    first, *rest = sets.values()
    return any(
        first.keys() != other.keys()
        or any(first[k].shape != other[k].shape or not bool((first[k] == other[k]).all()) for k in first)
        for other in rest
    )
