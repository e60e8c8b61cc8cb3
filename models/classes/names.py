"""Names of classes: fold them, find one by name, and pair the names of two lists.

Exact names come first; names are folded (case, spaces and `_-`, synonyms, numbers) only where no exact one
matches.
"""

import difflib
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

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
RARE = 0.1  # of the images of the commoner spelling: rarer ones are typing errors
_CANONICAL = {word: sorted(group)[0] for group in SYNONYMS for word in group}


def plain(name: str) -> str:
    """Case, spaces and `_-` folded."""
    return re.sub(r"[\s_\-]+", " ", unicodedata.normalize("NFC", name).strip().lower())


def fold(name: str) -> str:
    """Case, spaces and `_-` folded, synonyms replaced."""
    return _CANONICAL.get(plain(name), plain(name))


def as_number(name: str) -> str:
    """'007' and '7.0' -> '7'; other names stay."""
    whole = re.fullmatch(r"0*(\d+)(\.0*)?", name.strip())
    return whole[1] if whole else name


FOLDINGS: dict[str, Callable[[str], str]] = {"spelling": plain, "synonym": fold, "number": as_number}
"""How names without an exact match are folded, the most reliable rule first."""


def is_unnamed(classes: Sequence[str]) -> bool:
    """Whether these are the names of outputs without names: class 0, class 1 ..., or output 0, output 1 ...
    of numbers."""
    names = tuple(classes)
    return names in (unnamed(len(names)), unnamed(len(names), "output"))


def unnamed(outputs: int, kind: str = "class") -> tuple[str, ...]:
    return tuple(f"{kind} {i}" for i in range(outputs))


def names_by_data(classes: Sequence[str], outputs: Mapping[str, int]) -> tuple[str, ...]:
    """The outputs as the data calls them, where one class of the data is one output; otherwise as in
    `classes`, with the output's number where the data calls another output so, or by this number.

    `outputs`: class of the data -> output (-1: none)."""
    counts = Counter(outputs.values())
    theirs = {i: name for name, i in outputs.items() if 0 <= i < len(classes) and counts[i] == 1}
    taken = {*theirs.values(), *(_placeholder(name) for name in theirs.values())}
    return tuple(
        theirs.get(i, f"{name} (output {i})" if name in taken else name) for i, name in enumerate(classes)
    )


def _placeholder(name: str) -> str:
    """'3' and 'class_3' as an output without a name is called, 'class 3'; other names stay."""
    number = re.fullmatch(r"(?:class[\s_\-]*)?0*(\d+)", name, re.IGNORECASE)
    return f"class {number[1]}" if number else name


def find_class(name: str, classes: Sequence[str]) -> int | None:
    """The index of the class with exactly this name, otherwise of the only class whose folded name is the
    same; None where there is none.

    Raises UserError where several classes have the same folded name.
    """
    if name in classes:
        return list(classes).index(name)
    for folding in FOLDINGS.values():
        wanted = folding(name)
        found = [i for i, known in enumerate(classes) if folding(known) == wanted]
        if len(found) > 1:
            raise UserError(
                f"'{name[:60]}' may be {' or '.join(repr(classes[i]) for i in found[:4])}: write the name "
                "exactly."
            )
        if found:
            return found[0]
    return None


LONGEST_NAME = 200  # characters that are compared; the time grows with their number


def near_names(name: str, classes: Sequence[str], most: int = 3, cutoff: float = 0.6) -> list[str]:
    """Classes whose spelling is similar to `name`, the nearest first."""
    folded: dict[str, str] = {}
    for known in classes:
        folded.setdefault(fold(known), known)
    return [
        folded[near]
        for near in difflib.get_close_matches(fold(name[:LONGEST_NAME]), list(folded), most, cutoff)
    ]


def one_spelling(names: Sequence[str], known: Sequence[str] = ()) -> dict[str, str]:
    """For each name, the commonest of those that differ from it in case, spaces and `_-` alone, where it is
    so rare in comparison that it is a typing error; otherwise the name itself. Single letters stay (a is not
    A), and so do the names of the network's classes (`known`)."""
    counts = Counter(names)
    groups: dict[str, list[str]] = {}
    for name in counts:
        groups.setdefault(plain(name) if len(name) > 1 else name, []).append(name)
    spelling = {}
    for group in groups.values():
        common = max(group, key=lambda n: counts[n])
        for name in group:
            slip = name not in known and counts[name] <= max(1, RARE * counts[common])
            spelling[name] = common if slip or name.split() == common.split() else name
    return spelling


def pair_names(
    folding: Callable[[str], str], left: Sequence[str], right: Mapping[int, str]
) -> tuple[dict[str, int], list[tuple[list[str], list[str]]]]:
    """Pairs of a name in `left` and the number of a name in `right` whose folded names are equal, one to one;
    and the groups in which several are equal."""
    groups: dict[str, tuple[list[str], list[int]]] = {}
    for name in left:
        groups.setdefault(folding(name), ([], []))[0].append(name)
    for i, name in right.items():
        if folding(name) in groups:
            groups[folding(name)][1].append(i)
    both = [(names, numbers) for names, numbers in groups.values() if numbers]
    pairs = {names[0]: numbers[0] for names, numbers in both if len(names) == len(numbers) == 1}
    return pairs, [
        (names, [right[i] for i in numbers]) for names, numbers in both if len(names) + len(numbers) > 2
    ]
