"""Small tar shards and Parquet tables of images, as others write them."""

import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image


def png(grey: int = 0) -> bytes:
    """8 × 6 pixels of one grey."""
    buffer = io.BytesIO()
    Image.new("RGB", (8, 6), (grey,) * 3).save(buffer, "PNG")
    return buffer.getvalue()


def write_tar(path: Path, members: Mapping[str, bytes] | Sequence[tuple[str, bytes]]) -> Path:
    with tarfile.open(path, "w") as archive:
        for name, data in members.items() if isinstance(members, Mapping) else members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def write_parquet(
    path: Path,
    rows: Sequence[tuple[bytes | None, str | None, object]],
    names: Sequence[str] | None = None,
    **columns: Sequence[object],
) -> Path:
    """`rows`: bytes, path, label; `names`: of the classes, as `datasets` writes them into the schema."""
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    images = pa.array([{"bytes": data, "path": name} for data, name, _ in rows], kind)
    table = pa.table({"image": images, "label": [label for _, _, label in rows], **columns})
    if names:
        features = {"label": {"names": list(names), "_type": "ClassLabel"}}
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, row_group_size=20)
    return path
