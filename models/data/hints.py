"""What is worth a second look before labeled images are used: names that may be one class, and images that
were trained on."""

from collections import Counter
from typing import Any

from models.classes import fold, near_names
from models.data.source import ImageSource

FEW = 0.2  # of a class's images: so few under a name that is nearly the same may be a slip of the pen
CLOSE = 0.84  # likeness of names, as difflib has it
COMPARED = 300  # classes: of more, only names that fold to the same are told


def near_classes(*parts: ImageSource) -> str:
    """Classes of the data, in all its parts, that may be one: spelled alike, synonyms, or a rare one that is
    nearly spelled like a common one. Nothing is merged."""
    count = Counter(item.label for part in parts for item in part.items)
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
        f"'{name}' ({count[name]} images) is near '{other}' ({count[other]})" for name, other in found[:4]
    )
    return f"{shown}: separate classes, unless --labels or --classes says otherwise"


def seen_in_training(source: ImageSource, about: dict[str, Any]) -> str:
    """Whether images of the source are those that a checkpoint (its description) was trained on, as far as
    names of data tell."""
    data = about.get("data") or {}
    trained, part = str(data.get("name", "")), source.name
    if not trained:
        return ""
    if trained == part or (
        "/" not in part and data.get("fingerprint") == source.fingerprint()
    ):  # other parts may have the same names of files
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
