"""Checkpoints that come with Vitrine. No torch."""

from pathlib import Path

WEIGHTS = Path(__file__).parent / "weights"


def shipped() -> dict[str, Path]:
    """`ARCHITECTURE:DATA` -> file."""
    return {path.stem.replace(".", ":"): path for path in sorted(WEIGHTS.glob("*.safetensors"))}
