"""Tables for a terminal: what a cell holds is shown as text, and no more."""

import pytest

from explain.text_table import columns


def test_columns_are_as_wide_as_their_widest_cell() -> None:
    text = columns([("class", "n", ""), ("fear", "7", "*"), ("sadness", "120", "")], right=(1,))
    assert text == "class      n\nfear       7  *\nsadness  120"


def test_wide_characters_take_two_places() -> None:
    assert columns([("name", "n"), ("表情", "1"), ("é", "2")]) == "name  n\n表情  1\né     2"


def test_cells_are_text_whatever_they_hold() -> None:
    text = columns([("name", "n"), ("[bold]x[/] :smile: \x1b[31m\r\n\u202e", "1")])
    assert text.splitlines()[1] == r"[bold]x[/] :smile: \x1b[31m\r\n\ufffd  1".replace(r"\ufffd", "\ufffd")


def test_nothing_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    assert columns([("name", "n"), ("x" * 500, "y" * 500)]).splitlines()[1] == "x" * 500 + "  " + "y" * 500
