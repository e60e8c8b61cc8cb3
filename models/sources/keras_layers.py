"""The layers of a Keras file that need code which Keras does not have, read from its description alone."""

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

MOST = 64 << 20  # bytes of a description that are read


def own_layers(path: Path) -> list[str]:
    """'mine (Lambda)', 'mask (MyLayer)' ...; empty where the file has none, or cannot be read."""
    try:
        found = _layers(_description(path))
        return [f"{name} ({kind})" for name, kind, own in found if own]
    except Exception:  # of a file that Keras has refused already, for a reason of its own
        return []


def _description(path: Path) -> Any:
    """The configuration of the network: of a .keras archive, or of an HDF5 file."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive, archive.open("config.json") as text:
            return json.loads(text.read(MOST))
    import h5py

    with h5py.File(path) as file:
        return json.loads(file.attrs["model_config"])


def _layers(entry: Any) -> Iterator[tuple[str, str, bool]]:
    """(name, class, whether it is a Lambda or no class of Keras) of every layer."""
    from keras import layers

    if isinstance(entry, list):
        for inner in entry:
            yield from _layers(inner)
        return
    if not isinstance(entry, dict):
        return
    config, kind = entry.get("config"), entry.get("class_name")
    if isinstance(config, dict) and isinstance(kind, str) and isinstance(config.get("name"), str):
        module = str(entry.get("module") or ("keras" if hasattr(layers, kind) else ""))
        theirs = module.partition(".")[0] == "keras" or kind in ("Functional", "Sequential", "Model")
        yield config["name"][:60], kind[:60], kind == "Lambda" or not theirs
    for inner in entry.values():
        yield from _layers(inner)
