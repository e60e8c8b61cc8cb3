"""Counts and measures as text."""

import pytest

from models.counts import be, counted, plural, short


def test_one_is_singular() -> None:
    images = [counted(n, "image") for n in (0, 1, 2, 1024)]
    assert images == ["0 images", "1 image", "2 images", "1,024 images"]
    assert [counted(n, "class") for n in (1, 3)] == ["1 class", "3 classes"]
    assert [f"{be(n)} {plural(n, 'has', 'have')}" for n in (1, 2)] == ["is has", "are have"]


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.91249, False, "0.912"),
        (-2.5, False, "-2.500"),
        (-123456789012.3, False, "-1.235e+11"),
        (0.00012346, True, "0.0001235"),
        (41.2345, True, "41.23"),
    ],
)
def test_measures_have_few_digits(value: float, unit: bool, text: str) -> None:
    assert short(value, unit) == text
