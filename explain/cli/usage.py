"""What Typer refuses on the command line, such as a text in place of a number, as one line like any other
error."""

from collections.abc import Iterator, Sequence

import typer

from models.errors import UserError
from models.program import typed

UsageError: type[Exception] = typer.BadParameter.__bases__[0]
"""Of everything that a command line can have wrong; Typer gives it no name of its own."""


def as_user_error(error: Exception, words: Sequence[str]) -> UserError | None:
    """`error` in one line; None where it only stands for the help, which is printed already. `words`: the
    command line without the program."""
    if type(error).__name__ == "NoArgsIsHelpError":
        return None
    context = getattr(error, "ctx", None)
    path = context.command_path.split()[1:] if context is not None else [w for w in words[:1] if w[:1] != "-"]
    said = _of_value(error, words) or error.format_message()  # type: ignore[attr-defined]
    text = " ".join(said.split()).rstrip(".")
    end = "" if text.endswith("?") else "."
    return UserError(f"{text}{end} {typed([*path, '--help'])} lists what is allowed.")


def _of_value(error: Exception, words: Sequence[str]) -> str:
    """The option, its value, and what it should be; '' where it is not about the value of an option."""
    names = getattr(getattr(error, "param", None), "opts", ())
    given = [pair for pair in _options(words) if pair[0] in names]
    message = str(getattr(error, "message", "")).partition(", unable to")[0]
    if not given or not message:
        return ""
    option, value = given[-1]  # the last one counts
    return f"{option} '{value}': {message.replace('Input should', 'it should')}"


def _options(words: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Options and what follows them."""
    for word, after in zip(words, [*words[1:], ""], strict=True):
        name, sign, value = word.partition("=")
        yield (name, value) if sign else (word, after)
