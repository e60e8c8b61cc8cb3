"""Tables as files: CSV, Parquet, JSON lines, and lists of images with their labels."""

import json
import re
from typing import Any

import pandas as pd

from models.data.images import ARRAY, SUFFIXES, is_image
from models.data.label_sets import set_reading
from models.data.remote.location import Location, readable
from models.errors import UserError

CSV = (".csv", ".tsv")
JSON_LINES = (".jsonl", ".ndjson")
LISTS = (".txt", ".lst")
_SUFFIX = "|".join(re.escape(suffix) for suffix in sorted((*SUFFIXES, ARRAY), key=len, reverse=True))
_LINE = re.compile(rf"(?P<image>.*(?:{_SUFFIX})[\"']?)[\s,;]+(?P<label>\S.*)", re.IGNORECASE)
_HEADER = re.compile(
    r"(image|path|file|filename|file_name|image_path|filepath|id|image_id)[\s,;]+\w+", re.IGNORECASE
)


def read_table(path: Location, *, words: bool = False) -> pd.DataFrame:
    """CSV (UTF-8, also with a byte order mark) as text, Parquet and JSON lines with their types; rows are
    renumbered. `words`: NA, None and null are text, and only a cell without characters is empty. Raises
    UserError for a file that is no table."""
    try:
        if path.suffix.lower() == ".parquet":
            return pd.read_parquet(readable(path)).reset_index(drop=True)
        if path.suffix.lower() in JSON_LINES:
            return _json_lines(path)
        return _csv(path, words)
    except UserError:  # of a server
        raise
    except UnicodeDecodeError as error:
        raise _not_utf_8(path, error) from error
    except Exception as error:  # pandas and pyarrow each have their own kinds
        raise UserError(
            f"'{path}' cannot be read as a table ({_first_line(error)}): give CSV, JSON lines or Parquet."
        ) from error


def read_image_table(path: Location) -> tuple[pd.DataFrame, str]:
    """As `read_table` with `words`, and one line about a CSV file without a header: its first line then is a
    row, the images are column `image`, and a single other column is `label`."""
    table = read_table(path, words=True)
    if path.suffix.lower() not in CSV or not (images := [name for name in table if _is_image(name, path)]):
        return table, ""
    first = table.columns.get_loc(images[0])
    rows = _csv(path, words=True, header=None)
    others = ["label"] if len(rows.columns) == 2 else [f"column {i + 1}" for i in range(len(rows.columns))]
    rows.columns = pd.Index(
        ["image" if i == first else others[i if len(others) > 1 else 0] for i in range(len(rows.columns))]
    )
    return rows, f"no header: the first line names image '{str(images[0])[:60]}' and is read as a row"


def _is_image(name: object, path: Location) -> bool:
    """Whether the name of a column is that of an image: by its suffix, or by the file beside the table."""
    text = str(name).strip()
    return text.lower().endswith((*SUFFIXES, ARRAY)) or is_image(path.parent / text)


def _csv(path: Location, words: bool, **options: Any) -> pd.DataFrame:
    empty = {"keep_default_na": False, "na_values": [""]} if words else {}
    given: dict[str, Any] = {"engine": "python", "dtype": str, "encoding": "utf-8-sig", **empty, **options}
    return pd.read_csv(readable(path), sep=None, **given)


def _not_utf_8(path: Location, error: UnicodeDecodeError) -> UserError:
    byte = error.object[error.start]
    return UserError(f"'{path}' is not encoded in UTF-8 (it has the byte 0x{byte:02X}): save it as UTF-8.")


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:100]


def _json_lines(path: Location) -> pd.DataFrame:
    """One object a line. Raises ValueError, with the number of the line, for anything else."""
    rows = []
    with path.open(encoding="utf-8-sig") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise ValueError(f"line {number} is no JSON") from error
            if not isinstance(row, dict):
                raise ValueError(f"line {number} is no object")
            rows.append(row)
    if not rows:
        raise ValueError("it is empty")
    return pd.DataFrame(rows)


def read_list(path: Location) -> pd.DataFrame:
    """Columns `image` and `label` of a list with an image and its label a line: the image ends after its
    suffix, or else before the last space. A file with a header is read as CSV. Raises UserError for a file
    that is no such list."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UserError:  # of a server
        raise
    except UnicodeDecodeError as error:
        raise _not_utf_8(path, error) from error
    except (OSError, ValueError) as error:
        raise UserError(f"'{path}' cannot be read as a list ({_first_line(error)}).") from error
    filled = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    if not filled:
        raise UserError(f"'{path}' is empty: each line of a list is an image and its label.")
    if _HEADER.match(filled[0]) and not _LINE.fullmatch(filled[0]):
        return read_table(path, words=True)
    pairs = [_pair(line) for line in filled]
    labels = [label for _, label in pairs if label]
    numbers = labels and all(re.fullmatch(r"[\d.+-]+([\s,;]+[\d.+-]+)+", label) for label in labels)
    if numbers and set_reading(labels) is None:
        raise UserError(
            f"'{path}' holds several numbers for one image ('{labels[0][:40]}'): they may be classes, or 0 "
            "and 1 for each class. Write several labels as 3|7, or give a table with one column a class."
        )
    return pd.DataFrame(pairs, columns=["image", "label"])


def _pair(line: str) -> tuple[str, str | None]:
    """(image, label); None for a line without a label."""
    if found := _LINE.fullmatch(line):
        return found["image"].strip("\"'"), found["label"].strip().strip("\"'")
    if line.lower().endswith((*SUFFIXES, ARRAY)):
        return line, None
    image, *label = line.rsplit(None, 1)
    return image, label[0] if label else None
