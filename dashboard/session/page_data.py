"""Which data the forms of the page take: those of the command line, without web addresses and credentials."""

from models.data.remote.location import is_url, must_be_plain
from models.errors import UserError

WEB = ("http://", "https://")


def checked_data(text: str) -> str:
    """The text after `--data`. Raises UserError for a URL that may hold credentials, before anything shows or
    keeps it, and for a web address: a page must not make its server call others."""
    data = text.strip()
    if is_url(data):
        must_be_plain(data)
    if data.lower().startswith(WEB):
        raise UserError("A page reads no data from http:// and https:// URLs: start it on the command line.")
    return data
