"""Exported tables: no cell is a formula to a spreadsheet, and a file is written completely or not at all. No
torch."""

from pathlib import Path
from typing import Any

import pandas as pd

from models.files.atomic import output_file

FORMULA = ("=", "+", "-", "@", "＝", "＋", "－", "＠")
"""First characters that spreadsheets read as a formula (OWASP, *CSV Injection*), also after characters that
they ignore."""
_PASSED_OVER = "\t\r\n \0\ufeff\u200b"


def plain(value: Any) -> Any:
    """Text that a spreadsheet does not read as a formula, and that stays one cell of one row: carriage
    returns become line feeds. Values that are not text are returned as they are."""
    if not isinstance(value, str):
        return value
    value = value.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "")
    return f"'{value}" if _is_formula(value) else value


def unquoted(text: str) -> str:
    """The inverse of `plain`."""
    return text[1:] if text.startswith("'") and _is_formula(text[1:]) else text


def _is_formula(text: str) -> bool:
    return text.lstrip(_PASSED_OVER).startswith(FORMULA) or text.startswith(("\t", "\n"))


def spreadsheet_safe(table: pd.DataFrame) -> pd.DataFrame:
    """Every text of the table, its names of columns and its index too, as `plain` writes it."""
    made = table.rename(columns=plain, index=plain)
    for name, values in made.items():
        if not pd.api.types.is_numeric_dtype(values):
            made[name] = values.map(plain)
    return made


def write_csv(table: pd.DataFrame, out: Path, index: bool = False) -> None:
    """Raises UserError where it cannot be written; nothing is left of it then."""
    with output_file(out, "free space, or choose another name") as temporary:
        spreadsheet_safe(table).to_csv(temporary, index=index)
