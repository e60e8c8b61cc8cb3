"""Images that come as a .zip archive: a folder of class folders, unpacked beside the other dropped files."""

import shutil
import stat
import tempfile
from collections import Counter
from contextlib import suppress
from pathlib import Path
from zipfile import BadZipFile, ZipFile, ZipInfo

from explain.formatting import counted
from models.data.folder import SPLITS
from models.data.images import ARRAY, REFUSED, SUFFIXES
from models.data.packed.members import is_safe_name
from models.data.skipped import suffix_of
from models.errors import UserError

SUFFIX = ".zip"
MOST_FILES, MOST_BYTES = 20_000, 500_000_000
TABLES = (".csv", ".tsv", ".jsonl", ".parquet")
"""What is unpacked besides images: labels."""
ENCRYPTED = 0x1
KINDS = 6  # of files that are left out, which are named


def unpacked(archive: Path) -> tuple[Path, str]:
    """The folder with the images of an archive, beside it and called as it is, and one line on files that are
    left out, or ''. The archive is removed. A folder that was unpacked before is taken as it is: its name
    holds the hash of the archive.

    Raises UserError, and leaves nothing, for what is no .zip, for one with a password, with more than
    `MOST_FILES` or `MOST_BYTES`, and for one with a link, a name twice, or a name that leads out of it."""
    folder = archive.with_suffix("")
    try:
        with ZipFile(archive) as packed:
            members, skipped = _members(packed)
            if not folder.is_dir():
                _unpack(packed, members, folder)
    except (BadZipFile, EOFError, NotImplementedError, RuntimeError, ValueError, OSError) as error:
        if isinstance(error, UserError):
            raise
        reason = getattr(error, "strerror", None) or str(error)[:80] or type(error).__name__
        raise UserError(f"The archive cannot be unpacked ({reason}): make the .zip again.") from error
    finally:
        archive.unlink(missing_ok=True)
    kinds = ", ".join(f"{suffix} {count}" for suffix, count in skipped.most_common(KINDS))
    one, several = "file of the archive is no image or table and was", "files of the archive are no images or"
    note = f"{counted(skipped.total(), one, f'{several} tables and were')} left out: {kinds}"
    return _root(folder), note if skipped else ""


def _members(packed: ZipFile) -> tuple[list[ZipInfo], Counter[str]]:
    """The images and tables, and how many other files there are, by suffix. Every name is checked, before
    anything is written."""
    members, skipped = list[ZipInfo](), Counter[str]()
    for info in packed.infolist():
        _must_be_plain(info)
        if info.is_dir() or _is_hidden(info.filename):
            continue
        suffix = suffix_of(info.filename)
        if suffix in SUFFIXES or suffix in (ARRAY, *REFUSED, *TABLES):
            members.append(info)
        else:
            skipped[suffix] += 1
    if len(members) > MOST_FILES:
        raise UserError(
            f"The archive holds {counted(len(members), 'image')}: at most {MOST_FILES:,} are unpacked."
        )
    if sum(info.file_size for info in members) > MOST_BYTES:
        raise UserError(_too_large())
    if not members:
        raise UserError("The archive holds no images: zip a folder with one folder of images for each class.")
    return members, skipped


def _must_be_plain(info: ZipInfo) -> None:
    """Raises UserError for anything but a file or folder whose name stays below where it is unpacked."""
    shown = repr(info.orig_filename[:80])
    names = info.orig_filename, info.filename  # an extra field may give another one
    if not all(is_safe_name(name.removesuffix("/")) for name in names):
        raise UserError(f"The name {shown} leads out of the archive, or may: nothing of it is unpacked.")
    if stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise UserError(f"{shown} in the archive is a link or no regular file: nothing of it is unpacked.")
    if info.flag_bits & ENCRYPTED:
        raise UserError("The archive has a password: make the .zip again without one.")


def _is_hidden(name: str) -> bool:
    return any(part.startswith((".", "__MACOSX")) for part in name.split("/"))


def _unpack(packed: ZipFile, members: list[ZipInfo], folder: Path) -> None:
    """Write the files below a temporary folder, which becomes `folder` when it is whole."""
    below = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".unpack-"))
    try:
        room = MOST_BYTES  # counted as it is written: sizes in the archive may be wrong
        for info in members:
            path = below / info.filename
            path.parent.mkdir(parents=True, exist_ok=True)
            with packed.open(info) as source, path.open("xb") as copy:
                while part := source.read(min(1 << 20, room + 1)):
                    room -= copy.write(part)
                    if room < 0:
                        raise UserError(_too_large())
        below.chmod(0o755)
        below.rename(folder)
    except FileExistsError as error:
        raise UserError("The archive holds a name twice: make the .zip again.") from error
    finally:
        with suppress(OSError):  # renamed by now
            shutil.rmtree(below)


def _too_large() -> str:
    return (
        f"The archive unpacks to more than {MOST_BYTES // 1_000_000} MB: unpack it yourself, and type the "
        "path of its folder."
    )


def _root(folder: Path) -> Path:
    """Without the folder that an archive of a single folder begins with: `photos/cats/1.jpg` has one class,
    unless `photos` holds folders or tables itself."""
    inside = list(folder.iterdir())
    if len(inside) != 1 or not inside[0].is_dir() or inside[0].name.lower() in SPLITS:
        return folder
    within = list(inside[0].iterdir())
    is_data = any(path.is_dir() or path.suffix.lower() in TABLES for path in within)
    return _root(inside[0]) if is_data else folder
