"""Free ports for servers that tests start, also where several test processes run beside each other."""

import random
import socket
from contextlib import suppress

SYSTEM = random.SystemRandom()  # no test's seed gives two processes the same ports
FIRST, LAST = 10_000, 32_000  # below those that the system hands to clients


def free_port() -> int:
    """A port of this machine that nobody listens at. Asking the system for one (port 0) would give a port
    that a client may be given, too, before the server has taken it."""
    for _ in range(100):
        port = SYSTEM.randrange(FIRST, LAST)
        with suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return port
    raise OSError(f"No free port of {FIRST} to {LAST}: see which servers run.")
