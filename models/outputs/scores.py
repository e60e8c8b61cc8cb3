"""The scores of classes within what a network returns: a tensor, or a tuple, dict or dataclass of some."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import torch
from torch import Tensor, nn

from models.errors import UserError
from models.foreign.parameter_sets import current
from models.inputs.channels import channels_wanted, how_to_read
from models.outputs.kinds import (
    NEAR_SAID,
    TINY,
    WHOLE,
    are_distributions,
    found_newly,
    fractions,
    have_one_sum,
    kind_of,
    require_distributions,
    require_fractions,
    to_record,
)
from models.outputs.multi_label import said_of_each
from models.outputs.one_by_one import NOTE as ALONE
from models.outputs.one_by_one import one_by_one
from models.outputs.one_logit import two_sided
from models.outputs.task_names import REGRESSION

NAMES = ("logits", "out", "scores", "output", "pred", "predictions")
"""How the entry is called that holds the scores, the likeliest first."""
PROBABILITIES = "its outputs are probabilities: their logarithms are used as scores"
PERCENT = "its outputs are probabilities in percent: the logarithms of a hundredth are used as scores"
NOTES = {"logits": "", "probabilities": PROBABILITIES, "percent": PERCENT}
AS_TOLD = "its outputs are read as logits, as was said, and look like {found}"
SIGMOID = (
    "its outputs lie between 0 and 1 and do not sum to 1, as behind a sigmoid: predictions are right, but "
    "the probabilities, their softmax, are not the network's own"
)
ONE_SUM = (
    "its outputs are never negative and have about the same sum for every image, which is neither 1 nor 100: "
    "predictions are right, but if they are shares of that sum, the probabilities, their softmax, are not "
    "the network's own: let it divide them by their sum"
)
ONE_OF = (
    "it returns {count} entries, and entry {key} is read as its scores, although another of the same shape "
    "stands beside it: if that one is meant, return it alone, or a dict that calls it 'logits'"
)
CHANGES = "it changes its input in place: it is given a copy of the images"
TRAINING = (
    "The network answers an image otherwise {when}: it computes as in training. Call model.eval() before it "
    "is saved or returned, and use no random numbers."
)
Path = tuple[int | str, ...]


def scores_path(output: Any) -> Path:
    """Where the scores (N, K) stand in `output`: () for a tensor, ('logits',), (0,) ... Raises UserError
    where they cannot be told from other entries."""
    if isinstance(output, Tensor):
        if output.ndim == 1:
            raise UserError(
                f"For one image the network returns {tuple(output.shape)} instead of (1, {len(output)}): "
                "remove the squeeze at its end."
            )
        if output.flatten(1).ndim == 2 and output.ndim > 1 and output[0].numel() == output.shape[1]:
            return ()
        raise UserError(f"The network returns {tuple(output.shape)}: scores (N, classes) are needed.")
    entries = _entries(output)
    named = [name for name in NAMES if name in entries]
    if named:
        return (named[0], *scores_path(entries[named[0]]))
    if isinstance(output, tuple | list):
        first = _first(output, entries)
        return (first, *scores_path(entries[first]))
    found = [key for key, value in entries.items() if isinstance(value, Tensor) and value.ndim == 2]
    if len(found) == 1:
        return (found[0],)
    raise UserError(_several(output, entries))


def _first(output: Any, entries: Mapping[Any, Any]) -> int | str:
    """The key of the scores in a tuple or list: the first matrix, or the one container in front of it that
    names its scores or stands alone. Raises UserError where several could hold them."""
    keys = list(entries)
    matrices = [k for k in keys if isinstance(entries[k], Tensor) and entries[k].ndim == 2]
    if len({entries[k].shape[1] for k in matrices}) > 1:
        raise UserError(_several(output, entries))
    containers = [k for k in keys if _is_container(entries[k])]
    ahead = [k for k in containers if not matrices or keys.index(k) < keys.index(matrices[0])]
    if not ahead:
        return next(iter(matrices), keys[0])  # type: ignore[no-any-return]
    named = [k for k in ahead if any(name in _entries(entries[k]) for name in NAMES)]
    if len(named) == 1:
        return named[0]  # type: ignore[no-any-return]
    if matrices or len(containers) > 1:
        raise UserError(_several(output, entries))
    return ahead[0]  # type: ignore[no-any-return]


def _chosen(output: Any, path: Path) -> str:
    """A note on the tuple or list on the way to the scores whose order alone told them from another entry of
    their shape; else empty text."""
    for key in path:
        entries, beside = _entries(output), isinstance(output, tuple | list) and key not in NAMES
        taken = entries[key]
        alike = [v for v in entries.values() if isinstance(v, Tensor) and isinstance(taken, Tensor)]
        if beside and sum(value.shape == taken.shape for value in alike) > 1:
            return ONE_OF.format(count=len(entries), key=key)
        output = taken
    return ""


def _is_container(value: Any) -> bool:
    return bool(value) if isinstance(value, Mapping | tuple | list) else is_dataclass(value)


def _several(output: Any, entries: Mapping[Any, Any]) -> str:
    shapes = ", ".join(f"{key} {_shape(value)}" for key, value in list(entries.items())[:5])
    return (
        f"The network returns a {type(output).__name__} of {shapes or 'nothing'}: call the scores "
        f"'{NAMES[0]}', or return them alone."
    )


def at(output: Any, path: Path) -> Tensor:
    """The entry of `output` at a path that `scores_path` found."""
    for key in path:
        output = output[key] if _indexed(output, key) else getattr(output, str(key))
    result: Tensor = output
    return result


def giving_scores(model: nn.Module, example: Tensor, task: str = "") -> tuple[nn.Module, str]:
    """`model`, or a shallow copy of it whose output is scores (N, K) alone, two of them where it has one
    output (`models.outputs.one_logit`); and a note where its outputs are probabilities, where another entry
    has the shape of its scores, where it changes its input (it gets a copy), and where it takes one image at
    a time (it gets one after the other). Layers, parameters and the given object stay as they are. `example`
    (C, H, W): an image to find out with. The outputs are what a person says
    (`models.foreign.parameter_sets.reading`), or else what they look like; of the `task` regression, unless a
    person says another one, they stay as they are. Raises UserError as `scores_path`, where the network
    cannot take the image, and where its outputs are not what a person says."""
    noise = torch.rand(example.shape, generator=torch.Generator().manual_seed(0)).to(example)
    numbers = (current().task or task) == REGRESSION
    given, outputs = _answers(model, example, noise)
    changes = not all(map(torch.equal, given, (example[None], noise[None])))
    model = _on_copies(model) if changes else model
    if numbers and isinstance(outputs[0], Tensor) and outputs[0].ndim < 2 and outputs[0].numel() == 1:
        model, outputs = _with_columns(model), [output.reshape(1, 1) for output in outputs]
    path = scores_path(outputs[0])
    scores = torch.cat([at(output, path).flatten(1).float() for output in outputs])
    alone = _takes_one(model, path, (example, noise), scores)
    own = _with_forward(model, path, "logits", "") if path else model
    own, made, note = (one_by_one(own) if alone else own), None, ""
    if not numbers:
        kind, record, note = _read_as(scores)
        made = _with_forward(model, path, kind, record) if path or record or kind in WHOLE else model
        made = said_of_each(made, record) if kind not in WHOLE and record in WHOLE else made
        made = one_by_one(made) if alone else made
        if scores.shape[1] == 1:
            made, note = two_sided(made, example)
        if made is not own:
            type(made).own_numbers = type(own)  # type: ignore[attr-defined] # for `models.outputs.regression`
    notes = (CHANGES if changes else "", ALONE if alone else "", _chosen(outputs[0], path), note)
    return own if made is None else made, "; ".join(filter(None, notes))


def as_told(model: nn.Module, example: Tensor) -> tuple[nn.Module, str]:
    """A network that is known to return logits (N, K): itself, in eval mode, unless a person says what its
    outputs are; then as `giving_scores`."""
    return giving_scores(model.eval(), example) if current().outputs else (model, "")


def _answers(model: nn.Module, example: Tensor, noise: Tensor) -> tuple[list[Tensor], list[Any]]:
    """The two images as the network leaves them, and its outputs for each alone. Raises UserError where it
    cannot take them."""
    try:
        with torch.inference_mode():
            given = [image[None].clone() for image in (example, noise)]  # it may change them
            return given, [model(image) for image in given]
    except Exception as error:  # a network of others may raise anything
        reason = (str(error).splitlines() or [""])[0][:240]
        channels = channels_wanted(error, len(example))
        raise UserError(
            f"The network cannot take an image of shape {tuple(example.shape)} "
            f"({type(error).__name__}: {reason}){f': {how_to_read(channels)}' if channels else ''}."
        ) from error


def _read_as(scores: Tensor) -> tuple[str, str, str]:
    """What outputs (N, K) are, how a run names it, and a note. Raises UserError where a person says
    otherwise."""
    told, found = current().outputs, kind_of(scores)
    if scores.shape[1] == 1:
        return "logits", "", ""
    if _of_labels(scores, told):
        require_fractions(scores, told)
        return "logits", told, ""  # `models.outputs.multi_label` takes their logits
    require_distributions(scores, told)
    kind, note = told or found, NOTES[told or found]
    if kind == "logits":
        note = AS_TOLD.format(found=found) if found != kind else _not_its_own(scores)
    # of several labels per image, outputs between 0 and 1 are probabilities, too, unless they are told
    record = told if told and _between_0_and_1(scores) and found == "logits" else to_record(told, found)
    return kind, record or (found if found_newly(scores, found) else ""), note


def _of_labels(scores: Tensor, told: str) -> bool:
    """Whether outputs (N, K) are said to be probabilities, each of a label of its own."""
    return current().of_labels and told in WHOLE and not are_distributions(scores, told, NEAR_SAID)


def _not_its_own(scores: Tensor) -> str:
    """A note on outputs (N, K), read as logits, that seem to be probabilities of another kind."""
    return ONE_SUM if have_one_sum(scores) else SIGMOID if _between_0_and_1(scores) else ""


def _takes_one(model: nn.Module, path: Path, images: tuple[Tensor, Tensor], scores: Tensor) -> bool:
    """Whether the network fails for two images at once, or returns scores of another shape, although it
    answers each alone. Raises UserError for one that answers an image otherwise a second time, or beside
    another image: it computes as while training. Other numbers beside another image are never taken for code
    of one image: statistics of the batch do the same."""
    with torch.inference_mode():
        again = at(model(images[1][None]), path).flatten(1).float()
        try:
            together = at(model(torch.stack(images)), path).flatten(1).float()
        except Exception:  # as above
            together = None
    if not _same(again, scores[1:]):
        raise UserError(TRAINING.format(when="a second time"))
    if together is not None and _same(together, scores):
        return False
    other_shape = together is None or together.shape != scores.shape
    if not other_shape or any(module.training for module in model.modules()):
        raise UserError(TRAINING.format(when="beside another"))
    return True


def _same(made: Tensor, wanted: Tensor) -> bool:
    near = 1e-2 * float(wanted.nan_to_num(0, 0, 0).abs().max()) + 1e-4
    return made.shape == wanted.shape and torch.allclose(made, wanted, atol=near, equal_nan=True)


def _between_0_and_1(scores: Tensor) -> bool:
    return scores.shape[1] > 1 and bool(((scores >= 0) & (scores <= 1)).all() and (scores > 0).any())


def _on_copies(model: nn.Module) -> nn.Module:
    """A shallow copy of another class, whose forward leaves the images as they are."""
    import copy

    kind = type(model)

    def forward(self: nn.Module, x: Tensor, *given: Any, **more: Any) -> Any:
        return kind.forward(self, x.clone(), *given, **more)

    made = copy.copy(model)
    made.__class__ = type(kind.__name__, (kind,), {"forward": forward, "__module__": kind.__module__})
    return made


def _with_columns(model: nn.Module) -> nn.Module:
    """A shallow copy of another class, of a network that returns one number (N,) for N images: (N, 1)."""
    import copy

    kind = type(model)

    def forward(self: nn.Module, x: Tensor, *given: Any, **more: Any) -> Tensor:
        numbers: Tensor = kind.forward(self, x, *given, **more)
        return numbers.reshape(len(x), 1)

    made = copy.copy(model)
    made.__class__ = type(kind.__name__, (kind,), {"forward": forward, "__module__": kind.__module__})
    return made


def _with_forward(model: nn.Module, path: Path, outputs: str, record: str) -> nn.Module:
    """A shallow copy of another class: hooks, names and deep copies work as before."""
    import copy

    kind = type(model)

    def forward(self: nn.Module, *given: Any, **more: Any) -> Tensor:
        scores = at(kind.forward(self, *given, **more), path)
        return fractions(scores, outputs).clamp_min(TINY).log() if outputs in WHOLE else scores

    made = copy.copy(model)
    added = {"forward": forward, "__module__": kind.__module__, "outputs_read_as": record}
    made.__class__ = type(kind.__name__, (kind,), added)
    return made


def _entries(output: Any) -> dict[Any, Any]:
    if isinstance(output, Mapping):
        return dict(output)
    if is_dataclass(output) and not isinstance(output, type):
        return {f.name: getattr(output, f.name) for f in fields(output)}
    if hasattr(output, "_asdict"):
        return dict(output._asdict())
    if isinstance(output, tuple | list) and output:
        return dict(enumerate(output))
    raise UserError(f"The network returns {type(output).__name__}: scores (N, classes) are needed.")


def _indexed(output: Any, key: int | str) -> bool:
    return isinstance(output, Mapping) or isinstance(key, int)


def _shape(value: Any) -> str:
    return str(tuple(value.shape)) if isinstance(value, Tensor) else type(value).__name__
