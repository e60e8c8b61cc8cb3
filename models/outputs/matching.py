"""Match the numbers of the data to the outputs of a network that answers numbers."""

from collections.abc import Mapping, Sequence

import numpy as np

from models.classes.matching import ClassMatch
from models.classes.names import is_unnamed, plain
from models.counts import counted
from models.data.source import Item, has_numbers
from models.data.tables.table import LABEL_COLUMNS
from models.errors import UserError
from models.outputs.task_names import REGRESSION, SINGLE

GENERAL = (*LABEL_COLUMNS, "number", "labels", "cls")
"""Names of columns that say nothing about what their numbers are."""
SHOWN = 8


def match_outputs(
    data: Sequence[str], model: Sequence[str], name: str, mapping: Mapping[str, int] | None = None
) -> ClassMatch:
    """For each column of numbers of the data, the output of the network `name`: as `mapping` says, by equal
    names, by names that differ in case, spaces and `_-`; by order where the outputs, or the one column of the
    data, have no names. Raises UserError where a column or an output is left over."""
    if len(data) != len(model):
        raise UserError(_counts(data, model, name))
    found = {column: output for column, output in (mapping or {}).items() if column in data}
    left = [column for column in data if column not in found]
    unnamed = is_unnamed(model) or (len(data) == 1 and plain(data[0]) in GENERAL)
    if unnamed and not found:
        pairs = ", ".join(f"{column} → output {k}" for k, column in enumerate(data[:SHOWN]))
        order = f"outputs without names, in the order of the columns: {pairs}"
        if len(data) == 1:
            order = f"{data[0]} → {'the one output' if is_unnamed(model) else model[0]}"
        return ClassMatch(tuple(range(len(data))), order=order)
    folded = [(column, model[output], "--classes") for column, output in found.items()]
    for column in left:
        exact = [k for k, output in enumerate(model) if output == column]
        alike = exact or [k for k, output in enumerate(model) if plain(output) == plain(column)]
        if len(alike) != 1 or alike[0] in found.values():
            raise UserError(_unmatched(column, data, model, name))
        found[column] = alike[0]
        folded += [] if exact else [(column, model[alike[0]], "spelling")]
    if len(set(found.values())) < len(found):
        raise UserError(_unmatched(data[-1], data, model, name))
    return ClassMatch(tuple(found[column] for column in data), tuple(folded))


def true_numbers(items: Sequence[Item], outputs: Mapping[str, int], columns: Sequence[str]) -> np.ndarray:
    """The true numbers (N, R) float64 of images, in the order of the outputs; `outputs`: column -> output.
    Raises UserError for an image without a finite number for each."""
    for item in items:
        if not has_numbers(item, len(columns)):
            raise UserError(
                f"Image '{item.id[:60]}' has no finite number for each of {_shown(columns)}: leave it out, "
                "or give Item.of_numbers(id, numbers)."
            )
    truth = np.empty((len(items), len(columns)))
    truth[:, [outputs[column] for column in columns]] = np.reshape(
        [item.numbers for item in items], (len(items), len(columns))
    )
    return truth


def _counts(data: Sequence[str], model: Sequence[str], name: str) -> str:
    if len(model) == 1:
        advice = "name one of these columns with --label-col, or give a network with an output for each."
    elif len(data) == 1:
        advice = (
            "name a column of numbers for each output with --label-col a,b; or read the labels as classes "
            f"with --task {SINGLE}."
        )
    else:
        advice = (
            "name a column of numbers for each output with --label-col a,b; or one column to be read as "
            f"classes with --task {SINGLE}."
        )
    return (
        f"{name} has {counted(len(model), 'output')} ({_shown(model)}), and the data has "
        f"{counted(len(data), 'number')} for each image ({_shown(data)}): {advice}"
    )


def _unmatched(column: str, data: Sequence[str], model: Sequence[str], name: str) -> str:
    return (
        f"No output of {name} is called '{column}': the data has {_shown(data)}, the network {_shown(model)}"
        f"; give --classes FILE with lines 'column, output' for the task {REGRESSION}."
    )


def _shown(names: Sequence[str]) -> str:
    return ", ".join(names[:SHOWN]) + (" ..." if len(names) > SHOWN else "")
