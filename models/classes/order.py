"""Classes that are numbers, or stand in the order of their names: which output of the network is which."""

import re
from collections.abc import Mapping, Sequence

from models.classes.names import is_unnamed
from models.counts import counted
from models.errors import UserError

FROM_ONE = "numbers-from-1"
ORDERS = ("sorted", "numbers", FROM_ONE)
"""What `--classes` may say instead of naming a file: outputs stand in the order of the sorted class names, as
torchvision's ImageFolder has them; class N of the data is output N; or class N is output N - 1."""
_NUMBERED = re.compile(r"(?:class[\s_\-]*)?(\d+)", re.IGNORECASE)


class UnclearOrder(UserError):
    """The order of the classes is not known; `orders`: those of `ORDERS` that it may be."""

    def __init__(self, message: str, orders: Sequence[str]):
        super().__init__(message)
        self.orders = tuple(orders)


def numbers_in(names: Sequence[str]) -> dict[str, int]:
    """The number in each name that is one (3, class 3, class_3 ...); other names are left out."""
    return {name: int(text[1]) for name in names if (text := _NUMBERED.fullmatch(name))}


def match_numbers(numbers: Mapping[str, int], model: Sequence[str], found: dict[str, int]) -> str:
    """Add classes that are numbers to `found` (class of the data -> output). Returns one line that says how,
    or empty text where they do not fit. Raises UserError where ImageFolder's order differs, or the numbers
    may count from one."""
    outputs, wanted = len(model), set(numbers.values())
    repeated = len(wanted) < len(numbers)  # 1 and 01
    if max(wanted) >= outputs or repeated or wanted & set(found.values()):
        return ""
    names = list(numbers)
    every = sorted(names) if len(names) == outputs else sorted(_every_name(names, outputs))
    moved = [name for name in names if name not in every or every.index(name) != numbers[name]]
    if moved or 0 not in wanted:
        raise _unclear_order((moved or names)[0], numbers, every, bool(moved), outputs)
    found |= numbers
    pairs = [f"{name} → {model[numbers[name]]}" for name in sorted(names, key=lambda n: numbers[n])[:12]]
    shown = "" if is_unnamed(model) else f": {'; '.join(pairs)}"
    return f"class N of the data is output N, which is ImageFolder's order too{shown}"


def count_from_one(names: Sequence[str], outputs: int) -> bool:
    """Whether all names are numbers, and those are different and from 1 to `outputs`."""
    numbers = set(numbers_in(names).values())
    return bool(names) and len(numbers) == len(names) and min(numbers) >= 1 and max(numbers) <= outputs


def counted_from_one(names: Sequence[str], outputs: int) -> str:
    """The option that takes classes 1, 2 … in the order of their numbers, where that is not the order of
    their sorted names too; otherwise empty."""
    if not count_from_one(names, outputs):
        return ""
    numbers = numbers_in(names)
    in_order = sorted(names, key=lambda name: numbers[name])
    return "" if in_order == sorted(names) and len(names) == outputs else FROM_ONE


def _unclear_order(
    name: str, numbers: Mapping[str, int], every: list[str], moved: bool, outputs: int
) -> UserError:
    """`every`: all names in ImageFolder's order; `moved`: whether the numbers have another order."""
    other = every.index(name) if moved and name in every else max(0, numbers[name] - 1)
    why = (
        f"as ImageFolder sorts names ({', '.join(every[:4])} ...)"
        if moved
        else "where numbers count from one"
    )
    options = ["--classes sorted for ImageFolder's order"] if len(numbers) == outputs else []
    options.append("--classes numbers for class N = output N")
    from_one = counted_from_one(list(numbers), outputs)
    if from_one:
        options.append(f"--classes {from_one} for class N = output N - 1")
    options.append("--classes FILE with lines 'data class, number of the output'")
    orders = [*(["sorted"] if len(numbers) == outputs else []), "numbers", *([from_one] if from_one else [])]
    return UnclearOrder(
        f"The data's classes are numbers, and their order is ambiguous: '{name}' may be output "
        f"{numbers[name]}, or output {other} {why}. Use {', or '.join(options)}.",
        orders,
    )


def _every_name(names: Sequence[str], outputs: int) -> list[str]:
    """The names of all classes, some of which are `names`: the same prefix, digits padded where theirs
    are."""
    digits = [re.sub(r"\D", "", name) for name in names]
    width = max(map(len, digits))
    padded = width > 1 and all(len(d) == width for d in digits) and any(d.startswith("0") for d in digits)
    before = re.sub(r"\d", "", names[0])
    return [before + str(i).zfill(width if padded else 0) for i in range(outputs)]


def outputs_in_order(
    order: str, data: Sequence[str], model: Sequence[str], empty: Sequence[str] = ()
) -> tuple[tuple[int, ...], str]:
    """For each class of the data, the output by `order`, one of `ORDERS`; and one line that says how.
    `empty`: classes without images, of which the network may know nothing (-1). Raises UserError where the
    network's own names contradict it."""
    if order == "sorted":
        outputs, note = _sorted(data, model, empty)
    else:
        outputs, note = _numbered(data, model, 1 if order == FROM_ONE else 0)
    for name, output in zip(data, outputs, strict=True):
        if output >= 0 and not is_unnamed(model) and name in model and list(model).index(name) != output:
            raise UserError(
                f"--classes {order} makes '{name}' output {output}, which the network calls "
                f"'{model[output]}', while its output {list(model).index(name)} is called '{name}': leave "
                "--classes out, or correct the names where you gave them with --class-names."
            )
    return outputs, note


def _sorted(data: Sequence[str], model: Sequence[str], empty: Sequence[str]) -> tuple[tuple[int, ...], str]:
    without = "" if len(data) == len(model) or not empty else f", without {', '.join(empty)} (no image)"
    known = [name for name in data if name not in empty] if without else list(data)
    if len(known) != len(model):
        raise UserError(
            f"--classes sorted: the data has {counted(len(data), 'class')}, the network "
            f"{counted(len(model), 'output')}, and sorted names give the order only of all classes: write "
            "lines 'data class, number of the output' into a file for --classes FILE."
        )
    every = sorted(known)
    shown = ", ".join(every[:6]) + (" …" if len(every) > 6 else "")
    outputs = tuple(every.index(name) if name in every else -1 for name in data)
    return outputs, f"outputs in the order of the sorted names{without}: {shown}"


def _numbered(data: Sequence[str], model: Sequence[str], first: int) -> tuple[tuple[int, ...], str]:
    """`first`: the number of the class that is output 0."""
    numbers, last = numbers_in(data), first + len(model) - 1
    odd = [name for name in data if not first <= numbers.get(name, -1) <= last]
    if odd or len(set(numbers.values())) < len(data):
        order, hint = "numbers", ""
        if first:
            order = FROM_ONE
        elif count_from_one(data, len(model)):
            hint = f" They count from 1: use --classes {FROM_ONE} (class N is output N - 1)."
        raise UserError(
            f"--classes {order}: the data's classes must be different numbers from {first} to {last}, "
            f"and they are {', '.join((odd or list(data))[:6])}.{hint}"
        )
    outputs = tuple(numbers[name] - first for name in data)
    by_number = sorted(zip(outputs, data, strict=True))[:12]
    pairs = [f"{name} → {model[output]}" for output, name in by_number] if not is_unnamed(model) else []
    which = "N - 1" if first else "N"
    return outputs, f"class N of the data is output {which}{': ' if pairs else ''}{'; '.join(pairs)}"
