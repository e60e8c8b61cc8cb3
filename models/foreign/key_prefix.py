"""Parameters under the names that a network has for them: prefixes of wrappers are removed, and what lies
beside the parameters is left out."""

import re
from collections import Counter
from collections.abc import Collection

from models.foreign.parameter_sets import State, choose, current, differ

_INSIDE = re.compile(r"_orig_mod\.|_fsdp_wrapped_module\.|_checkpoint_wrapped_module\.")
"""Parts of names that torch.compile, FSDP and activation checkpointing put in anywhere."""
_BESIDE = re.compile(
    r"(^|[._])(criterion|loss\w*|\w*metrics?|\w*acc(uracy)?\d*|auroc|f1\w*|confmat|confusion\w*|n_averaged|"
    r"class_weights?|pos_weight|total_ops|total_params|step|initted)($|[._])",
    re.IGNORECASE,
)
"""Names of tensors that training code keeps beside the network."""
_SIMILAR = 0.9  # of the keys that the best prefix has: another copy of the network


def aligned(state: State, own: Collection[str]) -> State:
    """`state` with the names in `own`, of the network's parameters: the prefix with most of them is removed.
    Tensors beside the network are left out and noted, where their names say what they are; others keep their
    names, so that they are missed by nobody. Raises UserError where the file has several copies of the
    network, of which none can be chosen (`models.foreign.parameter_sets.choose`)."""
    if not any(_INSIDE.search(key) for key in own):
        state = {_INSIDE.sub("", key): tensor for key, tensor in state.items()}
    counts = _prefixes(state, own)
    best = max(counts.values(), default=0)
    near = [prefix for prefix, count in counts.items() if count >= _SIMILAR * best]
    copies = {p.removesuffix(".") or "state_dict": _under(state, p) for p in near}
    prefix = near[0] if near else ""
    if len(near) > 1 and differ(copies):
        name = choose(list(copies), "the file")
        prefix = near[list(copies).index(name)]
    others = [p for p in near if p != prefix]
    return _without_beside(state, prefix, others, set(own))


def _prefixes(state: State, own: Collection[str]) -> Counter[str]:
    """How many of the network's keys stand behind each prefix."""
    known, counts = set(own), Counter[str]()
    for key in state:
        start = 0
        while True:
            if key[start:] in known:
                counts[key[:start]] += 1
            dot = key.find(".", start)
            if dot < 0:
                break
            start = dot + 1
    return counts


def _under(state: State, prefix: str) -> State:
    return {key.removeprefix(prefix): t for key, t in state.items() if key.startswith(prefix)}


def _without_beside(state: State, prefix: str, copies: Collection[str], own: Collection[str]) -> State:
    found, beside = _under(state, prefix), list[str]()
    for key in list(found):
        if key not in own and (found[key].ndim == 0 or _BESIDE.search(key)):
            del found[key]
            beside.append(key)
    for key, tensor in state.items():
        if key.startswith(prefix) or any(key.startswith(p) for p in copies if p):
            continue
        if tensor.ndim == 0 or _BESIDE.search(key):
            beside.append(key)
            continue
        head = f"{prefix.removesuffix('backbone.')}head."  # of MMPretrain's classifiers
        moved = key.removeprefix(head)
        theirs = prefix.endswith("backbone.") and key.startswith(f"{head}fc.")
        if theirs and moved in own and moved not in found:
            found[moved] = tensor
        else:
            found[key if key not in found else f"{key} (beside {prefix}{key})"] = tensor
    named = [key for key in beside if not key.endswith("num_batches_tracked")]
    if named:
        plural = "tensors beside them are" if len(named) > 1 else "tensor beside them is"
        shown = ", ".join(named[:3]) + (", …" if len(named) > 3 else "")
        current().note(f"{len(named)} {plural} not used: {shown}")
    return found
