"""The public link, with Gradio's program replaced by one that hangs, fails, or answers."""

import hashlib
import threading
import time
from pathlib import Path

import pytest
from gradio import tunneling

from dashboard.server.serving import _shared
from dashboard.server.sharing import Sharing
from dashboard.server.tunnel import Tunnel
from models.errors import UserError

PROGRAMS = {
    "hangs": "exec sleep 60",
    "fails": "exit 1",
    "answers": "echo 'start proxy success: https://abc.gradio.live'; exec sleep 60",
    "refused": "echo 'login to server failed: no'; exec sleep 60",
}


@pytest.fixture
def program(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Gradio's tunnel program, replaced by one that behaves as is said."""
    file = tmp_path / "frpc"
    file.write_text(f"#!/bin/sh\n{PROGRAMS[request.param]}\n")
    file.chmod(0o755)
    monkeypatch.setattr(tunneling, "BINARY_PATH", str(file))
    monkeypatch.setattr(
        tunneling, "CHECKSUMS", {tunneling.BINARY_URL: hashlib.sha256(file.read_bytes()).hexdigest()}
    )
    monkeypatch.setattr("gradio.networking.GRADIO_SHARE_SERVER_ADDRESS", "127.0.0.1:1")
    return str(request.param)


@pytest.mark.parametrize("program", ["hangs", "fails", "refused"], indirect=True)
def test_a_tunnel_that_does_not_come(program: str, capfd: pytest.CaptureFixture[str]) -> None:
    tunnel, began = Tunnel(7860), time.monotonic()
    with pytest.raises(UserError, match=r"No public link: .* The local page goes on"):
        tunnel.open(patience=3)
    assert time.monotonic() - began < 6
    assert tunneling.CURRENT_TUNNELS[-1].proc is None or tunneling.CURRENT_TUNNELS[-1].proc.poll() is not None
    time.sleep(0.5)  # its reader has ended: it does not spin
    assert not [t for t in threading.enumerate() if t.name == "tunnel" and t.is_alive()]
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.parametrize("program", ["answers"], indirect=True)
def test_a_tunnel_that_comes_and_goes(program: str) -> None:
    tunnel = Tunnel(7860)
    assert tunnel.open(patience=10) == "https://abc.gradio.live"
    assert not tunnel.broken
    process = tunneling.CURRENT_TUNNELS[-1].proc
    assert process is not None
    process.kill()
    process.wait(5)
    assert tunnel.broken
    tunnel.close()
    assert not tunnel.broken


@pytest.mark.parametrize("program", ["answers"], indirect=True)
def test_the_link_is_printed_and_let_in(program: str, capsys: pytest.CaptureFixture[str]) -> None:
    rules = Sharing(share=True).rules()
    tunnel = _shared(7860, rules, threading.Event())
    assert tunnel is not None
    tunnel.close()
    text = capsys.readouterr().out
    assert "https://abc.gradio.live" in text
    assert set("█▀▄") <= set(text)  # to be read by a phone
    assert rules.names == {"abc.gradio.live"}


@pytest.mark.parametrize("program", ["answers"], indirect=True)
def test_a_program_that_is_not_gradios_is_not_run(program: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tunneling, "CHECKSUMS", {tunneling.BINARY_URL: "0" * 64})
    with pytest.raises(UserError, match="not the one that Gradio publishes"):
        Tunnel(7860).open(patience=3)


@pytest.mark.parametrize("program", ["hangs"], indirect=True)
def test_ctrl_c_does_not_wait_for_the_link(program: str, capsys: pytest.CaptureFixture[str]) -> None:
    ended, began = threading.Event(), time.monotonic()
    ended.set()
    assert _shared(7860, Sharing(share=True).rules(), ended) is None
    assert time.monotonic() - began < 3
