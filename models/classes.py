"""Names of classes: find one by name, and match the classes of the data to the outputs of a network.

Exact names win. Names are folded (case, spaces and `_-`, synonyms, numbers) only for what is left over, and
one to one: two classes are never taken for one, unless a person says so in a file (`--classes`,
models.class_mapping).
"""

import difflib
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

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
ORDERS = ("sorted", "numbers")
"""What `--classes` may say instead of naming a file: outputs stand in the order of the sorted class names, as
torchvision's ImageFolder has them; or class N of the data is output N."""
RARE = 0.1  # of the images of the commoner spelling: rarer ones are slips of the pen
_CANONICAL = {word: sorted(group)[0] for group in SYNONYMS for word in group}
_WORDNET, _NUMBERED = re.compile(r"n\d{8}"), re.compile(r"(?:class[\s_\-]*)?(\d+)", re.IGNORECASE)


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
"""How names that no exact match was found for are folded, the surest way first."""


def is_unnamed(classes: Sequence[str]) -> bool:
    """Whether these are the names that outputs get where nobody named them: class 0, class 1 ..."""
    return all(name == f"class {i}" for i, name in enumerate(classes))


def unnamed(outputs: int) -> tuple[str, ...]:
    return tuple(f"class {i}" for i in range(outputs))


def find_class(name: str, classes: Sequence[str]) -> int | None:
    """The index of the class of this very name, or else of the only one that it folds to; None where there is
    none.

    Raises UserError where it folds to several.
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
    """Classes that are spelled much like `name`, the nearest first."""
    folded: dict[str, str] = {}
    for known in classes:
        folded.setdefault(fold(known), known)
    return [
        folded[near]
        for near in difflib.get_close_matches(fold(name[:LONGEST_NAME]), list(folded), most, cutoff)
    ]


def one_spelling(names: Sequence[str], known: Sequence[str] = ()) -> dict[str, str]:
    """For each name, the commonest of those that differ from it in case, spaces and `_-` alone, where it is
    so rare beside that one that it is a slip of the pen; otherwise itself. Single letters stay (a is not A),
    and so do names that the network knows (`known`)."""
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


@dataclass(frozen=True)
class ClassMatch:
    """`outputs`: for each class of the data, the index of the network's output. `folded`: (class of the data,
    name of the output, rule) of those that are not called the same. `order`: in words, how numbers were taken
    for outputs."""

    outputs: tuple[int, ...]
    folded: tuple[tuple[str, str, str], ...] = ()
    order: str = ""

    @property
    def notes(self) -> list[str]:
        """Every match that rests on more than equal names, in words."""
        ids = [f for f in self.folded if f[2] == "WordNet id"]
        others = [f"{data} → {output} ({rule})" for data, output, rule in self.folded if rule != "WordNet id"]
        return [
            *([f"{len(ids)} WordNet ids → ImageNet's names"] if ids else []),
            *others,
            *([self.order] if self.order else []),
        ]


def match_classes(
    data: Sequence[str],
    model: Sequence[str],
    wordnet_ids: Sequence[str] = (),
    mapping: Mapping[str, int] | None = None,
    order: str = "",
    empty: Sequence[str] = (),
) -> ClassMatch:
    """For each class of the data, the network's output.

    `mapping` (class of the data -> output) comes first, then exact names, WordNet ids, and names folded one
    to one. Where the data's classes are numbers and nothing else fits, number N is output N, if that is also
    where ImageFolder's order puts it; `order` (one of `ORDERS`) settles it otherwise. `empty`: classes
    without images, which need no output: theirs is -1 where none fits.

    Raises UserError that names both lists, or both orders.
    """
    if order:
        return _in_order(order, data, model)
    mapping = mapping or {}
    found: dict[str, int] = {name: mapping[name] for name in data if name in mapping}
    folded = [(name, model[i], "--classes") for name, i in found.items() if name != model[i]]
    if is_unnamed(model):  # nobody called the outputs so: class_3 of the data is a number, not a name
        return _unnamed_outputs(data, model, found, folded, empty)
    _match_exactly(data, model, found)
    for name in data:
        if (
            name not in found
            and _WORDNET.fullmatch(name)
            and name in wordnet_ids
            and list(wordnet_ids).index(name) not in found.values()
        ):
            found[name] = list(wordnet_ids).index(name)
            folded.append((name, model[found[name]], "WordNet id"))
    left = [name for name in data if name not in found]
    folded += _match_folded(left, model, found)
    by_name = any(name in found for name in data if name not in mapping)
    left = [name for name in left if name not in found and name not in empty]
    told = (
        _match_numbers({name: int(name) for name in left}, model, found)
        if left and not by_name and all(map(str.isdecimal, left))
        else ""
    )
    lost = [name for name in data if name not in found and name not in empty]
    if lost:
        raise UserError(_unmatched(lost, data, model, found))
    return ClassMatch(tuple(found.get(name, -1) for name in data), tuple(folded), told)


def _unnamed_outputs(
    data: Sequence[str],
    model: Sequence[str],
    found: dict[str, int],
    folded: list[tuple[str, str, str]],
    empty: Sequence[str],
) -> ClassMatch:
    """Outputs that nobody named: by number alone, of classes called 3, class 3, class_3 ..."""
    left = [name for name in data if name not in found and name not in empty]
    numbers = {name: int(text[1]) for name in left if (text := _NUMBERED.fullmatch(name))}
    told = _match_numbers(numbers, model, found) if left and len(numbers) == len(left) else ""
    if lost := [name for name in left if name not in found]:
        raise UserError(_unmatched(lost, data, model, found))
    return ClassMatch(tuple(found.get(name, -1) for name in data), tuple(folded), told)


def _match_exactly(data: Sequence[str], model: Sequence[str], found: dict[str, int]) -> None:
    counts = Counter(model)
    for name in data:
        if name in found or name not in counts:
            continue
        if counts[name] > 1:
            raise UserError(
                f"{counts[name]} outputs of the network are called '{name}': say which is meant with "
                "--classes FILE, "
                "lines 'data class, number of the output'."
            )
        found[name] = list(model).index(name)


def _match_folded(left: list[str], model: Sequence[str], found: dict[str, int]) -> list[tuple[str, str, str]]:
    """Names that are left over to outputs that are left over. Raises UserError where a folding does not say
    which."""
    made = []
    for rule, folding in FOLDINGS.items():
        pairs, unclear = pair_names(
            folding,
            [n for n in left if n not in found],
            {i: n for i, n in enumerate(model) if i not in found.values()},
        )
        if unclear:
            names, outputs = unclear[0]
            raise UserError(
                f"{_listed(names)} of the data may be {_listed(outputs, 'or')} of the network ({rule}), "
                "and two classes are never "
                "taken for one: say which is which with --classes FILE, lines 'data class, model class'."
            )
        found |= pairs
        made += [(name, model[i], rule) for name, i in pairs.items()]
    return made


def pair_names(
    folding: Callable[[str], str], left: Sequence[str], right: Mapping[int, str]
) -> tuple[dict[str, int], list[tuple[list[str], list[str]]]]:
    """Names and numbered names whose folding agrees: those that do so one to one, and the groups in which
    several do."""
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


def _match_numbers(numbers: Mapping[str, int], model: Sequence[str], found: dict[str, int]) -> str:
    """Classes that are numbers, by number, and in words how. Raises UserError where ImageFolder's order is
    another one, or the numbers may count from one: nobody can know which is meant."""
    outputs, wanted = len(model), set(numbers.values())
    if (
        max(wanted) >= outputs or len(wanted) < len(numbers) or wanted & set(found.values())
    ):  # 1 and 01, or one that --classes gave away
        return ""
    names = list(numbers)
    every = sorted(names) if len(names) == outputs else sorted(_every_name(names, outputs))
    moved = [name for name in names if name not in every or every.index(name) != numbers[name]]
    if moved or 0 not in numbers.values():
        name = (moved or names)[0]
        other = every.index(name) if moved and name in every else max(0, numbers[name] - 1)
        why = (
            f"as ImageFolder sorts names ({', '.join(every[:4])} ...)"
            if moved
            else "where numbers count from one"
        )
        options = ["--classes sorted for ImageFolder's order"] if len(names) == outputs else []
        options += [
            "--classes numbers for class N = output N",
            "--classes FILE with lines 'data class, number of the output'",
        ]
        raise UserError(
            f"The data's classes are numbers, and nobody says which output is which: '{name}' may be "
            f"output {numbers[name]}, or output "
            f"{other} {why}. Say {', or '.join(options)}."
        )
    found |= numbers
    shown = (
        "; ".join(f"{name} → {model[numbers[name]]}" for name in sorted(names, key=lambda n: numbers[n])[:12])
        if not is_unnamed(model)
        else ""
    )
    return f"class N of the data is output N, which is ImageFolder's order too{': ' if shown else ''}{shown}"


def _every_name(names: Sequence[str], outputs: int) -> list[str]:
    """What all classes would be called, some of which are `names`: the same letters, digits padded where
    theirs are."""
    digits = [re.sub(r"\D", "", name) for name in names]
    width = max(map(len, digits))
    padded = width > 1 and all(len(d) == width for d in digits) and any(d.startswith("0") for d in digits)
    before = re.sub(r"\d", "", names[0])
    return [before + str(i).zfill(width if padded else 0) for i in range(outputs)]


def _in_order(order: str, data: Sequence[str], model: Sequence[str]) -> ClassMatch:
    """Outputs by `--classes sorted` or `numbers`. Raises UserError where the network's own names say
    otherwise."""
    made = _ordered(order, data, model)
    for name, output in zip(data, made.outputs, strict=True):
        if not is_unnamed(model) and name in model and list(model).index(name) != output:
            raise UserError(
                f"--classes {order} makes '{name}' output {output}, which the network calls "
                f"'{model[output]}', while its output "
                f"{list(model).index(name)} is called '{name}': leave --classes out."
            )
    return made


def _ordered(order: str, data: Sequence[str], model: Sequence[str]) -> ClassMatch:
    if order == "sorted":
        if len(data) != len(model):
            raise UserError(
                f"--classes sorted: the data has {len(data)} classes, the network {len(model)} outputs, "
                "and sorted names tell the order "
                "only of all of them: write lines 'data class, number of the output' into a file for "
                "--classes FILE."
            )
        every = sorted(data)
        return ClassMatch(
            tuple(every.index(name) for name in data),
            order=f"outputs in the order of the sorted names: {_listed(every, '…', 6)}",
        )
    numbers = {name: int(text[1]) for name in data if (text := _NUMBERED.fullmatch(name))}
    odd = [name for name in data if numbers.get(name, len(model)) >= len(model)]
    if odd or len(set(numbers.values())) < len(data):
        raise UserError(
            f"--classes numbers: the data's classes must be different numbers from 0 to {len(model) - 1}, "
            f"and they are {', '.join((odd or list(data))[:6])}."
        )
    shown = (
        ""
        if is_unnamed(model)
        else f": {'; '.join(f'{name} → {model[numbers[name]]}' for name in list(data)[:12])}"
    )
    return ClassMatch(tuple(numbers[name] for name in data), order=f"class N of the data is output N{shown}")


def _listed(names: Sequence[str], word: str = "and", most: int = 4) -> str:
    shown = [repr(name) for name in names[:most]]
    more = f" ({len(names)})" if len(names) > most else ""
    return (
        f" {word} ".join(shown) + more
        if word != "…"
        else ", ".join(names[:most]) + (" …" if len(names) > most else "")
    )


def _unmatched(lost: list[str], data: Sequence[str], model: Sequence[str], found: Mapping[str, int]) -> str:
    def short(names: Sequence[str]) -> str:
        return ", ".join(names[:10]) + (f" ... ({len(names)})" if len(names) > 10 else "")

    if is_unnamed(model):
        if len(data) == len(model):
            return (
                f"The weights do not name their {len(model)} outputs, the data's classes are "
                f"{short(data)}: if they were trained on folders "
                "in sorted order, as ImageFolder does, say --classes sorted; else write lines 'data class, "
                "class 0' into a file "
                "and give it with --classes FILE."
            )
        return (
            f"The weights do not name their {len(model)} outputs, the data has {len(data)} classes "
            f"({short(data)}): write lines "
            "'data class, class 0' into a file and give it with --classes FILE."
        )
    taken = next(
        ((name, other) for name in lost for other, i in found.items() if fold(name) == fold(model[i])), None
    )
    if taken:
        name, other = taken
        hint = (
            f" '{name}' would be '{model[found[other]]}', which '{other}' of the data is already: to count "
            "both as one class, "
            f"write '{name}, {model[found[other]]}' there."
        )
    else:
        near = near_names(lost[0], model, 1)
        hint = f" '{lost[0]}' is near '{near[0]}'." if near else ""
    return (
        f"The model has no class for {short(lost)} of the data (data: {short(data)}; model: "
        f"{short(model)}).{hint} "
        "Write lines 'data class, model class' into a file and give it with --classes FILE."
    )
