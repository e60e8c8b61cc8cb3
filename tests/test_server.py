"""The live server: what raw requests get, and what they must not get."""

import json
from pathlib import Path

import httpx
import pytest
from PIL import Image

DEMO = Path(__file__).parent.parent / "dashboard" / "demo"



def test_page_asks_no_other_host_and_says_its_name(server: str) -> None:
    page = httpx.get(server)
    assert page.status_code == 200
    assert server.startswith("http://127.0.0.1")


def endpoints(server: str) -> list[dict[str, object]]:
    return json.loads(httpx.get(f"{server}config").text)["dependencies"]


def test_no_endpoint_is_advertised(server: str) -> None:
    info = httpx.get(f"{server}gradio_api/info").json()
    assert info == {"named_endpoints": {}, "unnamed_endpoints": {}}


FORMS = [
    lambda path: {"path": path, "meta": {"_type": "gradio.FileData"}},
    lambda path: {"path": path},
    lambda path: {"path": path, "meta": {"_type": "something else"}},
    lambda path: {"path": path, "orig_name": "x.svg", "meta": {"_type": "gradio.FileData"}},
    lambda path: {"path": "x.png", "url": f"file://{path}", "meta": {"_type": "gradio.FileData"}},
]


@pytest.mark.parametrize("form", FORMS)
def test_raw_requests_cannot_make_the_server_read_its_files(form: object, server: str, tmp_path: Path) -> None:
    secret = tmp_path / "secret.png"
    Image.new("RGB", (64, 64), (1, 2, 3)).save(secret)
    tried = 0
    for dependency in endpoints(server):
        inputs = [form(str(secret)) if i == 0 else None for i in range(len(dependency["inputs"]))]  # type: ignore[operator,arg-type]
        if inputs:
            body = {"data": inputs, "fn_index": dependency["id"], "session_hash": "s"}
            answer = httpx.post(f"{server}gradio_api/run/predict", json=body, timeout=60)
            assert "data:image/jpeg" not in answer.text
            assert answer.status_code >= 400 or "error" in answer.text.lower() or "Traceback" not in answer.text
            assert "Traceback" not in answer.text
            tried += 1
    assert tried > 5
    for path in (secret, DEMO / "manifest.json", "/etc/passwd"):
        assert httpx.get(f"{server}gradio_api/file={path}").status_code in (403, 404)
