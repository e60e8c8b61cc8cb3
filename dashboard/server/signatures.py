"""Signatures of the constructors of Gradio's components, read once each. Gradio reads them with `inspect` for
every component whenever a page is opened, and for every component that an event changes."""

import inspect
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from gradio import blocks, component_meta

_signature = lru_cache(maxsize=1024)(inspect.signature)
_getfullargspec = lru_cache(maxsize=1024)(inspect.getfullargspec)


class Remembering:
    """The module `inspect`, which remembers what it read of functions. Methods are read every time: they
    would keep their object."""

    def signature(self, of: Callable[..., Any]) -> inspect.Signature:
        return _signature(of) if inspect.isfunction(of) else inspect.signature(of)

    def getfullargspec(self, of: Callable[..., Any]) -> inspect.FullArgSpec:
        return _getfullargspec(of) if inspect.isfunction(of) else inspect.getfullargspec(of)

    def __getattr__(self, name: str) -> Any:
        return getattr(inspect, name)


blocks.inspect = component_meta.inspect = Remembering()
