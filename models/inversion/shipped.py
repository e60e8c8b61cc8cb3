"""The decoders that come with Vitrine. No torch."""

from functools import lru_cache
from pathlib import Path

from models.shipped import WEIGHTS
from models.training.trained import described

FOLDER = WEIGHTS / "inversion"


def decoders_of(weights_hash: str) -> list[Path]:
    """Files of the decoders of a network, by the hash of its weights."""
    return [path for path, network in _shipped().items() if network == weights_hash]


@lru_cache(maxsize=1)
def _shipped() -> dict[Path, str]:
    return {path: described(path)["network"]["weights"] for path in sorted(FOLDER.glob("*.safetensors"))}
