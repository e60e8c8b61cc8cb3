"""Checkpoints that come with Vitrine. No torch."""

from pathlib import Path

WEIGHTS = Path(__file__).parent / "weights"


def shipped() -> dict[str, Path]:
    """`ARCHITECTURE:DATA` -> file."""
    return {path.stem.replace(".", ":"): path for path in sorted(WEIGHTS.glob("*.safetensors"))}


def architecture(name: str) -> str:
    """`fer_vgg:mydata` -> `fer_vgg`, `timm:NAME:mydata` -> `timm:NAME`; names without data stay."""
    parts = name.split(":")
    return ":".join(parts[: 2 if parts[0] == "timm" else 1])
