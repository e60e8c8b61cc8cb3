"""Gradio without its type stubs: it looks for a `.pyi` file beside each of its components, parses both, and
writes what differs, which is half of the time of its import. Nothing reads them while a dashboard runs."""

import sys
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from typing import Any

MODULE, FUNCTION = "gradio.component_meta", "create_or_modify_pyi"


class _Finder(MetaPathFinder):
    """Finds that one module as Python does, and replaces the function once the module is executed."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        spec = PathFinder.find_spec(name, path) if name == MODULE else None
        if spec is not None and spec.loader is not None:
            _replaced_after(spec.loader)
        return spec


def _replaced_after(loader: Loader) -> None:
    execute = loader.exec_module

    def exec_module(module: Any) -> None:
        execute(module)
        if hasattr(module, FUNCTION):
            setattr(module, FUNCTION, lambda *given: None)

    loader.exec_module = exec_module  # type: ignore[method-assign]


if MODULE not in sys.modules:
    sys.meta_path.insert(0, _Finder())
