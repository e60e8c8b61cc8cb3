"""The gaze model that comes with Vitrine. No torch."""

from pathlib import Path

from models.errors import UserError
from models.program import program
from models.shipped import WEIGHTS


def shipped_gaze() -> Path:
    """Its file. Raises UserError where there is none."""
    found = sorted((WEIGHTS / "gaze").glob("*.safetensors"))
    if not found:
        raise UserError(
            f"No gaze model comes with this copy: train one with {program()} gaze train, and name it."
        )
    return found[0]
