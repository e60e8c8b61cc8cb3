"""The shipped decoders. No torch."""

from functools import lru_cache
from pathlib import Path
from typing import Any

from models.shipped import WEIGHTS
from models.training.trained import described

FOLDER = WEIGHTS / "inversion"


def decoders_of(weights_hash: str) -> list[Path]:
    """Files of the decoders of a network, by the hash of its weights."""
    return [path for path, network in _shipped().items() if network == weights_hash]


def is_decoder(about: dict[str, Any]) -> bool:
    """Whether a file's description is that of a decoder, with the entries that are shown."""
    return (
        about.get("task") == "inversion"
        and isinstance(about.get("depth"), int)
        and isinstance(about.get("layer"), str)
    )


@lru_cache(maxsize=1)
def _shipped() -> dict[Path, str]:
    return {path: described(path)["network"]["weights"] for path in sorted(FOLDER.glob("*.safetensors"))}
