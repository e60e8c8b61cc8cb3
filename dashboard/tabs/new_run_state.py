"""What the New run tab shows: kept in the page's state, changed by one action at a time."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from dashboard.components.check_view import SETTINGS, SUBJECTS
from dashboard.session.run_command import INPUT, SUBJECT
from models.class_index import find_index
from models.errors import UserError

OUTPUT, NAMED = "output:", "named:"
"""Actions of the table of classes: a row gets an output by its number, or by its name."""


@dataclass(frozen=True)
class NewRunView:
    """`checked`: the object of `check --json`, empty before a check; `command`: of that check; `subject`:
    network and data that it was about, and `settings`: all that it depends on; `corrections`: row of the
    matching -> output, as a person chose; `outdated`: '', or what the form says otherwise by now."""

    checked: dict[str, Any] = field(default_factory=dict)
    command: str = ""
    subject: str = ""
    corrections: dict[str, int] = field(default_factory=dict)
    settings: str = ""
    outdated: str = ""

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The matching of the classes, with the corrections."""
        outputs = self.checked.get("outputs", [])
        return [
            row | {"output": output, "name": outputs[output], "rule": "corrected"}
            if (output := self.corrections.get(str(k))) is not None
            else row
            for k, row in enumerate(self.checked.get("matching", []))
        ]

    def of(self, values: Mapping[str, str], checked: dict[str, Any], command: str) -> "NewRunView":
        """After a check. Corrections stay where it was about the same network, data and outputs."""
        subject = subject_of(values)
        same = subject == self.subject and _classes(checked) == _classes(self.checked)
        corrections = self.corrections if same else {}
        checked_with = settings_of(values, self.corrections if self.corrected(values) else {})
        return NewRunView(checked, command, subject, corrections, checked_with).compared(values)

    def compared(self, values: Mapping[str, str]) -> "NewRunView":
        """The view beside a form that may have been changed since the check."""
        if not self.checked:
            return self
        if subject_of(values) != self.subject:
            return replace(self, outdated=SUBJECTS)
        same = settings_of(values, self.corrections) == self.settings
        return replace(self, outdated="" if same else SETTINGS)

    def corrected(self, values: Mapping[str, str]) -> bool:
        """Whether corrections belong to what the form names now."""
        return bool(self.corrections) and subject_of(values) == self.subject

    def apply(self, action: str, value: str) -> "NewRunView":
        """The view after a click. What does not fit leaves it as it is. Raises UserError for a name that no
        output has."""
        kind = next((kind for kind in (OUTPUT, NAMED) if action.startswith(kind)), None)
        row, outputs = action.partition(":")[2], self.checked.get("outputs", [])
        if kind is None or row not in map(str, range(len(self.checked.get("matching", [])))):
            return self
        output = find_index(value, outputs) if kind == NAMED else _number(value)
        if output is None or output >= len(outputs):
            if kind == OUTPUT:
                return self
            raise UserError(f"No output is called '{value[:60]}': give a name of the list, or its number.")
        return replace(self, corrections={**self.corrections, row: output})


def subject_of(values: Mapping[str, str]) -> str:
    """Network and data of a form, as one text."""
    return json.dumps([values.get(name, "").strip() for name in SUBJECT])


def settings_of(values: Mapping[str, str], corrections: Mapping[str, int]) -> str:
    """All that the result of a check depends on, as one text."""
    names = (*SUBJECT, *INPUT, "device")
    return json.dumps([[values.get(name, "").strip() for name in names], sorted(corrections.items())])


def _classes(checked: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """The classes of the data, and the network's outputs."""
    return [row["data"] for row in checked.get("matching", [])], checked.get("outputs", [])


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else None
