"""Which format a file has, by its first bytes: for messages about files that are no checkpoints."""

import zipfile
from pathlib import Path

_UNPACK = "unpack it, and give the checkpoint inside"
_AS_MODEL = "give it as --model FILE, with the suffix {}"
_MAGIC: tuple[tuple[int, bytes, str, str], ...] = (
    (
        0,
        b"version https://git-lfs.github.com/spec/",
        "a pointer of Git LFS",
        "fetch the file with git lfs pull",
    ),
    (0, b"\x89HDF\r\n\x1a\n", "an HDF5 file, as Keras writes (.h5)", _AS_MODEL.format(".h5")),
    (4, b"TFL3", "a TensorFlow Lite model", "give the PyTorch weights it was converted from"),
    (0, b"GGUF", "a GGUF file", "give the PyTorch weights it was converted from"),
    (0, b"\x93NUMPY", "a NumPy array (.npy)", "give a state_dict"),
    (0, b"PAR1", "a Parquet table", "give it as --data if it holds images"),
    (0, b"\x1f\x8b", "a gzip archive", _UNPACK),
    (0, b"BZh", "a bzip2 archive", _UNPACK),
    (0, b"\xfd7zXZ\0", "an xz archive", _UNPACK),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", _UNPACK),
    (0, b"Rar!", "a RAR archive", _UNPACK),
    (257, b"ustar", "a tar archive", _UNPACK),
    (0, b"\x89PNG", "a PNG image", "give the weights of the network"),
    (0, b"\xff\xd8\xff", "a JPEG image", "give the weights of the network"),
    (0, b"%PDF", "a PDF document", "give the weights of the network"),
)
"""(offset, bytes there, name of the format, what to do)."""
_ONNX_FIELDS = (0x12, 0x1A, 0x22, 0x3A)  # producer name and version, domain, graph: after the IR version
_MOST_NAMES = 10_000


def foreign_format(path: Path) -> tuple[str, str] | None:
    """The name of a format that is no checkpoint of PyTorch, and what to do with such a file; None where it
    may be one. Raises OSError."""
    with path.open("rb") as file:
        head = file.read(512)
    if not head:
        return "an empty file (0 bytes)", "copy or download it again"
    for offset, magic, name, remedy in _MAGIC:
        if head[offset : offset + len(magic)] == magic:
            return name, remedy
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith((b"<!doctype html", b"<html")):
        return "an HTML page", "the download gave a page instead of the file: download the file itself"
    if text.startswith(b"<?xml"):
        return "an XML document", "give the weights of the network"
    if head[0] == 0x08 and 0 < head[1] < 32 and head[2:3] and head[2] in _ONNX_FIELDS:
        return "an ONNX model", _AS_MODEL.format(".onnx")
    return _in_zip(path) if head.startswith(b"PK\x03\x04") else None


def is_safetensors(path: Path) -> bool:
    """Whether a file is of this format, whatever its suffix: the length of a JSON header, then the header.
    Raises OSError."""
    with path.open("rb") as file:
        head = file.read(9)
    return (
        len(head) == 9 and head[8:] == b"{" and 2 <= int.from_bytes(head[:8], "little") < path.stat().st_size
    )


def _in_zip(path: Path) -> tuple[str, str] | None:
    """What a zip archive holds; None for one of torch.save, and for one that is not whole."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()[:_MOST_NAMES]
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return None
    inner = [name.partition("/")[2] or name for name in names]
    if "constants.pkl" in inner:
        return "a TorchScript program", _AS_MODEL.format(".pt")
    if "archive_format" in inner or "serialized_exported_program.json" in names:
        return "a program of torch.export", _AS_MODEL.format(".pt2")
    if "data.pkl" in inner:
        return None
    if "model.weights.h5" in names:
        return "a Keras model", _AS_MODEL.format(".keras")
    if names and all(name.endswith(".npy") for name in names):
        return "a NumPy archive (.npz)", "give a state_dict"
    if "[Content_Types].xml" in names:
        return "an Office document", "give the weights of the network"
    return f"a zip archive of {', '.join(n[:40] for n in names[:3]) or 'nothing'}", _UNPACK
