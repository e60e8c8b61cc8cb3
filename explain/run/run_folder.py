"""From what a person names, a path or a URL, to a run folder on this machine. Of a URL it is a copy; fsspec
is imported for URLs alone."""

import atexit
from functools import cache
from pathlib import Path

from explain.run.remote.mirrors import publish_all, remember
from models.data.remote.location import is_url, located


def run_folder(given: str | Path) -> Path:
    """The folder of a path, or the copy of a run at a URL, brought up to date; what is derived from the run
    is written there when the process ends (`publish_all`). Raises UserError for a URL that cannot be read."""
    if isinstance(given, Path) or not is_url(given):
        return Path(given)
    where = located(given)
    if isinstance(where, Path):  # file://
        return where
    from explain.run.remote.mirror import opened_mirror

    mirror = opened_mirror(where.url)
    remember(mirror.folder, mirror)
    _at_the_end()
    return mirror.folder


@cache
def _at_the_end() -> None:
    atexit.register(publish_all, lambda line: None)
