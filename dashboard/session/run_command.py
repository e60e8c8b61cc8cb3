"""The commands of the New run tab: `run` and `check`, from the fields of its form."""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dashboard.session.page_data import checked_data
from dashboard.session.training_jobs import SAFE
from models.errors import UserError
from models.own_code.trusted import names_code

SUBJECT = (
    "model",
    "weights",
    "data",
    "which",
    "split",
    "image_col",
    "label_col",
    "label_columns",
    "other_columns",
    "labels",
    "class_names",
    "classes",
)
"""Fields that say which network, which images, and which output each class is."""
INPUT = (
    "input_size",
    "resize",
    "crop",
    "fill",
    "interpolation",
    "scale",
    "mean",
    "std",
    "channels",
    "exif",
    "bits",
    "outputs",
)
WORK = ("methods", "layer", "limit")
FIELDS = ("name", *SUBJECT, *INPUT, "device", *WORK, "force")
MARK = "# data class, number of the output; written by Vitrine's page"
"""First line of a file of class matches that the page wrote, and may write again."""


def checked_name(values: Mapping[str, str]) -> str:
    """The name of the run. Raises UserError for one that is no file name."""
    name = values.get("name", "").strip()
    if not SAFE.fullmatch(name) or name.startswith("."):
        raise UserError(f"'{name[:80]}' is no name for a run: use letters, digits, '-', '_' and '.'.")
    return name


def run_words(values: Mapping[str, str], folder: Path) -> list[str]:
    """The words of the command that writes the run. `values`: text of each of `FIELDS`; empty ones are
    left out. Raises UserError for the first value that is not accepted."""
    out = folder / checked_name(values)
    words = ["run", *_options(values, ("model", "weights", "data")), "--out", str(out)]
    words += _options(values, (*SUBJECT[3:], *INPUT, "device", *WORK))
    limit = values.get("limit", "").strip()
    if limit and not (limit.isdecimal() and int(limit) > 0):
        raise UserError(f"Limit '{limit[:40]}': give a whole number of images above 0, or nothing for all.")
    return [*words, *(["--force"] if values.get("force") else [])]


def check_words(values: Mapping[str, str]) -> list[str]:
    """The words of the command that checks the network on a sample. Raises UserError as `run_words`."""
    return ["check", *_options(values, (*SUBJECT, *INPUT, "device"))]


def _options(values: Mapping[str, str], names: Sequence[str]) -> list[str]:
    model, data = (values.get(name, "").strip() for name in ("model", "data"))
    if not model or not data:
        raise UserError("A run needs a model and data: a folder, a table, or a data set's name.")
    checked_data(data)
    if names_code(model):
        raise UserError(f"'{model}' is code, which a page does not run: start it on the command line.")
    words = []
    for name in names:
        value = values.get(name, "").strip()
        if value.startswith("--") or "\0" in value or "\n" in value:
            shown = " ".join(value[:40].split())
            raise UserError(f"{name.replace('_', ' ')} '{shown}' is no value: one line without -- before.")
        if value and not (name == "device" and value == "cpu"):
            words += [f"--{name.replace('_', '-')}", value]
    return words


def filled_in(values: Mapping[str, str], words: Sequence[str]) -> dict[str, str]:
    """The fields with the options that another reading asks for (`--mean 0.5 --std 0.5`)."""
    changed = dict(values)
    for option, value in zip(words[::2], words[1::2], strict=False):
        name = option.removeprefix("--").replace("-", "_")
        if name not in (*SUBJECT, *INPUT):
            raise UserError(f"{option} has no field here: start the run on the command line.")
        changed[name] = value
    if "--resize" in words:
        changed["crop"] = changed["fill"] = ""  # they belong to another way of resizing
    return changed


def classes_file(folder: Path, name: str) -> Path:
    """Where the corrected matching of classes of a run is written."""
    return folder / f"{name}.classes.csv"


def write_classes(path: Path, rows: Sequence[Mapping[str, Any]], outputs: Sequence[str]) -> None:
    """Write the whole matching, by number; as 'output 3' where names are numbers; nothing for a class that is
    left out. Raises UserError where the output of a class is still to be chosen, and where a file of that
    name was written by others."""
    if unknown := [str(row["data"]) for row in rows if row.get("open")]:
        raise UserError(
            f"The sample does not show the output of {', '.join(unknown[:6])}: choose it in the matching of "
            "classes, or leave the class out."
        )
    text = io.StringIO()
    text.write(f"{MARK}\n")
    table = csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\n")
    names = [*outputs, *(str(row["data"]) for row in rows)]
    numbered = any(name.isdecimal() for name in names)
    for row in rows:
        if row.get("left_out"):
            table.writerow([row["data"], ""])
        elif (output := row["output"]) is not None:
            table.writerow([row["data"], f"output {output}" if numbered else output])
    try:
        if path.exists() and not path.read_text(encoding="utf-8", errors="replace").startswith(MARK):
            raise UserError(f"{path} was not written by this page: choose another name for the run.")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.getvalue(), encoding="utf-8")
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror or error}.") from error
