"""No traceback ever reaches a person: errors become one line."""

import functools
import logging
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import gradio as gr

from models.errors import UserError

P = ParamSpec("P")
R = TypeVar("R")


def said(handler: Callable[P, R]) -> Callable[P, R]:
    """A handler whose `UserError` is shown as it is, and whose other errors are logged and shown in one line."""

    @functools.wraps(handler)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> Any:
        try:
            return handler(*args, **kwargs)
        except gr.Error:
            raise
        except UserError as error:
            raise gr.Error(str(error), print_exception=False) from None
        except Exception as error:
            logging.getLogger("vitrine").exception("in %s", handler.__name__)
            raise gr.Error(f"That did not work ({type(error).__name__}); the log has more.", print_exception=False) from None

    return guarded
