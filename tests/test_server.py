"""The live server: what raw requests get, and what they must not get."""

import json
import re
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from dashboard.server import upload_dir as private
from tests.raw import Visitor

TOON_RUN = Path(__file__).parent / "toon_run"
OFFERED = ["/errors", "/explain", "/export", "/predict", "/report"]


@pytest.mark.slow
def test_page_asks_no_other_host_and_says_its_name(server: str) -> None:
    page = httpx.get(server)
    assert page.status_code == 200
    assert server.startswith("http://127.0.0.1")
    assert page.headers["x-content-type-options"] == "nosniff"
    assert "default-src 'self'" in page.headers["content-security-policy"]


@pytest.mark.slow
def test_files_named_by_their_content_are_kept_and_nothing_else(server: str) -> None:
    page = httpx.get(server)
    kept = "public, max-age=31536000, immutable"
    named = [name for name in re.findall(r"assets/[\w.-]+", page.text) if name.endswith((".js", ".css"))]
    assert named
    for name in named:
        answer = httpx.get(f"{server}{name}")
        assert (answer.status_code, answer.headers["cache-control"]) == (200, kept)
    stem, _, ending = named[0].rpartition(".")
    for path in ("", "config", f"{stem[:-8]}xxxxxxxx.{ending}", "theme.css", "static/img/logo.svg"):
        assert "immutable" not in httpx.get(f"{server}{path}").headers.get("cache-control", ""), path


def test_the_page_is_sent_compressed_to_who_takes_it(server: str) -> None:
    for path in ("", "config"):
        plain = httpx.get(f"{server}{path}", headers={"accept-encoding": "identity"})
        packed = httpx.get(f"{server}{path}", headers={"accept-encoding": "gzip, br"})
        assert "content-encoding" not in plain.headers
        assert packed.headers["content-encoding"] == "gzip"
        assert packed.headers["content-type"] == plain.headers["content-type"]
        assert "content-security-policy" in packed.headers
        assert len(packed.content) == len(plain.content) > 3 * int(packed.headers["content-length"])


def test_health(server: str) -> None:
    assert httpx.get(f"{server}healthz").json() == {"status": "ok"}


def test_only_what_is_for_programs_is_advertised(server: str) -> None:
    info = httpx.get(f"{server}gradio_api/info").json()
    assert sorted(info["named_endpoints"]) == OFFERED
    assert info["unnamed_endpoints"] == {}


def file_forms(path: str) -> list[Any]:
    meta = {"_type": "gradio.FileData"}
    return [
        {"path": path, "meta": meta},
        {"path": path},
        {"path": path, "meta": {"_type": "something else"}},
        {"path": path, "orig_name": "x.svg", "meta": meta},
        {"path": "x.png", "url": f"file://{path}", "meta": meta},
        {"path": f"file://{path}", "meta": meta},
        {"path": path, "url": None, "is_stream": True, "meta": meta},
        [{"image": {"path": path, "meta": meta}, "caption": None}],
        [[path, None]],
        {"background": {"path": path, "meta": meta}},
        {"path": "http://127.0.0.1:1/x.png", "meta": meta},
        {"path": "https://example.org/x.png"},
        path,
    ]


@pytest.mark.slow
@pytest.mark.parametrize("number", range(len(file_forms(""))))
def test_no_payload_makes_the_server_read_its_files(number: int, server: str, tmp_path: Path) -> None:
    """Every endpoint, each input in turn, with the path of a picture that was not uploaded."""
    secret = tmp_path / "secret.png"
    Image.new("RGB", (64, 64), (1, 2, 3)).save(secret)
    form, visitor = file_forms(str(secret))[number], Visitor(server)
    takes_files = {c["id"] for c in visitor.config["components"] if c["type"] in ("image", "gallery", "file")}
    tried = 0
    for dependency in visitor.config["dependencies"]:
        for place in [i for i, piece in enumerate(dependency["inputs"]) if piece in takes_files]:
            data = [form if i == place else None for i in range(len(dependency["inputs"]))]
            answer = visitor.ask(dependency, data, {"index": "x", "value": "x"})
            told = json.dumps(answer["output"])
            assert not answer["success"], f"{dependency['api_name']} took it"
            assert "Traceback" not in told
            assert str(secret) not in told
            tried += 1
    assert tried >= 4


@pytest.mark.slow
@pytest.mark.parametrize("number", range(4))
def test_every_endpoint_refuses_a_path_in_its_first_input(number: int, server: str, tmp_path: Path) -> None:
    """Inputs that are no files come back unread."""
    secret = tmp_path / "secret.png"
    Image.new("RGB", (64, 64), (1, 2, 3)).save(secret)
    visitor, tried = Visitor(server), 0
    for dependency in visitor.config["dependencies"]:
        if dependency["inputs"]:
            data = [
                file_forms(str(secret))[number] if i == 0 else None for i in range(len(dependency["inputs"]))
            ]
            told = json.dumps(visitor.ask(dependency, data, {"index": "x", "value": "x"}).get("output"))
            assert "Traceback" not in told
            assert "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAEA" not in told  # a picture of 64 pixels
            tried += 1
    assert tried > 20


@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd",
        str(TOON_RUN / "manifest.json"),
        "../../etc/passwd",
        "launch.py",
        "https://example.org/x.png",
    ],
)
def test_files_of_the_server_are_not_handed_out(path: str, server: str) -> None:
    assert httpx.get(f"{server}gradio_api/file={path}").status_code in (403, 404)


@pytest.mark.slow
def test_around_the_queue_leads_nowhere(server: str) -> None:
    visitor = Visitor(server)
    for dependency in visitor.config["dependencies"]:
        body = {"data": [None] * len(dependency["inputs"]), "fn_index": dependency["id"], "session_hash": "s"}
        for way in ("gradio_api/run/predict", "gradio_api/api/predict", "run/predict", "api/predict"):
            assert visitor.client.post(f"/{way}", json=body).status_code == 404


def looked_at(visitor: Visitor, path: str) -> dict[str, Any]:
    """The answer of Inspect to an upload."""
    event = visitor.events("vt-upload", "upload")[0]
    values = {c["id"]: c["props"].get("value") for c in visitor.config["components"]}
    return visitor.ask(
        event,
        [
            {"path": path, "meta": {"_type": "gradio.FileData"}},
            *[values[number] for number in event["inputs"][1:]],
        ],
    )


@pytest.mark.slow
def test_two_visitors_with_the_same_photo(server: str, tmp_path: Path) -> None:
    """One must not lose it because the other is done with it."""
    photo = tmp_path / "photo.png"
    Image.new("RGB", (90, 60), (10, 200, 10)).save(photo)
    first, second = Visitor(server), Visitor(server)
    paths = [first.upload(photo), second.upload(photo)]
    assert looked_at(first, paths[0])["success"]
    assert looked_at(second, paths[1])["success"]


@pytest.mark.slow
def test_uploads_are_gone_soon_after_they_were_looked_at(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And nobody else can name them."""
    monkeypatch.setattr(private, "SOON", 0.0)
    photo = tmp_path / "photo.png"
    Image.new("RGB", (90, 60), (200, 10, 10)).save(photo)
    visitor, other = Visitor(server), Visitor(server)
    path = visitor.upload(photo)
    assert looked_at(visitor, path)["success"]
    assert not Path(path).exists()
    assert httpx.get(f"{server}gradio_api/file={path}").status_code in (403, 404)
    again = looked_at(other, path)
    assert not again["success"]
    assert "This photo cannot be used (file not found)" in again["output"]["error"]


SCRIPT = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
BAD = {"bomb.png": "pixels", "drawing.svg": "format", "page.html": "format", "broken.jpg": "photo"}


@pytest.mark.slow
@pytest.mark.parametrize("name", BAD)
def test_what_is_no_photo_is_said_in_one_line(name: str, server: str, tmp_path: Path) -> None:
    photo = tmp_path / name
    if name == "bomb.png":
        Image.new("1", (13_000, 13_000)).save(photo)
        assert photo.stat().st_size < 500_000
    else:
        photo.write_bytes(b"\xff\xd8\xff" + b"x" * 99 if name == "broken.jpg" else SCRIPT)
    visitor = Visitor(server)
    path = visitor.upload(photo)
    predict = next(d for d in visitor.config["dependencies"] if d["api_name"] == "predict")
    # programs of earlier versions give a photo alone
    answer = visitor.ask(predict, [{"path": path, "meta": {"_type": "gradio.FileData"}}])
    assert not answer["success"]
    assert BAD[name] in answer["output"]["error"]
    assert "\n" not in answer["output"]["error"]
    assert visitor.ask(predict, [])["output"]["error"] == "Got 0 inputs; this takes 2."


def test_too_large_an_upload_is_refused(server: str) -> None:
    answer = httpx.post(f"{server}gradio_api/upload", files={"files": ("big.png", b"x" * 21_000_000)})
    assert answer.status_code == 413


@pytest.mark.slow
def test_the_queue_is_bounded(demo: Path) -> None:
    """Who comes too late is told so at once; those who wait are answered."""
    from dashboard.app import QUEUE, build
    from dashboard.server.serving import options
    from dashboard.session.context import Context
    from explain.run.reader import open_run

    ctx = Context(open_run(demo))
    page = build(ctx)
    _, url, _ = page.launch(prevent_thread_lock=True, **options())
    try:
        visitor = Visitor(url)
        layers = next(d for d in visitor.config["dependencies"] if d["api_name"] == "choices")
        with ctx.classifier():  # somebody else's long work
            found = [visitor.join(layers) for _ in range(QUEUE + 12)]
        told = [answer for answer in found if answer.status_code != 200]
        assert len(told) >= 5
        assert all(
            answer.status_code == 503 and "full" in answer.text.lower() and "\n" not in answer.text
            for answer in told
        )
        for _ in range(120):  # who was told tries again, until those before are answered
            answer = Visitor(url).click("vt-table", "class", 1)
            if answer["output"].get("status") != 503:
                break
            time.sleep(0.5)
        assert answer["success"], answer
    finally:
        page.close(verbose=False)
