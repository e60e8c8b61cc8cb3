"""Feature visualization on the command line: the selection of units, and the files that are written."""

import csv
from pathlib import Path

import numpy as np
from PIL import Image

from explain.features.activation_maximization import Maximized, Settings
from explain.features.kernels import kernels
from explain.render import side_by_side
from models.classes.index import class_index
from models.classifier import Classifier
from models.errors import UserError

MOST = 256


def units_in(text: str, classes: tuple[str, ...] = ()) -> list[int]:
    """'0-3,7' -> [0, 1, 2, 3, 7]; where there are `classes`, also by their names, which take precedence.
    Raises UserError for anything else, and for ranges where classes are called by numbers."""
    units: list[int] = []
    for word in (part.strip() for part in text.split(",")):
        low, dash, high = word.partition("-")
        if word in classes or (low.isdecimal() and not dash and any(map(str.isdecimal, classes))):
            units.append(class_index(word, classes))
        elif low.isdecimal() and dash and any(map(str.isdecimal, classes)):
            raise UserError(
                f"--units {word}: the classes are called by numbers, so name each one: "
                f"{', '.join(classes[:3])} ..."
            )
        elif low.isdecimal() and (not dash or (high.isdecimal() and int(high) >= int(low))):
            units += range(int(low), min(int(high if dash else low), int(low) + MOST) + 1)
        elif classes and word:
            units.append(class_index(word, classes))
        elif word:
            raise UserError(f"--units {word}: give numbers and ranges, such as 0-15,20.")
    units = list(dict.fromkeys(units))
    if not 0 < len(units) <= MOST:
        raise UserError(f"--units {text}: {len(units)} units selected; 1 to {MOST} are allowed.")
    return units


def write(classifier: Classifier, made: Maximized, settings: Settings, out: Path) -> list[str]:
    """Write `sheet.png`, one picture per unit, and `units.csv`; returns lines for the terminal. Raises
    UserError where they cannot be written."""
    names = [classifier.classes[unit] if not settings.layer else str(unit) for unit in made.units]
    try:
        out.mkdir(parents=True, exist_ok=True)
        for unit, picture in zip(made.units, made.pictures, strict=True):
            Image.fromarray(picture).save(out / f"{unit:04d}.png")
        Image.fromarray(side_by_side(made.pictures, min(8, len(names)))).save(out / "sheet.png")
        weights = _weights(classifier, settings.layer)
        with (out / "units.csv").open("w", newline="", encoding="utf-8") as file:
            table = csv.writer(file)
            table.writerow(
                ["unit", "name", "answer_to_noise", "answer_to_picture", "reached_by_gradient", *weights]
            )
            for k, unit in enumerate(made.units):
                of_weights = [f"{column[unit]}" for column in weights.values()]
                table.writerow(
                    [
                        unit,
                        names[k],
                        f"{made.began[k]:.6g}",
                        f"{made.answers[k]:.6g}",
                        bool(made.moved[k]),
                        *of_weights,
                    ]
                )
    except OSError as error:
        raise UserError(
            f"'{out}' cannot be written ({error.strerror or error}): choose another --out."
        ) from error
    lines = [
        f"{name:>20}  {made.began[k]:9.4g} for noise, {made.answers[k]:9.4g} for its picture"
        if made.moved[k]
        else f"{name:>20}  no input activates this unit"
        for k, name in enumerate(names)
    ]
    return [*lines, f"sheet      {out / 'sheet.png'}", f"table      {out / 'units.csv'}"]


def _weights(classifier: Classifier, layer: str) -> dict[str, np.ndarray]:
    """Columns about the weights of the layer's filters, where it has any."""
    try:
        filters = kernels(classifier.model, layer)
    except UserError:
        return {}
    return {
        "norm": filters.norms,
        "dead": filters.dead,
        "most_similar": filters.twin,
        "cosine": filters.cosine,
    }
