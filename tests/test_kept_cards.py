"""Cards that were drawn are kept, as far as they are the same in every view."""

from collections.abc import Sequence
from typing import Any

import pytest

from dashboard.components import cards as module
from dashboard.components.cards import cards, strips
from explain.run.reader import RunData


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[list[int]]:
    """The rows of each drawing."""
    rows, real = list[list[int]](), module._drawn

    def counted(run: RunData, groups: Sequence[Sequence[int]], *given: Any) -> Any:
        rows.append([row for group in groups for row in group])
        return real(run, groups, *given)

    monkeypatch.setattr(module, "_drawn", counted)
    module._CARDS.clear()
    return rows


def test_only_cards_that_are_not_known_are_drawn(small_run: RunData, drawn: list[list[int]]) -> None:
    run, method = small_run, small_run.manifest.request.methods[0]
    first = cards(run, [3, 1], method, "both", shared=False)
    again = strips(run, [[1, 5], [], [3, 5]], method, "both", shared=False)
    assert drawn == [[3, 1], [5]]
    assert again == [[first[1], again[0][1]], [], [first[0], again[0][1]]]
    assert again[0] == module._drawn(run, [[1, 5]], method, "both", False, False)[0]


def test_cards_on_one_scale_and_of_other_requests_are_others(
    small_run: RunData, drawn: list[list[int]]
) -> None:
    run, method = small_run, small_run.manifest.request.methods[0]
    wrong = int(run.ok.index[~run.ok["correct"]][0])
    made = {
        (target, shared, bars): cards(run, [wrong], method, target, shared, bars)[0]
        for target in ("pred", "label", "both")
        for shared in (False, True)
        for bars in (False, True)
    }
    assert len(drawn) == 12
    for (target, shared, bars), card in made.items():
        assert cards(run, [wrong], method, target, shared, bars) == [card]
    assert len(drawn) == 12 + 6  # those on one scale depend on the others beside them
    assert len({card for (_, shared, _), card in made.items() if not shared}) == 6


def test_cards_are_kept_for_as_long_as_their_run_and_up_to_a_size(
    small_run: RunData, drawn: list[list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    run, method = small_run, small_run.manifest.request.methods[0]
    monkeypatch.setattr(module, "KEPT", 10)
    assert cards(run, [1], method, "both", shared=False) == cards(run, [1], method, "both", shared=False)
    assert drawn == [[1], [1]]  # larger than all that is kept
    assert len(module._CARDS[run].kept) == 0
