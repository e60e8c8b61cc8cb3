"""Counts and measures as text: '1 image', '1,024 images', '0.912'."""


def counted(number: int, noun: str, several: str = "") -> str:
    """'1 image', '1,024 images', '2 classes'. `several`: where it is not the noun and an s."""
    return f"{number:,} {plural(number, noun, several)}"


def plural(number: int, noun: str, several: str = "") -> str:
    """'image' for 1, else 'images'; of verbs, `several` is named: 'has' for 1, else 'have'."""
    if number == 1:
        return noun
    return several or (f"{noun}es" if noun.endswith(("s", "sh")) else f"{noun}s")


def be(number: int) -> str:
    """'is' for 1, else 'are'."""
    return plural(number, "is", "are")


def short(value: float, unit: bool = False) -> str:
    """A measure without a unit: three decimals, as '0.912'; from 10 on four significant digits, as
    '-1.235e+04'. In the `unit` of the data: four significant digits."""
    return f"{value:.4g}" if unit or abs(value) >= 10 else f"{value:.3f}"
