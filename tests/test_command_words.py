"""Commands on the page: no line ends inside an option, and what is copied is the command."""

from markupsafe import Markup

from dashboard.components.command import command_words
from tests.markup import elements, runs_nothing

COMMAND = "vitrine train --data 'my photos' --mixup 0.2 \\\n  -n 3 --out fer-net.safetensors"


def test_options_are_kept_in_one_piece() -> None:
    made = command_words(COMMAND)
    options = [part.split("</span>")[0] for part in made.split('<span class="vt-option">')[1:]]
    assert options == ["--data", "--mixup", "-n", "--out"]


def test_copied_it_is_the_command() -> None:
    assert command_words(COMMAND).striptags().split() == COMMAND.split()
    assert (
        Markup(
            command_words(COMMAND).replace('<span class="vt-option">', "").replace("</span>", "")
        ).unescape()
        == COMMAND
    )


def test_text_of_others_stays_text() -> None:
    made = command_words("run --data=<img src=x onerror=1> -<b>")
    assert runs_nothing(made)
    assert {tag for tag, _ in elements(made)} == {"span"}
