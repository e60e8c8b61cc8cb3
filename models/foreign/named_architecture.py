"""The architecture that a checkpoint of another program names, as text beside its parameters, and the
`--model` that is suggested for it."""

import re
from collections.abc import Collection
from typing import Any

from models.foreign.parameter_sets import current
from models.own_code.trusted import names_code

NAMES = (
    "arch",
    "architecture",
    "model_name",
    "model_arch",
    "model",
    "backbone",
    "encoder_name",
    "network",
    "net",
)
"""Entries whose text may be the name of an architecture, the likeliest first."""
PLACES = ("args", "hyper_parameters", "hparams", "config", "cfg", "opt", "meta")
"""Entries that hold such entries, as dicts or namespaces."""
LONGEST = 80
_BEFORE = re.compile(r"^((hf[-_]hub:)?timm/|timm:)")


def texts_in(raw: dict[Any, Any]) -> tuple[str, ...]:
    """The texts of such entries, in a file's outermost dict and in the places where programs keep options."""
    inside = [raw.get(place) for place in PLACES]
    found = [
        entries.get(name)
        for entries in (raw, *(getattr(place, "texts", place) for place in inside))
        if isinstance(entries, dict)
        for name in NAMES
    ]
    return tuple(dict.fromkeys(text for text in found if isinstance(text, str) and 0 < len(text) < LONGEST))


def suggested(given: str = "") -> list[str]:
    """The values of --model that the checkpoint names which is read
    (`models.foreign.parameter_sets.reading`); none where it names nothing that is known, or what is `given`
    already."""
    texts = current().named
    if given and _plain(given) in map(_plain, texts):
        return []
    return next(filter(None, map(_known, texts)), [])


def hint(given: str, keys: Collection[str]) -> str:
    """What to try where parameters with these names do not fit the network `given`; empty where nothing is
    known."""
    if found := suggested(given):
        return f"The file names {found[0].removeprefix('timm:')}: use --model {' or --model '.join(found)}."
    if keys and not names_code(given) and all(re.match(r"[01]\.\d+\.", key) for key in keys):
        return (
            "Their names are those of a body (0) and a head (1), as fastai's vision_learner builds them: "
            "give the code that builds the network, --model net.py:build."
        )
    return ""


def _plain(name: str) -> str:
    """'timm:resnet18.a1_in1k' -> 'resnet18'."""
    return _BEFORE.sub("", name.lower()).partition(".")[0].partition(":")[0]


def _known(text: str) -> list[str]:
    """The values of --model that mean the architecture of this name."""
    import timm
    from torchvision import models as zoo

    from models.architectures.classifiers import ARCHITECTURES

    plain = _plain(text)
    found = [plain] if plain in ARCHITECTURES or plain in zoo.list_models(module=zoo) else []
    return [*found, f"timm:{plain}"] if timm.is_model(plain) else found
