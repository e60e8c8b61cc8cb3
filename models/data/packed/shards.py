"""WebDataset: tar shards in which files of one name belong together, `key.jpg` with `key.cls` or `key.json`.

The convention: https://github.com/webdataset/webdataset (a key is the path up to the first dot of the file's
name). Shards are read in place: their headers once, in order, then each image at its offset.
"""

import hashlib
import re
import tarfile
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from typing import BinaryIO

from models.counts import counted
from models.data.images import ARRAY, SUFFIXES, UnreadableImage
from models.data.labels import natural
from models.data.packed.members import PackedSource, choose_files, is_safe_name, must_be_small, packed_files
from models.data.packed.shard_labels import (
    LABEL_KEYS,
    MAX_TEXT,
    KeyLabels,
    Value,
    class_names_beside,
    json_value,
    key_labels,
    key_numbers,
    text_value,
)
from models.data.remote.location import Location, name_below, stamp_of
from models.data.remote.path import RemotePath
from models.data.skipped import not_read
from models.data.source import joined, labels_per_image
from models.errors import UserError

SUFFIX = ".tar"
COMPRESSED = re.compile(r"\.(tgz|tbz2?|txz|tar\.\w{1,4})$", re.IGNORECASE)
IMAGES = SUFFIXES | {ARRAY}
TEXTS = (".cls", ".txt", ".json")
COMPARED = 1000  # keys that several shards have, whose images are compared


@dataclass
class Sample:
    """One key of a shard: where the bytes of its images, and of texts that may hold its label, lie (suffix ->
    offset, size)."""

    key: str
    images: dict[str, tuple[int, int]] = field(default_factory=dict)
    texts: dict[str, tuple[int, int]] = field(default_factory=dict)


@dataclass
class Shard:
    """A shard's samples by their keys; members that were not read, by suffix; names that occur twice, and
    that lead out of the archive."""

    file: Location
    samples: dict[str, Sample] = field(default_factory=dict)
    skipped: Counter[str] = field(default_factory=Counter)
    again: list[str] = field(default_factory=list)
    outside: list[str] = field(default_factory=list)


class ShardSource(PackedSource):
    """A folder of `.tar` shards, or one shard. `note` counts keys without an image or a label, and members
    that were not read."""

    def __init__(
        self,
        path: Location,
        image: str | None = None,
        label: str | None = None,
        split: str | None = None,
        known: Sequence[str] = (),
        labels_as: str = "",
    ):
        """`image`: the suffix of the images' files, for keys that have several images. `label`: the key in
        `.json`, or the suffix of the file, that holds the label; without it `.cls`, or one of `LABEL_KEYS`;
        `known` and `labels_as` as in `DataRequest`. Raises UserError for shards that hold no labeled
        image."""
        self.base = path if path.is_dir() else path.parent
        self.root = str(self.base.resolve())
        files, part = choose_files(path, _files(path), split)
        self.name = f"{path.resolve().stem}/{part}" if part else path.resolve().stem
        shards = [read_shard(file, stamp_of(file)) for file in files]
        names = class_names_beside(files[0].parent, self.base)
        found, missing = self._keys(shards, image, label)
        labels = _labels([(place[0], value) for _, place, value in found], names, known, label, labels_as)
        labeled = [i for i, of in enumerate(labels.names) if of is not None]
        self.multi_label, self.regression, self.label_col = labels.multi_label, bool(labels.outputs), label
        self.classes = labels.outputs or tuple(sorted(set(names) or labels.used, key=natural))
        self.items = [labels.item(found[i][0], i, self.classes) for i in labeled]
        self._places = [found[i][1] for i in labeled]
        unlabeled = len(found) - len(labeled)
        if not labels.used:
            raise UserError(_nothing(path, shards, len(found), label))
        self.note = joined(
            f"{len(shards)} shard{'s' * (len(shards) != 1)}",
            self._described(labels),
            f"{counted(missing, 'key')} without an image left out" if missing else "",
            f"{counted(unlabeled, 'image')} without a label left out" if unlabeled else "",
            self._contradictions(),
            _twice(shards),
            f"no image of class {', '.join(self.empty[:6])}" if self.empty else "",
            not_read(sum((shard.skipped for shard in shards), Counter())),
        )

    def _described(self, labels: KeyLabels) -> str:
        """How sets and numbers were read."""
        if labels.outputs:
            return f"numbers: {', '.join(labels.outputs[:6])}"
        return f"labels, {labels.how}: {labels_per_image(self.items)}" if self.multi_label else ""

    def _keys(
        self, shards: Sequence[Shard], image: str | None, label: str | None
    ) -> tuple[list[tuple[str, tuple[Location, int, int], Value | None]], int]:
        """(id, place, value of the label) of every key with an image, and how many have none."""
        found, missing = [], 0
        for shard in shards:
            where = name_below(shard.file, self.base)
            with shard.file.open("rb") as stream:
                for sample in shard.samples.values():
                    suffix, value = _image_of(sample, image, shard), _label(sample, label, stream)
                    if suffix is None:
                        missing += 1
                        continue
                    place = (shard.file, *sample.images[suffix])
                    found.append((f"{where}/{sample.key}{suffix}", place, value))
        return found, missing

    def member(self, index: int) -> bytes:
        return _bytes(*self._places[index])

    def _contradictions(self) -> str:
        """Images that are in several shards, with the same key and bytes, under different labels."""
        alike: dict[tuple[str, int], list[int]] = {}
        for i, (item, (_, _, size)) in enumerate(zip(self.items, self._places, strict=True)):
            alike.setdefault((item.id.partition(f"{SUFFIX}/")[2], size), []).append(i)
        odd = [group for group in alike.values() if len({self.items[i].label for i in group}) > 1]
        found: dict[bytes, dict[str, int]] = {}
        for i in (i for group in odd[:COMPARED] for i in group):
            with suppress(UnreadableImage):
                found.setdefault(hashlib.sha256(self.member(i)).digest(), {})[self.items[i].label] = i
        named = [(min(labels.values()), sorted(labels)) for labels in found.values() if len(labels) > 1]
        shown = ", ".join(f"{self.items[i].id} is {' and '.join(labels)}" for i, labels in named[:3])
        count = f"{len(named)} image{'s' * (len(named) != 1)}"
        return f"{count} under different labels in different shards ({shown})" if named else ""


def _files(path: Location) -> list[Location]:
    if COMPRESSED.search(path.name) and path.is_file():
        raise UserError(f"'{path}' is compressed: decompress it to a .tar first (gunzip, unxz, unzstd).")
    return packed_files(path, SUFFIX)


def has_shards(path: Location) -> bool:
    """Whether the data at `path` are tar shards."""
    return bool(path.is_file() and COMPRESSED.search(path.name)) or bool(packed_files(path, SUFFIX))


@lru_cache(maxsize=4096)
def read_shard(file: Location, stamp: str) -> Shard:
    """Its keys in the order of the file; `stamp` is the file's, so that a changed shard is read again. Raises
    UserError for what is no tar archive, and for one that is cut off."""
    shard = Shard(file)
    try:
        with file.open("rb") as stream, tarfile.open(fileobj=stream, mode="r:") as archive:
            last = -1
            for member in archive:
                if member.offset <= last or member.size < 0:
                    raise tarfile.ReadError("a member of negative size")
                last = member.offset
                if member.isreg() and not member.issparse():
                    _take(member, shard)
    except UserError:  # of a server
        raise
    except (tarfile.TarError, OSError, EOFError, ValueError, OverflowError, MemoryError) as error:
        raise UserError(
            f"'{file}' is no tar archive, or is cut off ({str(error)[:80] or type(error).__name__}): copy it "
            "again, or move it away."
        ) from error
    return shard


def _take(member: tarfile.TarInfo, shard: Shard) -> None:
    name = member.name.removeprefix("./")
    folder, _, file = name.rpartition("/")
    stem, dot, suffix = file.partition(".")
    if name.startswith("__MACOSX") or not stem:
        return
    if not is_safe_name(name):
        shard.outside.append(name)
        return
    suffix = f".{suffix.lower()}" if dot else ""
    is_image = f".{suffix.rpartition('.')[2]}" in IMAGES
    is_text = suffix in TEXTS and member.size <= MAX_TEXT
    if not is_image and not is_text:
        shard.skipped[suffix or "no suffix"] += 1
        return
    key = f"{folder}/{stem}" if folder else stem
    sample = shard.samples.setdefault(key, Sample(key))
    if suffix in sample.images or suffix in sample.texts:
        shard.again.append(name)
    else:
        (sample.images if is_image else sample.texts)[suffix] = member.offset_data, member.size


def _image_of(sample: Sample, wanted: str | None, shard: Shard) -> str | None:
    """The suffix of the image of a key; None where it has none. Raises UserError where it has several. An
    array beside an image is something about it."""
    if wanted:
        suffix = f".{wanted.lstrip('.').lower()}"
        return suffix if suffix in sample.images else None
    pictures = [suffix for suffix in sample.images if not suffix.endswith(ARRAY)] or list(sample.images)
    if len(pictures) > 1:
        raise UserError(
            f"Key '{sample.key}' of '{shard.file}' has several images ({', '.join(pictures)}): name the "
            "suffix of the right one with --image-col."
        )
    return next(iter(pictures), None)


def _label(sample: Sample, wanted: str | None, stream: BinaryIO) -> Value | None:
    """The label as the key's files give it; None where they do not."""
    suffix = f".{wanted.lstrip('.').lower()}" if wanted else ".cls"
    if suffix in sample.texts:
        return text_value(_text(stream, *sample.texts[suffix]))
    if ".json" not in sample.texts:
        return None
    return json_value(_text(stream, *sample.texts[".json"]), wanted, sample.key)


def _labels(
    values: Sequence[tuple[Location, Value | None]],
    names: Sequence[str],
    known: Sequence[str],
    label: str | None,
    labels_as: str,
) -> KeyLabels:
    """Numbers, or else the labels of classes."""
    numbers = None if names else key_numbers(values, label, labels_as)
    return numbers or key_labels(values, names, known, labels_as)


def _text(stream: BinaryIO, offset: int, size: int) -> str:
    stream.seek(offset)
    return stream.read(size).decode("utf-8-sig", "replace").strip()


def _twice(shards: Sequence[Shard]) -> str:
    again = [name for shard in shards for name in shard.again]
    outside = [name for shard in shards for name in shard.outside]
    return joined(
        f"{counted(len(again), 'member that is', 'members that are')} in a shard again left out (the first: "
        f"{again[0][:80]})"
        if again
        else "",
        f"{counted(len(outside), 'member')} whose name leads out of the archive left out (the first: "
        f"{outside[0][:80]})"
        if outside
        else "",
    )


def _nothing(path: Location, shards: Sequence[Shard], unlabeled: int, label: str | None) -> str:
    if not unlabeled:
        kinds = not_read(sum((shard.skipped for shard in shards), Counter()))
        return f"'{path}' holds no images: {kinds or 'its shards are empty'}."
    samples = [sample for shard in shards for sample in shard.samples.values()]
    texts = {suffix for sample in samples for suffix in sample.texts}
    folders = {sample.key.partition("/")[0] for sample in samples if "/" in sample.key}
    if not texts and folders:
        return (
            f"'{path}' holds {counted(unlabeled, 'image')} in folders ({', '.join(sorted(folders)[:4])} ...) "
            "without labels beside them: if the folders are the classes, unpack it (tar -xf) and give the "
            "folder with --data."
        )
    where = f"'{label}'" if label else f".cls, or one of {', '.join(LABEL_KEYS[:5])} in .json"
    return (
        f"'{path}' holds {counted(unlabeled, 'image')} and no label for any: labels are read from {where}; "
        f"beside the images are {', '.join(sorted(texts)) or 'no texts'}. Name the right one with "
        "--label-col."
    )


def _bytes(file: Location, offset: int, size: int) -> bytes:
    must_be_small(size)
    try:
        data = _range(file, offset, size)
    except OSError as error:
        raise UnreadableImage(f"the shard cannot be read ({error.strerror or error})") from error
    if len(data) < size:
        raise UnreadableImage("the shard is cut off")
    return data


def _range(file: Location, offset: int, size: int) -> bytes:
    if isinstance(file, RemotePath):
        return file.read_range(offset, size)
    with file.open("rb") as shard:
        shard.seek(offset)
        return shard.read(size)


def member_bytes(file: Location, name: str) -> bytes | None:
    """The bytes of the image of this name within a shard; None where it is not there. Raises UserError for a
    shard that cannot be read."""
    folder, _, last = name.rpartition("/")
    stem, _, suffix = last.partition(".")
    sample = read_shard(file, stamp_of(file)).samples.get(f"{folder}/{stem}" if folder else stem)
    place = sample.images.get(f".{suffix}") if sample else None
    return _bytes(file, *place) if place else None
