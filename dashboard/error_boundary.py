"""Errors of handlers become one line; tracebacks go to the log."""

import functools
import html
import inspect
import logging
from collections.abc import Callable, Iterator
from contextlib import aclosing, closing, contextmanager
from typing import Any, ParamSpec, TypeVar

import gradio as gr

from explain.formatting import visible_text
from models.errors import Cancelled, UserError

P = ParamSpec("P")
R = TypeVar("R")


def message_text(message: str) -> str:
    """A message as text: the page shows messages as HTML. Quotes stay, for programs that read it."""
    return html.escape(visible_text(message), quote=False)


def error_boundary(handler: Callable[P, R]) -> Callable[P, R]:
    """A handler, also one that yields or is asynchronous: `UserError` is shown as it is, others are logged
    and shown in one line. One that yields nothing changes nothing; Gradio alone would empty its outputs."""

    @functools.wraps(handler)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> Any:
        with one_line(handler.__name__):
            return handler(*args, **kwargs)

    @functools.wraps(handler)
    def guarded_steps(*args: P.args, **kwargs: P.kwargs) -> Any:
        silent = True
        with one_line(handler.__name__), closing(handler(*args, **kwargs)) as steps:  # type: ignore[type-var]
            for step in steps:  # type: ignore[attr-defined]
                silent = False
                yield step
        if silent:
            yield gr.skip()

    @functools.wraps(handler)
    async def guarded_async(*args: P.args, **kwargs: P.kwargs) -> Any:
        with one_line(handler.__name__):
            return await handler(*args, **kwargs)  # type: ignore[misc]

    @functools.wraps(handler)
    async def guarded_async_steps(*args: P.args, **kwargs: P.kwargs) -> Any:
        silent = True
        with one_line(handler.__name__):
            async with aclosing(handler(*args, **kwargs)) as steps:  # type: ignore[type-var]
                async for step in steps:  # type: ignore[attr-defined]
                    silent = False
                    yield step
        if silent:
            yield gr.skip()

    if inspect.isasyncgenfunction(handler):
        return guarded_async_steps
    if inspect.iscoroutinefunction(handler):
        return guarded_async  # type: ignore[return-value]
    return guarded_steps if inspect.isgeneratorfunction(handler) else guarded


@contextmanager
def one_line(name: str) -> Iterator[None]:
    """Every error inside becomes a `gr.Error` of one line; `name` says in the log where an unexpected one
    happened."""
    try:
        yield
    except gr.Error:
        raise
    except UserError as error:
        raise gr.Error(str(error), print_exception=False) from None
    except Cancelled:
        raise gr.Error("Cancelled.", print_exception=False) from None
    except Exception as error:
        logging.getLogger("vitrine").exception("in %s", name)
        raise gr.Error(
            f"That did not work ({type(error).__name__}); the log has more.", print_exception=False
        ) from None
