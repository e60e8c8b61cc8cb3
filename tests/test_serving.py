"""Servers of their own: how they begin, share, stand behind a proxy, and end."""

import asyncio
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import gradio
import httpx
import pytest
import uvicorn
import yaml
from PIL import Image
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from models.errors import UserError
from tests.forked import ANEW, Forked
from tests.pages import open_tab
from tests.ports import free_port
from tests.raw import Visitor

if TYPE_CHECKING:
    import playwright.sync_api as playwright

ROOT = Path(__file__).parent.parent
READ_THE_ENVIRONMENT = "gradio gradio_client huggingface_hub"  # while they are imported


def start(
    words: list[str], environment: dict[str, str] | None = None
) -> tuple[subprocess.Popen[str], list[str], str]:
    """A server of its own, what it said until it was open, and its address."""
    inherited = {k: v for k, v in os.environ.items() if k != "GRADIO_TEMP_DIR"}
    inherited["GRADIO_SERVER_PORT"] = str(free_port())  # others may start a server at the same moment
    process = Forked(
        [sys.executable, str(ROOT / "launch.py"), *words],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**inherited, "PYTHONUNBUFFERED": "1", **(environment or {})},
    )
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if "Vitrine is open at" in line:
            return process, lines, re.findall(r"http://\S+", line)[0]
    raise AssertionError("".join(lines))


def tabs(visitor: Visitor) -> list[str]:
    return [c["props"]["label"] for c in visitor.config["components"] if c["type"] == "tabitem"]


def ended(process: subprocess.Popen[str], number: int = signal.SIGTERM) -> tuple[int, str]:
    process.send_signal(number)
    message, _ = process.communicate(timeout=60)
    return process.returncode, message


@pytest.mark.slow
def test_sigterm_with_an_upload_in_flight(tmp_path: Path) -> None:
    process, _, address = start(["serve", "--no-browser"], {"TMPDIR": str(tmp_path)})
    host, port = address.split("//")[1].strip("/").split(":")
    with socket.create_connection((host.replace("0.0.0.0", "127.0.0.1"), int(port))) as connection:
        head = (
            "POST /gradio_api/upload HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: multipart/form-data; "
            "boundary=x\r\n"
            "Content-Length: 9000000\r\n\r\n"
            '--x\r\nContent-Disposition: form-data; name="files"; filename="a.png"\r\n\r\n'
        )
        connection.sendall(head.encode() + b"y" * 300_000)
        time.sleep(0.5)
        code, message = ended(process)  # the upload itself never ends
    assert code == 0
    assert "Traceback" not in message
    assert not list(tmp_path.glob("vitrine-*"))


@pytest.mark.slow
def test_ended_while_its_network_is_loaded(tmp_path: Path) -> None:
    """A thread that is inside of torch when the interpreter ends would abort the process."""
    process, _, _ = start(["serve", "--no-browser"], {"TMPDIR": str(tmp_path)})
    assert ended(process) == (0, "")
    assert not list(tmp_path.glob("vitrine-*"))


@pytest.mark.slow
def test_the_folder_of_uploads_removed_while_serving_and_a_hangup(tmp_path: Path) -> None:
    """As by a cleaner of /tmp; then the terminal is closed."""
    process, _, address = start(["serve", "--no-browser"], {"TMPDIR": str(tmp_path)})
    photo = tmp_path / "photo.png"
    Image.new("RGB", (90, 60), (10, 200, 10)).save(photo)
    visitor = Visitor(address)
    for left in ("nothing", "file", "nothing"):
        folder = next(tmp_path.glob("vitrine-uploads-*"))
        shutil.rmtree(folder)
        if left == "file":
            folder.write_bytes(b"x")
        for _ in range(2):
            assert Path(visitor.upload(photo)).is_file()
        assert folder.is_dir()
    code, message = ended(process, signal.SIGHUP)
    assert code == 0
    assert "Traceback" not in message
    assert not list(tmp_path.glob("vitrine-*"))


@pytest.mark.slow
def test_a_share_link_that_cannot_be_made_leaves_the_local_page(tmp_path: Path) -> None:
    """No network: one line says so, and the page is there, with its password. Then the terminal asks it to
    quit."""
    process, _, address = start(
        ["serve", "--no-browser", "--share"],
        {
            "HF_HOME": str(tmp_path),
            "GRADIO_SHARE_SERVER_ADDRESS": "127.0.0.1:1",
            "TMPDIR": str(tmp_path),
            ANEW: READ_THE_ENVIRONMENT,
        },
    )
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if "No public link" in line:
            break
    assert re.match(r"user vitrine, password \S{12,}$", lines[0].strip())
    assert lines[-1].startswith("vitrine: No public link: ")
    assert len(lines) == 3
    assert httpx.get(f"{address}config").status_code == 401
    code, message = ended(process, signal.SIGQUIT)
    assert code == 0
    assert "Traceback" not in message
    assert not list(tmp_path.glob("vitrine-*"))


@pytest.mark.slow
def test_a_space_starts_by_itself() -> None:
    """As Hugging Face starts it: the file alone, host and port from the environment, nobody to read a
    password."""
    port = free_port()
    environment = {"SPACE_ID": "someone/vitrine", "GRADIO_SERVER_NAME": "0.0.0.0"}
    environment |= {"GRADIO_SERVER_PORT": str(port), ANEW: READ_THE_ENVIRONMENT}
    process, lines, _ = start([], environment)
    try:
        answer = httpx.get(f"http://127.0.0.1:{port}/", headers={"host": "someone-vitrine.hf.space"})
        assert answer.status_code == 200
        assert "https://huggingface.co" in answer.headers["content-security-policy"]
        assert "password" not in "".join(lines)
        assert "Train" not in tabs(Visitor(f"http://127.0.0.1:{port}"))
    finally:
        assert ended(process)[0] == 0


def test_the_first_free_port_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    from dashboard.server import serving

    monkeypatch.delenv("GRADIO_SERVER_PORT", raising=False)
    taken = free_port()
    monkeypatch.setattr(serving, "FIRST_PORT", taken)
    with socket.create_server(("127.0.0.1", taken)):
        assert taken < serving._free_port() < taken + serving.PORTS
        monkeypatch.setattr(serving, "PORTS", 1)
        with pytest.raises(UserError, match=f"Ports {taken} to {taken} are all in use"):
            serving._free_port()
    monkeypatch.setenv("GRADIO_SERVER_PORT", "8123")
    assert serving._free_port() == 8123


def test_readme_tells_spaces_how_to_start() -> None:
    text = (ROOT / "docs" / "space" / "README.md").read_text()
    assert text.startswith("---\n")
    about = yaml.safe_load(text.split("---\n")[1])
    assert about["sdk"] == "gradio"
    assert (ROOT / about["app_file"]).name == "launch.py"
    assert about["sdk_version"].split(".")[0] == gradio.__version__.split(".")[0]
    assert about["license"] == "apache-2.0"


def proxy_to(target: str, prefix: str) -> Starlette:
    """As nginx with `proxy_pass`: takes the prefix away, passes everything else on, and says whom it was
    asked for."""
    client = httpx.AsyncClient(base_url=target, timeout=60)

    async def forward(request: Request) -> StreamingResponse:
        headers = {k: v for k, v in request.headers.items() if k not in ("host", "accept-encoding")}
        headers |= {
            "host": request.headers["host"],
            "x-forwarded-host": request.headers["host"],
            "x-forwarded-proto": "http",
        }
        url = request.url.path.removeprefix(prefix) + (f"?{request.url.query}" if request.url.query else "")
        asked = client.build_request(request.method, url, headers=headers, content=await request.body())
        answer = await client.send(asked, stream=True)

        async def body() -> AsyncIterator[bytes]:
            async for chunk in answer.aiter_raw():
                yield chunk

        kept = {
            k: v
            for k, v in answer.headers.items()
            if k not in ("content-length", "transfer-encoding", "connection")
        }
        return StreamingResponse(body(), answer.status_code, kept)

    async def icon(request: Request) -> Response:
        """A host's own, which browsers ask for before they have read the page."""
        return Response(status_code=204)

    return Starlette(
        routes=[
            Route("/favicon.ico", icon),
            Route(f"{prefix}{{path:path}}", forward, methods=["GET", "POST", "HEAD"]),
        ]
    )


@pytest.fixture(scope="module")
def behind_a_proxy(demo: Path) -> Iterator[str]:
    process, _, address = start(
        ["serve", "--no-browser", "--run", str(demo), "--root-path", "/vitrine", "--public"]
    )
    port = free_port()
    proxy = uvicorn.Server(
        uvicorn.Config(proxy_to(address.rstrip("/"), "/vitrine"), port=port, log_level="error")
    )
    thread = threading.Thread(target=lambda: asyncio.run(proxy.serve()), daemon=True)
    thread.start()
    while not proxy.started:
        time.sleep(0.05)
    yield f"http://127.0.0.1:{port}/vitrine/"
    proxy.should_exit = True
    ended(process)


@pytest.mark.slow
def test_behind_a_reverse_proxy(behind_a_proxy: str) -> None:
    assert httpx.get(f"{behind_a_proxy}healthz").json() == {"status": "ok"}
    visitor = Visitor(behind_a_proxy)
    assert visitor.config["root"].endswith("/vitrine")
    assert visitor.click("vt-table", "class", 1)["success"]
    assert (
        httpx.post(
            f"{behind_a_proxy}gradio_api/queue/join", json={}, headers={"origin": "https://evil.example"}
        ).status_code
        == 403
    )
    origin = behind_a_proxy.removesuffix("/vitrine/")
    assert (
        httpx.post(f"{behind_a_proxy}gradio_api/queue/join", json={}, headers={"origin": origin}).status_code
        != 403
    )


@pytest.fixture
def server(behind_a_proxy: str) -> str:
    """For the page of conftest."""
    return behind_a_proxy


@pytest.mark.browser
@pytest.mark.slow
@pytest.mark.parametrize("page", [(1280, False, "?class=fear&as=surprise")], indirect=True, ids=["link"])
def test_the_page_behind_a_reverse_proxy(page: "playwright.Page") -> None:
    """Its links, clicks and uploads find their way."""
    page.wait_for_selector("#vt-gallery h2:has-text('surprise')")
    page.locator(".vt-class-name, .vt-cell").first.click()
    open_tab(page, "Inspect")
    page.locator(".vt-example").first.click()
    page.wait_for_selector("#vt-live .vt-methods img.vt-map")
