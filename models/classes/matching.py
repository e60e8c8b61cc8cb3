"""Match the classes of the data to the outputs of a network.

Exact names come first. Names are folded only for what is left over, and one to one: two classes are never
merged, unless a person says so in a file (`--classes`, models.classes.mapping).
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from models.classes.names import FOLDINGS, fold, is_unnamed, near_names, pair_names
from models.classes.order import UnclearOrder, counted_from_one, match_numbers, numbers_in, outputs_in_order
from models.counts import be, counted
from models.errors import UserError

_WORDNET = re.compile(r"n\d{8}")


@dataclass(frozen=True)
class ClassMatch:
    """`outputs`: for each class of the data, the index of the network's output. `folded`: (class of the data,
    name of the output, rule) of those whose names differ. `order`: one line on how numbers were matched to
    outputs, or empty."""

    outputs: tuple[int, ...]
    folded: tuple[tuple[str, str, str], ...] = ()
    order: str = ""

    @property
    def notes(self) -> list[str]:
        """One line for every match whose names differ."""
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
        outputs, note = outputs_in_order(order, data, model, empty)
        return ClassMatch(outputs, order=note)
    mapping = mapping or {}
    found: dict[str, int] = {name: mapping[name] for name in data if name in mapping}
    folded = [(name, model[i], "--classes") for name, i in found.items() if name != model[i]]
    named = not is_unnamed(model)  # class_3 of the data is a number, not a name, where outputs have none
    if named:
        _match_exactly(data, model, found)
        folded += _match_wordnet(data, model, wordnet_ids, found)
        folded += _match_folded([name for name in data if name not in found], model, found)
    by_name = any(name in found for name in data if name not in mapping)
    left = [name for name in data if name not in found and name not in empty]
    numbers = numbers_in(left if not named else [name for name in left if name.isdecimal()])
    note = match_numbers(numbers, model, found) if left and not by_name and len(numbers) == len(left) else ""
    if lost := [name for name in left if name not in found]:
        raise _unmatched(lost, [name for name in data if name not in empty], model, found)
    return ClassMatch(tuple(found.get(name, -1) for name in data), tuple(folded), note)


def _match_exactly(data: Sequence[str], model: Sequence[str], found: dict[str, int]) -> None:
    counts = Counter(model)
    for name in data:
        if name in found or name not in counts:
            continue
        if counts[name] > 1:
            raise UserError(
                f"{counted(counts[name], 'output')} of the network {be(counts[name])} called '{name}': "
                "choose one with --classes FILE, lines 'data class, number of the output'."
            )
        found[name] = list(model).index(name)


def _match_wordnet(
    data: Sequence[str], model: Sequence[str], wordnet_ids: Sequence[str], found: dict[str, int]
) -> list[tuple[str, str, str]]:
    """Classes that are WordNet ids, to the outputs of these ids."""
    index, made = {name: i for i, name in enumerate(wordnet_ids)}, []
    for name in data:
        output = index.get(name)
        if name in found or output is None or output in found.values() or not _WORDNET.fullmatch(name):
            continue
        found[name] = output
        made.append((name, model[output], "WordNet id"))
    return made


def _match_folded(left: list[str], model: Sequence[str], found: dict[str, int]) -> list[tuple[str, str, str]]:
    """Match the remaining names to the remaining outputs. Raises UserError where a folding is ambiguous."""
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
                f"{_quoted(names, 'and')} of the data may be {_quoted(outputs, 'or')} of the network "
                f"({rule}), and two classes are never merged: assign them with --classes FILE, "
                "lines 'data class, model class'."
            )
        found |= pairs
        made += [(name, model[i], rule) for name, i in pairs.items()]
    return made


def _quoted(names: Sequence[str], word: str, most: int = 4) -> str:
    more = f" ({len(names)})" if len(names) > most else ""
    return f" {word} ".join(repr(name) for name in names[:most]) + more


def _short(names: Sequence[str]) -> str:
    return ", ".join(names[:10]) + (f" ... ({len(names)})" if len(names) > 10 else "")


def _unmatched(
    lost: list[str], data: Sequence[str], model: Sequence[str], found: Mapping[str, int]
) -> UserError:
    """For classes of the data that no output is for."""
    if is_unnamed(model):
        return _without_names(data, len(model))
    return UserError(
        f"The model has no class for {_short(lost)} of the data (data: {_short(data)}; model: "
        f"{_short(model)}).{_hint(lost, model, found)} Write lines 'data class, model class' (or 'data "
        "class,' to leave it out) into a file and give it with --classes FILE."
    )


def _without_names(data: Sequence[str], outputs: int) -> UserError:
    if len(data) == outputs:
        from_one = counted_from_one(data, outputs)
        order = f"; if class N is output N - 1 (1, 2, … {outputs}), --classes {from_one}" if from_one else ""
        return UnclearOrder(
            f"The weights do not name their {counted(outputs, 'output')}, the data's classes are "
            f"{_short(data)}: if they were trained on folders in sorted order, as ImageFolder does, use "
            f"--classes sorted{order}; else write lines 'data class, class 0' into a file and give it with "
            "--classes FILE.",
            ("sorted", from_one) if from_one else ("sorted",),
        )
    return UserError(
        f"The weights do not name their {counted(outputs, 'output')}, the data has "
        f"{counted(len(data), 'class')} ({_short(data)}): write lines 'data class, class 0' (or 'data "
        "class,' to leave it out) into a file and give it with --classes FILE."
    )


def _hint(lost: list[str], model: Sequence[str], found: Mapping[str, int]) -> str:
    """An output that another class of the data has already, or a name that is spelled nearly so."""
    for name in lost:
        for other, i in found.items():
            if fold(name) == fold(model[i]):
                return (
                    f" '{name}' would be '{model[i]}', which '{other}' of the data is already: to count both "
                    f"as one class, write '{name}, {model[i]}' there."
                )
    near = near_names(lost[0], model, 1)
    return f" '{lost[0]}' is near '{near[0]}'." if near else ""
