"""The gaze model that comes with Vitrine. No torch."""

from pathlib import Path

from models.errors import UserError
from models.shipped import WEIGHTS


def shipped_gaze() -> Path:
    """Raises UserError where there is none."""
    found = sorted((WEIGHTS / "gaze").glob("*.safetensors"))
    if not found:
        raise UserError(
            "No gaze model comes with this copy: train one with python launch.py gaze train, and name it."
        )
    return found[0]
