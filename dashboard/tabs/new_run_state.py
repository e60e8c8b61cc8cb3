"""What the New run tab shows: kept in the page's state, changed by one action at a time."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from dashboard.components.listed.check_view import SETTINGS, SUBJECTS
from dashboard.session.run_command import INPUT, SUBJECT
from explain.formatting import be, counted
from models.classes.index import find_index
from models.errors import UserError

OUTPUT, NAMED, LEAVE = "output:", "named:", "leave:"
"""Actions of the table of classes: a row gets an output by its number, or by its name; its class is left out,
or taken back."""
LEFT_OUT, OPEN = -1, -2
"""In place of an output: the images of the class are left out; an output is still to be chosen."""
RULES = {LEFT_OUT: "left out", OPEN: "not shown by the sample: choose its output"}


@dataclass(frozen=True)
class NewRunView:
    """`checked`: the object of `check --json`, empty before a check; `command`: of that check; `subject`:
    network and data that it was about, and `settings`: all that it depends on; `corrections`: row of the
    matching -> output, `LEFT_OUT` or `OPEN`, as a person chose, or as a check found; `found`: those that a
    check found, and `found_by`: how, in one line; `outdated`: '', or what the form says otherwise by now."""

    checked: dict[str, Any] = field(default_factory=dict)
    command: str = ""
    subject: str = ""
    corrections: dict[str, int] = field(default_factory=dict)
    settings: str = ""
    outdated: str = ""
    found: dict[str, int] = field(default_factory=dict)
    found_by: str = ""

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The matching of the classes, with the corrections. A row has `left_out` where its class is left
        out, and `open` where its output is to be chosen."""
        return [
            row if (output := self.corrections.get(str(k))) is None else self._corrected(str(k), row, output)
            for k, row in enumerate(self.checked.get("matching", []))
        ]

    def _corrected(self, key: str, row: Mapping[str, Any], output: int) -> dict[str, Any]:
        plain = {"data": row["data"]}
        if output < 0:
            marks = {"left_out": output == LEFT_OUT, "open": output == OPEN}
            return plain | marks | {"output": None, "name": "", "rule": RULES[output]}
        rule = "the order found by the check" if self.found.get(key) == output else "corrected"
        return plain | {"output": output, "name": self.checked["outputs"][output], "rule": rule}

    def of(self, values: Mapping[str, str], checked: dict[str, Any], command: str) -> "NewRunView":
        """After a check. Corrections stay where it was about the same network, data and outputs, or made with
        them: outputs without names get those of the data that is matched to them. An order of the outputs
        that the check finds beyond doubt is filled in."""
        subject = subject_of(values)
        same = subject == self.subject and (
            _classes(checked) == _classes(self.checked) or self._are_confirmed(checked)
        )
        kept = self if same else NewRunView()
        checked_with = settings_of(values, self.corrections if self.corrected(values) else {})
        made = replace(kept, checked=checked, command=command, subject=subject, settings=checked_with)
        return made._with_order().compared(values)

    def _are_confirmed(self, checked: Mapping[str, Any]) -> bool:
        """Whether a check matched all classes as they are corrected here."""
        rows = checked.get("matching", [])
        now = [LEFT_OUT if row.get("left_out") else row["output"] for row in rows]
        return [row["data"] for row in rows] == [row["data"] for row in self.rows] and all(
            output == self.corrections.get(str(k), output) for k, output in enumerate(now)
        )

    def _with_order(self) -> "NewRunView":
        """With the outputs of the reading that is better beyond doubt, where it is another order of them."""
        better = next((r for r in self.checked.get("readings", []) if r.get("better")), None)
        order = (better or {}).get("outputs")
        if better is None or not order or better["words"][0] != "--classes":
            return self  # of names that a person gave, these are to be corrected
        found = {
            str(k): OPEN if order[row["data"]] is None else int(order[row["data"]])
            for k, row in enumerate(self.rows)
            if row["data"] in order and order[row["data"]] != row["output"]
        }
        by = (
            f"{100 * better['accuracy']:.0f} % of {counted(better['images'], 'image')} "
            f"{be(better['images'])} right in this order of the "
            f"outputs, {100 * better['as_now']:.0f} % before"
        )
        return replace(self, corrections={**self.corrections, **found}, found=found, found_by=by)

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
        kind = next((kind for kind in (OUTPUT, NAMED, LEAVE) if action.startswith(kind)), None)
        row, outputs = action.partition(":")[2], self.checked.get("outputs", [])
        if kind is None or row not in map(str, range(len(self.checked.get("matching", [])))):
            return self
        if kind == LEAVE:
            return self._left_out_or_back(row)
        output = find_index(value, outputs) if kind == NAMED else _number(value)
        if output is None or output >= len(outputs):
            if kind == OUTPUT:
                return self
            raise UserError(f"No output is called '{value[:60]}': give a name of the list, or its number.")
        return replace(self, corrections={**self.corrections, row: output})

    def _left_out_or_back(self, row: str) -> "NewRunView":
        """The class of a row left out; or back as it was matched, open where the check left it out."""
        if not self.rows[int(row)].get("left_out"):
            return replace(self, corrections={**self.corrections, row: LEFT_OUT})
        rest = {k: output for k, output in self.corrections.items() if k != row}
        if row in self.found:
            rest[row] = self.found[row]
        elif self.checked["matching"][int(row)].get("left_out"):
            rest[row] = OPEN
        return replace(self, corrections=rest)


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
