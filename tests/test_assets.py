"""Gradio's scripts and styles are compressed once, not for every page that opens."""

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest

from dashboard.server.assets import KEPT_BYTES, NAMED_BY_CONTENT, Assets

SCRIPT = "/assets/index-DphvyggB.js"


class Files:
    """An application that answers with what was asked for, in two parts."""

    def __init__(self, status: int = 200, more: tuple[tuple[bytes, bytes], ...] = (), size: int = 10):
        self.asked, self.status, self.more, self.size = 0, status, more, size

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.asked += 1
        packed = dict(scope["headers"]).get(b"accept-encoding", b"none")
        headers = [(b"content-encoding", packed), *self.more]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": packed, "more_body": True})
        await send({"type": "http.response.body", "body": b"x" * self.size, "more_body": False})


def ask(
    assets: Assets, files: Files, path: str = SCRIPT, method: str = "GET", **headers: str
) -> tuple[int, dict[str, str], bytes]:
    given = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    sent = list[Any]()

    async def send(message: Any) -> None:
        sent.append(dict(message))
        message.clear()  # whoever is outside may change what was sent

    async def receive() -> Any:
        raise AssertionError("nothing is read")

    asyncio.run(assets.of(files, path)({"method": method, "headers": given}, receive, send))
    named = {k.decode(): v.decode() for k, v in sent[0]["headers"]}
    return sent[0]["status"], named, b"".join(message["body"] for message in sent[1:])


def test_a_file_is_made_once_for_each_way_of_sending_it() -> None:
    assets, files = Assets(), Files()
    first = ask(assets, files, accept_encoding="gzip, deflate, br")
    assert first == ask(assets, files, accept_encoding="gzip, deflate, br")
    assert first[1]["content-encoding"] == "gzip, deflate, br"
    assert files.asked == 1
    assert ask(assets, files)[1]["content-encoding"] == "none"
    assert ask(assets, files, accept_encoding="gzip")[1]["content-encoding"] == "gzip"
    ask(assets, files, "/assets/core-Bdx9080F.js", accept_encoding="gzip")
    assert files.asked == 4
    assert ask(assets, files)[2] == b"none" + b"x" * 10
    assert files.asked == 4


@pytest.mark.parametrize(
    ("files", "method", "headers"),
    [
        (Files(404), "GET", {}),
        (Files(206), "GET", {}),
        (Files(more=((b"Set-Cookie", b"of=one"),)), "GET", {}),
        (Files(size=KEPT_BYTES), "GET", {}),
        (Files(), "HEAD", {}),
        (Files(), "GET", {"range": "bytes=0-1"}),
    ],
    ids=[
        "not found",
        "a part",
        "with a cookie",
        "too large",
        "without a body",
        "asked for a part",
    ],
)
def test_what_is_not_the_whole_file_for_everybody_is_not_kept(
    files: Files, method: str, headers: dict[str, str]
) -> None:
    assets = Assets()
    for k in range(2):
        ask(assets, files, method=method, **headers)
        assert files.asked == k + 1


def test_what_is_kept_names_no_origin() -> None:
    assets, files = Assets(), Files(more=((b"Access-Control-Allow-Origin", b"http://one"), (b"etag", b"1")))
    first, second = ask(assets, files), ask(assets, files)
    assert files.asked == 1
    assert "Access-Control-Allow-Origin" in first[1]
    assert second[1] == {"content-encoding": "none", "etag": "1"}
    assert second[2] == first[2]


def test_no_answer_is_not_kept() -> None:
    async def silent(scope: Any, receive: Any, send: Any) -> None:
        pass

    asyncio.run(Assets().of(silent, SCRIPT)({"method": "GET", "headers": []}, None, None))  # type: ignore[arg-type]


def test_what_is_kept_is_bounded() -> None:
    assets, files = Assets(), Files(size=KEPT_BYTES // 4)
    for k in range(9):
        ask(assets, files, f"/assets/index-Dphvygg{k}.js")
    ask(assets, files, "/assets/index-Dphvygg8.js")
    assert files.asked == 9
    ask(assets, files, "/assets/index-Dphvygg0.js")
    assert files.asked == 10


@pytest.mark.parametrize(
    ("path", "named"),
    [
        (SCRIPT, True),
        ("/assets/Index-Akn07EZk2.js", True),
        ("/assets/svelte/utils-D3-o_ab2.css", True),
        ("/assets/index.js", False),
        ("/static/index-DphvyggB.js", False),
        ("/gradio_api/file=/assets/index-DphvyggB.js", False),
    ],
)
def test_names_by_content(path: str, named: bool) -> None:
    assert bool(NAMED_BY_CONTENT.fullmatch(path)) is named


@pytest.mark.slow
def test_the_page_s_files_are_gradio_s(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked for twice, in each way, with the origin that browsers send: the same bytes, as the file has them,
    and compressed once."""
    from gradio.routes import BUILD_PATH_LIB

    kept = list[str]()
    first = Assets._first

    async def counted(self: Assets, app: Any, key: Any, *rest: Any) -> None:
        kept.append(key[0])
        await first(self, app, key, *rest)

    monkeypatch.setattr(Assets, "_first", counted)
    path = next(path for path in sorted(Path(BUILD_PATH_LIB).glob("*.js")) if path.stat().st_size > 10_000)
    for way in ("identity", "gzip", "br") * 2:
        given = {"accept-encoding": way, "origin": server.rstrip("/")}
        answer = httpx.get(f"{server}assets/{path.name}", headers=given)
        assert answer.headers.get("content-encoding", "identity") == way
        assert answer.content == path.read_bytes()
    assert kept == [f"/assets/{path.name}"] * 3
    assert httpx.get(f"{server}assets/{path.stem[:-8]}xxxxxxxx.js").status_code == 404
