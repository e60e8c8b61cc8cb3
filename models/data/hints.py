"""Warnings about labeled images: names that may be one class, and images that the network was trained on."""

from collections import Counter
from typing import Any

from models.classes.names import fold, near_names
from models.counts import counted
from models.data.source import ImageSource

FEW = 0.2  # of a class's images: a similar name with so few may be a typing error
CLOSE = 0.84  # similarity of names, as in difflib
COMPARED = 300  # classes: with more, only equal folded names are reported


def near_classes(*parts: ImageSource) -> str:
    """One line on classes of the data, in all its splits, that may be one: equal folded names, synonyms, or a
    rare name that is similar to a common one. Nothing is merged."""
    count = Counter(
        name
        for part in parts
        for item in part.items
        for name in ((item.label,) if item.labels is None else item.labels)
    )
    classes = list(dict.fromkeys(name for part in parts for name in part.classes))
    first: dict[str, str] = {}
    found = []
    for name in classes:
        if len(name) > 1 and (alike := first.setdefault(fold(name), name)) != name:
            found.append((name, alike))
        elif count[name] and len(name) > 3 and len(classes) <= COMPARED:
            commoner = [other for other in classes if other != name and count[name] <= FEW * count[other]]
            found += [(name, near) for near in near_names(name, commoner, 1, CLOSE)]
    if not found:
        return ""
    shown = ", ".join(
        f"'{name}' ({counted(count[name], 'image')}) is near '{other}' ({count[other]})"
        for name, other in found[:4]
    )
    return f"{shown}: separate classes, unless --labels or --classes says otherwise"


def seen_in_training(source: ImageSource, about: dict[str, Any]) -> str:
    """One line where images of the source are those that a checkpoint (`about`: its description) was trained
    on, by the name of the data; otherwise empty."""
    data = about.get("data") or {}
    trained, part = str(data.get("name", "")), source.name
    if not trained:
        return ""
    if trained == part or (
        "/" not in part and data.get("fingerprint") == source.fingerprint()
    ):  # other splits may have the same file names
        return (
            f"the network was trained on these images ({trained}): its figures here say nothing about "
            "new ones"
        )
    whole = trained.rpartition("/")[0]
    if whole and part == whole:
        return (
            f"the network was trained on {trained}, a part of this data: training images are among "
            "these; choose --split test"
        )
    return ""
