"""Optional packages, and the extra of the project that installs each."""

from importlib.util import find_spec

from models.errors import UserError

EXTRAS = {
    "h5py": "keras",
    "keras": "keras",
    "lightning": "train",
    "lightning.pytorch": "train",
    "mcp": "mcp",
    "onnxruntime": "onnx",
    "ray": "cluster",
    "transformers": "hf",
}


def require_package(name: str) -> None:
    """Raises UserError that says how to install the package, where it is missing."""
    if find_spec(name) is None:
        raise UserError(missing_package(name))


def missing_package(name: str) -> str:
    packages = {"keras": "keras h5py", "ray": "'vitrine-xai[cluster]'"}.get(name, name.partition(".")[0])
    return (
        f"this needs the package {name}: pip install {packages} (the extra '{EXTRAS[name]}' of vitrine-xai)"
    )
