"""What Typer refuses on the command line: one line, as of any other error."""

import pytest

from tests.command import run_command


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("trust R --images abc", "--images 'abc': it should be a valid integer. {} trust --help"),
        ("trust R --images=9", "--images '9': it should be greater than or equal to 10. {} trust --help"),
        ("trust R --images 12 --images -1", "--images '-1': it should be greater than or equal to"),
        ("serve --port x", "--port 'x': it should be a valid integer. {} serve --help"),
        ("train --lr x", "--lr 'x': it should be a valid number. {} train --help"),
        ("trust R --steps", "Option '--steps' requires an argument. {} trust --help"),
        ("trust R --imges 20", "No such option: --imges"),
        ("trust R other", "Got unexpected extra argument"),
        ("trust", "Missing argument"),
        ("trst", "No such command 'trst'."),
        ("gaze trin", "No such command 'trin'."),
    ],
)
def test_what_typer_refuses_is_one_line(words: str, message: str) -> None:
    done = run_command(*words.split())
    assert done.returncode == 2
    assert not done.stdout
    (line,) = done.stderr.splitlines()
    assert line.lower().startswith(f"vitrine: {message.format('python launch.py')}".lower())
    assert line.endswith("--help lists what is allowed.")


def test_a_group_without_a_command_prints_its_help() -> None:
    done = run_command("data")
    assert (done.returncode, done.stderr) == (2, "")
    assert "preview" in done.stdout
