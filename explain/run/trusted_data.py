"""Whose pictures a run may show. A run folder that others made can name any folder of this machine as the
place of its data: its pictures are read where the run was made here, where they lie inside the run's own
folder, or where the owner allowed it once."""

import json
import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from models.data.reopen import WITHOUT_FILES, below

MOST = 1000  # folders of one table
FILE = "data_folders.json"


def allow(root: str, ids: Iterable[str] = ()) -> None:
    """From now on, on this machine, for this person: the pictures below `root`, and the folders of those
    `ids` that lead out of it, as absolute paths in a table do. Without a word where the disk does not let it:
    it will be asked again."""
    if root and not root.startswith(WITHOUT_FILES):
        outside = {
            os.path.dirname(os.path.normpath(os.path.join(root, i))) for i in ids if below(root, i) is None
        }
        known = allowed_folders() | {str(Path(root).resolve())} | set(sorted(outside)[:MOST])
        with suppress(OSError):
            file = _file()
            file.parent.mkdir(parents=True, exist_ok=True)
            temporary = file.with_name(f"{file.name}.{os.getpid()}.tmp")
            temporary.write_text(json.dumps(sorted(known)), encoding="utf-8")
            temporary.replace(file)


def is_allowed(folder: Path, root: str) -> bool:
    """Whether the run in `folder` may show what lies at `root`."""
    return (
        not root
        or root.startswith(WITHOUT_FILES)
        or is_inside(folder, root)
        or str(Path(root).resolve()) in allowed_folders()
    )


def is_inside(folder: Path, root: str) -> bool:
    """Whether the data lies in the run's own folder, as where both were sent together."""
    return bool(root) and Path(root).resolve().is_relative_to(folder.resolve())


def _file() -> Path:
    return Path(os.environ.get("VITRINE_CACHE") or Path.home() / ".cache" / "vitrine") / FILE


def allowed_folders() -> set[str]:
    try:
        found = json.loads(_file().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return set()
    return {name for name in found if isinstance(name, str)} if isinstance(found, list) else set()
