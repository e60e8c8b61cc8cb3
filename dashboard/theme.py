"""The look inside Gradio: one teal accent, quiet panels, system fonts (nothing is fetched)."""

from pathlib import Path

import gradio as gr

from models.palette import ACCENT, css_variables

STYLE = Path(__file__).parent / "style.css"
COLORS = f":root {{ {css_variables('--vt-')} }} .dark {{ {css_variables('--vt-', dark=True)} }}"

_PAIRS = {  # variable -> (light, dark)
    "body_background_fill": ("#f7f7f5", "#141618"),
    "background_fill_primary": ("#ffffff", "#1c1f22"),
    "background_fill_secondary": ("#f7f7f5", "#181b1d"),
    "block_background_fill": ("#ffffff", "#1c1f22"),
    "block_border_color": ("#e4e4e0", "#2c3135"),
    "border_color_primary": ("#e4e4e0", "#2c3135"),
    "body_text_color": ("#1b1d1f", "#eceef0"),
    "body_text_color_subdued": ("#5f6469", "#9aa1a8"),
    "block_label_background_fill": ("#ffffff", "#1c1f22"),
    "block_label_text_color": ("#5f6469", "#9aa1a8"),
    "block_title_text_color": ("#5f6469", "#9aa1a8"),
    "input_background_fill": ("#ffffff", "#181b1d"),
    "input_border_color": ("#868b90", "#70777d"),
    "input_placeholder_color": ("#5f6469", "#9aa1a8"),
    "checkbox_border_color": ("#868b90", "#70777d"),
    "checkbox_border_color_hover": ("#868b90", "#70777d"),
    "color_accent_soft": ("#d7ece9", "#173633"),
    "button_primary_background_fill": (ACCENT.light, "#15847a"),
    "button_primary_background_fill_hover": ("#0a5a53", "#0f766e"),
    "button_secondary_background_fill": ("#eceae6", "#2c3135"),
    "checkbox_label_background_fill": ("#f1f0ec", "#24282b"),
    "checkbox_label_background_fill_selected": ("#d7ece9", "#173633"),
    "slider_color": ACCENT,
}


def theme() -> gr.themes.Base:
    """Gradio raises for a variable that it does not know: building the theme is its own test."""
    made = gr.themes.Base(
        primary_hue="teal",
        neutral_hue="stone",
        text_size="sm",
        spacing_size="sm",
        radius_size="md",
        font=["ui-sans-serif", "system-ui", "Segoe UI", "Roboto", "sans-serif"],
        font_mono=["ui-monospace", "Consolas", "monospace"],
    )
    values = {name: light for name, (light, _) in _PAIRS.items()} | {
        f"{name}_dark": dark for name, (_, dark) in _PAIRS.items()
    }
    return made.set(block_border_width="1px", block_shadow="none", block_radius="10px", **values)
