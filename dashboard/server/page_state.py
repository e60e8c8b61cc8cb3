"""What the server remembers of an open page, without a copy of all that it shows. Gradio keeps one of every
page, with each value that an event sends, for its deep links, which this page does not have: 0.7 MB a page,
and 18 ms when it is opened."""

from types import SimpleNamespace
from typing import Any

from gradio import state_holder
from gradio.state_holder import SessionState


class PageState(SessionState):
    def __init__(self, blocks: Any) -> None:
        super().__init__(SimpleNamespace(default_config=blocks.default_config, blocks={}))  # type: ignore[arg-type]
        self.blocks_config.config_for_block = _nothing  # type: ignore[method-assign]


def _nothing(*of_block: Any) -> dict[str, Any]:
    return {}


state_holder.SessionState = PageState  # type: ignore[misc]
