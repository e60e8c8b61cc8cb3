"""Gradio's public link, with a time limit: its program is verified, watched, and killed where it hangs."""

import hashlib
import secrets
import threading
import time
from collections.abc import Callable
from pathlib import Path

from gradio import networking, tunneling

from models.errors import UserError

PATIENCE = 40.0  # seconds for the download of the program and the link
WATCHED_EVERY = 0.1


class Tunnel:
    """From a public link to a local port."""

    def __init__(self, port: int):
        self._port, self._program, self._failure = port, None, ""
        self.link = ""

    def open(self, patience: float = PATIENCE, given_up: Callable[[], bool] = lambda: False) -> str:
        """The link, in at most `patience` seconds, or until it is `given_up`. Raises UserError with what went
        wrong; nothing is left running then."""
        before, ends = len(tunneling.CURRENT_TUNNELS), time.monotonic() + patience
        asking = threading.Thread(target=self._ask, daemon=True, name="tunnel")
        asking.start()
        while asking.is_alive() and time.monotonic() < ends and not self._failure and not given_up():
            asking.join(WATCHED_EVERY)
            self._find_program(before)
            if self._program is not None and not self.link and self._ended():
                self._failure = "its program ended at once"
        self._find_program(before)  # it may have begun, and ended, since it was looked for
        if not self.link:
            self.close()
            raise UserError(
                f"No public link: {self._failure or f'no answer in {patience:.0f} seconds'}. The local "
                "page goes on."
            )
        return self.link

    def _find_program(self, before: int) -> None:
        tunnels = tunneling.CURRENT_TUNNELS[before:]
        self._program = tunnels[-1] if tunnels else None

    def _ask(self) -> None:
        try:
            tunneling.Tunnel.download_binary()
            _check_program()
            self.link = networking.setup_tunnel(
                "127.0.0.1", self._port, secrets.token_urlsafe(32), None, None
            )
        except UserError as error:
            self._failure = str(error)
        except Exception as error:  # Gradio's own words have many lines
            self._failure = self._failure or (str(error).splitlines() or [type(error).__name__])[0][
                :160
            ].rstrip(". ")

    def _ended(self) -> bool:
        process = self._program.proc if self._program is not None else None
        return process is not None and process.poll() is not None

    @property
    def broken(self) -> bool:
        """Whether the link worked and does no longer."""
        return bool(self.link) and self._ended()

    def close(self) -> None:
        if self._program is not None and (process := self._program.proc) is not None:
            self._program.proc = (
                None  # Gradio's reader, which spins on a program that is silent, ends by this
            )
            process.kill()
            process.wait(5)


def _check_program() -> None:
    """At every start, not only after the download. Raises UserError for a wrong checksum."""
    expected = tunneling.CHECKSUMS.get(tunneling.BINARY_URL)
    checksum = hashlib.sha256(Path(tunneling.BINARY_PATH).read_bytes()).hexdigest()
    if checksum != expected:
        raise UserError(
            f"the tunnel's program '{Path(tunneling.BINARY_PATH).name}' is not the one that Gradio "
            "publishes: delete it"
        )
