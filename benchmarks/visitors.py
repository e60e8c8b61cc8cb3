"""Time of a click under load: twenty visitors browse, filter, and explain photos for two minutes.

    python benchmarks/visitors.py [--visitors 20] [--seconds 120] [--descriptors 256 --idle 400]

The server is a process of its own, shared and with a password; each visitor has an address of its own
(127.0.0.2 and on) and waits one to three seconds between clicks. Prints how many clicks there were, how many
failed, their median, 95th percentile and longest time, by kind, and the CPU time of the server.
`--descriptors`: how many files and connections the server may have open; `--idle`: so many connections are
kept open meanwhile that send half a request, and opened again when they are closed.
"""

import argparse
import random
import re
import resource
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import httpx
import numpy as np
from matplotlib import get_data_path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from tests.raw import Visitor

PHOTO = Path(get_data_path()) / "sample_data" / "grace_hopper.jpg"
PORT = 7899
CLASSES, ROWS = 8, 800  # of the demo
LENSES = ("images", "attention", "means", "slices")
SORTS = ("highest loss", "least margin", "most confident")


def click(visitor: Visitor, chance: random.Random) -> tuple[str, bool, float]:
    """One click: its kind, whether it was answered, and the seconds."""
    kind = chance.choices(("class", "cell", "sort", "lens", "inspect", "photo"), (30, 20, 15, 10, 15, 10))[0]
    began = time.perf_counter()
    if kind == "photo":
        path = visitor.upload(PHOTO)
        deps = visitor.events("vt-upload", "upload")[0]
        data = [
            {"path": path, "meta": {"_type": "gradio.FileData"}},
            *[held(visitor, number) for number in deps["inputs"][1:]],
        ]
        answer = visitor.ask(deps, data)
    elif kind == "inspect":
        answer = visitor.click("vt-gallery", "open", chance.randrange(ROWS))
        opened = next(d for d in visitor.config["dependencies"] if d["api_name"] == "from_run")
        answer = visitor.ask(opened) if answer["success"] else answer
    else:
        value = {
            "class": chance.randrange(CLASSES),
            "cell": f"{chance.randrange(CLASSES)},{chance.randrange(CLASSES)}",
            "sort": chance.choice(SORTS),
            "lens": chance.choice(LENSES),
        }[kind]
        answer = visitor.click("vt-gallery" if kind in ("sort", "lens") else "vt-table", kind, value)
    seconds = time.perf_counter() - began
    if not answer["success"]:
        print(f"{kind}: {answer['output']}", flush=True)
    return kind, bool(answer["success"]), seconds


def held(visitor: Visitor, number: int) -> object:
    return next(c["props"].get("value") for c in visitor.config["components"] if c["id"] == number)


def stay(
    address: str, login: tuple[str, str], until: float, found: list[tuple[str, bool, float]], seed: int
) -> None:
    chance = random.Random(seed)
    time.sleep(chance.uniform(0, 3))
    visitor = Visitor(address, login, source=f"127.0.0.{2 + seed}")
    while time.monotonic() < until:
        began = time.perf_counter()
        try:
            found.append(click(visitor, chance))
        except httpx.TransportError as error:
            print(f"lost: {error}", flush=True)
            found.append(("lost", False, time.perf_counter() - began))
        time.sleep(chance.uniform(1, 3))


def keep_idle(number: int, until: float, opened: list[int]) -> None:
    """Half of a request on each of so many connections, from another address of this machine."""
    lines: list[socket.socket] = []
    while time.monotonic() < until:
        for line in [x for x in lines if _closed(x)]:
            lines.remove(line)
            line.close()
        try:
            for _ in range(min(50, number - len(lines))):
                line = socket.create_connection(("127.0.0.1", PORT), 5, ("127.0.0.2", 0))
                line.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ")
                line.setblocking(False)
                lines.append(line)
                opened[0] += 1
        except OSError:
            pass
        time.sleep(0.2)


def _closed(line: socket.socket) -> bool:
    try:
        return not line.recv(1)
    except BlockingIOError:
        return False
    except OSError:
        return True


def resident(process: int) -> float:
    """MiB; Linux alone tells."""
    return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * resource.getpagesize() / 2**20


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--visitors", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--descriptors", type=int)
    parser.add_argument("--idle", type=int, default=0)
    return parser.parse_args()


def main() -> None:
    given = arguments()
    words = [sys.executable, "launch.py", "serve", "--no-browser", "--port", str(PORT), "--host", "0.0.0.0"]
    limit = (
        (lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (given.descriptors,) * 2))
        if given.descriptors
        else None
    )
    log = tempfile.TemporaryFile()  # noqa: SIM115 (it lives as long as the server)
    server = subprocess.Popen(
        words, cwd=ROOT, stdout=subprocess.PIPE, stderr=log, text=True, preexec_fn=limit
    )
    try:
        assert server.stdout is not None
        lines = [server.stdout.readline(), server.stdout.readline()]
        password = re.search(r"password (\S+)", lines[1])
        assert password is not None, lines
        address = f"http://127.0.0.1:{PORT}"
        time.sleep(8)  # the network is loaded
        found: list[tuple[str, bool, float]] = []
        until = time.monotonic() + given.seconds
        people = [
            threading.Thread(target=stay, args=(address, ("vitrine", password[1]), until, found, seed))
            for seed in range(given.visitors)
        ]
        opened, before = [0], resident(server.pid)
        if given.idle:
            people.append(threading.Thread(target=keep_idle, args=(given.idle, until, opened)))
        for person in people:
            person.start()
        for person in people:
            person.join()
        httpx.get(f"{address}/healthz").raise_for_status()
        after = resident(server.pid)
    finally:
        server.terminate()
        server.wait(10)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(
        f"{given.visitors} visitors for {given.seconds:.0f} s; {opened[0]:,} idle connections; resident "
        f"{before:.0f} MiB, then {after:.0f}; log {log.seek(0, 2):,} bytes; CPU "
        f"time of the server {used.ru_utime + used.ru_stime:.1f} s"
    )
    print_times(found)


def print_times(found: list[tuple[str, bool, float]]) -> None:
    """Clicks by kind: (kind, whether it was answered, seconds)."""
    print(f"{len(found)} clicks, {sum(not ok for _, ok, _ in found)} failed")
    for kind in ("all", *sorted({kind for kind, _, _ in found})):
        times = np.array([seconds for k, _, seconds in found if kind in ("all", k)])
        print(
            f"{kind:8} {len(times):5}  median {np.median(times):.2f} s, 95 % "
            f"{np.quantile(times, 0.95):.2f} s, longest {times.max():.2f} s"
        )


if __name__ == "__main__":
    main()
