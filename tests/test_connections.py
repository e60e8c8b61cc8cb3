"""Connections that ask for nothing, or all too slowly, keep nobody out; and what the log holds of it is
bounded."""

import asyncio
import logging
import re
import resource
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn

from dashboard.server import connections
from dashboard.server.connections import Connection
from dashboard.server.logs import A_MINUTE, LENGTH, Bounded, printable
from tests.forked import forked
from tests.ports import free_port

MOST = 12


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Reads its body; `/long` never ends its answer, `/large` sends more than anybody takes."""
    if scope["type"] == "lifespan":
        return
    more = scope["method"] == "POST"
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        more = message.get("more_body", False)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    while scope["path"] == "/long":
        await send({"type": "http.response.body", "body": b"x", "more_body": True})
        await asyncio.sleep(0.05)
    for _ in range(400 if scope["path"] == "/large" else 0):
        await send({"type": "http.response.body", "body": b"x" * 100_000, "more_body": True})
    await send({"type": "http.response.body", "body": b"done"})


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    for name, seconds in (
        ("HEAD", 0.6),
        ("PAUSE", 0.6),
        ("BODY", 2.0),
        ("WRITE", 0.6),
        ("CHECKED_EVERY", 0.05),
    ):
        monkeypatch.setattr(connections, name, seconds)
    listening = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(
        app,
        http=type("Few", (Connection,), {"most": MOST}),
        log_level="critical",
        lifespan="off",
        timeout_graceful_shutdown=1,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield int(listening.getsockname()[1])
    server.should_exit = server.force_exit = True
    thread.join(10)


def opened(port: int, text: str = "", host: str = "127.0.0.1") -> socket.socket:
    line = socket.create_connection(("127.0.0.1", port), timeout=10, source_address=(host, 0))
    line.sendall(text.encode())
    return line


def received(line: socket.socket) -> int:
    """Bytes until it is closed."""
    number, ends = 0, time.monotonic() + 30
    try:
        while (data := line.recv(65536)) and time.monotonic() < ends:
            number += len(data)
    except ConnectionError:
        pass
    return number


def seconds_until_closed(line: socket.socket) -> float:
    began = time.monotonic()
    received(line)
    return time.monotonic() - began


POST = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n"


@pytest.mark.parametrize("text", ["", "GET / HT", "GET / HTTP/1.1\r\nHost: x\r\n", POST, POST + "a"])
def test_half_a_request_is_not_waited_for(text: str, port: int) -> None:
    assert 0.4 < seconds_until_closed(opened(port, text)) < 5


def drip(line: socket.socket, text: str, stop: threading.Event) -> None:
    while not stop.wait(0.15):
        try:
            line.sendall(text.encode())
        except OSError:
            return


@pytest.mark.parametrize(("text", "dripped"), [("GET / HTTP/1.1\r\n", "X-A: b\r\n"), (POST, "a")])
def test_a_request_that_comes_in_drops_is_not_waited_for(text: str, dripped: str, port: int) -> None:
    line, stop = opened(port, text), threading.Event()
    threading.Thread(target=drip, args=(line, dripped, stop), daemon=True).start()
    assert seconds_until_closed(line) < 8
    stop.set()


def test_who_takes_nothing_is_not_sent_to_for_ever(port: int) -> None:
    line = opened(port, "GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
    time.sleep(2)  # the answer waits for us all that time
    assert received(line) < 40_000_000  # it was cut short
    assert httpx.get(f"http://127.0.0.1:{port}/").text == "done"


def test_long_answers_and_slow_but_steady_bodies_go_on(port: int) -> None:
    line = opened(port, "GET /long HTTP/1.1\r\nHost: x\r\n\r\n")
    line.settimeout(5)
    ends = time.monotonic() + 2
    while time.monotonic() < ends:
        assert line.recv(100)
    steady = opened(port, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\nConnection: close\r\n\r\n")
    for _ in range(6):
        time.sleep(0.2)
        steady.sendall(b"a")
    assert b"done" in steady.recv(1000) + steady.recv(1000)


def test_two_requests_on_one_connection(port: int) -> None:
    with httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
        for _ in range(3):
            assert client.post("/", content=b"x" * 200_000).text == "done"
            time.sleep(0.3)


def test_idle_connections_make_room(port: int) -> None:
    idle = [opened(port, "GET / HT") for _ in range(3 * MOST)]
    assert httpx.get(f"http://127.0.0.1:{port}/", timeout=5).text == "done"
    assert len(idle) == 3 * MOST


def test_idle_connections_of_one_address_cost_no_other_its_own(port: int) -> None:
    """Not even the one that has waited longest."""
    with httpx.Client(base_url=f"http://127.0.0.1:{port}") as browser:
        assert browser.get("/").text == "done"
        kept = browser._transport._pool.connections[0]  # type: ignore[attr-defined]
        lines = [opened(port, host="127.0.0.2") for _ in range(3 * MOST)]
        assert browser.get("/").text == "done"
        assert browser._transport._pool.connections == [kept]  # type: ignore[attr-defined]
        for line in lines:
            line.close()


def test_one_address_does_not_take_every_place(port: int) -> None:
    busy = [opened(port, "GET /long HTTP/1.1\r\nHost: x\r\n\r\n") for _ in range(MOST)]
    assert all(line.recv(10) for line in busy)
    other = opened(port, "GET / HTTP/1.1\r\nHost: x\r\n\r\n", "127.0.0.2")
    assert b"200" in other.recv(1000)
    third = opened(port, "GET /long HTTP/1.1\r\nHost: x\r\n\r\n")
    assert third.recv(10)  # in the place of the other, which is done
    assert received(opened(port, "GET /long HTTP/1.1\r\nHost: x\r\n\r\n")) == 0


def test_what_the_system_allows() -> None:
    kept = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        wanted = min(kept[1], 512) if kept[1] != resource.RLIM_INFINITY else 512
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, kept[1]))
        assert connections._descriptors() >= wanted
        from gradio import http_server

        with connections.limited():
            config = http_server.uvicorn.Config(app)
            assert issubclass(config.http, Connection)
            assert (config.proxy_headers, config.server_header) == (False, False)
        assert http_server.uvicorn is uvicorn
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, kept)


DESCRIPTORS = 160


@pytest.fixture(scope="module")
def cramped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path, subprocess.Popen[str]]]:
    """A server that may open few descriptors, and its log."""
    log = tmp_path_factory.mktemp("cramped") / "log"
    with log.open("w") as written:
        process = forked(
            *("serve", "--no-browser", "--port", free_port()), stdout=subprocess.PIPE, stderr=written
        )
        resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (DESCRIPTORS, DESCRIPTORS))
        assert process.stdout is not None
        address = re.search(r"http://\S+", process.stdout.readline())
        assert address is not None
        yield address[0], log, process
        process.terminate()
        process.wait(15)


@pytest.mark.slow
def test_at_the_limit_of_descriptors_it_goes_on(cramped: tuple[str, Path, subprocess.Popen[str]]) -> None:
    address, log, process = cramped
    port = httpx.URL(address).port
    assert port is not None
    lines: list[socket.socket] = []
    for _ in range(8):  # 320 connections
        lines += [opened(port, "GET / HTTP/1.1\r\nHost: ") for _ in range(40)]
        assert httpx.get(f"{address}healthz", timeout=10).status_code == 200
        assert httpx.get(f"{address}config", timeout=10).status_code == 200
        for line in lines[:-200]:
            line.close()
        del lines[:-200]
    for line in lines:
        line.close()
    assert process.poll() is None
    assert log.stat().st_size < 100_000


def record(text: str, *args: object, line: int = 1) -> logging.LogRecord:
    return logging.LogRecord("vitrine", logging.ERROR, "file.py", line, text, args, None)


def test_a_log_is_bounded_and_says_what_it_left_out() -> None:
    now = [0.0]
    bounded = Bounded(lambda: now[0])
    assert sum(bounded.filter(record("again")) for _ in range(10_000)) == A_MINUTE
    assert bounded.filter(record("another kind", line=2))
    now[0] = 61
    later = record("again")
    assert bounded.filter(later)
    assert f"{10_000 - A_MINUTE:,} more" in later.getMessage()


def test_a_line_of_the_log_steers_no_terminal_and_is_short() -> None:
    entry = record("got %s", "\x1b[31mred\x1b]0;title\x07\r\n" + "x" * 900_000)
    assert Bounded().filter(entry)
    text = entry.getMessage()
    assert len(text) < LENGTH + 100
    assert text.isprintable()
    assert "\\x1b[31m" in text


def test_tracebacks_are_cut_too() -> None:
    try:
        raise ValueError("\x1b[31m" + "y" * 900_000)
    except ValueError:
        entry = logging.LogRecord("vitrine", logging.ERROR, "f.py", 1, "in an event", (), sys.exc_info())
    assert Bounded().filter(entry)
    written = logging.Formatter().format(entry)
    assert len(written) < 2 * LENGTH
    assert "\x1b" not in written
    assert "ValueError" in written


@pytest.mark.slow
def test_letters_of_every_language_are_printed() -> None:
    assert printable("Müller 表情 😀") == "Müller 表情 😀"
