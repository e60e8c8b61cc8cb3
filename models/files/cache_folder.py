"""Where Vitrine keeps what it can make again: downloads, features of frozen networks, feature visualizations;
and which runs may show their data."""

import os
from pathlib import Path

from platformdirs import user_cache_path


def cache_folder() -> Path:
    """`$VITRINE_CACHE`, or the cache folder of the platform (Linux: `$XDG_CACHE_HOME/vitrine`, by default
    `~/.cache/vitrine`); an existing `~/.cache/vitrine` of an earlier version stays in use. Nothing is
    made."""
    if chosen := os.environ.get("VITRINE_CACHE"):
        return Path(chosen)
    earlier = Path(os.path.expanduser("~/.cache/vitrine"))
    folder = user_cache_path("vitrine", appauthor=False)
    return earlier if earlier.is_dir() and not folder.is_dir() else folder
