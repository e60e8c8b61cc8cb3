"""The one exception a person is meant to read."""


class UserError(ValueError):
    """Something from outside does not fit: one line with what was got, what is allowed and what to do next.

    The command line prints it and exits with code 2; the dashboard shows it as a notice.
    """


class Cancelled(Exception):
    """The caller asked to end the work before it was done."""
