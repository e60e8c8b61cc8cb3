"""Exceptions whose messages are written for people."""


class UserError(ValueError):
    """An input that does not fit: one line with what was given, what is accepted, and what to do.

    The command line prints it and exits with code 2; the dashboard shows it as a notice.
    """


class Cancelled(Exception):
    """The caller asked to end the work before it was done."""
