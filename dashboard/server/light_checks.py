"""The check of the login without a thread. It compares two values; as Gradio declares it, each request would
hand it to a thread, and wait until that thread gets the interpreter."""

import inspect
from collections.abc import Callable
from typing import Any

from fastapi import Depends
from gradio import routes

CHECK = "login_check"


def depends(dependency: Callable[..., Any] | None = None, **named: Any) -> Any:
    """As `fastapi.Depends`."""
    if getattr(dependency, "__name__", "") != CHECK or inspect.iscoroutinefunction(dependency):
        return Depends(dependency, **named)
    check: Callable[..., Any] = dependency  # type: ignore[assignment]

    async def here(**values: Any) -> Any:
        return check(**values)

    here.__signature__ = inspect.signature(check)  # type: ignore[attr-defined]  # what FastAPI asks for
    return Depends(here, **named)


routes.Depends = depends
