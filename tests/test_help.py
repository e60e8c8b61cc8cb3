"""The command line's help: every option says what its value is and what the default is; names of earlier
versions still work."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from dashboard.tabs.errors_state import from_query
from explain.run.reader import open_run
from launch import EARLIER_NAMES, app
from models import __version__

TOON_RUN = Path(__file__).parent / "toon_run"


def commands(group: Any = None, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    group = group or typer.main.get_command(app)
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, (*path, name))
        else:
            yield " ".join((*path, name)), command


ALL = dict(commands())


@pytest.mark.parametrize("name", ALL)
def test_every_option_says_what_it_is_and_its_default(name: str) -> None:
    command = ALL[name]
    assert command.help
    for option in command.params:
        text = option.help or ""
        assert text.endswith("."), (name, option.name)
        shown = option.show_default and option.default not in (None, "")
        is_flag = isinstance(option.default, bool)
        assert option.required or shown or is_flag or "default: " in text, (name, option.name)


@pytest.mark.parametrize("name", EARLIER_NAMES)
def test_earlier_names_of_commands_work_and_are_hidden(name: str) -> None:
    assert ALL[name].hidden
    assert CliRunner().invoke(app, [name, "--help"]).exit_code == 0
    assert f" {name} " not in CliRunner().invoke(app, ["--help"]).output


def test_an_earlier_name_of_a_command_says_its_name_today() -> None:
    with_notes = [
        CliRunner().invoke(app, [name, "--help"]).stderr for name in ("survey", "analyse", "analyze")
    ]
    assert with_notes[0] == "note: the command 'survey' is now called 'top-activations'\n"
    assert with_notes[1] == "note: the command 'analyse' is now called 'analyze'\n"
    assert with_notes[2] == ""


def test_the_version_is_printed() -> None:
    assert CliRunner().invoke(app, ["--version"]).stdout == f"vitrine {__version__}\n"


def test_a_command_on_a_run_prepares_images_as_the_run_did() -> None:
    texts = {p.name: p.help for p in ALL["top-activations"].params}
    assert texts["mean"].endswith("(default: the run's).")
    assert "the model's" not in str(texts)
    assert next(p for p in ALL["run"].params if p.name == "mean").help.endswith("(default: the model's).")


@pytest.mark.parametrize(
    ("command", "option", "earlier"),
    [("explain", "contrast_class", "--minus"), ("train", "optimizer", "--optimiser")],
)
def test_earlier_names_of_options_work(command: str, option: str, earlier: str) -> None:
    assert earlier in next(p for p in ALL[command].params if p.name == option).opts


def test_links_take_earlier_names_and_folded_classes() -> None:
    run = open_run(TOON_RUN)
    assert (
        from_query({"group": "alike"}, run).group == from_query({"group": "similar"}, run).group == "similar"
    )
    first, second = (run.classes[i] for i in run.present[:2])
    view = from_query({"class": first.upper(), "as": second}, run)
    assert (view.label, view.pred) == (run.present[0], run.present[1])
    assert from_query({"class": "no such class"}, run).label is None
