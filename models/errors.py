"""Exceptions whose messages are written for people."""

from models.files.shown_paths import shown


class UserError(ValueError):
    """An input that does not fit: one line with what was given, what is accepted, and what to do.

    The command line prints it and exits with code 2; the dashboard shows it as a notice. Of a run at a URL it
    names the URL, not the local copy.
    """

    def __init__(self, message: object = ""):
        super().__init__(shown(str(message)))


class Cancelled(Exception):
    """The caller asked to end the work before it was done."""

    def __init__(self, message: object = ""):
        super().__init__(shown(str(message)))
