"""The code that a network is built from, as one hash: the same weights in an edited `forward` are another
network."""

import ast
import hashlib
import inspect
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from weakref import WeakKeyDictionary

from torch import nn

PROGRAM = Path(__file__).parents[2]
OURS = tuple(PROGRAM / name for name in ("models", "explain", "dashboard", "vitrine"))
INSTALLED = ("site-packages", "dist-packages")
_STANDARD = tuple(
    Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "platstdlib", "purelib", "platlib")
)
_digests: WeakKeyDictionary[ModuleType, str] = WeakKeyDictionary()
_names: WeakKeyDictionary[ModuleType, tuple[str, ...]] = WeakKeyDictionary()
"""Both of a module as it was first met: Python does not read it again in this process."""


def code_hash(module: ModuleType, network: nn.Module) -> str:
    """The first 16 hex digits of SHA-256 over the source files that `network` is built from: that of
    `module`, which a person named, those of the network's own classes, and the person's own modules that any
    of them imports. Installed packages are left out: `versions` of a run names them. Names of folders, the
    order of imports and line ends do not change it."""
    found = dict(_closure([module, *_of_classes(network, module)]))
    found[_file(module)] = code_digest(module)
    parts = sorted(f"{path.name}:{digest}" for path, digest in found.items())
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def _closure(modules: list[ModuleType]) -> Iterator[tuple[Path, str]]:
    seen = set(map(id, modules))
    while modules:
        module = modules.pop()
        yield _file(module), code_digest(module)
        further = [m for m in _imported(module) if id(m) not in seen and is_own(m)]
        seen.update(map(id, further))
        modules += further


def _imported(module: ModuleType) -> Iterator[ModuleType]:
    """Modules that are loaded and that the source of `module` imports, also within functions."""
    if module not in _names:
        _names[module] = tuple(_names_in(module))
    for name in _names[module]:  # `import a.b` runs a/__init__.py too
        steps = name.split(".")
        for count in range(1, len(steps) + 1):
            if (found := sys.modules.get(".".join(steps[:count]))) is not None:
                yield found


def _names_in(module: ModuleType) -> Iterator[str]:
    """What its source imports; of `from a import b`, `a` and `a.b`."""
    if _file(module).suffix != ".py":
        return
    package = module.__name__ if hasattr(module, "__path__") else module.__name__.rpartition(".")[0]
    for node in ast.walk(ast.parse(_file(module).read_bytes())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            start = ".".join([*above, *([node.module] if node.module else [])])
            yield from (start, *(f"{start}.{alias.name}" for alias in node.names))


def _of_classes(network: nn.Module, named: ModuleType) -> list[ModuleType]:
    """Modules of the classes of all layers; `named` itself, which need not be in `sys.modules`, is known."""
    kinds = {kind for layer in network.modules() for kind in type(layer).__mro__}
    names = sorted({kind.__module__ for kind in kinds} - {named.__name__})
    return [m for name in names if (m := sys.modules.get(name)) is not None and is_own(m)]


def is_own(module: ModuleType) -> bool:
    """Whether a person wrote it: not installed, not Python's, not Vitrine's."""
    if not isinstance(getattr(module, "__file__", None), str):
        return False
    path = _file(module)
    within = (*OURS, *_STANDARD)
    return not set(path.parts) & set(INSTALLED) and not any(path.is_relative_to(top) for top in within)


def _file(module: ModuleType) -> Path:
    return Path(inspect.getfile(module)).resolve()


def code_digest(module: ModuleType) -> str:
    """SHA-256 of a module's source file, without regard to line ends."""
    if module not in _digests:
        source = _file(module).read_bytes().replace(b"\r\n", b"\n")
        _digests[module] = hashlib.sha256(source).hexdigest()
    return _digests[module]
