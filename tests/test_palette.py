"""The colors of results: one place, readable on every ground, and in everything that is written."""

import re
from pathlib import Path

import pytest

from dashboard.server.serving import options
from dashboard.theme import STYLE
from explain.export import templating
from models.palette import CORRECT, VARIABLES, WRONG, Shade, css_variables

ROOT = Path(__file__).parents[1]
GROUNDS = {"light": ("#f7f7f5", "#ffffff"), "dark": ("#141618", "#1c1f22")}
INK = {"light": "#1b1d1f", "dark": "#eceef0"}


def channels(color: str) -> list[float]:
    return [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]


def luminance(color: list[float]) -> float:
    """Relative luminance, WCAG 2.1."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in color]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(a: list[float], b: list[float]) -> float:
    low, high = sorted((luminance(a), luminance(b)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("shade", VARIABLES.values(), ids=VARIABLES)
def test_text_in_a_shared_color_can_be_read(shade: Shade) -> None:
    for theme, grounds in GROUNDS.items():
        for ground in grounds:
            assert contrast(channels(getattr(shade, theme)), channels(ground)) >= 4.5


@pytest.mark.parametrize("shade", [CORRECT, WRONG])
def test_numbers_on_the_cells_of_a_report_can_be_read(shade: Shade) -> None:
    css = (templating.TEMPLATES / "style.css").read_text(encoding="utf-8")
    full = dict(zip(("light", "dark"), re.findall(r"--full: (\d+)%", css), strict=False))
    for theme, (ground, _) in GROUNDS.items():
        part = 0.85 * int(full[theme]) / 100  # of a cell that holds all images of its class
        color, below = channels(getattr(shade, theme)), channels(ground)
        cell = [part * c + (1 - part) * b for c, b in zip(color, below, strict=True)]
        assert contrast(channels(INK[theme]), cell) >= 4.5


def test_the_page_and_the_report_get_the_colors_from_the_palette() -> None:
    assert f":root {{ {css_variables('--vt-')} }}" in options()["css"]
    assert f".dark {{ {css_variables('--vt-', dark=True)} }}" in options()["css"]
    assert f"--vt-correct: {CORRECT.light};" in options()["css"]
    assert f":root {{ {css_variables('--')} }}" in templating.COLORS
    assert f"dark) {{ :root {{ {css_variables('--', dark=True)} }} }}" in templating.COLORS
    for path, prefix in ((STYLE, "--vt-"), (templating.TEMPLATES / "style.css", "--")):
        css = path.read_text(encoding="utf-8")
        for name in VARIABLES:
            assert f"var({prefix}{name})" in css
            assert not re.search(rf"(?<![\w-]){prefix}{name}:", css), f"{path.name} sets {prefix}{name} again"


def test_no_other_file_repeats_the_colors_of_results() -> None:
    colors = {color for shade in (CORRECT, WRONG) for color in shade}
    for package in ("dashboard", "explain", "models", "vitrine"):
        for path in [*(ROOT / package).rglob("*.py"), *(ROOT / package).rglob("*.css")]:
            if path.name != "palette.py":
                found = [color for color in colors if color in path.read_text(encoding="utf-8").lower()]
                assert not found, f"{path.relative_to(ROOT)} repeats {found}"
