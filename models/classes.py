"""Match the classes of the data to those of the model by name."""

import difflib
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from models.errors import UserError

SYNONYMS = (
    {"happiness", "happy", "joy", "smile"},
    {"sadness", "sad"},
    {"anger", "angry"},
    {"surprise", "surprised"},
    {"fear", "fearful", "afraid", "scared"},
    {"disgust", "disgusted"},
    {"contempt", "contemptuous"},
    {"neutral", "neutrality", "calm"},
)
_CANONICAL = {word: sorted(group)[0] for group in SYNONYMS for word in group}
_WORDNET = re.compile(r"n\d{8}")


def plain(name: str) -> str:
    """Case, spaces and `_-` folded."""
    return re.sub(r"[\s_\-]+", " ", name.strip().lower())


def fold(name: str) -> str:
    """Case, spaces and `_-` folded, synonyms replaced."""
    return _CANONICAL.get(plain(name), plain(name))


def one_spelling(names: Sequence[str]) -> dict[str, str]:
    """For each name, the commonest of those that differ from it in case, spaces and `_-` alone. Single letters stay: a is not A."""
    counts = Counter(names)
    groups: dict[str, list[str]] = {}
    for name in counts:
        groups.setdefault(plain(name) if len(name) > 1 else name, []).append(name)
    return {name: max(group, key=lambda n: counts[n]) for group in groups.values() for name in group}


def read_mapping(path: Path) -> dict[str, str]:
    """A two-column text file `data class, model class`; '#' begins a comment."""
    if not path.is_file():
        raise UserError(f"No class mapping at '{path}': expected a text file with lines 'data class, model class'.")
    pairs = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if not (line := line.split("#")[0].strip()):
            continue
        parts = [p.strip() for p in re.split(r"[,\t=]", line, maxsplit=1)]
        if len(parts) != 2 or not all(parts):
            raise UserError(f"Line {number} of '{path}' is '{line[:60]}': expected 'data class, model class'.")
        pairs[parts[0]] = parts[1]
    return pairs


def match_classes(data: Sequence[str], model: Sequence[str], wordnet_ids: Sequence[str] = (),
                  mapping: dict[str, str] | None = None) -> list[int]:  # fmt: skip
    """For each class of the data, the index of the model's class.

    By WordNet id where the data uses them, else by folded name, else by number where the data's classes are output
    numbers. `mapping` (data class -> model class) comes first. Raises UserError that names both lists.
    """
    index: dict[str, int] = {}
    for i, name in enumerate(model):
        index.setdefault(fold(name), i)
    ids = {w: i for i, w in enumerate(wordnet_ids)}
    renamed = [(mapping or {}).get(name, name) for name in data]
    by_number = all(n.isdigit() and int(n) < len(model) for n in renamed) and not any(fold(n) in index for n in renamed)

    def find(name: str) -> int | None:
        if _WORDNET.fullmatch(name) and name in ids:
            return ids[name]
        return int(name) if by_number else index.get(fold(name))

    found = [find(name) for name in renamed]
    lost = [name for name, i in zip(data, found, strict=True) if i is None]
    if lost:
        raise UserError(_unmatched(lost, data, model))
    return [i for i in found if i is not None]


def _unmatched(lost: list[str], data: Sequence[str], model: Sequence[str]) -> str:
    def short(names: Sequence[str]) -> str:
        return ", ".join(names[:10]) + (f" ... ({len(names)})" if len(names) > 10 else "")

    anonymous = all(m == f"class {i}" for i, m in enumerate(model))
    if anonymous and len(data) == len(model):
        return (f"The weights do not name their {len(model)} outputs, the data's classes are {short(data)}: if they were trained on folders "
                "in sorted order, as ImageFolder does, say --classes sorted; else write lines 'data class, class 0' into a file "
                "and give it with --classes FILE.")  # fmt: skip
    near = difflib.get_close_matches(fold(lost[0]), [fold(m) for m in model], 1)
    hint = f" '{lost[0]}' is near '{near[0]}'." if near else ""
    return (f"The model has no class for {short(lost)} of the data (data: {short(data)}; model: {short(model)}).{hint} "
            "Write lines 'data class, model class' into a file and give it with --classes FILE.")  # fmt: skip
