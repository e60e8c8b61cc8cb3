"""Classes that are numbers, or stand in the order of their names: which output of the network is which."""

import re
from collections.abc import Mapping, Sequence

from models.classes import is_unnamed
from models.errors import UserError

ORDERS = ("sorted", "numbers")
"""What `--classes` may say instead of naming a file: outputs stand in the order of the sorted class names, as
torchvision's ImageFolder has them; or class N of the data is output N."""
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
    options += [
        "--classes numbers for class N = output N",
        "--classes FILE with lines 'data class, number of the output'",
    ]
    return UnclearOrder(
        f"The data's classes are numbers, and their order is ambiguous: '{name}' may be output "
        f"{numbers[name]}, or output {other} {why}. Use {', or '.join(options)}.",
        ("sorted", "numbers") if len(numbers) == outputs else ("numbers",),
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
    """For each class of the data, the output by `--classes sorted` or `numbers`; and one line that says how.
    `empty`: classes without images, of which the network may know nothing (-1). Raises UserError where the
    network's own names contradict it."""
    outputs, note = _sorted(data, model, empty) if order == "sorted" else _numbered(data, model)
    for name, output in zip(data, outputs, strict=True):
        if output >= 0 and not is_unnamed(model) and name in model and list(model).index(name) != output:
            raise UserError(
                f"--classes {order} makes '{name}' output {output}, which the network calls "
                f"'{model[output]}', while its output "
                f"{list(model).index(name)} is called '{name}': leave --classes out."
            )
    return outputs, note


def _sorted(data: Sequence[str], model: Sequence[str], empty: Sequence[str]) -> tuple[tuple[int, ...], str]:
    without = "" if len(data) == len(model) or not empty else f", without {', '.join(empty)} (no image)"
    known = [name for name in data if name not in empty] if without else list(data)
    if len(known) != len(model):
        raise UserError(
            f"--classes sorted: the data has {len(data)} classes, the network {len(model)} outputs, and "
            "sorted names give the order only of all classes: write lines 'data class, number of the output' "
            "into a file for --classes FILE."
        )
    every = sorted(known)
    shown = ", ".join(every[:6]) + (" …" if len(every) > 6 else "")
    outputs = tuple(every.index(name) if name in every else -1 for name in data)
    return outputs, f"outputs in the order of the sorted names{without}: {shown}"


def _numbered(data: Sequence[str], model: Sequence[str]) -> tuple[tuple[int, ...], str]:
    numbers = numbers_in(data)
    odd = [name for name in data if numbers.get(name, len(model)) >= len(model)]
    if odd or len(set(numbers.values())) < len(data):
        raise UserError(
            f"--classes numbers: the data's classes must be different numbers from 0 to {len(model) - 1}, "
            f"and they are {', '.join((odd or list(data))[:6])}."
        )
    pairs = [] if is_unnamed(model) else [f"{name} → {model[numbers[name]]}" for name in list(data)[:12]]
    note = f"class N of the data is output N{': ' if pairs else ''}{'; '.join(pairs)}"
    return tuple(numbers[name] for name in data), note
