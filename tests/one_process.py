"""Tests that fork commands (`tests.forked`) run in one of the processes of pytest-xdist: each of the others
would import torch, Gradio and Lightning once more, which takes eight CPU seconds."""

from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

WORDS = ("tests.forked", '"forks"')
"""What stands in the files of such tests: an import, or the name of a fixture."""
NAME = "tests that fork"


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    from xdist.scheduler.loadscope import LoadScopeScheduling

    class Together(LoadScopeScheduling):
        @cached_property
        def _forking(self) -> set[str]:
            texts = {p.name: p.read_text(encoding="utf-8") for p in Path(__file__).parent.glob("test_*.py")}
            return {f"tests/{name}" for name, text in texts.items() if any(word in text for word in WORDS)}

        def _split_scope(self, nodeid: str) -> str:
            scope = super()._split_scope(nodeid)
            return NAME if scope.partition("::")[0] in self._forking else scope

    return Together(config, log)
